"""What the operator says of rollouts becomes the timeline, once, and never stands in the way of the join."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from switchyard_monitor.adapters.timeline import SqlTimeline
from switchyard_monitor.chronicle import KEEP_US, PAUSE_US, Chronicle
from switchyard_monitor.domain.facts import Record
from switchyard_monitor.domain.rollouts import MOST_BYTES, read
from switchyard_monitor.errors import Unreadable
from switchyard_testkit.monitor_world import NOON, NOON_US, SUBJECT
from switchyard_testkit.page_world import LocalRollouts, PageWorld, encoded, rollout_record


@pytest.fixture
def page(tmp_path: Path) -> Iterator[PageWorld]:
    made = PageWorld(tmp_path)
    yield made
    made.close()


def ids(timeline: SqlTimeline) -> list[str]:
    return [item.id for item in timeline.of(SUBJECT, limit=99)]


def test_records_are_kept_over_a_restart_that_reads_nothing_twice(page: PageWorld) -> None:
    page.happen(rollout_record("a"), rollout_record("b", at=NOON + timedelta(seconds=1)))
    asked: list[int] = []

    class Counting(LocalRollouts):
        def poll(self) -> list[Record]:
            found = super().poll()
            asked.append(len(found))
            return found

    again = Chronicle(log=Counting(log=page.rollouts.log), timeline=page.timeline, clock_us=lambda: page.world.now_us)
    assert (again.step(), sum(asked)) == (0, 0)
    assert ids(page.timeline) == ["b", "a"]


def test_a_record_that_can_never_be_read_holds_nobody_up(page: PageWorld) -> None:
    page.rollouts.append(b"{")
    page.rollouts.append(None)
    page.happen(rollout_record("a"))
    assert (ids(page.timeline), page.chronicle.unreadable, page.chronicle.trouble) == (["a"], 2, "")


def test_what_could_not_be_read_of_a_deployment_is_remembered_until_it_says_more(page: PageWorld) -> None:
    page.rollouts.append(b"{", key=b"demo/loans")
    page.happen(rollout_record("a"))
    assert [page.chronicle.missed(subject) for subject in (SUBJECT, "demo/loans")] == [False, True]
    page.rollouts.append(encoded(rollout_record("b", subject="demo/loans")), key=b"demo/loans")
    page.happen(rollout_record("c"))
    assert not page.chronicle.missed("demo/loans")
    page.rollouts.append(b"{")
    page.happen(rollout_record("d"))
    assert page.chronicle.missed(SUBJECT), "it may have been anybody's"


def test_until_the_topic_was_read_to_its_end_nobody_knows_what_was_said_last(page: PageWorld) -> None:
    class OneByOne(LocalRollouts):
        def poll(self) -> list[Record]:
            self._answer()
            found = self.log[self.position : self.position + 1]
            self.position += len(found)
            return found

    page.rollouts.append(encoded(rollout_record("a")))
    page.rollouts.append(encoded(rollout_record("b", at=NOON + timedelta(seconds=1))))
    log = OneByOne(log=page.rollouts.log)
    chronicle = Chronicle(log=log, timeline=page.timeline, clock_us=lambda: page.world.now_us)
    told = [chronicle.missed(SUBJECT)]
    for _ in range(2):
        assert chronicle.step() == 1
        told.append(chronicle.missed(SUBJECT))
    assert told == [True, True, False]
    log.away = True
    page.world.now_us += PAUSE_US
    chronicle.step()
    log.away = False
    page.rollouts.append(encoded(rollout_record("c", at=NOON + timedelta(seconds=2))))
    page.rollouts.append(encoded(rollout_record("d", at=NOON + timedelta(seconds=3))))
    page.world.now_us += PAUSE_US
    assert chronicle.step() == 1
    assert chronicle.missed(SUBJECT), "it was away, and not all that was said meanwhile was read"
    chronicle.step()
    assert not chronicle.missed(SUBJECT)


def test_a_clock_of_ours_that_runs_ahead_takes_nothing_from_the_timeline(page: PageWorld) -> None:
    page.happen(rollout_record("a"), rollout_record("b", at=NOON + timedelta(seconds=1)))
    page.world.now_us += 2 * KEEP_US
    page.happen(rollout_record("c", at=NOON + timedelta(seconds=2)))
    assert ids(page.timeline) == ["c", "b", "a"]


def test_a_broker_that_is_away_is_said_and_asked_again_after_a_pause(page: PageWorld) -> None:
    page.rollouts.append(encoded(rollout_record("a")))
    page.rollouts.away = True
    assert page.chronicle.step() == 0
    assert "away" in page.chronicle.trouble
    page.rollouts.away = False
    assert page.chronicle.step() == 0, "the pause is not over"
    page.world.now_us += PAUSE_US
    assert page.chronicle.step() == 1
    assert (ids(page.timeline), page.chronicle.trouble) == (["a"], "")


def test_what_a_failing_store_did_not_take_is_read_again(page: PageWorld, tmp_path: Path) -> None:
    page.rollouts.append(encoded(rollout_record("a")))
    empty = SqlTimeline(f"sqlite:///{tmp_path / 'without-tables.db'}")
    chronicle = Chronicle(log=page.rollouts, timeline=empty, clock_us=lambda: page.world.now_us)
    assert chronicle.step() == 0
    assert chronicle.trouble
    empty.close()
    assert page.chronicle.step() == 1
    assert ids(page.timeline) == ["a"]


def test_no_topic_yet_is_said(page: PageWorld) -> None:
    page.rollouts.topic_id = None
    page.chronicle.step()
    assert page.chronicle.trouble == "the topic of rollouts does not exist yet"


def test_what_happened_too_long_ago_is_not_kept(page: PageWorld) -> None:
    old = NOON - timedelta(microseconds=KEEP_US)
    page.happen(rollout_record("old", at=old - timedelta(days=1)), rollout_record("kept", at=old + timedelta(days=1)))
    assert ids(page.timeline) == ["kept"]


def test_a_clock_that_runs_ahead_does_not_stay_the_newest_for_ever() -> None:
    value = encoded(rollout_record("a", at=NOON + timedelta(days=999)))
    assert read(Record(0, 0, NOON_US, None, value)).last_us == NOON_US


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        pytest.param(None, "bytes", id="a tombstone"),
        pytest.param(b"x" * (MOST_BYTES + 1), "bytes", id="far too large"),
        pytest.param(b"[]", "no rollout record", id="no object"),
        pytest.param(encoded(rollout_record("a", subject="Demo/x")), "no deployment's", id="no name of a deployment"),
        pytest.param(encoded(rollout_record("i" * 129)), "id: 129", id="an endless id"),
    ],
)
def test_what_can_never_be_shown(value: bytes | None, reason: str) -> None:
    with pytest.raises(Unreadable, match=reason):
        read(Record(0, 0, NOON_US, None, value))
