"""The unpaired comparison: is the candidate's mean loss below (1 + δ) times stable's, where each request met one arm?

Each judged request scores φ = [m + A(L − m)/p] − κ[m + (1 − A)(L − m)/(1 − p)], where A says whether the candidate
answered, p is how likely it was the candidate who would, L its loss, κ = 1 + δ, and m the mean loss of *earlier*
windows, which takes the common part out of the noise. Whatever p was, φ has the expectation (candidate's mean − κ ·
stable's mean), so generations with other weights add up; pooled means do not, because a weight that moves with the hour
mixes the hours into the arms. Weighted by h = p(1 − p), a generation that can say little counts little.

That probability is the stamped one, but for requests that fail: they are never judged, and one arm may fail more than
the other. Then p as stamped is not the share of the *judged*, and φ leans by (L − m) times what p is off; days that
differ make of it a drift that many requests prove wrongly. So the odds p/(1 − p) are multiplied by how the arms' judged
requests stand to their probabilities: in this window, drawn to earlier ones by `EVEN`, and those to 1. A window's
counts come before its losses and say nothing of them, so that no look at S is spoilt; and where they are many, hφ adds
up to nothing at the margin whatever the counts were.

S = Σhφ and V = Σ(hφ)² − S²/N come from n, ΣL, ΣL² of each (window, p, arm) alone; no single request is kept.

Where users stay with their arm, single requests are no units: there V comes from how the folds of users differ.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import datetime
from itertools import groupby

from switchyard_contracts.folds import FIRST_FOLDS, Folded

FIRST_LOOK = 200
"""Judged in each arm before anyone looks: below it, V is not to be trusted."""

EVEN = 2_500.0
"""So much of Σp(1 − p), 10,000 requests at half and half, counts beforehand as judged evenly. With fewer, what guards
on errors let through proves nothing, and the odds would be measured so badly that measuring adds noise."""


@dataclass(frozen=True, slots=True)
class Losses:
    """One arm of one row of sums: how many, Σ loss, Σ loss²."""

    n: int = 0
    total: float = 0.0
    squares: float = 0.0


@dataclass(frozen=True, slots=True)
class Row:
    """Both arms under one probability in one window. A window may have several rows (generations, partitions)."""

    start: datetime
    probability: float
    candidate: Losses
    stable: Losses
    folds: tuple[tuple[Losses, Losses], ...] = ()
    """The candidate's and stable's by fold, where users stay with their arm; these then stand for the whole."""

    @property
    def whole(self) -> tuple[Losses, Losses]:
        """Both arms, as far as they are compared."""
        if not self.folds:
            return self.candidate, self.stable
        arms = zip(*self.folds, strict=True)
        candidate, stable = (Losses(sum(one.n for one in arm), sum(one.total for one in arm)) for arm in arms)
        return candidate, stable


@dataclass(frozen=True, slots=True)
class Score:
    """What has been added up so far."""

    total: float = 0.0
    """S."""
    squares: float = 0.0
    """Σ(hφ)²."""
    weight: float = 0.0
    """Σh: S / Σh estimates the candidate's mean − κ · stable's."""
    candidate: int = 0
    stable: int = 0
    losses: float = 0.0
    """Σ loss of both arms, from which the next window takes its m."""
    mine: float = 0.0
    """Σ(1 − p) over the candidate's judged, which is Σp(1 − p) where all are judged."""
    other: float = 0.0
    """Σp over stable's judged: the same sum, where the arms are judged evenly."""
    folded: Folded = field(default_factory=Folded)
    """The part of S that users make who stay with their arm."""

    @property
    def n(self) -> int:
        """Judged, in both arms."""
        return self.candidate + self.stable

    @property
    def variance(self) -> float:
        """V."""
        singles = self.n - self.folded.n
        alone = self.squares - (self.total - self.folded.total) ** 2 / singles if singles else 0.0
        return max(0.0, alone) + self.folded.variance

    @property
    def units(self) -> int | None:
        """How many units V was taken from, where they are few."""
        return self.folded.units if self.folded.n else None

    @property
    def looked(self) -> bool:
        """Whether the first look has come."""
        return min(self.candidate, self.stable) >= FIRST_LOOK and (self.units is None or self.units >= FIRST_FOLDS)

    def _odds(self, mine: float, other: float) -> float:
        """By what the candidate's odds among the judged differ from those stamped, in a window with these sums."""
        even = math.sqrt((self.mine + EVEN) / (self.other + EVEN))  # of both arms alike, so that they may change places
        return (mine + EVEN * even) / (other + EVEN / even)

    def add(self, rows: Iterable[Row], *, kappa: float) -> Score:
        """Add one window. All of its rows take the same m, so that it does not matter how a window is cut into rows."""
        rows = [row for row in rows if 0.0 < row.probability < 1.0]  # else one arm had all of it: nothing to compare
        mine, other = _against_chance(rows)
        m, odds = self.losses / self.n if self.n else 0.0, self._odds(mine, other)
        total, squares, weight, losses = self.total, self.squares, self.weight, self.losses
        candidate, stable, folded = self.candidate, self.stable, self.folded
        for row in rows:
            p = row.probability * odds / (row.probability * odds + 1.0 - row.probability)
            h = p * (1.0 - p)
            # hφ = slope · (L − m) + h · m · (1 − κ) = slope · L + shift
            lines = [(slope, h * m * (1.0 - kappa) - slope * m) for slope in (1.0 - p, -kappa * p)]
            whole = row.whole
            for arm, (slope, shift) in zip(whole, lines, strict=True):
                total += slope * arm.total + arm.n * shift
                if not row.folds:
                    squares += slope**2 * arm.squares + 2.0 * slope * shift * arm.total + arm.n * shift**2
                weight += arm.n * h
                losses += arm.total
            if row.folds:
                folded = folded.add(
                    [
                        sum(slope * arm.total + arm.n * shift for arm, (slope, shift) in zip(arms, lines, strict=True))
                        for arms in row.folds
                    ],
                    [mine.n + other.n for mine, other in row.folds],
                )
            candidate += whole[0].n
            stable += whole[1].n
        return Score(total, squares, weight, candidate, stable, losses, self.mine + mine, self.other + other, folded)


def _against_chance(rows: Iterable[Row]) -> tuple[float, float]:
    """Σ(1 − p) over the candidate's judged and Σp over stable's, which are alike where the arms are judged evenly."""
    arms = [(row.probability, *row.whole) for row in rows]
    return sum((1.0 - p) * mine.n for p, mine, _ in arms), sum(p * other.n for p, _, other in arms)


def looks(rows: Iterable[Row], *, kappa: float) -> Iterator[Score]:
    """The score after each window, in order of time."""
    score = Score()
    for _, window in groupby(sorted(rows, key=lambda row: row.start), key=lambda row: row.start):
        score = score.add(window, kappa=kappa)
        yield score


def planned_variance(first: Score, *, samples: int) -> float:
    """V*: the variance to expect when the candidate has `samples` judged, as the first look sees it."""
    return first.variance * max(1.0, samples / first.candidate)
