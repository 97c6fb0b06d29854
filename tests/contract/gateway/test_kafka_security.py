"""Brokers that let in only whom they know: the shipper gets in, and says which secret is wrong when it doesn't."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from switchyard_gateway.shipper.__main__ import kafka
from switchyard_gateway.shipper.bus import Failure, KafkaBus, Outcome, Record
from switchyard_gateway.shipper.settings import Settings
from switchyard_testkit.cache import Cache
from switchyard_testkit.kafka import Broker, broker
from switchyard_testkit.kafka_security import Security
from switchyard_testkit.waiting import until

pytestmark = pytest.mark.timeout(180)


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Broker]:
    folder = tmp_path_factory.mktemp("guarded")
    security = Security("SASL_SSL", folder / "door", mechanism="SCRAM-SHA-512")
    with broker(Cache.from_env(os.environ), folder / "broker", security=security) as process:
        process.create("switchyard.events", partitions=1)
        yield process


@pytest.fixture(autouse=True)
def unheard() -> Iterator[None]:
    """Complaints listen to one logger of the whole process: let go of it after each test."""
    logger = logging.getLogger("kafka.net.manager")
    before, level, propagate = list(logger.handlers), logger.level, logger.propagate
    yield
    logger.handlers[:] = before
    logger.level, logger.propagate = level, propagate


def send(process: Broker, tmp_path: Path, **changes: str) -> Outcome:
    assert process.security is not None
    said = process.security.environment("SHIPPER_") | {
        "SHIPPER_KAFKA_SERVERS": process.servers,
        "SHIPPER_KAFKA_TIMEOUT": "5s",
        "SHIPPER_SPOOL_DIR": str(tmp_path),
    }
    settings = Settings.from_env(said | {f"SHIPPER_{name}": value for name, value in changes.items()})
    bus = KafkaBus(kafka(settings))
    try:
        bus.submit([Record(b"shop/flight/1", b"{}")])
        return until(bus.outcome, "the batch has an outcome", seconds=100, every=0.01)
    finally:
        bus.close()


def test_it_gets_in(guarded: Broker, tmp_path: Path) -> None:
    assert send(guarded, tmp_path, KAFKA_TIMEOUT="60s") == Outcome()
    assert [record.value for record in guarded.read("switchyard.events")] == [b"{}"]


def test_a_wrong_password_is_named_in_its_time(guarded: Broker, tmp_path: Path) -> None:
    (tmp_path / "wrong").write_text("open-barley")
    began = time.monotonic()
    outcome = send(guarded, tmp_path, KAFKA_PASSWORD_FILE=str(tmp_path / "wrong"))
    assert time.monotonic() - began < 20
    assert outcome.failures == {0: Failure.UNAVAILABLE}
    assert "SHIPPER_KAFKA_PASSWORD_FILE" in outcome.detail


def test_a_password_that_is_not_mounted_yet_is_named(guarded: Broker, tmp_path: Path) -> None:
    outcome = send(guarded, tmp_path, KAFKA_PASSWORD_FILE=str(tmp_path / "nothing"))
    assert outcome.failures == {0: Failure.UNAVAILABLE}
    assert "SHIPPER_KAFKA_PASSWORD_FILE" in outcome.detail
