"""The boundary that holds at every look: a one-sided normal mixture (Howard et al. 2021, Waudby-Smith et al. 2024).

S is a running sum of scores with expectation 0 at the margin, V its variance so far. The chance that S ever rises above
u(V), or ever falls below −u(V), is at most α each, however often anyone looks and whenever they stop. A usual 95 %
bound looked at every 100 requests is wrong in about a third of the runs.
"""

from __future__ import annotations

import math


def tuning(variance: float, *, alpha: float) -> float:
    """r that makes the boundary tightest when V has grown to `variance`; it must be fixed before the looking starts."""
    twice = -2.0 * math.log(2.0 * alpha)
    return variance / (math.log(1.0 + twice) + twice)


def width(variance: float, *, r: float, alpha: float) -> float:
    """u(V), half the width of what chance may do."""
    total = variance + r
    return math.sqrt(2.0 * total * math.log(1.0 + math.sqrt(total / r) / (2.0 * alpha)))
