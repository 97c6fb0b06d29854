"""Coarsening: profiles are put together to hours after two hours, and after two days to windows of the reference.

A profile of 200 features takes some 60 kB, and a day has 288 windows of five minutes in each partition. Nobody judges
them one by one: what is judged are windows of the reference. Adding up is exact, so whoever reads finds the same before
and after. It happens in transactions that hold the partition, as its batches do, a few rows at a time between them.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping

from switchyard_monitor.baselines import Watches
from switchyard_monitor.domain.profiling import Coarsening
from switchyard_monitor.models import Models
from switchyard_monitor.ports import Lease, Store

HOUR_US = 3_600_000_000
FINE_US = 2 * HOUR_US
"""So long profiles stay as they were counted."""
HOURLY_US = 48 * HOUR_US
"""And so long they stay hours."""
MOST = 25
"""Rows of one piece."""
PIECE_US = 250_000
"""Between two pieces at least."""
ROUND_US = HOUR_US
"""Between two rounds through all deployments."""


class Coarsener:
    """One member's part of it: that of the partitions it holds."""

    def __init__(self, *, store: Store, models: Models, watches: Watches, clock_us: Callable[[], int]) -> None:
        self._store = store
        self._models = models
        self._watches = watches
        self._clock = clock_us
        self._waiting: deque[str] = deque()
        self._next_us = 0

    def step(self, leases: Mapping[int, Lease], offsets: Mapping[int, int]) -> None:
        """One deployment's piece, if it is time for one; `Deposed` where a partition is another's by now."""
        now_us = self._clock()
        if now_us < self._next_us:
            return
        if not self._waiting:
            self._waiting.extend(self._models.subjects())
        if self._waiting and not self._piece(self._waiting[0], leases, offsets, now_us=now_us):
            self._waiting.popleft()
        self._next_us = now_us + (PIECE_US if self._waiting else ROUND_US)

    def _piece(self, subject: str, leases: Mapping[int, Lease], offsets: Mapping[int, int], *, now_us: int) -> bool:
        """Whether there may be more of the deployment's."""
        watch = self._watches.of(self._models.monitoring(subject))
        if watch is None:
            return False
        length_us = watch.bins.length_us
        levels = [(HOURLY_US, length_us), (FINE_US, HOUR_US)] if length_us % HOUR_US == 0 else [(HOURLY_US, length_us)]
        for age_us, to_us in levels:
            moving = Coarsening(subject, watch.bins.baseline, before_us=now_us - age_us, length_us=to_us)
            for number in sorted(self._store.fine_profiles(moving) & leases.keys()):
                with self._store.begin() as batch:
                    batch.lock(leases[number], offsets[number])
                    batch.coarsen(leases[number], moving, most=MOST)
                return True
        return False
