"""What pods say about themselves: how many are ready, and why the others are not, in their own words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from switchyard_contracts.judgement import counted

from switchyard_operator.domain.world import Body, Workload, is_ending

PULL = ("ImagePullBackOff", "ErrImagePull", "InvalidImageName", "ErrImageNeverPull", "RegistryUnavailable")
LAST_WORDS = 300


def observe(deployment: Body | None, pods: Sequence[Body]) -> Workload:
    """A revision's workload from its Deployment and pods. Ready counts pods, as endpoints do."""
    alive = [pod for pod in pods if not is_ending(pod)]
    ready = [pod for pod in alive if is_ready(pod)]
    addresses = tuple(sorted(pod["status"]["podIP"] for pod in ready if pod["status"].get("podIP")))
    there = sum(pod.get("status", {}).get("phase") not in ("Succeeded", "Failed") for pod in pods)
    if deployment is None:
        return Workload(ready=len(ready), pods=there, addresses=addresses)
    wanted = int(deployment.get("spec", {}).get("replicas", 1))
    return Workload(
        exists=True,
        wanted=wanted,
        pods=there,
        ready=len(ready),
        unready_since=_unready_since(deployment),
        lost_at=_lost_at(pods),
        problem="" if len(ready) >= wanted else problem(alive, deployment),
        addresses=addresses,
    )


def readiness(ready: int, wanted: int) -> str:
    """How many of those that there should be, in words."""
    return f"{ready} of {counted(wanted, 'pod')} ready"


def is_ready(pod: Body) -> bool:
    """The Ready condition, of a pod that is not on its way out."""
    if is_ending(pod):
        return False
    conditions = pod.get("status", {}).get("conditions") or []
    return any(item["type"] == "Ready" and item["status"] == "True" for item in conditions)


def problem(pods: Sequence[Body], deployment: Body) -> str:
    """The most telling reason; a pod that cannot start says more than one that is not ready yet."""
    found = [words for pod in pods if not is_ready(pod) and (words := _why(pod))]
    if found:
        return min(found)[1]
    for condition in deployment.get("status", {}).get("conditions") or []:
        if condition["type"] == "ReplicaFailure" and condition["status"] == "True":
            return f"{condition.get('reason', '')}: {condition.get('message', '')}"
    taken_up = deployment.get("status", {}).get("observedGeneration")
    return "no pod has been made yet" if taken_up and not pods else ""


def _why(pod: Body) -> tuple[int, str] | None:
    name = pod["metadata"]["name"]
    status = pod.get("status", {})
    for state in status.get("containerStatuses") or []:
        waiting = state.get("state", {}).get("waiting")
        if waiting and waiting.get("reason") in PULL:
            return 0, f"pod {name}: {waiting['reason']}: {_short(waiting.get('message', ''))}"
        if waiting and waiting.get("reason") not in (None, "ContainerCreating", "PodInitializing"):
            return 1, f"pod {name}: {waiting['reason']}: {_last_words(state) or _short(waiting.get('message', ''))}"
        ended = state.get("state", {}).get("terminated") or (
            state.get("lastState", {}).get("terminated") if state.get("restartCount") else None
        )
        if ended:
            times = f", restarted {counted(state['restartCount'], 'time')}" if state.get("restartCount") else ""
            return 2, f"pod {name}: {_end(ended)}{times}"
    for condition in status.get("conditions") or []:
        if condition["type"] == "PodScheduled" and condition["status"] == "False":
            return 3, f"pod {name}: {condition.get('reason', '')}: {_short(condition.get('message', ''))}"
    creating = [
        waiting["reason"]
        for state in status.get("containerStatuses") or []
        if (waiting := state.get("state", {}).get("waiting")) and waiting.get("reason")
    ]
    if creating:
        return 5, f"pod {name}: still {creating[0]}"
    running = [state for state in status.get("containerStatuses") or [] if "running" in state.get("state", {})]
    if running:
        state = "is not ready" if running[0].get("started") else "has not answered /readyz yet"
        text = f"pod {name}: the container runs but {state}"
        return 4, text
    return None


def _last_words(state: Mapping[str, Any]) -> str:
    ended = state.get("lastState", {}).get("terminated")
    return _end(ended) if ended else ""


def _end(ended: Mapping[str, Any]) -> str:
    words = _short(str(ended.get("message", "")).strip(), from_end=True)
    text = f"{ended.get('reason', 'ended')} with exit code {ended.get('exitCode')}"
    return f"{text}: {words}" if words else text


def _short(text: str, *, from_end: bool = False) -> str:
    flat = " ".join(text.split())
    if len(flat) <= LAST_WORDS:
        return flat
    return f"…{flat[-LAST_WORDS:]}" if from_end else f"{flat[:LAST_WORDS]}…"


def _lost_at(pods: Sequence[Body]) -> datetime | None:
    """When the newest of the pods that are not ready stopped being so, pods on their way out among them."""
    lost = [
        condition["lastTransitionTime"]
        for pod in pods
        for condition in pod.get("status", {}).get("conditions") or []
        if condition["type"] == "Ready" and condition["status"] != "True" and condition.get("lastTransitionTime")
    ]
    return max(map(datetime.fromisoformat, lost), default=None)


def _unready_since(deployment: Body) -> datetime | None:
    for condition in deployment.get("status", {}).get("conditions") or []:
        if condition["type"] == "Available" and condition["status"] != "True":
            return datetime.fromisoformat(condition["lastTransitionTime"])
    return None
