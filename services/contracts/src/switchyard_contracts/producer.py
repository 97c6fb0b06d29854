"""Kafka's producer, as every part that writes wants it: it ends when it is told to.

The one module of the contracts that knows Kafka's client; whoever imports it has `switchyard-contracts[kafka]`.
"""

from __future__ import annotations

from typing import Any

from kafka import KafkaProducer
from kafka.errors import KafkaTimeoutError

from switchyard_contracts.selector import DrainingSelector


class Producer(KafkaProducer):  # type: ignore[misc] # kafka-python has no types
    """kafka-python's producer on sockets that do not spin, closed within the time given.

    The base's `close` (3.0.12) begins with a flush, and when that takes longer than the timeout it raises and leaves
    the thread and its connections running for ever. An idempotent producer must be closed after a failure: one whose
    batch expired after it had been sent gives up its id and never asks for another, so it takes records and delivers
    none (`TransactionManager.reset_producer_id` leaves the state READY, from which `init_producer_id` does nothing).
    """

    def __init__(self, **options: Any) -> None:
        """The base's options; raises KafkaError when no broker answers in `bootstrap_timeout_ms`."""
        self._giving_up = False
        super().__init__(**{"selector": DrainingSelector, **options})

    def flush(self, timeout: float | None = None) -> None:
        """As the base's; nothing once the producer gives up."""
        if not self._giving_up:
            super().flush(timeout)

    def close(self, timeout: float | None = None, null_logger: bool = False) -> None:
        """Deliver what is under way within `timeout` seconds (None: however long it takes); then fail what is left."""
        if not null_logger:  # else the interpreter ends, and the base must log nothing
            try:
                self.flush(timeout)
            except KafkaTimeoutError:
                self._giving_up, timeout = True, 0
        super().close(timeout, null_logger)
