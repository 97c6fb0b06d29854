"""`switchyard.rollouts` on Kafka: read from an offset that the store keeps, beside the events and never before them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from kafka import KafkaConsumer, TopicPartition
from kafka.errors import KafkaError
from switchyard_contracts.events import TOPIC_ROLLOUTS

from switchyard_monitor.domain.facts import Record
from switchyard_monitor.errors import BrokerUnavailable


class KafkaRollouts:
    """The rollout log port on a Kafka cluster."""

    def __init__(self, options: Callable[[], Mapping[str, Any]], *, topic: str = TOPIC_ROLLOUTS) -> None:
        self._options = options
        """Asked at each try: a secret that cannot be read now may be there at the next."""
        self._topic = topic
        self._consumer: KafkaConsumer | None = None
        self._ends: Mapping[TopicPartition, int] = {}

    def open(self, topic_id: str | None, offsets: Mapping[int, int]) -> str | None:
        """Read on from these offsets; from the start where the topic is another one, or no longer has them."""
        try:
            if self._consumer is None:
                self._consumer = KafkaConsumer(
                    **self._options(),
                    group_id=None,
                    enable_auto_commit=False,
                    # Merging the same records again changes nothing, so the start is always a safe place.
                    auto_offset_reset="earliest",
                    allow_auto_create_topics=False,
                    fetch_max_wait_ms=500,
                )
            consumer = self._consumer
            numbers = consumer.partitions_for_topic(self._topic)
            if not numbers:
                return None
            # As in `bus`: the metadata that named the partitions also named the topic's id.
            found = str(consumer._cluster.topic_id(self._topic))
            partitions = [TopicPartition(self._topic, number) for number in sorted(numbers)]
            starts, ends = consumer.beginning_offsets(partitions), consumer.end_offsets(partitions)
            consumer.assign(partitions)
            for partition in partitions:
                wanted = offsets.get(partition.partition, -1) if found == topic_id else -1
                there = starts[partition] <= wanted <= ends[partition]
                consumer.seek(partition, wanted if there else starts[partition])
            self._ends = ends
        except KafkaError as error:
            raise BrokerUnavailable(f"{self._topic}: {type(error).__name__}: {error}") from error
        return found

    def poll(self) -> list[Record]:
        """What is new; nothing is waited for."""
        if self._consumer is None:
            return []
        try:
            polled = self._consumer.poll(timeout_ms=0, max_records=500)
        except KafkaError as error:
            raise BrokerUnavailable(f"{self._topic}: {type(error).__name__}: {error}") from error
        return [
            Record(one.partition, one.offset, one.timestamp * 1000, one.key, one.value)
            for records in polled.values()
            for one in records
        ]

    def ended(self) -> bool:
        """Whether all was handed over that was there when it was opened."""
        consumer = self._consumer
        if consumer is None or not self._ends:
            return False
        try:
            return all(consumer.position(partition) >= end for partition, end in self._ends.items())
        except KafkaError as error:
            raise BrokerUnavailable(f"{self._topic}: {type(error).__name__}: {error}") from error

    def close(self) -> None:
        """Let go of all connections."""
        if self._consumer is not None:
            self._consumer.close()
            self._consumer = None
