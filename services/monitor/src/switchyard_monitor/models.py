"""What is known of deployments: the newest record of each, from `switchyard.models`."""

from __future__ import annotations

import logging
from collections.abc import Iterable

from pydantic import ValidationError
from pydantic_core import ErrorDetails
from switchyard_contracts.model_deployment import Affected, Monitoring
from switchyard_contracts.topics import ModelRecord

from switchyard_monitor.domain.facts import Record
from switchyard_monitor.domain.rules import Rule

log = logging.getLogger(__name__)


class Models:
    """The deployments, and the rule that each asks for. Filled before the first event is read."""

    def __init__(self) -> None:
        self._records: dict[str, ModelRecord] = {}
        self._rules: dict[str, Rule] = {}
        self.unreadable = 0
        self.complete = False
        """Whether the topic was read to its end once; who is not here until then may yet come."""
        self.unread: set[str] = set()
        """Deployments whose newest record cannot be read; what is known of them is older."""
        self.gone: set[str] = set()
        """Deployments that were heard to go."""

    def learn(self, records: Iterable[Record]) -> set[str]:
        """Take records in, in order; answers which deployments changed. A tombstone keeps nothing."""
        changed: set[str] = set()
        for record in records:
            subject = (record.key or b"").decode(errors="replace")
            if record.value is None:
                self._records.pop(subject, None)
                self._rules.pop(subject, None)
                self.unread.discard(subject)
                self.gone.add(subject)
                changed.add(subject)
                continue
            try:
                model = ModelRecord.model_validate_json(record.value)
            except ValidationError as error:
                self.unreadable += 1
                self.unread.add(subject)
                self.gone.discard(subject)
                faults = "; ".join(_fault(each) for each in error.errors(include_url=False, include_input=False)[:3])
                names = {"deployment": subject, "partition": record.partition, "offset": record.offset}
                log.warning(
                    "switchyard.models, offset %d, key %s: passed over: %s", record.offset, subject, faults, extra=names
                )
                continue
            self._records[model.subject] = model
            self._rules[model.subject] = Rule.of(model)
            self.unread -= {subject, model.subject}
            self.gone.discard(model.subject)
            changed.add(model.subject)
        self.complete = True
        return changed

    def rule(self, subject: str) -> Rule | None:
        """The rule of a deployment that is known."""
        return self._rules.get(subject)

    def record(self, subject: str) -> ModelRecord | None:
        """A deployment's record."""
        return self._records.get(subject)

    def coverage(self, subject: str) -> float:
        """How many of the predictions must have an outcome before anything is concluded."""
        monitoring = self.monitoring(subject)
        outcome = monitoring.outcome if monitoring else None
        return outcome.min_coverage.share if outcome else 0.0

    def monitoring(self, subject: str) -> Monitoring | None:
        """What a deployment asks the monitor for."""
        record = self._records.get(subject)
        return record.monitoring if record else None

    def subjects(self) -> list[str]:
        """All deployments that are known."""
        return sorted(self._records)


def depends_on_decisions(record: ModelRecord | None) -> bool:
    """Where what people decided changes the outcome, nobody knows what another answer would have led to."""
    outcome = record.monitoring.outcome if record and record.monitoring else None
    return outcome is not None and outcome.affected_by is Affected.DECISION


def _fault(each: ErrorDetails) -> str:
    return f"{'.'.join(str(part) for part in each['loc'])}: {each['msg']}"
