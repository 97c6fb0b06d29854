"""The topic of rollouts: in memory, as unit tests trust it, and Kafka, behind one suite."""

from __future__ import annotations

import itertools
import os
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Protocol

import pytest
from kafka import KafkaProducer
from switchyard_monitor.errors import BrokerUnavailable
from switchyard_monitor.ports import RolloutLog
from switchyard_monitor.rollout_bus import KafkaRollouts
from switchyard_testkit.cache import Cache
from switchyard_testkit.envoy import free_port
from switchyard_testkit.kafka import Broker, broker
from switchyard_testkit.page_world import LocalRollouts
from switchyard_testkit.waiting import until

NUMBERS = itertools.count()
SOON = {"bootstrap_timeout_ms": 500, "reconnect_backoff_max_ms": 200}
"""Where nobody answers, that is said soon; somebody who is slow has his time."""

pytestmark = pytest.mark.timeout(300)


class Bench(Protocol):
    """A topic, and somebody who writes to it."""

    def opened(self) -> RolloutLog:
        """A reader, as a new process makes it."""

    def append(self, *values: bytes) -> None:
        """Write to the topic."""

    def missing(self) -> RolloutLog:
        """A reader of a topic that does not exist."""

    def away(self) -> RolloutLog:
        """A reader that nobody answers."""


@dataclass
class LocalBench:
    log: LocalRollouts

    def opened(self) -> RolloutLog:
        return LocalRollouts(topic_id=self.log.topic_id, log=self.log.log)

    def append(self, *values: bytes) -> None:
        for value in values:
            self.log.append(value)

    def missing(self) -> RolloutLog:
        return LocalRollouts(topic_id=None)

    def away(self) -> RolloutLog:
        return LocalRollouts(away=True)


@dataclass
class KafkaBench:
    servers: str
    topic: str

    def opened(self) -> RolloutLog:
        return self._reader(self.topic)

    def append(self, *values: bytes) -> None:
        producer = KafkaProducer(bootstrap_servers=self.servers)
        for value in values:
            producer.send(self.topic, value=value)
        producer.flush()
        producer.close()

    def missing(self) -> RolloutLog:
        return self._reader(f"{self.topic}.missing")

    def away(self) -> RolloutLog:
        return KafkaRollouts(lambda: {"bootstrap_servers": f"127.0.0.1:{free_port()}", **SOON}, topic=self.topic)

    def _reader(self, topic: str) -> RolloutLog:
        return KafkaRollouts(lambda: {"bootstrap_servers": self.servers}, topic=topic)


@pytest.fixture(scope="module")
def kafka(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Broker]:
    with broker(Cache.from_env(os.environ), tmp_path_factory.mktemp("kafka")) as process:
        yield process


@pytest.fixture(params=["in memory", "Kafka"])
def bench(request: pytest.FixtureRequest) -> Bench:
    if request.param == "in memory":
        return LocalBench(LocalRollouts())
    process: Broker = request.getfixturevalue("kafka")
    topic = f"rollouts.{next(NUMBERS)}"
    process.create(topic, partitions=1)
    return KafkaBench(process.servers, topic)


def poll(log: RolloutLog, count: int) -> list[Any]:
    """The next records, once so many have come."""
    found: list[Any] = []

    def enough() -> bool:
        found.extend(log.poll())
        return len(found) >= count

    until(enough, f"{count} records", seconds=60, every=0.05)
    return found


def test_a_topic_is_read_from_its_start_and_then_what_is_new(bench: Bench) -> None:
    bench.append(b"1", b"2")
    log = bench.opened()
    assert log.open(None, {})
    assert [(record.offset, record.value) for record in poll(log, 2)] == [(0, b"1"), (1, b"2")]
    bench.append(b"3")
    assert [record.value for record in poll(log, 1)] == [b"3"]
    log.close()


def test_it_has_ended_when_all_was_handed_over_that_was_there_when_it_was_opened(bench: Bench) -> None:
    log = bench.opened()
    assert log.open(None, {})
    assert log.ended(), "nothing was there"
    log.close()
    bench.append(b"1", b"2")
    assert log.open(None, {})
    assert not log.ended()
    poll(log, 2)
    assert log.ended()
    log.close()


@pytest.mark.parametrize(
    ("offset", "same", "first"),
    [
        pytest.param(1, True, b"2", id="a place in the log is read on from"),
        pytest.param(99, True, b"1", id="a place that is not in the log leads to the start"),
        pytest.param(1, False, b"1", id="a place in another topic leads to the start"),
    ],
)
def test_where_a_new_process_begins(bench: Bench, offset: int, same: bool, first: bytes) -> None:
    bench.append(b"1", b"2")
    before = bench.opened()
    topic = before.open(None, {})
    before.close()
    log = bench.opened()
    assert log.open(topic if same else "another", {0: offset}) == topic
    assert poll(log, 1)[0].value == first
    log.close()


def test_a_topic_that_does_not_exist_is_said_and_not_made(bench: Bench) -> None:
    log = bench.missing()
    assert log.open(None, {}) is None
    assert log.open(None, {}) is None
    log.close()


def test_a_broker_that_is_away_is_an_error_that_may_pass(bench: Bench) -> None:
    log = bench.away()
    with pytest.raises(BrokerUnavailable):
        log.open(None, {})
    log.close()
