"""A registry over real HTTP: manifests by tag, with or without a login, for those who ask what a tag means."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any
from urllib.parse import parse_qs, urlsplit

INDEX = "application/vnd.oci.image.index.v1+json"
USER, PASSWORD, TOKEN = "ada", "lovelace", "t0ken"


@dataclass
class FakeRegistry:
    """What it holds, how it wants to be asked, and who asked."""

    manifests: dict[str, bytes] = field(default_factory=dict)
    """`repository:tag` → manifest."""
    auth: str = ""
    """Empty, `bearer` or `basic`."""
    anonymous: bool = True
    """Whether a token is given to anybody."""
    realm: str = ""
    """Who gives tokens; its own address where nothing is said."""
    says_digest: bool = True
    broken: int = 0
    """Answer everything with this status."""
    digest: str = ""
    """Say this in place of the manifest's own."""
    asked: list[tuple[str, str]] = field(default_factory=list)
    """Method and path of each request, in order."""
    scopes: list[str] = field(default_factory=list)
    host: str = ""

    def push(self, repository: str, tag: str, content: bytes = b"{}") -> str:
        """Put a manifest under a tag; its digest."""
        self.manifests[f"{repository}:{tag}"] = content
        return digest(content)


def digest(content: bytes) -> str:
    """As registries name content."""
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


@contextmanager
def serving(registry: FakeRegistry) -> Iterator[FakeRegistry]:
    """Serve on a port of this machine."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            _answer(self, registry)

        def do_HEAD(self) -> None:
            _answer(self, registry)

        def log_message(self, format: str, *args: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    registry.host = f"127.0.0.1:{server.server_port}"
    thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield registry
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def _answer(request: BaseHTTPRequestHandler, held: FakeRegistry) -> None:
    url = urlsplit(request.path)
    held.asked.append((request.command, url.path))
    said = request.headers.get("authorization", "")
    login = f"Basic {base64.b64encode(f'{USER}:{PASSWORD}'.encode()).decode()}"
    if held.broken:
        return _send(request, held.broken)
    if url.path == "/token":
        held.scopes.append(parse_qs(url.query)["scope"][0])
        known = said == login or (held.anonymous and not said)
        body = json.dumps({"token": TOKEN}).encode() if known else b"{}"
        return _send(request, 200 if known else 401, {"Content-Type": "application/json"}, body)
    if (held.auth == "bearer" and said != f"Bearer {TOKEN}") or (held.auth == "basic" and said != login):
        where = held.realm or f"http://{held.host}/token"
        asks = f'Bearer realm="{where}",service="fake"' if held.auth == "bearer" else 'Basic realm="x"'
        return _send(request, 401, {"WWW-Authenticate": asks})
    repository, _, tag = url.path.removeprefix("/v2/").partition("/manifests/")
    content = held.manifests.get(f"{repository}:{tag}")
    if content is None or INDEX not in request.headers.get("accept", ""):
        return _send(request, 404)
    headers = {"Docker-Content-Digest": held.digest or digest(content)} if held.says_digest else {}
    return _send(request, 200, {"Content-Type": INDEX, **headers}, content)


def _send(
    request: BaseHTTPRequestHandler, status: int, headers: Mapping[str, str] | None = None, body: bytes = b""
) -> None:
    request.send_response(status)
    for name, value in (headers or {}).items():
        request.send_header(name, value)
    request.send_header("Content-Length", str(len(body)))
    request.end_headers()
    if request.command != "HEAD":
        request.wfile.write(body)
