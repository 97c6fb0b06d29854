"""Moments: Σq and Σq² in whole numbers, q = rint((x − c)/s · 2²⁰), so that taking out is as exact as adding.

Sums of floats are not: adding 1e9 to a thousand values and taking it out again moved their deviation from 1.030 to
1.012. c and s are the reference's, so that all windows count in the same parts. |q| is at most 2³¹, which is 2,048
scales from the centre; what lies beyond is clipped to that and counted.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from switchyard_profile.values import Floats

PARTS = 1 << 20
"""Parts of one scale to which sums are exact."""
MOST = 1 << 31
"""The most parts from the centre that one value may lie."""
_LOW_BITS = 16


@dataclass(frozen=True, slots=True)
class Moments:
    """n, Σq and Σq² of some values."""

    n: int = 0
    q: int = 0
    qq: int = 0

    def mean(self, *, center: float, scale: float) -> float | None:
        """The mean, in the values' own unit."""
        return None if self.n == 0 else center + scale * (self.q / self.n / PARTS)

    def deviation(self, *, scale: float) -> float | None:
        """The standard deviation of the sample, in the values' own unit."""
        if self.n < 2:
            return None
        # In whole numbers to the last step: the difference of two large ones that are nearly the same.
        spread = self.n * self.qq - self.q * self.q
        return scale * math.sqrt(spread / (self.n * (self.n - 1))) / PARTS


def moments(numbers: Floats, *, center: float, scale: float) -> tuple[Moments, int]:
    """The sums of these numbers, and how many of them were clipped. All numbers are finite; scale is above zero."""
    with np.errstate(over="ignore"):  # what becomes infinite is clipped like anything else
        parts = np.rint((numbers - center) / scale * PARTS)
    beyond = int((np.abs(parts) > MOST).sum())
    q = np.clip(parts, -MOST, MOST).astype(np.int64)
    # A square has 62 bits, and 64 hold the sum of three. So q = high · 2¹⁶ + low, and each sum has room for 2³¹ rows.
    high, low = q >> _LOW_BITS, q & ((1 << _LOW_BITS) - 1)
    squares = (
        (int((high * high).sum()) << 2 * _LOW_BITS)
        + (int((high * low).sum()) << (_LOW_BITS + 1))
        + int((low * low).sum())
    )
    return Moments(len(numbers), int(q.sum()), squares), beyond
