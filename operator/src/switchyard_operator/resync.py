"""The slow resync: list every kind and replace the cache, so that what a watch has missed is heard all the same."""

from __future__ import annotations

from switchyard_contracts.base import LABEL_DEPLOYMENT

from switchyard_operator.cache import Cache, Key
from switchyard_operator.domain import kinds
from switchyard_operator.ports import Cluster

LABELLED = (kinds.DEPLOYMENT, kinds.SERVICE, kinds.DISRUPTION_BUDGET, kinds.POD)


def resync(cluster: Cluster, cache: Cache) -> list[Key]:
    """All deployments that exist, or that something has changed about. ModelDeployments come last: the first pass of
    one must not find its route and its revisions missing."""
    touched: set[Key] = set()
    for kind in reversed(kinds.WATCHED):
        before = cache.snapshot(kind)
        labels = {LABEL_DEPLOYMENT: ""} if kind in LABELLED else None
        touched |= cache.replace(kind, list(cluster.find(kind, labels=labels)), before=before)
    return sorted(touched | set(cache.deployments()))
