"""What the cluster says: ModelRoutes and the endpoints behind them, and what a silence of the cluster means.

Three things are told apart when an object is missing:

- a watch says DELETED: it is gone, at once;
- a LIST that names other objects does not name it: it was deleted while nobody watched, so it is gone;
- a LIST names nothing at all: that is what a wiped or half-restored API server says too, and believing it would take
  every model off the air. So everything is kept. A kept slice gives way as soon as its Service is heard of again; a
  kept route goes when it is heard of again, or when the API server has said that no endpoints are left behind it
  (nothing could answer, so nothing is lost by a 404).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import IntEnum

from switchyard_contracts.model_route import ModelRouteSpec

DeploymentKey = str
"""`<namespace>/<name>` of a ModelDeployment, which is also its ModelRoute's."""
ServiceKey = tuple[str, str]
"""(namespace, name) of a revision's Service."""


class Fitness(IntEnum):
    """How much a pod's word is worth; only `READY` ones are called while there are any."""

    READY = 0
    DRAINING = 1
    """Terminating, yet still serving."""
    UNREADY = 2
    """Running, but its readiness is not confirmed: starting, or too busy to say so."""


@dataclass(frozen=True, slots=True, order=True)
class Endpoint:
    """One address that a pod answers on."""

    address: str
    port: int
    fitness: Fitness = Fitness.READY


@dataclass(frozen=True, slots=True)
class Slice:
    """One EndpointSlice, reduced to what routing needs."""

    namespace: str
    name: str
    service: str
    endpoints: tuple[Endpoint, ...]

    @property
    def key(self) -> ServiceKey:
        """Its own (namespace, name)."""
        return (self.namespace, self.name)

    @property
    def service_key(self) -> ServiceKey:
        """The Service it belongs to."""
        return (self.namespace, self.service)


@dataclass(frozen=True, slots=True)
class RouteObject:
    """One ModelRoute as read; `problem` says why its spec could not be read."""

    namespace: str
    name: str
    generation: int
    spec: ModelRouteSpec | None
    problem: str = ""

    @property
    def key(self) -> DeploymentKey:
        """The deployment it routes."""
        return f"{self.namespace}/{self.name}"

    @property
    def services(self) -> tuple[ServiceKey, ...]:
        """The Services of its revisions."""
        return tuple((self.namespace, route.service) for route in self.spec.routes) if self.spec else ()


@dataclass(slots=True)
class World:
    """Everything heard so far. Each verb returns the deployments whose translation may have changed."""

    routes: dict[DeploymentKey, RouteObject] = field(default_factory=dict)
    slices: dict[ServiceKey, Slice] = field(default_factory=dict)
    routes_listed: bool = False
    slices_listed: bool = False
    kept_routes: set[DeploymentKey] = field(default_factory=set)
    kept_slices: set[ServiceKey] = field(default_factory=set)
    _by_service: dict[ServiceKey, set[ServiceKey]] = field(default_factory=dict)
    _users: dict[ServiceKey, set[DeploymentKey]] = field(default_factory=dict)
    _followers: dict[ServiceKey, set[DeploymentKey]] = field(default_factory=dict)

    @property
    def complete(self) -> bool:
        """Both kinds were listed once, so silence about an object means something."""
        return self.routes_listed and self.slices_listed

    def endpoints(self, service: ServiceKey) -> tuple[Endpoint, ...]:
        """The addresses behind a Service, in a stable order and each once."""
        found = {
            (each.address, each.port): each
            for name in sorted(self._by_service.get(service, ()))
            for each in self.slices[name].endpoints
        }
        return tuple(sorted(found.values()))

    def recall(self, routes: Iterable[RouteObject], endpoints: Mapping[ServiceKey, tuple[Endpoint, ...]]) -> None:
        """Start from what the volume remembers; all of it counts as kept until the cluster speaks."""
        for route in routes:
            self._put_route(route)
            self.kept_routes.add(route.key)
        for (namespace, service), addresses in endpoints.items():
            remembered = Slice(namespace, f"{service} (remembered)", service, addresses)
            self._put_slice(remembered)
            self.kept_slices.add(remembered.key)

    def follow(self, key: DeploymentKey, services: Iterable[ServiceKey]) -> None:
        """Report changes of these Services for the deployment, though its newest ModelRoute does not name them."""
        for service in services:
            self._followers.setdefault(service, set()).add(key)

    def list_routes(self, listed: Iterable[RouteObject]) -> set[DeploymentKey]:
        """A complete LIST of ModelRoutes."""
        found = {route.key: route for route in listed}
        self.routes_listed = True
        changed: set[DeploymentKey] = set()
        if found:
            for key in self.routes.keys() - found.keys():
                changed |= self.delete_route(key)
        else:
            self.kept_routes |= self.routes.keys()
        for route in found.values():
            changed |= self.put_route(route)
        return changed | self._drop_routes_without_endpoints()

    def put_route(self, route: RouteObject) -> set[DeploymentKey]:
        """A ModelRoute was added or modified."""
        self.kept_routes.discard(route.key)
        if self.routes.get(route.key) == route:
            return set()
        self._put_route(route)
        return {route.key}

    def delete_route(self, key: DeploymentKey) -> set[DeploymentKey]:
        """A ModelRoute is gone."""
        old = self.routes.pop(key, None)
        self.kept_routes.discard(key)
        if old is None:
            return set()
        for service in old.services:
            self._users.get(service, set()).discard(key)
        return {key}

    def list_slices(self, listed: Iterable[Slice]) -> set[DeploymentKey]:
        """A complete LIST of EndpointSlices."""
        found = {each.key: each for each in listed}
        self.slices_listed = True
        changed: set[DeploymentKey] = set()
        if found:
            for key in self.slices.keys() - found.keys():
                changed |= self.delete_slice(key)
        else:
            self.kept_slices |= self.slices.keys()
        for each in found.values():
            changed |= self.put_slice(each)
        return changed | self._drop_routes_without_endpoints()

    def put_slice(self, new: Slice) -> set[DeploymentKey]:
        """An EndpointSlice was added or modified; what was only kept for its Service gives way."""
        changed: set[DeploymentKey] = set()
        for kept in self._by_service.get(new.service_key, set()) & self.kept_slices - {new.key}:
            changed |= self._remove_slice(kept)
        self.kept_slices.discard(new.key)
        if self.slices.get(new.key) == new:
            return changed
        changed |= self._remove_slice(new.key)
        self._put_slice(new)
        return changed | self._concerned(new.service_key)

    def delete_slice(self, key: ServiceKey) -> set[DeploymentKey]:
        """An EndpointSlice is gone."""
        return self._remove_slice(key) | self._drop_routes_without_endpoints()

    def _put_route(self, route: RouteObject) -> None:
        old = self.routes.get(route.key)
        for service in old.services if old else ():
            self._users.get(service, set()).discard(route.key)
        for service in route.services:
            self._users.setdefault(service, set()).add(route.key)
        self.routes[route.key] = route

    def _put_slice(self, new: Slice) -> None:
        self.slices[new.key] = new
        self._by_service.setdefault(new.service_key, set()).add(new.key)

    def _remove_slice(self, key: ServiceKey) -> set[DeploymentKey]:
        old = self.slices.pop(key, None)
        self.kept_slices.discard(key)
        if old is None:
            return set()
        names = self._by_service[old.service_key]
        names.discard(key)
        if not names:
            del self._by_service[old.service_key]
        return self._concerned(old.service_key)

    def _concerned(self, service: ServiceKey) -> set[DeploymentKey]:
        return self._users.get(service, set()) | self._followers.get(service, set())

    def _drop_routes_without_endpoints(self) -> set[DeploymentKey]:
        if not self.complete:
            return set()
        changed: set[DeploymentKey] = set()
        for key in [*self.kept_routes]:
            if not any(service in self._by_service for service in self.routes[key].services):
                changed |= self.delete_route(key)
        return changed
