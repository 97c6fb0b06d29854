"""Freezes: times in which no new revision is given more traffic. A holiday, the nights, the last days of a quarter.

One has two dates (`2026-12-23T18:00`) and happens once, or two times of day (`18:00`) and happens on every day, or on
those that are named. Meanwhile no weight rises and nothing is promoted; the way back, aborts and repairs are open.
"""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal, Self
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import Field, StringConstraints, model_validator

from switchyard_contracts.base import Shape

MOMENT = r"^([0-9]{4}-[0-9]{2}-[0-9]{2}T)?([01][0-9]|2[0-3]):[0-5][0-9]$"
DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
"""In the order of `datetime.weekday`."""

Moment = Annotated[str, StringConstraints(pattern=MOMENT, max_length=16)]
Day = Literal["Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"]


class Freeze(Shape):
    """One freeze, in the wall-clock time of its zone."""

    from_: Annotated[Moment, Field(alias="from")]
    """`2026-12-23T18:00`, or `18:00`."""
    to: Moment
    """Of the same form; a time of day that is not after `from` is the next day's."""
    time_zone: Annotated[str, StringConstraints(pattern=r"^[A-Za-z][A-Za-z0-9_+/-]*$", max_length=64)] = "UTC"
    """By its name in the IANA database; clocks that are put forward or back are heeded."""
    days: Annotated[list[Day], Field(max_length=7)] = []
    """The days on which a time of day begins; every day where none is named."""
    reason: Annotated[str, StringConstraints(max_length=256)] = ""
    """Shown to whoever waits."""

    @property
    def dated(self) -> bool:
        """Whether it happens once."""
        return "T" in self.from_

    @property
    def zone(self) -> ZoneInfo:
        """Its time zone."""
        return ZoneInfo(self.time_zone)

    @model_validator(mode="after")
    def _makes_sense(self) -> Self:
        try:
            ZoneInfo(self.time_zone)
        except (ZoneInfoNotFoundError, ValueError, OSError) as error:
            raise ValueError(
                f"timeZone: there is no time zone {self.time_zone!r}; write one such as Europe/Vienna or UTC"
            ) from error
        if self.dated != ("T" in self.to):
            raise ValueError("to: write both from and to with a date, such as 2026-12-23T18:00, or both without")
        if not self.dated:
            return self
        if self.days:
            raise ValueError("days: a freeze between two dates happens once; leave days out, or the dates")
        for field, text in (("from", self.from_), ("to", self.to)):
            try:
                datetime.fromisoformat(text)
            except ValueError as error:
                raise ValueError(f"{field}: {text!r} is no date ({error}); write one that the calendar has") from error
        if datetime.fromisoformat(self.to) <= datetime.fromisoformat(self.from_):
            raise ValueError(f"to: {self.to} is not after {self.from_}; put the later of the two here")
        return self


CEL: dict[type[Shape], list[dict[str, Any]]] = {
    Freeze: [
        {
            "rule": "self.from.contains('T') == self.to.contains('T')",
            "message": "write both from and to with a date, such as 2026-12-23T18:00, or both without",
            "fieldPath": ".to",
        },
        {
            "rule": "!self.from.contains('T') || self.days.size() == 0",
            "message": "a freeze between two dates happens once; leave days out, or the dates",
            "fieldPath": ".days",
        },
    ],
}
"""What the API server itself checks of a freeze; time zones it does not know."""
