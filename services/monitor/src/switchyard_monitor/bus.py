"""Kafka, and nothing else knows it. Reads with `assign` from offsets that the store keeps; commits none itself."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from kafka import KafkaConsumer, TopicPartition
from kafka.errors import KafkaError, MessageSizeTooLargeError, OffsetOutOfRangeError
from switchyard_contracts.events import TOPIC_EVENTS, TOPIC_MODELS
from switchyard_contracts.kafka_settings import SecretUnreadable
from switchyard_contracts.producer import Producer
from switchyard_contracts.selector import DrainingSelector

from switchyard_monitor.domain.facts import LATEST_US, Record
from switchyard_monitor.errors import BrokerUnavailable, OffsetLost
from switchyard_monitor.letters import CUT_FROM
from switchyard_monitor.ports import Bounds, Letter, Topic
from switchyard_monitor.settings import Settings

REQUEST_SECONDS = 10.0
BLOCK_SECONDS = 2.0
"""How long a topic that is not there may hold up who sends to it: the reader, whose leases must be kept meanwhile."""
LOG_APPEND_TIME = 1
MOST_BYTES = 64 * 1024 * 1024
"""Whether a letter is too large, the broker says."""
KEPT_BYTES = 64 * 1024
MOST_LETTERS = 500
"""Taken in with one transaction, for which readers wait."""


def connection(settings: Settings) -> dict[str, Any]:
    """How to reach the brokers, in kafka-python's words; a file that cannot be read may be there at the next try."""
    try:
        options = settings.connection(f"switchyard-monitor-{settings.member}")
    except SecretUnreadable as error:
        raise BrokerUnavailable(str(error)) from error
    return {**options, "bootstrap_timeout_ms": 5000, "selector": DrainingSelector}


class KafkaBroker:
    """The broker port on a Kafka cluster."""

    def __init__(
        self,
        options: Mapping[str, Any],
        *,
        events: str = TOPIC_EVENTS,
        models: str = TOPIC_MODELS,
        batch: int = 5000,
        explain: Callable[[BaseException], str] = str,
    ) -> None:
        self._events, self._models_topic = events, models
        self._options = dict(options)
        self._explain = explain
        reading = {"group_id": None, "enable_auto_commit": False, "auto_offset_reset": "none"}
        with guarded(self._explain):
            self._consumer = KafkaConsumer(
                **self._options,
                **reading,
                allow_auto_create_topics=False,
                max_poll_records=batch,
                # A fetch that returned with each single record would cost more than the record.
                fetch_min_bytes=64 * 1024,
                fetch_max_wait_ms=200,
                max_partition_fetch_bytes=4 * 1024 * 1024,
                metadata_max_age_ms=10_000,
            )
            self._teacher = KafkaConsumer(
                **self._options, **reading, allow_auto_create_topics=False, fetch_max_wait_ms=500
            )
        self._producer: Producer | None = None
        self._learning: list[TopicPartition] = []
        self._polled: dict[int, list[Record]] = {}
        self._count = 0
        self.create_time_records = 0
        """Records whose time was set by their producer: the topic does not use LogAppendTime, as it must."""

    def topic(self) -> Topic:
        """The topic of events."""
        with guarded(self._explain):
            numbers = self._consumer.partitions_for_topic(self._events)
            if not numbers:
                raise BrokerUnavailable(f"the topic {self._events!r} does not exist; create it with LogAppendTime")
            # The metadata that named the partitions also named the topic's id; there is no public way to it.
            topic_id = self._consumer._cluster.topic_id(self._events)
        return Topic(str(topic_id), tuple(sorted(numbers)))

    def bounds(self, partitions: Iterable[int]) -> dict[int, Bounds]:
        """The bounds of partitions of the topic of events."""
        wanted = [TopicPartition(self._events, number) for number in partitions]
        if not wanted:
            return {}
        with guarded(self._explain):
            starts = self._consumer.beginning_offsets(wanted)
            ends = self._consumer.end_offsets(wanted)
        return {partition.partition: Bounds(starts[partition], ends[partition]) for partition in wanted}

    def assign(self, positions: Mapping[int, int]) -> None:
        """Read these partitions from these offsets, and no others."""
        with guarded(self._explain):
            self._consumer.assign([TopicPartition(self._events, number) for number in positions])
            for number, offset in positions.items():
                self._consumer.seek(TopicPartition(self._events, number), offset)

    def poll(self, limit: int, timeout: float) -> dict[int, list[Record]]:
        """The next records, in order, at most `limit`: as many as come within the time.

        The client raises an error within itself for each wait that ends, and keeps it in a circle with the frames of
        all its callers and their names, until a collector finds it. So no name of those holds what was polled.
        """
        self._polled, self._count = {}, 0
        with guarded(self._explain):
            self._gather(limit, time.monotonic() + timeout, timeout)
        return self._taken()

    def _gather(self, limit: int, until: float, timeout: float) -> None:
        if not self._consumer.assignment():
            time.sleep(timeout)
            return
        while self._count < limit and (left := until - time.monotonic()) > 0:
            self._keep(self._consumer.poll(timeout_ms=max(1, int(left * 1000)), max_records=limit - self._count))

    def _keep(self, polled: Mapping[TopicPartition, Sequence[Any]]) -> None:
        for partition, records in polled.items():
            self._polled.setdefault(partition.partition, []).extend(map(_record, records))
            self._count += len(records)
            if records[-1].timestamp_type != LOG_APPEND_TIME:
                self.create_time_records += len(records)

    def _taken(self) -> dict[int, list[Record]]:
        polled, self._polled = self._polled, {}
        return polled

    def models(self) -> list[Record]:
        """What is new on `switchyard.models`; the first call reads it to its end."""
        with guarded(self._explain):
            if not self._learning:
                numbers = self._teacher.partitions_for_topic(self._models_topic) or set()
                if not numbers:
                    return []
                learning = [TopicPartition(self._models_topic, number) for number in sorted(numbers)]
                self._teacher.assign(learning)
                self._teacher.seek_to_beginning(*learning)
                ends = self._teacher.end_offsets(learning)
                first: list[Record] = []
                while any(self._teacher.position(partition) < ends[partition] for partition in learning):
                    first += self._some_models(timeout_ms=200)
                # Only now: a broker that fails half-way is read from the beginning again.
                self._learning = learning
                return first
            return self._some_models(timeout_ms=0)

    def send(self, letters: Sequence[Letter]) -> None:
        """Send, and return when all were acknowledged. A topic that is not there is known after `BLOCK_SECONDS`."""
        with guarded(self._explain):
            if self._producer is None:
                self._producer = Producer(
                    **self._options,
                    acks="all",
                    # A letter sent twice has one id; an idempotent producer would be of no use after one refusal.
                    enable_idempotence=False,
                    linger_ms=5,
                    max_request_size=MOST_BYTES,
                    max_block_ms=round(BLOCK_SECONDS * 1000),
                )
            waiting = [(letter, self._post(self._producer, letter)) for letter in letters]
            for letter, future in waiting:
                try:
                    future.get(timeout=REQUEST_SECONDS)
                except MessageSizeTooLargeError:
                    # It came in just below the limit, and our headers carried it over: its beginning must do.
                    whole = letter.value or b""
                    headers = (*letter.headers, (CUT_FROM, str(len(whole)).encode()))
                    short = Letter(letter.n, letter.topic, letter.key, whole[:KEPT_BYTES], headers)
                    self._post(self._producer, short).get(timeout=REQUEST_SECONDS)

    def close(self) -> None:
        """Let go of all connections."""
        self._consumer.close()
        self._teacher.close()
        if self._producer is not None:
            self._producer.close(timeout=1)

    def _post(self, producer: Producer, letter: Letter) -> Any:
        return producer.send(letter.topic, key=letter.key, value=letter.value, headers=list(letter.headers))

    def _some_models(self, *, timeout_ms: int) -> list[Record]:
        polled = self._teacher.poll(timeout_ms=timeout_ms)
        return [_record(record) for records in polled.values() for record in records]


class KafkaLetters:
    """The port of dead letters on a Kafka cluster."""

    def __init__(
        self, options: Mapping[str, Any], *, topic: str, explain: Callable[[BaseException], str] = str
    ) -> None:
        self._topic = topic
        self._explain = explain
        with guarded(explain):
            self._consumer = KafkaConsumer(
                **options,
                group_id=None,
                enable_auto_commit=False,
                auto_offset_reset="none",
                allow_auto_create_topics=False,
                fetch_max_wait_ms=500,
            )

    def read(self) -> Iterator[list[Record]]:
        """All that are there now, oldest first, some at a time."""
        with guarded(self._explain):
            numbers = self._consumer.partitions_for_topic(self._topic)
            if not numbers:
                raise BrokerUnavailable(f"the topic {self._topic!r} does not exist: no letter was ever written")
            partitions = [TopicPartition(self._topic, number) for number in sorted(numbers)]
            self._consumer.assign(partitions)
            self._consumer.seek_to_beginning(*partitions)
            ends = self._consumer.end_offsets(partitions)
        while True:
            with guarded(self._explain):
                if all(self._consumer.position(partition) >= ends[partition] for partition in partitions):
                    return
                polled = self._consumer.poll(timeout_ms=500, max_records=MOST_LETTERS)
            for partition, records in polled.items():
                # What is written meanwhile is for the next time.
                if found := [_record(record) for record in records if record.offset < ends[partition]]:
                    yield found

    def close(self) -> None:
        """Let go of all connections."""
        self._consumer.close()


@contextmanager
def guarded(explain: Callable[[BaseException], str]) -> Iterator[None]:
    """Say what became of a call to Kafka in our words."""
    try:
        yield
    except OffsetOutOfRangeError as error:
        partition, offset = next(iter(error.args[0].items()))
        raise OffsetLost(partition.partition, f"offset {offset} is not in the log: events are gone") from error
    except KafkaError as error:
        raise BrokerUnavailable(f"Kafka does not answer: {explain(error)}") from error


def _record(record: Any) -> Record:
    return Record(
        record.partition,
        record.offset,
        min(record.timestamp * 1000, LATEST_US),
        record.key,
        record.value,
        tuple((name, bytes(value or b"")) for name, value in record.headers) if record.headers else (),
    )
