"""One queue of keys: waiting twice is once, a key is with one worker at a time, and a key may come later."""

from __future__ import annotations

import heapq
import itertools
from collections import deque
from collections.abc import Callable, Hashable
from threading import Condition
from typing import Generic, TypeVar

K = TypeVar("K", bound=Hashable)


class WorkQueue(Generic[K]):
    """Level-triggered: what is lost between two passes is only the number of times it was asked for."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._changed = Condition()
        self._ready: deque[K] = deque()
        self._waiting: set[K] = set()
        self._busy: set[K] = set()
        self._again: set[K] = set()
        self._later: list[tuple[float, int, K]] = []
        self._due: dict[K, float] = {}
        self._order = itertools.count()
        self._closed = False

    def add(self, key: K) -> None:
        """Ask for a pass as soon as possible."""
        with self._changed:
            self._enqueue(key)
            self._changed.notify()

    def add_after(self, key: K, delay: float) -> None:
        """Ask for a pass later; the earliest of several wins."""
        if delay <= 0:
            self.add(key)
            return
        with self._changed:
            due = self._clock() + delay
            if key in self._due and self._due[key] <= due:
                return
            self._due[key] = due
            heapq.heappush(self._later, (due, next(self._order), key))
            self._changed.notify()

    def get(self, timeout: float) -> K | None:
        """The next key, or None when the time is over or the queue is closed."""
        until = self._clock() + timeout
        with self._changed:
            while not self._closed:
                self._take_due()
                if self._ready:
                    key = self._ready.popleft()
                    self._due.pop(key, None)  # it comes now, and its pass says anew when to come again
                    self._waiting.discard(key)
                    self._busy.add(key)
                    return key
                now = self._clock()
                if now >= until:
                    return None
                wake = min([until, *([self._later[0][0]] if self._later else [])])
                self._changed.wait(max(0.001, wake - now))
        return None

    def done(self, key: K) -> None:
        """The pass is over; what was asked meanwhile comes next."""
        with self._changed:
            self._busy.discard(key)
            if key in self._again:
                self._again.discard(key)
                self._enqueue(key)
                self._changed.notify()

    def close(self) -> None:
        """Let the workers go home."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    def __len__(self) -> int:
        with self._changed:
            return len(self._ready)

    def _enqueue(self, key: K) -> None:
        if key in self._busy:
            self._again.add(key)
        elif key not in self._waiting:
            self._waiting.add(key)
            self._ready.append(key)

    def _take_due(self) -> None:
        now = self._clock()
        while self._later and self._later[0][0] <= now:
            due, _, key = heapq.heappop(self._later)
            if self._due.get(key) == due:
                del self._due[key]
                self._enqueue(key)
