"""The webhook's edge against a real HTTP server on loopback: what is sent, and what becomes of every kind of answer."""

from __future__ import annotations

import hashlib
import hmac
import json
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Event, Thread

import httpx
import pytest
from switchyard_operator.adapters.models import HttpModels
from switchyard_operator.adapters.webhooks import HttpWebhooks
from switchyard_operator.domain.gates import State
from switchyard_operator.domain.reviews import Review

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
REVIEW = Review("5f0c", {"kind": "GateReview", "gate": "desk", "candidate": {"version": "2.0.0"}})
SOON = timedelta(seconds=5)


class Desk(ThreadingHTTPServer):
    """Whoever is asked; it answers what the test says, and keeps what it was sent."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Asked)
        self.status = 200
        self.answer = b"{}"
        self.headers: dict[str, str] = {}
        self.silent = Event()
        self.heard: list[tuple[str, dict[str, str], bytes]] = []

    @property
    def url(self) -> str:
        """Where it is."""
        return f"http://127.0.0.1:{self.server_address[1]}/gate"


class Asked(BaseHTTPRequestHandler):
    """One request."""

    server: Desk

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.heard.append((self.path, {key.lower(): value for key, value in self.headers.items()}, body))
        self._answer()

    def do_GET(self) -> None:
        self._answer()

    def _answer(self) -> None:
        desk = self.server
        if desk.silent.is_set():
            desk.silent.wait()
            self.rfile.read(1)  # until the asker has gone
            return
        self.send_response(desk.status)
        for name, value in desk.headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(desk.answer)))
        self.end_headers()
        self.wfile.write(desk.answer)

    def log_message(self, format: str, *args: object) -> None:
        """Tests print nothing."""


@contextmanager
def serving() -> Iterator[Desk]:
    desk = Desk()
    thread = Thread(target=desk.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    try:
        yield desk
    finally:
        desk.shutdown()
        desk.server_close()
        thread.join(5)


@pytest.fixture
def desk() -> Iterator[Desk]:
    with serving() as found:
        yield found


@pytest.fixture
def http() -> Iterator[httpx.Client]:
    with httpx.Client(trust_env=False) as client:
        yield client


def webhooks(http: httpx.Client, key: str = "") -> HttpWebhooks:
    return HttpWebhooks(http, key=lambda: key, clock=lambda: NOON)


def test_what_is_sent_can_be_checked_by_its_key_and_signature(desk: Desk, http: httpx.Client) -> None:
    webhooks(http, "a key of the desk").ask(desk.url, REVIEW, timeout=SOON)
    webhooks(http, "a key of the desk").ask(desk.url, REVIEW, timeout=SOON)
    (path, headers, body), again = desk.heard
    assert (path, json.loads(body)) == ("/gate", REVIEW.body)
    assert headers["idempotency-key"] == "5f0c"
    assert headers["content-type"] == "application/json"
    assert headers["x-switchyard-timestamp"] == str(int(NOON.timestamp()))
    signed = headers["x-switchyard-timestamp"].encode() + b"." + body
    assert headers["x-switchyard-signature"] == (
        "sha256=" + hmac.new(b"a key of the desk", signed, hashlib.sha256).hexdigest()
    )
    assert (again[1]["idempotency-key"], again[2]) == ("5f0c", body)


def test_without_a_key_nothing_is_signed(desk: Desk, http: httpx.Client) -> None:
    webhooks(http).ask(desk.url, REVIEW, timeout=SOON)
    assert not {name for name in desk.heard[0][1] if name.startswith("x-switchyard")}


@pytest.mark.parametrize(
    ("status", "answer", "state", "words"),
    [
        pytest.param(200, b'{"allowed": true}', State.PASSED, "127.0.0.1 allows it", id="allowed"),
        pytest.param(
            200,
            b'{"allowed": false, "message": "no model card"}',
            State.FAILED,
            "not allow it: no model card",
            id="not",
        ),
        pytest.param(202, b'{"message": "in review"}', State.WAITING, "not decided yet: in review", id="later"),
        pytest.param(202, b"", State.WAITING, "not decided yet", id="later, without words"),
        pytest.param(200, b"<html>", State.ERROR, "200 without a decision", id="another document"),
        pytest.param(200, b'{"allowed": "yes"}', State.ERROR, "200 without a decision", id="a word for a truth"),
        pytest.param(500, b"oops", State.ERROR, "answered 500; it must", id="it fails"),
        pytest.param(
            401, b'{"message": "bad signature"}', State.ERROR, "answered 401: bad signature", id="a wrong key"
        ),
        pytest.param(200, b'{"allowed": true, "x": "' + b"x" * 70_000 + b'"}', State.ERROR, "without", id="too long"),
    ],
)
def test_what_an_answer_means(
    desk: Desk, http: httpx.Client, status: int, answer: bytes, state: State, words: str
) -> None:
    desk.status, desk.answer = status, answer
    found = webhooks(http).ask(desk.url, REVIEW, timeout=SOON)
    assert found.state is state
    assert words in found.message


def test_a_redirect_is_not_followed(desk: Desk, http: httpx.Client) -> None:
    desk.status, desk.headers = 307, {"Location": desk.url + "/elsewhere"}
    assert webhooks(http).ask(desk.url, REVIEW, timeout=SOON).state is State.ERROR
    assert len(desk.heard) == 1


def test_one_that_takes_too_long_has_not_decided(desk: Desk, http: httpx.Client) -> None:
    desk.silent.set()
    found = webhooks(http).ask(desk.url, REVIEW, timeout=timedelta(milliseconds=200))
    http.close()
    assert (found.state, found.message) == (State.WAITING, "127.0.0.1 has not answered within 0.2s")


def test_one_that_is_not_there_cannot_be_asked(http: httpx.Client) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        found = webhooks(http).ask(f"http://127.0.0.1:{taken.getsockname()[1]}/", REVIEW, timeout=SOON)
    assert (found.state, found.message) == (State.ERROR, "127.0.0.1 cannot be asked: ConnectError")


@pytest.mark.parametrize(
    ("status", "answer", "found"),
    [
        pytest.param(200, b'{"routes": [{"route": "/predict"}]}', {"routes": [{"route": "/predict"}]}, id="a Bento"),
        pytest.param(404, b"{}", {}, id="no Bento"),
        pytest.param(200, b"[1]", {}, id="another document"),
    ],
)
def test_a_pods_schema_is_read_as_it_is(
    desk: Desk, http: httpx.Client, status: int, answer: bytes, found: dict[str, object]
) -> None:
    desk.status, desk.answer = status, answer
    assert HttpModels(http).schema("127.0.0.1", desk.server_address[1]) == found
