"""A gateway pod of two processes, control and a real Envoy, beside a fake API server: for the contract tests."""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx

from switchyard_testkit.cache import Cache
from switchyard_testkit.control import ControlProcess, Model, model
from switchyard_testkit.envoy import EnvoyProcess, binary
from switchyard_testkit.fake_api import ROUTES, SLICES, FakeApi, endpoint_slice, fake_api, model_route, route
from switchyard_testkit.load import Traffic
from switchyard_testkit.waiting import until

JSON = dict[str, Any]

KEY = "flights/delay"
PREDICT = "/flights/delay/predict"
OURS = {(ROUTES, "flights", "delay"), (SLICES, "flights", "delay-1-a"), (SLICES, "flights", "delay-2-a")}
"""What `Pod.afresh` writes anew. Were it deleted first, Envoy would be without endpoints for a while."""


@dataclass
class Pod:
    """A gateway pod of two containers, and the cluster it watches."""

    api: FakeApi
    control: ControlProcess
    envoy: EnvoyProcess
    models: dict[str, Model]
    generation: int = 0
    behind: dict[str, set[int]] = field(default_factory=dict)
    """The ports of the pods that were last said to be ready behind a revision."""

    def client(self) -> httpx.Client:
        """A product on one connection."""
        return httpx.Client(base_url=self.envoy.url, trust_env=False, timeout=10)

    def deploy(self, *routes: JSON, name: str = "delay", **spec: Any) -> int:
        """Write a ModelRoute; its generation."""
        written = self.api.put(ROUTES, model_route("flights", name, *routes, **spec))
        return int(written["metadata"]["generation"])

    def pods(self, revision: str, *models: Model) -> None:
        """Say which pods are ready behind a revision."""
        self.behind[revision] = {each.address[1] for each in models}
        self.api.put(SLICES, endpoint_slice("flights", revision, *(each.address for each in models)))

    def split(self, candidate_bp: int) -> int:
        """Canary at this weight, acknowledged."""
        generation = self.deploy(
            route("delay-1", 10_000 - candidate_bp), route("delay-2", candidate_bp, "candidate", version="2.0.0")
        )
        self.control.wait_for(KEY, generation)
        return generation

    def traffic(self, *, rate: float) -> Traffic:
        """A product that asks at this rate until it is stopped."""
        return Traffic(f"{self.envoy.url}{PREDICT}", body={"distance": 1}, rate=rate, prefix="request")

    def ask(self, path: str = PREDICT, **headers: str) -> httpx.Response:
        """One request; underscores in a header's name stand for hyphens."""
        with self.client() as client:
            return client.post(
                path,
                json={"distance": 1},
                headers=[(key.replace("_", "-").encode(), value.encode()) for key, value in headers.items()],
            )

    def hosts(self, cluster: str) -> list[JSON]:
        """What Envoy itself says of a cluster's endpoints."""
        document = json.loads(self.envoy.admin("GET", "/clusters?format=json"))
        found = [each for each in document["cluster_statuses"] if each["name"] == cluster]
        return [host for each in found for host in each.get("host_statuses", ())]

    def healthy_ports(self, cluster: str) -> set[int]:
        """The ports of those that it sends requests to."""
        return {
            host["address"]["socket_address"]["port_value"]
            for host in self.hosts(cluster)
            if host["health_status"] == {"eds_health_status": "HEALTHY"}
        }

    def reached(self, *revisions: str) -> None:
        """Wait until Envoy has the pods of these: the door speaks of routes, and endpoints come on their own."""
        until(
            lambda: all(self.healthy_ports(f"flights/{each}/only") == self.behind[each] for each in revisions),
            f"Envoy has every pod of {' and '.join(revisions)}",
            seconds=60,
            every=0.02,
        )

    def afresh(self) -> None:
        """As at the beginning: everything runs, 1.0.0 serves, 2.0.0 has a pod and no traffic, nobody else is there."""
        self.api.break_with("")
        for each in self.models.values():
            if each.silent:
                each.stop()  # and cut those who still wait
            each.status, each.silent = 200, False
            if not each.listening:
                each.start()
            each.requests.clear()
        for path, namespace, name in self.api.names() - OURS:
            self.api.delete(path, namespace, name)
        self.pods("delay-1", self.models["one"])
        self.pods("delay-2", self.models["two"])
        if not self.api.listening:
            self.api.start()
        if not self.control.process:
            self.control.start()
        if not self.envoy.process:
            self.envoy.start(now_ns=time.time_ns())
        self.generation = self.deploy(route("delay-1", 10_000), route("delay-2", 0, "candidate", version="2.0.0"))
        self.control.wait_for(KEY, self.generation, seconds=60)
        # The door speaks of routes. Endpoints come on their own, and one that was put out comes back after a while.
        one, two = self.models["one"].port, self.models["two"].port
        wanted = {"delay-1/only": {one}, "delay-2": {one, two}, "delay-2/only": {two}}
        until(
            lambda: all(self.healthy_ports(f"flights/{name}") == ports for name, ports in wanted.items()),
            "Envoy has every endpoint, and none is put out",
            seconds=60,
            every=0.02,
        )


@contextmanager
def gateway_pod(folder: Path) -> Iterator[Pod]:
    """Both processes and two models; nothing is started before `Pod.afresh`."""
    with fake_api() as api, model("one") as one, model("two") as two:
        envoy = EnvoyProcess(binary(Cache.from_env(os.environ)), folder)
        settings = {"CONTROL_WATCH": "2s", "CONTROL_MIRROR_PORT": str(envoy.mirror_port)}
        control = ControlProcess(folder, api.kubeconfig(folder), settings=settings)
        try:
            yield Pod(api, control, envoy, {"one": one, "two": two})
        finally:
            envoy.end(signal.SIGKILL)
            if control.process:
                control.end(signal.SIGKILL)
