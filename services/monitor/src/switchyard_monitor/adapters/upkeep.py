"""The pruner's side of the store: duties, what has had its time, and coarser windows.

Rows are found by ranges of their keys, which follow time where the gateway minted the ids. So no index on the time is
needed, which would make a row half as large again, and PostgreSQL needs no partitions by day: a caller's own ids do not
say their day. What is found is read beside the writer; only what has had its time is looked up again to be deleted.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Collection, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import ColumnElement, Connection, Engine, and_, func, or_, select, update
from switchyard_contracts.windows import DAY_US, HOUR_US

from switchyard_monitor.adapters import tables
from switchyard_monitor.adapters.alarms import read_states
from switchyard_monitor.adapters.batch import SqlBatch, add_to_label_ledger, read_marks
from switchyard_monitor.adapters.book import BookCache, SqlBook
from switchyard_monitor.adapters.drift_book import drop_drift
from switchyard_monitor.adapters.engine import guarded
from switchyard_monitor.adapters.learning import forget_before
from switchyard_monitor.adapters.profiles import drop_profiles
from switchyard_monitor.adapters.statements import delete_in, execute, inserting
from switchyard_monitor.adapters.summed import ARMS, DAYS, PAIRS, Summed
from switchyard_monitor.domain.entries import Entry
from switchyard_monitor.domain.needs import Unjudged
from switchyard_monitor.domain.retention import Gone, Old, Places, Rungs
from switchyard_monitor.domain.rules import Rule
from switchyard_monitor.errors import Relieved, Unreadable
from switchyard_monitor.ports import Duty, Rules, Size, Slice

NO_PARTITION = -1
"""The pruner's own row in a ledger of labels, of which each partition has one."""
KEPT = ("prediction", "label")
SEEN = {
    "exchange": "",
    "input": " AND (segment IS NULL OR NOT EXISTS (SELECT 1 FROM prediction WHERE prediction.k = input.k))",
}
"""What was seen and left no Y, and of which rows that does not hold: an X may say in which segment its Y is counted."""
SQLITE_NOW = "SELECT CAST((julianday('now') - 2440587.5) * 86400000000 AS INTEGER)"
POSTGRES_NOW = "SELECT CAST(extract(epoch FROM clock_timestamp()) * 1000000 AS bigint)"
OLD_PREDICTIONS = (
    "SELECT p.k, r.subject, p.at_us FROM prediction p JOIN arm a ON a.id = p.arm JOIN rule r ON r.id = a.rule"
    " WHERE p.k >= ? AND p.k < ? AND p.at_us < ? ORDER BY p.k LIMIT ?"
)
OLD_LABELS = (
    "SELECT l.k, r.subject, l.at_us FROM label l LEFT JOIN rule r ON r.id = l.rule"
    " WHERE l.k >= ? AND l.k < ? AND l.at_us < ? ORDER BY l.k LIMIT ?"
)


class SqlUpkeep:
    """Works over the store's own connections, and waits for whoever else writes there."""

    def __init__(
        self, write: Callable[[], AbstractContextManager[Connection]], reader: Engine, cache: BookCache
    ) -> None:
        self._write = write
        self._reader = reader
        self._cache = cache

    def claim(self, name: str, member: str, *, now_us: int, ttl_us: int) -> Duty | None:
        """Take a duty that is free, expired or our own, with a new epoch; None when another has it."""
        table = tables.duty
        free = or_(table.c.owner.is_(None), table.c.owner == member, table.c.expires_us <= now_us)
        with self._write() as connection:
            new = inserting(connection, table).values(name=name, epoch=0, expires_us=0)
            connection.execute(new.on_conflict_do_nothing())
            taken = connection.execute(
                update(table)
                .where(and_(table.c.name == name, free))
                .values(owner=member, epoch=table.c.epoch + 1, expires_us=now_us + ttl_us)
            )
            if taken.rowcount != 1:
                return None
            return Duty(
                name, member, connection.execute(select(table.c.epoch).where(table.c.name == name)).scalar_one()
            )

    def release(self, duty: Duty) -> None:
        """Give a duty back."""
        with self._write() as connection:
            connection.execute(update(tables.duty).where(_is(duty)).values(owner=None, expires_us=0))

    def rules(self) -> Rules:
        """Every rule that rows were made by."""
        known: list[Rule] = []
        unreadable: dict[str, str] = {}
        with guarded(), self._reader.begin() as connection:
            book = SqlBook(connection, self._cache)
            for number, subject in connection.execute(select(tables.rule.c.id, tables.rule.c.subject)).all():
                try:
                    rule = book.rule(number)
                except Unreadable as error:
                    unreadable[subject] = str(error)
                    continue
                if rule.subject == subject:
                    known.append(rule)
                else:
                    unreadable[subject] = f"rule {number} in the database cannot be read: it is another deployment's"
        return Rules(known, unreadable)

    def look(self, start: bytes, stop: bytes, *, before_us: int, seen_us: int, rows: int, keys: int) -> Slice:
        """What lies from here on, of so many rows at most, that is older than that."""
        with guarded(), self._reader.begin() as connection:
            asked = (KEPT if before_us > 0 else ()) + (tuple(SEEN) if seen_us > 0 else ())
            end = min((_after(connection, table, start, stop, rows) for table in asked), default=stop)
            found = []
            for sql in (OLD_PREDICTIONS, OLD_LABELS) if before_us > 0 else ():
                old = [Old(*row) for row in execute(connection, sql, (start, end, before_us, keys))]
                if len(old) == keys:
                    # There may be more of the last key's rows: it comes again with the next piece.
                    end = old[-1].key if old[-1].key > start else _next(start)
                found += old
            remains = any(
                execute(
                    connection,
                    f"SELECT 1 FROM {table} WHERE k >= ? AND k < ? AND at_us < ?{rest} LIMIT 1",
                    (start, end, seen_us),
                ).first()
                for table, rest in (SEEN.items() if seen_us > 0 else ())
            )
        return Slice([row for row in found if row.key < end], remains, end)

    def newest(self, subject: str, roles: Collection[str] = ()) -> int | None:
        """The start of a deployment's newest window, of these roles (none named: of all); None where it has none."""
        with guarded(), self._reader.begin() as connection:
            sql = "SELECT a.id, a.role FROM arm a JOIN rule r ON r.id = a.rule WHERE r.subject = ? ORDER BY a.id"
            arms = [number for number, role in execute(connection, sql, (subject,)) if not roles or role in roles]
            return ARMS.newest(connection, arms)

    @contextmanager
    def begin(self) -> Iterator[SqlTidying]:
        """One transaction: committed at the end of the block, or undone."""
        with self._write() as connection:
            yield SqlTidying(connection, self._cache)

    def size(self) -> Size:
        """How large the database is."""
        with guarded(), self._reader.begin() as connection:
            if connection.dialect.name == "postgresql":
                used = execute(connection, "SELECT pg_database_size(current_database())").scalar_one()
                return Size(used, None)
            names = ("page_count", "freelist_count", "page_size")
            pages, unused, page = (execute(connection, f"PRAGMA {name}").scalar_one() for name in names)
        folder = Path(self._reader.url.database or "").absolute().parent
        return Size((pages - unused) * page, shutil.disk_usage(folder).free, unused * page)

    def now_us(self) -> int:
        """What the database's clock says."""
        with guarded(), self._reader.begin() as connection:
            postgres = connection.dialect.name == "postgresql"
            now: int = execute(connection, POSTGRES_NOW if postgres else SQLITE_NOW).scalar_one()
        return now


class SqlTidying:
    """One transaction of the pruner's."""

    def __init__(self, connection: Connection, cache: BookCache) -> None:
        self._connection = connection
        self._batch = SqlBatch(connection, cache)

    @property
    def book(self) -> SqlBook:
        """The arms and rules."""
        return self._batch.book

    def hold(self, duty: Duty, *, now_us: int, ttl_us: int) -> None:
        """Hold the duty's row, and keep it for so long; a zombie's epoch is refused."""
        held = self._connection.execute(update(tables.duty).where(_is(duty)).values(expires_us=now_us + ttl_us))
        if held.rowcount != 1:
            raise Relieved(f"{duty.name} is no longer {duty.owner}'s at epoch {duty.epoch}; nothing was written")

    def alone(self, subjects: Iterable[str]) -> None:
        """Nobody folds these deployments until the end."""
        self._batch.alone(subjects)

    def entries(self, keys: Iterable[bytes]) -> dict[bytes, Entry]:
        """All that is known of these keys."""
        return self._batch.entries(keys)

    def unjudged(self, subject: str) -> Unjudged:
        """What of a deployment was begun to be judged, or is due; `alone`, nobody begins anything until the end."""
        table = tables.drift_due
        oldest = select(table.c.baseline, func.min(table.c.start_us)).where(table.c.subject == subject)
        due = {row[0]: row[1] for row in self._connection.execute(oldest.group_by(table.c.baseline))}
        return Unjudged(read_states(self._connection, subject), due)

    def forget(self, gone: Gone, start: bytes, end: bytes, *, seen_us: int) -> int:
        """Delete entries, and in a range what was seen before then and left no Y; answers how many rows went."""
        rows = 0
        for table in KEPT:
            rows += delete_in(self._connection, f"DELETE FROM {table} WHERE k IN", sorted(gone.keys))
        for table, rest in SEEN.items():
            sql = f"DELETE FROM {table} WHERE k >= ? AND k < ? AND at_us < ?{rest}"
            rows += execute(self._connection, sql, (start, end, seen_us)).rowcount
        add_to_label_ledger(self._connection, NO_PARTITION, gone.labels)
        return rows

    def coarsen(self, subject: str, *, to: Rungs, most: int) -> bool:
        """Move windows towards these marks, about so many rows of them; whether there is more to move."""
        held = read_marks(self._connection, [subject]).get(subject, Rungs())
        if to.hourly_us > held.hourly_us:
            at_us = self._move(subject, held._replace(hourly_us=to.hourly_us), held.hourly_us, HOUR_US, most=most)
            self._mark(subject, held._replace(hourly_us=at_us))
            return at_us < to.hourly_us or to.daily_us > held.daily_us
        if to.daily_us > held.daily_us:
            at_us = self._move(subject, held._replace(daily_us=to.daily_us), held.daily_us, DAY_US, most=most)
            self._mark(subject, held._replace(daily_us=at_us))
            return at_us < to.daily_us
        return False

    def drop(self, subject: str, *, before_us: int) -> bool:
        """Forget a day of the windows that start before then, with their profiles and drift; whether there are more.

        What comes for them afterwards is added to the totals alone.
        """
        held = read_marks(self._connection, [subject]).get(subject, Rungs())
        old = {
            summed: {owner: at_us for owner, at_us in self._oldest(summed, subject).items() if at_us < before_us}
            for summed in (ARMS, DAYS, PAIRS)
        }
        starts = [at_us for owners in old.values() for at_us in owners.values()]
        until_us = min(before_us, min(starts, default=before_us) // DAY_US * DAY_US + DAY_US)
        drop_profiles(self._connection, subject, before_us=until_us)
        drop_drift(self._connection, subject, before_us=until_us)
        for summed, owners in old.items():
            due = [owner for owner, at_us in owners.items() if at_us < until_us]
            summed.drop(self._connection, due, before_us=until_us)
        if until_us > held.forgotten_us:
            self._mark(subject, held._replace(forgotten_us=until_us))
        return until_us < before_us

    def forget_lessons(self, before_us: int) -> int:
        """Forget rows of days before then that were kept to learn a reference of; answers how many."""
        return forget_before(self._connection, before_us)

    def _move(self, subject: str, rungs: Rungs, since_us: int, unit_us: int, *, most: int) -> int:
        """Move one hour or day; answers up to where all windows lie where these marks say."""
        goal_us = rungs.hourly_us if unit_us == HOUR_US else rungs.daily_us
        starts = [at_us for each in (PAIRS, ARMS) for at_us in self._oldest(each, subject, since_us).values()]
        first_us = min(starts, default=goal_us)
        if first_us >= goal_us:
            return goal_us
        until_us = min(goal_us, first_us // unit_us * unit_us + unit_us)
        for summed in (PAIRS, ARMS):  # what pairs are ahead of arms is gone over again, and does not move
            until_us = summed.move(
                self._connection,
                self._owners(summed, subject),
                since_us=first_us,
                until_us=until_us,
                most=most,
                places=self._places(summed, rungs),
            )
        return until_us

    def _places(self, summed: Summed, rungs: Rungs) -> Places:
        book = self.book

        def of(number: int, start_us: int) -> tuple[int, int] | None:
            owner = book.arm(number) if summed is ARMS else book.pair(number)
            return rungs.places(start_us, book.rule(owner.rule).window_us)

        return of

    def _oldest(self, summed: Summed, subject: str, since_us: int = 0) -> dict[int, int]:
        return summed.oldest(self._connection, self._owners(summed, subject), since_us=since_us)

    def _owners(self, summed: Summed, subject: str) -> list[int]:
        sql = f"SELECT o.id FROM {summed.owner} o JOIN rule r ON r.id = o.rule WHERE r.subject = ? ORDER BY o.id"
        return [number for (number,) in execute(self._connection, sql, (subject,))]

    def _mark(self, subject: str, marks: Rungs) -> None:
        execute(
            self._connection,
            "INSERT INTO coarse (subject, hourly_us, daily_us, forgotten_us) VALUES (?,?,?,?) ON CONFLICT (subject)"
            " DO UPDATE SET hourly_us = excluded.hourly_us, daily_us = excluded.daily_us,"
            " forgotten_us = excluded.forgotten_us",
            (subject, *marks),
        )


def _after(connection: Connection, table: str, start: bytes, stop: bytes, rows: int) -> bytes:
    """Where a range ends that holds so many rows of a table."""
    sql = f"SELECT k FROM {table} WHERE k >= ? AND k < ? ORDER BY k LIMIT 1 OFFSET ?"
    found: Any = execute(connection, sql, (start, stop, rows)).scalar()
    return stop if found is None else max(bytes(found), _next(start))


def _next(key: bytes) -> bytes:
    """The least that is greater."""
    return key + b"\0"


def _is(duty: Duty) -> ColumnElement[bool]:
    table = tables.duty
    return and_(table.c.name == duty.name, table.c.owner == duty.owner, table.c.epoch == duty.epoch)
