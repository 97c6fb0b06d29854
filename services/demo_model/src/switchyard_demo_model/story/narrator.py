"""The story's voice: a line for each thing that happens, a living line in between, a table at the end."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from typing import TextIO

from rich import box
from rich.console import Console
from rich.live import Live
from rich.table import Table
from rich.text import Text

EVERY = 10.0  # seconds between two lines of progress where nobody can watch a line change
WIDTH = 132  # of a log, which has no width of its own


class Narrator:
    """Says things. On a terminal the newest state is one line that changes; in a log, a line now and then."""

    def __init__(self, out: TextIO, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._console = Console(file=out, highlight=False)
        if not self._console.is_terminal:
            self._console = Console(file=out, highlight=False, width=WIDTH)
        self._clock = clock
        self._began = clock()
        self._told = float("-inf")
        self._live: Live | None = None

    def title(self, text: str) -> None:
        """A new chapter."""
        self._settle()
        self._console.print()
        self._console.print(Text(text, style="bold"))

    def say(self, text: str) -> None:
        """Something happened."""
        self._settle()
        self._console.print(Text(f"{self._stamp()}  {text}"), soft_wrap=True)

    def state(self, text: str) -> None:
        """How things stand while something is waited for."""
        line = Text(f"{self._stamp()}  … {text}", style="dim", overflow="ellipsis", no_wrap=True)
        if self._console.is_terminal:
            if self._live is None:
                self._live = Live(console=self._console, transient=True, auto_refresh=False)
                self._live.start()
            self._live.update(line, refresh=True)
        elif self._clock() - self._told >= EVERY:
            self._told = self._clock()
            self._console.print(line, soft_wrap=True)

    def table(self, title: str, columns: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
        """Figures."""
        self._settle()
        table = Table(title=title, title_justify="left", title_style="bold", box=box.SIMPLE_HEAD)
        for column in columns:
            table.add_column(column, overflow="fold")
        for row in rows:
            table.add_row(*map(Text, row))
        self._console.print(table)

    def _settle(self) -> None:
        """Take the living line away, so that what is said now stays below what was said before."""
        if self._live is not None:
            self._live.stop()
            self._live = None

    def _stamp(self) -> str:
        minutes, seconds = divmod(int(self._clock() - self._began), 60)
        return f"{minutes:3d}:{seconds:02d}"
