"""Several members over one PostgreSQL: whoever reads what, and in whatever order they come, everything is counted once.

Threads stand for processes: each has a store of its own, and they share nothing but the database.
"""

from __future__ import annotations

import itertools
import operator
import random
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import make_url
from switchyard_monitor.adapters import statements, tables
from switchyard_monitor.adapters.store import SqlStore
from switchyard_monitor.domain import identity
from switchyard_monitor.domain.changes import Changes
from switchyard_monitor.domain.entries import Arm, Pred
from switchyard_monitor.domain.profiling import Span
from switchyard_monitor.domain.rules import Rule
from switchyard_monitor.errors import Deposed, StoreUnavailable
from switchyard_monitor.models import Models
from switchyard_monitor.ports import Lease, Work
from switchyard_monitor.reader import Pace, Reader
from switchyard_testkit.local_broker import LocalBroker
from switchyard_testkit.monitor_world import (
    NOON_US,
    REFERENCE,
    SUBJECT,
    WATCHED,
    World,
    decision,
    deletion,
    inference,
    mirrored,
    model_record,
    outcome,
)
from switchyard_testkit.node import pki
from switchyard_testkit.postgres import PASSWORD, Postgres
from switchyard_testkit.waiting import until

PARTITIONS = 4
RULE = Rule(SUBJECT, task="regression", outcome="$")


@pytest.fixture
def url(postgres: Postgres) -> str:
    return postgres.up_to_date()


@pytest.fixture
def opened(url: str) -> Iterator[Callable[[], SqlStore]]:
    """Opens the database as one more process does."""
    held: list[SqlStore] = []

    def open_store() -> SqlStore:
        held.append(SqlStore(url))
        return held[-1]

    yield open_store
    for store in held:
        store.close()


def claimed(store: SqlStore, partition: int, member: str, *, now_us: int = 0) -> Lease:
    position = store.claim(partition, member, now_us=now_us, ttl_us=10)
    assert position is not None
    lease = Lease(partition, member, position.epoch)
    store.start(lease, topic_id="t", offset=0)
    return lease


def waiting(postgres: Postgres) -> int:
    """How many wait for another's lock."""
    with postgres.connect() as connection:
        (count,) = connection.execute("SELECT count(*) FROM pg_locks WHERE NOT granted").fetchone() or (0,)
    return int(count)


def test_who_folds_a_deployment_sees_what_another_member_committed_meanwhile(
    opened: Callable[[], SqlStore], postgres: Postgres
) -> None:
    """An X on one partition and its X′ on another: without the wait neither would find the other's row."""
    one, other = opened(), opened()
    one.prepare([0, 1])
    first, second = claimed(one, 0, "a"), claimed(other, 1, "b")
    key = identity.key(SUBJECT, "p")

    def look() -> dict[bytes, Any]:
        with other.begin() as batch:
            batch.lock(second, 0)
            batch.alone([SUBJECT])
            return batch.entries([key], ())

    with ThreadPoolExecutor(1) as threads:
        with one.begin() as batch:
            batch.lock(first, 0)
            batch.alone([SUBJECT])
            assert batch.entries([key], ()) == {}
            looking: Future[dict[bytes, Any]] = threads.submit(look)
            until(lambda: waiting(postgres) == 1, "the other member waits", seconds=60, every=0.01)
            number = batch.book.id_of(Arm(batch.rule_id(RULE), "r", "stable", 1, 10_000, "split"))
            changes = Changes(preds=[(key, Pred(number, 1, 2, 3, 4.0))])
            batch.write(first, Work(changes=changes, next_offset=1, watermark_us=1))
        assert looking.result(60)[key].preds == [changes.preds[0][1]]


def test_members_that_fold_other_deployments_do_not_wait_for_each_other(opened: Callable[[], SqlStore]) -> None:
    one, other = opened(), opened()
    with one.begin() as first, other.begin() as second:
        first.alone(["demo/a"])
        second.alone(["demo/b"])


def test_a_zombie_that_was_deposed_in_the_middle_of_its_batch_writes_nothing(
    opened: Callable[[], SqlStore],
) -> None:
    zombie, heir = opened(), opened()
    zombie.prepare([0])
    old = claimed(zombie, 0, "a")
    new = claimed(heir, 0, "b", now_us=20)
    with heir.begin() as batch:
        batch.lock(new, 0)
        batch.write(new, Work(changes=Changes(ledger={"stored": 1}), next_offset=1, watermark_us=1))
    with pytest.raises(Deposed), zombie.begin() as batch:
        batch.lock(old, 0)
    assert zombie.renew([old], now_us=21, ttl_us=10, watermarks={}) == []
    assert [ledger.columns for ledger in heir.ledgers()] == [{"stored": 1}]


def test_who_takes_over_waits_for_the_batch_that_its_owner_has_begun(
    opened: Callable[[], SqlStore], postgres: Postgres
) -> None:
    owner, heir = opened(), opened()
    owner.prepare([0])
    old = claimed(owner, 0, "a")
    with ThreadPoolExecutor(1) as threads:
        with owner.begin() as batch:
            batch.lock(old, 0)
            taking = threads.submit(heir.claim, 0, "b", now_us=20, ttl_us=10)
            until(lambda: waiting(postgres) == 1, "the heir waits", seconds=60, every=0.01)
            batch.write(old, Work(changes=Changes(ledger={"stored": 1}), next_offset=1, watermark_us=1))
        position = taking.result(60)
    assert position is not None
    assert (position.next_offset, position.epoch) == (1, old.epoch + 1)


def test_a_member_that_is_frozen_in_the_middle_of_its_batch_holds_nobody_up_for_ever(
    opened: Callable[[], SqlStore],
) -> None:
    """The server ends its transaction; the real limit is a minute, and here it is a moment."""
    frozen, heir = opened(), opened()
    frozen.prepare([0])
    old = claimed(frozen, 0, "a")

    def freeze() -> None:
        with frozen.begin() as batch:
            batch.lock(old, 0)
            batch.alone([SUBJECT])
            statements.execute(batch._connection, "SET LOCAL idle_in_transaction_session_timeout = '200ms'")
            position = heir.claim(0, "b", now_us=20, ttl_us=10)
            assert position is not None
            batch.entries([bytes(16)], ())

    with pytest.raises(StoreUnavailable, match="idle-in-transaction"):
        freeze()
    assert frozen.renew([old], now_us=21, ttl_us=10, watermarks={}) == []


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        pytest.param({"password": "wrong"}, "password authentication failed", id="another password"),
        pytest.param({"host": "localhost", "query": {"sslmode": "verify-full"}}, "certificate", id="nobody vouches"),
        pytest.param({"database": "nowhere"}, "does not exist", id="no such database"),
    ],
)
def test_a_server_that_does_not_let_us_in_is_said_without_the_password(
    url: str, changes: dict[str, Any], says: str, tmp_path: Path
) -> None:
    if "query" in changes:
        pki.make_authority(tmp_path, "another")
        changes = {**changes, "query": {**changes["query"], "sslrootcert": str(tmp_path / "ca.crt")}}
    store = SqlStore(make_url(url).set(**changes).render_as_string(hide_password=False))
    with pytest.raises(StoreUnavailable, match=says) as refused:
        store.migrate()
    assert PASSWORD not in str(refused.value)
    store.close()


@dataclass
class Member:
    """One replica: a store, a client of the broker and a reader of its own. It is killed and replaced as told."""

    name: str
    url: str
    log: LocalBroker
    clock_us: Callable[[], int]

    def __post_init__(self) -> None:
        self.store = SqlStore(self.url)
        broker = replace(self.log, sent=[])
        broker.restart_learning()
        self.reader = Reader(
            member=self.name,
            broker=broker,
            store=self.store,
            models=Models(),
            pace=Pace(batch=7, linger=0.0, lease_us=2_000_000, pulse_us=0, margin_us=0),
            clock_us=self.clock_us,
        )

    def step(self) -> None:
        """One pass, as the process makes it."""
        try:
            self.reader.step()
        except StoreUnavailable:
            self.reader.reset()


def history(chance: random.Random) -> list[bytes]:
    """Ys, mirrored Ys, outcomes in versions and decisions, shuffled, some of them twice."""
    said: list[bytes] = []
    for i in range(120):
        name = f"p{i}"
        said.append(inference(name, y=chance.gauss(0, 30), at=chance.random()))
        if chance.random() < 0.5:
            said.append(mirrored(name, y=chance.gauss(0, 30), at=chance.random()))
        said += [outcome(name, chance.gauss(0, 30), at=2, revision=r) for r in range(chance.randrange(3))]
        if chance.random() < 0.5:
            said.append(decision(name, chance.random() < 0.5, at=2))
    said += chance.choices(said, k=40)
    chance.shuffle(said)
    return said


def taught(log: LocalBroker, said: list[bytes], chance: random.Random) -> LocalBroker:
    """The log with the deployment and its events, over all partitions as it falls."""
    log.teach(SUBJECT, model_record(WATCHED))
    for value in said:
        log.append(value, partition=chance.randrange(log.partitions), at_us=NOON_US + 3_000_000)
    return log


def books(store: SqlStore) -> tuple[Any, ...]:
    """What must not depend on who read what, and when."""
    cells = [(cell.arm.revision, cell.arm.role, cell.start_us, cell.sums) for cell in store.cells(store.arms(SUBJECT))]
    totals = [(cell.arm.revision, cell.arm.role, cell.sums) for cell in store.totals(store.arms(SUBJECT))]
    pairs = [(cell.start_us, cell.sums) for cell in store.pair_cells(store.pairs(SUBJECT))]
    by_name = operator.itemgetter(0, 1)
    profiles = store.profiles(Span(subject=SUBJECT, baseline=REFERENCE.digest, since_us=0, until_us=2**62))
    return (
        sorted(cells, key=operator.itemgetter(0, 1, 2)),
        sorted(totals, key=by_name),
        pairs,
        store.labels(SUBJECT),
        profiles,
    )


@pytest.mark.parametrize("seed", range(3))
def test_three_members_of_which_one_falls_silent_count_as_one_does(
    seed: int, opened: Callable[[], SqlStore], url: str, tmp_path: Path
) -> None:
    chance = random.Random(seed)
    said = history(chance)
    plain = World(tmp_path, broker=taught(LocalBroker(1), said, chance))
    plain.store.keep_baseline(REFERENCE.digest, REFERENCE.to_bytes())
    plain.run()
    expected = books(plain.store)
    assert sum(profile.rows for profile in expected[-1].values()) > 120
    plain.store.close()

    log = taught(LocalBroker(PARTITIONS), said, chance)
    ticks = itertools.count(NOON_US, 20_000)
    members = [Member(name, url, log, lambda: next(ticks)) for name in "abc"]
    watching = opened()
    watching.keep_baseline(REFERENCE.digest, REFERENCE.to_bytes())

    def read() -> int:
        return sum(position.next_offset or 0 for position in watching.positions())

    def live(member: Member) -> None:
        while read() < len(said) and not (member.name == "a" and read() > len(said) // 3):
            member.step()

    with ThreadPoolExecutor(3) as threads:
        for living in [threads.submit(live, member) for member in members]:
            living.result(90)
    assert read() == len(said)
    assert sum(sum(ledger.columns.values()) for ledger in watching.ledgers()) == len(said)
    assert books(watching) == expected
    for member in members:
        member.store.close()


@pytest.mark.parametrize("seed", range(3))
def test_both_databases_hold_the_same_rows_bit_for_bit(seed: int, url: str, tmp_path: Path) -> None:
    """Poison, erasures, records that wait for their deployment and all the rest, read in batches of one length."""
    chance = random.Random(seed)
    said = [*history(chance), b"\xff poison", *(deletion(f"p{i}") for i in range(0, 120, 9))]
    said += [inference(f"z{i}", subject="demo/unknown", y=0.1 * i) for i in range(5)]
    said += [inference("long", y=5e-324), outcome("long", -1.7976931348623157e308), inference("ä-ß".encode().hex())]
    chance.shuffle(said)

    def lived(folder: Path, url: str | None) -> dict[str, list[tuple[Any, ...]]]:
        folder.mkdir()
        log = taught(LocalBroker(PARTITIONS), said, random.Random(seed))
        world = World(folder, url=url, broker=log, pace=Pace(batch=13, linger=0.0, margin_us=0))
        world.store.keep_baseline(REFERENCE.digest, REFERENCE.to_bytes())
        world.run()
        with world.store._reader.connect() as connection:
            found = {
                table.name: sorted(map(tuple, connection.execute(table.select())), key=repr)
                for table in tables.metadata.sorted_tables
            }
        world.store.close()
        return found

    ours, theirs = lived(tmp_path / "sqlite", None), lived(tmp_path / "postgres", url)
    assert len(ours["cell"]) > 5
    assert len(ours["held"]) == 5
    assert len(ours["profile"]) > 5
    for name, rows in ours.items():
        assert theirs[name] == rows, name
