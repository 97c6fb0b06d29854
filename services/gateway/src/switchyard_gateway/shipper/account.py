"""The account: every exchange served is delivered, still spooled, or dropped for a reason that is named. Pure.

What was served Envoy counts itself, where it writes the line; a start of it (a boot) counts from nothing. A killed
Envoy takes its counters along, but not the count of answers begun, which capture.lua keeps in a file: what that has
more than there are lines is what the kill lost. So a boot that is over is settled once its last line is done:
lost = answers − lines.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from pydantic import BaseModel, ConfigDict
from pydantic.alias_generators import to_camel

from switchyard_gateway.shipper.spool import Position

UNPARSABLE = "unparsable"
TOO_LARGE = "too_large"
SPOOL_FULL = "spool_full"
CAPTURE_OFF = "capture_off"
LOST_IN_CRASH = "lost_in_crash"
REASONS = (UNPARSABLE, TOO_LARGE, SPOOL_FULL, CAPTURE_OFF, LOST_IN_CRASH)
"""Why an exchange may reach nobody."""


@dataclass(frozen=True, slots=True)
class Boot:
    """One start of Envoy, as far as its lines are done."""

    exchanges: int = 0
    """Envoy's own counter, as last seen."""
    recorded: int = 0
    """Those of them for which Envoy wrote a line."""
    lines: int = 0
    answered: int = 0
    """Lines with an answer; a client may go away before there is one."""
    overflow: Mapping[str, int] = field(default_factory=dict)
    """What could not be mirrored, as Envoy's counters last said."""

    @property
    def not_recorded(self) -> int:
        """Exchanges while capture was switched off."""
        return max(0, self.exchanges - self.recorded)

    def lost(self, answers: int) -> int:
        """Exchanges of which there will never be a line; `answers` is what Envoy's threads counted."""
        return max(0, answers - self.not_recorded - self.answered, self.recorded - self.lines)


@dataclass(frozen=True, slots=True)
class Tally:
    """What is done with some lines; sums of it make up the book."""

    delivered: int = 0
    refused: Mapping[str, int] = field(default_factory=dict)
    """The gateway's own refusals, by status: no model was asked, so nobody's prediction is missing."""
    dropped: Mapping[str, int] = field(default_factory=dict)
    bodies_removed: int = 0
    torn_bytes: int = 0
    lines: Mapping[str, int] = field(default_factory=dict)
    answered: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Book:
    """Everything that must outlive the shipper: where it is, and what it did until there."""

    position: Position = field(default_factory=Position)
    delivered: int = 0
    refused: Mapping[str, int] = field(default_factory=dict)
    dropped: Mapping[str, int] = field(default_factory=dict)
    bodies_removed: int = 0
    torn_bytes: int = 0
    boots: Mapping[str, Boot] = field(default_factory=dict)
    """Those that are not settled."""
    settled_boots: int = 0
    settled_exchanges: int = 0
    mirror_overflow: int = 0

    def add(self, tally: Tally, position: Position) -> Book:
        """These lines are done, and everything up to this position with them."""
        boots = dict(self.boots)
        for name in filter(None, tally.lines):  # a line so damaged that it names no boot belongs to none
            boot = boots.get(name, Boot())
            boots[name] = replace(
                boot, lines=boot.lines + tally.lines[name], answered=boot.answered + tally.answered.get(name, 0)
            )
        return replace(
            self,
            position=position,
            delivered=self.delivered + tally.delivered,
            refused=summed(self.refused, tally.refused),
            dropped=summed(self.dropped, tally.dropped),
            bodies_removed=self.bodies_removed + tally.bodies_removed,
            torn_bytes=self.torn_bytes + tally.torn_bytes,
            boots=boots,
        )

    def observe(self, name: str, *, exchanges: int, recorded: int, overflow: Mapping[str, int]) -> Book:
        """Envoy's own counters of this boot."""
        old = self.boots.get(name, Boot())
        boot = replace(old, exchanges=exchanges, recorded=recorded, overflow=dict(overflow))
        more = sum(added(overflow[cluster], since=old.overflow.get(cluster, 0)) for cluster in overflow)
        return replace(self, boots={**self.boots, name: boot}, mirror_overflow=self.mirror_overflow + more)

    def settle(self, name: str, *, answers: int) -> Book:
        """This boot is over and its last line is done: what it still owes is lost."""
        boot = self.boots.get(name, Boot())
        lost = boot.lost(answers)
        owed = {reason: n for reason, n in ((CAPTURE_OFF, boot.not_recorded), (LOST_IN_CRASH, lost)) if n}
        return replace(
            self,
            dropped=summed(self.dropped, owed),
            boots={other: held for other, held in self.boots.items() if other != name},
            settled_boots=self.settled_boots + 1,
            settled_exchanges=self.settled_exchanges + boot.lines + boot.not_recorded + lost,
        )


class BootAccount(BaseModel):
    """One start of Envoy that is not settled."""

    model_config = ConfigDict(alias_generator=to_camel, populate_by_name=True, frozen=True)

    boot: str
    running: bool
    exchanges: int
    lines: int
    spooled: int


class Account(BaseModel):
    """`served` = `delivered` + `spooled` + all `dropped` + `unaccounted`; the last is 0 when nothing is under way."""

    model_config = ConfigDict(alias_generator=to_camel, populate_by_name=True, frozen=True)

    node: str
    served: int
    """Exchanges with a model, on both listeners, since the volume was made."""
    delivered: int
    spooled: int
    dropped: dict[str, int]
    unaccounted: int
    refused: dict[str, int]
    """Answers that the gateway gave itself, by status; not part of `served`."""
    bodies_removed: int
    """Delivered without X and Y, because with them the event was too large."""
    capture_errors: int
    """Errors in Envoy's capture script since its last start; the requests passed."""
    mirror_overflow: int
    """Requests that were not mirrored since the volume was made, because too many were under way to the revision. No
    exchange came of them, so they are no part of `served`."""
    settled_boots: int
    boots: list[BootAccount]


def close(book: Book, *, node: str, running: str | None, spooled: Mapping[str, int], capture_errors: int) -> Account:
    """The account at this moment."""
    dropped = dict(book.dropped)
    exchanges = book.settled_exchanges
    for name in {*book.boots, *spooled}:
        boot = book.boots.get(name, Boot())
        if name == running:
            exchanges += boot.exchanges
        else:
            exchanges += boot.lines + boot.not_recorded + spooled.get(name, 0)
        if boot.not_recorded:
            dropped[CAPTURE_OFF] = dropped.get(CAPTURE_OFF, 0) + boot.not_recorded
    served = exchanges - sum(book.refused.values())
    waiting = sum(spooled.values())
    return Account(
        node=node,
        served=served,
        delivered=book.delivered,
        spooled=waiting,
        dropped=dropped,
        unaccounted=served - book.delivered - waiting - sum(dropped.values()),
        refused=dict(book.refused),
        bodies_removed=book.bodies_removed,
        capture_errors=capture_errors,
        mirror_overflow=book.mirror_overflow,
        settled_boots=book.settled_boots,
        boots=[
            BootAccount(
                boot=name,
                running=name == running,
                exchanges=book.boots.get(name, Boot()).exchanges,
                lines=book.boots.get(name, Boot()).lines,
                spooled=spooled.get(name, 0),
            )
            for name in sorted({*book.boots, *spooled})
        ],
    )


def added(now: int, *, since: int) -> int:
    """What a counter has moved by; one that went back began again from nought."""
    return now - since if now >= since else now


def summed(held: Mapping[str, int], new: Mapping[str, int]) -> dict[str, int]:
    """Both, added by key."""
    return {key: held.get(key, 0) + new.get(key, 0) for key in {**held, **new}}
