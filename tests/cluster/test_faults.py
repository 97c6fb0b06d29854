"""Faults in the middle of things: the same decisions, reasons and final weights as without, and every event once.

Two canaries are told twice with the same seeds, of a better candidate and of a worse one: once left alone, and once
with kill -9 of each part while a third deployment's requests are mirrored to a shadow. What the monitor then holds is
computed anew from the topic by `tests/support/recompute.py`. Then a gateway restarts while the API server is gone.
Storage that is full or locked is in `test_storage_faults`; Kafka away in `test_account`: for a minute, and for ten with
`make test-faults LONG=1`.
"""

from __future__ import annotations

import os
import random
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field
from itertools import pairwise
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
    HELD,
    NAME,
    PARTS,
    PLACES,
    RATE,
    SEED,
    SHADOW,
    account,
    address,
    kill,
    mirrored,
    product,
    topics,
    well,
)
from switchyard_testkit.waiting import until

pytestmark = [pytest.mark.alone, pytest.mark.timeout(900)]

AWAY = 120.0
"""Seconds that the API server is gone for."""
BETTER, WORSE, COPIED = NAME, "worse", "copied"
RATES = {BETTER: RATE // 2, WORSE: 12, COPIED: RATE // 4}
"""Requests a second. The worse one has so few that most of the kills come before it has been judged."""
CANARIES = {BETTER: CANARY, WORSE: HELD}
BIAS = {BETTER: 1, WORSE: 30}
"""What is wrong with each second version's answers; the first one's are off by 10."""


@dataclass
class Course:
    """Rollouts under traffic, and what of the traffic's failures a fault excuses."""

    models: Models
    traffic: dict[str, Traffic]
    excused: dict[str, list[str]]
    struck: list[str] = field(default_factory=list)
    seen: list[int] = field(default_factory=list)
    """How many answers of the copied deployment had come when each part was killed."""
    undecided: list[str] = field(default_factory=list)
    """What was killed before the worse candidate was found out."""

    def reach(self, name: str, step: str) -> None:
        """Wait until a canary is at a step."""
        self.models.wait(name, lambda s: (s.get("rollout") or {}).get("step") == step, f"is at {step}", seconds=180)

    def strike(self, part: str, step: str) -> None:
        """kill -9 a part while the better candidate is at that step, and see that it struck."""
        now = self.models.status(BETTER)["rollout"]
        assert (now["version"], now["step"]) == ("2.0.0", step), f"too late to kill {part}: {now}"
        assert self.failures() == self.excused, f"requests failed before {part} was killed: {self.struck}"
        if self.models.status(WORSE)["rollout"]["phase"] != "RolledBack":
            self.undecided.append(part)
        self.seen.append(len(self.traffic[COPIED].tally.answers))
        kill(self.models.installation, part)
        self.struck.append(part)
        if part == "envoy":  # whoever asks while no gateway is there gets no answer
            well(self.models.installation)
            self.excused = {name: traffic.recover() for name, traffic in self.traffic.items()}

    def failures(self) -> dict[str, list[str]]:
        """What failed so far."""
        return {name: list(traffic.tally.failures) for name, traffic in self.traffic.items()}


@dataclass(frozen=True)
class Told:
    """How a canary went, in what must be the same whatever struck it."""

    phase: str
    reason: str
    attempt: int
    steps: list[tuple[str, int, bool]]
    verdicts: dict[str, str]
    because: str
    """The reason of the decide metric's verdict."""
    weights: dict[tuple[str, str], int]
    stable: str


def rollouts(
    models: Models, strike: Callable[[Course], object], *, copied: bool = False
) -> tuple[dict[str, Told], Course]:
    """Roll out both candidates by outcomes while faults strike, beside a shadow if one is asked for, and tell of it."""
    specs = CANARIES | ({COPIED: SHADOW} if copied else {})
    for name, spec in specs.items():
        models.apply(name, env={"VERSION": "1.0.0", "BIAS": 10}, spec=spec)
    for name in specs:
        models.serving(name, "1.0.0", seconds=150)
    if copied:
        models.apply(COPIED, env={"VERSION": "2.0.0", "BIAS": 1}, spec=SHADOW)
        until(lambda: mirrored(models, COPIED), "all of the copied deployment's requests are mirrored", seconds=90)
    with ExitStack() as stack:
        traffic = {name: stack.enter_context(product(models, name, rate=RATES[name]))[0] for name in specs}
        course = Course(models, traffic, excused={name: [] for name in specs})
        for name, spec in CANARIES.items():
            models.apply(name, env={"VERSION": "2.0.0", "BIAS": BIAS[name]}, spec=spec)
        strike(course)
        models.serving(BETTER, "2.0.0", seconds=400)
        models.phase(WORSE, "RolledBack", seconds=300)
        until(lambda: ("2.0.0", "stable") in weights(models, BETTER), "the route says who is stable", seconds=30)
        traffic[BETTER].go_on(RATE)
        # After the switch the guard speaks anew, of the switch.
        passed = models.wait(BETTER, lambda s: {*verdicts(s).values()} == {"Pass"}, "every metric passes", seconds=90)
        return {BETTER: told(models, BETTER, passed), WORSE: told(models, WORSE, models.status(WORSE))}, course


def told(models: Models, name: str, status: dict[str, Any]) -> Told:
    rollout = status["rollout"]
    return Told(
        phase=rollout["phase"],
        reason=rollout["reason"],
        attempt=rollout["attempt"],
        steps=[(step["name"], step["weightBp"], bool(step.get("mirrored"))) for step in rollout["stepsDone"]],
        verdicts=verdicts(status),
        because=next(verdict["reason"] for verdict in rollout["verdicts"] if verdict["name"] == "outcome"),
        weights=weights(models, name),
        stable=status["stable"]["version"],
    )


def verdicts(status: dict[str, Any]) -> dict[str, str]:
    """By the name of the metric."""
    return {verdict["name"]: verdict["verdict"] for verdict in (status.get("rollout") or {}).get("verdicts", [])}


def weights(models: Models, name: str) -> dict[tuple[str, str], int]:
    """By version and role."""
    routes = models.get(name, "modelroutes")["spec"]["routes"]
    return {(entry["version"], entry["role"]): entry["weightBp"] for entry in routes}


@pytest.fixture(scope="module")
def undisturbed(installation: Installation) -> dict[str, Told]:
    """The canaries that nothing struck."""
    with api_client(installation.slot) as api, temporary_namespace(api, "t") as name:
        found, course = rollouts(Models(installation, name), lambda _: None)
    assert course.failures() == course.excused
    better, worse = found[BETTER], found[WORSE]
    assert (better.phase, better.verdicts, better.because) == (
        "Watching",
        {"errors": "Pass", "outcome": "Pass"},
        "WithinMargin",
    )
    assert better.weights[("2.0.0", "stable")] == 10_000
    assert (worse.phase, worse.reason, worse.verdicts["outcome"]) == ("RolledBack", "AnalysisFailed", "Fail")
    assert (worse.stable, worse.weights) == ("1.0.0", {("1.0.0", "stable"): 10_000})
    return found


def test_every_part_killed_in_the_middle_of_a_canary_changes_no_decision(
    models: Models, undisturbed: dict[str, Told], tmp_path: Path
) -> None:
    chance = random.Random(SEED)
    order = chance.sample(PARTS, len(PARTS))
    before = account(models.installation)

    def strike(course: Course) -> None:
        course.reach(WORSE, "half")
        for step, parts in (("quarter", order[:3]), ("half", order[3:])):
            course.reach(BETTER, step)
            for part in parts:
                course.traffic[BETTER].go_on(chance.randrange(RATES[BETTER] // 2, 2 * RATES[BETTER]))
                course.strike(part, step)

    found, course = rollouts(models, strike, copied=True)
    assert sorted(course.struck) == sorted(PARTS)
    assert found == undisturbed
    assert course.undecided, "nothing was killed while the worse candidate was under way"
    assert course.failures() == course.excused, "requests failed of a kill that no request may notice"

    well(models.installation)
    topic = topics(models, *course.traffic)
    tallies = {name: traffic.tally for name, traffic in course.traffic.items()}
    lost = {name: topic[name].missing(tally) for name, tally in tallies.items()}
    assert sum(map(len, lost.values())) <= FLUSH
    books = account(models.installation)
    crashed = books["dropped"].get("lost_in_crash", 0) - before["dropped"].get("lost_in_crash", 0)
    unsaid = crashed - sum(map(len, lost.values()))
    assert unsaid >= 0, f"{lost} were answered and have no event, the account counts {crashed}"

    # A copy may fall, and then it is counted; but for those that were under way when Envoy died, and the fallen of its
    # last second, which nobody had asked it for yet.
    copies, fallen = topic[COPIED].copies(), topic[COPIED].fallen()
    overflow = books["mirrorOverflow"] - before["mirrorOverflow"]
    assert len(fallen) <= overflow + unsaid + PLACES + RATES[COPIED], f"of {len(fallen)} copies {overflow} fell"
    answers = tallies[COPIED].answers
    for begin, end in pairwise([0, *course.seen, len(answers)]):
        assert not copies.isdisjoint(answer.prediction_id for answer in answers[begin:end]), "the mirror stood still"

    for name, tally in tallies.items():
        assert topic[name].outcomes() == dict.fromkeys(tally.ids, 1), f"{name}: an outcome is lost, or counts twice"
        assert topic[name].decisions() == dict.fromkeys(tally.ids, 1), f"{name}: a decision is lost, or counts twice"
        said = topic[name].recomputed(CANARY["monitoring"], tmp_path / name)
        assert "numbers are equal" in said
        assert " 0 decisions" not in said
        assert (" 0 pairs" in said) is (name != COPIED), said


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
    assert len(topics(models, NAME)[NAME].missing(traffic.tally)) <= FLUSH
