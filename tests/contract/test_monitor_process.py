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
from collections.abc import Callable, Iterator, Mapping
from datetime import datetime
from itertools import pairwise
from pathlib import Path
from typing import Any

import httpx
import pytest
from kafka import KafkaProducer
from switchyard_contracts.alarm_records import AlarmRecord
from switchyard_contracts.topic_names import TopicNames
from switchyard_monitor.adapters.store import SqlStore
from switchyard_testkit.cache import Cache
from switchyard_testkit.databases import Databases
from switchyard_testkit.envoy import free_port
from switchyard_testkit.kafka import Broker, broker
from switchyard_testkit.monitor_world import (
    MONITORING,
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
from switchyard_testkit.postgres import PASSWORD, Postgres, real_postgres
from switchyard_testkit.recomputation import recompute, recompute_pairs
from switchyard_testkit.waiting import until

PARTITIONS = 3
PREDICTIONS = 2000
BASE = "/v1/deployments/demo/flight-delay"
POISON = b'{"type":"dev.switchyard.outcome.v1"}'

pytestmark = pytest.mark.timeout(900)


@pytest.fixture(scope="module")
def kafka(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Broker]:
    with broker(Cache.from_env(os.environ), tmp_path_factory.mktemp("kafka")) as process:
        yield process


@pytest.fixture
def topics(kafka: Broker, tmp_path: Path) -> TopicNames:
    """Topics of the test's own."""
    names = TopicNames(tmp_path.name)
    for topic, partitions in ((names.events, PARTITIONS), (names.models, 1), (names.deadletter, 1), (names.alarms, 1)):
        kafka.create(topic, partitions=partitions)
    return names


@pytest.fixture
def start(kafka: Broker, topics: TopicNames, tmp_path: Path) -> Iterator[Start]:
    """Makes replicas; all of them are ended."""
    made: list[Monitor] = []

    def make(**changes: str) -> Monitor:
        folder = tmp_path / f"monitor-{len(made)}"
        folder.mkdir()
        made.append(Monitor(kafka, topics, folder, changes))
        return made[-1]

    yield make
    for monitor in made:
        if monitor.process is not None and monitor.process.poll() is None:
            monitor.end(signal.SIGKILL)


class Monitor:
    """The process, its folder and its door."""

    def __init__(self, kafka: Broker, topics: TopicNames, folder: Path, changes: Mapping[str, str]) -> None:
        self.folder, self.port = folder, free_port()
        tokens = [{"name": "test", "sha256": hashlib.sha256(b"secret").hexdigest(), "deployments": ["*"]}]
        (folder / "tokens.json").write_text(json.dumps(tokens))
        self.environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith("MONITOR_")},
            "MONITOR_KAFKA_SERVERS": kafka.servers,
            "MONITOR_KAFKA_TOPIC_PREFIX": topics.prefix,
            "MONITOR_DATABASE": f"sqlite:///{folder / 'monitor.db'}",
            "MONITOR_TOKENS_FILE": str(folder / "tokens.json"),
            "MONITOR_PORT": str(self.port),
            "MONITOR_MEMBER": folder.name,
            "MONITOR_BATCH": "200",
            "MONITOR_LINGER": "50ms",
            **changes,
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
            f"http://127.0.0.1:{self.port}{path}", headers={"Authorization": "Bearer secret"}, timeout=30
        )
        return answer.raise_for_status().json()

    def says(self, path: str) -> str:
        """What it says to anybody; nothing while it does not answer."""
        try:
            return httpx.get(f"http://127.0.0.1:{self.port}{path}", timeout=30).text
        except httpx.HTTPError:
            return ""

    def read(self) -> int:
        """How many offsets were committed; 0 while it does not answer or does not know the deployment."""
        try:
            return sum(partition["read"] for partition in self.get(f"{BASE}/ledger")["partitions"])
        except httpx.HTTPError:
            return 0


Start = Callable[..., Monitor]
Key = tuple[str, str, int, int]
"""Revision, role, traffic, and the start of the window in seconds after noon."""


def read_until(monitor: Monitor, target: int) -> None:
    until(lambda: monitor.read() >= target, f"{target} events were read", seconds=200)


def tell(kafka: Broker, topics: TopicNames, predictions: int) -> tuple[int, int]:
    """Publish the deployment and its events, shuffled over all partitions; how many, and how many of them poison."""
    chance = random.Random(7)
    started = time.time() - NOON.timestamp() - 60
    sent: list[tuple[int, bytes]] = []
    for i in range(predictions):
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
    producer = KafkaProducer(bootstrap_servers=kafka.servers, acks="all", linger_ms=20)
    producer.send(topics.models, model_record(), key=SUBJECT.encode()).get(60)
    futures = []
    for place, (partition, value) in enumerate(sent):
        futures.append(producer.send(topics.events, value, key=b"k", partition=partition))
        if place % 1000 == 0:
            futures.append(producer.send(topics.events, POISON, key=b"k", partition=partition))
    for future in futures:
        future.get(60)
    producer.close()
    return len(futures), len(futures) - len(sent)


def counted_once(kafka: Broker, topics: TopicNames, url: str, *, poison: int) -> dict[Key, dict[str, int]]:
    """See that the sums in the database are those of the topic, in the plainest arithmetic; answers them."""
    until(lambda: len(dead_letters(kafka, topics)) >= poison, "the dead letters came", seconds=60)
    assert len(dead_letters(kafka, topics)) == poison
    # As the broker stamped them.
    stamped = [
        (json.loads(record.value), (record.timestamp * 1000 - NOON_US) / SECOND)
        for record in kafka.read(topics.events)
        if record.value != POISON
    ]
    store = SqlStore(url)
    found = {
        (cell.arm.revision, cell.arm.role, cell.arm.traffic, (cell.start_us - NOON_US) // SECOND): cell.sums
        for cell in store.cells(store.arms(SUBJECT))
    }
    pairs = {
        (cell.pair.stable, cell.pair.mirrored, cell.pair.traffic, (cell.start_us - NOON_US) // SECOND): cell.sums
        for cell in store.pair_cells(store.pairs(SUBJECT))
    }
    store.close()
    assert found == recompute(stamped)
    assert pairs == recompute_pairs(stamped)
    assert 0.5 < sum(sums["n"] for sums in pairs.values()) / sum(sums["requests"] for sums in stable(found)) < 0.7
    return found


def stable(found: Mapping[Key, dict[str, int]]) -> list[dict[str, int]]:
    return [sums for (_, role, *_), sums in found.items() if role == "stable"]


def dead_letters(kafka: Broker, topics: TopicNames) -> set[bytes]:
    """Their ids; one may be sent twice."""
    return {dict(record.headers)["switchyard-id"] for record in kafka.read(topics.deadletter)}


def test_killed_again_and_again_it_counts_everything_once(
    kafka: Broker, topics: TopicNames, start: Start, databases: Databases
) -> None:
    events, poison = tell(kafka, topics, PREDICTIONS)
    url = databases.up_to_date()
    monitor = start(MONITOR_DATABASE=url)
    kills = 0
    while True:
        monitor.start()
        target = min(events, (kills + 1) * events // 4)
        read_until(monitor, target)
        if target == events:
            break
        assert monitor.end(signal.SIGKILL) == -signal.SIGKILL
        kills += 1
    assert kills >= 3, "it must have been killed while it read"

    books = monitor.get(f"{BASE}/ledger")
    assert [partition["closes"] for partition in books["partitions"]] == [True] * PARTITIONS
    assert books["labels"]["closes"]
    assert books["labels"]["orphan"] == 0
    (line,) = [line for line in monitor.get(f"{BASE}/quality") if line["role"] == "stable"]
    mine = stable(counted_once(kafka, topics, url, poison=poison))
    assert monitor.end(signal.SIGTERM) == 0
    squares = sum(sums.get("now.ee", 0) for sums in mine) / 2**40
    judged = sum(sums.get("now.n", 0) for sums in mine)
    assert line["latest"]["rmse"] == pytest.approx((squares / judged) ** 0.5, rel=1e-12)


def test_replicas_share_the_partitions_and_take_over_from_one_that_is_killed(
    kafka: Broker, topics: TopicNames, start: Start, postgres: Postgres
) -> None:
    url = postgres.up_to_date()
    one, other = (start(MONITOR_DATABASE=url, MONITOR_LEASE="3s", MONITOR_BATCH="10") for _ in range(2))
    one.start()
    other.start()
    watching = SqlStore(url)

    def owners() -> set[str | None]:
        return {position.owner for position in watching.positions()}

    until(lambda: owners() == {"monitor-0", "monitor-1"}, "both hold partitions", seconds=120)
    events, poison = tell(kafka, topics, PREDICTIONS)
    read_until(other, events // 4)
    assert other.read() < events, "it must be killed while there is something to read"
    assert one.end(signal.SIGKILL) == -signal.SIGKILL
    read_until(other, events)
    assert owners() == {"monitor-1"}
    watching.close()
    counted_once(kafka, topics, url, poison=poison)
    assert other.end(signal.SIGTERM) == 0


def test_while_the_database_is_away_it_waits_and_says_so_and_loses_nothing(
    kafka: Broker, topics: TopicNames, start: Start
) -> None:
    def says(path: str) -> str:
        try:
            return httpx.get(f"http://127.0.0.1:{monitor.port}{path}", timeout=30).text
        except httpx.HTTPError:
            return ""

    with real_postgres() as server:
        url = server.empty()
        server.stop()
        # As the chart says it of `monitor.database.caSecret`.
        authority = {"PGSSLMODE": "verify-full", "PGSSLROOTCERT": str(server.folder / "ca.crt")}
        monitor = start(MONITOR_DATABASE=url, MONITOR_BATCH="10", **authority)
        monitor.start()
        until(lambda: "Connection refused" in says("/healthz"), "it says what it waits for", seconds=120)
        until(lambda: "Store unavailable" in says("/readyz"), "and that it reads nothing meanwhile", seconds=60)
        # All of it is told before any of it can be read: it is to be missed while there is something to read.
        events, poison = tell(kafka, topics, PREDICTIONS)
        server.start()
        until(lambda: '"status":"ok"' in says("/readyz"), "it found the database and made its tables", seconds=60)

        for part in (1, 2):
            read_until(monitor, part * events // 4)
            assert monitor.read() < events, "it must be missed while there is something to read"
            server.crash()
            until(lambda: "refused" in says("/healthz"), "the database is missed", seconds=60)
            until(lambda: "Store unavailable" in says("/readyz"), "and that is said", seconds=60)
            assert "switchyard_monitor_failed_passes_total 0.0" not in says("/metrics")
            server.start()
        read_until(monitor, events)
        with server.connect() as connection:
            query = (
                "SELECT bool_and(ssl) FROM pg_stat_ssl JOIN pg_stat_activity USING (pid) WHERE application_name = %s"
            )
            assert connection.execute(query, ("switchyard-monitor",)).fetchone() == (True,)
        counted_once(kafka, topics, url, poison=poison)
        assert monitor.end(signal.SIGTERM) == 0
    assert PASSWORD not in (monitor.folder / "monitor.log").read_text()
    assert "waiting: the database refused" in (monitor.folder / "monitor.log").read_text()


def test_what_is_read_again_beside_a_monitor_that_runs_is_known_to_it(
    kafka: Broker, topics: TopicNames, start: Start, databases: Databases
) -> None:
    events, poison = tell(kafka, topics, 300)
    url = databases.up_to_date()
    monitor = start(MONITOR_DATABASE=url)
    monitor.start()
    read_until(monitor, events)
    found = counted_once(kafka, topics, url, poison=poison)

    def replay(*arguments: str) -> tuple[int, str]:
        command = [sys.executable, "-m", "switchyard_monitor", "replay", *arguments]
        done = subprocess.run(command, env=monitor.environment, capture_output=True, text=True, check=False)
        return done.returncode, done.stdout

    code, said = replay("letters")
    assert (code, said.splitlines()[0]) == (1, "0 taken in now, 0 were before")
    assert said.count("Field required") == poison
    code, said = replay("events")
    assert (code, said.count("events are read once more")) == (0, PARTITIONS)

    def books() -> list[dict[str, Any]]:
        partitions: list[dict[str, Any]] = monitor.get(f"{BASE}/ledger")["partitions"]
        return partitions

    def known() -> int:
        return sum(line["columns"].get("duplicate", 0) for line in books())

    until(lambda: known() == events - poison, "all came", seconds=120)
    read_until(monitor, events)
    assert [line["closes"] for line in books()] == [True] * PARTITIONS
    assert sum(line["columns"]["replayed"] for line in books()) == -events
    assert counted_once(kafka, topics, url, poison=poison) == found
    assert replay("events", "--offset", "99999")[0] == 2
    assert replay("events", "--partition", "9") == (
        2,
        "nothing more was done: the topic has no partition 9; it has 0, 1, 2\n",
    )
    assert monitor.end(signal.SIGTERM) == 0


WATCHED = {
    **MONITORING,
    "window": "1s",
    "alarms": [
        {"name": "failing", "metric": "error_rate", "max": "50%", "window": "1s", "after": "1s", "minSamples": 2}
        | {"breaches": 2, "of": 2, "cooldown": "0s"},
        {"name": "silent", "metric": "requests", "min": 1, "window": "1s", "after": "1s", "breaches": 3, "of": 3},
    ],
}


def serve(kafka: Broker, topics: TopicNames, seconds: int, between: Callable[[int], None]) -> None:
    """Traffic as it comes, ten requests a second; of each twelve seconds they fail in the last six."""
    producer = KafkaProducer(bootstrap_servers=kafka.servers, acks="all")
    producer.send(topics.models, model_record(WATCHED, stable="stable-1"), key=SUBJECT.encode()).get(60)
    began = time.time()
    for number in range(10 * seconds):
        until(lambda due=began + number / 10: time.time() >= due, "its time has come", seconds=60)  # type: ignore[misc]
        at = time.time()
        failed = {"status": 503, "error": True} if at % 12 >= 6 else {}
        value = inference(f"a{number}", at=at - NOON.timestamp(), **failed)
        producer.send(topics.events, value, key=b"k", partition=number % PARTITIONS)
        if number % 10 == 9:
            between(number // 10)
    producer.flush()
    producer.close()


def test_killed_again_and_again_it_tells_each_alarm_under_one_id(
    kafka: Broker, topics: TopicNames, start: Start, databases: Databases
) -> None:
    monitor = start(MONITOR_DATABASE=databases.up_to_date(), MONITOR_LEASE="3s")
    monitor.start()
    kills = 0

    def kill(second: int) -> None:
        nonlocal kills
        if second % 10 == 8:
            assert monitor.end(signal.SIGKILL) == -signal.SIGKILL
            monitor.start()
            kills += 1

    until(lambda: monitor.read() >= 0 and "watermark" in monitor.says("/metrics"), "it reads", seconds=120)
    serve(kafka, topics, 40, kill)
    assert kills == 4

    def told() -> list[AlarmRecord]:
        return [AlarmRecord.model_validate_json(record.value) for record in kafka.read(topics.alarms)]

    until(lambda: any(said.alarm == "silent" for said in told()), "its silence is told after all", seconds=120)
    found = {record.id: record for record in told()}
    assert all(found[record.id] == record for record in told()), "the same id says the same, however often it is sent"
    failing = sorted((record for record in found.values() if record.alarm == "failing"), key=lambda said: said.at)
    words = [record.event.value for record in failing]
    assert words == (["Fired", "Recovered"] * len(words))[: len(words)]
    assert len(words) >= 2
    book = monitor.get(f"{BASE}/alarms?limit=500")
    assert {record["id"] for record in book["records"]} == set(found)
    (state,) = [alarm for alarm in book["alarms"] if alarm["alarm"] == "silent"]
    starts = [datetime.fromisoformat(look["start"]).timestamp() for look in state["looks"]]
    assert [later - earlier for earlier, later in pairwise(starts)] == [1.0, 1.0], "no window was passed over"
    assert monitor.end(signal.SIGTERM) == 0


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        pytest.param({"MONITOR_LINGERS": "1s"}, "lingers", id="a setting that there is not"),
        pytest.param({"MONITOR_DATABASE": "mysql://me:secret@db/m"}, "'mysql' is not supported", id="another database"),
        pytest.param({"MONITOR_DATABASE": "me:secret@db"}, "cannot be read; it looks like", id="no URL at all"),
    ],
)
def test_a_setting_that_is_wrong_ends_it_with_a_sentence(start: Start, changes: dict[str, str], says: str) -> None:
    monitor = start(**changes)
    monitor.start()
    assert monitor.process is not None
    assert monitor.process.wait(120) == 2
    said = (monitor.folder / "monitor.log").read_text()
    assert says in said
    assert "secret" not in said


def test_it_is_ready_and_says_so_while_the_broker_is_away(start: Start) -> None:
    monitor = start(MONITOR_KAFKA_SERVERS=f"127.0.0.1:{free_port()}")
    monitor.start()

    def says() -> str:
        try:
            return str(monitor.get("/readyz")["trouble"])
        except httpx.HTTPError:
            return ""

    until(lambda: "Kafka does not answer" in says(), "the trouble is said", seconds=200)
    assert monitor.end(signal.SIGTERM) == 0
