"""How many joined predictions (one inference with 20 features and one outcome) the monitor takes a second and core.

Run as `python tests/bench/bench_monitor.py [--kafka] [--postgres] [--predictions N] [--features N]`. CPU seconds of the
reader's process are counted: decoding, folding, SQLite (WAL, synchronous=FULL) and, with --kafka, the client. With
--postgres, what PostgreSQL uses is said beside it, in the same time. The events are made beforehand. An hour lies
between prediction and outcome, so each outcome finds its prediction in the database.
"""

from __future__ import annotations

import argparse
import os
import random
import sys
import time
import uuid
from collections.abc import Iterator
from contextlib import nullcontext
from pathlib import Path
from tempfile import TemporaryDirectory

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "support"))

from kafka import KafkaProducer
from switchyard_contracts.events import TOPIC_DEADLETTER, TOPIC_EVENTS, TOPIC_MODELS
from switchyard_monitor.adapters.store import SqlStore
from switchyard_monitor.bus import KafkaBroker
from switchyard_monitor.domain.facts import Record, read
from switchyard_monitor.models import Models
from switchyard_monitor.ports import Broker
from switchyard_monitor.reader import Pace, Reader
from switchyard_testkit.cache import Cache
from switchyard_testkit.kafka import broker as kafka_broker
from switchyard_testkit.local_broker import LocalBroker
from switchyard_testkit.monitor_world import MONITORING, NOON, NOON_US, SUBJECT, inference, model_record, outcome
from switchyard_testkit.postgres import real_postgres

HOUR = 3600.0
RATE = 100.0
"""Requests a second of the traffic that is played."""


def events(predictions: int, features: int, now: float) -> Iterator[tuple[bytes, float]]:
    """Each event with its time in seconds after NOON; all inferences of an hour come before its outcomes."""
    chance = random.Random(1)
    start = now - NOON.timestamp() - 2 * HOUR
    names = []
    for i in range(predictions):
        at = start + i / RATE
        name = f"{int((NOON.timestamp() + at) * 1000)}-{uuid.UUID(int=chance.getrandbits(128))}"
        names.append((name, at))
        request = {"encoding": "json", "value": {f"feature{n}": chance.random() * 100 for n in range(features)}}
        latency = int(chance.lognormvariate(8, 0.5))
        yield inference(name, at=at, y=chance.gauss(0, 30), request=request, latencyUs=latency), at
    for name, at in names:
        event_id = str(uuid.UUID(int=chance.getrandbits(128)))
        yield outcome(name, chance.gauss(0, 30), at=at + HOUR, event_id=event_id), at + HOUR


def run(broker: Broker, url: str, expected: int) -> float:
    """Read everything; answers the CPU seconds."""
    store = SqlStore(url)
    store.migrate()
    reader = Reader(
        member="bench",
        broker=broker,
        store=store,
        models=Models(),
        pace=Pace(),
        clock_us=lambda: time.time_ns() // 1000,
    )
    began, done = time.process_time(), 0
    while done < expected:
        done += reader.step()
    used = time.process_time() - began
    columns: dict[str, int] = {}
    for ledger in store.ledgers():
        for column, value in ledger.columns.items():
            columns[column] = columns.get(column, 0) + value
    assert columns == {"stored": expected}, columns
    labels = store.labels(SUBJECT)
    assert labels["joined"] == expected // 2, labels
    store.close()
    return used


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kafka", action="store_true")
    parser.add_argument("--postgres", action="store_true")
    parser.add_argument("--predictions", type=int, default=30_000)
    parser.add_argument("--features", type=int, default=20)
    arguments = parser.parse_args()
    monitoring = {**MONITORING, "window": "5m", "outcome": {**MONITORING["outcome"], "judgedAfter": "12h"}}
    made = list(events(arguments.predictions, arguments.features, time.time()))
    with TemporaryDirectory() as name, real_postgres() if arguments.postgres else nullcontext() as server:
        folder = Path(name)
        url = server.empty() if server else f"sqlite:///{folder / 'monitor.db'}"
        served = server.cpu_seconds() if server else 0.0
        if arguments.kafka:
            with kafka_broker(Cache.from_env(os.environ), folder / "kafka") as process:
                for topic in (TOPIC_EVENTS, TOPIC_MODELS, TOPIC_DEADLETTER):
                    process.create(topic, partitions=1)
                producer = KafkaProducer(bootstrap_servers=process.servers, linger_ms=20, batch_size=262_144)
                producer.send(TOPIC_MODELS, model_record(monitoring), key=SUBJECT.encode()).get(30)
                for value, _ in made:
                    producer.send(TOPIC_EVENTS, value, key=b"k")
                producer.flush()
                producer.close()
                client = KafkaBroker({"bootstrap_servers": process.servers})
                used = run(client, url, len(made))
                client.close()
        else:
            local = LocalBroker()
            local.teach(SUBJECT, model_record(monitoring))
            for value, at in made:
                local.append(value, at_us=NOON_US + int(at * 1e6))
            used = run(local, url, len(made))
        if server:
            served = server.cpu_seconds() - served
            with server.connect(url.rpartition("/")[2]) as connection:
                (size,) = connection.execute("SELECT pg_database_size(current_database())").fetchone() or (0,)
        else:
            size = sum(path.stat().st_size for path in folder.glob("monitor.db*"))
    began = time.process_time()
    for value, _ in made:
        read(Record(0, 0, 0, None, value))
    reading = time.process_time() - began
    sys.stdout.write(
        f"{'with Kafka' if arguments.kafka else 'without Kafka'},"
        f" {'PostgreSQL' if arguments.postgres else 'SQLite'}, {arguments.features} features,"
        f" {arguments.predictions:,} predictions: {arguments.predictions / used:,.0f} joined/s/core"
        f" ({used / arguments.predictions * 1e6:.1f} µs CPU each; {reading / arguments.predictions * 1e6:.1f} µs of it"
        f" reading JSON); {size / arguments.predictions:.0f} bytes on disk each"
        f"{f'; the server used {served / arguments.predictions * 1e6:.1f} µs each' if arguments.postgres else ''}\n"
    )


if __name__ == "__main__":
    main()
