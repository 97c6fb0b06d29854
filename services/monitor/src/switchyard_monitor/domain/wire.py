"""Wire: events in the form in which our own producers write them, read by a parser that knows that form.

It reads what is exactly so, in a third of the time, and answers None for all else, whether that is an event or none: a
field that is unknown, a time of another form, a number where a text should be. Then the types of
`switchyard_contracts.events` decide, and say what is wrong. So all that is refused here must only be rare; what is
taken must be what they would have taken, and tests hold the two to each other.
"""

from __future__ import annotations

import re
from datetime import datetime
from functools import lru_cache
from typing import Annotated, ClassVar, Literal

from msgspec import Meta, MsgspecError, Struct
from msgspec.json import Decoder
from switchyard_contracts.events import SUBJECT_PATTERN, EventType
from switchyard_contracts.quantities import FULL
from switchyard_contracts.sticky import BUCKETS
from switchyard_contracts.windows import EPOCH, MICROSECOND

from switchyard_monitor.domain import shapes

MOST_GENERATIONS = 2**53
MOST_REVISION = 253
"""Characters of the name of a Kubernetes object; an index of a database takes no text of any length."""
MOST_BRACKETS = 99
"""Of a kind. The other parser refuses what is nested more deeply than 200, and this one does not."""
_NUL = rb"\u0000"
_SUBJECT = re.compile(SUBJECT_PATTERN)

_Id = Annotated[str, Meta(pattern=r"^[A-Za-z0-9._:-]{1,128}\Z")]
_Time = Annotated[
    str,
    Meta(pattern=r"^[0-9]{4}-[0-9]{2}-[0-9]{2}T(?:[01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9]\.[0-9]{6}Z\Z"),
]
_Revision = Annotated[str, Meta(max_length=MOST_REVISION)]
_Generation = Annotated[int, Meta(ge=0, le=MOST_GENERATIONS)]
_Weight = Annotated[int, Meta(ge=0, le=FULL)]
_Row = Annotated[int, Meta(ge=0, le=1_000_000)]


class _Body(shapes.Body, kw_only=True, forbid_unknown_fields=True, gc=False):
    encoding: Literal["json", "text", "base64", "none"]
    bytes_seen: int = 0
    bytes_kept: int = 0
    content_type: str = ""


class _Inference(shapes.Inference, kw_only=True, forbid_unknown_fields=True, gc=False):
    prediction_id: _Id
    revision: _Revision
    version: str = ""
    answered_by: _Revision = ""
    traffic: _Generation
    weight_bp: _Weight
    unit: Annotated[int, Meta(ge=0, lt=BUCKETS)] | None = None
    flags: str = ""
    started_at: _Time
    pod: str = ""
    request: _Body
    response: _Body


class _InputOnly(shapes.InputOnly, kw_only=True, forbid_unknown_fields=True, gc=False):
    prediction_id: _Id
    row: _Row = 0
    revision: _Revision
    version: str = ""
    traffic: _Generation = 0
    at: _Time


class _PredictionOnly(shapes.PredictionOnly, kw_only=True, forbid_unknown_fields=True, gc=False):
    prediction_id: _Id
    row: _Row = 0
    revision: _Revision
    version: str = ""
    traffic: _Generation = 0
    weight_bp: _Weight = FULL
    at: _Time


class _Actor(shapes.Actor, kw_only=True, forbid_unknown_fields=True, gc=False):
    kind: Annotated[str, Meta(pattern=r"^[a-z][a-z0-9_-]{0,31}\Z")] = "human"
    id: Annotated[str, Meta(max_length=128)] | None = None


class _Label(shapes.Label, kw_only=True, forbid_unknown_fields=True, gc=False):
    prediction_id: _Id
    row: _Row = 0
    at: _Time
    actor: _Actor | None = None
    revision: Annotated[int, Meta(ge=0, le=2**31)] = 0
    token: str = ""


class _Deletion(shapes.Deletion, kw_only=True, forbid_unknown_fields=True, gc=False):
    prediction_id: _Id
    at: _Time
    token: str = ""


class _Event(Struct, kw_only=True, forbid_unknown_fields=True, gc=False, tag_field="type"):
    kind: ClassVar[EventType]
    id: Annotated[str, Meta(min_length=1, max_length=128)]
    subject: str
    specversion: str = ""
    source: str = ""
    time: str = ""
    datacontenttype: str = ""


class _InferenceEvent(_Event, kw_only=True, gc=False, tag=EventType.INFERENCE.value):
    kind = EventType.INFERENCE
    data: _Inference


class _InputEvent(_Event, kw_only=True, gc=False, tag=EventType.INPUT.value):
    kind = EventType.INPUT
    data: _InputOnly


class _PredictionEvent(_Event, kw_only=True, gc=False, tag=EventType.PREDICTION.value):
    kind = EventType.PREDICTION
    data: _PredictionOnly


class _DecisionEvent(_Event, kw_only=True, gc=False, tag=EventType.DECISION.value):
    kind = EventType.DECISION
    data: _Label


class _OutcomeEvent(_Event, kw_only=True, gc=False, tag=EventType.OUTCOME.value):
    kind = EventType.OUTCOME
    data: _Label


class _DeletionEvent(_Event, kw_only=True, gc=False, tag=EventType.DELETION.value):
    kind = EventType.DELETION
    data: _Deletion


_AnyEvent = _InferenceEvent | _InputEvent | _PredictionEvent | _DecisionEvent | _OutcomeEvent | _DeletionEvent
_READER: Decoder[_AnyEvent] = Decoder(_AnyEvent)


def read(value: bytes) -> tuple[_AnyEvent, int] | None:
    """An event in the usual form, and its time in microseconds since 1970; None for everything else."""
    if not _is_shallow(value) or (b"\\" in value and _NUL in value):
        return None
    try:
        event = _READER.decode(value)
        data = event.data
        at = data.started_at if isinstance(data, _Inference) else data.at
        at_us = _minute(at[:16]) + int(at[17:19]) * 1_000_000 + int(at[20:26])
    except (MsgspecError, ValueError, RecursionError):
        return None
    return (event, at_us) if _is_subject(event.subject) else None


def _is_shallow(value: bytes) -> bool:
    """Whether a text has too few brackets to be nested deeply. A request of a hundred rows has more, too.

    What is made of it does not tell how deep it was: of members of one name only the last is left.
    """
    return value.count(b"{") <= MOST_BRACKETS and value.count(b"[") <= MOST_BRACKETS


@lru_cache(maxsize=4096)
def _is_subject(text: str) -> bool:
    return _SUBJECT.fullmatch(text) is not None


@lru_cache(maxsize=4096)
def _minute(text: str) -> int:
    """When a minute begins, in microseconds since 1970."""
    return (datetime.fromisoformat(f"{text}+00:00") - EPOCH) // MICROSECOND
