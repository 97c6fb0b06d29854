"""The watermark: everything with a broker's time up to here was read, on every partition.

It is the least of the partitions' own. A partition's own is the broker's time of its last record that was committed,
or, when it was read to its end, the time of asking. A partition that nobody reads holds the watermark back.

What is deleted because of its age is deleted for good, and one wrong clock of a node's would do. So age has a mark of
its own, by the brokers' clocks alone: a partition that was read to its end is as old as the newest event of any.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Protocol


class Marked(Protocol):
    """A partition's position."""

    @property
    def watermark_us(self) -> int | None:
        """Its own watermark."""


class Aged(Protocol):
    """A partition's position, by the brokers' clocks."""

    @property
    def aged_us(self) -> int | None:
        """Its own mark."""


class Reached(Marked, Aged, Protocol):
    """A partition's position, by both."""


def watermark(positions: Iterable[Marked]) -> int | None:
    """The least of all; None while there is a partition that was never read, or none at all."""
    return _least([position.watermark_us for position in positions])


def aged(positions: Iterable[Aged]) -> int | None:
    """Up to when rows and windows may grow old, by the brokers' clocks; None while there is a partition without one."""
    return _least([position.aged_us for position in positions])


def read_to(positions: Sequence[Reached]) -> int | None:
    """Up to when everything was read, by whichever clock says more: rows may have gone by the one or by the other."""
    return max((mark for mark in (watermark(positions), aged(positions)) if mark is not None), default=None)


def _least(marks: Sequence[int | None]) -> int | None:
    known = [mark for mark in marks if mark is not None]
    return min(known) if known and len(known) == len(marks) else None
