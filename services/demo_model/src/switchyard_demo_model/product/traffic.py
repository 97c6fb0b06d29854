"""The traffic driver: plays a world's actions against a gateway at their time, and tells what came of them.

It is an open loop: a request goes out when it is due, whether or not the one before it was answered, as real users do.
What a decision or an outcome is about must be known first, so both wait for the answer of their own request.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Coroutine, Iterator
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any

import aiohttp

from switchyard_demo_model.product.gateway import Addresses, CallFailed, ask, tell
from switchyard_demo_model.product.ledger import Answer, Failure, Ledger
from switchyard_demo_model.world.dispatcher import adds_buffer
from switchyard_demo_model.world.schedule import Action, Decide, Predict, Report

TIMEOUT = aiohttp.ClientTimeout(total=15, connect=5)
BATCH = 500  # the feedback service takes up to 1,000 items at once
EVERY = 0.25  # seconds between batches
ACTOR = {"kind": "human", "id": "dispatcher"}


class Traffic:
    """One run. `play` asks until told to stop or until the world ends, and then sees the asked flights land."""

    def __init__(
        self, actions: Iterator[Action], addresses: Addresses, ledger: Ledger, *, beat: float | None = None
    ) -> None:
        """With a `beat` it begins at a whole multiple of so many seconds since 1970, as windows of the monitor do."""
        self._beat = beat
        self._actions, self._addresses, self._ledger = actions, addresses, ledger
        self._answers: dict[int, asyncio.Future[Answer | None]] = {}  # of flights that will still land
        self._batches: dict[str, list[dict[str, Any]]] = {"decisions": [], "outcomes": []}
        self._stopped = False
        self._calls: set[asyncio.Task[None]] = set()
        self._started = 0.0
        self.began: float | None = None
        """When the demo's clock stood at 0, in seconds since 1970; None before."""

    def stop(self) -> None:
        """Ask no more; what was asked is still decided, and reported when it lands. May be called from any thread."""
        self._stopped = True

    async def play(self) -> None:
        """Run to the end. Every call is made when it is due, and none is left behind."""
        now = time.time()
        self.began = now if self._beat is None else now - now % self._beat + self._beat
        self._started = time.monotonic() + self.began - now
        # Connections are dropped here before any server behind the address would drop them as idle.
        connector = aiohttp.TCPConnector(limit=0, keepalive_timeout=2.0)
        async with aiohttp.ClientSession(connector=connector, timeout=TIMEOUT) as session:
            played = asyncio.Event()
            sender = asyncio.create_task(self._send_batches(session, until=played))
            try:
                await self._play_actions(session)
                while self._calls:
                    await asyncio.gather(*self._calls)
            finally:
                played.set()
                await sender

    async def _play_actions(self, session: aiohttp.ClientSession) -> None:
        thinking: dict[int, asyncio.Future[Answer | None]] = {}
        for action in self._actions:
            if self._stopped and not self._answers and not thinking:
                return
            if isinstance(action, Predict):
                if self._stopped:
                    continue
                await self._until(action.due)
                thinking[action.number] = answer = asyncio.get_running_loop().create_future()
                if action.will_land:
                    self._answers[action.number] = answer
                self._spawn(self._predict(session, action, answer))
            elif isinstance(action, Decide) and (asked := thinking.pop(action.number, None)):
                await self._until(action.due)
                self._spawn(self._decide(action, asked))
            elif isinstance(action, Report) and (asked := self._answers.pop(action.number, None)):
                await self._until(action.due)
                self._spawn(self._report(action, asked))

    async def _until(self, due: float) -> None:
        wait = self._started + due - time.monotonic()
        self._ledger.behind = max(self._ledger.behind, -wait)
        await asyncio.sleep(max(0.0, wait))

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._calls.add(task)
        task.add_done_callback(self._calls.discard)

    async def _predict(
        self, session: aiohttp.ClientSession, action: Predict, answer: asyncio.Future[Answer | None]
    ) -> None:
        self._ledger.asked += 1
        try:
            found = await ask(session, self._addresses, action.flight, number=action.number)
            if objection := self._ledger.answered(found):
                raise CallFailed(objection)
            answer.set_result(found)
        except CallFailed as error:
            self._fail("predict", str(error))
            answer.set_result(None)

    async def _decide(self, action: Decide, answer: asyncio.Future[Answer | None]) -> None:
        if found := await answer:
            value = adds_buffer(found.delay, action.flight, action.mood)
            self._enqueue("decisions", found, value, actor=ACTOR)

    async def _report(self, action: Report, answer: asyncio.Future[Answer | None]) -> None:
        if found := await answer:
            self._ledger.landed(found, action.arrival_delay)
            self._enqueue("outcomes", found, action.arrival_delay)

    def _enqueue(self, what: str, answer: Answer, value: bool | float, **more: Any) -> None:
        item = {"predictionId": answer.prediction_id, "row": 0, "value": value, "at": now(), **more}
        self._batches[what].append(item)

    async def _send_batches(self, session: aiohttp.ClientSession, *, until: asyncio.Event) -> None:
        while not until.is_set():
            with suppress(TimeoutError):
                await asyncio.wait_for(until.wait(), EVERY)
            await self._flush(session)
        await self._flush(session)  # what came while the last batch was on its way

    async def _flush(self, session: aiohttp.ClientSession) -> None:
        for what in self._batches:
            waiting, self._batches[what] = self._batches[what], []  # what comes meanwhile travels with the next batch
            for first in range(0, len(waiting), BATCH):
                batch = waiting[first : first + BATCH]
                try:
                    await tell(session, self._addresses, what, batch)
                except CallFailed as error:
                    self._fail(what, f"{len(batch)} items lost: {error}")
                else:
                    setattr(self._ledger, what, getattr(self._ledger, what) + len(batch))

    def _fail(self, what: str, why: str) -> None:
        self._ledger.failure(Failure(round(time.monotonic() - self._started, 3), what, why))


def now() -> str:
    """The time as feedback carries it."""
    return datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
