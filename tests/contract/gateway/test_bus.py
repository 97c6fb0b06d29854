"""What the shipper may expect of a bus: the one in memory and Kafka pass the same suite."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from switchyard_gateway.shipper.bus import Bus, Failure, KafkaBus, KafkaTarget, Outcome, Record
from switchyard_testkit.cache import Cache
from switchyard_testkit.kafka import Broker, broker
from switchyard_testkit.local_bus import LocalBus
from switchyard_testkit.waiting import until

TOPIC = "switchyard.events"
LARGEST = 100_000


@dataclass
class Harness:
    """A bus, and what lies behind it."""

    bus: Bus
    taken: Callable[[], list[Record]]
    go_away: Callable[[], None]
    come_back: Callable[[], None]

    def send(self, *records: Record) -> Outcome:
        """A batch, and what became of it."""
        self.bus.submit(records)
        return until(self.bus.outcome, "the batch has an outcome", seconds=60, every=0.01)


def in_memory() -> Iterator[Harness]:
    bus = LocalBus(largest=LARGEST)

    def away(is_away: bool) -> None:
        bus.away = is_away

    yield Harness(bus, lambda: bus.taken, lambda: away(True), lambda: away(False))


def real(process: Broker, topic: str, patience: float) -> Iterator[Harness]:
    if process.process is None:
        process.start()
    process.create(topic)
    brokers = {"bootstrap_servers": process.servers, "reconnect_backoff_max_ms": 1000}
    size = LARGEST + 200
    bus = KafkaBus(KafkaTarget(connection=lambda: brokers, topic=topic, timeout=patience, max_request_bytes=size))

    def taken() -> list[Record]:
        return [Record(record.key, record.value) for record in process.read(topic)]

    try:
        yield Harness(bus, taken, lambda: process.end(signal.SIGKILL), process.start)
    finally:
        bus.close()


@pytest.fixture(scope="module")
def process(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Broker]:
    with broker(Cache.from_env(os.environ), tmp_path_factory.mktemp("kafka")) as running:
        yield running


@pytest.fixture
def patience() -> float:
    """Seconds after which Kafka counts as silent: many, where it has to take what it is given."""
    return 20.0


@pytest.fixture(params=["in memory", "kafka"])
def harness(request: pytest.FixtureRequest, tmp_path: Path, patience: float) -> Iterator[Harness]:
    if request.param == "in memory":
        yield from in_memory()
    else:
        yield from real(request.getfixturevalue("process"), tmp_path.name.strip("_"), patience)


def record(number: int, size: int = 10) -> Record:
    return Record(f"shop/flight/{number}".encode(), str(number).encode().rjust(size, b"0"))


def test_a_batch_is_delivered(harness: Harness) -> None:
    assert harness.bus.outcome() is None, "nothing was handed over"
    batch = [record(number) for number in range(300)]
    assert harness.send(*batch) == Outcome()
    assert harness.bus.outcome() is None, "an outcome is told once"
    assert harness.send(record(300)) == Outcome()
    assert sorted(harness.taken(), key=lambda each: each.value) == [*batch, record(300)]


def test_a_record_that_is_too_large_fails_alone(harness: Harness) -> None:
    outcome = harness.send(record(1), record(2, size=LARGEST + 1000), record(3))
    assert outcome.failures == {1: Failure.TOO_LARGE}
    assert sorted(each.key for each in harness.taken()) == [b"shop/flight/1", b"shop/flight/3"]


@pytest.mark.parametrize("patience", [3.0])
def test_nobody_there_is_said_and_got_over(harness: Harness, patience: float) -> None:
    until(lambda: harness.send(record(1)) == Outcome(), "the first is taken", seconds=60)
    harness.go_away()
    outcome = harness.send(record(2), record(3))
    assert outcome.failures == {0: Failure.UNAVAILABLE, 1: Failure.UNAVAILABLE}
    assert outcome.detail
    harness.come_back()
    until(lambda: not harness.send(record(2), record(3)).failures, "both are taken", seconds=60)
    # What had failed may have arrived all the same; nothing else is there.
    assert {each.key for each in harness.taken()} == {b"shop/flight/1", b"shop/flight/2", b"shop/flight/3"}
