"""One step of a rollout."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

from switchyard_contracts.quantities import FULL


@dataclass(frozen=True, slots=True)
class Step:
    """A weight in basis points, held at least so long; `by_hand` waits for a person's promote."""

    name: str
    weight: int
    hold: timedelta
    by_hand: bool = False
    mirror: int = 0
    """How much of the traffic is mirrored at most, in basis points of the whole; only stable's share can be."""
    decided: bool = False
    """Whether decide metrics must pass before it is left, though steps follow."""
    pods: int = 0
    """How many pods the candidate has in it, as a step that scales said; 0 is all of them."""
    scales: bool = False
    """Whether it only scales: its weight and its mirror are those of the step before."""
    judges: tuple[str, ...] = ()
    """The metrics that it names, where it names any: of the guards these alone speak in it, and it is not left before
    the decide metrics among them pass."""

    every: timedelta | None = None
    """How often its weight may move by what the evidence says; None where it stays."""

    @property
    def mirrors_only(self) -> bool:
        """Whether no user sees an answer of the candidate."""
        return self.mirror > 0 and not self.weight


def needed(wanted: int, weight: int) -> int:
    """How many ready pods a share needs: never none, and rounded up."""
    return max(1, -(-wanted * weight // FULL))


def mirrored(step: Step | None, *, weight: int, wanted: int, ready: int) -> int:
    """How much of the traffic may be mirrored to the candidate now.

    No more than stable has, and no more than the ready pods can take beside their weight: whom the split gave to the
    candidate must not wait behind copies. A candidate that has lost weight for want of pods gets no copies at all.
    """
    if step is None or weight != step.weight:
        return 0
    return max(0, min(step.mirror, FULL - weight, sustainable(wanted, ready) - weight))


def sustainable(wanted: int, ready: int) -> int:
    """The largest share that so many ready pods can take."""
    return min(FULL, FULL * ready // max(1, wanted))
