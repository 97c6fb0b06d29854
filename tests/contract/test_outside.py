"""The tests' own installation: the chart takes what it is told of desks and Prometheus, and every Secret is there."""

from __future__ import annotations

from pathlib import Path

from switchyard_operator.settings import Settings
from switchyard_testkit import outside
from switchyard_testkit.install import merged
from switchyard_testkit.rendering import LEAST, objects, pods, render, variables


def test_the_operator_is_told_of_it_and_mounts_no_secret_that_nobody_makes(tmp_path: Path) -> None:
    told, plain = (
        dict(pods(objects(render(merged(LEAST, said), tmp_path))))["switchyard-operator"]
        for said in (outside.values("test"), {})
    )
    settings = Settings.from_env(variables(told, "operator", "OPERATOR_"))
    assert {one.name for one in settings.receivers} == {"desk-of-told", "desk-of-taken-back", "bus"}
    assert settings.prometheus_url.endswith(f":{outside.PROMETHEUS_PORT}")
    mounted, before = (
        {item["secret"]["secretName"] for item in pod["spec"]["volumes"] if "secret" in item} for pod in (told, plain)
    )
    made = outside.secrets("test", tmp_path, key="a key")
    assert mounted - before == {one["metadata"]["name"] for one in made}
    assert "BEGIN CERTIFICATE" in made[0]["stringData"]["ca.crt"]
