"""Whole rollouts in one process: real decisions and statistics, a cluster in memory, a clock moved by hand."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

import pytest
from switchyard_contracts.conditions import Condition
from switchyard_contracts.model_command import ModelCommandStatus
from switchyard_contracts.model_deployment import Phase
from switchyard_operator.domain import kinds
from switchyard_operator.errors import Refused
from switchyard_testkit.rollout_world import (
    ANALYSIS,
    CANARY,
    CANARY_SPEC,
    KEY,
    NAMESPACE,
    SPEC,
    Model,
    Simulation,
)

ONE, TWO, THREE = "models/delay:1", "models/delay:2", "models/delay:3"
MODELS = {
    ONE: Model(version="1.0.0", loss=100.0),
    TWO: Model(version="2.0.0", loss=50.0),
    THREE: Model(version="3.0.0", loss=50.0),
}
HOUR = timedelta(hours=1)
SWITCH_BY_HAND: dict[str, Any] = SPEC | {
    "strategy": {"type": "BlueGreen", "blueGreen": {"autoPromote": False}},
    "rollback": {"watch": "2m", "warm": {"replicas": 1, "for": "30m"}},
}


def deployed(spec: Mapping[str, Any] = CANARY_SPEC, **changed: Model) -> Simulation:
    """The first model serves, and nothing is under way."""
    world = Simulation(
        MODELS | {{"one": ONE, "two": TWO, "three": THREE}[key]: nature for key, nature in changed.items()}
    )
    world.deploy(spec)
    world.run(lambda: world.phase is Phase.COMPLETED)
    return world


def at_step(step: str, spec: Mapping[str, Any] = CANARY_SPEC, **changed: Model) -> Simulation:
    """The second model is on its way, and has reached a step."""
    world = deployed(spec, **changed)
    world.deploy(spec, image=TWO)
    world.run(lambda: (world.status.rollout and world.status.rollout.step) == step)
    return world


def promoted(spec: Mapping[str, Any] = CANARY_SPEC, **changed: Model) -> Simulation:
    """The second model took over, and is watched."""
    world = deployed(spec, **changed)
    world.deploy(spec, image=TWO)
    world.run(lambda: world.phase is Phase.WATCHING)
    return world


def condition(world: Simulation, kind: str) -> Condition:
    return next(item for item in world.status.conditions if item.type == kind)


def answer(world: Simulation, name: str) -> ModelCommandStatus:
    body = world.cluster.read(kinds.MODEL_COMMAND, NAMESPACE, name)
    return ModelCommandStatus.model_validate((body or {}).get("status") or {})


def rollout_id(world: Simulation) -> str:
    assert world.status.rollout
    return world.status.rollout.id


def test_a_first_deployment_serves_without_a_step() -> None:
    world = deployed()
    assert world.route == {ONE: ("stable", 10_000)}
    assert world.status.stable
    assert world.status.stable.version == "1.0.0"
    assert [item.status for item in world.status.conditions] == ["True"] * 5
    assert world.cluster.writes.count("status ModelDeployment delay") <= 4
    assert len(world.cluster.writes) <= 12


def test_a_better_model_goes_through_every_step_and_is_promoted() -> None:
    world = promoted()
    assert [weight for _, weight in world.weights] == [500, 2500, 5000, 10_000]
    assert world.route == {TWO: ("stable", 10_000), ONE: ("preview", 0)}
    assert condition(world, "Ready").status == "True"
    world.run(lambda: world.phase is Phase.COMPLETED)
    entry = world.status.history[-1]
    assert (entry.outcome, entry.reason, entry.version) == (Phase.COMPLETED, "Promoted", "2.0.0")
    assert {item.name: item.verdict for item in entry.verdicts} == {"errors": "Pass", "outcome": "Pass"}


def test_a_step_begins_when_its_route_is_written_however_late_the_next_pass_comes() -> None:
    world = deployed()
    world.deploy(CANARY_SPEC, image=TWO)

    def routed() -> bool:
        world.kubelets()
        world.one_pass()
        return TWO in world.route

    while not routed():
        world.clock.now += timedelta(seconds=1)
    written = world.clock()
    world.clock.now += timedelta(seconds=7)
    world.run(lambda: bool(world.status.rollout and world.status.rollout.steps_done))
    assert world.status.rollout
    step = world.status.rollout.steps_done[0]
    assert step.started_at == written
    assert step.synced_at
    assert step.synced_at - written >= timedelta(seconds=7)


def test_the_old_revision_is_kept_warm_for_as_long_as_asked_and_then_goes() -> None:
    world = promoted()
    world.run(lambda: world.replicas == {ONE: 1, TWO: 2})
    world.run(lambda: world.replicas == {TWO: 2})
    assert world.route == {TWO: ("stable", 10_000)}
    assert len(world.cluster.find(kinds.MODEL_REVISION)) == 2


@pytest.mark.rule("rollback-is-said")
def test_a_worse_model_is_taken_back_by_its_outcomes_before_it_has_all_of_the_traffic() -> None:
    world = deployed(two=Model(version="2.0.0", loss=400.0))
    world.deploy(CANARY_SPEC, image=TWO)
    world.run(lambda: world.phase is Phase.ROLLED_BACK)
    assert world.route == {ONE: ("stable", 10_000)}
    assert max(weight for _, weight in world.weights) < 10_000
    assert world.status.rollout
    assert world.status.rollout.reason == "AnalysisFailed"
    assert "outcome" in world.status.rollout.message
    assert condition(world, "Ready").status == "False"
    assert condition(world, "Stalled").status == "True"
    assert (world.status.desired_version, world.status.stable and world.status.stable.version) == ("2.0.0", "1.0.0")
    world.run(lambda: world.replicas == {ONE: 2})


def test_a_model_that_fails_is_taken_back_at_the_first_step() -> None:
    world = deployed(two=Model(version="2.0.0", failing=0.2))
    world.deploy(CANARY_SPEC, image=TWO)
    world.run(lambda: world.phase is Phase.ROLLED_BACK)
    assert {weight for _, weight in world.weights} == {500}


def test_a_model_no_different_is_never_promoted_by_chance() -> None:
    world = at_step("half", two=Model(version="2.0.0", loss=111.0))
    world.run_for(timedelta(minutes=10))
    assert world.phase is Phase.AWAITING_EVIDENCE
    assert world.route[TWO] == ("candidate", 5000)
    assert world.status.rollout
    assert "outcome" in world.status.rollout.waiting_for


@pytest.mark.rule("rolled-back-stays-back")
def test_a_taken_back_revision_stays_back_until_a_retry_names_it() -> None:
    world = deployed(two=Model(version="2.0.0", failing=0.2))
    world.deploy(CANARY_SPEC, image=TWO)
    world.run(lambda: world.phase is Phase.ROLLED_BACK)
    world.deploy(CANARY_SPEC)
    world.run_for(timedelta(minutes=1))
    world.deploy(CANARY_SPEC, image=TWO)
    world.run_for(timedelta(minutes=5))
    assert world.route == {ONE: ("stable", 10_000)}
    assert condition(world, "Accepted").reason == "RolledBackRevision"
    world.images[TWO] = MODELS[TWO]
    name = world.command("retry", revision=world.revision(TWO))
    world.run(lambda: world.phase is Phase.WATCHING)
    assert answer(world, name).result == "Accepted"
    assert rollout_id(world).endswith(".2")


def test_a_first_deployment_that_never_starts_is_refused_and_nothing_serves() -> None:
    world = Simulation({ONE: Model(starts=False)})
    world.deploy(SPEC)
    world.run(lambda: world.phase is Phase.REFUSED)
    assert world.route == {}
    assert world.status.rollout
    assert "CrashLoopBackOff" in world.status.rollout.message
    assert "no such file: model.json" in world.status.rollout.message
    world.run(lambda: world.replicas == {})
    assert condition(world, "Available").reason == "NotDeployed"


@pytest.mark.parametrize("reason", ["CrashLoopBackOff", "ImagePullBackOff"])
def test_a_candidate_that_never_starts_goes_home_with_its_pods_own_reason(reason: str) -> None:
    world = deployed(two=Model(starts=False, pod_reason=reason))
    world.deploy(CANARY_SPEC, image=TWO)
    world.run(lambda: world.phase is Phase.PROVISIONING and reason in str(world.status.rollout))
    world.run(lambda: world.phase is Phase.ROLLED_BACK)
    assert world.status.rollout
    assert reason in world.status.rollout.message
    assert world.weights == []


def test_a_candidate_that_fails_its_smoke_request_gets_no_traffic() -> None:
    world = deployed(two=Model(version="2.0.0", smoke="answered 500: no weights"))
    world.deploy(CANARY_SPEC, image=TWO)
    world.run(lambda: world.phase is Phase.ROLLED_BACK)
    assert world.status.rollout
    assert "answered 500: no weights" in world.status.rollout.message
    assert world.weights == []


def test_blue_green_waits_in_preview_switches_once_and_keeps_the_way_back() -> None:
    world = at_step("preview", SWITCH_BY_HAND)
    world.run_for(timedelta(minutes=3))
    assert world.route == {ONE: ("stable", 10_000), TWO: ("candidate", 0)}
    assert world.phase is Phase.PAUSED
    before = len([write for write in world.cluster.writes if "ModelRoute" in write])
    name = world.command("promote", rollout=rollout_id(world), step="preview")
    world.run(lambda: world.phase is Phase.WATCHING)
    assert answer(world, name).result == "Accepted"
    assert world.route == {TWO: ("stable", 10_000), ONE: ("preview", 0)}
    assert len([write for write in world.cluster.writes if "ModelRoute" in write]) == before + 1


def test_blue_green_by_default_needs_nobody() -> None:
    world = promoted(SPEC)
    assert world.route == {TWO: ("stable", 10_000), ONE: ("preview", 0)}


@pytest.mark.rule("warm-revision")
def test_the_spec_back_to_the_warm_revision_is_one_switch() -> None:
    world = at_step("preview", SWITCH_BY_HAND)
    world.command("promote", rollout=rollout_id(world))
    world.run(lambda: world.phase is Phase.WATCHING)
    world.run(lambda: world.replicas == {ONE: 1, TWO: 2})
    world.weights.clear()
    routes = len([write for write in world.cluster.writes if "ModelRoute" in write])
    world.deploy(SWITCH_BY_HAND)
    world.run(
        lambda: world.phase is Phase.WATCHING and world.route.get(ONE) == ("stable", 10_000),
        within=timedelta(minutes=2),
    )
    assert len([write for write in world.cluster.writes if "ModelRoute" in write]) == routes + 1
    assert world.replicas[ONE] == 2


def test_a_rollback_command_goes_back_though_the_spec_still_names_the_new() -> None:
    world = promoted(SPEC)
    name = world.command("rollback", revision=world.revision(ONE), reason="the tower complains")
    world.run(lambda: world.phase is Phase.ROLLED_BACK)
    assert answer(world, name).result == "Accepted"
    assert world.route == {ONE: ("stable", 10_000)}
    assert world.status.rollout
    assert "the tower complains" in world.status.rollout.message
    world.run_for(timedelta(minutes=3))
    assert world.route == {ONE: ("stable", 10_000)}


def test_history_keeps_both_ends_of_what_was_promoted_and_left_later() -> None:
    world = promoted()
    world.deploy(CANARY_SPEC, image=THREE)
    world.run(lambda: THREE in world.route)
    world.deploy(CANARY_SPEC, image=TWO)
    world.run(lambda: THREE not in world.route and world.phase is Phase.WATCHING)
    world.command("rollback", revision=world.revision(ONE), reason="the tower complains")
    world.run(lambda: world.phase is Phase.ROLLED_BACK)
    ends = [(entry.outcome, entry.reason) for entry in world.status.history if entry.version == "2.0.0"]
    assert ends == [(Phase.COMPLETED, "Promoted"), (Phase.ROLLED_BACK, "RolledBackByCommand")]


@pytest.mark.rule("after-promotion")
def test_late_evidence_takes_a_promoted_revision_back() -> None:
    world = promoted()
    world.images[TWO] = Model(version="2.0.0", failing=0.3)
    world.run(lambda: world.phase is Phase.ROLLED_BACK, within=timedelta(minutes=3))
    assert world.route == {ONE: ("stable", 10_000)}
    assert [item.outcome for item in world.status.history][-1] is Phase.ROLLED_BACK


@pytest.mark.parametrize("step", ["five", "half", "full"])
@pytest.mark.rule("abort")
def test_abort_is_taken_at_every_step(step: str) -> None:
    world = deployed()
    world.deploy(CANARY_SPEC, image=TWO)
    if step == "full":
        world.run(lambda: (world.status.rollout and world.status.rollout.step) == "half")
        world.run(lambda: world.route.get(TWO) == ("candidate", 5000))
        world.command("promote", rollout=rollout_id(world))
        world.gateways.silent = {"gateway-1"}
        world.run(lambda: world.route.get(TWO) == ("stable", 10_000))
    else:
        world.run(lambda: (world.status.rollout and world.status.rollout.step) == step)
    name = world.command("abort", rollout=rollout_id(world), reason="nonsense")
    world.run(lambda: world.route == {ONE: ("stable", 10_000)}, within=timedelta(seconds=3))
    assert answer(world, name).result == "Accepted"
    world.gateways.silent = set()
    world.run(lambda: world.phase is Phase.ROLLED_BACK)
    world.run(lambda: world.replicas == {ONE: 2})


@pytest.mark.rule("abort")
def test_abort_before_the_pods_are_ready() -> None:
    world = deployed(two=Model(starts=False))
    world.deploy(CANARY_SPEC, image=TWO)
    world.run(lambda: world.phase is Phase.PROVISIONING)
    world.command("abort", rollout=rollout_id(world))
    world.run(lambda: world.phase is Phase.ROLLED_BACK, within=timedelta(seconds=5))
    world.run(lambda: world.replicas == {ONE: 2})


def test_promote_passes_the_named_step_once() -> None:
    slow = CANARY_SPEC | {
        "strategy": {
            "type": "Canary",
            "canary": {
                "mirror": 0,
                "steps": [{"name": "five", "weight": 5, "hold": "6h"}, {"name": "half", "weight": 50, "hold": "6h"}],
            },
        }
    }
    world = at_step("five", slow)
    first = world.command("promote", rollout=rollout_id(world), step="five")
    world.run(lambda: world.route[TWO] == ("candidate", 5000))
    again = world.command("promote", rollout=rollout_id(world), step="five")
    world.run(lambda: answer(world, again).result is not None)
    world.run_for(timedelta(minutes=2))
    assert answer(world, first).result == answer(world, again).result == "Accepted"
    assert world.route[TWO] == ("candidate", 5000)


@pytest.mark.parametrize(
    ("verb", "words", "reason"),
    [
        pytest.param("promote", {"rollout": "delay-0000000000.1"}, "Stale", id="another rollout"),
        pytest.param("promote", {"step": "half"}, "StepOver", id="another step"),
        pytest.param("retry", {"revision": "delay-0000000000"}, "NotFound", id="no such revision"),
        pytest.param("rollback", {"revision": "delay-0000000000"}, "NotFound", id="rollback to nowhere"),
    ],
)
@pytest.mark.rule("promote")
def test_a_command_that_does_not_fit_is_refused_with_the_reason(verb: str, words: dict[str, str], reason: str) -> None:
    world = at_step("five")
    name = world.command(verb, **({"rollout": rollout_id(world)} | words if verb == "promote" else words))
    world.run(lambda: answer(world, name).result is not None, within=timedelta(seconds=5))
    assert (answer(world, name).result, answer(world, name).reason) == ("Refused", reason)


def test_a_command_older_than_an_hour_is_refused() -> None:
    world = at_step("five")
    name = world.command("abort", rollout=rollout_id(world))
    world.clock.now += timedelta(hours=2)
    world.run(lambda: answer(world, name).result is not None, within=timedelta(seconds=5))
    assert answer(world, name).reason == "TooOld"


def test_a_pause_holds_until_resumed() -> None:
    world = at_step("five")
    world.command("pause", rollout=rollout_id(world), reason="lunch")
    world.run_for(timedelta(minutes=5))
    assert world.phase is Phase.PAUSED
    assert world.route[TWO] == ("candidate", 500)
    assert world.status.rollout
    assert "lunch" in world.status.rollout.message
    world.command("resume", rollout=rollout_id(world))
    world.run(lambda: world.phase is Phase.WATCHING)


def test_a_revision_that_was_promoted_once_starts_from_the_first_step_when_it_is_retried() -> None:
    world = promoted()
    world.images[TWO] = Model(version="2.0.0", failing=0.3)
    world.run(lambda: world.phase is Phase.ROLLED_BACK)
    world.images[TWO] = MODELS[TWO]
    before = len(world.weights)
    world.command("retry", revision=world.revision(TWO))
    world.run(lambda: TWO in world.route)
    assert world.route[TWO] == ("candidate", 500)
    assert rollout_id(world).endswith(".2")
    world.run(lambda: world.phase is Phase.WATCHING)
    assert [weight for image, weight in world.weights[before:] if image == TWO] == [500, 2500, 5000, 10_000]


def test_an_abort_moves_the_traffic_though_the_rollout_is_suspended() -> None:
    world = at_step("half")
    world.deploy(CANARY_SPEC, image=TWO, suspend=True)
    world.run(lambda: world.phase is Phase.SUSPENDED)
    world.command("abort", rollout=rollout_id(world), reason="nonsense")
    world.run(lambda: world.route == {ONE: ("stable", 10_000)}, within=timedelta(seconds=5))


NONSENSE = {"strategy": {"type": "Bandit"}}


def test_a_spec_that_cannot_be_honoured_disarms_no_guard_of_a_rollout_under_way() -> None:
    world = at_step("half")
    world.deploy(CANARY_SPEC, image=TWO, **NONSENSE)
    world.run_for(timedelta(seconds=5))
    assert condition(world, "Accepted").status == "False"
    assert condition(world, "Stalled").status == "True"
    world.images[TWO] = Model(version="2.0.0", failing=0.3)
    world.run(lambda: world.route == {ONE: ("stable", 10_000)})
    assert condition(world, "Accepted").status == "False"


def test_a_spec_that_cannot_be_honoured_stops_no_abort() -> None:
    world = at_step("half")
    world.deploy(CANARY_SPEC, image=TWO, **NONSENSE)
    world.run_for(timedelta(seconds=2))
    name = world.command("abort", rollout=rollout_id(world), reason="nonsense")
    world.run(lambda: world.route == {ONE: ("stable", 10_000)}, within=timedelta(seconds=5))
    assert answer(world, name).result == "Accepted"


def test_a_rejected_spec_is_said_once_and_not_written_again_and_again() -> None:
    world = deployed()
    world.deploy(CANARY_SPEC, **NONSENSE)
    world.run_for(timedelta(seconds=10))
    count = len(world.cluster.writes)
    world.run_for(timedelta(minutes=2))
    assert len(world.cluster.writes) == count


def test_what_the_api_server_refuses_for_good_stands_in_the_status_and_ends_with_the_deadline() -> None:
    world = deployed()

    def refuse(write: str) -> None:
        if write.startswith("apply Deployment") and world.revision(TWO) in write:
            raise Refused("cannot apply Deployment: the API server answers 422: limits are below requests")

    world.deploy(CANARY_SPEC, image=TWO)
    world.cluster.before_write = refuse
    world.run(lambda: bool(world.status.rollout and "limits are below requests" in world.status.rollout.message))
    assert world.route == {ONE: ("stable", 10_000)}
    assert condition(world, "Ready").status != "True"
    world.run(lambda: world.phase is Phase.ROLLED_BACK, within=HOUR)


def test_suspend_freezes_decisions() -> None:
    world = at_step("five")
    world.deploy(CANARY_SPEC, image=TWO, suspend=True)
    world.run_for(timedelta(minutes=5))
    assert world.phase is Phase.SUSPENDED
    assert world.route[TWO] == ("candidate", 500)
    world.deploy(CANARY_SPEC, image=TWO)
    world.run(lambda: world.phase is Phase.WATCHING)


@pytest.mark.rule("new-model-mid-rollout")
def test_a_new_model_in_the_middle_replaces_the_candidate_and_starts_from_the_first_step() -> None:
    world = at_step("half")
    world.weights.clear()
    world.deploy(CANARY_SPEC, image=THREE)
    world.run(lambda: world.route == {ONE: ("stable", 10_000)}, within=timedelta(seconds=3))
    world.run(lambda: world.phase is Phase.WATCHING)
    assert [weight for image, weight in world.weights if image == THREE] == [500, 2500, 5000, 10_000]
    assert TWO not in world.replicas
    assert {entry.version: entry.outcome for entry in world.status.history}["2.0.0"] is Phase.SUPERSEDED


@pytest.mark.rule("back-to-stable-cancels")
def test_the_spec_back_to_stable_cancels_at_once() -> None:
    world = at_step("half")
    world.deploy(CANARY_SPEC)
    world.run(lambda: world.route == {ONE: ("stable", 10_000)}, within=timedelta(seconds=3))
    world.run(lambda: world.replicas == {ONE: 2})
    entry = world.status.history[-1]
    assert (entry.outcome, entry.reason, entry.version) == (Phase.SUPERSEDED, "Cancelled", "2.0.0")
    assert condition(world, "Ready").status == "True"


@pytest.mark.parametrize(
    "serving",
    [{"replicas": 3}, {"timeout": "20s"}, {"paths": ["/predict", "/classify"]}, {"readyWithin": "5m"}],
    ids=["replicas", "timeout", "paths", "readyWithin"],
)
@pytest.mark.rule("applied-in-place")
def test_what_applies_in_place_starts_no_rollout(serving: dict[str, Any]) -> None:
    world = deployed()
    world.deploy(CANARY_SPEC, serving=CANARY_SPEC["serving"] | serving)
    world.run_for(timedelta(minutes=1))
    assert world.phase is Phase.COMPLETED
    assert len(world.cluster.find(kinds.MODEL_REVISION)) == 1
    route = world.cluster.read(kinds.MODEL_ROUTE, *KEY)
    assert route
    assert route["spec"]["paths"] == (serving.get("paths") or ["/predict"])
    assert route["spec"]["timeout"] == {"20s": "20s"}.get(serving.get("timeout", ""), "1m")
    assert world.replicas == {ONE: serving.get("replicas", 2)}


def test_replicas_edited_in_the_middle_go_to_both_revisions_and_the_rollout_goes_on() -> None:
    world = at_step("quarter")
    world.deploy(CANARY_SPEC, image=TWO, serving=CANARY_SPEC["serving"] | {"replicas": 3})
    world.run(lambda: world.replicas == {ONE: 3, TWO: 3})
    world.run(lambda: world.phase is Phase.WATCHING)
    assert [weight for _, weight in world.weights] == [500, 2500, 5000, 10_000]


@pytest.mark.rule("same-model-other-pods")
def test_other_pods_of_the_same_model_skip_the_steps_and_the_outcomes() -> None:
    world = deployed()
    more = CANARY_SPEC["serving"] | {"resources": {"limits": {"memory": "1Gi"}}}
    world.deploy(CANARY_SPEC, serving=more)
    world.run(lambda: world.phase is Phase.WATCHING)
    assert world.status.rollout
    assert [record.name for record in world.status.rollout.steps_done] == ["full"]
    assert len(world.cluster.find(kinds.MODEL_REVISION)) == 2


def test_a_silent_gateway_holds_the_rollout_and_is_named() -> None:
    world = at_step("five")
    world.gateways.silent = {"gateway-1"}
    world.run(lambda: world.route[TWO] == ("candidate", 2500))
    world.run_for(timedelta(minutes=3))
    assert world.route[TWO] == ("candidate", 2500)
    assert condition(world, "TrafficSynced").reason == "GatewaySilent"
    assert "gateway-1" in condition(world, "TrafficSynced").message
    assert set(world.replicas) == {ONE, TWO}
    world.gateways.silent = set()
    world.run(lambda: world.phase is Phase.WATCHING)


@pytest.mark.rule("refused-route")
def test_a_route_that_envoy_refuses_holds_in_envoys_own_words() -> None:
    world = at_step("five")
    world.gateways.refusing = "no such cluster: nowhere"
    world.run(lambda: world.route[TWO] == ("candidate", 2500))
    world.run_for(timedelta(minutes=2))
    assert condition(world, "TrafficSynced").reason == "RejectedByGateway"
    assert "no such cluster: nowhere" in condition(world, "TrafficSynced").message


def test_a_monitor_that_is_away_holds_and_is_never_a_failure() -> None:
    world = at_step("five")
    world.monitor.down = "the monitor does not answer: ConnectError"
    world.run_for(timedelta(minutes=20))
    assert world.route[TWO] == ("candidate", 500)
    assert condition(world, "Judged").reason == "EvidenceUnavailable"
    world.monitor.down = ""
    world.run(lambda: world.phase is Phase.WATCHING)


@pytest.mark.parametrize(
    ("policy", "phase"),
    [("hold", Phase.AWAITING_EVIDENCE), ("fail", Phase.ROLLED_BACK), ("pass", Phase.WATCHING)],
)
def test_without_any_data_the_metric_says_what_happens_after_its_patience(policy: str, phase: Phase) -> None:
    metrics = [{**item, "maxWait": "3m", "onNoData": policy, "onInconclusive": policy} for item in ANALYSIS["metrics"]]
    spec = CANARY_SPEC | {"analysis": {"metrics": metrics}}
    world = deployed(spec)
    world.monitor.rate = 0.0
    world.deploy(spec, image=TWO)
    if phase is Phase.AWAITING_EVIDENCE:
        world.run_for(timedelta(minutes=10))
        assert world.phase is phase
    else:
        world.run(lambda: world.phase is phase, within=timedelta(hours=1))


@pytest.mark.rule("revision-dies")
@pytest.mark.parametrize(("step", "weight"), [("five", 500), ("quarter", 2500), ("half", 5000)])
def test_of_a_candidate_that_dies_all_of_the_traffic_is_stables_while_its_step_stays(step: str, weight: int) -> None:
    world = at_step(step)
    world.frozen_pods = {world.revision(TWO)}
    world.run(lambda: world.route == {ONE: ("stable", 10_000), TWO: ("candidate", 0)}, within=timedelta(seconds=3))
    assert world.status.rollout
    assert (world.status.rollout.reason, world.status.rollout.step) == ("CandidateNotReady", step)
    world.frozen_pods = set()
    world.run(lambda: world.route[TWO] == ("candidate", weight), within=timedelta(seconds=5))


def test_an_unready_candidate_loses_its_weight_at_once_and_gets_it_back() -> None:
    world = at_step("half")
    world.frozen_pods = {world.revision(TWO)}
    world.run(lambda: world.route[TWO] == ("candidate", 0), within=timedelta(seconds=3))
    world.frozen_pods = set()
    world.run(lambda: world.route[TWO] == ("candidate", 5000), within=timedelta(seconds=5))
    world.run(lambda: world.phase is Phase.WATCHING)


def test_a_candidate_that_stays_unready_in_the_traffic_is_taken_back() -> None:
    world = at_step("half")
    world.frozen_pods = {world.revision(TWO)}
    world.run(lambda: world.phase is Phase.ROLLED_BACK)
    assert world.status.rollout
    assert world.status.rollout.reason == "NotReady"


def test_when_stable_dies_the_ready_candidate_takes_over_without_waiting() -> None:
    world = at_step("five")
    world.frozen_pods = {world.revision(ONE)}
    world.run_for(timedelta(seconds=10))
    assert world.route[TWO] == ("candidate", 500)
    world.run(lambda: world.route.get(TWO) == ("stable", 10_000), within=timedelta(seconds=10))


def test_both_dead_holds_and_says_so() -> None:
    world = at_step("five")
    world.frozen_pods = {world.revision(ONE), world.revision(TWO)}
    world.run_for(timedelta(minutes=1))
    assert condition(world, "Available").reason == "NoReadyPods"
    assert world.route[ONE][0] == "stable"


@pytest.mark.rule("status-lost")
def test_all_status_lost_in_the_middle_starts_no_first_deployment_and_jumps_nowhere() -> None:
    world = at_step("quarter")
    for body in world.cluster.find(kinds.MODEL_DEPLOYMENT) + world.cluster.find(kinds.MODEL_REVISION):
        world.cluster.objects[body["kind"], NAMESPACE, body["metadata"]["name"]].pop("status", None)
    world.restart()
    world.run_for(timedelta(seconds=2))
    assert world.route == {ONE: ("stable", 7500), TWO: ("candidate", 2500)}
    world.run(lambda: world.phase is Phase.WATCHING)
    assert [weight for _, weight in world.weights] == [500, 2500, 5000, 10_000]


@pytest.mark.rule("status-lost")
def test_all_status_lost_keeps_a_taken_back_revision_out() -> None:
    world = deployed(two=Model(version="2.0.0", failing=0.2))
    world.deploy(CANARY_SPEC, image=TWO)
    world.run(lambda: world.phase is Phase.ROLLED_BACK)
    world.weights.clear()
    for body in world.cluster.find(kinds.MODEL_DEPLOYMENT) + world.cluster.find(kinds.MODEL_REVISION):
        world.cluster.objects[body["kind"], NAMESPACE, body["metadata"]["name"]].pop("status", None)
    world.restart()
    world.run_for(timedelta(minutes=5))
    assert world.weights == []
    assert world.phase is Phase.ROLLED_BACK


def test_a_deleted_route_is_written_again() -> None:
    world = deployed()
    world.cluster.take(kinds.MODEL_ROUTE, *KEY)
    world.run(lambda: world.route == {ONE: ("stable", 10_000)}, within=timedelta(seconds=3))


@pytest.mark.rule("edited-children")
def test_an_edited_child_is_set_back() -> None:
    world = deployed()
    deployment = world.cluster.find(kinds.DEPLOYMENT)[0]
    world.cluster.put({**deployment, "spec": {**deployment["spec"], "replicas": 7}})
    world.run(lambda: world.replicas == {ONE: 2}, within=timedelta(seconds=3))


@pytest.mark.parametrize("spec", [{"model": {}}, {"model": {"image": "a", "tag": "b"}}], ids=["no image", "misspelt"])
def test_an_invalid_spec_is_refused_and_what_serves_goes_on(spec: dict[str, Any]) -> None:
    world = deployed()
    world.deploy(spec)
    world.run_for(timedelta(minutes=1))
    accepted = condition(world, "Accepted")
    assert (accepted.status, accepted.reason) == ("False", "Invalid")
    assert accepted.message.startswith("spec.model.")
    assert world.route == {ONE: ("stable", 10_000)}
    assert world.status.stable
    world.deploy(CANARY_SPEC)
    world.run(lambda: condition(world, "Ready").status == "True")


@pytest.mark.rule("steps-edited")
def test_steps_edited_in_the_middle_go_on_at_the_first_that_changed() -> None:
    world = at_step("half")
    steps = [*CANARY["canary"]["steps"]]
    steps.insert(1, {"name": "ten", "weight": 10, "hold": "30s"})
    world.deploy(CANARY_SPEC, image=TWO, strategy={"type": "Canary", "canary": {"mirror": 0, "steps": steps}})
    world.run(lambda: world.route[TWO] == ("candidate", 1000), within=timedelta(seconds=5))
    world.run(lambda: world.phase is Phase.WATCHING)
    assert [weight for _, weight in world.weights] == [500, 2500, 5000, 1000, 2500, 5000, 10_000]


CONFIGURED = SPEC | {"model": {"image": ONE, "config": {"envFrom": [{"configMap": "limits"}]}}}


def config_map(world: Simulation, **data: str) -> None:
    metadata = {"name": "limits", "namespace": NAMESPACE}
    world.cluster.put({"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": data})


def test_a_config_map_is_copied_with_the_revision_and_an_edit_of_it_is_another_revision() -> None:
    world = Simulation(MODELS)
    config_map(world, MAX="1")
    world.deploy(CONFIGURED)
    world.run(lambda: world.phase is Phase.COMPLETED)
    config_map(world, MAX="2")
    world.run(lambda: world.phase is Phase.WATCHING)
    copies = [body for body in world.cluster.find(kinds.CONFIG_MAP) if body["metadata"]["name"] != "limits"]
    assert sorted(body["data"]["MAX"] for body in copies) == ["1", "2"]
    assert all(body["immutable"] for body in copies)
    names = {body["metadata"]["name"] for body in copies}
    for deployment in world.cluster.find(kinds.DEPLOYMENT):
        container = deployment["spec"]["template"]["spec"]["containers"][0]
        assert container["envFrom"][0]["configMapRef"]["name"] in names


def test_a_config_map_that_is_missing_is_named() -> None:
    world = Simulation(MODELS)
    world.deploy(CONFIGURED)
    world.run(lambda: bool(world.status.conditions))
    assert (
        "spec.model.config.envFrom[0].configMap: there is no ConfigMap 'limits'" in condition(world, "Accepted").message
    )


def test_a_deleted_deployment_is_forgotten() -> None:
    world = deployed()
    world.cluster.take(kinds.MODEL_DEPLOYMENT, *KEY)
    world.run_for(timedelta(seconds=3))
    assert world.bus.forgotten
    assert world.cluster.find(kinds.DEPLOYMENT) == []


def test_idle_is_no_write_and_neither_is_a_restart() -> None:
    world = promoted()
    world.run(lambda: world.phase is Phase.COMPLETED and world.replicas == {TWO: 2})
    world.run_for(timedelta(minutes=2))
    written = len(world.cluster.writes)
    world.run_for(timedelta(minutes=10))
    world.restart()
    world.run_for(timedelta(minutes=5))
    assert world.cluster.writes[written:] == []


def test_a_gitops_tool_that_applies_the_spec_every_few_seconds_moves_nothing() -> None:
    world = deployed()
    world.deploy(CANARY_SPEC, image=TWO)
    while world.phase is not Phase.WATCHING:
        world.run_for(timedelta(seconds=5))
        world.deploy(CANARY_SPEC, image=TWO)
    assert [weight for _, weight in world.weights] == [500, 2500, 5000, 10_000]


def test_what_was_decided_is_published_with_its_numbers() -> None:
    world = promoted()
    assert [record.weight_bp for record in world.bus.rollouts if record.step == "quarter"][-1] == 2500
    assert world.bus.models[-1].stable == world.revision(TWO)
    assert world.bus.models[-1].traffic == world.gateways.generation
    reasons = {body["reason"] for body in world.notes.posted.values()}
    assert {"Switching", "Promoted"} <= reasons
