"""Feedback's own door by TLS, as a process: its certificate is met, renewed while it runs, and missed at the start."""

from __future__ import annotations

import os
import shutil
import socket
import ssl
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest
from switchyard_testkit.envoy import free_port
from switchyard_testkit.feedback import token_entry, write_tokens
from switchyard_testkit.node import pki
from switchyard_testkit.waiting import until

pytestmark = pytest.mark.timeout(300)


@pytest.fixture
def secret(tmp_path: Path) -> Path:
    folder = tmp_path / "secret"
    folder.mkdir()
    pki.make_authority(folder, "tests")
    renew(folder)
    return folder


def renew(folder: Path) -> None:
    """A certificate, moved into its place."""
    pki.make_server(folder, "next", ("localhost", "127.0.0.1"))
    for end in ("crt", "key"):
        shutil.move(folder / f"next.{end}", folder / f"tls.{end}")


def environment(folder: Path, secret: Path, port: int) -> dict[str, str]:
    tokens = write_tokens(folder / "tokens.json", token_entry("till", "right", "shop/*"))
    return {
        "PATH": os.environ["PATH"],
        "PYTHONPATH": os.environ.get("PYTHONPATH", ""),
        "FEEDBACK_KAFKA_SERVERS": "127.0.0.1:1",
        "FEEDBACK_TOKENS_FILE": str(tokens),
        "FEEDBACK_PORT": str(port),
        "FEEDBACK_TLS_CERTIFICATE_FILE": str(secret / "tls.crt"),
        "FEEDBACK_TLS_KEY_FILE": str(secret / "tls.key"),
    }


@contextmanager
def feedback(environ: dict[str, str]) -> Iterator[None]:
    process = subprocess.Popen([sys.executable, "-m", "switchyard_feedback"], env=environ)
    try:
        yield
    finally:
        process.kill()
        process.wait(10)


def met(port: int, secret: Path) -> bytes:
    """The certificate at the door; empty while nobody answers."""
    context = ssl.create_default_context(cafile=str(secret / "ca.crt"))
    try:
        with (
            socket.create_connection(("127.0.0.1", port), timeout=5) as plain,
            context.wrap_socket(plain, server_hostname="localhost") as door,
        ):
            return door.getpeercert(binary_form=True) or b""
    except OSError:
        return b""


def test_it_answers_by_tls_and_takes_a_new_certificate_while_it_runs(tmp_path: Path, secret: Path) -> None:
    port = free_port()
    with feedback(environment(tmp_path, secret, port)):
        first = until(lambda: met(port, secret), "feedback answers", seconds=120)
        trust = ssl.create_default_context(cafile=str(secret / "ca.crt"))
        assert httpx.get(f"https://localhost:{port}/healthz", verify=trust, timeout=30).status_code == 200
        with pytest.raises(httpx.HTTPError):
            httpx.get(f"http://localhost:{port}/healthz")
        renew(secret)
        until(lambda: met(port, secret) not in (b"", first), "the new certificate is served", seconds=60)
        (secret / "tls.crt").write_text("torn")
        assert httpx.get(f"https://localhost:{port}/healthz", verify=trust, timeout=30).status_code == 200


def test_without_its_certificate_it_does_not_start(tmp_path: Path, secret: Path) -> None:
    (secret / "tls.key").unlink()
    ended = subprocess.run(
        [sys.executable, "-m", "switchyard_feedback"],
        env=environment(tmp_path, secret, free_port()),
        capture_output=True,
        text=True,
        timeout=200,
        check=False,
    )
    assert ended.returncode == 2
    assert "tls.key" in ended.stdout + ended.stderr
