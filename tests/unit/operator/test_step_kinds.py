"""Steps that wait for more than time: for a person, for outcomes, for pairs in preview."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from switchyard_contracts.model_deployment import Phase
from switchyard_testkit.rollout_world import CANARY_SPEC, PAIRED, SPEC, Model, Simulation

ONE, TWO = "models/delay:1", "models/delay:2"
SECOND, MINUTE = timedelta(seconds=1), timedelta(minutes=1)


def stepwise(**first: Any) -> dict[str, Any]:
    """A canary of two steps, of which the first says more."""
    steps = [{"name": "ten", "weight": 10, "hold": "10s"} | first, {"name": "half", "weight": 50, "hold": "10s"}]
    return CANARY_SPEC | {"strategy": {"type": "Canary", "canary": {"mirror": 0, "steps": steps}}}


PREVIEWED: dict[str, Any] = (
    SPEC | PAIRED | {"strategy": {"type": "BlueGreen", "blueGreen": {"hold": "10s", "mirror": "auto"}}}
)


def started(spec: dict[str, Any], *, loss: float = 50.0) -> Simulation:
    """The first model serves, and the second is on its way."""
    world = Simulation({ONE: Model(version="1.0.0", loss=100.0), TWO: Model(version="2.0.0", loss=loss)})
    world.deploy(spec)
    world.run(lambda: world.phase is Phase.COMPLETED)
    world.deploy(spec, image=TWO)
    world.run(lambda: TWO in world.route)
    return world


@pytest.mark.rule("canary")
def test_a_step_that_pauses_is_left_only_when_a_person_promotes_it() -> None:
    world = started(stepwise(pause=True))
    world.run_for(3 * MINUTE)
    assert world.status.rollout
    assert (world.phase, world.route[TWO]) == (Phase.PAUSED, ("candidate", 1000))
    assert world.status.rollout.waiting_for == "a person's promote"
    world.command("promote", rollout=world.status.rollout.id, step="ten")
    world.run(lambda: world.route[TWO] == ("candidate", 5000), within=5 * SECOND)
    world.run(lambda: world.phase is Phase.WATCHING, within=5 * MINUTE)


def test_what_fails_in_a_step_that_pauses_goes_home_without_a_person() -> None:
    world = started(stepwise(pause=True))
    world.run(lambda: world.phase is Phase.PAUSED, within=MINUTE)
    world.images[TWO] = Model(version="2.0.0", failing=0.3)
    world.run(lambda: world.route == {ONE: ("stable", 10_000)}, within=2 * MINUTE)


@pytest.mark.rule("canary")
def test_a_step_that_awaits_outcomes_is_not_left_while_they_are_not_decided() -> None:
    world = started(stepwise(awaitOutcomes=True), loss=111.0)
    world.run_for(5 * MINUTE)
    assert (world.phase, world.route[TWO]) == (Phase.AWAITING_EVIDENCE, ("candidate", 1000))
    world.images[TWO] = Model(version="2.0.0", loss=40.0)
    world.run(lambda: world.route[TWO] == ("candidate", 5000), within=20 * MINUTE)


def test_a_step_that_says_nothing_of_outcomes_waits_for_none() -> None:
    world = started(stepwise(), loss=111.0)
    world.run(lambda: world.route[TWO] == ("candidate", 5000), within=MINUTE)


@pytest.mark.rule("blue-green")
def test_a_preview_that_mirrors_switches_once_its_pairs_pass() -> None:
    world = started(PREVIEWED)
    assert (world.route[TWO], world.mirrors) == (("candidate", 0), {TWO: 10_000})
    assert world.phase is not Phase.WATCHING
    world.run(lambda: world.phase is Phase.WATCHING, within=10 * MINUTE)
    assert (world.route[TWO], world.mirrors) == (("stable", 10_000), {})
    assert [weight for _, weight in world.weights] == [0, 10_000]
    assert world.status.rollout
    assert [record.name for record in world.status.rollout.steps_done] == ["preview", "full"]


@pytest.mark.rule("blue-green")
def test_a_preview_whose_pairs_are_worse_goes_home_before_any_user_saw_it() -> None:
    world = started(PREVIEWED, loss=400.0)
    world.run(lambda: world.phase is Phase.ROLLED_BACK, within=10 * MINUTE)
    assert world.status.rollout
    assert "before any user was given an answer of it" in world.status.rollout.message
    assert {weight for _, weight in world.weights} == {0}
