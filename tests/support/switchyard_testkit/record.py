"""What a gateway pod's Envoy wrote down, read as its shipper reads it: for the contract tests."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from switchyard_contracts.events import CloudEvent, Inference, decode
from switchyard_gateway.shipper.line import Event, Reader, Refusal
from switchyard_gateway.shipper.redaction import Redaction

from switchyard_testkit.waiting import until

READER = Reader(node="gateway-0", redaction=Redaction({}), max_record_bytes=10_000_000)


@dataclass
class Record:
    """What Envoy writes down from here on, read as the shipper reads it."""

    path: Path
    read_to: int = 0
    lines: list[Event | Refusal] = field(default_factory=list)
    events: list[CloudEvent] = field(default_factory=list)

    def read_on(self) -> None:
        """Take up what was written since the last time."""
        with self.path.open("rb") as file:
            file.seek(self.read_to)
            fresh = [line for line in file if line.endswith(b"\n")]
        self.read_to += sum(len(line) for line in fresh)
        for line in fresh:
            read = READER.read(line)
            assert isinstance(read, Event | Refusal), read
            self.lines.append(read)
            self.events += [decode(read.value)] if isinstance(read, Event) else []

    def of(self, *roles: str) -> list[Inference]:
        """The exchanges so far in these roles."""
        self.read_on()
        payloads = [event.payload() for event in self.events if event.data["role"] in roles]
        return [each for each in payloads if isinstance(each, Inference)]

    def wait_for(self, count: int, *roles: str) -> list[Inference]:
        """The exchanges in these roles, once there are so many; more than that is an error."""

        def there() -> bool:
            self.read_on()
            return sum(event.data["role"] in roles for event in self.events) >= count

        until(there, f"{count} exchanges as {roles} are recorded", seconds=60, every=0.05)
        found = self.of(*roles)
        assert len(found) == count
        return found
