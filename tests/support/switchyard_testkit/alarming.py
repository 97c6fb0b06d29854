"""What a monitor says of alarms, made up for the operator's tests."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from switchyard_contracts.alarm_records import AlarmBook, AlarmEvent, AlarmRecord, AlarmState, Look, Standing
from switchyard_operator.domain import kinds

from switchyard_testkit.rollout_world import MONITORING, NAME, NAMESPACE, SPEC, Rollout

RULE: dict[str, Any] = {"name": "worse", "metric": "outcome.rmse", "max": "12.5"}
JOB: dict[str, Any] = {"image": "train:1", "args": ["--all"], "env": [{"name": "EPOCHS", "value": "3"}]}
CALL: dict[str, Any] = {"url": "https://train.example/runs"}


def spec(*, retrain: Mapping[str, Any] | None = None, base: Mapping[str, Any] = SPEC) -> dict[str, Any]:
    """A deployment with one rule, and perhaps retraining."""
    said = {**MONITORING, "alarms": [RULE]}
    if retrain is not None:
        said["retrain"] = {"alarms": ["worse"], "cooldown": "24h", **retrain}
    return {**base, "monitoring": said}


def record(event: AlarmEvent, at: datetime, /, *, number: int, **changes: Any) -> AlarmRecord:
    """One thing that was said; `number` makes its id."""
    return AlarmRecord(
        **{
            "id": hashlib.sha256(str(number).encode()).hexdigest()[:32],
            "event": event,
            "namespace": NAMESPACE,
            "name": NAME,
            "alarm": "worse",
            "metric": "outcome.rmse",
            "revision": "delay-1",
            "version": "1.0.0",
            "at": at,
            "fired_at": at,
            "value": 14.2,
            "samples": 812,
            "limit": "max 12.5",
            "looks": [Look(start=at - timedelta(days=1), standing=Standing.BREACH, value=14.2, samples=812)],
            "reason": event.value,
            "message": "outcome.rmse is 14.2 (max 12.5); 2 of the last 3 windows are beyond it",
        }
        | changes
    )


def say(world: Rollout, event: AlarmEvent, **changes: Any) -> AlarmRecord:
    """Have the monitor say it now."""
    held = world.monitor.book
    said = record(event, world.clock.now, number=len(held.records) + 1, **changes)
    firing = event in (AlarmEvent.FIRED, AlarmEvent.RETRAIN_REQUESTED)
    fired = next((record.id for record in (said, *held.records) if record.event is AlarmEvent.FIRED), "")
    state = AlarmState(
        alarm="worse",
        metric="outcome.rmse",
        revision="delay-1",
        firing=firing,
        fired_at=world.clock.now,
        event=fired,
        message=said.message,
    )
    world.monitor.book = AlarmBook(
        deployment=held.deployment,
        alarms=[state],
        records=[said, *held.records],
        request=said if event is AlarmEvent.RETRAIN_REQUESTED else held.request,
    )
    return said


def end_the_job(world: Rollout, *, code: int, words: str = "") -> None:
    """As the Job's controller and the kubelet would."""
    job = world.cluster.find(kinds.JOB)[-1]
    kind = "Complete" if code == 0 else "Failed"
    world.cluster.put({**job, "status": {"conditions": [{"type": kind, "status": "True"}]}})
    labels = {**job["spec"]["template"]["metadata"]["labels"], "batch.kubernetes.io/job-name": job["metadata"]["name"]}
    ended = {"exitCode": code, "message": words}
    world.cluster.put(
        {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {"name": f"{job['metadata']['name']}-x", "namespace": NAMESPACE, "labels": labels},
            "status": {"containerStatuses": [{"state": {"terminated": ended}}]},
        }
    )
