"""Shadows beside a model, in one process: each judged by its own pairs, and nothing of what they do moves a weight."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from itertools import groupby
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from switchyard_contracts.base import PROMOTED_AT
from switchyard_contracts.model_deployment import Phase, ShadowState, ShadowStatus
from switchyard_contracts.model_revision import ModelRevisionStatus, RevisionPhase
from switchyard_contracts.model_route import ModelRouteSpec, RouteRole
from switchyard_operator.domain import kinds
from switchyard_operator.errors import Refused
from switchyard_testkit.rollout_world import (
    KEY,
    NAMESPACE,
    PAIRED_SPEC,
    SPEC,
    THEN_SPEC,
    Model,
    Simulation,
    shadow,
)

ONE, TWO, THREE, FOUR = (f"models/delay:{number}" for number in (1, 2, 3, 4))
SECOND, MINUTE = timedelta(seconds=1), timedelta(minutes=1)
BESIDE = [shadow("better", THREE, sample="10%"), shadow("worse", FOUR, sample="20%")]
SPECS: dict[str, Any] = PAIRED_SPEC | {"shadows": BESIDE}


def world_of(**natures: Model) -> Simulation:
    """Four models; the third errs less than the first, and the fourth more."""
    images = {
        ONE: Model(version="1.0.0", loss=100.0),
        TWO: Model(version="2.0.0", loss=50.0),
        THREE: Model(version="3.0.0", loss=50.0),
        FOUR: Model(version="4.0.0", loss=400.0),
    }
    return Simulation(images | {ONE.replace("1", number): nature for number, nature in natures.items()})


def serving(spec: dict[str, Any] = SPECS, **natures: Model) -> Simulation:
    """The first model serves, and nothing is under way."""
    world = world_of(**natures)
    world.deploy(spec)
    world.run(lambda: world.phase is Phase.COMPLETED)
    return world


def beside(world: Simulation, name: str) -> ShadowStatus:
    return next(item for item in world.status.shadows if item.name == name)


def weights(world: Simulation, image: str) -> list[int]:
    """Those that an image ever had, one after the other."""
    return [weight for weight, _ in groupby(weight for held, weight in world.weights if held == image)]


def at_step(step: str, spec: dict[str, Any] = SPECS, **natures: Model) -> Simulation:
    """The second model is on its way, and the step is in the route."""
    world = serving(spec, **natures)
    world.run(lambda: len(world.samples) == len(spec["shadows"]) or bool(natures), within=2 * MINUTE)
    world.deploy(spec, image=TWO)
    world.run(lambda: (world.status.rollout and world.status.rollout.step) == step)
    return world


def revision_status(world: Simulation, image: str) -> ModelRevisionStatus:
    body = world.cluster.read(kinds.MODEL_REVISION, NAMESPACE, world.revision(image))
    return ModelRevisionStatus.model_validate((body or {}).get("status") or {})


@pytest.mark.rule("shadow")
def test_each_shadow_is_judged_by_its_own_pairs_and_none_is_given_traffic() -> None:
    world = serving()
    world.run(lambda: world.samples == {THREE: 1_000, FOUR: 2_000}, within=MINUTE)
    assert world.replicas == {ONE: 2, THREE: 1, FOUR: 1}
    world.run(lambda: {item.verdict for item in world.status.shadows} == {"Pass", "Fail"}, within=20 * MINUTE)
    better, worse = beside(world, "better"), beside(world, "worse")
    assert (better.verdict, better.sample, better.version) == ("Pass", "10%", "3.0.0")
    assert (worse.verdict, worse.sample, worse.version) == ("Fail", "20%", "4.0.0")
    assert {item.against for item in (better, worse)} == {world.revision(ONE)}
    (verdict,) = better.verdicts
    assert (verdict.name, verdict.paired, verdict.samples >= 200) == ("outcome", True, True)
    assert "judged pairs" in better.message
    assert worse.pairs > better.pairs > 200
    assert {image: weight for image, (_, weight) in world.route.items()} == {ONE: 10_000, THREE: 0, FOUR: 0}
    assert (world.phase, world.status.candidate) == (Phase.COMPLETED, None)
    assert [entry.outcome for entry in world.status.history] == [Phase.COMPLETED]
    assert revision_status(world, THREE).phase is RevisionPhase.SHADOW
    assert revision_status(world, FOUR).verdict == "Fail"


TROUBLES: dict[str, dict[str, Model]] = {
    "all is well": {},
    "one never starts": {"3": Model(version="3.0.0", starts=False)},
    "one hangs": {"4": Model(version="4.0.0", hangs=True)},
    "one fails": {"3": Model(version="3.0.0", failing=0.5), "4": Model(version="4.0.0", failing=1.0)},
}


@pytest.mark.rule("shadow")
@pytest.mark.parametrize("trouble", TROUBLES)
def test_a_rollout_goes_the_same_way_whatever_becomes_of_its_shadows(trouble: str) -> None:
    alone = serving(PAIRED_SPEC)
    company = serving(SPECS, **TROUBLES[trouble])
    company.run_for(30 * SECOND)
    took = []
    for world, spec in ((alone, PAIRED_SPEC), (company, SPECS)):
        began = world.clock()
        world.deploy(spec, image=TWO)
        world.run(lambda world=world: world.phase is Phase.WATCHING)
        took.append(world.clock() - began)
    assert weights(alone, TWO) == weights(company, TWO) == [500, 2_500, 5_000, 10_000]
    assert took[0] == took[1]
    assert weights(company, THREE) in ([], [0])
    assert company.status.rollout
    assert alone.status.rollout
    assert [item.verdict for item in company.status.rollout.verdicts] == [
        item.verdict for item in alone.status.rollout.verdicts
    ]


@pytest.mark.rule("shadow")
def test_shadows_that_come_and_go_neither_restart_a_rollout_nor_move_its_weight() -> None:
    world = at_step("quarter", PAIRED_SPEC | {"shadows": []})
    assert world.status.rollout
    before = world.status.rollout
    world.deploy(SPECS, image=TWO)
    world.run(lambda: world.samples == {THREE: 1_000, FOUR: 2_000}, within=20 * SECOND)
    assert world.route[TWO] == ("candidate", 2_500)
    assert world.mirrors == {TWO: 7_500}
    world.deploy(PAIRED_SPEC, image=TWO)
    world.run(lambda: world.samples == {}, within=3 * SECOND)
    assert world.route[TWO] == ("candidate", 2_500)
    assert world.status.rollout.id == before.id
    assert world.status.rollout.started_at == before.started_at
    assert world.status.rollout.steps_done[1].started_at == before.steps_done[1].started_at
    world.run(lambda: world.phase is Phase.WATCHING)
    assert weights(world, TWO) == [500, 2_500, 5_000, 10_000]


@pytest.mark.rule("shadow")
def test_a_shadow_that_is_taken_out_loses_its_copies_then_its_pods_and_stays_in_the_registry() -> None:
    world = serving()
    world.run(lambda: len(world.samples) == 2, within=MINUTE)
    world.gateways.silent = {"gateway-1"}
    world.deploy(PAIRED_SPEC | {"shadows": BESIDE[:1]})
    world.run(lambda: world.samples == {THREE: 1_000}, within=3 * SECOND)
    world.run_for(20 * SECOND)
    assert world.replicas == {ONE: 2, THREE: 1, FOUR: 1}, "a gateway may still send it copies"
    world.gateways.silent = set()
    world.run(lambda: world.replicas == {ONE: 2, THREE: 1}, within=5 * SECOND)
    assert [item.name for item in world.status.shadows] == ["better"]
    assert revision_status(world, FOUR).phase is RevisionPhase.RETIRED


def test_a_shadow_has_pods_and_resources_of_its_own_and_all_else_of_the_model() -> None:
    requests = {"requests": {"cpu": "2"}}
    said = shadow("large", THREE, replicas=3, resources=requests)
    world = serving(SPEC | {"shadows": [said]})
    world.run(lambda: world.samples == {THREE: 10_000}, within=MINUTE)
    assert world.replicas == {ONE: 2, THREE: 3}
    body = world.cluster.read(kinds.MODEL_REVISION, NAMESPACE, world.revision(THREE))
    assert body
    assert body["spec"]["pod"]["resources"]["requests"] == {"cpu": "2"}
    assert world.cluster.read(kinds.SERVICE, NAMESPACE, world.revision(THREE))
    world.deploy(SPEC | {"shadows": [said | {"replicas": 1, "sample": "5%"}]})
    world.run(lambda: (world.samples, world.replicas) == ({THREE: 500}, {ONE: 2, THREE: 1}), within=5 * SECOND)


def test_a_shadow_is_sent_copies_when_all_of_its_pods_are_ready_and_for_as_long_as_it_is_asked_for() -> None:
    world = world_of()
    world.deploy(SPEC | {"shadows": [shadow("large", THREE, replicas=2)]})
    world.run(lambda: world.phase is Phase.COMPLETED)
    world.frozen_count = {world.revision(THREE): 1}
    world.run_for(10 * SECOND)
    assert (world.samples, beside(world, "large").state) == ({}, ShadowState.PROVISIONING)
    assert "1 of 2 pods ready" in beside(world, "large").message
    world.frozen_count = {}
    world.run(lambda: world.samples == {THREE: 10_000}, within=5 * SECOND)
    written = [write for write in world.cluster.writes if "ModelRoute" in write]
    world.frozen_pods = {world.revision(THREE)}
    world.run(lambda: beside(world, "large").state is ShadowState.NOT_READY, within=5 * SECOND)
    world.run_for(MINUTE)
    world.frozen_pods = set()
    world.run(lambda: beside(world, "large").state is ShadowState.COMPARING, within=5 * SECOND)
    assert world.samples == {THREE: 10_000}
    assert [write for write in world.cluster.writes if "ModelRoute" in write] == written


def test_a_sample_begins_or_grows_only_when_every_gateway_has_the_last_route_and_falls_at_once() -> None:
    def wanted(sample: str, timeout: str) -> dict[str, Any]:
        return SPEC | {
            "shadows": [shadow("it", THREE, sample=sample)],
            "serving": SPEC["serving"] | {"timeout": timeout},
        }

    world = serving(wanted("10%", "10s"))
    world.run(lambda: world.samples == {THREE: 1_000}, within=MINUTE)
    world.gateways.silent = {"gateway-1"}
    world.deploy(wanted("10%", "20s"))
    world.run_for(3 * SECOND)
    world.deploy(wanted("50%", "20s"))
    world.run_for(20 * SECOND)
    assert world.samples == {THREE: 1_000}
    world.gateways.silent = set()
    world.run(lambda: world.samples == {THREE: 5_000}, within=3 * SECOND)
    world.gateways.silent = {"gateway-1"}
    world.deploy(wanted("50%", "10s"))
    world.run_for(3 * SECOND)
    world.deploy(wanted("10%", "10s"))
    world.run(lambda: world.samples == {THREE: 1_000}, within=3 * SECOND)


@pytest.mark.rule("shadow")
def test_a_shadow_that_the_spec_asks_for_begins_with_the_first_step_as_any_other_does() -> None:
    spec = THEN_SPEC | {"shadows": [shadow("next", TWO, sample="10%"), shadow("worse", FOUR, sample="20%")]}
    world = serving(spec)
    world.run(lambda: world.samples == {TWO: 1_000, FOUR: 2_000}, within=MINUTE)
    world.weights.clear()
    asked = world.models.asked
    world.deploy(spec, image=TWO)
    world.run(lambda: beside(world, "next").state is ShadowState.ASIDE, within=3 * SECOND)
    assert world.route.get(TWO, ("candidate", 0))[1] == 0
    assert TWO not in world.samples
    world.run(lambda: world.phase is Phase.WATCHING)
    assert world.models.asked > asked, "it has to answer its first request, as any candidate"
    assert weights(world, TWO) == [0, 500, 5_000, 10_000]
    assert world.status.rollout
    assert [record.name for record in world.status.rollout.steps_done] == ["shadow", "five", "half", "full"]
    assert world.samples == {FOUR: 2_000}


def test_what_serves_is_compared_anew_with_every_shadow() -> None:
    world = serving()
    world.run(lambda: {item.verdict for item in world.status.shadows} == {"Pass", "Fail"}, within=20 * MINUTE)
    first = beside(world, "better")
    world.deploy(SPECS, image=TWO)
    world.run(lambda: world.phase is Phase.WATCHING)
    again = beside(world, "better")
    assert again.against == world.revision(TWO) != first.against
    assert not set(again.generations) & set(first.generations)
    world.run(lambda: beside(world, "better").verdict in ("Inconclusive", "NoData"), within=MINUTE)
    asked = [item for item in world.monitor.asked if item.revision == world.revision(THREE)][-1]
    assert (asked.against, asked.mirrored) == (world.revision(TWO), tuple(again.generations))


def test_a_monitor_that_is_away_is_asked_about_shadows_now_and_then_and_fails_none_of_them() -> None:
    world = serving()
    world.run(lambda: len(world.samples) == 2, within=MINUTE)
    world.run_for(MINUTE)
    world.monitor.down = "the monitor does not answer: ConnectError"
    world.monitor.asked.clear()
    world.run_for(5 * MINUTE)
    assert 5 <= len(world.monitor.asked) <= 11
    assert {item.verdict for item in world.status.shadows} == {"Error"}
    assert "does not answer" in beside(world, "better").message
    assert world.samples == {THREE: 1_000, FOUR: 2_000}


def test_with_nothing_that_pairs_could_decide_a_shadow_is_only_sent_copies() -> None:
    world = serving(SPEC | {"shadows": BESIDE})
    world.run(lambda: len(world.samples) == 2, within=MINUTE)
    world.run_for(2 * MINUTE)
    assert {(item.verdict, item.reason) for item in world.status.shadows} == {("", "NothingToJudge")}
    assert world.monitor.asked == []


def test_a_shadow_whose_configuration_is_missing_is_refused_alone() -> None:
    broken = shadow("broken", THREE)
    broken["model"] = broken["model"] | {"config": {"envFrom": [{"configMap": "gone"}]}}
    world = serving(SPEC | {"shadows": [broken, BESIDE[1]]})
    world.run(lambda: world.samples == {FOUR: 2_000}, within=MINUTE)
    found = beside(world, "broken")
    assert (found.state, found.revision) == (ShadowState.REFUSED, "")
    assert "spec.shadows[0].model.config.envFrom[0].configMap: there is no ConfigMap 'gone'" in found.message
    assert next(item.status for item in world.status.conditions if item.type == "Ready") == "True"


def test_a_shadow_whose_pods_the_api_server_refuses_hinders_nobody() -> None:
    world = world_of()
    refusal = "cannot apply Deployment: the API server answers 403: denied by a policy"

    def deny(write: str) -> None:
        if write.startswith("apply Deployment") and world.image(write.split()[-1]) == THREE:
            raise Refused(refusal)

    world.cluster.before_write = deny
    world.deploy(SPECS)
    world.run(lambda: world.phase is Phase.COMPLETED)
    world.run(lambda: world.samples == {FOUR: 2_000}, within=MINUTE)
    assert (beside(world, "better").state, beside(world, "better").message) == (ShadowState.REFUSED, refusal)
    world.deploy(SPECS, image=TWO)
    world.run(lambda: world.phase is Phase.WATCHING)
    assert next(item.status for item in world.status.conditions if item.type == "Ready") == "True"
    states = [record.shadows[0].state for record in world.bus.rollouts]
    assert set(states[states.index("Refused") :]) == {"Refused"}, "whatever a pass writes"


def test_suspended_no_sample_comes_or_goes() -> None:
    world = serving(PAIRED_SPEC | {"shadows": BESIDE[:1]})
    world.run(lambda: world.samples == {THREE: 1_000}, within=MINUTE)
    world.deploy(PAIRED_SPEC | {"shadows": BESIDE[1:], "suspend": True})
    world.run_for(20 * SECOND)
    assert world.samples == {THREE: 1_000}
    world.deploy(PAIRED_SPEC | {"shadows": BESIDE[1:]})
    world.run(lambda: world.samples == {FOUR: 2_000}, within=10 * SECOND)


@pytest.mark.parametrize(
    ("change", "samples"),
    [
        pytest.param({"shadows": BESIDE}, 2, id="samples come"),
        pytest.param({"serving": PAIRED_SPEC["serving"] | {"timeout": "20s"}}, 0, id="another timeout"),
    ],
)
def test_a_route_that_is_written_while_an_edited_step_is_held_lifts_no_candidate_past_it(
    change: dict[str, Any], samples: int
) -> None:
    world = at_step("half", PAIRED_SPEC | {"shadows": []})
    assert world.status.rollout
    world.command("pause", rollout=world.status.rollout.id)
    five, *later = PAIRED_SPEC["strategy"]["canary"]["steps"]
    steps = [five, {"name": "ten", "weight": 10, "hold": "30s"}, *later]
    edited = PAIRED_SPEC | {"strategy": {"type": "Canary", "canary": {"steps": steps}}}
    world.deploy(edited, image=TWO)
    world.run_for(5 * SECOND)
    world.deploy(edited | change, image=TWO)
    world.run_for(40 * SECOND)
    assert (len(world.samples), world.route[TWO]) == (samples, ("candidate", 5_000))
    world.weights.clear()
    world.command("resume", rollout=world.status.rollout.id)
    world.run(lambda: world.phase is Phase.WATCHING)
    assert weights(world, TWO) == [1_000, 2_500, 5_000, 10_000]


def test_a_frugal_rollout_has_its_one_pod_more_and_shadows_have_theirs() -> None:
    spec = SPECS | {"strategy": SPECS["strategy"] | {"capacity": "frugal"}}
    world = serving(spec)
    world.run(lambda: len(world.samples) == 2, within=MINUTE)
    world.deploy(spec, image=TWO)
    most = 0
    for _ in range(600):
        world.tick()
        most = max(most, sum(number for image, number in world.replicas.items() if image in (ONE, TWO)))
        assert {image: world.replicas.get(image) for image in (THREE, FOUR)} == {THREE: 1, FOUR: 1}
    assert (most, world.phase) == (3, Phase.COMPLETED)


def test_a_revision_that_is_kept_warm_may_be_a_shadow_and_takes_over_again_at_once() -> None:
    world = at_step("half", PAIRED_SPEC | {"shadows": []})
    world.run(lambda: world.phase is Phase.WATCHING)
    spec = PAIRED_SPEC | {"shadows": [shadow("before", ONE, sample="10%")]}
    world.deploy(spec, image=TWO)
    world.run(lambda: world.samples == {ONE: 1_000}, within=10 * SECOND)
    world.deploy(spec)
    world.run(lambda: world.route.get(ONE) == ("stable", 10_000), within=20 * SECOND)
    assert world.status.rollout
    assert world.status.rollout.way == "warm"


def test_all_status_lost_shadows_go_on_and_are_judged_again() -> None:
    world = serving()
    world.run(lambda: {item.verdict for item in world.status.shadows} == {"Pass", "Fail"}, within=20 * MINUTE)
    for body in world.cluster.find(kinds.MODEL_DEPLOYMENT) + world.cluster.find(kinds.MODEL_REVISION):
        world.cluster.objects[body["kind"], NAMESPACE, body["metadata"]["name"]].pop("status", None)
    world.restart()
    world.run_for(2 * SECOND)
    assert world.samples == {THREE: 1_000, FOUR: 2_000}
    assert world.route[ONE] == ("stable", 10_000)
    world.run(lambda: {item.verdict for item in world.status.shadows} == {"Pass", "Fail"}, within=20 * MINUTE)


def test_at_rest_only_numbers_are_told_anew_and_seldom() -> None:
    world = serving()
    world.run(lambda: {item.verdict for item in world.status.shadows} == {"Pass", "Fail"}, within=20 * MINUTE)
    world.run_for(2 * MINUTE)
    written = len(world.cluster.writes)
    world.run_for(10 * MINUTE)
    assert len(world.cluster.writes) - written <= 33, "of three objects, once a minute"
    assert all(write.startswith("status ") for write in world.cluster.writes[written:])


@pytest.mark.parametrize(
    ("situation", "reason", "kind", "says"),
    [
        pytest.param({}, "ShadowStarted", "Normal", "is sent 10% of the requests of 1.0.0", id="it begins"),
        pytest.param({}, "ShadowPassed", "Normal", "3.0.0", id="one is proven"),
        pytest.param({}, "ShadowFailed", "Normal", "worse than allowed", id="the other is proven worse"),
        pytest.param(
            {"3": Model(version="3.0.0", starts=False)},
            "ShadowCrashLooping",
            "Warning",
            "nothing else waits for it",
            id="its pods do not start",
        ),
    ],
)
def test_people_are_told_of_shadows_once(situation: dict[str, Model], reason: str, kind: str, says: str) -> None:
    world = serving(SPECS, **situation)
    world.run_for(10 * MINUTE)
    found = [(held, words) for held, name, words in world.notes.of() if name == reason]
    assert (len(found) if reason != "ShadowStarted" else len(found) - 1) == 1
    assert found[0][0] == kind
    assert any(says in words for _, words in found)
    assert set(world.notes.times.values()) == {1}


EVENTS: dict[str, Callable[[Simulation], Any]] = {
    "abort": lambda world: world.command("abort", rollout=rollout(world)),
    "promote": lambda world: world.command("promote", rollout=rollout(world)),
    "shadows fail": lambda world: world.frozen_pods.update({world.revision(THREE), world.revision(FOUR)}),
    "the candidate's pods fail": lambda world: world.frozen_pods.add(world.revision(TWO)),
    "stable's pods fail": lambda world: world.frozen_pods.add(world.revision(ONE)),
    "pods recover": lambda world: world.frozen_pods.clear(),
    "a gateway falls silent": lambda world: world.gateways.silent.add("gateway-1"),
    "it speaks": lambda world: world.gateways.silent.clear(),
    "the operator restarts": lambda world: world.restart(),
    "the operator dies after its next write": lambda world: setattr(
        world.cluster, "crash_after", len(world.cluster.writes) + 1
    ),
    "a shadow goes": lambda world: world.deploy(PAIRED_SPEC | {"shadows": BESIDE[:1]}, image=TWO),
    "they come back": lambda world: world.deploy(SPECS, image=TWO),
    "none is wanted": lambda world: world.deploy(PAIRED_SPEC, image=TWO),
    "the better one is wanted as the model": lambda world: world.deploy(SPECS, image=THREE),
    "stable is wanted": lambda world: world.deploy(SPECS),
}


def rollout(world: Simulation) -> str:
    assert world.status.rollout
    return world.status.rollout.id


def is_sound(world: Simulation) -> None:
    """Whoever is a shadow in the route has no weight, and was never promoted for that."""
    body = world.cluster.read(kinds.MODEL_ROUTE, *KEY)
    if body is None:
        return
    found = ModelRouteSpec.model_validate(body["spec"])
    assert len({entry.revision for entry in found.routes}) == len(found.routes)
    for entry in found.sampled:
        assert (entry.role, entry.weight_bp, entry.mirror_bp) == (RouteRole.SHADOW, 0, 0)
    fourth = world.cluster.read(kinds.MODEL_REVISION, NAMESPACE, world.revision(FOUR))
    assert fourth
    assert PROMOTED_AT not in (fourth["metadata"].get("annotations") or {})
    assert all(entry.weight_bp == 0 for entry in found.routes if entry.revision == fourth["metadata"]["name"])


@given(st.lists(st.tuples(st.integers(1, 40), st.sampled_from(sorted(EVENTS))), max_size=8))
@settings(max_examples=12, deadline=None)
def test_whatever_happens_a_shadow_is_never_given_traffic_and_all_comes_to_rest(story: list[tuple[int, str]]) -> None:
    world = at_step("five")
    world.cluster.before_write = lambda _: is_sound(world)
    for seconds, event in story:
        for _ in range(seconds):
            world.tick()
            is_sound(world)
        EVENTS[event](world)
    world.frozen_pods.clear()
    world.gateways.silent.clear()
    world.deploy(PAIRED_SPEC, image=TWO)
    world.run(lambda: world.samples == {}, within=MINUTE)
    world.run(lambda: FOUR not in world.replicas, within=MINUTE)
