"""A ModelDeployment is deleted in whatever phase it is: it goes at once, and all that it made within a bound."""

from __future__ import annotations

from typing import Any

import httpx
import pytest
from kubernetes import client
from switchyard_testkit.apiserver import api_client
from switchyard_testkit.canary import CANARY, FLIGHT
from switchyard_testkit.models import GROUP, Models
from switchyard_testkit.waiting import until

pytestmark = pytest.mark.timeout(420)
BOUND = 60.0
"""Seconds until nothing is left: the API server's collector, and the time that models' pods get to end."""
SMALL = {"requests": {"cpu": "20m", "memory": "64Mi"}}
SERVING: dict[str, Any] = {"paths": ["/predict"], "timeout": "10s", "port": 3000, "resources": SMALL}
BLUE_GREEN: dict[str, Any] = {"serving": SERVING}
HELD: dict[str, Any] = {
    "serving": SERVING,
    "strategy": {
        "type": "Canary",
        "canary": {"mirror": 0, "steps": [{"name": "quarter", "weight": 25, "hold": "1h"}]},
    },
}
AWAITING: dict[str, Any] = {**CANARY, "serving": SERVING}
SHADOW: dict[str, Any] = {**AWAITING, "strategy": {"type": "Shadow", "shadow": {"mirror": "auto"}}}
WATCHED: dict[str, Any] = {"serving": SERVING, "rollback": {"watch": "1h"}}
NEVER_READY = {"VERSION": "1.0.0", "NEVER_READY": 1}
NOBODY = {"url": "http://127.0.0.1:9/ask"}

FIRST: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "Gating": (
        {**BLUE_GREEN, "gates": [{"name": "desk", "type": "Webhook", "before": "provisioning", "webhook": NOBODY}]},
        {"VERSION": "1.0.0"},
    ),
    "Provisioning": ({"serving": {**SERVING, "readyWithin": "10m"}}, NEVER_READY),
    "Refused": ({"serving": {**SERVING, "readyWithin": "5s"}}, NEVER_READY),
    "Completed": (BLUE_GREEN, {"VERSION": "1.0.0"}),
}
"""Phases that a first deployment comes to."""
SECOND: dict[str, dict[str, Any]] = {
    "Progressing": HELD,
    "Paused": HELD,
    "Suspended": HELD,
    "AwaitingEvidence": AWAITING,
    "Shadowing": SHADOW,
    "Watching": WATCHED,
    "RolledBack": HELD,
}
"""Phases that another version comes to, while the first one serves."""
OWN = ("modelrevisions", "modelroutes", "modelcommands")


def name(phase: str) -> str:
    return phase.lower()


def left(models: Models) -> list[str]:
    """Everything of any deployment that is still there."""
    with api_client(models.installation.slot) as api:
        core, apps = client.CoreV1Api(api), client.AppsV1Api(api)
        policy, network = client.PolicyV1Api(api), client.NetworkingV1Api(api)
        autoscaling = client.AutoscalingV2Api(api)
        lists = {
            "deployments": apps.list_namespaced_deployment,
            "pods": core.list_namespaced_pod,
            "services": core.list_namespaced_service,
            "poddisruptionbudgets": policy.list_namespaced_pod_disruption_budget,
            "networkpolicies": network.list_namespaced_network_policy,
            "configmaps": core.list_namespaced_config_map,
            "horizontalpodautoscalers": autoscaling.list_namespaced_horizontal_pod_autoscaler,
        }
        found = [
            f"{kind} {item.metadata.name}"
            for kind, ask in lists.items()
            for item in ask(models.namespace, label_selector="switchyard.dev/deployment").items
        ]
    return found + [f"{kind} {item['metadata']['name']}" for kind in OWN for item in models.all(kind)]


def test_whatever_the_phase_it_goes_at_once_and_leaves_nothing(models: Models) -> None:
    for phase in SECOND:
        models.apply(name(phase), env={"VERSION": "1.0.0"}, spec=SECOND[phase])
    for phase, (spec, env) in FIRST.items():
        models.apply(name(phase), env=env, spec=spec)
    for phase in SECOND:
        models.serving(name(phase), "1.0.0", seconds=150)
        models.apply(name(phase), env={"VERSION": "2.0.0"}, spec=SECOND[phase])
    for phase in ("Paused", "Suspended", "RolledBack"):
        status = models.phase(name(phase), "Progressing", seconds=120)
        match phase:
            case "Paused":
                models.command(name(phase), "pause", rollout=status["rollout"]["id"])
            case "RolledBack":
                models.command(name(phase), "abort", rollout=status["rollout"]["id"])
            case _:
                models.apply(name(phase), env={"VERSION": "2.0.0"}, spec={**HELD, "suspend": True})
    for phase in (*FIRST, *SECOND):
        models.phase(name(phase), phase, seconds=120)
    assert httpx.post(models.url(name("Watching")), json=FLIGHT, timeout=30).status_code == 200

    with api_client(models.installation.slot) as api:
        resources = client.CustomObjectsApi(api)
        for phase in (*FIRST, *SECOND):
            assert not models.get(name(phase))["metadata"].get("finalizers"), phase
            resources.delete_namespaced_custom_object(*GROUP, models.namespace, "modeldeployments", name(phase))
            assert not models.exists(name(phase)), f"{phase}: something holds it"
    remaining: list[str] = []

    def nothing() -> bool:
        remaining[:] = left(models)
        return not remaining

    try:
        until(nothing, "nothing is left", seconds=BOUND)
    except TimeoutError as error:
        raise TimeoutError(f"{error}; these are: {', '.join(remaining)}") from error

    def answers() -> set[int]:
        urls = (models.url(name(phase)) for phase in (*FIRST, *SECOND))
        return {httpx.post(url, json=FLIGHT, timeout=30).status_code for url in urls}

    until(lambda: answers() == {404}, "no gateway knows any of them", seconds=30)
