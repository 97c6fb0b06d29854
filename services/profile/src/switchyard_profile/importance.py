"""Importance: how much of the answer, or of what then happened, a feature's bins explain, one feature by itself.

ε² (Kelley 1935): η², the share of the target's variance that lies between bins, less what it is by chance alone,
ε² = 1 − (1 − η²)(n − 1)/(n − k) of n rows in k bins, and 0 where that is less. Of classes the variance is Gini's and
η² is Goodman and Kruskal's τ, whose mean by chance is (k − 1)/(n − 1) too (Light and Margolin 1971), so the same
correction holds. Rows without a value have a bin of their own: that it is missing may explain much. It is made of whole
numbers, so that the same rows give the same bytes. What features explain only together is seen in none of them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Annotated, Any

import numpy as np
from pydantic import Field
from switchyard_contracts.base import Shape

from switchyard_profile import bins
from switchyard_profile.binning import Binning
from switchyard_profile.moments import MOST, PARTS, Moments, moments
from switchyard_profile.values import Floats, Type, Whole

DIGITS = 6

Share = Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)]


class Importance(Shape):
    """How much a feature matters; what is not known is left out."""

    prediction: Share | None = None
    """How much of Y its bins explain (ε²)."""
    outcome: Share | None = None
    """How much of what then happened they explain (ε²)."""
    own: Annotated[float, Field(ge=0, allow_inf_nan=False)] | None = None
    """As somebody who knows the model said it, in a unit of their own."""

    @property
    def weight(self) -> float:
        """The one by which features are ordered: what was said, else of what happened, else of Y."""
        return next((one for one in (self.own, self.outcome, self.prediction) if one is not None), 0.0)


@dataclass(frozen=True, slots=True)
class Target:
    """What is to be explained: the rows that have a value, and these as whole numbers or as the numbers of classes."""

    rows: Whole
    values: Whole
    classes: int
    """0 where they are numbers."""

    @classmethod
    def of(cls, binning: Binning, values: Sequence[Any]) -> Target:
        """A column, as its binning reads it."""
        if binning.type.measured:
            numbers = _numbers(binning.type, values)
            rows = np.flatnonzero(np.isfinite(numbers))
            with np.errstate(over="ignore"):
                parts = np.rint((numbers[rows] - binning.center) / binning.scale * PARTS)
            return cls(rows, np.clip(parts, -MOST, MOST).astype(np.int64), 0)
        places, size = _places(binning, values), binning.size
        rows = np.flatnonzero(places < size)
        return cls(rows, places[rows], size)


def explained(binning: Binning, values: Sequence[Any], target: Target) -> float | None:
    """ε² of one feature, from 0 to 1; None where there are too few rows, or nothing is to be explained."""
    places = _places(binning, values)[target.rows]
    _, places = np.unique(places, return_inverse=True)
    n, k = len(places), int(places.max()) + 1 if len(places) else 0
    if n <= k:
        return None
    counts = np.bincount(places, minlength=k).tolist()
    if target.classes:
        table = np.bincount(places * target.classes + target.values, minlength=k * target.classes)
        each = table.reshape(k, target.classes).astype(object)
        whole = Fraction(sum(int(count) ** 2 for count in each.sum(axis=0)), n)
        between = sum(
            (Fraction(int((row**2).sum()), count) for row, count in zip(each, counts, strict=True)), Fraction()
        )
        spread = n - whole
    else:
        # Sorted by bin, each sum is one of 64 bits: no more than 2³¹ rows of 2³¹ parts.
        order = np.argsort(places, kind="stable")
        starts = np.concatenate(([0], np.cumsum(counts)[:-1]))
        sums = [int(one) for one in np.add.reduceat(target.values[order], starts)]
        squares = _squares(target.values)
        whole = Fraction(sum(sums) ** 2, n)
        between = sum((Fraction(one**2, count) for one, count in zip(sums, counts, strict=True)), Fraction())
        spread = squares - whole
    if spread <= 0:
        return None
    return max(0.0, float(round(corrected((between - whole) / spread, n, k), DIGITS)))


def corrected(share: Fraction, n: int, k: int) -> Fraction:
    """ε² of η²."""
    return 1 - (1 - share) * Fraction(n - 1, n - k)


def _squares(parts: Whole) -> int:
    """Σq², which 64 bits do not hold."""
    found: Moments = moments(parts / PARTS, center=0.0, scale=1.0)[0]
    return found.qq


def _numbers(kind: Type, values: Sequence[Any]) -> Floats:
    """A number for each row; NaN for what is missing or is none."""
    if kind is Type.TEXT:
        return np.array([float(len(one)) if isinstance(one, str) else np.nan for one in values])
    return np.array([_number(one) for one in values], dtype=np.float64)


def _number(value: Any) -> float:
    try:
        return float(value) if type(value) in (int, float) else np.nan
    except OverflowError:
        return np.nan


def _places(binning: Binning, values: Sequence[Any]) -> Whole:
    """The bin of each row; the one after the last is of those without a value."""
    size = binning.size
    if binning.type.measured:
        numbers = _numbers(binning.type, values)
        there = np.isfinite(numbers)
        places = np.full(len(numbers), size, dtype=np.int64)
        places[there] = bins.of_numbers(binning.edge_array, numbers[there])
        return places
    wanted = bool if binning.type is Type.BOOLEAN else str
    known: Mapping[Any, int] = {name: place for place, name in enumerate(binning.categories)}
    if wanted is bool:
        known = {name == "true": place for name, place in known.items()}
    rest = size - 1
    return np.array([known.get(one, rest) if isinstance(one, wanted) else size for one in values], dtype=np.int64)
