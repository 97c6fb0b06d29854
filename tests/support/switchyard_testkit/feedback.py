"""A log of events in memory, and an application around it: feedback without Kafka, for tests."""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from fastapi import FastAPI
from switchyard_contracts.events import CloudEvent, decode
from switchyard_feedback.api import create_app
from switchyard_feedback.errors import MonitorUnavailable
from switchyard_feedback.metrics import Metrics
from switchyard_feedback.ports import Answer, Record
from switchyard_feedback.tokens import Tokens

NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)


class MemoryLog:
    """The log port in memory. `silent` makes it take nothing; `takes` makes it take only so many more."""

    def __init__(self) -> None:
        self.records: list[Record] = []
        self.silent = False
        self.takes: int | None = None
        self.closed = False

    async def append(self, records: Sequence[Record]) -> list[bool]:
        """Take the records, unless told otherwise."""
        await asyncio.sleep(0)
        kept = []
        for record in records:
            room = not self.silent and (self.takes is None or self.takes > 0)
            if room:
                self.records.append(record)
                self.takes = None if self.takes is None else self.takes - 1
            kept.append(room)
        return kept

    async def close(self) -> None:
        """Remember that it was closed."""
        self.closed = True

    @property
    def events(self) -> list[CloudEvent]:
        """What was taken, as a reader of the topic sees it."""
        return [decode(record.value) for record in self.records]


class MemoryMonitor:
    """The monitor port in memory."""

    def __init__(self, answer: Answer | None) -> None:
        self.answer = answer
        self.asked: list[tuple[str, str, int]] = []

    async def prediction(self, *, subject: str, prediction_id: str, row: int) -> Answer:
        """The prepared answer, or none."""
        self.asked.append((subject, prediction_id, row))
        if self.answer is None:
            raise MonitorUnavailable("the monitor does not answer (ConnectError)")
        return self.answer

    async def close(self) -> None:
        """Nothing is held."""


def token_entry(name: str, token: str, *deployments: str) -> dict[str, Any]:
    """One caller, as the tokens' file has it."""
    return {"name": name, "sha256": hashlib.sha256(token.encode()).hexdigest(), "deployments": list(deployments)}


def write_tokens(path: Path, *entries: dict[str, Any]) -> Path:
    """The tokens' file, replaced in one step as a mounted Secret is."""
    fresh = path.with_suffix(".new")
    fresh.write_text(json.dumps(entries), encoding="utf-8")
    fresh.replace(path)
    return path


def application(
    folder: Path, *, events: MemoryLog | None = None, monitor: MemoryMonitor | None = None, max_body: int = 1024 * 1024
) -> FastAPI:
    """Feedback with a token `right` for shop/delay that is named `till`."""
    path = write_tokens(folder / "tokens.json", token_entry("till", "right", "shop/delay"))
    return create_app(
        tokens=Tokens(path),
        events=events or MemoryLog(),
        monitor=monitor,
        metrics=Metrics(),
        max_body=max_body,
        now=lambda: NOON,
    )
