"""Rosters: each deployment's rules as its record asks for them, beside the revision that serves now."""

from __future__ import annotations

from datetime import timedelta

from switchyard_contracts.alarm_records import AlarmBook
from switchyard_contracts.model_deployment import Monitoring

from switchyard_monitor.baselines import Baselines
from switchyard_monitor.domain.alarms import MICROSECOND, Terms
from switchyard_monitor.domain.roster import Retraining, Roster, state
from switchyard_monitor.drift_answers import window_seconds
from switchyard_monitor.models import Models
from switchyard_monitor.ports import Said

SECOND_US = 1_000_000
DAY_US = 86_400 * SECOND_US


class Rosters:
    """What is known of deployments and their references, put together."""

    def __init__(self, models: Models, baselines: Baselines) -> None:
        self.models = models
        self.baselines = baselines

    def of(self, subject: str) -> Roster:
        """A deployment's rules; none of one that is not known."""
        record = self.models.record(subject)
        monitoring = record.monitoring if record else None
        if record is None or monitoring is None:
            return Roster(subject=subject)
        retrain = monitoring.retrain
        return Roster(
            subject=subject,
            terms=tuple(self._terms(monitoring)),
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

    def _terms(self, monitoring: Monitoring) -> list[Terms]:
        reference = self.baselines.reference(monitoring.reference) if monitoring.reference else None
        return [
            Terms.of_alarm(
                alarm,
                base=monitoring.window,
                judged_after=monitoring.outcome.judged_after if monitoring.outcome else timedelta(0),
                reference_us=window_seconds(reference) * SECOND_US if reference else DAY_US,
                baseline=monitoring.reference or "",
            )
            for alarm in monitoring.alarms
        ]


def book(roster: Roster, said: Said) -> AlarmBook:
    """How each rule stands, and what was said."""
    waits = "" if roster.revision else "no revision was promoted yet"
    return AlarmBook(
        deployment=roster.subject,
        alarms=[state(terms, said.states.get(terms.name), waits_for=waits) for terms in roster.terms],
        records=list(said.records),
        request=said.request,
    )
