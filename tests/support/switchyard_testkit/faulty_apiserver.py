"""A door in front of an API server that lets everything through but what it is told to spoil.

It speaks plain HTTP to the client and the server's own TLS behind it, so what is not spoilt is the real server's word.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import urllib3
from kubernetes import client

WRITES = ("POST", "PUT", "PATCH", "DELETE")
HANG, LATE = "hang", "late"
"""Never answered, and not done; or done, and never answered."""


@dataclass
class Faults:
    """Which write is spoilt, and how; and everything that was asked."""

    kind: str = ""
    """A status code, `hang` or `late`."""
    at: int = 0
    """The first write that is spoilt, counted from 1 since the door was armed."""
    times: int = 1
    armed: bool = False
    struck: list[str] = field(default_factory=list)
    asked: list[str] = field(default_factory=list)
    over: threading.Event = field(default_factory=threading.Event)
    _writes: int = 0
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def begin(self, kind: str = "", *, at: int = 0, times: int = 1) -> None:
        """From here on."""
        self.kind, self.at, self.times, self._writes = kind, at, times, 0
        self.struck, self.asked = [], []

    def hits(self, method: str, path: str) -> str:
        """How this request is spoilt, or nothing."""
        with self._lock:
            if not self.armed:
                return ""
            self.asked.append(f"{method} {path}")
            if method not in WRITES:
                return ""
            self._writes += 1
            if not self.kind or not self.at <= self._writes < self.at + self.times:
                return ""
            self.struck.append(f"{method} {path}")
            return self.kind


@contextmanager
def faulty(api: client.ApiClient, faults: Faults) -> Iterator[client.ApiClient]:
    """A client that reaches the server of another only through the door."""
    own = api.configuration
    pool = urllib3.PoolManager(
        cert_file=own.cert_file, key_file=own.key_file, ca_certs=own.ssl_ca_cert, retries=False, timeout=30
    )

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def _pass(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            how = faults.hits(self.command, self.path)
            if how == HANG:
                self._hang()
            elif how.isdecimal():
                told = {"kind": "Status", "status": "Failure", "message": "a fault on purpose", "code": int(how)}
                self._answer(int(how), json.dumps(told).encode())
            else:
                kept = {name: value for name, value in self.headers.items() if name in ("Accept", "Content-Type")}
                found = pool.request(self.command, f"{own.host}{self.path}", body=body or None, headers=kept)
                self._hang() if how == LATE else self._answer(found.status, found.data)

        def do_GET(self) -> None:
            self._pass()

        def do_POST(self) -> None:
            self._pass()

        def do_PUT(self) -> None:
            self._pass()

        def do_PATCH(self) -> None:
            self._pass()

        def do_DELETE(self) -> None:
            self._pass()

        def _hang(self) -> None:
            faults.over.wait(30)
            self.close_connection = True

        def _answer(self, code: int, content: bytes) -> None:
            self.send_response(code)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(content)))
            if code == 429:
                self.send_header("Retry-After", "1")
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_: Any) -> None:
            return

    class Server(ThreadingHTTPServer):
        daemon_threads = True

        def handle_error(self, *_: Any) -> None:
            return  # a client that waited long enough has gone away

    server = Server(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
    configuration = client.Configuration(host=f"http://127.0.0.1:{server.server_address[1]}")
    configuration.retries = False
    try:
        with client.ApiClient(configuration) as made:
            yield made
    finally:
        faults.over.set()
        server.shutdown()
        server.server_close()
