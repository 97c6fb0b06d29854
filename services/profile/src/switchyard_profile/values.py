"""Values: what one feature holds in some rows, told apart by what can be done with it.

A value is there, missing (null, or not a number), or of another type than it should be. Nothing is converted on the
way: "12" is no number, and true is no 1, for a caller who begins to send such things has changed something.
"""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Whole = npt.NDArray[np.int64]


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


_NUMBERS = frozenset({float, int})
"""By their very types: true is an int to Python."""


def measure(values: Iterable[Any], kind: Type) -> Numbers:
    """Numbers as they are, texts as their lengths."""
    return numbers(values) if kind is Type.NUMBER else _lengths(values)


def numbers(values: Iterable[Any]) -> Numbers:
    """Sort JSON's values. NaN counts as missing; what is infinite, or too large to be a number here, as wrong."""
    values = list(values)
    found: list[float] = values
    missing = wrong = 0
    if not _NUMBERS.issuperset(map(type, values)):  # most columns hold nothing else
        found = [value for value in values if type(value) in _NUMBERS]
        missing = values.count(None)
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


def names(values: Iterable[Any], kind: Type) -> Names:
    """Sort JSON's values where strings are wanted, or booleans."""
    wanted = bool if kind is Type.BOOLEAN else str
    found: Counter[Any] = Counter()
    missing = wrong = 0
    for value in values:
        if type(value) is wanted:
            found[value] += 1
        elif value is None:
            missing += 1
        else:
            wrong += 1
    if kind is Type.BOOLEAN:
        return Names({"true" if value else "false": count for value, count in found.items()}, missing, wrong)
    return Names(found, missing, wrong)


def _lengths(values: Iterable[Any]) -> Numbers:
    found: list[int] = []
    missing = wrong = 0
    for value in values:
        if isinstance(value, str):
            found.append(len(value))
        elif value is None:
            missing += 1
        else:
            wrong += 1
    return Numbers(np.array(found, dtype=np.float64), missing, wrong)
