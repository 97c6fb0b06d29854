"""The shipper as a process of its own beside a real Envoy: for the contract tests."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import urllib.error
import urllib.request
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from switchyard_testkit.envoy import free_port
from switchyard_testkit.waiting import until

JSON = dict[str, Any]


@dataclass
class ShipperProcess:
    """`python -m switchyard_gateway.shipper`, as the pod runs it."""

    folder: Path
    """The gateway's, with run/ and spool/."""
    servers: str
    topic: str
    port: int = field(default_factory=free_port)
    settings: dict[str, str] = field(default_factory=dict)
    process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it and wait until it answers."""
        environment = {key: value for key, value in os.environ.items() if not key.startswith("SHIPPER_")}
        environment |= {
            "SHIPPER_NODE": "gateway-0",
            "SHIPPER_KAFKA_SERVERS": self.servers,
            # What a slow broker does not confirm in time is sent again, and is then in the topic twice.
            "SHIPPER_KAFKA_TIMEOUT": "20s",
            "SHIPPER_TOPIC": self.topic,
            "SHIPPER_PORT": str(self.port),
            "SHIPPER_SPOOL_DIR": str(self.folder / "spool"),
            "SHIPPER_ADMIN_SOCKET": str(self.folder / "run" / "admin.sock"),
            **self.settings,
        }
        with (self.folder / "shipper.log").open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "switchyard_gateway.shipper"], env=environment, stdout=log, stderr=log
            )
        until(
            lambda: self.get("/healthz"), f"the shipper answers; it said: {self.log()[-2000:]}", seconds=90, every=0.05
        )

    def get(self, path: str) -> JSON | None:
        """Ask it; None while nobody answers."""
        if self.process is not None and self.process.poll() is not None:
            raise RuntimeError(f"the shipper ended with {self.process.returncode}: {self.log()[-3000:]}")
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.port}{path}", timeout=10) as response:
                return dict(json.load(response))
        except urllib.error.HTTPError as error:
            return dict(json.load(error))
        except OSError:
            return None

    def account(self) -> JSON:
        """The account now."""
        return until(lambda: self.get("/account"), "the shipper gives its account", seconds=30)

    def settled(self, *, seconds: float = 60, spooled: int = 0) -> JSON:
        """The account, once it closes with nothing (or only so much) under way."""

        def closed() -> JSON | None:
            account = self.account()
            return account if account["spooled"] == spooled and account["unaccounted"] == 0 else None

        try:
            return until(closed, "the account closes", seconds=seconds, every=0.1)
        except TimeoutError as error:
            raise TimeoutError(f"{error}; {self.account()}; {self.log()[-2000:]}") from None

    def log(self) -> str:
        """What it said."""
        path = self.folder / "shipper.log"
        return path.read_text(errors="replace") if path.exists() else ""

    def end(self, how: signal.Signals = signal.SIGTERM) -> int | None:
        """Send the signal, wait for the end, and return the exit code."""
        if self.process is None:
            return None
        self.process.send_signal(how)
        try:
            code = self.process.wait(60)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait(10)
            raise
        self.process = None
        return code
