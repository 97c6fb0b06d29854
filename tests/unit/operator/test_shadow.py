"""Mirrored rollouts in one process: pairs decide, a shadow ends or takes over, and a mirror never outlives its step."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from switchyard_contracts.base import PROMOTED_AT, ROLLED_BACK_AT
from switchyard_contracts.model_command import ModelCommandStatus
from switchyard_contracts.model_deployment import Phase
from switchyard_contracts.model_route import ModelRouteSpec, RouteRole
from switchyard_operator.domain import kinds
from switchyard_operator.domain.step import sustainable
from switchyard_testkit.rollout_world import (
    KEY,
    NAMESPACE,
    PAIRED_SPEC,
    SHADOW_SPEC,
    THEN_SPEC,
    Model,
    Simulation,
)

ONE, TWO, THREE = "models/delay:1", "models/delay:2", "models/delay:3"
BETTER = Model(version="2.0.0", loss=50.0)
WORSE = Model(version="2.0.0", loss=400.0)
ALONE = {ONE: ("stable", 10_000)}


def deployed(spec: dict[str, Any], two: Model = BETTER) -> Simulation:
    """The first model serves, and nothing is under way."""
    world = Simulation({ONE: Model(version="1.0.0", loss=100.0), TWO: two, THREE: Model(version="3.0.0", loss=50.0)})
    world.deploy(spec)
    world.run(lambda: world.phase is Phase.COMPLETED)
    return world


def at_step(step: str, spec: dict[str, Any], two: Model = BETTER) -> Simulation:
    """The second model is on its way, and the step is in the route."""
    world = deployed(spec, two)
    world.deploy(spec, image=TWO)
    world.run(lambda: (world.status.rollout and world.status.rollout.step) == step)
    return world


def outcome(world: Simulation) -> Any:
    assert world.status.rollout
    return next(item for item in world.status.rollout.verdicts if item.name == "outcome")


def condition(world: Simulation, kind: str) -> tuple[str, str]:
    return next((item.status, item.reason) for item in world.status.conditions if item.type == kind)


def test_a_canary_is_decided_by_pairs_unless_it_is_told_otherwise() -> None:
    world = at_step("five", PAIRED_SPEC)
    assert world.route == {ONE: ("stable", 9500), TWO: ("candidate", 500)}
    assert world.mirrors == {TWO: 9500}
    world.run(lambda: (world.status.rollout and world.status.rollout.step) == "half")
    assert world.mirrors == {TWO: 5000}
    world.run(lambda: world.phase is Phase.WATCHING)
    assert world.mirrors == {}
    assert [weight for _, weight in world.weights] == [500, 2500, 5000, 10_000]
    assert (outcome(world).verdict, "judged pairs" in outcome(world).message) == ("Pass", True)


@pytest.mark.parametrize(
    ("change", "mirrors"),
    [
        pytest.param({}, {TWO: 9500}, id="nothing is said"),
        pytest.param({"mirror": "auto"}, {TWO: 9500}, id="auto"),
        pytest.param({"mirror": 10}, {TWO: 1000}, id="a tenth"),
        pytest.param({"mirror": 100}, {TWO: 9500}, id="all, which is all of stable's"),
        pytest.param({"mirror": 0}, {}, id="none"),
        pytest.param({"steps": [{"name": "five", "weight": 5, "mirror": "0.5%"}]}, {TWO: 50}, id="the step's own word"),
    ],
)
def test_how_much_is_mirrored_beside_a_weight(change: dict[str, Any], mirrors: dict[str, int]) -> None:
    canary = PAIRED_SPEC["strategy"]["canary"] | change
    world = at_step("five", PAIRED_SPEC | {"strategy": {"type": "Canary", "canary": canary}})
    assert world.mirrors == mirrors
    questions = [item for item in world.monitor.asked if item.metric.name == "outcome"]
    assert all(bool(item.mirrored) == bool(mirrors) for item in questions)


@pytest.mark.parametrize(
    "change",
    [
        pytest.param({"analysis": {"metrics": PAIRED_SPEC["analysis"]["metrics"][:1]}}, id="no outcome decides"),
        pytest.param(
            {
                "monitoring": PAIRED_SPEC["monitoring"]
                | {"outcome": PAIRED_SPEC["monitoring"]["outcome"] | {"affectedBy": "decision"}}
            },
            id="the outcome depends on what is decided",
        ),
    ],
)
def test_where_pairs_could_decide_nothing_nothing_is_mirrored(change: dict[str, Any]) -> None:
    world = at_step("five", PAIRED_SPEC | change)
    assert world.mirrors == {}
    world.run(lambda: world.phase is Phase.WATCHING)


def test_an_outcome_that_depends_on_decisions_is_never_judged_by_pairs() -> None:
    steps = [{"name": "half", "weight": 50, "hold": "30s", "mirror": 50}]
    depends = PAIRED_SPEC["monitoring"]["outcome"] | {"affectedBy": "decision"}
    spec = PAIRED_SPEC | {
        "monitoring": PAIRED_SPEC["monitoring"] | {"outcome": depends},
        "strategy": {"type": "Canary", "canary": {"steps": steps}},
    }
    world = at_step("half", spec)
    assert world.mirrors == {TWO: 5000}
    world.run(lambda: world.phase is Phase.WATCHING)
    assert "pairs" not in outcome(world).message
    assert all(not item.mirrored for item in world.monitor.asked)


@pytest.mark.rule("shadow")
def test_a_shadow_is_judged_by_pairs_and_then_goes_without_any_user_having_seen_it() -> None:
    world = at_step("shadow", SHADOW_SPEC)
    assert world.phase is Phase.SHADOWING
    assert world.route == {ONE: ("stable", 10_000), TWO: ("candidate", 0)}
    assert world.mirrors == {TWO: 10_000}
    world.run(lambda: world.phase is Phase.AWAITING_EVIDENCE)
    assert world.status.rollout
    assert "more judged pairs needed" in world.status.rollout.waiting_for
    world.run(lambda: world.phase is Phase.COMPLETED)
    assert (world.route, world.mirrors) == (ALONE, {})
    assert world.weights == [(TWO, 0)]
    world.run(lambda: world.replicas == {ONE: 2})
    entry = world.status.history[-1]
    assert (entry.outcome, entry.reason, entry.version) == (Phase.COMPLETED, "ShadowEnded", "2.0.0")
    assert {item.name: item.verdict for item in entry.verdicts}["outcome"] == "Pass"
    assert "no user was given an answer of it: outcome: Pass: RMSE" in entry.message
    assert condition(world, "Accepted") == ("True", "ShadowEnded")
    assert condition(world, "Ready")[0] == "True"
    assert condition(world, "Judged") == ("True", "Passed")
    assert "Stalled" not in {item.type for item in world.status.conditions}


def test_an_ended_shadow_stays_ended_and_a_retry_by_another_strategy_lets_it_take_over() -> None:
    world = at_step("shadow", SHADOW_SPEC)
    world.run(lambda: world.phase is Phase.COMPLETED and world.replicas == {ONE: 2})
    world.run_for(timedelta(minutes=2))
    written = len(world.cluster.writes)
    world.restart()
    world.run_for(timedelta(minutes=3))
    assert world.cluster.writes[written:] == []
    world.deploy(PAIRED_SPEC, image=TWO)
    world.run_for(timedelta(minutes=2))
    assert world.route == ALONE
    world.command("retry", revision=world.revision(TWO))
    world.run(lambda: world.phase is Phase.WATCHING)
    assert world.status.rollout
    assert world.status.rollout.attempt == 2


def test_a_worse_shadow_is_taken_back_before_any_user_saw_it() -> None:
    world = at_step("shadow", THEN_SPEC, WORSE)
    world.run(lambda: world.phase is Phase.ROLLED_BACK)
    assert {weight for _, weight in world.weights} == {0}
    assert (world.route, world.mirrors) == (ALONE, {})
    assert world.status.rollout
    assert "taken back before any user was given an answer of it: outcome:" in world.status.rollout.message
    world.run(lambda: world.replicas == {ONE: 2})


def test_a_shadow_that_passed_takes_over_by_the_steps_that_follow() -> None:
    world = at_step("shadow", THEN_SPEC)
    world.run(lambda: world.phase is Phase.WATCHING)
    assert [weight for _, weight in world.weights] == [0, 500, 5000, 10_000]
    assert world.status.rollout
    records = {record.name: record for record in world.status.rollout.steps_done}
    assert [len(records[name].mirrored) for name in ("shadow", "five", "half", "full")] == [1, 1, 1, 0]
    assert records["shadow"].mirrored == records["shadow"].generations
    first, second = records["shadow"].generations[0], records["five"].generations[0]
    asked = world.monitor.asked
    assert any(item.metric.name == "outcome" and set(item.mirrored) >= {first, second} for item in asked)
    assert all(first not in item.traffic for item in asked if item.metric.name == "errors")
    assert {item.block for item in asked if item.mirrored} == {timedelta(seconds=5)}


def test_a_shadow_without_a_metric_to_decide_by_is_held_for_its_time_and_ends() -> None:
    spec = SHADOW_SPEC | {"analysis": {"metrics": []}}
    world = at_step("shadow", spec)
    began = world.clock()
    world.run(lambda: world.phase is Phase.COMPLETED)
    assert world.clock() - began >= timedelta(seconds=29)
    assert "no metric decides" in world.status.history[-1].message


def test_a_shadow_whose_copies_the_mirror_lets_fall_is_neither_promoted_nor_shown() -> None:
    world = at_step("shadow", THEN_SPEC, Model(version="2.0.0", loss=50.0, hangs=True))
    world.run_for(timedelta(minutes=5))
    assert world.phase is Phase.AWAITING_EVIDENCE
    assert world.route == {ONE: ("stable", 10_000), TWO: ("candidate", 0)}
    assert "the mirror let" in outcome(world).message


def test_a_shadow_that_leaves_its_copies_without_an_answer_is_taken_back() -> None:
    world = at_step("shadow", THEN_SPEC, Model(version="2.0.0", loss=50.0, failing=0.3))
    world.run(lambda: world.phase is Phase.ROLLED_BACK, within=timedelta(minutes=5))
    assert world.route == ALONE
    assert "copies of stable's requests without an answer" in world.status.history[-1].message


@pytest.mark.parametrize("step", ["shadow", "five", "half"])
@pytest.mark.parametrize("how", ["abort", "another model", "back to stable"])
def test_whatever_ends_a_step_drops_its_mirror_in_the_same_write(step: str, how: str) -> None:
    world = at_step(step, THEN_SPEC)
    assert world.mirrors
    assert world.status.rollout
    if how == "abort":
        world.command("abort", rollout=world.status.rollout.id)
    else:
        world.deploy(THEN_SPEC, **({"image": THREE} if how == "another model" else {}))
    world.run(lambda: world.route == ALONE, within=timedelta(seconds=3))
    assert world.mirrors == {}


def test_a_candidate_with_too_few_pods_is_mirrored_less_and_its_users_come_first() -> None:
    spec = PAIRED_SPEC | {"serving": PAIRED_SPEC["serving"] | {"replicas": 4}}
    world = at_step("quarter", spec)
    assert world.mirrors == {TWO: 7500}
    world.frozen_count = {world.revision(TWO): 2}
    world.run(lambda: world.mirrors == {TWO: 2500}, within=timedelta(seconds=3))
    assert world.route[TWO] == ("candidate", 2500)
    world.frozen_count = {world.revision(TWO): 3}
    world.run(lambda: world.mirrors == {}, within=timedelta(seconds=3))
    assert world.route[TWO] == ("candidate", 2500)
    world.frozen_count = {}
    world.run(lambda: world.mirrors == {TWO: 7500}, within=timedelta(seconds=5))
    assert world.status.rollout
    assert len(world.status.rollout.steps_done[1].mirrored) == 3
    world.run(lambda: world.phase is Phase.WATCHING)


def test_a_candidate_without_a_ready_pod_loses_weight_and_mirror_and_gets_both_back() -> None:
    world = at_step("half", THEN_SPEC)
    world.frozen_pods = {world.revision(TWO)}
    world.run(lambda: world.route[TWO] == ("candidate", 0), within=timedelta(seconds=3))
    assert world.mirrors == {}
    world.frozen_pods = set()
    world.run(lambda: world.route[TWO] == ("candidate", 5000), within=timedelta(seconds=5))
    assert world.mirrors == {TWO: 5000}


def test_a_mirror_is_raised_only_when_every_gateway_has_the_last_route() -> None:
    steps = [{"name": "half", "weight": 50, "hold": "6h"}]
    world = at_step("half", PAIRED_SPEC | {"strategy": {"type": "Canary", "canary": {"steps": steps}}})
    world.frozen_count = {world.revision(TWO): 1}
    world.gateways.silent = {"gateway-1"}
    world.run(lambda: world.mirrors == {}, within=timedelta(seconds=3))
    world.frozen_count = {}
    world.run_for(timedelta(minutes=1))
    assert world.mirrors == {}
    world.gateways.silent = set()
    world.run(lambda: world.mirrors == {TWO: 5000}, within=timedelta(seconds=3))


@pytest.mark.parametrize(
    ("mirror", "expected"), [pytest.param(0, {}, id="off"), pytest.param(20, {TWO: 2000}, id="less")]
)
def test_an_edited_mirror_applies_in_place(mirror: int, expected: dict[str, int]) -> None:
    world = at_step("half", PAIRED_SPEC)
    canary = PAIRED_SPEC["strategy"]["canary"] | {"mirror": mirror}
    world.deploy(PAIRED_SPEC, image=TWO, strategy={"type": "Canary", "canary": canary})
    world.run(lambda: world.mirrors == expected, within=timedelta(seconds=3))
    assert world.route[TWO] == ("candidate", 5000)


def test_a_canary_turned_into_a_shadow_takes_the_weight_back_and_goes_on_comparing() -> None:
    world = at_step("quarter", PAIRED_SPEC)
    world.deploy(SHADOW_SPEC, image=TWO)
    world.run(lambda: world.route[TWO] == ("candidate", 0), within=timedelta(seconds=3))
    assert world.mirrors == {TWO: 10_000}
    world.run(lambda: world.phase is Phase.COMPLETED)
    assert world.route == ALONE


def test_a_steps_edit_that_leaves_the_step_drops_its_mirror() -> None:
    world = at_step("half", PAIRED_SPEC)
    steps = [*PAIRED_SPEC["strategy"]["canary"]["steps"]]
    steps.insert(1, {"name": "ten", "weight": 10, "hold": "30s", "mirror": 0})
    world.deploy(PAIRED_SPEC, image=TWO, strategy={"type": "Canary", "canary": {"steps": steps}})
    world.run(lambda: world.route[TWO] == ("candidate", 1000), within=timedelta(seconds=5))
    assert world.mirrors == {}


def test_a_shadow_never_takes_over_from_a_dead_stable() -> None:
    world = at_step("shadow", SHADOW_SPEC)
    world.frozen_pods = {world.revision(ONE)}
    world.run_for(timedelta(minutes=1))
    assert world.route.get(TWO, ("candidate", 0)) == ("candidate", 0)


def test_a_person_may_end_a_shadow_before_it_is_judged() -> None:
    spec = SHADOW_SPEC | {"strategy": {"type": "Shadow", "shadow": {"hold": "6h"}}}
    world = at_step("shadow", spec)
    assert world.status.rollout
    name = world.command("promote", rollout=world.status.rollout.id, step="shadow")
    world.run(lambda: world.phase is Phase.COMPLETED, within=timedelta(seconds=5))
    body = world.cluster.read(kinds.MODEL_COMMAND, NAMESPACE, name)
    assert body
    assert ModelCommandStatus.model_validate(body["status"]).result == "Accepted"
    assert world.route == ALONE


def test_all_status_lost_while_mirroring_goes_on_at_the_same_step() -> None:
    world = at_step("shadow", THEN_SPEC)
    for body in world.cluster.find(kinds.MODEL_DEPLOYMENT) + world.cluster.find(kinds.MODEL_REVISION):
        world.cluster.objects[body["kind"], NAMESPACE, body["metadata"]["name"]].pop("status", None)
    world.restart()
    world.run_for(timedelta(seconds=2))
    assert world.status.rollout
    assert world.status.rollout.step == "shadow"
    assert world.mirrors == {TWO: 10_000}
    world.run(lambda: world.phase is Phase.WATCHING)
    assert [weight for _, weight in world.weights] == [0, 500, 5000, 10_000]


NO_MIRROR: dict[str, Any] = PAIRED_SPEC | {
    "strategy": {"type": "Canary", "canary": PAIRED_SPEC["strategy"]["canary"] | {"mirror": 0}}
}
EVENTS: dict[str, Callable[[Simulation], Any]] = {
    "abort": lambda world: world.command("abort", rollout=rollout(world)),
    "promote": lambda world: world.command("promote", rollout=rollout(world)),
    "pause": lambda world: world.command("pause", rollout=rollout(world)),
    "resume": lambda world: world.command("resume", rollout=rollout(world)),
    "one pod of the second fails": lambda world: world.frozen_count.update({world.revision(TWO): 1}),
    "all pods of the second fail": lambda world: world.frozen_pods.add(world.revision(TWO)),
    "stable's pods fail": lambda world: world.frozen_pods.add(world.revision(ONE)),
    "pods recover": lambda world: recover(world),
    "a gateway falls silent": lambda world: world.gateways.silent.add("gateway-1"),
    "it speaks": lambda world: world.gateways.silent.clear(),
    "the operator restarts": lambda world: world.restart(),
    "the operator dies after its next write": lambda world: setattr(
        world.cluster, "crash_after", len(world.cluster.writes) + 1
    ),
    "no mirror is wanted": lambda world: world.deploy(NO_MIRROR, image=TWO),
    "a canary is wanted": lambda world: world.deploy(PAIRED_SPEC, image=TWO),
    "a shadow is wanted": lambda world: world.deploy(SHADOW_SPEC, image=TWO),
    "another model is wanted": lambda world: world.deploy(THEN_SPEC, image=THREE),
    "stable is wanted": lambda world: world.deploy(THEN_SPEC),
}


def recover(world: Simulation) -> None:
    world.frozen_count.clear()
    world.frozen_pods.clear()


def rollout(world: Simulation) -> str:
    assert world.status.rollout
    return world.status.rollout.id


def mirrored_in(world: Simulation) -> list[str]:
    """The revisions that the route mirrors to; the type itself says that weights and mirrors add up."""
    body = world.cluster.read(kinds.MODEL_ROUTE, *KEY)
    entries = ModelRouteSpec.model_validate(body["spec"]).mirrored if body else []
    assert {entry.role for entry in entries} <= {RouteRole.CANDIDATE}
    return [entry.revision for entry in entries]


def is_over(world: Simulation, revision: str) -> bool:
    """Promoted, or sent home."""
    body = world.cluster.read(kinds.MODEL_REVISION, NAMESPACE, revision)
    assert body
    return bool({PROMOTED_AT, ROLLED_BACK_AT} & set(body["metadata"].get("annotations") or {}))


@given(st.lists(st.tuples(st.integers(1, 40), st.sampled_from(sorted(EVENTS))), max_size=8))
@settings(max_examples=15, deadline=None)
def test_whatever_happens_a_mirror_is_a_candidates_within_stables_share_and_ends_with_it(
    story: list[tuple[int, str]],
) -> None:
    world = at_step("shadow", THEN_SPEC)

    def look(_: str) -> None:
        mirrored_in(world)

    world.cluster.before_write = look
    for seconds, event in [*story, (10, "pods recover")]:
        for _ in range(seconds):
            world.tick()
            assert not any(is_over(world, revision) for revision in mirrored_in(world))
            for image, copies in world.mirrors.items():
                assert world.route[image][1] + copies <= sustainable(2, ready(world, image))
        EVENTS[event](world)


def ready(world: Simulation, image: str) -> int:
    revision = world.revision(image)
    pods = [pod for pod in world.cluster.find(kinds.POD) if pod["metadata"]["name"].startswith(f"{revision}-")]
    return sum(pod["status"]["conditions"][0]["status"] == "True" for pod in pods)
