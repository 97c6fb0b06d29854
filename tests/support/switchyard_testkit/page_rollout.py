"""A rollout in the page's world: the operator decides, on a cluster in memory, by what the page's own monitor has read.

Nothing between the parts is made up: traffic follows the route, the monitor joins it, the operator asks the monitor
over its API, and what it publishes is what the page shows.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta

import httpx
from fastapi import FastAPI
from fastapi.testclient import TestClient
from switchyard_contracts.evidence import Evidence
from switchyard_contracts.model_route import ModelRouteSpec
from switchyard_contracts.topics import ModelRecord, RolloutRecord
from switchyard_operator.adapters.monitor import HttpMonitor
from switchyard_operator.domain.analysis import Question

from switchyard_testkit.monitor_world import NOON, SECOND
from switchyard_testkit.page_traffic import Traffic
from switchyard_testkit.page_world import TOKEN, PageWorld, encoded
from switchyard_testkit.rollout_world import Bus, Model, Monitor, Simulation

STRIDE = timedelta(seconds=15)
"""A second would make every run many times as long, and no picture another."""


def asked(app: FastAPI) -> httpx.Client:
    """An HTTP client that reaches the application without a network."""
    door = TestClient(app)

    def answer(request: httpx.Request) -> httpx.Response:
        said = door.request(request.method, str(request.url), headers=dict(request.headers))
        return httpx.Response(said.status_code, content=said.content)

    return httpx.Client(transport=httpx.MockTransport(answer))


@dataclass
class PageMonitor(Monitor):
    """The page's own monitor: it reads the traffic of each stride, and is asked over its API."""

    page: PageWorld = field(kw_only=True)
    traffic: Traffic = field(kw_only=True)
    door: HttpMonitor = field(init=False)

    def __post_init__(self) -> None:
        self.door = HttpMonitor(asked(self.page.app()), url="http://monitor", token=lambda: TOKEN)

    def tick(self, passed: timedelta, route: ModelRouteSpec | None, generation: int) -> None:
        """Serve so much time of traffic, and read it."""
        now = self.clock.now - NOON
        self.traffic.serve((now - passed).total_seconds(), now.total_seconds(), route=route, traffic=generation)
        self.page.world.now_us = round(self.clock.now.timestamp() * SECOND)
        self.page.world.run()

    def evidence(self, subject: str, question: Question) -> Evidence:
        """The port."""
        self.asked.append(question)
        return self.door.evidence(subject, question)


@dataclass
class PageBus(Bus):
    """What the operator publishes, on the topics that the page's monitor reads."""

    page: PageWorld = field(kw_only=True)

    def publish_model(self, record: ModelRecord) -> None:
        """The port; the same twice is once."""
        known = len(self.models)
        super().publish_model(record)
        if len(self.models) > known:
            self.page.world.broker.teach(record.subject, record.model_dump_json(by_alias=True).encode())

    def publish_rollout(self, record: RolloutRecord) -> None:
        """The port. The passes of one stride lie milliseconds apart."""
        said = record.model_copy(update={"at": record.at + timedelta(milliseconds=len(self.rollouts))})
        super().publish_rollout(said)
        self.page.rollouts.append(encoded(said))


class PageRollout(Simulation):
    """A deployment whose rollouts the page shows."""

    def __init__(
        self, page: PageWorld, models: Mapping[str, Model], *, subject: str, rate: float, start: datetime
    ) -> None:
        namespace, _, name = subject.partition("/")
        self.key = namespace, name
        self.subject = subject
        super().__init__(models)
        self.clock.now = start
        self.stride = STRIDE
        self.bus = PageBus(page=page)
        self.traffic = Traffic(page.world, subject, rate=rate, nature=self.nature)
        self.monitor = PageMonitor(self.clock, self.nature, rate=rate, page=page, traffic=self.traffic)
        self.restart()
