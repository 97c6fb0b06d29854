"""Quality: what sums say in the units people read. For showing; decisions rest on `contracts.verdicts`."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from statistics import NormalDist
from typing import NamedTuple

from switchyard_contracts.intervals import jackknife, jackknife_share, jackknife_squares, quantile_ranks

from switchyard_monitor.domain.buckets import TIME_PARTS, Histogram, low, width
from switchyard_monitor.domain.judging import AGE, FOLDED, FoldNames, Names
from switchyard_monitor.domain.rules import Rule
from switchyard_monitor.domain.sums import Sums, histogram, merged

Held = Sequence[Mapping[str, int]]

Z95 = NormalDist().inv_cdf(0.975)
FIRST_ERRORS = 200
"""Judged errors from which on their means have an interval: of fewer, too often no large one is among them."""
EXACT_RANKS = 20_000
"""Up to here the ranks of a quantile's interval are binomial; beyond, normal, which differs by a rank or two."""


class Group(NamedTuple):
    """The judged predictions of a group of users, or of ids, in the unit of Y."""

    named: int = 0
    right: int = 0
    numeric: int = 0
    total: float = 0.0
    squares: float = 0.0
    size: float = 0.0

    def plus(self, held: Held, names: FoldNames, rule: Rule) -> Group:
        """With what cells of one rule hold of it."""
        n, unit = _sum(held, names.n), rule.unit
        numeric = n if rule.task == "regression" else 0
        return Group(
            named=self.named + n - numeric,
            right=self.right + _sum(held, names.right),
            numeric=self.numeric + numeric,
            total=self.total + _sum(held, names.e) * unit,
            squares=self.squares + _sum(held, names.ee) * unit**2,
            size=self.size + _sum(held, names.a) * unit,
        )


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
    groups: tuple[Group, ...] = ()
    """The same in parts, of which an interval is made; those without anything are left out."""

    @classmethod
    def of(cls, parts: Iterable[tuple[Rule, Mapping[str, int]]], which: str) -> Quality:
        """Put cells together; `which` is `now` (the latest label) or `age` (judged once, at age L)."""
        by_rule: dict[Rule, list[Mapping[str, int]]] = {}
        for rule, sums in parts:
            by_rule.setdefault(rule, []).append(sums)
        whole = cls()
        names = Names.of(which)
        groups = [Group()] * len(FOLDED)
        for rule, held in by_rule.items():
            # Most of what cells hold are histograms, of which nothing here is made.
            n, unit = _sum(held, names.n), rule.unit
            whole = cls(
                n=whole.n + n,
                right=whole.right + _sum(held, names.right),
                numeric=whole.numeric + (n if rule.task == "regression" else 0),
                total=whole.total + _sum(held, names.e) * unit,
                squares=whole.squares + _sum(held, names.ee) * unit**2,
                size=whole.size + _sum(held, names.a) * unit,
                fourths=whole.fourths + _sum(held, names.eeee) * unit**4,
                clipped=whole.clipped + _sum(held, names.clipped),
            )
            if names == AGE:
                groups = [group.plus(held, of, rule) for group, of in zip(groups, FOLDED, strict=True)]
        return replace(whole, groups=tuple(group for group in groups if group.named or group.numeric))

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

    def interval(self, name: str, *, level: float = 0.95) -> tuple[float, float] | None:
        """Which holds the true rmse, mse, mae, bias or accuracy about so often, were groups independent.

        None where groups or errors are too few, or some predictions were kept before there were groups.
        """
        if sum(group.named + group.numeric for group in self.groups) != self.n:
            return None
        if name == "accuracy":
            return jackknife_share([(group.named, group.right) for group in self.groups], level=level)
        if self.numeric < FIRST_ERRORS:
            return None
        match name:
            case "mae":
                return jackknife([(group.numeric, group.size) for group in self.groups], level=level)
            case "bias":
                return jackknife([(group.numeric, group.total) for group in self.groups], level=level)
        found = jackknife_squares([(group.numeric, group.squares) for group in self.groups], level=level)
        return (math.sqrt(found[0]), math.sqrt(found[1])) if found and name == "rmse" else found


def _sum(held: Held, name: str) -> int:
    return sum(part.get(name, 0) for part in held)


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
