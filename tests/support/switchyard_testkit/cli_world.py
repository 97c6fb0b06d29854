"""The command line at a simulated airport: its verbs against real decisions, on a cluster in memory.

The cluster is `rollout_world`'s, so what the verbs read is what the operator wrote; waiting lets the simulation go on.
"""

from __future__ import annotations

import io
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from switchyard_cli.__main__ import run
from switchyard_cli.desk import Desk, Monitors, console
from switchyard_cli.errors import CliError, NoCluster
from switchyard_cli.monitor import monitor
from switchyard_cli.ports import Body, Cluster
from switchyard_cli.registry import registries
from switchyard_operator.domain import kinds

from switchyard_testkit.rollout_world import NAME, NAMESPACE, Simulation


@dataclass
class SimulatedCluster:
    """`switchyard_cli.ports.Cluster` over the simulation's."""

    world: Simulation
    namespace: str = NAMESPACE
    user: str = "ada"
    objection: str = ""
    """What the API server says of a dry run."""
    faults: list[CliError] = field(default_factory=list)
    """Each of the next reads fails with one."""
    rehearsed: list[tuple[Body, Body | None]] = field(default_factory=list)
    given: list[Body] = field(default_factory=list)

    def deployment(self, name: str) -> Body | None:
        self._fail()
        return self.world.cluster.read(kinds.MODEL_DEPLOYMENT, self.namespace, name)

    def deployments(self, *, everywhere: bool = False) -> list[Body]:
        self._fail()
        return self.world.cluster.find(kinds.MODEL_DEPLOYMENT, namespace="" if everywhere else self.namespace)

    def revisions(self, name: str) -> list[Body]:
        found = self.world.cluster.find(kinds.MODEL_REVISION, namespace=self.namespace)
        return [body for body in found if body["spec"]["deployment"] == name]

    def config_map(self, name: str) -> Mapping[str, str] | None:
        found = self.world.cluster.read(kinds.CONFIG_MAP, self.namespace, name)
        return dict(found["data"]) if found else None

    def rehearse(self, body: Body, *, live: Body | None) -> str:
        self._fail()
        self.rehearsed.append((body, live))
        return self.objection

    def whoami(self) -> str:
        return self.user

    def give(self, command: Body) -> Body:
        self.given.append(command)
        name = f"{command['metadata']['generateName']}{len(self.given)}"
        body = {**command, "metadata": {"name": name, "namespace": self.namespace}}
        return self.world.cluster.put(body)

    def command(self, name: str) -> Body | None:
        self._fail()
        return self.world.cluster.read(kinds.MODEL_COMMAND, self.namespace, name)

    def _fail(self) -> None:
        if self.faults:
            raise self.faults.pop(0)


@dataclass
class SimulatedTime:
    """`switchyard_cli.ports.Time`: a pause is that many seconds of the simulation."""

    world: Simulation
    before_pause: Callable[[int], None] = lambda _: None
    """What else happens: called with the number of the pause, from 1."""
    pauses: int = 0

    def now(self) -> datetime:
        return self.world.clock.now

    def pause(self, seconds: float) -> None:
        self.pauses += 1
        self.before_pause(self.pauses)
        for _ in range(math.ceil(seconds)):
            self.world.tick()


@dataclass(frozen=True)
class Said:
    """What a verb printed, and its exit code."""

    code: int
    out: str
    err: str

    @property
    def flat(self) -> str:
        """What it printed, on one line."""
        return " ".join(self.out.split())


class Terminal(io.StringIO):
    """What a person looks at, as far as a program can tell."""

    def isatty(self) -> bool:
        return True


@dataclass
class Shell:
    """Somebody at a terminal of the airport."""

    world: Simulation
    bentos: Path = Path("/nowhere")
    stdin: str = ""
    width: int = 160
    no_cluster: str = ""
    terminal: bool = False
    monitors: Monitors = monitor

    def __post_init__(self) -> None:
        self.cluster = SimulatedCluster(self.world)
        self.time = SimulatedTime(self.world)

    def __call__(self, *args: str) -> Said:
        out, err = Terminal() if self.terminal else io.StringIO(), io.StringIO()
        desk = Desk(
            connect=self._connect,
            registries=registries,
            monitors=self.monitors,
            time=self.time,
            out=console(out, width=self.width),
            err=console(err, width=self.width),
            stdin=io.StringIO(self.stdin),
            bentos=self.bentos,
        )
        code = run(args, desk, environ={"SWITCHYARD_DEBUG": "1"})
        return Said(code, out.getvalue(), err.getvalue())

    def _connect(self, *, kubeconfig: str | None, context: str | None, namespace: str | None) -> Cluster:
        if self.no_cluster:
            raise NoCluster(self.no_cluster)
        self.cluster.namespace = namespace or NAMESPACE
        return self.cluster


def document(spec: Mapping[str, Any], *, name: str = NAME, **metadata: str) -> dict[str, Any]:
    """A ModelDeployment as a person's file has it."""
    return {
        "apiVersion": "switchyard.dev/v1alpha1",
        "kind": "ModelDeployment",
        "metadata": {"name": name, **metadata},
        "spec": dict(spec),
    }
