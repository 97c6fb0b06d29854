"""Labels that come late, on a real day of flights: what the monitor says of a model is what river says of it.

river asks a model when a flight leaves and tells it what happened when the flight lands, so the model learns as it
would in production: what it says of a flight rests on those that had landed by then. The monitor reads the same Ys and
the same X′ from a topic, at the times at which they came.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from river import base, compose, evaluate, linear_model, metrics, preprocessing
from switchyard_monitor.answers import RevisionQuality, quality
from switchyard_testkit.flights import Flight, of_day
from switchyard_testkit.monitor_world import MONITORING, NOON_US, SECOND, SUBJECT, World, inference, outcome

LATE = 15.0
"""Minutes after its schedule from which on an arrival is late."""
NOON = datetime(2013, 3, 8, 12, tzinfo=UTC)
"""Of the flights; it becomes the world's."""
AGE = timedelta(hours=3)
Known = dict[str, Any]
"""What river knows of a flight: its X, and when it left and landed."""


def learner() -> base.Classifier:
    """A model that learns with every label; it is no good one, and gets better over the day."""
    numbers = compose.Select("departure_delay", "distance") | preprocessing.StandardScaler()
    model: base.Classifier = (numbers + preprocessing.OneHotEncoder()) | linear_model.LogisticRegression()
    return model


@dataclass
class Asked(base.Classifier):  # type: ignore[misc]
    """A model, with what it said, and when it was told last."""

    model: base.Classifier = field(default_factory=learner)
    said: dict[str, bool] = field(default_factory=dict)
    told: datetime | None = None

    def predict_one(self, x: Known) -> bool:
        self.said[x["name"]] = bool(self.model.predict_one(x["x"]))
        return self.said[x["name"]]

    def learn_one(self, x: Known, y: bool) -> None:
        self.told = x["landed"]
        self.model.learn_one(x["x"], y)


class Repeated(base.Classifier):  # type: ignore[misc]
    """Says what was said."""

    def predict_one(self, x: Known) -> bool:
        return bool(x["said"])

    def learn_one(self, x: Known, y: bool) -> None:
        pass


@pytest.fixture(scope="module")
def day() -> list[Flight]:
    """A day of snow: four of five flights came late."""
    return sorted(of_day(NOON.month, NOON.day), key=lambda flight: flight.left)


def known(flights: list[Flight], **more: Any) -> Iterator[tuple[Known, bool]]:
    """Those that landed, as river takes them, in the order in which they left."""
    for flight in flights:
        if flight.landed is not None and flight.delay is not None:
            x = {name: flight.x[name] for name in ("carrier", "dest", "departure_delay", "distance")}
            added = {name: values[flight.name] for name, values in more.items()}
            yield {"name": flight.name, "x": x, "left": flight.left, "landed": flight.landed} | added, is_late(flight)


def is_late(flight: Flight) -> bool:
    return flight.delay is not None and flight.delay >= LATE


def until_landing(x: Known, _: bool) -> timedelta:
    took: timedelta = x["landed"] - x["left"]
    return took


def as_river_tells_it(flights: list[Flight]) -> tuple[Asked, list[tuple[datetime, int, float]]]:
    """The model after its day; and after each label when that came, how many there were, and the accuracy of all."""
    model, accuracy = Asked(), metrics.Accuracy()
    steps = evaluate.iter_progressive_val_score(known(flights), model, accuracy, moment="left", delay=until_landing)
    found = []
    for number, _ in enumerate(steps, start=1):
        assert model.told is not None
        found.append((model.told, number, accuracy.get()))
    return model, found


def world_of(folder: Path, *, age: timedelta = AGE) -> World:
    world = World(folder)
    outcome = MONITORING["outcome"] | {"judgedAfter": f"{int(age.total_seconds())}s"}
    task = {"path": "$.delay", "task": "classification"}
    world.teach({"prediction": task, "outcome": outcome, "window": "1h"})
    return world


def seconds(when: datetime) -> float:
    return (when - NOON).total_seconds()


def events(flights: list[Flight], said: dict[str, bool]) -> list[tuple[float, bytes]]:
    """What the topic is told, and when. Of those that never landed there is a Y, and nothing ever comes of it."""
    found = []
    for flight in flights:
        left = seconds(flight.left)
        found.append((left, inference(flight.name, x=flight.x, y=said.get(flight.name, True), at=left)))
        if flight.landed is not None:
            landed = seconds(flight.landed)
            found.append((landed, outcome(flight.name, is_late(flight), at=landed)))
    return sorted(found, key=lambda event: event[0])


def told(world: World) -> RevisionQuality:
    (line,) = quality(world.store.totals(world.store.arms(SUBJECT)))
    return line


@pytest.mark.rule("check-delayed-labels")
def test_at_every_hour_the_accuracy_is_the_one_of_rivers_progressive_validation(
    day: list[Flight], tmp_path: Path
) -> None:
    model, steps = as_river_tells_it(day)
    at_once = evaluate.progressive_val_score(known(day), (hasty := Asked()), metrics.Accuracy())
    assert model.said != hasty.said, "a model that is told at once says the same; then nothing here is late"
    assert steps[-1][2] != at_once.get()

    world, left = world_of(tmp_path), events(day, model.said)
    compared = 0
    for hour in range(-6, 20):
        now, world.now_us = 3600.0 * hour, NOON_US + 3600 * SECOND * hour
        while left and left[0][0] <= now:
            at, event = left.pop(0)
            world.say(event, at=at)
        world.run()
        landed = [step for step in steps if seconds(step[0]) <= now]
        if landed:
            compared += 1
            _, number, accuracy = landed[-1]
            line = told(world)
            assert (line.latest.n, line.latest.accuracy) == (number, pytest.approx(accuracy, abs=1e-12)), hour
    assert (left, compared) == ([], 25)
    assert line.labelled == len(steps) < line.predictions == len(day)
    world.store.close()


@pytest.mark.rule("check-delayed-labels")
@pytest.mark.parametrize("hours", [1.5, 3.0, 6.0])
def test_judged_at_an_age_it_is_rivers_accuracy_of_labels_that_are_no_older(
    day: list[Flight], tmp_path: Path, hours: float
) -> None:
    """A flight that takes longer than that is judged by nothing, whatever came of it."""
    age, (model, _) = timedelta(hours=hours), as_river_tells_it(day)
    soon = [flight for flight in day if flight.landed is not None and flight.landed - flight.left <= age]
    expected = evaluate.progressive_val_score(
        known(soon, said=model.said), Repeated(), metrics.Accuracy(), moment="left", delay=until_landing
    )
    world = world_of(tmp_path, age=age)
    for at, event in events(day, model.said):
        world.say(event, at=at)
    world.now_us = NOON_US + 86_400 * SECOND
    world.run()
    line = told(world)
    assert 0 < line.judged == line.at_age.n == len(soon) < line.labelled
    assert line.at_age.accuracy == pytest.approx(expected.get(), abs=1e-12)
    assert line.latest.accuracy != line.at_age.accuracy
    world.store.close()
