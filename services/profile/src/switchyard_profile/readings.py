"""Readings: what people ask of a profile, in the feature's own unit.

Counts, the mean and the deviation are exact, but for what was clipped. Quantiles are read off the bins, as if values
lay evenly within one; in the reference a bin holds a fiftieth of the rows.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from switchyard_profile.binning import Binning
from switchyard_profile.profile import FeatureSums


@dataclass(frozen=True, slots=True)
class Reading:
    """One feature of some rows."""

    rows: int
    missing: int
    wrong: int
    outside: int
    unseen: int
    """Names that have no bin of their own; of a reference of at most 200 names, those that it never saw."""
    clipped: int
    low: float | None = None
    high: float | None = None
    approximate: bool = False
    """Whether `low` and `high` may be wider than what is there now."""
    mean: float | None = None
    deviation: float | None = None

    @classmethod
    def of(cls, binning: Binning, sums: FeatureSums) -> Reading:
        """Read one feature."""
        measured = binning.type.measured
        return cls(
            rows=sums.rows,
            missing=sums.missing,
            wrong=sums.wrong,
            outside=sums.outside,
            unseen=0 if measured else sums.counts[-2],
            clipped=sums.clipped,
            low=sums.low,
            high=sums.high,
            approximate=sums.amended,
            mean=_finite(sums.moments.mean(center=binning.center, scale=binning.scale)) if measured else None,
            deviation=_finite(sums.moments.deviation(scale=binning.scale)) if measured else None,
        )


def quantile(binning: Binning, sums: FeatureSums, share: float) -> float | None:
    """The value below which this share of the numbers lies; None where there are none, or for names."""
    if not binning.type.measured or not sums.present or sums.low is None or sums.high is None:
        return None
    rank, before = share * sums.present, 0
    spans = _spans(binning.edges, low=sums.low, high=sums.high)
    for (low, high), count in zip(spans, sums.counts, strict=False):
        if count and before + count >= rank:
            low, high = max(low, sums.low), min(high, sums.high)
            part = max(0.0, rank - before) / count
            return low * (1.0 - part) + high * part if math.isinf(high - low) else low + (high - low) * part
        before += count
    return sums.high


def _finite(number: float | None) -> float | None:
    """None too where values lie so far apart that no number says it."""
    return number if number is not None and math.isfinite(number) else None


def _spans(edges: Sequence[float], *, low: float, high: float) -> list[tuple[float, float]]:
    """From where to where each bin reaches."""
    below, above = (min(low, edges[0]), edges[0]), (edges[-1], max(high, edges[-1]))
    return [below, (edges[0], edges[0]), *pairwise(edges), above]
