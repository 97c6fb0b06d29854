"""Replays: what was taken in is known again, what was not is taken in, and the books close all the while."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from switchyard_monitor.domain.changes import Dead
from switchyard_monitor.domain.facts import Record
from switchyard_monitor.errors import CannotReplay, Unreadable
from switchyard_monitor.letters import letter, opened
from switchyard_monitor.ports import Letter
from switchyard_monitor.reader import Pace
from switchyard_monitor.replay import MOST_TOLD, Tally, events
from switchyard_testkit.monitor_world import (
    MONITORING,
    SECOND,
    SUBJECT,
    World,
    inference,
    outcome,
    prediction_alone,
)
from switchyard_testkit.replay_suite import TOPIC, again, aged, closes, known, live, reread

UNIT = 1 << 20


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    made = World(tmp_path)
    yield made
    made.store.close()


@pytest.mark.parametrize("offset", [None, 0, 7, 19], ids=["all of it", "from 0", "a part", "nothing"])
def test_events_that_are_read_again_change_nothing(world: World, offset: int | None) -> None:
    live(world)
    before, ledger = known(world), world.ledger()
    (moved,) = again(world, offset=offset)
    assert (moved.before, moved.offset, moved.stopped) == (19, offset or 0, None)
    assert known(world) == before
    assert closes(world)
    assert world.ledger().get("replayed", 0) == (offset or 0) - 19
    assert world.ledger()["stored"] == ledger["stored"]
    assert world.store.positions()[0].next_offset == 19


def test_what_would_come_too_late_by_now_is_late_and_not_counted_again(world: World) -> None:
    aged(world)


def test_twice_is_as_good_as_once(world: World) -> None:
    live(world)
    before = known(world)
    again(world)
    again(world, offset=3)
    assert known(world) == before
    assert closes(world)


def test_records_that_wait_for_their_deployment_wait_once(world: World) -> None:
    world.teach()
    world.say(inference("a"))
    world.say(inference("z", subject="demo/later"), at=1)
    world.say(inference("y", subject="demo/later"), at=2)
    world.run()
    again(world, offset=1)
    assert world.ledger() == {"stored": 1, "held": 2}
    again(world, offset=2)
    assert closes(world)
    world.teach(subject="demo/later")
    world.run()
    assert world.ledger() == {"stored": 3}
    assert closes(world)


def test_a_stopped_partition_goes_on_where_a_person_says_and_what_is_lost_are_gaps(world: World) -> None:
    world.teach()
    world.say(inference("a"))
    world.run()
    for _ in range(3):
        world.say(inference("gone"))
    world.broker.delete_before(0, 3)
    world.run()
    said = world.store.positions()[0].stopped or ""
    assert "not in the log" in said
    assert "python -m switchyard_monitor replay events --partition 0" in said
    (moved,) = again(world)
    assert moved.stopped is not None
    assert (moved.before, moved.offset) == (1, 3)
    assert world.store.positions()[0].stopped is None
    assert world.ledger() == {"stored": 2, "gaps": 2}
    assert closes(world)


@pytest.mark.parametrize(
    ("partitions", "offset", "says"),
    [
        ((), 99, "holds the offsets 0 to 19, and 99 is not there"),
        ((), -1, "holds the offsets 0 to 19, and -1 is not there"),
        ((4,), None, "has no partition 4; it has 0"),
    ],
)
def test_what_is_not_there_cannot_be_read_again(
    world: World, partitions: tuple[int, ...], offset: int | None, says: str
) -> None:
    live(world)
    before = world.store.positions()
    with pytest.raises(CannotReplay, match=says):
        events(world.store, world.broker, partitions=partitions, offset=offset)
    assert world.store.positions() == before


def test_offsets_of_another_topic_say_nothing_of_this_one(world: World) -> None:
    live(world)
    world.broker.topic_id = "second"
    with pytest.raises(CannotReplay, match="made anew"):
        events(world.store, world.broker, partitions=(), offset=None)
    assert world.store.positions()[0].next_offset == 19


def test_letters_that_can_be_taken_in_by_now_are_with_the_time_they_came(world: World) -> None:
    world.teach({**MONITORING, "outcome": {**MONITORING["outcome"], "path": "$.late"}})
    world.say(prediction_alone("a"), at=1)
    world.say(outcome("a", 7.0), at=5)
    world.say(outcome("b", 7.0), at=5)
    world.run()
    assert world.ledger() == {"stored": 1, "invalid": 2}
    world.teach()
    world.say(outcome("b", "never", event_id="other"), at=3600)
    world.run()

    tally = reread(world)
    assert dict(tally.columns) == {"stored": 2}
    assert [where for where, _ in tally.failed] == ["partition 0, offset 3"]
    (sums,) = world.sums().values()
    assert sums["age.n"] == sums["now.n"] == 1
    assert world.store.labels(SUBJECT) == {"in": 2, "joined": 1, "orphan": 1}
    assert world.ledger() == {"stored": 3, "invalid": 3, "replayed": -2}
    assert closes(world)

    before = known(world)
    assert dict(reread(world).columns) == {"duplicate": 2}
    assert known(world) == before
    assert closes(world)
    assert len(world.broker.sent) == 3


def test_records_of_a_deployment_that_came_too_late_are_had_back(tmp_path: Path) -> None:
    world = World(tmp_path, pace=Pace(linger=0.0, hold_us=60 * SECOND))
    world.say(inference("a", subject="demo/late"), at=0)
    world.run()
    world.pass_time(61)
    world.run()
    assert [why for _, why in reread(world).failed] == ["no deployment 'demo/late' is published on the topic of models"]
    world.teach(subject="demo/late")
    world.run()
    assert dict(reread(world, deployment="demo/other").columns) == {}
    assert dict(reread(world, reason="invalid").columns) == {}
    assert dict(reread(world, deployment="demo/late", reason="refused").columns) == {"stored": 1}
    assert world.ledger() == {"refused": 1, "stored": 1, "replayed": -1}
    assert closes(world)
    assert [sums["requests"] for sums in world.sums("demo/late").values()] == [1]
    world.store.close()


def test_letters_of_what_was_counted_are_known(world: World) -> None:
    live(world)
    before = known(world)
    tally = reread(world, reason="conflict")
    assert (dict(tally.columns), tally.failed) == ({"duplicate": 1}, [])
    tally = reread(world)
    assert dict(tally.columns) == {"duplicate": 1}
    assert len(tally.failed) == 2
    assert known(world) == before
    assert closes(world)


def test_a_letter_that_was_sent_twice_is_read_once(world: World) -> None:
    live(world)
    world.broker.sent += world.broker.sent
    assert dict(reread(world).columns) == {"duplicate": 1}
    assert world.ledger()["replayed"] == -1


def test_what_is_no_whole_letter_of_ours_is_said(world: World) -> None:
    live(world)
    (first, *_) = world.broker.sent
    world.broker.sent = [
        Letter(0, "", b"k", b"v"),
        Letter(0, "", first.key, first.value, (*first.headers, ("switchyard-cut-from", b"999"))),
        Letter(0, "", first.key, first.value, tuple(each for each in first.headers if "offset" not in each[0])),
        Letter(0, "", first.key, first.value, (*first.headers, ("switchyard-topic", b"other.events"))),
    ]
    assert reread(world).failed == [
        ("letter 0", "it is no dead letter of a monitor's"),
        ("letter 1", f"only the first {len(first.value or b'')} of its 999 bytes were kept"),
        ("letter 2", "it does not say which partition and offset it came from"),
        ("letter 3", "it came from the topic 'other.events', not from 'switchyard.events'"),
    ]


def test_a_partition_that_was_never_read_is_said(world: World) -> None:
    world.teach()
    world.run()
    dead = Dead(Record(7, 1, 1, None, inference("a")), "refused", "why")
    world.broker.sent = [letter(dead, topic=TOPIC, to="")]
    assert reread(world).failed == [("partition 7, offset 1", "partition 7 was never read here")]


names = st.text(min_size=1, max_size=20) | st.sampled_from(["switchyard-id", "switchyard-offset", "switchyard-topic"])


@given(
    st.binary(max_size=50) | st.none(),
    st.binary(max_size=50),
    st.lists(st.tuples(names, st.binary(max_size=20)), max_size=5),
    st.integers(0, 2**31),
    st.integers(0, 2**62),
    st.integers(0, 2**60),
)
def test_a_record_is_had_back_from_its_letter_to_the_last_byte(
    key: bytes | None, value: bytes, headers: list[tuple[str, bytes]], partition: int, offset: int, broker_us: int
) -> None:
    record = Record(partition, offset, broker_us, key, value, tuple(headers))
    sent = letter(Dead(record, "invalid", "why"), topic=TOPIC, to="dead")
    found = opened(Record(0, 5, 1, sent.key, sent.value, sent.headers), topic=TOPIC)
    assert (found.record, found.reason) == (record, "invalid")
    with pytest.raises(Unreadable):
        opened(Record(0, 5, 1, sent.key, sent.value, sent.headers), topic="other")


def test_of_millions_of_letters_that_cannot_be_taken_in_the_first_are_told_and_all_are_counted() -> None:
    tally = Tally()
    tally.fail((f"letter {n}", "why") for n in range(MOST_TOLD + 5))
    assert (len(tally.failed), tally.failed[0], tally.failures) == (MOST_TOLD, ("letter 0", "why"), MOST_TOLD + 5)
