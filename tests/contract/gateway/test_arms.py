"""What a gateway counts of each arm of a split, and what guards make of it: a fake, and control with a real Envoy.

The fake stands in the operator's simulations. Where both are put through the same, both must say the same.
"""

from __future__ import annotations

import asyncio
import signal
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, Protocol

import pytest
from switchyard_contracts.counted import Counted, CountedArm, sums
from switchyard_contracts.judgement import Budget, Judgement, Verdict
from switchyard_contracts.model_deployment import Metric
from switchyard_contracts.verdicts import judge_counted
from switchyard_gateway.control.adapters.envoy_admin import EnvoyAdmin
from switchyard_testkit.fake_api import route
from switchyard_testkit.fake_counters import FakeCounters
from switchyard_testkit.gateway_pod import KEY, PREDICT, Pod, gateway_pod
from switchyard_testkit.waiting import until

ONE, TWO = "delay-1", "delay-2"
NONE = Counter[str]()
ABSOLUTE = Metric.model_validate({"name": "e", "metric": "error_rate", "max": "1%", "minSamples": 20, "role": "guard"})
AGAINST_STABLE = Metric.model_validate(
    {"name": "e", "metric": "error_rate", "maxIncrease": "50%", "minSamples": 20, "role": "guard"}
)
BUDGET = Budget(alpha_promote=0.05, alpha_guard=0.0125, alpha_rollback=0.0125)
BAD, REFUSING, GONE = "answers 500", "refuses connections", "has no pods"


class World(Protocol):
    """A gateway with two revisions behind it."""

    def split(self, candidate_bp: int) -> int:
        """The second has this share; the generation, as soon as it is counted."""

    def candidate(self, fault: str) -> None:
        """What is wrong with the second from now on."""

    def ask(self, number: int) -> None:
        """So many requests, one after the other, all of them answered."""

    def kill_envoy(self) -> None:
        """And have another in its place."""

    def counted(self) -> Counted:
        """What it says."""


@dataclass
class FakeWorld:
    """By arithmetic."""

    counters: FakeCounters = field(default_factory=FakeCounters)
    now: datetime = datetime(2026, 1, 1, 12, tzinfo=UTC)
    generation: int = 0
    weights: dict[str, int] = field(default_factory=dict)
    fault: str = ""
    asked: int = 0

    def split(self, candidate_bp: int) -> int:
        self.generation += 1
        self.weights = {ONE: 10_000 - candidate_bp, TWO: candidate_bp}
        return self.generation

    def candidate(self, fault: str) -> None:
        self.fault = fault

    def ask(self, number: int) -> None:
        for _ in range(number):
            self.asked += 1
            mine = self.asked * self.weights[TWO] // 10_000 > (self.asked - 1) * self.weights[TWO] // 10_000
            self.counters.serve(
                TWO if mine else ONE,
                1,
                weights=self.weights,
                traffic=self.generation,
                at=self.now,
                failing=mine and self.fault == BAD,
                failed_over=mine and self.fault in (REFUSING, GONE),
            )
        self.now += timedelta(seconds=1)

    def kill_envoy(self) -> None:
        """Control goes on counting where it was."""

    def counted(self) -> Counted:
        return self.counters.counted()


@dataclass
class RealWorld:
    """Control and Envoy."""

    pod: Pod

    def deploy(self, *routes: dict[str, Any], **spec: Any) -> int:
        """Write a ModelRoute; the generation, as soon as it is counted."""
        generation = self.pod.deploy(*routes, **spec)
        self.pod.control.wait_for(KEY, generation)
        self.wait_until_counted(generation)
        return generation

    def split(self, candidate_bp: int) -> int:
        return self.deploy(route(ONE, 10_000 - candidate_bp), route(TWO, candidate_bp, "candidate", version="2.0.0"))

    def candidate(self, fault: str) -> None:
        two = self.pod.models["two"]
        two.status = 500 if fault == BAD else 200
        if fault == REFUSING:
            two.stop()
        if fault == GONE:
            self.pod.pods(TWO)
            until(lambda: not self.pod.hosts(f"flights/{TWO}/only"), "Envoy knows", seconds=30, every=0.02)

    def ask(self, number: int) -> None:
        with self.pod.client() as client:
            for _ in range(number):
                client.post(PREDICT, json={})

    def kill_envoy(self) -> None:
        generation = self.pod.control.standing(KEY)["generation"]
        self.pod.envoy.end(signal.SIGKILL)
        until(lambda: self.pod.control.ask("/readyz")[0] == 503, "control knows that Envoy is gone", seconds=30)
        self.pod.envoy.start(now_ns=time.time_ns())
        self.pod.control.wait_for(KEY, generation)
        self.wait_until_counted(generation)

    def counted(self) -> Counted:
        status, said = self.pod.control.ask(f"/counters?deployment={KEY}")
        assert status == 200, said
        return Counted.model_validate(said)

    def wait_until_counted(self, generation: int) -> None:
        """Ask one at a time until the count moves: the first look at a generation counts for nobody."""
        before = requests(self.counted(), generation)

        def moves() -> bool:
            self.ask(1)
            return requests(self.counted(), generation) != before

        until(moves, f"generation {generation} is counted", seconds=30, every=0.2)


@pytest.fixture(scope="module")
def the_pod(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pod]:
    """One for all tests: whatever they do to it, it must come back by itself."""
    with gateway_pod(tmp_path_factory.mktemp("pod")) as pod:
        yield pod


@pytest.fixture(params=["fake", "real"])
def world(request: pytest.FixtureRequest) -> World:
    if request.param == "fake":
        return FakeWorld()
    the_pod: Pod = request.getfixturevalue("the_pod")
    the_pod.afresh()
    return RealWorld(the_pod)


@pytest.fixture
def pod(the_pod: Pod) -> Pod:
    the_pod.afresh()
    return the_pod


def arms(counted: Counted, generation: int) -> dict[str, CountedArm]:
    """Each arm's counts over all windows of a generation."""
    found: dict[str, CountedArm] = {}
    for window in counted.windows:
        for revision, arm in window.arms.items() if window.traffic == generation else ():
            held = found.get(revision, CountedArm(weight_bp=arm.weight_bp))
            assert held.weight_bp == arm.weight_bp
            found[revision] = CountedArm(
                weight_bp=arm.weight_bp,
                requests=held.requests + arm.requests,
                failures=held.failures + arm.failures,
                failed_over=held.failed_over + arm.failed_over,
            )
    return found


def tally(counted: Counted, generation: int, what: str) -> Counter[str]:
    return Counter({revision: getattr(arm, what) for revision, arm in arms(counted, generation).items()})


def requests(counted: Counted, generation: int) -> Counter[str]:
    return tally(counted, generation, "requests")


def judged(world: World, generation: int, metric: Metric) -> Judgement:
    windows = sums([world.counted()], revision=TWO, against=ONE, traffic=[generation])
    return judge_counted(metric, windows, budget=BUDGET)


def added(world: World, generation: int, number: int) -> dict[str, Counter[str]]:
    """What so many more requests add to each count."""
    before = world.counted()
    world.ask(number)
    after = world.counted()
    return {
        what: tally(after, generation, what) - tally(before, generation, what)
        for what in ("requests", "failures", "failed_over")
    }


@pytest.mark.parametrize("metric", [ABSOLUTE, AGAINST_STABLE], ids=["a limit", "against stable"])
def test_a_healthy_candidate_is_counted_and_nothing_speaks_against_it(world: World, metric: Metric) -> None:
    generation = world.split(5_000)
    counts = added(world, generation, 200)
    assert counts["requests"].total() == 200
    assert 60 <= counts["requests"][TWO] <= 140
    assert (counts["failures"], counts["failed_over"]) == (NONE, NONE)
    assert judged(world, generation, metric).verdict is Verdict.PASS


@pytest.mark.parametrize("metric", [ABSOLUTE, AGAINST_STABLE], ids=["a limit", "against stable"])
@pytest.mark.parametrize("fault", [BAD, REFUSING, GONE])
def test_each_request_that_the_candidate_failed_counts_against_it_once(
    world: World, fault: str, metric: Metric
) -> None:
    generation = world.split(3_000)
    world.candidate(fault)
    counts = added(world, generation, 100)
    assert counts["requests"].total() == 100
    mine = counts["requests"][TWO]
    assert 10 <= mine <= 55
    assert counts["failures"] == Counter({TWO: mine})
    assert counts["failed_over"] == (NONE if fault == BAD else Counter({TWO: mine}))
    found = judged(world, generation, metric)
    assert found.verdict is Verdict.FAIL, found.message


def test_a_candidate_that_failed_at_one_step_begins_the_next_without_a_record(world: World) -> None:
    first = world.split(5_000)
    world.candidate(BAD)
    world.ask(60)
    world.counted()
    world.candidate("")
    second = world.split(4_000)
    counts = added(world, second, 120)
    assert counts["failures"] == NONE
    assert arms(world.counted(), second)[TWO].failures == 0
    assert judged(world, first, ABSOLUTE).verdict is Verdict.FAIL
    assert judged(world, second, ABSOLUTE).verdict is Verdict.PASS


def test_a_killed_envoy_takes_nothing_back_that_was_counted_and_the_next_counts_on(world: World) -> None:
    generation = world.split(5_000)
    world.candidate(BAD)
    world.ask(40)
    before = arms(world.counted(), generation)
    world.candidate("")
    world.kill_envoy()
    counts = added(world, generation, 40)
    after = arms(world.counted(), generation)
    assert counts["requests"].total() == 40
    assert after[TWO].failures == before[TWO].failures
    assert all(after[revision].requests >= before[revision].requests for revision in (ONE, TWO))


def test_each_start_of_envoy_has_a_name_of_its_own(pod: Pod) -> None:
    async def boot() -> str:
        admin = EnvoyAdmin(pod.envoy.admin_socket)
        try:
            return (await admin.look()).boot
        finally:
            await admin.close()

    first = asyncio.run(boot())
    pod.envoy.end(signal.SIGKILL)
    pod.envoy.start(now_ns=time.time_ns())
    second = asyncio.run(boot())
    assert first.isdigit()
    assert second > first


def test_previews_and_mirrored_requests_are_no_part_of_the_candidates_arm(pod: Pod) -> None:
    world = RealWorld(pod)
    generation = world.deploy(route(ONE, 8_000), route(TWO, 2_000, "candidate", version="2.0.0", mirror=8_000))
    pod.models["two"].status = 500
    before = world.counted()
    for _ in range(20):
        assert pod.ask(x_switchyard_revision=TWO).status_code == 500
    assert arms(world.counted(), generation) == arms(before, generation)
    counts = added(world, generation, 60)
    assert counts["requests"].total() == 60
    assert counts["failures"][TWO] == counts["requests"][TWO] < 30


def test_control_that_starts_beside_a_running_envoy_counts_for_nobody_what_was_before_it(pod: Pod) -> None:
    world = RealWorld(pod)
    generation = world.split(5_000)
    world.candidate(BAD)
    world.ask(40)
    world.candidate("")
    pod.control.end(signal.SIGKILL)
    pod.control.start()
    pod.control.wait_for(KEY, generation, seconds=30)
    world.wait_until_counted(generation)
    assert arms(world.counted(), generation).get(TWO, CountedArm(weight_bp=5_000)).failures == 0
    world.candidate(BAD)
    assert added(world, generation, 40)["failures"][TWO] > 0


def test_a_silent_candidate_fails_when_its_time_is_up(pod: Pod) -> None:
    world = RealWorld(pod)
    generation = world.deploy(route(ONE, 5_000), route(TWO, 5_000, "candidate", version="2.0.0"), timeout="1s")
    pod.models["two"].silent = True
    counts = added(world, generation, 8)
    assert counts["failures"][TWO] == counts["requests"][TWO]
    assert counts["failures"][ONE] == 0
