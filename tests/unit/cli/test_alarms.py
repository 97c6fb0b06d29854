"""`why` and `history`: which alarms fire, what became of requests to retrain, and which of them a candidate answers."""

from __future__ import annotations

from datetime import timedelta

from switchyard_contracts.alarm_records import AlarmEvent
from switchyard_contracts.model_deployment import Phase
from switchyard_testkit.alarming import JOB, end_the_job, say, spec
from switchyard_testkit.cli_airport import airport
from switchyard_testkit.rollout_world import CANARY_SPEC

TWO = "models/delay:2"


def test_why_says_what_fires_and_what_became_of_training_and_what_a_candidate_answers() -> None:
    shell = airport()
    said = spec(retrain={"job": JOB}, base=CANARY_SPEC)
    shell.world.deploy(said)
    shell.world.run_for(timedelta(seconds=5))
    say(shell.world, AlarmEvent.FIRED)
    request = say(shell.world, AlarmEvent.RETRAIN_REQUESTED)
    shell.world.run_for(timedelta(seconds=5))
    told = shell("why").flat
    assert "worse (outcome.rmse) fires, since 2026-01-01 12:" in told
    assert "outcome.rmse is 14.2 (max 12.5); 2 of the last 3 windows are beyond it" in told
    assert f"{request.id} by worse: Started, " in told

    end_the_job(shell.world, code=0, words="pushed 2.0.0")
    said["model"] = {"image": TWO, "version": "2.0.0", "provenance": {"retrainRequest": request.id}}
    shell.world.deploy(said)
    shell.world.run(lambda: shell.world.phase is Phase.PROGRESSING)
    told = shell("why").flat
    assert f"It answers request {request.id} to retrain, by the alarm worse: outcome.rmse is 14.2" in told
    shell.world.run(lambda: shell.world.phase is Phase.COMPLETED)
    assert f"{request.id} by worse: Succeeded, " in shell("why").flat
    assert f"it answered request {request.id} to retrain, by the alarm worse" in shell("history").flat


def test_what_has_no_alarms_has_no_words_of_them() -> None:
    told = airport()("why").flat
    assert "Alarms" not in told
    assert "Retraining" not in told
