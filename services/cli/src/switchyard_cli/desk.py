"""Where a verb works: the terminal, the clock, and how to come to a cluster. Made in `__main__`, or by a test."""

from __future__ import annotations

from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, TextIO

from rich.console import Console, RenderableType
from rich.text import Text

from switchyard_cli.ports import Cluster, Monitor, Registry, Time


class Connect(Protocol):
    """How a verb comes to its cluster."""

    def __call__(self, *, kubeconfig: str | None, context: str | None, namespace: str | None) -> Cluster: ...


class Registries(Protocol):
    """How a verb comes to the registries of images."""

    def __call__(self, *, plain_http: bool) -> AbstractContextManager[Registry]: ...


class Monitors(Protocol):
    """How a verb comes to the monitor."""

    def __call__(self, url: str, *, token: str) -> AbstractContextManager[Monitor]: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Desk:
    """Everything outside that a verb may touch."""

    connect: Connect
    registries: Registries
    monitors: Monitors
    time: Time
    out: Console
    err: Console
    stdin: TextIO
    bentos: Path
    """BentoML's home folder."""

    def show(self, what: RenderableType) -> None:
        """A view, as wide as the terminal."""
        self.out.print(what)

    def say(self, sentence: str) -> None:
        """A sentence that scripts may read: one line, however wide the terminal is."""
        self.out.print(Text(sentence), soft_wrap=True)

    def warn(self, sentence: str) -> None:
        """A sentence beside the result."""
        self.err.print(Text(sentence), soft_wrap=True)


def console(stream: TextIO, *, width: int | None = None) -> Console:
    """A console that prints what it is given: no markup or emoji is read out of names and messages."""
    wide = width if width is not None else None if stream.isatty() else 160
    return Console(file=stream, width=wide, markup=False, emoji=False, highlight=False)
