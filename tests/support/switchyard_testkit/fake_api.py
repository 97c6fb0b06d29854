"""A small API server for tests: lists and watches of ModelRoutes and EndpointSlices over HTTP, with faults on purpose.

It keeps a history as the real one does, so a watch can resume at a place, and its history can be forgotten (410).
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import yaml

JSON = dict[str, Any]
ROUTES = "/apis/switchyard.dev/v1alpha1/modelroutes"
SLICES = "/apis/discovery.k8s.io/v1/endpointslices"


@dataclass
class FakeApi:
    """The objects, their history, and what is wrong with the server just now."""

    objects: dict[str, dict[tuple[str, str], JSON]] = field(default_factory=lambda: {ROUTES: {}, SLICES: {}})
    history: list[tuple[int, str, str, JSON]] = field(default_factory=list)
    version: int = 1
    forgotten: int = 0
    fault: str = ""
    """'' or one of: 429, 500, hang, cut, wiped (lists are empty, though nothing was deleted)."""
    asked: list[str] = field(default_factory=list)
    port: int = 0
    _lock: threading.Condition = field(default_factory=threading.Condition)
    _server: ThreadingHTTPServer | None = None

    def put(self, path: str, body: JSON) -> JSON:
        """Create or replace an object; a changed spec is a new generation."""
        with self._lock:
            key = (body["metadata"]["namespace"], body["metadata"]["name"])
            old = self.objects[path].get(key)
            self.version += 1
            generation = 1 if old is None else old["metadata"]["generation"] + (old.get("spec") != body.get("spec"))
            metadata = {**body["metadata"], "generation": generation, "resourceVersion": str(self.version)}
            new = {**body, "metadata": metadata}
            self.objects[path][key] = new
            self._tell("ADDED" if old is None else "MODIFIED", path, new)
            return new

    def delete(self, path: str, namespace: str, name: str, *, told: bool = True) -> None:
        """Remove an object; `told` False: watchers hear nothing of it, only a new list shows it."""
        with self._lock:
            old = self.objects[path].pop((namespace, name))
            self.version += 1
            if told:
                self._tell(
                    "DELETED", path, {**old, "metadata": {**old["metadata"], "resourceVersion": str(self.version)}}
                )

    def forget_history(self) -> None:
        """Every watch is told 410: its place is gone."""
        with self._lock:
            self.version += 1
            self.forgotten = self.version
            self._lock.notify_all()

    def break_with(self, fault: str) -> None:
        """Begin (or with '' end) a fault; running watches are cut."""
        with self._lock:
            self.fault = fault
            self._lock.notify_all()

    def _tell(self, kind: str, path: str, body: JSON) -> None:
        self.history.append((self.version, kind, path, body))
        self._lock.notify_all()

    def list(self, path: str) -> JSON:
        """The answer to a LIST."""
        with self._lock:
            items = [] if self.fault == "wiped" else [*self.objects[path].values()]
            return {"kind": "List", "metadata": {"resourceVersion": str(self.version)}, "items": items}

    def changes(self, path: str, since: int, seconds: float) -> Iterator[JSON | None]:
        """The events of a watch; None where the connection is to be cut."""
        deadline = time.monotonic() + seconds
        fault = self.fault
        place = since
        while True:
            with self._lock:
                if place < self.forgotten:
                    yield {"type": "ERROR", "object": {"code": 410, "reason": "Expired", "message": "too old"}}
                    return
                news = [event for event in self.history if event[0] > place and event[2] == path]
                if not news and self.fault == fault:
                    left = deadline - time.monotonic()
                    if left <= 0:
                        return
                    self._lock.wait(min(left, 0.5))
                if self.fault != fault:
                    yield None
                    return
            for version, kind, _, body in news:
                place = version
                yield {"type": kind, "object": body}

    def names(self) -> set[tuple[str, str, str]]:
        """Every object: (path, namespace, name)."""
        with self._lock:
            return {(path, *key) for path, held in self.objects.items() for key in held}

    @property
    def listening(self) -> bool:
        """Whether it answers at all."""
        return self._server is not None

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        """Listen, on the port of the last time if there was one."""
        api = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                api.answer(self)

            def log_message(self, *_: Any) -> None:
                return

        class Server(ThreadingHTTPServer):
            daemon_threads = True
            allow_reuse_address = True

            def handle_error(self, *_: Any) -> None:
                return  # a client that went away is what these tests are about

        self._server = Server(("127.0.0.1", self.port), Handler)
        self.port = self._server.server_address[1]
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()

    def stop(self) -> None:
        """Refuse connections, and cut those there are."""
        if self._server:
            self.break_with("cut")
            self._server.shutdown()
            self._server.server_close()
            self._server = None
            self.fault = ""

    def answer(self, request: BaseHTTPRequestHandler) -> None:
        """One request."""
        parts = urlsplit(request.path)
        query = {key: values[0] for key, values in parse_qs(parts.query).items()}
        self.asked.append(request.path)
        if self.fault in ("429", "500"):
            _respond(request, int(self.fault), {"message": "a fault on purpose"}, {"Retry-After": "1"})
        elif self.fault == "hang":
            with self._lock:
                self._lock.wait_for(lambda: self.fault != "hang", 60)
            request.close_connection = True
        elif self.fault == "cut":
            request.close_connection = True
        elif query.get("watch") == "true":
            self._stream(request, parts.path, int(query["resourceVersion"]), float(query["timeoutSeconds"]))
        else:
            _respond(request, 200, self.list(parts.path))

    def _stream(self, request: BaseHTTPRequestHandler, path: str, since: int, seconds: float) -> None:
        request.send_response(200)
        request.send_header("Content-Type", "application/json")
        request.send_header("Transfer-Encoding", "chunked")
        request.end_headers()
        for event in self.changes(path, since, seconds):
            if event is None:
                request.close_connection = True
                return
            line = json.dumps(event).encode() + b"\n"
            request.wfile.write(f"{len(line):x}\r\n".encode() + line + b"\r\n")
            request.wfile.flush()
        request.wfile.write(b"0\r\n\r\n")

    def kubeconfig(self, folder: Path) -> Path:
        """A file by which a client finds it."""
        content = {
            "apiVersion": "v1",
            "kind": "Config",
            "current-context": "fake",
            "clusters": [{"name": "fake", "cluster": {"server": self.url}}],
            "users": [{"name": "fake", "user": {"token": "none"}}],
            "contexts": [{"name": "fake", "context": {"cluster": "fake", "user": "fake"}}],
        }
        path = folder / "kubeconfig"
        path.write_text(yaml.safe_dump(content))
        return path


def _respond(request: BaseHTTPRequestHandler, status: int, body: JSON, headers: dict[str, str] | None = None) -> None:
    content = json.dumps(body).encode()
    request.send_response(status)
    request.send_header("Content-Type", "application/json")
    request.send_header("Content-Length", str(len(content)))
    for key, value in (headers or {}).items():
        request.send_header(key, value)
    request.end_headers()
    request.wfile.write(content)


@contextmanager
def fake_api() -> Iterator[FakeApi]:
    """Running, and ended whatever happens."""
    api = FakeApi()
    api.start()
    try:
        yield api
    finally:
        api.stop()


def model_route(namespace: str, name: str, *routes: JSON, **spec: Any) -> JSON:
    """A ModelRoute."""
    return {
        "apiVersion": "switchyard.dev/v1alpha1",
        "kind": "ModelRoute",
        "metadata": {"namespace": namespace, "name": name},
        "spec": {"paths": ["/predict"], "timeout": "10s", "routes": list(routes), **spec},
    }


def route(
    revision: str, weight: int, role: str = "stable", *, version: str = "1.0.0", mirror: int = 0, sample: int = 0
) -> JSON:
    """One revision's entry of a ModelRoute."""
    entry: JSON = {
        "revision": revision,
        "version": version,
        "role": role,
        "weightBp": weight,
        "service": revision,
        "port": 3000,
    }
    return entry | ({"mirrorBp": mirror} if mirror else {}) | ({"sampleBp": sample} if sample else {})


def endpoint_slice(
    namespace: str, service: str, *addresses: tuple[str, int], suffix: str = "a", conditions: JSON | None = None
) -> JSON:
    """An EndpointSlice of a revision's Service; all of its addresses must share one port."""
    ports = {port for _, port in addresses} or {3000}
    return {
        "apiVersion": "discovery.k8s.io/v1",
        "kind": "EndpointSlice",
        "metadata": {
            "namespace": namespace,
            "name": f"{service}-{suffix}",
            "labels": {"kubernetes.io/service-name": service, "switchyard.dev/revision": service},
        },
        "addressType": "IPv4",
        "ports": [{"name": "http", "port": port, "protocol": "TCP"} for port in sorted(ports)],
        "endpoints": [
            {"addresses": [address], "conditions": conditions or {"ready": True, "serving": True, "terminating": False}}
            for address, _ in addresses
        ],
    }
