"""Where a comparison stands against its boundary, and what that says: the same ladder, however the sums were made.

In order: too few to look at, nothing to measure by, proven beyond the margin, proven within it (and `minSamples` are
there), else undecided, with an estimate of what is missing.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from switchyard_contracts import boundary
from switchyard_contracts.judgement import Budget, Judgement, Verdict, count, noun, number

MOST_SAMPLES = 1e12
"""An estimate beyond this is no estimate."""


@dataclass(frozen=True, slots=True)
class Standing:
    """A running sum of scores, of which less is better and 0 is the margin."""

    total: float
    """S."""
    variance: float
    """V."""
    weight: float
    """What S is divided by to be a difference of mean losses."""
    samples: int
    """The candidate's samples, or pairs."""
    planned: float
    """V*, fixed at the first look."""
    units: int | None = None
    """How many units V was taken from, where they are few."""

    def width(self, alpha: float, *, times: float = 1.0) -> float:
        """u(V), were there as many times as much of everything."""
        variance = self.variance * times
        width = boundary.width(variance, r=boundary.tuning(self.planned, alpha=alpha), alpha=alpha)
        return width if self.units is None else boundary.few(width, variance=variance, units=self.units * times)

    def bounds(self, budget: Budget) -> tuple[float, float]:
        """The bounds of (candidate's mean loss − κ · stable's): the lower decides Fail, the upper Pass."""
        return (
            (self.total - self.width(budget.alpha_rollback)) / self.weight,
            (self.total + self.width(budget.alpha_promote)) / self.weight,
        )

    def until(self, alpha: float) -> int | None:
        """How many more samples until S leaves the boundary, if S and V go on growing as they did."""

        def certain(times: float) -> bool:
            return abs(self.total) * times > self.width(alpha, times=times)

        low, high = 1.0, 2.0
        while not certain(high):
            low, high = high, high * 2.0
            if self.samples * high > MOST_SAMPLES:
                return None
        while (high - low) * self.samples > 1.0:
            middle = (low + high) / 2.0
            low, high = (low, middle) if certain(middle) else (middle, high)
        return max(1, math.ceil((high - 1.0) * self.samples))


@dataclass(frozen=True, slots=True)
class Case:
    """All but the sums that a verdict's sentence needs."""

    says: str
    """What was compared, in numbers."""
    allowed: str
    """The margin as people write it."""
    first_look: str
    """When the first look comes, as the end of a sentence."""
    min_samples: int
    missing: int
    """How many more of the candidate's samples until minSamples and the first look."""
    samples: int
    value: float | None
    against: float | None
    paired: bool = False

    def judge(self, standing: Standing | None, *, budget: Budget) -> Judgement:
        """The verdict; no standing before the first look."""
        if standing is None:
            return self.found(
                Verdict.INCONCLUSIVE, "TooFewSamples", f"{self.says}; {self.first_look}", needed=self.missing
            )
        if standing.planned <= 0.0:
            return self.found(
                Verdict.INCONCLUSIVE,
                "NoVariation",
                f"{self.says}; all losses are alike, so there is no scale",
                needed=None,
            )
        lower, upper = standing.bounds(budget)
        if lower > 0.0:
            return self.found(
                Verdict.FAIL,
                "WorseThanAllowed",
                f"{self.says}; the bound {number(lower)} lies above 0, so it is worse than {self.allowed} allows",
                bound=lower,
            )
        if upper < 0.0 and self.missing <= 0:
            return self.found(
                Verdict.PASS,
                "WithinMargin",
                f"{self.says}; the bound {number(upper)} lies below 0, so it is better than {self.allowed} allows",
                bound=upper,
            )
        if self.missing > 0:
            return self.found(
                Verdict.INCONCLUSIVE,
                "TooFewSamples",
                f"{self.says}; {count(self.min_samples)} {noun(self.min_samples, 'is', 'are')} needed",
                needed=self.missing,
                bound=upper,
            )
        alpha = budget.alpha_promote if standing.total < 0.0 else budget.alpha_rollback
        return self.found(
            Verdict.INCONCLUSIVE,
            "NotYetCertain",
            f"{self.says}; the bounds {number(lower)} and {number(upper)} have 0 between them: neither within"
            f" {self.allowed} nor beyond",
            needed=standing.until(alpha),
            bound=upper,
        )

    def found(
        self, verdict: Verdict, reason: str, message: str, *, needed: int | None = 0, bound: float | None = None
    ) -> Judgement:
        """A judgement with this case's numbers."""
        return Judgement(
            verdict,
            reason,
            message,
            samples=self.samples,
            needed=needed,
            value=self.value,
            against=self.against,
            bound=bound,
            paired=self.paired,
        )
