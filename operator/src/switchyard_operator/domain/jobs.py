"""The Job of an offline evaluation: how it is made, and what its end means.

Its name follows from the revision, the gate and the attempt, so whoever comes to make it a second time finds the first.
Its pods carry no label of the revision: they must get none of its traffic.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import ceil
from typing import Any

from switchyard_contracts.base import GROUP, LABEL_DEPLOYMENT, LABEL_REVISION
from switchyard_contracts.canonical import digest
from switchyard_contracts.gates import Before, EvaluationData, Gate, OfflineEvaluation
from switchyard_contracts.quantities import format_duration
from switchyard_contracts.retraining import TrainingJob

from switchyard_operator.domain import gates, pods
from switchyard_operator.domain.gates import Answer, State
from switchyard_operator.domain.workloads import owned_by, restricted_container, restricted_pod
from switchyard_operator.domain.world import Body, Revision

LABEL_GATE = f"{GROUP}/gate"
LABEL_JOB = "batch.kubernetes.io/job-name"
"""Kubernetes' own, on a Job's pods."""
CONTAINER = "evaluation"
DATA = "/data"
KEPT_SECONDS = 86_400
"""How long a Job that has ended is left for people to look at; what it came to is in the status."""
MOST_WORDS = 1024
NOT_BY_EVICTION: Mapping[str, Any] = {
    "rules": [{"action": "Ignore", "onPodConditions": [{"type": "DisruptionTarget", "status": "True"}]}]
}
"""An evicted pod says nothing of the model: it is made again, and costs no try."""


def name(revision: Revision, gate: Gate) -> str:
    """At most 63 characters, as a label has to be: a revision's name has at most 56."""
    return f"{revision.name}-{digest([gate.name, revision.attempt, gates.definition(gate)])[:6]}"


def body(namespace: str, gate: Gate, said: OfflineEvaluation, *, target: Revision, stable: Revision | None) -> Body:
    """The Job, owned by the revision that it is about."""
    label = {"app.kubernetes.io/name": target.spec.deployment, "app.kubernetes.io/managed-by": "switchyard"}
    ours = label | {LABEL_GATE: gate.name}
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {
            "name": name(target, gate),
            "namespace": namespace,
            "labels": ours | {LABEL_DEPLOYMENT: target.spec.deployment, LABEL_REVISION: target.name},
            "ownerReferences": owned_by("ModelRevision", name=target.name, uid=target.uid),
        },
        "spec": {
            "backoffLimit": 0,
            "podFailurePolicy": NOT_BY_EVICTION,
            "activeDeadlineSeconds": max(1, ceil(gate.deadline.total_seconds())),
            "ttlSecondsAfterFinished": KEPT_SECONDS,
            "template": {
                "metadata": {"labels": ours},
                "spec": _pod(namespace, gate, said, target=target, stable=stable),
            },
        },
    }


def _pod(
    namespace: str, gate: Gate, said: OfflineEvaluation, *, target: Revision, stable: Revision | None
) -> dict[str, Any]:
    known = _facts("CANDIDATE", namespace, target, serves=gate.before is not Before.PROVISIONING)
    known |= _facts("STABLE", namespace, stable, serves=True)
    return pod(CONTAINER, said, env=known)


def pod(name: str, said: OfflineEvaluation | TrainingJob, *, env: Mapping[str, str]) -> dict[str, Any]:
    """A pod that runs once, told what it is about; what the spec says of a variable comes first."""
    known = {**env, **{item.name: item.value for item in said.env}}
    container: dict[str, Any] = {
        "name": name,
        "image": said.image,
        "imagePullPolicy": "IfNotPresent",
        "env": [{"name": key, "value": value} for key, value in known.items()],
        "terminationMessagePolicy": "FallbackToLogsOnError",
        "securityContext": restricted_container(),
        "volumeMounts": [{"name": "scratch", "mountPath": "/tmp"}],
    }
    volumes: list[dict[str, Any]] = [{"name": "scratch", "emptyDir": {}}]
    if said.command:
        container["command"] = list(said.command)
    if said.args:
        container["args"] = list(said.args)
    if said.resources:
        container["resources"] = said.resources.to_json()
    if isinstance(said, TrainingJob) and said.env_from:
        container["envFrom"] = [
            {"configMapRef": {"name": source.config_map}}
            if source.config_map
            else {"secretRef": {"name": source.secret}}
            for source in said.env_from
        ]
    if said.data:
        container["volumeMounts"].append({"name": "data", "mountPath": DATA, "readOnly": True})
        volumes.append({"name": "data", **_source(said.data)})
    found: dict[str, Any] = {
        "restartPolicy": "Never",
        "enableServiceLinks": False,
        "automountServiceAccountToken": False,
        "securityContext": restricted_pod(),
        "containers": [container],
        "volumes": volumes,
    }
    if said.service_account_name:
        found["serviceAccountName"] = said.service_account_name
    return found


def _facts(who: str, namespace: str, revision: Revision | None, *, serves: bool) -> dict[str, str]:
    """What the evaluation is told of one side; all of it empty where there is no such side."""
    address = f"http://{revision.name}.{namespace}.svc:{revision.spec.pod.port}" if revision and serves else ""
    return {
        f"SWITCHYARD_{who}_REVISION": revision.name if revision else "",
        f"SWITCHYARD_{who}_VERSION": revision.version if revision else "",
        f"SWITCHYARD_{who}_IMAGE": revision.spec.pod.image if revision else "",
        f"SWITCHYARD_{who}_URL": address,
    }


def _source(data: EvaluationData) -> dict[str, Any]:
    if data.config_map:
        return {"configMap": {"name": data.config_map}}
    return {"persistentVolumeClaim": {"claimName": data.claim, "readOnly": True}}


def read(job: Body, made: Sequence[Body], *, gate: Gate, target: Revision) -> Answer:
    """What the Job and its pods say."""
    called = f"Job {job['metadata']['name']}"
    if target.uid not in {owner.get("uid") for owner in job["metadata"].get("ownerReferences") or []}:
        return Answer(State.ERROR, f"{called} was made by somebody else; delete it, and it is made anew")
    conditions = (job.get("status") or {}).get("conditions") or []
    ends = {item["type"]: item for item in conditions if item.get("status") == "True"}
    last = ended(made)
    if "Complete" in ends:
        return Answer(State.PASSED, f"{called} ended with exit code 0{words(last)}")
    if "Failed" in ends:
        return _failed(called, ends["Failed"], last, gate=gate)
    states = [
        state.get("state", {}) for pod in made for state in (pod.get("status") or {}).get("containerStatuses") or []
    ]
    if any("running" in state for state in states):
        return Answer(State.WAITING, f"{called} runs, for at most {format_duration(gate.deadline)}")
    return Answer(State.WAITING, f"{called} has not begun: {pods.problem(made, job) or 'its pod is being made'}")


def _failed(called: str, condition: Mapping[str, Any], last: Mapping[str, Any], *, gate: Gate) -> Answer:
    if condition.get("reason") == "DeadlineExceeded":
        return Answer(State.WAITING, f"{called} was ended after {format_duration(gate.deadline)} without a result")
    if last.get("reason") == "OOMKilled":
        text = f"{called} ran out of memory, which says nothing of the model; raise offlineEvaluation.resources"
        return Answer(State.ERROR, f"{text}, and retry")
    if last.get("exitCode"):
        return Answer(State.FAILED, f"{called} ended with exit code {last['exitCode']}{words(last)}")
    why = ": ".join(str(condition[key]) for key in ("reason", "message") if condition.get(key))
    return Answer(State.ERROR, f"{called} could not be carried out ({why or 'no reason is given'}); mend it, and retry")


def ended(made: Sequence[Body]) -> Mapping[str, Any]:
    """How the newest of its containers ended."""
    found: list[Mapping[str, Any]] = []
    for pod in sorted(made, key=lambda pod: str(pod["metadata"].get("creationTimestamp", ""))):
        for state in (pod.get("status") or {}).get("containerStatuses") or []:
            if terminated := state.get("state", {}).get("terminated"):
                found.append(terminated)
    return found[-1] if found else {}


def words(last: Mapping[str, Any]) -> str:
    """What it said last, to be put behind a sentence."""
    flat = " ".join(str(last.get("message") or "").split())
    return f": {flat if len(flat) <= MOST_WORDS else '…' + flat[-MOST_WORDS:]}" if flat else ""
