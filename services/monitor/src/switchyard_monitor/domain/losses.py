"""Capped losses from whole numbers: each bucket of |e| stands for the mean loss of the numbers it holds.

The sums keep exact counts per bucket, and the cap is only known when someone asks, so the capped loss is put together
at that time. A bucket is at most 1/32 of its value wide; its mean square is that of the whole numbers in it, not the
square of its middle.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache

from switchyard_monitor.domain.buckets import ERROR_PARTS, Histogram, low, width
from switchyard_monitor.domain.rules import Rule


@dataclass(frozen=True, slots=True)
class Cap:
    """The largest |e| that counts, in the unit of Y."""

    value: float


def cap_of(errors: Iterable[tuple[Rule, Histogram]]) -> Cap | None:
    """The 99th percentile of |e|; errors kept under different scales are put in one order first."""
    ranked = sorted(
        ((low(index, ERROR_PARTS) + width(index, ERROR_PARTS) - 1) * rule.unit, count)
        for rule, histogram in errors
        for index, count in histogram.counts.items()
    )
    rank = -(-99 * sum(count for _, count in ranked) // 100)
    seen = 0
    for value, count in ranked:
        seen += count
        if seen >= rank:
            return Cap(value)
    return None


def capped(errors: Histogram, rule: Rule, *, cap: Cap, power: int) -> tuple[int, float, float]:
    """n, Σ loss and Σ loss² of min(|e|, cap)^power; power is 1 or 2."""
    unit = rule.unit
    limit = cap.value / unit
    n, loss, squares = 0, 0.0, 0.0
    for index, count in sorted(errors.counts.items()):
        n += count
        if low(index, ERROR_PARTS) >= limit:
            loss += count * limit**power
            squares += count * limit ** (2 * power)
        else:
            first, second, fourth = _moments(index)
            loss += count * (first if power == 1 else second)
            squares += count * (second if power == 1 else fourth)
    return n, loss * unit**power, squares * unit ** (2 * power)


@lru_cache(maxsize=4096)
def _moments(index: int) -> tuple[float, float, float]:
    """The means of x, x² and x⁴ over the whole numbers of a bucket."""
    w = width(index, ERROR_PARTS)
    m = low(index, ERROR_PARTS) + (w - 1) / 2
    variance = (w * w - 1) / 12
    fourth = (w * w - 1) * (3 * w * w - 7) / 240
    return m, m * m + variance, m**4 + 6 * m * m * variance + fourth
