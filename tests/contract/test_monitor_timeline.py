"""The timeline port: what happened in rollouts is kept once, whatever the order, and only so much of it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from switchyard_monitor.adapters import tables
from switchyard_monitor.adapters.timeline import SqlTimeline
from switchyard_monitor.domain.rollouts import Happening, merge
from switchyard_monitor.errors import StoreUnavailable
from switchyard_testkit.databases import Databases

SUBJECTS = ("demo/a", "demo/b")
Make = Callable[..., SqlTimeline]


@pytest.fixture(scope="module")
def make(databases: Databases) -> Iterator[Make]:
    """Each call has an empty one, unless it says that it is the same as before; the one before is let go of."""
    url, held = databases.up_to_date(), list[SqlTimeline]()

    def open_timeline(*, same: bool = False, most: int = 2000) -> SqlTimeline:
        if held:
            held.pop().close()
        timeline = SqlTimeline(url, most=most)
        held.append(timeline)
        if not same:
            with timeline._writer.begin() as connection:
                connection.execute(tables.rollout_event.delete())
                connection.execute(tables.rollout_place.delete())
        return timeline

    yield open_timeline
    held.pop().close()


def happening(id: str, at: int, *, subject: str = SUBJECTS[0], body: str = "{}") -> Happening:
    return Happening(subject, id, at, at, body)


def learn(timeline: SqlTimeline, said: Sequence[Happening], *, oldest_us: int = 0, offset: int = 1) -> None:
    timeline.learn(said, topic_id="t", offsets={0: offset}, oldest_us=oldest_us)


def test_a_record_said_twice_is_one_with_its_first_time_and_its_last_words(make: Make) -> None:
    timeline = make()
    learn(timeline, [happening("x", 10, body="early"), happening("x", 30, body="late"), happening("x", 20)])
    assert timeline.of(SUBJECTS[0], limit=9) == [Happening(SUBJECTS[0], "x", 10, 30, "late")]


def test_deployments_do_not_share_records_of_the_same_id(make: Make) -> None:
    timeline = make()
    learn(timeline, [happening("x", 10), happening("x", 20, subject=SUBJECTS[1])])
    newest = timeline.latest([*SUBJECTS, "demo/none"])
    assert {subject: item.last_us for subject, item in newest.items()} == {SUBJECTS[0]: 10, SUBJECTS[1]: 20}


def test_the_newest_come_first_and_no_more_than_asked_for(make: Make) -> None:
    timeline = make()
    learn(timeline, [happening(f"{at}", at) for at in (3, 9, 1, 7)])
    assert [item.last_us for item in timeline.of(SUBJECTS[0], limit=2)] == [9, 7]


def test_what_is_older_than_the_limit_is_forgotten_everywhere(make: Make) -> None:
    timeline = make()
    learn(timeline, [happening("old", 5, subject=SUBJECTS[1]), happening("last", 6, subject=SUBJECTS[1])])
    learn(timeline, [happening("new", 50), happening("late", 9)], oldest_us=10)
    assert [item.id for subject in SUBJECTS for item in timeline.of(subject, limit=9)] == ["new", "last"]


def test_the_last_word_on_a_deployment_stays_however_old_it_is(make: Make) -> None:
    timeline = make()
    learn(timeline, [happening("b", 5), happening("a", 5), happening("x", 5, subject=SUBJECTS[1])], oldest_us=1000)
    assert {subject: one.id for subject, one in timeline.latest(SUBJECTS).items()} == {
        SUBJECTS[0]: "b",
        SUBJECTS[1]: "x",
    }
    assert [item.id for item in timeline.of(SUBJECTS[0], limit=9)] == ["b"]


def test_a_restart_reads_on_where_the_last_commit_was_and_keeps_what_it_read(make: Make) -> None:
    learn(make(), [happening("x", 10)], offset=7)
    again = make(same=True)
    assert again.place() == ("t", {0: 7})
    assert [item.id for item in again.of(SUBJECTS[0], limit=9)] == ["x"]


def test_a_topic_made_anew_starts_places_of_its_own_and_keeps_the_records(make: Make) -> None:
    timeline = make()
    assert timeline.place() == (None, {})
    timeline.learn([happening("x", 10)], topic_id="t", offsets={0: 7, 1: 3}, oldest_us=0)
    timeline.learn([], topic_id="u", offsets={0: 2}, oldest_us=0)
    assert timeline.place() == ("u", {0: 2})
    assert len(timeline.of(SUBJECTS[0], limit=9)) == 1


def test_records_and_place_are_written_together_or_not_at_all(make: Make) -> None:
    timeline = make()
    broken = Happening(SUBJECTS[0], "y", 1, 1, None)  # type: ignore[arg-type]
    with pytest.raises(StoreUnavailable):
        learn(timeline, [happening("x", 10), broken], offset=9)
    assert timeline.place() == (None, {})
    assert timeline.of(SUBJECTS[0], limit=9) == []


HAPPENINGS = st.lists(
    st.builds(happening, st.sampled_from("abcdef"), st.integers(1, 20), body=st.sampled_from(("{}", "{1}", "{2}"))),
    max_size=12,
)


@settings(max_examples=25, deadline=None)
@given(said=HAPPENINGS, data=st.data())
def test_order_and_repeats_and_splits_change_nothing(make: Make, said: list[Happening], data: st.DataObject) -> None:
    expected: dict[str, Happening] = {}
    for item in said:
        expected[item.id] = merge(expected[item.id], item) if item.id in expected else item
    shuffled = data.draw(st.permutations(said + said[:3]))
    cut = data.draw(st.integers(0, len(shuffled)))
    timeline = make()
    learn(timeline, shuffled[:cut])
    learn(timeline, shuffled[cut:])
    assert {item.id: item for item in timeline.of(SUBJECTS[0], limit=99)} == expected


@settings(max_examples=25, deadline=None)
@given(said=HAPPENINGS, data=st.data())
def test_the_same_newest_stay_whatever_the_order(make: Make, said: list[Happening], data: st.DataObject) -> None:
    def kept(order: Sequence[Happening]) -> list[tuple[str, int, str]]:
        timeline = make(most=3)
        for item in order:
            learn(timeline, [item])
        return [(item.id, item.last_us, item.body) for item in timeline.of(SUBJECTS[0], limit=99)]

    first = kept(said)
    assert len(first) <= 3
    assert kept(data.draw(st.permutations(said))) == first
