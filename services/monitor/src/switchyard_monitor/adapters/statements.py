"""Statements that are spelled out, written once and run on both databases.

They have a ? for each value, as SQLite takes them. What the databases say differently is here and in `engine`, and
nowhere else: how many rows go in at once, what to do about a conflict, and who may write beside whom.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from functools import lru_cache
from itertools import islice
from typing import Any, TypeVar

from sqlalchemy import BigInteger, Connection, CursorResult, Float, Integer, LargeBinary, Table, Text
from sqlalchemy.dialects import postgresql, sqlite

from switchyard_monitor.domain import identity

T = TypeVar("T")

CHUNK = 500
_HOLES = ",".join("?" * CHUNK)
LOCK_SPACE = 0x5377_5961
LOCKS = 256
"""So many deployments can be folded beside each other; a lock costs the server memory, of which it has a fixed part."""
_TYPES = ((BigInteger, "int8"), (Integer, "int4"), (Float, "float8"), (Text, "text"), (LargeBinary, "bytea"))


def execute(connection: Connection, sql: str, values: tuple[Any, ...] = ()) -> CursorResult[*tuple[Any, ...]]:
    """Run a statement."""
    return connection.exec_driver_sql(_spelled(sql, is_postgres(connection)), values)


def stream(connection: Connection, sql: str, values: tuple[Any, ...]) -> Iterator[Any]:
    """Run a query whose rows are too many, or too large, to be held together."""
    options = {"stream_results": True, "yield_per": 50}
    yield from connection.exec_driver_sql(_spelled(sql, is_postgres(connection)), values, execution_options=options)


def execute_many(connection: Connection, sql: str, rows: Sequence[tuple[Any, ...]]) -> None:
    """Run a statement for each row."""
    if rows:
        connection.exec_driver_sql(_spelled(sql, is_postgres(connection)), list(rows))


def select_in(connection: Connection, sql: str, values: Sequence[Any]) -> Iterator[Any]:
    """Run `… IN` for these values: in one array, or as often as needed with 500 holes.

    The last holes are filled up with repeats, so that one plan serves.
    """
    for result in _in(connection, sql, values):
        yield from result.all()


def delete_in(connection: Connection, sql: str, values: Sequence[Any]) -> int:
    """The same for `DELETE … IN`; answers how many rows went."""
    return sum(result.rowcount for result in _in(connection, sql, values))


def _in(connection: Connection, sql: str, values: Sequence[Any]) -> Iterator[CursorResult[*tuple[Any, ...]]]:
    if is_postgres(connection):
        if values:
            yield connection.exec_driver_sql(f"{sql.removesuffix('IN')}= ANY(%b)", (list(values),))
        return
    for chunk in chunks(values):
        filled = tuple(chunk) + (chunk[-1],) * (CHUNK - len(chunk))
        yield connection.exec_driver_sql(f"{sql} ({_HOLES})", filled)


def insert_rows(connection: Connection, table: Table, rows: Sequence[tuple[Any, ...]]) -> None:
    """Insert rows, each with all columns in the table's order.

    To PostgreSQL a column travels as one array, in binary: for 5,000 predictions 1.8 µs of our CPU a row. As text it
    were 7.0, by COPY 1.1, but that is no statement to SQLAlchemy: its errors and hooks would have to be made anew.
    """
    if not rows:
        return
    if is_postgres(connection):
        arrays = tuple(list(column) for column in zip(*rows, strict=True))
        connection.exec_driver_sql(_inserting_arrays(table), arrays)
    else:
        connection.exec_driver_sql(_inserting(table), list(rows))


def inserting(connection: Connection, table: Table) -> sqlite.Insert | postgresql.Insert:
    """An INSERT that can say what to do about a conflict; both databases have the same words for it."""
    return postgresql.insert(table) if is_postgres(connection) else sqlite.insert(table)


def alone(connection: Connection, names: Iterable[str]) -> None:
    """Wait until nobody else holds these names, and hold them until the transaction ends.

    SQLite has one writer, who is always alone. On PostgreSQL every transaction takes its names in the same order, so
    that no two wait for each other.
    """
    if is_postgres(connection):
        numbers = sorted({identity.short(name) % LOCKS for name in names})
        connection.exec_driver_sql(
            f"SELECT pg_advisory_xact_lock({LOCK_SPACE}, number) FROM unnest(%s::int4[]) AS number", (numbers,)
        )


def is_postgres(connection: Connection) -> bool:
    """Whether a transaction is PostgreSQL's; else it is SQLite's."""
    return connection.dialect.name == "postgresql"


def chunks(values: Sequence[T]) -> Iterator[list[T]]:
    """Pieces of 500."""
    iterator = iter(values)
    while piece := list(islice(iterator, CHUNK)):
        yield piece


@lru_cache(maxsize=1000)
def _spelled(sql: str, postgres: bool) -> str:
    return sql.replace("?", "%s") if postgres else sql


@lru_cache
def _inserting(table: Table) -> str:
    return f"INSERT INTO {table.name} ({_names(table)}) VALUES ({','.join('?' * len(table.columns))})"


@lru_cache
def _inserting_arrays(table: Table) -> str:
    arrays = ", ".join(f"%b::{_type(column.type)}[]" for column in table.columns)
    return f"INSERT INTO {table.name} ({_names(table)}) SELECT * FROM unnest({arrays})"


def _names(table: Table) -> str:
    return ", ".join(f'"{column.name}"' for column in table.columns)


def _type(column: Any) -> str:
    return next(name for kind, name in _TYPES if isinstance(column, kind))
