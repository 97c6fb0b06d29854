"""One deployment's share of Envoy's configuration, as plain values: its clusters, their endpoints, its routes.

A fragment is the unit of everything: it is translated, sent, acknowledged, refused and remembered as one, so that one
deployment's trouble stays its own. Equal values mean equal configuration, so a comparison says whether there is work.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from switchyard_gateway.control.domain.world import DeploymentKey, Endpoint, RouteObject, ServiceKey

MIRROR_DOOR = "/mirror"
"""How the name of a cluster ends that leads to this Envoy's mirror listener."""


@dataclass(frozen=True, slots=True)
class Cluster:
    """One of a revision's clusters. Nothing in it ever changes, so no connection is lost to an update."""

    name: str
    failover: bool
    """Whether its endpoints hold stable's as a second priority."""
    places: int = 0
    """How many requests may be under way to it at once, before more are turned away; 0: there is no such bound."""


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

    @property
    def revision(self) -> str:
        """Whose share it is, as the stamp says."""
        return self.stamp.split("|")[1]


@dataclass(frozen=True, slots=True)
class Pin:
    """A revision that a request may ask for by header."""

    revision: str
    cluster: str
    stamp: str


@dataclass(frozen=True, slots=True)
class Sample:
    """A part of stable's requests that is drawn by itself: by a keyed hash of each request's own id."""

    number: int
    """Which of the route's samples it is, from 0."""
    share: int
    """Of 10,000 requests of stable's, so many."""
    key: tuple[int, int]


@dataclass(frozen=True, slots=True)
class Mirror:
    """A revision that a share of stable's requests is sent to as well; its answers are recorded and thrown away."""

    door: str
    """The cluster that leads back to this Envoy's mirror listener, and bounds how many are under way."""
    cluster: str
    """Who answers there."""
    share: int
    """Basis points of the whole traffic; the first so many of stable's."""
    stamp: str
    of: int = 10_000
    """What the share is a part of. Where stable has a route of its own, it is of that one's requests, in millionths."""
    sample: Sample | None = None
    """Where only those of the share are sent that this draws too."""


@dataclass(frozen=True, slots=True)
class Range:
    """An arm's buckets in a sticky split, and who is mirrored of it."""

    first: int
    end: int
    """The one behind the last."""
    cluster: str
    stamp: str
    """Without its end: how a request was drawn, and its bucket, are known when it comes."""
    mirrors: tuple[Mirror, ...] = ()


@dataclass(frozen=True, slots=True)
class Draw:
    """How a request comes to a bucket: by a keyed hash of a header or cookie."""

    by: str
    name: str
    key: tuple[int, int]
    ranges: tuple[Range, ...]


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
    mirrors: tuple[Mirror, ...] = ()
    draw: Draw | None = None
    """Where users stay with their arm. The arms above then serve what could not be drawn."""

    @property
    def clusters(self) -> frozenset[str]:
        """The names of the clusters that requests may be sent to."""
        asked = [*(arm.cluster for arm in self.arms), *(pin.cluster for pin in self.pins)]
        return frozenset([*asked, *(name for each in self.mirrors for name in (each.door, each.cluster))])


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
