"""What really happened: each flight of 2013 from the first of March on, when it left, and when it landed.

The product asks when a flight leaves, for that is when the delay at departure is known; about a cancelled flight it
asks at the scheduled time. The data hold the minutes in the air but not those on the taxiway, so a flight lands its
minutes in the air plus a fixed quarter of an hour after it left. A cancelled or diverted flight never reports.
"""

from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from pathlib import Path

import pandas as pd

from switchyard_demo_model.pipeline import flights
from switchyard_demo_model.pipeline.prepare import FEATURES
from switchyard_demo_model.serving.flight import Flight

FIRST_DAY = date(2013, 3, 1)  # the day after the last one that the models were tested on
TAXI = timedelta(minutes=15)


@dataclass(frozen=True, slots=True)
class Journey:
    """One flight as it happened, in New York's time."""

    flight: Flight
    leaves: datetime
    lands: datetime | None
    arrival_delay: float | None

    def __post_init__(self) -> None:
        if (self.lands is None) != (self.arrival_delay is None):
            raise ValueError("lands and arrival_delay must both be known or both be None: one comes with the other")
        if self.lands is not None and self.lands <= self.leaves:
            raise ValueError(f"lands {self.lands} is not after leaves {self.leaves}: a flight lands after it left")


def journeys(path: Path, *, first: date = FIRST_DAY, days: int) -> tuple[Journey, ...]:
    """The flights scheduled on these days, in the order in which they left."""
    if days < 1:
        raise ValueError(f"days is {days}: a world needs at least one day")
    table = flights.read(path)
    last = pd.Timestamp(first) + pd.Timedelta(days=days - 1)
    table = table[table["date"].between(pd.Timestamp(first), last)]
    late = table["departure_delay"].fillna(0.0)
    leaves = table["scheduled"] + pd.to_timedelta(late, unit="min")
    lands = leaves + pd.to_timedelta(table["air_time"], unit="min") + TAXI
    table = table.assign(leaves=leaves, lands=lands.where(table["arrival_delay"].notna()))
    table = table.sort_values("leaves", kind="stable")
    records = table.astype(object).where(table.notna(), None).to_dict("records")
    return tuple(
        Journey(
            flight=Flight.model_validate({name: record[name] for name in FEATURES}),
            leaves=record["leaves"].to_pydatetime(),
            lands=record["lands"].to_pydatetime() if record["lands"] is not None else None,
            arrival_delay=record["arrival_delay"],
        )
        for record in records
    )


def of_day(all_of_them: Sequence[Journey], day: date) -> Sequence[Journey]:
    """Those that left on this day; the sequence must be in order of leaving."""
    start = datetime(day.year, day.month, day.day)  # noqa: DTZ001 - the data are in New York's time and stay in it
    first = bisect_left(all_of_them, start, key=lambda journey: journey.leaves)
    return all_of_them[first : bisect_left(all_of_them, start + timedelta(days=1), key=lambda journey: journey.leaves)]
