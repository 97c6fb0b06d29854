"""The shipper's settings."""

from __future__ import annotations

from datetime import timedelta

import pytest
from pydantic import ValidationError
from switchyard_gateway.shipper.settings import Settings

NEEDED = {"SHIPPER_KAFKA_SERVERS": "kafka:9092"}


def test_one_is_needed_and_the_rest_has_defaults() -> None:
    settings = Settings.from_env({**NEEDED, "HOME": "/root"})
    assert (settings.kafka_servers, settings.events, settings.port) == ("kafka:9092", "switchyard.events", 8082)


def test_all_kinds_are_read() -> None:
    settings = Settings.from_env(
        {
            **NEEDED,
            "SHIPPER_DRAIN_TIMEOUT": "2m",
            "SHIPPER_SPOOL_MAX_BYTES": "99999999",
            "SHIPPER_REDACT": '{"*": ["$.card.number"]}',
        }
    )
    assert settings.drain_timeout == timedelta(minutes=2)
    assert settings.spool_max_bytes == 99_999_999
    assert settings.redact == {"*": ["$.card.number"]}


@pytest.mark.parametrize(
    ("changes", "field", "says"),
    [
        pytest.param({"SHIPPER_KAFKA_SERVERS": ""}, "kafka_servers", "at least 1", id="no broker"),
        pytest.param({"SHIPPER_TOPIK": "x"}, "topik", "not permitted", id="misspelt"),
        pytest.param({"SHIPPER_DRAIN_TIMEOUT": "soon"}, "drain_timeout", "is not a duration", id="no duration"),
        pytest.param({"SHIPPER_REDACT": '{"*": ["card"]}'}, "redact", "is not a path", id="no path"),
        pytest.param({"SHIPPER_REDACT": "card"}, "redact", "JSON", id="no JSON"),
        pytest.param({"SHIPPER_KAFKA_SECURITY": "SASL_SSL"}, "", "SHIPPER_KAFKA_USERNAME", id="no user"),
        pytest.param({"SHIPPER_KAFKA_TIMEOUT": "1s"}, "", "kafka_timeout is 1s", id="too little time"),
        pytest.param({"SHIPPER_SPOOL_MAX_BYTES": "1000000"}, "", "more than half", id="segments as large as the spool"),
    ],
)
def test_a_wrong_setting_is_an_error_that_names_it(changes: dict[str, str], field: str, says: str) -> None:
    with pytest.raises(ValidationError) as caught:
        Settings.from_env({**NEEDED, **changes})
    problems = caught.value.errors()
    assert any(field in map(str, problem["loc"]) or not field for problem in problems)
    assert any(says in problem["msg"] for problem in problems)
