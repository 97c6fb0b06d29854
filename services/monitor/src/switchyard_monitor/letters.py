"""Dead letters: a record that could not be taken in, as it came, with what was wrong with it and where it stood.

Bytes, key and headers are the record's own; our headers follow them, so that the record can be had back.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

from switchyard_monitor.domain.changes import Dead
from switchyard_monitor.domain.facts import Record
from switchyard_monitor.errors import Unreadable
from switchyard_monitor.ports import Letter

ID, REASON, MESSAGE, TOPIC, PARTITION, OFFSET, BROKER_TIME = (
    f"switchyard-{word}" for word in ("id", "reason", "message", "topic", "partition", "offset", "broker-time")
)
"""The broker's time is in microseconds since 1970: by it the record was late or not, and is when it is read again."""
CUT_FROM = "switchyard-cut-from"
"""How many bytes there were, where our headers carried the letter over what a record may hold."""


def letter(dead: Dead, *, topic: str, to: str) -> Letter:
    """The letter of a record of a topic; its id is the same however often it is sent."""
    record = dead.record
    origin = f"{record.partition}/{record.offset}/{dead.reason}"
    headers = {
        ID: hashlib.sha256(origin.encode()).hexdigest()[:32],
        REASON: dead.reason,
        MESSAGE: dead.message,
        TOPIC: topic,
        PARTITION: str(record.partition),
        OFFSET: str(record.offset),
        BROKER_TIME: str(record.broker_us),
    }
    ours = tuple((name, value.encode()) for name, value in headers.items())
    # A record without key and value can be read, but not every client can write one.
    value = b"" if record.key is None and record.value is None else record.value
    return Letter(0, to, record.key, value, record.headers + ours)


@dataclass(frozen=True, slots=True)
class Opened:
    """A letter that was opened."""

    id: str
    reason: str
    record: Record
    """As it once came from the topic of events."""


def opened(sent: Record, *, topic: str) -> Opened:
    """The record that a letter holds; `Unreadable` says why it cannot be had back."""
    names = [name for name, _ in sent.headers]
    if ID not in names:
        raise Unreadable("it is no dead letter of a monitor's")
    began = len(names) - 1 - names[::-1].index(ID)
    ours = {name: value.decode(errors="replace") for name, value in sent.headers[began:]}
    if CUT_FROM in ours:
        raise Unreadable(f"only the first {len(sent.value or b'')} of its {ours[CUT_FROM]} bytes were kept")
    if ours.get(TOPIC, topic) != topic:
        raise Unreadable(f"it came from the topic {ours[TOPIC]!r}, not from {topic!r}")
    try:
        place = int(ours[PARTITION]), int(ours[OFFSET])
        # Letters of earlier releases do not tell the time; they were written within seconds of it.
        broker_us = int(ours.get(BROKER_TIME, sent.broker_us))
    except (KeyError, ValueError) as error:
        raise Unreadable("it does not say which partition and offset it came from") from error
    record = Record(*place, broker_us, sent.key, sent.value, sent.headers[:began])
    return Opened(ours[ID], ours.get(REASON, ""), record)
