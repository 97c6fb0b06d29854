"""The environment is read once, strictly."""

from __future__ import annotations

import pytest
from switchyard_gateway.control.errors import SettingsError
from switchyard_gateway.control.settings import Settings


def test_only_the_nodes_name_must_be_said():
    settings = Settings.from_env({"CONTROL_NODE": "gateway-0", "HOME": "/", "SHIPPER_X": "1"})
    assert (settings.port, str(settings.snapshot)) == (8081, "/var/spool/switchyard/snapshot.json")
    assert settings.linger.total_seconds() == 60


@pytest.mark.parametrize(
    ("environ", "words"),
    [
        pytest.param({}, "CONTROL_NODE", id="no node"),
        pytest.param({"CONTROL_NODE": "g", "CONTROL_PROT": "1"}, "CONTROL_PROT", id="a misspelt name"),
        pytest.param({"CONTROL_NODE": "g", "CONTROL_PORT": "http"}, "CONTROL_PORT", id="a port that is no number"),
        pytest.param({"CONTROL_NODE": "g", "CONTROL_LINGER": "60"}, "CONTROL_LINGER", id="a duration without a unit"),
        pytest.param({"CONTROL_NODE": "g", "CONTROL_DOMAIN": "A B"}, "CONTROL_DOMAIN", id="a domain that is none"),
    ],
)
def test_what_is_wrong_is_named(environ, words):
    with pytest.raises(SettingsError) as refused:
        Settings.from_env(environ)
    assert words in str(refused.value)
