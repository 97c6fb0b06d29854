"""What control needs from the cluster, as an interface: a list of objects, and their changes since."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

T_co = TypeVar("T_co", covariant=True)


@dataclass(frozen=True, slots=True)
class Listing(Generic[T_co]):
    """Every object there is, and the place from which to watch on."""

    items: tuple[T_co, ...]
    place: str


@dataclass(frozen=True, slots=True)
class Put(Generic[T_co]):
    """An object was added or modified."""

    item: T_co
    place: str


@dataclass(frozen=True, slots=True)
class Gone:
    """An object was deleted."""

    namespace: str
    name: str
    place: str


@dataclass(frozen=True, slots=True)
class Mark:
    """Nothing changed up to here."""

    place: str


class Source(Protocol[T_co]):
    """One kind of object. Both verbs raise `SourceError` when the API server does not answer as it should."""

    @property
    def kind(self) -> str:
        """The kind's name, for people."""
        ...

    async def list(self) -> Listing[T_co]:
        """A complete, consistent list."""
        ...

    def watch(self, place: str) -> AsyncIterator[Put[T_co] | Gone | Mark]:
        """The changes since a place; ends by itself after a while, so a silent connection is never trusted long."""
        ...
