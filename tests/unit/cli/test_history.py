"""`history`: what ended, how, by which numbers, and who told it what."""

from __future__ import annotations

import re

from switchyard_cli.views.reasons import numbers
from switchyard_contracts.model_deployment import MetricVerdict, Phase
from switchyard_testkit.cli_airport import airport, rolling, taken_back
from switchyard_testkit.rollout_world import CANARY_SPEC


def test_the_newest_comes_first_with_outcome_reason_and_numbers() -> None:
    shell = taken_back()
    said = shell("history", "delay")
    assert said.code == 0
    newest, oldest = said.flat.split("1.0.0 (delay-")
    assert newest.startswith("3.0.0 (delay-")
    assert "RolledBack after" in newest
    assert "AnalysisFailed: taken back at" in newest
    assert "outcome Fail samples" in newest
    assert "bound" in newest
    assert "Completed" in oldest
    assert "Deployed: the first revision" in oldest


def test_it_says_who_told_it_what_and_why() -> None:
    shell = rolling("five")
    shell("promote", "--step", "five", "--reason", "the tower agrees")
    shell.world.run(lambda: bool(shell.world.status.rollout and shell.world.status.rollout.step == "quarter"))
    shell("pause")
    assert "pause by ada at 2026-01-01 12:" in shell("why").flat, "of a rollout under way, `why` tells it"
    shell("abort", "--reason", "nonsense")
    shell.world.run(lambda: shell.world.phase is Phase.ROLLED_BACK)
    said = shell("history").flat
    assert "Aborted: aborted by ada: nonsense" in said
    assert "promote of step five by ada at 2026-01-01 12:" in said
    assert "Z: the tower agrees" in said
    assert said.index("promote of step") < said.index("pause by ada") < said.index("abort by ada")


def test_an_override_stands_in_it_as_what_it_is() -> None:
    shell = rolling("five")
    shell("promote", "--full", "--override", "--reason", "the tower burns")
    shell.world.run(lambda: shell.world.phase is Phase.COMPLETED)
    said = shell("history", "--past", "1").flat
    assert "promote of every step, overriding readiness and gates, by ada at" in said
    assert "and 1 before these (--past)" in said


def test_what_had_no_end_yet_says_so() -> None:
    shell = airport()
    body = shell.cluster.deployment("delay")
    assert body
    shell.world.cluster.put({**body, "status": {}})
    assert shell("history").out == "no rollout of delay has ended yet\n"


def test_a_spec_that_went_back_is_told_as_what_it_was() -> None:
    shell = rolling("quarter")
    shell.world.deploy(CANARY_SPEC)
    shell.world.run(lambda: len(shell.world.status.history) == 2)
    assert "Cancelled: the spec went back to stable" in shell("history").flat


def test_shares_stand_in_percent_and_errors_in_the_models_own_unit() -> None:
    said = taken_back()("history", "delay", "--past", "1").flat
    assert re.search(r"errors \w+ samples [\d,]+,.* value 0 %, against 1 %, e-value ", said), said
    assert re.search(r"outcome Fail samples [\d,]+, value 14\.1, against 10\.0, bound [\d,.]+", said), said


def test_a_latency_guards_numbers_are_shares_and_an_observed_latency_is_a_time() -> None:
    facts = {"metric": "latency_p95", "verdict": "Pass", "reason": "R", "value": 0.0085, "against": 0.05}
    guard, seen = ({"name": "latency", "role": role, **facts} for role in ("guard", "observe"))
    assert numbers(MetricVerdict.model_validate(guard)) == "value 0.85 % slow, against 5 % slow"
    assert numbers(MetricVerdict.model_validate(seen)) == "value 8.50 ms, against 50.0 ms"
