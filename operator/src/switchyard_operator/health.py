"""The operator's own HTTP door: /healthz, /readyz, /metrics."""

from __future__ import annotations

from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from switchyard_operator.metrics import Metrics

Check = Callable[[], str]
"""The empty string when all is well, else what is not."""


def serve(
    port: int, *, healthy: Check, ready: Check, metrics: Metrics, refresh: Callable[[], None]
) -> ThreadingHTTPServer:
    """Start it in a thread of its own; `shutdown` ends it."""

    class Door(BaseHTTPRequestHandler):
        """One request."""

        def do_GET(self) -> None:
            """Three pages."""
            if self.path == "/metrics":
                refresh()
                self._answer(200, generate_latest(metrics.registry), CONTENT_TYPE_LATEST)
            elif self.path in ("/healthz", "/readyz"):
                trouble = (healthy if self.path == "/healthz" else ready)()
                self._answer(503 if trouble else 200, (trouble or "ok").encode() + b"\n", "text/plain; charset=utf-8")
            else:
                self._answer(404, b"not found\n", "text/plain; charset=utf-8")

        def _answer(self, status: int, body: bytes, content: str) -> None:
            self.send_response(status)
            self.send_header("Content-Type", content)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:
            """Probes are no news."""

    server = ThreadingHTTPServer(("", port), Door)
    Thread(target=server.serve_forever, name="health", daemon=True).start()
    return server
