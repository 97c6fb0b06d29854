"""Quality: what sums say in the units people read. For showing; decisions rest on `contracts.verdicts`."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from statistics import NormalDist

from switchyard_contracts.intervals import quantile_ranks

from switchyard_monitor.domain.buckets import TIME_PARTS, Histogram, low, width
from switchyard_monitor.domain.rules import Rule
from switchyard_monitor.domain.sums import Sums, histogram, merged

Z95 = NormalDist().inv_cdf(0.975)
EXACT_RANKS = 20_000
"""Up to here the ranks of a quantile's interval are binomial; beyond, normal, which differs by a rank or two."""


@dataclass(frozen=True, slots=True)
class Quality:
    """Errors of judged predictions, in the unit of Y."""

    n: int = 0
    right: int = 0
    numeric: int = 0
    total: float = 0.0
    squares: float = 0.0
    size: float = 0.0
    fourths: float = 0.0
    clipped: int = 0

    @classmethod
    def of(cls, parts: Iterable[tuple[Rule, Mapping[str, int]]], which: str) -> Quality:
        """Put cells together; `which` is `now` (the latest label) or `age` (judged once, at age L)."""
        by_rule: dict[Rule, list[Mapping[str, int]]] = {}
        for rule, sums in parts:
            by_rule.setdefault(rule, []).append(sums)
        whole = cls()
        for rule, held in by_rule.items():
            sums = merged(held)
            right, n = sums.get(f"{which}.right", 0), sums.get(f"{which}.n", 0)
            whole = cls(
                n=whole.n + n,
                right=whole.right + right,
                numeric=whole.numeric + (n if rule.task == "regression" else 0),
                total=whole.total + sums.get(f"{which}.e", 0) * rule.unit,
                squares=whole.squares + sums.get(f"{which}.ee", 0) * rule.unit**2,
                size=whole.size + sums.get(f"{which}.a", 0) * rule.unit,
                fourths=whole.fourths + sums.get(f"{which}.eeee", 0) * rule.unit**4,
                clipped=whole.clipped + sums.get(f"{which}.clipped", 0),
            )
        return whole

    @property
    def mse(self) -> float | None:
        """The mean squared error."""
        return self.squares / self.numeric if self.numeric else None

    @property
    def rmse(self) -> float | None:
        """Its root."""
        return None if self.mse is None else math.sqrt(self.mse)

    @property
    def mae(self) -> float | None:
        """The mean absolute error."""
        return self.size / self.numeric if self.numeric else None

    @property
    def bias(self) -> float | None:
        """The mean of Y − X′."""
        return self.total / self.numeric if self.numeric else None

    @property
    def accuracy(self) -> float | None:
        """The share of classes that were right."""
        named = self.n - self.numeric
        return self.right / named if named else None

    def interval(self, name: str) -> tuple[float, float] | None:
        """About 95 % of such intervals hold the true rmse, mse or mae, were predictions independent."""
        if self.numeric < 2:
            return None
        if name == "mae":
            return self._around(self.size, self.squares)
        low, high = self._around(self.squares, self.fourths)
        low = max(0.0, low)
        return (math.sqrt(low), math.sqrt(high)) if name == "rmse" else (low, high)

    def bias_interval(self) -> tuple[float, float] | None:
        """The same for the bias."""
        return self._around(self.total, self.squares) if self.numeric >= 2 else None

    def _around(self, total: float, squares: float) -> tuple[float, float]:
        mean = total / self.numeric
        half = Z95 * math.sqrt(max(0.0, squares / self.numeric - mean**2) / (self.numeric - 1))
        return mean - half, mean + half


def latency(cells: Iterable[Sums]) -> Histogram:
    """Latencies in microseconds."""
    return histogram(merged(cells), "latency", TIME_PARTS)


def quantile_interval(times: Histogram, share: float) -> tuple[float, float] | None:
    """The order statistics around a quantile, in seconds; None where there are too few values.

    From the lower one's bucket's start to the upper one's bucket's end: of many values both may lie in one bucket, and
    the quantile anywhere in it.
    """
    ranks = quantile_ranks(times.n, share) if times.n <= EXACT_RANKS else _normal_ranks(times.n, share)
    if ranks is None:
        return None
    lower, upper = times.ranked(ranks[0]), times.ranked(ranks[1])
    if lower is None or upper is None:
        return None
    end = low(upper, TIME_PARTS) + width(upper, TIME_PARTS)
    return low(lower, TIME_PARTS) / 1_000_000, end / 1_000_000


def _normal_ranks(n: int, share: float) -> tuple[int, int]:
    half = Z95 * math.sqrt(n * share * (1 - share))
    return math.floor(n * share - half), min(n, math.ceil(n * share + half) + 1)
