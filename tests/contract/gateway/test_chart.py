"""What the chart tells control and the shipper is what they know; the other parts' are in `../test_chart.py`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from switchyard_gateway.control.settings import Settings as ControlSettings
from switchyard_gateway.shipper.settings import Settings as ShipperSettings
from switchyard_testkit.rendering import LEAST, objects, pods, render, variables

SASL: dict[str, Any] = {
    "monitor": LEAST["monitor"],
    "kafka": {
        "bootstrapServers": "one.kafka:9093",
        "security": {
            "protocol": "SASL_SSL",
            "mechanism": "PLAIN",
            "existingSecret": "kafka-login",
            "caSecret": "kafka-ca",
            "certificateSecret": "kafka-own",
        },
    },
}


@pytest.mark.parametrize(
    ("values", "protocol", "namespaces"),
    [
        pytest.param(LEAST, "PLAINTEXT", ("",), id="least"),
        pytest.param(SASL, "SASL_SSL", ("",), id="brokers with a locked door"),
        pytest.param(LEAST | {"watchNamespaces": ["shop", "plant"]}, "PLAINTEXT", ("shop", "plant"), id="namespaced"),
    ],
)
def test_every_variable_is_one_that_the_part_knows(
    values: dict[str, Any], protocol: str, namespaces: tuple[str, ...], tmp_path: Path
) -> None:
    gateway = dict(pods(objects(render(values, tmp_path))))["switchyard-gateway"]
    assert ShipperSettings.from_env(variables(gateway, "shipper", "SHIPPER_")).kafka_security == protocol
    assert ControlSettings.from_env(variables(gateway, "control", "CONTROL_")).namespaces == namespaces
