"""Shadows: further versions beside a model, which answer copies of stable's requests and are only ever compared.

The strategy Shadow is another thing: there the copies go to what `spec.model` asks for, which may take over.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any

from pydantic import Field

from switchyard_contracts.base import ResourceName, Shape
from switchyard_contracts.containers import Resources
from switchyard_contracts.model import Model
from switchyard_contracts.quantities import FULL, BasisPoints

MOST = 4
"""With stable, a candidate and one that is kept warm they still fit into a route."""


class ShadowModel(Shape):
    """A further version. Nobody is given its answers, and it never takes over; what it does not say is the spec's."""

    name: ResourceName
    """The shadow's name, by which status speaks of it."""
    model: Model
    """Which version. Where it says no config, it has that of spec.model."""
    sample: BasisPoints = BasisPoints(FULL)
    """How much of stable's requests it is sent too, in percent. Each shadow's sample is drawn by itself: where two have
    10%, both get 1% of the requests."""
    replicas: Annotated[int, Field(ge=1, le=1000)] = 1
    """How many pods it has."""
    resources: Resources | None = None
    """What each of them asks of its node, and may take at most; as spec.serving says where this is not said."""


Shadows = Annotated[list[ShadowModel], Field(max_length=MOST)]


def fit(said: Sequence[ShadowModel]) -> None:
    """Raise ValueError, with the field and what helps, where two are not told apart or one is sent nothing."""
    names = [shadow.name for shadow in said]
    for index, shadow in enumerate(said):
        if shadow.name in names[:index]:
            raise ValueError(f"shadows[{index}].name: {shadow.name!r} is taken; the names of shadows must differ")
        if not shadow.sample.value:
            raise ValueError(
                f"shadows[{index}].sample: 0 compares nothing; write a percentage above 0, or take the shadow out"
            )


RULES: list[dict[str, Any]] = [
    {
        "rule": "self.shadows.all(s, self.shadows.exists_one(t, t.name == s.name))",
        "message": "the names of shadows must differ",
        "fieldPath": ".shadows",
    },
]
"""Of the whole spec, for the API server itself to check."""
