"""Sums in the database: a row per owner, window and partition, and beside it a row per owner and partition.

The second is the first added up, so that nobody reads a year of windows to say how many requests there were. Writers
add to their own partition's rows; readers add the partitions.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from re import Pattern
from types import MappingProxyType
from typing import Any

from sqlalchemy import Connection

from switchyard_monitor.adapters.statements import execute, execute_many, select_in
from switchyard_monitor.domain.entries import Cells
from switchyard_monitor.domain.sums import Sums, add, decode, encode, merged, pick


@dataclass(frozen=True, slots=True)
class Summed:
    """Sums of one kind of owner, by the names of their tables and of the owner's column."""

    owner: str
    windows: str
    totals: str

    def write(self, connection: Connection, partition: int, cells: Cells) -> None:
        """Add what a batch changed."""
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
        self._write_totals(connection, partition, cells)

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
                sums = _decoded(text) if names is None else _picked(text, names)
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


ARMS = Summed(owner="arm", windows="cell", totals="total")
DAYS = Summed(owner="arm", windows="day_cell", totals="day_total")
PAIRS = Summed(owner="pair", windows="pair_cell", totals="pair_total")


@lru_cache(maxsize=20_000)
def _decoded(text: str) -> Mapping[str, int]:
    """Sums that nobody changes: most windows are asked for again and again while a rollout runs."""
    return MappingProxyType(decode(text))


@lru_cache(maxsize=20_000)
def _picked(text: str, names: Pattern[str]) -> Mapping[str, int]:
    """The same of some names."""
    return MappingProxyType(pick(text, names))


def _first(item: tuple[tuple[int, int], Any]) -> tuple[int, int]:
    return item[0]
