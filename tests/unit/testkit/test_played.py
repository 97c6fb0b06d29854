"""The events that benchmarks play are those that the monitor is made for: each is stored, and each outcome joined."""

from __future__ import annotations

import json
from pathlib import Path

from switchyard_contracts.events import decode
from switchyard_testkit.monitor_world import SUBJECT, World
from switchyard_testkit.played import RATE, Play


def test_every_event_is_stored_and_every_outcome_finds_its_prediction(tmp_path: Path) -> None:
    play = Play(40, 5, outcomes=True, apart=15)
    world = World(tmp_path)
    world.teach()
    for key, value in play.events(now=world.now_us / 1e6):
        world.broker.append(value, at_us=world.now_us, key=key)
    world.run()
    assert world.ledger() == {"stored": play.length} == {"stored": 65}
    assert world.store.labels(SUBJECT) == {"in": 25, "joined": 25}
    world.store.close()


def test_without_outcomes_there_are_only_predictions() -> None:
    play = Play(10, 3, outcomes=False)
    made = [decode(value).payload() for _, value in play.events(now=1_800_000_000.0)]
    assert len(made) == play.length == 10
    assert {str(type(data).__name__) for data in made} == {"Inference"}


def test_requests_have_as_many_features_as_are_asked_for_and_come_at_the_rate() -> None:
    first, second = [json.loads(value)["data"] for _, value in Play(2, 7, outcomes=False).events(now=1_800_000_000.0)]
    assert [len(data["request"]["value"]) for data in (first, second)] == [7, 7]
    assert first["request"] != second["request"]
    apart = int(second["predictionId"][:13]) - int(first["predictionId"][:13])
    assert apart == 1000 / RATE


def test_the_reference_is_of_the_requests_and_of_y() -> None:
    features = Play(2, 5, outcomes=False).reference.features
    assert [feature.name for feature in features] == [*(f"feature{n}" for n in range(5)), "prediction"]


def test_a_length_is_about_what_was_asked_for() -> None:
    assert Play.of_length(1_000_000, features=5).length == 1_000_000
