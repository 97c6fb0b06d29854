"""A deployment's traffic in the page's world: split and mirrored as its route says, and what came of it later.

Everything is drawn, and the same in every run: whom a request goes to, who errs by how much, who takes how long.
"""

from __future__ import annotations

import heapq
import itertools
import math
import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from switchyard_contracts.model_route import ModelRouteSpec, Route, RouteRole

from switchyard_testkit.monitor_world import World, decision, inference, mirrored, outcome
from switchyard_testkit.page_features import Flights
from switchyard_testkit.rollout_world import Model

DECIDED, KNOWN = 0.25, 0.95
"""The shares of requests after which somebody decided, and of which it became known what happened."""
FOLLOWED = 0.9
DECIDED_AFTER = 2.0
KNOWN_FROM, KNOWN_LATER = 3.0, 4.0
"""Seconds after which it is known at the earliest, and on average as much later: some of it later than age L."""
BUFFER_FROM = 15
"""Minutes of delay from which on a buffer is planned, as the deployment's `decision.threshold` says."""
DELAY, SPREAD = 12.0, 16.0
"""Minutes: the mean of what happens, and its standard deviation."""
LATENCY, JITTER = 0.008, 0.15
"""Seconds: the median; and the standard deviation of its logarithm."""


@dataclass(frozen=True, kw_only=True)
class Timed(Model):
    """A model that takes its time."""

    latency: float = LATENCY
    """The median, in seconds."""


@dataclass
class Traffic:
    """Requests to one deployment at an even rate."""

    world: World
    subject: str
    rate: float
    """A second."""
    nature: Callable[[str], Model]
    """The model behind a revision."""
    flights: Flights = field(default_factory=Flights)
    """What is asked."""
    count: int = 0
    chance: random.Random = field(init=False)
    _due: list[tuple[float, int, bytes]] = field(default_factory=list)
    """What reaches the broker later: at which second after NOON, and in which order."""
    _order: Iterator[int] = field(default_factory=itertools.count)

    def __post_init__(self) -> None:
        self.chance = random.Random(self.subject)

    def serve(self, begin: float, end: float, *, route: ModelRouteSpec | None, traffic: int) -> None:
        """From `begin` to `end`, in seconds after NOON; what is due by then reaches the broker, in order of time."""
        if route is not None:
            for number in range(round((end - begin) * self.rate)):
                self._ask(begin + number / self.rate, route, traffic)
        while self._due and self._due[0][0] <= end:
            at, _, value = heapq.heappop(self._due)
            self.world.say(value, at=at)

    def _ask(self, at: float, route: ModelRouteSpec, traffic: int) -> None:
        self.count += 1
        id, happened = f"p{self.count}", self.chance.gauss(DELAY, SPREAD)
        chosen = self.chance.choices(route.routes, [one.weight_bp for one in route.routes])[0]
        asked = self.flights.at(at)
        facts: dict[str, Any] = {"id": id, "at": at, "traffic": traffic, "happened": happened, "asked": asked}
        answer = self._answer(chosen, role=chosen.role, weight=chosen.weight_bp, **facts)
        for other in route.mirrored if chosen is route.stable else ():
            if self.chance.random() < other.mirror_bp / chosen.weight_bp:
                self._answer(other, role=RouteRole.SHADOW, weight=other.mirror_bp, **facts)
        if self.chance.random() < KNOWN:
            known = at + KNOWN_FROM + self.chance.expovariate(1 / KNOWN_LATER)
            self._later(known, outcome(id, happened, at=known, subject=self.subject))
        if answer is not None and self.chance.random() < DECIDED:
            buffer = (answer >= BUFFER_FROM) == (self.chance.random() < FOLLOWED)
            self._later(at + DECIDED_AFTER, decision(id, buffer, at=at + DECIDED_AFTER, subject=self.subject))

    def _answer(
        self,
        route: Route,
        *,
        role: RouteRole,
        weight: int,
        id: str,
        at: float,
        traffic: int,
        happened: float,
        asked: dict[str, Any],
    ) -> float | None:
        """One revision's answer, recorded; None where it failed."""
        nature = self.nature(route.revision)
        took = (nature.latency if isinstance(nature, Timed) else LATENCY) * math.exp(self.chance.gauss(0.0, JITTER))
        failed = self.chance.random() < nature.failing
        answer = happened + self.chance.gauss(0.0, math.sqrt(nature.loss))
        facts: dict[str, Any] = {
            "y": answer,
            "request": {"encoding": "json", "value": asked},
            "at": at,
            "subject": self.subject,
            "revision": route.revision,
            "traffic": traffic,
            "weightBp": weight,
            "latencyUs": None if failed else round(took * 1e6),
            "status": 503 if failed else 200,
            "error": failed,
        }
        is_copy = role is RouteRole.SHADOW
        self._later(at + took, mirrored(id, **facts) if is_copy else inference(id, role=role.value, **facts))
        return None if failed else answer

    def _later(self, at: float, value: bytes) -> None:
        heapq.heappush(self._due, (at, next(self._order), value))
