"""CUSUM: whether quality has changed for good, by the means of the days that are judged.

Days differ, so a day is the unit, and how much days differ is learnt from those before it: each is held against the
mean and the spread of all earlier ones by Student's t, and turned into a normal score (self-starting, Hawkins 1987). No
reference has to be chosen, and no spread is believed that a week made. Bad days follow bad days, so scores are made
smaller by as much as earlier days were like those before them. S adds up the scores less half a standard deviation,
and never falls below 0; where it passes 6, days have been worse for longer than chance would have it. A score counts as
3 at most, so that no single day, however bad, is a change for good; that it is where no two days differed before.

Of quarters of 97 days in which nothing changed, but that weeks of flights were drawn in any order, 8 to 11 % have a
change somewhere; with a limit of 5, and days that are taken to have nothing to do with each other, 50 to 65 % have.

What has changed becomes what is usual if it lasts: S falls again, and the change has been said.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from scipy.special import ndtri, stdtr
from switchyard_contracts.windows import DAY_US

from switchyard_monitor.domain.entries import Cell, spoken
from switchyard_monitor.domain.rules import Rule
from switchyard_monitor.domain.sums import only

ALLOWED, LIMIT = 0.5, 6.0
"""In standard deviations of days: what is taken off each, and what is no chance any more."""
MOST = 3.0
MOST_ALIKE = 0.8
"""The correlation of a day and the next that is believed at most."""
FIRST_DAYS = 14
"""Days before the first that is scored."""
FEWEST = 30
"""Judged predictions without which a day has no mean."""
NAMES = only("predictions", "age.n", "age.right", "age.a")
"""The sums that it is made of."""


@dataclass(frozen=True, slots=True)
class Day:
    """What a day's judged predictions lost, on average: |e|, or the share that was wrong."""

    start_us: int
    n: int
    mean: float


@dataclass(frozen=True, slots=True)
class Point:
    """A day and what has been added up until its end."""

    day: Day
    z: float | None
    """None of the first ones."""
    score: float


@dataclass(frozen=True, slots=True)
class Change:
    """What the newest day says."""

    points: Sequence[Point]

    @property
    def score(self) -> float:
        """S."""
        return self.points[-1].score

    @property
    def changed(self) -> bool:
        """Whether quality is worse than it was by more than chance."""
        return self.score > LIMIT

    @property
    def since_us(self) -> int | None:
        """The first day since S was last 0; None where it is."""
        begin = None
        for point in self.points:
            begin = (point.day.start_us if begin is None else begin) if point.score > 0.0 else None
        return begin

    def mean(self, *, before_us: int | None = None, since_us: int | None = None) -> float | None:
        """Of the predictions of some days; None where there are none."""
        held = [
            point.day
            for point in self.points
            if (before_us is None or point.day.start_us < before_us)
            and (since_us is None or point.day.start_us >= since_us)
        ]
        n = sum(day.n for day in held)
        return math.fsum(day.mean * day.n for day in held) / n if n else None


def days_of(
    cells: Sequence[Cell], *, coverage: float, watermark_us: int | None = None, rule: Rule | None = None
) -> list[Day]:
    """The days of one revision that have a mean: enough predictions that are judged, and of enough of all.

    With a watermark those that are over and old enough to be judged by then. Only of rules that hold the same against
    the same as the one in force: minutes and shares that were wrong have no mean.
    """
    told = spoken(cells, rule)
    asked: dict[int, int] = {}
    judged: dict[int, int] = {}
    lost: dict[int, float] = {}
    for cell in cells:
        start_us, sums = cell.start_us, cell.sums
        if told is None or cell.rule.measured != told.measured:
            continue
        if watermark_us is not None and start_us + DAY_US + cell.rule.judged_after_us > watermark_us:
            continue
        n = sums.get("age.n", 0)
        wrong = n - sums.get("age.right", 0)
        loss = sums.get("age.a", 0) * cell.rule.unit if cell.rule.task == "regression" else wrong
        asked[start_us] = asked.get(start_us, 0) + sums.get("predictions", 0)
        judged[start_us] = judged.get(start_us, 0) + n
        lost[start_us] = lost.get(start_us, 0.0) + loss
    return [
        Day(start_us, n, lost[start_us] / n)
        for start_us, n in sorted(judged.items())
        if n >= FEWEST and n >= coverage * asked[start_us]
    ]


def change(days: Sequence[Day]) -> Change | None:
    """Add up the days in their order; None where none is scored yet."""
    points: list[Point] = []
    usual = _Usual()
    score = 0.0
    for day in days:
        z = usual.z(day.mean) if usual.n >= FIRST_DAYS else None
        if z is not None:
            score = max(0.0, score + z - ALLOWED)
        points.append(Point(day, z, score))
        usual.add(day.mean)
    return Change(points) if any(point.z is not None for point in points) else None


@dataclass(slots=True)
class _Usual:
    """The means of the days so far, as far from the first of them as they are: their sums lose no digits to it."""

    n: int = 0
    first: float = 0.0
    last: float = 0.0
    total: float = 0.0
    squares: float = 0.0
    """About the mean."""
    crossed: float = 0.0
    """Of each with the next."""

    def add(self, mean: float) -> None:
        """One more day."""
        if not self.n:
            self.first = mean
        at = mean - self.first
        step = at - self.mean
        self.crossed += self.last * at
        self.n += 1
        self.total += at
        self.squares += step * (at - self.mean)
        self.last = at

    @property
    def mean(self) -> float:
        """From the first."""
        return self.total / self.n if self.n else 0.0

    @property
    def alike(self) -> float:
        """The correlation of a day and the next, which is never taken to be negative."""
        m, n = self.mean, self.n
        # Each but the first and the last is in two products; the first itself is 0.
        crossed = self.crossed - m * (2 * self.total - self.last) + (n - 1) * m * m
        return max(0.0, min(MOST_ALIKE, crossed / self.squares + 1 / n))

    def z(self, mean: float) -> float:
        """How far a day lies above those so far; where they do not differ, as far as can be or not at all."""
        if self.squares <= 0.0:
            return math.copysign(MOST, mean - self.first) if mean != self.first else 0.0
        n = self.n
        t = math.sqrt(n / (n + 1)) * (mean - self.first - self.mean) / math.sqrt(self.squares / (n - 1))
        # The lower tail of a large |t| has digits, where the upper one is 1.
        score = min(MOST, -float(ndtri(stdtr(n - 1, -abs(t)))))
        return math.copysign(score, t) * math.sqrt((1 - self.alike) / (1 + self.alike))
