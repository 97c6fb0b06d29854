"""What the operator publishes of rollouts, and keeps of those that are over: the verdicts are those that decided."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from datetime import timedelta

import pytest
from switchyard_contracts.model_deployment import MetricVerdict, Phase
from switchyard_operator.errors import Outdated, Refused
from switchyard_testkit.rollout_world import CANARY_SPEC, Model, Simulation

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


def test_a_status_that_the_api_server_refuses_keeps_no_failing_candidate_in_the_traffic() -> None:
    world = failing()

    def strike(write: str) -> None:
        if write.startswith("status ModelDeployment"):
            raise Refused("cannot write status of ModelDeployment: the API server answers 422")

    def passes() -> bool:
        with contextlib.suppress(Refused):
            world.tick()
        return world.route == {ONE: ("stable", 10_000)}

    world.cluster.before_write = strike
    assert any(passes() for _ in range(90))


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
