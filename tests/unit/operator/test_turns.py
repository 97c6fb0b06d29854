"""A newer model in the middle of a rollout, where it may not replace: it waits its turn, or is refused."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from switchyard_contracts.conditions import Condition
from switchyard_contracts.model_deployment import Phase
from switchyard_operator.domain import kinds
from switchyard_testkit.rollout_world import CANARY_SPEC, NAMESPACE, Model, Simulation

ONE, TWO, THREE, FOUR = (f"models/delay:{number}" for number in (1, 2, 3, 4))
SECOND, MINUTE = timedelta(seconds=1), timedelta(minutes=1)
QUEUE: dict[str, Any] = CANARY_SPEC | {"onSpecChange": "Queue"}
REJECT: dict[str, Any] = CANARY_SPEC | {"onSpecChange": "Reject"}
MODELS = {
    ONE: Model(version="1.0.0", loss=100.0),
    TWO: Model(version="2.0.0", loss=50.0),
    THREE: Model(version="3.0.0", loss=20.0),
    FOUR: Model(version="4.0.0", loss=20.0),
}


def at_half(spec: dict[str, Any], **changed: Model) -> Simulation:
    """The second model is on its way, and has half of the traffic."""
    world = Simulation(MODELS | {{"two": TWO}[key]: nature for key, nature in changed.items()})
    world.deploy(spec)
    world.run(lambda: world.phase is Phase.COMPLETED)
    world.deploy(spec, image=TWO)
    world.run(lambda: world.route.get(TWO) == ("candidate", 5000))
    return world


def accepted(world: Simulation) -> Condition:
    return next(item for item in world.status.conditions if item.type == "Accepted")


def said(world: Simulation, kind: str) -> str:
    return next((item.status for item in world.status.conditions if item.type == kind), "")


def rollout_id(world: Simulation) -> str:
    assert world.status.rollout
    return world.status.rollout.id


def has_pods(world: Simulation, *images: str) -> bool:
    return set(world.replicas) == set(images)


def test_an_event_says_once_what_waits_and_for_what() -> None:
    world = at_half(QUEUE)
    world.deploy(QUEUE, image=THREE)
    world.run_for(5 * SECOND)
    queued = [words for _, reason, words in world.notes.of() if reason == "Queued"]
    assert len(queued) == 1
    assert world.revision(THREE) in queued[0]
    assert f"waits until the rollout of 2.0.0 ({world.revision(TWO)}) is over, which waits for" in queued[0]
    world.deploy(QUEUE, image=FOUR)
    world.run_for(5 * SECOND)
    assert len([reason for _, reason, _ in world.notes.of() if reason == "Queued"]) == 2


@pytest.mark.rule("new-model-mid-rollout")
def test_of_those_that_queue_only_the_newest_has_its_turn_and_the_rollout_under_way_ends_first() -> None:
    world = at_half(QUEUE)
    world.deploy(QUEUE, image=THREE)
    world.run_for(3 * SECOND)
    assert world.route == {ONE: ("stable", 5000), TWO: ("candidate", 5000)}
    assert (accepted(world).status, accepted(world).reason) == ("True", "Queued")
    assert world.revision(THREE) in accepted(world).message
    assert said(world, "Ready") == "Unknown"
    world.deploy(QUEUE, image=FOUR)
    world.run(lambda: world.route.get(TWO) == ("stable", 10_000), within=5 * MINUTE)
    world.run(lambda: world.route.get(FOUR) == ("stable", 10_000), within=5 * MINUTE)
    assert not [weight for image, weight in world.weights if image == THREE]
    assert {entry.version: entry.outcome for entry in world.status.history}["2.0.0"] is Phase.COMPLETED


def test_an_abort_of_the_rollout_under_way_gives_the_next_its_turn() -> None:
    world = at_half(QUEUE)
    world.deploy(QUEUE, image=THREE)
    world.run_for(3 * SECOND)
    world.command("abort", rollout=rollout_id(world))
    world.run(lambda: world.route.get(TWO) is None, within=5 * SECOND)
    world.run(lambda: world.route.get(THREE) == ("candidate", 500), within=MINUTE)


@pytest.mark.parametrize("spec", [QUEUE, REJECT], ids=["queue", "reject"])
def test_going_back_to_stable_waits_for_nobody(spec: dict[str, Any]) -> None:
    world = at_half(spec)
    world.deploy(spec)
    world.run(lambda: world.route == {ONE: ("stable", 10_000)}, within=3 * SECOND)
    assert world.status.history[-1].reason == "Cancelled"


@pytest.mark.rule("new-model-mid-rollout")
def test_who_is_refused_stays_back_after_the_rollout_too_until_a_retry_names_it() -> None:
    world = at_half(REJECT)
    world.deploy(REJECT, image=THREE)
    world.run_for(3 * SECOND)
    assert world.route == {ONE: ("stable", 5000), TWO: ("candidate", 5000)}
    assert (accepted(world).status, accepted(world).reason) == ("False", "RolloutUnderWay")
    assert "spec.onSpecChange is Reject" in accepted(world).message
    world.run(lambda: world.phase is Phase.WATCHING, within=5 * MINUTE)
    world.run(lambda: world.phase is Phase.COMPLETED, within=5 * MINUTE)
    assert world.route.get(TWO) == ("stable", 10_000)
    assert has_pods(world, ONE, TWO) or has_pods(world, TWO)
    assert (said(world, "Ready"), said(world, "Stalled")) == ("False", "True")
    world.command("retry", revision=world.revision(THREE))
    world.run(lambda: world.route.get(THREE) == ("stable", 10_000), within=5 * MINUTE)
    assert said(world, "Stalled") == ""


def test_a_refused_spec_ends_no_watch_so_late_evidence_still_takes_the_promoted_back() -> None:
    world = at_half(REJECT)
    world.deploy(REJECT, image=THREE)
    world.run(lambda: world.phase is Phase.WATCHING, within=5 * MINUTE)
    world.images[TWO] = Model(version="2.0.0", failing=0.3)
    world.run(lambda: world.route == {ONE: ("stable", 10_000)}, within=2 * MINUTE)
    world.run(lambda: world.phase is Phase.ROLLED_BACK, within=MINUTE)


@pytest.mark.parametrize("spec", [QUEUE, REJECT], ids=["queue", "reject"])
def test_without_any_status_the_rollout_in_the_route_keeps_its_turn(spec: dict[str, Any]) -> None:
    world = at_half(spec)
    world.deploy(spec, image=THREE)
    world.run_for(3 * SECOND)
    for body in world.cluster.find(kinds.MODEL_DEPLOYMENT) + world.cluster.find(kinds.MODEL_REVISION):
        world.cluster.objects[body["kind"], NAMESPACE, body["metadata"]["name"]].pop("status", None)
    world.restart()
    world.run_for(3 * SECOND)
    assert world.route == {ONE: ("stable", 5000), TWO: ("candidate", 5000)}


def test_edits_of_the_spec_apply_to_the_rollout_under_way_while_another_waits() -> None:
    world = at_half(QUEUE)
    world.deploy(QUEUE, image=THREE, serving=CANARY_SPEC["serving"] | {"replicas": 3})
    world.run(lambda: world.replicas == {ONE: 3, TWO: 3}, within=5 * SECOND)
    assert world.route == {ONE: ("stable", 5000), TWO: ("candidate", 5000)}
