"""Who acts: the holder of one Lease. The others watch, keep their cache warm and write nothing.

A standby counts the lease's time on its own clock, from when it last saw the lease change, so that clocks that differ
do no harm; the holder stops writing well before that time is over.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

from switchyard_operator.domain.kinds import LEASE
from switchyard_operator.domain.lineage import write_time
from switchyard_operator.domain.world import Body
from switchyard_operator.errors import AlreadyThere, TryLater
from switchyard_operator.ports import Cluster

DURATION = 12.0
"""Seconds after the last sign of life at which a standby takes over."""
RENEW_EVERY = 3.0
LEADS_FOR = 9.0
"""Seconds after its last renewal for which the holder still writes."""


class Leadership:
    """`tick` every few seconds; `leading` says whether this operator may write."""

    def __init__(
        self,
        cluster: Cluster,
        *,
        namespace: str,
        name: str,
        identity: str,
        monotonic: Callable[[], float],
        clock: Callable[[], datetime],
    ) -> None:
        self._cluster = cluster
        self._namespace = namespace
        self._name = name
        self._identity = identity
        self._monotonic = monotonic
        self._clock = clock
        self._renewed: float | None = None
        self._seen: tuple[str, float] | None = None

    @property
    def leading(self) -> bool:
        """Whether the lease was renewed recently enough to rely on."""
        return self._renewed is not None and self._monotonic() - self._renewed < LEADS_FOR

    def tick(self) -> bool:
        """Renew, take over, or look on; a conflict means that somebody else was quicker."""
        started = self._monotonic()
        try:
            held = self._cluster.read(LEASE, self._namespace, self._name)
            if held is None:
                self._cluster.create(self._body(None, transitions=0))
                self._renewed = started
            elif self._mine(held) or self._expired(held):
                transitions = int(held["spec"].get("leaseTransitions") or 0) + (0 if self._mine(held) else 1)
                self._cluster.replace(self._body(held, transitions=transitions))
                self._renewed = started
            else:
                self._renewed = None
        except (TryLater, AlreadyThere):
            pass
        return self.leading

    def release(self) -> None:
        """Let the next one in at once."""
        if not self.leading:
            return
        self._renewed = None
        try:
            held = self._cluster.read(LEASE, self._namespace, self._name)
            if held is not None and self._mine(held):
                body = self._body(held, transitions=int(held["spec"].get("leaseTransitions") or 0))
                self._cluster.replace({**body, "spec": {**body["spec"], "holderIdentity": ""}})
        except TryLater:
            pass

    def _mine(self, held: Body) -> bool:
        return bool(held["spec"].get("holderIdentity") == self._identity)

    def _expired(self, held: Body) -> bool:
        if not held["spec"].get("holderIdentity"):
            return True
        version, now = held["metadata"]["resourceVersion"], self._monotonic()
        if self._seen is None or self._seen[0] != version:
            self._seen = version, now
            return False
        return now - self._seen[1] > DURATION

    def _body(self, held: Body | None, *, transitions: int) -> dict[str, Any]:
        now = write_time(self._clock())
        metadata: dict[str, Any] = {"name": self._name, "namespace": self._namespace}
        acquired = now
        if held is not None:
            metadata["resourceVersion"] = held["metadata"]["resourceVersion"]
            if self._mine(held):
                acquired = held["spec"].get("acquireTime") or now
        metadata["labels"] = {"app.kubernetes.io/managed-by": "switchyard"}
        return {
            "apiVersion": LEASE.api_version,
            "kind": LEASE.kind,
            "metadata": metadata,
            "spec": {
                "holderIdentity": self._identity,
                "leaseDurationSeconds": int(timedelta(seconds=DURATION).total_seconds()),
                "acquireTime": acquired,
                "renewTime": now,
                "leaseTransitions": transitions,
            },
        }
