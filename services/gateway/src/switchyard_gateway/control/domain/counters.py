"""How many requests each revision answered, and how many of them badly, from Envoy's counters per host.

A host's counters vanish with the host, and start again with Envoy; totals here only grow. They are grouped by the
revision that answered: a cluster's own counters would blend the failover's into the candidate's. A mirrored request is
one of its revision's requests, and an unanswered one an error of it; beside that, it is counted where it is sent off.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import astuple, dataclass, field

from switchyard_gateway.control.domain.world import DeploymentKey

HostKey = tuple[str, str, int]
"""(cluster, address, port); without an address and at port 0 stands what is counted for a cluster as a whole."""
Owner = tuple[DeploymentKey, str]
"""(deployment, revision)."""


@dataclass(frozen=True, slots=True)
class Count:
    """Requests and their bad ends."""

    requests: int = 0
    errors: int = 0
    """Answers of 5xx, resets and timeouts."""
    timeouts: int = 0
    connect_failures: int = 0
    """Attempts that found nobody; such a request went on elsewhere where it could."""
    mirrored: int = 0
    """Requests that were sent to it as a mirror."""
    mirror_overflow: int = 0
    """Requests that should have been, but too many were under way to it: pairs that will never be."""
    retries: int = 0
    """Attempts that found nobody and were made again elsewhere; Envoy counts each as an error of its host too."""

    def since(self, old: Count) -> Count:
        """What was added; a counter that went back started again from nought."""
        if any(now < then for now, then in zip(astuple(self), astuple(old), strict=True)):
            return self
        return Count(*(now - then for now, then in zip(astuple(self), astuple(old), strict=True)))

    def plus(self, other: Count) -> Count:
        """The sum."""
        return Count(*(one + more for one, more in zip(astuple(self), astuple(other), strict=True)))


@dataclass(frozen=True, slots=True)
class HostCount:
    """One host's counters as Envoy shows them now."""

    key: HostKey
    count: Count


def of_cluster(cluster: str) -> HostKey:
    """Where that is kept which Envoy counts for a cluster as a whole."""
    return (cluster, "", 0)


@dataclass(frozen=True, slots=True)
class Look:
    """All of Envoy's counters at one time."""

    hosts: tuple[HostCount, ...]
    boot: str = ""
    """Which start of Envoy counted them; empty where it does not say."""


@dataclass(frozen=True, slots=True)
class Growth:
    """What one host was asked since the last look."""

    key: HostKey
    owner: Owner
    count: Count


@dataclass(slots=True)
class Counters:
    """The running totals."""

    totals: dict[Owner, Count] = field(default_factory=dict)
    boot: str = ""
    _last: dict[HostKey, Count] = field(default_factory=dict)
    _owner: dict[HostKey, Owner] = field(default_factory=dict)

    def take(self, look: Look, owners: Mapping[HostKey, Owner]) -> list[Growth]:
        """Add what was counted since the last look; a host that has just left is still known by its last owner.

        Another Envoy has counted from nought, also where it has counted further by now than the one before.
        """
        if look.boot != self.boot:
            self.boot, self._last = look.boot, {}
        grown = []
        for each in look.hosts:
            owner = owners.get(each.key) or self._owner.get(each.key)
            if owner is None:
                continue
            last = self._last.get(each.key, Count()) if self._owner.get(each.key, owner) == owner else Count()
            grown.append(Growth(each.key, owner, each.count.since(last)))
            self.totals[owner] = self.totals.get(owner, Count()).plus(grown[-1].count)
            self._owner[each.key] = owner
        self._last = {each.key: each.count for each in look.hosts if each.key in self._owner}
        self._owner = {key: owner for key, owner in self._owner.items() if key in self._last}
        return grown

    def forget(self, alive: Iterable[DeploymentKey]) -> None:
        """Drop the totals of deployments that are no more."""
        kept = set(alive)
        self.totals = {owner: count for owner, count in self.totals.items() if owner[0] in kept}
