"""New databases for tests of the monitor: SQLite files, or databases of a PostgreSQL that runs (`postgres`)."""

from __future__ import annotations

import itertools
import shutil
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from switchyard_monitor.adapters.store import SqlStore

KINDS = ("SQLite", "PostgreSQL")


class Databases(Protocol):
    """Makes databases, each by its URL."""

    def empty(self) -> str:
        """One without tables."""

    def up_to_date(self) -> str:
        """One that has all tables, and nothing in them."""

    def clear(self, url: str) -> None:
        """Take out all that is in one, but for its tables; who may still be connected is waited for."""


@dataclass
class SqliteFiles:
    """Files in a folder."""

    folder: Path
    _numbers: Iterator[int] = field(default_factory=itertools.count)

    def empty(self) -> str:
        """One without tables."""
        return f"sqlite:///{self._path()}"

    def up_to_date(self) -> str:
        """One that has all tables; to copy a file is faster than to make them again."""
        return f"sqlite:///{shutil.copy(self._template(), self._path())}"

    def clear(self, url: str) -> None:
        """Make the file anew, without what SQLite keeps beside it."""
        path = Path(url.removeprefix("sqlite:///"))
        for beside in path.parent.glob(f"{path.name}*"):
            beside.unlink()
        shutil.copy(self._template(), path)

    def _template(self) -> Path:
        template = self.folder / "up-to-date.db"
        if not template.exists():
            store = SqlStore(f"sqlite:///{template}")
            store.migrate()
            store.close()
        return template

    def _path(self) -> Path:
        return self.folder / f"monitor-{next(self._numbers)}.db"
