"""The learner: makes a reference of stable's first full days, where the resource names none.

It has a thread of its own beside the reader's, for a reference of many features takes seconds to make. Replicas may do
it at once: of the same rows they make the same, and whoever comes first is believed.
"""

from __future__ import annotations

import logging
from collections.abc import Callable

from switchyard_contracts.topics import ModelRecord

from switchyard_monitor.domain.learning import DAY_US, Learnt, enough, learn
from switchyard_monitor.domain.watermark import watermark
from switchyard_monitor.errors import StoreUnavailable
from switchyard_monitor.models import Models
from switchyard_monitor.ports import Store

log = logging.getLogger(__name__)

PAUSE_SECONDS = 60.0
"""Between two rounds."""
OLD_US = 90 * DAY_US
"""Rows that did not become part of a reference by then go."""


class Learner:
    """Looks after the rows that are kept for references."""

    def __init__(self, *, store: Store, models: Models, clock_us: Callable[[], int]) -> None:
        self._store = store
        self._models = models
        self._clock = clock_us
        self._trouble = ""

    def step(self) -> None:
        """One round through all deployments. An outage is said once, and the next round tries again."""
        try:
            mark_us = watermark(self._store.positions())
            if mark_us is None:
                return
            for subject in self._models.subjects():
                record = self._models.record(subject)
                if record is not None and record.stable:
                    self._look(record, mark_us)
            self._store.forget_lessons_before(mark_us - OLD_US)
            self._trouble = ""
        except StoreUnavailable as error:
            if self._trouble != str(error):
                log.warning("no baseline is learnt meanwhile: %s", error)
            self._trouble = str(error)

    def _look(self, record: ModelRecord, mark_us: int) -> None:
        subject, revision = record.subject, record.stable
        rows = self._store.lessons(subject, revision)
        if not rows:
            return
        known = {learnt.revision for learnt in self._store.learnt(subject)}
        if record.monitoring is None or record.monitoring.reference is not None or revision in known:
            self._store.forget_lessons(subject, revision)
            return
        days = enough(rows, mark_us=mark_us)
        if not days:
            return
        # Day by day: as objects, rows take ten times the room that their values do.
        made = learn(example for day_us in days for example in self._store.examples(subject, revision, [day_us]))
        if made is None:
            # To read the same rows again would come to the same; others may teach more.
            log.warning("%s: in %d days of %s no feature had values of one type", subject, len(days), revision)
            self._store.forget_lessons(subject, revision)
            return
        self._store.conclude(subject, Learnt(revision, made.digest, self._clock()), made.to_bytes())
        log.info("%s: %s was learnt from %d days of %s", subject, made.digest, len(days), revision)
