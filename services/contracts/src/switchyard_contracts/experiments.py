"""Strategies that ask users: ABTest, whose test is read once, and Bandit, whose weight follows what it is rewarded."""

from __future__ import annotations

from datetime import timedelta
from enum import StrEnum
from typing import Annotated, Any, Self

from pydantic import Field, model_validator

from switchyard_contracts.base import Shape, Status, Timestamp
from switchyard_contracts.quantities import FULL, BasisPoints, Duration, Threshold
from switchyard_contracts.sticky import Sticky

TEST_STEP, BANDIT_STEP = "test", "bandit"
"""The names of the one step that each of these strategies has."""
TRIAL_ENDED = "TrialEnded"
"""Why a rollout is over whose revision was tried on users, and takes nothing over."""
DAYS = 7
"""Of a week, each as long as analysis.block."""
LEAST_FLOOR = 200
"""Basis points that either arm of a bandit keeps: who has no traffic can prove nothing any more."""
MOST_WINDOWS = 700
"""Of monitoring.window in a test: guards ask for all of them, each with its groups of users, as often as one ends."""
MOVES = 4
"""How many moves of a weight there may be at most while one prediction grows old enough to be judged."""


class WhenWon(StrEnum):
    """What a candidate does that has won: it takes over, or the rollout stops there and stable keeps the traffic."""

    PROMOTE = "promote"
    STOP = "stop"


class ABTest(Shape):
    """Users are split by lot and stay where they are for full weeks; then the test is read, once.

    The decide metrics say what is tested: all must be won. Guards may end it before. Its strategy cannot be changed
    while it runs: a test that is made longer until it says something always says something.
    """

    split: Sticky
    """By what users are told apart, so that each stays with the model that answered first."""
    share: BasisPoints = BasisPoints(FULL // 2)
    """How many of the users the candidate has, all at once: a ramp would move users from one model to the other."""
    weeks: Annotated[int, Field(ge=1, le=52)]
    """How long it runs; full weeks, as the days of a week differ. A day is as long as analysis.block."""
    effect: Threshold = Threshold.parse("5%")
    """The smallest improvement that it should find, as a percentage of stable's value; more of it needs fewer users."""
    power: BasisPoints = BasisPoints(8000)
    """How often it should find it, where it is there."""
    spread: Threshold = Threshold.parse("1.5")
    """How far a single loss lies from the mean loss, as a multiple of it; a reading tells what it was. From this,
    effect and power follows how many judged predictions it takes, which the status says from the start."""
    when_won: WhenWon = WhenWon.PROMOTE
    """promote: the winner takes over. stop: the rollout ends there, and stable keeps all of the traffic, as it does
    where nobody wins."""

    @model_validator(mode="after")
    def _can_be_told_apart(self) -> Self:
        if not 0 < self.share.value < FULL:
            raise ValueError(f"share: {self.share} leaves one of the two without users; write from 1% to 99%")
        if self.effect.unit != "%" or not 0.0 < self.effect.value < 1.0:
            raise ValueError(f'effect: {self.effect.text!r} must be a percentage of stable\'s value, such as "5%"')
        if self.spread.unit or not self.spread.value:
            raise ValueError(f'spread: {self.spread.text!r} must be a number above 0, such as "1.5"')
        if not FULL // 2 <= self.power.value < FULL:
            raise ValueError(f"power: {self.power} must be from 50% to below 100%; 80% is usual")
        return self


class Bandit(Shape):
    """The candidate's weight follows how likely it is the better one, by the rewards of what was judged at age L."""

    start: BasisPoints = BasisPoints(1000)
    """Its weight until enough is judged."""
    floor: BasisPoints = BasisPoints(500)
    """The least it is given while it is tried: at least 2%."""
    ceiling: BasisPoints = BasisPoints(9500)
    """The most it is given before it has won: at most 98%, so that stable is tried too."""
    every: Duration | None = None
    """How often its weight may move: a quarter of monitoring.outcome.judgedAfter where it is not said, no shorter."""
    when_won: WhenWon = WhenWon.PROMOTE
    """promote: the winner takes over. stop: the rollout ends there, and stable keeps all of the traffic."""

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        if not LEAST_FLOOR <= self.floor.value <= self.start.value <= self.ceiling.value <= FULL - LEAST_FLOOR:
            raise ValueError(
                f"start: {self.start} must lie between floor ({self.floor}) and ceiling ({self.ceiling}), and those"
                " between 2% and 98%"
            )
        return self

    def pace(self, *, judged_after: timedelta, window: timedelta) -> timedelta:
        """How often its weight may move: sums are kept by window, so no more often than those."""
        return max(self.every or timedelta(0), judged_after / MOVES, window)


class Trial(Status):
    """An A/B test as it was stated when it began; nothing of it changes while it runs."""

    began: Timestamp
    until: Timestamp
    """What is predicted from `began` up to here counts."""
    read_at: Timestamp
    """When all of it can be judged, and the test is read."""
    read: Timestamp | None = None
    """When it was; what it said stands in the verdicts, and nobody asks again."""
    planned: int = 0
    """How many judged predictions of the candidate find the effect with the power that was asked for."""
    effect: str = ""
    power: str = ""
    strategy: Annotated[str, Field(max_length=8192)] = ""
    """The whole strategy as it stood then, by which the test goes on whatever the spec says."""
    analysis: Annotated[str, Field(max_length=32_768)] = ""
    """What decides and at which risk, as it stood then; guards, and what is only observed, are the spec's."""
    moved: bool = False
    """Whether users met the candidate in other steps before; then it cannot be read."""


UNDER_WAY = (
    "has(oldSelf.status) && has(oldSelf.status.rollout) && has(oldSelf.status.rollout.trial) &&"
    " !(has(oldSelf.status.rollout.trial.moved) && oldSelf.status.rollout.trial.moved) &&"
    " !(oldSelf.status.rollout.phase in"
    " ['Watching', 'Completed', 'RollingBack', 'RolledBack', 'Refused', 'Superseded'])"
)
RULES: tuple[dict[str, Any], ...] = (
    {
        "rule": f"!({UNDER_WAY}) || self.spec.model != oldSelf.spec.model ||"
        " self.spec.strategy == oldSelf.spec.strategy",
        "message": "an A/B test is under way, and is read once, as it was stated: spec.strategy cannot be changed"
        " before; abort it, or change the model too",
        "fieldPath": ".spec.strategy",
    },
)
"""Rules of the whole ModelDeployment, that look at its status too."""
