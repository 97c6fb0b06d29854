"""Tells receivers what they are owed, beside the rollouts and never in their way.

Each receiver has a thread of its own, so that one that hangs keeps nobody else waiting. What is owed is told anew by
every pass, from the status; what was received, or given up, leaves the status in the next pass. A receiver is told at
least once: an operator that dies between a receipt and the status tells it again, under the same id.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from threading import Condition, Event
from typing import Protocol

from switchyard_contracts.notifications import Notification

from switchyard_operator.cache import Key

logger = logging.getLogger(__name__)

FIRST, LONGEST = 1.0, 300.0
"""Seconds between the first two tries and, doubled each time, at most."""
IDLE = 1.0


class Post(Protocol):
    """The way to one receiver."""

    def send(self, subject: str, notification: Notification) -> str:
        """One try, bounded in time; empty when it has been received, else why not. It never raises."""

    def close(self) -> None:
        """Leave nothing open."""


@dataclass(slots=True)
class Tries:
    """How often one notification was tried for one receiver, and when the next try is due."""

    times: int = 0
    due: float = 0.0


class Courier:
    """Who is owed what; `deliver` is one try, `run` the life of one receiver's thread."""

    def __init__(
        self,
        posts: Mapping[str, Post],
        *,
        give_up: timedelta,
        clock: Callable[[], datetime],
        monotonic: Callable[[], float],
        wake: Callable[[Key], None],
        counted: Callable[[str, str], None],
    ) -> None:
        """`wake` asks for a pass of a deployment, `counted` hears of each try: the receiver's name, how it ended."""
        self._posts = posts
        self._give_up = give_up
        self._clock = clock
        self._monotonic = monotonic
        self._wake = wake
        self._counted = counted
        self._changed = Condition()
        self._owed: dict[Key, dict[str, Notification]] = {}
        self._done: dict[Key, set[tuple[str, str]]] = {}
        self._tries: dict[tuple[str, str], Tries] = {}
        self._gone: set[Key] = set()

    # --- the passes' side ---

    def owe(self, key: Key, waiting: Sequence[Notification]) -> None:
        """What the status of a deployment holds now."""
        with self._changed:
            ids = {item.id for item in waiting}
            for forgotten in self._owed.get(key, {}).keys() - ids:
                self._forget(forgotten)
            self._gone.discard(key)
            if waiting:
                self._owed[key] = {item.id: item for item in waiting}
                self._done[key] = {pair for pair in self._done.get(key, ()) if pair[0] in ids}
                self._changed.notify_all()
            else:
                self._owed.pop(key, None)
                self._done.pop(key, None)

    def done(self, key: Key) -> frozenset[tuple[str, str]]:
        """(id, receiver) of what needs to be told no more."""
        with self._changed:
            return frozenset(self._done.get(key, ()))

    def gone(self, key: Key) -> None:
        """The deployment is deleted: what it still owes is told, and no status remembers it."""
        with self._changed:
            if key in self._owed:
                self._gone.add(key)

    # --- the receivers' side ---

    def run(self, receiver: str, stop: Event, *, leading: Callable[[], bool]) -> None:
        """Tell one receiver, until told to stop; only the leader tells."""
        while not stop.is_set():
            if not leading():
                self._put_down()
                stop.wait(IDLE)
                continue
            if not self.deliver(receiver):
                with self._changed:
                    self._changed.wait(IDLE)

    def deliver(self, receiver: str) -> bool:
        """The oldest that is due, once; whether there was one."""
        found = self._next(receiver)
        if found is None:
            return False
        key, notification = found
        words = self._posts[receiver].send("/".join(key), notification)
        names = {"deployment": "/".join(key), "rollout": notification.rollout, "revision": notification.revision}
        late = self._clock() - notification.at > self._give_up
        if words and not late:
            self._counted(receiver, "failed")
            logger.warning("%s was not told %s: %s", receiver, notification.event.value, words, extra=names)
            self._put_off(receiver, notification.id)
            return True
        self._counted(receiver, "gave-up" if words else "delivered")
        if words:
            logger.error("%s will not be told %s any more: %s", receiver, notification.event.value, words, extra=names)
        self._settle(key, notification.id, receiver)
        return True

    def _next(self, receiver: str) -> tuple[Key, Notification] | None:
        now = self._monotonic()
        with self._changed:
            due = [
                (item.at, key, item)
                for key, items in self._owed.items()
                for item in items.values()
                if receiver in item.to
                and (item.id, receiver) not in self._done.get(key, ())
                and self._tries.get((item.id, receiver), Tries()).due <= now
            ]
        if not due:
            return None
        _, key, item = min(due, key=lambda found: (found[0], found[1]))
        return key, item

    def _put_off(self, receiver: str, notification: str) -> None:
        with self._changed:
            tries = self._tries.setdefault((notification, receiver), Tries())
            tries.due = self._monotonic() + min(LONGEST, FIRST * 2.0**tries.times)
            tries.times += 1

    def _settle(self, key: Key, notification: str, receiver: str) -> None:
        with self._changed:
            self._tries.pop((notification, receiver), None)
            items = self._owed.get(key, {})
            if notification in items:
                self._done.setdefault(key, set()).add((notification, receiver))
            if key in self._gone and all((item.id, to) in self._done[key] for item in items.values() for to in item.to):
                self._owed.pop(key, None)
                self._done.pop(key, None)
                self._gone.discard(key)
        self._wake(key)

    def _put_down(self) -> None:
        """Somebody else leads, and tells; a pass of ours will say anew what is owed then."""
        with self._changed:
            self._owed.clear()
            self._done.clear()
            self._tries.clear()
            self._gone.clear()

    def _forget(self, notification: str) -> None:
        for pair in [pair for pair in self._tries if pair[0] == notification]:
            del self._tries[pair]
