"""The store port: what the join rests on, whichever database is behind it."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from sqlalchemy import event as sql_event
from switchyard_contracts.windows import DAY_US
from switchyard_monitor.adapters.engine import MIGRATIONS, open_writer
from switchyard_monitor.adapters.statements import execute
from switchyard_monitor.adapters.store import SqlStore
from switchyard_monitor.adapters.tables import metadata
from switchyard_monitor.domain import identity
from switchyard_monitor.domain.changes import Changes
from switchyard_monitor.domain.entries import NO_FOLD, OUTCOME, Arm, Pair, Pred, Version
from switchyard_monitor.domain.facts import Record
from switchyard_monitor.domain.learning import MOST_A_DAY, Example, Learnt
from switchyard_monitor.domain.profiling import Coarsening, ProfileKey, Span
from switchyard_monitor.domain.rules import Rule
from switchyard_monitor.domain.sums import encode, only
from switchyard_monitor.errors import Deposed, StoreUnavailable
from switchyard_monitor.ports import Batch, HeldRecord, Lease, Letter, Store, Work
from switchyard_profile.binning import PREDICTION
from switchyard_profile.profile import Profile
from switchyard_testkit.databases import Databases
from switchyard_testkit.monitor_world import REFERENCE

Open = Callable[[], SqlStore]
RULE = Rule("demo/m", task="regression", outcome="$")
KEY = bytes(16)


@pytest.fixture
def opened(databases: Databases) -> Iterator[Open]:
    """Opens the same database each time, as processes do one after another."""
    url, held = databases.up_to_date(), list[SqlStore]()

    def open_store() -> SqlStore:
        store = SqlStore(url)
        held.append(store)
        return store

    yield open_store
    for store in held:
        store.close()


@pytest.fixture
def store(opened: Open) -> Store:
    store = opened()
    store.prepare([0, 1])
    return store


def claimed(store: Store, member: str = "a", *, now_us: int = 0) -> Lease:
    position = store.claim(0, member, now_us=now_us, ttl_us=10)
    assert position is not None
    lease = Lease(0, member, position.epoch)
    store.start(lease, topic_id="t", offset=5)
    return lease


def write(store: Store, lease: Lease, changes: Changes, *, at: int = 5, **work: object) -> None:
    with store.begin() as batch:
        batch.lock(lease, at)
        batch.write(lease, Work(changes=changes, next_offset=at + 1, watermark_us=at, **work))  # type: ignore[arg-type]


def arm(store: Store, revision: str = "r") -> int:
    with store.begin() as batch:
        return batch.book.id_of(Arm(batch.rule_id(RULE), revision, "stable", 1, 10_000, "split"))


def test_a_lease_is_one_members_until_it_expires_or_is_released(store: Store) -> None:
    lease = claimed(store)
    assert store.claim(0, "b", now_us=9, ttl_us=10) is None
    again = store.claim(0, "a", now_us=9, ttl_us=10)
    assert again is not None
    assert again.epoch == lease.epoch + 1
    late = store.claim(0, "b", now_us=19, ttl_us=10)
    assert late is not None
    store.release(Lease(0, "b", late.epoch))
    assert store.claim(0, "a", now_us=20, ttl_us=10) is not None


def test_a_restart_takes_up_where_the_last_commit_was(opened: Open, store: Store) -> None:
    write(store, claimed(store), Changes())
    (position, _) = opened().positions()
    assert (position.topic_id, position.base_offset, position.next_offset, position.watermark_us) == ("t", 5, 6, 5)


def test_a_start_never_moves_an_offset_that_is_known(store: Store) -> None:
    lease = claimed(store)
    store.start(lease, topic_id="other", offset=0)
    assert store.positions()[0].next_offset == 5


def test_locks_refuse_a_stale_epoch_another_offset_and_a_stopped_partition(store: Store) -> None:
    stale = claimed(store)
    lease = Lease(0, "a", claimed(store).epoch)
    for held, offset in ((stale, 5), (lease, 4), (Lease(0, "b", lease.epoch), 5)):
        with pytest.raises(Deposed), store.begin() as batch:
            batch.lock(held, offset)
    store.stop(lease, "events are gone")
    with pytest.raises(Deposed), store.begin() as batch:
        batch.lock(lease, 5)
    assert store.claim(0, "a", now_us=100, ttl_us=10) is None


def test_renewal_says_which_leases_still_hold_and_never_lowers_a_watermark(store: Store) -> None:
    old = claimed(store)
    lease = Lease(0, "a", claimed(store).epoch)
    assert store.renew([old, lease], now_us=5, ttl_us=10, watermarks={0: 50}) == [lease]
    assert store.renew([lease], now_us=6, ttl_us=10, watermarks={0: 40}) == [lease]
    assert store.positions()[0].watermark_us == 50
    write(store, lease, Changes())
    assert store.positions()[0].watermark_us == 50


def test_arms_and_pairs_are_answered_in_the_order_of_their_numbers(opened: Open, store: Store) -> None:
    with store.begin() as batch:
        rules = [batch.rule_id(each) for each in (RULE, replace(RULE, horizon_us=1))]
        revisions = ("z", "y", "x", "a", "b")
        arms = [batch.book.id_of(Arm(rule, name, "stable", 1, 10_000, "split")) for name in revisions for rule in rules]
        pairs = [batch.book.pair_id(Pair(rule, name, "s", 1)) for name in revisions for rule in rules]
    assert list(opened().arms(RULE.subject)) == arms == sorted(arms)
    assert list(opened().pairs(RULE.subject)) == pairs == sorted(pairs)


def test_members_are_seen_until_they_leave_or_fall_silent(store: Store) -> None:
    assert store.announce("a", now_us=0, ttl_us=10) == ["a"]
    assert store.announce("b", now_us=5, ttl_us=10) == ["a", "b"]
    assert store.announce("b", now_us=10, ttl_us=10) == ["b"]
    store.leave("b")
    assert store.announce("c", now_us=11, ttl_us=10) == ["c"]


def test_what_is_written_is_read_back_whole(opened: Open, store: Store) -> None:
    number = arm(store)
    changes = Changes(
        preds=[
            (KEY, Pred(number, 7, -(2**63), 2**63 - 1, 1.5, 86_400_000_000)),
            (b"\1" * 16, Pred(number, 8, 1, None, "late", None, 2**20, 2**62)),
        ],
        versions=[(KEY, Version(OUTCOME, "e1", 2, 3, 4, -0.1, "human"))],
        exchanges=[(KEY, 9, 7)],
        inputs=[(KEY, 10, 11, 8, 2**63 - 1)],
        cells={(number, 0): {"requests": 2, "now.ee": 2**100}, (number, 300): {"requests": 1}},
        labels={"demo/m": {"in": 1, "joined": 1}},
        ledger={"stored": 3},
    )
    write(store, claimed(store), changes)
    again = opened()
    entry, erased = again.entry(KEY)
    assert entry is not None
    assert not erased
    assert entry.preds == [changes.preds[0][1]]
    assert entry.versions == [changes.versions[0][1]]
    assert (entry.exchanges, entry.inputs, entry.segment) == ({9}, {10: 11}, 2**63 - 1)
    assert [(cell.start_us, cell.sums) for cell in again.cells([number])] == [
        (0, {"requests": 2, "now.ee": 2**100}),
        (300, {"requests": 1}),
    ]
    assert [cell.start_us for cell in again.cells([number], limit=1)] == [300]
    assert [cell.sums for cell in again.totals([number])] == [{"requests": 3, "now.ee": 2**100}]
    assert again.labels("demo/m") == {"in": 1, "joined": 1}
    assert again.ledgers()[0].columns == {"stored": 3}
    assert again.deployments() == ["demo/m"]
    assert again.arms("demo/m") == {number: again.arm(number)}
    assert again.cells([number])[0].rule == RULE


def test_sums_of_pairs_are_written_read_back_and_added_up(opened: Open, store: Store) -> None:
    with store.begin() as batch:
        rule = batch.rule_id(RULE)
        first = batch.book.pair_id(Pair(rule, "a", "b", 3))
        other = batch.book.pair_id(Pair(rule, "a", "b", 4))
        assert batch.book.pair_id(Pair(rule, "a", "b", 3)) == first != other
    lease = claimed(store)
    write(store, lease, Changes(pairs={(first, 0): {"n": 2, "x": 2**100}, (first, 300): {"n": 1}}), at=5)
    write(store, lease, Changes(pairs={(first, 0): {"n": -1, "x": -(2**100)}, (other, 0): {"n": 7}}), at=6)
    again = opened()
    assert again.pairs("demo/m") == {first: Pair(rule, "a", "b", 3), other: Pair(rule, "a", "b", 4)}
    assert again.pairs("demo/other") == {}
    assert [(cell.pair.traffic, cell.start_us, cell.sums) for cell in again.pair_cells([first, other])] == [
        (3, 0, {"n": 1}),
        (4, 0, {"n": 7}),
        (3, 300, {"n": 1}),
    ]
    assert [(cell.pair.traffic, cell.sums) for cell in again.pair_totals([first, other])] == [
        (3, {"n": 2}),
        (4, {"n": 7}),
    ]
    assert again.pair_cells([first])[0].rule == RULE
    assert again.cells([first, other]) == []


def test_sums_of_days_are_written_read_back_and_added_up(opened: Open, store: Store) -> None:
    lease = claimed(store)
    number = arm(store)
    write(store, lease, Changes(days={(number, DAY_US): {"age.n": 1, "cal.b": 2**70, "gone": 1}}))
    days = {(number, DAY_US): {"age.n": 2, "gone": -1}, (number, 0): {"age.n": 5, "cal.b": -1}}
    write(store, lease, Changes(days=days), at=6)
    again = opened()
    found = [(cell.start_us, cell.sums) for cell in again.days([number])]
    assert found == [(0, {"age.n": 5, "cal.b": -1}), (DAY_US, {"age.n": 3, "cal.b": 2**70})]
    assert [cell.sums for cell in again.days([number], names=only("age.n"))] == [{"age.n": 5}, {"age.n": 3}]
    assert [(cell.start_us, cell.sums) for cell in again.day_totals([number, number + 1])] == [
        (0, {"age.n": 8, "cal.b": 2**70 - 1})
    ]


def test_sums_of_several_commits_add_up_and_what_cancels_is_gone(store: Store) -> None:
    number, lease = arm(store), claimed(store)
    write(store, lease, Changes(cells={(number, 0): {"a": 2, "b": 1}}), at=5)
    write(store, lease, Changes(cells={(number, 0): {"a": 1, "b": -1}}), at=6)
    assert [cell.sums for cell in store.cells([number])] == [{"a": 3}]


def profiled(values: list[object]) -> Profile:
    columns = {"x": values, PREDICTION: [1.0] * len(values)}
    return Profile.of(REFERENCE.digest, REFERENCE.binnings, columns, rows=len(values))


def test_profiles_of_several_commits_and_partitions_add_up(opened: Open, store: Store) -> None:
    key = ProfileKey("demo/m", "r\u00e4", "stable", 3, REFERENCE.digest, 300)
    lease = claimed(store)
    write(store, lease, Changes(profiles={key: profiled([1, 2, "\0"])}), at=5)
    write(store, lease, Changes(profiles={key: profiled([None, 1e300])}), at=6)
    position = store.claim(1, "a", now_us=0, ttl_us=10)
    assert position is not None
    other = Lease(1, "a", position.epoch)
    store.start(other, topic_id="t", offset=5)
    write(store, other, Changes(profiles={key: profiled([-7]), key._replace(start_us=600): profiled([4])}), at=5)
    span = Span(subject="demo/m", baseline=REFERENCE.digest, since_us=0, until_us=600)
    later = key._replace(start_us=600)
    again = opened()
    assert again.profiles(span) == {key: profiled([1, 2, "\0", None, 1e300, -7])}
    assert again.profiles(replace(span, since_us=600, until_us=601)) == {later: profiled([4])}
    assert again.profiles(replace(span, until_us=900, length_us=900)) == {
        key._replace(start_us=0): profiled([1, 2, "\0", None, 1e300, -7, 4])
    }
    assert again.profiles(replace(span, revision=key.revision)) == again.profiles(span)
    for other_span in ({"subject": "demo/other"}, {"baseline": "sha256:other"}, {"revision": "r"}):
        assert again.profiles(replace(span, **other_span)) == {}


def test_profiles_are_put_together_to_longer_windows_and_hold_what_they_held(store: Store) -> None:
    key = ProfileKey("demo/m", "r", "stable", 3, REFERENCE.digest, 600)
    lease = claimed(store)
    for at, start_us in enumerate((600, 900, 1500, 1800, 2100)):
        write(store, lease, Changes(profiles={key._replace(start_us=start_us): profiled([at])}), at=5 + at)
    span = Span(subject="demo/m", baseline=REFERENCE.digest, since_us=0, until_us=9000)
    days = replace(span, length_us=600)
    before = store.profiles(days)
    moving = Coarsening("demo/m", REFERENCE.digest, before_us=2000, length_us=600)
    assert store.fine_profiles(moving) == {0}
    with store.begin() as batch:
        batch.lock(lease, 10)
        batch.coarsen(lease, moving, most=1)
    assert {found.start_us for found in store.profiles(span)} == {600, 1500, 1800, 2100}
    with store.begin() as batch:
        batch.lock(lease, 10)
        batch.coarsen(lease, moving, most=25)
    assert store.fine_profiles(moving) == set()
    assert {found.start_us for found in store.profiles(span)} == {600, 1200, 1800, 2100}
    assert store.profiles(days) == before
    assert store.profiles(replace(span, until_us=601)) == {key: profiled([0, 1])}


def example(rank: int, *, day_us: int = 0, revision: str = "r") -> Example:
    key = rank.to_bytes(identity.PREFIX_BYTES, signed=True) + bytes(identity.ROW_BYTES)
    return Example("demo/m", revision, day_us, rank, key, 7, {"x": "\0\ud800", "y": None})


def test_examples_with_the_least_ranks_of_a_day_stay(opened: Open, store: Store) -> None:
    lease = claimed(store)
    some = [example(rank) for rank in range(-1000, MOST_A_DAY + 500, 2)]
    write(store, lease, Changes(examples=some), at=5)
    others = [example(rank) for rank in range(-999, MOST_A_DAY + 500, 2)]
    write(store, lease, Changes(examples=[*others, example(3, day_us=9), example(3, revision="other")]), at=6)
    again = opened()
    assert again.lessons("demo/m", "r") == {0: MOST_A_DAY, 9: 1}
    assert again.cuts("demo/m") == {("r", 0): MOST_A_DAY - 1001}
    assert again.examples("demo/m", "r", [0]) == [example(rank) for rank in range(-1000, MOST_A_DAY - 1000)]
    assert again.examples("demo/m", "r", [9, 10]) == [example(3, day_us=9)]
    with store.begin() as batch:
        batch.lock(lease, 7)
        gone = {example(rank).key[: identity.PREFIX_BYTES] for rank in (-1000, 3)}
        batch.write(lease, Work(changes=Changes(erased=gone), next_offset=8, watermark_us=1))
    assert again.lessons("demo/m", "r") == {0: MOST_A_DAY - 2}
    assert again.lessons("demo/m", "other") == {}


def test_what_was_learnt_first_is_believed_and_its_examples_go(opened: Open, store: Store) -> None:
    lease = claimed(store)
    write(store, lease, Changes(examples=[example(1), example(2, day_us=9), example(4, revision="s", day_us=9)]), at=5)
    store.conclude("demo/m", Learnt("r", "sha256:one", 5), b"\0one")
    store.conclude("demo/m", Learnt("r", "sha256:two", 6), b"two")
    store.conclude("demo/m", Learnt("q", "sha256:three", 4), b"three")
    again = opened()
    assert again.learnt("demo/m") == [Learnt("q", "sha256:three", 4), Learnt("r", "sha256:one", 5)]
    assert again.learnt("demo/other") == []
    assert again.baseline("sha256:one") == b"\0one"
    assert (again.lessons("demo/m", "r"), again.lessons("demo/m", "s")) == ({}, {9: 1})
    for before_us, left in ((9, {9: 1}), (10, {})):
        with opened().upkeep.begin() as tidying:
            tidying.forget_lessons(before_us)
        assert again.lessons("demo/m", "s") == left
    write(store, lease, Changes(examples=[example(1)]), at=6)
    store.forget_lessons("demo/m", "r")
    assert again.lessons("demo/m", "r") == {}


def test_a_reference_is_kept_once(opened: Open, store: Store) -> None:
    assert store.baseline(REFERENCE.digest) is None
    store.keep_baseline(REFERENCE.digest, b"{}\0\xff")
    store.keep_baseline(REFERENCE.digest, b"the same again")
    assert opened().baseline(REFERENCE.digest) == b"{}\0\xff"


def test_a_reference_that_comes_in_the_middle_of_a_batch_commits_nothing_of_it(store: Store) -> None:
    """It comes by another thread, the API's; to SQLite both have one connection."""
    lease = claimed(store)
    handing = threading.Thread(target=store.keep_baseline, args=(REFERENCE.digest, b"{}"))

    def fail(batch: Batch) -> None:
        batch.lock(lease, 5)
        batch.write(lease, Work(changes=Changes(ledger={"stored": 1}), next_offset=6, watermark_us=1))
        handing.start()
        handing.join(0.2)
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError), store.begin() as batch:
        fail(batch)
    handing.join(30)
    assert store.baseline(REFERENCE.digest) == b"{}"
    assert store.positions()[0].next_offset == 5
    assert store.ledgers()[0].columns == {}


def test_an_undone_transaction_leaves_nothing_not_even_numbers(store: Store) -> None:
    lease = claimed(store)

    def fail(batch: Batch) -> None:
        batch.lock(lease, 5)
        batch.book.id_of(Arm(batch.rule_id(RULE), "undone", "stable", 1, 10_000, "split"))
        batch.book.pair_id(Pair(batch.rule_id(RULE), "undone", "next", 1))
        batch.write(lease, Work(changes=Changes(ledger={"stored": 1}), next_offset=6, watermark_us=1))
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError), store.begin() as batch:
        fail(batch)
    assert store.deployments() == []
    assert store.positions()[0].next_offset == 5
    number = arm(store, "kept")
    assert store.pairs("demo/m") == {}
    with store.begin() as batch:
        kept = batch.book.pair_id(Pair(batch.rule_id(RULE), "kept", "next", 1))
        assert batch.book.pair_id(Pair(batch.rule_id(RULE), "undone", "next", 1)) != kept
    assert store.arms("demo/m") == {number: Arm(store.arm(number).rule, "kept", "stable", 1, 10_000, "split")}
    assert arm(store, "undone") != number


def test_all_rows_of_an_erased_prediction_go(store: Store) -> None:
    number, lease = arm(store), claimed(store)
    prefix = KEY[:13]
    keys = [prefix + bytes((0, 0, row)) for row in (0, 1, 255)]
    beside = [b"\0" * 12 + bytes((1, 0, 0, 0)), (1).to_bytes(12) + bytes(4)]
    labels = [(key, Version(OUTCOME, event, 0, 1, 1, 1.0, "human")) for key in keys for event in "ab"]
    labels.append((prefix + bytes((1, 0, 0)), labels[0][1]))
    exchanges, inputs = [(keys[1], 5, 1)], [(keys[2], 6, 7, 1, None)]
    preds = [(key, Pred(number, 1, 1, 1, 1.0)) for key in (*keys, *beside)]
    write(store, lease, Changes(preds=preds, versions=labels, exchanges=exchanges, inputs=inputs))
    with store.begin() as batch:
        assert batch.labels_under(prefix, but=()) == (6, 1)
        assert batch.labels_under(prefix, but={keys[0], beside[0]}) == (4, 1)
        assert batch.labels_under(b"\1" * 13, but=()) == (0, 0)
        batch.lock(lease, 6)
        batch.write(lease, Work(changes=Changes(erased={prefix}), next_offset=7, watermark_us=1))
    for key, _ in labels:
        assert store.entry(key) == (None, True)
    for key in beside:
        assert store.entry(key)[0] is not None
    with store.begin() as batch:
        assert batch.erased([prefix, b"\1" * 13]) == {prefix}


def test_held_records_wait_in_order_with_all_they_had(opened: Open, store: Store) -> None:
    lease = claimed(store)
    records = [Record(0, offset, offset * 10, None, b"v", (("h", b"\xff"),)) for offset in (5, 6)]
    write(store, lease, Changes(), hold=[HeldRecord("demo/m", record) for record in records])
    again = opened()
    assert again.held_subjects(0) == {"demo/m": 50}
    with again.begin() as batch:
        assert batch.held(0, "demo/m", 10) == records
        batch.lock(lease, 6)
        batch.write(lease, Work(changes=Changes(), next_offset=6, watermark_us=None, released=[5, 6]))
    assert again.held_subjects(0) == {}


def test_letters_wait_until_they_were_sent(opened: Open, store: Store) -> None:
    letters = [Letter(0, "dead", None, b"\0\xff", (("why", b"\xfe"),)), Letter(0, "dead", b"k", None)]
    write(store, claimed(store), Changes(), letters=letters)
    waiting = opened().outbox(10)
    assert [(letter.topic, letter.key, letter.value, letter.headers) for letter in waiting] == [
        (letter.topic, letter.key, letter.value, letter.headers) for letter in letters
    ]
    store.sent(waiting[:1])
    assert store.outbox(10) == waiting[1:]


def test_letters_to_a_topic_that_takes_none_hide_no_others(store: Store) -> None:
    letters = [Letter(0, "alarms", b"k", b"%d" % number) for number in range(5)]
    write(store, claimed(store), Changes(), letters=[*letters, Letter(0, "dead", b"k", b"last")])
    assert [(letter.topic, letter.value) for letter in store.outbox(2)] == [
        ("alarms", b"0"),
        ("alarms", b"1"),
        ("dead", b"last"),
    ]


def test_the_migrations_make_the_tables_that_the_code_means(opened: Open) -> None:
    with opened()._writer.connect() as connection:
        assert compare_metadata(MigrationContext.configure(connection), metadata) == []


def test_a_database_of_the_first_schema_is_brought_up_to_date_with_all_it_holds(databases: Databases) -> None:
    store = SqlStore(databases.empty())
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    with store._writer.begin() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, "0001")
        execute(connection, "INSERT INTO prediction VALUES (?,?,?,?,?,?,?)", (KEY, 1, 7, 8, 9, 1.5, None))
        execute(connection, "INSERT INTO rule VALUES (?,?,?,?)", (1, "demo/m", "d", '{"subject": "demo/m"}'))
        connection.exec_driver_sql("INSERT INTO arm VALUES (1, 1, 'm-1', 'stable', 3, 10000, 'split')")
        windows = [(0, {"age.n": 1, "age.e": -3, "requests": 4}), (DAY_US - 1, {"age.n": 2, "predictions": 2})]
        windows.append((DAY_US, {"age.n": 4, "age.clipped": 1, "age.h:3": 4}))
        for start_us, sums in windows:
            execute(connection, "INSERT INTO cell VALUES (?,?,?,?)", (1, start_us, 0, encode(sums)))
        execute(connection, "INSERT INTO cell VALUES (?,?,?,?)", (1, 0, 1, encode({"requests": 4})))
        for partition in (0, 1):
            execute(connection, "INSERT INTO total VALUES (?,?,?)", (1, partition, encode({"requests": 4})))
    store.migrate()
    assert [(cell.start_us, cell.sums) for cell in store.days([1])] == [
        (0, {"age.n": 3, "age.e": -3, "predictions": 2}),
        (DAY_US, {"age.n": 4, "age.clipped": 1}),
    ]
    assert [cell.sums for cell in store.day_totals([1])] == [
        {"age.n": 7, "age.e": -3, "age.clipped": 1, "predictions": 2}
    ]
    entry, _ = store.entry(KEY)
    assert entry is not None
    assert entry.preds == [Pred(1, 7, 8, 9, 1.5, None)]
    assert store.arms("demo/m") == {1: Arm(1, "m-1", "stable", 3, 10_000, "split", NO_FOLD)}
    store.close()


def test_what_was_seen_before_ages_were_kept_is_as_old_as_the_schema_and_no_row_is_written_anew(
    databases: Databases,
) -> None:
    url = databases.empty()
    engine, config = open_writer(url), Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    with engine.begin() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, "0004")
        for number, mark in ((0, 77), (1, None)):
            columns = "number, epoch, expires_us, watermark_us"
            execute(connection, f'INSERT INTO "partition" ({columns}) VALUES (?,1,1,?)', (number, mark))
        execute(connection, "INSERT INTO exchange VALUES (?,?)", (KEY, 8))
        execute(connection, "INSERT INTO input VALUES (?,?,?)", (KEY, 8, 9))
    told: list[str] = []
    with engine.begin() as connection:
        sql_event.listen(connection, "before_cursor_execute", lambda *args: told.append(args[2]))
        config.attributes["connection"] = connection
        command.upgrade(config, "head")
        for table in ("exchange", "input"):
            assert connection.exec_driver_sql(f"SELECT at_us FROM {table}").scalars().all() == [77]
    engine.dispose()
    assert any("ADD COLUMN at_us" in sql for sql in told)
    assert [sql for sql in told if sql.startswith("UPDATE") and "alembic_version" not in sql] == []


def test_a_file_that_cannot_be_opened_is_said(tmp_path: Path) -> None:
    store = SqlStore(f"sqlite:///{tmp_path / 'no' / 'such' / 'folder.db'}")
    with pytest.raises(StoreUnavailable, match="unable to open"):
        store.migrate()


def test_a_file_that_is_no_database_is_said(tmp_path: Path) -> None:
    (tmp_path / "monitor.db").write_bytes(b"this is no database" * 100)
    with pytest.raises(StoreUnavailable, match="not a database"):
        SqlStore(f"sqlite:///{tmp_path / 'monitor.db'}").migrate()
