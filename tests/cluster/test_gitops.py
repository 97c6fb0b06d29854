"""GitOps: a manifest that is applied again every second, by Argo CD's way and by Flux', disturbs no canary."""

from __future__ import annotations

import time
from collections import Counter
from contextlib import ExitStack
from typing import Any

import pytest
from switchyard_contracts.model_deployment import ModelDeploymentStatus
from switchyard_operator.domain.status import shape
from switchyard_testkit.canary import CANARY, FLIGHT
from switchyard_testkit.healing import Healing, Witness, course, repeated
from switchyard_testkit.kstatus import Result, compute
from switchyard_testkit.load import Traffic
from switchyard_testkit.models import GROUP, Models, image
from switchyard_testkit.waiting import until

pytestmark = pytest.mark.timeout(420)

APPLIED: dict[str, tuple[str, ...]] = {
    "by-client": (),
    "by-server": ("--server-side", "--field-manager=flux"),
}
MANAGERS = {"by-client": "kubectl-client-side-apply", "by-server": "flux"}
STEPS = [{"name": "quarter", "weight": 25, "hold": "2s"}, {"name": "half", "weight": 50, "hold": "2s"}]
GUARD = {"name": "errors", "metric": "error_rate", "max": "50%", "role": "guard", "minSamples": 50}
SPEC: dict[str, Any] = {
    **CANARY,
    "strategy": {"type": "Canary", "canary": {"mirror": 0, "steps": STEPS}},
    "analysis": {"block": "10s", "metrics": [GUARD]},
    "rollback": {"watch": "2s", "warm": {"replicas": 1, "for": "1h"}},
}


def manifest(models: Models, name: str, *, version: str) -> dict[str, Any]:
    """What Git says."""
    env = [{"name": "VERSION", "value": version}]
    model = {"image": image(models.installation.slot, "test/fault-model"), "config": {"env": env}}
    return {
        "apiVersion": "/".join(GROUP),
        "kind": "ModelDeployment",
        "metadata": {"name": name, "namespace": models.namespace},
        "spec": {**SPEC, "model": model},
    }


def is_current(models: Models, name: str) -> None:
    """What Flux waits for."""
    until(lambda: compute(models.get(name)).result is Result.CURRENT, f"{name} is Current", seconds=90)


def is_completed(models: Models, name: str, version: str) -> None:
    def completed(status: dict[str, Any]) -> bool:
        phase = (status.get("rollout") or {}).get("phase")
        return phase == "Completed" and (status.get("stable") or {}).get("version") == version

    models.wait(name, completed, f"{version} is completed", seconds=120)


def resource_versions(models: Models) -> dict[str, str]:
    found = (body for kind in ("modeldeployments", "modelroutes", "modelrevisions") for body in models.all(kind))
    return {f"{body['kind']} {body['metadata']['name']}": body["metadata"]["resourceVersion"] for body in found}


def test_a_manifest_applied_every_second_disturbs_no_canary(models: Models) -> None:
    began = time.monotonic()
    with ExitStack() as stack:
        deployments = stack.enter_context(Witness(models, "modeldeployments"))
        routes = stack.enter_context(Witness(models, "modelroutes"))
        gits = {name: stack.enter_context(Healing(models, how)) for name, how in APPLIED.items()}
        for name, git in gits.items():
            git.commit(manifest(models, name, version="1.0.0"))
        for name in gits:
            is_current(models, name)
        traffic = [
            stack.enter_context(Traffic(models.url(name), body=FLIGHT, rate=50, prefix=f"{models.namespace}-{name}"))
            for name in gits
        ]
        for name, git in gits.items():
            git.commit(manifest(models, name, version="2.0.0"))
        for name in gits:
            is_completed(models, name, "2.0.0")

        def rests() -> bool:
            before = resource_versions(models)
            for git in gits.values():
                git.go_on(3)
            return resource_versions(models) == before

        until(rests, "nothing is written while the manifests are applied three times more", seconds=90)

    assert [failure for one in traffic for failure in one.tally.failures] == []
    assert deployments.failures == routes.failures == []
    for name, git in gits.items():
        undisturbed(name, git, deployments.of(name), routes.of(name), minutes=int(time.monotonic() - began) // 60)


def undisturbed(
    name: str, git: Healing, versions: list[dict[str, Any]], routes: list[dict[str, Any]], *, minutes: int
) -> None:
    """No conflict, no flicker, and no write but the rollout's own."""
    assert git.failures == [], name
    said = Counter(git.answers)
    if name == "by-client":
        # kubectl says "configured" wherever it sent a patch, as it does for defaults within lists; what came of it
        # stands in the versions.
        assert said["created"] == 1, said
        assert said.keys() <= {"created", "configured", "unchanged"}, said
    else:
        assert said.keys() == {"serverside-applied"}, said
    assert course(body["metadata"]["generation"] for body in versions) == [1, 2], name
    owners = {entry["manager"] for entry in versions[-1]["metadata"]["managedFields"] if "subresource" not in entry}
    assert owners == {MANAGERS[name]}, owners

    progress = course(compute(body).result for body in versions)
    assert progress == [Result.IN_PROGRESS, Result.CURRENT, Result.IN_PROGRESS, Result.CURRENT], (name, progress)
    served = versions[[compute(body).result for body in versions].index(Result.CURRENT) :]
    courses = {kind: course(condition(body, kind) for body in served) for kind in ("Accepted", "Available", "Ready")}
    assert courses == {"Accepted": ["True"], "Available": ["True"], "Ready": ["True", "Unknown", "True"]}, name
    assert course(condition(body, "Reconciling") for body in served) == ["", "True", ""], name
    assert not any(condition(body, "Stalled") for body in versions), name

    # Until the operator's first status there is the schema's, which has kstatus wait (observedGeneration 0). The API
    # server shows it from the start, and stores it with the next server-side apply: a write in which nothing differs.
    ours = [body for body in versions if body["status"] != {"observedGeneration": 0}]
    assert repeated(ours, lambda body: (body["spec"], body["status"])) == [], name
    # Numbers alone may move once a minute, and this took so many and a part of one.
    numbers = repeated(ours, lambda body: (body["spec"], shape(ModelDeploymentStatus.model_validate(body["status"]))))
    assert len(numbers) <= max(2, minutes + 1), (name, numbers)
    assert repeated(routes, lambda body: body["spec"]) == [], name
    weights = course(weight_of("2.0.0", body) for body in routes)
    assert weights == [0, 2500, 5000, 10_000], (name, weights)


def condition(body: dict[str, Any], kind: str) -> str:
    found = (body.get("status") or {}).get("conditions") or []
    return next((str(item["status"]) for item in found if item["type"] == kind), "")


def weight_of(version: str, route: dict[str, Any]) -> int:
    return sum(entry["weightBp"] for entry in route["spec"]["routes"] if entry.get("version") == version)
