"""A cluster in memory that behaves as the API server does where the operator can tell.

Versions, generations, conflicts, the status subresource, the merge of server-side apply, owners that take their
children along.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any

from switchyard_operator.domain.kinds import ALL, Kind
from switchyard_operator.domain.world import Body
from switchyard_operator.errors import AlreadyThere, Outdated

from switchyard_testkit.merge_patch import merge_patch

Place = tuple[str, str, str]
HAS_STATUS = frozenset({"ModelDeployment", "ModelRevision", "ModelCommand", "Deployment", "Pod", "PodDisruptionBudget"})


class Crash(BaseException):
    """The process died right after a write; a BaseException, so that nothing mistakes it for an error to be handled."""


class FakeCluster:
    """The verbs of `ports.Cluster`, and a few for the test's own hand."""

    def __init__(self, clock: Callable[[], datetime]) -> None:
        self._clock = clock
        self._versions = itertools.count(1)
        self._uids = itertools.count(1)
        self.objects: dict[Place, dict[str, Any]] = {}
        self.writes: list[str] = []
        self.crash_after: int | None = None
        """Die right after this many writes."""
        self.before_write: Callable[[str], None] = lambda _: None
        """A test may look, or raise, before each write."""
        self.after_write: Callable[[str], None] = lambda _: None
        """A test may raise after a write that was done: its answer is lost."""

    # --- the port ---

    def read(self, kind: Kind, namespace: str, name: str) -> Body | None:
        """The body; nobody changes one in place, a write makes another."""
        return self.objects.get((kind.kind, namespace, name))

    def find(self, kind: Kind, *, namespace: str = "", labels: Mapping[str, str] | None = None) -> list[Body]:
        """In order of name; an empty label value asks only that it is there."""
        return [
            body
            for (held, place, _), body in sorted(self.objects.items())
            if held == kind.kind
            and (not namespace or place == namespace)
            and _matches(body["metadata"].get("labels") or {}, labels or {})
        ]

    def create(self, body: Body) -> Body:
        """POST."""
        self._about_to("create", body)
        if _place(body) in self.objects:
            raise AlreadyThere(f"{_place(body)} exists")
        return self._did("create", self._store(body, old=None))

    def replace(self, body: Body) -> Body:
        """PUT; an old resourceVersion is a conflict."""
        self._about_to("replace", body)
        old = self._existing(body)
        _same_version(body, old)
        return self._did("replace", self._store({**body, "status": old.get("status")}, old=old))

    def apply(self, body: Body) -> Body:
        """Server-side apply: our fields are set, other fields stay."""
        self._about_to("apply", body)
        old = self.objects.get(_place(body))
        merged = _merged(old, body) if old else body
        return self._did("apply", self._store(merged, old=old))

    def patch(self, kind: Kind, namespace: str, name: str, patch: Mapping[str, Any]) -> Body:
        """JSON merge patch."""
        old = self.objects.get((kind.kind, namespace, name))
        if old is None:
            raise Outdated(f"{kind.kind} {namespace}/{name} is gone")
        self._about_to("patch", old)
        _same_version(patch, old)
        clean = {**patch, "metadata": {k: v for k, v in patch.get("metadata", {}).items() if k != "resourceVersion"}}
        return self._did("patch", self._store(merge_patch(old, clean), old=old))

    def write_status(self, body: Body, status: Mapping[str, Any]) -> Body:
        """PUT to /status: the generation stays."""
        self._about_to("status", body)
        old = self._existing(body)
        _same_version(body, old)
        return self._did("status", self._store({**old, "status": dict(status)}, old=old))

    def delete(self, kind: Kind, namespace: str, name: str) -> None:
        """DELETE, and whatever it owned."""
        held = self.objects.get((kind.kind, namespace, name))
        if held is None:
            return
        self._about_to("delete", held)
        self._remove(held)
        self._did("delete", held)

    # --- the test's own hand ---

    def put(self, body: Mapping[str, Any]) -> Body:
        """What others write: people, kubelets, controllers. Never crashes the operator, never counted."""
        old = self.objects.get(_place(body))
        return self._store(
            {**(old or {}), **body, "metadata": {**(old or {}).get("metadata", {}), **body["metadata"]}}, old=old
        )

    def take(self, kind: Kind, namespace: str, name: str) -> None:
        """What others delete."""
        if held := self.objects.get((kind.kind, namespace, name)):
            self._remove(held)

    # --- inside ---

    def _about_to(self, verb: str, body: Body) -> None:
        self.before_write(f"{verb} {body['kind']} {body['metadata']['name']}")

    def _did(self, verb: str, body: Body) -> Body:
        self.writes.append(f"{verb} {body['kind']} {body['metadata']['name']}")
        if self.crash_after is not None and len(self.writes) >= self.crash_after:
            self.crash_after = None
            raise Crash(self.writes[-1])
        self.after_write(self.writes[-1])
        return body

    def _existing(self, body: Body) -> dict[str, Any]:
        old = self.objects.get(_place(body))
        if old is None:
            raise Outdated(f"{_place(body)} is gone")
        return old

    def _store(self, body: Mapping[str, Any], *, old: Mapping[str, Any] | None) -> dict[str, Any]:
        new: dict[str, Any] = {**body, "metadata": dict(body["metadata"])}
        if new.get("status") is None:
            new.pop("status", None)
        metadata = new["metadata"]
        if old is None:
            metadata["uid"] = f"uid-{next(self._uids)}"
            metadata["creationTimestamp"] = self._clock().isoformat(timespec="seconds").replace("+00:00", "Z")
            metadata["generation"] = 1
            if new["kind"] in HAS_STATUS and new["kind"].startswith("Model"):
                new.pop("status", None)
        else:
            before = old["metadata"]
            metadata |= {key: before[key] for key in ("uid", "creationTimestamp")}
            metadata["generation"] = before["generation"] + int(new.get("spec") != old.get("spec"))
            metadata["resourceVersion"] = before["resourceVersion"]
            if new == old:
                return dict(old)
        metadata["resourceVersion"] = str(next(self._versions))
        self.objects[_place(new)] = new
        return new

    def _remove(self, held: Mapping[str, Any]) -> None:
        self.objects.pop(_place(held), None)
        uid = held["metadata"]["uid"]
        for body in list(self.objects.values()):
            if any(owner["uid"] == uid for owner in body["metadata"].get("ownerReferences") or []):
                self._remove(body)


def _place(body: Mapping[str, Any]) -> Place:
    assert body["kind"] in ALL
    return body["kind"], body["metadata"]["namespace"], body["metadata"]["name"]


def _matches(labels: Mapping[str, str], wanted: Mapping[str, str]) -> bool:
    return all(key in labels and (not value or labels[key] == value) for key, value in wanted.items())


def _same_version(body: Mapping[str, Any], old: Mapping[str, Any]) -> None:
    wanted = body.get("metadata", {}).get("resourceVersion")
    if wanted is not None and wanted != old["metadata"]["resourceVersion"]:
        raise Outdated(f"{old['kind']} {old['metadata']['name']} has been written in between")


def _merged(old: Any, new: Any) -> Any:
    if isinstance(old, Mapping) and isinstance(new, Mapping):
        return {**old, **{key: _merged(old.get(key), value) for key, value in new.items()}}
    return new
