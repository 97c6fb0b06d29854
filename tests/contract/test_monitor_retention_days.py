"""What is summed up by day goes with the windows of its day, and nothing that a label may yet move goes before it."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from alembic import command
from alembic.config import Config
from switchyard_contracts.topics import ModelRecord
from switchyard_contracts.windows import DAY_US, HOUR_US
from switchyard_monitor.adapters.engine import MIGRATIONS, open_writer
from switchyard_monitor.adapters.statements import execute
from switchyard_monitor.adapters.store import SqlStore
from switchyard_monitor.domain import identity
from switchyard_monitor.domain.changes import Changes
from switchyard_monitor.domain.entries import Arm, Entry
from switchyard_monitor.domain.retention import Keep
from switchyard_monitor.domain.rules import Rule
from switchyard_monitor.domain.sums import encode
from switchyard_monitor.ports import Lease, Work
from switchyard_monitor.segment_answers import NAMES, segments
from switchyard_testkit.databases import Databases
from switchyard_testkit.monitor_world import (
    MONITORING,
    NOON_US,
    SUBJECT,
    World,
    inference,
    input_alone,
    model_record,
    outcome,
    prediction_alone,
)

DAY = 86_400
NOON = 12 * 3_600
ME = ["monitor-0"]
RULE = Rule(SUBJECT, task="regression", outcome="$")
CARRIERS: dict[str, Any] = {
    **MONITORING,
    "outcome": {**MONITORING["outcome"], "horizon": "60d", "judgedAfter": "50d"},
    "segments": [{"name": "carrier", "path": "$.x.carrier", "values": ["AA", "UA"]}],
}
SOON = Keep(rows_us=0, windows_us=DAY_US, hourly_us=2 * DAY_US, daily_us=10 * DAY_US)


@pytest.fixture
def world(databases: Databases, tmp_path: Path) -> Iterator[World]:
    made = World(tmp_path, url=databases.up_to_date())
    yield made
    made.store.close()


def days(store: SqlStore) -> dict[float, dict[str, int]]:
    """The sums of days, by the day in days since 1970."""
    return {cell.start_us / DAY_US: dict(cell.sums) for cell in store.days(store.arms(SUBJECT))}


def known(world: World, prediction_id: str) -> Entry | None:
    return world.store.entry(identity.key(SUBJECT, prediction_id))[0]


def written(store: SqlStore) -> tuple[int, Callable[[Changes], None]]:
    """An arm, and how to write what changes."""
    store.prepare([0])
    position = store.claim(0, "a", now_us=0, ttl_us=10)
    assert position is not None
    lease, offsets = Lease(0, "a", position.epoch), iter(range(99))
    store.start(lease, topic_id="t", offset=0)
    with store.begin() as batch:
        number = batch.book.id_of(Arm(batch.rule_id(RULE), "r", "stable", 1, 10_000, "split"))

    def write(changes: Changes) -> None:
        offset = next(offsets)
        with store.begin() as batch:
            batch.lock(lease, offset)
            batch.write(lease, Work(changes=changes, next_offset=offset + 1, watermark_us=1))

    return number, write


def test_days_go_with_the_windows_that_lie_in_them_and_stay_in_the_totals(databases: Databases) -> None:
    store = SqlStore(databases.up_to_date())
    number, write = written(store)
    cells = {(number, day * DAY_US + hour * HOUR_US): {"predictions": 1} for day in range(4) for hour in (0, 23)}
    write(Changes(cells=cells, days={(number, day * DAY_US): {"predictions": 2, "age.n": 2} for day in range(4)}))
    with store.upkeep.begin() as tidying:
        assert tidying.drop(SUBJECT, before_us=3 * DAY_US), "a day at a time"
    assert set(days(store)) == {1, 2, 3}
    assert {cell.start_us // DAY_US for cell in store.cells([number])} == {1, 2, 3}
    for more in (True, False):
        with store.upkeep.begin() as tidying:
            assert tidying.drop(SUBJECT, before_us=3 * DAY_US) is more
    assert set(days(store)) == {3}
    assert [cell.sums for cell in store.day_totals([number])] == [{"predictions": 8, "age.n": 8}]
    store.close()


def test_a_day_without_a_window_goes_too(databases: Databases) -> None:
    """What was put away by the day leaves days whose windows cancelled out."""
    store = SqlStore(databases.up_to_date())
    number, write = written(store)
    write(Changes(cells={(number, 9 * DAY_US): {"requests": 1}}, days={(number, DAY_US): {"predictions": 1}}))
    more = True
    while more:
        with store.upkeep.begin() as tidying:
            more = tidying.drop(SUBJECT, before_us=5 * DAY_US)
    assert days(store) == {}
    store.close()


def test_what_comes_for_a_day_that_is_no_more_is_added_to_the_totals_alone(databases: Databases) -> None:
    store = SqlStore(databases.up_to_date())
    number, write = written(store)
    one = {"predictions": 1, "age.n": 1}
    write(Changes(cells={(number, at): one for at in (0, DAY_US)}, days={(number, at): one for at in (0, DAY_US)}))
    with store.upkeep.begin() as tidying:
        assert not tidying.drop(SUBJECT, before_us=DAY_US)
    late = {"age.n": -1}
    write(Changes(cells={(number, at): late for at in (0, DAY_US)}, days={(number, at): late for at in (0, DAY_US)}))
    assert days(store) == {1: {"predictions": 1}}, "a day of which only what came late is left says what never was"
    assert [cell.sums for cell in store.day_totals([number])] == [{"predictions": 2}]
    write(Changes(days={(number, 0): one, (number, DAY_US): one}))
    assert days(store) == {1: {"predictions": 2, "age.n": 1}}, "also where no window changed"
    store.close()


def test_a_correction_of_a_day_that_is_no_more_makes_no_half_of_it(world: World) -> None:
    """Corrections keep a row alive for as long as they come; the day of its prediction goes meanwhile."""
    world.teach()
    world.say(inference("a"))
    there = []
    for number in range(4):
        at = number * 6 * DAY
        world.say(outcome("a", float(number), at=at, revision=number), at=at)
        world.run()
        there.append(len(world.day_sums()))
        world.elapse(6 * DAY)
        world.pruner(keep=Keep(rows_us=0, windows_us=DAY_US, hourly_us=DAY_US, daily_us=DAY_US)).run(ME)
    assert known(world, "a") is not None
    assert there == [1, 1, 0, 0]
    (total,) = world.store.day_totals(world.store.arms(SUBJECT))
    assert total.sums["predictions"] == 1


@pytest.mark.parametrize("first", ["x", "y"])
def test_an_x_that_came_alone_is_known_while_its_y_may_be_judged(world: World, first: str) -> None:
    """The label comes long after all else that left no Y was forgotten; a second one moves what the first one added."""
    world.teach(CARRIERS)
    told = [input_alone("a", x={"carrier": "UA"}), prediction_alone("a", y=12.0)]
    for value in told if first == "x" else reversed(told):
        world.say(value)
        world.run()
    world.say(input_alone("b", x={"carrier": "AA"}))
    world.elapse(30 * DAY)
    world.pruner(keep=Keep(rows_us=0)).run(ME)
    assert known(world, "b") is None, "an X that nothing answered has had its time"
    for revision, (value, error) in enumerate(((10.0, 2.0), (11.0, 1.0))):
        world.say(outcome("a", value, at=30 * DAY, revision=revision), at=30 * DAY)
        world.run()
        (line,) = segments(world.store.days(world.store.arms(SUBJECT), names=NAMES))
        parts = {part.part: part for part in line.features[0].parts}
        assert set(parts) == {"UA"}
        assert (parts["UA"].predictions, parts["UA"].judged, parts["UA"].mae) == (1, 1, error)
    world.elapse(62 * DAY)
    world.pruner(keep=Keep(rows_us=0)).run(ME)
    assert known(world, "a") is None, "it goes with its Y"
    left = world.store.upkeep.look(b"", b"\xff" * 17, before_us=2**62, seen_us=2**62, rows=10**6, keys=10**6)
    assert (left.rows, left.remains) == ([], False)


def test_an_x_without_segments_goes_when_everything_does_that_left_no_y(world: World) -> None:
    world.teach({**CARRIERS, "segments": []})
    world.say(input_alone("a"))
    world.say(prediction_alone("a"))
    world.elapse(30 * DAY)
    world.pruner(keep=Keep(rows_us=0)).run(ME)
    found = known(world, "a")
    assert found is not None
    assert (len(found.preds), found.inputs) == (1, {})


def test_days_of_a_database_without_them_are_put_away_like_any(databases: Databases, tmp_path: Path) -> None:
    """As an installation finds itself after an upgrade: rows, windows and labels that are corrected afterwards."""
    url = databases.empty()
    engine, config = open_writer(url), Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    key, waits, at_us = identity.key(SUBJECT, "a"), identity.key(SUBJECT, "waits"), NOON_US
    rule = Rule.of(ModelRecord.model_validate_json(model_record()))
    error = 3 * 2**20
    held = {"predictions": 1, "requests": 1, "age.n": 1, "age.e": error, "age.ee": error * error, "age.a": error}
    held |= {name.replace("age", "now"): value for name, value in held.items() if name.startswith("age")}
    with engine.begin() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, "0009")
        execute(connection, "INSERT INTO rule VALUES (?,?,?,?)", (1, SUBJECT, rule.digest, json.dumps(rule.body)))
        execute(connection, "INSERT INTO arm VALUES (1,1,'stable-1','stable',3,10000,'split',-1)")
        execute(connection, "INSERT INTO prediction VALUES (?,1,?,?,?,?,NULL,?)", (key, at_us, 1, 1, 10.0, 5000))
        label = "INSERT INTO label VALUES (?,'outcome',?,0,?,?,7.0,NULL,'')"
        execute(connection, label, (key, "o-a-0", at_us + 1, at_us + 1))
        execute(connection, label, (waits, "o-waits-0", at_us + 1, at_us + 1))
        execute(connection, "INSERT INTO exchange VALUES (?,?)", (identity.key(SUBJECT, "f"), 8))
        execute(connection, "INSERT INTO input VALUES (?,?,?)", (identity.key(SUBJECT, "i"), 8, 9))
        for table, where in (("cell", (1, at_us - at_us % 300_000_000, 0)), ("total", (1, 0))):
            holes = ",".join("?" * (len(where) + 1))
            execute(connection, f"INSERT INTO {table} VALUES ({holes})", (*where, encode(held)))
    engine.dispose()
    world = World(tmp_path, url=url)
    world.store.migrate()
    day = {name: value for name, value in held.items() if name == "predictions" or name.startswith("age")}
    assert list(days(world.store).values()) == [day]
    assert [cell.sums for cell in world.store.day_totals([1])] == [day]

    world.teach()
    world.say(outcome("a", 9.0, at=10, revision=1), at=10)
    world.elapse(9)
    moved = {"predictions": 1, "age.n": 1, "age.e": 2**20, "age.ee": 2**40, "age.a": 2**20}
    assert list(days(world.store).values()) == [moved]
    assert known(world, "f") is not None
    assert known(world, "i") is not None
    world.elapse(9 * DAY)
    world.pruner(keep=SOON).run(ME)
    assert [known(world, name) for name in ("a", "f", "i")] == [None] * 3
    assert known(world, "waits") is not None, "nobody wrote down whose it is"
    world.elapse(9 * DAY)
    world.pruner(keep=SOON).run(ME)
    assert days(world.store) == {}
    assert world.sums() == {}
    assert [cell.sums for cell in world.store.day_totals([1])] == [moved]
    world.store.close()
