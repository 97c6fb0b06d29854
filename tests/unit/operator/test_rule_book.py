"""Rows of the rule book that whole rollouts prove: what holds whoever interferes, and whatever dies in between."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from switchyard_contracts.base import LABEL_REVISION
from switchyard_contracts.model_command import ModelCommandStatus
from switchyard_contracts.model_deployment import Phase
from switchyard_contracts.quantities import FULL
from switchyard_operator.domain import kinds
from switchyard_operator.domain.pods import is_ready
from switchyard_operator.domain.sync import SILENT_AFTER, SyncState, compare
from switchyard_operator.domain.world import GatewayReport
from switchyard_testkit.rollout_world import CANARY, CANARY_SPEC, KEY, NAMESPACE, SPEC, Model, Simulation

ONE, TWO, THREE = "models/delay:1", "models/delay:2", "models/delay:3"
GOOD = Model(version="2.0.0", loss=50.0)
BAD = Model(version="2.0.0", failing=0.2)
ALONE = {ONE: ("stable", 10_000)}
SECOND, MINUTE = timedelta(seconds=1), timedelta(minutes=1)
SLOW: dict[str, Any] = CANARY_SPEC | {
    "strategy": {"type": "Canary", "canary": {"mirror": 0, "steps": [{"name": "five", "weight": 5, "hold": "6h"}]}}
}


def deployed(spec: dict[str, Any] = CANARY_SPEC, two: Model = GOOD) -> Simulation:
    """The first model serves, and nothing is under way."""
    world = Simulation({ONE: Model(version="1.0.0", loss=100.0), TWO: two})
    world.deploy(spec)
    world.run(lambda: world.phase is Phase.COMPLETED)
    return world


def at_step(step: str, spec: dict[str, Any] = CANARY_SPEC, two: Model = GOOD) -> Simulation:
    """The second model is on its way, and has reached a step."""
    world = deployed(spec, two)
    world.deploy(spec, image=TWO)
    world.run(lambda: bool(world.status.rollout and world.status.rollout.step == step))
    return world


def rollout_id(world: Simulation) -> str:
    assert world.status.rollout
    return world.status.rollout.id


def answer(world: Simulation, name: str) -> ModelCommandStatus:
    body = world.cluster.read(kinds.MODEL_COMMAND, NAMESPACE, name)
    return ModelCommandStatus.model_validate((body or {}).get("status") or {})


@pytest.mark.rule("crash-replays")
@pytest.mark.parametrize("verb", ["abort", "retry"])
def test_a_command_whose_effect_is_there_and_its_result_not_is_done_and_not_refused(verb: str) -> None:
    world = at_step("five", two=GOOD if verb == "abort" else BAD)
    if verb == "retry":
        world.run(lambda: world.phase is Phase.ROLLED_BACK)
    words = {"rollout": rollout_id(world)} if verb == "abort" else {"revision": world.revision(TWO)}
    name = world.command(verb, **words)
    world.cluster.crash_after = len(world.cluster.writes) + 1
    world.run(lambda: answer(world, name).result is not None, within=5 * SECOND)
    assert world.cluster.crash_after is None
    assert answer(world, name).result == "Accepted"


@pytest.mark.rule("first-deployment")
def test_a_first_deployment_that_does_not_answer_is_refused_and_nothing_serves() -> None:
    world = Simulation({ONE: Model(smoke="answered 500: no weights")})
    world.deploy(SPEC)
    world.run(lambda: world.phase in (Phase.REFUSED, Phase.COMPLETED), within=2 * MINUTE)
    assert world.phase is Phase.REFUSED
    assert world.route == {}
    world.run_for(MINUTE)
    assert world.route == {}


@pytest.mark.parametrize("verb", ["pause", ""], ids=["paused meanwhile", "a gateway silent meanwhile"])
def test_steps_that_are_edited_while_nothing_may_move_are_gone_through_afterwards(verb: str) -> None:
    world = at_step("half")
    if verb:
        world.command(verb, rollout=rollout_id(world))
    else:
        world.gateways.silent = {"gateway-1"}
        world.deploy(CANARY_SPEC, image=TWO, serving=CANARY_SPEC["serving"] | {"timeout": "20s"})
    world.run_for(5 * SECOND)
    five, *later = CANARY["canary"]["steps"]
    steps = [five, {"name": "ten", "weight": 10, "hold": "30s"}, *later]
    serving = CANARY_SPEC["serving"] | ({} if verb else {"timeout": "20s"})
    world.deploy(
        CANARY_SPEC, image=TWO, serving=serving, strategy={"type": "Canary", "canary": {"mirror": 0, "steps": steps}}
    )
    world.run_for(20 * SECOND)
    assert world.route[TWO] == ("candidate", 5000)
    world.weights.clear()
    world.gateways.silent = set()
    if verb:
        world.command("resume", rollout=rollout_id(world))
    world.run(lambda: world.phase is Phase.WATCHING, within=10 * MINUTE)
    assert [weight for _, weight in world.weights] == [1000, 2500, 5000, FULL]


@pytest.mark.rule("suspend")
def test_what_serves_is_repaired_though_decisions_are_suspended() -> None:
    world = at_step("five", SLOW)
    world.deploy(SLOW, image=TWO, suspend=True)
    world.run(lambda: world.phase is Phase.SUSPENDED, within=5 * SECOND)
    split = world.route
    for deployment in world.cluster.find(kinds.DEPLOYMENT):
        world.cluster.put({**deployment, "spec": {**deployment["spec"], "replicas": 0}})
    world.cluster.take(kinds.MODEL_ROUTE, *KEY)
    world.run(lambda: world.replicas == {ONE: 2, TWO: 2}, within=5 * SECOND)
    world.run(lambda: ONE in world.route, within=5 * SECOND)
    assert world.phase is Phase.SUSPENDED
    assert world.route in (split, ALONE)


@pytest.mark.rule("lowering-stable")
def test_nobody_loses_pods_while_a_gateway_may_still_send_them_requests() -> None:
    world = at_step("five")
    world.gateways.silent = {"gateway-1"}
    world.command("abort", rollout=rollout_id(world))
    world.run(lambda: world.route == ALONE, within=5 * SECOND)
    world.run_for(20 * SECOND)
    assert world.replicas == {ONE: 2, TWO: 2}
    world.gateways.silent = set()
    world.run(lambda: world.replicas == {ONE: 2}, within=5 * SECOND)


@pytest.mark.rule("re-pointing")
def test_a_newer_candidate_begins_at_nothing_once_the_one_before_has_nothing_and_with_its_pods_there() -> None:
    world = at_step("half")
    world.images[THREE] = Model(version="3.0.0", loss=20.0)
    written: list[dict[str, int]] = []
    podless: list[str] = []

    def look(write: str) -> None:
        if " ModelRoute " not in write:
            return
        given = {image: weight for image, (_, weight) in world.route.items() if weight}
        written.append(given)
        podless.extend(image for image in given if not has_ready_pod(world, image))

    world.cluster.after_write = look
    world.deploy(CANARY_SPEC, image=THREE)
    world.run(lambda: world.route.get(THREE) == ("stable", FULL), within=10 * MINUTE)
    assert written[0] == {ONE: FULL}
    assert not any(TWO in given for given in written)
    assert [given[THREE] for given in written if THREE in given][:3] == [500, 2500, 5000]
    assert podless == []


def has_ready_pod(world: Simulation, image: str) -> bool:
    pods = world.cluster.find(kinds.POD, labels={LABEL_REVISION: world.revision(image)})
    return any(is_ready(pod) for pod in pods)


@pytest.mark.parametrize(
    ("waiting", "state"),
    [(SILENT_AFTER, SyncState.WAITING), (SILENT_AFTER + SECOND, SyncState.SILENT)],
    ids=["half a minute is waited", "then it is called silent"],
)
def test_a_gateway_that_lags_is_named_with_what_it_runs(waiting: timedelta, state: SyncState) -> None:
    reports = [GatewayReport(pod="gateway-0", generation=7), GatewayReport(pod="gateway-1", generation=6)]
    sync = compare(reports, generation=7, waiting_for=waiting)
    assert sync.state is state
    assert "1 of 2 gateways runs generation 7; waiting for gateway-1 (runs generation 6)" in sync.message
    alone = compare(reports[1:], generation=7, waiting_for=waiting)
    assert alone.message.startswith("0 of 1 gateway runs generation 7; waiting for gateway-1")


@pytest.mark.rule("self-heal")
def test_a_manifest_that_is_applied_every_second_makes_the_operator_write_nothing() -> None:
    world = at_step("five", SLOW)
    world.run_for(3 * MINUTE)
    written = len(world.cluster.writes)
    for _ in range(50):
        world.deploy(SLOW, image=TWO)
        world.run_for(SECOND)
    assert len(world.cluster.writes) - written <= 2, "numbers may be told anew once a minute, of the two objects"


@pytest.mark.rule("commands")
def test_a_command_is_consumed_once_and_says_what_became_of_it() -> None:
    world = at_step("five", SLOW)
    name = world.command("pause", rollout=rollout_id(world), reason="lunch")
    world.run(lambda: answer(world, name).result is not None, within=5 * SECOND)
    told = answer(world, name)
    resume = world.command("resume", rollout=rollout_id(world))
    world.run(lambda: answer(world, resume).result is not None, within=5 * SECOND)
    world.run_for(20 * SECOND)
    assert answer(world, name) == told
    assert world.status.rollout
    assert world.status.rollout.paused == ""


BY_HAND: dict[str, Any] = SPEC | {"strategy": {"type": "BlueGreen", "blueGreen": {"autoPromote": False}}}
IMPATIENT: dict[str, Any] = CANARY_SPEC | {
    "analysis": {"metrics": [CANARY_SPEC["analysis"]["metrics"][0] | {"maxWait": "2m", "onNoData": "fail"}]}
}


@pytest.mark.rule("pause")
@pytest.mark.parametrize("first", ["resume", "promote"])
def test_a_persons_pause_and_the_steps_own_both_have_to_clear(first: str) -> None:
    world = at_step("preview", BY_HAND)
    world.command("pause", rollout=rollout_id(world), reason="lunch")
    world.run_for(3 * SECOND)
    order = ["resume", "promote"] if first == "resume" else ["promote", "resume"]
    world.command(order[0], rollout=rollout_id(world))
    world.run_for(20 * SECOND)
    assert (world.phase, world.route[TWO]) == (Phase.PAUSED, ("candidate", 0))
    world.command(order[1], rollout=rollout_id(world))
    world.run(lambda: world.phase is Phase.WATCHING, within=MINUTE)


@pytest.mark.rule("pause")
@pytest.mark.parametrize("how", ["a person's pause", "suspend"])
def test_deadlines_stop_while_a_person_holds_it_and_go_on_afterwards(how: str) -> None:
    world = at_step("five", IMPATIENT)
    world.monitor.rate = 0.0
    world.run_for(30 * SECOND)
    if how == "suspend":
        world.deploy(IMPATIENT, image=TWO, suspend=True)
    else:
        world.command("pause", rollout=rollout_id(world))
    world.run_for(4 * MINUTE)
    if how == "suspend":
        world.deploy(IMPATIENT, image=TWO)
    else:
        world.command("resume", rollout=rollout_id(world))
    world.run_for(30 * SECOND)
    assert world.phase is Phase.AWAITING_EVIDENCE
    world.run(lambda: world.phase is Phase.ROLLED_BACK, within=3 * MINUTE)
    assert world.status.rollout
    assert world.status.rollout.reason == "AnalysisFailed"
    assert [pause.until is not None for pause in world.status.rollout.pauses] == [True]
