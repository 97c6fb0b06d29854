"""Sums by fold: how much chance does where users stay with their arm.

What one user does again and again is no new evidence each time: the lot was drawn once. So the units are groups of
users, 32 folds of buckets, each with users of both arms; S is the sum over all, V comes from how the folds differ, and
as that is a guess from few units the boundary is widened (`boundary.few`).

The boundary holds at every look here too. A user's share of S only grows with time, so S at two moments is more alike
than a sum of new draws would be, and what is more alike has fewer chances to cross.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from switchyard_contracts import boundary
from switchyard_contracts.sticky import BUCKETS, FOLDS

FIRST_FOLDS = FOLDS // 2
"""Folds with anybody in them before anyone looks: a handful of users are no sample, however often they ask."""


@dataclass(frozen=True, slots=True)
class Folded:
    """What has been added up so far, by fold."""

    sums: tuple[float, ...] = (0.0,) * FOLDS
    counts: tuple[int, ...] = (0,) * FOLDS

    @property
    def total(self) -> float:
        """S."""
        return sum(self.sums)

    @property
    def n(self) -> int:
        """Of how many."""
        return sum(self.counts)

    @property
    def units(self) -> int:
        """Folds with anybody in them."""
        return sum(count > 0 for count in self.counts)

    @property
    def variance(self) -> float:
        """V."""
        spread = sum(each**2 for each in self.sums) - self.total**2 / FOLDS
        return max(0.0, spread) * FOLDS / (FOLDS - 1)

    def add(self, sums: Sequence[float], counts: Sequence[int]) -> Folded:
        """More of each fold."""
        return Folded(
            tuple(old + new for old, new in zip(self.sums, sums, strict=True)),
            tuple(old + new for old, new in zip(self.counts, counts, strict=True)),
        )


def excess(looks: Iterable[Folded], *, alpha: float) -> float:
    """How far S lies above (or, negative, below) what chance may do at the last look; 0 where it may be chance."""
    r = 0.0
    last = Folded()
    for last in looks:
        if not r and last.units >= FIRST_FOLDS:
            r = boundary.tuning(last.variance, alpha=alpha)
    if not last.n or last.units < FIRST_FOLDS:
        return 0.0
    if not r:
        return last.total if not last.variance else 0.0
    variance = last.variance
    width = boundary.few(boundary.width(variance, r=r, alpha=alpha), variance=variance, units=last.units)
    if abs(last.total) <= width:
        return 0.0
    return last.total - width if last.total > 0.0 else last.total + width


def share_of(fold: int, *, probability: float) -> float:
    """The candidate's share of a fold's own buckets: 500 buckets in all are 16 of some folds and 15 of others."""
    first = round(probability * BUCKETS)
    return _buckets(fold, below=first) / _buckets(fold, below=BUCKETS)


def _buckets(fold: int, *, below: int) -> int:
    return max(0, (below - fold + FOLDS - 1) // FOLDS)
