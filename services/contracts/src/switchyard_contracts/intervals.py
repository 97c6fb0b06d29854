"""Intervals for showing. They hold for one look; nothing is decided by them."""

from __future__ import annotations

import math
from statistics import NormalDist


def wilson(n: int, failures: int, *, level: float = 0.95) -> tuple[float, float]:
    """The Wilson score interval of a share: honest near 0 and 1, where the textbook interval leaves the scale."""
    if n == 0:
        return 0.0, 1.0
    z = NormalDist().inv_cdf(0.5 + level / 2)
    share, squared = failures / n, z * z
    middle = share + squared / (2 * n)
    half = z * math.sqrt(share * (1 - share) / n + squared / (4 * n * n))
    scale = 1 + squared / n
    low = 0.0 if failures == 0 else (middle - half) / scale
    high = 1.0 if failures == n else (middle + half) / scale
    return low, high


def quantile_ranks(n: int, quantile: float, *, level: float = 0.95) -> tuple[int, int] | None:
    """Ranks (from 1) of the order statistics that hold a quantile; None where n is too small for both ends.

    P(x₍lower₎ ≤ quantile < x₍upper₎) = P(lower ≤ B < upper) for B binomial(n, quantile); each end misses at most half.
    """
    miss = (1 - level) / 2
    lower, upper, below = 0, n + 1, 0.0
    for k in range(n + 1):
        below += math.exp(
            math.lgamma(n + 1)
            - math.lgamma(k + 1)
            - math.lgamma(n - k + 1)
            + k * math.log(quantile)
            + (n - k) * math.log1p(-quantile)
        )
        if below <= miss:
            lower = k + 1
        if below >= 1 - miss:
            upper = k + 1
            break
    return (lower, upper) if lower >= 1 and upper <= n else None
