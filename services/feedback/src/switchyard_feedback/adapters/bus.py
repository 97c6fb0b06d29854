"""Kafka, and nothing else knows it: an idempotent producer that waits for all replicas, made when it is first needed.

kafka-python's `send` may block (it waits for metadata), so it runs on a thread of its own; acknowledgements come back
to the event loop. While no broker answers, each request tries anew to make the producer: feedback starts without Kafka.
A producer that failed once is replaced (`switchyard_contracts.producer` says why).
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from kafka.errors import KafkaError
from switchyard_contracts.events import TOPIC_EVENTS
from switchyard_contracts.producer import Producer

from switchyard_feedback.ports import Record

log = logging.getLogger(__name__)


class KafkaLog:
    """The log port on a Kafka topic."""

    def __init__(
        self,
        options: Mapping[str, Any],
        *,
        timeout: float,
        max_pending: int,
        topic: str = TOPIC_EVENTS,
        explain: Callable[[BaseException], str] = str,
    ) -> None:
        self._options = dict(options)
        self._timeout = timeout
        self._topic = topic
        self._explain = explain
        self._room = max_pending
        self._producer: Producer | None = None
        self._failed: Producer | None = None
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="kafka-send")

    async def append(self, records: Sequence[Record]) -> list[bool]:
        """Send, and wait for every acknowledgement, no longer than the timeout in all."""
        if len(records) > self._room:
            names = _names(records)
            log.warning("%d records refused: too many wait for Kafka already", len(records), extra=names)
            return [False] * len(records)
        self._room -= len(records)
        loop = asyncio.get_running_loop()
        confirmed: list[asyncio.Future[bool]] = [loop.create_future() for _ in records]
        for future in confirmed:
            future.add_done_callback(self._leave)  # and not when we stop waiting: it still takes room in the producer
        deadline = time.monotonic() + self._timeout
        sending = loop.run_in_executor(self._thread, self._send, records, confirmed, loop, deadline)
        done, _ = await asyncio.wait(confirmed, timeout=self._timeout)
        if sending.done():
            sending.result()
        if len(done) < len(confirmed):
            self._failed = self._producer
        return [future in done and future.result() for future in confirmed]

    async def close(self) -> None:
        """Flush what is under way, no longer than the timeout, and close."""
        loop = asyncio.get_running_loop()
        await loop.run_in_executor(self._thread, self._close, self._timeout)
        self._thread.shutdown(wait=False)

    def _leave(self, _: asyncio.Future[bool]) -> None:
        self._room += 1

    def _send(
        self,
        records: Sequence[Record],
        confirmed: Sequence[asyncio.Future[bool]],
        loop: asyncio.AbstractEventLoop,
        deadline: float,
    ) -> None:
        """On the thread. After the first refusal nothing more is sent: each further try would block as long again."""

        def settle(future: asyncio.Future[bool], *, kept: bool) -> None:
            if not future.done():
                future.set_result(kept)

        def answer(future: asyncio.Future[bool], *, kept: bool) -> None:
            loop.call_soon_threadsafe(lambda: settle(future, kept=kept))

        def fail(future: asyncio.Future[bool], producer: Producer) -> None:
            self._failed = producer
            answer(future, kept=False)

        handed = 0
        try:
            for record, future in zip(records, confirmed, strict=True):
                if time.monotonic() >= deadline:
                    late = len(records) - handed
                    log.warning(
                        "Kafka did not take %d of %d records in time", late, len(records), extra=_names(records)
                    )
                    return
                producer = self._ready()
                sent = producer.send(self._topic, key=record.key, value=record.value)
                handed += 1
                sent.add_callback(lambda _, future=future: answer(future, kept=True))
                sent.add_errback(lambda _, future=future, producer=producer: fail(future, producer))
        except KafkaError as error:
            log.warning("Kafka takes nothing: %s", self._explain(error), extra=_names(records))
        finally:
            for rest in confirmed[handed:]:
                answer(rest, kept=False)

    def _ready(self) -> Producer:
        if self._producer is not None and self._producer is self._failed:
            self._close(0)
        if self._producer is None:
            milliseconds = int(self._timeout * 1000)
            self._producer = Producer(
                **self._options,
                acks="all",
                enable_idempotence=True,
                linger_ms=5,
                batch_size=262_144,
                max_block_ms=milliseconds,
                bootstrap_timeout_ms=milliseconds,
                request_timeout_ms=milliseconds // 2,  # so that a lost answer is asked for once more
                delivery_timeout_ms=milliseconds,
                allow_auto_create_topics=False,
            )
        return self._producer

    def _close(self, timeout: float) -> None:
        producer, self._producer = self._producer, None
        if producer is not None:
            producer.close(timeout)


def _names(records: Sequence[Record]) -> dict[str, str]:
    """What a line of the log is found by: all records of one request are about one deployment."""
    subject, _, prediction = records[0].key.decode(errors="replace").rpartition("/")
    one = {"prediction": prediction} if len(records) == 1 else {}
    return {"deployment": subject, **one}
