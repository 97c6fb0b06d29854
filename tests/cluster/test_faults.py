"""Faults in the middle of things: the same decisions, reasons and final weights as without, and every event once.

A canary is told twice with the same seeds, once left alone and once with kill -9 of each part; what the monitor then
holds is computed anew from the topic by `tests/support/recompute.py`. Then a gateway restarts while the API server is
gone. Storage that is full or locked is in `test_storage_faults`; Kafka away in `test_account`: for a minute, and for
ten with `make test-faults LONG=1`.
"""

from __future__ import annotations

import os
import random
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest
import urllib3
from switchyard_testkit import cluster
from switchyard_testkit.apiserver import api_client, temporary_namespace
from switchyard_testkit.faults import kill_pod_unseen
from switchyard_testkit.install import Installation
from switchyard_testkit.load import Traffic
from switchyard_testkit.models import Models
from switchyard_testkit.struck import (
    CANARY,
    FLUSH,
    GATEWAY,
    NAME,
    PARTS,
    RATE,
    SEED,
    Topic,
    account,
    address,
    kill,
    product,
    well,
)
from switchyard_testkit.waiting import until

pytestmark = [pytest.mark.alone, pytest.mark.timeout(900)]

AWAY = 120.0
"""Seconds that the API server is gone for."""


@dataclass
class Course:
    """A canary under traffic, and what of the traffic's failures a fault excuses."""

    models: Models
    traffic: Traffic
    excused: list[str] = field(default_factory=list)
    struck: list[str] = field(default_factory=list)

    def reach(self, step: str) -> None:
        """Wait until the canary is at a step."""
        self.models.wait(NAME, lambda s: (s.get("rollout") or {}).get("step") == step, f"is at {step}", seconds=180)

    def strike(self, part: str, step: str) -> None:
        """kill -9 a part while the canary is at that step, and see that it struck."""
        now = self.models.status(NAME)["rollout"]
        assert (now["version"], now["step"]) == ("2.0.0", step), f"too late to kill {part}: {now}"
        assert self.traffic.tally.failures == self.excused, f"requests failed before {part} was killed: {self.struck}"
        kill(self.models.installation, part)
        self.struck.append(part)
        if part == "envoy":  # whoever asks while no gateway is there gets no answer
            well(self.models.installation)
            self.excused = self.traffic.recover()


@dataclass(frozen=True)
class Told:
    """How a canary went, in what must be the same whatever struck it."""

    phase: str
    reason: str
    attempt: int
    steps: list[tuple[str, int, bool]]
    decided: str
    weights: dict[tuple[str, str], int]
    stable: str


def canary(models: Models, strike: Callable[[Course], object]) -> tuple[Told, Course]:
    """Deploy 1.0.0, let 2.0.0 take over by outcomes while faults strike, and tell how it went."""
    models.apply(NAME, env={"VERSION": "1.0.0", "BIAS": 10}, spec=CANARY)
    models.serving(NAME, "1.0.0")
    with product(models) as (traffic, _):
        course = Course(models, traffic)
        models.apply(NAME, env={"VERSION": "2.0.0", "BIAS": 1}, spec=CANARY)
        strike(course)
        models.serving(NAME, "2.0.0", seconds=400)
        status = models.phase(NAME, "Watching", "Completed", seconds=60)
        until(lambda: ("2.0.0", "stable") in weights(models), "the route says who is stable", seconds=30)
        traffic.go_on(RATE)
    return told(models, status), course


def told(models: Models, status: dict[str, Any]) -> Told:
    rollout = status["rollout"]
    return Told(
        phase=rollout["phase"],
        reason=rollout["reason"],
        attempt=rollout["attempt"],
        steps=[(step["name"], step["weightBp"], bool(step.get("mirrored"))) for step in rollout["stepsDone"]],
        decided=next(verdict["verdict"] for verdict in rollout["verdicts"] if verdict["name"] == "outcome"),
        weights=weights(models),
        stable=status["stable"]["version"],
    )


def weights(models: Models) -> dict[tuple[str, str], int]:
    """By version and role."""
    routes = models.get(NAME, "modelroutes")["spec"]["routes"]
    return {(entry["version"], entry["role"]): entry["weightBp"] for entry in routes}


@pytest.fixture(scope="module")
def undisturbed(installation: Installation) -> Told:
    """The canary that nothing struck."""
    with api_client(installation.slot) as api, temporary_namespace(api, "t") as name:
        found, course = canary(Models(installation, name), lambda _: None)
    assert course.traffic.tally.failures == []
    assert (found.decided, found.weights[("2.0.0", "stable")]) == ("Pass", 10_000)
    return found


def test_every_part_killed_in_the_middle_of_a_canary_changes_no_decision(
    models: Models, undisturbed: Told, tmp_path: Path
) -> None:
    chance = random.Random(SEED)
    order = chance.sample(PARTS, len(PARTS))
    lost_before = account(models.installation)["dropped"].get("lost_in_crash", 0)

    def strike(course: Course) -> None:
        for step, parts in (("quarter", order[:3]), ("half", order[3:])):
            course.reach(step)
            for part in parts:
                course.traffic.go_on(chance.randrange(RATE // 2, 2 * RATE))
                course.strike(part, step)

    found, course = canary(models, strike)
    assert sorted(course.struck) == sorted(PARTS)
    assert found == undisturbed
    tally = course.traffic.tally
    assert tally.failures == course.excused, "requests failed of a kill that no request may notice"

    well(models.installation)
    topic = Topic(models)
    lost = topic.missing(tally)
    assert len(lost) <= FLUSH
    counted = account(models.installation)["dropped"].get("lost_in_crash", 0) - lost_before
    assert counted >= len(lost), f"{len(lost)} answered requests have no event, the account counts {counted}"
    assert topic.outcomes() == dict.fromkeys(tally.ids, 1), "an outcome that was taken is lost, or counts twice"
    assert "numbers are equal" in topic.recomputed(CANARY["monitoring"], tmp_path)


def test_a_gateway_that_restarts_without_an_api_server_serves_what_it_knew(models: Models) -> None:
    """The API server, with the controllers, is gone for two minutes; only the node that runs here can be so treated."""
    installation = models.installation
    models.apply(NAME, env={"VERSION": "1.0.0", "BIAS": 3}, spec=CANARY)
    models.serving(NAME, "1.0.0")
    control = f"http://{address(installation)}:8081"
    gone: list[float] = []

    def take_away() -> None:
        cluster.stop_control_plane(installation.slot, os.environ)
        gone.append(time.monotonic())

    def stale() -> bool | None:
        try:
            return bool(httpx.get(f"{control}/routes", timeout=5).json()["stale"])
        except (httpx.HTTPError, ValueError):
            return None

    with product(models) as (traffic, _):
        traffic.go_on(RATE)
        try:
            kill_pod_unseen(installation, GATEWAY, take_away)
            until(stale, "control serves what it remembers, without the API server", seconds=90)
            excused = traffic.recover()
            with pytest.raises(urllib3.exceptions.HTTPError):
                models.status(NAME)
            until(lambda: time.monotonic() - gone[0] > AWAY, "two minutes have passed", seconds=AWAY + 10, every=1)
            assert traffic.tally.failures == excused, "answers stopped while the API server was gone"
            assert stale(), "the API server was not gone"
        finally:
            cluster.start_control_plane(installation.slot, os.environ)
        until(lambda: stale() is False, "control hears the API server again", seconds=90)
        well(installation)
        assert traffic.tally.failures == excused, "requests failed when the API server came back"
        # Deciding goes on: another version is rolled out, and reaches this gateway.
        models.apply(NAME, env={"VERSION": "1.1.0"})
        models.serving(NAME, "1.1.0", seconds=120)
        traffic.go_on(RATE)
    assert traffic.tally.failures == excused
    assert len(Topic(models).missing(traffic.tally)) <= FLUSH
