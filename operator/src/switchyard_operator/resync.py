"""The slow resync: list every kind and replace the cache, so that what a watch has missed is heard all the same.

It also tells whether the watches work: what a listing has and the cache still lacks after a while, no watch delivered.
The age of the last event cannot say that, for a cluster in which nothing happens is silent too.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from switchyard_contracts.base import LABEL_DEPLOYMENT

from switchyard_operator.cache import Cache, Key
from switchyard_operator.domain import kinds
from switchyard_operator.domain.kinds import Kind
from switchyard_operator.domain.world import Body
from switchyard_operator.ports import Cluster

LABELLED = (kinds.DEPLOYMENT, kinds.SERVICE, kinds.DISRUPTION_BUDGET, kinds.POD, *kinds.OPTIONAL)


@dataclass(frozen=True, slots=True)
class Survey:
    """What is there, by kind, and what the cache held before it was asked."""

    listed: Mapping[Kind, list[Body]]
    before: Mapping[Kind, Mapping[Key, str]]


def survey(cluster: Cluster, cache: Cache, *, also: Sequence[Kind] = ()) -> Survey:
    """List every kind, ModelDeployments last: the first pass of one must not find its route and revisions missing."""
    listed, before = {}, {}
    for kind in (*also, *reversed(kinds.WATCHED)):
        before[kind] = cache.snapshot(kind)
        labels = {LABEL_DEPLOYMENT: ""} if kind in LABELLED else None
        listed[kind] = [cache.same(body) for body in cluster.find(kind, labels=labels)]
    return Survey(listed, before)


def unheard(found: Survey, cache: Cache) -> list[str]:
    """Objects of which the cache knows nothing, or only older things."""
    names = []
    for kind, bodies in found.listed.items():
        for body in bodies:
            metadata = body["metadata"]
            held = cache.get(kind, metadata["namespace"], metadata["name"])
            if held is None or int(held["metadata"]["resourceVersion"]) < int(metadata["resourceVersion"]):
                names.append(f"{kind.kind} {metadata['namespace']}/{metadata['name']}")
    return names


def settle(found: Survey, cache: Cache) -> list[Key]:
    """Take the survey as the truth; the answer is every deployment that exists, or that something changed about."""
    touched: set[Key] = set()
    for kind, bodies in found.listed.items():
        touched |= cache.replace(kind, bodies, before=found.before[kind])
    return sorted(touched | set(cache.deployments()))


def resync(cluster: Cluster, cache: Cache) -> list[Key]:
    """Both at once."""
    return settle(survey(cluster, cache), cache)
