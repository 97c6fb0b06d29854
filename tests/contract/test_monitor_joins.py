"""The join and its replays on real databases: each situation leaves the same rows, sums and books on both kinds."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from switchyard_monitor.reader import Pace
from switchyard_testkit.databases import Databases
from switchyard_testkit.join_situations import SITUATIONS, Situation
from switchyard_testkit.monitor_world import MONITORING, SUBJECT, World, inference, outcome, prediction_alone
from switchyard_testkit.replay_suite import again, aged, closes, known, live, reread


@pytest.fixture(scope="module")
def url(databases: Databases) -> str:
    """One database for all, emptied before each: to make one takes longer than to play a situation."""
    return databases.up_to_date()


@pytest.fixture
def world(databases: Databases, url: str, tmp_path: Path) -> Iterator[World]:
    databases.clear(url)
    made = World(tmp_path, url=url, pace=Pace(batch=2, linger=0.0, margin_us=0))
    yield made
    made.store.close()


@pytest.mark.parametrize("situation", SITUATIONS)
def test_what_is_known_of_it_then(world: World, situation: Situation) -> None:
    situation.play(world)


def test_events_that_are_read_again_change_nothing(world: World) -> None:
    live(world)
    before = known(world)
    (moved,) = again(world)
    assert (moved.before, moved.offset) == (19, 0)
    assert known(world) == before
    assert closes(world)
    assert world.ledger()["replayed"] == -19
    again(world, offset=7)
    assert known(world) == before
    assert closes(world)


def test_what_would_come_too_late_by_now_is_late_and_not_counted_again(world: World) -> None:
    aged(world)


def test_records_that_wait_for_their_deployment_wait_once(world: World) -> None:
    world.teach()
    world.say(inference("a"))
    world.say(inference("z", subject="demo/later"), at=1)
    world.say(inference("y", subject="demo/later"), at=2)
    world.run()
    again(world, offset=1)
    assert world.ledger() == {"stored": 1, "held": 2}
    world.teach(subject="demo/later")
    world.run()
    assert world.ledger() == {"stored": 3}


def test_letters_that_can_be_taken_in_by_now_are_with_the_time_they_came(world: World) -> None:
    world.teach({**MONITORING, "outcome": {**MONITORING["outcome"], "path": "$.late"}})
    world.say(prediction_alone("a"), at=1)
    world.say(outcome("a", 7.0), at=5)
    world.run()
    world.teach()
    world.run()
    assert dict(reread(world).columns) == {"stored": 1}
    (sums,) = world.sums().values()
    assert sums["age.n"] == sums["now.n"] == 1
    assert dict(reread(world).columns) == {"duplicate": 1}
    assert world.store.labels(SUBJECT) == {"in": 1, "joined": 1}
    assert world.ledger() == {"stored": 2, "invalid": 1, "duplicate": 1, "replayed": -2}
    assert closes(world)


def test_a_visitor_moves_no_offset_and_offsets_of_another_topic_are_refused(world: World) -> None:
    live(world)
    with world.store.begin() as batch:
        position = batch.visit(0)
        assert position is not None
        assert position.next_offset == 19
        assert batch.visit(7) is None
        assert batch.rewind(0, topic_id="another", offset=0) is None
    assert world.store.positions()[0].next_offset == 19
