"""What is put away beside a reader, on both databases: duties, pieces, a kill before any statement, two at work.

`tests/unit/monitor/test_retention.py` says what is kept and for how long.
"""

from __future__ import annotations

import itertools
import json
import os
import random
import signal
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import event as sql_event
from switchyard_contracts.alarm_records import Standing
from switchyard_contracts.retention import LABEL_BYTES, PREDICTION_BYTES, SERVER_TIMES
from switchyard_contracts.windows import DAY_US, HOUR_US
from switchyard_monitor.adapters import tables
from switchyard_monitor.adapters.drift_book import SqlDriftBook
from switchyard_monitor.adapters.store import SqlStore
from switchyard_monitor.baselines import Baselines
from switchyard_monitor.domain import identity
from switchyard_monitor.domain.alarms import Look, State
from switchyard_monitor.domain.changes import Changes
from switchyard_monitor.domain.entries import DECISION, OUTCOME, Arm, Pair, Pred, Version
from switchyard_monitor.domain.needs import Unjudged
from switchyard_monitor.domain.profiling import ProfileKey, Span
from switchyard_monitor.domain.retention import Gone, Keep, Rungs
from switchyard_monitor.domain.rules import Rule
from switchyard_monitor.drift_keeper import DriftKeeper
from switchyard_monitor.errors import Relieved
from switchyard_monitor.ports import Duty, Lease, Tidying, Work
from switchyard_monitor.pruner import ROWS, Piece
from switchyard_profile.profile import Profile
from switchyard_testkit.databases import Databases, SqliteFiles
from switchyard_testkit.local_broker import LocalBroker
from switchyard_testkit.monitor_world import (
    MONITORING,
    NOON_US,
    REFERENCE,
    SECOND,
    SUBJECT,
    WATCHED,
    World,
    decision,
    inference,
    mirrored,
    outcome,
)

Open = Callable[[], SqlStore]
RULE = Rule(SUBJECT, task="regression", outcome="$")
DAY, HOUR = 86_400, 3_600
KEEP = Keep(rows_us=0, hourly_us=3 * DAY_US, daily_us=9 * DAY_US)
LOANS = "demo/loans"
PATIENT = {**MONITORING, "outcome": {**MONITORING["outcome"], "horizon": "60d"}}
ME = ["monitor-0"]
PIECE = Piece(rows=12, keys=6, moves=8)
SHARDS = 4
FIRST, LAST = b"", b"\xff" * 17


@pytest.fixture
def opened(databases: Databases) -> Iterator[Open]:
    """Opens the same database each time, as processes do beside each other."""
    url, held = databases.up_to_date(), list[SqlStore]()

    def open_store() -> SqlStore:
        held.append(SqlStore(url))
        return held[-1]

    yield open_store
    for store in held:
        store.close()


def k(number: int) -> bytes:
    return number.to_bytes(16)


def label(at_us: int, rule: int | None = None, *, kind: str = OUTCOME) -> Version:
    return Version(kind, f"e{at_us}", 0, at_us, at_us, 1.0, "human", rule)


def hold(store: SqlStore, duty: Duty, *, now_us: int = 0) -> None:
    with store.upkeep.begin() as tidying:
        tidying.hold(duty, now_us=now_us, ttl_us=10)


def claim(store: SqlStore, member: str, *, now_us: int = 0, name: str = ROWS) -> Duty:
    duty = store.upkeep.claim(name, member, now_us=now_us, ttl_us=10)
    assert duty is not None
    return duty


def test_a_duty_is_one_members_until_it_expires_or_is_given_back(opened: Open) -> None:
    one, other = opened(), opened()
    duty = claim(one, "a")
    assert other.upkeep.claim(ROWS, "b", now_us=9, ttl_us=10) is None
    assert other.upkeep.claim(SUBJECT, "b", now_us=0, ttl_us=10) is not None, "another duty"
    hold(one, duty, now_us=9)
    assert other.upkeep.claim(ROWS, "b", now_us=18, ttl_us=10) is None, "what is worked at is kept"
    assert claim(other, "b", now_us=19).epoch == duty.epoch + 1
    with pytest.raises(Relieved, match="no longer a's at epoch 1"):
        hold(one, duty, now_us=19)
    again = claim(other, "b", now_us=20)
    other.upkeep.release(again)
    other.upkeep.release(again)
    assert claim(one, "a", now_us=20).epoch == 4


def filled(store: SqlStore) -> tuple[int, int]:
    """Rows of two deployments' keys, some of them old; the numbers of their arms."""
    store.prepare([0])
    position = store.claim(0, "a", now_us=0, ttl_us=10)
    assert position is not None
    lease = Lease(0, "a", position.epoch)
    store.start(lease, topic_id="t", offset=0)
    with store.begin() as batch:
        rule, loans = batch.rule_id(RULE), batch.rule_id(Rule(LOANS, task="regression", outcome="$"))
        arms = tuple(batch.book.id_of(Arm(each, "r", "stable", 1, 10_000, "split")) for each in (rule, loans))
        changes = Changes(
            preds=[
                (k(1), Pred(arms[0], 10, 1, 1, 1.0)),
                (k(1), Pred(arms[1], 11, 2, 1, 1.0)),
                (k(2), Pred(arms[0], 90, 1, 1, 1.0)),
                (k(3), Pred(arms[1], 10, 1, 1, 1.0)),
            ],
            versions=[
                (k(1), label(12, rule)),
                (k(1), label(13, rule, kind=DECISION)),
                (k(4), label(14, loans)),
                (k(5), label(15)),
            ],
            exchanges=[(k(1), 7, 10), (k(6), 8, 20), (k(7), 9, 90)],
            inputs=[(k(8), 10, 1, 20, None), (k(9), 11, 1, 90, None)],
            labels={SUBJECT: {"in": 2, "joined": 2}, LOANS: {"in": 1, "orphan": 1}},
        )
        batch.lock(lease, 0)
        batch.write(lease, Work(changes=changes, next_offset=1, watermark_us=1))
    return arms[0], arms[1]


def test_what_is_old_is_found_in_pieces_of_the_keys(opened: Open) -> None:
    store = opened()
    filled(store)
    whole = store.upkeep.look(FIRST, LAST, before_us=50, seen_us=50, rows=100, keys=100)
    assert {(int.from_bytes(row.key), row.subject) for row in whole.rows} == {
        (1, SUBJECT),
        (1, LOANS),
        (3, LOANS),
        (4, LOANS),
        (5, None),
    }
    assert (whole.remains, whole.end) == (True, LAST)
    for size in (1, 2, 3):
        for keys in (1, 2, 100):
            place, found, pieces = FIRST, [], 0
            while place < LAST:
                piece = store.upkeep.look(place, LAST, before_us=50, seen_us=50, rows=size, keys=keys)
                assert piece.end > place
                assert all(place <= row.key < piece.end for row in piece.rows)
                found += piece.rows
                place, pieces = piece.end, pieces + 1
            assert {row.key for row in found} == {row.key for row in whole.rows}
            assert pieces > 1
    assert not store.upkeep.look(FIRST, LAST, before_us=0, seen_us=10, rows=100, keys=100).remains


def test_a_kind_without_a_time_is_not_looked_through(opened: Open) -> None:
    """Predictions and labels lie at 1 to 5, what was seen without a Y at 1 and 6 to 9."""
    store = opened()
    filled(store)
    seen = store.upkeep.look(FIRST, LAST, before_us=0, seen_us=50, rows=3, keys=100)
    assert (seen.rows, seen.remains, seen.end) == ([], True, LAST)
    kept = store.upkeep.look(k(6), LAST, before_us=50, seen_us=0, rows=1, keys=100)
    assert (kept.rows, kept.remains, kept.end) == ([], False, LAST)


def test_what_is_forgotten_is_gone_and_the_ledger_says_so(opened: Open) -> None:
    store = opened()
    filled(store)
    with store.upkeep.begin() as tidying:
        assert set(tidying.entries([k(1), k(4), k(99)])) == {k(1), k(4)}
        gone = Gone([k(1), k(4)], {LOANS: {"orphan": -1, "expired": 1}})
        assert tidying.forget(gone, k(0), k(7), seen_us=50) == 7
    again = opened()
    assert [again.entry(k(number))[0] is None for number in range(1, 10)] == [
        *(True, False, False, True, False),
        *(True, False, False, False),
    ]
    assert again.labels(LOANS) == {"in": 1, "expired": 1}
    assert again.labels(SUBJECT) == {"in": 2, "joined": 2}


def test_what_was_begun_and_not_committed_never_was(opened: Open) -> None:
    store = opened()
    filled(store)

    def fail() -> None:
        with store.upkeep.begin() as tidying:
            tidying.forget(Gone([k(1)], {SUBJECT: {"expired": 1}}), FIRST, LAST, seen_us=50)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    entry, _ = store.entry(k(1))
    assert entry is not None
    assert len(entry.preds) == len(entry.versions) == 2
    assert store.labels(SUBJECT) == {"in": 2, "joined": 2}


def test_what_another_thread_writes_meanwhile_commits_nothing_of_it(opened: Open) -> None:
    """To SQLite both have one connection."""
    store = opened()
    filled(store)
    handing = threading.Thread(target=store.keep_baseline, args=(REFERENCE.digest, b"{}"))

    def fail() -> None:
        with store.upkeep.begin() as tidying:
            tidying.forget(Gone([k(1)], {SUBJECT: {"expired": 1}}), FIRST, LAST, seen_us=50)
            handing.start()
            handing.join(0.2)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    handing.join(30)
    assert store.baseline(REFERENCE.digest) == b"{}"
    assert store.entry(k(1))[0] is not None
    assert store.labels(SUBJECT) == {"in": 2, "joined": 2}


def test_profiles_go_with_the_windows_of_their_time_and_no_reference_goes(opened: Open) -> None:
    store = opened()
    filled(store)
    store.keep_baseline(REFERENCE.digest, b"{}")
    lease = Lease(0, "a", store.positions()[0].epoch)
    columns = {binning.name: list[float]() for binning in REFERENCE.binnings}
    profile = Profile.of(REFERENCE.digest, REFERENCE.binnings, columns, rows=0)
    starts = (0, DAY_US - 1, DAY_US, 3 * DAY_US)
    places = [ProfileKey(name, "r", "stable", 1, REFERENCE.digest, at) for name in (SUBJECT, LOANS) for at in starts]
    with store.begin() as batch:
        batch.lock(lease, 1)
        profiles = dict.fromkeys(places, profile)
        batch.write(lease, Work(changes=Changes(profiles=profiles), next_offset=2, watermark_us=1))

    def left(subject: str) -> list[int]:
        wanted = Span(subject=subject, baseline=REFERENCE.digest, since_us=0, until_us=2**62)
        return sorted(key.start_us for key in store.profiles(wanted))

    with store.upkeep.begin() as tidying:
        assert not tidying.drop(SUBJECT, before_us=DAY_US)
    assert (left(SUBJECT), left(LOANS)) == ([DAY_US, 3 * DAY_US], list(starts))
    assert store.baseline(REFERENCE.digest) == b"{}", "nobody knows who will name it"


def test_what_is_not_judged_yet_is_found_of_each_deployment_by_itself(opened: Open) -> None:
    store = opened()

    def unjudged(subject: str) -> Unjudged:
        with store.upkeep.begin() as tidying:
            return tidying.unjudged(subject)

    assert unjudged(SUBJECT) == Unjudged()
    state = State("d", "r", 40, looks=(Look(30, Standing.BREACH, 1.0, 5, "five"),), firing=True)
    lease = Lease(0, "a", _started(store))
    columns = {binning.name: list[float]() for binning in REFERENCE.binnings}
    profile = Profile.of(REFERENCE.digest, REFERENCE.binnings, columns, rows=0)
    places = [(SUBJECT, "b1", 90), (SUBJECT, "b1", 70), (SUBJECT, "b2", 80), (LOANS, "b1", 10)]
    with store.upkeep._write() as connection:
        body = json.dumps(state.encode())
        connection.execute(tables.alarm.insert().values(subject=SUBJECT, name="worse", firing=1, body=body))
    with store.begin() as batch:
        batch.lock(lease, 0)
        keys = [ProfileKey(name, "r", "stable", 1, baseline, at) for name, baseline, at in places]
        batch.write(lease, Work(changes=Changes(profiles=dict.fromkeys(keys, profile)), next_offset=1, watermark_us=1))
    assert unjudged(SUBJECT) == Unjudged({"worse": state}, {"b1": 70, "b2": 80})
    assert unjudged(LOANS) == Unjudged({}, {"b1": 10})


def _started(store: SqlStore) -> int:
    """The epoch by which partition 0 is held."""
    store.prepare([0])
    position = store.claim(0, "a", now_us=0, ttl_us=10)
    assert position is not None
    store.start(Lease(0, "a", position.epoch), topic_id="t", offset=0)
    return position.epoch


def test_windows_are_moved_a_piece_at_a_time_and_late_sums_follow_them(opened: Open) -> None:
    store = opened()
    number, _ = filled(store)
    lease = Lease(0, "a", store.positions()[0].epoch)
    with store.begin() as batch:
        pair = batch.book.pair_id(Pair(batch.book.arm(number).rule, "r", "s", 1))
        cells = {(number, at * HOUR_US // 2): {"requests": 1, "predictions": 10} for at in range(8)}
        pairs = {(pair, at * HOUR_US // 2): {"n": 1, "agree": 10} for at in range(8)}
        batch.lock(lease, 1)
        batch.write(lease, Work(changes=Changes(cells=cells, pairs=pairs), next_offset=2, watermark_us=1))
    pieces, more = 0, True
    while more:
        with store.upkeep.begin() as tidying:
            more = tidying.coarsen(SUBJECT, to=Rungs(3 * HOUR_US, 0), most=1)
            pieces += 1
    assert pieces >= 6

    def lie(which: str) -> dict[float, tuple[int, ...]]:
        held: Any = store.cells([number]) if which == "arm" else store.pair_cells([pair])
        return {cell.start_us / HOUR_US: tuple(cell.sums.values()) for cell in held}

    assert lie("arm") == {0: (20, 2), 1: (20, 2), 2: (20, 2), 3: (10, 1), 3.5: (10, 1)}
    assert set(lie("pair")) == {0, 1, 2, 3, 3.5}
    with store.begin() as batch:
        late = {(number, at * HOUR_US // 2): {"requests": 1, "predictions": 10} for at in (1, 5, 6, 7)}
        batch.lock(lease, 2)
        batch.write(lease, Work(changes=Changes(cells=late), next_offset=3, watermark_us=1))
    assert lie("arm") == {0: (30, 3), 1: (20, 2), 2: (30, 3), 3: (20, 2), 3.5: (20, 2)}
    with store.upkeep.begin() as tidying:
        assert not tidying.coarsen(SUBJECT, to=Rungs(HOUR_US, 0), most=1), "a mark never goes back"
        assert not tidying.coarsen(LOANS, to=Rungs(HOUR_US, 0), most=1)
    with store.upkeep.begin() as tidying:
        while tidying.coarsen(SUBJECT, to=Rungs(DAY_US, DAY_US), most=100):
            pass
    assert lie("arm") == {0: (30, 12), 1: (20,), 2: (30,), 3: (40,)}
    with store.begin() as batch:
        batch.lock(lease, 3)
        late = {(number, HOUR_US * 5 // 2): {"requests": -1, "predictions": -10}}
        batch.write(lease, Work(changes=Changes(cells=late), next_offset=4, watermark_us=1))
    assert lie("arm") == {0: (30, 11), 1: (20,), 2: (20,), 3: (40,)}
    totals = [cell.sums for cell in store.totals([number])], [cell.sums for cell in store.pair_totals([pair])]
    assert totals == ([{"requests": 11, "predictions": 110}], [{"n": 8, "agree": 80}])
    with store.upkeep.begin() as tidying:
        assert not tidying.drop(SUBJECT, before_us=0)
        assert not tidying.drop(SUBJECT, before_us=DAY_US)
    assert (lie("arm"), lie("pair")) == ({}, {})
    assert totals == ([cell.sums for cell in store.totals([number])], [c.sums for c in store.pair_totals([pair])])


def test_the_newest_window_of_a_deployment_and_of_roles(opened: Open) -> None:
    store = opened()
    number, _ = filled(store)
    lease = Lease(0, "a", store.positions()[0].epoch)
    with store.begin() as batch:
        shadow = batch.book.id_of(replace(batch.book.arm(number), role="shadow"))
        cells = {(arm, at): {"requests": 1} for arm, at in ((number, 5), (number, 70), (shadow, 3), (shadow, 60))}
        batch.lock(lease, 1)
        batch.write(lease, Work(changes=Changes(cells=cells), next_offset=2, watermark_us=1))
    upkeep = store.upkeep
    found = [upkeep.newest(SUBJECT), upkeep.newest(SUBJECT, {"shadow", "candidate"}), upkeep.newest(SUBJECT, {"other"})]
    assert found == [70, 60, None]
    assert upkeep.newest(LOANS) is None


def test_rows_take_what_lint_says(opened: Open) -> None:
    """Minted ids, whose labels come in their order; events' ids as the gateway and the feedback service write them."""
    store, count = opened(), 20_000
    number, _ = filled(store)
    lease, chance = Lease(0, "a", store.positions()[0].epoch), random.Random(1)
    rule = store.arm(number).rule
    offset, sizes = 1, [store.upkeep.size().used]

    def uid() -> str:
        return str(uuid.UUID(int=chance.getrandbits(128)))

    def write(changes: Changes) -> None:
        nonlocal offset
        with store.begin() as batch:
            batch.lock(lease, offset)
            batch.write(lease, Work(changes=changes, next_offset=offset + 1, watermark_us=1))
        offset += 1

    rows = [(identity.key(SUBJECT, f"{(at := 1_772_366_400_000 + 10 * i)}-{uid()}"), at * 1000) for i in range(count)]
    for some in batched(rows, 5000):
        preds = [(key, Pred(number, at, identity.short(uid()), at, chance.gauss(), at % 9000)) for key, at in some]
        write(Changes(preds=preds))
    sizes.append(store.upkeep.size().used)
    for some in batched(rows, 5000):
        facts = [(uid(), at + HOUR_US, chance.gauss()) for _, at in some]
        made = [Version(OUTCOME, name, 0, at, at + 12_345, value, "human", rule) for name, at, value in facts]
        write(Changes(versions=[(key, one) for (key, _), one in zip(some, made, strict=True)]))
    sizes.append(store.upkeep.size().used)
    prediction, label = ((after - before) / count for before, after in itertools.pairwise(sizes))
    times = SERVER_TIMES if store.has_server else 1
    assert prediction == pytest.approx(PREDICTION_BYTES * times, rel=0.1)
    assert label == pytest.approx(LABEL_BYTES * times, rel=0.1)


def batched(rows: list[tuple[bytes, int]], size: int) -> Iterator[list[tuple[bytes, int]]]:
    return (rows[place : place + size] for place in range(0, len(rows), size))


def test_the_database_says_how_large_it_is(opened: Open) -> None:
    size = opened().upkeep.size()
    assert size.used > 50_000
    assert size.free is None or size.free > 0


def test_the_database_says_what_time_it_is(opened: Open) -> None:
    store = opened()
    before_us = time.time_ns() // 1000 - 1_000_000
    assert before_us < store.upkeep.now_us() < time.time_ns() // 1000 + 1_000_000


def test_age_is_the_brokers_and_a_quiet_partition_has_that_of_the_newest_event(opened: Open) -> None:
    store = opened()
    store.prepare([0, 1])
    leases = []
    for number in (0, 1):
        position = store.claim(number, "a", now_us=0, ttl_us=10)
        assert position is not None
        leases.append(Lease(number, "a", position.epoch))
        store.start(leases[-1], topic_id="t", offset=0)

    def ages() -> list[int | None]:
        return [position.aged_us for position in store.positions()]

    store.renew(leases, now_us=1, ttl_us=10, watermarks={0: 900, 1: 900})
    assert ages() == [None, None], "no event, no age"
    for offset, broker_us in enumerate((70, 9_999, 80)):
        with store.begin() as batch:
            batch.lock(leases[0], offset)
            batch.write(leases[0], Work(changes=Changes(), next_offset=offset + 1, watermark_us=broker_us))
        assert ages()[0] == broker_us, "what one event said of the future the next one mends"
        store.renew(leases, now_us=2, ttl_us=10, watermarks={1: 900})
        assert ages() == [broker_us, broker_us]
    store.renew(leases, now_us=2, ttl_us=10, watermarks={})
    assert ages() == [80, 80]


def story(world: World) -> None:
    """Two deployments; ids of both kinds; labels that are joined, wait and waited; failures and repeats."""
    world.store.keep_baseline(REFERENCE.digest, REFERENCE.to_bytes())
    world.teach(WATCHED)
    world.teach(PATIENT, subject=LOANS)
    for i in range(6):
        at = i * 30 * HOUR
        for subject in (SUBJECT, LOANS):
            world.say(inference(f"p{i}", at=at, subject=subject), at=at)
            world.say(mirrored(f"p{i}", at=at + 1, subject=subject), at=at + 1)
            world.say(outcome(f"p{i}", float(i), at=at, subject=subject), at=at + 2)
            world.say(outcome(f"orphan{i}", float(i), at=at, subject=subject), at=at + 2)
        world.say(decision(f"p{i}", True, at=at), at=at + 2)
        world.say(inference(f"p{i}", at=at, event_id=f"again-{i}"), at=at + 3)
        world.say(inference(f"f{i}", at=at, error=True, status=503), at=at + 3)
    world.say(inference("last", at=11 * DAY), at=11 * DAY)


def open_world(folder: Path, url: str) -> World:
    """As a process finds it: the database as it was left, the log as it always was."""
    world = World(folder, url=url, broker=LocalBroker(), now_us=NOON_US + 11 * DAY * SECOND)
    story(world)
    return world


def read(world: World) -> None:
    """Read all there is, and judge its drift."""
    world.run()
    world.pass_time(5)
    world.run()
    book = SqlDriftBook(world.url or "")
    keeper = DriftKeeper(
        member="monitor-0",
        store=world.store,
        book=book,
        baselines=Baselines(world.store),
        clock_us=lambda: world.now_us,
    )
    while keeper.step():
        pass
    book.close()


def tidy(world: World) -> None:
    """Read all there is, and put away what is old."""
    read(world)
    world.pruner(keep=KEEP, piece=PIECE).run(ME)


def books(world: World) -> tuple[Any, ...]:
    """Everything that must be the same."""
    store = world.store
    entries = {
        (subject, name): store.entry(identity.key(subject, name))[0] is not None
        for subject in (SUBJECT, LOANS)
        for name in [f"{kind}{i}" for kind in ("p", "orphan", "f") for i in range(6)]
    }
    sums = [
        (world.sums(subject), world.pair_sums(subject), store.labels(subject), totals(store, subject))
        for subject in (SUBJECT, LOANS)
    ]
    left = store.upkeep.look(FIRST, LAST, before_us=2**62, seen_us=2**62, rows=10**6, keys=10**6)
    return world.ledger(), entries, sums, drift(world), sorted(left.rows), left.remains


def drift(world: World) -> tuple[Any, ...]:
    """What is kept of X and Y, what was found in them, and what is to be learnt of."""
    wanted = Span(subject=SUBJECT, baseline=REFERENCE.digest, since_us=0, until_us=2**62)
    book = SqlDriftBook(world.url or "")
    windows = book.windows(SUBJECT, REFERENCE.digest)
    found = [
        (window, book.features(SUBJECT, REFERENCE.digest, window.revision, starts=[window.start_us]))
        for window in windows
    ]
    book.close()
    return sorted(world.store.profiles(wanted)), found, world.store.lessons(LOANS, "stable-1")


def totals(store: SqlStore, subject: str) -> list[Any]:
    cells = [(cell.arm.revision, cell.arm.role, cell.sums) for cell in store.totals(store.arms(subject))]
    days = [(cell.arm.revision, cell.arm.role, cell.sums) for cell in store.day_totals(store.arms(subject))]
    return [*cells, *days, *(cell.sums for cell in store.pair_totals(store.pairs(subject)))]


def killed_at(folder: Path, url: str, statement: int) -> bool:
    """Read it all, then be killed before that statement or commit of the round; whether there was one."""
    child = os.fork()
    if child:
        return os.WIFSIGNALED(os.waitpid(child, 0)[1])
    try:
        world = open_world(folder, url)
        read(world)
        left = statement

        def cut(*_: Any) -> None:
            nonlocal left
            left -= 1
            if left == -1:
                os.kill(os.getpid(), signal.SIGKILL)

        sql_event.listen(world.store._writer, "before_cursor_execute", cut)
        sql_event.listen(world.store._writer, "commit", cut)
        world.pruner(keep=KEEP, piece=PIECE).run(ME)
        os._exit(0)
    finally:
        os._exit(1)


@pytest.mark.timeout(600)
@pytest.mark.parametrize("shard", range(SHARDS))
def test_a_kill_at_any_statement_of_a_round_changes_nothing(databases: Databases, tmp_path: Path, shard: int) -> None:
    """Each shard takes every fourth statement; together they strike all."""

    def lived(folder: Path, url: str) -> tuple[Any, ...]:
        world = open_world(folder, url)
        tidy(world)
        found = books(world)
        world.store.close()
        return found

    expected = lived(tmp_path, SqliteFiles(tmp_path).up_to_date())
    _, entries, (flights, loans), (profiles, found, lessons), *_ = expected
    assert (len(profiles), len(found), sum(lessons.values())) == (9, 4, 6), "some profiles have gone, and their drift"
    assert entries[SUBJECT, "p1"] is False
    assert entries[SUBJECT, "p5"] is entries[LOANS, "p0"] is True
    assert flights[2] == {"in": 18, "joined": 12, "orphan": 3, "expired": 3}
    assert loans[2] == {"in": 12, "joined": 6, "orphan": 6}

    url, statement, struck = databases.up_to_date(), shard, True
    while struck:
        folder = tmp_path / str(statement)
        folder.mkdir()
        struck = killed_at(folder, url, statement)
        assert lived(folder, url) == expected, f"killed at statement {statement}"
        databases.clear(url)
        statement += SHARDS * struck
    assert statement > 50, "the kills must have struck every statement of several pieces"


class Sleepy:
    """The store's own upkeep, for a member that is frozen before its first transaction, and comes back."""

    def __init__(self, store: SqlStore, meanwhile: Callable[[], None]) -> None:
        self._upkeep, self._meanwhile = store.upkeep, [meanwhile]
        self.claim, self.release = self._upkeep.claim, self._upkeep.release
        self.rules, self.look, self.newest = self._upkeep.rules, self._upkeep.look, self._upkeep.newest

    def begin(self) -> AbstractContextManager[Tidying]:
        while self._meanwhile:
            self._meanwhile.pop()()
        return self._upkeep.begin()


def test_a_zombie_that_comes_back_in_the_middle_of_its_piece_writes_nothing(
    databases: Databases, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    world = open_world(tmp_path, databases.up_to_date())
    world.run()
    world.pass_time(5)
    world.run()
    zombie, heir = world.pruner(keep=KEEP, piece=PIECE), world.pruner(keep=KEEP, name="monitor-1")
    after: list[Any] = []

    def take_over() -> None:
        world.pass_time(61)
        heir.run(["monitor-1"])
        after.append(books(world))

    zombie._upkeep = Sleepy(world.store, take_over)
    zombie.run(ME)
    assert heir.rows > 20
    assert zombie.rows == 0
    assert "rows is no longer monitor-0's at epoch 1; nothing was written" in caplog.text
    assert [books(world)] == after
    world.store.close()


@pytest.mark.timeout(600)
def test_what_is_put_away_while_events_are_read_is_what_is_put_away_afterwards(
    databases: Databases, tmp_path: Path
) -> None:
    """Another member does it over connections of its own, as one that was thought dead would, while this one reads."""

    def tell(world: World, i: int) -> None:
        at = i * 12 * HOUR + 7
        world.now_us = NOON_US + at * SECOND
        for n in range(3):
            world.say(inference(f"q{i}-{n}", at=at), at=at)
            if i % 6 < 2:  # while a shadow answers, windows stay
                world.say(mirrored(f"q{i}-{n}", at=at), at=at)
            world.say(outcome(f"q{i}-{n}", 5.0, at=at), at=at)
            # A correction two days later, in a window that is coarser by then; at first of what nobody ever asked.
            world.say(outcome(f"q{i - 4}-{n}", 6.0, at=at, revision=1), at=at)

    def lived(folder: Path, url: str, *, beside: bool) -> tuple[Any, ...]:
        folder.mkdir()
        world, other = World(folder, url=url), World(folder, url=url)
        for each in (world, other):
            each.teach()
        world.run()
        other.models.learn(other.broker.models())
        pruner = other.pruner(
            keep=Keep(rows_us=0, windows_us=DAY_US),
            piece=Piece(rows=30, keys=9, moves=20),
            database_us=NOON_US + 30 * DAY * SECOND,
        )
        with ThreadPoolExecutor(1) as threads:
            for i in range(30):
                tell(world, i)
                putting = threads.submit(pruner.run, ME) if beside else None
                world.run()
                world.pass_time(2)
                world.run()
                if putting is not None:
                    putting.result(60)
        assert (pruner.rows > 60) is beside, "much must have gone while events were read"
        assert any(start % HOUR == 0 for *_, start in world.pair_sums()) is beside, "and windows must have been moved"
        pruner.run(ME)
        found = books(world)
        world.store.close()
        other.store.close()
        return found

    plain = lived(tmp_path / "after", databases.up_to_date(), beside=False)
    ledger, _, (flights, _), _, left, _ = plain
    assert ledger == {"stored": 30 * 6 + 10 * 3 + 12, "superseded": 30 * 3 - 12}
    assert flights[2] == {"in": 180, "joined": 168, "expired": 12}
    assert 0 < len(left) < 300, "some rows have had their time, and some have not"
    assert lived(tmp_path / "beside", databases.up_to_date(), beside=True) == plain
