"""A desk that is told of rollouts: a receiver of notifications by HTTP, which refuses, hangs or dies as a test says."""

from __future__ import annotations

import hashlib
import hmac
import json
import socket
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Event, Thread
from typing import Any


class Desk(ThreadingHTTPServer):
    """A receiver. What it does to the next requests stands in `faults`, the first first; after them it takes all."""

    daemon_threads = True

    def __init__(self, address: tuple[str, int]) -> None:
        super().__init__(address, Hook)
        self.faults: list[str] = []
        self.struck: list[str] = []
        self.heard: list[tuple[dict[str, str], bytes]] = []
        self.over = Event()

    @property
    def url(self) -> str:
        """Where it is."""
        host, port = self.socket.getsockname()
        return f"http://{host}:{port}/hooks/secret-part"

    @property
    def told(self) -> list[dict[str, Any]]:
        """What it was told, in order; the same again is left out."""
        documents = [json.loads(body) for _, body in list(self.heard)]
        return list({document["id"]: document for document in documents}.values())


class Hook(BaseHTTPRequestHandler):
    """One notification."""

    server: Desk

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        desk = self.server
        fault = desk.faults.pop(0) if desk.faults else ""
        if fault:
            desk.struck.append(fault)
        match fault:
            case "hangs":
                desk.over.wait(30)
            case "dies":
                self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\x00\x00\x00\x00\x00\x00\x00")
                self.connection.close()
            case "":
                desk.heard.append(({key.lower(): value for key, value in self.headers.items()}, body))
                self._answer(200)
            case _:
                self._answer(int(fault))

    def _answer(self, status: int) -> None:
        self.send_response(status)
        if status == 307:
            self.send_header("Location", self.server.url)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:
        """Tests print nothing."""


@contextmanager
def serving(address: tuple[str, int] = ("127.0.0.1", 0)) -> Iterator[Desk]:
    """One that listens there."""
    desk = Desk(address)
    thread = Thread(target=desk.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    try:
        yield desk
    finally:
        desk.over.set()
        desk.shutdown()
        desk.server_close()
        thread.join(5)


def is_signed(headers: Mapping[str, str], body: bytes, *, key: str) -> bool:
    """Whether what was told bears the key's signature, as the README says it."""
    text = headers["x-switchyard-timestamp"].encode() + b"." + body
    return headers["x-switchyard-signature"] == "sha256=" + hmac.new(key.encode(), text, hashlib.sha256).hexdigest()
