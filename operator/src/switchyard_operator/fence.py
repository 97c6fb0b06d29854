"""A cluster that only the leader may write to: checked before each write, since a pass may outlive its lease."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from switchyard_operator.domain.kinds import Kind
from switchyard_operator.domain.world import Body
from switchyard_operator.errors import NotLeading
from switchyard_operator.ports import Cluster


class FencedCluster:
    """`ports.Cluster`, closed to whoever does not lead."""

    def __init__(self, cluster: Cluster, *, leading: Callable[[], bool]) -> None:
        self._cluster = cluster
        self._leading = leading

    def _check(self) -> None:
        if not self._leading():
            raise NotLeading("this operator does not hold the lease, so it writes nothing")

    def read(self, kind: Kind, namespace: str, name: str) -> Body | None:
        """As is."""
        return self._cluster.read(kind, namespace, name)

    def find(self, kind: Kind, *, namespace: str = "", labels: Mapping[str, str] | None = None) -> Sequence[Body]:
        """As is."""
        return self._cluster.find(kind, namespace=namespace, labels=labels)

    def create(self, body: Body) -> Body:
        """For the leader."""
        self._check()
        return self._cluster.create(body)

    def replace(self, body: Body) -> Body:
        """For the leader."""
        self._check()
        return self._cluster.replace(body)

    def apply(self, body: Body) -> Body:
        """For the leader."""
        self._check()
        return self._cluster.apply(body)

    def patch(self, kind: Kind, namespace: str, name: str, patch: Mapping[str, Any]) -> Body:
        """For the leader."""
        self._check()
        return self._cluster.patch(kind, namespace, name, patch)

    def write_status(self, body: Body, status: Mapping[str, Any]) -> Body:
        """For the leader."""
        self._check()
        return self._cluster.write_status(body, status)

    def delete(self, kind: Kind, namespace: str, name: str) -> None:
        """For the leader."""
        self._check()
        self._cluster.delete(kind, namespace, name)
