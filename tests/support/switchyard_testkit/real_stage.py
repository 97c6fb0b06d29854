"""A real API server as a stage for rollouts: its verbs for the operator, and a hand for kubelets and controllers.

Nobody else writes to the server, so what it listed, and what it answered to a write since, is what it holds: a pass
that changes nothing then costs no request. Only a write that came to no answer may have been done all the same, as a
watch would tell: then its kind is listed anew. There is no garbage collector in it either; who deletes, deletes what
was owned, and lists anew.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from kubernetes import client
from switchyard_operator.adapters.cluster import ApiCluster
from switchyard_operator.domain.kinds import ALL, CONFIG_MAP, DEPLOYMENT, MODEL_DEPLOYMENT, POD, WATCHED, Kind
from switchyard_operator.domain.world import Body
from switchyard_operator.errors import AlreadyThere, TryLater
from switchyard_operator.ports import Cluster

from switchyard_testkit.fake_cluster import Crash

Place = tuple[str, str]
Strike = Callable[[str], BaseException]
"""What hits the operator right after a write that was done; it is given what was written."""


class RealStage:
    """The verbs of `ports.Cluster` over a real API server, and `put` and `take` for everybody else."""

    def __init__(self, api: client.ApiClient, *, strike: Strike = Crash) -> None:
        self._cluster: Cluster = ApiCluster(api, counted=lambda *_: None)
        self._strike = strike
        self._listed: dict[Kind, dict[Place, Body]] = {}
        self.writes: list[str] = []
        self.crash_after: int | None = None

    # --- the port ---

    def read(self, kind: Kind, namespace: str, name: str) -> Body | None:
        """As it was listed, or answered to the last write."""
        if kind not in WATCHED:
            return self._cluster.read(kind, namespace, name)
        return self._list(kind).get((namespace, name))

    def find(self, kind: Kind, *, namespace: str = "", labels: Mapping[str, str] | None = None) -> list[Body]:
        """All objects of a kind."""
        wanted = labels or {}
        return [
            body
            for (place, _), body in sorted(self._list(kind).items())
            if (not namespace or place == namespace) and _matches(body["metadata"].get("labels") or {}, wanted)
        ]

    def create(self, body: Body) -> Body:
        """POST."""
        return self._write("create", ALL[body["kind"]], lambda: self._cluster.create(body))

    def replace(self, body: Body) -> Body:
        """PUT."""
        return self._write("replace", ALL[body["kind"]], lambda: self._cluster.replace(body))

    def apply(self, body: Body) -> Body:
        """Server-side apply."""
        return self._write("apply", ALL[body["kind"]], lambda: self._cluster.apply(body))

    def patch(self, kind: Kind, namespace: str, name: str, patch: Mapping[str, Any]) -> Body:
        """JSON merge patch."""
        return self._write("patch", kind, lambda: self._cluster.patch(kind, namespace, name, patch))

    def write_status(self, body: Body, status: Mapping[str, Any]) -> Body:
        """PUT to /status."""
        return self._write("status", ALL[body["kind"]], lambda: self._cluster.write_status(body, status))

    def delete(self, kind: Kind, namespace: str, name: str) -> None:
        """DELETE, and whatever it owned."""
        held = self.read(kind, namespace, name)
        if held is not None:
            self._remove(kind, held)
            self._note("delete", held)

    # --- everybody else's hand ---

    def put(self, body: Mapping[str, Any]) -> Body:
        """What people, kubelets and the Deployments' controller write, if it is not so already."""
        kind = {"ModelDeployment": MODEL_DEPLOYMENT, "Pod": POD, "Deployment": DEPLOYMENT}[body["kind"]]
        metadata = body["metadata"]
        held = self.read(kind, metadata["namespace"], metadata["name"])
        if kind is MODEL_DEPLOYMENT:
            wanted = {**(held or {}), **body, "metadata": {**(held or {}).get("metadata", {}), **metadata}}
            return self._keep(self._cluster.replace(wanted) if held else self._cluster.create(wanted))
        status = dict(body["status"])
        if kind is DEPLOYMENT:
            status["replicas"] = body["spec"]["replicas"]
        if held is None:
            spec = {"containers": [{"name": "model", "image": "models/none"}]}
            held = self._keep(self._cluster.create({**body, "spec": spec, "status": {}}))
        old = held.get("status") or {}
        if all(_same(old.get(name), value) for name, value in status.items()):
            return held
        return self._keep(self._cluster.write_status(held, {**old, **status}))

    def take(self, kind: Kind, namespace: str, name: str) -> None:
        """What others delete."""
        held = self.read(kind, namespace, name)
        if held is not None:
            self._remove(kind, held)

    def clear(self, namespace: str) -> None:
        """Leave nothing in a namespace."""
        self._listed.clear()
        for kind in (*WATCHED, CONFIG_MAP):
            for body in self._cluster.find(kind, namespace=namespace):
                self._cluster.delete(kind, namespace, body["metadata"]["name"])
        self._listed.clear()

    # --- inside ---

    def _list(self, kind: Kind) -> dict[Place, Body]:
        if kind not in self._listed:
            self._listed[kind] = {
                (body["metadata"]["namespace"], body["metadata"]["name"]): body for body in self._cluster.find(kind)
            }
        return self._listed[kind]

    def _write(self, verb: str, kind: Kind, write: Callable[[], Body]) -> Body:
        """A write of the operator's: where it is not answered, what was listed is not known to be so any more."""
        try:
            body = write()
        except (TryLater, AlreadyThere):
            self._listed.pop(kind, None)
            raise
        self._keep(body)
        self._note(verb, body)
        return body

    def _note(self, verb: str, body: Body) -> None:
        self.writes.append(f"{verb} {body['kind']} {body['metadata']['name']}")
        if self.crash_after is not None and len(self.writes) >= self.crash_after:
            self.crash_after = None
            raise self._strike(self.writes[-1])

    def _keep(self, body: Body) -> Body:
        kind, metadata = ALL[body["kind"]], body["metadata"]
        if kind in self._listed:
            self._listed[kind][metadata["namespace"], metadata["name"]] = body
        return body

    def _remove(self, kind: Kind, held: Body) -> None:
        metadata = held["metadata"]
        self._cluster.delete(kind, metadata["namespace"], metadata["name"])
        self._listed.pop(kind, None)
        for dependent in WATCHED:
            for body in list(self._list(dependent).values()):
                if any(owner["uid"] == metadata["uid"] for owner in body["metadata"].get("ownerReferences") or []):
                    self._remove(dependent, body)


def _matches(labels: Mapping[str, str], wanted: Mapping[str, str]) -> bool:
    return all(key in labels and (not value or labels[key] == value) for key, value in wanted.items())


def _same(held: Any, wanted: Any) -> bool:
    """Whether what is wanted stands in what is held; the server adds fields of its own."""
    if isinstance(held, Mapping) and isinstance(wanted, Mapping):
        return all(_same(held.get(name), value) for name, value in wanted.items())
    if isinstance(held, list) and isinstance(wanted, list):
        return len(held) == len(wanted) and all(map(_same, held, wanted))
    return bool(held == wanted) or str(held).replace("Z", "+00:00") == str(wanted)
