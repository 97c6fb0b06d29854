"""Values: what one feature holds in some rows, told apart by what can be done with it.

A value is there, missing (null, or not a number), or of another type than it should be. Nothing is converted on the
way: "12" is no number, and true is no 1, for a caller who begins to send such things has changed something.
"""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Whole = npt.NDArray[np.int64]

_NUMBERS, _STRINGS, _BOOLEANS = frozenset({int, float}), frozenset({str}), frozenset({bool})
"""And no subclasses: true and false are no numbers."""


class Type(StrEnum):
    """What a feature holds. It decides how its values are counted."""

    NUMBER = "number"
    STRING = "string"
    """Names of categories."""
    BOOLEAN = "boolean"
    TEXT = "text"
    """Free text, of which the length in characters is looked at."""

    @property
    def measured(self) -> bool:
        """Whether values are numbers, or become some; else they are names."""
        return self in (Type.NUMBER, Type.TEXT)


@dataclass(frozen=True, slots=True)
class Numbers:
    """The finite numbers among some values, and how many others there were."""

    found: Floats
    missing: int
    wrong: int


@dataclass(frozen=True, slots=True)
class Names:
    """How often each name came, and how many other values there were."""

    found: Mapping[str, int]
    missing: int
    wrong: int


def measure(values: Sequence[Any], kind: Type) -> Numbers:
    """Numbers as they are, texts as their lengths."""
    return numbers(values) if kind is Type.NUMBER else _lengths(values)


def numbers(values: Sequence[Any]) -> Numbers:
    """Sort JSON's values. NaN counts as missing; what is infinite, or too large to be a number here, as wrong."""
    found, missing = _only(_NUMBERS, values)
    wrong = len(values) - len(found) - missing
    try:
        array = np.array(found, dtype=np.float64)
    except OverflowError:  # JSON's whole numbers have no end
        fitting = [value for value in found if not isinstance(value, int) or abs(value) <= sys.float_info.max]
        wrong += len(found) - len(fitting)
        array = np.array(fitting, dtype=np.float64)
    finite = np.isfinite(array)
    if not finite.all():
        absent = int(np.isnan(array).sum())
        missing += absent
        wrong += int((~finite).sum()) - absent
        array = array[finite]
    # Zero has two signs, and one of them would be another text in a profile.
    return Numbers(array + 0.0, missing, wrong)


def names(values: Sequence[Any], kind: Type) -> Names:
    """Sort JSON's values where strings are wanted, or booleans."""
    held, missing = _only(_BOOLEANS if kind is Type.BOOLEAN else _STRINGS, values)
    found, wrong = Counter(held), len(values) - len(held) - missing
    if kind is Type.BOOLEAN:
        return Names({"true" if value else "false": count for value, count in found.items()}, missing, wrong)
    return Names(found, missing, wrong)


def _only(kinds: frozenset[type], values: Sequence[Any]) -> tuple[Sequence[Any], int]:
    """The values of these kinds, which is most often all, and how many are missing."""
    if kinds.issuperset(map(type, values)):
        return values, 0
    return [value for value in values if type(value) in kinds], sum(value is None for value in values)


def _lengths(values: Sequence[Any]) -> Numbers:
    found, missing = _only(_STRINGS, values)
    lengths = np.array([len(text) for text in found], dtype=np.float64)
    return Numbers(lengths, missing, len(values) - len(found) - missing)
