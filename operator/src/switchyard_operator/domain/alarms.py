"""Alarms as the operator hears of them: what is new, what fires now, and which figures a receiver is told.

The monitor judges; what it said stands in its own books. The status remembers the newest record that was heard, written
together with what is owed to receivers because of it: so each is told at least once, under the monitor's id.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import timedelta

from switchyard_contracts.alarm_records import AlarmBook, AlarmEvent, AlarmRecord, Look
from switchyard_contracts.alarms import AlarmsStatus, FiringAlarm
from switchyard_contracts.notifications import Event, Figure, Notification

from switchyard_operator.domain.world import World

FRESH = timedelta(hours=1)
"""What was said longer ago and is over is no news to a status that knows nothing of it, as after a restore."""
ROLE = "alarm"


def fresh(world: World) -> Sequence[AlarmRecord]:
    """What was said since the status heard it last, oldest first."""
    book = world.alarms
    if book is None:
        return ()
    heard = world.status.alarms.newest if world.status.alarms else ""
    ids = [record.id for record in book.records]
    if heard in ids:
        new = book.records[: ids.index(heard)]
    else:
        new = [record for record in book.records if world.now - record.at < FRESH or _holds(book, record)]
    return list(reversed(new))


def _holds(book: AlarmBook, record: AlarmRecord) -> bool:
    """Whether it is true still: the alarm fires, or the model is to be trained anew because of one that does."""
    firing = {state.event for state in book.alarms if state.firing}
    asked = book.request is not None and record.id == book.request.id and record.cause in firing
    return record.id in firing or asked


def standing(world: World) -> AlarmsStatus | None:
    """What the status says of the alarms."""
    monitoring = world.spec.monitoring
    if monitoring is None or not monitoring.alarms:
        return None
    book = world.alarms
    if book is None:
        return world.status.alarms
    firing = [
        FiringAlarm(
            alarm=state.alarm,
            metric=state.metric,
            revision=state.revision,
            since=state.fired_at,
            message=state.message[:4096],
        )
        for state in book.alarms
        if state.firing
    ]
    newest = book.records[0].id if book.records else ""
    return AlarmsStatus(newest=newest, firing=firing) if newest or firing else None


def notifications(world: World) -> Iterator[Notification]:
    """What receivers are told of."""
    for record in fresh(world):
        yield Notification(
            id=record.id,
            event=Event.RETRAIN if record.event is AlarmEvent.RETRAIN_REQUESTED else Event.ALARM,
            alarm=record.alarm,
            revision=record.revision,
            version=record.version,
            at=world.now,
            reason=record.event.value,
            message=record.message[:4096],
            figures=[_figure(record, look) for look in record.looks],
        )


def _figure(record: AlarmRecord, look: Look) -> Figure:
    return Figure(
        name=look.start.isoformat(),
        metric=record.metric,
        role=ROLE,
        verdict=look.standing.value,
        message=look.message or record.limit,
        samples=look.samples,
        value=look.value,
    )
