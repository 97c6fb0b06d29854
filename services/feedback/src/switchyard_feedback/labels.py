"""Events from items. The same item sent again is the same event, so a client may retry without counting twice."""

from __future__ import annotations

from datetime import UTC, datetime

from switchyard_contracts.canonical import digest
from switchyard_contracts.events import CloudEvent, Deletion, EventType, Label, encode, event, key

from switchyard_feedback.items import Item
from switchyard_feedback.ports import Record

SOURCE = "/switchyard/feedback"
ID_LENGTH = 32
"""Hex digits of an event's id: 128 bits."""


def label(item: Item, *, kind: EventType, subject: str, token: str) -> CloudEvent:
    """The event of one item. Its id is a hash of what was said, about what, and by whom."""
    data = Label(
        prediction_id=item.prediction_id,
        row=item.row,
        value=item.value,
        at=item.at,
        actor=item.actor,
        revision=item.revision,
        token=token,
    )
    said = {
        "type": kind,
        "subject": subject,
        "predictionId": item.prediction_id,
        "row": item.row,
        "value": item.value,
        "at": item.at.astimezone(UTC).isoformat(),
        "actor": item.actor.model_dump(mode="json") if item.actor else None,
        "revision": item.revision,
        "token": token,
    }
    return event(kind, event_id=digest(said)[:ID_LENGTH], source=SOURCE, subject=subject, time=item.at, data=data)


def deletion(prediction_id: str, *, subject: str, token: str, now: datetime) -> CloudEvent:
    """The event that erases a prediction's payload and labels. Asked for twice, it is one event."""
    said = {"type": EventType.DELETION, "subject": subject, "predictionId": prediction_id}
    return event(
        EventType.DELETION,
        event_id=digest(said)[:ID_LENGTH],
        source=SOURCE,
        subject=subject,
        time=now,
        data=Deletion(prediction_id=prediction_id, at=now, token=token),
    )


def record(envelope: CloudEvent) -> Record:
    """As it stands on the topic."""
    return Record(key=key(envelope.subject, str(envelope.data["predictionId"])), value=encode(envelope))
