"""Separation: how well scores tell what happened from what did not, by counts of both in bins of the score.

Within a bin nobody knows which score was the higher one, so such pairs count a half each; AUROC of the scores
themselves lies within half the share of these pairs, by which its interval is widened. The interval is DeLong's (1988)
for what the bins hold, on the scale of log odds, so that it stays between 0 and 1.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import NormalDist

from switchyard_contracts.intervals import jackknife_parts

from switchyard_monitor.domain.days import COARSE_BINS
from switchyard_monitor.domain.folded import by_group, by_number
from switchyard_monitor.domain.scores import BINS

FIRST = 10
"""Of what happened and of what did not, each: with fewer there is a value, and no interval."""


@dataclass(frozen=True, slots=True)
class Auroc:
    """The chance that one that happened has the higher score of the two; DeLong's standard error."""

    value: float
    error: float
    tied: float
    """The share of pairs that lie in one bin."""

    @classmethod
    def of(cls, no: Sequence[float], yes: Sequence[float]) -> Auroc | None:
        """From counts by rising bins; None where one of the two is not there."""
        negatives, positives = math.fsum(no), math.fsum(yes)
        if not negatives or not positives:
            return None
        below_no = below_yes = 0.0
        of_yes: list[tuple[float, float]] = []
        of_no: list[tuple[float, float]] = []
        tied = 0.0
        for n, y in zip(no, yes, strict=True):
            of_yes.append((y, (below_no + n / 2) / negatives))
            of_no.append((n, 1.0 - (below_yes + y / 2) / positives))
            below_no, below_yes, tied = below_no + n, below_yes + y, tied + n * y
        value = math.fsum(count * at for count, at in of_yes) / positives
        error = math.sqrt(_variance(of_yes, value) / positives + _variance(of_no, value) / negatives)
        return cls(value, error, tied / negatives / positives)

    def interval(self, *, level: float = 0.95) -> tuple[float, float] | None:
        """Which holds the AUROC of the scores; None where nothing sets its ends."""
        if not 0.0 < self.value < 1.0 or not self.error:
            return None
        half = _z(level) * self.error / (self.value * (1 - self.value))
        middle = math.log(self.value / (1 - self.value))
        lower, upper = (1 / (1 + math.exp(-at)) for at in (middle - half, middle + half))
        return max(0.0, lower - self.tied / 2), min(1.0, upper + self.tied / 2)


def average_precision(no: Sequence[float], yes: Sequence[float]) -> float | None:
    """Σ (recall gained by a bin) · (precision down to it), from the highest bin; None where nothing happened."""
    positives = math.fsum(yes)
    if not positives:
        return None
    hits = said = total = 0.0
    for n, y in zip(reversed(no), reversed(yes), strict=True):
        hits, said = hits + y, said + n + y
        if y:
            total += y * hits / said
    return total / positives


@dataclass(frozen=True, slots=True)
class Separation:
    """Both of judged predictions."""

    negatives: int
    positives: int
    auroc: Auroc | None
    average_precision: float | None
    auroc_interval: tuple[float, float] | None = None
    average_precision_interval: tuple[float, float] | None = None

    @classmethod
    def of(cls, sums: Mapping[str, int]) -> Separation:
        """From the sums of days."""
        no, yes = (by_number(sums, f"cal.{name}", BINS) for name in ("s0", "s1"))
        found = cls(sum(no), sum(yes), Auroc.of(no, yes), average_precision(no, yes))
        if min(found.negatives, found.positives) < FIRST or found.auroc is None:
            return found
        groups = [
            (*n, *y)
            for n, y in zip(by_group(sums, "cal.f0", COARSE_BINS), by_group(sums, "cal.f1", COARSE_BINS), strict=True)
        ]
        return cls(
            found.negatives,
            found.positives,
            found.auroc,
            found.average_precision,
            found.auroc.interval(),
            _around(found.average_precision, groups),
        )


def _around(value: float | None, groups: Sequence[Sequence[int]]) -> tuple[float, float] | None:
    """By the jackknife on coarser bins, whose error is much the same, around what the finer ones say."""
    if value is None or not 0.0 < value < 1.0:
        return None

    def odds(both: Sequence[float]) -> float | None:
        coarse = average_precision(both[:COARSE_BINS], both[COARSE_BINS:])
        return math.log(coarse / (1 - coarse)) if coarse is not None and 0.0 < coarse < 1.0 else None

    found = jackknife_parts(groups, of=odds)
    if found is None:
        return None
    half, middle = (found[1] - found[0]) / 2, math.log(value / (1 - value))
    return 1 / (1 + math.exp(half - middle)), 1 / (1 + math.exp(-half - middle))


def _variance(placed: Sequence[tuple[float, float]], mean: float) -> float:
    """Of placements, each as often as it is counted."""
    n = math.fsum(count for count, _ in placed)
    return math.fsum(count * (at - mean) ** 2 for count, at in placed) / (n - 1) if n > 1 else 0.0


def _z(level: float) -> float:
    return NormalDist().inv_cdf(0.5 + level / 2)
