"""One deployment's share of Envoy's configuration, as plain values: its clusters, their endpoints, its routes.

A fragment is the unit of everything: it is translated, sent, acknowledged, refused and remembered as one, so that one
deployment's trouble stays its own. Equal values mean equal configuration, so a comparison says whether there is work.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from switchyard_gateway.control.domain.world import DeploymentKey, Endpoint, RouteObject, ServiceKey


@dataclass(frozen=True, slots=True)
class Cluster:
    """One of a revision's two clusters. Nothing in it ever changes, so no connection is lost to an update."""

    name: str
    failover: bool
    """Whether its endpoints hold stable's as a second priority."""


@dataclass(frozen=True, slots=True)
class Member:
    """An address and what answers there; access log and response headers read it from the endpoint's metadata."""

    address: str
    port: int
    revision: str
    version: str


@dataclass(frozen=True, slots=True)
class Assignment:
    """The endpoints of a cluster: who answers, and who answers when none of those can."""

    cluster: str
    deployment: DeploymentKey
    first: tuple[Member, ...]
    second: tuple[Member, ...] = ()


@dataclass(frozen=True, slots=True)
class Arm:
    """A revision's share of the split, and the stamp that each of its exchanges carries."""

    cluster: str
    weight: int
    stamp: str


@dataclass(frozen=True, slots=True)
class Pin:
    """A revision that a request may ask for by header."""

    revision: str
    cluster: str
    stamp: str


@dataclass(frozen=True, slots=True)
class Routing:
    """How requests for one deployment find a revision."""

    deployment: DeploymentKey
    generation: int
    host: str
    """The host name it answers to with bare paths; empty: by path only."""
    prefix: str
    """The path it answers under for every host, such as `/flights/delay`."""
    paths: tuple[str, ...]
    timeout_ms: int
    arms: tuple[Arm, ...]
    pins: tuple[Pin, ...]

    @property
    def clusters(self) -> frozenset[str]:
        """The names of the clusters that requests may be sent to."""
        return frozenset([*(arm.cluster for arm in self.arms), *(pin.cluster for pin in self.pins)])


@dataclass(frozen=True, slots=True)
class Fragment:
    """All of it, with what it was made from (which is what the volume keeps)."""

    routing: Routing
    clusters: tuple[Cluster, ...]
    assignments: tuple[Assignment, ...]
    source: RouteObject = field(compare=False)
    endpoints: tuple[tuple[ServiceKey, tuple[Endpoint, ...]], ...] = field(compare=False, default=())

    @property
    def key(self) -> DeploymentKey:
        """The deployment."""
        return self.routing.deployment

    @property
    def generation(self) -> int:
        """The ModelRoute generation it was made from."""
        return self.routing.generation
