"""Receivers of notifications in the chart's values: what the operator is given, what is opened, what is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from switchyard_contracts.notifications import Event
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
CHAT: JSON = {"name": "chat", "deployments": ["shop/*"], "webhook": {"secret": "chat-hook", "format": "slack"}}
BUS: JSON = {"name": "bus", "on": ["Held"], "kafka": {}}
ELSEWHERE = Place({"app": "hooks"}, namespace="elsewhere")
API_NAMED: JSON = {"apiServer": {"to": [{"ipBlock": {"cidr": "10.0.0.1/32"}}]}}


def rendered(folder: Path, *receivers: JSON, policy: JSON | None = None) -> list[JSON]:
    values = {"notifications": {"receivers": list(receivers)}, "networkPolicy": merged(API_NAMED, policy or {})}
    return objects(render(merged(LEAST, values), folder))


def test_the_operator_is_given_its_receivers_and_their_secrets(tmp_path: Path) -> None:
    pod = dict(pods(rendered(tmp_path, CHAT, BUS)))["switchyard-operator"]
    settings = Settings.from_env(variables(pod, "operator", "OPERATOR_"))
    chat, bus = settings.receivers
    assert (chat.name, chat.deployments, chat.on) == ("chat", ["shop/*"], list(Event))
    assert (bus.kafka is not None, bus.on) == (True, [Event.HELD])
    mounts = {item["mountPath"]: item for item in next(iter(containers(pod)))["volumeMounts"]}
    mount = mounts[f"{settings.notifications_folder}/chat"]
    volumes = {item["name"]: item for item in pod["spec"]["volumes"]}
    assert volumes[mount["name"]]["secret"] == {"secretName": "chat-hook"}
    assert mount["readOnly"] is True
    assert f"{settings.notifications_folder}/bus" not in mounts


def test_without_receivers_nothing_of_them_is_rendered(tmp_path: Path) -> None:
    assert "NOTIFICATIONS" not in render(LEAST, tmp_path)


@pytest.mark.parametrize(
    ("receivers", "policy", "port", "open_"),
    [
        pytest.param([CHAT], {}, 443, True, id="a webhook opens the usual port"),
        pytest.param([CHAT], {}, 8443, False, id="and no other"),
        pytest.param([BUS], {}, 443, False, id="Kafka opens nothing"),
        pytest.param([], {}, 443, False, id="nor does nobody"),
        pytest.param([CHAT], {"notifications": {"ports": [8443]}}, 8443, True, id="a port that is named"),
        pytest.param(
            [CHAT],
            {"notifications": {"to": [{"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "x"}}}]}},
            443,
            False,
            id="only to whom the values name",
        ),
    ],
)
def test_the_way_out_is_open_where_somebody_is_to_be_told(
    receivers: list[JSON], policy: JSON, port: int, open_: bool, tmp_path: Path
) -> None:
    policies = of_kind(rendered(tmp_path, *receivers, policy=policy), "NetworkPolicy")
    assert may(policies, part("operator"), ELSEWHERE, port) is open_


@pytest.mark.parametrize(
    ("receivers", "named"),
    [
        pytest.param([{"name": "chat"}], "exactly one of webhook and kafka", id="no way"),
        pytest.param([CHAT | {"kafka": {}}], "exactly one of webhook and kafka", id="two ways"),
        pytest.param([CHAT, CHAT], "is there twice", id="a name twice"),
        pytest.param([{"name": "chat", "webhook": {}}], "webhook.secret with the key url", id="no address"),
        pytest.param([CHAT | {"on": ["Begun"]}], "/notifications/receivers/0/on/0", id="no such event"),
        pytest.param([CHAT | {"when": []}], "when", id="a misspelt field"),
    ],
)
def test_a_receiver_that_could_not_be_told_is_refused_and_named(
    receivers: list[JSON], named: str, tmp_path: Path
) -> None:
    with pytest.raises(NotRendered) as refused:
        rendered(tmp_path, *receivers)
    assert named in str(refused.value)
