"""How a part is told to reach Kafka: a slip is said with the variable's name, and so is what the brokers object to."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path
from typing import ClassVar

import pytest
from pydantic import ValidationError
from switchyard_contracts.kafka_settings import KafkaSettings, SecretUnreadable
from switchyard_contracts.kafka_trouble import CONNECTIONS, Complaints


class Part(KafkaSettings):
    PREFIX: ClassVar[str] = "PART_"


SERVERS = {"PART_KAFKA_SERVERS": "one:9093,two:9093"}


@pytest.fixture
def sasl(tmp_path: Path) -> dict[str, str]:
    (tmp_path / "password").write_text("open-sesame\n")
    (tmp_path / "ca.crt").write_text("an authority")
    return SERVERS | {
        "PART_KAFKA_SECURITY": "SASL_SSL",
        "PART_KAFKA_SASL_MECHANISM": "SCRAM-SHA-512",
        "PART_KAFKA_USERNAME": "switchyard",
        "PART_KAFKA_PASSWORD_FILE": str(tmp_path / "password"),
        "PART_KAFKA_CA_FILE": str(tmp_path / "ca.crt"),
    }


def test_without_a_word_it_is_in_the_clear() -> None:
    options = Part.from_env(SERVERS | {"HOME": "/"}).connection("part")
    assert options["bootstrap_servers"] == ["one:9093", "two:9093"]
    assert options["security_protocol"] == "PLAINTEXT"
    assert not any(name.startswith(("sasl", "ssl")) for name in options)


def test_everything_reaches_the_client(sasl: dict[str, str]) -> None:
    options = Part.from_env(sasl).connection("part")
    assert options["security_protocol"] == "SASL_SSL"
    assert options["sasl_mechanism"] == "SCRAM-SHA-512"
    assert (options["sasl_plain_username"], options["sasl_plain_password"]) == ("switchyard", "open-sesame")
    assert options["ssl_cafile"] == sasl["PART_KAFKA_CA_FILE"]


def test_a_password_that_was_changed_is_read_anew(sasl: dict[str, str]) -> None:
    settings = Part.from_env(sasl)
    Path(sasl["PART_KAFKA_PASSWORD_FILE"]).write_text("changed")
    assert settings.connection("part")["sasl_plain_password"] == "changed"


def test_a_file_that_is_not_there_is_named_with_its_variable(sasl: dict[str, str]) -> None:
    settings = Part.from_env(sasl | {"PART_KAFKA_PASSWORD_FILE": "/nowhere/password"})
    with pytest.raises(SecretUnreadable, match="PART_KAFKA_PASSWORD_FILE is /nowhere/password"):
        settings.connection("part")


@pytest.mark.parametrize(
    ("change", "says"),
    [
        pytest.param({"PART_KAFKA_SECURITY": "TLS"}, "PLAINTEXT", id="a protocol that there is not"),
        pytest.param({"PART_KAFKA_SASL_MECHANISM": "GSSAPI"}, "SCRAM-SHA-512", id="a mechanism that is not spoken"),
        pytest.param({"PART_KAFKA_USERNAME": ""}, "set PART_KAFKA_USERNAME too", id="half of SASL"),
        pytest.param({"PART_KAFKA_SECURITY": "SSL"}, "which shows nobody's name", id="a password that nobody asks for"),
        pytest.param({"PART_KAFKA_SECURITY": "SASL_PLAINTEXT"}, "encrypts nothing", id="an authority without TLS"),
        pytest.param({"PART_KAFKA_KEY_FILE": "/k"}, "or neither", id="a key without its certificate"),
        pytest.param({"PART_KAFKA_PASSWORD": "x"}, "kafka_password", id="a misspelt name"),
    ],
)
def test_a_slip_is_named(sasl: dict[str, str], change: dict[str, str], says: str) -> None:
    with pytest.raises(ValidationError, match=says):
        Part.from_env(sasl | change)


@pytest.fixture
def complaints(sasl: dict[str, str]) -> Iterator[Complaints]:
    logger = logging.getLogger(CONNECTIONS)
    kept = logger.level, logger.propagate
    handler = Complaints.hear(Part.from_env(sasl))
    yield handler
    logger.removeHandler(handler)
    logger.level, logger.propagate = kept


@pytest.mark.parametrize(
    ("why", "names"),
    [
        pytest.param("KafkaConnectionError: socket disconnected", "PART_KAFKA_PASSWORD_FILE", id="hung up"),
        pytest.param("SaslAuthenticationFailedError: no", "PART_KAFKA_PASSWORD_FILE", id="refused"),
        pytest.param("UnsupportedSaslMechanismError: PLAIN", "PART_KAFKA_SASL_MECHANISM", id="another mechanism"),
        pytest.param("Handshake failed: [SSL: CERTIFICATE_VERIFY_FAILED]", "PART_KAFKA_CA_FILE", id="a stranger"),
        pytest.param("CERTIFICATE_VERIFY_FAILED: Hostname mismatch", "PART_KAFKA_SERVERS", id="another's name"),
        pytest.param("SSLV3_ALERT_BAD_CERTIFICATE", "PART_KAFKA_CERTIFICATE_FILE", id="no certificate of ours"),
        pytest.param("Handshake failed: EOF", "PART_KAFKA_SECURITY", id="no TLS"),
    ],
)
def test_what_the_client_only_logs_is_said_with_the_variable(complaints: Complaints, why: str, names: str) -> None:
    log = logging.getLogger(CONNECTIONS)
    log.warning("Bootstrap connection to %s failed: %s (backoff %.2f secs)", "bootstrap-0", why, 0.1)
    log.error("Bootstrap failed: %s", "KafkaTimeoutError: Unable to bootstrap from one:9093")
    said = complaints.explain(TimeoutError("Unable to bootstrap"))
    assert said.startswith("Unable to bootstrap; ")
    assert names in said


def test_a_broker_that_is_not_there_is_no_fault_of_a_setting(complaints: Complaints) -> None:
    logging.getLogger(CONNECTIONS).warning("Bootstrap connection to b failed: %s", "ConnectionRefusedError: 111")
    assert complaints.explain(TimeoutError("Unable to bootstrap")) == "Unable to bootstrap"
