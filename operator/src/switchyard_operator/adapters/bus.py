"""Kafka: the topics of models (compacted) and of rollouts, for others to read. A rollout never waits for it.

The newest record of each deployment is kept until it is sent; what happened in between is bounded and counted. At start
the compacted topic is read to its end, so that only differences are published and deployments that are gone get their
tombstone. A record that was made from no ModelDeployment is somebody else's and stays.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable, Mapping
from threading import Condition, Event
from typing import Any

from kafka import KafkaConsumer, TopicPartition
from kafka.errors import KafkaError
from pydantic import ValidationError
from switchyard_contracts.events import USUAL
from switchyard_contracts.kafka_settings import SecretUnreadable
from switchyard_contracts.producer import Producer
from switchyard_contracts.selector import DrainingSelector
from switchyard_contracts.topic_names import TopicNames
from switchyard_contracts.topics import ModelRecord, RolloutRecord, specs

from switchyard_operator.adapters.topics import TopicSettings, ensure

logger = logging.getLogger(__name__)

MOST_WAITING = 10_000
"""Rollout records kept while Kafka is away; the oldest go first."""
PAUSE = 5.0


class KafkaBus:
    """A thread of its own sends; the methods only leave notes for it."""

    def __init__(
        self,
        connection: Callable[[], Mapping[str, Any]],
        *,
        topics: TopicSettings | None,
        dropped: Callable[[], None],
        explain: Callable[[BaseException], str] = str,
        names: TopicNames = USUAL,
    ) -> None:
        self._connection = connection
        self._names = names
        self._explain = explain
        self._topics = topics
        self._dropped = dropped
        self._changed = Condition()
        self._models: dict[str, bytes | None] = {}
        self._sent: dict[str, bytes] = {}
        self._rollouts: deque[tuple[str, bytes]] = deque()
        self._existing: set[str] | None = None
        self.working = False
        """Whether the last attempt to reach Kafka succeeded; for metrics."""

    def publish_model(self, record: ModelRecord) -> None:
        """The newest record of a deployment, if it says something new."""
        value = record.model_dump_json(by_alias=True, exclude_none=True).encode()
        with self._changed:
            if self._models.get(record.subject, self._sent.get(record.subject)) != value:
                self._models[record.subject] = value
                self._changed.notify()

    def forget_model(self, subject: str) -> None:
        """A tombstone, once."""
        with self._changed:
            if subject in self._sent or subject in self._models:
                self._models[subject] = None
                self._changed.notify()

    def publish_rollout(self, record: RolloutRecord) -> None:
        """One thing that happened."""
        value = record.model_dump_json(by_alias=True, exclude_none=True).encode()
        with self._changed:
            if len(self._rollouts) >= MOST_WAITING:
                self._rollouts.popleft()
                self._dropped()
            self._rollouts.append((f"{record.namespace}/{record.name}", value))
            self._changed.notify()

    def these_exist(self, subjects: set[str]) -> None:
        """From a listing: what the topic knows beyond them is an orphan."""
        with self._changed:
            self._existing = subjects
            self._changed.notify()

    def run(self, stop: Event, *, leading: Callable[[], bool]) -> None:
        """Send until told to stop; only the leader publishes."""
        while not stop.is_set():
            if not leading():
                stop.wait(1.0)
                continue
            try:
                self._serve(stop, leading)
            except (KafkaError, OSError, SecretUnreadable) as error:
                self.working = False
                logger.warning("Kafka does not work (%s); rollouts go on without it", self._explain(error))
                stop.wait(PAUSE)

    def _serve(self, stop: Event, leading: Callable[[], bool]) -> None:
        connection = {**self._connection(), "bootstrap_timeout_ms": 5000}
        if self._topics:
            ensure(connection, self._topics, wanted=specs(self._names))
        known = self._read_models(connection)
        with self._changed:
            self._sent = dict(known)
            for subject, value in list(self._models.items()):
                if value is not None and known.get(subject) == value:
                    del self._models[subject]
        self.working = True
        producer = Producer(
            **connection,
            acks="all",
            enable_idempotence=True,
            max_block_ms=5000,
            retries=5,
        )
        try:
            while not stop.is_set() and leading():
                models, rollouts = self._take()
                try:
                    self._send(producer, models, rollouts)
                except (KafkaError, OSError):
                    self._give_back(models, rollouts)
                    raise
        finally:
            producer.close(timeout=2.0)

    def _take(self) -> tuple[dict[str, bytes | None], list[tuple[str, bytes]]]:
        with self._changed:
            if self._existing is not None:
                for orphan in self._sent.keys() - self._existing - self._models.keys():
                    if _is_ours(self._sent[orphan]):
                        self._models[orphan] = None
                self._existing = None
            if not self._models and not self._rollouts:
                self._changed.wait(1.0)
            models, self._models = self._models, {}
            rollouts = list(self._rollouts)
            self._rollouts.clear()
        return models, rollouts

    def _give_back(self, models: Mapping[str, bytes | None], rollouts: list[tuple[str, bytes]]) -> None:
        with self._changed:
            self._models = {**models, **self._models}
            self._rollouts.extendleft(reversed(rollouts))

    def _send(self, producer: Producer, models: Mapping[str, bytes | None], rollouts: list[tuple[str, bytes]]) -> None:
        waiting = [producer.send(self._names.models, key=key.encode(), value=value) for key, value in models.items()]
        waiting += [producer.send(self._names.rollouts, key=key.encode(), value=value) for key, value in rollouts]
        for sent in waiting:
            sent.get(timeout=10.0)
        with self._changed:
            for key, value in models.items():
                if value is None:
                    self._sent.pop(key, None)
                else:
                    self._sent[key] = value

    def _read_models(self, connection: Mapping[str, Any]) -> dict[str, bytes]:
        """The compacted topic to its present end."""
        consumer = KafkaConsumer(
            **connection,
            enable_auto_commit=False,
            auto_offset_reset="earliest",
            selector=DrainingSelector,
        )
        name = self._names.models
        try:
            places = [TopicPartition(name, number) for number in consumer.partitions_for_topic(name) or ()]
            known: dict[str, bytes] = {}
            if not places:
                return known
            consumer.assign(places)
            consumer.seek_to_beginning(*places)
            ends = consumer.end_offsets(places)
            while any(consumer.position(place) < ends[place] for place in places):
                for records in consumer.poll(timeout_ms=1000).values():
                    for record in records:
                        key = (record.key or b"").decode(errors="replace")
                        if record.value is None:
                            known.pop(key, None)
                        else:
                            known[key] = record.value
            return known
        finally:
            consumer.close()


def _is_ours(record: bytes) -> bool:
    """Whether a record was made from a ModelDeployment; one that cannot be read was written by a former self."""
    try:
        return ModelRecord.model_validate_json(record).generation > 0
    except ValidationError:
        return True


class NoBus:
    """No Kafka is configured: nothing is published."""

    def publish_model(self, record: ModelRecord) -> None:
        """Nobody reads it."""

    def forget_model(self, subject: str) -> None:
        """Nobody reads it."""

    def publish_rollout(self, record: RolloutRecord) -> None:
        """Nobody reads it."""
