"""The flights of 2013 from the first of March on, in their order, with what the demo's models say of each.

The models are trained here by the demo's own pipeline (seconds), and answer all flights at once; a test holds these
answers to the ones that a service gives.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd
from switchyard_demo_model.pipeline import flights
from switchyard_demo_model.pipeline.prepare import prepare
from switchyard_demo_model.pipeline.train import train
from switchyard_demo_model.serving.model import MINUTES, LinearModel
from switchyard_demo_model.serving.versions import SCHEDULE, VERSIONS, Version
from switchyard_demo_model.world.journeys import FIRST_DAY, TAXI

Floats = npt.NDArray[np.float64]
Whole = npt.NDArray[np.int64]

CHALLENGER = Version("challenger", ("departure_delay",), ("carrier", "origin"), ridge=1.0)
"""About as good as 2.0.0, better on some days and worse on others: it does not know where a flight goes, or when."""
MODELS: Mapping[str, Version] = {"1.0.0": VERSIONS["1.0.0"], "2.0.0": VERSIONS["2.0.0"], "challenger": CHALLENGER}


@dataclass(frozen=True, slots=True, eq=False)
class Replay:
    """Flights in order of their schedule; all arrays are of one length."""

    hours: Floats
    """When it was scheduled, in hours since the first midnight."""
    lands: Floats
    """When it landed; not a number where it never did."""
    delay: Floats
    """X′, in minutes; not a number where it never landed."""
    answers: Mapping[str, Floats]
    """Y by model. `3.0.0` is 2.0.0 behind a service that hands over seconds."""

    @property
    def days(self) -> int:
        """How many there are."""
        return int(self.hours[-1] // 24) + 1

    def part(self, first: int, last: int) -> slice:
        """The flights of the days from `first` up to but not with `last`."""
        low, high = np.searchsorted(self.hours, [24.0 * first, 24.0 * last])
        return slice(int(low), int(high))


def replay(source: Path) -> Replay:
    """Read the flights, train the models, and let each answer every flight."""
    table = flights.read(source)
    training = prepare(source).training
    table = table[table["date"] >= pd.Timestamp(FIRST_DAY)].reset_index(drop=True)
    models = {name: train(version, training) for name, version in MODELS.items()}
    answered = {name: answers(model, table) for name, model in models.items()}
    answered["3.0.0"] = answers(models["2.0.0"], table, delay_unit=VERSIONS["3.0.0"].delay_unit)
    midnight = pd.Timestamp(FIRST_DAY)
    scheduled = (table["scheduled"] - midnight) / pd.Timedelta(hours=1)
    in_air = table["departure_delay"].fillna(0.0) + table["air_time"] + TAXI.total_seconds() / 60.0
    delay = table["arrival_delay"].to_numpy(dtype=np.float64)
    lands = (scheduled + in_air / 60.0).to_numpy(dtype=np.float64)
    return Replay(
        hours=np.asarray(scheduled, dtype=np.float64),
        lands=np.where(np.isnan(delay), np.nan, lands),
        delay=delay,
        answers=answered,
    )


def answers(model: LinearModel, table: pd.DataFrame, *, delay_unit: float = MINUTES) -> Floats:
    """What `model.predict` says of each flight, all at once."""
    total = np.full(len(table), model.intercept)
    for name, number in model.numbers.items():
        values = table[name] * (delay_unit if name == "departure_delay" else 1.0)
        total += number.weight * values.fillna(number.missing).to_numpy(dtype=np.float64)
    for name, weights in model.categories.items():
        total += table[name].astype(str).map(weights).fillna(0.0).to_numpy(dtype=np.float64)
    return total


__all__ = ["SCHEDULE", "Floats", "Replay", "Whole", "answers", "replay"]
