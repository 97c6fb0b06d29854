"""Tables that tests measure, printed when all have run: figures that nobody sees are held by nobody.

A test puts its row with its own properties, which its report carries to whoever prints, from another process too.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple

PROPERTY = "row of a table"


class Line(NamedTuple):
    """One row, and the table that it stands in."""

    table: str
    head: Sequence[str]
    place: int
    cells: Sequence[str]


def lines(properties: Iterable[tuple[str, Any]]) -> Iterator[Line]:
    """Those that a report carries."""
    for name, value in properties:
        if name == PROPERTY:
            yield Line(*value)


def told(found: Iterable[Line]) -> Iterator[str]:
    """Every table, as Markdown whose columns stand below each other."""
    by_table: dict[str, list[Line]] = {}
    for line in found:
        by_table.setdefault(line.table, []).append(line)
    for title, held in by_table.items():
        rows = [held[0].head, *(line.cells for line in sorted(held, key=lambda line: line.place))]
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
        yield ""
        yield f"{title}:"
        for place, row in enumerate(rows):
            yield f"| {' | '.join(cell.ljust(width) for cell, width in zip(row, widths, strict=True))} |"
            if not place:
                yield f"|{'|'.join('-' * (width + 2) for width in widths)}|"
