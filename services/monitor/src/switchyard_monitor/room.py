"""Room: how large the database is, and whether it may grow.

At its limit, or when its volume is full, nothing more is read: events wait in Kafka, where they are safe, and nothing
is dropped, until the topic forgets them. What was pruned makes room again inside the file, which does not become
smaller. Nothing grows older while nothing is read: what had its time goes at once, and then it is a person's turn.
"""

from __future__ import annotations

import logging
from collections.abc import Callable

from switchyard_contracts.retention import FILE_BYTES

from switchyard_monitor.ports import Size

log = logging.getLogger(__name__)

EVERY_US = 10_000_000
WARN_AT = 0.8
AGAIN_AT = 0.98
"""Reading goes on when so much is taken at most, so that it does not stop again at once."""
SPARE_BYTES = 64 * 1024 * 1024
"""Of a volume, left for what SQLite writes beside its file, and to prune."""
WAIT = "events wait in Kafka and nothing is dropped until the topic of events forgets them"
IN_TIME = (
    "nothing more grows old until they are read, so it takes a person, within what kafka.topics.retention says (7d,"
    " where nothing else is set)"
)
KEEP_LESS = "keep rows for a shorter time (monitor.retention.rows)"
MOVE = "move to a PostgreSQL (monitor.database)"
LARGER = "raise monitor.database.maxBytes"
LARGER_VOLUME = (
    "make the volume larger (the PersistentVolumeClaim itself, if its storage class allows it; what"
    " monitor.persistence.size says changes none that is there)"
)


def limit(size: Size, most: int) -> int | None:
    """How large the database may become, in bytes. `most` is what the installation says; 0 where it says nothing."""
    if size.free is None:
        return most or None
    return min(most or FILE_BYTES, max(0, size.used + size.freed + size.free - SPARE_BYTES))


def cures(size: Size, most: int) -> str:
    """What a person may do about it."""
    if size.free is None:
        return LARGER
    larger = LARGER if limit(size, most) == (most or FILE_BYTES) else LARGER_VOLUME
    return f"{larger}, {KEEP_LESS}, or {MOVE}"


def gigabytes(count: int) -> str:
    """As people write it, with three digits."""
    return f"{count / 1e9:.3g} GB"


class Room:
    """Looks at the database every ten seconds. `StoreUnavailable` when it does not answer."""

    def __init__(self, *, size: Callable[[], Size], most: int, clock_us: Callable[[], int]) -> None:
        self._size = size
        self._most = most
        self._clock = clock_us
        self._next_us = 0
        self.used: int | None = None
        self.limit: int | None = None
        self.full = False
        self._cures = ""
        self.words = ""
        """What a person must know; empty while there is room."""

    def look(self) -> None:
        """Ask, if it is time to."""
        now_us = self._clock()
        if now_us < self._next_us:
            return
        self._next_us = now_us + EVERY_US
        size = self._size()
        self.used, self.limit = size.used, limit(size, self._most)
        self._cures = cures(size, self._most)
        share = 0.0 if self.limit is None else size.used / max(1, self.limit)
        was_full, warned = self.full, bool(self.words)
        self.full = share >= (AGAIN_AT if was_full else 1.0)
        self.words = self._said(share)
        if self.full and not was_full:
            log.error("%s", self.words)
        elif self.words and not warned:
            log.warning("%s", self.words)
        elif was_full and not self.full:
            log.warning("the database has room again: events are read on")

    def _said(self, share: float) -> str:
        if share < WARN_AT or self.used is None or self.limit is None:
            return ""
        taken = f"the database takes {gigabytes(self.used)} of the {gigabytes(self.limit)} that it may"
        if self.full:
            return f"{taken}, so events are not read: {WAIT}; {IN_TIME}: {self._cures}"
        return f"{taken} ({share:.0%}); at the whole of it events are not read: {WAIT}; {self._cures}"
