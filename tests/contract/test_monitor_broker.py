"""The monitor's broker: in memory, as unit tests trust it, and Kafka, behind one suite, alone and read whole."""

from __future__ import annotations

import gc
import os
import signal
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Protocol

import pytest
from kafka import KafkaAdminClient, KafkaProducer, TopicPartition
from switchyard_contracts.events import TOPIC_DEADLETTER
from switchyard_monitor.adapters.store import SqlStore
from switchyard_monitor.bus import KafkaBroker, KafkaLetters
from switchyard_monitor.domain.facts import Record
from switchyard_monitor.errors import BrokerUnavailable, OffsetLost
from switchyard_monitor.models import Models
from switchyard_monitor.ports import Bounds, DeadLetters, Letter
from switchyard_monitor.ports import Broker as BrokerPort
from switchyard_monitor.reader import Pace, Reader
from switchyard_testkit.cache import Cache
from switchyard_testkit.halting import halt
from switchyard_testkit.kafka import Broker, broker
from switchyard_testkit.local_broker import LocalBroker, LocalLetters
from switchyard_testkit.monitor_world import NOON, SUBJECT, inference, model_record, outcome
from switchyard_testkit.waiting import until

pytestmark = pytest.mark.timeout(300)


class Bench(Protocol):
    """A broker under test, and what tests must do to it from outside."""

    @property
    def port(self) -> BrokerPort: ...
    def append(self, partition: int, value: bytes | None) -> None: ...
    def teach(self, key: str, value: bytes | None) -> None: ...
    def delete_before(self, partition: int, offset: int) -> None: ...
    def dead(self) -> list[tuple[bytes | None, bytes | None, dict[str, bytes]]]: ...
    def letters(self) -> DeadLetters: ...
    def silence(self) -> None: ...
    def close(self) -> None: ...


class InMemory:
    """The fake."""

    def __init__(self) -> None:
        self.port = self.local = LocalBroker(partitions=2)

    def append(self, partition: int, value: bytes | None) -> None:
        self.local.append(value, partition=partition, at_us=time.time_ns() // 1000, key=b"k")

    def teach(self, key: str, value: bytes | None) -> None:
        self.local.teach(key, value)

    def delete_before(self, partition: int, offset: int) -> None:
        self.local.delete_before(partition, offset)

    def dead(self) -> list[tuple[bytes | None, bytes | None, dict[str, bytes]]]:
        return [(letter.key, letter.value, dict(letter.headers)) for letter in self.local.sent]

    def letters(self) -> DeadLetters:
        return LocalLetters(self.local)

    def silence(self) -> None:
        self.local.away = True

    def close(self) -> None:
        self.local.close()


class OnKafka:
    """The adapter, on topics of its own."""

    def __init__(self, process: Broker, name: str) -> None:
        self.process, self.events, self.models = process, f"{name}-events", f"{name}-models"
        for topic, partitions in ((self.events, 2), (self.models, 1), (TOPIC_DEADLETTER, 1)):
            process.create(topic, partitions=partitions)
        self.producer = KafkaProducer(bootstrap_servers=process.servers, acks="all")
        # Long enough for a broker that is only slow, and short enough to wait for one that is silent.
        self.port = KafkaBroker(
            {"bootstrap_servers": process.servers, "request_timeout_ms": 10_000, "reconnect_backoff_max_ms": 200},
            events=self.events,
            models=self.models,
        )
        self.seen = len(process.read(TOPIC_DEADLETTER))
        self.silent = False

    def append(self, partition: int, value: bytes | None) -> None:
        self.producer.send(self.events, value, key=b"k", partition=partition).get(60)

    def teach(self, key: str, value: bytes | None) -> None:
        self.producer.send(self.models, value, key=key.encode()).get(60)

    def delete_before(self, partition: int, offset: int) -> None:
        admin = KafkaAdminClient(bootstrap_servers=self.process.servers)
        admin.delete_records({TopicPartition(self.events, partition): offset})
        admin.close()

    def dead(self) -> list[tuple[bytes | None, bytes | None, dict[str, bytes]]]:
        records = self.process.read(TOPIC_DEADLETTER)[self.seen :]
        return [(record.key, record.value, dict(record.headers)) for record in records]

    def letters(self) -> DeadLetters:
        return KafkaLetters({"bootstrap_servers": self.process.servers}, topic=TOPIC_DEADLETTER)

    def silence(self) -> None:
        assert self.process.process is not None
        self.silent = True
        halt(self.process.process.pid)

    def close(self) -> None:
        if self.silent and self.process.process is not None:
            self.process.process.send_signal(signal.SIGCONT)
        self.producer.close()
        self.port.close()


@pytest.fixture(scope="module")
def kafka(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Broker]:
    with broker(Cache.from_env(os.environ), tmp_path_factory.mktemp("kafka")) as process:
        yield process


@pytest.fixture(params=["in memory", "Kafka"])
def bench(request: pytest.FixtureRequest) -> Iterator[Bench]:
    made: Bench
    if request.param == "in memory":
        made = InMemory()
    else:
        name = "".join(letter if letter.isalnum() else "-" for letter in request.node.name)
        made = OnKafka(request.getfixturevalue("kafka"), name)
    yield made
    made.close()


def drain(bench: Bench, count: int) -> dict[int, list[Record]]:
    """Poll until so many records came."""
    found: dict[int, list[Record]] = {}

    def enough() -> bool:
        for number, records in bench.port.poll(100, 0.2).items():
            found.setdefault(number, []).extend(records)
        return sum(map(len, found.values())) >= count

    until(enough, f"{count} records came", seconds=60)
    return found


def test_the_topic_has_an_id_and_partitions(bench: Bench) -> None:
    topic = bench.port.topic()
    assert topic.partitions == (0, 1)
    assert topic.id not in ("", "None", "00000000-0000-0000-0000-000000000000")
    assert bench.port.topic() == topic


def test_records_come_in_order_from_where_they_were_asked_for(bench: Bench) -> None:
    for i in range(5):
        bench.append(0, b"%d" % i)
    bench.append(1, b"other")
    bench.port.assign({0: 2, 1: 0})
    found = drain(bench, 4)
    assert [(record.offset, record.value) for record in found[0]] == [(2, b"2"), (3, b"3"), (4, b"4")]
    assert [record.value for record in found[1]] == [b"other"]
    assert found[0][0].key == b"k"
    assert abs(found[0][0].broker_us - time.time_ns() // 1000) < 60_000_000
    bench.port.assign({0: 4})
    assert [record.value for record in drain(bench, 1)[0]] == [b"4"]
    assert bench.port.poll(100, 0.1) == {}


def test_what_was_polled_is_held_by_nobody_else(bench: Bench) -> None:
    for i in range(3):
        bench.append(0, b"%d" % i)
    bench.port.assign({0: 0})
    drain(bench, 3)
    gc.collect()
    gc.disable()  # it would find the circle that the client makes when its wait ends
    try:
        bench.port.assign({0: 0})
        polled: list[dict[int, list[Record]]] = []
        until(lambda: bool(polled.append(bench.port.poll(100, 1.0)) or polled[-1]), "records came", seconds=60)
        records = polled[-1][0]
        polled.clear()
        holders = sys.getrefcount(records)
    finally:
        gc.enable()
    assert records
    assert holders == 2, "the name here, and the call's own"


def test_a_poll_hands_out_no_more_than_asked(bench: Bench) -> None:
    for i in range(7):
        bench.append(0, b"%d" % i)
    bench.port.assign({0: 0})
    seen: list[int] = []
    while len(seen) < 7:
        polled = bench.port.poll(3, 1.0).get(0, [])
        assert len(polled) <= 3
        seen += [record.offset for record in polled]
    assert seen == list(range(7))


def test_bounds_follow_the_log(bench: Bench) -> None:
    assert bench.port.bounds([0, 1]) == {0: Bounds(0, 0), 1: Bounds(0, 0)}
    for i in range(4):
        bench.append(1, b"%d" % i)
    bench.delete_before(1, 3)
    assert bench.port.bounds([1]) == {1: Bounds(3, 4)}
    assert bench.port.bounds([]) == {}


def test_an_offset_that_was_deleted_is_an_error_and_never_a_reset(bench: Bench) -> None:
    for i in range(4):
        bench.append(0, b"%d" % i)
    bench.delete_before(0, 3)
    bench.port.assign({0: 1})
    with pytest.raises(OffsetLost) as lost:
        until(lambda: bool(bench.port.poll(10, 0.2)), "a poll that must not bring anything", seconds=20)
    assert lost.value.partition == 0


def test_the_first_look_at_models_reads_to_the_end_and_the_next_what_is_new(bench: Bench) -> None:
    for i in range(3):
        bench.teach(f"ns/m{i}", b"%d" % i)
    assert [record.value for record in bench.port.models()] == [b"0", b"1", b"2"]
    bench.teach("ns/m1", None)
    found: list[Record] = []

    def more() -> bool:
        found.extend(bench.port.models())
        return bool(found)

    until(more, "the tombstone came", seconds=60)
    assert [(record.key, record.value) for record in found] == [(b"ns/m1", None)]


def test_letters_arrive_with_key_value_and_headers(bench: Bench) -> None:
    bench.port.send(
        [Letter(1, TOPIC_DEADLETTER, b"k", b"\xff\x00", (("why", b"\xfe"),)), Letter(2, TOPIC_DEADLETTER, b"k", None)]
    )
    assert bench.dead() == [(b"k", b"\xff\x00", {"why": b"\xfe"}), (b"k", None, {})]


def test_a_letter_that_its_headers_made_too_large_is_cut(kafka: Broker) -> None:
    bench = OnKafka(kafka, "large")
    bench.port.send([Letter(1, TOPIC_DEADLETTER, b"k", b"x" * 1_048_500, (("why", b"y" * 200),))])
    ((_, value, headers),) = bench.dead()
    assert value == b"x" * 65536
    assert headers["switchyard-cut-from"] == b"1048500"
    bench.close()


def test_a_topic_that_is_not_there_is_known_before_leases_run_out(kafka: Broker) -> None:
    bench = OnKafka(kafka, "unmade")
    for _ in range(2):
        began = time.monotonic()
        with pytest.raises(BrokerUnavailable):
            bench.port.send([Letter(1, "unmade-alarms", b"k", b"v")])
        assert time.monotonic() - began < Pace().lease_us / 1e6 / 2
    bench.port.send([Letter(2, TOPIC_DEADLETTER, b"k", b"others go on")])
    assert bench.dead()[-1][1] == b"others go on"
    bench.close()


def test_dead_letters_are_read_from_the_first_to_the_last(bench: Bench) -> None:
    whole = Letter(0, TOPIC_DEADLETTER, b"k", b"\0\xff", (("why", b"\xfe"), ("why", b"again")))
    sent = [whole, Letter(0, TOPIC_DEADLETTER, None, b""), Letter(0, TOPIC_DEADLETTER, b"k", None)]
    bench.port.send(sent)
    letters = bench.letters()
    found = [record for some in letters.read() for record in some]
    assert [(one.key, one.value, one.headers) for one in found[-3:]] == [
        (one.key, one.value, one.headers) for one in sent
    ]
    assert [record for some in letters.read() for record in some] == found
    letters.close()


def test_a_broker_that_does_not_answer_is_said(bench: Bench) -> None:
    bench.port.topic()
    bench.port.assign({0: 0})
    bench.silence()
    with pytest.raises(BrokerUnavailable):
        bench.port.bounds([0])


def test_the_whole_reader_counts_the_same_on_both(bench: Bench, tmp_path: Path) -> None:
    """X on one partition and X′ on another, with poison between, read by a reader that is replaced half-way."""
    store = SqlStore(f"sqlite:///{tmp_path / 'monitor.db'}")
    store.migrate()
    bench.teach(SUBJECT, model_record())
    for i in range(50):
        bench.append(0, inference(f"p{i}", at=(time.time() - NOON.timestamp()), y=float(i)))
    bench.append(0, b"poison")

    def finish(reader: Reader, done: Callable[[], bool]) -> None:
        def passed() -> bool:
            reader.step()
            return done()

        until(passed, "the reader came to the end", seconds=100)

    def read() -> int:
        return sum((position.next_offset or 0) for position in store.positions())

    pace = Pace(linger=0.1, pulse_us=0)
    models = Models()
    first = Reader(
        member="a", broker=bench.port, store=store, models=models, pace=pace, clock_us=lambda: time.time_ns() // 1000
    )
    finish(first, lambda: read() == 51)
    first.close()
    for i in range(50):
        bench.append(1, outcome(f"p{i}", 0.0, at=(time.time() - NOON.timestamp())))
    second = Reader(
        member="b", broker=bench.port, store=store, models=models, pace=pace, clock_us=lambda: time.time_ns() // 1000
    )
    finish(second, lambda: read() == 101)
    cells = store.totals(store.arms(SUBJECT))
    assert sum(cell.sums["now.n"] for cell in cells) == 50
    assert sum(cell.sums["now.e"] for cell in cells) == sum(range(50)) << 20
    ledgers = [ledger.columns for ledger in store.ledgers()]
    assert ledgers == [{"stored": 50, "invalid": 1}, {"stored": 50}]
    assert [headers["switchyard-reason"] for _, _, headers in bench.dead()] == [b"unreadable"]
    store.close()
