"""Shadows beside a served model: each judged by its own pairs, while users and rollouts notice nothing of them."""

from __future__ import annotations

from typing import Any

import pytest
from kubernetes import client
from switchyard_testkit.apiserver import api_client
from switchyard_testkit.canary import CANARY, FLIGHT, living, start
from switchyard_testkit.install import run
from switchyard_testkit.load import Traffic
from switchyard_testkit.models import SHARE, Models, image
from switchyard_testkit.waiting import until

pytestmark = pytest.mark.timeout(480)
RATE = 30
"""Requests a second: more, and a second's hitch of a shadow would fill the mirror's 32 places."""
PAIRED: dict[str, Any] = {**CANARY, "analysis": {**CANARY["analysis"], "block": "4s"}}


def shadow(models: Models, name: str, sample: str, **env: Any) -> dict[str, Any]:
    """The fault model, with these modes."""
    modes = [{"name": key, "value": str(value)} for key, value in env.items()]
    model = {"image": image(models.installation.slot, "test/fault-model"), "config": {"env": modes}}
    return {"name": name, "model": model, "sample": sample, "resources": SHARE}


def beside(status: dict[str, Any], name: str) -> dict[str, Any]:
    """How one of them stands."""
    return next((item for item in status.get("shadows", []) if item["name"] == name), {})


def entries(models: Models) -> dict[str, dict[str, Any]]:
    """The route's entries, by revision."""
    return {entry["revision"]: entry for entry in models.get("delay", "modelroutes")["spec"]["routes"]}


def deployments(models: Models) -> set[str]:
    """The revisions that have pods."""
    with api_client(models.installation.slot) as api:
        found = client.AppsV1Api(api).list_namespaced_deployment(models.namespace)
    return {str(item.metadata.name) for item in found.items}


def test_two_shadows_are_judged_by_their_own_pairs_and_users_never_see_them(models: Models) -> None:
    shadows = [
        shadow(models, "better", "50%", VERSION="3.0.0", BIAS=1),
        shadow(models, "worse", "100%", VERSION="4.0.0", BIAS=40),
    ]
    spec = {**PAIRED, "shadows": shadows}
    start(models, spec=spec, bias=10)
    with living(models, rate=RATE) as traffic:
        status = models.wait(
            "delay",
            lambda s: (beside(s, "better").get("verdict"), beside(s, "worse").get("verdict")) == ("Pass", "Fail"),
            "both are judged",
            seconds=300,
        )
        assert {answer.version for answer in traffic.tally.answers} == {"1.0.0"}
        better, worse = beside(status, "better"), beside(status, "worse")
        assert (better["version"], better["sample"], worse["version"], worse["sample"]) == (
            "3.0.0",
            "50%",
            "4.0.0",
            "100%",
        )
        assert better["against"] == worse["against"] == status["stable"]["revision"]
        assert "judged pairs" in better["message"]
        assert 200 <= better["pairs"] < worse["pairs"]
        route = entries(models)
        assert {route[item["revision"]]["role"] for item in (better, worse)} == {"shadow"}
        assert [route[item["revision"]]["weightBp"] for item in (better, worse)] == [0, 0]
        assert models.condition("delay", "Ready")["status"] == "True"
        table = run(
            "kubectl", "-n", models.namespace, "get", "modelrevisions", kubeconfig=models.installation.kubeconfig
        )
        assert table.count("Shadow") == 2
        models.apply("delay", env={"VERSION": "1.0.0", "BIAS": 10}, spec={**PAIRED, "shadows": shadows[:1]})
        until(lambda: worse["revision"] not in entries(models), "it is out of the route", seconds=30)
        until(lambda: worse["revision"] not in deployments(models), "its pods go", seconds=60)
        assert better["revision"] in deployments(models)
        assert models.get(worse["revision"], "modelrevisions")["status"]["verdict"] == "Fail"


def test_a_rollout_goes_on_beside_a_shadow_that_hangs_and_one_that_never_starts(models: Models) -> None:
    broken = shadow(models, "gone", "100%", VERSION="5.0.0", NEVER_READY=1)
    hung = shadow(models, "hung", "100%", VERSION="6.0.0", DELAY_MS=8_000)
    spec = {
        **CANARY,
        "analysis": {"block": "10s", "metrics": CANARY["analysis"]["metrics"][:1]},
        "shadows": [broken, hung],
    }
    start(models, spec=spec, bias=1)
    with Traffic(models.url("delay"), body=FLIGHT, rate=60, prefix=models.namespace) as traffic:
        status = models.wait(
            "delay", lambda s: beside(s, "hung").get("sample") == "100%", "one of them is sent everything"
        )
        assert beside(status, "gone")["state"] == "Provisioning"
        models.apply("delay", env={"VERSION": "2.0.0", "BIAS": 1}, spec=spec)
        status = models.serving("delay", "2.0.0", seconds=180)
        assert beside(status, "hung")["sample"] == "100%"
        hung_revision = beside(status, "hung")["revision"]
        assert entries(models)[hung_revision]["weightBp"] == 0
    assert traffic.tally.failures == []
    assert {answer.version for answer in traffic.tally.answers} == {"1.0.0", "2.0.0"}
