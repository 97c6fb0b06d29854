"""When Envoy's counters are read: now and then, soon after a change of routes, and whenever somebody asks for them.

A host's counters go with the host, so they are read asked for or not. Looks never overlap, as the older of two that
did might be counted last; and who asks is content with any look that began after the question.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable

from switchyard_gateway.control.controller import Controller
from switchyard_gateway.control.domain.counters import Look
from switchyard_gateway.control.errors import AdminError

log = logging.getLogger(__name__)

EVERY = 5.0
TICK = 1.0


class Counting:
    """Reads Envoy's counters into the controller."""

    def __init__(
        self,
        controller: Controller,
        read: Callable[[], Awaitable[Look]],
        *,
        clock: Callable[[], float],
        now: Callable[[], float],
    ) -> None:
        self._controller = controller
        self._read = read
        self._clock = clock
        self._now = now
        self._lock = asyncio.Lock()
        self._looked_at = float("-inf")

    async def look(self) -> None:
        """Read them, unless that was done meanwhile; `AdminError` where Envoy does not answer."""
        asked_at = self._clock()
        async with self._lock:
            if self._looked_at >= asked_at:
                return
            looked_at, at = self._clock(), self._now()
            self._controller.count(await self._read(), looked_at=looked_at, at=at)
            self._looked_at = looked_at

    async def keep_looking(self) -> None:
        """For ever."""
        while True:
            await asyncio.sleep(TICK)
            if self._controller.wants_a_look() or self._clock() - self._looked_at >= EVERY:
                try:
                    await self.look()
                except AdminError as wrong:
                    log.debug("%s", wrong)
