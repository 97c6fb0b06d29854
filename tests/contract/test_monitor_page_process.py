"""The page of the monitor as a process: what the operator said of a rollout is there, also after a kill."""

from __future__ import annotations

import hashlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest
from kafka import KafkaProducer
from switchyard_contracts.events import TOPIC_DEADLETTER, TOPIC_EVENTS, TOPIC_MODELS, TOPIC_ROLLOUTS
from switchyard_testkit.cache import Cache
from switchyard_testkit.envoy import free_port
from switchyard_testkit.kafka import Broker, broker
from switchyard_testkit.monitor_world import SUBJECT, model_record
from switchyard_testkit.page_world import encoded, rollout_record
from switchyard_testkit.waiting import until

pytestmark = pytest.mark.timeout(300)


@pytest.fixture(scope="module")
def kafka(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Broker]:
    with broker(Cache.from_env(os.environ), tmp_path_factory.mktemp("kafka")) as process:
        for topic in (TOPIC_EVENTS, TOPIC_MODELS, TOPIC_DEADLETTER, TOPIC_ROLLOUTS):
            process.create(topic, partitions=1)
        yield process


@contextmanager
def monitor(kafka: Broker, folder: Path) -> Iterator[str]:
    """The process; answers its address, and kills it in the end."""
    port = free_port()
    tokens = [{"name": "test", "sha256": hashlib.sha256(b"secret").hexdigest(), "deployments": ["*"]}]
    (folder / "tokens.json").write_text(json.dumps(tokens))
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith("MONITOR_")},
        "MONITOR_KAFKA_SERVERS": kafka.servers,
        "MONITOR_DATABASE": f"sqlite:///{folder / 'monitor.db'}",
        "MONITOR_TOKENS_FILE": str(folder / "tokens.json"),
        "MONITOR_PORT": str(port),
    }
    with (folder / "monitor.log").open("ab") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "switchyard_monitor"], env=environment, stdout=log, stderr=log
        )
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait(30)


def shown(address: str) -> str:
    """The page of the deployment, to somebody who logs in; empty while nobody answers."""
    try:
        with httpx.Client(base_url=address, follow_redirects=True, timeout=30) as browser:
            browser.post("/page/login", data={"token": "secret"}, headers={"origin": address})
            return browser.get(f"/page/deployments/{SUBJECT}").text
    except httpx.HTTPError:
        return ""


def test_the_timeline_survives_a_kill_and_goes_on_after_it(kafka: Broker, tmp_path: Path) -> None:
    producer = KafkaProducer(bootstrap_servers=kafka.servers)
    producer.send(TOPIC_MODELS, model_record(), key=SUBJECT.encode())
    producer.send(TOPIC_ROLLOUTS, encoded(rollout_record("a", message="before the kill")))
    producer.flush()
    with monitor(kafka, tmp_path) as address:
        until(lambda: "before the kill" in shown(address), "the rollout is shown", seconds=120)
    producer.send(TOPIC_ROLLOUTS, encoded(rollout_record("b", message="after the kill")))
    producer.flush()
    with monitor(kafka, tmp_path) as address:
        until(lambda: "after the kill" in shown(address), "the new one is shown", seconds=120)
        assert shown(address).count("before the kill") == 1
    producer.close()
