"""Baselines: the reference profiles that deployments name, read from the store and kept at hand while they are used.

Who counts and who judges keep different parts of one: of 200 features and 90 days, the bins take a third of a megabyte,
and what its own days say some fifteen.
"""

from __future__ import annotations

import logging
import threading
from collections import OrderedDict
from collections.abc import Callable
from typing import Generic, TypeVar

from switchyard_contracts.model_deployment import Monitoring
from switchyard_profile.errors import UnreadableProfile
from switchyard_profile.reference import Reference

from switchyard_monitor.domain.profiling import Bins, Watch
from switchyard_monitor.domain.usual import Yardstick
from switchyard_monitor.ports import Store

log = logging.getLogger(__name__)

T = TypeVar("T")

ASK_AGAIN_US = 5_000_000
"""A profile that was named before it was handed over is looked for again so much later."""
MOST_COUNTED = 256
MOST_JUDGED = 8


class _Recent(Generic[T]):
    """So many of something, by name; of more, those that were not asked for longest go."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._held: OrderedDict[str, T] = OrderedDict()

    def get(self, name: str) -> T | None:
        if name in self._held:
            self._held.move_to_end(name)
        return self._held.get(name)

    def keep(self, name: str, value: T) -> T:
        self._held[name] = value
        while len(self._held) > self._most:
            self._held.popitem(last=False)
        return value


class Watches:
    """What of each deployment is counted, for the reader. A name is a hash, so what was read never goes stale."""

    def __init__(self, store: Store, *, clock_us: Callable[[], int]) -> None:
        self._store = store
        self._clock = clock_us
        self._bins = _Recent[Bins](MOST_COUNTED)
        self._asked = _Recent[int](MOST_COUNTED)

    def of(self, monitoring: Monitoring | None) -> Watch | None:
        """None where a deployment names no reference, or one that is not here yet."""
        if monitoring is None or monitoring.reference is None:
            return None
        bins = self._bins.get(monitoring.reference) or self._look(monitoring.reference)
        return Watch.of(monitoring, bins) if bins else None

    def _look(self, digest: str) -> Bins | None:
        now_us, asked_us = self._clock(), self._asked.get(digest)
        if asked_us is not None and now_us - asked_us < ASK_AGAIN_US:
            return None
        if (reference := _read(self._store, digest)) is not None:
            return self._bins.keep(digest, Bins.of(reference))
        self._asked.keep(digest, now_us)
        return None


class Baselines:
    """What deployments are held against, for those who ask; several threads may."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._judging = threading.Lock()
        self._references = _Recent[Reference](MOST_JUDGED)
        self._yardsticks = _Recent[Yardstick](MOST_JUDGED)

    def reference(self, digest: str) -> Reference | None:
        """The profile of that name; None while nobody handed it over."""
        with self._judging:
            if (known := self._references.get(digest)) is not None:
                return known
            found = _read(self._store, digest)
            return found and self._references.keep(digest, found)

    def yardstick(self, reference: Reference) -> Yardstick:
        """What is usual, by that reference."""
        with self._judging:
            known = self._yardsticks.get(reference.digest)
            return known or self._yardsticks.keep(reference.digest, Yardstick(reference))


def _read(store: Store, digest: str) -> Reference | None:
    body = store.baseline(digest)
    try:
        return None if body is None else Reference.of_bytes(body)
    except UnreadableProfile as error:  # written by another release; whoever hands it over again hears why
        log.warning("the profile %s is passed over: %s", digest, error)
        return None
