"""The monitor as a process, on a real broker: killed again and again while it reads, it counts everything once."""

from __future__ import annotations

import hashlib
import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from kafka import KafkaProducer
from switchyard_contracts.events import TOPIC_DEADLETTER, TOPIC_EVENTS, TOPIC_MODELS
from switchyard_monitor.adapters.store import SqlStore
from switchyard_testkit.cache import Cache
from switchyard_testkit.envoy import free_port
from switchyard_testkit.kafka import Broker, broker
from switchyard_testkit.monitor_world import (
    NOON,
    NOON_US,
    SECOND,
    SUBJECT,
    decision,
    inference,
    mirrored,
    model_record,
    outcome,
)
from switchyard_testkit.recomputation import recompute, recompute_pairs
from switchyard_testkit.waiting import until

PARTITIONS = 3
PREDICTIONS = 2000
BASE = "/v1/deployments/demo/flight-delay"


@pytest.fixture(scope="module")
def kafka(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Broker]:
    with broker(Cache.from_env(os.environ), tmp_path_factory.mktemp("kafka")) as process:
        for topic, partitions in ((TOPIC_EVENTS, PARTITIONS), (TOPIC_MODELS, 1), (TOPIC_DEADLETTER, 1)):
            process.create(topic, partitions=partitions)
        yield process


pytestmark = pytest.mark.timeout(900)


@pytest.fixture
def monitor(kafka: Broker, tmp_path: Path) -> Iterator[Monitor]:
    made = Monitor(kafka, tmp_path)
    yield made
    if made.process is not None and made.process.poll() is None:
        made.end(signal.SIGKILL)


class Monitor:
    """The process, its folder and its door."""

    def __init__(self, kafka: Broker, folder: Path) -> None:
        self.folder, self.port = folder, free_port()
        tokens = [{"name": "test", "sha256": hashlib.sha256(b"secret").hexdigest(), "deployments": ["*"]}]
        (folder / "tokens.json").write_text(json.dumps(tokens))
        self.environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith("MONITOR_")},
            "MONITOR_KAFKA_SERVERS": kafka.servers,
            "MONITOR_DATABASE": f"sqlite:///{folder / 'monitor.db'}",
            "MONITOR_TOKENS_FILE": str(folder / "tokens.json"),
            "MONITOR_PORT": str(self.port),
            "MONITOR_MEMBER": "monitor-0",
            "MONITOR_BATCH": "200",
            "MONITOR_LINGER": "50ms",
        }
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        with (self.folder / "monitor.log").open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "switchyard_monitor"], env=self.environment, stdout=log, stderr=log
            )

    def end(self, how: signal.Signals) -> int:
        assert self.process is not None
        self.process.send_signal(how)
        return self.process.wait(60)

    def get(self, path: str) -> Any:
        answer = httpx.get(
            f"http://127.0.0.1:{self.port}{path}", headers={"Authorization": "Bearer secret"}, timeout=10
        )
        return answer.raise_for_status().json()

    def read(self) -> int:
        """How many offsets were committed; 0 while it does not answer or does not know the deployment."""
        try:
            return sum(partition["read"] for partition in self.get(f"{BASE}/ledger")["partitions"])
        except httpx.HTTPError:
            return 0


def read_until(monitor: Monitor, target: int) -> None:
    until(lambda: monitor.read() >= target, f"{target} events were read", seconds=200)


def test_killed_again_and_again_it_counts_everything_once(kafka: Broker, monitor: Monitor, tmp_path: Path) -> None:
    chance = random.Random(7)
    started = time.time() - NOON.timestamp() - 60
    sent: list[tuple[int, bytes]] = []
    for i in range(PREDICTIONS):
        at = started + i / 100
        name = f"p{i}"
        sent.append((i % PARTITIONS, inference(name, y=chance.gauss(20, 30), at=at, latencyUs=chance.randrange(9000))))
        if chance.random() < 0.6:
            y, latency = chance.gauss(20, 30), chance.randrange(9000)
            sent.append(((i + 1) % PARTITIONS, mirrored(name, y=y, at=at + 0.01, latencyUs=latency)))
        if chance.random() < 0.9:
            sent.append(((i + 1) % PARTITIONS, outcome(name, chance.gauss(20, 40), at=at + 1)))
        if chance.random() < 0.1:
            sent.append(((i + 2) % PARTITIONS, outcome(name, chance.gauss(20, 40), at=at + 2, revision=1)))
        if chance.random() < 0.5:
            sent.append((i % PARTITIONS, decision(name, chance.random() < 0.5, at=at + 1)))
    chance.shuffle(sent)
    poison = b'{"type":"dev.switchyard.outcome.v1"}'
    producer = KafkaProducer(bootstrap_servers=kafka.servers, acks="all", linger_ms=20)
    producer.send(TOPIC_MODELS, model_record(), key=SUBJECT.encode()).get(10)
    futures = []
    for place, (partition, value) in enumerate(sent):
        futures.append(producer.send(TOPIC_EVENTS, value, key=b"k", partition=partition))
        if place % 1000 == 0:
            futures.append(producer.send(TOPIC_EVENTS, poison, key=b"k", partition=partition))
    for future in futures:
        future.get(30)
    producer.close()

    kills = 0
    while True:
        monitor.start()
        target = min(len(futures), (kills + 1) * len(futures) // 4)
        read_until(monitor, target)
        if target == len(futures):
            break
        assert monitor.end(signal.SIGKILL) == -signal.SIGKILL
        kills += 1
    assert kills >= 3, "it must have been killed while it read"

    books = monitor.get(f"{BASE}/ledger")
    assert [partition["closes"] for partition in books["partitions"]] == [True] * PARTITIONS
    assert books["labels"]["closes"]
    assert books["labels"]["orphan"] == 0
    until(lambda: len(kafka.read(TOPIC_DEADLETTER)) >= len(futures) - len(sent), "the dead letters came", seconds=30)
    dead = [dict(record.headers)["switchyard-id"] for record in kafka.read(TOPIC_DEADLETTER)]
    assert len(set(dead)) == len(futures) - len(sent)
    (line,) = [line for line in monitor.get(f"{BASE}/quality") if line["role"] == "stable"]
    assert monitor.end(signal.SIGTERM) == 0

    # As the broker stamped them, in the plainest arithmetic.
    stamped = [
        (json.loads(record.value), (record.timestamp * 1000 - NOON_US) / SECOND)
        for record in kafka.read(TOPIC_EVENTS)
        if record.value != poison
    ]
    expected = recompute(stamped)
    store = SqlStore(f"sqlite:///{tmp_path / 'monitor.db'}")
    found = {
        (cell.arm.revision, cell.arm.role, cell.arm.traffic, (cell.start_us - NOON_US) // SECOND): cell.sums
        for cell in store.cells(store.arms(SUBJECT))
    }
    pairs = {
        (cell.pair.stable, cell.pair.mirrored, cell.pair.traffic, (cell.start_us - NOON_US) // SECOND): cell.sums
        for cell in store.pair_cells(store.pairs(SUBJECT))
    }
    store.close()
    assert found == expected
    assert pairs == recompute_pairs(stamped)
    assert 1000 < sum(sums["n"] for sums in pairs.values()) < 1400
    mine = [sums for (_, role, *_), sums in expected.items() if role == "stable"]
    squares = sum(sums.get("now.ee", 0) for sums in mine) / 2**40
    judged = sum(sums.get("now.n", 0) for sums in mine)
    assert line["latest"]["rmse"] == pytest.approx((squares / judged) ** 0.5, rel=1e-12)


def test_a_setting_that_is_wrong_ends_it_with_a_sentence(monitor: Monitor, tmp_path: Path) -> None:
    monitor.environment["MONITOR_LINGERS"] = "1s"
    monitor.start()
    assert monitor.process is not None
    assert monitor.process.wait(120) == 2
    assert "lingers" in (tmp_path / "monitor.log").read_text()


def test_it_is_ready_and_says_so_while_the_broker_is_away(monitor: Monitor) -> None:
    monitor.environment["MONITOR_KAFKA_SERVERS"] = f"127.0.0.1:{free_port()}"
    monitor.start()

    def says() -> str:
        try:
            return str(monitor.get("/readyz")["trouble"])
        except httpx.HTTPError:
            return ""

    until(lambda: "Kafka does not answer" in says(), "the trouble is said", seconds=200)
    assert monitor.end(signal.SIGTERM) == 0
