"""How soon Envoy acknowledges a change of weights, with few deployments and with a thousand, and what a thousand cost.

`.venv-gateway/bin/python tests/bench/bench_control.py [--deployments 1000] [--changes 200]` (PYTHONPATH=tests/support)
"""

from __future__ import annotations

import argparse
import os
import signal
import statistics
import sys
import tempfile
import time
import urllib.request
from pathlib import Path

import httpx
from switchyard_testkit.cache import Cache
from switchyard_testkit.control import ControlProcess, model
from switchyard_testkit.envoy import EnvoyProcess, binary
from switchyard_testkit.fake_api import ROUTES, SLICES, endpoint_slice, fake_api, model_route, route
from switchyard_testkit.waiting import until


def say(text: str) -> None:
    """One line of the report."""
    sys.stdout.write(text + "\n")


def quantiles(values: list[float]) -> str:
    """Milliseconds."""
    ordered = sorted(values)
    return (
        f"p50 {statistics.median(ordered) * 1000:.1f} ms, p99 {ordered[int(len(ordered) * 0.99) - 1] * 1000:.1f} ms, "
        f"max {ordered[-1] * 1000:.1f} ms (n={len(ordered)})"
    )


def sync_seconds(control: ControlProcess) -> tuple[float, float]:
    """Control's own measure: sum and count from hearing of a change to Envoy's acknowledgement."""
    with urllib.request.urlopen(f"http://127.0.0.1:{control.port}/metrics", timeout=10) as answer:
        lines = dict(line.rsplit(" ", 1) for line in answer.read().decode().splitlines() if not line.startswith("#"))
    return float(lines["switchyard_control_sync_seconds_sum"]), float(lines["switchyard_control_sync_seconds_count"])


def cpu_seconds(pid: int) -> float:
    """What a process has used so far."""
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(") ", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def main(*, deployments: int, changes: int, domain: str) -> None:
    """Run once and print."""
    folder = Path(tempfile.mkdtemp(prefix="bench-control-"))
    with fake_api() as api, model("one") as one:
        for number in range(deployments):
            api.put(SLICES, endpoint_slice("ns", f"m{number}-1", one.address))
            api.put(SLICES, endpoint_slice("ns", f"m{number}-2", one.address))
            entries = (route(f"m{number}-1", 10_000), route(f"m{number}-2", 0, "candidate"))
            api.put(ROUTES, model_route("ns", f"m{number}", *entries))
        control = ControlProcess(folder, api.kubeconfig(folder), settings={"CONTROL_DOMAIN": domain})
        envoy = EnvoyProcess(binary(Cache.from_env(os.environ)), folder)
        try:
            control.start()
            begun = time.monotonic()
            envoy.start(now_ns=time.time_ns(), ready_within=120)
            until(lambda: control.ask("/readyz")[0] == 200, "ready", seconds=120)
            say(f"{deployments} deployments: Envoy ready {time.monotonic() - begun:.1f} s after its start")
            last = f"m{deployments - 1}"
            pids = {"control": control.process.pid if control.process else 0, "Envoy": envoy.pid}
            before, cpu = sync_seconds(control), {name: cpu_seconds(pid) for name, pid in pids.items()}
            seen = []
            for number in range(changes):
                weight = 100 + number * 40
                started = time.monotonic()
                entries = (route(f"{last}-1", 10_000 - weight), route(f"{last}-2", weight, "candidate"))
                generation = api.put(ROUTES, model_route("ns", last, *entries))["metadata"]["generation"]
                until(
                    lambda wanted=generation: control.standing(f"ns/{last}")["generation"] == wanted,
                    "acknowledged",
                    seconds=60,
                    every=0.02,
                )
                seen.append(time.monotonic() - started)
            after = sync_seconds(control)
            say(f"change -> acknowledged, as a client of the API server sees it: {quantiles(seen)}")
            say(f"of that, control and Envoy: mean {(after[0] - before[0]) / (after[1] - before[1]) * 1000:.1f} ms")
            for name, pid in pids.items():
                say(f"CPU of {name} per change: {(cpu_seconds(pid) - cpu[name]) / changes * 1000:.1f} ms")
            idle = {name: cpu_seconds(pid) for name, pid in pids.items()}
            time.sleep(10)
            for name, pid in pids.items():
                say(f"CPU of {name} when nothing changes: {(cpu_seconds(pid) - idle[name]) * 10:.1f} % of a core")
            with httpx.Client(base_url=envoy.url, trust_env=False) as client:
                for name in ("m0", last):
                    times = []
                    for _ in range(300):
                        started = time.monotonic()
                        client.post(f"/ns/{name}/predict", json={}).raise_for_status()
                        times.append(time.monotonic() - started)
                    say(f"a request to {name}: {quantiles(times)}")
        finally:
            envoy.end(signal.SIGKILL)
            if control.process:
                control.end(signal.SIGKILL)


if __name__ == "__main__":
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--deployments", type=int, default=1_000)
    arguments.add_argument("--changes", type=int, default=200)
    arguments.add_argument("--domain", default="", help="also answer under hosts of this domain")
    given = arguments.parse_args()
    main(deployments=given.deployments, changes=given.changes, domain=given.domain)
