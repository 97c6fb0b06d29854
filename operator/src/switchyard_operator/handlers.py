"""Kopf's door: what the watches tell is stored, and the deployment it belongs to is queued. It cannot fail.

What the cache knows already, as the answer to one of our own writes, queues nothing: the pass that wrote it comes again
by itself. No finalizers, no annotations, no status: a ModelDeployment may belong to Git, and the reconciler is the only
writer of what is ours.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import kopf
from switchyard_contracts.base import LABEL_DEPLOYMENT

from switchyard_operator.cache import Cache, Key
from switchyard_operator.domain import kinds
from switchyard_operator.domain.kinds import Kind
from switchyard_operator.domain.world import Body
from switchyard_operator.workqueue import WorkQueue

WATCH_SECONDS = 180
"""After which a watch begins anew, from the version it came to."""
IDLE_SECONDS = 0.5
"""After which what Kopf keeps running for an object ends; until then it holds the last event whole."""
CHUNK = 100
"""Objects that Kopf lists at a time, of each kind; it holds a chunk whole."""
OURS = (kinds.MODEL_DEPLOYMENT, kinds.MODEL_REVISION, kinds.MODEL_ROUTE, kinds.MODEL_COMMAND)
CHILDREN = (kinds.DEPLOYMENT, kinds.SERVICE, kinds.DISRUPTION_BUDGET, kinds.POD)


@dataclass(slots=True)
class Pulse:
    """When a watch last said something; for the metric, since an idle cluster is silent too (see `resync`)."""

    at: float


@dataclass(frozen=True, slots=True)
class Door:
    """What the handlers need. Kopf copies it for each object, so whatever changes stands behind a reference."""

    cache: Cache
    queue: WorkQueue[Key]
    monotonic: Callable[[], float]
    pulse: Pulse

    def hear(self, kind: Kind, event: Body) -> None:
        """One event of one watch."""
        self.pulse.at = self.monotonic()
        body = {"apiVersion": kind.api_version, "kind": kind.kind, **event["object"]}
        if event.get("type") != "DELETED" and self.cache.knows(body):
            return
        key = self.cache.forget(body) if event.get("type") == "DELETED" else self.cache.put(body)
        if key:
            self.queue.add(key)


class NoEssence(kopf.AnnotationsDiffBaseStorage):
    """What Kopf would compare to tell handlers of changes; there are none, and it copied every object for it."""

    def build(self, *, body: kopf.Body, extra_fields: Any = None) -> kopf.BodyEssence:
        """Nothing of any object."""
        del body, extra_fields
        return kopf.BodyEssence()

    def fetch(self, *, body: kopf.Body) -> kopf.BodyEssence | None:
        """Nothing is kept."""
        del body
        return None


class NoProgress(kopf.ProgressStorage):
    """Where Kopf would keep how far handlers have come; ours cannot fail, and it copied what it would keep."""

    def fetch(self, **_: Any) -> None:
        """Nothing is kept."""

    def store(self, **_: Any) -> None:
        """Nothing is kept."""

    def purge(self, **_: Any) -> None:
        """Nothing is kept."""

    def touch(self, **_: Any) -> None:
        """No object is ever written to by Kopf."""

    def clear(self, *, essence: kopf.BodyEssence) -> kopf.BodyEssence:
        """There is nothing to clear."""
        return essence


def options(*, also: Sequence[Kind] = ()) -> kopf.OperatorSettings:
    """Kopf as a pair of ears: no peering, no events of its own, and of others' kinds only what is ours."""
    found = kopf.OperatorSettings()
    found.peering.standalone = True
    found.posting.enabled = False
    found.scanning.disabled = True  # it would ask to read every namespace and every definition of the cluster
    found.watching.server_timeout = WATCH_SECONDS
    found.watching.client_timeout = WATCH_SECONDS + 30
    found.networking.request_timeout = 20
    found.persistence.diffbase_storage = NoEssence()
    found.persistence.progress_storage = NoProgress()
    found.queueing.idle_timeout = IDLE_SECONDS
    found.watching.chunk_size = CHUNK
    for kind in (*CHILDREN, *also):
        group, _, version = kind.api_version.rpartition("/")
        found.watching.label_selectors[group, version, kind.plural] = LABEL_DEPLOYMENT
    return found


def register(registry: kopf.OperatorRegistry, *, also: Sequence[Kind] = ()) -> None:
    """Put the door into a registry of its own; no module-level state."""

    @kopf.on.login(registry=registry, id="login")
    def login(**words: Any) -> kopf.ConnectionInfo | None:
        return kopf.login_with_service_account(**words) or kopf.login_with_kubeconfig(**words)

    for kind in OURS:
        _listen(registry, kind, labels={})
    for kind in (*CHILDREN, *also):
        _listen(registry, kind, labels={LABEL_DEPLOYMENT: kopf.PRESENT})


def _listen(registry: kopf.OperatorRegistry, kind: Kind, *, labels: dict[str, Any]) -> None:
    group, _, version = kind.api_version.rpartition("/")

    @kopf.on.event(group, version, kind.plural, registry=registry, id=f"remember-{kind.plural}", labels=labels)
    async def remember(event: kopf.RawEvent, memo: Any, **_: Any) -> None:
        memo.hear(kind, event)
