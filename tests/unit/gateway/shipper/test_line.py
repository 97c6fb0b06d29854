"""Reading a line of Envoy's record: a pure function from bytes to an event, a refusal, or what is wrong with it."""

from __future__ import annotations

import base64
import itertools
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from switchyard_contracts.events import Inference, decode
from switchyard_gateway.shipper.line import DEEPEST, Event, Reader, Refusal, Unreadable, is_error
from switchyard_gateway.shipper.redaction import Redaction

STAMP = "shop/flight|flight-abc|1.0.0|candidate|7|500|split"


def line(**changes: Any) -> bytes:
    """An exchange in which all went well; each test says only what differs. None leaves a field out."""
    fields = {
        "boot": "1795330517801090924",
        "listener": "product",
        "id": "0f3868ba-6c88-46b4-a9d9-89c335ae45c1",
        "prediction": "heat-4711",
        "stamp": STAMP,
        "start": "1795330518117083",
        "status": 200,
        "flags": "-",
        "upstream_us": 3440,
        "host": "10.244.0.7:3000",
        "answered_by": "flight-abc",
        "request_type": "application/json",
        "request_bytes": 10,
        "response_type": "application/json",
        "response_bytes": 14,
        "body": {"q": '{"x":"ab"}', "p": '{"delay": 3.5}'},
        **changes,
    }
    return json.dumps({name: value for name, value in fields.items() if value is not None}).encode()


def reader(redact: dict[str, list[str]] | None = None, *, limit: int = 1_000_000) -> Reader:
    return Reader(node="gateway-0", redaction=Redaction(redact or {}), max_record_bytes=limit)


def event(raw: bytes, **options: Any) -> Event:
    read = reader(**options).read(raw)
    assert isinstance(read, Event), read
    return read


def inference(raw: bytes, **options: Any) -> Inference:
    payload = decode(event(raw, **options).value).payload()
    assert isinstance(payload, Inference)
    return payload


def test_a_whole_exchange() -> None:
    read = event(line())
    envelope = decode(read.value)
    assert (read.boot, read.answered, read.key) == ("1795330517801090924", True, b"shop/flight/heat-4711")
    assert (envelope.id, envelope.subject) == ("0f3868ba-6c88-46b4-a9d9-89c335ae45c1", "shop/flight")
    assert envelope.source == "/switchyard/gateway/gateway-0"
    assert envelope.time.isoformat() == "2026-11-22T06:55:18.117083+00:00"
    seen = inference(line())
    assert (seen.revision, seen.version, seen.role, seen.traffic) == ("flight-abc", "1.0.0", "candidate", 7)
    assert (seen.weight_bp, seen.assignment, seen.latency_us, seen.error) == (500, "split", 3440, False)
    assert (seen.request.value, seen.response.value) == ({"x": "ab"}, {"delay": 3.5})


def test_a_mirrored_exchange_has_an_event_id_of_its_own() -> None:
    envelope = decode(event(line(listener="mirror")).value)
    assert envelope.id == "0f3868ba-6c88-46b4-a9d9-89c335ae45c1:mirror:flight-abc"


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        pytest.param({"listener": "mirror"}, True, id="the gateway waited for a mirrored answer in vain"),
        pytest.param({"listener": "product"}, False, id="a product went away"),
        pytest.param(
            {"listener": "mirror", "body": {}, "request_chunks": {"1": "{"}},
            False,
            id="a product went away while it sent",
        ),
    ],
)
def test_a_mirrored_request_without_an_answer_is_the_revisions_error(changes: dict[str, Any], error: bool) -> None:
    assert inference(line(**{"status": 0, "flags": "DC", **changes})).error is error


def test_the_revision_that_answered_may_be_another() -> None:
    seen = inference(line(answered_by="flight-stable"))
    assert (seen.revision, seen.answered_by) == ("flight-abc", "flight-stable")


@pytest.mark.parametrize(
    ("status", "flags", "error"),
    [
        pytest.param(200, "", False, id="all well"),
        pytest.param(422, "", False, id="the model refuses"),
        pytest.param(500, "", True, id="the model fails"),
        pytest.param(503, "UH", True, id="nobody is there"),
        pytest.param(503, "UF,URX", True, id="nobody answers, tried again"),
        pytest.param(504, "UT", True, id="too slow"),
        pytest.param(200, "UC", True, id="broken off in the middle"),
        pytest.param(0, "DC", False, id="the client went away"),
        pytest.param(503, "UO", False, id="our own limit"),
        pytest.param(503, "OM", False, id="we are overloaded"),
        pytest.param(500, "DC", True, id="failed, then the client went away"),
    ],
)
def test_what_counts_as_an_error_of_the_revision(status: int, flags: str, error: bool) -> None:
    assert is_error(status, flags) is error
    assert inference(line(status=status, flags=flags or "-")).error is error


@pytest.mark.parametrize(
    ("changes", "encoding", "value", "complete"),
    [
        pytest.param({"body": {}, "response_bytes": 0}, "none", None, True, id="no body"),
        pytest.param({"body": {"p": '{"a":1}'}, "response_bytes": 7}, "json", {"a": 1}, True, id="JSON"),
        pytest.param({"body": {"p": '{"a":'}, "response_bytes": 5}, "text", '{"a":', True, id="said to be JSON"),
        pytest.param({"body": {"p": '{"a":1}'}, "response_bytes": 99}, "text", '{"a":1}', False, id="cut at the cap"),
        pytest.param(
            {"body": {"p64": "/w=="}, "response_bytes": 1}, "base64", "/w==", True, id="bytes that are no text"
        ),
        pytest.param(
            {"body": {"p": "1,2"}, "response_bytes": 3, "response_type": "text/csv"}, "text", "1,2", True, id="no JSON"
        ),
        pytest.param(
            {"body": {}, "response_chunks": {"2": "1}", "10": " ", "1": '{"a":', "end": True}, "response_bytes": 8},
            "json",
            {"a": 1},
            True,
            id="in pieces, in the order of their numbers",
        ),
        pytest.param(
            {"body": {}, "response_chunks": {"1b": "IsM=", "2b": "vCI=", "end": True}, "response_bytes": 4},
            "json",
            "ü",
            True,
            id="a letter cut in two by a chunk's end",
        ),
        pytest.param(
            {"body": {}, "response_chunks": {"1": '{"a":'}, "response_bytes": 5, "flags": "UC"},
            "text",
            '{"a":',
            False,
            id="broken off",
        ),
    ],
)
def test_bodies(changes: dict[str, Any], encoding: str, value: Any, complete: bool) -> None:
    body = inference(line(**changes)).response
    assert (body.encoding, body.value, body.complete) == (encoding, value, complete)


@pytest.mark.parametrize(
    "raw",
    [
        pytest.param('{"x": 1e999}', id="a number that does not fit"),
        pytest.param('{"x": -Infinity}', id="no number"),
        pytest.param('{"x": "\\ud800"}', id="half a pair of surrogates"),
        pytest.param("[" * (DEEPEST + 1) + "]" * (DEEPEST + 1), id="too deep"),
        pytest.param("[" * 100_000, id="absurdly deep"),
    ],
)
def test_documents_that_would_be_poison_travel_as_text(raw: str) -> None:
    body = inference(line(body={"q": raw}, request_bytes=len(raw))).request
    assert (body.encoding, body.value) == ("text", raw)


def test_an_event_that_is_too_large_goes_without_its_bodies() -> None:
    large = "\x01" * 100_000  # six bytes each, once escaped
    raw = line(body={"q": large, "p": "{}"}, request_bytes=len(large), response_bytes=2)
    read = event(raw, limit=500_000)
    assert read.bodies_removed
    assert len(read.value) < 2000
    seen = inference(raw, limit=500_000)
    assert (seen.request.encoding, seen.request.bytes_seen, seen.request.complete) == ("none", 100_000, False)
    assert seen.status == 200


@pytest.mark.parametrize(
    ("changes", "status"),
    [
        pytest.param({"stamp": None, "status": 404}, 404, id="no route"),
        pytest.param({"stamp": None, "status": 400, "id": None, "prediction": None}, 400, id="no proper request"),
        pytest.param({"stamp": None, "status": None}, 0, id="a client that went away before it was routed"),
    ],
)
def test_what_no_model_was_asked_is_a_refusal(changes: dict[str, Any], status: int) -> None:
    read = reader().read(line(**changes))
    assert read == Refusal("1795330517801090924", status > 0, status)


@pytest.mark.parametrize(
    ("raw", "says"),
    [
        pytest.param(b'{"boot": "1795', "JSONDecodeError", id="torn"),
        pytest.param(b"\xff\xfe", "Unicode", id="no text"),
        pytest.param(b"[]", "not an object", id="no object"),
        pytest.param(b"{}", "boot", id="no boot"),
        pytest.param(line(stamp="a|b"), "has 2 parts, it must have 7", id="half a stamp"),
        pytest.param(line(stamp=STAMP.replace("candidate", "king")), "role", id="an unknown role"),
        pytest.param(line(stamp=STAMP.replace("shop/", "Shop/")), "subject", id="no name of a deployment"),
        pytest.param(line(prediction="a b"), "prediction", id="no proper id"),
        pytest.param(line(prediction=None), "prediction", id="no id"),
        pytest.param(line(start="yesterday"), "yesterday", id="no time"),
        pytest.param(line(body={"p64": "*"}), "base64", id="damaged base64"),
        pytest.param(line(body=5), "TypeError", id="a body of another kind"),
    ],
)
def test_what_cannot_be_read_says_why(raw: bytes, says: str) -> None:
    read = reader().read(raw)
    assert isinstance(read, Unreadable)
    assert says in read.reason


@given(st.binary(max_size=300))
def test_no_bytes_make_it_raise(raw: bytes) -> None:
    assert isinstance(reader().read(raw), Event | Refusal | Unreadable)


@given(st.integers(0, 600))
def test_no_torn_line_makes_it_raise(cut: int) -> None:
    whole = line()
    read = reader().read(whole[:cut])
    assert isinstance(read, Unreadable if cut < len(whole) else Event)


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
        lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
        max_leaves=20,
    )
)
def test_any_document_arrives_as_it_was(document: Any) -> None:
    raw = json.dumps(document)
    body = inference(line(body={"q": raw}, request_bytes=len(raw.encode()))).request
    if body.encoding == "json":
        assert body.value == document
    else:
        assert (body.encoding, body.value) == ("text", raw)


@given(st.binary(min_size=1, max_size=200), st.lists(st.integers(0, 200), max_size=6))
def test_any_bytes_in_any_pieces_arrive_as_they_were(content: bytes, cuts: list[int]) -> None:
    edges = sorted({0, len(content), *(cut for cut in cuts if cut < len(content))})
    pieces: dict[str, Any] = {"end": True}
    for number, (start, end) in enumerate(itertools.pairwise(edges), start=1):
        pieces[f"{number}b"] = base64.b64encode(content[start:end]).decode()
    body = inference(
        line(body={}, request_chunks=pieces, request_bytes=len(content), request_type="application/octet-stream")
    ).request
    restored = base64.b64decode(body.value) if body.encoding == "base64" else body.value.encode()
    assert (restored, body.complete) == (content, True)


@pytest.mark.parametrize(
    ("rules", "expected"),
    [
        pytest.param({"*": ["$.card"]}, {"card": None, "rows": [{"ssn": 1}, {"ssn": 2}]}, id="for all"),
        pytest.param(
            {"shop/flight": ["$.rows[*].ssn"]}, {"card": "1234", "rows": [{"ssn": None}, {"ssn": None}]}, id="every row"
        ),
        pytest.param(
            {"shop/flight": ["$.rows[1]['ssn']"]}, {"card": "1234", "rows": [{"ssn": 1}, {"ssn": None}]}, id="one row"
        ),
        pytest.param({"shop/other": ["$.card"]}, {"card": "1234", "rows": [{"ssn": 1}, {"ssn": 2}]}, id="for others"),
        pytest.param({"*": ["$.absent.x"]}, {"card": "1234", "rows": [{"ssn": 1}, {"ssn": 2}]}, id="nowhere"),
    ],
)
def test_what_must_not_leave_is_taken_out(rules: dict[str, list[str]], expected: Any) -> None:
    raw = json.dumps({"card": "1234", "rows": [{"ssn": 1}, {"ssn": 2}]})
    assert inference(line(body={"q": raw}, request_bytes=len(raw)), redact=rules).request.value == expected


@pytest.mark.parametrize("raw", ['{"card": "1234"', '{"card": "1234", "x": 1e999}'], ids=["cut short", "poison"])
def test_what_cannot_be_searched_is_withheld_whole(raw: str) -> None:
    sent = event(line(body={"q": raw}, request_bytes=len(raw)), redact={"*": ["$.card"]})
    assert b"1234" not in sent.value
    seen = inference(line(body={"q": raw}, request_bytes=len(raw)), redact={"*": ["$.card"]})
    assert (seen.request.encoding, seen.request.complete) == ("none", False)


@pytest.mark.parametrize("path", ["card", "$", "$.", "$.a b", "$..a", "$[x]", "$.a[*"])
def test_a_path_that_names_nothing_is_an_error(path: str) -> None:
    with pytest.raises(ValueError, match="is not a path"):
        Redaction({"*": [path]})


@pytest.mark.parametrize(
    ("end", "assignment", "unit"),
    [
        pytest.param("split", "split", None, id="drawn by itself"),
        pytest.param("sticky|1234", "sticky", 1234, id="drawn by its user"),
        pytest.param("split|0", "split", 0, id="names no user in a sticky split"),
    ],
)
def test_a_stamp_says_how_a_request_was_drawn(end: str, assignment: str, unit: int | None) -> None:
    read = inference(line(stamp=f"shop/flight|flight-abc|1.0.0|candidate|7|500|{end}"))
    assert (read.assignment, read.unit) == (assignment, unit)


@pytest.mark.parametrize("end", ["sticky|10000", "sticky|x", "sticky|1|2", "-"])
def test_a_bucket_that_cannot_be_makes_a_line_unreadable(end: str) -> None:
    assert isinstance(reader().read(line(stamp=f"shop/flight|flight-abc|1.0.0|candidate|7|500|{end}")), Unreadable)
