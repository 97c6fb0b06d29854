"""The join and its replays on real databases: each situation leaves the same rows, sums and books on both kinds."""

from __future__ import annotations

from collections.abc import Iterator
from copy import deepcopy
from pathlib import Path

import pytest
from alembic import command
from alembic.config import Config
from sqlalchemy import MetaData, insert, select
from switchyard_monitor.adapters.engine import MIGRATIONS
from switchyard_monitor.adapters.store import SqlStore
from switchyard_monitor.adapters.tables import metadata
from switchyard_monitor.reader import Pace
from switchyard_testkit.databases import Databases
from switchyard_testkit.join_situations import SITUATIONS, Situation
from switchyard_testkit.monitor_world import MONITORING, SUBJECT, World, decision, inference, outcome, prediction_alone
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


def test_a_database_of_the_release_before_goes_on_where_it_stood(
    databases: Databases, url: str, tmp_path: Path
) -> None:
    databases.clear(url)
    whole = World(tmp_path, url=url)
    live(whole)
    old = databases.empty()
    left_at_0005(whole.store, old)

    world = World(tmp_path, url=old, broker=deepcopy(whole.broker))
    world.store.migrate()
    for each in (whole, world):
        for label in (outcome("a", 5.0, revision=3), outcome("c", 2.0, revision=1), decision("c", False)):
            each.say(label, at=60)
        each.run()
    assert known(world) == known(whole)
    assert world.ledger() == whole.ledger()
    assert world.store.arms(SUBJECT) == whole.store.arms(SUBJECT)
    again(world)
    assert known(world) == known(whole)
    for each in (whole, world):
        each.store.close()


def left_at_0005(store: SqlStore, url: str) -> None:
    """A database of an earlier schema that holds what this one does, as far as it has a place for it."""
    old, config = SqlStore(url), Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    with old._writer.begin() as connection, store._reader.connect() as source:
        config.attributes["connection"] = connection
        command.upgrade(config, "0005")
        (then := MetaData()).reflect(connection)
        for table in then.sorted_tables:
            if (now := metadata.tables.get(table.name)) is None:
                continue
            columns = [column.name for column in table.columns]
            if rows := source.execute(select(*(now.c[name] for name in columns))).all():
                connection.execute(insert(table), [dict(zip(columns, row, strict=True)) for row in rows])
    old.close()


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
