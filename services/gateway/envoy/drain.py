"""End Envoy gently: the container's preStop hook.

First it goes on as before, because for some seconds others still send requests here. Then it asks connections to close,
with each answer they get, and waits until they are gone, or until those that are left have been idle for a while.
"""

from __future__ import annotations

import http.client
import os
import re
import socket
import sys
import time

from bootstrap import Settings

IDLE_FOR = 3.0
"""Seconds after which connections that ask nothing are left to be cut."""


class Admin(http.client.HTTPConnection):
    """Envoy's admin door, which is a Unix socket."""

    def __init__(self, path: str) -> None:
        super().__init__("admin", timeout=2)
        self.path = path

    def connect(self) -> None:
        """Connect to the path instead of a host."""
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self.path)


def ask(settings: Settings, method: str, path: str) -> str:
    """One question to Envoy."""
    admin = Admin(f"{settings.run_dir}/admin.sock")
    try:
        admin.request(method, path)
        return admin.getresponse().read().decode()
    finally:
        admin.close()


def under_way(stats: str) -> int:
    """How many requests are being answered, from Envoy's text of the gauges; our own question is none of them."""
    return sum(int(value) for value in re.findall(r"http\.(?:product|mirror)\.downstream_rq_active: (\d+)", stats))


def connected(stats: str) -> int:
    """How many connections are open."""
    return sum(int(value) for value in re.findall(r"http\.product\.downstream_cx_active: (\d+)", stats))


def drain(settings: Settings) -> None:
    """Ask all to leave, and wait for them."""
    ask(settings, "POST", "/drain_listeners?graceful&skip_exit")
    deadline = time.monotonic() + settings.drain_seconds
    busy_at = time.monotonic()
    while time.monotonic() < deadline:
        stats = ask(settings, "GET", "/stats?filter=downstream_(rq|cx)_active")
        if under_way(stats):
            busy_at = time.monotonic()
        elif not connected(stats) or time.monotonic() - busy_at > IDLE_FOR:
            return
        time.sleep(0.05)


def main() -> None:
    """Settle, drain, wait. Whatever goes wrong, the container is stopped afterwards anyway."""
    settings = Settings.from_env(os.environ)
    time.sleep(settings.settle_seconds)
    try:
        drain(settings)
    except OSError as error:
        sys.exit(f"Envoy does not answer on its admin socket ({error}); there is nothing to wait for")


if __name__ == "__main__":
    main()
