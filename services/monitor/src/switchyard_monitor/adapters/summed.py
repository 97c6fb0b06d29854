"""Sums in the database: a row per owner, window and partition, and beside it a row per owner and partition.

The second is the first added up, so that nobody reads a year of windows to say how many requests there were. Writers
add to their own partition's rows; readers add the partitions. Old windows are moved into coarser ones, and at last go:
their sums stay in the second.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from re import Pattern
from typing import Any

from sqlalchemy import Connection

from switchyard_monitor.adapters.remembered import Remembered
from switchyard_monitor.adapters.statements import execute, execute_many, select_in
from switchyard_monitor.domain.entries import Cells
from switchyard_monitor.domain.retention import Places, spread
from switchyard_monitor.domain.sums import Sums, add, decode, encode, merged, pick

_Place = tuple[int, int, int]
"""Owner, start of the window, partition."""


@dataclass(frozen=True, slots=True)
class Summed:
    """Sums of one kind of owner, by the names of their tables and of the owner's column."""

    owner: str
    windows: str
    totals: str

    def write(self, connection: Connection, partition: int, changed: Cells, cells: Cells) -> None:
        """Add what a batch changed; `cells` is the same, put where the windows lie by now."""
        touched: dict[int, list[int]] = {}
        for (owner, start_us), sums in cells.items():
            if any(sums.values()):
                touched.setdefault(owner, []).append(start_us)
        rows: list[tuple[str, int, int, int]] = []
        for owner, starts in touched.items():
            before: dict[int, str] = dict(
                select_in(
                    connection,
                    f"SELECT start_us, sums FROM {self.windows}"
                    f" WHERE {self.owner} = {owner} AND partition = {partition} AND start_us IN",
                    sorted(starts),
                )
            )
            for start_us in starts:
                total = add(decode(before.get(start_us, "{}")), cells[owner, start_us])
                rows.append((encode(total), owner, start_us, partition))
        execute_many(
            connection,
            f"INSERT INTO {self.windows} (sums, {self.owner}, start_us, partition) VALUES (?,?,?,?)"
            f" ON CONFLICT ({self.owner}, start_us, partition) DO UPDATE SET sums = excluded.sums",
            rows,
        )
        self._write_totals(connection, partition, changed)

    def _write_totals(self, connection: Connection, partition: int, cells: Cells) -> None:
        parts: dict[int, Sums] = {}
        for (owner, _), sums in cells.items():
            add(parts.setdefault(owner, {}), sums)
        before: dict[int, str] = dict(
            select_in(
                connection,
                f"SELECT {self.owner}, sums FROM {self.totals} WHERE partition = {partition} AND {self.owner} IN",
                sorted(parts),
            )
        )
        execute_many(
            connection,
            f"INSERT INTO {self.totals} (sums, {self.owner}, partition) VALUES (?,?,?)"
            f" ON CONFLICT ({self.owner}, partition) DO UPDATE SET sums = excluded.sums",
            [(encode(add(decode(before.get(owner, "{}")), sums)), owner, partition) for owner, sums in parts.items()],
        )

    def read(
        self,
        connection: Connection,
        owners: Iterable[int],
        *,
        limit: int | None = None,
        names: Pattern[str] | None = None,
    ) -> list[tuple[int, int, Sums]]:
        """(start of the window, owner, sums), oldest first; at most `limit` rows, the earlier owners' latest first."""
        found: dict[tuple[int, int], list[Mapping[str, int]]] = {}
        left = limit
        for owner in owners:
            query = f"SELECT start_us, sums FROM {self.windows} WHERE {self.owner} = ?"
            ends: tuple[int, ...] = (owner,)
            if left is not None:
                query, ends = f"{query} ORDER BY start_us DESC LIMIT ?", (owner, left)
            rows = execute(connection, query, ends).all()
            for start_us, text in rows:
                sums = _REMEMBERED.of(text, decode if names is None else partial(pick, names=names), names)
                found.setdefault((start_us, owner), []).append(sums)
            if left is not None and (left := left - len(rows)) <= 0:
                break
        return [(start_us, owner, merged(parts)) for (start_us, owner), parts in sorted(found.items(), key=_first)]

    def read_totals(self, connection: Connection, owners: Iterable[int]) -> list[tuple[int, Sums]]:
        """(owner, sums) of all that have any."""
        found: list[tuple[int, Sums]] = []
        for owner in owners:
            rows = execute(connection, f"SELECT sums FROM {self.totals} WHERE {self.owner} = ?", (owner,))
            if sums := merged(decode(text) for (text,) in rows):
                found.append((owner, sums))
        return found

    def oldest(self, connection: Connection, owners: Sequence[int], *, since_us: int) -> dict[int, int]:
        """The start of each owner's oldest window since then, of those that have one."""
        # An owner's table is named as its column is. Each is asked by itself: by the index, not over all windows.
        sql = (
            f"SELECT id, (SELECT min(start_us) FROM {self.windows}"
            f" WHERE {self.windows}.{self.owner} = {self.owner}.id AND start_us >= {since_us})"
            f" FROM {self.owner} WHERE id IN"
        )
        return {owner: start_us for owner, start_us in select_in(connection, sql, owners) if start_us is not None}

    def newest(self, connection: Connection, owners: Sequence[int]) -> int | None:
        """The start of these owners' newest window; None where they have none."""
        sql = (
            f"SELECT (SELECT max(start_us) FROM {self.windows} WHERE {self.windows}.{self.owner} = {self.owner}.id)"
            f" FROM {self.owner} WHERE id IN"
        )
        return max((at_us for (at_us,) in select_in(connection, sql, owners) if at_us is not None), default=None)

    def move(
        self, connection: Connection, owners: Sequence[int], *, since_us: int, until_us: int, most: int, places: Places
    ) -> int:
        """Put windows that start in a span where they lie by now; answers up to where, if `most` rows are enough.

        Nobody else may write sums of these owners meanwhile.
        """
        span = f"start_us >= {since_us} AND start_us < "
        starts = sorted(
            start_us
            for (start_us,) in select_in(
                connection,
                f"SELECT start_us FROM {self.windows} WHERE {span}{until_us} AND {self.owner} IN",
                owners,
            )
        )
        if len(starts) > most:
            # All rows of one start go together, be they more.
            until_us = next((start_us for start_us in starts[most:] if start_us > starts[0]), until_us)
        held: dict[_Place, Sums] = {
            (owner, start_us, partition): decode(text)
            for owner, start_us, partition, text in select_in(
                connection,
                f"SELECT {self.owner}, start_us, partition, sums FROM {self.windows}"
                f" WHERE {span}{until_us} AND {self.owner} IN",
                owners,
            )
        }
        moved: dict[_Place, Sums] = {}
        touched: set[_Place] = set()
        for place, sums in held.items():
            owner, start_us, partition = place
            to = places(owner, start_us)
            if to is None or set(to) == {start_us}:
                continue
            touched.add(place)
            parts = spread(sums, to)
            held[place] = parts.pop(start_us, {})
            for at_us, part in parts.items():
                add(moved.setdefault((owner, at_us, partition), {}), part)
        for place, part in moved.items():
            if place not in held:
                held[place] = self._at(connection, place)
            add(held[place], part)
        self._put(connection, {place: held[place] for place in touched | moved.keys()})
        return until_us

    def drop(self, connection: Connection, owners: Iterable[int], *, before_us: int) -> None:
        """Forget the windows that start before then; their sums stay in the totals."""
        execute_many(
            connection,
            f"DELETE FROM {self.windows} WHERE {self.owner} = ? AND start_us < ?",
            [(owner, before_us) for owner in sorted(owners)],
        )

    def _at(self, connection: Connection, place: _Place) -> Sums:
        sql = f"SELECT sums FROM {self.windows} WHERE {self.owner} = ? AND start_us = ? AND partition = ?"
        text = execute(connection, sql, place).scalar()
        return decode(text) if text else {}

    def _put(self, connection: Connection, rows: Mapping[_Place, Sums]) -> None:
        """Write rows as they are now; one that holds nothing goes."""
        execute_many(
            connection,
            f"DELETE FROM {self.windows} WHERE {self.owner} = ? AND start_us = ? AND partition = ?",
            sorted(place for place, sums in rows.items() if not any(sums.values())),
        )
        execute_many(
            connection,
            f"INSERT INTO {self.windows} (sums, {self.owner}, start_us, partition) VALUES (?,?,?,?)"
            f" ON CONFLICT ({self.owner}, start_us, partition) DO UPDATE SET sums = excluded.sums",
            [(encode(sums), *place) for place, sums in sorted(rows.items(), key=_where) if any(sums.values())],
        )


ARMS = Summed(owner="arm", windows="cell", totals="total")
DAYS = Summed(owner="arm", windows="day_cell", totals="day_total")
PAIRS = Summed(owner="pair", windows="pair_cell", totals="pair_total")


_REMEMBERED = Remembered(2_000_000)
"""Most windows are asked for again and again while a rollout runs."""


def _where(item: tuple[_Place, Sums]) -> _Place:
    return item[0]


def _first(item: tuple[tuple[int, int], Any]) -> tuple[int, int]:
    return item[0]
