"""Reading: one record of the topic becomes one fact, or a sentence that says why it never can.

Our own types are read, and KServe's. One that we do not know is somebody else's and is passed over; anything else that
does not fit is a dead letter.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Annotated, Literal, NamedTuple

from pydantic import Field, StringConstraints, TypeAdapter, ValidationError
from switchyard_contracts.events import (
    SUBJECT_PATTERN,
    Deletion,
    Inference,
    InputOnly,
    Label,
    Part,
    PredictionOnly,
)
from switchyard_contracts.quantities import FULL

from switchyard_monitor.domain import identity, kserve
from switchyard_monitor.domain.cloudevents import Headers, structured
from switchyard_monitor.errors import Unreadable

MOST_GENERATIONS = 2**53
MOST_REVISION = 253
"""Characters of the name of a Kubernetes object; an index of a database takes no text of any length."""
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


class Record(NamedTuple):
    """A record as the broker hands it over; times are in microseconds."""

    partition: int
    offset: int
    broker_us: int
    key: bytes | None
    value: bytes | None
    headers: Headers = ()


class _Envelope(Part):
    id: Annotated[str, StringConstraints(min_length=1, max_length=128)]
    subject: Annotated[str, StringConstraints(pattern=SUBJECT_PATTERN)]


class _Inference(_Envelope):
    type: Literal["dev.switchyard.inference.v1"]
    data: Inference


class _Input(_Envelope):
    type: Literal["dev.switchyard.input.v1"]
    data: InputOnly


class _Prediction(_Envelope):
    type: Literal["dev.switchyard.prediction.v1"]
    data: PredictionOnly


class _Decision(_Envelope):
    type: Literal["dev.switchyard.decision.v1"]
    data: Label


class _Outcome(_Envelope):
    type: Literal["dev.switchyard.outcome.v1"]
    data: Label


class _Deletion(_Envelope):
    type: Literal["dev.switchyard.deletion.v1"]
    data: Deletion


AnyEvent = _Inference | _Input | _Prediction | _Decision | _Outcome | _Deletion
_READER: TypeAdapter[AnyEvent] = TypeAdapter(Annotated[AnyEvent, Field(discriminator="type")])


class Fact(NamedTuple):
    """What one record says. `kind` is told apart only where two types share a shape."""

    record: Record
    subject: str
    event_id: str
    type: str
    data: Inference | InputOnly | PredictionOnly | Label | Deletion
    at_us: int
    prefix: bytes
    whole: bool = False
    """Whether an X or Y that came alone is a whole body, which may carry many rows; else it names its row."""


def read(record: Record) -> Fact | None:
    """Read a record; None when its type is not ours, `Unreadable` when it can never be read."""
    if record.value is None:
        raise Unreadable("the record has no value; a fact cannot be taken back by a tombstone, send a deletion event")
    try:
        value = structured(record.value, record.headers)
        try:
            event = _READER.validate_json(value)
        except ValidationError as error:
            if error.errors(include_url=False, include_input=False)[0]["type"] != "union_tag_invalid":
                raise
            return _of_kserve(value, record)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(str(part) for part in first["loc"][1:]) or "the value"
        raise Unreadable(f"{where}: {first['msg']}") from error
    except RecursionError as error:
        raise Unreadable("the value is nested too deeply to be read") from error
    data = event.data
    _plain("id", event.id, most=128)
    if isinstance(data, Inference | PredictionOnly | InputOnly):
        _bounded("traffic", data.traffic, MOST_GENERATIONS)
        _plain("data.revision", data.revision, most=MOST_REVISION)
    if isinstance(data, Inference | PredictionOnly):
        _bounded("weightBp", data.weight_bp, FULL)
    if isinstance(data, Inference):
        _plain("data.answeredBy", data.answered_by, most=MOST_REVISION)
    at = data.started_at if isinstance(data, Inference) else data.at
    prefix = identity.prefix(event.subject, data.prediction_id)
    return Fact(record, event.subject, event.id, event.type, data, microseconds(at), prefix)


def _of_kserve(value: bytes, record: Record) -> Fact | None:
    said = kserve.read(value, received=_EPOCH + record.broker_us * _MICROSECOND)
    if said is None:
        return None
    prefix = identity.prefix(said.subject, said.data.prediction_id)
    return Fact(record, *said, microseconds(said.data.at), prefix, whole=True)


def _bounded(name: str, value: int, most: int) -> None:
    """These become numbers of the database, which end somewhere; JSON's do not."""
    if not 0 <= value <= most:
        raise Unreadable(f"data.{name}: {str(value)[:40]} must lie from 0 to {most}")


def _plain(name: str, text: str, *, most: int) -> None:
    """These become texts of the database, by which rows are found."""
    if len(text) > most or "\0" in text:
        raise Unreadable(f"{name}: it has {len(text)} characters; it may have {most}, and none of them may be a NUL")


def microseconds(at: datetime) -> int:
    """A time in whole microseconds since 1970; one without a zone could be anywhere, so it is refused."""
    if at.tzinfo is None:
        raise Unreadable(f"the time {at.isoformat()} has no zone; write it in UTC, such as {at.isoformat()}Z")
    return (at - _EPOCH) // _MICROSECOND
