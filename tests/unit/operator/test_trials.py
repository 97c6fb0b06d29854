"""Strategies that try a candidate on users: a test that is read once, and a weight that follows what is better."""

from __future__ import annotations

from datetime import datetime, timedelta
from itertools import pairwise
from typing import Any

import pytest
from switchyard_contracts.experiments import Trial
from switchyard_contracts.model_command import ModelCommandStatus
from switchyard_contracts.model_deployment import MetricVerdict, Phase
from switchyard_operator.domain import kinds
from switchyard_testkit.fake_cluster import Crash
from switchyard_testkit.rollout_world import (
    AB_SPEC,
    AGE,
    BANDIT_SPEC,
    KEY,
    NAMESPACE,
    WEEK,
    WINDOW,
    Model,
    Simulation,
)

ONE, TWO, THREE = "models/delay:1", "models/delay:2", "models/delay:3"
ALONE = {ONE: ("stable", 10_000)}
HALVES = {ONE: ("stable", 5000), TWO: ("candidate", 5000)}
SECOND, MINUTE = timedelta(seconds=1), timedelta(minutes=1)
BETTER, WORSE = Model(version="2.0.0", loss=50.0), Model(version="2.0.0", loss=400.0)
ANOTHER: dict[str, Any] = {
    "type": "Canary",
    "canary": {"mirror": 0, "steps": [{"name": "half", "weight": 50, "hold": "5s"}]},
}
GUARD, DECIDES = AB_SPEC["analysis"]["metrics"][:2]
SECOND_ONE = DECIDES | {"name": "typical", "metric": "outcome.mae"}
WHOLE_YEAR = {"from": "2026-01-01T00:00", "to": "2026-12-31T23:00", "reason": "no changes this year"}
ALIKE = Model(version="2.0.0", loss=108.0)
"""As far as groups of users differ, at the margin of 5 %."""


def started(spec: dict[str, Any], two: Model = BETTER) -> Simulation:
    """The first model serves, and the second has its first traffic."""
    world = Simulation({ONE: Model(version="1.0.0", loss=100.0), TWO: two, THREE: Model(version="3.0.0", loss=50.0)})
    world.monitor.cap = 15.0
    world.deploy(spec)
    world.run(lambda: world.phase is Phase.COMPLETED)
    world.deploy(spec, image=TWO)
    world.run(lambda: world.route.get(TWO, ("", 0))[1] > 0)
    world.run_for(2 * SECOND)
    return world


def changed(**changes: Any) -> dict[str, Any]:
    """The A/B test with another block."""
    return AB_SPEC | {"strategy": {"type": "ABTest", "abTest": AB_SPEC["strategy"]["abTest"] | changes}}


def trial(world: Simulation) -> Trial:
    assert world.status.rollout
    assert world.status.rollout.trial
    return world.status.rollout.trial


def verdicts(world: Simulation) -> list[MetricVerdict]:
    """Of the metrics that decide, or did."""
    assert world.status.rollout
    return [item for item in world.status.rollout.verdicts if item.name == "outcome"]


def outcome(world: Simulation) -> MetricVerdict:
    assert world.status.rollout
    return next(item for item in world.status.rollout.verdicts if item.name == "outcome")


def read_at(world: Simulation) -> datetime:
    assert world.status.rollout
    assert world.status.rollout.trial
    return world.status.rollout.trial.read_at


def asked_of_outcomes(world: Simulation) -> int:
    return sum(item.metric.name == "outcome" for item in world.monitor.asked)


def condition(world: Simulation, kind: str) -> tuple[str, str, str]:
    return next((item.status, item.reason, item.message) for item in world.status.conditions if item.type == kind)


def answer(world: Simulation, name: str) -> ModelCommandStatus:
    body = world.cluster.read(kinds.MODEL_COMMAND, NAMESPACE, name)
    return ModelCommandStatus.model_validate((body or {}).get("status") or {})


# --- the A/B test ----------------------------------------------------------------------------------------------------


@pytest.mark.rule("ab-test")
@pytest.mark.parametrize(
    ("two", "end", "reason", "says"),
    [
        pytest.param(BETTER, Phase.WATCHING, "Promoted", ("Pass", "Won"), id="the winner takes over"),
        pytest.param(WORSE, Phase.ROLLED_BACK, "AnalysisFailed", ("Fail", "Lost"), id="the loser goes home"),
        pytest.param(ALIKE, Phase.COMPLETED, "TrialEnded", ("Inconclusive", "NoWinner"), id="nobody won"),
    ],
)
def test_a_test_is_read_once_when_its_weeks_are_over(
    two: Model, end: Phase, reason: str, says: tuple[str, str]
) -> None:
    world = started(AB_SPEC, two)
    due = read_at(world)
    assert world.status.rollout
    assert world.status.rollout.trial
    began = world.status.rollout.trial.began
    assert world.status.rollout.trial.until - began == 2 * WEEK
    assert due == began + 2 * WEEK + WINDOW + AGE
    while world.clock.now < due - SECOND:
        world.run_for(SECOND)
        assert world.route == HALVES
        assert world.phase in (Phase.AWAITING_EVIDENCE, Phase.PROGRESSING)
        assert (outcome(world).verdict, outcome(world).reason) == ("NoData", "HorizonAhead")
        assert (outcome(world).value, outcome(world).samples) == (None, 0)
        assert asked_of_outcomes(world) == 0
    world.run(lambda: world.phase is end, within=MINUTE)
    assert world.status.rollout.reason == reason
    assert (outcome(world).verdict, outcome(world).reason) == says
    assert world.route[ONE if end is not Phase.WATCHING else TWO] == ("stable", 10_000)
    asked = asked_of_outcomes(world)
    world.run_for(MINUTE)
    assert asked_of_outcomes(world) == asked <= 2


def test_how_many_it_takes_is_said_before_anybody_is_drawn() -> None:
    world = started(AB_SPEC)
    world.run(lambda: bool(world.status.rollout and world.status.rollout.reason == "Testing"), within=MINUTE)
    assert world.status.rollout
    assert world.phase is Phase.PROGRESSING
    trial = world.status.rollout.trial
    assert trial
    assert 900 < trial.planned < 1_100
    assert f"{trial.planned:,} judged predictions" in outcome(world).message
    assert "an improvement of 5% with a power of 80%" in world.status.rollout.waiting_for


@pytest.mark.rule("ab-test")
def test_users_are_told_apart_for_as_long_as_they_are_compared() -> None:
    world = started(AB_SPEC)
    body = world.cluster.read(kinds.MODEL_ROUTE, *KEY)
    assert body
    assert (body["spec"].get("split") or {}).get("name") == "x-user-id"


def test_a_guard_ends_a_test_before_it_is_read() -> None:
    world = started(AB_SPEC, Model(version="2.0.0", loss=50.0, failing=0.3))
    world.run(lambda: world.phase is Phase.ROLLED_BACK, within=WEEK)
    assert world.clock.now < read_at(world)
    assert asked_of_outcomes(world) == 0


def test_a_winner_that_is_to_stop_there_leaves_all_of_the_traffic_to_stable() -> None:
    world = started(changed(whenWon="stop"))
    world.run(lambda: world.phase is Phase.COMPLETED, within=3 * WEEK)
    assert world.status.rollout
    assert world.status.rollout.reason == "TrialEnded"
    assert outcome(world).verdict == "Pass"
    assert world.route == ALONE
    assert condition(world, "Ready")[0] == "True"
    assert condition(world, "Judged")[:2] == ("True", "Passed")
    assert [weight for _, weight in world.weights] == [5000]


@pytest.mark.rule("ab-test")
@pytest.mark.parametrize("restarted", [False, True], ids=["at once", "and the operator starts anew"])
@pytest.mark.parametrize(
    "strategy",
    [
        pytest.param(changed(weeks=20)["strategy"], id="made longer"),
        pytest.param(changed(weeks=1)["strategy"], id="made shorter"),
        pytest.param(changed(share=90)["strategy"], id="other users"),
        pytest.param(ANOTHER, id="another strategy"),
    ],
)
def test_a_test_under_way_goes_on_as_it_was_stated(strategy: dict[str, Any], restarted: bool) -> None:
    world = started(AB_SPEC)
    due = read_at(world)
    world.deploy(AB_SPEC, image=TWO, strategy=strategy)
    if restarted:
        world.restart()
    world.run_for(5 * SECOND)
    status, reason, message = condition(world, "Accepted")
    assert (status, reason) == ("False", "TestUnderWay")
    assert "put the strategy back as it was" in message
    while world.clock.now < due - SECOND:
        world.run_for(SECOND)
        assert world.route == HALVES
    world.run(lambda: world.phase is Phase.WATCHING, within=MINUTE)
    assert read_at(world) == due
    world.run_for(5 * SECOND)
    assert condition(world, "Accepted")[:2] == ("True", "Valid")


@pytest.mark.rule("ab-test")
@pytest.mark.parametrize("restarted", [False, True], ids=["at once", "and the operator starts anew"])
@pytest.mark.parametrize(
    ("analysis", "kept"),
    [
        pytest.param({"metrics": [GUARD, DECIDES | {"maxIncrease": "50%"}]}, False, id="a wider margin"),
        pytest.param({"metrics": [GUARD, DECIDES | {"metric": "outcome.mae"}]}, False, id="another measure"),
        pytest.param({"metrics": [GUARD, DECIDES, SECOND_ONE]}, False, id="a second that decides"),
        pytest.param({"risk": {"wrongPromotion": "20%"}, "metrics": [GUARD, DECIDES]}, False, id="another risk"),
        pytest.param({"metrics": [GUARD | {"max": "40%"}, DECIDES]}, True, id="a guard's limit"),
        pytest.param({"metrics": [DECIDES, GUARD]}, True, id="another order"),
    ],
)
def test_what_a_test_is_read_by_is_not_chosen_after_a_look(
    analysis: dict[str, Any], kept: bool, restarted: bool
) -> None:
    world = started(AB_SPEC)
    stated = trial(world)
    world.deploy(AB_SPEC, image=TWO, analysis={"block": "5s"} | analysis)
    if restarted:
        world.restart()
    world.run_for(5 * SECOND)
    status, reason, message = condition(world, "Accepted")
    assert (status, reason) == (("True", "Valid") if kept else ("False", "TestUnderWay"))
    assert kept or message.startswith("spec.analysis: the A/B test of ")
    assert world.route == HALVES
    world.run(lambda: world.phase is Phase.WATCHING, within=3 * WEEK)
    assert trial(world).analysis == stated.analysis
    (read,) = (item.metric for item in world.monitor.asked if item.metric.name == "outcome")
    assert (read.metric, read.role.value, str(read.max_increase)) == ("outcome.rmse", "decide", "5%")
    world.run_for(5 * SECOND)
    assert not [item for item in verdicts(world) if item.metric != read.metric and item.verdict == "Pass"]


def test_a_newer_model_may_bring_another_strategy() -> None:
    world = started(AB_SPEC)
    world.deploy(AB_SPEC, image=THREE, strategy=ANOTHER)
    world.run(lambda: world.route.get(THREE) == ("stable", 10_000), within=5 * MINUTE)


def test_what_waits_for_its_turn_changes_nothing_of_a_test() -> None:
    spec = AB_SPEC | {"onSpecChange": "Queue"}
    world = started(spec)
    world.deploy(spec, image=THREE, strategy=ANOTHER)
    world.run_for(10 * SECOND)
    assert world.route == HALVES
    assert condition(world, "Accepted")[:2] == ("True", "Queued")


def test_users_who_were_moved_for_want_of_pods_do_not_count_and_the_weeks_go_on() -> None:
    world = started(AB_SPEC)
    due = read_at(world)
    world.run_for(10 * SECOND)
    world.frozen_count[world.revision(TWO)] = 2
    world.run(lambda: world.route[TWO][1] == 0, within=20 * SECOND)
    world.run_for(10 * SECOND)
    world.frozen_count.clear()
    world.run(lambda: world.route == HALVES, within=20 * SECOND)
    world.run(lambda: world.phase is Phase.WATCHING, within=3 * WEEK)
    assert read_at(world) == due
    whole = round((2 * WEEK).total_seconds() * world.monitor.rate / 2)
    assert 0 < outcome(world).samples < whole - 500


def test_a_test_whose_outcomes_do_not_come_ends_without_a_winner() -> None:
    world = started(AB_SPEC)
    world.monitor.rate = 0.0
    world.monitor.windows.clear()
    world.run(lambda: world.phase is Phase.COMPLETED, within=4 * WEEK)
    assert world.status.rollout
    assert (world.status.rollout.reason, outcome(world).verdict) == ("TrialEnded", "NoData")
    assert world.route == ALONE


def test_a_monitor_that_is_away_when_the_test_is_to_be_read_holds_it() -> None:
    world = started(AB_SPEC)
    world.run(lambda: world.clock.now >= read_at(world) - 3 * SECOND, within=3 * WEEK)
    world.monitor.down = "the monitor does not answer"
    world.run_for(MINUTE)
    assert (world.phase, world.route) == (Phase.AWAITING_EVIDENCE, HALVES)
    world.monitor.down = ""
    world.run(lambda: world.phase is Phase.WATCHING, within=MINUTE)


def test_a_person_may_end_a_test_early_and_then_it_is_never_read() -> None:
    world = started(AB_SPEC, WORSE)
    assert world.status.rollout
    name = world.command("promote", rollout=world.status.rollout.id, step="test", reason="the sale begins")
    world.run(lambda: world.phase is Phase.WATCHING, within=MINUTE)
    assert answer(world, name).result == "Accepted"
    world.run_for(3 * WEEK)
    assert asked_of_outcomes(world) == 0
    assert world.route[TWO] == ("stable", 10_000)


def test_a_canary_that_becomes_a_test_half_way_is_not_read() -> None:
    steps = [{"name": "quarter", "weight": 25, "hold": "10m"}]
    canary = {"type": "Canary", "canary": {"mirror": 0, "steps": steps}}
    world = started(AB_SPEC | {"strategy": canary})
    world.deploy(AB_SPEC, image=TWO)
    world.run(lambda: world.route == HALVES, within=MINUTE)
    world.run_for(3 * WEEK)
    assert world.route == HALVES
    assert outcome(world).reason == "UsersMoved"
    world.deploy(AB_SPEC, image=TWO, strategy=canary)
    world.run_for(5 * SECOND)
    assert condition(world, "Accepted")[0] == "True", "what cannot be read may be changed"


# --- the bandit ------------------------------------------------------------------------------------------------------


class Moves:
    """Every weight of the second model, and when it came."""

    def __init__(self, world: Simulation) -> None:
        self.world = world
        self.seen: list[tuple[datetime, int]] = []

    def watch(self, span: timedelta) -> list[int]:
        """Let so much time pass; every weight since the beginning."""
        end = self.world.clock.now + span
        while self.world.clock.now < end:
            self.world.run_for(SECOND)
            _, weight = self.world.route.get(TWO, ("", 0))
            if not self.seen or self.seen[-1][1] != weight:
                self.seen.append((self.world.clock.now, weight))
        return [weight for _, weight in self.seen]


@pytest.mark.rule("bandit")
def test_the_weight_follows_what_is_better_within_its_ceiling() -> None:
    world = started(BANDIT_SPEC, Model(version="2.0.0", loss=80.0))
    moves = Moves(world)
    weights = moves.watch(2 * MINUTE)
    assert weights[0] == 1000
    assert weights[-1] == 9000
    assert all(500 <= weight <= 9000 for weight in weights)
    assert world.status.rollout
    assert (world.phase, world.status.rollout.reason) == (Phase.PROGRESSING, "Learning")


@pytest.mark.rule("bandit")
def test_a_weight_that_moves_again_and_again_stands_for_a_while_each_time() -> None:
    world = started(BANDIT_SPEC, Model(version="2.0.0", loss=97.0))
    moves = Moves(world)
    assert len(moves.watch(4 * MINUTE)) >= 4
    assert all(later - earlier >= 20 * SECOND for (earlier, _), (later, _) in pairwise(moves.seen))


@pytest.mark.rule("bandit")
def test_what_is_worse_keeps_no_more_than_its_floor() -> None:
    world = started(BANDIT_SPEC, Model(version="2.0.0", loss=109.0))
    assert Moves(world).watch(2 * MINUTE)[-1] < 1000
    world.run_for(5 * MINUTE)
    assert world.route[TWO] == ("candidate", 500)


def test_the_winner_takes_over_once_it_is_proven() -> None:
    world = started(BANDIT_SPEC)
    world.run(lambda: world.phase is Phase.WATCHING, within=10 * MINUTE)
    assert outcome(world).verdict == "Pass"
    assert world.route[TWO] == ("stable", 10_000)


def test_the_loser_goes_home_once_it_is_proven() -> None:
    world = started(BANDIT_SPEC, WORSE)
    world.run(lambda: world.phase is Phase.ROLLED_BACK, within=10 * MINUTE)
    assert outcome(world).verdict == "Fail"


@pytest.mark.rule("bandit")
@pytest.mark.parametrize("how", ["a person's pause", "suspend", "a freeze"])
def test_a_weight_is_frozen_while_the_rollout_is_held(how: str) -> None:
    world = started(BANDIT_SPEC, Model(version="2.0.0", loss=80.0))
    assert world.status.rollout
    frozen: dict[str, Any] = {"suspend": {"suspend": True}, "a freeze": {"freeze": [WHOLE_YEAR]}}.get(how, {})
    if frozen:
        world.deploy(BANDIT_SPEC | frozen, image=TWO)
    else:
        world.command("pause", rollout=world.status.rollout.id)
    assert Moves(world).watch(2 * MINUTE) == [1000]
    assert world.status.rollout
    assert world.status.rollout.steps_done[-1].weight_bp == 1000
    if frozen:
        world.deploy(BANDIT_SPEC, image=TWO)
    else:
        world.command("resume", rollout=world.status.rollout.id)
    assert Moves(world).watch(MINUTE)[-1] == 9000


@pytest.mark.parametrize("fault", ["dies after every write", "loses every status"])
def test_a_weight_that_has_moved_stays_moved(fault: str) -> None:
    world = started(BANDIT_SPEC, Model(version="2.0.0", loss=80.0))
    world.run(lambda: world.route[TWO] == ("candidate", 9000), within=3 * MINUTE)
    for _ in range(10):
        if fault == "loses every status":
            world.cluster.objects["ModelDeployment", NAMESPACE, KEY[1]].pop("status", None)
            world.restart()
        else:
            world.cluster.crash_after = len(world.cluster.writes) + 1
        world.run_for(7 * SECOND)
        assert world.route[TWO][1] >= 8000


def test_a_crash_between_the_record_and_the_route_moves_the_weight_all_the_same() -> None:
    world = started(BANDIT_SPEC, Model(version="2.0.0", loss=80.0))
    died: list[str] = []

    def die_of_the_record(_: str) -> None:
        rollout = world.status.rollout
        if rollout and rollout.reason == "Shifting" and not died:
            died.append(rollout.step)
            raise Crash

    world.cluster.after_write = die_of_the_record
    world.run(lambda: world.route[TWO][1] > 1000, within=2 * MINUTE)
    assert died == ["bandit"]


def test_no_weight_moves_while_the_evidence_cannot_be_had() -> None:
    world = started(BANDIT_SPEC, Model(version="2.0.0", loss=80.0))
    world.monitor.down = "the monitor does not answer"
    assert Moves(world).watch(2 * MINUTE) == [1000]
