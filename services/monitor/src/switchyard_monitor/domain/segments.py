"""Segments: the parts of X that a prediction belongs to, as one number that is kept with it.

No X is kept, so what part of each feature it lay in is found when it is read. The number is a digit of 64 for each
feature (0 for what was not there, the last for what is none of the values), and above them a mark of what the digits
mean: an X that came alone may have been read by a rule that had other segments than its Y's.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from zlib import crc32

BASE = 64
_DIGIT, _MARK = 6, 48
MISSING, OTHERS = "missing", "all others"


@dataclass(frozen=True, slots=True)
class Segment:
    """A feature whose values are told apart, by name or by edges."""

    name: str
    path: str
    values: tuple[str, ...] = ()
    edges: tuple[float, ...] = ()

    def digit(self, text: str | None, number: float | None) -> int:
        """The part that a value lies in; whatever is no number has no place among edges."""
        if self.edges:
            return 0 if number is None else 1 + bisect_right(self.edges, number)
        if text is None:
            return 0
        return 1 + (self.values.index(text) if text in self.values else len(self.values))

    def words(self, digit: int) -> str:
        """What a part is called."""
        if not digit:
            return MISSING
        if self.values:
            return self.values[digit - 1] if digit <= len(self.values) else OTHERS
        if digit == 1:
            return f"under {_plain(self.edges[0])}"
        low = _plain(self.edges[digit - 2])
        return f"from {low}" if digit > len(self.edges) else f"{low} to {_plain(self.edges[digit - 1])}"


@lru_cache(maxsize=1000)
def mark(segments: tuple[Segment, ...]) -> int:
    """Of what digits mean: 15 bits."""
    return crc32(repr(segments).encode()) & 0x7FFF


def number(segments: tuple[Segment, ...], digits: Sequence[int]) -> int:
    """One number for all digits."""
    found = mark(segments) << _MARK
    for place, digit in enumerate(digits):
        found |= digit << (_DIGIT * place)
    return found


def places(segments: tuple[Segment, ...], held: int) -> list[int]:
    """Where each digit is counted, `feature·64 + digit`; nowhere where they mean something else."""
    if held >> _MARK != mark(segments):
        return []
    return [BASE * place + (held >> (_DIGIT * place)) % BASE for place in range(len(segments))]


def _plain(edge: float) -> str:
    """An edge as it was said, with all its digits."""
    return str(int(edge)) if edge.is_integer() and abs(edge) < 1e15 else repr(edge)
