"""Everybody around an operator but the operator, in one event loop, for as many deployments as are made.

The controller of Deployments and the kubelets (a pod for each replica, ready at once), three gateways (they run what
routes say as soon as they hear of it), and models (one server answers for every pod). Each does the least that the real
one would: one write for a pod, one for its status, one for the Deployment's.
"""

from __future__ import annotations

import asyncio
import json
import ssl
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import aiohttp
from aiohttp import web

from switchyard_testkit.envoy import free_port
from switchyard_testkit.errors import TestkitError
from switchyard_testkit.fake_api import endpoint_slice

JSON = dict[str, Any]
Door = Callable[[web.Request], Awaitable[web.Response]]

HOST = "127.0.0.1"
FULL = 10_000
GATEWAYS = ("127.0.0.2", "127.0.0.3", "127.0.0.4")
PATIENCE = 900.0
AT_ONCE = 16
"""Writes under way at one time."""
DEPLOYMENTS = "/apis/apps/v1/{}deployments"
PODS = "/api/v1/{}pods"
SLICES = "/apis/discovery.k8s.io/v1/{}endpointslices"
MODEL_DEPLOYMENTS = "/apis/switchyard.dev/v1alpha1/{}modeldeployments"
MODEL_ROUTES = "/apis/switchyard.dev/v1alpha1/{}modelroutes"
ANSWERS: Mapping[str, Any] = {
    "/docs.json": {"info": {"version": "1.0.0"}},
    "/schema.json": {"routes": [{"route": "/predict"}]},
}


def within(path: str, namespace: str) -> str:
    """The path of a kind in one namespace."""
    return path.format(f"namespaces/{namespace}/")


@dataclass
class Bystanders:
    """What they have seen."""

    api: aiohttp.ClientSession
    endpoints_at: str = ""
    """Where the models answer, for gateways to be told by EndpointSlices; a loopback address is refused there."""
    model_port: int = field(default_factory=free_port)
    gateway_port: int = field(default_factory=free_port)
    stable: dict[str, str] = field(default_factory=dict)
    """Of each ModelDeployment, which revision its status calls stable."""
    available: dict[str, float] = field(default_factory=dict)
    """Deployments whose pods are ready, and since when on the monotonic clock."""
    settled: dict[str, float] = field(default_factory=dict)
    """ModelDeployments whose rollout is completed and that say they are ready."""
    routes: dict[str, JSON] = field(default_factory=dict)
    serving: dict[str, str] = field(default_factory=dict)
    """Which revision each route gives everything to."""
    trouble: str = ""
    """Why one of them could not go on; nothing that is measured after it means anything."""
    _asked: dict[str, int] = field(default_factory=dict)
    """Of each Deployment, the generation that was carried out."""
    _tasks: set[asyncio.Task[None]] = field(default_factory=set)
    _places: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(AT_ONCE))

    # --- requests ---

    async def write(self, method: str, path: str, body: JSON) -> JSON:
        """One write; whatever is not taken is an error of the test's own."""
        async with self._places, self.api.request(method, path, json=body) as answer:
            document: JSON = await answer.json()
            if answer.status >= 300:
                raise TestkitError(f"{method} {path} was answered {answer.status}: {document.get('message')}")
            return document

    async def make_all(self, path: str, bodies: list[JSON]) -> None:
        """Create them, many at a time."""
        await asyncio.gather(*(self.write("POST", path, body) for body in bodies))

    async def _listen(self, path: str, hear: Callable[[str, JSON], None]) -> None:
        """List, and watch from there; a watch that ends goes on from the version it came to."""
        async with self.api.get(path) as answer:
            listed = await answer.json()
        for item in listed["items"]:
            hear("ADDED", item)
        version = listed["metadata"]["resourceVersion"]
        while True:
            query = {"watch": "1", "resourceVersion": version, "allowWatchBookmarks": "true"}
            async with self.api.get(path, params=query, timeout=aiohttp.ClientTimeout(total=None)) as answer:
                async for line in answer.content:
                    event = json.loads(line)
                    if event["type"] == "ERROR":
                        raise TestkitError(f"the watch of {path} ended: {event['object'].get('message')}")
                    version = event["object"]["metadata"]["resourceVersion"]
                    if event["type"] != "BOOKMARK":
                        hear(event["type"], event["object"])

    def _begin(self, work: Any) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()):
            self.trouble = f"{type(error).__name__}: {error}"

    # --- the controller of Deployments, and kubelets ---

    def _deployment(self, event: str, body: JSON) -> None:
        name, generation = body["metadata"]["name"], int(body["metadata"]["generation"])
        status = body.get("status") or {}
        if event == "DELETED":
            self.available.pop(name, None)
        elif status.get("observedGeneration") == generation and status.get("readyReplicas") == body["spec"]["replicas"]:
            self.available.setdefault(name, time.monotonic())
        elif self._asked.get(body["metadata"]["uid"]) != generation:
            self._asked[body["metadata"]["uid"]] = generation
            self._begin(self._carry_out(body))

    async def _carry_out(self, body: JSON) -> None:
        metadata, count = body["metadata"], body["spec"]["replicas"]
        place = within(PODS, metadata["namespace"])
        for number in range(count):
            made = await self.write("POST", place, pod_of(body, number))
            made["status"] = pod_status(made, self.endpoints_at or HOST)
            await self.write("PUT", f"{place}/{made['metadata']['name']}/status", made)
        if self.endpoints_at:
            address = (self.endpoints_at, self.model_port)
            told = endpoint_slice(metadata["namespace"], metadata["name"], *[address] * min(count, 1))
            await self.write("POST", within(SLICES, metadata["namespace"]), told)
        path = f"{within(DEPLOYMENTS, metadata['namespace'])}/{metadata['name']}/status"
        await self.write("PUT", path, {**body, "status": deployment_status(metadata["generation"], count)})

    # --- gateways and models ---

    def _route(self, event: str, body: JSON) -> None:
        key = f"{body['metadata']['namespace']}/{body['metadata']['name']}"
        if event == "DELETED":
            self.routes.pop(key, None)
        else:
            self.routes[key] = {"generation": body["metadata"]["generation"], "state": "Synced", "message": ""}
            serving = [entry["revision"] for entry in body["spec"]["routes"] if entry["weightBp"] == FULL]
            self.serving[key] = serving[0] if serving else ""

    async def _say_routes(self, request: web.Request) -> web.Response:
        return web.json_response({"node": request.host, "stale": False, "routes": self.routes})

    async def _say_model(self, request: web.Request) -> web.Response:
        return web.json_response(ANSWERS.get(request.path, {"delay": 1.5}))

    def _model_deployment(self, event: str, body: JSON) -> None:
        name, status = body["metadata"]["name"], body.get("status") or {}
        self.stable[name] = (status.get("stable") or {}).get("revision", "")
        ready = any(item["type"] == "Ready" and item["status"] == "True" for item in status.get("conditions") or ())
        if event != "DELETED" and ready and (status.get("rollout") or {}).get("phase") == "Completed":
            self.settled.setdefault(name, time.monotonic())
        else:
            self.settled.pop(name, None)

    async def stand_in_for_gateways(self) -> None:
        """Where no real ones are: they run what routes say as soon as they hear of it."""
        await _serve(self._say_routes, GATEWAYS, self.gateway_port)

    async def begin(self, namespace: str, labels: Mapping[str, str]) -> None:
        """Everybody at work; the gateways' pods are made in the namespace, with the labels."""
        await _serve(self._say_model, (self.endpoints_at or HOST,), self.model_port)
        place = within(PODS, namespace)
        for number, host in enumerate(GATEWAYS):
            metadata = {"name": f"gateway-{number}", "namespace": namespace, "labels": dict(labels)}
            spec = {"containers": [{"name": "control", "image": "none"}]}
            made = await self.write("POST", place, {"metadata": metadata, "spec": spec})
            made["status"] = pod_status(made, host)
            await self.write("PUT", f"{place}/{made['metadata']['name']}/status", made)
        self._begin(self._listen(DEPLOYMENTS.format(""), self._deployment))
        self._begin(self._listen(MODEL_ROUTES.format(""), self._route))
        self._begin(self._listen(MODEL_DEPLOYMENTS.format(""), self._model_deployment))

    async def end(self) -> None:
        """Nobody works any more."""
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)


async def _serve(door: Door, hosts: Sequence[str], port: int) -> None:
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", door)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    for host in hosts:
        await web.TCPSite(runner, host, port).start()


async def awaited(
    what: str, so: Callable[[], bool], *, around: Bystanders, seconds: float = PATIENCE, every: float = 0.1
) -> None:
    """Until it is so; what goes wrong among the bystanders ends the wait."""
    deadline = time.monotonic() + seconds
    while not so():
        if around.trouble:
            raise TestkitError(f"waiting until {what}: {around.trouble}")
        if time.monotonic() > deadline:
            raise TestkitError(f"{what}: not so within {seconds:g} s")
        await asyncio.sleep(every)


@asynccontextmanager
async def bystanders(folder: Path, server: str, *, user: str, endpoints_at: str = "") -> AsyncIterator[Bystanders]:
    """With a session that speaks for the user whose certificate is in the folder."""
    trust = ssl.create_default_context(cafile=folder / "ca.crt")
    trust.load_cert_chain(folder / f"{user}.crt", folder / f"{user}.key")
    connector = aiohttp.TCPConnector(ssl=trust, limit=0)
    timeout = aiohttp.ClientTimeout(total=60)
    async with aiohttp.ClientSession(server, connector=connector, timeout=timeout, read_bufsize=2**20) as session:
        made = Bystanders(session, endpoints_at)
        try:
            yield made
        finally:
            await made.end()


def pod_of(deployment: JSON, number: int) -> JSON:
    """A pod as the ReplicaSet of a Deployment makes it."""
    metadata, template = deployment["metadata"], deployment["spec"]["template"]
    owner = {"apiVersion": "apps/v1", "kind": "Deployment", "name": metadata["name"], "uid": metadata["uid"]}
    name = f"{metadata['name']}-{metadata['generation']}-{number}"
    labels = template["metadata"].get("labels") or {}
    return {
        "metadata": {
            "name": name,
            "namespace": metadata["namespace"],
            "labels": labels,
            "ownerReferences": [owner | {"controller": True}],
        },
        "spec": template["spec"],
    }


def pod_status(pod: JSON, address: str) -> JSON:
    """Running and ready."""
    now = _now()
    types = ("PodReadyToStartContainers", "Initialized", "Ready", "ContainersReady", "PodScheduled")
    container = pod["spec"]["containers"][0]
    return {
        "phase": "Running",
        "podIP": address,
        "podIPs": [{"ip": address}],
        "startTime": now,
        "conditions": [{"type": name, "status": "True", "lastTransitionTime": now} for name in types],
        "containerStatuses": [
            {
                "name": container["name"],
                "image": container["image"],
                "imageID": container["image"],
                "ready": True,
                "started": True,
                "restartCount": 0,
                "state": {"running": {"startedAt": now}},
            }
        ],
    }


def deployment_status(generation: int, count: int) -> JSON:
    """All of its pods are ready."""
    now = _now()
    counts = dict.fromkeys(("replicas", "updatedReplicas", "readyReplicas", "availableReplicas"), count)
    times = {"lastTransitionTime": now, "lastUpdateTime": now}
    return {
        "observedGeneration": generation,
        **counts,
        "conditions": [
            {"type": "Available", "status": "True", "reason": "MinimumReplicasAvailable", "message": "", **times},
            {"type": "Progressing", "status": "True", "reason": "NewReplicaSetAvailable", "message": "", **times},
        ],
    }


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
