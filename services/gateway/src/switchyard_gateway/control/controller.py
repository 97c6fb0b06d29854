"""The shell: hear of the cluster, translate what changed, let the delivery tell Envoy, remember what it took."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable
from pathlib import Path

from switchyard_gateway.control.adapters import volume
from switchyard_gateway.control.domain.arms import Arms
from switchyard_gateway.control.domain.counters import Counters, HostKey, Look, Owner, of_cluster
from switchyard_gateway.control.domain.delivery import Delivery, Kind, Send
from switchyard_gateway.control.domain.fragment import Assignment, Cluster, Fragment, Routing
from switchyard_gateway.control.domain.ledger import Ledger, Standing, State, Target
from switchyard_gateway.control.domain.translation import MIRROR_PORT, translate
from switchyard_gateway.control.domain.world import DeploymentKey, RouteObject, Slice, World
from switchyard_gateway.control.errors import RouteRefusedError, SnapshotError
from switchyard_gateway.control.metrics import Metrics
from switchyard_gateway.control.ports import Gone, Listing, Put

log = logging.getLogger(__name__)


class Controller:
    """Everything control knows, and the one place where it changes. Runs in one event loop; no method waits."""

    def __init__(
        self,
        *,
        domain: str,
        preview: bool,
        linger: float,
        metrics: Metrics,
        mirror_port: int = MIRROR_PORT,
        ring: Callable[[], None],
        clock: Callable[[], float],
    ) -> None:
        self._domain = domain
        self._preview = preview
        self._linger = linger
        self._mirror_port = mirror_port
        self._metrics = metrics
        self._ring = ring
        self._clock = clock
        self.world = World()
        self.ledger = Ledger()
        self.counters = Counters()
        self.arms = Arms()
        self.targets: dict[DeploymentKey, Target] = {}
        self.stale = False
        """Serving what the volume remembers, because the API server has not been heard yet."""
        self.serving = False
        self.trouble: dict[str, str] = {}
        """What is wrong with the connection to the API server, by kind; empty words: nothing."""
        self._changed_at: dict[DeploymentKey, float] = {}
        self._refusals: dict[DeploymentKey, str] = {}
        """What was said in the log already."""
        self._delivery: Delivery | None = None

    def recall(self, path: Path) -> None:
        """Take up what Envoy acknowledged in an earlier life of this pod."""
        try:
            remembered = volume.read(path)
        except SnapshotError as wrong:
            log.warning("%s; starting without it", wrong)
            return
        if remembered is None:
            return
        routes, endpoints = remembered
        self.remembered(path.stat().st_mtime)
        self.world.recall(routes, endpoints)
        for route in routes:
            try:
                self.ledger.accepted[route.key] = self._translate(route)
            except RouteRefusedError as wrong:
                names = {"deployment": route.key, "traffic": route.generation}
                log.warning("%s: the remembered route is left out: %s", route.key, wrong, extra=names)

    def serve_stale(self) -> None:
        """The API server is silent and Envoy may be waiting: serve what is remembered, if anything is."""
        if self.serving or not self.world.routes:
            return
        log.warning("the API server has not answered; serving %d remembered routes", len(self.world.routes))
        self.stale = True
        self._open()

    def routes_listed(self, listing: Listing[RouteObject]) -> None:
        """A complete list of ModelRoutes."""
        self._moved(self.world.list_routes(listing.items))

    def slices_listed(self, listing: Listing[Slice]) -> None:
        """A complete list of EndpointSlices."""
        self._moved(self.world.list_slices(listing.items))

    def route_changed(self, change: Put[RouteObject] | Gone) -> None:
        """One ModelRoute changed."""
        if isinstance(change, Gone):
            self._moved(self.world.delete_route(f"{change.namespace}/{change.name}"))
        else:
            self._moved(self.world.put_route(change.item))

    def slice_changed(self, change: Put[Slice] | Gone) -> None:
        """One EndpointSlice changed."""
        if isinstance(change, Gone):
            self._moved(self.world.delete_slice((change.namespace, change.name)))
        else:
            self._moved(self.world.put_slice(change.item))

    def contact(self, kind: str, trouble: str) -> None:
        """The API server answered (no trouble), or did not."""
        self.trouble[kind] = trouble
        self._metrics.api_errors.labels(kind).inc(1 if trouble else 0)

    def new_delivery(self) -> Delivery:
        """An Envoy has connected."""
        self._delivery = Delivery(self.ledger, self._linger)
        if self.serving:
            self._delivery.want(self.targets, self.targets.keys())
        return self._delivery

    def answered(self, delivery: Delivery, send: Send, refusal: str | None) -> None:
        """Envoy took or refused a response; what it now runs is measured from the change that began it."""
        self._metrics.responses.labels(send.kind.value, "refused" if refusal is not None else "taken").inc()
        if refusal is not None:
            self._tell_refusals(self.targets)
        if refusal is not None or send.kind is not Kind.ROUTES:
            return
        now = self._clock()
        for key in [*self._changed_at]:
            target = self.targets.get(key)
            running = delivery.routed.get(key)
            if (target is None and running is None) or (
                target and target.desired and target.desired.routing == running
            ):
                self._metrics.sync_seconds.observe(now - self._changed_at.pop(key))
                names = {"deployment": key, "traffic": running.generation if running else None}
                log.info("%s: Envoy %s", key, "runs the new route" if running else "routes to it no more", extra=names)

    def standings(self) -> dict[DeploymentKey, Standing]:
        """How each deployment stands with this gateway's Envoy."""
        delivery = self._delivery
        if delivery is None:
            waiting = Standing(0, State.PENDING, "Envoy is not connected")
            return dict.fromkeys(sorted(self.targets), waiting)
        return {key: delivery.standing(key, self.targets[key]) for key in sorted(self.targets)}

    def resources(self) -> dict[Kind, int]:
        """How many resources of each kind Envoy should have."""
        parts = self._wanted_parts()
        kinds = {Kind.CLUSTERS: Cluster, Kind.ENDPOINTS: Assignment, Kind.ROUTES: Routing}
        return {kind: sum(isinstance(part, of) for part in parts) for kind, of in kinds.items()}

    def remembered(self, at: float) -> None:
        """The snapshot on the volume is from this time, in seconds since 1970."""
        self._metrics.snapshot_written.set(at)

    def disconnected(self) -> None:
        """Envoy went away."""
        self._delivery = None

    @property
    def ready(self) -> bool:
        """Envoy has acknowledged a first whole snapshot."""
        return self._delivery is not None and self._delivery.settled

    def wants_a_look(self) -> bool:
        """Whether Envoy's counters should be read now, as it runs another generation than at the last look."""
        self._note_routes()
        return self.arms.wants_a_look(self._clock())

    def count(self, look: Look, *, looked_at: float, at: float) -> None:
        """Add up Envoy's counters, which were read at `looked_at`; `at` is the same for people."""
        self._note_routes()
        if look.boot != self.counters.boot:
            self.arms.begin_anew()
        self.arms.take(self.counters.take(look, self._owners()), looked_at=looked_at, at=at)
        self.counters.forget(self.targets)
        self.arms.forget(self.targets)

    def _note_routes(self) -> None:
        delivery = self._delivery
        self.arms.run(delivery.routed if delivery and delivery.confirmed else {}, now=self._clock())

    def _owners(self) -> dict[HostKey, Owner]:
        assigned = self._assigned()
        wholes = {of_cluster(each.cluster): (each.deployment, each.cluster.split("/")[1]) for each in assigned}
        return wholes | {
            (each.cluster, member.address, member.port): (each.deployment, member.revision)
            for each in assigned
            for member in (*each.first, *each.second)
        }

    def _assigned(self) -> list[Assignment]:
        return [
            assignment
            for target in self.targets.values()
            for fragment in (target.fallback, target.desired)
            for assignment in (fragment.assignments if fragment else ())
        ]

    def _moved(self, changed: set[DeploymentKey]) -> None:
        if not self.serving or self.stale:
            if not self.world.complete:
                if self.stale:
                    self._retarget(changed)
                return
            if not self.serving:
                self._open()
                return
            self.stale = False
        self._retarget(changed)

    def _open(self) -> None:
        """From now on Envoy is answered."""
        self.serving = True
        self._retarget(self.world.routes.keys() | self.ledger.accepted.keys())

    def _retarget(self, changed: Iterable[DeploymentKey]) -> None:
        keys = set(changed)
        if not keys and self._delivery and self._delivery.targets is not None:
            return
        now = self._clock()
        for key in keys:
            before = self.targets.get(key)
            after = self._target(key)
            if after is None:
                self.targets.pop(key, None)
            else:
                self.targets[key] = after
            if self.ready and _routing(before) != _routing(after):  # before, it would be Envoy's start that is measured
                self._changed_at.setdefault(key, now)
        self._tell_refusals(keys)
        if self.ledger.refused:
            self.ledger.prune(self._wanted_parts().__contains__)
        self._metrics.routes.set(len(self.targets))
        if self._delivery:
            self._delivery.want(self.targets, keys)
        self._ring()

    def _tell_refusals(self, keys: Iterable[DeploymentKey]) -> None:
        """Each route that cannot be served as written is said once, with the words against it."""
        for key in keys:
            target = self.targets.get(key)
            words = target.problem if target else ""
            if target and target.desired:
                words = self.ledger.objection(target.desired)
            if target and words and self._refusals.get(key) != words:
                names = {"deployment": key, "traffic": target.generation}
                log.warning("%s: generation %d is not served: %s", key, target.generation, words, extra=names)
            if words:
                self._refusals[key] = words
            else:
                self._refusals.pop(key, None)

    def _target(self, key: DeploymentKey) -> Target | None:
        route = self.world.routes.get(key)
        if route is None:
            return None
        accepted = self.ledger.accepted.get(key)
        desired, problem = None, ""
        try:
            desired = self._translate(route)
        except RouteRefusedError as wrong:
            problem = str(wrong)
        fallback = None
        if accepted and (desired is None or accepted.source != route):
            self.world.follow(key, accepted.source.services)
            fallback = self._translate(accepted.source)
        return Target(desired, fallback, route.generation, problem)

    def _translate(self, route: RouteObject) -> Fragment:
        return translate(
            route,
            self.world.endpoints,
            domain=self._domain,
            preview=self._preview,
            mirror_port=self._mirror_port,
        )

    def _wanted_parts(self) -> set[object]:
        fragments = [
            fragment for target in self.targets.values() for fragment in (target.desired, target.fallback) if fragment
        ]
        return {part for each in fragments for part in (each.routing, *each.clusters, *each.assignments)}


def _routing(target: Target | None) -> Routing | None:
    return target.desired.routing if target and target.desired else None


async def remember(controller: Controller, path: Path, *, every: float) -> None:
    """Write the acknowledged snapshot whenever it has changed, at most once in a while; never ends."""
    written = 0
    while True:
        await asyncio.sleep(every)
        written = await remember_once(controller, path, written)


async def remember_once(controller: Controller, path: Path, written: int) -> int:
    """Write the snapshot if it changed since; returns which state is on the volume."""
    now = controller.ledger.revision
    if now == written:
        return written
    fragments = [controller.ledger.accepted[key] for key in sorted(controller.ledger.accepted)]
    try:
        await asyncio.to_thread(volume.write, path, fragments)
        controller.remembered(path.stat().st_mtime)
    except OSError as wrong:
        log.warning("the snapshot cannot be written: %s", wrong)
        return written
    return now
