"""What the operator takes for one, a hundred and a thousand ModelDeployments, beside as many plain Deployments.

    python tests/bench/bench_operator.py [--counts 1 100 1000] [--rounds 1] [--idle 60] [--report FILE]

The API server and its etcd are real, and so is the operator's process, with the chart's settings. Controllers,
kubelets, gateways and models are stand-ins in this process (`switchyard_testkit.bystanders`), and they are the same for
the plain Deployments, whose time is what nobody could be faster than. Each round has an API server of its own. Writes
are counted by the API server's audit log, Kubernetes events among them; the operator's Lease is renewed every three
seconds by whoever leads, and is not counted.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import signal
import statistics
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "support"))

from kubernetes import client
from switchyard_testkit import audit
from switchyard_testkit.apiserver import applied_crds
from switchyard_testkit.bystanders import DEPLOYMENTS, MODEL_DEPLOYMENTS, Bystanders, awaited, bystanders, within
from switchyard_testkit.cache import Cache, Durations
from switchyard_testkit.errors import TestkitError
from switchyard_testkit.node.pki import Identity
from switchyard_testkit.operator_process import OperatorProcess
from switchyard_testkit.own_apiserver import ADMIN, another_user, own_api_server
from switchyard_testkit.progress import Progress

JSON = dict[str, Any]

CRDS = Path(__file__).resolve().parents[2] / "manifests" / "crds"
SYSTEM, PLAIN, MODELS = "switchyard-system", "plain", "models"
OPERATOR = Identity("operator", ("system:masters",))
GATEWAY_LABELS = {"app.kubernetes.io/name": "switchyard", "app.kubernetes.io/component": "gateway"}
IMAGE = "registry.example/flight-delay@sha256:" + "0" * 64
QUIET = 5.0
"""Seconds without a write after which everything is said that there was to say."""
TARGETS: Mapping[str, float] = {
    "settle": 60.0,
    "writes": 12.0,
    "peak": 300.0,
    "idle_writes": 0.0,
    "restart_writes": 0.0,
}
NAMES: Mapping[str, str] = {
    "floor": "plain Deployments available, s",
    "settle": "ModelDeployments settled, s",
    "writes": "the operator's writes for each",
    "cpu": "the operator's CPU until settled, s",
    "peak": "the operator's memory at its peak, MiB",
    "idle_cpu": "its CPU when nothing changes, % of a core",
    "idle_writes": "its writes when nothing changes",
    "restart": "looked at anew after a restart, s",
    "restart_writes": "its writes after a restart",
}

PLACES: Mapping[str, int] = {"writes": 3}
"""Of decimals, where one would hide that a write in a thousand deployments was one too many."""


@dataclass
class Figures:
    """One round."""

    floor: float = 0.0
    settle: float = 0.0
    writes: float = 0.0
    cpu: float = 0.0
    peak: float = 0.0
    idle_cpu: float = 0.0
    idle_writes: float = 0.0
    restart: float = 0.0
    restart_writes: float = 0.0


@dataclass
class Ledger:
    """The operator's writes by the audit log."""

    log: Path
    kinds: Counter[str] = field(default_factory=Counter)
    _read: int = 0

    def total(self) -> int:
        """So far; a write that was refused is one that was asked for, and counts."""
        with self.log.open("rb") as file:
            file.seek(self._read)
            lines = file.read()
        whole = lines[: lines.rfind(b"\n") + 1]
        self._read += len(whole)
        for one in audit.requests(whole.decode().splitlines()):
            if one.account == OPERATOR.user and one.right.resource != "leases":
                self.kinds[str(one.right)] += 1
        return self.kinds.total()


def plain(number: int) -> JSON:
    """As small as a Deployment can be."""
    labels = {"app": f"plain-{number:04}"}
    template = {"metadata": {"labels": labels}, "spec": {"containers": [{"name": "model", "image": IMAGE}]}}
    spec = {"replicas": 1, "selector": {"matchLabels": labels}, "template": template}
    return {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": labels["app"]}, "spec": spec}


def model(number: int, *, port: int) -> JSON:
    """As small as a ModelDeployment can be, but for the port on which the stand-in answers."""
    return {
        "apiVersion": "switchyard.dev/v1alpha1",
        "kind": "ModelDeployment",
        "metadata": {"name": f"model-{number:04}"},
        "spec": {"model": {"image": IMAGE}, "serving": {"port": port, "replicas": 1}},
    }


async def quiet(ledger: Ledger, around: Bystanders) -> None:
    """Until the operator has not written for a while."""
    held, since = ledger.total(), time.monotonic()

    def silent() -> bool:
        nonlocal held, since
        now = ledger.total()
        if now != held:
            held, since = now, time.monotonic()
        return time.monotonic() - since >= QUIET

    await awaited("the operator is quiet", silent, around=around)


async def measured(
    around: Bystanders, operator: OperatorProcess, ledger: Ledger, *, count: int, idle: float, progress: Progress
) -> Figures:
    """One round, with everybody there."""
    figures = Figures()
    await around.stand_in_for_gateways()
    await around.begin(SYSTEM, GATEWAY_LABELS)
    began = time.monotonic()
    progress.waiting(f"{count} plain Deployments")
    await around.make_all(within(DEPLOYMENTS, PLAIN), [plain(number) for number in range(count)])
    await awaited("all plain Deployments are available", lambda: len(around.available) == count, around=around)
    figures.floor = max(around.available.values()) - began

    progress.waiting("the operator to lead")
    operator.start()
    leads = "switchyard_operator_leading"
    await awaited("the operator leads", lambda: operator.metrics().get(leads) == 1.0, around=around, seconds=120)
    before = operator.cpu()
    began = time.monotonic()
    bodies = [model(number, port=around.model_port) for number in range(count)]
    making = asyncio.create_task(around.make_all(within(MODEL_DEPLOYMENTS, MODELS), bodies))

    def all_settled() -> bool:
        progress.waiting(
            f"{count - len(around.settled)} of {count} ModelDeployments", share=len(around.settled) / count
        )
        return making.done() and len(around.settled) == count

    await awaited("all ModelDeployments are settled", all_settled, around=around)
    await making
    figures.settle = max(around.settled.values()) - began
    figures.cpu = operator.cpu() - before
    await quiet(ledger, around)
    figures.writes = ledger.total() / count

    progress.waiting("nothing, for a while")
    before, held = operator.cpu(), ledger.total()
    await asyncio.sleep(idle)
    figures.idle_cpu = (operator.cpu() - before) / idle * 100
    figures.idle_writes = ledger.total() - held
    figures.peak = operator.peak()

    progress.waiting("the operator's second life")
    held = ledger.total()
    operator.end()
    began = time.monotonic()
    operator.start()

    def looked() -> bool:
        told = operator.metrics()
        passes = told.get("switchyard_operator_passes_total", 0.0)
        return passes >= count and told.get("switchyard_operator_queue_depth") == 0.0

    await awaited("all ModelDeployments are looked at anew", looked, around=around, every=0.25)
    figures.restart = time.monotonic() - began
    await quiet(ledger, around)
    figures.restart_writes = ledger.total() - held
    figures.peak = max(figures.peak, operator.peak())
    if len(around.settled) != count:
        raise TestkitError(f"{count - len(around.settled)} ModelDeployments are no longer settled after the restart")
    return figures


@contextmanager
def stage(folder: Path) -> Iterator[tuple[client.ApiClient, Path]]:
    """An API server with our kinds, and its audit log."""
    log = folder / "audit.log"
    with own_api_server(folder, audit_log=log) as api:
        applied_crds(api, CRDS)
        core = client.CoreV1Api(api)
        for name in (SYSTEM, PLAIN, MODELS):
            core.create_namespace(client.V1Namespace(metadata=client.V1ObjectMeta(name=name)))
        yield api, log


def one_round(count: int, *, idle: float, progress: Progress, keep: Path | None) -> Figures:
    """On an API server of its own."""

    async def run(folder: Path, api: client.ApiClient, log: Path) -> Figures:
        async with bystanders(folder, str(api.configuration.host), user=ADMIN) as around:
            kubeconfig = another_user(folder, api, OPERATOR)
            operator = OperatorProcess(kubeconfig, around.gateway_port, folder / "operator.log")
            ledger = Ledger(log)
            try:
                return await measured(around, operator, ledger, count=count, idle=idle, progress=progress)
            finally:
                operator.end()
                if keep:
                    keep.mkdir(parents=True, exist_ok=True)
                    (keep / f"operator-{count}.log").write_bytes(operator.log.read_bytes())
                    (keep / f"writes-{count}.json").write_text(json.dumps(ledger.kinds, indent=1))

    with tempfile.TemporaryDirectory(prefix="bench-operator-") as name:
        folder = Path(name)
        with stage(folder) as (api, log):
            return asyncio.run(run(folder, api, log))


def cell(values: Sequence[float], places: int) -> str:
    """The median, and all of the spread."""
    text = f"{statistics.median(values):.{places}f}"
    return text if len(values) == 1 else f"{text} ({min(values):.{places}f}–{max(values):.{places}f})"


def table(found: Mapping[int, Sequence[Figures]]) -> str:
    """The figures as people read them; a target is one for every count."""
    lines = [f"{'':42}" + "".join(f"{count:>22,}" for count in found) + f"{'target':>10}"]
    for name, words in NAMES.items():
        columns = [[getattr(each, name) for each in rounds] for rounds in found.values()]
        line = f"{words:42}" + "".join(f"{cell(values, PLACES.get(name, 1)):>22}" for values in columns)
        if name in TARGETS:
            worst = max(statistics.median(values) for values in columns)
            line += f"{f'≤ {TARGETS[name]:g}':>10}   {'met' if worst <= TARGETS[name] else 'MISSED'}"
        lines.append(line)
    return "\n".join(lines)


def main() -> int:
    """Measure and print. A target that is missed is a line of the table; what does not settle is an error."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--counts", type=int, nargs="+", default=[1, 100, 1000])
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--idle", type=float, default=60.0, help="seconds without any change")
    parser.add_argument("--report", type=Path)
    parser.add_argument("--keep", type=Path, help="a folder for the operator's log and its writes by kind")
    arguments = parser.parse_args()
    if arguments.rounds < 1 or min(arguments.counts) < 1:
        parser.error("--rounds and --counts must be at least 1")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    plan = {
        f"{count:,} deployments, round {number + 1}": 40.0 + arguments.idle + 0.2 * count
        for count in arguments.counts
        for number in range(arguments.rounds)
    }
    durations = Durations(Cache.from_env(os.environ).root / "durations.json")
    progress = Progress("bench-operator", plan=plan, durations=durations, out=sys.stderr)
    found: dict[int, list[Figures]] = {}
    for count in arguments.counts:
        for number in range(arguments.rounds):
            with progress.stage(f"{count:,} deployments, round {number + 1}"):
                try:
                    figures = one_round(count, idle=arguments.idle, progress=progress, keep=arguments.keep)
                except TestkitError as error:
                    print(f"with {count:,} deployments: {error}", file=sys.stderr)
                    return 1
            found.setdefault(count, []).append(figures)
    progress.finish()
    print(table(found))
    print("median (spread) of the rounds; whatever else the machine does is in them")
    if arguments.report:
        arguments.report.parent.mkdir(parents=True, exist_ok=True)
        rounds = {count: [asdict(each) for each in figures] for count, figures in found.items()}
        arguments.report.write_text(json.dumps({"rounds": rounds, "targets": dict(TARGETS)}, indent=1))
    return 0


if __name__ == "__main__":
    sys.exit(main())
