"""One transaction of the join.

Rows are looked up and written in the order of their keys, many at a time, by statements that are spelled out here:
they run tens of thousands of times a second, where building them would cost more than running them.
"""

from __future__ import annotations

import json
from collections.abc import Container, Iterable, Iterator, Mapping, Sequence
from typing import Any

from sqlalchemy import Connection, Row, Table, case, delete, select, update

from switchyard_monitor.adapters import tables
from switchyard_monitor.adapters.book import BookCache, SqlBook
from switchyard_monitor.adapters.learning import write_examples
from switchyard_monitor.adapters.profiles import coarsen_profiles, write_profiles
from switchyard_monitor.adapters.statements import alone, chunks, execute, execute_many, insert_rows, select_in, stream
from switchyard_monitor.adapters.summed import ARMS, DAYS, PAIRS
from switchyard_monitor.domain import identity
from switchyard_monitor.domain.changes import Changes
from switchyard_monitor.domain.entries import Cells, Entry, LabelCounts, Pred, Version
from switchyard_monitor.domain.facts import Record
from switchyard_monitor.domain.profiling import Coarsening
from switchyard_monitor.domain.retention import Places, Rungs, settled
from switchyard_monitor.domain.rules import Rule, Value
from switchyard_monitor.domain.sums import add, decode, encode
from switchyard_monitor.errors import Deposed
from switchyard_monitor.ports import Lease, Position, Work

OF_A_PREDICTION = ("prediction", "label", "exchange", "input", "learning")
"""What is known of one, by its key."""


class SqlBatch:
    """The rows of one transaction."""

    def __init__(self, connection: Connection, cache: BookCache) -> None:
        self._connection = connection
        self._book = SqlBook(connection, cache)

    @property
    def book(self) -> SqlBook:
        """The arms and rules."""
        return self._book

    def rule_id(self, rule: Rule) -> int:
        """The number of a rule; a new one is written down."""
        return self._book.rule_id(rule)

    def lock(self, lease: Lease, next_offset: int) -> None:
        """Hold the partition's row; a zombie's epoch, or an offset that someone else moved, is refused."""
        partition = tables.partition
        held = self._connection.execute(
            update(partition)
            .where(
                partition.c.number == lease.partition,
                partition.c.owner == lease.owner,
                partition.c.epoch == lease.epoch,
                partition.c.next_offset == next_offset,
                partition.c.stopped.is_(None),
            )
            .values(epoch=lease.epoch)
        )
        if held.rowcount != 1:
            raise Deposed(
                lease.partition,
                f"partition {lease.partition} is no longer {lease.owner}'s at epoch {lease.epoch} "
                f"and offset {next_offset}; nothing was written",
            )

    def visit(self, partition: int) -> Position | None:
        """Hold a partition's row beside whoever reads it, who waits; None when it was never read."""
        table = tables.partition
        held = self._connection.execute(
            update(table)
            .where(table.c.number == partition, table.c.next_offset.is_not(None))
            .values(epoch=table.c.epoch)
        )
        if held.rowcount != 1:
            return None
        return position_of(self._connection.execute(select(table).where(table.c.number == partition)).one())

    def rewind(self, partition: int, *, topic_id: str, offset: int) -> Position | None:
        """Have a partition be read from another offset; a stop is lifted. Answers where it stood before."""
        before = self.visit(partition)
        if before is None or before.next_offset is None or before.topic_id != topic_id:
            return None
        held = tables.held
        again = self._connection.execute(delete(held).where(held.c.partition == partition, held.c.offset >= offset))
        moved = before.next_offset - offset
        books = {"held": -again.rowcount, "replayed": again.rowcount - moved} if moved > 0 else {"gaps": -moved}
        self._ledgers(partition, Changes(ledger=books))
        table = tables.partition
        self._connection.execute(
            update(table)
            .where(table.c.number == partition)
            .values(
                next_offset=offset,
                owner=None,
                epoch=table.c.epoch + 1,
                expires_us=0,
                stopped=None,
                again_until=max(before.again_until, before.next_offset),
            )
        )
        return before

    def alone(self, subjects: Iterable[str]) -> None:
        """Fold these deployments while nobody else does, until the end."""
        alone(self._connection, subjects)

    def entries(self, keys: Iterable[bytes]) -> dict[bytes, Entry]:
        """All that is known of these keys."""
        found: dict[bytes, Entry] = {}
        ordered = sorted(set(keys))
        for k, arm, at_us, event, x, number, name, latency_us, score, segment in self._in(
            "SELECT k, arm, at_us, event, x, number, name, latency_us, score, segment FROM prediction WHERE k IN",
            ordered,
        ):
            pred = Pred(arm, at_us, event, x, number if name is None else name, latency_us, score, segment)
            _entry(found, k).preds.append(pred)
        for k, kind, event_id, revision, at_us, broker_us, number, name, actor, rule in self._in(
            "SELECT k, kind, event_id, revision, at_us, broker_us, number, name, actor, rule FROM label WHERE k IN",
            ordered,
        ):
            value: Value = number if name is None else name
            _entry(found, k).versions.append(Version(kind, event_id, revision, at_us, broker_us, value, actor, rule))
        for k, event in self._in("SELECT k, event FROM exchange WHERE k IN", ordered):
            _entry(found, k).exchanges.add(event)
        if self._any("SELECT 1 FROM input LIMIT 1"):
            for k, event, x, segment in self._in("SELECT k, event, x, segment FROM input WHERE k IN", ordered):
                entry = _entry(found, k)
                entry.inputs[event] = x
                entry.segment = segment
        return found

    def labels_under(self, prefix: bytes, *, but: Container[bytes]) -> LabelCounts:
        """How many labels a prediction's rows have, but for some; rows may be too many to be held together."""
        joined = orphan = 0
        for k, labels, answered in stream(
            self._connection,
            "SELECT k, count(*), EXISTS (SELECT 1 FROM prediction WHERE prediction.k = label.k) FROM label"
            " WHERE k >= ? AND k < ? GROUP BY k",
            _range(prefix),
        ):
            if k in but:
                continue
            if answered:
                joined += labels
            else:
                orphan += labels
        return LabelCounts(joined, orphan)

    def erased(self, prefixes: Iterable[bytes]) -> set[bytes]:
        """Which of these predictions were erased."""
        if not self._any("SELECT 1 FROM erased LIMIT 1"):
            return set()
        return {row[0] for row in self._in("SELECT prefix FROM erased WHERE prefix IN", sorted(set(prefixes)))}

    def held(self, partition: int, subject: str, limit: int) -> list[Record]:
        """The oldest held records of a deployment."""
        held = tables.held
        query = (
            select(held.c.offset, held.c.broker_us, held.c.key, held.c.value, held.c.headers)
            .where(held.c.partition == partition, held.c.subject == subject)
            .order_by(held.c.offset)
            .limit(limit)
        )
        return [
            Record(partition, row.offset, row.broker_us, row.key, row.value, read_headers(row.headers))
            for row in self._connection.execute(query)
        ]

    def write(self, lease: Lease, work: Work) -> None:
        """Rows, sums, outbox, offset."""
        self._rows(work.changes)
        arms, days, pairs = self._settled(work.changes)
        ARMS.write(self._connection, lease.partition, work.changes.cells, arms)
        DAYS.write(self._connection, lease.partition, work.changes.days, days)
        PAIRS.write(self._connection, lease.partition, work.changes.pairs, pairs)
        write_profiles(self._connection, lease.partition, work.changes.profiles)
        write_examples(self._connection, work.changes.examples)
        self._ledgers(lease.partition, work.changes)
        self._hold(lease.partition, work)
        if work.letters:
            self._connection.execute(
                tables.outbox.insert(),
                [
                    {
                        "partition": lease.partition,
                        "topic": letter.topic,
                        "key": letter.key,
                        "value": letter.value,
                        "headers": write_headers(letter.headers),
                    }
                    for letter in work.letters
                ],
            )
        values: dict[str, Any] = {"next_offset": work.next_offset}
        if work.watermark_us is not None:
            mark = tables.partition.c.watermark_us
            # A quiet partition may have been said to be read up to a later time; a watermark never falls.
            values["watermark_us"] = case((mark > work.watermark_us, mark), else_=work.watermark_us)
            # These may fall: the next event mends what one with a time of the future did.
            values["broker_us"] = values["aged_us"] = work.watermark_us
        partition = tables.partition
        self._connection.execute(update(partition).where(partition.c.number == lease.partition).values(**values))

    def coarsen(self, lease: Lease, moving: Coarsening, *, most: int) -> None:
        """Put profiles of this partition together to longer windows."""
        coarsen_profiles(self._connection, lease.partition, moving, most=most)

    def _rows(self, changes: Changes) -> None:
        for prefix in sorted(changes.erased):
            for table in OF_A_PREDICTION:
                execute(self._connection, f"DELETE FROM {table} WHERE k >= ? AND k < ?", _range(prefix))
        self._insert(tables.erased, sorted((prefix,) for prefix in changes.erased))
        self._insert(
            tables.prediction,
            sorted(
                ((k, *pred[:4], *_columns(pred.value), *pred[5:]) for k, pred in changes.preds),
                key=_first_two,
            ),
        )
        self._insert(
            tables.label,
            sorted(
                (
                    (k, v.kind, v.event_id, v.revision, v.at_us, v.broker_us, *_columns(v.value), v.actor, v.rule)
                    for k, v in changes.versions
                ),
                key=_first_two,
            ),
        )
        self._insert(tables.exchange, sorted(changes.exchanges))
        self._insert(tables.input_, sorted(changes.inputs, key=_first_two))

    def _settled(self, changes: Changes) -> tuple[Cells, Cells, Cells]:
        """The sums of arms, days and pairs, where they lie by now; whoever moves them is held off by `alone`."""
        book = self._book
        arms = {number for number, _ in (*changes.cells, *changes.days)}
        rules = {("arm", number): book.rule(book.arm(number).rule) for number in arms}
        rules |= {("pair", number): book.rule(book.pair(number).rule) for number, _ in changes.pairs}
        marks = read_marks(self._connection, {rule.subject for rule in rules.values()})
        if not marks:
            return changes.cells, changes.days, changes.pairs

        def places(kind: str) -> Places:
            def of(number: int, start_us: int) -> tuple[int, int] | None:
                rule = rules[kind, number]
                rungs = marks.get(rule.subject, Rungs())
                return None if start_us < rungs.forgotten_us else rungs.places(start_us, rule.window_us)

            return of

        days = {
            (number, start_us): sums
            for (number, start_us), sums in changes.days.items()
            if start_us >= marks.get(rules["arm", number].subject, Rungs()).forgotten_us
        }
        return settled(changes.cells, places("arm")), days, settled(changes.pairs, places("pair"))

    def _ledgers(self, partition: int, changes: Changes) -> None:
        if changes.ledger:
            table = tables.ledger
            query = select(table.c.sums).where(table.c.partition == partition)
            before = self._connection.execute(query).scalar() or "{}"
            self._many(
                "INSERT INTO ledger (partition, sums) VALUES (?,?)"
                " ON CONFLICT (partition) DO UPDATE SET sums = excluded.sums",
                [(partition, encode(add(decode(before), changes.ledger)))],
            )
        add_to_label_ledger(self._connection, partition, changes.labels)

    def _hold(self, partition: int, work: Work) -> None:
        self._insert(
            tables.held,
            [
                (
                    partition,
                    item.subject,
                    item.record.offset,
                    item.record.broker_us,
                    item.record.key,
                    item.record.value,
                    write_headers(item.record.headers),
                )
                for item in work.hold
            ],
        )
        held = tables.held
        for chunk in chunks(work.released):
            self._connection.execute(delete(held).where(held.c.partition == partition, held.c.offset.in_(chunk)))

    def _any(self, sql: str) -> bool:
        return execute(self._connection, sql).first() is not None

    def _in(self, sql: str, values: Sequence[Any]) -> Iterator[Any]:
        return select_in(self._connection, sql, values)

    def _insert(self, table: Table, rows: Sequence[tuple[Any, ...]]) -> None:
        insert_rows(self._connection, table, rows)

    def _many(self, sql: str, rows: Sequence[tuple[Any, ...]]) -> None:
        execute_many(self._connection, sql, rows)


def _range(prefix: bytes) -> tuple[bytes, bytes]:
    """From where to where the keys of a prediction's rows reach."""
    return prefix, prefix + b"\xff" * (identity.ROW_BYTES + 1)


def read_marks(connection: Connection, subjects: Iterable[str]) -> dict[str, Rungs]:
    """Up to where the windows of these deployments are coarser, of those that have any that are."""
    sql = "SELECT subject, hourly_us, daily_us, forgotten_us FROM coarse WHERE subject IN"
    return {subject: Rungs(*marks) for subject, *marks in select_in(connection, sql, sorted(subjects))}


def add_to_label_ledger(connection: Connection, partition: int, labels: Mapping[str, Mapping[str, int]]) -> None:
    """Add to deployments' ledgers of labels; each partition has a row of its own, and readers add them."""
    table = tables.label_ledger
    for subject, part in labels.items():
        if not any(part.values()):
            continue
        by_subject = select(table.c.sums).where(table.c.subject == subject, table.c.partition == partition)
        before = connection.execute(by_subject).scalar() or "{}"
        execute_many(
            connection,
            "INSERT INTO label_ledger (subject, partition, sums) VALUES (?,?,?)"
            " ON CONFLICT (subject, partition) DO UPDATE SET sums = excluded.sums",
            [(subject, partition, encode(add(decode(before), part)))],
        )


def position_of(row: Row[Any]) -> Position:
    """A partition's row."""
    return Position(
        partition=row.number,
        topic_id=row.topic_id,
        base_offset=row.base_offset,
        next_offset=row.next_offset,
        owner=row.owner,
        epoch=row.epoch,
        expires_us=row.expires_us,
        watermark_us=row.watermark_us,
        stopped=row.stopped,
        again_until=row.again_until,
        aged_us=row.aged_us,
    )


def write_headers(headers: Iterable[tuple[str, bytes]]) -> str:
    """Headers as JSON; bytes that are no text survive."""
    return json.dumps([[name, value.hex()] for name, value in headers])


def read_headers(text: str) -> tuple[tuple[str, bytes], ...]:
    """Headers from JSON."""
    return tuple((name, bytes.fromhex(value)) for name, value in json.loads(text))


def _entry(found: dict[bytes, Entry], k: bytes) -> Entry:
    entry = found.get(k)
    if entry is None:
        entry = found[k] = Entry()
    return entry


def _columns(value: Value | None) -> tuple[float | None, str | None]:
    return (None, value) if isinstance(value, str) else (value, None)


def _first_two(row: tuple[Any, ...]) -> tuple[Any, Any]:
    return row[0], row[1]
