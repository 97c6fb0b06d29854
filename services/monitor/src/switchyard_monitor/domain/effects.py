"""Effect sizes: how far a window lies from the reference. They are shown; none of them has a p-value here.

PSI and Jensen-Shannon compare shares of groups of bins, Wasserstein how far values would have to be moved. Shares are
smoothed first: an empty group would make PSI infinite, and a small window look far from anything.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from switchyard_profile.values import Floats

HALF = 0.5
"""What an empty group of the reference counts for, in rows."""


def smoothed(reference: Sequence[int], current: Sequence[int]) -> tuple[Floats, Floats]:
    """Shares of the reference and of the window, of which each has at least one row.

    A group that the reference has no rows in counts for half a row there, and for its part of that in the window, so
    that nothing is infinite and equal shares stay equal. Then the window is drawn towards the reference by κ = B/2
    rows, B the number of groups, which is as much as Jeffreys' prior weighs.
    """
    held, found = np.array(reference, dtype=np.float64), np.array(current, dtype=np.float64)
    part = found.sum() / held.sum()
    empty = np.where(held == 0.0, HALF, 0.0)
    held, found = held + empty, found + part * empty
    expected = held / held.sum()
    weight = len(held) / 2
    return expected, (found + weight * expected) / (found.sum() + weight)


def psi(expected: Floats, found: Floats) -> float:
    """The population stability index of two lists of shares above zero: 0 for the same, symmetric, without bound."""
    return float(np.sum((found - expected) * np.log(found / expected)))


def jensen_shannon(expected: Floats, found: Floats) -> float:
    """The Jensen-Shannon distance with logarithms to the base of 2: from 0 for the same to 1 for nothing in common."""
    middle = (expected + found) / 2
    divergence = sum(
        0.5 * float(np.sum(share[share > 0] * np.log2(share[share > 0] / middle[share > 0])))
        for share in (expected, found)
    )
    return math.sqrt(max(0.0, divergence))


def wasserstein(edges: Sequence[float], reference: Sequence[int], current: Sequence[int]) -> float | None:
    """How far values would have to be moved on average, in their own unit; counts are per bin of numbers.

    Within a bin values are taken to lie evenly, and beyond the edges on the edge: where values left the reference's
    range this is the least that it can be. None where the edges lie so far apart that no number says it.
    """
    places = np.array(edges, dtype=np.float64)
    held, found = np.cumsum(reference) / sum(reference), np.cumsum(current) / sum(current)
    # The difference of the two distribution functions at each edge; the first two bins end at the first edge.
    apart = (found - held)[1 : len(places) + 1]
    left, right = np.abs(apart[:-1]), np.abs(apart[1:])
    # Between two edges the difference is a straight line; where it crosses zero, it is two triangles.
    both = np.where(left + right > 0.0, left + right, 1.0)
    crossing = np.sign(apart[:-1]) * np.sign(apart[1:]) < 0
    mean = np.where(crossing, (left**2 + right**2) / (2 * both), (left + right) / 2)
    with np.errstate(over="ignore", invalid="ignore"):
        moved = float(np.sum(mean * np.diff(places)))
    return moved if math.isfinite(moved) else None
