"""The order in which one Envoy is told things, and what its answers mean. One delivery per xDS stream.

Of each kind one response is under way: clusters, their endpoints (for which Envoy waits before it acknowledges the
clusters), then the routes that use them, then (after a while) the removal of what no route uses. A route therefore
never names a cluster that Envoy does not know. Requests that were routed just before a change may still be reading
their bodies, so unused clusters linger.

Envoy holds or refuses a RouteConfiguration as a whole, so each attempt is what it holds already (`base`) plus the
changes of a group of deployments; `Trial` finds the offender in a refused group. After a connection is made, `base`
is what the volume remembers, and only an acknowledgement makes it a fact.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from switchyard_gateway.control.domain.fragment import Assignment, Cluster, Fragment, Routing
from switchyard_gateway.control.domain.ledger import Ledger, Standing, State, Target
from switchyard_gateway.control.domain.trial import Group, Trial
from switchyard_gateway.control.domain.world import DeploymentKey

PRODUCT = "switchyard"
MIRROR = "switchyard-mirror"


class Kind(StrEnum):
    """The resource types that control serves."""

    CLUSTERS = "clusters"
    ENDPOINTS = "endpoints"
    ROUTES = "routes"


@dataclass(frozen=True, slots=True)
class RouteTable:
    """A whole RouteConfiguration, by name."""

    name: str
    routings: tuple[Routing, ...]


Resource = Cluster | Assignment | RouteTable


@dataclass(frozen=True, slots=True)
class Send:
    """One response to Envoy."""

    kind: Kind
    nonce: str
    put: tuple[Resource, ...] = ()
    remove: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class _UnderWay:
    send: Send
    group: Group = ()
    base_alone: bool = False

    @property
    def table(self) -> RouteTable:
        """The route table of it, where it carries one."""
        return next(resource for resource in self.send.put if isinstance(resource, RouteTable))


@dataclass(slots=True)
class Delivery:
    """What one Envoy was told and has acknowledged."""

    ledger: Ledger
    linger: float
    targets: Mapping[DeploymentKey, Target] | None = None
    """Absent until the cluster was listed once: before that, nothing is answered."""
    routed: dict[DeploymentKey, Routing] = field(default_factory=dict)
    """The routes that Envoy runs."""
    confirmed: bool = False
    """Whether Envoy itself has acknowledged `routed` on this stream."""
    _dirty: set[DeploymentKey] = field(default_factory=set)
    _clusters: dict[str, Cluster] = field(default_factory=dict)
    _assignments: dict[str, Assignment] = field(default_factory=dict)
    _spare: dict[str, Assignment] = field(default_factory=dict)
    """The endpoints with which each cluster was put: for a cluster that nobody wants any more before it had any."""
    _leftover: set[str] = field(default_factory=set)
    _subscribed: dict[Kind, set[str]] = field(default_factory=lambda: {kind: set() for kind in Kind})
    _wildcard: bool = False
    _clusters_said: bool = False
    """Whether any were sent on this stream: Envoy asks for routes only after a first answer, were it empty."""
    _mirror_sent: bool = False
    _trials: dict[Kind, Trial] = field(default_factory=lambda: {kind: Trial() for kind in Kind})
    _based: bool = False
    """Whether it is settled what `routed` was when the stream began."""
    _doubt_base: bool = False
    _bad_tables: dict[RouteTable, str] = field(default_factory=dict)
    _review: bool = False
    _idle_since: dict[str, float] = field(default_factory=dict)
    _owner: dict[str, DeploymentKey] = field(default_factory=dict)
    _ways: dict[Kind, _UnderWay] = field(default_factory=dict)
    _sent: int = 0

    def __post_init__(self) -> None:
        self.routed = {key: fragment.routing for key, fragment in self.ledger.accepted.items()}

    def want(self, targets: Mapping[DeploymentKey, Target], changed: Iterable[DeploymentKey]) -> None:
        """The world moved: these deployments are to be looked at again."""
        if self.targets is None:
            self._dirty |= targets.keys() | self.routed.keys()
        self.targets = targets
        self._dirty |= {*changed}
        self._bad_tables.clear()
        self._review = True

    def subscribe(
        self, kind: Kind, names: Iterable[str], *, gone: Iterable[str] = (), held: Iterable[str] = ()
    ) -> None:
        """Envoy asks for resources, or no longer does; `held` is what it says it has from an earlier connection."""
        wanted, left = {*names}, {*gone}
        if kind is Kind.CLUSTERS:
            self._wildcard = True
            self._leftover |= {*held} - self._clusters.keys()
            self._review = True
            return
        self._subscribed[kind] = (self._subscribed[kind] - left) | wanted
        if kind is Kind.ENDPOINTS:
            for name in wanted | left:
                self._assignments.pop(name, None)
                if name in self._owner:
                    self._dirty.add(self._owner[name])
        elif MIRROR in wanted:
            self._mirror_sent = False

    def acknowledge(self, nonce: str) -> None:
        """Envoy took a response."""
        way = self._answered(nonce)
        if way is None:
            return
        for resource in way.send.put:
            match resource:
                case Cluster():
                    self._clusters[resource.name] = resource
                    self._leftover.discard(resource.name)
                case Assignment():
                    self._assignments[resource.cluster] = resource
                case RouteTable(name=name, routings=routings) if name == PRODUCT:
                    self.routed = {routing.deployment: routing for routing in routings}
                    self.confirmed, self._based, self._doubt_base = True, True, False
                    self._review = True
        for name in way.send.remove:
            self._clusters.pop(name, None)
            self._assignments.pop(name, None)
            self._leftover.discard(name)
            self._owner.pop(name, None)
            self._spare.pop(name, None)
            self._idle_since.pop(name, None)

    def refuse(self, nonce: str, message: str) -> None:
        """Envoy did not take a response, and says why."""
        way = self._answered(nonce)
        if way is None:
            return
        for resource in way.send.put:
            if isinstance(resource, RouteTable):
                self._bad_tables[resource] = message
        self._refused(way, message)

    def _refused(self, way: _UnderWay, message: str) -> None:
        kind = way.send.kind
        if way.base_alone:
            self.routed, self._based, self._doubt_base = {}, True, False
            self._dirty |= (self.targets or {}).keys()
            return
        if kind is Kind.ROUTES and not self._based and self.routed:
            self._doubt_base = True
            self._trials[kind].waiting.append(way.group)
            return
        self._review = True
        offender = self._trials[kind].refused(way.group, message)
        if offender is None:
            return
        for resource in way.send.put:
            parts = resource.routings if isinstance(resource, RouteTable) else (resource,)
            for part in parts:
                if not isinstance(part, Routing) or part.deployment == offender:
                    self.ledger.refused[part] = message

    def next(self, now: float) -> Send | None:
        """The response to send now, if there is one."""
        if self.targets is None or not self._wildcard:
            return None
        way = self._clusters_due() or self._endpoints_due() or self._routes_due() or self._removals_due(now)
        if way is None:
            return None
        self._ways[way.send.kind] = way
        self._clusters_said |= way.send.kind is Kind.CLUSTERS
        for resource in way.send.put:
            if isinstance(resource, Cluster):
                self._assignments.pop(resource.name, None)  # a cluster that is put (again) waits for endpoints (again)
                self._spare[resource.name] = self._assignment_of(resource.name)
        return way.send

    def wake_at(self) -> float | None:
        """When something falls due by itself, if nothing happens before."""
        return min(self._idle_since.values()) + self.linger if self._idle_since else None

    def under_way(self, nonce: str) -> Send | None:
        """The response that Envoy answers with this nonce."""
        return next((way.send for way in self._ways.values() if way.send.nonce == nonce), None)

    def _answered(self, nonce: str) -> _UnderWay | None:
        for kind, way in self._ways.items():
            if way.send.nonce == nonce:
                return self._ways.pop(kind)
        return None

    @property
    def settled(self) -> bool:
        """Envoy has acknowledged a first whole snapshot."""
        return self.confirmed

    def standing(self, key: DeploymentKey, target: Target) -> Standing:
        """How this deployment stands with this Envoy."""
        running = self.routed.get(key) if self.confirmed else None
        generation = running.generation if running else 0
        if target.desired is None:
            return Standing(generation, State.REJECTED, target.problem)
        if objection := self.ledger.objection(target.desired):
            return Standing(generation, State.REJECTED, objection)
        for assignment in target.desired.assignments:
            if assignment in self.ledger.refused:
                return Standing(generation, State.REJECTED, self.ledger.refused[assignment])
        if running == target.desired.routing:
            return Standing(generation, State.SYNCED)
        return Standing(generation, State.PENDING, f"generation {target.generation} is on its way to Envoy")

    def _effective(self, key: DeploymentKey) -> Fragment | None:
        target = (self.targets or {}).get(key)
        return self.ledger.effective(target) if target else None

    def _needed(self, key: DeploymentKey) -> list[Fragment]:
        """What Envoy must know of a deployment; while in doubt what it runs, the remembered routes' clusters too."""
        target = (self.targets or {}).get(key)
        fragment = self._effective(key)
        spare = target.fallback if target and self._doubt_base else None
        return [each for each in (fragment, spare) if each]

    def _missing_clusters(self, key: DeploymentKey) -> list[Cluster]:
        wanted = {each.name: each for fragment in self._needed(key) for each in fragment.clusters}
        return [each for each in wanted.values() if self._clusters.get(each.name) != each]

    def _missing_assignments(self, key: DeploymentKey) -> list[Assignment]:
        needed = reversed(self._needed(key))  # the newest fragment has the last word on a cluster of both
        wanted = {each.cluster: each for fragment in needed for each in fragment.assignments}
        return [each for each in wanted.values() if self._assignments.get(each.cluster) != each]

    def _assignment_of(self, cluster: str) -> Assignment:
        key = self._owner[cluster]
        found = [each for fragment in self._needed(key) for each in fragment.assignments if each.cluster == cluster]
        return found[0] if found else Assignment(cluster, key, ())

    def _clusters_due(self) -> _UnderWay | None:
        if Kind.CLUSTERS in self._ways:
            return None
        wanted = {key: missing for key in sorted(self._dirty) if (missing := self._missing_clusters(key))}
        if not wanted:
            return None if self._clusters_said else self._way_of(Kind.CLUSTERS, (), ())
        group = self._trials[Kind.CLUSTERS].next([*wanted])
        self._owner |= {cluster.name: key for key in group for cluster in wanted[key]}
        return self._way_of(Kind.CLUSTERS, group, tuple(cluster for key in group for cluster in wanted[key]))

    def _endpoints_due(self) -> _UnderWay | None:
        """Envoy's asking for a cluster's endpoints is its word that it knows the cluster."""
        if Kind.ENDPOINTS in self._ways:
            return None
        asked = self._subscribed[Kind.ENDPOINTS]
        wanted: dict[DeploymentKey, list[Assignment]] = {}
        for key in sorted(self._dirty):
            missing = [self._acceptable(each) for each in self._missing_assignments(key) if each.cluster in asked]
            due = [
                each
                for each in missing
                if self._assignments.get(each.cluster) != each and each not in self.ledger.refused
            ]
            if due:
                wanted[key] = due
        if not wanted:
            return self._unwanted_endpoints_due()
        group = self._trials[Kind.ENDPOINTS].next([*wanted])
        return self._way_of(Kind.ENDPOINTS, group, tuple(each for key in group for each in wanted[key]))

    def _unwanted_endpoints_due(self) -> _UnderWay | None:
        """Envoy waits for these before it takes any other cluster, though nobody wants the clusters any more."""
        waiting = self._subscribed[Kind.ENDPOINTS] & self._spare.keys() - self._assignments.keys()
        due = [self._acceptable(self._spare[name]) for name in sorted(waiting)]
        due = [each for each in due if each not in self.ledger.refused]
        return self._way_of(Kind.ENDPOINTS, tuple(each.deployment for each in due[:1]), tuple(due[:1])) if due else None

    def _acceptable(self, wanted: Assignment) -> Assignment:
        """In the place of endpoints that Envoy refused: those it has, or none; it would hold up all clusters."""
        if wanted not in self.ledger.refused:
            return wanted
        return self._assignments.get(wanted.cluster, Assignment(wanted.cluster, wanted.deployment, ()))

    def _routes_due(self) -> _UnderWay | None:
        asked = self._subscribed[Kind.ROUTES]
        if Kind.ROUTES in self._ways:
            return None
        if MIRROR in asked and not self._mirror_sent:
            self._mirror_sent = True
            return self._way_of(Kind.ROUTES, (), (RouteTable(MIRROR, ()),))
        while PRODUCT in asked:
            way = self._next_table()
            known = self._bad_tables.get(way.table) if way and self._bad_tables else None
            if way is None or known is None:
                return way
            if not way.group and not way.base_alone:
                return None  # it refuses a table without any change: nothing is left to try until the world moves
            self._refused(way, known)
        return None

    def _next_table(self) -> _UnderWay | None:
        if self._doubt_base:
            if any(self._unheard(key) for key in self._dirty):
                return None
            known = {key: routing for key, routing in self.routed.items() if key in (self.targets or {})}
            return self._table((), known, base_alone=True)
        ready = [key for key in sorted(self._dirty) if self._ready(key)]
        if not self.confirmed:
            # The first table opens Envoy's doors, so it waits for everything that should be in it.
            if any(self._unheard(key) for key in self._dirty):
                return None
            return self._change(self._trials[Kind.ROUTES].next(ready))
        moved = [key for key in ready if self._routing(key) != self.routed.get(key)]
        if moved:
            return self._change(self._trials[Kind.ROUTES].next(moved))
        for key in ready:
            self._settle(key)
        return None

    def _change(self, group: Group) -> _UnderWay:
        changed = {key: self._routing(key) for key in group}
        kept = {key: routing for key, routing in self.routed.items() if key not in changed}
        return self._table(group, kept | {key: routing for key, routing in changed.items() if routing})

    def _table(self, group: Group, routings: Mapping[str, Routing], *, base_alone: bool = False) -> _UnderWay:
        table = RouteTable(PRODUCT, tuple(routings[key] for key in sorted(routings)))
        return self._way_of(Kind.ROUTES, group, (table,), base_alone=base_alone)

    def _removals_due(self, now: float) -> _UnderWay | None:
        if not self.confirmed or Kind.CLUSTERS in self._ways:
            return None
        if self._review:
            self._review = False
            idle = (self._clusters.keys() | self._leftover) - self._used()
            self._idle_since = {name: self._idle_since.get(name, now) for name in sorted(idle)}
        due = tuple(name for name, since in self._idle_since.items() if now - since >= self.linger)
        return self._way_of(Kind.CLUSTERS, (), (), remove=due) if due else None

    def _used(self) -> set[str]:
        """The clusters that Envoy's routes name, or will."""
        used = {name for routing in self.routed.values() for name in routing.clusters}
        for target in (self.targets or {}).values():
            for fragment in (target.desired, self.ledger.effective(target)):
                used |= {cluster.name for cluster in fragment.clusters} if fragment else set()
        return used

    def _ready(self, key: DeploymentKey) -> bool:
        """Envoy holds every cluster and endpoint that the deployment's routes need."""
        return not self._missing_clusters(key) and not self._missing_assignments(key)

    def _unheard(self, key: DeploymentKey) -> bool:
        """Something of it is still to be acknowledged, and nothing says that it never will be."""
        waiting = [each for each in self._missing_assignments(key) if each not in self.ledger.refused]
        return bool(waiting or self._missing_clusters(key))

    def _routing(self, key: DeploymentKey) -> Routing | None:
        fragment = self._effective(key)
        return fragment.routing if fragment else None

    def _settle(self, key: DeploymentKey) -> None:
        """Nothing is left to send for this deployment."""
        self._dirty.discard(key)
        fragment = self._effective(key)
        if fragment:
            self.ledger.accept(fragment)
        elif key not in (self.targets or {}):
            self.ledger.forget(key)

    def _way_of(
        self,
        kind: Kind,
        group: Group,
        put: tuple[Resource, ...],
        *,
        remove: tuple[str, ...] = (),
        base_alone: bool = False,
    ) -> _UnderWay:
        self._sent += 1
        return _UnderWay(Send(kind, str(self._sent), put, remove), group, base_alone)
