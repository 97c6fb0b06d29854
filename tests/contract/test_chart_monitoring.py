"""What the chart has for a Prometheus and a Grafana: nothing unless asked, and then what they can read."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from switchyard_testkit.dashboards import questions
from switchyard_testkit.install import merged
from switchyard_testkit.rendering import (
    LEAST,
    NAMESPACE,
    RELEASE,
    NotRendered,
    containers,
    objects,
    of_kind,
    pods,
    render,
)
from switchyard_testkit.walls.policies import selects

JSON = dict[str, Any]
KINDS = ("PodMonitor", "PrometheusRule", "ConfigMap")
JOBS = {"operator", "feedback", "monitor", "control", "envoy", "shipper"}
MOST_OF_A_CONFIG_MAP = 1_048_576


def rendered(folder: Path, monitoring: JSON | None, **more: Any) -> list[JSON]:
    return objects(render(merged(LEAST, {"monitoring": monitoring, **more}), folder))


def jobs(endpoint: JSON) -> set[str]:
    return {each["replacement"] for each in endpoint["relabelings"] if each["targetLabel"] == "job"}


@pytest.mark.parametrize("monitoring", [pytest.param({}, id="unless asked"), pytest.param(None, id="by older values")])
def test_there_is_nothing_of_it(monitoring: JSON | None, tmp_path: Path) -> None:
    assert of_kind(rendered(tmp_path, monitoring), *KINDS) == []


def test_each_part_is_scraped_at_a_port_that_its_pods_have(tmp_path: Path) -> None:
    bodies = questions.rendered(tmp_path)
    found: dict[str, JSON] = {}
    for monitor in of_kind(bodies, "PodMonitor"):
        selector = monitor["spec"]["selector"]
        chosen = [pod for _, pod in pods(bodies) if selects(selector, pod["metadata"]["labels"])]
        assert len(chosen) == 1, monitor["metadata"]["name"]
        ports = {port["name"] for container in containers(chosen[0]) for port in container.get("ports", ())}
        for endpoint in monitor["spec"]["podMetricsEndpoints"]:
            assert endpoint["port"] in ports
            assert endpoint["interval"] == "30s"
            assert "scheme" not in endpoint
            found |= {job.removeprefix(f"{RELEASE}-"): endpoint for job in jobs(endpoint)}
    assert found.keys() == JOBS
    assert {name for name, endpoint in found.items() if endpoint["path"] != "/metrics"} == {"envoy"}


def test_feedback_behind_tls_is_scraped_by_tls(tmp_path: Path) -> None:
    tls = {"existingSecret": "feedback-tls", "caSecret": "our-ca"}
    bodies = rendered(tmp_path, questions.ON["monitoring"], feedback={"tls": tls})
    monitors = {body["metadata"]["name"]: body for body in of_kind(bodies, "PodMonitor")}
    (endpoint,) = monitors["switchyard-feedback"]["spec"]["podMetricsEndpoints"]
    assert endpoint["scheme"] == "https"
    name = f"switchyard-feedback.{NAMESPACE}.svc"
    assert endpoint["tlsConfig"] == {"serverName": name, "ca": {"secret": {"name": "our-ca", "key": "ca.crt"}}}


def test_whoever_is_woken_can_read_the_runbook(tmp_path: Path) -> None:
    bodies = questions.rendered(tmp_path)
    (runbook,) = [body for body in of_kind(bodies, "ConfigMap") if body["metadata"]["name"] == "switchyard-runbook"]
    text = runbook["data"]["runbook"]
    assert not re.search(r"\b(RELEASE|NAMESPACE)\b", text)
    for alert in questions.alerts(questions.rules(bodies)):
        assert f"## {alert['alert']}\n" in text
        assert f"The section {alert['alert']} " in alert["annotations"]["runbook"]
        assert f"kubectl -n {NAMESPACE} get configmap switchyard-runbook" in alert["annotations"]["runbook"]


def test_a_runbook_elsewhere_is_named_by_its_address(tmp_path: Path) -> None:
    bodies = questions.rendered(tmp_path, runbookUrl="https://wiki.example/switchyard/RUNBOOK.md")
    for alert in questions.alerts(questions.rules(bodies)):
        anchor = alert["alert"].lower()
        assert alert["annotations"]["runbook_url"] == f"https://wiki.example/switchyard/RUNBOOK.md#{anchor}"
        assert "runbook" not in alert["annotations"]


def test_nothing_in_the_rules_is_left_to_be_filled_in_and_the_time_is_the_values(tmp_path: Path) -> None:
    held = questions.rules(questions.rendered(tmp_path, heldAfter="7d", labels={"release": "stack"}))
    assert not re.search(r"\b(OURS|RELEASE|NAMESPACE|HELD_AFTER)\b", json.dumps(held))
    (alert,) = [each for each in questions.alerts(held) if each["alert"] == "SwitchyardRolloutHeld"]
    assert alert["for"] == "7d"
    assert alert["annotations"]["description"].endswith("which is 7d or more.")


def test_labels_by_which_a_prometheus_chooses_are_set(tmp_path: Path) -> None:
    labels = {"release": "stack"}
    monitoring = merged(questions.ON["monitoring"], {"podMonitors": {"labels": labels}, "rules": {"labels": labels}})
    chosen = of_kind(rendered(tmp_path, monitoring), "PodMonitor", "PrometheusRule")
    assert len(chosen) == 5
    assert all(labels.items() <= body["metadata"]["labels"].items() for body in chosen)


def test_grafanas_sidecar_finds_the_dashboards_as_they_are_committed(tmp_path: Path) -> None:
    monitoring = {"dashboards": {"enabled": True, "namespace": "grafana", "folder": "Models"}}
    (found,) = of_kind(rendered(tmp_path, monitoring), "ConfigMap")
    assert found["metadata"]["namespace"] == "grafana"
    assert found["metadata"]["labels"]["grafana_dashboard"] == "1"
    assert found["metadata"]["annotations"] == {"grafana_folder": "Models"}
    shown = {name: json.loads(text) for name, text in found["data"].items()}
    assert shown == {f"switchyard-{name}.json": each for name, each in questions.dashboards().items()}
    assert len(json.dumps(found)) < MOST_OF_A_CONFIG_MAP


@pytest.mark.parametrize(
    ("said", "named"),
    [
        pytest.param({"podMonitors": {"interval": "30 s"}}, "/monitoring/podMonitors/interval", id="another grammar"),
        pytest.param({"rules": {"heldAfter": "1w"}}, "/monitoring/rules/heldAfter", id="a week"),
        pytest.param({"rules": {"runbookUrl": "wiki/x"}}, "/monitoring/rules/runbookUrl", id="no scheme"),
        pytest.param(
            {"dashboards": {"labels": {"a": 1}}}, "/monitoring/dashboards/labels/a", id="a number for a label"
        ),
        pytest.param({"dashboards": {"folder": ""}}, "/monitoring/dashboards/folder", id="no folder"),
        pytest.param({"serviceMonitors": {}}, "serviceMonitors", id="what there is not"),
    ],
)
def test_a_slip_is_refused_and_named(said: JSON, named: str, tmp_path: Path) -> None:
    with pytest.raises(NotRendered) as refused:
        rendered(tmp_path, said)
    assert named in str(refused.value)
