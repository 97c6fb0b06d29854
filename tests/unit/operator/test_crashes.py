"""The operator dies right after each of its writes, one run for each, and always comes to the same end."""

from __future__ import annotations

from typing import Any

import pytest
from switchyard_contracts.model_deployment import Phase
from switchyard_testkit.rollout_world import CANARY_SPEC, SPEC, Model, Simulation

ONE, TWO = "models/delay:1", "models/delay:2"
GOOD = {ONE: Model(version="1.0.0", loss=100.0), TWO: Model(version="2.0.0", loss=50.0)}
BAD = {ONE: GOOD[ONE], TWO: Model(version="2.0.0", loss=50.0, failing=0.2)}


def play(models: dict[str, Model], spec: dict[str, Any], end: Phase, *, crash_after: int | None) -> dict[str, Any]:
    """One rollout, to its end."""
    world = Simulation(models)
    world.cluster.crash_after = crash_after
    world.deploy(spec)
    world.run(lambda: world.phase is Phase.COMPLETED)
    world.deploy(spec, image=TWO)
    world.run(lambda: world.phase is end and set(world.replicas.values()) <= {1, 2} and _at_rest(world))
    rollout = world.status.rollout
    assert rollout
    return {
        "crashed": crash_after is not None and world.cluster.crash_after is None,
        "writes": len(world.cluster.writes),
        "route": world.route,
        "replicas": world.replicas,
        "phase": rollout.phase,
        "reason": rollout.reason,
        "weights": world.weights,
        "steps": [(record.name, record.weight_bp) for record in rollout.steps_done],
        "conditions": {item.type: (item.status, item.reason) for item in world.status.conditions},
    }


def _at_rest(world: Simulation) -> bool:
    wanted = {TWO, ONE} if world.phase is Phase.WATCHING else {ONE}
    return set(world.replicas) == wanted and (world.phase is not Phase.WATCHING or world.replicas[ONE] == 1)


@pytest.mark.parametrize(
    ("models", "spec", "end"),
    [
        pytest.param(GOOD, CANARY_SPEC, Phase.WATCHING, id="a canary that is promoted"),
        pytest.param(BAD, CANARY_SPEC, Phase.ROLLED_BACK, id="a canary that is taken back"),
        pytest.param(GOOD, SPEC, Phase.WATCHING, id="blue/green"),
    ],
)
@pytest.mark.timeout(900)
def test_a_crash_after_any_write_comes_to_the_same_end(
    models: dict[str, Model], spec: dict[str, Any], end: Phase
) -> None:
    whole = play(models, spec, end, crash_after=None)
    compared = ("route", "replicas", "phase", "reason", "weights", "steps", "conditions")
    for write in range(1, whole["writes"] + 1):
        played = play(models, spec, end, crash_after=write)
        assert played["crashed"], f"no crash after write {write}"
        assert {key: played[key] for key in compared} == {key: whole[key] for key in compared}, f"after write {write}"
