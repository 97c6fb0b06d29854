"""An Envoy for tests of control's ordering: it answers as the real one, and complains where that would lose a request.

What the real one was seen to do, and this one does: it acknowledges clusters only once each new one has its endpoints;
it takes or refuses a table of routes as a whole; it asks for a new cluster's endpoints by itself, and for routes once
it was told of clusters, were there none.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import accumulate

from switchyard_gateway.control.domain.delivery import MIRROR, PRODUCT, Delivery, Kind, RouteTable, Send
from switchyard_gateway.control.domain.fragment import Assignment, Cluster, Routing

Objection = Callable[[Routing | Cluster | Assignment], str]


def content(_: Routing | Cluster | Assignment) -> str:
    """Objects to nothing."""
    return ""


@dataclass
class FakeEnvoy:
    """One process; `connect` it to a delivery, then `talk` until neither has anything to say."""

    objection: Objection = content
    clusters: dict[str, Cluster] = field(default_factory=dict)
    assignments: dict[str, Assignment] = field(default_factory=dict)
    routings: dict[str, Routing] = field(default_factory=dict)
    heard: list[Send] = field(default_factory=list)
    lost: list[str] = field(default_factory=list)
    """What would have cost requests."""
    tables: list[tuple[str, ...]] = field(default_factory=list)
    """The deployments of each table that was taken."""
    now: float = 0.0
    _delivery: Delivery | None = None
    _inbox: deque[Send] = field(default_factory=deque)
    _asks_for_routes: bool = False
    _warming: tuple[str, set[str]] | None = None

    def connect(self, delivery: Delivery) -> None:
        """A new stream, on which it says what it has."""
        self._delivery = delivery
        self._inbox.clear()
        self._warming = None
        self._asks_for_routes = bool(self.routings)
        delivery.subscribe(Kind.CLUSTERS, (), held=tuple(self.clusters))
        if self.clusters:
            delivery.subscribe(Kind.ENDPOINTS, tuple(self.clusters))
        if self.routings:
            delivery.subscribe(Kind.ROUTES, (PRODUCT, MIRROR))

    def talk(self, *, limit: int = 500) -> int:
        """Exchange messages until there is silence; the number of them."""
        for spoken in range(limit):
            if not self.step():
                return spoken
        raise AssertionError(f"no silence after {limit} messages; the last ones: {self.heard[-4:]}")

    def step(self) -> bool:
        """One message: what control has to say is heard first, then answered."""
        if self._delivery is None:
            raise RuntimeError("connect first")
        send = self._delivery.next(self.now)
        if send is not None:
            self._inbox.append(send)
            self.heard.append(send)
            return True
        if not self._inbox:
            return False
        self._answer(self._delivery, self._inbox.popleft())
        return True

    def answers(self, deployment: str, drawn: int) -> str:
        """The revision that answers a request for which this number, or bucket, was drawn; empty: a 503."""
        cluster = self._drawn(self.routings[deployment], drawn)
        endpoints = self.assignments[cluster]
        able = endpoints.first or (endpoints.second if self.clusters[cluster].failover else ())
        return able[0].revision if able else ""

    def _drawn(self, routing: Routing, drawn: int) -> str:
        if routing.draw is not None:
            return next(each.cluster for each in routing.draw.ranges if each.first <= drawn < each.end)
        ends = accumulate(arm.weight for arm in routing.arms)
        return next(arm.cluster for arm, end in zip(routing.arms, ends, strict=True) if drawn < end)

    def _answer(self, delivery: Delivery, send: Send) -> None:
        words = "; ".join(
            said
            for resource in send.put
            for part in (resource.routings if isinstance(resource, RouteTable) else (resource,))
            if (said := self.objection(part))
        )
        if words:
            delivery.refuse(send.nonce, words)
            return
        new = {each.name for each in send.put if isinstance(each, Cluster)} - self.clusters.keys()
        for resource in send.put:
            match resource:
                case Cluster():
                    self.clusters[resource.name] = resource
                case Assignment():
                    if resource.cluster in self._used() and not (resource.first or resource.second):
                        self.lost.append(f"{resource.cluster} was emptied while a route names it")
                    self.assignments[resource.cluster] = resource
                case RouteTable():
                    self._route(resource)
        if send.kind is Kind.CLUSTERS and not self._asks_for_routes:
            self._asks_for_routes = True
            delivery.subscribe(Kind.ROUTES, (PRODUCT, MIRROR))
        self._remove(delivery, send.remove)
        if new:
            self._warming = (send.nonce, new)
            delivery.subscribe(Kind.ENDPOINTS, tuple(sorted(new)))
        else:
            delivery.acknowledge(send.nonce)
        if self._warming and self._warming[1] <= self.assignments.keys():
            nonce, self._warming = self._warming[0], None
            delivery.acknowledge(nonce)

    def _route(self, table: RouteTable) -> None:
        if table.name == MIRROR:
            return
        for routing in table.routings:
            for name in sorted(routing.clusters):
                if name not in self.clusters:
                    self.lost.append(f"{routing.deployment} is routed to {name}, which is not known")
                elif name not in self.assignments:
                    self.lost.append(f"{routing.deployment} is routed to {name}, which has no endpoints yet")
            if sum(arm.weight for arm in routing.arms) != 10_000:
                self.lost.append(f"{routing.deployment} has weights that do not sum to 10000")
        self.routings = {routing.deployment: routing for routing in table.routings}
        self.tables.append(tuple(self.routings))

    def _remove(self, delivery: Delivery, names: tuple[str, ...]) -> None:
        for name in names:
            if name in self._used():
                self.lost.append(f"{name} was removed while a route names it")
            self.clusters.pop(name, None)
            self.assignments.pop(name, None)
        if names:
            delivery.subscribe(Kind.ENDPOINTS, (), gone=names)

    def _used(self) -> set[str]:
        return {name for routing in self.routings.values() for name in routing.clusters}
