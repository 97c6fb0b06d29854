"""One model, from a file to an answer: what a ModelDeployment becomes, and how it is called."""

from __future__ import annotations

import json

import httpx
import pytest
from switchyard_testkit.install import run
from switchyard_testkit.models import Models

pytestmark = pytest.mark.timeout(240)
FLIGHT = {"flight": {"distance": 500}}


def test_a_model_deployment_becomes_its_children_and_answers(models: Models) -> None:
    models.apply("delay", env={"VERSION": "1.0.0"})
    status = models.serving("delay", "1.0.0")
    revision = status["stable"]["revision"]

    def child(kind: str, name: str) -> dict[str, object]:
        text = run(
            "kubectl",
            "-n",
            models.namespace,
            "get",
            kind,
            name,
            "-o",
            "json",
            kubeconfig=models.installation.kubeconfig,
        )
        found: dict[str, object] = json.loads(text)
        return found

    for kind in ("modelrevision", "deployment", "service", "poddisruptionbudget"):
        labels = child(kind, revision)["metadata"]["labels"]  # type: ignore[index]
        assert labels["switchyard.dev/deployment"] == "delay"
    pod_spec = child("deployment", revision)["spec"]["template"]["spec"]  # type: ignore[index]
    assert pod_spec["securityContext"]["runAsUser"] > 0
    assert pod_spec["containers"][0]["securityContext"]["capabilities"] == {"drop": ["ALL"]}
    route = models.get("delay", "modelroutes")
    assert [(r["revision"], r["role"], r["weightBp"]) for r in route["spec"]["routes"]] == [
        (revision, "stable", 10_000)
    ]

    answer = httpx.post(models.url("delay"), json=FLIGHT, headers={"x-prediction-id": "order-17"}, timeout=30)
    assert answer.status_code == 200
    assert isinstance(answer.json()["delay"], float | int)
    assert answer.headers["x-prediction-id"] == "order-17"
    assert answer.headers["x-model-revision"] == revision
    assert answer.headers["x-model-version"] == "1.0.0"


def test_version_and_paths_come_from_the_image_when_the_spec_is_silent(models: Models) -> None:
    models.apply("quiet", env={"VERSION": "4.5.6"}, spec={"serving": {"port": 3000}})
    models.serving("quiet", "4.5.6")
    assert models.get("quiet", "modelroutes")["spec"]["paths"] == ["/predict"]
    assert httpx.post(models.url("quiet"), json=FLIGHT, timeout=30).status_code == 200


def test_the_host_name_reaches_the_model_too(models: Models) -> None:
    models.apply("delay", env={"VERSION": "1.0.0"})
    models.serving("delay", "1.0.0")
    host = f"delay.{models.namespace}.models.local"
    answer = httpx.post(f"{models.installation.gateway}/predict", json=FLIGHT, headers={"host": host}, timeout=30)
    assert answer.status_code == 200


def test_kubectl_prints_what_a_person_needs(models: Models) -> None:
    models.apply("delay", env={"VERSION": "1.0.0"})
    models.serving("delay", "1.0.0")
    table = run(
        "kubectl", "-n", models.namespace, "get", "mdep,modelrevisions", kubeconfig=models.installation.kubeconfig
    )
    for word in ("READY", "PHASE", "STEP", "WEIGHT", "VERDICT", "VERSION", "1.0.0", "Available"):
        assert word in table


def test_labels_replicas_and_timeout_apply_in_place(models: Models) -> None:
    models.apply("delay", env={"VERSION": "1.0.0"})
    revision = models.serving("delay", "1.0.0")["stable"]["revision"]
    models.apply(
        "delay",
        env={"VERSION": "1.0.0"},
        spec={"serving": {"paths": ["/predict"], "timeout": "7s", "port": 3000, "replicas": 2}},
    )
    models.wait("delay", lambda s: s["observedGeneration"] == models.get("delay")["metadata"]["generation"], "was seen")

    def followed(_: dict[str, object]) -> bool:
        text = run(
            "kubectl", "-n", models.namespace, "get", "deployment", revision, "-o", "json",
            kubeconfig=models.installation.kubeconfig,
        )  # fmt: skip
        return json.loads(text)["status"].get("readyReplicas") == 2

    models.wait("delay", followed, "has two pods")
    models.wait("delay", lambda _: models.get("delay", "modelroutes")["spec"]["timeout"] == "7s", "times out after 7 s")
    assert len(models.all("modelrevisions")) == 1
    assert models.status("delay")["stable"]["revision"] == revision
