"""The operator dies right after each of its writes, one run for each, and always comes to the same end."""

from __future__ import annotations

from typing import Any

import pytest
from switchyard_contracts.model_deployment import Phase
from switchyard_testkit.rollout_world import AB_SPEC, CANARY_SPEC, SHADOW_SPEC, SPEC, THEN_SPEC, Model, Simulation

ONE, TWO = "models/delay:1", "models/delay:2"
GOOD = {ONE: Model(version="1.0.0", loss=100.0), TWO: Model(version="2.0.0", loss=50.0)}
WORSE = {ONE: GOOD[ONE], TWO: Model(version="2.0.0", loss=400.0)}
BAD = {ONE: GOOD[ONE], TWO: Model(version="2.0.0", loss=50.0, failing=0.2)}


def play(models: dict[str, Model], spec: dict[str, Any], end: Phase, *, crash_after: int | None) -> dict[str, Any]:
    """One rollout, to its end."""
    world = Simulation(models)
    world.cluster.crash_after = crash_after
    world.deploy(spec)
    world.run(lambda: world.phase is Phase.COMPLETED)
    world.deploy(spec, image=TWO)
    world.run(
        lambda: (
            world.phase is end and _of_the_second(world) and set(world.replicas.values()) <= {1, 2} and _at_rest(world)
        )
    )
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
        "mirrored": [bool(record.mirrored) for record in rollout.steps_done],
        "mirrors": world.mirrors,
        "conditions": {item.type: (item.status, item.reason) for item in world.status.conditions},
    }


def _of_the_second(world: Simulation) -> bool:
    return world.status.rollout is not None and world.status.rollout.version == "2.0.0"


def _at_rest(world: Simulation) -> bool:
    wanted = {TWO, ONE} if world.phase is Phase.WATCHING else {ONE}
    return set(world.replicas) == wanted and (world.phase is not Phase.WATCHING or world.replicas[ONE] == 1)


@pytest.mark.parametrize(
    ("models", "spec", "end"),
    [
        pytest.param(GOOD, CANARY_SPEC, Phase.WATCHING, id="a canary that is promoted"),
        pytest.param(BAD, CANARY_SPEC, Phase.ROLLED_BACK, id="a canary that is taken back"),
        pytest.param(GOOD, SPEC, Phase.WATCHING, id="blue/green"),
        pytest.param(GOOD, SHADOW_SPEC, Phase.COMPLETED, id="a shadow that ends"),
        pytest.param(GOOD, THEN_SPEC, Phase.WATCHING, id="a shadow that takes over"),
        pytest.param(WORSE, THEN_SPEC, Phase.ROLLED_BACK, id="a shadow that is taken back"),
        pytest.param(GOOD, AB_SPEC, Phase.WATCHING, id="an A/B test that is won"),
        pytest.param(WORSE, AB_SPEC, Phase.ROLLED_BACK, id="an A/B test that is lost"),
    ],
)
@pytest.mark.timeout(900)
def test_a_crash_after_any_write_comes_to_the_same_end(
    models: dict[str, Model], spec: dict[str, Any], end: Phase
) -> None:
    whole = play(models, spec, end, crash_after=None)
    compared = ("route", "replicas", "phase", "reason", "weights", "steps", "mirrored", "mirrors", "conditions")
    for write in range(1, whole["writes"] + 1):
        played = play(models, spec, end, crash_after=write)
        assert played["crashed"], f"no crash after write {write}"
        assert {key: played[key] for key in compared} == {key: whole[key] for key in compared}, f"after write {write}"
