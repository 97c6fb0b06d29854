"""The reader: leases, offsets, outages, and what never stops it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from switchyard_monitor.domain.leases import owner
from switchyard_monitor.domain.watermark import watermark
from switchyard_monitor.errors import BrokerUnavailable, Deposed, StoreUnavailable
from switchyard_monitor.models import Models
from switchyard_monitor.ports import Lease
from switchyard_monitor.reader import Pace
from switchyard_testkit.local_broker import LocalBroker
from switchyard_testkit.monitor_world import (
    MONITORING,
    NOON_US,
    SECOND,
    World,
    inference,
    kserve,
    model_record,
    outcome,
)


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    made = World(tmp_path)
    made.teach()
    yield made
    made.store.close()


POISON: list[Any] = [
    pytest.param(None, "unreadable", id="no value"),
    pytest.param(b"", "unreadable", id="an empty value"),
    pytest.param(b"\xff\xfe\x00", "unreadable", id="bytes that are no text"),
    pytest.param(b"[" * 100_000, "unreadable", id="a hundred thousand brackets"),
    pytest.param(b"[]", "unreadable", id="no object"),
    pytest.param(b'{"specversion":"1.0"}', "unreadable", id="no type"),
    pytest.param(inference("bad id!"), "unreadable", id="a prediction id that cannot be"),
    pytest.param(inference("a", subject="No Such/Name"), "unreadable", id="a subject that cannot be"),
    pytest.param(inference("a", startedAt="2026-03-01T12:00:00"), "unreadable", id="a time without a zone"),
    pytest.param(inference("a", startedAt="yesterday"), "unreadable", id="a time that is none"),
    pytest.param(inference("a", traffic="many"), "unreadable", id="a number that is none"),
    pytest.param(inference("a", traffic=10**30), "unreadable", id="a generation beyond what databases hold"),
    pytest.param(inference("a", weightBp=10**30), "unreadable", id="a weight beyond the whole"),
    pytest.param(inference("a", traffic=-1), "unreadable", id="a generation below zero"),
    pytest.param(inference("a", revision="?").replace(b'"?"', b'"\\ud800"'), "unreadable", id="half a character"),
    pytest.param(inference("a", revision="r\0"), "unreadable", id="a revision with a NUL"),
    pytest.param(inference("a", revision="r" * 254), "unreadable", id="a revision longer than names are"),
    pytest.param(inference("a", answeredBy="r\0"), "unreadable", id="a NUL in who answered"),
    pytest.param(inference("a", event_id="e\0"), "unreadable", id="an event's id with a NUL"),
    pytest.param(outcome("a", "rainy"), "invalid", id="an outcome that is no number"),
    pytest.param(outcome("a", None), "invalid", id="an outcome without a value"),
    pytest.param(outcome("a", True), "invalid", id="true for a number"),
    pytest.param(outcome("a", 10**400), "invalid", id="a number that is too large"),
    pytest.param(outcome("a", 1.0, row=2_000_000), "unreadable", id="a row beyond the last"),
]


@pytest.mark.parametrize(
    ("value", "counted"),
    [
        pytest.param(b'{"type":"org.example.else","id":"1"}', "ignored", id="somebody else's event"),
        pytest.param(
            kserve("request", "a", {"instances": [1]}, time=None), "invalid", id="KServe's, which tells no time"
        ),
    ],
)
def test_a_time_that_is_in_no_calendar_stops_nobody(world: World, value: bytes, counted: str) -> None:
    world.broker.append(value, at_us=2**61)
    world.say(inference("good"), at=2)
    world.run()
    assert world.ledger() == {counted: 1, "stored": 1}


@pytest.mark.parametrize(("value", "reason"), POISON)
def test_poison_becomes_a_dead_letter_and_holds_nobody_up(world: World, value: bytes | None, reason: str) -> None:
    world.say(value, at=1, key=b"whatever")
    world.say(inference("good"), at=2)
    world.run()
    (letter,) = world.broker.sent
    headers = dict(letter.headers)
    assert letter.topic == "switchyard.deadletter"
    assert (letter.key, letter.value) == (b"whatever", value)
    assert headers["switchyard-reason"] == reason.encode()
    assert headers["switchyard-message"]
    assert headers["switchyard-offset"] == b"0"
    assert world.ledger() == {"invalid": 1, "stored": 1}


def test_a_class_with_a_nul_is_none(world: World) -> None:
    world.teach({**MONITORING, "prediction": {"path": "$.delay", "task": "classification"}, "decision": {}})
    world.say(inference("a", y="late\0"), at=1)
    world.say(outcome("a", "late\0"), at=1)
    world.run()
    assert world.ledger() == {"stored": 1, "invalid": 1}
    assert [sums["unreadable"] for sums in world.sums().values()] == [1]


@pytest.mark.parametrize(
    ("value", "at", "column"),
    [
        pytest.param(b'{"type":"com.example.other","id":"1"}', 0.0, "ignored", id="somebody else's type"),
        pytest.param(inference("a", at=-7 * 86400 - 1), 0.0, "late", id="an X older than a week"),
        pytest.param(outcome("a", 1.0, at=-7 * 86400 - 1), 0.0, "late", id="an X′ beyond the horizon"),
        pytest.param(outcome("a", 1.0, at=-7 * 86400), 0.0, "stored", id="an X′ just within the horizon"),
        pytest.param(
            inference("a", response={"encoding": "none", "complete": False}), 0.0, "truncated", id="half an answer"
        ),
        pytest.param(inference("a", y="fine"), 0.0, "stored", id="an answer without a Y still counts as a request"),
    ],
)
def test_columns_of_the_ledger(world: World, value: bytes, at: float, column: str) -> None:
    world.say(value, at=at)
    world.run()
    assert world.ledger() == {column: 1}


def test_an_event_from_the_future_gets_the_brokers_time(world: World) -> None:
    world.say(inference("a", at=301), at=0)
    world.say(inference("b", at=300), at=0)
    world.run()
    assert world.ledger() == {"stored": 2, "skewed": 1}
    assert {key[3] for key in world.sums()} == {0, 300}


def test_a_failover_counts_against_the_intended_and_its_answer_is_never_compared(world: World) -> None:
    world.say(inference("a", revision="next-2", role="candidate", weightBp=500, answeredBy="stable-1"))
    world.say(outcome("a", 1.0), at=1)
    world.run()
    arms = {
        cell.arm.revision: (cell.arm, cell.sums) for cell in world.store.cells(world.store.arms("demo/flight-delay"))
    }
    assert arms["next-2"][1]["requests"] == arms["next-2"][1]["failover"] == 1
    assert "predictions" not in arms["next-2"][1]
    assert arms["stable-1"][0].assignment == "retry"
    assert arms["stable-1"][1]["now.n"] == 1
    assert "requests" not in arms["stable-1"][1]


def test_a_record_without_key_and_value_has_a_dead_letter_that_can_be_written(world: World) -> None:
    world.say(None)
    world.run()
    assert [(letter.key, letter.value) for letter in world.broker.sent] == [(None, b"")]


def test_gaps_in_the_log_are_counted(world: World) -> None:
    world.say(inference("a"), skip=2)
    world.say(inference("b"), skip=3)
    world.run()
    assert world.ledger() == {"gaps": 5, "stored": 2}


def test_records_of_an_unknown_deployment_wait_for_it_in_order(world: World) -> None:
    world.say(inference("a", y=1.0, subject="demo/later"), at=0)
    world.say(inference("a", y=2.0, event_id="retry", subject="demo/later"), at=1)
    world.run()
    assert world.ledger() == {"held": 2}
    assert world.sums("demo/later") == {}
    world.start()
    world.say(outcome("a", 1.0, subject="demo/later"), at=2)
    world.teach(subject="demo/later")
    world.run()
    assert world.ledger() == {"stored": 2, "repeat": 1}
    (sums,) = world.sums("demo/later").values()
    assert sums["now.n"] == 1
    assert sums.get("now.e", 0) == 0


def test_records_that_wait_too_long_are_refused(tmp_path: Path) -> None:
    world = World(tmp_path, pace=Pace(linger=0.0, hold_us=60 * SECOND))
    world.say(inference("a", subject="demo/never"), at=0)
    world.run()
    world.pass_time(61)
    world.run()
    assert world.ledger() == {"refused": 1}
    assert dict(world.broker.sent[0].headers)["switchyard-reason"] == b"refused"
    world.store.close()


def test_a_deployment_without_monitoring_still_counts_requests(tmp_path: Path) -> None:
    world = World(tmp_path)
    world.teach(None)
    world.say(inference("a"))
    world.say(outcome("a", 1.0), at=1)
    world.run()
    (sums,) = world.sums().values()
    assert sums["requests"] == sums["predictions"] == 1
    assert world.ledger() == {"stored": 1, "ignored": 1}
    world.store.close()


def test_classes_are_compared_by_name(tmp_path: Path) -> None:
    world = World(tmp_path)
    world.teach(
        {
            "prediction": {"path": "$.delay", "task": "classification"},
            "outcome": {"path": "$.delay", "horizon": "7d", "judgedAfter": "20s", "affectedBy": "nothing"},
        }
    )
    for name, said, happened in [("a", "late", "late"), ("b", "late", "early"), ("c", 1, 1.0), ("d", True, "true")]:
        world.say(inference(name, y=said))
        world.say(outcome(name, happened), at=1)
    world.run()
    (sums,) = world.sums().values()
    assert (sums["age.n"], sums["age.right"]) == (4, 3)
    world.store.close()


def test_a_changed_rule_starts_sums_of_its_own_and_old_predictions_keep_theirs(world: World) -> None:
    world.say(inference("a", y=10.0))
    world.run()
    world.teach(
        {
            "prediction": {"path": "$.delay", "task": "regression", "scale": 1000},
            "outcome": {"path": "$.delay", "horizon": "7d", "judgedAfter": "20s", "affectedBy": "nothing"},
        }
    )
    world.say(inference("b", y=10.0), at=1)
    world.say(outcome("a", 9.0), at=2)
    world.say(outcome("b", 9.0), at=2)
    world.run()
    cells = world.store.cells(world.store.arms("demo/flight-delay"))
    assert [(cell.rule.scale, cell.sums["now.e"]) for cell in cells] == [(1, 2**20), (1000, round(2**20 / 1000))]


@pytest.mark.parametrize(
    "trouble",
    [
        pytest.param("below", id="events were deleted before they were read"),
        pytest.param("above", id="the offset lies above the end"),
        pytest.param("another", id="the topic was made anew"),
    ],
)
def test_an_offset_that_does_not_fit_stops_the_partition_and_is_never_reset(world: World, trouble: str) -> None:
    for i in range(3):
        world.say(inference(f"p{i}"))
    world.run()
    if trouble == "below":
        world.say(inference("gone"))
        world.broker.delete_before(0, 4)
    elif trouble == "above":
        world.broker = LocalBroker(1)
        world.teach()
    else:
        world.broker.topic_id = "second"
    world.start()
    world.say(inference("next"))
    world.run()
    (position,) = world.store.positions()
    remedy = "empty database" if trouble == "another" else "switchyard_monitor replay events --partition 0`"
    assert remedy in (position.stopped or "")
    assert position.next_offset == 3
    assert world.reader.partitions == []
    assert world.ledger() == {"stored": 3}
    world.pass_time(60)
    world.run()
    assert world.store.positions()[0].next_offset == 3


def test_events_deleted_under_a_running_reader_stop_it_too(world: World) -> None:
    world.say(inference("a"))
    world.run()
    for _ in range(3):
        world.say(inference("gone"))
    world.broker.delete_before(0, 3)
    world.run()
    assert "not in the log" in (world.store.positions()[0].stopped or "")


@pytest.mark.rule("check-zombie")
def test_a_zombie_is_refused(world: World) -> None:
    world.say(inference("a"))
    world.run()
    zombie = world.store.positions()[0]
    taken = world.store.claim(0, "monitor-1", now_us=zombie.expires_us, ttl_us=SECOND)
    assert taken is not None
    with pytest.raises(Deposed, match="monitor-0"), world.store.begin() as batch:
        batch.lock(Lease(0, "monitor-0", zombie.epoch), 1)
    with pytest.raises(Deposed), world.store.begin() as batch:
        batch.lock(Lease(0, "monitor-1", taken.epoch), 7)
    world.say(inference("b"))
    assert world.reader.step() == 0
    assert world.reader.partitions == []
    assert world.ledger() == {"stored": 1}


def test_two_members_share_the_partitions_and_count_everything_once(tmp_path: Path) -> None:
    world = World(tmp_path, broker=LocalBroker(8))
    second_broker = LocalBroker(8, _logs=world.broker._logs, _next_offset=world.broker._next_offset)
    for broker in (world.broker, second_broker):
        broker.teach("demo/flight-delay", model_record())
    second = world.join("monitor-1", second_broker, Models())
    for i in range(40):
        world.say(inference(f"p{i}"), partition=i % 8)
        world.say(outcome(f"p{i}", 1.0), at=1, partition=(i + 3) % 8)
    world.now_us += 2 * SECOND
    for _ in range(4):
        world.reader.step()
        second.step()
        world.pass_time(1)
    assert set(world.reader.partitions) | set(second.partitions) == set(range(8))
    assert not set(world.reader.partitions) & set(second.partitions)
    assert world.reader.partitions
    assert second.partitions
    (sums,) = world.sums().values()
    assert sums["now.n"] == 40
    assert world.ledger() == {"stored": 80}
    second.close()
    world.pass_time(1)
    world.reader.step()
    assert world.reader.partitions == list(range(8))
    world.store.close()


def test_a_broker_that_is_away_loses_nothing(world: World) -> None:
    world.say(inference("a"))
    world.run()
    world.broker.away = True
    world.say(inference("b"))
    with pytest.raises(BrokerUnavailable):
        world.reader.step()
    world.reader.reset()
    world.broker.away = False
    world.run()
    assert world.ledger() == {"stored": 2}


def test_dead_letters_wait_in_the_outbox_while_the_broker_is_away(world: World) -> None:
    world.say(b"poison")
    send = world.broker.send

    def fail(letters: object) -> None:
        raise BrokerUnavailable("no leader")

    world.broker.send = fail  # type: ignore[method-assign]
    world.say(inference("a"))
    world.run()
    assert world.ledger() == {"invalid": 1, "stored": 1}
    world.broker.send = send  # type: ignore[method-assign]
    world.run()
    assert world.broker.sent == []
    world.pass_time(11)
    world.run()
    assert [letter.value for letter in world.broker.sent] == [b"poison"]
    world.pass_time(11)
    world.run()
    assert len(world.broker.sent) == 1


def test_a_store_that_is_full_pauses_and_drops_nothing(world: World) -> None:
    world.run()
    with world.store._writer.connect() as connection:
        pages = connection.exec_driver_sql("PRAGMA page_count").scalar()
        connection.exec_driver_sql(f"PRAGMA max_page_count={pages}")
    for i in range(500):
        world.say(inference(f"p{i}"))
    with pytest.raises(StoreUnavailable, match="full"):
        world.run()
    assert world.store.positions()[0].next_offset == 0
    world.reader.reset()
    with world.store._writer.connect() as connection:
        connection.exec_driver_sql("PRAGMA max_page_count=1000000")
    world.run()
    assert world.ledger() == {"stored": 500}


def test_the_watermark_is_the_least_of_all_partitions(tmp_path: Path) -> None:
    world = World(tmp_path, broker=LocalBroker(2), pace=Pace(batch=1, linger=0.0, margin_us=SECOND))
    world.teach()
    world.say(inference("a"), at=1, partition=0)
    world.say(inference("b"), at=2, partition=0)
    assert watermark(world.store.positions()) is None
    world.now_us = NOON_US + 10 * SECOND
    world.reader.step()
    # Partition 1 is empty and counts as now, less the margin; partition 0 was read up to its first record.
    assert [held.watermark_us for held in world.store.positions()] == [NOON_US + 1 * SECOND, NOON_US + 9 * SECOND]
    world.run()
    assert watermark(world.store.positions()) == NOON_US + 2 * SECOND
    world.pass_time(2)
    world.reader.step()
    assert watermark(world.store.positions()) == NOON_US + 11 * SECOND
    world.store.close()


def test_rendezvous_moves_only_what_it_must() -> None:
    before = {number: owner(number, ["a", "b", "c"]) for number in range(300)}
    after = {number: owner(number, ["a", "b"]) for number in range(300)}
    assert {before[number] for number in range(300)} == {"a", "b", "c"}
    assert all(after[number] == before[number] for number in range(300) if before[number] != "c")
    assert owner(1, []) is None


def test_a_models_record_that_cannot_be_read_is_passed_over(world: World) -> None:
    world.broker.teach("demo/flight-delay", b"{}")
    world.say(inference("a"))
    world.run()
    assert world.models.unreadable == 1
    assert world.ledger() == {"stored": 1}
