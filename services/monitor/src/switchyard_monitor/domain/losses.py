"""Capped losses from whole numbers: the exact sums, less what the cap cuts off.

The cap is only known when someone asks, so the capped loss is put together at that time. Σ|e|, Σe² and Σe⁴ are exact;
what lies above the cap (about 1 %) is taken from buckets of |e|, each at most 1/32 of its value wide, as if it were the
mean of the whole numbers of its bucket. Where the cap cuts off more than it leaves, as with a model that answers
nonsense, a difference of two large numbers would be mostly the buckets' error: there what is left is summed by buckets.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache

from switchyard_monitor.domain.buckets import ERROR_PARTS, Histogram, low, width
from switchyard_monitor.domain.rules import Rule
from switchyard_monitor.domain.sums import histogram


@dataclass(frozen=True, slots=True)
class Kept:
    """How losses are kept: under which names, in parts of which size, and to which power they are taken."""

    suffix: str
    unit: Callable[[Rule], float]
    power: int


SQUARES = Kept("", lambda rule: rule.unit, 2)
LOSSES = {
    "outcome.rmse": SQUARES,
    "outcome.mse": SQUARES,
    "outcome.mae": Kept("", lambda rule: rule.unit, 1),
    "outcome.loss": Kept(".loss", lambda rule: rule.loss_unit, 1),
}
"""Metrics that are means of losses: of |e| or e², or of what an expression of one's own makes of both."""


@dataclass(frozen=True, slots=True)
class Cap:
    """The largest |e| that counts, in the unit of Y, or the largest of one's own losses."""

    value: float


def cap_of(errors: Iterable[tuple[float, Histogram]]) -> Cap | None:
    """The 99th percentile of |e|, each with the size of its parts; those of different sizes are put in one order."""
    ranked = sorted(
        ((low(index, ERROR_PARTS) + width(index, ERROR_PARTS) - 1) * unit, count)
        for unit, histogram in errors
        for index, count in histogram.counts.items()
    )
    rank = -(-99 * sum(count for _, count in ranked) // 100)
    seen = 0
    for value, count in ranked:
        seen += count
        if seen >= rank:
            return Cap(value)
    return None


def capped(sums: Mapping[str, int], which: str, rule: Rule, *, cap: Cap, kept: Kept) -> tuple[int, float, float]:
    """n, Σ loss and Σ loss² of min(|e|, cap)^power; power is 1 or 2."""
    unit, power, which = kept.unit(rule), kept.power, f"{which}{kept.suffix}"
    limit = cap.value / unit
    first, second = ("a", "ee") if power == 1 else ("ee", "eeee")
    errors = histogram(sums, f"{which}.h", ERROR_PARTS)
    over = sum(count for index, count in errors.counts.items() if low(index, ERROR_PARTS) > limit)
    loss = _below(sums.get(f"{which}.{first}", 0), errors, limit=limit, power=power) + over * limit**power
    squares = _below(sums.get(f"{which}.{second}", 0), errors, limit=limit, power=2 * power) + over * limit ** (
        2 * power
    )
    return errors.n, loss * unit**power, squares * unit ** (2 * power)


def _below(exact: int, errors: Histogram, *, limit: float, power: int) -> float:
    """Σ|e|^power of those within the cap."""
    kept = cut = 0.0
    for index, count in sorted(errors.counts.items()):
        part = count * _moments(index)[power]
        if low(index, ERROR_PARTS) > limit:
            cut += part
        else:
            kept += part
    return max(0.0, exact - cut) if cut <= kept else kept


@lru_cache(maxsize=4096)
def _moments(index: int) -> dict[int, float]:
    """The means of x, x² and x⁴ over the whole numbers of a bucket, by power."""
    w = width(index, ERROR_PARTS)
    m = low(index, ERROR_PARTS) + (w - 1) / 2
    variance = (w * w - 1) / 12
    fourth = (w * w - 1) * (3 * w * w - 7) / 240
    return {1: m, 2: m * m + variance, 4: m**4 + 6 * m * m * variance + fourth}
