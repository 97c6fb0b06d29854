"""The operator as a process of its own, beside an API server of a test's own: for the benchmarks."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from prometheus_client.parser import text_string_to_metric_families

from switchyard_testkit.envoy import free_port
from switchyard_testkit.errors import TestkitError
from switchyard_testkit.exposition import scrape


@dataclass
class OperatorProcess:
    """`python -m switchyard_operator`, as its pod runs it."""

    kubeconfig: Path
    gateway_port: int
    log: Path
    namespace: str = "switchyard-system"
    python: str = sys.executable
    """Of the environment that the operator is installed in."""
    port: int = field(default_factory=free_port)
    settings: Mapping[str, str] = field(default_factory=dict)
    """Variables on top."""
    process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """It is not awaited."""
        environment = {
            key: value
            for key, value in os.environ.items()
            if not key.startswith("OPERATOR_") and not key.lower().endswith("_proxy")
        }
        environment |= {
            "KUBECONFIG": str(self.kubeconfig),
            "OPERATOR_NAMESPACE": self.namespace,
            "OPERATOR_GATEWAY_PORT": str(self.gateway_port),
            "OPERATOR_NETWORK_POLICIES": "true",
            "OPERATOR_AUTOSCALERS": "true",
            "OPERATOR_LOG_FORMAT": "json",
            "OPERATOR_PORT": str(self.port),
            **self.settings,
        }
        with self.log.open("ab") as log:
            command = [self.python, "-m", "switchyard_operator"]
            self.process = subprocess.Popen(command, env=environment, stdout=log, stderr=log)

    def end(self) -> None:
        """As a pod is ended."""
        if self.process is not None and self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            self.process.wait(30)

    @property
    def pid(self) -> int:
        """The process, which must be there."""
        if self.process is None or self.process.poll() is not None:
            raise TestkitError(f"the operator has ended; it said: {self.log.read_text(errors='replace')[-2000:]}")
        return self.process.pid

    def metrics(self) -> dict[str, float]:
        """Its metrics without their labels, counters of one name summed; empty while it does not answer."""
        found: dict[str, float] = {}
        try:
            text = scrape(f"http://127.0.0.1:{self.port}/metrics")
        except OSError:
            return {}
        for family in text_string_to_metric_families(text):
            for sample in family.samples:
                found[sample.name] = found.get(sample.name, 0.0) + sample.value
        return found

    def cpu(self) -> float:
        """Seconds that its threads have had a core."""
        fields = Path(f"/proc/{self.pid}/stat").read_text().rsplit(") ", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def peak(self) -> float:
        """The most memory that it ever held, MiB."""
        status = Path(f"/proc/{self.pid}/status").read_text()
        return int(next(line for line in status.splitlines() if line.startswith("VmHWM")).split()[1]) / 1024
