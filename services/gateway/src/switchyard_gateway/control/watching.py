"""Following one kind of object for ever: list, watch, and go on after whatever the API server does."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Generic, TypeVar

from switchyard_gateway.control.errors import SourceError
from switchyard_gateway.control.ports import Gone, Listing, Mark, Put, Source

log = logging.getLogger(__name__)

T = TypeVar("T")

FIRST_WAIT = 0.2
LONGEST_WAIT = 15.0


@dataclass(frozen=True, slots=True)
class Follower(Generic[T]):
    """Where the news goes, and how long to wait after a failure."""

    source: Source[T]
    on_list: Callable[[Listing[T]], None]
    on_change: Callable[[Put[T] | Gone], None]
    on_contact: Callable[[str], None]
    """Called with '' whenever the API server answered, else with what went wrong."""
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep
    jitter: Callable[[], float] = lambda: 1.0

    async def run(self) -> None:
        """Never ends. A watch that just ended goes on where it stood; one whose place is gone lists again."""
        place: str | None = None
        failures = 0
        while True:
            try:
                if place is None:
                    listing = await self.source.list()
                    self.on_list(listing)
                    place = listing.place
                    self.on_contact("")
                async for change in self.source.watch(place):
                    place, failures = change.place, 0
                    if not isinstance(change, Mark):
                        self.on_change(change)
                    self.on_contact("")
                self.on_contact("")
                failures = 0
                # A server that ends every watch at once must not be asked in a hot loop.
                await self.sleep(0.05)
            except SourceError as wrong:
                failures += 1
                if wrong.expired:
                    place = None
                wait = max(min(FIRST_WAIT * 2 ** (failures - 1), LONGEST_WAIT) * self.jitter(), wrong.retry_after or 0)
                self.on_contact(str(wrong))
                log.warning("%s; trying again in %.1f s", wrong, wait)
                await self.sleep(wait)
