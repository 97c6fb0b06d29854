"""What feedback needs of the world outside."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol


@dataclass(frozen=True, slots=True)
class Record:
    """One record of the topic of events."""

    key: bytes
    value: bytes


class Log(Protocol):
    """Where events go, in a way that outlives us."""

    async def append(self, records: Sequence[Record]) -> list[bool]:
        """Append records; for each, whether it is safely there. Answers within the time the log was given.

        A record that is not confirmed may still arrive later.
        """
        ...

    async def close(self) -> None:
        """Wait for what is under way, and let go."""
        ...


@dataclass(frozen=True, slots=True)
class Answer:
    """What the monitor said."""

    status: int
    body: Any


class Monitor(Protocol):
    """Where it is known what became of a prediction."""

    async def prediction(self, *, subject: str, prediction_id: str, row: int) -> Answer:
        """What is known of one row of a prediction; raises MonitorUnavailable."""
        ...

    async def close(self) -> None:
        """Let go of connections."""
        ...
