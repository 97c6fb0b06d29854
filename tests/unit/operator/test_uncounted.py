"""Guards for which nothing was counted yet: they name the windows by which that is done, and when the first ends."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from switchyard_contracts.model_deployment import MetricVerdict, Phase, RolloutStatus
from switchyard_testkit.rollout_world import CANARY_SPEC, MONITORING, Model, Simulation

ONE, TWO = "models/delay:1", "models/delay:2"
BARE = "no request of the candidate has been counted yet"
LONG = CANARY_SPEC | {"monitoring": MONITORING | {"window": "5m"}}
"""Windows of ten times a step. The world's own are of 5 s, so what leaves nothing to count is that nobody asks."""
ENDS = "2026-01-01 12:05:00Z"


def at_five(spec: dict[str, Any]) -> Simulation:
    """A candidate has entered its first step, and nobody asks any more."""
    world = Simulation({ONE: Model(version="1.0.0"), TWO: Model(version="2.0.0", loss=50.0)})
    world.deploy(spec)
    world.run(lambda: world.phase is Phase.COMPLETED)
    world.monitor.rate = 0.0
    world.deploy(spec, image=TWO)
    world.run(lambda: rollout(world).step == "five" and rollout(world).steps_done[-1].synced_at is not None)
    world.run_for(timedelta(seconds=1))
    return world


def rollout(world: Simulation) -> RolloutStatus:
    assert world.status.rollout
    return world.status.rollout


def errors(world: Simulation) -> MetricVerdict:
    return next(item for item in rollout(world).verdicts if item.name == "errors")


def test_it_names_the_window_and_when_the_steps_first_one_ends() -> None:
    assert errors(at_five(LONG)).message == (
        f"{BARE}: requests count when their window of 5m (monitoring.window) is over, and the step's first ends at"
        f" {ENDS}"
    )


def test_what_is_waited_for_says_when_it_can_come() -> None:
    world = at_five(LONG)
    world.run(lambda: world.phase is Phase.AWAITING_EVIDENCE)
    assert "errors: 200 more requests needed" in rollout(world).waiting_for
    assert f"the step's first window ends at {ENDS}" in rollout(world).waiting_for


def test_once_that_window_is_over_nobody_is_put_off_with_it() -> None:
    world = at_five(LONG)
    world.run_for(timedelta(minutes=6))
    said = f"{BARE}, though the step's first window of 5m (monitoring.window) ended at {ENDS}"
    assert errors(world).message == said
    assert "window" not in rollout(world).waiting_for


def test_a_monitor_that_has_not_read_so_far_is_still_waited_for() -> None:
    world = at_five(LONG)
    world.monitor.read_to = world.clock.now
    world.run_for(timedelta(minutes=6))
    assert f"and the step's first ends at {ENDS}" in errors(world).message


def test_where_nothing_is_said_of_windows_they_are_of_five_minutes() -> None:
    guards = {"metrics": [{"name": "errors", "metric": "error_rate", "max": "1%", "role": "guard"}]}
    spec = {key: value for key, value in CANARY_SPEC.items() if key != "monitoring"} | {"analysis": guards}
    assert "their window of 5m (monitoring.window) is over" in errors(at_five(spec)).message


def test_while_a_gateway_is_silent_nobody_knows_which_window_is_the_first() -> None:
    world = at_five(LONG)
    world.gateways.silent.add("gateway-1")
    world.command("promote", rollout=rollout(world).id, step="five")
    world.run(lambda: rollout(world).step == "quarter")
    world.run_for(timedelta(seconds=3))
    assert errors(world).message == f"{BARE}: requests count when their window of 5m (monitoring.window) is over"
