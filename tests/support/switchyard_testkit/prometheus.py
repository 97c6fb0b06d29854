"""A real Prometheus of a test's own: Debian's, behind TLS and a password.

`python -m switchyard_testkit.prometheus install` brings it. Of the past nothing is scraped and nothing waited for:
promtool writes the samples as blocks, and the server reads them when it starts. What is, it scrapes each second.
"""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx
from prometheus_client import CollectorRegistry, start_http_server

from switchyard_testkit.commands import run
from switchyard_testkit.envoy import free_port
from switchyard_testkit.errors import MachineError, TestkitError
from switchyard_testkit.halting import halt
from switchyard_testkit.machine import PROMETHEUS_PACKAGES, SEARCH, ensure_packages
from switchyard_testkit.node import pki
from switchyard_testkit.outside import PASSWORD, USER
from switchyard_testkit.waiting import until

if TYPE_CHECKING:
    from switchyard_operator.adapters.prometheus import HttpPrometheus

    from switchyard_testkit.fake_prometheus import Sample

JSON = dict[str, Any]
HASHED = "$2b$04$switchyardswitchyardse5yHPmdqWAw6XHH2fiifmn62Zaa0SLDS"
"""Of the password, by bcrypt."""


@dataclass(frozen=True)
class RealPrometheus:
    """One that runs."""

    url: str
    folder: Path
    """It holds the authority's `ca.crt`, and `username` and `password` of who may ask."""
    process: subprocess.Popen[bytes]

    def asker(
        self, *, url: str = "", folder: Path | None = None, ca_file: str | None = None, seconds: float = 20.0
    ) -> HttpPrometheus:
        """The operator's way to it; a test says what differs."""
        # The gateway's environment, whose parts are scraped too, has no operator.
        from switchyard_operator.adapters.prometheus import HttpPrometheus

        return HttpPrometheus(
            url=url or self.url,
            folder=str(folder or self.folder),
            ca_file=str(self.folder / "ca.crt") if ca_file is None else ca_file,
            timeout=timedelta(seconds=seconds),
            clock=lambda: datetime.now(UTC),
        )

    def ask(self, path: str, **query: str) -> Any:
        """The `data` of its API's answer. Raises TestkitError with its own words where it refuses."""
        with httpx.Client(trust_env=False, verify=False, auth=(USER, PASSWORD), timeout=60) as http:
            answer = http.get(f"{self.url}/api/v1/{path}", params=query).json()
        if answer["status"] != "success":
            raise TestkitError(f"{path} {query}: {answer['error']}")
        return answer["data"]

    def instant(self, expr: str) -> list[JSON]:
        """What an expression says now: series, each with its labels and its value."""
        data = self.ask("query", query=expr)
        return [{"metric": {}, "value": data["result"]}] if data["resultType"] == "scalar" else list(data["result"])

    @contextmanager
    def silent(self) -> Iterator[None]:
        """While it takes connections and answers nothing."""
        halt(self.process.pid)
        try:
            yield
        finally:
            self.process.send_signal(signal.SIGCONT)


@contextmanager
def real_prometheus(
    folder: Path,
    samples: Iterable[Sample] = (),
    *,
    host: str = "127.0.0.1",
    port: int = 0,
    authority: Path | None = None,
    scraped: Sequence[str] = (),
    jobs: Sequence[Mapping[str, Any]] = (),
    rules: Mapping[str, Any] | None = None,
) -> Iterator[RealPrometheus]:
    """One that has seen these samples, and scrapes these `host:port`; it is ended whatever happens.

    Jobs are more to scrape, and rules what a file of them holds, both as Prometheus' own configuration has them.

    Its certificate is signed by an authority of its own, or by that whose ca.crt and ca.key are in a folder.
    """
    store, port = folder / "store", port or free_port()
    if past := list(samples):
        (folder / "samples.txt").write_text(open_metrics(past))
        blocks = ["tsdb", "create-blocks-from", "openmetrics"]
        run([program("promtool"), *blocks, folder / "samples.txt", store], timeout=200)
    if authority is None:
        pki.make_authority(folder, "prometheus")
    else:
        for name in ("ca.crt", "ca.key"):
            shutil.copy(authority / name, folder / name)
    pki.make_server(folder, "server", ["localhost", host])
    (folder / "username").write_text(f"{USER}\n")
    (folder / "password").write_text(f"{PASSWORD}\n")
    outside = [{"job_name": "outside", "static_configs": [{"targets": list(scraped)}]}] if scraped else []
    pace = {"scrape_interval": "1s", "scrape_timeout": "1s", "evaluation_interval": "1s"}
    said: JSON = {"global": pace, "scrape_configs": [*outside, *jobs]}
    if rules:
        (folder / "rules.yaml").write_text(json.dumps(rules))
        said["rule_files"] = [str(folder / "rules.yaml")]
    (folder / "config.yaml").write_text(json.dumps(said))
    door = {
        "tls_server_config": {"cert_file": str(folder / "server.crt"), "key_file": str(folder / "server.key")},
        "basic_auth_users": {USER: HASHED},
    }
    (folder / "door.yaml").write_text(json.dumps(door))
    command = [
        program("prometheus"),
        f"--config.file={folder / 'config.yaml'}",
        f"--web.config.file={folder / 'door.yaml'}",
        f"--web.listen-address={host}:{port}",
        f"--storage.tsdb.path={store}",
        "--storage.tsdb.retention.time=30d",
    ]
    log = folder / "prometheus.log"
    with log.open("wb") as file:
        process = subprocess.Popen(command, stdout=file, stderr=file)
    try:
        found = RealPrometheus(f"https://{host}:{port}", folder, process)
        until(lambda: _is_ready(found, log), "Prometheus is ready", seconds=100, every=0.1)
        yield found
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait(10)


@contextmanager
def exporter(registry: CollectorRegistry) -> Iterator[str]:
    """A program of the user's that shows these figures; where it is scraped."""
    server, thread = start_http_server(0, addr="127.0.0.1", registry=registry)
    try:
        yield f"127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join(5)


def open_metrics(samples: Iterable[Sample]) -> str:
    """Gauges as OpenMetrics writes them, each metric in one place."""
    lines: list[str] = []
    by_name = sorted(samples, key=lambda sample: (sample.name, sorted(sample.labels.items()), sample.at))
    for sample in by_name:
        if f"# TYPE {sample.name} gauge" not in lines:
            lines.append(f"# TYPE {sample.name} gauge")
        labels = ",".join(f'{name}="{value}"' for name, value in sorted(sample.labels.items()))
        lines.append(f"{sample.name}{{{labels}}} {sample.value} {sample.at.timestamp():.3f}")
    return "\n".join([*lines, "# EOF", ""])


def _is_ready(server: RealPrometheus, log: Path) -> bool:
    if server.process.poll() is not None:
        raise MachineError(f"Prometheus ended: {log.read_text()[-2000:]}")
    with httpx.Client(trust_env=False, verify=False, auth=(USER, PASSWORD)) as http:
        try:
            return http.get(f"{server.url}/-/ready", timeout=20).status_code == 200
        except httpx.HTTPError:
            return False


def program(name: str) -> str:
    """Where Debian has put it. Raises MachineError where it has not."""
    found = shutil.which(name, path=SEARCH)
    if found is None:
        raise MachineError(f"no {name} is installed; run `python -m switchyard_testkit.prometheus install`.")
    return found


def main(arguments: list[str]) -> int:
    """`install`."""
    if arguments != ["install"]:
        raise MachineError(f"{' '.join(arguments)!r} is no command; use install.")
    ensure_packages(PROMETHEUS_PACKAGES)
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except TestkitError as error:
        print(error, file=sys.stderr)
        sys.exit(1)
