"""Rosters: each deployment's rules as its record asks for them, beside the revision that serves now."""

from __future__ import annotations

from collections.abc import Callable
from time import time_ns

from switchyard_contracts.alarm_records import AlarmBook
from switchyard_contracts.model_deployment import Monitoring
from switchyard_contracts.topics import ModelRecord

from switchyard_monitor.baselines import Baselines
from switchyard_monitor.domain.alarms import MICROSECOND, Terms
from switchyard_monitor.domain.roster import Retraining, Roster, state
from switchyard_monitor.models import Models
from switchyard_monitor.ports import Said

SECOND_US = 1_000_000
DAY_US = 86_400 * SECOND_US
ASK_AGAIN_US = 5 * SECOND_US
"""A profile that was named before it was handed over is looked for again so much later."""
LOOK_AGAIN_US = 60 * SECOND_US
"""And so much later, whether one was learnt meanwhile."""
MOST_SPANS = 1000


class Rosters:
    """What is known of deployments and their references, put together. Several threads may ask."""

    def __init__(
        self, models: Models, baselines: Baselines, *, clock_us: Callable[[], int] = lambda: time_ns() // 1000
    ) -> None:
        self.models = models
        self.baselines = baselines
        self._clock = clock_us
        self._spans: dict[str, int] = {}
        """How long the windows of references are: they are not read for that each time."""
        self._asked: dict[str, int] = {}
        self._learnt: dict[tuple[str, str], tuple[int, str]] = {}

    def of(self, subject: str) -> Roster:
        """A deployment's rules; none of one that is not known."""
        record = self.models.record(subject)
        monitoring = record.monitoring if record else None
        if record is None or monitoring is None:
            return Roster(subject=subject)
        retrain = monitoring.retrain
        return Roster(
            subject=subject,
            terms=tuple(self._terms(record, monitoring)),
            retraining=Retraining(frozenset(retrain.alarms), retrain.cooldown // MICROSECOND)
            if retrain
            else Retraining(),
            revision=record.stable,
            version=record.versions.get(record.stable, ""),
        )

    def watched(self) -> set[str]:
        """The deployments that have any rules."""
        found = ((subject, self.models.monitoring(subject)) for subject in self.models.subjects())
        return {subject for subject, monitoring in found if monitoring and monitoring.alarms}

    def _terms(self, record: ModelRecord, monitoring: Monitoring) -> list[Terms]:
        wanted = self._named(record) if any(alarm.needs_reference for alarm in monitoring.alarms) else ""
        reference_us = self._span(wanted) if wanted else DAY_US
        return [
            Terms.of_alarm(
                alarm,
                base=monitoring.window,
                judged_after=monitoring.outcome.judged_after if monitoring.outcome else None,
                reference_us=reference_us,
                baseline=wanted,
            )
            for alarm in monitoring.alarms
        ]

    def _named(self, record: ModelRecord) -> str:
        """The reference that a deployment names, else the one that was learnt of it, if one was by now."""
        if record.monitoring and record.monitoring.reference:
            return record.monitoring.reference
        now_us, known = self._clock(), self._learnt.get((record.subject, record.stable))
        if known is None or now_us - known[0] >= LOOK_AGAIN_US:
            known = self._learnt[record.subject, record.stable] = now_us, self.baselines.of(record) or ""
        return known[1]

    def _span(self, digest: str) -> int:
        """The length of a reference's windows; a day while nobody has handed it over."""
        known, now_us = self._spans.get(digest), self._clock()
        if known is not None or now_us - self._asked.get(digest, -ASK_AGAIN_US) < ASK_AGAIN_US:
            return known or DAY_US
        reference = self.baselines.reference(digest)
        if len(self._spans) + len(self._asked) + len(self._learnt) > MOST_SPANS:
            self._spans.clear()
            self._asked.clear()
            self._learnt.clear()
        if reference is None:
            self._asked[digest] = now_us
            return DAY_US
        return self._spans.setdefault(digest, reference.length_seconds * SECOND_US)


def book(roster: Roster, said: Said) -> AlarmBook:
    """How each rule stands, and what was said."""
    waits = "" if roster.revision else "no revision was promoted yet"
    return AlarmBook(
        deployment=roster.subject,
        alarms=[state(terms, said.states.get(terms.name), waits_for=waits) for terms in roster.terms],
        records=list(said.records),
        request=said.request,
    )
