"""Gates in a rollout: where they stand, what they wait for, what is remembered, and who comes past them."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from switchyard_contracts.gates import GateVerdict
from switchyard_contracts.model_deployment import Phase
from switchyard_operator.domain import kinds
from switchyard_operator.domain.gates import Answer, State
from switchyard_testkit.fake_cluster import Crash
from switchyard_testkit.rollout_world import CANARY_SPEC, NAMESPACE, SPEC, Model, Simulation

ONE, TWO, THREE = "models/delay:1", "models/delay:2", "models/delay:3"
GOOD = {
    ONE: Model(version="1.0.0", loss=100.0),
    TWO: Model(version="2.0.0", loss=50.0),
    THREE: Model(version="3.0.0", loss=40.0),
}
ORIGIN = {"gitCommit": "3f2c1d9", "dataDigest": "sha256:9b2f", "trainingRun": "run-7", "pipeline": "delay"}


def gate(kind: str, **words: Any) -> dict[str, Any]:
    return {"name": kind.lower(), "type": kind, **words}


def deployed(models: dict[str, Model] | None = None, *, spec: dict[str, Any] = SPEC) -> Simulation:
    """The first model serves, and was let in by no gate."""
    world = Simulation(models or GOOD)
    world.deploy(spec)
    world.run(lambda: world.phase is Phase.COMPLETED)
    return world


def verdict(world: Simulation, name: str) -> GateVerdict:
    rollout = world.status.rollout
    assert rollout
    return next(item for item in rollout.gates if item.name == name)


def reason(world: Simulation) -> str:
    return world.status.rollout.reason if world.status.rollout else ""


def test_a_first_deployment_that_fails_a_gate_is_refused_and_has_no_pod() -> None:
    world = Simulation(GOOD)
    world.deploy(SPEC, gates=[gate("Provenance", before="provisioning")])
    world.run(lambda: world.phase is Phase.REFUSED)
    assert (world.route, world.replicas) == ({}, {})
    assert reason(world) == "GateFailed"
    assert verdict(world, "provenance").state == "Failed"
    assert "set spec.model.provenance.gitCommit" in world.describe()
    assert not [write for write in world.cluster.writes if "create ModelRoute" in write or "Deployment delay-" in write]


def test_a_refused_one_is_let_in_once_its_provenance_is_said_and_a_retry_names_it() -> None:
    world = Simulation(GOOD)
    gates = [gate("Provenance", before="provisioning")]
    world.deploy(SPEC, gates=gates)
    world.run(lambda: world.phase is Phase.REFUSED)
    world.deploy(SPEC, gates=gates, model={"image": ONE, "provenance": ORIGIN})
    world.run_for(timedelta(minutes=1))
    assert world.phase is Phase.REFUSED
    world.command("retry", revision=world.revision(ONE))
    world.run(lambda: world.phase is Phase.COMPLETED)
    assert verdict(world, "provenance").state == "Passed"
    assert verdict(world, "provenance").attempt == 2


def test_a_version_that_does_not_rise_gets_no_traffic() -> None:
    world = deployed()
    world.images[THREE] = Model(version="0.9.0")
    world.deploy(SPEC, image=THREE, gates=[gate("Version")])
    world.run(lambda: world.phase is Phase.ROLLED_BACK)
    assert world.weights == []
    assert verdict(world, "version").message.startswith("0.9.0 is not above stable's 1.0.0")
    assert any(kind == "Warning" and said == "GateFailed" for kind, said, _ in world.notes.of())


def test_gates_that_pass_are_shown_with_their_words_and_their_time() -> None:
    world = deployed()
    gates = [gate("Version"), gate("Smoke", name="asks", smoke={"requests": [{"path": "/predict", "body": "{}"}]})]
    world.deploy(SPEC, image=TWO, gates=gates)
    world.run(lambda: world.phase is Phase.WATCHING)
    found = (
        {item.name: (item.state, item.message) for item in world.status.rollout.gates} if world.status.rollout else {}
    )
    assert found == {
        "smoke": ("Passed", "every pod answered the first request"),
        "version": ("Passed", "2.0.0 is above stable's 1.0.0"),
        "asks": ("Passed", "2 pods answered 1 request"),
    }
    assert verdict(world, "version").at is not None
    kept = world.cluster.read(kinds.MODEL_REVISION, NAMESPACE, world.revision(TWO))
    assert kept
    assert [item["name"] for item in kept["status"]["gates"]] == ["smoke", "version", "asks"]


APPROVAL = gate("Approval", before="step", step="half")


def test_a_step_waits_for_a_person_with_the_weight_it_has() -> None:
    world = deployed(spec=CANARY_SPEC)
    world.deploy(CANARY_SPEC, image=TWO, gates=[APPROVAL])
    world.run(lambda: reason(world) == "AwaitingApproval")
    world.run_for(timedelta(minutes=5))
    assert (world.phase, world.route[TWO][1]) == (Phase.PAUSED, 2500)
    rollout = world.status.rollout
    assert rollout
    assert rollout.waiting_for == "a person's approve of approval"
    world.command("approve", rollout=rollout.id)
    world.run(lambda: world.phase is Phase.WATCHING)
    assert verdict(world, "approval").message == "approved by ada"
    assert [weight for image, weight in world.weights if image == TWO] == [500, 2500, 5000, 10000]


def test_an_approval_may_come_early_and_nobody_is_waited_for() -> None:
    world = deployed(spec=CANARY_SPEC)
    world.deploy(CANARY_SPEC, image=TWO, gates=[APPROVAL])
    world.run(lambda: world.route.get(TWO, ("", 0))[1] == 500)
    world.command("approve", rollout=world.status.rollout.id if world.status.rollout else "", gate="approval")
    reasons = set()

    def done() -> bool:
        reasons.add(reason(world))
        return world.phase is Phase.WATCHING

    world.run(done)
    assert "AwaitingApproval" not in reasons


@pytest.mark.parametrize(
    ("gates", "words", "result", "why"),
    [
        pytest.param([APPROVAL], {}, "Accepted", "Approved", id="the only one"),
        pytest.param([APPROVAL], {"gate": "other"}, "Refused", "NoSuchGate", id="one that is not there"),
        pytest.param([], {}, "Refused", "NothingToApprove", id="no gate at all"),
        pytest.param([APPROVAL, APPROVAL | {"name": "second"}], {}, "Refused", "GateMissing", id="which of two"),
        pytest.param(
            [APPROVAL, APPROVAL | {"name": "second"}], {"gate": "second"}, "Accepted", "Approved", id="one of two"
        ),
        pytest.param(
            [APPROVAL | {"approval": {"approvers": ["grace"]}}], {}, "Refused", "NotAnApprover", id="not an approver"
        ),
        pytest.param(
            [APPROVAL | {"approval": {"approvers": ["grace", "ada"]}}], {}, "Accepted", "Approved", id="an approver"
        ),
        pytest.param([APPROVAL], {"rollout": "delay-older.1"}, "Refused", "Stale", id="another rollout"),
    ],
)
def test_what_becomes_of_an_approve(gates: list[dict[str, Any]], words: dict[str, str], result: str, why: str) -> None:
    world = deployed(spec=CANARY_SPEC)
    world.deploy(CANARY_SPEC, image=TWO, gates=gates)
    world.run(lambda: world.route.get(TWO, ("", 0))[1] == 500)
    assert world.status.rollout
    name = world.command("approve", **({"rollout": world.status.rollout.id} | words))
    world.tick()
    command = world.cluster.read(kinds.MODEL_COMMAND, NAMESPACE, name)
    assert command
    assert (command["status"]["result"], command["status"]["reason"]) == (result, why)


LATE = timedelta(hours=1)


@pytest.mark.parametrize(
    ("words", "phase", "state"),
    [
        pytest.param({}, Phase.ROLLED_BACK, "Failed", id="fail, where nothing is said"),
        pytest.param({"onTimeout": "hold"}, Phase.PAUSED, "Waiting", id="hold"),
        pytest.param({"onTimeout": "pass"}, Phase.WATCHING, "Passed", id="pass"),
    ],
)
def test_the_deadline_of_a_gate_that_nobody_passes(words: dict[str, str], phase: Phase, state: str) -> None:
    world = deployed()
    world.deploy(SPEC, image=TWO, gates=[gate("Approval", before="promotion", within="2m", **words)])
    world.run(lambda: reason(world) == "AwaitingApproval")
    began = world.clock.now
    world.run(lambda: verdict(world, "approval").message.endswith(f"(onTimeout: {words.get('onTimeout', 'fail')})"))
    assert timedelta(minutes=2) <= world.clock.now - began <= timedelta(minutes=2, seconds=5)
    world.run_for(timedelta(seconds=10))
    assert (world.phase, verdict(world, "approval").state) == (phase, state)
    assert "not decided within 2m" in verdict(world, "approval").message


def test_a_pause_stops_the_deadline() -> None:
    world = deployed()
    world.deploy(SPEC, image=TWO, gates=[gate("Approval", before="promotion", within="2m")])
    world.run(lambda: reason(world) == "AwaitingApproval")
    assert world.status.rollout
    world.command("pause", rollout=world.status.rollout.id)
    world.run_for(timedelta(minutes=10))
    assert (world.phase, verdict(world, "approval").state) == (Phase.PAUSED, "Waiting")


def test_waiting_before_provisioning_costs_no_pod_and_no_deadline_of_the_pods() -> None:
    world = deployed()
    world.deploy(SPEC, image=TWO, gates=[gate("Approval", before="provisioning")])
    world.run(lambda: reason(world) == "AwaitingApproval")
    world.run_for(timedelta(minutes=20))
    assert (reason(world), set(world.replicas)) == ("AwaitingApproval", {ONE})
    assert world.status.rollout
    world.command("approve", rollout=world.status.rollout.id)
    world.run(lambda: world.phase is Phase.WATCHING)


def test_a_gate_that_holds_for_long_asks_for_no_smoke_meanwhile() -> None:
    world = deployed()
    world.deploy(SPEC, image=TWO, gates=[gate("Approval")])
    world.run(lambda: reason(world) == "AwaitingApproval")
    asked = world.models.asked
    world.images[TWO] = Model(version="2.0.0", smoke="answered 503")
    world.run_for(timedelta(minutes=5))
    assert (world.models.asked, reason(world)) == (asked, "AwaitingApproval")


def test_a_smoke_request_that_is_not_answered_in_time_refuses_the_revision() -> None:
    world = deployed({**GOOD, TWO: Model(version="2.0.0", smoke="answered 500: no such column")})
    world.images[TWO] = Model(version="2.0.0")
    requests = {"requests": [{"path": "/predict", "body": "{}"}]}
    world.deploy(SPEC, image=TWO, gates=[gate("Smoke", name="asks", smoke=requests), gate("Approval")])
    world.run(lambda: reason(world) == "AwaitingApproval")
    world.deploy(SPEC, image=TWO, gates=[gate("Smoke", name="later", smoke=requests)])
    world.images[TWO] = Model(version="2.0.0", smoke="answered 500: no such column")
    world.run(lambda: world.phase is Phase.ROLLED_BACK)
    assert "/predict on pod 10.0.0." in verdict(world, "later").message
    assert "answered 500: no such column; not decided within 30s" in verdict(world, "later").message


def test_what_has_passed_is_not_asked_again_by_a_new_operator() -> None:
    world = deployed(spec=CANARY_SPEC)
    requests = {"requests": [{"path": "/predict", "body": "{}"}]}
    gates = [gate("Smoke", name="asks", smoke=requests), APPROVAL]
    world.deploy(CANARY_SPEC, image=TWO, gates=gates)
    world.run(lambda: reason(world) == "AwaitingApproval")
    asked = world.models.asked
    world.restart()
    world.run_for(timedelta(seconds=20))
    assert world.models.asked == asked


def test_verdicts_are_kept_with_the_revision_while_another_rolls_out() -> None:
    world = deployed()
    gates = [gate("Approval")]
    world.deploy(SPEC, image=TWO, gates=gates)
    world.run(lambda: reason(world) == "AwaitingApproval")
    assert world.status.rollout
    world.command("approve", rollout=world.status.rollout.id)
    world.tick()
    world.deploy(SPEC, image=THREE, gates=[*gates, gate("Approval", name="second")])
    world.run(lambda: reason(world) == "AwaitingApproval" and world.status.rollout is not None)
    world.deploy(SPEC, image=TWO, gates=gates)
    world.run(lambda: world.phase is Phase.WATCHING)
    assert world.route[TWO][1] == 10_000


def test_a_gate_that_is_edited_is_asked_anew() -> None:
    world = deployed()
    first = gate("Approval", before="promotion", approval={"approvers": ["ada"]})
    world.deploy(SPEC, image=TWO, gates=[first, gate("Approval", name="second", before="promotion")])
    world.run(lambda: reason(world) == "AwaitingApproval")
    assert world.status.rollout
    world.command("approve", rollout=world.status.rollout.id, gate="approval")
    world.run(lambda: verdict(world, "approval").state == "Passed")
    other = first | {"approval": {"approvers": ["grace"]}}
    world.deploy(SPEC, image=TWO, gates=[other, gate("Approval", name="second", before="promotion")])
    world.run(lambda: verdict(world, "approval").state == "Waiting")


@pytest.mark.parametrize(
    ("required", "phase"),
    [pytest.param(True, Phase.PAUSED, id="required"), pytest.param(False, Phase.WATCHING, id="not")],
)
def test_a_promote_of_every_step_skips_only_gates_that_are_not_required(required: bool, phase: Phase) -> None:
    world = deployed(spec=CANARY_SPEC)
    world.deploy(CANARY_SPEC, image=TWO, gates=[APPROVAL | {"required": required}])
    world.run(lambda: world.route.get(TWO, ("", 0))[1] == 500)
    assert world.status.rollout
    world.command("promote", rollout=world.status.rollout.id)
    world.run_for(timedelta(seconds=30))
    assert world.phase is phase


@pytest.mark.parametrize(
    ("required", "weight"), [pytest.param(True, 500, id="required"), pytest.param(False, 10_000, id="not required")]
)
def test_a_dead_stable_is_replaced_past_gates_that_are_not_required(required: bool, weight: int) -> None:
    world = deployed(spec=CANARY_SPEC)
    world.deploy(CANARY_SPEC, image=TWO, gates=[APPROVAL | {"required": required}])
    world.run(lambda: world.route.get(TWO, ("", 0))[1] == 500)
    world.frozen_pods.add(world.revision(ONE))
    world.run_for(timedelta(seconds=25))
    assert world.route[TWO][1] == weight


def test_more_memory_for_the_same_model_passes_no_gate() -> None:
    world = deployed()
    serving = {**SPEC["serving"], "resources": {"limits": {"memory": "1Gi"}}}
    world.deploy(SPEC, serving=serving, gates=[gate("Version"), gate("Approval")])
    world.run(lambda: world.phase is Phase.WATCHING)


def test_a_failed_gate_before_a_step_takes_the_traffic_back() -> None:
    world = deployed(spec=CANARY_SPEC)
    gates = [gate("Approval", before="step", step="quarter", within="1m")]
    world.deploy(CANARY_SPEC, image=TWO, gates=gates)
    world.run(lambda: world.phase is Phase.ROLLED_BACK)
    assert [weight for image, weight in world.weights if image == TWO] == [500]
    assert world.route[ONE][1] == 10_000


GATED = CANARY_SPEC | {
    "model": {"image": ONE, "provenance": ORIGIN},
    "gates": [
        gate("Provenance", before="provisioning"),
        gate("Version"),
        gate("Smoke", name="asks", smoke={"requests": [{"path": "/predict", "body": "{}"}]}),
        gate("Approval", before="step", step="half", within="20s", onTimeout="pass"),
        gate("Smoke", name="last", before="promotion", smoke={"requests": [{"path": "/predict", "body": "{}"}]}),
    ],
}


def play(*, crash_after: int | None) -> dict[str, Any]:
    world = Simulation(GOOD)
    world.cluster.crash_after = crash_after
    world.deploy(GATED)
    world.run(lambda: world.phase is Phase.COMPLETED)
    world.deploy(GATED, image=TWO, model={"image": TWO, "provenance": ORIGIN})
    world.run(lambda: world.phase is Phase.WATCHING and world.status.rollout is not None)
    assert world.status.rollout
    return {
        "crashed": crash_after is not None and world.cluster.crash_after is None,
        "writes": len(world.cluster.writes),
        "weights": world.weights,
        "gates": [(item.name, item.state) for item in world.status.rollout.gates],
        "steps": [(record.name, record.weight_bp) for record in world.status.rollout.steps_done],
    }


@pytest.mark.timeout(600)
def test_a_crash_after_any_write_comes_to_the_same_end() -> None:
    whole = play(crash_after=None)
    assert [state for _, state in whole["gates"]] == ["Passed"] * 6
    for write in range(1, whole["writes"] + 1):
        played = play(crash_after=write)
        assert played["crashed"], f"no crash after write {write}"
        assert {key: played[key] for key in ("weights", "gates", "steps")} == {
            key: whole[key] for key in ("weights", "gates", "steps")
        }, f"after write {write}"


DESK = gate("Webhook", name="desk", webhook={"url": "https://desk.example/gate"})


def schema(**properties: Any) -> dict[str, Any]:
    inner = {"type": "object", "properties": properties, "required": list(properties)}
    return {"routes": [{"route": "/predict", "input": inner, "output": {}}]}


NUMBER = {"type": "number"}


def test_a_candidate_that_asks_for_more_than_stable_did_is_refused() -> None:
    models = {
        ONE: Model(version="1.0.0", schema=schema(distance=NUMBER)),
        TWO: Model(version="2.0.0", schema=schema(distance=NUMBER, hour=NUMBER)),
    }
    world = deployed(models)
    world.deploy(SPEC, image=TWO, gates=[gate("Schema")])
    world.run(lambda: world.phase is Phase.ROLLED_BACK)
    assert "/predict request $.hour is required now" in verdict(world, "schema").message


def test_the_first_one_has_nobody_to_be_compatible_with() -> None:
    world = Simulation({ONE: Model(version="1.0.0", schema=schema(distance=NUMBER))})
    world.deploy(SPEC, gates=[gate("Schema")])
    world.run(lambda: world.phase is Phase.COMPLETED)
    assert verdict(world, "schema").state == "Passed"


def test_a_schema_that_cannot_be_read_holds_and_says_so() -> None:
    world = deployed()
    world.deploy(SPEC, image=TWO, gates=[gate("Schema")])
    world.run(lambda: reason(world) == "GateUnavailable")
    world.run_for(timedelta(minutes=15))
    assert (reason(world), verdict(world, "schema").state) == ("GateUnavailable", "Error")
    assert "not decided within 10m (onUnavailable: hold)" in verdict(world, "schema").message


def test_a_webhook_is_asked_once_and_told_who_wants_to_pass() -> None:
    world = deployed()
    world.deploy(SPEC, image=TWO, gates=[DESK], model={"image": TWO, "version": "2.0.0", "provenance": ORIGIN})
    world.run(lambda: world.phase is Phase.WATCHING)
    (asked,) = world.webhooks.asked
    body = asked.body
    assert (body["kind"], body["id"], body["gate"], body["before"]) == ("GateReview", asked.key, "desk", "traffic")
    assert (body["candidate"]["version"], body["candidate"]["provenance"]) == ("2.0.0", ORIGIN)
    assert body["stable"]["version"] == "1.0.0"


def test_a_webhook_that_needs_time_is_asked_by_the_same_key_every_ten_seconds() -> None:
    world = deployed()
    world.webhooks.answer = Answer(State.WAITING, "desk.example has not decided yet")
    world.deploy(SPEC, image=TWO, gates=[DESK])
    world.run(lambda: reason(world) == "GateWaiting")
    world.run_for(timedelta(minutes=1))
    assert 6 <= len(world.webhooks.asked) <= 7
    assert len({item.key for item in world.webhooks.asked}) == 1
    world.webhooks.answer = Answer(State.PASSED, "desk.example allows it")
    world.run(lambda: world.phase is Phase.WATCHING)


@pytest.mark.parametrize(
    ("answer", "words", "phase", "state"),
    [
        pytest.param(State.FAILED, {}, Phase.ROLLED_BACK, "Failed", id="no"),
        pytest.param(State.WAITING, {}, Phase.ROLLED_BACK, "Failed", id="never decides"),
        pytest.param(State.WAITING, {"onTimeout": "hold"}, Phase.GATING, "Waiting", id="never decides, hold"),
        pytest.param(State.ERROR, {}, Phase.GATING, "Error", id="is away: no failure of the model"),
        pytest.param(State.ERROR, {"onUnavailable": "fail"}, Phase.ROLLED_BACK, "Failed", id="is away, fail"),
        pytest.param(State.ERROR, {"onUnavailable": "pass"}, Phase.WATCHING, "Passed", id="is away, pass"),
    ],
)
def test_what_a_webhook_does_to_a_rollout(answer: State, words: dict[str, str], phase: Phase, state: str) -> None:
    world = deployed()
    world.webhooks.answer = Answer(answer, "desk.example said so")
    world.deploy(SPEC, image=TWO, gates=[DESK | {"within": "1m"} | words])
    world.run_for(timedelta(seconds=100))
    assert (world.phase, verdict(world, "desk").state) == (phase, state)


def test_a_webhook_is_not_asked_where_the_version_has_failed_already() -> None:
    world = deployed()
    world.images[THREE] = Model(version="0.9.0")
    world.deploy(SPEC, image=THREE, gates=[DESK, gate("Version")])
    world.run(lambda: world.phase is Phase.ROLLED_BACK)
    assert world.webhooks.asked == []


def test_a_crash_before_the_answer_is_remembered_asks_again_by_the_same_key() -> None:
    world = deployed()
    world.deploy(SPEC, image=TWO, gates=[DESK])

    def die(write: str) -> None:
        if len(world.webhooks.asked) == 1:
            raise Crash(write)

    world.cluster.before_write = die
    world.run(lambda: world.phase is Phase.WATCHING)
    assert len(world.webhooks.asked) == 2
    assert len({item.key for item in world.webhooks.asked}) == 1
