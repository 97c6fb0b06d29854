"""A small world for the monitor's page: deployments with traffic, pairs, outcomes and rollouts, all through the join.

What the tests look at and what the pictures show is the same story, so a picture never shows what no test has seen.
"""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from fastapi import FastAPI
from prometheus_client import CollectorRegistry
from switchyard_contracts.model_deployment import MetricVerdict, Monitoring
from switchyard_contracts.model_route import Route
from switchyard_contracts.topics import ModelRecord, RolloutRecord
from switchyard_monitor.adapters.looks import SqliteLooks
from switchyard_monitor.adapters.timeline import SqliteTimeline
from switchyard_monitor.api import create_app
from switchyard_monitor.auth import Token, Tokens
from switchyard_monitor.chronicle import Chronicle
from switchyard_monitor.domain.facts import Record
from switchyard_monitor.errors import BrokerUnavailable
from switchyard_monitor.health import Health
from switchyard_monitor.page.app import Page, create_page

from switchyard_testkit.monitor_world import MONITORING, NOON, NOON_US, SECOND, World, decision, inference, mirrored
from switchyard_testkit.monitor_world import outcome as outcome_of

OLD, NEW, BAD = "flight-delay-7c1f0a", "flight-delay-9be2d4", "flight-delay-31aa07"
VERSIONS = {OLD: "1.0.0", NEW: "2.0.0", BAD: "1.1.0"}
MINUTE = 60.0


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


def scattered(index: int, below: int) -> int:
    """A number that looks drawn, and is the same in every run."""
    return (index * 2_654_435_761 % 2**32 >> 5) % below


class PageWorld:
    """The monitor with its page, over a store in a folder."""

    def __init__(self, folder: Path, *, template: Path | None = None) -> None:
        self.world = World(folder, template=template)
        url = f"sqlite:///{folder / 'monitor.db'}"
        self.timeline, self.looks = SqliteTimeline(url), SqliteLooks(url)
        self.rollouts = LocalRollouts()
        self.chronicle = Chronicle(log=self.rollouts, timeline=self.timeline, clock_us=lambda: self.world.now_us)
        self.health = Health(lambda: 0.0)
        self.health.passed(0)
        self.callers = [token("operator", "all", "*"), token("team", "demo", "demo/*"), token("other", "other", "x/*")]
        self._secrets = (f"secret-{number}" for number in itertools.count())

    def app(self, *, tokens: Tokens | None = None) -> FastAPI:
        """The monitor's application."""
        known = tokens or Tokens(self.callers)
        page = Page(
            store=self.world.store,
            timeline=self.timeline,
            looks=self.looks,
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

    def close(self) -> None:
        """Let go of the store."""
        self.world.store.close()
        self.timeline.close()
        self.looks.close()

    def serve(
        self, begin: float, end: float, *, every: float, arms: Sequence[tuple[str, str, int]], traffic: int
    ) -> None:
        """Requests from `begin` to `end`, in seconds after NOON, split by weight; outcomes come 5 s later."""
        total = round((end - begin) / every)
        for index in range(total):
            at = begin + index * every
            lot, name = index * 3779 % 10_000, f"p{traffic}-{index}"
            bounds = itertools.accumulate(weight for _, role, weight in arms if role != "shadow")
            drawn = [arm for arm in arms if arm[1] != "shadow"]
            revision, role, weight = next(arm for arm, bound in zip(drawn, bounds, strict=True) if lot < bound)
            truth = 10.0 + (index * 7 % 41)
            self._answer(name, revision, role, weight, traffic=traffic, at=at, index=index, truth=truth)
            for other, shade, mirror in arms:
                if shade == "shadow" and role == "stable":
                    answer = truth + self._error(other, index)
                    latency = 5200 + scattered(index, 2900)
                    facts: dict[str, Any] = {"revision": other, "traffic": traffic, "weightBp": mirror}
                    self.world.say(mirrored(name, y=answer, x=index, at=at, latencyUs=latency, **facts), at=at)
            if index % 20:
                self.world.say(outcome_of(name, truth, at=at + 5), at=at + 5)
            if index % 4 == 0:
                self.world.say(decision(name, index % 12 != 0, at=at + 2), at=at + 2)

    def _answer(
        self, name: str, revision: str, role: str, weight: int, *, traffic: int, at: float, index: int, truth: float
    ) -> None:
        latency: int | None = 6000 + scattered(index, 4100) + (900 if revision == OLD else 0)
        facts: dict[str, Any] = {"revision": revision, "role": role, "weightBp": weight, "traffic": traffic}
        if scattered(index, 211) == 17:
            latency = None
            facts |= {"status": 503, "error": True}
        answer = truth + self._error(revision, index)
        self.world.say(inference(name, y=answer, x=index, at=at, latencyUs=latency, **facts), at=at)

    @staticmethod
    def _error(revision: str, index: int) -> float:
        size = 12.0 if revision == OLD else 8.5
        return size * (scattered(index + 7, 2001) / 1000 - 1)


def tell(page: PageWorld, *, rate: float = 8.0) -> None:
    """The story of the pictures: 2.0.0 by shadow and canary, at 50 % now; 1.1.0 was taken back before it."""
    stable = Route.model_validate(
        {"revision": OLD, "version": "1.0.0", "role": "stable", "weightBp": 5000, "service": OLD, "port": 3000}
    )
    candidate = Route.model_validate(
        {"revision": NEW, "version": "2.0.0", "role": "candidate", "weightBp": 5000, "service": NEW, "port": 3000}
    )
    page.publish(
        "demo/flight-delay", stable=OLD, traffic=6, routes=[stable, candidate], versions={OLD: "1.0.0", NEW: "2.0.0"}
    )
    page.publish("demo/turnaround", stable="turnaround-1", versions={"turnaround-1": "3.2.1"})
    page.publish("plant/additives")
    every = 1 / rate
    one = (OLD, "stable", 10_000)
    page.serve(0, 3 * MINUTE, every=every, arms=[one], traffic=2)
    page.serve(3 * MINUTE, 6 * MINUTE, every=every, arms=[one, (NEW, "shadow", 10_000)], traffic=3)
    for number, (minute, weight) in enumerate(((6, 500), (9, 2500), (12, 5000)), start=4):
        arms = [(OLD, "stable", 10_000 - weight), (NEW, "candidate", weight)]
        page.serve(minute * MINUTE, (minute + 3) * MINUTE, every=every, arms=arms, traffic=number)
    page.world.now_us += round(15 * MINUTE * SECOND)
    page.catch_up()
    page.happen(*_timeline(), *_elsewhere())


def _timeline() -> list[RolloutRecord]:
    def at(minutes: float) -> datetime:
        return NOON + timedelta(minutes=minutes)

    errors = verdict("errors", "error_rate", "Pass", value=0.0047, against=0.01, samples=2160)
    latency = verdict("latency", "latency_p99", "Pass", value=0.0101, against=0.0109, samples=2150)
    waiting = verdict(
        "outcome", "outcome.rmse", "NoData", role="decide", samples=63, needed=400, message="337 more pairs are needed"
    )
    undecided = verdict(
        "outcome",
        "outcome.rmse",
        "Inconclusive",
        role="decide",
        value=5.02,
        against=6.94,
        samples=1480,
        needed=2000,
        message="520 more judged predictions are needed, about 2 min at this rate",
    )
    bad: dict[str, Any] = {"rollout": f"{BAD}.1", "revision": BAD, "version": "1.1.0", "traffic": 1}
    failing = verdict(
        "errors", "error_rate", "Fail", value=0.081, against=0.01, samples=420, message="8.1 % failed; 1 % may"
    )
    return [
        rollout_record(
            "a1",
            at=at(-52),
            phase="Progressing",
            step="five",
            reason="Stepped",
            message="the candidate takes 5 %",
            **bad,
        ),
        rollout_record(
            "a2",
            at=at(-49),
            phase="RollingBack",
            step="five",
            reason="GuardFailed",
            message="errors: 8.1 % of 420 requests failed where 1 % may",
            verdicts=[failing],
            **(bad | {"weight_bp": 0}),
        ),
        rollout_record(
            "a3",
            at=at(-48.5),
            phase="RolledBack",
            step="",
            reason="RolledBack",
            message="1.0.0 has all the traffic again",
            verdicts=[failing],
            **(bad | {"weight_bp": 0}),
        ),
        rollout_record(
            "b1",
            at=at(2.2),
            phase="Provisioning",
            step="",
            weight_bp=0,
            traffic=2,
            reason="Provisioning",
            message="0 of 2 replicas are ready",
        ),
        rollout_record(
            "b2",
            at=at(3),
            phase="Shadowing",
            step="shadow",
            weight_bp=0,
            traffic=3,
            reason="Mirroring",
            message="all of stable's requests are mirrored",
            verdicts=[waiting],
        ),
        rollout_record("b3", at=at(6), message="the candidate takes 5 %", verdicts=[errors]),
        rollout_record(
            "b4",
            at=at(9),
            step="quarter",
            weight_bp=2500,
            traffic=5,
            message="the candidate takes 25 %",
            verdicts=[errors, latency],
        ),
        rollout_record(
            "b5",
            at=at(12),
            step="half",
            weight_bp=5000,
            traffic=6,
            message="the candidate takes 50 %",
            verdicts=[errors, latency],
        ),
        rollout_record(
            "b6",
            at=at(13.5),
            phase="AwaitingEvidence",
            step="half",
            weight_bp=5000,
            traffic=6,
            reason="AwaitingEvidence",
            message="outcome: 520 more judged predictions are needed, about 2 min at this rate",
            verdicts=[errors, latency, undecided],
        ),
    ]


def _elsewhere() -> list[RolloutRecord]:
    return [
        rollout_record(
            "c1",
            subject="demo/turnaround",
            at=NOON - timedelta(days=3),
            rollout="turnaround-1.1",
            revision="turnaround-1",
            version="3.2.1",
            phase="Completed",
            step="",
            weight_bp=10_000,
            traffic=9,
            reason="Promoted",
            message="3.2.1 is stable",
        )
    ]
