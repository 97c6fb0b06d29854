"""Windows: what is measured is summed up by them, and counts when they are over."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

WINDOW = timedelta(minutes=5)
"""How long one is, where `monitoring.window` says nothing."""
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MICROSECOND = timedelta(microseconds=1)
SECOND_US = 1_000_000
HOUR_US = 3_600 * SECOND_US
DAY_US = 24 * HOUR_US


def start(at_us: int, window_us: int) -> int:
    """The start of the window that a time lies in; all in microseconds, the times since 1970."""
    return at_us - at_us % window_us


def end(at: datetime, window: timedelta) -> datetime:
    """When the window that a time lies in is over."""
    begun_us = start((at - EPOCH) // MICROSECOND, window // MICROSECOND)
    return EPOCH + begun_us * MICROSECOND + window
