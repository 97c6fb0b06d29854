"""The monitor as a process of its own, on a broker and a database that are there: for the benchmarks."""

from __future__ import annotations

import hashlib
import json
import os
import signal
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path

from switchyard_contracts.topic_names import TopicNames

from switchyard_testkit.envoy import free_port
from switchyard_testkit.errors import TestkitError


@dataclass
class MonitorProcess:
    """`python -m switchyard_monitor`, with the settings of its pod but for where everything is."""

    folder: Path
    servers: str
    topics: TopicNames
    database: str
    port: int = field(default_factory=free_port)
    process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """It is not awaited."""
        tokens = self.folder / "tokens.json"
        tokens.write_text(json.dumps([{"name": "bench", "sha256": hashlib.sha256(b"").hexdigest(), "deployments": []}]))
        environment = {name: value for name, value in os.environ.items() if not name.startswith("MONITOR_")}
        environment |= {
            "MONITOR_KAFKA_SERVERS": self.servers,
            "MONITOR_KAFKA_TOPIC_PREFIX": self.topics.prefix,
            "MONITOR_DATABASE": self.database,
            "MONITOR_TOKENS_FILE": str(tokens),
            "MONITOR_PORT": str(self.port),
            "MONITOR_LOG_FORMAT": "json",
        }
        with self.log.open("ab") as log:
            command = [sys.executable, "-m", "switchyard_monitor"]
            self.process = subprocess.Popen(command, env=environment, stdout=log, stderr=log)

    def end(self) -> None:
        """As a pod is ended."""
        if self.process is not None and self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            self.process.wait(60)

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
