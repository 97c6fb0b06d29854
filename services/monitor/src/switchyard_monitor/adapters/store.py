"""The store, on SQLite or PostgreSQL: leases, transactions and what readers ask for.

One connection writes, and others read beside it without waiting. A file of SQLite's is one replica's; a database of
PostgreSQL's is shared by as many as there are, which hold partitions by leases. Whoever was deposed meanwhile finds
another epoch in the partition's row, which he must lock before he writes, and writes nothing.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from re import Pattern
from typing import Any

from sqlalchemy import ColumnElement, Connection, Row, and_, delete, func, or_, select, update

from switchyard_monitor.adapters import learning, tables
from switchyard_monitor.adapters.batch import SqlBatch, position_of, read_headers
from switchyard_monitor.adapters.book import BookCache, SqlBook
from switchyard_monitor.adapters.engine import guarded, migrate, open_reader, open_writer
from switchyard_monitor.adapters.profiles import fine_profiles, read_profiles
from switchyard_monitor.adapters.statements import alone, inserting
from switchyard_monitor.adapters.summed import ARMS, DAYS, PAIRS
from switchyard_monitor.adapters.upkeep import SqlUpkeep
from switchyard_monitor.domain.entries import Arm, Cell, Entry, Pair, PairCell
from switchyard_monitor.domain.learning import Cut, Example, Learnt
from switchyard_monitor.domain.profiling import Coarsening, Profiles, Span
from switchyard_monitor.domain.sums import Sums, add, decode
from switchyard_monitor.ports import Lease, Ledger, Letter, Position


class SqlStore:
    """The database that a URL names."""

    def __init__(self, url: str) -> None:
        self._writer = open_writer(url)
        self._reader = open_reader(url)
        self._writing = threading.Lock()
        self._written = BookCache()
        self._read = BookCache()
        self.upkeep = SqlUpkeep(self._write, self._reader, self._written)
        """For the pruner, who works in the reader's thread."""

    @property
    def has_server(self) -> bool:
        """Whether it is a server, which may be away for a while; a file is there or is not."""
        return self._writer.dialect.name == "postgresql"

    def migrate(self) -> None:
        """Bring the schema up to date."""
        migrate(self._writer)

    def prepare(self, partitions: Iterable[int]) -> None:
        """Have a row for each partition."""
        rows = [{"number": number, "epoch": 0, "expires_us": 0} for number in partitions]
        with self._write() as connection:
            connection.execute(inserting(connection, tables.partition).on_conflict_do_nothing(), rows)

    def positions(self) -> list[Position]:
        """All partitions."""
        query = select(tables.partition).order_by(tables.partition.c.number)
        with self._look() as connection:
            return [position_of(row) for row in connection.execute(query)]

    def announce(self, member: str, *, now_us: int, ttl_us: int) -> list[str]:
        """Say that a member lives, and learn who else does."""
        table = tables.member
        with self._write() as connection:
            alone(connection, ["the members"])
            statement = inserting(connection, table).values(name=member, expires_us=now_us + ttl_us)
            connection.execute(
                statement.on_conflict_do_update(index_elements=["name"], set_={"expires_us": now_us + ttl_us})
            )
            connection.execute(delete(table).where(table.c.expires_us <= now_us))
            return list(connection.execute(select(table.c.name).order_by(table.c.name)).scalars())

    def leave(self, member: str) -> None:
        """Say that a member goes, so that its partitions need not wait."""
        with self._write() as connection:
            connection.execute(delete(tables.member).where(tables.member.c.name == member))

    def claim(self, partition: int, member: str, *, now_us: int, ttl_us: int) -> Position | None:
        """Take a partition that is free, expired or our own, with a new epoch; None when another holds it."""
        table = tables.partition
        free = or_(table.c.owner.is_(None), table.c.owner == member, table.c.expires_us <= now_us)
        with self._write() as connection:
            taken = connection.execute(
                update(table)
                .where(and_(table.c.number == partition, free, table.c.stopped.is_(None)))
                .values(owner=member, epoch=table.c.epoch + 1, expires_us=now_us + ttl_us)
            )
            if taken.rowcount != 1:
                return None
            return position_of(connection.execute(select(table).where(table.c.number == partition)).one())

    def start(self, lease: Lease, *, topic_id: str, offset: int) -> None:
        """Where a partition is read from for the first time."""
        table = tables.partition
        with self._write() as connection:
            connection.execute(
                update(table)
                .where(_is(lease), table.c.next_offset.is_(None))
                .values(topic_id=topic_id, base_offset=offset, next_offset=offset)
            )

    def renew(self, leases: Sequence[Lease], *, now_us: int, ttl_us: int, watermarks: Mapping[int, int]) -> list[Lease]:
        """Keep leases and raise the watermarks of idle partitions; answers which leases still hold."""
        table = tables.partition
        kept: list[Lease] = []
        with self._write() as connection:
            # Nothing was left to be read when the newest event that is known of had come. No clock of ours says so.
            newest = connection.execute(select(func.max(table.c.broker_us))).scalar() if watermarks else None
            # In one order, so that two members who both think that they hold a partition never wait for each other.
            for lease in sorted(leases, key=lambda lease: lease.partition):
                renewed = connection.execute(update(table).where(_is(lease)).values(expires_us=now_us + ttl_us))
                if renewed.rowcount != 1:
                    continue
                kept.append(lease)
                if (mark := watermarks.get(lease.partition)) is not None:
                    higher = or_(table.c.watermark_us.is_(None), table.c.watermark_us < mark)
                    connection.execute(update(table).where(_is(lease), higher).values(watermark_us=mark))
                    other = table.c.aged_us.is_distinct_from(newest)
                    connection.execute(update(table).where(_is(lease), other).values(aged_us=newest))
        return kept

    def release(self, lease: Lease) -> None:
        """Give a partition back."""
        with self._write() as connection:
            connection.execute(update(tables.partition).where(_is(lease)).values(owner=None, expires_us=0))

    def stop(self, lease: Lease, reason: str) -> None:
        """Mark a partition as stopped; only a person starts it again."""
        with self._write() as connection:
            connection.execute(update(tables.partition).where(_is(lease)).values(stopped=reason, owner=None))

    @contextmanager
    def begin(self) -> Iterator[SqlBatch]:
        """One transaction: committed at the end of the block, or undone."""
        batch: SqlBatch | None = None
        try:
            with self._write() as connection:
                batch = SqlBatch(connection, self._written)
                yield batch
        except BaseException:
            if batch is not None:
                batch.book.forget()
            raise

    def held_subjects(self, partition: int) -> dict[str, int]:
        """The deployments whose records are held, with the broker's time of the oldest."""
        held = tables.held
        query = (
            select(held.c.subject, func.min(held.c.broker_us))
            .where(held.c.partition == partition)
            .group_by(held.c.subject)
        )
        with self._look() as connection:
            return {row[0]: row[1] for row in connection.execute(query)}

    def outbox(self, limit: int) -> list[Letter]:
        """What waits to be sent, oldest first; so many at most of each topic."""
        table = tables.outbox
        rows: list[Row[Any]] = []
        with self._look() as connection:
            for topic in connection.execute(select(table.c.topic).distinct()).scalars().all():
                own = select(table).where(table.c.topic == topic).order_by(table.c.n).limit(limit)
                rows += connection.execute(own).all()
        rows.sort(key=lambda row: row.n)
        return [Letter(row.n, row.topic, row.key, row.value, read_headers(row.headers)) for row in rows]

    def sent(self, letters: Sequence[Letter]) -> None:
        """These need not be sent again."""
        if letters:
            with self._write() as connection:
                numbers = [letter.n for letter in letters]
                connection.execute(delete(tables.outbox).where(tables.outbox.c.n.in_(numbers)))

    def deployments(self) -> list[str]:
        """Every deployment that has rules."""
        query = select(tables.rule.c.subject).distinct().order_by(tables.rule.c.subject)
        with self._look() as connection:
            return list(connection.execute(query).scalars())

    def arms(self, subject: str) -> dict[int, Arm]:
        """A deployment's arms, by number and in that order."""
        arm, rule = tables.arm, tables.rule
        query = select(arm).join(rule, arm.c.rule == rule.c.id).where(rule.c.subject == subject).order_by(arm.c.id)
        with self._look() as connection:
            return {row.id: _arm(row) for row in connection.execute(query)}

    def cells(self, arms: Iterable[int], *, limit: int | None = None, names: Pattern[str] | None = None) -> list[Cell]:
        """The cells of these arms, oldest first; with a limit, at most so many rows, the earlier arms' latest first."""
        with self._look() as connection:
            book = SqlBook(connection, self._read)
            return [
                Cell(book.arm(number), book.rule(book.arm(number).rule), start_us, sums)
                for start_us, number, sums in ARMS.read(connection, arms, limit=limit, names=names)
            ]

    def totals(self, arms: Iterable[int]) -> list[Cell]:
        """Each arm's windows added up, as one cell that starts at 0."""
        with self._look() as connection:
            book = SqlBook(connection, self._read)
            return [
                Cell(book.arm(number), book.rule(book.arm(number).rule), 0, sums)
                for number, sums in ARMS.read_totals(connection, arms)
            ]

    def days(self, arms: Iterable[int], *, names: Pattern[str] | None = None) -> list[Cell]:
        """The days of these arms, oldest first."""
        with self._look() as connection:
            book = SqlBook(connection, self._read)
            return [
                Cell(book.arm(number), book.rule(book.arm(number).rule), start_us, sums)
                for start_us, number, sums in DAYS.read(connection, arms, names=names)
            ]

    def day_totals(self, arms: Iterable[int]) -> list[Cell]:
        """Each arm's days added up, as one cell that starts at 0."""
        with self._look() as connection:
            book = SqlBook(connection, self._read)
            return [
                Cell(book.arm(number), book.rule(book.arm(number).rule), 0, sums)
                for number, sums in DAYS.read_totals(connection, arms)
            ]

    def pairs(self, subject: str) -> dict[int, Pair]:
        """A deployment's pairs of revisions, by number and in that order."""
        pair, rule = tables.pair, tables.rule
        query = select(pair).join(rule, pair.c.rule == rule.c.id).where(rule.c.subject == subject).order_by(pair.c.id)
        with self._look() as connection:
            return {row.id: Pair(row.rule, row.stable, row.mirrored, row.traffic) for row in connection.execute(query)}

    def pair_cells(self, pairs: Iterable[int]) -> list[PairCell]:
        """The cells of these pairs, oldest first."""
        with self._look() as connection:
            book = SqlBook(connection, self._read)
            return [
                PairCell(book.pair(number), book.rule(book.pair(number).rule), start_us, sums)
                for start_us, number, sums in PAIRS.read(connection, pairs)
            ]

    def pair_totals(self, pairs: Iterable[int]) -> list[PairCell]:
        """Each pair's windows added up, as one cell that starts at 0."""
        with self._look() as connection:
            book = SqlBook(connection, self._read)
            return [
                PairCell(book.pair(number), book.rule(book.pair(number).rule), 0, sums)
                for number, sums in PAIRS.read_totals(connection, pairs)
            ]

    def keep_baseline(self, digest: str, body: bytes) -> None:
        """Keep a reference profile under its name; the same again changes nothing."""
        with self._write() as connection:
            statement = inserting(connection, tables.baseline).values(digest=digest, body=body)
            connection.execute(statement.on_conflict_do_nothing())

    def baseline(self, digest: str) -> bytes | None:
        """A reference profile by its name."""
        query = select(tables.baseline.c.body).where(tables.baseline.c.digest == digest)
        with self._look() as connection:
            return connection.execute(query).scalar()

    def profiles(self, wanted: Span) -> Profiles:
        """The profiles of windows that begin in a span, all partitions together."""
        with self._look() as connection:
            return read_profiles(connection, wanted)

    def fine_profiles(self, moving: Coarsening) -> set[int]:
        """The partitions whose profiles can be put together so."""
        with self._look() as connection:
            return fine_profiles(connection, moving)

    def lessons(self, subject: str, revision: str) -> dict[int, int]:
        """Of how many rows of each day a revision's reference can be learnt."""
        with self._look() as connection:
            return learning.count_examples(connection, subject, revision)

    def examples(self, subject: str, revision: str, days: Sequence[int]) -> list[Example]:
        """Those of some days."""
        with self._look() as connection:
            return learning.read_examples(connection, subject, revision, days)

    def learnt(self, subject: str) -> list[Learnt]:
        """What was learnt of a deployment, the newest last."""
        with self._look() as connection:
            return learning.read_learnt(connection, subject)

    def cuts(self, subject: str) -> dict[Cut, int]:
        """Of revisions and days that have rows enough, the rank from which on none is kept."""
        with self._look() as connection:
            return learning.cuts(connection, subject)

    def conclude(self, subject: str, learnt: Learnt, body: bytes) -> None:
        """Keep a reference that was learnt, unless another was, and forget what it was learnt of."""
        with self._write() as connection:
            statement = inserting(connection, tables.baseline).values(digest=learnt.digest, body=body)
            connection.execute(statement.on_conflict_do_nothing())
            learning.conclude(connection, subject, learnt)

    def forget_lessons(self, subject: str, revision: str) -> None:
        """Forget a revision's rows."""
        with self._write() as connection:
            learning.forget_examples(connection, subject, revision)

    def ledgers(self) -> list[Ledger]:
        """Every partition's books."""
        query = (
            select(tables.partition, tables.ledger.c.sums)
            .join(tables.ledger, tables.ledger.c.partition == tables.partition.c.number, isouter=True)
            .order_by(tables.partition.c.number)
        )
        with self._look() as connection:
            return [Ledger(position_of(row), decode(row.sums or "{}")) for row in connection.execute(query)]

    def labels(self, subject: str) -> Sums:
        """The ledger of a deployment's labels."""
        table = tables.label_ledger
        total: Sums = {}
        with self._look() as connection:
            for text in connection.execute(select(table.c.sums).where(table.c.subject == subject)).scalars():
                add(total, decode(text))
        return total

    def entry(self, key: bytes) -> tuple[Entry | None, bool]:
        """What is known of one row of a prediction, and whether it was erased."""
        with self._look() as connection:
            batch = SqlBatch(connection, self._read)
            return batch.entries([key]).get(key), bool(batch.erased([key[:-3]]))

    def arm(self, number: int) -> Arm:
        """An arm, for reading."""
        with self._look() as connection:
            return SqlBook(connection, self._read).arm(number)

    def close(self) -> None:
        """Let go of all connections."""
        self._writer.dispose()
        self._reader.dispose()

    @contextmanager
    def _write(self) -> Iterator[Connection]:
        # To SQLite there is one connection that writes: two threads would share a transaction, and one would commit
        # what the other has only half done.
        with self._writing, guarded(), self._writer.begin() as connection:
            yield connection

    @contextmanager
    def _look(self) -> Iterator[Connection]:
        with guarded(), self._reader.begin() as connection:
            yield connection


def _is(lease: Lease) -> ColumnElement[bool]:
    table = tables.partition
    return and_(table.c.number == lease.partition, table.c.owner == lease.owner, table.c.epoch == lease.epoch)


def _arm(row: Row[Any]) -> Arm:
    return Arm(row.rule, row.revision, row.role, row.traffic, row.weight_bp, row.assignment, row.fold)
