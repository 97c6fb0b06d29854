"""A feature's binning: what it is called, what it holds, and the bins in which it is counted."""

from __future__ import annotations

import math
from enum import StrEnum
from functools import cached_property
from itertools import pairwise
from typing import Annotated, Self

import numpy as np
from pydantic import Field, StringConstraints, model_validator
from switchyard_contracts.base import Shape

from switchyard_profile import bins
from switchyard_profile.values import Floats, Type

Finite = Annotated[float, Field(allow_inf_nan=False)]
MOST_NAME = 256
Name = Annotated[str, StringConstraints(min_length=1, max_length=MOST_NAME, pattern=r"^[^\x00]*$")]
"""Not every database keeps a NUL in a text."""
PREDICTION = "prediction"
"""What Y is called in every profile; no feature of X may have this name."""


class Side(StrEnum):
    """Whether something is asked of the model (X), or answered by it (Y)."""

    X = "X"
    Y = "Y"


class Binning(Shape):
    """How one feature is counted. It is fixed for as long as its reference is."""

    name: Name
    side: Side = Side.X
    type: Type
    edges: Annotated[list[Finite], Field(max_length=bins.QUANTILES + 1)] = []
    """Of numbers, and of the lengths of texts; rising."""
    categories: Annotated[list[str], Field(max_length=bins.MOST_NAMES)] = []
    """Of strings and booleans, the most frequent first."""
    center: Finite = 0.0
    """c of q = rint((x − c)/s · 2²⁰)."""
    scale: Annotated[Finite, Field(gt=0)] = 1.0
    """s of it."""
    minimum: Finite | None = None
    """The least number that may occur; nothing is said of it where it was not stated."""
    maximum: Finite | None = None

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.type.measured != bool(self.edges) or self.type.measured == bool(self.categories):
            raise ValueError(f"{self.name}: a {self.type} has {'edges' if self.type.measured else 'categories'} only")
        if any(low >= high for low, high in pairwise(self.edges)):
            raise ValueError(f"{self.name}: edges must rise")
        if len(set(self.categories)) < len(self.categories):
            raise ValueError(f"{self.name}: a category is named twice")
        if (self.name == PREDICTION) != (self.side is Side.Y):
            raise ValueError(f"{self.name}: Y, and nothing else, is called {PREDICTION}")
        return self

    @property
    def size(self) -> int:
        """How many bins there are, but for the one of what is missing, which comes last."""
        return len(self.edges) + 2 if self.type.measured else len(self.categories) + 1

    @cached_property
    def edge_array(self) -> Floats:
        """The edges for counting."""
        return np.array(self.edges, dtype=np.float64)

    def outside(self, numbers: Floats) -> int:
        """How many of these numbers lie beyond what was stated."""
        if self.minimum is None and self.maximum is None:
            return 0
        low = -math.inf if self.minimum is None else self.minimum
        high = math.inf if self.maximum is None else self.maximum
        return int(((numbers < low) | (numbers > high)).sum())
