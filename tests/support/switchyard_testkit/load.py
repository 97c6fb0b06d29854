"""Product traffic at a constant rate, by a client that never retries and looks at every answer.

By aiohttp: with httpx the client took a core for itself at 80 requests a second, of the two that all it tests runs on.
"""

from __future__ import annotations

import asyncio
import json
import math
import threading
import time
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

import aiohttp

from switchyard_testkit.waiting import until

PATIENCE = aiohttp.ClientTimeout(total=30)
CONNECTIONS = 256


@dataclass(frozen=True, slots=True)
class Answer:
    """One answer as the product saw it."""

    prediction_id: str
    status: int
    revision: str
    version: str
    at: float
    user: str = ""
    """Who asked, where the traffic has users."""


@dataclass(slots=True)
class Tally:
    """What the traffic met; failures carry their details."""

    answers: list[Answer] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)
    unanswered: set[str] = field(default_factory=set)
    """Ids of requests that were sent and got no whole answer: the exchanges in flight when a gateway died."""

    @property
    def ids(self) -> set[str]:
        """Ids of all answered requests."""
        return {answer.prediction_id for answer in self.answers}

    def by_revision(self) -> Counter[str]:
        """How many answers each revision gave."""
        return Counter(answer.revision for answer in self.answers)


class Traffic:
    """Requests to one URL at a constant rate, from a thread of its own, until it is stopped.

    With `users`, as many take turns, and each names itself in the header x-user-id.
    """

    def __init__(
        self,
        url: str,
        *,
        body: dict[str, Any],
        rate: float,
        prefix: str,
        number_at: str = "delay",
        headers: dict[str, str] | None = None,
        users: int = 0,
    ) -> None:
        self.tally = Tally()
        self._url, self._rate, self._prefix, self._number_at = url, rate, prefix, number_at
        self._body = json.dumps(body).encode()
        self._headers = {"content-type": "application/json", **(headers or {})}
        self._users = users
        self._under_way: dict[str, asyncio.Task[None]] = {}
        self._stop = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._run()), name="traffic", daemon=True)

    def __enter__(self) -> Traffic:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def stop(self) -> Tally:
        """Send no more, wait for what is under way, and give the tally."""
        self._stop.set()
        self._thread.join(timeout=60)
        if self._thread.is_alive():
            raise TimeoutError("the traffic did not end within 60 s; some request hangs")
        return self.tally

    def go_on(self, more: int, *, seconds: float = 120) -> None:
        """Wait until so many further requests were answered."""
        target = len(self.tally.answers) + more
        until(lambda: len(self.tally.answers) >= target, f"{more} more answers came", seconds=seconds)

    def recover(self, *, seconds: float = 90) -> list[str]:
        """Wait until half a second of traffic went by without a failure, and whoever asked before has ceased to wait.

        Returns the failures of all the traffic by then. A request that died with its gateway may be mourned only when
        its patience is over.
        """
        half_a_second = max(1, round(self._rate / 2))

        def calm() -> bool:
            failed = len(self.tally.failures)
            self.go_on(half_a_second, seconds=seconds)
            return len(self.tally.failures) == failed

        until(calm, "answers flow again", seconds=seconds)
        before = set(self._under_way)
        until(lambda: before.isdisjoint(self._under_way), "nobody waits who asked before", seconds=seconds)
        return list(self.tally.failures)

    async def _run(self) -> None:
        connector = aiohttp.TCPConnector(limit=CONNECTIONS)
        async with aiohttp.ClientSession(connector=connector, timeout=PATIENCE) as client:
            began, sent = time.monotonic(), 0
            while not self._stop.is_set():
                due = began + sent / self._rate
                await asyncio.sleep(max(0.0, due - time.monotonic()))
                prediction_id = f"{self._prefix}-{sent}"
                user = f"{self._prefix}-user-{sent % self._users}" if self._users else ""
                task = asyncio.create_task(self._one(client, prediction_id, user), name=prediction_id)
                self._under_way[prediction_id] = task
                task.add_done_callback(lambda done: self._under_way.pop(done.get_name()))
                sent += 1
            await asyncio.gather(*self._under_way.values())

    async def _one(self, client: aiohttp.ClientSession, prediction_id: str, user: str) -> None:
        headers = {**self._headers, "x-prediction-id": prediction_id} | ({"x-user-id": user} if user else {})
        try:
            async with client.post(self._url, data=self._body, headers=headers) as answer:
                content = await answer.read()
        except (aiohttp.ClientError, TimeoutError) as error:
            self.tally.unanswered.add(prediction_id)
            self.tally.failures.append(f"{prediction_id}: no answer, {type(error).__name__}: {error}")
            return
        revision = answer.headers.get("x-model-revision", "")
        self.tally.answers.append(
            Answer(
                prediction_id=answer.headers.get("x-prediction-id", ""),
                status=answer.status,
                revision=revision,
                version=answer.headers.get("x-model-version", ""),
                at=time.time(),
                user=user,
            )
        )
        if wrong := self._wrong(answer, content, prediction_id):
            self.tally.failures.append(f"{prediction_id}: {wrong}")

    def _wrong(self, answer: aiohttp.ClientResponse, content: bytes, prediction_id: str) -> str:
        revision = answer.headers.get("x-model-revision", "")
        if answer.status != 200:
            return f"status {answer.status} of {revision or 'no revision'}: {content[:200].decode(errors='replace')}"
        if answer.headers.get("x-prediction-id") != prediction_id:
            return f"the id came back as {answer.headers.get('x-prediction-id')!r}"
        if not revision:
            return "the answer names no revision"
        number = json.loads(content).get(self._number_at)
        if not isinstance(number, int | float) or not math.isfinite(number):
            return f"{self._number_at} is {number!r}, not a finite number"
        return ""
