"""The watermark: everything with a broker's time up to here was read, on every partition.

It is the least of the partitions' own. A partition's own is the broker's time of its last record that was committed,
or, when it was read to its end, the time of asking. A partition that nobody reads holds the watermark back.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol


class Marked(Protocol):
    """A partition's position."""

    @property
    def watermark_us(self) -> int | None:
        """Its own watermark."""


def watermark(positions: Iterable[Marked]) -> int | None:
    """The least of all; None while there is a partition that was never read, or none at all."""
    marks = [position.watermark_us for position in positions]
    known = [mark for mark in marks if mark is not None]
    return min(known) if known and len(known) == len(marks) else None
