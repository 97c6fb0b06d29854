"""Roles are what is used, verb by verb: after the whole suite nobody was refused, and no right lay idle.

Runs behind the tests that make the parts do things (`conftest.py` says in which order). It reads the API server's audit
log, which the node from source keeps; on another cluster these tests fail, because nothing there says what was asked.
"""

from __future__ import annotations

import json
import os
from typing import Any

import pytest
from kubernetes import client
from switchyard_testkit.apiserver import api_client
from switchyard_testkit.audit import Asked, Right, granted, log_lines, node_log, requests, used
from switchyard_testkit.install import NAMESPACE, RELEASE, Installation, run
from switchyard_testkit.models import Models
from switchyard_testkit.waiting import until

pytestmark = [pytest.mark.alone, pytest.mark.timeout(300)]

SELDOM = {
    Right("switchyard.dev", "modelcommands", "delete"): "a command is deleted seven days after it was given",
    Right("switchyard.dev", "modelroutes", "delete"): "a route goes when the only revision it ever had is taken back",
    Right(
        "switchyard.dev", "modelroutes", "get"
    ): "read where an operator died between making a route and hearing of it",
    Right("autoscaling", "horizontalpodautoscalers", "create"): "made where a model is scaled by its load",
    Right("autoscaling", "horizontalpodautoscalers", "patch"): "its minimum follows a candidate's weight",
    Right("autoscaling", "horizontalpodautoscalers", "delete"): "it goes when its revision is kept warm only",
    Right(
        "switchyard.dev", "modelrevisions", "get"
    ): "read where an operator died between making one and hearing of it",
}
"""Rights that no suite can be made to use within minutes, each with what needs it."""


def asked_by(part: str) -> list[Asked]:
    return [one for one in requests(log_lines(node_log("test", os.environ))) if one.account == f"{RELEASE}-{part}"]


def granted_to(installation: Installation, part: str) -> set[Right]:
    """What the chart's roles give the part, read from the cluster."""
    found: set[Right] = set()
    for kind, arguments in (("clusterrole", ()), ("role", ("-n", NAMESPACE))):
        text = run("kubectl", *arguments, "get", kind, "-o", "json", kubeconfig=installation.kubeconfig)
        for role in json.loads(text)["items"]:
            labels = role["metadata"].get("labels") or {}
            own = labels.get("app.kubernetes.io/instance") == RELEASE
            if own and labels.get("app.kubernetes.io/component") == part:
                found |= granted(role["rules"])
    return found


def test_what_seldom_happens_is_made_to_happen(models: Models) -> None:
    """Configuration that a revision copies, and an old revision whose pods are no longer kept warm."""
    with api_client(models.installation.slot) as api:
        settings = client.V1ConfigMap(metadata=client.V1ObjectMeta(name="settings"), data={"BIAS": "1"})
        client.CoreV1Api(api).create_namespaced_config_map(models.namespace, settings)
    spec: dict[str, Any] = {"rollback": {"watch": "2s", "warm": {"replicas": 1, "for": "1s"}}}
    first = {
        "model": {"config": {"env": [{"name": "VERSION", "value": "1.0.0"}], "envFrom": [{"configMap": "settings"}]}}
    }
    models.apply("delay", spec=spec | first)
    models.serving("delay", "1.0.0")
    models.apply("delay", env={"VERSION": "2.0.0"}, spec=spec)
    models.serving("delay", "2.0.0")

    def left() -> list[str]:
        arguments = ("-n", models.namespace, "get", "deployments,networkpolicies", "-o", "name")
        return run("kubectl", *arguments, kubeconfig=models.installation.kubeconfig).split()

    until(lambda: len(left()) == 2, "one Deployment and one NetworkPolicy are left", seconds=120)


@pytest.mark.parametrize("part", ["operator", "gateway"])
def test_nobody_was_refused_for_want_of_a_right(part: str) -> None:
    refused = sorted({f"{one.right} ({one.where})" for one in asked_by(part) if one.forbidden})
    assert refused == []


@pytest.mark.parametrize("part", ["operator", "gateway"])
def test_no_right_lies_idle(installation: Installation, part: str) -> None:
    asked = asked_by(part)
    assert asked, f"the audit log holds nothing of {part}, so this test would prove nothing"
    idle = granted_to(installation, part) - used(asked) - SELDOM.keys()
    assert sorted(map(str, idle)) == []


def test_every_exception_is_a_right_that_the_chart_grants(installation: Installation) -> None:
    assert SELDOM.keys() <= granted_to(installation, "operator")
