"""The way to Kafka; the only module here that knows its client.

A batch is handed over and asked after: the client's own calls may block for as long as a broker is silent, so they run
in a thread of their own and never stand in the way of the files' upkeep. Delivered means acknowledged by all replicas.
"""

from __future__ import annotations

import contextlib
import logging
import queue
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Protocol

from kafka.errors import KafkaError, MessageSizeTooLargeError
from switchyard_contracts.kafka_settings import SecretUnreadable
from switchyard_contracts.producer import Producer

from switchyard_gateway.shipper.errors import BusBroken

log = logging.getLogger(__name__)


class Failure(StrEnum):
    """Why a record was not delivered."""

    TOO_LARGE = "too_large"
    """The broker will never take it."""
    UNAVAILABLE = "unavailable"
    """It may take it later."""


@dataclass(frozen=True, slots=True)
class Record:
    """One record of the topic."""

    key: bytes
    value: bytes


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a batch: the records that were not delivered, by their place in it."""

    failures: Mapping[int, Failure] = field(default_factory=dict)
    detail: str = ""


class Bus(Protocol):
    """One batch at a time."""

    def submit(self, records: Sequence[Record]) -> None:
        """Hand a batch over; never blocks."""

    def outcome(self) -> Outcome | None:
        """What became of the batch, once; None while it is under way."""

    def close(self) -> None:
        """Let go of the broker; a batch under way is given up."""


@dataclass(frozen=True, slots=True)
class KafkaTarget:
    """Which brokers and how to get in, asked before each connection; and which topic."""

    connection: Callable[[], Mapping[str, Any]]
    topic: str
    timeout: float = 10.0
    max_request_bytes: int = 1_048_576
    explain: Callable[[BaseException], str] = str

    def options(self) -> dict[str, Any]:
        """What the client wants to hear."""
        milliseconds = int(self.timeout * 1000)
        return {
            **self.connection(),
            "acks": "all",
            "enable_idempotence": True,
            "linger_ms": 5,
            "batch_size": 262_144,
            "max_request_size": self.max_request_bytes,
            "max_block_ms": milliseconds,
            "bootstrap_timeout_ms": milliseconds,
            "request_timeout_ms": max(1000, milliseconds // 2),
            "delivery_timeout_ms": milliseconds,
        }


class KafkaBus:
    """Batches to a topic of Kafka."""

    def __init__(self, target: KafkaTarget) -> None:
        self._target = target
        self._batches: queue.Queue[tuple[Record, ...] | None] = queue.Queue()
        self._outcomes: queue.Queue[Outcome] = queue.Queue()
        self._producer: Producer | None = None
        self._thread = threading.Thread(target=self._run, name="kafka", daemon=True)
        self._thread.start()

    def submit(self, records: Sequence[Record]) -> None:
        self._batches.put(tuple(records))

    def outcome(self) -> Outcome | None:
        try:
            return self._outcomes.get_nowait()
        except queue.Empty:
            if not self._thread.is_alive():
                raise BusBroken(
                    "the thread that speaks to Kafka has ended; what ended it stands above in the log"
                ) from None
            return None

    def close(self) -> None:
        self._batches.put(None)
        self._thread.join(self._target.timeout)

    def _run(self) -> None:
        while (records := self._batches.get()) is not None:
            self._outcomes.put(self._deliver(records))
        self._let_go()

    def _deliver(self, records: Sequence[Record]) -> Outcome:
        failures: dict[int, Failure] = {}
        detail = ""
        sent: list[tuple[int, Any]] = []
        try:
            producer = self._producer or Producer(**self._target.options())
            self._producer = producer
            for index, record in enumerate(records):
                try:
                    sent.append((index, producer.send(self._target.topic, key=record.key, value=record.value)))
                except MessageSizeTooLargeError as error:
                    failures[index], detail = Failure.TOO_LARGE, str(error)
            producer.flush(timeout=self._target.timeout)
        except (KafkaError, OSError, AssertionError, SecretUnreadable) as error:
            detail = self._target.explain(error)
        accounted = set(failures)
        for index, future in sent:
            accounted.add(index)
            if not future.is_done:
                failures[index], detail = Failure.UNAVAILABLE, detail or "no answer in time"
            elif future.failed():
                too_large = isinstance(future.exception, MessageSizeTooLargeError)
                failures[index] = Failure.TOO_LARGE if too_large else Failure.UNAVAILABLE
                detail = f"{type(future.exception).__name__}: {future.exception}"
        failures |= {index: Failure.UNAVAILABLE for index in range(len(records)) if index not in accounted}
        if Failure.UNAVAILABLE in failures.values():
            # After a failure an idempotent producer may take records and deliver none; a new one does not.
            self._let_go()
        return Outcome(failures, detail)

    def _let_go(self) -> None:
        producer, self._producer = self._producer, None
        if producer is not None:
            with contextlib.suppress(KafkaError, OSError):
                producer.close(timeout=1)
