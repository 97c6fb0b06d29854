"""Tells the story: applies each chapter's file, follows what the system does of itself, and reads the figures.

Nothing here helps the system along. The story applies three files and otherwise only watches; if the second version is
not promoted, or the third not taken back, it says so and ends. What comes after these is `fourth`'s to tell.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Protocol

from switchyard_contracts import conditions
from switchyard_contracts.model_deployment import ModelDeploymentStatus, Phase, RolloutStatus, StepRecord

from switchyard_demo_model.product.ledger import Failure
from switchyard_demo_model.story import fourth
from switchyard_demo_model.story.expectations import Held, Script
from switchyard_demo_model.story.figures import Account, Quality, Read, Serving, Switch, Told, Topic, figures, tables
from switchyard_demo_model.story.fourth import Fourth, Telling
from switchyard_demo_model.story.narrator import Narrator
from switchyard_demo_model.story.plot import METRIC, Chapter, Ending, chapters, deployment

LOOK = 0.5  # seconds between two looks
SETTLE = 60.0  # seconds the last events may take to the topic and through the join


class System(fourth.System, Protocol):
    """What the story needs of the cluster."""

    def make_room(self) -> None: ...
    def status(self) -> ModelDeploymentStatus: ...
    def serving(self) -> Serving: ...
    def quality(self) -> list[Quality]: ...
    def topic(self) -> Topic: ...
    def account(self) -> Account: ...


class Product(fourth.Product, Protocol):
    """What the story needs of the traffic."""

    def failures(self) -> list[Failure]: ...
    def served_ids(self) -> frozenset[str]: ...


class StoryBroke(RuntimeError):
    """The story cannot go on; the message says where it stopped."""


@dataclass(slots=True)
class Following:
    """What was seen of one rollout while it ran: the status forgets steps, the story must not."""

    peak_bp: int = 0
    given_in_shadow: int | None = None  # answers of the version that users were given while it was a shadow
    steps: dict[str, StepRecord] = field(default_factory=dict)
    said: str = ""


class Teller:
    """One telling."""

    def __init__(
        self,
        system: System,
        narrator: Narrator,
        script: Script,
        *,
        telling: Telling,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._system, self._narrator, self._script, self._telling = system, narrator, script, telling
        self._clock, self._sleep = clock, sleep
        self._told: list[Told] = []
        self._fourth = Fourth(system, narrator, script, telling=telling, clock=clock, sleep=sleep)

    def tell(self, traffic: Callable[[], AbstractContextManager[Product]]) -> list[Held]:
        """The whole story; what became of each promise."""
        first, *others = chapters(self._telling.story)
        patience, short = self._script.patience, self._telling.short
        self._system.make_room()
        self._narrator.title(f"First chapter: {first.version} is deployed")
        self._chapter(first, patience=patience.deployed, product=None)
        if not self._as_told():
            return self._broken()
        with traffic() as product:
            quiet = self._script.pace.quiet_short if short else self._script.pace.quiet
            self._narrator.say(
                f"the product asks {self._telling.pace.rate:g} times a second; "
                f"a day of March 2013 takes {self._telling.pace.day_seconds:g} s"
            )
            self._live_on(quiet, product, f"{first.version} serves alone")
            for chapter in others:
                promised = chapter.expected is Ending.PROMOTED
                limits = (
                    (patience.promoted, patience.promoted_short)
                    if promised
                    else (patience.taken_back, patience.taken_back_short)
                )
                self._narrator.title(f"{chapter.ordinal.capitalize()} chapter: {chapter.version} comes {chapter.way}")
                self._chapter(chapter, patience=limits[short], product=product)
                if not self._as_told():
                    break
                if chapter is not others[-1]:
                    after = self._script.pace.after_short if short else self._script.pace.after
                    self._live_on(after, product, "life goes on")
            else:
                self._fourth.tell(product)
            self._narrator.say("the product stops asking; flights that are in the air will still land")
        return self._settled(product)

    def _as_told(self) -> bool:
        last = self._told[-1]
        if last.ending is last.chapter.expected:
            return True
        self._narrator.say(
            f"the story promised that {last.chapter.version} is {last.chapter.expected.value}, "
            f"but it was {last.ending.value}: {last.message or last.reason or 'no reason was given'}"
        )
        return False

    def _chapter(self, chapter: Chapter, *, patience: float, product: Product | None) -> None:
        """Apply the chapter's file, and follow until it has ended one way or the other."""
        before = self._system.status().rollout if product else None
        body = deployment(
            chapter,
            image=self._system.image(chapter.recipe),
            provenance=self._system.provenance(chapter.recipe),
            namespace=self._system.namespace,
            pace=self._telling.pace,
        )
        generation = self._system.apply(body)
        self._narrator.say(f"applied: image {body['spec']['model']['image']}")
        began, following = self._clock(), Following()
        while True:
            # Before the status: where that still says shadow, it was one when these answers were counted.
            given = product.statistics().versions.get(chapter.version, 0) if product else 0
            status = self._system.status()
            rollout = status.rollout
            fresh = rollout and status.observed_generation >= generation and (not before or rollout.id != before.id)
            if rollout and fresh:
                self._follow(rollout, following, given=given)
                if ending := ended(status, rollout):
                    self._told.append(told(chapter, ending, rollout, following, self._clock() - began))
                    self._narrator.say(f"{chapter.version} is {ending.value}: {rollout.reason}. {rollout.message}")
                    return
            if objection := refusal(status, generation):
                self._told.append(Told(chapter, Ending.REFUSED, self._clock() - began, "NotAccepted", objection))
                return
            if self._clock() - began > patience:
                waiting = (
                    (rollout.waiting_for or rollout.message) if rollout and fresh else "the operator took no notice"
                )
                late = told(chapter, Ending.TIMED_OUT, rollout if fresh else None, following, self._clock() - began)
                self._told.append(late)
                self._narrator.say(f"after {patience:g} s nothing was decided; it waits for: {waiting}")
                return
            self._narrator.state(progress(rollout if fresh else None, product))
            self._sleep(LOOK)

    def _follow(self, rollout: RolloutStatus, following: Following, *, given: int) -> None:
        """Remember steps and say what is new."""
        if rollout.phase is Phase.SHADOWING:
            following.given_in_shadow = given
        following.peak_bp = max(following.peak_bp, rollout.weight_bp)
        for record in rollout.steps_done:
            if record.synced_at or record.name not in following.steps:
                following.steps[record.name] = record
        step = f", step {rollout.step}" if rollout.step else ""
        line = f"{rollout.phase.value}{step}, {rollout.weight_bp / 100:g} % of the traffic"
        if line != following.said:
            following.said = line
            self._narrator.say(line)

    def _live_on(self, seconds: float, product: Product, why: str) -> None:
        """Let time pass for the product."""
        until = self._clock() + seconds
        while (left := until - self._clock()) > 0:
            self._narrator.state(f"{why} for {left:.0f} s more; {requests(product)}")
            self._sleep(min(LOOK, left))

    def _settled(self, product: Product) -> list[Held]:
        """Read the figures once the last events have gone all the way, and hold them against what was promised."""
        deadline, sent = self._clock() + SETTLE, product.statistics().outcomes
        while (under_way := self._under_way(sent)) and self._clock() < deadline:
            self._narrator.state(f"the last events are under way: {under_way}")
            self._sleep(LOOK)
        read = self._read(product)
        known = figures(read)
        for failure in product.failures()[:10]:
            self._narrator.say(f"failed at {failure.at:.1f} s: {failure.what}: {failure.why}")
        for title, columns, rows in tables(read):
            self._narrator.table(title, columns, rows)
        return self._judged(known)

    def _under_way(self, outcomes: int) -> str:
        """What has not come through yet, in words; empty when all has. The topic is read once, after this."""
        account = self._system.account()
        joined = sum(line.labelled for line in self._system.quality())
        waiting = [
            f"{account.open} exchanges not delivered" if account.open else "",
            f"{outcomes - joined} outcomes not joined" if joined < outcomes else "",
        ]
        return ", ".join(filter(None, waiting))

    def _read(self, product: Product) -> Read:
        return Read(
            product=product.statistics(),
            served_ids=product.served_ids(),
            topic=self._system.topic(),
            quality=self._system.quality(),
            account=self._system.account(),
            serving=self._system.serving(),
            told=tuple(self._told),
            watched=self._fourth.read(product),
        )

    def _broken(self) -> list[Held]:
        """There was nothing to live on: every promise is broken, and each says so."""
        return self._judged({})

    def _judged(self, known: Mapping[str, float | int | str]) -> list[Held]:
        held = self._script.check(known, short=self._telling.short)
        rows = [("held" if one.held else "BROKEN", one.says, one.found, one.wanted) for one in held]
        self._narrator.table("What was promised", ("", "promise", "found", "wanted"), rows)
        return held


def ended(status: ModelDeploymentStatus, rollout: RolloutStatus) -> Ending | None:
    """How the rollout ended, if it has."""
    if rollout.phase is Phase.ROLLED_BACK:
        return Ending.TAKEN_BACK
    if rollout.phase is Phase.REFUSED:
        return Ending.REFUSED
    serves = status.stable is not None and status.stable.revision == rollout.revision
    if rollout.phase in (Phase.WATCHING, Phase.COMPLETED) and serves and synced(status):
        return Ending.PROMOTED
    return None


def refusal(status: ModelDeploymentStatus, generation: int) -> str:
    """Why the operator will not have the file, in its own words; empty when it will.

    A revision that is being taken back is no longer accepted either, from the moment of the decision until the last
    gateway has followed; how that rollout ends is its phase's to say.
    """
    if status.observed_generation < generation:
        return ""
    accepted = (condition for condition in status.conditions if condition.type == conditions.ACCEPTED)
    return next((one.message for one in accepted if one.status == "False" and one.reason != conditions.TAKEN_BACK), "")


def synced(status: ModelDeploymentStatus) -> bool:
    """Whether users get answers, and every gateway runs the newest route."""
    true = {condition.type for condition in status.conditions if condition.status == "True"}
    return {"Available", "TrafficSynced"} <= true


def told(chapter: Chapter, ending: Ending, rollout: RolloutStatus | None, following: Following, seconds: float) -> Told:
    """The chapter as the tables show it."""
    if rollout is None:
        return Told(chapter, ending, seconds)
    return Told(
        chapter=chapter,
        ending=ending,
        seconds=seconds,
        reason=rollout.reason,
        message=rollout.message,
        verdict=next((verdict for verdict in rollout.verdicts if verdict.name == METRIC), None),
        peak_bp=following.peak_bp,
        given_in_shadow=following.given_in_shadow,
        switches=tuple(switch(step) for step in following.steps.values()),
    )


def switch(step: StepRecord) -> Switch:
    """How long the step's weights took to reach every gateway."""
    known = step.started_at and step.synced_at
    seconds = (
        (step.synced_at - step.started_at).total_seconds() if known and step.synced_at and step.started_at else None
    )
    routed, mirrored = bool(step.generations), bool(step.mirrored)
    return Switch(step.name, step.weight_bp, seconds, routed=routed, mirrored=mirrored)


def progress(rollout: RolloutStatus | None, product: Product | None) -> str:
    """One line of how things stand."""
    if rollout is None:
        return "the operator has not looked yet"
    waits = f"waits for {rollout.waiting_for}" if rollout.waiting_for else rollout.phase.value
    outcome = next((verdict for verdict in rollout.verdicts if verdict.name == METRIC), None)
    judged = f"; {METRIC} {outcome.verdict} after {outcome.samples:,}" if outcome else ""
    return f"{waits}{judged}{'; ' + requests(product) if product else ''}"


def requests(product: Product) -> str:
    """The traffic in a few words."""
    now = product.statistics()
    failed = sum(now.failed.values())
    return f"{now.answered:,} answers, {failed} failed, p99 {now.p99 * 1000:.0f} ms, {now.outcomes:,} landed"


def broken(held: Sequence[Held]) -> list[Held]:
    """The promises that did not hold."""
    return [one for one in held if not one.held]
