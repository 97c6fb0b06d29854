"""Several namespaces as one source: all or nothing, each from its own place, and none left behind."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

import pytest
from switchyard_gateway.control.errors import SourceError
from switchyard_gateway.control.ports import Gone, Listing, Mark, Put
from switchyard_gateway.control.several import Several


@dataclass
class Namespace:
    """A source that says what it was told to say, and then waits for ever unless it was told to end."""

    items: tuple[str, ...]
    place: str
    changes: tuple[Put[str] | Gone | Mark, ...] = ()
    fails: SourceError | None = None
    ends: bool = False
    asked_from: list[str] = field(default_factory=list)
    kind: str = "Things"

    async def list(self) -> Listing[str]:
        if self.fails:
            raise self.fails
        return Listing(self.items, self.place)

    async def watch(self, place: str) -> AsyncIterator[Put[str] | Gone | Mark]:
        self.asked_from.append(place)
        for change in self.changes:
            yield change
        if self.fails:
            raise self.fails
        if not self.ends:
            await asyncio.Event().wait()


async def heard(several: Several[str], place: str, count: int) -> list[Put[str] | Gone | Mark]:
    found: list[Put[str] | Gone | Mark] = []
    async for change in several.watch(place):
        found.append(change)
        if len(found) == count:
            break
    return found


def test_the_lists_are_one_list() -> None:
    several = Several([Namespace(("a",), "7"), Namespace(("b", "c"), "9")])
    listing = asyncio.run(several.list())
    assert listing.items == ("a", "b", "c")
    assert several.kind == "Things"


def test_half_a_list_is_none() -> None:
    several = Several([Namespace(("a",), "7"), Namespace((), "", fails=SourceError("no"))])
    with pytest.raises(SourceError, match="no"):
        asyncio.run(several.list())


def test_each_goes_on_from_its_own_place() -> None:
    shop = Namespace((), "7", changes=(Put("a", "8"), Gone("shop", "a", "9")), ends=True)
    plant = Namespace((), "70", ends=False)

    async def follow() -> str:
        several = Several([shop, plant])
        place = (await several.list()).place
        async for change in several.watch(place):
            place = change.place
        async for _ in several.watch(place):
            break
        return place

    asyncio.run(follow())
    assert shop.asked_from == ["7", "9"]
    assert plant.asked_from == ["70", "70"]


def test_what_changed_comes_through_as_it_is() -> None:
    several = Several([Namespace((), "1", changes=(Put("a", "2"),)), Namespace((), "5", changes=(Mark("6"),))])
    found = asyncio.run(heard(several, '["1", "5"]', 2))
    assert {type(change) for change in found} == {Put, Mark}
    assert [change.item for change in found if isinstance(change, Put)] == ["a"]
    assert found[-1].place == '["2", "6"]'


def test_a_place_that_is_gone_is_said_to_whoever_follows() -> None:
    gone = Namespace((), "1", fails=SourceError("too old", expired=True))
    with pytest.raises(SourceError) as wrong:
        asyncio.run(heard(Several([Namespace((), "5"), gone]), '["5", "1"]', 1))
    assert wrong.value.expired


def test_when_one_watch_ends_all_begin_anew() -> None:
    ended = Namespace((), "1", ends=True)
    assert asyncio.run(heard(Several([Namespace((), "5"), ended]), '["5", "1"]', 1)) == []
