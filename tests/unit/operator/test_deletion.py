"""A ModelDeployment is deleted in any phase: all that was made for it goes with it, and nothing is made again."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from switchyard_contracts.base import API_VERSION
from switchyard_contracts.model_deployment import Phase
from switchyard_operator.domain import kinds
from switchyard_testkit.rollout_world import CANARY_SPEC, KEY, NAME, NAMESPACE, SHADOW_SPEC, Model, Simulation

ONE, TWO = "models/delay:1", "models/delay:2"
MINUTE = timedelta(minutes=1)
BOUND = timedelta(seconds=5)
"""Until nothing is left of it, where pods end at once."""
MODEL: dict[str, Any] = {"image": ONE, "config": {"envFrom": [{"configMap": "limits"}]}}
CANARY: dict[str, Any] = CANARY_SPEC | {"model": MODEL}
SHADOW: dict[str, Any] = SHADOW_SPEC | {"model": MODEL}
FIRST = {
    Phase.PROVISIONING: Model(starts=False),
    Phase.GATING: Model(smoke="answered 500: no weights"),
    Phase.REFUSED: Model(smoke="answered 500: no weights"),
    Phase.COMPLETED: Model(),
}
"""Phases that a first deployment comes to, and by what model."""
SECOND = (
    Phase.SHADOWING,
    Phase.PROGRESSING,
    Phase.AWAITING_EVIDENCE,
    Phase.PAUSED,
    Phase.SUSPENDED,
    Phase.WATCHING,
    Phase.ROLLING_BACK,
    Phase.ROLLED_BACK,
)
"""Phases that another version comes to, while the first one serves."""


def in_phase(phase: Phase) -> Simulation:
    """A deployment that is in this phase, beside a ConfigMap that is the user's."""
    one = FIRST.get(phase, Model(version="1.0.0"))
    world = Simulation({ONE: one, TWO: Model(version="2.0.0", loss=50.0)}, also=kinds.OPTIONAL)
    limits = {"name": "limits", "namespace": NAMESPACE}
    world.cluster.put({"apiVersion": "v1", "kind": "ConfigMap", "metadata": limits, "data": {"MAX": "1"}})
    world.deploy(CANARY)
    if phase not in FIRST:
        world.run(lambda: world.phase is Phase.COMPLETED)
        another_version(world, phase)
    world.run(lambda: world.phase is phase)
    return world


def another_version(world: Simulation, phase: Phase) -> None:
    """The second version is on its way to the phase."""
    spec = SHADOW if phase is Phase.SHADOWING else CANARY
    world.deploy(spec, image=TWO)
    world.run(lambda: world.phase in (Phase.PROGRESSING, Phase.SHADOWING))
    rollout = world.status.rollout
    assert rollout
    match phase:
        case Phase.AWAITING_EVIDENCE:
            world.monitor.rate = 0.0
        case Phase.PAUSED:
            world.command("pause", rollout=rollout.id)
        case Phase.SUSPENDED:
            world.deploy(spec, image=TWO, suspend=True)
        case Phase.ROLLED_BACK:
            world.command("abort", rollout=rollout.id)
        case Phase.ROLLING_BACK:
            world.gateways.silent = {"gateway-1"}
            world.command("abort", rollout=rollout.id)
        case _:
            pass


def left(world: Simulation) -> set[str]:
    """Whatever there is but the user's own ConfigMap."""
    return {f"{kind} {name}" for kind, _, name in world.cluster.objects} - {"ConfigMap limits"}


@pytest.mark.rule("deletion")
@pytest.mark.parametrize("phase", [*FIRST, *SECOND], ids=str)
def test_all_that_was_made_goes_with_it_within_a_bound_and_stays_away(phase: Phase) -> None:
    world = in_phase(phase)
    assert {kind for kind, _, _ in world.cluster.objects} >= {"ModelDeployment", "ModelRevision", "ConfigMap"}
    assert len(world.cluster.find(kinds.CONFIG_MAP)) > 1
    assert not [body for body in world.cluster.objects.values() if body["metadata"].get("finalizers")]
    world.cluster.take(kinds.MODEL_DEPLOYMENT, *KEY)
    world.run(lambda: not left(world), within=BOUND)
    written = len(world.cluster.writes)
    world.run_for(MINUTE)
    assert left(world) == set()
    assert world.cluster.writes[written:] == []


@pytest.mark.rule("deletion")
@pytest.mark.parametrize("phase", [Phase.PROVISIONING, Phase.PROGRESSING, Phase.WATCHING], ids=str)
def test_while_its_children_are_collected_first_none_is_made_again(phase: Phase) -> None:
    """`kubectl delete --cascade=foreground`: it stands until all that it owns is gone; one made anew would hold it."""
    world = in_phase(phase)
    ending = {"deletionTimestamp": world.clock.now.isoformat(), "finalizers": ["foregroundDeletion"]}
    metadata = {"name": NAME, "namespace": NAMESPACE, **ending}
    world.cluster.put({"apiVersion": API_VERSION, "kind": "ModelDeployment", "metadata": metadata})
    written = len(world.cluster.writes)
    for kind in (kinds.MODEL_ROUTE, kinds.DEPLOYMENT, kinds.MODEL_REVISION):
        world.run_for(timedelta(seconds=5))
        for body in world.cluster.find(kind):
            world.cluster.take(kind, NAMESPACE, body["metadata"]["name"])
    world.run_for(MINUTE)
    assert world.cluster.writes[written:] == []
    assert left(world) == {f"ModelDeployment {NAME}"}
