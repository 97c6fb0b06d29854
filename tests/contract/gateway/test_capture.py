"""A real Envoy as the product configures it, with static routes: what it answers, what it records, what it refuses."""

from __future__ import annotations

import asyncio
import base64
import http.client
import json
import os
import socket
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from switchyard_contracts.events import CloudEvent, Inference, decode
from switchyard_gateway.control.adapters.envoy_admin import EnvoyAdmin
from switchyard_gateway.shipper.line import Event, Reader, Refusal
from switchyard_gateway.shipper.redaction import Redaction
from switchyard_testkit.cache import Cache
from switchyard_testkit.envoy import (
    EnvoyProcess,
    StaticRoutes,
    binary,
    data_plane,
    model_cluster,
    running,
    stamped_route,
)
from switchyard_testkit.upstream import PREDICTION, Upstream, upstream
from switchyard_testkit.waiting import until

STAMP = "shop/flight|flight-abc|1.0.0|stable|3|10000|split"
SILENCE = "4s"
"""How long a silent model is waited for: longer than connections that ask nothing are let be when Envoy ends."""
JSON_TYPE = {"content-type": "application/json"}
CAP = 131_072
MAX = 300_000


@dataclass
class Gateway:
    """Envoy, the model behind it, and the record between them."""

    envoy: EnvoyProcess
    model: Upstream
    read_to: int = 0

    def ask(
        self,
        path: str,
        *,
        body: Any = None,
        method: str = "POST",
        headers: dict[str, str] | None = None,
        chunked: bool = False,
    ) -> tuple[http.client.HTTPResponse, bytes]:
        """One request on a connection of its own."""
        connection = http.client.HTTPConnection("127.0.0.1", self.envoy.port, timeout=20)
        try:
            connection.request(method, path, body, JSON_TYPE if headers is None else headers, encode_chunked=chunked)
            response = connection.getresponse()
            return response, response.read()
        finally:
            connection.close()

    def lines(self, count: int = 1) -> list[bytes]:
        """The next lines of the record."""
        path = self.envoy.spool / "active" / "exchanges.log"

        def fresh() -> list[bytes] | None:
            content = path.read_bytes()[self.read_to :] if path.exists() else b""
            found = content.splitlines(keepends=True)
            return found if len(found) >= count and content.endswith(b"\n") else None

        found = until(fresh, f"{count} more lines are in the record", seconds=30, every=0.01)
        assert len(found) == count
        self.read_to += sum(len(line) for line in found)
        return found

    def event(self) -> tuple[CloudEvent, Inference]:
        """The next exchange, as the shipper would send it."""
        (line,) = self.lines()
        read = READER.read(line)
        assert isinstance(read, Event), read
        envelope = decode(read.value)
        payload = envelope.payload()
        assert isinstance(payload, Inference)
        assert read.key == f"shop/flight/{payload.prediction_id}".encode()
        return envelope, payload

    def refusal(self) -> Refusal:
        """The next line, which must be no exchange with a model."""
        (line,) = self.lines()
        read = READER.read(line)
        assert isinstance(read, Refusal), read
        return read


READER = Reader(node="gateway-0", redaction=Redaction({}), max_record_bytes=1_000_000)


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    with upstream() as model, upstream() as feedback:
        routes = StaticRoutes(
            [
                {
                    "name": "models",
                    "domains": ["*"],
                    "routes": [
                        stamped_route(
                            "/shop/flight/silent", "shop/flight-abc", stamp=STAMP, timeout=SILENCE, rewrite="/silent"
                        ),
                        stamped_route("/shop/flight/", "shop/flight-abc", stamp=STAMP, timeout="15s"),
                        stamped_route("/shop/gone/", "shop/gone", stamp=STAMP.replace("flight|", "gone|", 1)),
                        {
                            "match": {"prefix": "/-/feedback/"},
                            "route": {"cluster": "feedback", "prefix_rewrite": "/"},
                            "typed_per_filter_config": {
                                "envoy.filters.http.lua": {
                                    "@type": "type.googleapis.com/envoy.extensions.filters.http.lua.v3.LuaPerRoute",
                                    "disabled": True,
                                }
                            },
                        },
                        {
                            "match": {"prefix": "/"},
                            "direct_response": {"status": 404, "body": {"inline_string": "no model answers here"}},
                        },
                    ],
                }
            ],
            [
                model_cluster("shop/flight-abc", port=model.port, revision="flight-abc"),
                model_cluster("shop/gone", port=1, revision="gone-abc"),
            ],
        )
        envoy = EnvoyProcess(
            binary(Cache.from_env(os.environ)),
            tmp_path_factory.mktemp("gateway"),
            settings={"max_request_bytes": MAX, "feedback_port": feedback.port},
            static=routes,
        )
        with running(envoy, now_ns=time.time_ns()):
            yield Gateway(envoy, model)


def test_an_exchange_is_recorded_whole(gateway: Gateway) -> None:
    began = time.monotonic()
    response, body = gateway.ask("/shop/flight/predict", body=b'{"distance": 12.5}')
    took = time.monotonic() - began
    envelope, inference = gateway.event()
    assert (response.status, body) == (200, PREDICTION)
    assert envelope.subject == "shop/flight"
    assert envelope.id == response.headers["x-request-id"]
    assert inference.prediction_id == response.headers["x-prediction-id"]
    assert inference.request.value == {"distance": 12.5}
    assert inference.response.value == {"delay": 3.5}
    assert (inference.request.complete, inference.response.complete) == (True, True)
    assert (inference.revision, inference.answered_by, inference.version) == ("flight-abc", "flight-abc", "1.0.0")
    assert (inference.role, inference.traffic, inference.weight_bp, inference.assignment) == (
        "stable",
        3,
        10_000,
        "split",
    )
    assert (inference.status, inference.flags, inference.error) == (200, "", False)
    assert inference.latency_us is not None
    assert 0 < inference.latency_us <= took * 1_000_000
    assert inference.pod == f"127.0.0.1:{gateway.model.port}"
    assert abs(inference.started_at.timestamp() - time.time()) < 60


def test_a_callers_own_id_is_kept(gateway: Gateway) -> None:
    response, _ = gateway.ask("/shop/flight/predict", body=b"{}", headers={**JSON_TYPE, "x-prediction-id": "heat-4711"})
    _, inference = gateway.event()
    assert response.headers["x-prediction-id"] == inference.prediction_id == "heat-4711"


@pytest.mark.parametrize("chunked", [False, True], ids=["with its length", "in chunks"])
@pytest.mark.parametrize(
    ("body", "encoding"),
    [
        pytest.param(b'{"text": "gr\xc3\xbc\xc3\x9fe \xf0\x9f\x9b\xab"}', "json", id="JSON of all planes"),
        pytest.param(b'{"text": "a\\u0000b"}', "json", id="an escaped NUL"),
        pytest.param(b'{"a": 1}\0{"b": 2}', "base64", id="a NUL byte"),
        pytest.param(b"\xff\xfe\x80", "base64", id="bytes that are no UTF-8"),
        pytest.param(b"\xc3", "base64", id="half a letter"),
        pytest.param(b"\xed\xa0\x80", "base64", id="half a surrogate pair"),
        pytest.param(b"\xc0\xaf", "base64", id="an overlong letter"),
        pytest.param(b"not JSON at all", "text", id="no JSON"),
        pytest.param(b'{"x": NaN}', "text", id="a number that JSON has not"),
        pytest.param(b'{"x": 1e999}', "text", id="a number that does not fit"),
        pytest.param(b'{"x": "\\ud800"}', "text", id="an escaped half pair"),
        pytest.param(b"[" * 500 + b"]" * 500, "text", id="nested very deep"),
        pytest.param(b'"quoted \\" and \\\\ and \x7f"', "json", id="quotes and backslashes"),
        pytest.param(b"line\r\nline\n\xe2\x80\xa8\xc2\x85end", "text", id="ends of lines of all kinds"),
        pytest.param(b"x" * CAP, "text", id="as large as the cap"),
    ],
)
def test_bodies_are_recorded_as_they_were(gateway: Gateway, body: bytes, encoding: str, chunked: bool) -> None:
    sent: Any = iter([body[:3], body[3:]]) if chunked else body
    headers = {**JSON_TYPE, "transfer-encoding": "chunked"} if chunked else JSON_TYPE
    response, answer = gateway.ask("/shop/flight/echo", body=sent, headers=headers, chunked=chunked)
    _, inference = gateway.event()
    assert (response.status, answer) == (200, body)
    for side in (inference.request, inference.response):
        assert side.encoding == encoding
        assert restored(side.encoding, side.value) == (json.loads(body) if encoding == "json" else body)
        assert (side.bytes_seen, side.bytes_kept, side.complete) == (len(body), len(body), True)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.binary(min_size=1, max_size=400), st.integers(0, 400))
def test_any_bytes_come_through(gateway: Gateway, body: bytes, cut: int) -> None:
    parts = [part for part in (body[:cut], body[cut:]) if part]
    headers = {**JSON_TYPE, "transfer-encoding": "chunked"}
    _, answer = gateway.ask("/shop/flight/echo", body=iter(parts), headers=headers, chunked=True)
    _, inference = gateway.event()
    assert answer == body
    for side in (inference.request, inference.response):
        assert side.complete
        kept = restored(side.encoding, side.value)
        assert kept == (json.loads(body) if side.encoding == "json" else body)


def test_an_answer_in_chunks_is_one_body(gateway: Gateway) -> None:
    _, answer = gateway.ask("/shop/flight/chunked", body=b"{}")
    _, inference = gateway.event()
    assert json.loads(answer) == inference.response.value == {"delay": 3.5}
    assert inference.response.complete


@pytest.mark.parametrize(
    "size", [CAP + 1, 200_000, 300_000], ids=["a byte over the cap", "large", "as large as is let in"]
)
def test_a_body_over_the_cap_passes_and_is_kept_in_part(gateway: Gateway, size: int) -> None:
    body = b"y" * size
    response, answer = gateway.ask("/shop/flight/echo", body=body)
    _, inference = gateway.event()
    assert (response.status, answer) == (200, body)
    for side in (inference.request, inference.response):
        assert (side.encoding, side.value) == ("text", "y" * CAP)
        assert (side.bytes_seen, side.bytes_kept, side.complete) == (size, CAP, False)


def test_a_long_stream_is_kept_in_part(gateway: Gateway) -> None:
    _, answer = gateway.ask("/shop/flight/stream/3000000", body=b"{}")
    _, inference = gateway.event()
    assert len(answer) == 3_000_000
    assert inference.response.value == "s" * CAP
    assert (inference.response.bytes_seen, inference.response.complete) == (3_000_000, False)


def test_nothing_said_is_nothing_recorded(gateway: Gateway) -> None:
    response, answer = gateway.ask("/shop/flight/empty", method="GET", headers={})
    _, inference = gateway.event()
    assert (response.status, answer) == (204, b"")
    for side in (inference.request, inference.response):
        assert (side.encoding, side.value, side.bytes_seen, side.complete) == ("none", None, 0, True)


@pytest.mark.parametrize(
    ("path", "status", "flags", "error"),
    [
        pytest.param("/shop/flight/status/500", 500, "", True, id="the model fails"),
        pytest.param("/shop/flight/status/422", 422, "", False, id="the model refuses the input"),
        pytest.param("/shop/flight/silent", 504, "UT", True, id="the model is silent"),
        pytest.param("/shop/flight/reset", 503, "UC", True, id="the connection is cut"),
        pytest.param("/shop/gone/predict", 503, "UF", True, id="nobody listens"),
    ],
)
def test_failures_are_recorded_with_x_and_id(gateway: Gateway, path: str, status: int, flags: str, error: bool) -> None:
    response, answer = gateway.ask(path, body=b'{"x": 1}')
    (line,) = gateway.lines()
    read = READER.read(line)
    assert isinstance(read, Event)
    inference = decode(read.value).payload()
    assert isinstance(inference, Inference)
    assert response.status == inference.status == status
    assert inference.prediction_id == response.headers["x-prediction-id"]
    assert inference.request.value == {"x": 1}
    assert inference.response.value == json.loads(answer)
    assert (inference.flags, inference.error) == (flags, error)


@pytest.mark.parametrize(
    ("path", "kept"),
    [
        pytest.param("/shop/flight/half", "h" * CAP, id="with its length promised"),
        pytest.param("/shop/flight/half-chunked", '{"first": 1,"second": 2', id="in chunks"),
    ],
)
def test_an_answer_that_breaks_off_keeps_what_was_seen(gateway: Gateway, path: str, kept: str) -> None:
    with pytest.raises(http.client.IncompleteRead):
        gateway.ask(path, body=b"{}")
    _, inference = gateway.event()
    assert (inference.status, inference.error, inference.response.complete) == (200, True, False)
    assert (inference.response.encoding, inference.response.value) == ("text", kept)


def test_a_client_that_goes_away_while_it_waits_is_no_error(gateway: Gateway) -> None:
    with socket.create_connection(("127.0.0.1", gateway.envoy.port)) as sock:
        sock.sendall(request("/shop/flight/silent", b'{"x": 1}'))
        until(lambda: gateway.model.seen[-1][":path"] == "/silent", "the model was asked", seconds=30, every=0.01)
    _, inference = gateway.event()
    assert (inference.status, inference.flags, inference.error) == (0, "DC", False)
    assert inference.request.value == {"x": 1}
    assert not inference.response.complete


@pytest.mark.parametrize("sent", [100_000, 200_000], ids=["under the cap", "over the cap"])
def test_a_client_that_goes_away_while_it_sends(gateway: Gateway, sent: int) -> None:
    with socket.create_connection(("127.0.0.1", gateway.envoy.port)) as sock:
        before = gateway.envoy.stat("http.product.downstream_cx_rx_bytes_total")
        head = request("/shop/flight/predict", b"", length=CAP + 100_000 if sent > CAP else CAP)
        sock.sendall(head + b"z" * sent)
        held = "http.product.downstream_cx_rx_bytes_total"
        until(lambda: gateway.envoy.stat(held) - before >= sent, "Envoy has read it", seconds=30, every=0.01)
    (line,) = gateway.lines()
    read = READER.read(line)
    if isinstance(
        read, Refusal
    ):  # it never came to routing: the model was not asked, and no one's prediction is missing
        assert sent < CAP
        assert read.status == 0
        return
    inference = decode(read.value).payload()
    assert isinstance(inference, Inference)
    assert (inference.status, inference.error) == (0, False)
    assert (inference.request.complete, inference.request.bytes_kept) == (False, min(sent, CAP))


@pytest.mark.parametrize(
    ("path", "headers", "body", "status", "says"),
    [
        pytest.param("/nowhere", JSON_TYPE, b"{}", 404, "no model answers here", id="an unknown path"),
        pytest.param("/shop%2Fflight/predict", JSON_TYPE, b"{}", 400, "", id="an escaped slash"),
        pytest.param("/shop/flight/predict", {}, b"{}", 415, "content-type is missing", id="no content type"),
        pytest.param("/shop/flight/predict", {"content-type": "text/csv"}, b"1,2", 415, "text/csv", id="no JSON"),
        pytest.param(
            "/shop/flight/predict",
            {"content-type": "application/vnd.bentoml+pickle"},
            b".",
            415,
            "pickle",
            id="a pickle",
        ),
        pytest.param(
            "/shop/flight/predict",
            {"content-type": "application/x-pickle+json"},
            b".",
            415,
            "pickle",
            id="a disguised pickle",
        ),
        pytest.param(
            "/shop/flight/predict",
            {**JSON_TYPE, "content-encoding": "gzip"},
            b"{}",
            415,
            "content-encoding",
            id="compressed",
        ),
        pytest.param("/shop/flight/predict", JSON_TYPE, b"x" * (MAX + 1), 413, "at most 300000", id="too large"),
    ],
)
def test_refusals_say_why_and_ask_no_model(
    gateway: Gateway, path: str, headers: dict[str, str], body: bytes, status: int, says: str
) -> None:
    asked = len(gateway.model.seen)
    response, answer = gateway.ask(path, body=body, headers=headers)
    problem = json.loads(answer)
    assert response.headers["content-type"] == "application/problem+json"
    assert (response.status, problem["status"]) == (status, status)
    assert says in problem["detail"]
    assert gateway.refusal().status == status
    assert len(gateway.model.seen) == asked


def test_a_body_of_unknown_length_that_is_too_large_is_refused(gateway: Gateway) -> None:
    asked = len(gateway.model.seen)
    parts = [b"x" * 50_000] * 8
    connection = http.client.HTTPConnection("127.0.0.1", gateway.envoy.port, timeout=20)
    try:
        connection.request(
            "POST",
            "/shop/flight/predict",
            iter(parts),
            {**JSON_TYPE, "transfer-encoding": "chunked"},
            encode_chunked=True,
        )
        response = connection.getresponse()
        assert (response.status, json.loads(response.read())["status"]) == (413, 413)
    finally:
        connection.close()
    assert gateway.refusal().status == 413
    assert len(gateway.model.seen) == asked


@pytest.mark.parametrize(
    "media_type", ["application/json; charset=utf-8", "Application/JSON", "application/cloudevents+json"]
)
def test_all_spellings_of_json_are_let_in(gateway: Gateway, media_type: str) -> None:
    response, _ = gateway.ask("/shop/flight/predict", body=b"{}", headers={"content-type": media_type})
    _, inference = gateway.event()
    assert response.status == 200
    assert inference.request.value == {}


def test_local_answers_carry_an_id(gateway: Gateway) -> None:
    response, answer = gateway.ask("/nowhere", body=b"{}", headers={**JSON_TYPE, "x-prediction-id": "mine"})
    gateway.refusal()
    assert response.headers["x-prediction-id"] == "mine"
    assert json.loads(answer)["predictionId"] == "mine"
    response, _ = gateway.ask("/nowhere", body=b"{}")
    gateway.refusal()
    assert len(response.headers["x-prediction-id"]) > 30


def test_secrets_never_leave_envoy(gateway: Gateway) -> None:
    secret = {"authorization": "Bearer s3cret", "cookie": "session=s3cret", "proxy-authorization": "Basic s3cret"}
    gateway.ask("/shop/flight/predict", body=b"{}", headers={**JSON_TYPE, **secret})
    (line,) = gateway.lines()
    assert b"s3cret" not in line
    assert not secret.keys() & gateway.model.seen[-1].keys()


def test_callers_cannot_pretend_to_be_the_gateway(gateway: Gateway) -> None:
    forged = {
        "x-switchyard-stamp": "shop/flight|evil|9|stable|1|10000|split",
        "x-switchyard-rev": "1",
        "x-switchyard-revisions": "1",
        "x-switchyard-": "1",
        "x-request-id": "00000000-0000-4000-8000-000000000000",
        "x-envoy-original-path": "/-/feedback/not-recorded",
        "accept-encoding": "gzip",
        "x-switchyard-revision": "flight-abc",
    }
    response, _ = gateway.ask("/shop/flight/predict", body=b"{}", headers={**JSON_TYPE, **forged})
    envelope, inference = gateway.event()
    seen = gateway.model.seen[-1]
    assert inference.revision == "flight-abc"
    assert envelope.id == response.headers["x-request-id"] != forged["x-request-id"]
    assert seen["x-switchyard-stamp"] == STAMP
    assert seen["x-switchyard-revision"] == "flight-abc"
    assert not {"x-switchyard-rev", "x-switchyard-revisions", "x-switchyard-", "accept-encoding"} & seen.keys()


def test_feedback_is_passed_on_and_never_recorded(gateway: Gateway) -> None:
    before = gateway.envoy.stat("switchyard.exchanges")
    response, _ = gateway.ask("/-/feedback/v1/shop/flight/outcomes", body=b'{"value": 1}')
    assert response.status == 200
    gateway.ask("/shop/flight/predict", body=b'{"after": 1}')
    _, inference = gateway.event()
    assert inference.request.value == {"after": 1}
    assert gateway.envoy.stat("switchyard.exchanges") == before + 1


def test_every_exchange_is_counted_where_it_is_recorded(gateway: Gateway) -> None:
    path = gateway.envoy.spool / "active" / "exchanges.log"
    lines = path.read_bytes().count(b"\n")
    assert gateway.envoy.stat("switchyard.exchanges") == gateway.envoy.stat("switchyard.recorded") == lines
    assert gateway.envoy.stat("http.product.lua.errors") == 0


def test_capture_can_be_switched_off_and_is_counted(gateway: Gateway) -> None:
    recorded = gateway.envoy.stat("switchyard.recorded")
    exchanges = gateway.envoy.stat("switchyard.exchanges")
    admin = EnvoyAdmin(gateway.envoy.admin_socket)
    asyncio.run(_said_twice(admin, on=False))
    try:
        assert gateway.ask("/shop/flight/predict", body=b"{}")[0].status == 200
    finally:
        asyncio.run(_said_twice(EnvoyAdmin(gateway.envoy.admin_socket), on=True))
    gateway.ask("/shop/flight/predict", body=b'{"on": true}')
    _, inference = gateway.event()
    assert inference.request.value == {"on": True}
    assert gateway.envoy.stat("switchyard.recorded") == recorded + 1
    assert gateway.envoy.stat("switchyard.exchanges") == exchanges + 2


async def _said_twice(admin: EnvoyAdmin, *, on: bool) -> None:
    """As control says it at each look at the volume."""
    await admin.capture(on=on)
    await admin.capture(on=on)
    await admin.close()


def test_reopening_the_record_loses_nothing(gateway: Gateway) -> None:
    active = gateway.envoy.spool / "active" / "exchanges.log"
    aside = active.with_name("aside.log")
    gateway.ask("/shop/flight/predict", body=b'{"n": 1}')
    gateway.lines()
    active.rename(aside)
    gateway.ask("/shop/flight/predict", body=b'{"n": 2}')
    gateway.envoy.admin("POST", "/reopen_logs")
    until(active.exists, "Envoy opens a new file, though nobody asks anything", seconds=30, every=0.01)
    gateway.ask("/shop/flight/predict", body=b'{"n": 3}')
    third = b'{\\"n\\": 3}'
    until(lambda: third in active.read_bytes(), "the third is recorded in the new file", seconds=30, every=0.01)
    gateway.read_to = len(active.read_bytes())
    assert aside.read_bytes().endswith(b"\n")
    # The second may have been in Envoy's memory when it was told; then it is the new file's first.
    assert (aside.read_bytes() + active.read_bytes()).count(b'{\\"n\\": 2}') == 1


def test_a_termination_waits_for_requests_and_sends_clients_elsewhere(gateway: Gateway, tmp_path: Path) -> None:
    drain = data_plane("drain")
    with gateway_of_its_own(gateway, tmp_path) as other, ThreadPoolExecutor() as pool:
        settings = data_plane("bootstrap").Settings(run_dir=str(tmp_path / "run"), drain_seconds=20)
        waiting = pool.submit(other.ask, "/shop/flight/silent", body=b"{}")
        until(
            lambda: other.envoy.stat("http.product.downstream_rq_active"),
            "a request is under way",
            seconds=30,
            every=0.01,
        )
        drained = pool.submit(drain.drain, settings)
        response, _ = until(lambda: closing(other), "answers ask clients to leave", seconds=30, every=0.01)
        assert response.status == 200
        drained.result(60)
        assert other.envoy.stat("http.product.downstream_rq_active") == 0, "the request under way was waited for"
        assert waiting.result(20)[0].status == 504


def request(path: str, body: bytes, *, length: int | None = None) -> bytes:
    """A raw request, of which the body may be only the beginning."""
    size = len(body) if length is None else length
    head = f"POST {path} HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: {size}\r\n\r\n"
    return head.encode() + body


@contextmanager
def gateway_of_its_own(like: Gateway, folder: Path) -> Iterator[Gateway]:
    """Another Envoy with the same routes, for a test that ends it."""
    envoy = EnvoyProcess(like.envoy.executable, folder, settings=like.envoy.settings, static=like.envoy.static)
    with running(envoy, now_ns=time.time_ns()):
        yield Gateway(envoy, like.model)


def closing(gateway: Gateway) -> tuple[http.client.HTTPResponse, bytes] | None:
    """An answer that asks its client to connect anew; None if it does not."""
    response, body = gateway.ask("/shop/flight/predict", body=b"{}")
    return (response, body) if response.headers.get("connection") == "close" else None


def restored(encoding: str, value: Any) -> Any:
    """The bytes, or the document, that a body was."""
    if encoding == "text":
        return value.encode()
    return base64.b64decode(value) if encoding == "base64" else value
