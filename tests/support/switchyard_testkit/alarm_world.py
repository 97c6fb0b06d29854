"""A small world for the monitor's alarms: a deployment with rules, its traffic, and members that evaluate."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from fastapi.testclient import TestClient
from prometheus_client import CollectorRegistry
from switchyard_contracts.alarm_records import AlarmRecord
from switchyard_contracts.events import TOPIC_ALARMS
from switchyard_monitor.adapters.alarms import SqlAlarms
from switchyard_monitor.api import create_app
from switchyard_monitor.auth import Token
from switchyard_monitor.baselines import Baselines
from switchyard_monitor.evaluator import Evaluator
from switchyard_monitor.health import Health
from switchyard_monitor.metrics import MonitorCollector
from switchyard_monitor.rosters import Rosters

from switchyard_testkit.monitor_world import MONITORING, NOON_US, SUBJECT, World, decision, inference, outcome

STABLE = "stable-1"
WINDOW = 5.0
"""Seconds, of a base window and of a rule's."""
LABELS = 20.0
"""After so many seconds a prediction is judged."""


class Anyone:
    """Finds a token that may do everything, whatever is presented."""

    def find(self, presented: str) -> Token | None:
        """Everybody's."""
        return Token(name="all", sha256="0" * 64, deployments=["*"])

    def still(self, token: Token) -> Token | None:
        """It is never taken out."""
        return token


def rule(name: str, metric: str, **said: Any) -> dict[str, Any]:
    """A rule of a window of 5 s that one window fires; each test says only what differs."""
    at_once = {} if metric.startswith(("outcome", "decision")) else {"after": "0s"}
    return {"name": name, "metric": metric, "window": "5s", "breaches": 1, "of": 1, "minSamples": 5} | at_once | said


def watched(*rules: Mapping[str, Any], **said: Any) -> dict[str, Any]:
    """A monitoring block with these rules."""
    return {**MONITORING, "alarms": list(rules), **said}


@dataclass
class AlarmWorld:
    """A monitor's world, with evaluators beside its reader."""

    world: World
    url: str
    alarms: SqlAlarms = field(init=False)
    evaluator: Evaluator = field(init=False)
    _told: list[tuple[float, bytes]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.alarms = SqlAlarms(self.url)
        self.evaluator = self.member("monitor-0")

    def member(self, name: str, *, alarms: SqlAlarms | None = None) -> Evaluator:
        """A process that evaluates."""
        return Evaluator(
            member=name,
            store=self.world.store,
            alarms=alarms or self.alarms,
            rosters=Rosters(self.world.models, Baselines(self.world.store), clock_us=lambda: self.world.now_us),
            clock_us=lambda: self.world.now_us,
            topic=TOPIC_ALARMS,
        )

    def restart(self) -> None:
        """A new process: nothing is remembered but what the database keeps."""
        self.world.start()
        self.evaluator = self.member("monitor-0")

    def teach(self, *rules: Mapping[str, Any], stable: str = STABLE, **said: Any) -> None:
        """Publish the deployment with these rules."""
        self.world.teach(watched(*rules, **said), stable=stable)

    def serve(
        self,
        window: int,
        *,
        error: float | None = 1.0,
        requests: int = 10,
        failing: int = 0,
        agreed: int | None = None,
        **changes: Any,
    ) -> None:
        """A window of traffic, whose outcomes come a second after each answer and differ from it by `error`."""
        for place in range(requests):
            at = window * WINDOW + place * WINDOW / requests
            name = f"{window}-{place}-{changes.get('revision', '')}"
            failed: dict[str, Any] = {"status": 503, "error": True} if place < failing else {}
            self._told.append((at, inference(name, y=10.0, at=at, **changes, **failed)))
            if error is not None and not failed:
                self._told.append((at + 1, outcome(name, 10.0 - error, at=at + 1)))
            if agreed is not None:
                self._told.append((at, decision(name, place >= agreed, at=at)))

    def tell(self) -> None:
        """Have it all in the log, in the order in which it came to the broker."""
        for at, value in sorted(self._told, key=lambda item: item[0]):
            self.world.say(value, at=at)
        self._told.clear()

    def until(self, seconds: float) -> int:
        """Have time come to so many seconds after noon, and everything read and judged; how many windows were."""
        self.tell()
        self.world.run()
        self.world.pass_time(seconds - (self.world.now_us - NOON_US) / 1e6)
        self.world.run()  # nothing was left to be read at that time, so the watermark comes to it
        return self.judge()

    def judge(self) -> int:
        """All that can be judged now."""
        done = 0
        while looks := self.evaluator.step():
            done += looks
        return done

    def records(self) -> list[AlarmRecord]:
        """What was said, oldest first."""
        return list(reversed(self.alarms.said(SUBJECT, limit=500).records))

    def events(self) -> list[tuple[str, str]]:
        """The same in two words each."""
        return [(record.alarm, record.event.value) for record in self.records()]

    def sent(self) -> list[AlarmRecord]:
        """What was sent to Kafka."""
        self.world.reader.step()
        letters: Sequence[Any] = [letter for letter in self.world.broker.sent if letter.topic == TOPIC_ALARMS]
        return [AlarmRecord.model_validate(json.loads(letter.value)) for letter in letters]

    def client(self) -> TestClient:
        """The API."""
        registry, health = CollectorRegistry(), Health(lambda: 0.0)
        store, models, baselines = self.world.store, self.world.models, Baselines(self.world.store)
        rosters = Rosters(models, baselines)
        drifting = self.world.drifting()
        registry.register(
            MonitorCollector(store=store, health=health, drifting=drifting, alarms=self.alarms, rosters=rosters)
        )
        app = create_app(
            store=self.world.store,
            models=self.world.models,
            tokens=Anyone(),
            health=health,
            registry=registry,
            alarms=self.alarms,
        )
        return TestClient(app, headers={"Authorization": "Bearer all"})

    def close(self) -> None:
        """Let go of the database."""
        self.alarms.close()
        self.world.store.close()
