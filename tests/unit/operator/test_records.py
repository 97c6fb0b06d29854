"""What the operator publishes of rollouts, and keeps of those that are over: the verdicts are those that decided."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

import pytest
from switchyard_contracts.model_deployment import MetricVerdict, Phase
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


@pytest.mark.parametrize("situation", [failing, aborted, demoted])
def test_on_the_way_back_every_record_has_the_verdicts_that_led_to_it(situation: Callable[[], Simulation]) -> None:
    world = situation()
    world.run(lambda: world.phase is Phase.ROLLED_BACK)
    world.run_for(MINUTE)
    back = [record for record in world.bus.rollouts if record.phase in BACK]
    assert {record.phase for record in back} == set(BACK)
    found = said(back[0].verdicts)
    assert found
    assert "Fail" in found.values() or situation is aborted
    assert [said(record.verdicts) for record in back] == [found] * len(back)
    assert world.status.rollout
    assert said(world.status.rollout.verdicts) == said(world.status.history[-1].verdicts) == found


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
