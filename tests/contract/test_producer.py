"""The producer that the parts share, on a real broker that falls silent."""

import os
import signal
import threading
import time
from collections.abc import Iterator

import pytest
from kafka import KafkaProducer
from kafka.errors import KafkaTimeoutError
from switchyard_contracts.producer import Producer
from switchyard_testkit.cache import Cache
from switchyard_testkit.halting import halt
from switchyard_testkit.kafka import Broker, broker
from switchyard_testkit.waiting import until


@pytest.fixture(scope="module")
def kafka(tmp_path_factory) -> Iterator[Broker]:
    with broker(Cache.from_env(os.environ), tmp_path_factory.mktemp("kafka")) as process:
        process.create("events")
        yield process


def network_threads() -> set[threading.Thread]:
    return {thread for thread in threading.enumerate() if thread.name.endswith("-network-thread")}


def waiting_in_silence(kind: type[KafkaProducer], kafka: Broker):
    """A producer with one record delivered and one under way to a broker that hangs."""
    producer = kind(bootstrap_servers=kafka.servers, acks="all", enable_idempotence=True)
    producer.send("events", value=b"heard").get(timeout=60)
    assert kafka.process is not None
    halt(kafka.process.pid)
    return producer, producer.send("events", value=b"under way")


def test_it_ends_in_its_time_and_fails_what_is_left(kafka):
    before = network_threads()
    producer, under_way = waiting_in_silence(Producer, kafka)
    try:
        began = time.monotonic()
        producer.close(timeout=0.5)
        assert time.monotonic() - began < 10, "it waited for an answer"
        until(lambda: under_way.is_done, "the record is given up", seconds=30)
        assert under_way.failed()
        until(lambda: network_threads() <= before, "its thread is gone", seconds=30)
    finally:
        kafka.process.send_signal(signal.SIGCONT)


def test_the_library_s_own_is_left_behind(kafka):
    """Why ours is there: goes red when the library mends it, and ours can go."""
    before = network_threads()
    producer, _ = waiting_in_silence(KafkaProducer, kafka)
    try:
        with pytest.raises(KafkaTimeoutError):
            producer.close(timeout=0.5)
        assert len(network_threads() - before) == 1
    finally:
        kafka.process.send_signal(signal.SIGCONT)
        producer.close(timeout=60)


def test_it_delivers_what_is_under_way_before_it_ends(kafka):
    producer = Producer(bootstrap_servers=kafka.servers, acks="all", linger_ms=200)
    sent = [producer.send("events", value=f"last {index}".encode()) for index in range(100)]
    producer.close(timeout=60)
    assert all(future.is_done and future.succeeded() for future in sent)
