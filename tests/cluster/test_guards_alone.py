"""Guards without the evidence path: the monitor is away, and what Envoy counted takes a failing candidate back."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import httpx
import pytest
from switchyard_testkit.canary import CANARY, FLIGHT, start
from switchyard_testkit.faults import scaled_away
from switchyard_testkit.load import Traffic
from switchyard_testkit.models import Models
from switchyard_testkit.waiting import until

pytestmark = [pytest.mark.alone, pytest.mark.timeout(480)]
GUARDED: dict[str, Any] = {
    **CANARY,
    "analysis": {"block": "10s", "metrics": CANARY["analysis"]["metrics"][:1]},
}
SOON = timedelta(seconds=60)
"""Of which the gateway needs some 3 s until a new generation counts, and the operator looks every 2 s."""


def errors(status: dict[str, Any]) -> dict[str, Any]:
    """The guard's verdict, empty before the first."""
    verdicts = (status.get("rollout") or {}).get("verdicts", [])
    return next((verdict for verdict in verdicts if verdict["name"] == "errors"), {})


def time(text: str) -> datetime:
    return datetime.fromisoformat(text.replace("Z", "+00:00"))


def assert_unreachable(models: Models) -> None:
    """Nobody answers at the monitor's address: else nothing here would be shown."""
    with pytest.raises(httpx.TransportError):
        httpx.get(f"{models.installation.monitor}/healthz", timeout=3, trust_env=False)


def weights(models: Models) -> dict[str, int]:
    """Each role's share in the route."""
    return {entry["role"]: entry["weightBp"] for entry in models.get("delay", "modelroutes")["spec"]["routes"]}


def taken_back(models: Models) -> bool:
    """Whether stable has everything, on every gateway."""
    return weights(models)["stable"] == 10_000 and models.condition("delay", "TrafficSynced").get("status") == "True"


def test_a_model_that_answers_500_is_taken_back_while_the_monitor_is_away(models: Models) -> None:
    start(models, spec=GUARDED, bias=1)
    traffic = Traffic(models.url("delay"), body=FLIGHT, rate=80, prefix=models.namespace)
    with traffic, scaled_away(models.installation, "statefulset", "switchyard-monitor"):
        assert_unreachable(models)
        models.apply("delay", env={"VERSION": "2.0.0", "FAIL_RATE": 0.5}, spec=GUARDED)
        status = models.phase("delay", "RolledBack", seconds=150)
        assert_unreachable(models)
        until(lambda: taken_back(models), "every gateway gives stable everything", seconds=30)
        traffic.go_on(80)  # whoever was drawn for it before has been answered by then
        seen = len(traffic.tally.answers)
        until(lambda: len(traffic.tally.answers) > seen + 200, "answers flow", seconds=30)
    rollout = status["rollout"]
    assert rollout["reason"] == "AnalysisFailed"
    assert "by the gateways' counters (the monitor does not answer" in rollout["message"]
    assert (errors(status)["verdict"], errors(status)["samples"] >= 3) == ("Fail", True)
    (step,) = rollout["stepsDone"]
    assert step["name"] == "quarter"
    assert time(rollout["endedAt"]) - time(step["syncedAt"]) < SOON
    assert status["stable"]["version"] == "1.0.0"
    assert status["serving"] == "Available"
    answers = traffic.tally.answers
    assert {answer.status for answer in answers if answer.version == "1.0.0"} == {200}
    assert {answer.status for answer in answers if answer.version == "2.0.0"} == {200, 500}, "it had its share"
    assert {(answer.status, answer.version) for answer in answers[seen:]} == {(200, "1.0.0")}
    assert traffic.tally.unanswered == set()


def test_a_healthy_model_waits_for_the_monitor_and_goes_on_once_it_is_back(models: Models) -> None:
    start(models, spec=GUARDED, bias=1)
    traffic = Traffic(models.url("delay"), body=FLIGHT, rate=80, prefix=models.namespace)
    with traffic:
        with scaled_away(models.installation, "statefulset", "switchyard-monitor"):
            assert_unreachable(models)
            models.apply("delay", env={"VERSION": "2.0.0", "BIAS": 1}, spec=GUARDED)
            held = models.wait(
                "delay",
                lambda status: "which only ever take back: 0 % of" in errors(status).get("message", ""),
                "is held, and the counters say why not more",
                seconds=120,
            )
            assert held["rollout"]["step"] == "quarter"
            seen = len(traffic.tally.answers)
            # 20 s of traffic, four times the step's hold
            until(lambda: len(traffic.tally.answers) > seen + 1_600, "time passed", seconds=60)
            status = models.status("delay")
            assert (status["rollout"]["step"], status["rollout"]["weightBp"]) == ("quarter", 2_500)
            assert status["rollout"]["reason"] == "EvidenceUnavailable"
            assert_unreachable(models)
        models.serving("delay", "2.0.0", seconds=180)
    assert traffic.tally.failures == []
