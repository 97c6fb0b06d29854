"""A small world for the monitor's page: its store, its topics, and its records of deployments and rollouts.

`page_traffic` and `page_rollout` bring it to life; its story is told in `page_story`.
"""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from fastapi import FastAPI
from prometheus_client import CollectorRegistry
from switchyard_contracts.events import TOPIC_ALARMS
from switchyard_contracts.model_deployment import MetricVerdict, Monitoring
from switchyard_contracts.topics import ModelRecord, RolloutRecord
from switchyard_monitor.adapters.alarms import SqlAlarms
from switchyard_monitor.adapters.drift_book import SqlDriftBook
from switchyard_monitor.adapters.looks import SqlLooks
from switchyard_monitor.adapters.timeline import SqlTimeline
from switchyard_monitor.api import create_app
from switchyard_monitor.auth import Token, Tokens
from switchyard_monitor.baselines import Baselines
from switchyard_monitor.chronicle import Chronicle
from switchyard_monitor.domain.facts import Record
from switchyard_monitor.drift_keeper import DriftKeeper
from switchyard_monitor.errors import BrokerUnavailable
from switchyard_monitor.evaluator import Evaluator
from switchyard_monitor.health import Health
from switchyard_monitor.page.app import Page, create_page
from switchyard_monitor.rosters import Rosters

from switchyard_testkit.monitor_world import MONITORING, NOON, NOON_US, World

TOKEN = "all"
"""The operator's, good for every deployment of this world and of no use elsewhere."""
OLD, NEW = "flight-delay-7c1f0a", "flight-delay-9be2d4"


@dataclass
class LocalRollouts:
    """`switchyard.rollouts` in memory; `away` makes every call fail."""

    topic_id: str | None = "first"
    away: bool = False
    start: int = 0
    log: list[Record] = field(default_factory=list)
    position: int = 0

    def append(self, value: bytes | None, *, broker_us: int = NOON_US + 10**12) -> None:
        self.log.append(Record(0, self.start + len(self.log), broker_us, None, value))

    def open(self, topic_id: str | None, offsets: Mapping[int, int]) -> str | None:
        self._answer()
        wanted = offsets.get(0, -1) if topic_id == self.topic_id else -1
        there = self.start <= wanted <= self.start + len(self.log)
        self.position = wanted if there else self.start
        return self.topic_id

    def poll(self) -> list[Record]:
        self._answer()
        new = self.log[self.position - self.start :]
        self.position += len(new)
        return new

    def close(self) -> None:
        self.position = self.start

    def _answer(self) -> None:
        if self.away:
            raise BrokerUnavailable("the local topic of rollouts is away")


def token(name: str, secret: str, *deployments: str) -> Token:
    """A caller as the tokens' file holds it."""
    return Token(name=name, sha256=hashlib.sha256(secret.encode()).hexdigest(), deployments=list(deployments))


def rollout_record(
    id: str, *, at: datetime = NOON, subject: str = "demo/flight-delay", **changes: Any
) -> RolloutRecord:
    """One thing that happened; each test says only what differs."""
    namespace, _, name = subject.partition("/")
    facts: dict[str, Any] = {
        "rollout": f"{NEW}.1",
        "revision": NEW,
        "version": "2.0.0",
        "phase": "Progressing",
        "step": "five",
        "weight_bp": 500,
        "traffic": 4,
        "reason": "Stepped",
        "message": "5 % of the requests",
    }
    return RolloutRecord(id=id, namespace=namespace, name=name, at=at, **(facts | changes))


def encoded(record: RolloutRecord) -> bytes:
    """The record as the operator sends it."""
    return record.model_dump_json(by_alias=True, exclude_none=True).encode()


def verdict(name: str, metric: str, said: str, **numbers: Any) -> MetricVerdict:
    """What one metric says."""
    facts: dict[str, Any] = {"role": "guard", "reason": said, "message": f"{name} says {said}"}
    return MetricVerdict.model_validate({"name": name, "metric": metric, "verdict": said, **(facts | numbers)})


class PageWorld:
    """The monitor with its page, over a store in a folder, or over a database elsewhere."""

    def __init__(self, folder: Path, *, template: Path | None = None, url: str | None = None) -> None:
        self.world = World(folder, template=template, url=url)
        url = url or f"sqlite:///{folder / 'monitor.db'}"
        self.timeline, self.looks, self.book = SqlTimeline(url), SqlLooks(url), SqlDriftBook(url)
        self.baselines = Baselines(self.world.store)
        self.alarms = SqlAlarms(url)
        self.rollouts = LocalRollouts()
        self.chronicle = Chronicle(log=self.rollouts, timeline=self.timeline, clock_us=lambda: self.world.now_us)
        self.health = Health(lambda: 0.0)
        self.health.passed(0)
        self.callers = [token("operator", TOKEN, "*"), token("team", "demo", "demo/*"), token("other", "other", "x/*")]
        self._secrets = (f"secret-{number}" for number in itertools.count())

    def app(self, *, tokens: Tokens | None = None) -> FastAPI:
        """The monitor's application."""
        known = tokens or Tokens(self.callers)
        page = Page(
            store=self.world.store,
            timeline=self.timeline,
            looks=self.looks,
            book=self.book,
            baselines=self.baselines,
            alarms=self.alarms,
            rosters=self.rosters(),
            models=self.world.models,
            health=self.health,
            tokens=known,
            now=lambda: self.world.now_us / 1e6,
            draw=lambda: next(self._secrets),
        )
        return create_app(
            store=self.world.store,
            models=self.world.models,
            tokens=known,
            health=self.health,
            registry=CollectorRegistry(),
            page=create_page(page),
        )

    def publish(self, subject: str, monitoring: Mapping[str, Any] | None = MONITORING, **changes: Any) -> None:
        """The operator's record of a deployment."""
        namespace, _, name = subject.partition("/")
        held = None if monitoring is None else Monitoring.model_validate(monitoring)
        record = ModelRecord(namespace=namespace, name=name, generation=1, monitoring=held, **changes)
        self.world.broker.teach(subject, record.model_dump_json(by_alias=True).encode())

    def happen(self, *records: RolloutRecord) -> None:
        """The operator's records of rollouts, sent and read."""
        for record in records:
            self.rollouts.append(encoded(record))
        self.catch_up()

    def catch_up(self) -> None:
        """Everything read, and told to the page, as the process does after each pass."""
        self.world.pass_time(2)
        while self.chronicle.step():
            pass
        self.world.run()
        self.health.timeline = self.chronicle.trouble
        self.judge()

    def judge(self) -> None:
        """Every window that is over, judged, as the process does beside its reader."""
        keeper = DriftKeeper(
            member="monitor-0",
            store=self.world.store,
            book=self.book,
            baselines=self.baselines,
            clock_us=lambda: self.world.now_us,
        )
        while keeper.step():
            pass
        self.health.drift = keeper.trouble
        evaluator = Evaluator(
            member="monitor-0",
            store=self.world.store,
            alarms=self.alarms,
            rosters=self.rosters(),
            clock_us=lambda: self.world.now_us,
            topic=TOPIC_ALARMS,
        )
        while evaluator.step():
            pass

    def rosters(self) -> Rosters:
        """The rules of all deployments."""
        return Rosters(self.world.models, self.baselines, clock_us=lambda: self.world.now_us)

    def close(self) -> None:
        """Let go of the store."""
        self.world.store.close()
        self.timeline.close()
        self.looks.close()
        self.book.close()
        self.alarms.close()
