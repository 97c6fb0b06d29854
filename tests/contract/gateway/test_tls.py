"""A real Envoy behind TLS: what products meet, a certificate that is renewed, and the way on to feedback."""

from __future__ import annotations

import http.client
import os
import ssl
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest
from switchyard_testkit.cache import Cache
from switchyard_testkit.envoy import EnvoyProcess, StaticRoutes, binary, model_cluster, running, stamped_route
from switchyard_testkit.node import pki
from switchyard_testkit.upstream import PREDICTION, upstream
from switchyard_testkit.waiting import until

STAMP = "shop/flight|flight-abc|1.0.0|stable|3|10000|split"
JSON_TYPE = {"content-type": "application/json"}


def mounted(secret: Path, *, ca: Path, number: int) -> None:
    """A Secret's folder as the kubelet writes it: files are links into `..data`, which is moved over as a whole."""
    version = secret / f"..version-{number}"
    version.mkdir(parents=True)
    pki.make_server(ca, f"server-{number}", ("localhost", "127.0.0.1"))
    for name, made in (("tls.crt", f"server-{number}.crt"), ("tls.key", f"server-{number}.key")):
        (version / name).write_bytes((ca / made).read_bytes())
        link = secret / name
        if not link.is_symlink():
            link.symlink_to(Path("..data") / name)
    (secret / "..data_tmp").symlink_to(version.name)
    (secret / "..data_tmp").rename(secret / "..data")


@pytest.fixture
def ca(tmp_path: Path) -> Path:
    folder = tmp_path / "ca"
    folder.mkdir()
    pki.make_authority(folder, "tests")
    return folder


def trusting(ca: Path) -> ssl.SSLContext:
    return ssl.create_default_context(cafile=str(ca / "ca.crt"))


@contextmanager
def gateway(tmp_path: Path, model_port: int, hosts: list[dict[str, Any]], **settings: Any) -> Iterator[EnvoyProcess]:
    cluster = model_cluster("shop/flight-abc", port=model_port, revision="flight-abc")
    executable = binary(Cache.from_env(os.environ))
    process = EnvoyProcess(
        executable, tmp_path / "envoy", settings=settings, static=StaticRoutes(virtual_hosts=hosts, clusters=[cluster])
    )
    with running(process, now_ns=time.time_ns()) as envoy:
        yield envoy


def routes() -> list[dict[str, Any]]:
    feedback = {
        "match": {"prefix": "/-/feedback/"},
        "route": {"cluster": "feedback", "prefix_rewrite": "/"},
    }
    model = stamped_route("/shop/flight/", "shop/flight-abc", stamp=STAMP)
    return [{"name": "all", "domains": ["*"], "routes": [feedback, model]}]


def ask(envoy: EnvoyProcess, ca: Path, path: str = "/shop/flight/predict") -> tuple[int, bytes, bytes]:
    """Status, body and the certificate that was met."""
    connection = http.client.HTTPSConnection("localhost", envoy.port, timeout=10, context=trusting(ca))
    try:
        connection.request("POST", path, body=b'{"distance": 1}', headers=JSON_TYPE)
        met = connection.sock.getpeercert(binary_form=True) if isinstance(connection.sock, ssl.SSLSocket) else None
        answer = connection.getresponse()
        return answer.status, answer.read(), met or b""
    finally:
        connection.close()


def test_products_meet_the_certificate_and_its_successor(tmp_path: Path, ca: Path) -> None:
    secret = tmp_path / "secret"
    mounted(secret, ca=ca, number=1)
    with upstream() as model, gateway(tmp_path, model.port, routes(), tls_dir=str(secret)) as envoy:
        status, body, first = ask(envoy, ca)
        assert (status, body) == (200, PREDICTION)
        mounted(secret, ca=ca, number=2)
        until(lambda: ask(envoy, ca)[2] != first, "the new certificate is served", seconds=30)
        assert ask(envoy, ca)[0] == 200


def test_plain_http_is_not_answered(tmp_path: Path, ca: Path) -> None:
    secret = tmp_path / "secret"
    mounted(secret, ca=ca, number=1)
    with upstream() as model, gateway(tmp_path, model.port, routes(), tls_dir=str(secret)) as envoy:
        connection = http.client.HTTPConnection("127.0.0.1", envoy.port, timeout=10)
        connection.connect()
        connection.sock.sendall(b"GET /shop/flight/predict HTTP/1.1\r\nhost: localhost\r\n\r\n")
        assert b"HTTP/1.1" not in connection.sock.recv(4096)
        assert model.seen == []


@contextmanager
def feedback(ca: Path, name: str, *names: str) -> Iterator[tuple[int, list[str]]]:
    """A server with a certificate for these names, and what it was asked."""
    pki.make_server(ca, name, names)
    asked: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            asked.append(self.path)
            self.send_response(202)
            self.send_header("content-length", "0")
            self.end_headers()

        def log_message(self, format: str, *args: Any) -> None:
            """Silent."""

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(ca / f"{name}.crt", ca / f"{name}.key")
    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        server.socket = context.wrap_socket(server.socket, server_side=True)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server.server_port, asked
        server.shutdown()


@pytest.mark.parametrize(
    ("names", "status"),
    [
        pytest.param(("localhost", "127.0.0.1"), 202, id="for the address that is called"),
        pytest.param(("elsewhere.svc",), 503, id="for another's"),
    ],
)
def test_feedback_is_reached_by_tls_under_its_own_name_only(
    names: tuple[str, ...], status: int, tmp_path: Path, ca: Path
) -> None:
    secret = tmp_path / "secret"
    mounted(secret, ca=ca, number=1)
    with upstream() as model, feedback(ca, "feedback", *names) as (port, asked):
        settings = {"tls_dir": str(secret), "feedback_port": port, "feedback_ca_file": str(ca / "ca.crt")}
        with gateway(tmp_path, model.port, routes(), **settings) as envoy:
            assert ask(envoy, ca, "/-/feedback/v1/shop/flight/outcomes")[0] == status
        assert bool(asked) is (status == 202)
