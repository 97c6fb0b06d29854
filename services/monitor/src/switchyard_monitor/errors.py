"""What can go wrong, named by what the caller can do about it."""

from __future__ import annotations


class MonitorError(Exception):
    """Anything the monitor itself reports."""


class StoreUnavailable(MonitorError):
    """The database is down, locked or full. Nothing was committed; the same batch may succeed later."""


class BrokerUnavailable(MonitorError):
    """Kafka does not answer. Nothing was lost; the same call may succeed later."""


class Deposed(MonitorError):
    """Another owner holds the partition, or has moved its offset. This owner must let go of it."""

    def __init__(self, partition: int, message: str) -> None:
        super().__init__(message)
        self.partition = partition


class Relieved(MonitorError):
    """Another member does now what this one was about to do. Nothing was written; it must not go on with it."""


class OffsetLost(MonitorError):
    """The stored offset does not fit the topic. Only a person can say what to do; it is never reset."""

    def __init__(self, partition: int, message: str) -> None:
        super().__init__(message)
        self.partition = partition


class Unreadable(MonitorError):
    """A record that can never be read, whatever is done. It becomes a dead letter."""


class CannotReplay(MonitorError):
    """What was asked to be read once more is not there. Nothing was changed; the message says what is there."""
