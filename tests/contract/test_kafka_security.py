"""Brokers that let in only whom they know: the operator, feedback and the monitor get in, and say why when they don't.

The shipper's are in `gateway/test_kafka_security.py`, in its own environment.
"""

from __future__ import annotations

import asyncio
import logging
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from kafka.admin import KafkaAdminClient
from switchyard_contracts.events import TOPIC_EVENTS, TOPIC_MODELS
from switchyard_contracts.kafka_trouble import Complaints
from switchyard_contracts.topics import ModelRecord, specs
from switchyard_feedback.adapters.bus import KafkaLog
from switchyard_feedback.ports import Record
from switchyard_feedback.settings import Settings as FeedbackSettings
from switchyard_monitor.bus import KafkaBroker, connection
from switchyard_monitor.errors import BrokerUnavailable
from switchyard_monitor.settings import Settings as MonitorSettings
from switchyard_operator.adapters.bus import KafkaBus
from switchyard_operator.adapters.topics import TopicSettings, ensure
from switchyard_operator.settings import Settings as OperatorSettings
from switchyard_testkit.cache import Cache
from switchyard_testkit.feedback import token_entry, write_tokens
from switchyard_testkit.kafka import Broker, broker
from switchyard_testkit.kafka_security import Security
from switchyard_testkit.waiting import until

pytestmark = pytest.mark.timeout(180)
NOT_LONG = 20.0
"""Seconds within which a part says what is wrong; none of them hangs."""
TOPIC_SETTINGS = TopicSettings(1, 1, timedelta(days=1))


@pytest.fixture(scope="module", params=["SCRAM over TLS", "PLAIN in the clear", "TLS with our own certificate"])
def guarded(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Broker]:
    folder = tmp_path_factory.mktemp("guarded")
    security = {
        "SCRAM over TLS": lambda: Security("SASL_SSL", folder / "door", mechanism="SCRAM-SHA-512"),
        "PLAIN in the clear": lambda: Security("SASL_PLAINTEXT", folder / "door", mechanism="PLAIN"),
        "TLS with our own certificate": lambda: Security("SSL", folder / "door", clients_need_certificates=True),
    }[request.param]()
    with broker(Cache.from_env(os.environ), folder / "broker", security=security) as process:
        yield process


def environment(prefix: str, process: Broker, tmp_path: Path, **changes: str) -> dict[str, str]:
    assert process.security is not None
    tokens = write_tokens(tmp_path / "tokens.json", token_entry("till", "right", "shop/*"))
    needed = {"FEEDBACK_": {"TOKENS_FILE": str(tokens)}, "MONITOR_": {"TOKENS_FILE": str(tokens)}}.get(prefix, {})
    said = process.security.environment(prefix) | {f"{prefix}KAFKA_SERVERS": process.servers}
    return said | {f"{prefix}{name}": value for name, value in (needed | changes).items()}


def spoilt(tmp_path: Path, process: Broker) -> tuple[dict[str, str], str]:
    """A secret that is wrong, and the variable that must be named."""
    assert process.security is not None
    if process.security.mechanism is None:
        return {"KAFKA_CERTIFICATE_FILE": "", "KAFKA_KEY_FILE": ""}, "KAFKA_CERTIFICATE_FILE"
    (tmp_path / "wrong").write_text("open-barley")
    return {"KAFKA_PASSWORD_FILE": str(tmp_path / "wrong")}, "KAFKA_PASSWORD_FILE"


def without(environ: dict[str, str]) -> dict[str, str]:
    """Variables that were emptied are not set at all."""
    return {name: value for name, value in environ.items() if value}


@pytest.fixture
def heard() -> Iterator[None]:
    """Complaints listen to one logger of the whole process: let go of it after each test."""
    logger = logging.getLogger("kafka.net.manager")
    before, level, propagate = list(logger.handlers), logger.level, logger.propagate
    yield
    logger.handlers[:] = before
    logger.level, logger.propagate = level, propagate


def test_the_operator_makes_topics_and_publishes(guarded: Broker, tmp_path: Path) -> None:
    settings = OperatorSettings.from_env(environment("OPERATOR_", guarded, tmp_path))
    bus = KafkaBus(lambda: settings.connection("operator"), topics=TOPIC_SETTINGS, dropped=lambda: None)
    bus.publish_model(model("shop/delay"))
    stop = threading.Event()
    thread = threading.Thread(target=lambda: bus.run(stop, leading=lambda: True), daemon=True)
    thread.start()
    try:
        until(lambda: bus.working, "the operator is in", seconds=60)
        until(lambda: guarded.read(TOPIC_MODELS), "the record is there", seconds=60)
    finally:
        stop.set()
        thread.join(10)
    admin = KafkaAdminClient(**settings.connection("test"))
    try:
        assert set(admin.list_topics()) >= {topic.name for topic in specs(settings.topic_names)}
    finally:
        admin.close()


def test_feedback_gets_a_label_through(guarded: Broker, tmp_path: Path) -> None:
    guarded.create(TOPIC_EVENTS, partitions=1)
    settings = FeedbackSettings.from_env(environment("FEEDBACK_", guarded, tmp_path))

    async def send() -> list[bool]:
        log = KafkaLog(settings.connection("feedback"), timeout=60, max_pending=1000)
        try:
            return await log.append([Record(b"shop/delay/1", b"{}")])
        finally:
            await log.close()

    assert asyncio.run(send()) == [True]


def test_the_monitor_reads(guarded: Broker, tmp_path: Path) -> None:
    guarded.create(TOPIC_EVENTS, partitions=1)
    guarded.create(TOPIC_MODELS, partitions=1)
    settings = MonitorSettings.from_env(environment("MONITOR_", guarded, tmp_path))
    reader = KafkaBroker(connection(settings))
    try:
        assert reader.topic().partitions == (0,)
        assert isinstance(reader.models(), list)
    finally:
        reader.close()


def test_the_operator_says_which_secret_is_wrong_and_goes_on(
    guarded: Broker, tmp_path: Path, heard: None, caplog: pytest.LogCaptureFixture
) -> None:
    change, named = spoilt(tmp_path, guarded)
    settings = OperatorSettings.from_env(without(environment("OPERATOR_", guarded, tmp_path, **change)))
    bus = KafkaBus(
        lambda: settings.connection("operator"),
        topics=TOPIC_SETTINGS,
        dropped=lambda: None,
        explain=Complaints.hear(settings).explain,
    )
    bus.publish_model(model("shop/wrong"))
    stop = threading.Event()
    thread = threading.Thread(target=lambda: bus.run(stop, leading=lambda: True), daemon=True)
    thread.start()
    try:
        until(lambda: f"OPERATOR_{named}" in caplog.text, "the log names the variable", seconds=NOT_LONG)
        assert not bus.working
    finally:
        stop.set()
        thread.join(60)
    assert not thread.is_alive()


def test_feedback_says_which_secret_is_wrong_in_its_time(
    guarded: Broker, tmp_path: Path, heard: None, caplog: pytest.LogCaptureFixture
) -> None:
    change, named = spoilt(tmp_path, guarded)
    settings = FeedbackSettings.from_env(without(environment("FEEDBACK_", guarded, tmp_path, **change)))
    explain = Complaints.hear(settings).explain

    async def send() -> list[bool]:
        log = KafkaLog(settings.connection("feedback"), timeout=3, max_pending=1000, explain=explain)
        try:
            taken = await log.append([Record(b"shop/delay/1", b"{}")])
            end = time.monotonic() + NOT_LONG
            while named not in caplog.text and time.monotonic() < end:
                await asyncio.sleep(0.05)
            return taken
        finally:
            await log.close()

    began = time.monotonic()
    assert asyncio.run(send()) == [False]
    assert time.monotonic() - began < NOT_LONG
    assert f"FEEDBACK_{named}" in caplog.text


def test_the_monitor_says_which_secret_is_wrong_in_its_time(guarded: Broker, tmp_path: Path, heard: None) -> None:
    change, named = spoilt(tmp_path, guarded)
    settings = MonitorSettings.from_env(without(environment("MONITOR_", guarded, tmp_path, **change)))
    began = time.monotonic()
    with pytest.raises(BrokerUnavailable, match=f"MONITOR_{named}"):
        KafkaBroker(connection(settings), explain=Complaints.hear(settings).explain)
    assert time.monotonic() - began < NOT_LONG


def test_an_authority_that_did_not_sign_the_brokers_is_named(guarded: Broker, tmp_path: Path, heard: None) -> None:
    assert guarded.security is not None
    other = Security("SSL", tmp_path / "other")
    change = {"KAFKA_CA_FILE": str(other.ca_file)} if guarded.security.tls else {"KAFKA_SECURITY": "SASL_SSL"}
    named = "KAFKA_CA_FILE" if guarded.security.tls else "KAFKA_SECURITY"
    settings = OperatorSettings.from_env(environment("OPERATOR_", guarded, tmp_path, **change))
    explain = Complaints.hear(settings).explain
    words: dict[str, Any] = {**settings.connection("operator"), "bootstrap_timeout_ms": 5000}
    with pytest.raises(Exception, match="bootstrap") as caught:
        ensure(words, TOPIC_SETTINGS, wanted=specs(settings.topic_names))
    assert f"OPERATOR_{named}" in explain(caught.value)


def test_feedback_as_a_process_does_not_start_without_its_password(tmp_path: Path) -> None:
    tokens = write_tokens(tmp_path / "tokens.json", token_entry("till", "right", "shop/*"))
    environ = {
        "PATH": os.environ["PATH"],
        "PYTHONPATH": os.environ.get("PYTHONPATH", ""),
        "FEEDBACK_TOKENS_FILE": str(tokens),
        "FEEDBACK_KAFKA_SERVERS": "127.0.0.1:1",
        "FEEDBACK_KAFKA_SECURITY": "SASL_SSL",
        "FEEDBACK_KAFKA_SASL_MECHANISM": "PLAIN",
        "FEEDBACK_KAFKA_USERNAME": "switchyard",
        "FEEDBACK_KAFKA_PASSWORD_FILE": str(tmp_path / "nothing"),
    }
    ended = subprocess.run(
        [sys.executable, "-m", "switchyard_feedback"],
        env=environ,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert ended.returncode == 2
    assert "FEEDBACK_KAFKA_PASSWORD_FILE" in ended.stdout + ended.stderr


def model(subject: str) -> ModelRecord:
    namespace, _, name = subject.partition("/")
    return ModelRecord(namespace=namespace, name=name, generation=1)
