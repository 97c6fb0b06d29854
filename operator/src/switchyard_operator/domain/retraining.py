"""Retraining: which request to retrain is answered, when, and how; and which of them a revision came of.

The monitor asks for it, again and again while an alarm fires. So one that grew too old is passed over: a newer one will
come. What is started is remembered by the request's id, and the Job's name follows from that: whoever comes to make it
a second time finds the first.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from math import ceil
from typing import Any

from switchyard_contracts.alarm_records import AlarmRecord
from switchyard_contracts.base import LABEL_DEPLOYMENT, LABEL_REQUEST
from switchyard_contracts.quantities import format_duration
from switchyard_contracts.retraining import Retrain, TrainingJob, TrainingPhase, TrainingState

from switchyard_operator.domain import jobs, pods
from switchyard_operator.domain.workloads import owned_by
from switchyard_operator.domain.world import Body, Revision, World

KEPT = 5
"""So many requests stand in the status."""
OLD = timedelta(hours=1)
"""A request is answered within its cool-down, or within this where that is shorter."""
BUSY = frozenset({TrainingPhase.STARTED})
OPEN = frozenset({TrainingPhase.WAITING})
BEGUN = frozenset({TrainingPhase.STARTED, TrainingPhase.TOLD, TrainingPhase.SUCCEEDED, TrainingPhase.FAILED})
CONTAINER = "training"
MOST_EVIDENCE = 32_768
"""Characters of JSON that a Job is given in its environment; what is longer is told without the features."""


@dataclass(frozen=True, slots=True)
class Due:
    """What is to be done about the newest request."""

    state: TrainingState
    start: bool = False
    again: timedelta | None = None
    """When to look again, where only time helps."""


def due(
    said: Retrain,
    held: Sequence[TrainingState],
    request: AlarmRecord,
    *,
    now: datetime,
    made_at: datetime | None = None,
) -> Due | None:
    """What is to be done about a request; None where it was answered, or is none of this spec's or this deployment's,
    which was made at that time: the monitor knows it by its name only."""
    if made_at is not None and request.at < made_at:
        return None
    known = next((state for state in held if state.request == request.id), None)
    if request.alarm not in said.alarms or (known is not None and known.phase not in OPEN):
        return None
    state = known or TrainingState(
        request=request.id, alarm=request.alarm, requested_at=request.at, because=request.message[:4096]
    )
    if now - request.at > max(said.cooldown, OLD):
        words = f"it was not started within {format_duration(max(said.cooldown, OLD))}; a newer one is asked for"
        return Due(state.model_copy(update={"phase": TrainingPhase.PASSED_OVER, "message": words}))
    busy = next((other for other in held if other.phase in BUSY and other.request != request.id), None)
    if busy is not None:
        return Due(state.model_copy(update={"message": f"Job {busy.job} still trains"}))
    begun = [other.started_at for other in held if other.started_at and other.phase in BEGUN]
    left = max(begun) + said.cooldown - now if begun else timedelta(0)
    if left > timedelta(0):
        words = f"the cool-down of {format_duration(said.cooldown)} since the last one is not over"
        return Due(state.model_copy(update={"message": words}), again=left)
    if said.job is None and said.webhook is None:
        words = "monitoring.retrain names neither a job nor a webhook: it is asked for on the topic of alarms"
        update = {"phase": TrainingPhase.ASKED, "message": words}
        return Due(state.model_copy(update=update))
    return Due(state, start=True)


def remember(held: Sequence[TrainingState], state: TrainingState) -> tuple[TrainingState, ...]:
    """The newest requests, this one among them; those that waited while it was made are passed over."""
    others = [_overtaken(other) for other in held if other.request != state.request]
    known = next((place for place, other in enumerate(held) if other.request == state.request), len(others))
    others.insert(known, state)
    return tuple(others[-KEPT:])


def _overtaken(state: TrainingState) -> TrainingState:
    if state.phase not in OPEN:
        return state
    return state.model_copy(update={"phase": TrainingPhase.PASSED_OVER, "message": "a newer one was asked for"})


def cause(world: World, revision: Revision) -> str:
    """Which request to retrain a revision says it answers, and why that was made."""
    provenance = revision.spec.provenance
    request = provenance.retrain_request if provenance else None
    if not request:
        return ""
    known = next((state for state in world.training or world.status.retraining if state.request == request), None)
    if known is None:
        return f"request {request} to retrain"
    return f"request {request} to retrain, by the alarm {known.alarm}: {known.because}"[:4096]


# --- the Job ---------------------------------------------------------------------------------------------------------


def name(deployment: str, request: str) -> str:
    """At most 62 characters: a deployment's name has at most 45."""
    return f"{deployment}-retrain-{request[:8]}"


def body(world: World, said: TrainingJob, request: AlarmRecord, *, stable: Revision | None) -> Body:
    """The Job, owned by the deployment. Its pods carry no label of a revision: they must get none of its traffic."""
    label = {"app.kubernetes.io/name": world.name, "app.kubernetes.io/managed-by": "switchyard"}
    ours = label | {LABEL_REQUEST: request.id}
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {
            "name": name(world.name, request.id),
            "namespace": world.namespace,
            "labels": ours | {LABEL_DEPLOYMENT: world.name},
            "ownerReferences": owned_by("ModelDeployment", name=world.name, uid=world.uid),
        },
        "spec": {
            "backoffLimit": 0,
            "podFailurePolicy": jobs.NOT_BY_EVICTION,
            "activeDeadlineSeconds": max(1, ceil(said.within.total_seconds())),
            "ttlSecondsAfterFinished": jobs.KEPT_SECONDS,
            "template": {
                "metadata": {"labels": ours},
                "spec": jobs.pod(CONTAINER, said, env=_told(world, request, stable=stable)),
            },
        },
    }


def _told(world: World, request: AlarmRecord, *, stable: Revision | None) -> dict[str, str]:
    return {
        "SWITCHYARD_RETRAIN_REQUEST": request.id,
        "SWITCHYARD_RETRAIN_EVIDENCE": evidence(request),
        "SWITCHYARD_DEPLOYMENT": f"{world.namespace}/{world.name}",
        "SWITCHYARD_STABLE_REVISION": stable.name if stable else "",
        "SWITCHYARD_STABLE_VERSION": stable.version if stable else "",
        "SWITCHYARD_STABLE_IMAGE": stable.spec.pod.image if stable else "",
    }


def evidence(request: AlarmRecord) -> str:
    """The request as JSON: the rule, its limit, its windows, the reference, and what drifted.

    Names of features may come from whoever asks the model: Kubernetes is to put nothing in their `$(…)`.
    """
    found = request.model_dump(mode="json", by_alias=True)
    text = json.dumps(found, sort_keys=True, ensure_ascii=False)
    short = text if len(text) <= MOST_EVIDENCE else json.dumps({**found, "features": []}, sort_keys=True)
    return short.replace("$(", "$$(")


def read(job: Body | None, made: Sequence[Body], state: TrainingState, *, owner: str) -> TrainingState:
    """What the Job and its pods say."""
    if job is None:
        return _ended(state, TrainingPhase.FAILED, f"Job {state.job} is gone, and what it came to is not known")
    if (job["metadata"].get("labels") or {}).get(LABEL_REQUEST) != state.request or not owns(job, owner):
        return _ended(state, TrainingPhase.FAILED, f"Job {state.job} was made by somebody else; delete it")
    ends = {
        item["type"]: item for item in (job.get("status") or {}).get("conditions") or [] if item.get("status") == "True"
    }
    last = jobs.ended(made)
    if "Complete" in ends:
        return _ended(state, TrainingPhase.SUCCEEDED, f"Job {state.job} ended with exit code 0{jobs.words(last)}")
    if "Failed" in ends:
        return _ended(state, TrainingPhase.FAILED, _failure(state.job, ends["Failed"], last))
    problem = pods.problem(made, job)
    return state.model_copy(update={"message": f"Job {state.job} has not begun: {problem}" if problem else ""})


def owns(job: Body, owner: str) -> bool:
    """Whether the deployment of that uid owns it."""
    return owner in {item.get("uid") for item in job["metadata"].get("ownerReferences") or []}


def _failure(job: str, condition: Mapping[str, Any], last: Mapping[str, Any]) -> str:
    if condition.get("reason") == "DeadlineExceeded":
        return f"Job {job} was ended before it was done; give it more time in retrain.job.within"
    if last.get("exitCode"):
        return f"Job {job} ended with exit code {last['exitCode']}{jobs.words(last)}"
    why = ": ".join(str(condition[key]) for key in ("reason", "message") if condition.get(key))
    return f"Job {job} could not be carried out ({why or 'no reason is given'})"


def _ended(state: TrainingState, phase: TrainingPhase, words: str) -> TrainingState:
    return state.model_copy(update={"phase": phase, "message": words[:4096]})
