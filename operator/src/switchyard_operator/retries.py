"""How long a pass that could not be done waits: longer each time, so that an API server in trouble is left in peace."""

from __future__ import annotations

MOST = 10.0
"""Seconds. Whatever is heard meanwhile brings the deployment's turn at once all the same."""


def delay(first: float, *, times: int) -> float:
    """Seconds before the next pass, after so many in a row that ended like this; never sooner than it was asked."""
    return max(first, min(MOST, first * 2.0 ** (min(times, 30) - 1)))
