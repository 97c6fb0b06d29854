"""Baselines: the reference profiles that deployments name, read from the store once each."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import TypeVar

from switchyard_contracts.model_deployment import Monitoring
from switchyard_profile.errors import UnreadableProfile
from switchyard_profile.reference import Reference

from switchyard_monitor.domain.profiling import Watch
from switchyard_monitor.domain.usual import Yardstick
from switchyard_monitor.ports import Store

log = logging.getLogger(__name__)

T = TypeVar("T")

ASK_AGAIN_US = 5_000_000
"""A profile that was named before it was handed over is looked for again so much later."""
MOST = 64
"""So many are kept at hand; of more, those that were asked for first are read again."""


class Baselines:
    """What deployments are held against. A name is a hash, so what was read never goes stale.

    With a clock, whoever asks for one that is not there is not sent to the store each time.
    """

    def __init__(self, store: Store, *, clock_us: Callable[[], int] | None = None) -> None:
        self._store = store
        self._clock = clock_us
        self._held: dict[str, Reference] = {}
        self._yardsticks: dict[str, Yardstick] = {}
        self._asked: dict[str, int] = {}

    def reference(self, digest: str) -> Reference | None:
        """The profile of that name; None while nobody handed it over."""
        if digest in self._held:
            return self._held[digest]
        now_us = self._clock() if self._clock else None
        asked_us = self._asked.get(digest)
        if now_us is not None and asked_us is not None and now_us - asked_us < ASK_AGAIN_US:
            return None
        body = self._store.baseline(digest)
        try:
            if body is not None:
                return _keep(self._held, digest, Reference.of_bytes(body))
        except UnreadableProfile as error:  # written by another release; whoever hands it over again hears why
            log.warning("the profile %s is passed over: %s", digest, error)
        if now_us is not None:
            _keep(self._asked, digest, now_us)
        return None

    def watch(self, monitoring: Monitoring | None) -> Watch | None:
        """What of a deployment is profiled; None where it names no reference, or one that is not here yet."""
        if monitoring is None or monitoring.reference is None:
            return None
        reference = self.reference(monitoring.reference)
        return Watch.of(monitoring, reference) if reference else None

    def yardstick(self, reference: Reference) -> Yardstick:
        """What is usual, by that reference."""
        known = self._yardsticks.get(reference.digest)
        return known or _keep(self._yardsticks, reference.digest, Yardstick(reference))


def _keep(held: dict[str, T], name: str, value: T) -> T:
    while len(held) >= MOST:
        held.pop(next(iter(held)))
    held[name] = value
    return value
