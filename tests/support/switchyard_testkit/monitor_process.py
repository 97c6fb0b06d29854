"""The monitor as a process of its own, on a broker and a database that are there."""

from __future__ import annotations

import hashlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
from switchyard_contracts.topic_names import TopicNames

from switchyard_testkit.envoy import free_port
from switchyard_testkit.errors import TestkitError

TOKEN = "secret"


@dataclass
class MonitorProcess:
    """`python -m switchyard_monitor`, with the settings of its pod but for where everything is."""

    folder: Path
    servers: str
    topics: TopicNames
    database: str
    settings: Mapping[str, str] = field(default_factory=dict)
    """What differs from the settings of its pod."""
    port: int = field(default_factory=free_port)
    process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """It is not awaited."""
        tokens = [{"name": "test", "sha256": hashlib.sha256(TOKEN.encode()).hexdigest(), "deployments": ["*"]}]
        (self.folder / "tokens.json").write_text(json.dumps(tokens))
        with self.log.open("ab") as log:
            command = [sys.executable, "-m", "switchyard_monitor"]
            self.process = subprocess.Popen(command, env=self.environment, stdout=log, stderr=log)

    def end(self, how: signal.Signals = signal.SIGTERM) -> None:
        """As a pod is ended, unless said otherwise."""
        if self.process is not None and self.process.poll() is None:
            self.process.send_signal(how)
            self.process.wait(60)

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """A command of the monitor's, with the settings of this one."""
        command = [sys.executable, "-m", "switchyard_monitor", *arguments]
        return subprocess.run(command, env=self.environment, capture_output=True, text=True, check=False)

    def get(self, path: str) -> Any:
        """What its API answers."""
        answer = httpx.get(
            f"http://127.0.0.1:{self.port}{path}", headers={"Authorization": f"Bearer {TOKEN}"}, timeout=30
        )
        return answer.raise_for_status().json()

    def says(self, path: str) -> str:
        """What it says to anybody; nothing while it does not answer."""
        try:
            return httpx.get(f"http://127.0.0.1:{self.port}{path}", timeout=30).text
        except httpx.HTTPError:
            return ""

    @property
    def environment(self) -> dict[str, str]:
        """What it is started with."""
        ours = {
            "MONITOR_KAFKA_SERVERS": self.servers,
            "MONITOR_KAFKA_TOPIC_PREFIX": self.topics.prefix,
            "MONITOR_DATABASE": self.database,
            "MONITOR_TOKENS_FILE": str(self.folder / "tokens.json"),
            "MONITOR_PORT": str(self.port),
            "MONITOR_LOG_FORMAT": "json",
        }
        others = {name: value for name, value in os.environ.items() if not name.startswith("MONITOR_")}
        return others | ours | dict(self.settings)

    @property
    def log(self) -> Path:
        """What it says."""
        return self.folder / "monitor.log"

    @property
    def pid(self) -> int:
        """The process, which must be there."""
        if self.process is None or self.process.poll() is not None:
            raise TestkitError(f"the monitor has ended; it said: {self.log.read_text(errors='replace')[-2000:]}")
        return self.process.pid

    def cpu(self) -> float:
        """Seconds that its threads have had a core."""
        fields = Path(f"/proc/{self.pid}/stat").read_text().rsplit(") ", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def memory(self) -> float:
        """What it holds now, MiB."""
        return int(Path(f"/proc/{self.pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 2**20
