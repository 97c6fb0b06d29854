"""Alarms and retraining: what the monitor says is told once each, and is answered once in a cool-down."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any

import httpx
import pytest
from switchyard_contracts.alarm_records import AlarmEvent
from switchyard_contracts.alarms import MOST_ALARMS
from switchyard_contracts.base import LABEL_REQUEST
from switchyard_contracts.model_deployment import Phase
from switchyard_contracts.notifications import Event
from switchyard_contracts.retraining import TrainingPhase, TrainingWebhook
from switchyard_operator.adapters.webhooks import HttpTrainers, HttpWebhooks
from switchyard_operator.domain import kinds, letters, retraining
from switchyard_operator.domain.gates import State
from switchyard_operator.domain.reviews import Review
from switchyard_testkit.alarming import CALL, JOB, end_the_job, record, say, spec
from switchyard_testkit.rollout_world import CANARY_SPEC, KEY, NOON, Model, Simulation
from switchyard_testkit.telling import Told

ONE, TWO = "models/delay:1", "models/delay:2"
SECONDS, HOUR = timedelta(seconds=5), timedelta(hours=1)
FIRED, RECOVERED, REQUESTED = AlarmEvent.FIRED, AlarmEvent.RECOVERED, AlarmEvent.RETRAIN_REQUESTED


def serving(**words: Any) -> Told:
    """The first model serves, with one rule; what was told of that is forgotten."""
    world = Told({ONE: Model(version="1.0.0", loss=100.0), TWO: Model(version="2.0.0", loss=50.0)})
    world.deploy(spec(**words), image=ONE)
    world.run(lambda: world.phase is Phase.COMPLETED)
    world.run_for(SECONDS)
    for inbox in world.inboxes.values():
        inbox.received.clear()
    return world


def told(world: Told) -> list[tuple[Event, str]]:
    return [(item.event, item.reason) for item in world.inboxes["desk"].received]


def serves(world: Simulation) -> str:
    return world.status.stable.version if world.status.stable else ""


def creations(world: Simulation) -> int:
    return len([write for write in world.cluster.writes if write.startswith("create Job")])


# --- what is told ----------------------------------------------------------------------------------------------------


def test_an_alarm_is_in_the_status_while_it_fires_and_told_when_it_begins_and_ends() -> None:
    world = serving()
    fired = say(world, FIRED)
    world.run_for(SECONDS)
    held = world.status.alarms
    assert held is not None
    assert (held.newest, [alarm.alarm for alarm in held.firing]) == (fired.id, ["worse"])
    say(world, RECOVERED)
    world.run_for(SECONDS)
    assert world.status.alarms is not None
    assert world.status.alarms.firing == []
    assert told(world) == [(Event.ALARM, "Fired"), (Event.ALARM, "Recovered")]
    first = world.inboxes["desk"].received[0]
    assert (first.id, first.alarm, first.figures[0].value, first.figures[0].samples) == (fired.id, "worse", 14.2, 812)
    assert ("Warning", "AlarmFired", f"alarm worse: {fired.message}") in world.notes.of()


def test_a_new_process_tells_nothing_twice() -> None:
    world = serving()
    say(world, FIRED)
    world.run_for(SECONDS)
    world.restart()
    world.run_for(SECONDS)
    assert told(world) == [(Event.ALARM, "Fired")]
    say(world, RECOVERED)
    world.run_for(SECONDS)
    assert told(world) == [(Event.ALARM, "Fired"), (Event.ALARM, "Recovered")]


def test_what_was_said_while_nobody_listened_is_told_later() -> None:
    world = serving()
    world.monitor.down = "the monitor does not answer"
    say(world, FIRED)
    say(world, RECOVERED)
    world.run_for(SECONDS)
    assert told(world) == []
    world.monitor.down = ""
    world.run_for(SECONDS)
    assert told(world) == [(Event.ALARM, "Fired"), (Event.ALARM, "Recovered")]


def test_what_is_over_is_no_news_to_a_status_that_was_restored() -> None:
    world = serving()
    say(world, FIRED)
    say(world, RECOVERED)
    world.clock.now += 2 * HOUR
    world.run_for(SECONDS)
    assert told(world) == []


def test_what_fires_still_is_told_however_late_it_is_heard_of() -> None:
    world = serving()
    fired = say(world, FIRED)
    world.clock.now += 2 * HOUR
    world.run_for(SECONDS)
    assert world.status.alarms is not None
    assert [alarm.alarm for alarm in world.status.alarms.firing] == ["worse"]
    assert [item.id for item in world.inboxes["desk"].received] == [fired.id]


def test_as_many_alarms_as_there_may_be_are_told_though_they_fire_at_once() -> None:
    world = serving()
    world.inboxes["desk"].away = "it is away"
    said = [say(world, FIRED, alarm=f"rule-{number}") for number in range(MOST_ALARMS)]
    world.run_for(SECONDS)
    world.inboxes["desk"].away = ""
    world.run_for(timedelta(minutes=10))
    assert {item.id for item in world.inboxes["desk"].received} >= {record.id for record in said}


def test_the_monitor_is_asked_for_more_only_when_there_is_news() -> None:
    world = serving()
    world.run_for(SECONDS)
    assert world.monitor.books_read == 0
    say(world, FIRED)
    world.run_for(4 * SECONDS)
    assert world.monitor.books_read <= 2, "once, and once more until the status has it"


def test_a_chat_is_told_in_a_sentence() -> None:
    world = serving()
    say(world, FIRED)
    world.run_for(SECONDS)
    text = letters.slack("airport/delay", world.inboxes["desk"].received[0])["text"]
    assert text.startswith(
        ":rotating_light: *airport/delay*: the alarm worse of 1.0.0 fires\nFired: outcome.rmse is 14.2"
    )


def test_rules_that_are_taken_out_leave_the_status() -> None:
    world = serving()
    say(world, FIRED)
    world.run_for(SECONDS)
    world.deploy(spec() | {"monitoring": None}, image=ONE)
    world.run_for(SECONDS)
    assert world.status.alarms is None


# --- retraining by a Job ----------------------------------------------------------------------------------------------


def test_a_request_starts_one_job_which_is_told_of_it() -> None:
    world = serving(retrain={"job": JOB})
    fired, request = say(world, FIRED), say(world, REQUESTED)
    world.run_for(SECONDS)
    (job,) = world.cluster.find(kinds.JOB)
    assert job["metadata"]["name"] == f"delay-retrain-{request.id[:8]}"
    assert job["metadata"]["labels"][LABEL_REQUEST] == request.id
    (container,) = job["spec"]["template"]["spec"]["containers"]
    env = {item["name"]: item["value"] for item in container["env"]}
    assert (env["SWITCHYARD_RETRAIN_REQUEST"], env["SWITCHYARD_DEPLOYMENT"], env["EPOCHS"]) == (
        request.id,
        "airport/delay",
        "3",
    )
    assert env["SWITCHYARD_STABLE_IMAGE"] == ONE
    evidence = json.loads(env["SWITCHYARD_RETRAIN_EVIDENCE"])
    assert (evidence["value"], evidence["limit"], evidence["looks"][0]["samples"]) == (14.2, "max 12.5", 812)
    (state,) = world.status.retraining
    assert (state.request, state.phase, state.because) == (request.id, TrainingPhase.STARTED, request.message)
    assert told(world) == [(Event.ALARM, "Fired"), (Event.RETRAIN, "RetrainRequested")]
    assert fired.id != request.id


@pytest.mark.parametrize(
    ("code", "phase", "message"),
    [
        pytest.param(0, TrainingPhase.SUCCEEDED, "ended with exit code 0: pushed 2.0.0", id="done"),
        pytest.param(3, TrainingPhase.FAILED, "ended with exit code 3: pushed 2.0.0", id="failed"),
    ],
)
def test_what_the_job_came_to_is_in_the_status(code: int, phase: TrainingPhase, message: str) -> None:
    world = serving(retrain={"job": JOB})
    say(world, REQUESTED)
    world.run_for(SECONDS)
    end_the_job(world, code=code, words="pushed 2.0.0")
    world.run_for(timedelta(seconds=40))
    (state,) = world.status.retraining
    assert (state.phase, state.message.partition(" ")[2].partition(" ")[2]) == (phase, message)


@pytest.mark.rule("retraining")
def test_requests_are_answered_once_in_a_cool_down_and_the_newest_when_it_is_over() -> None:
    world = serving(retrain={"job": JOB, "cooldown": "2h"})
    first = say(world, REQUESTED)
    world.run_for(SECONDS)
    end_the_job(world, code=1)
    world.clock.now += timedelta(minutes=90)
    say(world, REQUESTED)
    world.run_for(SECONDS)
    newest = say(world, REQUESTED)
    world.run_for(SECONDS)
    assert creations(world) == 1
    assert world.status.retraining[-1].phase is TrainingPhase.WAITING
    world.clock.now += timedelta(minutes=31)
    world.run_for(SECONDS)
    assert creations(world) == 2
    started = [state.request for state in world.status.retraining if state.started_at]
    assert started == [first.id, newest.id]


@pytest.mark.rule("retraining")
def test_a_request_that_nobody_answered_in_time_is_passed_over() -> None:
    world = serving(retrain={"job": JOB})
    world.monitor.down = "away"
    say(world, REQUESTED)
    world.clock.now += timedelta(hours=25)
    world.monitor.down = ""
    world.run_for(SECONDS)
    (state,) = world.status.retraining
    assert (creations(world), state.phase) == (0, TrainingPhase.PASSED_OVER)


def test_what_was_asked_for_one_that_was_deleted_is_not_done_for_its_namesake() -> None:
    world = serving(retrain={"job": JOB})
    say(world, REQUESTED, at=world.clock.now - HOUR)
    world.run_for(SECONDS)
    assert (creations(world), world.status.retraining) == (0, [])
    say(world, REQUESTED)
    world.run_for(SECONDS)
    assert creations(world) == 1


def test_one_trains_at_a_time_however_short_the_cool_down() -> None:
    world = serving(retrain={"job": JOB | {"within": "6h"}, "cooldown": "1h"})
    say(world, REQUESTED)
    world.run_for(SECONDS)
    world.clock.now += 2 * HOUR
    newest = say(world, REQUESTED)
    world.run_for(SECONDS)
    assert creations(world) == 1
    assert world.status.retraining[-1].message == f"Job {world.status.retraining[0].job} still trains"
    end_the_job(world, code=0)
    world.run_for(timedelta(minutes=2))
    assert creations(world) == 2
    assert (world.status.retraining[-1].request, world.status.retraining[-1].phase) == (
        newest.id,
        TrainingPhase.STARTED,
    )


def test_a_request_that_waits_is_passed_over_for_a_newer_one() -> None:
    world = serving(retrain={"webhook": CALL, "cooldown": "1h"})
    world.trainers.answer = "train.example answered 503"
    say(world, REQUESTED)
    world.run_for(SECONDS)
    say(world, REQUESTED)
    world.run_for(SECONDS)
    assert [state.phase for state in world.status.retraining] == [TrainingPhase.PASSED_OVER, TrainingPhase.WAITING]


def test_a_job_is_followed_though_the_rules_are_taken_out() -> None:
    world = serving(retrain={"job": JOB})
    say(world, REQUESTED)
    world.run_for(SECONDS)
    world.deploy(spec() | {"monitoring": None}, image=ONE)
    end_the_job(world, code=0)
    world.run_for(timedelta(seconds=40))
    assert [state.phase for state in world.status.retraining] == [TrainingPhase.SUCCEEDED]


@pytest.mark.parametrize("write", range(12))
@pytest.mark.rule("retraining")
def test_a_crash_after_any_write_starts_no_second_job(write: int) -> None:
    world = serving(retrain={"job": JOB})
    say(world, FIRED)
    say(world, REQUESTED)
    world.cluster.crash_after = len(world.cluster.writes) + write
    world.run_for(SECONDS)
    world.cluster.crash_after = None
    world.restart()
    world.run_for(timedelta(seconds=40))
    assert creations(world) == 1
    assert [state.phase for state in world.status.retraining] == [TrainingPhase.STARTED]
    assert told(world) == [(Event.ALARM, "Fired"), (Event.RETRAIN, "RetrainRequested")]


def test_a_job_of_that_name_that_is_somebody_elses_is_left_alone_and_said() -> None:
    world = serving(retrain={"job": JOB})
    name = retraining.name("delay", record(REQUESTED, world.clock.now, number=1).id)
    other = {"name": name, "namespace": KEY[0]}
    world.cluster.put({"apiVersion": "batch/v1", "kind": "Job", "metadata": other})
    say(world, REQUESTED)
    world.run_for(timedelta(seconds=40))
    (state,) = world.status.retraining
    assert (state.phase, creations(world)) == (TrainingPhase.FAILED, 0)
    assert "made by somebody else" in state.message


def test_a_spec_without_a_way_to_train_only_says_that_it_was_asked() -> None:
    world = serving(retrain={})
    say(world, REQUESTED)
    world.run_for(SECONDS)
    assert [state.phase for state in world.status.retraining] == [TrainingPhase.ASKED]
    assert told(world) == [(Event.RETRAIN, "RetrainRequested")]


def test_others_are_not_told_how_it_is_trained() -> None:
    world = serving(retrain={"job": JOB})
    monitoring = world.bus.models[-1].monitoring
    assert monitoring is not None
    assert monitoring.retrain is not None
    assert (monitoring.retrain.alarms, monitoring.retrain.job) == (["worse"], None)


# --- by a webhook ----------------------------------------------------------------------------------------------------


def test_a_trainer_is_told_until_it_has_taken_it() -> None:
    world = serving(retrain={"webhook": CALL})
    world.trainers.answer = "train.example answered 503"
    request = say(world, REQUESTED)
    world.run_for(SECONDS)
    (state,) = world.status.retraining
    assert (state.phase, state.message) == (TrainingPhase.WAITING, "train.example answered 503")
    assert len(world.trainers.told) == 1, "not at once again"
    world.trainers.answer = ""
    world.run_for(timedelta(seconds=30))
    assert [state.phase for state in world.status.retraining] == [TrainingPhase.TOLD]
    assert {told.id for _, told in world.trainers.told} == {request.id}
    calls = len(world.trainers.told)
    world.run_for(timedelta(seconds=30))
    world.restart()
    world.run_for(SECONDS)
    assert len(world.trainers.told) == calls


def test_a_trainer_that_hangs_holds_up_no_rollout() -> None:
    world = serving(retrain={"webhook": CALL}, base=CANARY_SPEC)
    world.trainers.slow = True
    say(world, REQUESTED)
    world.deploy(spec(retrain={"webhook": CALL}, base=CANARY_SPEC), image=TWO)
    world.run(lambda: world.phase is Phase.COMPLETED and serves(world) == "2.0.0", within=timedelta(minutes=40))
    assert [state.phase for state in world.status.retraining] == [TrainingPhase.WAITING]
    world.trainers.come_round()
    world.run_for(SECONDS)
    assert [state.phase for state in world.status.retraining] == [TrainingPhase.TOLD]


@pytest.mark.parametrize(
    "url",
    [
        pytest.param("http://trainer..example/runs", id="an empty label"),
        pytest.param(f"http://{'a' * 64}.example/runs", id="a label of 64 letters"),
        pytest.param("http://[::1/runs", id="half an address"),
        pytest.param("http://xn--/runs", id="a label that stands for nothing"),
    ],
)
def test_an_address_that_can_be_none_is_said_and_stops_no_pass(url: str) -> None:
    called = TrainingWebhook(url=url)
    with httpx.Client() as http:
        trainers = HttpTrainers(http, key=lambda: "", clock=lambda: NOON)
        words = trainers.tell(called.url, record(REQUESTED, NOON, number=1), timeout=timedelta(seconds=1))
        answer = HttpWebhooks(http, key=lambda: "", clock=lambda: NOON).ask(
            called.url, Review(key="k", body={}), timeout=timedelta(seconds=1)
        )
    assert words.startswith(f"monitoring.retrain.webhook.url: {url} is no address (")
    assert words.endswith("); mend it")
    assert (answer.state, url in answer.message) == (State.ERROR, True)


# --- the candidate that comes of it -----------------------------------------------------------------------------------


@pytest.mark.rule("retraining")
def test_a_candidate_names_the_request_that_it_answers() -> None:
    world = serving(retrain={"job": JOB})
    request = say(world, REQUESTED)
    world.run_for(SECONDS)
    newer = spec(retrain={"job": JOB})
    newer["model"] = {"image": TWO, "provenance": {"retrainRequest": request.id}}
    world.deploy(newer)
    world.run(lambda: world.phase is Phase.COMPLETED and serves(world) == "2.0.0")
    (revision,) = [
        body for body in world.cluster.find(kinds.MODEL_REVISION) if LABEL_REQUEST in body["metadata"]["labels"]
    ]
    assert revision["metadata"]["labels"][LABEL_REQUEST] == request.id
    because = f"request {request.id} to retrain, by the alarm worse: {request.message}"
    assert world.status.history[-1].cause == because
    assert world.status.history[0].cause == ""


def test_a_request_that_is_not_known_any_more_is_named_all_the_same() -> None:
    world = serving()
    newer = spec()
    newer["model"] = {"image": TWO, "provenance": {"retrainRequest": "f" * 32}}
    world.deploy(newer)
    world.run(lambda: world.phase is Phase.COMPLETED and serves(world) == "2.0.0")
    assert world.status.history[-1].cause == f"request {'f' * 32} to retrain"


# --- the domain ------------------------------------------------------------------------------------------------------


def test_a_name_fits_into_a_label_whatever_the_deployments() -> None:
    assert len(retraining.name("d" * 45, "f" * 32)) == 62


def test_evidence_that_is_too_long_goes_without_its_features() -> None:
    many = [
        {"feature": "f" * 250, "side": "X", "aspect": "distribution", "effect": 1.0, "usual": 0.1} for _ in range(200)
    ]
    long = record(REQUESTED, NOON, number=1, features=many)
    assert len(retraining.evidence(long)) < retraining.MOST_EVIDENCE
    assert json.loads(retraining.evidence(long))["id"] == long.id


def test_nothing_is_put_into_the_names_of_features() -> None:
    drifted = [{"feature": "$(REGISTRY_PASSWORD)", "side": "X", "aspect": "missing", "effect": 1.0, "usual": 0.1}]
    said = retraining.evidence(record(REQUESTED, NOON, number=1, features=drifted))
    assert "$$(REGISTRY_PASSWORD)" in said, "Kubernetes makes $( of it, and looks for no variable"
