"""The user's Prometheus in the chart's values: what the operator is given, what is opened, what is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from switchyard_contracts.quantities import format_duration
from switchyard_operator.settings import Settings
from switchyard_testkit.install import merged
from switchyard_testkit.rendering import (
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
WHOLE: JSON = {
    "url": "https://prometheus.monitoring:9091/prom",
    "existingSecret": "prometheus-token",
    "caSecret": "prometheus-ca",
    "timeout": "5s",
}
ELSEWHERE = Place({"app": "prometheus"}, namespace="monitoring")
API_NAMED: JSON = {"apiServer": {"to": [{"ipBlock": {"cidr": "10.0.0.1/32"}}]}}


def rendered(folder: Path, said: JSON, policy: JSON | None = None) -> list[JSON]:
    values = {"operator": {"prometheus": said}, "networkPolicy": merged(API_NAMED, policy or {})}
    return objects(render(merged(LEAST, values), folder))


def test_the_operator_is_given_the_address_and_the_secrets(tmp_path: Path) -> None:
    pod = dict(pods(rendered(tmp_path, WHOLE)))["switchyard-operator"]
    settings = Settings.from_env(variables(pod, "operator", "OPERATOR_"))
    assert (settings.prometheus_url, format_duration(settings.prometheus_timeout)) == (WHOLE["url"], "5s")
    mounts = {item["mountPath"]: item for item in next(iter(containers(pod)))["volumeMounts"]}
    volumes = {item["name"]: item for item in pod["spec"]["volumes"]}
    for path, secret in (
        (settings.prometheus_folder, "prometheus-token"),
        (str(Path(settings.prometheus_ca_file).parent), "prometheus-ca"),
    ):
        assert volumes[mounts[path]["name"]]["secret"] == {"secretName": secret}
        assert mounts[path]["readOnly"] is True


def test_without_an_address_nothing_of_it_is_rendered(tmp_path: Path) -> None:
    assert "PROMETHEUS" not in render(LEAST, tmp_path)
    assert "prometheus" not in str(rendered(tmp_path, {"existingSecret": "a", "caSecret": "b"}))


def test_an_address_alone_needs_no_secret(tmp_path: Path) -> None:
    pod = dict(pods(rendered(tmp_path, {"url": "http://prometheus"})))["switchyard-operator"]
    settings = Settings.from_env(variables(pod, "operator", "OPERATOR_"))
    assert (settings.prometheus_url, settings.prometheus_ca_file) == ("http://prometheus", "")
    assert "prometheus" not in str(pod["spec"]["volumes"])


@pytest.mark.parametrize(
    ("url", "policy", "port", "open_"),
    [
        pytest.param("https://prom:9091/prom", {}, 9091, True, id="the port that it names"),
        pytest.param("https://prom:9091/prom", {}, 9090, False, id="and no other"),
        pytest.param("https://prom", {}, 443, True, id="the port of its scheme"),
        pytest.param("http://prom/prom", {}, 80, True, id="of the other scheme too"),
        pytest.param("http://[fd00::1]:9090", {}, 9090, True, id="beside an address of colons"),
        pytest.param("", {}, 9090, False, id="nothing without one"),
        pytest.param("http://prom", {"prometheus": {"ports": [9090]}}, 9090, True, id="the pods' own port"),
        pytest.param("http://prom", {"prometheus": {"ports": [9090]}}, 80, False, id="in the place of the Service's"),
        pytest.param(
            "http://prom:9090",
            {"prometheus": {"to": [{"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "x"}}}]}},
            9090,
            False,
            id="only to whom the values name",
        ),
    ],
)
def test_the_way_out_is_open_to_it_alone(url: str, policy: JSON, port: int, open_: bool, tmp_path: Path) -> None:
    policies = of_kind(rendered(tmp_path, {"url": url}, policy), "NetworkPolicy")
    assert may(policies, part("operator"), ELSEWHERE, port) is open_


@pytest.mark.parametrize(
    ("said", "named"),
    [
        pytest.param({"url": "prometheus:9090"}, "/operator/prometheus/url", id="no scheme"),
        pytest.param({"url": "http://ada:pw@prom"}, "/operator/prometheus/url", id="a password in the address"),
        pytest.param({"timeout": "2m"}, "/operator/prometheus/timeout", id="longer than the operator waits"),
        pytest.param({"token": "x"}, "token", id="a secret in the values"),
    ],
)
def test_what_the_operator_would_refuse_is_refused_and_named(said: JSON, named: str, tmp_path: Path) -> None:
    with pytest.raises(NotRendered) as refused:
        rendered(tmp_path, WHOLE | said)
    assert named in str(refused.value)
