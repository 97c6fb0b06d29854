"""A bus in memory, for the shipper's tests. It passes the same contract suite as Kafka."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from switchyard_gateway.shipper.bus import Failure, Outcome, Record


@dataclass
class LocalBus:
    """Takes what it is given at once; `away` makes it refuse everything, as Kafka does when nobody answers."""

    largest: int = 1_000_000
    away: bool = False
    slow: bool = False
    """Keeps a batch under way until this is over."""
    taken: list[Record] = field(default_factory=list)
    submitted: int = 0
    closed: bool = False
    _batch: tuple[Record, ...] | None = None

    def submit(self, records: Sequence[Record]) -> None:
        if self._batch is not None:
            raise RuntimeError("a batch is under way; ask for its outcome first")
        self._batch = tuple(records)
        self.submitted += 1

    def outcome(self) -> Outcome | None:
        if self._batch is None or self.slow:
            return None
        batch, self._batch = self._batch, None
        failures: dict[int, Failure] = {}
        for number, record in enumerate(batch):
            if len(record.value) > self.largest:
                failures[number] = Failure.TOO_LARGE
            elif self.away:
                failures[number] = Failure.UNAVAILABLE
            else:
                self.taken.append(record)
        return Outcome(failures, "away" if self.away else "")

    def close(self) -> None:
        self.closed = True
