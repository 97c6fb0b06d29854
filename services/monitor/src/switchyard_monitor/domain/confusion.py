"""Confusion: which classes were said of which that happened, and what follows of each and of all together.

Precision and recall are shares, so they have Wilson's interval, of as many as the jackknife over groups says there are
in effect. F1 varies less than a share of as many would (its interval then held in 99 of 100 samples), so that is moved
by the jackknife itself, on the scale of log odds; the macro F1 too, and on Fisher's scale Matthews' correlation
coefficient (of several classes: Gorodkin 2004).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from switchyard_contracts.intervals import jackknife_parts, jackknife_share

from switchyard_monitor.domain.days import STRIDE
from switchyard_monitor.domain.folded import by_group, by_number

Interval = tuple[float, float] | None


@dataclass(frozen=True, slots=True)
class Share:
    """A share, None of nothing, and its interval."""

    value: float | None
    interval: Interval


@dataclass(frozen=True, slots=True)
class OfClass:
    """One class against all others."""

    name: str | None
    """None for what is none of the classes that are told apart."""
    said: int
    happened: int
    right: int
    precision: Share
    recall: Share
    f1: Share


@dataclass(frozen=True, slots=True)
class Confusion:
    """All classes, those that are told apart first."""

    table: Sequence[Sequence[int]]
    """By what was said, then by what happened."""
    classes: Sequence[OfClass]
    macro_f1: Share
    """The mean over the classes that were said or happened."""
    mcc: Share

    @classmethod
    def of(cls, names: Sequence[str], sums: Mapping[str, int]) -> Confusion | None:
        """From the sums of days; None where nothing was judged."""
        size = len(names) + 1
        every = by_number(sums, "age.c", STRIDE * STRIDE)
        table = [every[said * STRIDE : said * STRIDE + size] for said in range(size)]
        if not any(map(any, table)):
            return None
        # Of each group the right ones, the said ones and those that happened, of each class.
        parts = [by_group(sums, f"age.{name}", STRIDE) for name in ("tp", "said", "came")]
        groups = [[*right[:size], *said[:size], *came[:size]] for right, said, came in zip(*parts, strict=True)]
        whole = [sum(column) for column in zip(*groups, strict=True)]
        return cls(
            table,
            [_of_class(name, place, whole, groups, size) for place, name in enumerate([*names, None])],
            Share(macro_f1(whole), _within(jackknife_parts(groups, of=macro_f1))),
            Share(mcc(whole), _bent_back(jackknife_parts(groups, of=_fisher))),
        )


def macro_f1(margins: Sequence[float]) -> float | None:
    """The mean of F1, from the right ones, the said ones and those that happened, of each class."""
    right, said, came = _thirds(margins)
    found = [2 * r / (s + c) for r, s, c in zip(right, said, came, strict=True) if s + c]
    return math.fsum(found) / len(found) if found else None


def mcc(margins: Sequence[float]) -> float | None:
    """Matthews' correlation coefficient; None where only one class was said, or only one happened."""
    right, said, came = _thirds(margins)
    n, hits = math.fsum(said), math.fsum(right)
    by_chance = math.fsum(s * c for s, c in zip(said, came, strict=True))
    spread = (n * n - math.fsum(s * s for s in said)) * (n * n - math.fsum(c * c for c in came))
    return (hits * n - by_chance) / math.sqrt(spread) if spread > 0.0 else None


def _of_class(
    name: str | None, place: int, whole: Sequence[int], groups: Sequence[Sequence[int]], size: int
) -> OfClass:
    right, said, came = (whole[part * size + place] for part in range(3))
    each = [(group[place], group[size + place], group[2 * size + place]) for group in groups]
    return OfClass(
        name,
        said,
        came,
        right,
        Share(right / said if said else None, jackknife_share([(s, r) for r, s, _ in each])),
        Share(right / came if came else None, jackknife_share([(c, r) for r, _, c in each])),
        Share(2 * right / (said + came) if said + came else None, _of_f1(each)),
    )


def _of_f1(each: Sequence[tuple[int, int, int]]) -> Interval:
    """Where all are right or none is, there are no odds, and it is as wide as that of a share."""
    found = jackknife_parts(each, of=_odds)
    if found is None:
        return jackknife_share([((said + came) / 2, right) for right, said, came in each])
    return 1 / (1 + math.exp(-found[0])), 1 / (1 + math.exp(-found[1]))


def _odds(margins: Sequence[float]) -> float | None:
    right, said, came = margins
    both = said + came - 2 * right
    return math.log(2 * right / both) if right > 0.0 and both > 0.0 else None


def _within(interval: Interval) -> Interval:
    """Where all groups are alike, as when nothing was wrong yet, nothing sets the ends."""
    return None if interval is None or interval[0] == interval[1] else (max(0.0, interval[0]), min(1.0, interval[1]))


def _fisher(margins: Sequence[float]) -> float | None:
    found = mcc(margins)
    return math.atanh(found) if found is not None and abs(found) < 1.0 else None


def _bent_back(interval: Interval) -> Interval:
    return None if interval is None else (math.tanh(interval[0]), math.tanh(interval[1]))


def _thirds(margins: Sequence[float]) -> tuple[Sequence[float], Sequence[float], Sequence[float]]:
    size = len(margins) // 3
    return margins[:size], margins[size : 2 * size], margins[2 * size :]
