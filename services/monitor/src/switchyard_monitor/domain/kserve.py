"""KServe's inference logger, read as it writes: a CloudEvent for the request and one for the answer, under one id.

The id is the prediction's. They name the InferenceService, its namespace and the component that was called, no revision
of ours; so all that one component says is one revision's, named as KServe names its workload, such as `iris-predictor`.
An explanation is no prediction and is passed over. The content type is the request's in both, and often wrong.
"""

from __future__ import annotations

from base64 import b64decode
from datetime import datetime
from typing import Annotated, Any, Literal, NamedTuple

from pydantic import Field, StringConstraints, TypeAdapter, ValidationError
from pydantic_core import from_json
from switchyard_contracts.base import Timestamp
from switchyard_contracts.events import SUBJECT_PATTERN, InputOnly, Part, PredictionId, PredictionOnly

from switchyard_monitor.errors import Unreadable

REQUEST = "org.kubeflow.serving.inference.request"
RESPONSE = "org.kubeflow.serving.inference.response"
EXPLAINER = "explainer"

_Word = Annotated[str, StringConstraints(pattern=r"^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$|^$")]


class _Event(Part):
    id: PredictionId
    namespace: str
    inferenceservicename: str
    component: _Word = ""
    endpoint: _Word = ""
    time: Timestamp | None = None
    data: Any = None
    data_base64: Annotated[str | None, Field(alias="data_base64")] = None

    @property
    def revision(self) -> str:
        """As KServe names the workload."""
        return "-".join(part for part in (self.inferenceservicename, self.component, self.endpoint) if part)

    @property
    def body(self) -> Any:
        """What went over the wire: its JSON where it is some, else its bytes as base64 or text."""
        if self.data_base64 is None and not isinstance(self.data, str):
            return self.data
        try:
            return from_json(self.data if self.data_base64 is None else b64decode(self.data_base64))
        except ValueError:
            return self.data if self.data_base64 is None else self.data_base64


class _Request(_Event):
    type: Literal["org.kubeflow.serving.inference.request"]


class _Response(_Event):
    type: Literal["org.kubeflow.serving.inference.response"]


_READER: TypeAdapter[_Request | _Response] = TypeAdapter(Annotated[_Request | _Response, Field(discriminator="type")])


class Said(NamedTuple):
    """An X or a Y that came alone, in our words."""

    subject: str
    event_id: str
    type: str
    data: InputOnly | PredictionOnly


def read(value: bytes, *, received: datetime) -> Said | None:
    """Read an event, `received` where it tells no time; None when it is none of KServe's, or an explanation.

    Raises `ValidationError`, or `Unreadable` for a name that no deployment can have.
    """
    try:
        event = _READER.validate_json(value)
    except ValidationError as error:
        if error.errors(include_url=False, include_input=False)[0]["type"] == "union_tag_invalid":
            return None
        raise
    if event.component == EXPLAINER:
        return None
    kind = InputOnly if isinstance(event, _Request) else PredictionOnly
    data = kind(prediction_id=event.id, revision=event.revision, at=event.time or received, value=event.body)
    # A caller may send its own id twice; the logger's time tells a request from the same event sent again.
    return Said(_subject(event), f"{event.id} {event.time}", event.type, data)


_SUBJECT: TypeAdapter[str] = TypeAdapter(Annotated[str, StringConstraints(pattern=SUBJECT_PATTERN)])


def _subject(event: _Event) -> str:
    subject = f"{event.namespace}/{event.inferenceservicename}"
    try:
        return _SUBJECT.validate_python(subject)
    except ValidationError as error:
        raise Unreadable(f"{subject[:80]!r} is no namespace and name of an InferenceService") from error
