"""What is asked in the page's world: flights as rows of X, ordinary ones as in training, and odd ones later.

Everything is drawn, and by a chance of its own, so that what models answer does not depend on what they are asked.
"""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from typing import Any

from switchyard_profile import training
from switchyard_profile.reference import Reference

CARRIERS = ("UA", "B6", "EV", "DL", "AA")
SHARES = (30, 25, 20, 15, 10)
NEWCOMER = "VX"
WINDOW_SECONDS = 60
WINDOWS, ROWS = 45, 360
"""Of the reference: as many rows a window as the story's deployment is asked."""
DELAY, SPREAD = 12.0, 16.7
"""Minutes: what the first model answered in training."""


@dataclass
class Flights:
    """Rows of X."""

    odd_from: float = float("inf")
    """From this second on it is windy, a carrier flies that nobody knew, and temperatures are missing."""
    chance: random.Random = field(default_factory=lambda: random.Random("flights"))

    def at(self, second: float) -> dict[str, Any]:
        """One row."""
        chance, odd = self.chance, second >= self.odd_from
        carrier = chance.choices(CARRIERS, SHARES)[0]
        row: dict[str, Any] = {
            "carrier": NEWCOMER if odd and chance.random() < 0.06 else carrier,
            "distance": round(chance.lognormvariate(6.7, 0.6)),
            "hour": chance.randrange(5, 24),
            "rain": chance.random() < 0.12,
            "temperature": round(chance.gauss(55.0, 14.0), 1),
            "wind": round(max(0.0, chance.gauss(16.0 if odd else 10.0, 4.5)), 1),
        }
        if odd and chance.random() < 0.15:
            row["temperature"] = None
        return row


def reference() -> Reference:
    """What the first model learned from."""
    flights, chance = Flights(chance=random.Random("training")), random.Random("answers")
    rows = [flights.at(0.0) for _ in range(WINDOWS * ROWS)]
    columns: dict[str, list[Any]] = {name: [row[name] for row in rows] for name in rows[0]}
    columns["delay"] = [chance.gauss(DELAY, SPREAD) for _ in rows]
    times = [window * WINDOW_SECONDS for window in range(WINDOWS) for _ in range(ROWS)]
    options = training.Options(prediction="delay", window_seconds=WINDOW_SECONDS)
    return training.reference(columns, times=times, options=options)
