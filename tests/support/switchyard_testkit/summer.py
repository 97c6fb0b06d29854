"""A fourth chapter of the demo as it should go, made up for the tests of its story."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from switchyard_contracts.alarm_records import (
    AlarmBook,
    AlarmEvent,
    AlarmRecord,
    AlarmState,
    DriftedFeature,
    Look,
    Standing,
)
from switchyard_demo_model.product.ledger import Errors
from switchyard_demo_model.story.summer import DRIFTED, WORSE
from switchyard_demo_model.story.watched import Finding, Training, Watched, Window

LEAPT = datetime(2026, 3, 2, 12, 30, tzinfo=UTC)
SECONDS = 8
METRICS = {DRIFTED: "drift", WORSE: "outcome.rmse"}
LATE = DriftedFeature(feature="departure_delay", side="x", aspect="distribution", effect=0.44, usual=0.25, p=1e-9)


def starts(*windows: int) -> list[datetime]:
    """When windows begin, counted from the leap; those of spring are below 0."""
    return [LEAPT + timedelta(seconds=SECONDS * window) for window in windows]


def look(window: int, value: float | None, *, broken: bool) -> Look:
    """A window that was judged."""
    (start,) = starts(window)
    standing = Standing.NO_DATA if value is None else Standing.BREACH if broken else Standing.CLEAR
    return Look(start=start, standing=standing, value=value, samples=300)


DRIFT_LOOKS = [look(-1, 0.0, broken=False), look(0, 1.0, broken=True), look(1, 2.0, broken=True)]
ERROR_LOOKS = [look(-1, 17.0, broken=False), look(0, 26.6, broken=True), look(1, 27.7, broken=True)]


def record(event: AlarmEvent, alarm: str, **changes: Any) -> AlarmRecord:
    """One thing that is said two windows after the leap; each test says only what differs."""
    usual: dict[str, Any] = {
        "id": f"{event.value}-{alarm}",
        "namespace": "flights-test",
        "name": "flight-delay",
        "metric": METRICS[alarm],
        "version": "2.0.0",
        "at": starts(2)[0] + timedelta(seconds=2 if alarm == DRIFTED else 4),
        "looks": DRIFT_LOOKS if alarm == DRIFTED else ERROR_LOOKS,
        "features": [LATE] if alarm == DRIFTED else [],
        "message": "it is beyond its limit",
    }
    return AlarmRecord(event=event, alarm=alarm, **(usual | changes))


FIRED = record(AlarmEvent.FIRED, DRIFTED), record(AlarmEvent.FIRED, WORSE)
REQUEST = record(AlarmEvent.RETRAIN_REQUESTED, DRIFTED)


def book(*records: AlarmRecord, request: AlarmRecord | None = None, calm: bool = False) -> AlarmBook:
    """The monitor's book, newest first; `calm`: three windows were judged by each rule, and all were clear."""
    looks = [look(window, 0.0, broken=False) for window in (-4, -3, -2)] if calm else []
    return AlarmBook(
        deployment="flights-test/flight-delay",
        alarms=[AlarmState(alarm=name, metric=metric, looks=looks) for name, metric in METRICS.items()],
        records=list(records),
        request=request,
    )


TOLD = book(FIRED[1], REQUEST, FIRED[0], request=REQUEST)


def windows(*, lasting: Sequence[int] = (1,), late: Sequence[int] = (0, 1)) -> list[Window]:
    """Three windows of spring and two of summer; departures are late, and pages, in those that are named."""
    return [
        Window(
            start,
            320,
            [
                Finding("departure_delay", "x", "distribution", 0.44, 0.25, drifted=n in late, pages=n in lasting),
                Finding("hour", "x", "distribution", 0.02, 0.11, drifted=False, pages=False),
            ],
        )
        for n, start in zip(range(-3, 2), starts(*range(-3, 2)), strict=True)
    ]


TRAINING = Training("flight-delay-retrain-1", REQUEST.id, REQUEST.model_dump_json(by_alias=True), "Complete", "asked")


def errors(rmse: float, *, count: int = 300) -> Errors:
    """So many of that size."""
    return Errors(count, count * rmse * rmse)


def summer(**changes: Any) -> Watched:
    """A chapter that went as promised; each test says only what differs."""
    usual: dict[str, Any] = {
        "leapt": LEAPT,
        "seconds": SECONDS,
        "book": TOLD,
        "drift": windows(),
        "trainings": [TRAINING],
        "spring": errors(17.5, count=5000),
        "own": dict(zip(starts(-1, 0, 1), map(errors, (17.0, 26.6, 27.7)), strict=True)),
    }
    return Watched(**(usual | changes))
