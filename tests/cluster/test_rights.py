"""Roles are what is used, verb by verb: after the whole suite nobody was refused, and no right lay idle.

Runs behind the tests that make the parts do things (`conftest.py` says in which order). It reads the API server's audit
log, which the node from source keeps; on another cluster these tests fail, because nothing there says what was asked.
"""

from __future__ import annotations

import json
import os
from dataclasses import replace
from typing import Any

import pytest
from kubernetes import client
from switchyard_testkit.apiserver import api_client
from switchyard_testkit.audit import Asked, Right, granted, has_right, log_lines, node_log, requests, used
from switchyard_testkit.faults import halted
from switchyard_testkit.install import NAMESPACE, RELEASE, Installation, run
from switchyard_testkit.models import Models
from switchyard_testkit.struck import GATEWAY
from switchyard_testkit.waiting import until

pytestmark = [pytest.mark.alone, pytest.mark.timeout(300)]

SELDOM = {
    Right("switchyard.dev", "modelcommands", "delete"): "a command is deleted seven days after it was given",
    Right(
        "switchyard.dev", "modelroutes", "get"
    ): "read where an operator died between making a route and hearing of it",
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
    """Configuration that a revision copies, autoscalers, and an old revision whose pods are no longer kept warm.

    And a route that goes: a first deployment is aborted after it was switched to, before the gateway has acknowledged.
    """
    with api_client(models.installation.slot) as api:
        settings = client.V1ConfigMap(metadata=client.V1ObjectMeta(name="settings"), data={"BIAS": "1"})
        client.CoreV1Api(api).create_namespaced_config_map(models.namespace, settings)
    scaled = {"paths": ["/predict"], "port": 3000, "autoscaling": {"minReplicas": 1, "maxReplicas": 2}}
    spec: dict[str, Any] = {
        "serving": scaled,
        "rollback": {"watch": "2s", "warm": {"replicas": 1, "for": "1s"}},
    }
    first = {
        "model": {"config": {"env": [{"name": "VERSION", "value": "1.0.0"}], "envFrom": [{"configMap": "settings"}]}}
    }
    with halted(models.installation, GATEWAY, "control"):
        models.apply("delay", spec=spec | first)
        models.apply("undone", env={"VERSION": "1.0.0"})
        until(lambda: models.exists("undone", "modelroutes"), "it is switched to", seconds=60)
        rollout = models.status("undone")["rollout"]["id"]
        assert models.command("undone", "abort", rollout=rollout, reason="not yet")["result"] == "Accepted"
        until(lambda: not models.exists("undone", "modelroutes"), "its route is gone", seconds=30)
    models.phase("undone", "Refused")
    models.serving("delay", "1.0.0")
    models.apply("delay", env={"VERSION": "2.0.0"}, spec=spec)
    models.serving("delay", "2.0.0")

    def left() -> list[str]:
        kinds = "deployments,networkpolicies,horizontalpodautoscalers"
        arguments = ("-n", models.namespace, "get", kinds, "-l", "switchyard.dev/deployment=delay", "-o", "name")
        return run("kubectl", *arguments, kubeconfig=models.installation.kubeconfig).split()

    until(lambda: len(left()) == 3, "a Deployment, a NetworkPolicy and an autoscaler are left", seconds=120)


@pytest.mark.parametrize("part", ["operator", "gateway"])
def test_nobody_was_refused_for_want_of_a_right(installation: Installation, part: str) -> None:
    asked = asked_by(part)
    assert asked, f"the audit log holds nothing of {part}, so this test would prove nothing"
    with api_client(installation.slot) as api:
        lacking = replace(asked[-1], right=Right("", "secrets", "deletecollection"))
        assert not has_right(api, lacking), "the API server says yes to everything, so this test would prove nothing"
        # The tests of faults start the API server anew, and in its first moments it refuses what the roles grant.
        refused = {one for one in asked if one.forbidden and not has_right(api, one)}
    assert sorted({f"{one.right} ({one.where})" for one in refused}) == []


@pytest.mark.parametrize("part", ["operator", "gateway"])
def test_no_right_lies_idle(installation: Installation, part: str) -> None:
    asked = asked_by(part)
    assert asked, f"the audit log holds nothing of {part}, so this test would prove nothing"
    idle = granted_to(installation, part) - used(asked) - SELDOM.keys()
    assert sorted(map(str, idle)) == []


def test_every_exception_is_a_right_that_the_chart_grants(installation: Installation) -> None:
    assert SELDOM.keys() <= granted_to(installation, "operator")
