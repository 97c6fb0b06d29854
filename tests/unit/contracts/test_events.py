"""Events: written and read again they are the same; what is wrong is named."""

import json
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError
from switchyard_contracts.events import (
    DATA,
    Actor,
    Assignment,
    Body,
    CloudEvent,
    Deletion,
    EventType,
    Inference,
    InputOnly,
    Label,
    PredictionOnly,
    decode,
    encode,
    event,
    key,
)
from switchyard_contracts.model_route import RouteRole

NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)
INFERENCE = Inference(
    prediction_id="1772452800000-7f",
    revision="delay-b",
    version="2.0.0",
    answered_by="delay-a",
    role=RouteRole.CANDIDATE,
    traffic=7,
    weight_bp=500,
    assignment=Assignment.SPLIT,
    status=200,
    error=False,
    latency_us=1234,
    started_at=NOON,
    request=Body(encoding="json", value={"distance": 719}, bytes_seen=16, bytes_kept=16),
    response=Body(encoding="base64", value="AP8=", bytes_seen=2, bytes_kept=2, content_type="image/png"),
)
PAYLOADS = {
    EventType.INFERENCE: INFERENCE,
    EventType.INPUT: InputOnly(prediction_id="p", revision="r", at=NOON, value={"a": 1}),
    EventType.PREDICTION: PredictionOnly(prediction_id="p", revision="r", at=NOON, value=[1, 2]),
    EventType.DECISION: Label(prediction_id="p", row=3, value=True, at=NOON, actor=Actor(id="anna"), token="till"),
    EventType.OUTCOME: Label(prediction_id="p", value=12.5, at=NOON, revision=2),
    EventType.DELETION: Deletion(prediction_id="p", at=NOON, token="till"),
}


def envelope(kind: EventType = EventType.OUTCOME, **changes: Any) -> CloudEvent:
    facts: dict[str, Any] = {"event_id": "e-1", "source": "/test", "subject": "shop/delay", "time": NOON}
    return event(kind, data=PAYLOADS[kind], **(facts | changes))


@pytest.mark.parametrize("kind", EventType)
def test_every_type_written_and_read_again_is_the_same(kind):
    sent = envelope(kind)
    read = decode(encode(sent))
    assert read == sent
    assert read.payload() == PAYLOADS[kind]
    assert type(read.payload()) is DATA[kind]


@given(
    st.recursive(
        st.booleans() | st.integers(-(2**53), 2**53) | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
        st.lists,
    )
)
def test_any_value_comes_through(value):
    try:
        json.dumps(value, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        return  # half a letter; the door refuses it
    label = Label(prediction_id="p", value=value, at=NOON)
    read = decode(encode(event(EventType.OUTCOME, event_id="e", source="/t", subject="a/b", time=NOON, data=label)))
    assert read.payload() == label


def test_it_is_a_cloud_event_on_the_wire():
    body = json.loads(encode(envelope(time=datetime(2026, 3, 2, 13, tzinfo=timezone(timedelta(hours=1))))))
    assert body["specversion"] == "1.0"
    assert body["type"] == "dev.switchyard.outcome.v1"
    assert body["datacontenttype"] == "application/json"
    assert body["time"] == "2026-03-02T12:00:00.000000Z"
    assert body["data"]["predictionId"] == "p"


def test_the_key_joins_all_that_is_said_of_a_prediction():
    assert key("shop/delay", "p-1") == b"shop/delay/p-1"


def test_a_newer_producers_fields_are_passed_over():
    body = json.loads(encode(envelope()))
    body["traceparent"] = "00-1"
    body["data"]["confidence"] = 0.9
    assert decode(json.dumps(body).encode()).payload() == PAYLOADS[EventType.OUTCOME]


@pytest.mark.parametrize(
    ("path", "value", "says"),
    [
        (("type",), "dev.switchyard.outcome.v9", "type"),
        (("specversion",), "0.3", "specversion"),
        (("subject",), "delay", "subject"),
        (("subject",), "Shop/delay", "subject"),
        (("id",), "", "id"),
        (("time",), "noon", "time"),
        (("data",), [], "data"),
        (("data", "predictionId"), "a b", "predictionId"),
        (("data", "predictionId"), "x" * 129, "predictionId"),
        (("data", "row"), -1, "row"),
        (("data", "at"), None, "at"),
    ],
)
def test_what_is_wrong_with_an_event_is_named(path, value, says):
    body = json.loads(encode(envelope()))
    node = body
    for step in path[:-1]:
        node = node[step]
    node[path[-1]] = value
    with pytest.raises(ValidationError, match=says):
        decode(json.dumps(body).encode()).payload()


@pytest.mark.parametrize("poison", [b"", b"\xff\x00", b"null", b"[]", b"{", b'{"id": 1'])
def test_poison_is_an_error_and_not_an_event(poison):
    with pytest.raises(ValueError, match=r"validation error|Invalid JSON"):
        decode(poison)
