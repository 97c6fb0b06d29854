"""Segments: parts of X by which quality is told apart, such as carriers or distances."""

from __future__ import annotations

from itertools import pairwise
from typing import Annotated, Any, Self

from pydantic import Field, StringConstraints, model_validator

from switchyard_contracts.base import JsonPath, Shape

MOST_SEGMENTS, MOST_VALUES = 8, 60


class Segment(Shape):
    """A feature of X whose values are told apart; what was not there is told apart too."""

    name: Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_.-]+$", min_length=1, max_length=64)]
    """What it is called."""
    path: JsonPath
    """Where it stands in the request's JSON; in its own row, where a request carries many."""
    values: (
        Annotated[
            list[Annotated[str, StringConstraints(min_length=1, max_length=128)]],
            Field(min_length=1, max_length=MOST_VALUES),
        ]
        | None
    ) = None
    """The values that are told apart; all others are counted as one. A number is written as text ("1"), and so are true
    and false."""
    edges: (
        Annotated[list[Annotated[float, Field(allow_inf_nan=False)]], Field(min_length=1, max_length=MOST_VALUES)]
        | None
    ) = None
    """Of a number, in the place of values: where one part ends and the next begins, rising."""

    @model_validator(mode="after")
    def _one_way(self) -> Self:
        if (self.values is None) == (self.edges is None):
            raise ValueError("set exactly one of values and edges")
        values = self.values or []
        for index, value in enumerate(values):
            if value in values[:index]:
                raise ValueError(f"values[{index}]: {value!r} is there already; leave one of them out")
        for index, (low, high) in enumerate(pairwise(self.edges or []), start=1):
            if low >= high:
                raise ValueError(f"edges[{index}]: {high:g} does not lie above {low:g} before it; write rising edges")
        return self


CEL: dict[type[Shape], list[dict[str, Any]]] = {
    Segment: [
        {"rule": "has(self.values) != has(self.edges)", "message": "set exactly one of values and edges"},
        {
            "rule": "!has(self.values) || self.values.all(v, self.values.exists_one(w, w == v))",
            "message": "values must differ",
            "fieldPath": ".values",
        },
    ]
}
"""What the API server itself checks of a segment."""
