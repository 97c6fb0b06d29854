"""A receiver of notifications by Kafka: a real broker that is away, comes, and is told under the notification's id."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from switchyard_contracts.notifications import TOPIC_NOTIFICATIONS, Event, Notification
from switchyard_operator.adapters.posts import KafkaPost
from switchyard_operator.adapters.topics import TopicSettings
from switchyard_testkit.cache import Cache
from switchyard_testkit.envoy import free_port
from switchyard_testkit.kafka import Broker, broker
from switchyard_testkit.waiting import until

NOTE = Notification(
    id="5f0c", event=Event.PROMOTED, rollout="delay-0a1b.1", at=datetime(2026, 1, 1, tzinfo=UTC), to=["a"]
)
TOPICS = TopicSettings(partitions=4, replication=1, retention=timedelta(days=1))


@pytest.fixture(scope="module")
def kafka(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Broker]:
    folder: Path = tmp_path_factory.mktemp("kafka")
    with broker(Cache.from_env(os.environ), folder) as process:
        yield process


@pytest.mark.timeout(300)
def test_it_is_told_under_the_id_once_the_broker_answers(kafka: Broker) -> None:
    servers = [f"127.0.0.1:{free_port()}"]
    post = KafkaPost(TOPIC_NOTIFICATIONS, lambda: {"bootstrap_servers": servers}, topics=TOPICS)
    try:
        assert post.send("airport/delay", NOTE).startswith("Kafka does not take it: ")
        servers[:] = [kafka.servers]
        # As the courier does: what a slow broker did not confirm in time is told again, and may be there already.
        for _ in range(2):
            until(lambda: post.send("airport/delay", NOTE) == "", "the broker takes it", seconds=60)
    finally:
        post.close()
    found = kafka.read(TOPIC_NOTIFICATIONS)
    assert len(found) >= 2
    assert {record.key for record in found} == {b"airport/delay"}
    assert {dict(record.headers)["idempotency-key"] for record in found} == {NOTE.id.encode()}
    assert json.loads(found[0].value)["event"] == "Promoted"
