"""What the watches have told so far. Reading it is free; before a risky write the pass reads the API server anew."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from threading import Lock

from switchyard_contracts.base import LABEL_DEPLOYMENT

from switchyard_operator.domain.kinds import ALL, MODEL_COMMAND, MODEL_DEPLOYMENT, Kind
from switchyard_operator.domain.slim import slim
from switchyard_operator.domain.world import Body

Key = tuple[str, str]
"""(namespace, name) of a ModelDeployment."""


class Cache:
    """Objects by kind, and by the ModelDeployment they belong to."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._held: dict[str, dict[Key, Body]] = {}
        self._by_owner: dict[str, dict[Key, set[Key]]] = {}
        self._moves: Counter[Key] = Counter()

    def put(self, body: Body) -> Key | None:
        """Store what is kept of a body unless a newer one is held; the answer is the deployment it belongs to."""
        kind, place, owner = body["kind"], _place(body), owner_of(body)
        with self._lock:
            held = self._held.setdefault(kind, {}).get(place)
            if held is None or _version(body) >= _version(held) or _uid(body) != _uid(held):
                self._held[kind][place] = slim(body)
                if owner and (held is None or _version(body) != _version(held) or _uid(body) != _uid(held)):
                    self._moves[owner] += 1
                if owner:
                    self._by_owner.setdefault(kind, {}).setdefault(owner, set()).add(place)
        return owner

    def forget(self, body: Body) -> Key | None:
        """The object is gone, unless another of its name has come since."""
        kind, place, owner = body["kind"], _place(body), owner_of(body)
        with self._lock:
            held = self._held.get(kind, {}).get(place)
            if held is not None and _uid(held) == _uid(body):
                self._drop(kind, place)
        return owner

    def knows(self, body: Body) -> bool:
        """Whether this very version is held, or a newer one: whoever tells of it tells nothing new."""
        with self._lock:
            held = self._held.get(body["kind"], {}).get(_place(body))
            return held is not None and _uid(held) == _uid(body) and _version(held) >= _version(body) > 0

    def same(self, body: Body) -> Body:
        """What is held of this very version, or what would be kept of it: a listing of what is known takes no room."""
        with self._lock:
            held = self._held.get(body["kind"], {}).get(_place(body))
        if held is None or _uid(held) != _uid(body) or not _version(held) == _version(body) > 0:
            return slim(body)
        return held

    def moves(self, owner: Key) -> int:
        """How often anything that belongs to a deployment has changed, as far as is known here."""
        with self._lock:
            return self._moves[owner]

    def get(self, kind: Kind, namespace: str, name: str) -> Body | None:
        """One object."""
        with self._lock:
            return self._held.get(kind.kind, {}).get((namespace, name))

    def children(self, kind: Kind, owner: Key) -> list[Body]:
        """All objects of a kind that belong to a deployment, by name."""
        with self._lock:
            held = self._held.get(kind.kind, {})
            places = sorted(self._by_owner.get(kind.kind, {}).get(owner, ()))
            return [held[place] for place in places if place in held]

    def deployments(self) -> list[Key]:
        """Every deployment."""
        with self._lock:
            return sorted(self._held.get(MODEL_DEPLOYMENT.kind, {}))

    def snapshot(self, kind: Kind) -> Mapping[Key, str]:
        """What is held now, taken before a listing."""
        with self._lock:
            return {place: str(_version(body)) for place, body in self._held.get(kind.kind, {}).items()}

    def replace(self, kind: Kind, listed: Sequence[Body], *, before: Mapping[Key, str]) -> set[Key]:
        """Take a listing as the truth: whatever it does not name and has not changed since `before` is gone."""
        touched = {owner for body in listed if (owner := self.put(body))}
        places = {_place(body) for body in listed}
        with self._lock:
            held = self._held.get(kind.kind, {})
            gone = [p for p, body in held.items() if p not in places and before.get(p) == str(_version(body))]
            for place in gone:
                if owner := owner_of(held[place]):
                    touched.add(owner)
                self._drop(kind.kind, place)
        return touched

    def _drop(self, kind: str, place: Key) -> None:
        body = self._held[kind].pop(place)
        if owner := owner_of(body):
            self._moves[owner] += 1
            self._by_owner.get(kind, {}).get(owner, set()).discard(place)


def owner_of(body: Body) -> Key | None:
    """The ModelDeployment an object belongs to: itself, by its spec, or by its label."""
    metadata = body["metadata"]
    namespace = metadata.get("namespace", "")
    if body["kind"] == MODEL_DEPLOYMENT.kind:
        return namespace, metadata["name"]
    if body["kind"] == MODEL_COMMAND.kind:
        name = body.get("spec", {}).get("deployment")
    else:
        name = (metadata.get("labels") or {}).get(LABEL_DEPLOYMENT)
    return (namespace, name) if name else None


def kind_of(body: Body) -> Kind:
    """The kind of a body."""
    return ALL[body["kind"]]


def _place(body: Body) -> Key:
    return body["metadata"].get("namespace", ""), body["metadata"]["name"]


def _version(body: Body) -> int:
    return int(body["metadata"].get("resourceVersion") or 0)


def _uid(body: Body) -> str:
    return str(body["metadata"].get("uid", ""))
