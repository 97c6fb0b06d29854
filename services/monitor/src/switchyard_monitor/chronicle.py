"""The chronicle: moves what the operator says of rollouts into the timeline.

It works beside the reader, in the same thread, and must never be in its way: what goes wrong here is said on the page,
and tried again after a pause, while events are joined as before.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence

from switchyard_contracts.windows import DAY_US, SECOND_US

from switchyard_monitor.domain.facts import Record
from switchyard_monitor.domain.rollouts import Happening, read
from switchyard_monitor.errors import BrokerUnavailable, StoreUnavailable, Unreadable
from switchyard_monitor.ports import RolloutLog, Timeline

log = logging.getLogger(__name__)

EVERY_US = SECOND_US
PAUSE_US = 10 * SECOND_US
KEEP_US = 400 * DAY_US


class Chronicle:
    """Reads one topic to its end, and then what is new, about once a second."""

    def __init__(self, *, log: RolloutLog, timeline: Timeline, clock_us: Callable[[], int]) -> None:
        self._log = log
        self._timeline = timeline
        self._clock = clock_us
        self._topic_id: str | None = None
        self._next_us = 0
        self._caught_up = False
        self.trouble = ""
        """Why the timeline may be behind; empty when it is not."""
        self.unreadable = 0
        self._unread: set[str] = set()
        """Deployments whose newest record could not be read; "" where it did not say whose it was."""

    def step(self) -> int:
        """One look at the topic, if it is time; answers how many records were read. Raises nothing of the world's."""
        now_us = self._clock()
        if now_us < self._next_us:
            return 0
        try:
            count = self._read(now_us)
        except (BrokerUnavailable, StoreUnavailable) as error:
            if self.trouble != str(error):
                log.warning("the timeline of rollouts waits: %s", error)
            self.trouble = str(error)
            self._topic_id = None  # what was polled and not stored is read again
            self._caught_up = False
            self._next_us = now_us + PAUSE_US
            return 0
        if not count:
            self._next_us = now_us + EVERY_US
        return count

    def missed(self, subject: str) -> bool:
        """Whether the timeline may not know what was said last of a deployment: also until it was read to its end."""
        return not self._caught_up or bool(self.trouble) or not self._unread.isdisjoint(("", subject))

    def close(self) -> None:
        """Let go of the topic."""
        self._log.close()

    def _read(self, now_us: int) -> int:
        if self._topic_id is None:
            self._topic_id = self._log.open(*self._timeline.place())
        if self._topic_id is None:
            self.trouble = "the topic of rollouts does not exist yet"
            return 0
        records = self._log.poll()
        self.trouble = ""
        if records:
            self._learn(records, self._topic_id, now_us)
        self._caught_up = self._caught_up or self._log.ended()
        return len(records)

    def _learn(self, records: Sequence[Record], topic_id: str, now_us: int) -> None:
        happenings: list[Happening] = []
        for record in records:
            subject = (record.key or b"").decode(errors="replace")
            try:
                happenings.append(read(record))
                self._unread.discard(subject or happenings[-1].subject)
            except Unreadable as error:
                self.unreadable += 1
                self._unread.add(subject)
                log.warning("switchyard.rollouts, offset %d: passed over: %s", record.offset, error)
        self._timeline.learn(
            happenings,
            topic_id=topic_id,
            offsets={record.partition: record.offset + 1 for record in records},
            # Not by our clock alone, for what is forgotten never comes back.
            oldest_us=min(now_us, *(record.broker_us for record in records)) - KEEP_US,
        )
