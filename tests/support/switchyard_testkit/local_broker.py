"""A broker in memory, for the monitor's tests. It passes the same contract suite as Kafka."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from switchyard_monitor.domain.cloudevents import Headers
from switchyard_monitor.domain.facts import Record
from switchyard_monitor.errors import BrokerUnavailable, OffsetLost
from switchyard_monitor.ports import Bounds, Letter, Topic


@dataclass
class LocalBroker:
    """Logs that tests append to; `away` makes every call fail, as Kafka does when nobody answers."""

    partitions: int = 1
    topic_id: str = "first"
    away: bool = False
    sent: list[Letter] = field(default_factory=list)
    _logs: dict[int, list[Record]] = field(default_factory=dict)
    _starts: dict[int, int] = field(default_factory=dict)
    _next_offset: dict[int, int] = field(default_factory=dict)
    _positions: dict[int, int] = field(default_factory=dict)
    _models: list[Record] = field(default_factory=list)
    _learned: int = 0

    def append(
        self,
        value: bytes | None,
        *,
        partition: int = 0,
        at_us: int,
        key: bytes | None = None,
        headers: Headers = (),
        skip: int = 0,
    ) -> int:
        """Put a record at the end of a log; `skip` leaves offsets out, as aborted transactions do."""
        offset = self._next_offset.get(partition, 0) + skip
        self._logs.setdefault(partition, []).append(Record(partition, offset, at_us, key, value, headers))
        self._next_offset[partition] = offset + 1
        return offset

    def teach(self, key: str, value: bytes | None, *, at_us: int = 0) -> None:
        """Put a record on `switchyard.models`."""
        self._models.append(Record(0, len(self._models), at_us, key.encode(), value))

    def delete_before(self, partition: int, offset: int) -> None:
        """What retention does."""
        self._starts[partition] = offset
        self._logs[partition] = [record for record in self._logs.get(partition, []) if record.offset >= offset]

    def log(self, partition: int) -> list[Record]:
        """Every record of a partition that is still there."""
        return list(self._logs.get(partition, []))

    def restart_learning(self) -> None:
        """A new process reads `switchyard.models` from its start."""
        self._learned = 0
        self._positions = {}

    def topic(self) -> Topic:
        self._answer()
        return Topic(self.topic_id, tuple(range(self.partitions)))

    def bounds(self, partitions: Iterable[int]) -> dict[int, Bounds]:
        self._answer()
        return {number: Bounds(self._starts.get(number, 0), self._next_offset.get(number, 0)) for number in partitions}

    def assign(self, positions: Mapping[int, int]) -> None:
        self._answer()
        self._positions = dict(positions)

    def poll(self, limit: int, timeout: float) -> dict[int, list[Record]]:
        self._answer()
        batch: dict[int, list[Record]] = {}
        left = limit
        for number, position in sorted(self._positions.items()):
            bounds = self.bounds([number])[number]
            if not bounds.start <= position <= bounds.end:
                raise OffsetLost(number, f"offset {position} is not in the log: events are gone")
            records = [record for record in self._logs.get(number, []) if record.offset >= position][:left]
            if records:
                batch[number] = records
                self._positions[number] = records[-1].offset + 1
                left -= len(records)
            if not left:
                break
        return batch

    def models(self) -> list[Record]:
        self._answer()
        new = self._models[self._learned :]
        self._learned = len(self._models)
        return new

    def send(self, letters: Sequence[Letter]) -> None:
        self._answer()
        self.sent.extend(letters)

    def close(self) -> None:
        self._positions = {}

    def _answer(self) -> None:
        if self.away:
            raise BrokerUnavailable("the local broker is away")


@dataclass
class LocalLetters:
    """The topic of dead letters: what a local broker was given to send. It passes the same suite as Kafka's."""

    broker: LocalBroker
    at_once: int = 2

    def read(self) -> Iterator[list[Record]]:
        letters = list(enumerate(self.broker.sent))
        for start in range(0, len(letters), self.at_once):
            yield [
                Record(0, offset, 0, letter.key, letter.value, letter.headers)
                for offset, letter in letters[start : start + self.at_once]
            ]

    def close(self) -> None:
        pass
