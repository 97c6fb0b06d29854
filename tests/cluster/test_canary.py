"""Canary: named steps, decided by what really happened; commands."""

from __future__ import annotations

from typing import Any

import pytest
from switchyard_testkit.canary import CANARY, FLIGHT, living, start
from switchyard_testkit.install import run
from switchyard_testkit.load import Traffic
from switchyard_testkit.models import Models
from switchyard_testkit.waiting import until

pytestmark = pytest.mark.timeout(420)
RATE = 30
"""Requests a second where pairs decide: a second's hitch of the candidate must not fill the mirror's 32 places."""
STEPS = CANARY["strategy"]["canary"]["steps"]
PAIRED: dict[str, Any] = {
    **CANARY,
    "strategy": {"type": "Canary", "canary": {"steps": STEPS}},
    "analysis": {**CANARY["analysis"], "block": "4s"},
}
"""A canary that says nothing of a mirror, so that as much of stable's share is mirrored as the candidate can take."""
GUARDED: dict[str, Any] = {
    **CANARY,
    "analysis": {"block": "10s", "metrics": CANARY["analysis"]["metrics"][:1]},
}
PATIENT: dict[str, Any] = {
    **CANARY,
    "strategy": {"type": "Canary", "canary": {"steps": [{"name": "quarter", "weight": 25, "hold": "1h"}]}},
}


def verdict(status: dict[str, Any], name: str) -> dict[str, Any]:
    return next((v for v in (status.get("rollout") or {}).get("verdicts", []) if v["name"] == name), {})


def test_a_better_model_is_promoted_by_the_outcomes_of_pairs(models: Models) -> None:
    """As it is by default. By the split alone one is promoted in `test_cli`, and a worse one is taken back below."""
    start(models, spec=PAIRED, bias=10)
    with living(models, rate=RATE):
        models.apply("delay", env={"VERSION": "2.0.0", "BIAS": 1}, spec=PAIRED)
        status = models.wait(
            "delay", lambda s: (s.get("rollout") or {}).get("step") == "quarter", "is at its first step"
        )
        assert (status["rollout"]["weightBp"], status["rollout"]["mirrorBp"]) == (2_500, 7_500)
        table = run(
            "kubectl", "-n", models.namespace, "get", "mdep,modelrevisions", kubeconfig=models.installation.kubeconfig
        )
        assert "quarter" in table
        status = models.serving("delay", "2.0.0", seconds=240)
    ended = [entry for entry in status["history"] if entry["version"] == "2.0.0"] or [status["rollout"]]
    outcome = next(v for v in ended[0]["verdicts"] if v["name"] == "outcome")
    assert (outcome["verdict"], outcome.get("paired")) == ("Pass", True)
    assert outcome["samples"] >= 200
    assert outcome["value"] < outcome["against"]


def test_a_worse_model_is_taken_back_by_outcomes_and_stays_out_until_retry(models: Models) -> None:
    start(models, spec=CANARY, bias=1)
    with living(models) as traffic:
        models.apply("delay", env={"VERSION": "2.0.0", "BIAS": 30}, spec=CANARY)
        status = models.phase("delay", "RolledBack", seconds=240)
        assert verdict(status, "outcome")["verdict"] == "Fail"
        assert status["stable"]["version"] == "1.0.0"
        route = models.get("delay", "modelroutes")
        until(
            lambda: (
                [r["weightBp"] for r in models.get("delay", "modelroutes")["spec"]["routes"] if r["role"] == "stable"]
                == [10_000]
            ),
            "all traffic is stable's",
            seconds=30,
        )
        assert route["spec"]["routes"]
        until(
            lambda: models.condition("delay", "Stalled").get("status") == "True", "it is said to be stalled", seconds=30
        )
        seen = len(traffic.tally.answers)
        # Applying the same file again changes nothing; the retry command does.
        models.apply("delay", env={"VERSION": "2.0.0", "BIAS": 30}, spec=CANARY)
        until(lambda: len(traffic.tally.answers) > seen + 300, "time passed", seconds=60)
        assert models.status("delay")["rollout"]["phase"] == "RolledBack"
        result = models.command("delay", "retry", revision=status["rollout"]["revision"])
        assert result["result"] == "Accepted"
        again = models.wait("delay", lambda s: s["rollout"]["attempt"] == 2, "tries again")
        assert again["rollout"]["id"].endswith(".2")


def test_a_model_that_answers_500_is_taken_back_by_its_guard(models: Models) -> None:
    start(models, spec=GUARDED, bias=1)
    traffic = Traffic(models.url("delay"), body=FLIGHT, rate=80, prefix=models.namespace)
    with traffic:
        models.apply("delay", env={"VERSION": "2.0.0", "FAIL_RATE": 0.5}, spec=GUARDED)
        status = models.phase("delay", "RolledBack", seconds=120)
    errors = verdict(status, "errors")
    assert errors["verdict"] == "Fail"
    assert errors["samples"] >= 3
    assert {answer.status for answer in traffic.tally.answers} == {200, 500}, "the model's own errors reach the product"


def test_abort_is_obeyed_at_once_and_a_stale_promote_is_refused(models: Models) -> None:
    start(models, spec=PATIENT, bias=1)
    with living(models):
        models.apply("delay", env={"VERSION": "2.0.0", "BIAS": 1}, spec=PATIENT)
        status = models.wait("delay", lambda s: (s.get("rollout") or {}).get("weightBp") == 2500, "has a quarter")
        models.wait("delay", lambda s: "more of step quarter" in s["rollout"]["waitingFor"], "says how long it holds")
        rollout = status["rollout"]["id"]
        assert models.command("delay", "abort", rollout=rollout, reason="no")["result"] == "Accepted"
        models.phase("delay", "RolledBack", seconds=30)
        late = models.command("delay", "promote", rollout=rollout, step="quarter")
        assert late["result"] == "Refused"
        assert late["message"]


def test_promote_ends_a_hold(models: Models) -> None:
    spec = {**PATIENT, "analysis": {"block": "10s", "metrics": []}}
    start(models, spec=spec, bias=1)
    with living(models):
        models.apply("delay", env={"VERSION": "2.0.0", "BIAS": 1}, spec=spec)
        status = models.wait("delay", lambda s: (s.get("rollout") or {}).get("weightBp") == 2500, "has a quarter")
        result = models.command("delay", "promote", rollout=status["rollout"]["id"], step="quarter")
        assert result["result"] == "Accepted"
        models.serving("delay", "2.0.0")
