"""What the operator publishes of rollouts, and keeps of those that are over: the verdicts are those that decided."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from switchyard_contracts.model_deployment import MetricVerdict, Phase
from switchyard_operator.errors import Outdated, Refused
from switchyard_testkit.fake_cluster import Crash
from switchyard_testkit.rollout_world import AB_SPEC, CANARY_SPEC, Model, Simulation, shadow

ONE, TWO, THREE = "models/delay:1", "models/delay:2", "models/delay:3"
BACK = ("RollingBack", "RolledBack")
MINUTE = timedelta(minutes=1)


def said(verdicts: list[MetricVerdict]) -> dict[str, str]:
    return {item.name: item.verdict for item in verdicts}


def canary(**second: float) -> Simulation:
    """The second is at its first step."""
    nature = Model(version="2.0.0", loss=50.0, failing=second.get("failing", 0.0))
    world = Simulation({ONE: Model(version="1.0.0"), TWO: nature, THREE: Model(version="3.0.0", loss=50.0)})
    world.deploy(CANARY_SPEC)
    world.run(lambda: world.phase is Phase.COMPLETED)
    world.deploy(CANARY_SPEC, image=TWO)
    world.run(lambda: world.status.rollout is not None and world.status.rollout.step == "five")
    return world


def failing() -> Simulation:
    return canary(failing=0.2)


def aborted() -> Simulation:
    world = canary()
    world.run(lambda: world.status.rollout is not None and world.status.rollout.verdict == "Inconclusive")
    assert world.status.rollout
    world.command("abort", rollout=world.status.rollout.id, reason="lunch")
    return world


def demoted() -> Simulation:
    """It fails after its promotion, when the one before it is down to one warm pod."""
    world = canary()
    world.run(lambda: world.phase is Phase.WATCHING)
    world.run_for(20 * timedelta(seconds=1))
    world.images[TWO] = Model(version="2.0.0", loss=50.0, failing=0.5)
    return world


def back(world: Simulation) -> dict[str, str]:
    """The verdicts on its way back, which are the same wherever they are said."""
    world.run(lambda: world.phase is Phase.ROLLED_BACK)
    world.run_for(MINUTE)
    records = [record for record in world.bus.rollouts if record.phase in BACK]
    found = said(records[0].verdicts)
    assert found
    assert [said(record.verdicts) for record in records] == [found] * len(records)
    assert world.status.rollout
    assert said(world.status.rollout.verdicts) == said(world.status.history[-1].verdicts) == found
    return found


@pytest.mark.parametrize("situation", [failing, aborted, demoted])
def test_on_the_way_back_every_record_has_the_verdicts_that_led_to_it(situation: Callable[[], Simulation]) -> None:
    world = situation()
    found = back(world)
    assert "Fail" in found.values() or situation is aborted
    assert set(BACK) <= {record.phase for record in world.bus.rollouts}


@pytest.mark.parametrize("situation", [failing, aborted, demoted])
def test_an_operator_that_dies_after_any_write_on_the_way_back_has_kept_the_verdicts(
    situation: Callable[[], Simulation],
) -> None:
    whole = situation()
    first = len(whole.cluster.writes)
    found = back(whole)
    for write in range(first + 1, len(whole.cluster.writes) + 1):
        world = situation()
        world.cluster.crash_after = write
        assert back(world) == found, f"after write {write}"
        assert world.cluster.crash_after is None, f"nothing struck write {write}"


def test_verdicts_outlive_a_status_that_somebody_else_wrote_to_in_between() -> None:
    world = failing()
    struck: list[str] = []

    def strike(write: str) -> None:
        if write.startswith("status ModelDeployment") and len(struck) < 3:
            struck.append(write)
            raise Outdated("somebody wrote in between")

    world.cluster.before_write = strike
    assert "Fail" in back(world).values()
    assert len(struck) == 3


@pytest.mark.parametrize("strikes", [Crash, Refused])
@pytest.mark.parametrize("situation", [failing, demoted])
def test_a_way_back_that_was_told_of_is_gone_though_the_mark_failed_and_the_evidence_is_away_since(
    situation: Callable[[], Simulation], strikes: type[BaseException]
) -> None:
    world = situation()
    struck: list[str] = []

    def strike(write: str) -> None:
        if write.startswith("patch ModelRevision") and not struck:
            struck.append(write)
            world.monitor.down = "the monitor does not answer: ConnectError"
            world.gateways.uncounted = True
            raise strikes("cannot patch ModelRevision")

    world.cluster.before_write = strike
    assert "Fail" in back(world).values()
    assert struck
    assert world.status.rollout
    assert world.status.rollout.reason == "AnalysisFailed"
    told = [name for name, body in world.notes.posted.items() if body["reason"] == "TakenBack"]
    assert [world.notes.times[name] for name in told] == [1, 1], "of the deployment and of the revision"


def goes_back_unnoted(world: Simulation, noting: Callable[[], bool]) -> bool:
    """Whether stable has everything in the end, where no status can be written once it is noting no more."""

    def strike(write: str) -> None:
        if write.startswith("status ModelDeployment") and not noting():
            raise Refused("cannot write status of ModelDeployment: the API server answers 422")

    def passes() -> bool:
        with contextlib.suppress(Refused):
            world.tick()
        return not noting() and world.route.get(ONE) == ("stable", 10_000)

    world.cluster.before_write = strike
    return any(passes() for _ in range(120))


def test_a_status_that_the_api_server_refuses_keeps_no_failing_candidate_in_the_traffic() -> None:
    assert goes_back_unnoted(failing(), lambda: False)


@pytest.mark.parametrize("beside", [[], [shadow("better", THREE, sample="50%")]], ids=["alone", "beside a shadow"])
def test_nor_does_one_that_it_refused_since_the_candidate_came(beside: list[dict[str, Any]]) -> None:
    spec = CANARY_SPEC | {"shadows": beside}
    world = Simulation({ONE: Model(), TWO: Model(version="2.0.0", failing=0.2), THREE: Model(version="3.0.0")})
    world.deploy(spec)
    world.run(lambda: world.phase is Phase.COMPLETED)
    world.run_for(MINUTE)
    world.deploy(spec, image=TWO)
    came: list[bool] = []

    def noting() -> bool:
        came.extend([True] * (TWO in world.route))
        return not came

    assert goes_back_unnoted(world, noting)


def test_nor_does_one_that_a_new_model_was_asked_of_since() -> None:
    world = failing()
    world.deploy(CANARY_SPEC, image=THREE)
    assert goes_back_unnoted(world, lambda: False)


def test_a_test_on_users_that_was_lost_ends_though_no_status_can_say_so() -> None:
    def lost() -> Simulation:
        world = Simulation({ONE: Model(), TWO: Model(version="2.0.0", loss=400.0)})
        world.deploy(AB_SPEC)
        world.run(lambda: world.phase is Phase.COMPLETED)
        world.deploy(AB_SPEC, image=TWO)
        world.run(lambda: TWO in world.route)
        return world

    whole = lost()
    whole.run(lambda: whole.phase is Phase.ROLLED_BACK)
    read_at = next(record.at for record in whole.bus.rollouts if record.phase == "RollingBack")
    world = lost()
    assert goes_back_unnoted(world, lambda: world.clock.now < read_at)


def test_a_rollout_that_the_spec_gave_up_is_kept_with_its_own_verdicts_and_not_with_those_of_what_serves() -> None:
    world = canary()
    world.run(lambda: world.phase is Phase.COMPLETED)
    world.deploy(CANARY_SPEC, image=THREE)
    world.run(lambda: world.status.rollout is not None and world.status.rollout.step == "quarter")
    world.run_for(20 * timedelta(seconds=1))
    assert world.status.rollout
    last = world.status.rollout
    world.deploy(CANARY_SPEC, image=TWO)
    world.run(lambda: world.status.history[-1].id == last.id)
    assert world.status.history[-1].reason == "Cancelled"
    assert world.status.history[-1].verdicts == last.verdicts
