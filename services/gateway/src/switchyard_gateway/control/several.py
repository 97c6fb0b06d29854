"""One kind of object in several namespaces, as if it were one source.

Each namespace has a place of its own in the history; together they are one place, so whoever follows need not know.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, replace
from typing import Generic, TypeVar

from switchyard_gateway.control.ports import Gone, Listing, Mark, Put, Source

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Several(Generic[T]):
    """Sources of the same kind, none of which has an object of another's."""

    sources: Sequence[Source[T]]

    @property
    def kind(self) -> str:
        """The kind's name, for people."""
        return self.sources[0].kind

    async def list(self) -> Listing[T]:
        """All lists, or none: half of them would look like deletions."""
        listings = await asyncio.gather(*(source.list() for source in self.sources))
        items = tuple(item for listing in listings for item in listing.items)
        return Listing(items, json.dumps([listing.place for listing in listings]))

    async def watch(self, place: str) -> AsyncIterator[Put[T] | Gone | Mark]:
        """All watches at once; ends with the first that ends, so that none is left behind, or fails with it."""
        places: list[str] = json.loads(place)
        news: asyncio.Queue[tuple[int, Put[T] | Gone | Mark] | BaseException | None] = asyncio.Queue()

        async def follow(index: int) -> None:
            async for change in self.sources[index].watch(places[index]):
                news.put_nowait((index, change))

        def ended(task: asyncio.Task[None]) -> None:
            if not task.cancelled():
                news.put_nowait(task.exception())

        tasks = [asyncio.create_task(follow(index)) for index in range(len(self.sources))]
        for task in tasks:
            task.add_done_callback(ended)
        try:
            while (heard := await news.get()) is not None:
                if isinstance(heard, BaseException):
                    raise heard
                index, change = heard
                places[index] = change.place
                yield replace(change, place=json.dumps(places))
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
