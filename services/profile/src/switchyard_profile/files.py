"""Files: tables as data scientists keep them, as columns of JSON's values.

CSV has no types. A column whose cells are all numbers holds numbers, one of true and false holds booleans, anything
else strings. A column that is nearly all numbers is a mistake that a person must look at, and no column of strings.
"""

from __future__ import annotations

import csv
import importlib
import math
import re
from collections.abc import Callable, Collection, Mapping, Sequence
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

from switchyard_profile.errors import TableError
from switchyard_profile.values import Type

NEARLY = 0.9
"""From this share of numbers on, what is none of them is taken for a mistake."""
DAY_DIGITS = len("20130131")
SECONDS_MOST = 1e11
"""Times after the year 5138 are taken for milliseconds."""
_NUMBER = re.compile(r"[+-]?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d+)?", re.ASCII)
_TRUTH = {"true": True, "false": False}

Table = dict[str, list[Any]]


def read(
    path: Path, *, missing: Collection[str] = (), types: Mapping[str, Type] | None = None, delimiter: str = ","
) -> Table:
    """The columns of a CSV or Parquet file, by its name's end; `missing` are cells that mean no value, beside ''."""
    if not path.is_file():
        raise TableError(f"{path}: there is no such file")
    if path.suffix.lower() in (".parquet", ".pq"):
        return _parquet(path)
    cells = _cells(path, delimiter)
    absent = {"", *missing}
    types = types or {}
    return {name: _typed(name, column, absent=absent, declared=types.get(name)) for name, column in cells.items()}


def seconds(name: str, values: Sequence[Any]) -> list[int]:
    """A column of times, in seconds since 1970: ISO 8601 (UTC where no zone is written), or such seconds already."""
    return [_second(name, row, value) for row, value in enumerate(values, start=1)]


def _second(name: str, row: int, value: Any) -> int:
    if isinstance(value, str):
        value = _moment(value.strip())
    if isinstance(value, datetime):
        return math.floor((value if value.tzinfo else value.replace(tzinfo=UTC)).timestamp())
    if isinstance(value, date):
        return math.floor(datetime(value.year, value.month, value.day, tzinfo=UTC).timestamp())
    if isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < SECONDS_MOST:
        return math.floor(value)
    raise TableError(
        f"column {name!r}, row {row}: {value!r} is no time; write ISO 8601, such as 2013-01-31T17:45:00Z, or seconds"
        " since 1970"
    )


def _moment(text: str) -> datetime | float | str:
    """A time as it was written; eight digits are a day, other digits are seconds."""
    if len(text) != DAY_DIGITS and _NUMBER.fullmatch(text):
        return float(text)
    try:
        return datetime.fromisoformat(text)
    except ValueError:
        return text


def _cells(path: Path, delimiter: str) -> dict[str, list[str]]:
    """The text of every cell."""
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            lines = csv.reader(file, delimiter=delimiter, strict=True)
            header = next(lines, None)
            if not header:
                raise TableError(f"{path}: the first line must name the columns, and there is none")
            _check_header(path, header)
            columns: list[list[str]] = [[] for _ in header]
            for cells in lines:
                if not cells:
                    continue
                if len(cells) != len(header):
                    raise TableError(
                        f"{path}, line {lines.line_num}: there are {len(cells)} cells, the header names {len(header)};"
                        " put cells that hold the delimiter into quotes"
                    )
                for column, cell in zip(columns, cells, strict=True):
                    column.append(cell)
    except UnicodeDecodeError as error:
        raise TableError(f"{path}: byte {error.start} is not UTF-8; write the file in UTF-8") from error
    except csv.Error as error:
        raise TableError(f"{path}, line {lines.line_num}: {error}; write the file as RFC 4180 says") from error
    return dict(zip(header, columns, strict=True))


def _check_header(path: Path, header: Sequence[str]) -> None:
    for place, name in enumerate(header, start=1):
        if not name.strip():
            raise TableError(f"{path}: column {place} has no name; name it in the first line")
        if header.count(name) > 1:
            raise TableError(f"{path}: two columns are named {name!r}; rename one of them")
    for other in (";", "\t"):
        if len(header) == 1 and other in header[0]:
            raise TableError(f"{path}: the whole first line is one cell; say --delimiter {other!r}")


def _typed(name: str, cells: Sequence[str], *, absent: Collection[str], declared: Type | None) -> list[Any]:
    """A column of CSV as values."""
    if declared in (Type.STRING, Type.TEXT):
        return [None if cell in absent else cell for cell in cells]
    filled = [cell for cell in cells if cell not in absent]
    if declared is Type.BOOLEAN or (declared is None and filled and all(cell.lower() in _TRUTH for cell in filled)):
        return _parsed(name, cells, absent=absent, read=lambda cell: _TRUTH.get(cell.lower()), kind=Type.BOOLEAN)
    fitting = sum(_NUMBER.fullmatch(cell.strip()) is not None for cell in filled)
    if declared is None and (not filled or fitting < NEARLY * len(filled)):
        return [None if cell in absent else cell for cell in cells]
    return _parsed(name, cells, absent=absent, read=_number, kind=Type.NUMBER)


def _number(cell: str) -> float | None:
    return float(cell) if _NUMBER.fullmatch(cell.strip()) else None


def _parsed(
    name: str, cells: Sequence[str], *, absent: Collection[str], read: Callable[[str], Any], kind: Type
) -> list[Any]:
    found: list[Any] = []
    for row, cell in enumerate(cells, start=1):
        value = None if cell in absent else read(cell)
        if value is None and cell not in absent:
            raise TableError(
                f"column {name!r}, row {row}: {cell!r} is no {kind}; write --missing {cell!r} if it means that there"
                f" is no value, or --type {name}=string if the column holds names"
            )
        found.append(value)
    return found


def _parquet(path: Path) -> Table:
    """Every column of a Parquet file, one at a time."""
    try:
        arrow, parquet = importlib.import_module("pyarrow"), importlib.import_module("pyarrow.parquet")
    except ImportError as error:
        raise TableError(
            f"{path}: reading Parquet takes pyarrow; install switchyard-profile[parquet], or write the table as CSV"
        ) from error
    try:
        file = parquet.ParquetFile(path)
    except arrow.ArrowInvalid as error:
        raise TableError(f"{path}: this is no Parquet file ({error}); give CSV a name that ends in .csv") from error
    return {
        name: [_plain(value) for value in file.read([name]).column(0).to_pylist()] for name in file.schema_arrow.names
    }


def _plain(value: Any) -> Any:
    return float(value) if isinstance(value, Decimal) else value
