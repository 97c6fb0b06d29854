"""How soon three gateways acknowledge that a spec asks for another revision whose pods are ready, under load.

    python tests/bench/bench_switch.py --operator-python .venv/bin/python [--switches 200] [--rate 30] [--report FILE]

The API server, the operator and three gateways (control and Envoy) are real and processes of their own; the kubelets
and the models behind the gateways are stand-ins (`switchyard_testkit.bystanders`). Two revisions stay warm, and the
spec asks for the one and the other in turns. Time runs from before the spec is written until every gateway says that it
runs the route that gives the revision everything. Through each gateway a client asks at a constant rate and never tries
again: whatever is not answered with 200, its own id, a revision and a number has failed. It all happens in a network
namespace of its own, since an API server takes no loopback address for an endpoint; that needs root, or the right to
make one as a user.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import ExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "support"))

from kubernetes import client
from switchyard_testkit.apiserver import applied_crds
from switchyard_testkit.bystanders import GATEWAYS, MODEL_DEPLOYMENTS, Bystanders, awaited, bystanders, within
from switchyard_testkit.cache import Cache, Durations
from switchyard_testkit.control import ControlProcess
from switchyard_testkit.envoy import EnvoyProcess, binary
from switchyard_testkit.errors import TestkitError
from switchyard_testkit.load import Tally, Traffic
from switchyard_testkit.node.pki import Identity
from switchyard_testkit.operator_process import OperatorProcess
from switchyard_testkit.own_apiserver import ADMIN, another_user, own_api_server
from switchyard_testkit.progress import Progress

JSON = dict[str, Any]

CRDS = Path(__file__).resolve().parents[2] / "manifests" / "crds"
SYSTEM, NAMESPACE, NAME = "switchyard-system", "flights", "delay"
KEY = f"{NAMESPACE}/{NAME}"
GATEWAY_LABELS = {"app.kubernetes.io/name": "switchyard", "app.kubernetes.io/component": "gateway"}
OPERATOR = Identity("operator", ("system:masters",))
MODELS_AT = "192.0.2.1"
"""On the loopback device of the namespace; reserved for documentation, so nobody's."""
INSIDE = "SWITCHYARD_BENCH_SWITCH_INSIDE"
TARGET_MS, TARGET_FAILED = 1000.0, 0


@dataclass(frozen=True)
class Gateway:
    """One pod's two processes."""

    control: ControlProcess
    envoy: EnvoyProcess


def enter_namespace() -> None:
    """This program again, in a network namespace of its own; it does not return."""
    command = 'ip link set lo up && ip address add $0/32 dev lo && exec "$@"'
    unshare = ["unshare", "--net"] if os.geteuid() == 0 else ["unshare", "--map-root-user", "--net"]
    arguments = [*unshare, "sh", "-c", command, MODELS_AT, sys.executable, *sys.argv]
    os.execvpe(arguments[0], arguments, {**os.environ, INSIDE: "1"})


def deployment(number: int, *, port: int) -> JSON:
    """The ModelDeployment that asks for one of the two; both stay warm."""
    return {
        "apiVersion": "switchyard.dev/v1alpha1",
        "kind": "ModelDeployment",
        "metadata": {"name": NAME, "namespace": NAMESPACE},
        "spec": {
            "model": {"image": f"registry.example/delay@sha256:{number:064}"},
            "serving": {"port": port, "replicas": 1, "paths": ["/predict"]},
            "rollback": {"watch": "1s", "warm": {"replicas": 1, "for": "24h"}},
        },
    }


@contextmanager
def gateways(folder: Path, kubeconfig: Path, port: int) -> Iterator[Sequence[Gateway]]:
    """Three of them, each with an address of its own on loopback."""
    executable = binary(Cache.from_env(os.environ))
    with ExitStack() as stack:
        made = []
        for number, address in enumerate(GATEWAYS):
            place = folder / f"gateway-{number}"
            place.mkdir()
            envoy = EnvoyProcess(executable, place)
            settings = {"CONTROL_NODE": f"gateway-{number}", "CONTROL_MIRROR_PORT": str(envoy.mirror_port)}
            control = ControlProcess(place, kubeconfig, port=port, address=address, settings=settings)
            stack.callback(lambda control=control: control.process and control.end(signal.SIGKILL))
            stack.callback(envoy.end, signal.SIGKILL)
            control.start()
            envoy.start(now_ns=time.time_ns(), ready_within=60)
            made.append(Gateway(control, envoy))
        yield made


async def standing(session: aiohttp.ClientSession, control: ControlProcess) -> tuple[int, str]:
    """Which generation a gateway runs, and how."""
    async with session.get(f"http://{control.address}:{control.port}/routes") as answer:
        found = (await answer.json())["routes"].get(KEY) or {}
    return int(found.get("generation", 0)), str(found.get("state", ""))


@dataclass
class Switcher:
    """Whoever edits the spec, and looks at what the gateways say."""

    around: Bystanders
    chosen: Sequence[Gateway]
    session: aiohttp.ClientSession

    async def ask_for(self, number: int) -> None:
        """Write the spec."""
        spec = {"spec": {"model": deployment(number, port=0)["spec"]["model"]}}
        path = f"{within(MODEL_DEPLOYMENTS, NAMESPACE)}/{NAME}"
        headers = {"Content-Type": "application/merge-patch+json"}
        async with self.around.api.patch(path, data=json.dumps(spec), headers=headers) as answer:
            if answer.status != 200:
                raise TestkitError(f"the spec was answered {answer.status}: {await answer.text()}")

    async def acknowledged(self, *, other_than: str, seconds: float = 60) -> str:
        """Wait until all gateways run a route that gives everything to another revision; which one."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            revision, route = self.around.serving.get(KEY, ""), self.around.routes.get(KEY)
            if route and revision not in ("", other_than):
                said = await asyncio.gather(*(standing(self.session, each.control) for each in self.chosen))
                if all(generation >= route["generation"] and state == "Synced" for generation, state in said):
                    return revision
            await asyncio.sleep(0.01)
        raise TestkitError(f"not all gateways run another revision than {other_than} within {seconds:g} s")

    async def rest(self, revision: str) -> None:
        """Wait until the operator calls it stable."""
        await awaited(
            f"{revision} is stable", lambda: self.around.stable.get(NAME) == revision, around=self.around, seconds=60
        )


async def measured(switcher: Switcher, *, switches: int, rate: float, progress: Progress) -> tuple[list[float], Tally]:
    """Both revisions ready first; then the switches, under load."""
    around = switcher.around
    progress.waiting("both revisions")
    body = deployment(0, port=around.model_port)
    await around.write("POST", within(MODEL_DEPLOYMENTS, NAMESPACE), body)
    current = await switcher.acknowledged(other_than="", seconds=120)
    await switcher.rest(current)
    for number in (1, 0):
        await switcher.ask_for(number)
        current = await switcher.acknowledged(other_than=current, seconds=120)
        await switcher.rest(current)
    taken: list[float] = []
    answered = Tally()
    loads = [
        Traffic(f"{each.envoy.url}/{KEY}/predict", body={"distance": 1}, rate=rate, prefix=f"g{number}")
        for number, each in enumerate(switcher.chosen)
    ]
    with ExitStack() as stack:
        for load in loads:
            stack.enter_context(load)
        for number in range(switches):
            progress.waiting(f"switch {number + 1} of {switches}", share=number / switches)
            began = time.monotonic()
            await switcher.ask_for((number + 1) % 2)
            current = await switcher.acknowledged(other_than=current)
            taken.append(time.monotonic() - began)
            await switcher.rest(current)
        for load in loads:
            tally = await asyncio.to_thread(load.stop)
            answered.answers += tally.answers
            answered.failures += tally.failures
    return taken, answered


@asynccontextmanager
async def everything(folder: Path, api: client.ApiClient, python: str) -> AsyncIterator[Switcher]:
    """All processes, at work."""
    async with bystanders(folder, str(api.configuration.host), user=ADMIN, endpoints_at=MODELS_AT) as around:
        kubeconfig = another_user(folder, api, OPERATOR)
        await around.begin(SYSTEM, GATEWAY_LABELS)
        operator = OperatorProcess(kubeconfig, around.gateway_port, folder / "operator.log", python=python)
        with gateways(folder, folder / "kubeconfig", around.gateway_port) as chosen:
            async with aiohttp.ClientSession() as session:
                try:
                    operator.start()
                    yield Switcher(around, chosen, session)
                finally:
                    operator.end()


def table(taken: Sequence[float], tally: Tally) -> str:
    """The figures as people read them."""
    ordered = sorted(each * 1000 for each in taken)
    p99 = ordered[min(len(ordered) - 1, int(len(ordered) * 0.99))]
    low, middle, high = statistics.quantiles(ordered, n=4)
    failed = len(tally.failures)
    requests = len(tally.answers) + len(tally.unanswered)
    return "\n".join(
        [
            f"{len(ordered)} switches, {requests:,} requests through {len(GATEWAYS)} gateways meanwhile",
            f"{'spec written → all gateways, p50':36}{middle:10.0f} ms   (middle half {low:.0f}–{high:.0f})",
            f"{'                             p99':36}{p99:10.0f} ms   target ≤ {TARGET_MS:.0f}   "
            f"{'met' if p99 <= TARGET_MS else 'MISSED'}",
            f"{'                             slowest':36}{ordered[-1]:10.0f} ms",
            f"{'requests that failed':36}{failed:10d}      target ≤ {TARGET_FAILED}      "
            f"{'met' if failed <= TARGET_FAILED else 'MISSED'}",
            *(f"  {words}" for words in tally.failures[:5]),
        ]
    )


def main() -> int:
    """Measure and print. A target that is missed is a line of the table; what does not switch is an error."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--operator-python", default=sys.executable, help="of the environment that has the operator")
    parser.add_argument("--switches", type=int, default=200)
    parser.add_argument("--rate", type=float, default=30.0, help="requests a second through each gateway")
    parser.add_argument("--report", type=Path)
    arguments = parser.parse_args()
    if arguments.switches < 2:
        parser.error(f"--switches is {arguments.switches}; quantiles need at least 2")
    if INSIDE not in os.environ:
        binary(Cache.from_env(os.environ))  # while the network is still there to fetch it from
        enter_namespace()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    durations = Durations(Cache.from_env(os.environ).root / "durations.json")
    progress = Progress(
        "bench-switch", plan={"switches": 60 + 1.5 * arguments.switches}, durations=durations, out=sys.stderr
    )

    async def run(folder: Path, api: client.ApiClient) -> tuple[list[float], Tally]:
        async with everything(folder, api, arguments.operator_python) as switcher:
            return await measured(switcher, switches=arguments.switches, rate=arguments.rate, progress=progress)

    with tempfile.TemporaryDirectory(prefix="bench-switch-") as name, progress.stage("switches"):
        folder = Path(name)
        with own_api_server(folder) as api:
            applied_crds(api, CRDS)
            core = client.CoreV1Api(api)
            for place in (SYSTEM, NAMESPACE):
                core.create_namespace(client.V1Namespace(metadata=client.V1ObjectMeta(name=place)))
            try:
                taken, tally = asyncio.run(run(folder, api))
            except (TestkitError, subprocess.SubprocessError) as error:
                log = folder / "operator.log"
                print(f"{error}\n{log.read_text(errors='replace')[-3000:] if log.exists() else ''}", file=sys.stderr)
                return 1
    print(table(taken, tally))
    if arguments.report:
        arguments.report.parent.mkdir(parents=True, exist_ok=True)
        arguments.report.write_text(json.dumps({"seconds": taken, "failures": tally.failures}, indent=1))
    return 0


if __name__ == "__main__":
    sys.exit(main())
