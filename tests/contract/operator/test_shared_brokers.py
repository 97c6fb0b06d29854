"""Two installations on the same brokers: each has its own topics, and takes none of the other's models for orphans."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path

import pytest
from kafka import KafkaProducer
from switchyard_contracts.topic_names import TopicNames
from switchyard_contracts.topics import ModelRecord
from switchyard_operator.adapters.bus import KafkaBus
from switchyard_operator.adapters.topics import TopicSettings
from switchyard_testkit.cache import Cache
from switchyard_testkit.kafka import Broker, broker
from switchyard_testkit.waiting import until

TOPICS = TopicSettings(partitions=1, replication=1, retention=timedelta(days=1))
ONE, OTHER = TopicNames(), TopicNames("switchyard-staging")


@pytest.fixture(scope="module")
def kafka(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Broker]:
    folder: Path = tmp_path_factory.mktemp("kafka")
    with broker(Cache.from_env(os.environ), folder) as process:
        yield process


@contextmanager
def publishing(kafka: Broker, names: TopicNames) -> Iterator[KafkaBus]:
    """An operator's bus at work."""
    bus = KafkaBus(lambda: {"bootstrap_servers": kafka.servers}, topics=TOPICS, dropped=lambda: None, names=names)
    stop = threading.Event()
    thread = threading.Thread(target=lambda: bus.run(stop, leading=lambda: True), daemon=True)
    thread.start()
    try:
        until(lambda: bus.working, f"{names.prefix} is in", seconds=60)
        yield bus
    finally:
        stop.set()
        thread.join(10)


def keys(kafka: Broker, topic: str) -> list[tuple[bytes | None, bool]]:
    """Each record's key, and whether it is a tombstone."""
    return [(record.key, record.value is None) for record in kafka.read(topic)]


@pytest.mark.timeout(180)
def test_each_installation_has_its_own_models(kafka: Broker) -> None:
    with publishing(kafka, ONE) as one, publishing(kafka, OTHER) as other:
        one.publish_model(ModelRecord(namespace="shop", name="delay", generation=1))
        other.publish_model(ModelRecord(namespace="staging", name="delay", generation=1))
        until(lambda: keys(kafka, ONE.models), "the one has published", seconds=30)
        until(lambda: keys(kafka, OTHER.models), "the other has published", seconds=30)
        # What a listing does not have is an orphan: of the one's there is none left, of the other's nothing changes.
        one.these_exist(set())
        until(lambda: (b"shop/delay", True) in keys(kafka, ONE.models), "its orphan is gone", seconds=30)
    assert {key for key, _ in keys(kafka, ONE.models)} == {b"shop/delay"}
    assert keys(kafka, OTHER.models) == [(b"staging/delay", False)]


@pytest.mark.timeout(180)
def test_a_model_that_no_deployment_stands_behind_is_left_alone(kafka: Broker) -> None:
    names = TopicNames("switchyard-guests")
    kafka.create(names.models)
    producer = KafkaProducer(bootstrap_servers=kafka.servers, acks="all")
    guest, orphan = (ModelRecord(namespace="ads", name=name, generation=n) for name, n in (("taxi", 0), ("gone", 3)))
    for record in (guest, orphan):
        value = record.model_dump_json(by_alias=True, exclude_none=True).encode()
        producer.send(names.models, value, key=record.subject.encode()).get(30)
    producer.close()
    with publishing(kafka, names) as bus:
        bus.these_exist(set())
        until(lambda: (b"ads/gone", True) in keys(kafka, names.models), "the orphan is gone", seconds=30)
    assert (b"ads/taxi", True) not in keys(kafka, names.models)
