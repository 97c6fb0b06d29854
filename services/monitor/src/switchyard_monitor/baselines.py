"""Baselines: the reference profiles that deployments name, read from the store and kept at hand while they are used.

Who counts and who judges keep different parts of one: of 200 features and 90 days, the bins take a third of a megabyte,
and what its own days say some fifteen.
"""

from __future__ import annotations

import logging
import threading
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from typing import Generic, TypeVar

from switchyard_contracts.topics import ModelRecord
from switchyard_profile.errors import UnreadableProfile
from switchyard_profile.reference import Reference

from switchyard_monitor.domain.learning import Cut, Learnt, Lesson, fitting, waiting
from switchyard_monitor.domain.profiling import Bins, Watch
from switchyard_monitor.domain.usual import Yardstick
from switchyard_monitor.domain.watermark import watermark
from switchyard_monitor.ports import Store

log = logging.getLogger(__name__)

T = TypeVar("T")

ASK_AGAIN_US = 5_000_000
"""A profile that was named before it was handed over is looked for again so much later."""
LOOK_AGAIN_US = 60_000_000
"""And so much later, whether one was learnt meanwhile."""
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
        self._lessons = _Recent[tuple[int, Sequence[Learnt], Mapping[Cut, int]]](MOST_COUNTED)

    def of(self, record: ModelRecord | None) -> Watch | None:
        """None where a deployment names no reference and none was learnt, or where it is not here yet."""
        if record is None or record.monitoring is None:
            return None
        digest = record.monitoring.reference or fitting(self._known(record.subject)[0], record.stable)
        bins = digest and (self._bins.get(digest) or self._look(digest))
        return Watch.of(record.monitoring, bins) if bins else None

    def lesson(self, record: ModelRecord | None) -> Lesson | None:
        """What rows are kept for; None where a deployment names a reference, or is not to be monitored."""
        if record is None or record.monitoring is None or record.monitoring.reference is not None:
            return None
        return Lesson.of(record.monitoring, *self._known(record.subject))

    def _known(self, subject: str) -> tuple[Sequence[Learnt], Mapping[Cut, int]]:
        now_us, known = self._clock(), self._lessons.get(subject)
        if known is None or now_us - known[0] >= LOOK_AGAIN_US:
            known = self._lessons.keep(subject, (now_us, self._store.learnt(subject), self._store.cuts(subject)))
        return known[1:]

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
        self._reading = threading.Lock()
        self._measuring = threading.Lock()  # one of its own: it takes seconds, and pages want the reference alone
        self._references = _Recent[Reference](MOST_JUDGED)
        self._yardsticks = _Recent[Yardstick](MOST_JUDGED)

    def of(self, record: ModelRecord | None) -> str | None:
        """The name of what a deployment is held against: what it says, else what was learnt."""
        if record is None or record.monitoring is None:
            return None
        return record.monitoring.reference or fitting(self._store.learnt(record.subject), record.stable)

    def reference(self, digest: str) -> Reference | None:
        """The profile of that name; None while nobody handed it over."""
        with self._reading:
            if (known := self._references.get(digest)) is not None:
                return known
            found = _read(self._store, digest)
            return found and self._references.keep(digest, found)

    def known(self, subject: str, record: ModelRecord | None) -> Reference | str:
        """What a deployment is held against, or why it is held against nothing."""
        if record is None or record.monitoring is None:
            return f"{subject} has no spec.monitoring, so X and Y are not profiled"
        named = self.of(record)
        if named is None:
            rows = self._store.lessons(subject, record.stable) if record.stable else {}
            needed = waiting(rows, mark_us=watermark(self._store.positions()) or 0)
            enough = "the stable revision has served long enough: a baseline is being learnt"
            return needed.sentence if needed else enough
        return self.reference(named) or (
            f"nobody has handed over {named} yet; PUT it to the monitor's API, at /v1/deployments/{subject}/baseline"
        )

    def yardstick(self, reference: Reference) -> Yardstick:
        """What is usual, by that reference."""
        with self._measuring:
            known = self._yardsticks.get(reference.digest)
            return known or self._yardsticks.keep(reference.digest, Yardstick(reference))


def _read(store: Store, digest: str) -> Reference | None:
    body = store.baseline(digest)
    try:
        return None if body is None else Reference.of_bytes(body)
    except UnreadableProfile as error:  # written by another release; whoever hands it over again hears why
        log.warning("the profile %s is passed over: %s", digest, error)
        return None
