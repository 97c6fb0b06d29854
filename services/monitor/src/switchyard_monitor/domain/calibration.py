"""Calibration: whether what scores promise comes true, and what they promise of what nobody knows yet.

The promise and what came of it are held against each other on the same labelled rows: where they differ by more than
chance, the scores are not calibrated or the concept has changed, and no number of the rows says which. Before labels
are there, the promise alone is an estimate of quality (CBPE), as good as the scores are calibrated.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from switchyard_contracts.intervals import Groups, jackknife
from switchyard_contracts.sticky import FOLDS

from switchyard_monitor.domain.folded import by_number
from switchyard_monitor.domain.scores import BINS, ONE, TENTHS, edge
from switchyard_monitor.domain.separation import Auroc

LN2 = math.log(2.0)
ALIKE = 1e-12
"""An interval that is no wider has only been rounded."""
STEPS, CLOSE = 50, 1e-10
"""Of Newton's method for the slope."""
Interval = tuple[float, float] | None


@dataclass(frozen=True, slots=True)
class Calibration:
    """Of judged predictions that had a score."""

    n: int
    happened: int
    promised: float
    """How many would have, by the scores."""
    brier: float
    brier_interval: Interval
    log_loss: float
    """In nats; a score of 0 or 1 that was wrong counts as 2⁻²⁰."""
    log_loss_interval: Interval
    z: float | None
    """Spiegelhalter's: beyond ±1.96 the scores are not calibrated, or the concept has changed."""
    slope: float | None
    """Of the log odds: under 1 the scores are too sure of themselves, over 1 not sure enough."""
    ece: float
    ece_by_chance: float
    """What a perfectly calibrated model would have, of as many."""

    @classmethod
    def of(cls, sums: Mapping[str, int]) -> Calibration | None:
        """From the sums of days; None where none was judged."""
        n = sums.get("cal.n", 0)
        if not n:
            return None
        of_groups, brier, loss = (by_number(sums, f"cal.{name}", FOLDS) for name in ("n", "b", "l"))
        no, yes = (by_number(sums, f"cal.{name}", BINS) for name in ("s0", "s1"))
        ece, by_chance = _ece(sums, n)
        variance = sums.get("cal.zz", 0)
        bit = LN2 / ONE
        return cls(
            n=n,
            happened=sums.get("cal.y", 0),
            promised=sums.get("cal.p", 0) / ONE,
            brier=sums.get("cal.b", 0) / ONE**2 / n,
            brier_interval=_of_losses((k, b / ONE**2) for k, b in zip(of_groups, brier, strict=True)),
            log_loss=sums.get("cal.l", 0) * bit / n,
            log_loss_interval=_of_losses((k, part * bit) for k, part in zip(of_groups, loss, strict=True)),
            z=sums.get("cal.z", 0) / math.sqrt(variance) if variance else None,
            slope=_slope(no, yes),
            ece=ece,
            ece_by_chance=by_chance,
        )


@dataclass(frozen=True, slots=True)
class Promise:
    """What scores promise of a number of predictions; of classes where one is positive."""

    n: int
    accuracy: float
    precision: float | None = None
    recall: float | None = None
    f1: float | None = None
    auroc: float | None = None

    @classmethod
    def of(cls, sums: Mapping[str, int], which: str, *, positive: bool) -> Promise | None:
        """From the sums of days: `est` of all that had a score, `cal` of those that were judged."""
        n = sums.get(f"{which}.n", 0)
        if not n:
            return None
        promised = sums.get(f"{which}.p", 0) / ONE
        if not positive:
            return cls(n, promised / n)
        said, hits = sums.get(f"{which}.said", 0), sums.get(f"{which}.hit", 0) / ONE
        return cls(
            n,
            (hits + (n - said) - (promised - hits)) / n,
            hits / said if said else None,
            hits / promised if promised else None,
            2 * hits / (said + promised) if said + promised else None,
            _auroc(sums) if which == "est" else None,
        )


@dataclass(frozen=True, slots=True)
class Gap:
    """Realised against expected accuracy, on the same rows."""

    n: int
    expected: float
    realised: float
    z: float

    @classmethod
    def of(cls, sums: Mapping[str, int], *, positive: bool) -> Gap | None:
        """From the sums of days; None where none was judged."""
        expected = Promise.of(sums, "cal", positive=positive)
        if expected is None:
            return None
        n, right, doubt = expected.n, sums.get("cal.right", 0), sums["cal.pq"] / ONE**2
        gap = right - n * expected.accuracy
        return cls(n, expected.accuracy, right / n, gap / math.sqrt(doubt))


def _of_losses(groups: Groups) -> Interval:
    """None is negative; and where all groups are alike, as when nothing was wrong yet, nothing sets the ends."""
    found = jackknife(groups)
    return None if found is None or found[1] - found[0] <= ALIKE else (max(0.0, found[0]), found[1])


def _auroc(sums: Mapping[str, int]) -> float | None:
    """That of the scores, were they all true: of each bin so many would happen as its middle says."""
    counts = by_number(sums, "est.s", BINS)
    chances = [_middle(index) for index in range(BINS)]
    yes = [count * chance for count, chance in zip(counts, chances, strict=True)]
    found = Auroc.of([count - part for count, part in zip(counts, yes, strict=True)], yes)
    return None if found is None else found.value


def _ece(sums: Mapping[str, int], n: int) -> tuple[float, float]:
    """How far shares lie from promises in each tenth, weighed by how many there are; and how far they would by chance.

    By the scores themselves and not by the middles of their bins: a model of few scores would be accused of these.
    """
    gaps, doubts = by_number(sums, "cal.g", TENTHS), by_number(sums, "cal.gq", TENTHS)
    return (
        sum(map(abs, gaps)) / ONE / n,
        math.fsum(math.sqrt(2 / math.pi * doubt) for doubt in doubts) / ONE / n,
    )


def _slope(no: Sequence[int], yes: Sequence[int]) -> float | None:
    """Of a logistic regression of what happened on the log odds of the scores, by bins; None where it has no end."""
    if not any(no) or not any(yes):
        return None
    odds = [math.log(_middle(index) / (1 - _middle(index))) for index in range(BINS)]
    held = [(x, n + y, y) for x, n, y in zip(odds, no, yes, strict=True) if n + y]
    start, slope = 0.0, 1.0
    for _ in range(STEPS):
        a = b = c = first = second = 0.0
        for x, n, y in held:
            chance = 1 / (1 + math.exp(-max(-500.0, min(500.0, start + slope * x))))
            weight, miss = n * chance * (1 - chance), y - n * chance
            a, b, c = a + weight, b + weight * x, c + weight * x * x
            first, second = first + miss, second + miss * x
        spread = a * c - b * b
        if spread <= 1e-12 * a * c:
            return None
        steps = (c * first - b * second) / spread, (a * second - b * first) / spread
        start, slope = start + steps[0], slope + steps[1]
        if max(map(abs, steps)) < CLOSE:
            return slope
    return None


def _middle(index: int) -> float:
    return (edge(index) + edge(index + 1)) / 2
