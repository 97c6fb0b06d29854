"""What came of many runs, and whether it keeps what was promised."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from statistics import median

from switchyard_contracts.intervals import wilson

from switchyard_simulation.rollout import Course, End

BUDGET = 0.05
"""`analysis.risk`, each way."""
BAND = (0.92, 0.98)
"""How often intervals that are meant to hold in 95 of 100 cases may hold."""
COARSE = (0.92, 1.0)
"""The same of counts and buckets: an interval cannot end between two of them, and so holds more often than it must."""
LEAST_FOUND = 0.8
"""Of effects that are said to be found."""


class Kind(StrEnum):
    """What a row is there for."""

    PROMISE = "promise"
    """Wrong ends stay within the budget."""
    USUAL = "usual"
    """Another way of judging; it must be over the budget, else the simulation could not tell."""
    SHOWN = "shown"
    """Known to lie outside the promise, and shown so that nobody is surprised."""


@dataclass(frozen=True, slots=True)
class Tally:
    """How the runs of one scenario ended."""

    ends: Sequence[Course]
    wrong: frozenset[End]
    kind: Kind
    expected: End | None = None
    """What should be found, where an effect is there to be found."""

    def share(self, end: End) -> tuple[float, float, float]:
        """How many ended so, and the 95 % interval of that."""
        n, hits = len(self.ends), sum(course.end is end for course in self.ends)
        low, high = wilson(n, hits)
        return hits / n, low, high

    @property
    def over(self) -> bool:
        """Whether a wrong end is surely more frequent than the budget allows."""
        return any(self.share(end)[1] > BUDGET for end in self.wrong)

    @property
    def missed(self) -> bool:
        """Whether the effect is surely found less often than it should be."""
        return self.expected is not None and self.share(self.expected)[2] < LEAST_FOUND

    @property
    def broken(self) -> bool:
        """Whether the row breaks what it stands for."""
        if self.kind is Kind.SHOWN:
            return False
        return not self.over if self.kind is Kind.USUAL else self.over or self.missed

    @property
    def verdict(self) -> str:
        """In a word or two."""
        if self.kind is Kind.SHOWN:
            return "no promise"
        if self.kind is Kind.USUAL:
            return "over, as it should be" if self.over else "NOT OVER"
        return "OVER" if self.over else "MISSED" if self.missed else "within"

    @property
    def found(self) -> str:
        """What became of the others, and what it took."""
        said = []
        for end in (End.PROMOTED, End.ROLLED_BACK):
            held = [course for course in self.ends if course.end is end]
            if end in self.wrong or not held:
                continue
            samples = sorted(course.samples for course in held)
            took = f"{short(median(samples))} samples, {span(median(course.hours for course in held))}"
            said.append(f"{100 * len(held) / len(self.ends):.0f} % {end.value} after {took}")
        return "; ".join(said)


@dataclass(frozen=True, slots=True)
class Covered:
    """How many intervals held what is true."""

    runs: int
    held: int
    kind: Kind
    band: tuple[float, float] = BAND
    width: float | None = None
    """Of the one in the middle, in the unit of what it is of."""

    @property
    def interval(self) -> tuple[float, float]:
        """Of the share of those that held."""
        return wilson(self.runs, self.held)

    @property
    def short(self) -> bool:
        """Whether they surely hold less often than they should."""
        return self.interval[1] < self.band[0]

    @property
    def wide(self) -> bool:
        """Whether they surely hold more often than they should, and so say too little."""
        return self.interval[0] > self.band[1]

    @property
    def broken(self) -> bool:
        """Whether the row breaks what it stands for."""
        if self.kind is Kind.SHOWN:
            return False
        return not self.short if self.kind is Kind.USUAL else self.short or self.wide

    @property
    def verdict(self) -> str:
        """In a word or two."""
        if self.kind is Kind.SHOWN:
            return "no promise"
        if self.kind is Kind.USUAL:
            return "short, as it should be" if self.short else "NOT SHORT"
        return "SHORT" if self.short else "WIDE" if self.wide else "within"


def short(value: float) -> str:
    """`412`, `16 million`."""
    return f"{value / 1e6:,.0f} million" if value >= 2e6 else f"{value:,.0f}"


def span(hours: float) -> str:
    """`40 s`, `5 h`, `12 d`; nothing where no time passed."""
    for size, unit in ((24.0, "d"), (1.0, "h"), (1 / 60, "min")):
        if hours >= 2 * size:
            return f"{hours / size:.0f} {unit}"
    return f"{hours * 3600:.0f} s"
