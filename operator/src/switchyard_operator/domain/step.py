"""One step of a rollout."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta


@dataclass(frozen=True, slots=True)
class Step:
    """A weight in basis points, held at least so long; `by_hand` waits for a person's promote."""

    name: str
    weight: int
    hold: timedelta
    by_hand: bool = False
