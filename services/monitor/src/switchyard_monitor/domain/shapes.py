"""Shapes: what the join reads of an event, and no more. Plain structures, because tens of thousands are made a second.

Events come as `switchyard_contracts.events` has them; how they are read is in `facts` and `wire`.
"""

from __future__ import annotations

from typing import Any

from msgspec import Struct
from switchyard_contracts import events
from switchyard_contracts.events import Assignment
from switchyard_contracts.model_route import RouteRole


class Shape(Struct, rename="camel", gc=False):
    """A part of an event. JSON has no cycles, so the collector need not look for any."""


class Body(Shape, kw_only=True, gc=False):
    """A request's or response's body, as far as it was kept."""

    value: Any = None
    complete: bool = True


class Inference(Shape, kw_only=True, gc=False):
    """X and Y of one exchange at the gateway."""

    prediction_id: str
    revision: str
    answered_by: str = ""
    role: RouteRole
    traffic: int
    weight_bp: int
    assignment: Assignment
    unit: int | None = None
    status: int
    error: bool
    latency_us: int | None = None
    request: Body
    response: Body


class InputOnly(Shape, kw_only=True, gc=False):
    """X alone."""

    prediction_id: str
    row: int = 0
    revision: str
    role: RouteRole = RouteRole.STABLE
    traffic: int = 0
    value: Any


class PredictionOnly(Shape, kw_only=True, gc=False):
    """Y alone."""

    prediction_id: str
    row: int = 0
    revision: str
    role: RouteRole = RouteRole.STABLE
    traffic: int = 0
    weight_bp: int = 10_000
    value: Any


class Actor(Shape, kw_only=True, gc=False):
    """Who decided."""

    kind: str = "human"


class Label(Shape, kw_only=True, gc=False):
    """Y′ or X′ of one row of a prediction."""

    prediction_id: str
    row: int = 0
    value: Any
    actor: Actor | None = None
    revision: int = 0


class Deletion(Shape, kw_only=True, gc=False):
    """A wish that a prediction be forgotten."""

    prediction_id: str


Data = Inference | InputOnly | PredictionOnly | Label | Deletion

_OF: dict[type[events.Part], type[Shape]] = {
    events.Body: Body,
    events.Inference: Inference,
    events.InputOnly: InputOnly,
    events.PredictionOnly: PredictionOnly,
    events.Actor: Actor,
    events.Label: Label,
    events.Deletion: Deletion,
}


def of(part: events.Part) -> Any:
    """The shape of a part of an event, which is one of `Data` for an event's data."""
    kind = _OF[type(part)]
    return kind(**{name: _value(getattr(part, name)) for name in kind.__struct_fields__})


def _value(value: Any) -> Any:
    return of(value) if isinstance(value, events.Part) else value
