"""The keeper of the book of drift: judges windows that are over, once, and again where late rows came to them.

It works beside the reader, in a thread of its own, and is never in its way: what goes wrong here is said, and tried
again after a pause. What is judged is a function of the profiles alone, so it does not matter which member does it, or
whether two do; of those that live rendezvous hashing names one, which saves the others the work.
"""

from __future__ import annotations

import logging
from collections.abc import Callable

from switchyard_contracts.windows import start
from switchyard_profile.profile import Profile
from switchyard_profile.reference import Reference

from switchyard_monitor.baselines import Baselines
from switchyard_monitor.domain.drift_book import SECOND_US, Due, Page
from switchyard_monitor.domain.gauges import SERVED
from switchyard_monitor.domain.leases import owner
from switchyard_monitor.domain.profiling import Span
from switchyard_monitor.domain.watermark import watermark
from switchyard_monitor.errors import StoreUnavailable
from switchyard_monitor.ports import DriftBook, Store

log = logging.getLogger(__name__)

EVERY_US = 15 * SECOND_US
"""Between two looks at what is due."""
AGAIN_US = 60 * SECOND_US
"""So long a window that was judged waits to be judged again: late rows may come to it without end."""


class DriftKeeper:
    """One member's part of the judging."""

    def __init__(
        self,
        *,
        member: str,
        store: Store,
        book: DriftBook,
        baselines: Baselines,
        clock_us: Callable[[], int],
    ) -> None:
        self._member = member
        self._store = store
        self._book = book
        self._baselines = baselines
        self._clock = clock_us
        self._next_us = 0
        self._lengths: dict[str, int] = {}
        """By baseline, how long its windows are; so none is read again to learn that nothing is over."""
        self._turns: dict[tuple[str, str], int] = {}
        """When each deployment and baseline had its last turn, by the number of turns."""
        self._judged: dict[tuple[str, str, int], int] = {}
        """When windows were judged, of those that wait."""
        self.trouble = ""
        """Why drift may be shown late; empty where it is not."""

    def step(self) -> int:
        """Judge one window, if one is due and over; answers how many were. Raises nothing of the world's."""
        now_us = self._clock()
        if now_us < self._next_us:
            return 0
        try:
            done = self._one(now_us)
        except StoreUnavailable as error:
            if self.trouble != str(error):
                log.warning("drift waits: %s", error)
            self.trouble = str(error)
            self._next_us = now_us + EVERY_US
            return 0
        self.trouble = ""
        if not done:
            self._next_us = now_us + EVERY_US
        return done

    def _one(self, now_us: int) -> int:
        mark = watermark(self._store.positions())
        if mark is None:
            return 0
        live = self._book.members(now_us=now_us)
        self._judged = {window: at for window, at in self._judged.items() if now_us - at < AGAIN_US}
        # Who had a turn longest ago comes first: nobody waits for one to whom late rows come without end, nor for one
        # that cannot be judged.
        due = sorted(self._book.due(), key=lambda one: self._turns.get(one[:2], 0))
        for subject, baseline, oldest_us in due:
            length = self._lengths.get(baseline)
            if length is not None and start(oldest_us, length) + length > mark:
                continue
            if owner(subject, live) not in (self._member, None):
                continue
            reference = self._baselines.reference(baseline)
            if reference is None:
                continue
            self._lengths[baseline] = reference.length_seconds * SECOND_US
            self._turns[subject, baseline] = max(self._turns.values(), default=0) + 1
            if self._judge(subject, reference, mark, now_us=now_us):
                return 1
        return 0

    def _judge(self, subject: str, reference: Reference, mark: int, *, now_us: int) -> bool:
        """Judge the newest window that is due and over, for that is the one people look at first."""
        length = reference.length_seconds * SECOND_US
        by_window: dict[int, list[Due]] = {}
        for due in self._book.dues(subject, reference.digest):
            by_window.setdefault(start(due.start_us, length), []).append(due)
        over = [
            begin
            for begin in by_window
            if begin + length <= mark and (subject, reference.digest, begin) not in self._judged
        ]
        if not over:
            return False
        begin = max(over)
        # What is due was read before the profiles: what comes in between is then due once more, and not forgotten.
        found = self._store.profiles(
            Span(
                subject=subject,
                baseline=reference.digest,
                since_us=begin,
                until_us=begin + length,
                length_us=length,
            )
        )
        merged: dict[str, Profile] = {}
        for key, profile in sorted(found.items()):
            if key.role in SERVED:
                before = merged.get(key.revision)
                merged[key.revision] = before.merge(profile) if before else profile
        yardstick = self._baselines.yardstick(reference)
        pages = [Page.of(yardstick, revision, profile, start_us=begin) for revision, profile in merged.items()]
        self._book.keep(subject, reference.digest, pages, done=by_window[begin])
        self._judged[subject, reference.digest, begin] = now_us
        return True
