"""What the gateway costs: CPU per request and latency, of bare Envoy, of the gateway without capture, with it, and with
every request mirrored: to a revision that answers, to one that hangs, and to one that is dead.

    python tests/bench/bench_gateway.py [--rate 500] [--mirrored-rate 100] [--answer-ms 10] [--seconds 6] [--rounds 7]
                                        [--report FILE] [--realtime]

Envoys on loopback: two are models, the others are measured, in turns, so that whatever else the machine does meets all
of them. Bare is a static route and nothing more. The gateway runs the product's own bootstrap with the routes that
control would send for a canary, or for a shadow; without capture it has neither the capture script nor the record. CPU
is the process's own time on a core, as the kernel's scheduler counts it (where it mirrors, of both the request and its
copy); latency is vegeta's at a constant rate, of what users are answered.

What a request costs is seen best with a model that answers at once. What mirroring does to the slowest hundredth is a
share of the time that a user waits, so there the model takes as long as a small one does, and the rate leaves the
processors room for the copies: those who share two cores with them are the load and both models too.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "support"))

from envoy.config.route.v3 import route_pb2
from google.protobuf.json_format import MessageToDict
from switchyard_contracts.model_route import ModelRouteSpec, Route, RouteRole
from switchyard_contracts.quantities import parse_duration
from switchyard_gateway.control.adapters.protobuf import route_table
from switchyard_gateway.control.domain.delivery import MIRROR, RouteTable
from switchyard_gateway.control.domain.fragment import MIRROR_DOOR
from switchyard_gateway.control.domain.translation import PLACES, translate
from switchyard_gateway.control.domain.world import Endpoint, RouteObject
from switchyard_testkit import toolchain
from switchyard_testkit.cache import Cache, Durations
from switchyard_testkit.envoy import EnvoyProcess, StaticRoutes, binary, free_port, model_cluster, running
from switchyard_testkit.progress import Progress

JSON = dict[str, Any]
Change = Callable[[JSON], None]

BODY = {
    "carrier": "UA", "origin": "EWR", "destination": "IAH", "distance": 1400, "month": 1, "day": 1, "weekday": 2,
    "scheduled_departure": 515, "scheduled_arrival": 819, "departure_delay": 2.0, "plane_year": 1999, "seats": 149,
}  # fmt: skip
GATEWAY_PATH = "/shop/flight/predict"
ANSWER = {"delay": 11.25, "model": "flight-delay", "interval": [2.5, 31.0]}

BARE, ROUTED, CAPTURED = "bare Envoy", "gateway without capture", "gateway with capture"
ALONE, MIRRORED, HANGING, DEAD = "not mirrored", "mirrored", "mirrored, and it hangs", "mirrored, and it is dead"


@dataclass
class Variant:
    """One of the Envoys that are compared, and what was measured of it."""

    name: str
    envoy: EnvoyProcess
    path: str
    rate: int
    """Requests a second."""
    cpu_us: list[float] = field(default_factory=list)
    p50_ms: list[float] = field(default_factory=list)
    p99_ms: list[float] = field(default_factory=list)


@dataclass(frozen=True)
class Adapted(StaticRoutes):
    """Static routes, and whatever else a variant changes in the product's configuration."""

    change: Change = lambda _: None

    def put_into(self, content: JSON) -> JSON:
        changed = super().put_into(content)
        self.change(changed)
        return changed


@dataclass(frozen=True)
class Routed(Adapted):
    """The product listener's routes are a whole table of control's."""

    table: JSON = field(default_factory=dict)
    mirror_table: JSON | None = None

    def put_into(self, content: JSON) -> JSON:
        changed = super().put_into(content)
        product, *others = managers(changed)
        product["route_config"] = self.table
        if self.mirror_table is not None:
            others[0]["route_config"] = self.mirror_table
        return changed


def managers(content: JSON) -> Iterator[JSON]:
    """The connection managers of a configuration."""
    for listener in content["static_resources"]["listeners"]:
        yield listener["filter_chains"][0]["filters"][0]["typed_config"]


def without_capture(content: JSON) -> None:
    """Routing, ids and hygiene stay."""
    for manager in managers(content):
        manager["http_filters"] = manager["http_filters"][-1:]
        del manager["access_log"]


def bare(content: JSON) -> None:
    """A plain proxy: one listener, one route."""
    content["static_resources"]["listeners"] = content["static_resources"]["listeners"][:1]
    for manager in managers(content):
        for name in sorted(manager.keys() - {"@type", "stat_prefix", "route_config", "http_filters"}):
            del manager[name]
        manager["http_filters"] = manager["http_filters"][-1:]


def taking(milliseconds: int) -> Change:
    """A model that answers after this time, without a core for it."""

    def change(content: JSON) -> None:
        bare(content)
        delay = {"fixed_delay": f"{milliseconds / 1000:.3f}s", "percentage": {"numerator": 100}}
        fault = {"@type": "type.googleapis.com/envoy.extensions.filters.http.fault.v3.HTTPFault", "delay": delay}
        for manager in managers(content):
            manager["http_filters"].insert(0, {"name": "envoy.filters.http.fault", "typed_config": fault})

    return change


def canary(port: int) -> tuple[JSON, list[JSON]]:
    """The route table that control sends while a candidate has a tenth of the traffic, and its clusters."""
    arms = [
        Route(revision=f"flight-{role}", version="1.0.0", role=role, weight_bp=weight, service="flight", port=3000)
        for role, weight in ((RouteRole.STABLE, 9000), (RouteRole.CANDIDATE, 1000))
    ]
    spec = ModelRouteSpec(paths=["/predict"], timeout=parse_duration("10s"), routes=arms)
    route = RouteObject("shop", "flight", 7, spec)
    fragment = translate(route, lambda _: (Endpoint("127.0.0.1", 1),), domain="models.local")
    table = as_json(RouteTable("switchyard", (fragment.routing,)))
    names = sorted(each.name for each in fragment.clusters)
    return table, [model_cluster(name, port=port, revision="flight") for name in names]


def shadow(port: int, *, mirrored_to: int, mirror_port: int) -> Routed:
    """What control sends while all of stable's requests are mirrored to a candidate that users see nothing of."""
    stable = Route(
        revision="flight-stable", version="1.0.0", role=RouteRole.STABLE, weight_bp=10_000, service="flight", port=3000
    )
    copied = Route(
        revision="flight-candidate",
        version="2.0.0",
        role=RouteRole.CANDIDATE,
        weight_bp=0,
        mirror_bp=10_000,
        service="flight",
        port=3000,
    )
    spec = ModelRouteSpec(paths=["/predict"], timeout=parse_duration("10s"), routes=[stable, copied])
    route = RouteObject("shop", "flight", 7, spec)
    fragment = translate(route, lambda _: (Endpoint("127.0.0.1", 1),), domain="models.local", mirror_port=mirror_port)
    clusters = []
    for name in sorted(each.name for each in fragment.clusters):
        door = name.endswith(MIRROR_DOOR)
        leads_to = mirror_port if door else mirrored_to if copied.revision in name else port
        made = model_cluster(name, port=leads_to, revision="flight")
        if door:
            made["circuit_breakers"]["thresholds"][0]["max_requests"] = PLACES
        clusters.append(made)
    return Routed(
        [],
        clusters,
        table=as_json(RouteTable("switchyard", (fragment.routing,))),
        mirror_table=as_json(RouteTable(MIRROR, ())),
    )


def as_json(table: RouteTable) -> JSON:
    """As the configuration file has it."""
    routes = route_pb2.RouteConfiguration.FromString(route_table(table))
    found: JSON = MessageToDict(routes, preserving_proto_field_name=True)
    return found


def hanging(stack: ExitStack) -> int:
    """The port of a server that takes connections and never says anything: the kernel's queue is all there is of it."""
    server = stack.enter_context(socket.create_server(("127.0.0.1", free_port()), backlog=1024))
    port: int = server.getsockname()[1]
    return port


def model_routes() -> list[JSON]:
    """A model in Envoy's form: a fixed answer, much faster than what is measured."""
    direct = {"status": 200, "body": {"inline_string": json.dumps(ANSWER)}}
    header = {"header": {"key": "content-type", "value": "application/json"}}
    return [
        {
            "name": "model",
            "domains": ["*"],
            "routes": [{"match": {"prefix": "/"}, "direct_response": direct, "response_headers_to_add": [header]}],
        }
    ]


@contextmanager
def variants(
    folder: Path, executable: Path, *, rate: int, mirrored_rate: int, answer_ms: int
) -> Iterator[list[Variant]]:
    """All of them, running."""
    with ExitStack() as stack:

        def started(name: str, static: StaticRoutes, mirror_port: int) -> EnvoyProcess:
            port = free_port()
            envoy = EnvoyProcess(
                executable, folder / name.replace(" ", "-"), port=port, mirror_port=mirror_port, static=static
            )
            stack.enter_context(running(envoy, now_ns=time.time_ns()))
            return envoy

        prompt = started("model", Adapted(model_routes(), [], change=bare), free_port())
        usual = started("usual model", Adapted(model_routes(), [], change=taking(answer_ms)), free_port())
        plain = [
            {"name": "model", "domains": ["*"], "routes": [{"match": {"prefix": "/"}, "route": {"cluster": "model"}}]}
        ]
        model = [model_cluster("model", port=prompt.port, revision="x")]
        table, clusters = canary(prompt.port)
        shared, calm = canary(usual.port)
        statics: list[tuple[str, StaticRoutes, int]] = [
            (BARE, Adapted(plain, model, change=bare), rate),
            (ROUTED, Routed([], clusters, table=table, change=without_capture), rate),
            (CAPTURED, Routed([], clusters, table=table), rate),
            (ALONE, Routed([], calm, table=shared), mirrored_rate),
        ]
        made = [
            Variant(name, started(name, static, free_port()), "/predict" if name == BARE else GATEWAY_PATH, pace)
            for name, static, pace in statics
        ]
        for name, leads_to in ((MIRRORED, usual.port), (HANGING, hanging(stack)), (DEAD, free_port())):
            door = free_port()
            static = shadow(usual.port, mirrored_to=leads_to, mirror_port=door)
            made.append(Variant(name, started(name, static, door), GATEWAY_PATH, mirrored_rate))
        yield made


def cpu_seconds(pid: int) -> float:
    """Time that all threads of the process had a core, to the nanosecond."""
    threads = Path(f"/proc/{pid}/task").iterdir()
    return sum(int((thread / "schedstat").read_text().split()[0]) for thread in threads) / 1e9


def attack(vegeta: Path, variant: Variant, *, seconds: float, folder: Path) -> JSON:
    """Constant load on one variant; vegeta's report."""
    body = folder / "body.json"
    body.write_text(json.dumps(BODY))
    target = f"POST {variant.envoy.url}{variant.path}\nContent-Type: application/json\n@{body}\n"
    command = [
        str(vegeta),
        "attack",
        f"-rate={variant.rate}/s",
        f"-duration={seconds}s",
        "-workers=4",
        "-max-workers=64",
    ]
    results = subprocess.run(command, input=target.encode(), capture_output=True, check=True).stdout
    report = subprocess.run([str(vegeta), "report", "-type=json"], input=results, capture_output=True, check=True)
    parsed: JSON = json.loads(report.stdout)
    if set(parsed["status_codes"]) != {"200"}:
        raise RuntimeError(f"{variant.name}: not all were answered: {parsed['status_codes']} {parsed['errors'][:3]}")
    return parsed


def measure(vegeta: Path, chosen: Sequence[Variant], *, seconds: float, rounds: int, folder: Path) -> None:
    """Turns, each round in another order."""
    for variant in chosen:
        attack(vegeta, variant, seconds=1, folder=folder)
    for number in range(rounds):
        shift = number % len(chosen)
        for variant in [*chosen[shift:], *chosen[:shift]]:
            before = cpu_seconds(variant.envoy.pid)
            report = attack(vegeta, variant, seconds=seconds, folder=folder)
            variant.cpu_us.append((cpu_seconds(variant.envoy.pid) - before) / report["requests"] * 1e6)
            variant.p50_ms.append(report["latencies"]["50th"] / 1e6)
            variant.p99_ms.append(report["latencies"]["99th"] / 1e6)
        print(f"  round {number + 1} of {rounds}", file=sys.stderr)


def spread(values: Sequence[float]) -> str:
    """The middle half."""
    low, _, high = statistics.quantiles(values, n=4)
    return f"{low:.2f}–{high:.2f}"


def ratios(of: Variant, to: Variant) -> list[float]:
    """Round by round, so that a busy machine stands on both sides of the line."""
    return [mine / theirs for mine, theirs in zip(of.cpu_us, to.cpu_us, strict=True)]


def tail(of: Variant, to: Variant) -> list[float]:
    """The slowest hundredth against the other's, round by round."""
    return [mine / theirs for mine, theirs in zip(of.p99_ms, to.p99_ms, strict=True)]


def table(chosen: Sequence[Variant]) -> str:
    """The figures as people read them."""
    lines = [f"{'':28}{'CPU per request, µs':>26}{'p50, ms':>26}{'p99, ms':>26}"]
    for variant in chosen:
        cells = [
            f"{statistics.median(values):.2f} ({spread(values)})"
            for values in (variant.cpu_us, variant.p50_ms, variant.p99_ms)
        ]
        lines.append(f"{variant.name:28}{cells[0]:>26}{cells[1]:>26}{cells[2]:>26}")
    return "\n".join(lines)


def verdicts(chosen: Sequence[Variant]) -> Mapping[str, tuple[float, float]]:
    """Each target: what was measured, and what it may be."""
    plain, routed, captured, alone, *mirrored = chosen
    slower = [mine - theirs for mine, theirs in zip(captured.p99_ms, plain.p99_ms, strict=True)]
    return {
        "CPU, gateway without capture / bare": (statistics.median(ratios(routed, plain)), 1.05),
        "CPU, capture on top": (statistics.median(ratios(captured, routed)), 1.35),
        "p99, gateway with capture − bare, ms": (statistics.median(slower), 0.3),
        "CPU, mirrored / not mirrored": (statistics.median(ratios(mirrored[0], alone)), 2.2),
    } | {f"p99, {each.name} / {alone.name}": (statistics.median(tail(each, alone)), 1.05) for each in mirrored}


def main() -> int:
    """Measure, print, and fail where a target is missed."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--rate", type=int, default=500, help="requests a second to a model that answers at once")
    parser.add_argument("--mirrored-rate", type=int, default=100, help="requests a second where mirroring is measured")
    parser.add_argument(
        "--answer-ms", type=int, default=10, help="how long the model takes where mirroring is measured"
    )
    parser.add_argument("--seconds", type=float, default=6)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--report", type=Path)
    parser.add_argument("--realtime", action="store_true", help="keep the load of others out, by the scheduler (root)")
    arguments = parser.parse_args()
    if arguments.rounds < 2:
        parser.error(f"--rounds is {arguments.rounds}; the spread needs at least 2")
    if arguments.realtime:  # inherited by all that is started here
        os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(1))
    cache = Cache.from_env(os.environ)
    plan = {toolchain.STAGE: toolchain.STAGE_ESTIMATE}
    progress = Progress("bench-gateway", plan=plan, durations=Durations(cache.root / "durations.json"), out=sys.stderr)
    vegeta = toolchain.ensure(cache, progress) / "vegeta"
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        paces = {"rate": arguments.rate, "mirrored_rate": arguments.mirrored_rate, "answer_ms": arguments.answer_ms}
        with variants(folder, binary(cache), **paces) as chosen:
            print(
                f"{arguments.rounds} rounds of {arguments.seconds:g} s each: {arguments.rate} requests/s of a model"
                f" that answers at once; where it mirrors, {arguments.mirrored_rate} of one that takes"
                f" {arguments.answer_ms} ms",
                file=sys.stderr,
            )
            measure(vegeta, chosen, seconds=arguments.seconds, rounds=arguments.rounds, folder=folder)
    print(table(chosen))
    print("median (middle half of the rounds)\n")
    found = verdicts(chosen)
    for what, (value, target) in found.items():
        print(f"{what:42}{value:8.2f}   target ≤ {target:.2f}   {'met' if value <= target else 'MISSED'}")
    if arguments.report:
        arguments.report.parent.mkdir(parents=True, exist_ok=True)
        rounds = {each.name: {"cpu_us": each.cpu_us, "p50_ms": each.p50_ms, "p99_ms": each.p99_ms} for each in chosen}
        figures = {what: {"value": value, "target": target} for what, (value, target) in found.items()}
        arguments.report.write_text(json.dumps({"rounds": rounds, "figures": figures}, indent=1))
    return 0 if all(value <= target for value, target in found.values()) else 1


if __name__ == "__main__":
    sys.exit(main())
