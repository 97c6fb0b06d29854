"""Log-linear buckets of whole numbers: each octave is cut into equal parts, small numbers have a bucket each.

Only shifts and integers, so a value falls into the same bucket on every machine and in every release, and taking it
out again finds the bucket it was put into.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

ERROR_PARTS = 32
"""Buckets an octave for |e|: a bucket is at most 1/32 of its value wide."""
TIME_PARTS = 16
"""Buckets an octave for latencies (in microseconds) and label delays (in milliseconds)."""


def bucket(value: int, parts: int) -> int:
    """The bucket of a value that is not negative; `parts` is a power of two."""
    shift = value.bit_length() - parts.bit_length()
    return value if shift <= 0 else shift * parts + (value >> shift)


def low(index: int, parts: int) -> int:
    """The smallest value of a bucket."""
    shift = max(0, index // parts - 1)
    return (index - shift * parts) << shift


def width(index: int, parts: int) -> int:
    """How many whole numbers a bucket holds."""
    return 1 << max(0, index // parts - 1)


@dataclass(frozen=True, slots=True)
class Histogram:
    """Counts per bucket, and what can be said from them."""

    counts: Mapping[int, int]
    parts: int

    @property
    def n(self) -> int:
        """How many values were counted."""
        return sum(self.counts.values())

    def quantile_bucket(self, share: float) -> int | None:
        """The bucket that holds the value of that rank, or None when there are no values."""
        rank = max(1, -(-round(share * 1_000_000) * self.n // 1_000_000))
        return self.ranked(rank)

    def ranked(self, rank: int) -> int | None:
        """The bucket of the rank-th smallest value, counted from 1; None when there are fewer."""
        seen = 0
        for index in sorted(self.counts):
            seen += self.counts[index]
            if seen >= rank:
                return index
        return None

    def quantile(self, share: float) -> float | None:
        """The middle of the bucket that holds the value of that rank."""
        index = self.quantile_bucket(share)
        return None if index is None else self.middle(index)

    def middle(self, index: int) -> float:
        """The middle of a bucket's values."""
        return low(index, self.parts) + (width(index, self.parts) - 1) / 2

    def within(self, bounds: Sequence[int]) -> list[int]:
        """For each of these rising bounds, how many values lie in buckets that hold nothing above it."""
        found, seen, at = [], 0, 0
        held = sorted(self.counts)
        for bound in bounds:
            while at < len(held) and low(held[at], self.parts) + width(held[at], self.parts) - 1 <= bound:
                seen += self.counts[held[at]]
                at += 1
            found.append(seen)
        return found

    @property
    def total(self) -> float:
        """The sum of the values, each taken for the middle of its bucket."""
        return sum(count * self.middle(at) for at, count in self.counts.items())

    def above(self, index: int) -> int:
        """How many values lie in buckets above this one."""
        return sum(count for at, count in self.counts.items() if at > index)

    def plus(self, other: Histogram) -> Histogram:
        """Both together."""
        total = dict(self.counts)
        for index, count in other.counts.items():
            total[index] = total.get(index, 0) + count
        return Histogram(total, self.parts)
