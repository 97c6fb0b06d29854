"""Rows that a reference will be learnt of, and what was learnt, in the database.

Of a revision and day those with the least ranks stay. Who writes a deployment's rows is alone with it, as in all that
is folded, so no two cut a day at once.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from itertools import groupby

from sqlalchemy import Connection, delete, func, select

from switchyard_monitor.adapters import tables
from switchyard_monitor.adapters.statements import execute, execute_many, inserting
from switchyard_monitor.domain.learning import MOST_A_DAY, Cut, Example, Learnt

_DAY = "subject = ? AND revision = ? AND day_us = ?"


def write_examples(connection: Connection, examples: Sequence[Example]) -> None:
    """Keep what is among the least of its day, and nothing above that."""
    for day, found in groupby(sorted(examples, key=lambda example: example[:5]), key=lambda example: example[:3]):
        least = _most(connection, day)
        kept = [example for example in found if least is None or example.rank < least][:MOST_A_DAY]
        execute_many(
            connection,
            "INSERT INTO learning (subject, revision, day_us, rank, k, at_us, body) VALUES (?,?,?,?,?,?,?)"
            " ON CONFLICT DO NOTHING",
            [(*example[:6], json.dumps(example.body)) for example in kept],
        )
        if kept and (most := _most(connection, day)) is not None:
            execute(connection, f"DELETE FROM learning WHERE {_DAY} AND rank > ?", (*day, most))


def count_examples(connection: Connection, subject: str, revision: str) -> dict[int, int]:
    """How many are kept of each day."""
    table = tables.learning
    query = (
        select(table.c.day_us, func.count())
        .where(table.c.subject == subject, table.c.revision == revision)
        .group_by(table.c.day_us)
    )
    return {row[0]: row[1] for row in connection.execute(query)}


def cuts(connection: Connection, subject: str) -> dict[Cut, int]:
    """The rank of the last row that stays, of each revision and day that has as many as are kept."""
    table = tables.learning
    query = (
        select(table.c.revision, table.c.day_us, func.max(table.c.rank))
        .where(table.c.subject == subject)
        .group_by(table.c.revision, table.c.day_us)
        .having(func.count() >= MOST_A_DAY)
    )
    return {(row[0], row[1]): row[2] for row in connection.execute(query)}


def read_examples(connection: Connection, subject: str, revision: str, days: Sequence[int]) -> list[Example]:
    """All that are kept of these days."""
    table = tables.learning
    query = (
        select(table)
        .where(table.c.subject == subject, table.c.revision == revision, table.c.day_us.in_(days))
        .order_by(table.c.day_us, table.c.rank, table.c.k)
    )
    return [
        Example(subject, revision, row.day_us, row.rank, row.k, row.at_us, json.loads(row.body))
        for row in connection.execute(query)
    ]


def read_learnt(connection: Connection, subject: str) -> list[Learnt]:
    """What was learnt of a deployment, the newest last."""
    table = tables.learnt
    query = select(table).where(table.c.subject == subject).order_by(table.c.at_us, table.c.revision)
    return [Learnt(row.revision, row.digest, row.at_us) for row in connection.execute(query)]


def conclude(connection: Connection, subject: str, learnt: Learnt) -> None:
    """Write down what was learnt of a revision, unless somebody did, and forget its rows."""
    values = {"subject": subject, "revision": learnt.revision, "digest": learnt.digest, "at_us": learnt.at_us}
    connection.execute(inserting(connection, tables.learnt).values(values).on_conflict_do_nothing())
    forget_examples(connection, subject, learnt.revision)


def forget_examples(connection: Connection, subject: str, revision: str) -> None:
    """They are needed no longer."""
    table = tables.learning
    connection.execute(delete(table).where(table.c.subject == subject, table.c.revision == revision))


def forget_before(connection: Connection, day_us: int) -> int:
    """Days that are too old to become part of anything; answers how many rows that was."""
    return connection.execute(delete(tables.learning).where(tables.learning.c.day_us < day_us)).rowcount


def _most(connection: Connection, day: Sequence[str | int]) -> int | None:
    """The rank of the last row that stays; None while there is room."""
    sql = f"SELECT rank FROM learning WHERE {_DAY} ORDER BY rank LIMIT 1 OFFSET ?"
    found: int | None = execute(connection, sql, (*day, MOST_A_DAY - 1)).scalar()
    return found
