"""Kubernetes events: created once, counted up when the same thing begins anew. One that is lost is no error."""

from __future__ import annotations

import logging
from threading import Lock

from switchyard_operator.domain.kinds import EVENT
from switchyard_operator.domain.world import Body
from switchyard_operator.errors import AlreadyThere, SwitchyardError
from switchyard_operator.ports import Cluster

logger = logging.getLogger(__name__)

MOST_EVENTS = 4096
"""Events whose count is remembered; the API server forgets each after an hour."""


class ClusterNotes:
    """As client-go's recorder does it: the counts are in memory, so what an earlier operator told stays as it is."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self._counts: dict[str, int] = {}
        self._lock = Lock()

    def post(self, body: Body) -> None:
        """Create the event; one that this operator has told before is counted up, and says what it says now."""
        place = body["involvedObject"]
        names = {"object": f"{place['kind']} {place['namespace']}/{place['name']}", "reason": body["reason"]}
        try:
            self._create_or_count(body)
        except SwitchyardError as error:
            logger.warning("an event was lost: %s", error, extra=names)

    def _create_or_count(self, body: Body) -> None:
        metadata = body["metadata"]
        before = self._counted(metadata["name"])
        try:
            self._cluster.create(body)
        except AlreadyThere:
            if not before:
                return
            changes = {"count": before + 1, "message": body["message"], "lastTimestamp": body.get("lastTimestamp")}
            self._cluster.patch(EVENT, metadata["namespace"], metadata["name"], changes)

    def _counted(self, name: str) -> int:
        """How often it was told before this time."""
        with self._lock:
            before = self._counts.pop(name, 0)
            self._counts[name] = before + 1
            if len(self._counts) > MOST_EVENTS:
                del self._counts[next(iter(self._counts))]
            return before
