"""Events: what was asked and answered (X, Y), what people decided (Y′), and what then happened (X′).

CloudEvents 1.0 in structured JSON on the topic `switchyard.events`, keyed `<namespace>/<name>/<prediction id>`. `id` is
unique per exchange and kept by a resend; the prediction id is what joins the four.
"""

from __future__ import annotations

import json
from datetime import datetime
from enum import StrEnum
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints
from pydantic.alias_generators import to_camel

from switchyard_contracts.base import Timestamp
from switchyard_contracts.model_route import RouteRole
from switchyard_contracts.sticky import BUCKETS
from switchyard_contracts.topic_names import TopicNames

USUAL = TopicNames()
"""Of an installation that was told no prefix."""
TOPIC_EVENTS, TOPIC_MODELS = USUAL.events, USUAL.models
TOPIC_ROLLOUTS, TOPIC_DEADLETTER = USUAL.rollouts, USUAL.deadletter
TOPIC_ALARMS = USUAL.alarms

PREDICTION_ID_PATTERN = r"^[A-Za-z0-9._:-]{1,128}$"
SUBJECT_PATTERN = r"^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?/[a-z]([-a-z0-9]{0,61}[a-z0-9])?$"

PredictionId = Annotated[str, StringConstraints(pattern=PREDICTION_ID_PATTERN)]
Row = Annotated[int, Field(ge=0, le=1_000_000)]


class EventType(StrEnum):
    """The types of the topic; each is a version of its own, so that a reader knows what it reads."""

    INFERENCE = "dev.switchyard.inference.v1"
    INPUT = "dev.switchyard.input.v1"
    PREDICTION = "dev.switchyard.prediction.v1"
    DECISION = "dev.switchyard.decision.v1"
    OUTCOME = "dev.switchyard.outcome.v1"
    DELETION = "dev.switchyard.deletion.v1"


class Assignment(StrEnum):
    """How an exchange came to its revision; only `split` and `sticky` are compared."""

    SPLIT = "split"
    STICKY = "sticky"
    PINNED = "pinned"
    RETRY = "retry"


class Part(BaseModel):
    """A part of an event. Unknown fields are kept out of our way, so that a newer producer is still read."""

    model_config = ConfigDict(alias_generator=to_camel, populate_by_name=True, extra="ignore", frozen=True)


class Body(Part):
    """A request's or response's body, as far as it was kept."""

    encoding: Literal["json", "text", "base64", "none"]
    """`json`: `value` is the parsed document; `text`: a string; `base64`: bytes that are not UTF-8 or hold a NUL."""
    value: Any = None
    bytes_seen: int = 0
    bytes_kept: int = 0
    complete: bool = True
    content_type: str = ""


class Inference(Part):
    """X and Y of one exchange at the gateway."""

    prediction_id: PredictionId
    revision: str
    """The revision that was meant to answer; errors and latency count against it."""
    version: str = ""
    answered_by: str = ""
    """The revision that did answer: stable, when the meant one had no healthy pod."""
    role: RouteRole
    traffic: int
    """The ModelRoute generation that the gateway ran."""
    weight_bp: int
    """The probability, in basis points, with which this revision was drawn."""
    assignment: Assignment
    unit: Annotated[int, Field(ge=0, lt=BUCKETS)] | None = None
    """The bucket by which it was drawn, where the route's split is sticky: its user's, or its own where it names no
    user (then the assignment is `split`)."""
    status: int
    flags: str = ""
    """Envoy's response flags, empty when all went well."""
    error: bool
    """A 5xx, reset or timeout of the revision; refusals of the gateway and client aborts are not."""
    latency_us: int | None = None
    """Upstream latency, from the first byte sent to the last byte received, in microseconds."""
    started_at: Timestamp
    pod: str = ""
    """The upstream host's address."""
    request: Body
    response: Body


class InputOnly(Part):
    """X alone, from a model that has no gateway (embedded, batch, streaming)."""

    prediction_id: PredictionId
    row: Row = 0
    revision: str
    version: str = ""
    role: RouteRole = RouteRole.STABLE
    traffic: int = 0
    at: Timestamp
    value: Any


class PredictionOnly(Part):
    """Y alone, from a model that has no gateway."""

    prediction_id: PredictionId
    row: Row = 0
    revision: str
    version: str = ""
    role: RouteRole = RouteRole.STABLE
    traffic: int = 0
    weight_bp: int = 10_000
    at: Timestamp
    value: Any


class Actor(Part):
    """Who decided."""

    kind: Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_-]{0,31}$")] = "human"
    id: Annotated[str, StringConstraints(max_length=128)] | None = None


class Label(Part):
    """Y′ or X′ of one row of a prediction. The latest (revision number, time, event id) wins."""

    prediction_id: PredictionId
    row: Row = 0
    value: Any
    at: Timestamp
    actor: Actor | None = None
    revision: Annotated[int, Field(ge=0, le=2**31)] = 0
    """The sender's own number of this version of the label; 0 where it has none."""
    token: str = ""
    """The name of the token with which it came in."""


class Deletion(Part):
    """Erase a prediction's payload and labels; sums stay, and a stub refuses re-adds."""

    prediction_id: PredictionId
    at: Timestamp
    token: str = ""


DATA: dict[EventType, type[Part]] = {
    EventType.INFERENCE: Inference,
    EventType.INPUT: InputOnly,
    EventType.PREDICTION: PredictionOnly,
    EventType.DECISION: Label,
    EventType.OUTCOME: Label,
    EventType.DELETION: Deletion,
}


class CloudEvent(Part):
    """The envelope; `data` has the shape that `DATA` names for the type."""

    specversion: Literal["1.0"] = "1.0"
    id: Annotated[str, StringConstraints(min_length=1, max_length=128)]
    type: EventType
    source: str
    subject: Annotated[str, StringConstraints(pattern=SUBJECT_PATTERN)]
    time: Timestamp
    datacontenttype: Literal["application/json"] = "application/json"
    data: dict[str, Any]

    def payload(self) -> Part:
        """The data in its own type; a `ValidationError` names the field."""
        return DATA[self.type].model_validate(self.data)


def event(kind: EventType, *, event_id: str, source: str, subject: str, time: datetime, data: Part) -> CloudEvent:
    """Put data into its envelope."""
    dumped = data.model_dump(mode="json", by_alias=True, exclude_none=True)
    return CloudEvent(id=event_id, type=kind, source=source, subject=subject, time=time, data=dumped)


def key(subject: str, prediction_id: str) -> bytes:
    """The topic's key."""
    return f"{subject}/{prediction_id}".encode()


def encode(envelope: CloudEvent) -> bytes:
    """The record's value."""
    body = envelope.model_dump(mode="json", by_alias=True)
    return json.dumps(body, separators=(",", ":"), ensure_ascii=False, allow_nan=False).encode()


def decode(value: bytes) -> CloudEvent:
    """Read a record's value; a `ValidationError` or `ValueError` says what is wrong with it."""
    return CloudEvent.model_validate_json(value)
