"""The chart without a cluster: what it refuses, and what it makes of what it takes."""

from __future__ import annotations

import copy
import json
import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest
from switchyard_contracts.quantities import parse_duration
from switchyard_feedback.settings import Settings as FeedbackSettings
from switchyard_monitor.settings import Settings as MonitorSettings
from switchyard_operator.settings import Settings as OperatorSettings
from switchyard_testkit import envoy
from switchyard_testkit.audit import granted
from switchyard_testkit.install import merged
from switchyard_testkit.rendering import (
    CHART,
    LEAST,
    NotRendered,
    Place,
    containers,
    may,
    objects,
    of_kind,
    part,
    pods,
    render,
    variables,
)

JSON = dict[str, Any]
TOKEN = "a-long-token-of-somebody"
SECURED: JSON = {
    "operator": {"webhookKeySecret": "gates-key"},
    "gateway": {"replicas": 2, "tls": {"existingSecret": "gateway-tls"}},
    "feedback": {
        "replicas": 2,
        "tls": {"existingSecret": "feedback-tls"},
        "existingTokensSecret": "feedback-tokens",
        "existingMonitorTokenSecret": "feedback-to-monitor",
    },
    "monitor": {
        "operatorToken": "",
        "existingTokensSecret": "monitor-tokens",
        "existingOperatorTokenSecret": "operator-to-monitor",
        "replicas": 2,
        "database": {"existingSecret": "monitor-database", "caSecret": "monitor-database-ca"},
    },
    "kafka": {
        "embedded": {"enabled": False},
        "bootstrapServers": "one.kafka:9093,two.kafka:9093",
        "security": {
            "protocol": "SASL_SSL",
            "mechanism": "SCRAM-SHA-512",
            "existingSecret": "kafka-login",
            "caSecret": "kafka-ca",
            "certificateSecret": "kafka-own",
        },
    },
}
"""Everything that can be guarded is, and every secret is in a Secret of the user's."""


def with_values(change: JSON) -> JSON:
    return merged(LEAST, change)


def set_at(path: str, value: Any) -> JSON:
    """`a.b.c` = value, as values."""
    found: Any = value
    for name in reversed(path.split(".")):
        found = {name: found}
    return with_values(found)


@pytest.fixture(
    scope="module",
    params=[{}, SECURED, {"watchNamespaces": ["shop", "plant"]}],
    ids=["least", "secured", "namespaced"],
)
def bodies(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> list[JSON]:
    return objects(render(with_values(request.param), tmp_path_factory.mktemp("chart")))


def test_the_same_values_give_the_same_bytes(tmp_path: Path) -> None:
    assert render(with_values(SECURED), tmp_path) == render(with_values(SECURED), tmp_path)


@pytest.mark.parametrize(
    ("path", "value", "named"),
    [
        pytest.param("gateway.replica", 2, "replica", id="a misspelt value"),
        pytest.param("gateways", {}, "gateways", id="a misspelt part"),
        pytest.param("gateway.replicas", "two", "/gateway/replicas", id="a word for a number"),
        pytest.param("gateway.replicas", 0, "/gateway/replicas", id="no gateway"),
        pytest.param("operator.resync", "5min", "/operator/resync", id="a duration in another grammar"),
        pytest.param("operator.resync", 300, "/operator/resync", id="a duration without a unit"),
        pytest.param("kafka.topics.retention", "1w", "/kafka/topics/retention", id="a week"),
        pytest.param("gateway.persistence.size", "2 GB", "/gateway/persistence/size", id="a size in another grammar"),
        pytest.param("monitor.resources", {"limit": {"memory": "1Gi"}}, "limit", id="a misspelt limit"),
        pytest.param("monitor.resources", {"limits": {"memory": "1 GiB"}}, "memory", id="memory in another grammar"),
        pytest.param("operator.image.digest", "latest", "/operator/image/digest", id="a tag for a digest"),
        pytest.param("gateway.service.type", "clusterip", "/gateway/service/type", id="no such kind of Service"),
        pytest.param("gateway.service.port", 70000, "/gateway/service/port", id="no such port"),
        pytest.param("feedback.tokens", [{"name": "till", "token": TOKEN}], "deployments", id="a token for nothing"),
        pytest.param(
            "feedback.tokens",
            [{"name": "till", "token": "short", "deployments": ["*"]}],
            "/feedback/tokens/0/token",
            id="a token that can be guessed",
        ),
        pytest.param("kafka.security.protocol", "TLS", "/kafka/security/protocol", id="no such protocol"),
        pytest.param("kafka.security.mechanism", "GSSAPI", "/kafka/security/mechanism", id="a mechanism not spoken"),
        pytest.param("kafka.bootstrapServers", "kafka", "/kafka/bootstrapServers", id="brokers without a port"),
        pytest.param("watchNamespaces", "shop", "/watchNamespaces", id="one namespace where a list stands"),
        pytest.param("operator.env", {"MONITOR_PORT": 1}, "MONITOR_PORT", id="another part's variable"),
        pytest.param("networkPolicy.gateway.from", "all", "/networkPolicy/gateway/from", id="neither peers nor all"),
        pytest.param("monitor.database.url", "mysql://db/m", "/monitor/database/url", id="another kind of database"),
        pytest.param("monitor.retention.rows", "3w", "/monitor/retention/rows", id="weeks"),
        pytest.param("monitor.retention.row", "30d", "row", id="a misspelt retention"),
        pytest.param("monitor.database.maxBytes", "50Gi", "/monitor/database/maxBytes", id="words for bytes"),
        pytest.param("topologySpread.whenUnsatisfiable", "Never", "whenUnsatisfiable", id="no such strictness"),
    ],
)
def test_a_slip_in_the_values_is_refused_and_named(path: str, value: Any, named: str, tmp_path: Path) -> None:
    with pytest.raises(NotRendered) as refused:
        render(set_at(path, value), tmp_path)
    assert "schema" in str(refused.value)
    assert named in str(refused.value)


@pytest.mark.parametrize(
    ("values", "named"),
    [
        pytest.param({"kafka": {"embedded": {"enabled": False}}}, "kafka.bootstrapServers", id="no brokers at all"),
        pytest.param({"kafka": {"bootstrapServers": "k:9092"}}, "kafka.embedded.enabled", id="two kinds of brokers"),
        pytest.param(
            {"kafka": {"security": {"protocol": "SSL"}}}, "kafka.security.protocol", id="TLS to the embedded broker"
        ),
        pytest.param(
            merged(SECURED, {"kafka": {"security": {"mechanism": ""}}}), "kafka.security.mechanism", id="half of SASL"
        ),
        pytest.param(
            merged(SECURED, {"kafka": {"security": {"existingSecret": ""}}}),
            "kafka.security.existingSecret",
            id="SASL with nobody's name",
        ),
        pytest.param(
            merged(SECURED, {"kafka": {"security": {"protocol": "SASL_PLAINTEXT"}}}),
            "kafka.security.caSecret",
            id="an authority without TLS",
        ),
        pytest.param(
            merged(SECURED, {"kafka": {"security": {"protocol": "SSL"}}}),
            "kafka.security.mechanism",
            id="a password that nobody asks for",
        ),
        pytest.param({"monitor": {"operatorToken": ""}}, "monitor.operatorToken", id="no token for the operator"),
        pytest.param({"monitor": {"replicas": 2}}, "monitor.database", id="two writers of one file"),
        pytest.param(
            {"monitor": {"database": {"url": "postgresql://db/m", "existingSecret": "x"}}},
            "monitor.database.url and existingSecret",
            id="two databases",
        ),
        pytest.param(
            {"monitor": {"database": {"caSecret": "x"}}}, "monitor.database.caSecret", id="an authority for a file"
        ),
        pytest.param(
            {"feedback": {"monitorToken": TOKEN, "existingMonitorTokenSecret": "x"}},
            "feedback.existingMonitorTokenSecret",
            id="two tokens",
        ),
    ],
)
def test_values_that_contradict_each_other_are_refused_and_named(values: JSON, named: str, tmp_path: Path) -> None:
    with pytest.raises(NotRendered) as refused:
        render(with_values(values), tmp_path)
    assert named in str(refused.value)


def test_every_pod_is_restricted(bodies: list[JSON]) -> None:
    found = dict(pods(bodies))
    assert len(found) >= 5
    for name, pod in found.items():
        spec = pod["spec"]
        own = spec["securityContext"]
        assert own["runAsNonRoot"] is True, name
        assert own["runAsUser"] > 0, name
        assert own["seccompProfile"] == {"type": "RuntimeDefault"}, name
        assert not {"hostNetwork", "hostPID", "hostIPC"} & spec.keys(), name
        assert spec["enableServiceLinks"] is False, name
        assert all(
            volume.keys() - {"name"} <= {"emptyDir", "secret", "configMap", "persistentVolumeClaim"}
            for volume in spec.get("volumes", [])
        ), name
        for container in containers(pod):
            held = container["securityContext"]
            assert held["allowPrivilegeEscalation"] is False, (name, container["name"])
            assert held["capabilities"] == {"drop": ["ALL"]}, (name, container["name"])
            assert held["readOnlyRootFilesystem"] is True, (name, container["name"])
            assert "privileged" not in held, (name, container["name"])
            assert container["resources"]["limits"]["memory"], (name, container["name"])


def test_every_part_has_a_budget_and_is_spread(bodies: list[JSON]) -> None:
    workloads = of_kind(bodies, "Deployment", "StatefulSet")
    budgets = {
        json.dumps(body["spec"]["selector"]["matchLabels"], sort_keys=True): body["spec"]
        for body in of_kind(bodies, "PodDisruptionBudget")
    }
    for workload in workloads:
        selector = workload["spec"]["selector"]["matchLabels"]
        assert budgets[json.dumps(selector, sort_keys=True)]["maxUnavailable"] == 1
        spread = workload["spec"]["template"]["spec"]["topologySpreadConstraints"]
        assert {item["topologyKey"] for item in spread} == {"kubernetes.io/hostname", "topology.kubernetes.io/zone"}
        assert all(item["labelSelector"]["matchLabels"] == selector for item in spread)
    assert len(budgets) == len(workloads)


def test_every_file_that_a_variable_names_is_mounted(bodies: list[JSON]) -> None:
    for name, pod in pods(bodies):
        volumes = {volume["name"] for volume in pod["spec"].get("volumes", [])}
        for container in containers(pod):
            mounts = {item["mountPath"]: item["name"] for item in container.get("volumeMounts", [])}
            for item in container.get("env", []):
                if item["name"].endswith(("_FILE", "_DIR")):
                    folder = next((at for at in mounts if item["value"].startswith(at)), None)
                    assert folder, f"{name}: {item['name']} is {item['value']}, which nothing mounts"
            missing = set(mounts.values()) - volumes - {"spool", "data"}
            assert not missing, f"{name}: {missing} is mounted but is no volume"


def test_every_variable_is_one_that_the_part_knows(bodies: list[JSON]) -> None:
    found = dict(pods(bodies))
    OperatorSettings.from_env(variables(found["switchyard-operator"], "operator", "OPERATOR_"))
    FeedbackSettings.from_env(variables(found["switchyard-feedback"], "feedback", "FEEDBACK_"))
    MonitorSettings.from_env(variables(found["switchyard-monitor"], "monitor", "MONITOR_"))
    envoy.data_plane("bootstrap").Settings.from_env(variables(found["switchyard-gateway"], "envoy", "ENVOY_"))


@pytest.mark.parametrize(
    ("values", "said"),
    [
        pytest.param({}, {"RETENTION_ROWS": "30d", "RETENTION_DAILY": "400d"}, id="as the design says"),
        pytest.param(
            {"retention": {"rows": "90d"}, "database": {"maxBytes": 120_000_000_000}},
            {"RETENTION_ROWS": "90d", "RETENTION_MARGIN": "1d", "DATABASE_MAX_BYTES": "120000000000"},
            id="as somebody wants it",
        ),
    ],
)
def test_what_the_monitor_keeps(values: JSON, said: dict[str, str], tmp_path: Path) -> None:
    found = dict(pods(objects(render(with_values({"monitor": values}), tmp_path))))
    given = variables(found["switchyard-monitor"], "monitor", "MONITOR_")
    assert {name: given[f"MONITOR_{name}"] for name in said} == said
    assert MonitorSettings.from_env(given).retention_rows == parse_duration(said["RETENTION_ROWS"])


def test_no_secret_of_the_users_is_copied(tmp_path: Path) -> None:
    bodies = objects(render(with_values(SECURED), tmp_path))
    assert of_kind(bodies, "Secret") == []
    used = json.dumps(bodies)
    for name in (
        "gateway-tls",
        "feedback-tls",
        "feedback-tokens",
        "feedback-to-monitor",
        "monitor-tokens",
        "operator-to-monitor",
        "monitor-database",
        "monitor-database-ca",
        "kafka-login",
        "kafka-ca",
        "kafka-own",
        "gates-key",
    ):
        assert f'"{name}"' in used, f"{name} is used by nothing"


def test_tokens_are_kept_as_hashes_only(tmp_path: Path) -> None:
    values = {"feedback": {"tokens": [{"name": "till", "token": TOKEN, "deployments": ["shop/*"]}]}}
    assert TOKEN not in render(with_values(values), tmp_path)


@pytest.fixture(scope="module")
def policies(tmp_path_factory: pytest.TempPathFactory) -> list[JSON]:
    return of_kind(objects(render(with_values({}), tmp_path_factory.mktemp("policies"))), "NetworkPolicy")


MODEL = Place({"switchyard.dev/revision": "delay-1", "switchyard.dev/deployment": "delay"}, namespace="shop")
STRANGER = Place({"app": "shop"}, namespace="shop")
NEIGHBOUR = Place({"app": "neighbour"})
"""In the namespace of the release, but no part of it."""


@pytest.mark.parametrize(
    ("source", "target", "port", "open_"),
    [
        pytest.param(STRANGER, part("gateway"), 8080, True, id="products call the gateway"),
        pytest.param(STRANGER, part("feedback"), 8080, True, id="products send feedback"),
        pytest.param(part("gateway"), MODEL, 3000, True, id="the gateway calls models"),
        pytest.param(part("gateway"), part("feedback"), 8080, True, id="the gateway hands feedback on"),
        pytest.param(part("gateway"), part("kafka"), 9092, True, id="the shipper delivers"),
        pytest.param(part("operator"), part("gateway"), 8081, True, id="the operator asks the gateways"),
        pytest.param(part("operator"), part("monitor"), 8080, True, id="the operator asks for evidence"),
        pytest.param(part("operator"), part("kafka"), 9092, True, id="the operator publishes"),
        pytest.param(part("operator"), MODEL, 3000, True, id="the operator asks models what they are"),
        pytest.param(part("operator"), STRANGER, 6443, True, id="the operator asks the API server"),
        pytest.param(part("gateway"), STRANGER, 443, True, id="control asks the API server"),
        pytest.param(part("feedback"), part("monitor"), 8080, True, id="feedback asks for a prediction"),
        pytest.param(part("feedback"), part("kafka"), 9092, True, id="feedback delivers"),
        pytest.param(part("monitor"), part("kafka"), 9092, True, id="the monitor reads"),
        pytest.param(part("test"), part("gateway"), 8080, True, id="helm test asks the gateway"),
        pytest.param(part("test"), part("operator"), 8080, True, id="helm test asks the operator"),
        pytest.param(part("test"), part("monitor"), 8080, True, id="helm test asks the monitor"),
        pytest.param(part("test"), part("feedback"), 8080, True, id="helm test asks feedback"),
        pytest.param(STRANGER, part("gateway"), 8081, False, id="strangers see no routes"),
        pytest.param(STRANGER, part("gateway"), 8082, False, id="strangers see no account"),
        pytest.param(STRANGER, part("monitor"), 8080, False, id="strangers do not reach the monitor"),
        pytest.param(NEIGHBOUR, part("monitor"), 8080, False, id="nor does a neighbour"),
        pytest.param(STRANGER, part("kafka"), 9092, False, id="strangers do not reach the broker"),
        pytest.param(STRANGER, part("operator"), 8080, False, id="strangers do not reach the operator"),
        pytest.param(MODEL, part("monitor"), 8080, False, id="models do not reach the monitor"),
        pytest.param(MODEL, part("kafka"), 9092, False, id="models do not reach the broker"),
        pytest.param(part("feedback"), STRANGER, 443, False, id="feedback goes nowhere else"),
        pytest.param(part("monitor"), STRANGER, 443, False, id="the monitor goes nowhere else"),
        pytest.param(part("monitor"), MODEL, 3000, False, id="the monitor calls no model"),
        pytest.param(part("kafka"), STRANGER, 443, False, id="the broker goes nowhere"),
        pytest.param(part("feedback"), MODEL, 3000, False, id="feedback calls no model"),
        pytest.param(part("gateway"), part("monitor"), 8080, False, id="the gateway does not ask the monitor"),
    ],
)
def test_who_may_speak_to_whom(source: Place, target: Place, port: int, open_: bool, policies: list[JSON]) -> None:
    assert may(policies, source, target, port) is open_


def test_a_pod_of_the_release_that_no_policy_knows_may_do_nothing(policies: list[JSON]) -> None:
    assert not may(policies, part("newcomer"), STRANGER, 443)
    assert not may(policies, part("newcomer"), STRANGER, 53, "UDP")
    assert not may(policies, STRANGER, part("newcomer"), 8080)


def test_whom_the_values_name_may_come_in(tmp_path: Path) -> None:
    shop = {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "shop"}}}
    change = {"gateway": {"from": [shop]}, "monitor": {"from": "everyone"}}
    policies = of_kind(objects(render(with_values({"networkPolicy": change}), tmp_path)), "NetworkPolicy")
    assert may(policies, STRANGER, part("gateway"), 8080)
    assert not may(policies, Place({}, namespace="elsewhere"), part("gateway"), 8080)
    assert may(policies, STRANGER, part("monitor"), 8080)


def test_the_operator_asks_only_the_webhooks_that_the_values_name(tmp_path: Path) -> None:
    desk = Place({"app": "desk"}, namespace="shop")
    peer = {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "shop"}}}
    change = {"webhooks": {"to": [peer], "ports": [8443]}}
    named = of_kind(objects(render(with_values({"networkPolicy": change}), tmp_path)), "NetworkPolicy")
    assert [may(named, part("operator"), desk, port) for port in (8443, 8444)] == [True, False]
    assert not may(named, part("feedback"), desk, 8443)
    unnamed = of_kind(objects(render(LEAST, tmp_path)), "NetworkPolicy")
    assert not may(unnamed, part("operator"), desk, 8443)


def test_names_are_asked_of_anybody_unless_the_values_say_of_whom(tmp_path: Path) -> None:
    dns = Place({"k8s-app": "kube-dns"}, namespace="kube-system")
    peer = {
        "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "kube-system"}},
        "podSelector": {"matchLabels": {"k8s-app": "kube-dns"}},
    }
    for values, strangers in (({}, True), ({"networkPolicy": {"dns": {"to": [peer]}}}, False)):
        bodies = objects(render(with_values(values), tmp_path))
        policies = of_kind(bodies, "NetworkPolicy")
        for name in ("gateway", "operator", "feedback", "monitor", "kafka", "test"):
            assert may(policies, part(name), dns, 53, "UDP"), name
            assert may(policies, part(name), dns, 53), name
            assert may(policies, part(name), STRANGER, 53, "UDP") is strangers, name
        told = variables(dict(pods(bodies))["switchyard-operator"], "operator", "OPERATOR_")
        assert OperatorSettings.from_env(told).resolvers == (() if strangers else (peer,))


def test_without_policies_there_are_none_and_no_right_to_write_them(tmp_path: Path) -> None:
    bodies = objects(render(with_values({"networkPolicy": {"enabled": False}}), tmp_path))
    assert of_kind(bodies, "NetworkPolicy") == []
    assert "networkpolicies" not in json.dumps(of_kind(bodies, "ClusterRole"))
    operator = dict(pods(bodies))["switchyard-operator"]
    assert "OPERATOR_NETWORK_POLICIES" not in variables(operator, "operator", "OPERATOR_")


def test_without_autoscalers_there_is_no_right_to_them_and_the_operator_looks_for_none(tmp_path: Path) -> None:
    for wanted in (True, False):
        bodies = objects(render(with_values({"operator": {"autoscalers": wanted}}), tmp_path))
        assert ("horizontalpodautoscalers" in json.dumps(of_kind(bodies, "ClusterRole"))) is wanted
        operator = dict(pods(bodies))["switchyard-operator"]
        assert ("OPERATOR_AUTOSCALERS" in variables(operator, "operator", "OPERATOR_")) is wanted


@pytest.mark.parametrize(
    ("database", "port"),
    [
        pytest.param({"url": "postgresql://me:a%2Fb@db.shop.svc:6432/monitor"}, 6432, id="the port of the URL"),
        pytest.param({"url": "postgresql://me:secret@db.shop.svc/monitor"}, 5432, id="the usual port"),
        pytest.param({"existingSecret": "monitor-database"}, 5432, id="a URL that nobody sees"),
    ],
)
def test_the_monitor_reaches_its_database_and_needs_no_volume(database: JSON, port: int, tmp_path: Path) -> None:
    bodies = objects(render(with_values({"monitor": {"database": database, "replicas": 3}}), tmp_path))
    policies = of_kind(bodies, "NetworkPolicy")
    assert may(policies, part("monitor"), STRANGER, port)
    assert not may(policies, part("monitor"), STRANGER, 443)
    assert not may(policies, part("feedback"), STRANGER, port)
    (monitor,) = [body for body in of_kind(bodies, "StatefulSet") if body["metadata"]["name"] == "switchyard-monitor"]
    assert monitor["spec"]["replicas"] == 3
    assert "data" not in json.dumps(monitor["spec"]["template"]["spec"]["containers"][0]["volumeMounts"])
    (service,) = [body for body in of_kind(bodies, "Service") if body["metadata"]["name"] == "switchyard-monitor"]
    assert service["spec"]["sessionAffinity"] == "ClientIP", "who logged in to one replica's page must come back to it"
    assert "secret" not in json.dumps(monitor["spec"]["template"]["spec"]["containers"][0]["env"]).replace(
        "secretKey", ""
    )
    made = [body["stringData"]["url"] for body in of_kind(bodies, "Secret") if "url" in body.get("stringData", {})]
    assert made == ([database["url"]] if "url" in database else [])


def test_a_release_that_moves_to_a_server_changes_nothing_of_its_statefulset_that_is_fixed(tmp_path: Path) -> None:
    def spec(change: JSON) -> JSON:
        bodies = of_kind(objects(render(with_values({"monitor": change}), tmp_path)), "StatefulSet")
        (found,) = [body["spec"] for body in bodies if body["metadata"]["name"] == "switchyard-monitor"]
        return {name: value for name, value in found.items() if name not in ("replicas", "template")}

    database = {"existingSecret": "monitor-database"}
    assert spec({"database": database, "replicas": 3}) == spec({})
    assert "volumeClaimTemplates" not in spec({"database": database, "persistence": {"enabled": False}})


def test_the_database_is_reached_where_the_values_say(tmp_path: Path) -> None:
    database = {"existingSecret": "monitor-database"}
    peer = {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "shop"}}}
    change = {"monitor": {"database": database}, "networkPolicy": {"database": {"to": [peer], "ports": [6432]}}}
    policies = of_kind(objects(render(with_values(change), tmp_path)), "NetworkPolicy")
    assert may(policies, part("monitor"), STRANGER, 6432)
    assert not may(policies, part("monitor"), STRANGER, 5432)
    assert not may(policies, part("monitor"), Place({}, namespace="elsewhere"), 6432)


def test_every_part_that_speaks_to_kafka_is_told_the_topics_prefix(tmp_path: Path) -> None:
    bodies = objects(render(with_values({"kafka": {"topics": {"prefix": "staging"}}}), tmp_path))
    said = [
        (variable["name"], variable.get("value"))
        for _, pod in pods(bodies)
        for container in containers(pod)
        for variable in container.get("env", [])
    ]
    reaching = {name.removesuffix("SERVERS") for name, _ in said if name.endswith("_KAFKA_SERVERS")}
    assert reaching >= {"OPERATOR_KAFKA_", "SHIPPER_KAFKA_", "FEEDBACK_KAFKA_", "MONITOR_KAFKA_"}
    assert {name for name, value in said if value == "staging"} == {f"{part}TOPIC_PREFIX" for part in reaching}


def test_with_named_namespaces_nothing_may_be_done_elsewhere(tmp_path: Path) -> None:
    bodies = objects(render(with_values({"watchNamespaces": ["shop", "plant"]}), tmp_path))
    assert of_kind(bodies, "ClusterRole", "ClusterRoleBinding") == []
    places = {(body["metadata"].get("namespace", ""), body["metadata"]["name"]) for body in of_kind(bodies, "Role")}
    named = {(place, f"switchyard-system-switchyard-{name}") for place in ("shop", "plant") for name in PARTS_WITH_API}
    assert places == named | {("", "switchyard-operator")}
    bound = of_kind(bodies, "RoleBinding")
    assert {(body["metadata"].get("namespace", ""), body["roleRef"]["name"]) for body in bound} == places
    binding = of_kind(bodies, "ValidatingAdmissionPolicyBinding")[0]["spec"]["matchResources"]
    assert binding["namespaceSelector"]["matchExpressions"][0]["values"] == ["shop", "plant"]


PARTS_WITH_API = ("operator", "gateway")


def test_the_same_rights_in_a_namespace_as_everywhere(tmp_path: Path) -> None:
    def rules(values: JSON, kind: str) -> dict[str, Any]:
        found = of_kind(objects(render(with_values(values), tmp_path)), kind)
        return {body["metadata"]["name"]: body["rules"] for body in found if "system" in body["metadata"]["name"]}

    assert rules({}, "ClusterRole") == rules({"watchNamespaces": ["shop"]}, "Role")


def test_no_role_grants_everything_of_something_or_shows_a_secret(bodies: list[JSON]) -> None:
    rights = {right for body in of_kind(bodies, "Role", "ClusterRole") for right in granted(body["rules"])}
    assert rights
    assert not {right for right in rights if right.resource.startswith(("secrets", "serviceaccounts", "roles"))}
    assert {right.verb for right in rights} <= {"get", "list", "watch", "create", "update", "patch", "delete"}


def test_only_who_speaks_to_the_api_server_is_given_a_token_for_it(bodies: list[JSON]) -> None:
    given = {name for name, pod in pods(bodies) if pod["spec"].get("automountServiceAccountToken") is not False}
    assert given == {"switchyard-operator", "switchyard-gateway"}


@pytest.mark.parametrize(
    ("values", "says"),
    [
        pytest.param({}, ["helm -n switchyard-system test switchyard", "-gateway 8080:8080"], id="the next commands"),
        pytest.param({}, ["Nobody may send feedback yet", "one node and is for trying out"], id="what is missing"),
        pytest.param(
            {"monitor": {"retention": {"rows": "90d"}}},
            ["outcome for 90d or longer", "volume of 5Gi"],
            id="what is kept",
        ),
        pytest.param(SECURED, ["https://localhost:8080"], id="TLS"),
        pytest.param({"watchNamespaces": ["shop"]}, ["kubectl -n shop apply", "write nowhere else"], id="where"),
    ],
)
def test_the_notes(values: JSON, says: list[str], tmp_path: Path) -> None:
    chart = tmp_path / "switchyard"
    shutil.copytree(CHART, chart)
    (chart / "notes").write_text((chart / "templates" / "NOTES.txt").read_text(encoding="utf-8"), encoding="utf-8")
    shown = 'kind: ConfigMap\nmetadata: {name: notes}\ndata: {notes: {{ tpl (.Files.Get "notes") . | toJson }}}\n'
    (chart / "templates" / "notes.yaml").write_text(shown, encoding="utf-8")
    bodies = objects(render(with_values(values), tmp_path, chart=chart))
    notes = of_kind(bodies, "ConfigMap")[0]["data"]["notes"]
    for words in says:
        assert words in notes


def doors(answer: Callable[[str], tuple[int, dict[str, str]]]) -> subprocess.CompletedProcess[str]:
    """`helm test`'s script against a server of ours."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            status, headers = answer(self.path)
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            self.send_header("content-length", "0")
            self.end_headers()

        def log_message(self, format: str, *args: Any) -> None:
            """Silent."""

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        url = f"http://127.0.0.1:{server.server_port}"
        names = {"GATEWAY": "/ns/model", "FEEDBACK": "/feedback", "MONITOR": "/monitor", "OPERATOR": "/operator"}
        environ = {name: url + path for name, path in names.items()} | {"PATIENCE": "0", "PATH": os.environ["PATH"]}
        done = subprocess.run(
            [sys.executable, str(CHART / "files" / "doors.py")],
            env=environ,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        server.shutdown()
    return done


def healthy(path: str) -> tuple[int, dict[str, str]]:
    return (404, {"x-prediction-id": "p-1"}) if path == "/ns/model" else (200, {})


def test_helm_test_passes_where_every_part_answers() -> None:
    assert doors(healthy).returncode == 0


@pytest.mark.parametrize(
    ("path", "instead", "named"),
    [
        pytest.param("/monitor", (503, {}), "MONITOR", id="a part that is not ready"),
        pytest.param("/ns/model", (404, {}), "GATEWAY", id="somebody else's 404"),
        pytest.param("/ns/model", (503, {}), "GATEWAY", id="a gateway without routes"),
    ],
)
def test_helm_test_names_the_part_that_does_not(path: str, instead: tuple[int, dict[str, str]], named: str) -> None:
    done = doors(lambda asked: instead if asked == path else healthy(asked))
    assert done.returncode == 1
    assert named in done.stderr


def test_what_helm_test_runs_is_the_script(tmp_path: Path) -> None:
    pod = next(body for body in objects(render(copy.deepcopy(LEAST), tmp_path)) if body["kind"] == "Pod")
    assert pod["metadata"]["annotations"]["helm.sh/hook"] == "test"
    assert pod["spec"]["containers"][0]["args"] == [(CHART / "files" / "doors.py").read_text(encoding="utf-8")]
