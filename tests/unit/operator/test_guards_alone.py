"""Rollouts while the monitor is silent: what the gateways counted takes a failing candidate back, and does no more."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from switchyard_contracts.model_deployment import MetricVerdict, Phase
from switchyard_testkit.rollout_world import ANALYSIS, CANARY_SPEC, Model, Simulation

ONE, TWO = "models/delay:1", "models/delay:2"
GOOD, BAD = Model(version="2.0.0", loss=50.0), Model(version="2.0.0", loss=50.0, failing=0.2)
AWAY = "the monitor does not answer: ConnectError"
MINUTE = timedelta(minutes=1)


def guarded(**words: Any) -> dict[str, Any]:
    """The usual canary with another guard."""
    errors = {"name": "errors", "metric": "error_rate", "role": "guard", **words}
    return CANARY_SPEC | {"analysis": {"metrics": [errors, ANALYSIS["metrics"][1]]}}


def started(two: Model, *, spec: dict[str, Any] = CANARY_SPEC, one: Model | None = None) -> Simulation:
    """The first model serves, and the second is on its way."""
    world = Simulation({ONE: Model(version="1.0.0", loss=100.0), TWO: two})
    world.deploy(spec)
    world.run(lambda: world.phase is Phase.COMPLETED)
    if one:
        world.images[ONE] = one
    world.deploy(spec, image=TWO)
    return world


def at_five(two: Model, *, spec: dict[str, Any] = CANARY_SPEC, one: Model | None = None) -> Simulation:
    """It has reached its first step."""
    world = started(two, spec=spec, one=one)
    world.run(lambda: bool(world.status.rollout and world.status.rollout.step == "five"))
    return world


def errors(world: Simulation) -> MetricVerdict:
    assert world.status.rollout
    return next(item for item in world.status.rollout.verdicts if item.name == "errors")


def message(world: Simulation) -> str:
    assert world.status.rollout
    return world.status.rollout.message


@pytest.mark.parametrize("words", [{"max": "1%"}, {"maxIncrease": "50%"}], ids=["a limit", "against stable"])
def test_a_failing_candidate_is_taken_back_within_its_step(words: dict[str, str]) -> None:
    world = at_five(BAD, spec=guarded(**words))
    world.monitor.down = AWAY
    world.run(lambda: world.phase is Phase.ROLLED_BACK, within=MINUTE)
    assert world.route == {ONE: ("stable", 10_000)}
    assert {weight for _, weight in world.weights} == {500}
    assert world.status.rollout
    assert world.status.rollout.reason == "AnalysisFailed"
    assert f"by the gateways' counters ({AWAY})" in message(world)
    assert errors(world).verdict == "Fail"
    assert errors(world).samples >= 3


def test_it_is_the_counters_that_take_it_back() -> None:
    world = at_five(BAD)
    world.monitor.down = AWAY
    world.gateways.uncounted = True
    world.run_for(5 * MINUTE)
    assert world.route[TWO] == ("candidate", 500)
    assert world.phase is Phase.AWAITING_EVIDENCE
    assert "no request of the candidate has been counted" in message(world)


def test_a_candidate_that_breaks_later_is_taken_back_too() -> None:
    world = at_five(GOOD)
    world.monitor.down = AWAY
    world.run_for(5 * MINUTE)
    world.images[TWO] = BAD
    world.run(lambda: world.phase is Phase.ROLLED_BACK, within=MINUTE)


def test_a_healthy_candidate_is_neither_taken_back_nor_promoted() -> None:
    world = at_five(GOOD)
    world.monitor.down = AWAY
    world.run_for(5 * MINUTE)
    assert world.route[TWO] == ("candidate", 500)
    assert world.status.rollout
    assert world.status.rollout.reason == "EvidenceUnavailable"
    assert errors(world).verdict == "Error"
    assert f"{AWAY}; by the gateways' counters, which only ever take back: 0 % of" in errors(world).message
    world.monitor.down = ""
    world.run(lambda: world.phase is Phase.WATCHING)
    assert [weight for _, weight in world.weights] == [500, 2500, 5000, 10_000]


@pytest.mark.parametrize(
    ("policy", "phase"),
    [("hold", Phase.AWAITING_EVIDENCE), ("fail", Phase.ROLLED_BACK), ("pass", Phase.PROGRESSING)],
)
def test_what_the_spec_wants_of_missing_evidence_happens_as_if_nothing_were_counted(policy: str, phase: Phase) -> None:
    world = at_five(GOOD, spec=guarded(max="1%", onUnavailable=policy, maxWait="3m"))
    world.monitor.down = AWAY
    world.run_for(2 * MINUTE)
    assert world.route[TWO] == ("candidate", 500)
    world.run(lambda: world.phase is phase, within=5 * MINUTE)
    assert "by the gateways' counters (" not in message(world)


def test_while_stable_breaks_the_same_limit_nobody_is_taken_back() -> None:
    world = at_five(BAD, one=Model(version="1.0.0", loss=100.0, failing=0.2))
    world.monitor.down = AWAY
    world.run_for(5 * MINUTE)
    assert world.route[TWO] == ("candidate", 500)
    assert "stable broke the same limit" in message(world)


def test_a_silent_gateways_counts_are_not_waited_for() -> None:
    world = at_five(BAD)
    world.monitor.down = AWAY
    world.gateways.silent = {"gateway-0"}
    world.run(lambda: world.phase in (Phase.ROLLING_BACK, Phase.ROLLED_BACK), within=2 * MINUTE)


def test_a_monitor_that_reads_nothing_new_is_as_good_as_silent() -> None:
    world = at_five(GOOD)
    world.run_for(timedelta(seconds=5))
    world.monitor.read_to = world.clock.now
    world.images[TWO] = BAD
    world.run(lambda: world.phase is Phase.ROLLED_BACK, within=3 * MINUTE)
    assert "the monitor has read nothing newer than 2026-01-01T12:" in message(world)


def test_while_the_monitor_speaks_nobody_asks_for_counters() -> None:
    world = started(GOOD)
    world.run(lambda: world.phase is Phase.WATCHING)
    assert world.gateways.asked == 0
    bad = started(BAD)
    bad.run(lambda: bad.phase is Phase.ROLLED_BACK)
    assert bad.gateways.asked == 0
    assert "counters" not in message(bad)


def test_a_promoted_model_that_begins_to_fail_while_it_is_watched_is_taken_back() -> None:
    world = started(GOOD)
    world.run(lambda: world.phase is Phase.WATCHING)
    world.monitor.down = AWAY
    world.images[TWO] = BAD
    world.run(lambda: world.phase is Phase.ROLLED_BACK, within=MINUTE)
    assert "taken back after its promotion" in message(world)
    assert "by the gateways' counters" in message(world)
    assert world.route == {ONE: ("stable", 10_000)}


def test_without_automatic_rollback_a_person_is_asked() -> None:
    world = at_five(BAD, spec=CANARY_SPEC | {"rollback": {"automatic": False}})
    world.monitor.down = AWAY
    world.run(lambda: world.phase is Phase.PAUSED, within=MINUTE)
    world.run_for(5 * MINUTE)
    assert world.route[TWO] == ("candidate", 500)
    assert "by the gateways' counters" in message(world)


def test_an_operator_that_starts_anew_every_other_second_forgets_nothing() -> None:
    world = at_five(BAD)
    world.monitor.down = AWAY
    for _ in range(30):
        world.restart()
        world.run_for(timedelta(seconds=2))
    assert world.phase is Phase.ROLLED_BACK
    assert {weight for _, weight in world.weights} == {500}


def test_a_failing_candidate_of_an_earlier_attempt_has_no_record_in_the_next() -> None:
    world = at_five(BAD)
    world.monitor.down = AWAY
    world.run(lambda: world.phase is Phase.ROLLED_BACK, within=MINUTE)
    world.images[TWO] = GOOD
    world.command("retry", revision=world.revision(TWO))
    world.run(lambda: bool(world.status.rollout and world.status.rollout.attempt == 2 and world.weights[-1][1] == 500))
    world.run_for(5 * MINUTE)
    assert world.phase is Phase.AWAITING_EVIDENCE
    assert world.route[TWO] == ("candidate", 500)


def test_a_crash_after_any_write_comes_to_the_same_end() -> None:
    def play(crash_after: int | None) -> tuple[Any, ...]:
        world = Simulation({ONE: Model(version="1.0.0", loss=100.0), TWO: BAD})
        world.monitor.down = AWAY
        world.cluster.crash_after = crash_after
        world.deploy(CANARY_SPEC)
        world.run(lambda: world.phase is Phase.COMPLETED)
        world.deploy(CANARY_SPEC, image=TWO)
        world.run(lambda: world.phase is Phase.ROLLED_BACK and world.replicas == {ONE: 2})
        assert world.cluster.crash_after is None
        assert world.status.rollout
        return world.route, world.weights, world.status.rollout.reason, len(world.cluster.writes)

    *end, writes = play(None)
    for write in range(1, writes + 1):
        assert [*play(write)][:-1] == end, f"after write {write}"
