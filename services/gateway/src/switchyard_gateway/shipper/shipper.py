"""The loop: keep the files in bounds, read on, send, and write down how far it got.

One pass does a little of each and never waits. A batch is sent whole, acknowledged whole, and only then is its end
written down; killed before that, the next start sends it again under the same event ids.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from switchyard_gateway.shipper import account as reasons
from switchyard_gateway.shipper.account import Account, Book, Tally, close
from switchyard_gateway.shipper.bus import Bus, Failure, Outcome, Record
from switchyard_gateway.shipper.envoy import Counters
from switchyard_gateway.shipper.errors import EnvoyUnavailable
from switchyard_gateway.shipper.line import Event, Reader, Refusal, Unreadable
from switchyard_gateway.shipper.spool import Piece, Position, Spool, begun, boot_of

log = logging.getLogger(__name__)


class Admin(Protocol):
    """The running Envoy."""

    def reopen_logs(self) -> None:
        """Close the access log's file and open the one of that name."""

    def counters(self) -> Counters:
        """Its counters now."""


class BootCounts(Protocol):
    """What each start of Envoy left."""

    def names(self) -> list[str]:
        """Oldest first."""

    def answers(self, name: str) -> int:
        """Answers begun in this boot."""

    def remove(self, name: str) -> None:
        """It is settled."""


class BookStore(Protocol):
    """Where the book is kept."""

    def read(self) -> Book:
        """As last written."""

    def write(self, book: Book) -> None:
        """For good."""


@dataclass(frozen=True, slots=True)
class Limits:
    """How much and how often; times in seconds."""

    spool_bytes: int = 1_073_741_824
    segment_bytes: int = 8_388_608
    segment_age: float = 300.0
    batch_lines: int = 1000
    batch_bytes: int = 4_194_304
    retry_after: float = 1.0
    poll_every: float = 1.0


@dataclass(frozen=True, slots=True)
class Room:
    """What the spool holds at one moment."""

    bytes: int
    segments: int
    oldest_age: float
    """Seconds since the oldest exchange in it began."""


@dataclass(frozen=True, slots=True)
class Batch:
    """Lines on their way: what of them is to be sent, and what is to be written down when it was."""

    number: int
    events: tuple[Event, ...]
    done: Tally
    end: Position


class Shipper:
    """One gateway pod's. `step` belongs to one thread; the rest may be asked from any."""

    def __init__(
        self,
        *,
        node: str,
        spool: Spool,
        reader: Reader,
        bus: Bus,
        admin: Admin,
        boots: BootCounts,
        store: BookStore,
        limits: Limits,
        clock: Callable[[], float],
        now: Callable[[], float] = time.time,
    ) -> None:
        self._node = node
        self._spool = spool
        self._reader = reader
        self._bus = bus
        self._admin = admin
        self._boots = boots
        self._store = store
        self._limits = limits
        self._clock = clock
        self._now = now
        self.kafka_failures = 0
        """Batches that Kafka did not take whole, since this start."""
        self._lock = threading.RLock()
        self._book = store.read()
        self._written = self._book
        self._batch: Batch | None = None
        self._submitted = False
        self._not_before = 0.0
        self._reopen_wanted = bool(spool.segments(self._book.position)) and spool.active() is None
        self._glance: tuple[int, ...] = ()
        self._next_pass = 0.0
        self._polled_at = float("-inf")
        self._active_since: float | None = None
        self._counters = Counters()
        self._failing: str = ""
        self._heard_of_bus = False

    def step(self) -> bool:
        """One pass; True when there may be more to do at once."""
        with self._lock:
            glance = self._spool.glance()
            if glance == self._glance and self._batch is None and self._clock() < self._next_pass:
                return False
            self._glance, self._next_pass = glance, self._clock() + self._limits.poll_every
            running = self._running()
            self._spool.adopt(self._book.position)
            self._keep_in_bounds()
            moved = self._send_on()
            self._poll(running)
            self._settle(running)
            self._write()
            if moved:
                self._glance = ()
            return moved

    def is_drained(self) -> bool:
        """Nothing is left to send."""
        with self._lock:
            return self._batch is None and self._spool.first(self._book.position) is None

    def account(self) -> Account:
        """The account at this moment, with Envoy asked anew."""
        with self._lock:
            running = self._running()
            self._poll(running, now=True)
            self._write()
            return close(
                self._book,
                node=self._node,
                running=running,
                spooled=self._spool.count(self._book.position),
                capture_errors=self._counters.capture_errors,
            )

    def room(self) -> Room:
        """What the spool takes, and since when the oldest exchange waits in it."""
        with self._lock:
            present = self._spool.segments(self._book.position)
            first = self._spool.first(self._book.position)
        began = begun(first) if first else None
        age = max(0.0, self._now() - began) if began else 0.0
        return Room(sum(segment.size for segment in present), len(present), age)

    def trouble(self) -> str:
        """Why nothing is being delivered; empty when all is well."""
        with self._lock:
            return self._failing

    def _running(self) -> str | None:
        names = self._boots.names()
        return names[-1] if names else None

    def _keep_in_bounds(self) -> None:
        position, now = self._book.position, self._clock()
        active = self._spool.active()
        if active is None or not active.st_size:
            self._active_since = None
        elif self._active_since is None:
            self._active_since = now
        old = self._active_since is not None and now - self._active_since >= self._limits.segment_age
        if active and active.st_size and (active.st_size >= self._limits.segment_bytes or old):
            self._reopen_wanted = self._spool.put_aside(position)
            self._active_since = None
        if self._reopen_wanted:
            self._reopen()
        busy = self._batch.number if self._batch else 0
        while self._spool.size(position) > self._limits.spool_bytes:
            lines = self._spool.let_go(position, busy=busy)
            if lines is None:
                break
            names = {"reason": reasons.SPOOL_FULL}
            log.error("the spool is full: %d exchanges were dropped", len(lines), extra=names)
            self._book = self._book.add(_unsent(lines), position)

    def _reopen(self) -> None:
        if self._spool.active() is not None:
            self._reopen_wanted = False
            return
        try:
            self._admin.reopen_logs()
        except EnvoyUnavailable as error:
            log.debug("%s", error)

    def _send_on(self) -> bool:
        if self._batch is None:
            position = self._book.position
            piece = self._spool.read(position, max_lines=self._limits.batch_lines, max_bytes=self._limits.batch_bytes)
            if piece.end == position:
                return False
            self._batch = self._prepare(position.number, piece)
            self._not_before = 0.0
        if not self._batch.events:
            self._finish(self._batch)
            return True
        if not self._submitted:
            if self._clock() < self._not_before:
                return False
            self._bus.submit([Record(event.key, event.value) for event in self._batch.events])
            self._submitted = True
            return False
        outcome = self._bus.outcome()
        if outcome is None:
            return False
        self._submitted = False
        self._take(self._batch, outcome)
        return True

    def _prepare(self, number: int, piece: Piece) -> Batch:
        events: list[Event] = []
        refused: Counter[str] = Counter()
        dropped: Counter[str] = Counter()
        lines: Counter[str] = Counter()
        answered: Counter[str] = Counter()
        for line in piece.lines:
            read = self._reader.read(line)
            if isinstance(read, Unreadable):
                names = {"reason": reasons.UNPARSABLE}
                log.error("a line of Envoy's record cannot be read and is dropped: %s", read.reason, extra=names)
                dropped[reasons.UNPARSABLE] += 1
                lines[boot_of(line)] += 1
                answered[boot_of(line)] += 1
                continue
            lines[read.boot] += 1
            answered[read.boot] += read.answered
            if isinstance(read, Refusal):
                refused[str(read.status)] += 1
            else:
                events.append(read)
        done = Tally(refused=refused, dropped=dropped, lines=lines, answered=answered, torn_bytes=piece.torn)
        return Batch(number, tuple(events), done, piece.end)

    def _take(self, batch: Batch, outcome: Outcome) -> None:
        undelivered = [event for n, event in enumerate(batch.events) if outcome.failures.get(n) is Failure.UNAVAILABLE]
        too_large = sum(failure is Failure.TOO_LARGE for failure in outcome.failures.values())
        delivered = [event for n, event in enumerate(batch.events) if n not in outcome.failures]
        for n, failure in outcome.failures.items():
            if failure is Failure.TOO_LARGE:
                names = {**_names(batch.events[n]), "reason": reasons.TOO_LARGE}
                log.error("an event is too large for Kafka, without its bodies too, and is dropped", extra=names)
        done = Tally(
            delivered=batch.done.delivered + len(delivered),
            refused=batch.done.refused,
            dropped=reasons.summed(batch.done.dropped, {reasons.TOO_LARGE: too_large} if too_large else {}),
            bodies_removed=batch.done.bodies_removed + sum(event.bodies_removed for event in delivered),
            torn_bytes=batch.done.torn_bytes,
            lines=batch.done.lines,
            answered=batch.done.answered,
        )
        rest = Batch(batch.number, tuple(undelivered), done, batch.end)
        if undelivered:
            self.kafka_failures += 1
            if not self._failing:
                log.warning(
                    "Kafka takes nothing (%s); the spool keeps %d exchanges and more", outcome.detail, len(undelivered)
                )
            self._failing = outcome.detail or "Kafka takes nothing"
            self._batch = rest
            self._not_before = self._clock() + self._limits.retry_after
        else:
            if self._failing:
                log.warning("Kafka takes events again")
            self._failing = ""
            self._finish(rest)

    def _finish(self, batch: Batch) -> None:
        self._book = self._book.add(batch.done, batch.end)
        self._batch = None
        self._write()
        self._spool.forget(self._book.position)

    def _poll(self, running: str | None, *, now: bool = False) -> None:
        if running is None or (not now and self._clock() - self._polled_at < self._limits.poll_every):
            return
        self._polled_at = self._clock()
        try:
            counters = self._admin.counters()
        except EnvoyUnavailable as error:
            log.debug("%s", error)
            return
        if self._running() != running:
            return  # another Envoy started meanwhile, and nobody knows which of them answered
        self._counters = counters
        known = self._book.boots.get(running)
        said = (counters.exchanges, counters.recorded, counters.mirror_overflow)
        if known is None or (known.exchanges, known.recorded, known.overflow) != said:
            self._book = self._book.observe(
                running,
                exchanges=counters.exchanges,
                recorded=counters.recorded,
                overflow=counters.mirror_overflow,
            )

    def _settle(self, running: str | None) -> None:
        over = [name for name in {*self._boots.names(), *self._book.boots} if running is None or name < running]
        if not over or self._batch is not None:
            return
        first = self._spool.first(self._book.position)
        for name in sorted(over):
            if first is None or (boot_of(first) and boot_of(first) > name):
                self._book = self._book.settle(name, answers=self._boots.answers(name))
                self._write()
                self._boots.remove(name)

    def _write(self) -> None:
        if self._book is self._written:
            return
        try:
            self._store.write(self._book)
        except OSError as error:
            # A full volume. Going on frees it; what a kill would now cost is that some events are sent twice.
            log.error("the shipper's place cannot be written down: %s", error)
            return
        self._written = self._book


def _names(event: Event) -> dict[str, str]:
    """What a line of the log about an event is found by: its key is `<namespace>/<name>/<prediction id>`."""
    subject, _, prediction = event.key.decode(errors="replace").rpartition("/")
    return {"deployment": subject, "prediction": prediction}


def _unsent(lines: Sequence[bytes]) -> Tally:
    """What is written down of lines that were let go unread."""
    by_boot = Counter(boot_of(line) for line in lines)
    return Tally(dropped={reasons.SPOOL_FULL: len(lines)}, lines=by_boot, answered=by_boot)
