"""What happened in rollouts: records of `switchyard.rollouts`, read one by one, and how two of the same one merge.

A record's id is a hash of what happened, so an operator that starts anew may say a thing twice. Merging takes the
earlier time as the first, the later as the last, and the words of the last: in whatever order and however often the
same records come, the same is kept.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime

from pydantic import ValidationError
from switchyard_contracts.events import SUBJECT_PATTERN
from switchyard_contracts.judgement import counted, noun
from switchyard_contracts.model_deployment import Phase
from switchyard_contracts.topics import RolloutRecord

from switchyard_monitor.domain.facts import Record
from switchyard_monitor.domain.join import SKEW_US
from switchyard_monitor.errors import Unreadable

ENDED = frozenset({Phase.COMPLETED, Phase.ROLLED_BACK, Phase.REFUSED, Phase.SUPERSEDED})
"""Phases that a rollout does not leave."""
MOST_BYTES = 65_536
"""A page shows hundreds of them."""
MOST_ID = 128

_SUBJECT = re.compile(SUBJECT_PATTERN)


@dataclass(frozen=True, slots=True)
class Happening:
    """One thing that happened, as it is kept."""

    subject: str
    id: str
    first_us: int
    last_us: int
    body: str
    """The record as JSON: equal records have equal text."""

    @property
    def record(self) -> RolloutRecord:
        """What was said."""
        return RolloutRecord.model_validate_json(self.body)

    @property
    def first(self) -> datetime:
        """When it was said for the first time."""
        return datetime.fromtimestamp(self.first_us / 1_000_000, UTC)


def read(record: Record) -> Happening:
    """One record of the topic; `Unreadable` says why it can never be shown."""
    value = record.value or b""
    if not value or len(value) > MOST_BYTES:
        raise Unreadable(f"{counted(len(value), 'byte')}; a record has 1 to {MOST_BYTES}")
    try:
        said = RolloutRecord.model_validate_json(value)
    except ValidationError as error:
        wrong = f"{counted(error.error_count(), 'field')} {noun(error.error_count(), 'is', 'are')} wrong"
        raise Unreadable(f"no rollout record: {wrong}") from error
    subject = f"{said.namespace}/{said.name}"
    if not _SUBJECT.fullmatch(subject):
        raise Unreadable("namespace and name are no deployment's")
    if not 1 <= len(said.id) <= MOST_ID or "\0" in said.id:
        raise Unreadable(f"id: {len(said.id)} characters; it has 1 to {MOST_ID}, and no NUL among them")
    at = said.at if said.at.tzinfo else said.at.replace(tzinfo=UTC)
    at_us = round(at.timestamp() * 1_000_000)
    if at_us > record.broker_us + SKEW_US:
        # It would stay the newest for ever. Not less: what is sent together has one time of the broker's, and no order.
        at_us = record.broker_us
    return Happening(subject, said.id, at_us, at_us, said.model_dump_json(by_alias=True))


def merge(one: Happening, other: Happening) -> Happening:
    """The same thing said twice."""
    last = max(one, other, key=lambda item: (item.last_us, item.body))
    return Happening(one.subject, one.id, min(one.first_us, other.first_us), last.last_us, last.body)
