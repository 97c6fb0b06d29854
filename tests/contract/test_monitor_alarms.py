"""Alarms on real databases: one member evaluates at a time, and kill -9 at any statement leads to the same end."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import event as sql_event
from switchyard_contracts.alarm_records import AlarmEvent, AlarmRecord, Standing
from switchyard_monitor.adapters.alarms import MOST_RECORDS, SqlAlarms
from switchyard_monitor.adapters.store import SqlStore
from switchyard_monitor.domain.alarms import Look, State
from switchyard_monitor.domain.roster import Asked, Judged
from switchyard_monitor.domain.sums import only
from switchyard_monitor.errors import Relieved
from switchyard_monitor.ports import Letter, Turn
from switchyard_monitor.reader import Pace
from switchyard_testkit.alarm_world import LABELS, WINDOW, AlarmWorld, rule
from switchyard_testkit.databases import Databases, SqliteFiles
from switchyard_testkit.local_broker import LocalBroker
from switchyard_testkit.monitor_world import NOON, NOON_US, SECOND, SUBJECT, World

TOPIC = "switchyard.alarms"
SHARDS = 2
END = 4 * WINDOW + LABELS + 20
"""Seconds after noon, by which everything can be judged."""


@pytest.fixture
def url(databases: Databases) -> str:
    return databases.up_to_date()


@pytest.fixture
def alarms(url: str) -> Iterator[SqlAlarms]:
    held = SqlAlarms(url)
    yield held
    held.close()


def taken(alarms: SqlAlarms, member: str = "a", *, now_us: int = 0) -> Turn:
    turn = alarms.take(SUBJECT, member, now_us=now_us, ttl_us=10)
    assert turn is not None
    return turn


def record(number: int, event: AlarmEvent = AlarmEvent.FIRED) -> AlarmRecord:
    return AlarmRecord(
        id=f"{number:032x}", event=event, namespace="demo", name="flight-delay", alarm="worse", metric="m", at=NOON
    )


def judged(*records: AlarmRecord, asked: Asked | None = None, **states: State) -> Judged:
    return Judged(states, asked or Asked(), records)


def keep(alarms: SqlAlarms, turn: Turn, found: Judged) -> int:
    return alarms.keep(turn, found, now_us=0, ttl_us=10, topic=TOPIC)


HELD = State("d", "r1", 5 * SECOND, 2 * SECOND, (Look(0, Standing.BREACH, 1.5, 7, "so it is", ("a/b",)),), True, 9, "e")


def test_the_right_to_evaluate_is_one_members_until_it_runs_out(alarms: SqlAlarms) -> None:
    first = taken(alarms)
    assert alarms.take(SUBJECT, "b", now_us=9, ttl_us=10) is None
    assert taken(alarms, now_us=5).epoch == first.epoch, "its own is only renewed"
    assert taken(alarms, "b", now_us=15).epoch == first.epoch + 1
    other = alarms.take("demo/other", "a", now_us=15, ttl_us=10)
    assert other is not None, "each deployment has its own"


def test_who_took_it_back_after_it_ran_out_is_another_owner(alarms: SqlAlarms) -> None:
    """It may have been frozen in between, while somebody else judged."""
    first = taken(alarms)
    assert taken(alarms, now_us=20).epoch > first.epoch


def test_what_is_kept_is_there_for_the_next(alarms: SqlAlarms) -> None:
    asked = Asked(7, "f" * 32)
    assert keep(alarms, taken(alarms), judged(record(1), asked=asked, worse=HELD, slow=HELD)) == 1
    turn = taken(alarms, "b", now_us=10)
    assert (turn.states, turn.asked) == ({"worse": HELD, "slow": HELD}, asked)
    keep(alarms, turn, judged(slow=HELD))
    assert taken(alarms, "b", now_us=10).states == {"slow": HELD}


def test_who_was_relieved_keeps_and_says_nothing(alarms: SqlAlarms, url: str) -> None:
    late = taken(alarms)
    taken(alarms, "b", now_us=10)
    with pytest.raises(Relieved, match="another member"):
        keep(alarms, late, judged(record(1), worse=HELD))
    assert taken(alarms, "b", now_us=10).states == {}
    assert alarms.said(SUBJECT, limit=10).records == []
    store = SqlStore(url)
    assert store.outbox(10) == []
    store.close()


def test_a_record_is_said_and_sent_once(alarms: SqlAlarms, url: str) -> None:
    turn = taken(alarms)
    assert keep(alarms, turn, judged(record(1), record(2))) == 2
    assert keep(alarms, turn, judged(record(2), record(3, AlarmEvent.RETRAIN_REQUESTED), record(4))) == 2
    said = alarms.said(SUBJECT, limit=3)
    assert list(said.records) == [record(4), record(3, AlarmEvent.RETRAIN_REQUESTED), record(2)]
    assert said.request == record(3, AlarmEvent.RETRAIN_REQUESTED)
    store = SqlStore(url)
    letters = store.outbox(10)
    assert [AlarmRecord.model_validate_json(letter.value or b"").id for letter in letters] == [
        record(number).id for number in (1, 2, 3, 4)
    ]
    assert {(letter.topic, letter.key) for letter in letters} == {(TOPIC, SUBJECT.encode())}
    store.close()


def test_the_newest_records_are_kept(alarms: SqlAlarms) -> None:
    keep(alarms, taken(alarms), judged(*(record(number) for number in range(MOST_RECORDS + 5))))
    said = alarms.said(SUBJECT, limit=2 * MOST_RECORDS).records
    assert [said[0].id, said[-1].id, len(said)] == [record(MOST_RECORDS + 4).id, record(5).id, MOST_RECORDS]


def test_heads_name_the_newest_of_each_and_how_many_fire(alarms: SqlAlarms) -> None:
    keep(alarms, taken(alarms), judged(record(1), record(2), worse=HELD, slow=HELD))
    other = alarms.take("demo/other", "a", now_us=0, ttl_us=10)
    assert other is not None
    alarms.keep(other, judged(record(3), calm=State("d", "r", 0)), now_us=0, ttl_us=10, topic=TOPIC)
    assert [(head.deployment, head.newest, head.firing) for head in alarms.heads()] == [
        (SUBJECT, record(2).id, 2),
        ("demo/other", record(3).id, 0),
    ]
    assert alarms.subjects() == [SUBJECT, "demo/other"]


def test_windows_are_read_from_one_time_to_another_and_some_of_their_sums(tmp_path: Path, url: str) -> None:
    watched = AlarmWorld(World(tmp_path, url=url, broker=LocalBroker(1)), url)
    watched.teach()
    for window in range(4):
        watched.serve(window, requests=window + 1)
    watched.tell()
    watched.world.teach(subject="demo/other")
    watched.world.run()
    since, until = NOON_US + 5 * SECOND, NOON_US + 15 * SECOND
    cells = watched.alarms.cells(SUBJECT, since_us=since, until_us=until, names=only("requests"))
    assert sorted((cell.start_us, cell.sums, cell.arm.revision) for cell in cells) == [
        (since, {"requests": 2}, "stable-1"),
        (since + 5 * SECOND, {"requests": 3}, "stable-1"),
    ]
    assert watched.alarms.served(SUBJECT, until_us=NOON_US + 1)
    assert not watched.alarms.served(SUBJECT, until_us=NOON_US)
    assert not watched.alarms.served("demo/other", until_us=2**62)
    watched.close()


# --- kill -9 ---------------------------------------------------------------------------------------------------------


@dataclass
class Posting(LocalBroker):
    """A broker whose letters outlive the process that sent them."""

    box: Path = Path()

    def send(self, letters: Sequence[Letter]) -> None:
        with self.box.open("a", encoding="utf-8") as file:
            file.writelines((letter.value or b"").decode() + "\n" for letter in letters)


def live(folder: Path, url: str, *, cut: Any = None) -> AlarmWorld:
    """Four windows, of which some are bad; two rules, and one of them asks for retraining."""
    world = World(folder, url=url, broker=Posting(box=folder / "letters"), pace=Pace(batch=20, linger=0.0, margin_us=0))
    watched = AlarmWorld(world, url)
    if cut is not None:
        for name in ("before_cursor_execute", "commit"):
            sql_event.listen(watched.alarms._writer, name, cut)
    watched.teach(
        rule("worse", "outcome.rmse", max="3", breaches=2, of=3, cooldown="15s"),
        rule("failing", "error_rate", max="20%", cooldown="1s"),
        retrain={"alarms": ["worse"], "cooldown": "10s"},
    )
    for window, (error, failing) in enumerate([(9, 4), (9, 0), (1, 0), (1, 0)]):
        watched.serve(window, error=float(error), failing=failing)
    watched.tell()
    watched.world.models.learn(watched.world.broker.models())
    # What was read is judged before more is, so that it begins with the same window in whatever process.
    watched.judge()
    while watched.world.reader.step():
        watched.world.pass_time(1)
        watched.judge()
    watched.until(END)
    watched.world.pass_time(20)
    watched.world.run()
    watched.judge()
    return watched


def killed_at(folder: Path, url: str, statement: int) -> bool:
    """Live in a process of its own and be killed before that statement or commit; whether there was one."""
    child = os.fork()
    if child:
        return os.WIFSIGNALED(os.waitpid(child, 0)[1])
    try:
        left = statement

        def cut(*_: Any) -> None:
            nonlocal left
            left -= 1
            if left == -1:
                os.kill(os.getpid(), signal.SIGKILL)

        live(folder, url, cut=cut)
        os._exit(0)
    finally:
        os._exit(1)


@pytest.mark.timeout(600)
@pytest.mark.parametrize("shard", range(SHARDS))
def test_a_kill_at_any_statement_leads_to_the_same_alarms(databases: Databases, tmp_path: Path, shard: int) -> None:
    """Each shard takes every other statement; together they strike all."""

    def lived(folder: Path, url: str) -> tuple[Any, ...]:
        watched = live(folder, url)
        said = watched.alarms.said(SUBJECT, limit=100)
        sent = (folder / "letters").read_text().splitlines()
        found = (said, sorted(set(sent)), watched.world.store.outbox(10))
        watched.close()
        return found

    said, sent, waiting = lived(tmp_path, SqliteFiles(tmp_path).up_to_date())
    events = [(one.alarm, one.event.value) for one in reversed(said.records)]
    assert events == [
        ("failing", "Fired"),
        ("failing", "Recovered"),
        ("worse", "Fired"),
        ("worse", "RetrainRequested"),
        ("worse", "Recovered"),
    ]
    assert {AlarmRecord.model_validate_json(one).id for one in sent} == {one.id for one in said.records}
    assert len(sent) == len(events)
    assert waiting == []

    url, statement, struck = databases.up_to_date(), shard, True
    while struck:
        folder = tmp_path / str(statement)
        folder.mkdir()
        struck = killed_at(folder, url, statement)
        assert lived(folder, url) == (said, sent, waiting), f"killed at statement {statement}"
        databases.clear(url)
        statement += SHARDS * struck
    assert statement > 30, "the kills must have struck every statement of several commits"
