"""Windows: what is measured is summed up by them, and counts when they are over."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

WINDOW = timedelta(minutes=5)
"""How long one is, where `monitoring.window` says nothing."""
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


def start(at_us: int, window_us: int) -> int:
    """The start of the window that a time lies in; all in microseconds, the times since 1970."""
    return at_us - at_us % window_us


def end(at: datetime, window: timedelta) -> datetime:
    """When the window that a time lies in is over."""
    begun_us = start((at - _EPOCH) // _MICROSECOND, window // _MICROSECOND)
    return _EPOCH + begun_us * _MICROSECOND + window
