"""Shadow: the same requests answered by both, judged on pairs, without any user being given a candidate's answer."""

from __future__ import annotations

from typing import Any

import pytest
from switchyard_testkit.canary import CANARY, FLIGHT, living, start
from switchyard_testkit.load import Tally, Traffic
from switchyard_testkit.models import Models
from switchyard_testkit.waiting import until

pytestmark = pytest.mark.timeout(480)
RATE = 30
"""Requests a second: a second's hitch of the candidate must not fill the mirror's 32 places. Pairs that were let fall
are missing from the verdict, and more than 1 % of them leave it open."""
PAIRED: dict[str, Any] = {**CANARY, "analysis": {**CANARY["analysis"], "block": "4s"}}
SHADOW: dict[str, Any] = {
    **PAIRED,
    "strategy": {
        "type": "Shadow",
        "shadow": {"hold": "5s", "thenPromote": {"steps": [{"name": "half", "weight": 50, "hold": "5s"}]}},
    },
}
ONLY_COMPARED: dict[str, Any] = {**PAIRED, "strategy": {"type": "Shadow", "shadow": {"hold": "5s"}}}
UNTIMED: dict[str, Any] = {
    **CANARY,
    "strategy": {"type": "Shadow", "shadow": {"hold": "1h"}},
    "analysis": {"block": "10s", "metrics": []},
}


def entries(models: Models) -> dict[str, dict[str, Any]]:
    """The route's entries, by role."""
    return {entry["role"]: entry for entry in models.get("delay", "modelroutes")["spec"]["routes"]}


def outcome(status: dict[str, Any]) -> dict[str, Any]:
    """The decide metric, as the rollout's end tells it."""
    ended = [entry for entry in status.get("history", []) if entry["version"] == "2.0.0"] or [status["rollout"]]
    return next(verdict for verdict in ended[0]["verdicts"] if verdict["name"] == "outcome")


def versions(tally: Tally) -> set[str]:
    """Who gave the answers that the product saw."""
    return {answer.version for answer in tally.answers}


def mirrored(models: Models) -> None:
    """Wait until all of stable's requests go to the candidate too, on every gateway."""

    def is_so() -> bool:
        candidate = entries(models).get("candidate", {})
        return (candidate.get("weightBp"), candidate.get("mirrorBp")) == (0, 10_000)

    until(is_so, "all of the traffic is mirrored", seconds=90)
    until(lambda: models.condition("delay", "TrafficSynced").get("status") == "True", "the gateways mirror", seconds=30)


def test_a_better_model_takes_over_once_its_pairs_have_proven_it(models: Models) -> None:
    start(models, spec=SHADOW, bias=10)
    with living(models, rate=RATE) as traffic:
        models.apply("delay", env={"VERSION": "2.0.0", "BIAS": 1}, spec=SHADOW)
        mirrored(models)
        models.wait("delay", lambda s: "pair" in (s.get("rollout") or {}).get("waitingFor", ""), "waits for pairs")
        assert versions(traffic.tally) == {"1.0.0"}
        half = models.wait("delay", lambda s: (s.get("rollout") or {}).get("step") == "half", "has half", seconds=240)
        assert (half["rollout"]["weightBp"], half["rollout"]["mirrorBp"]) == (5_000, 5_000)
        candidate = entries(models)["candidate"]
        assert (candidate["weightBp"], candidate["mirrorBp"]) == (5_000, 5_000)
        status = models.serving("delay", "2.0.0", seconds=120)
    found = outcome(status)
    assert (found["verdict"], found["samples"] >= 200) == ("Pass", True)
    assert "judged pairs" in found["message"]
    assert found["value"] < found["against"]
    until(lambda: entries(models)["stable"]["weightBp"] == 10_000, "the route says who is stable", seconds=30)
    until(lambda: not any(entry["mirrorBp"] for entry in entries(models).values()), "nothing is mirrored", seconds=30)


@pytest.mark.parametrize(
    ("env", "reason"),
    [
        pytest.param({"BIAS": 30}, "WorseThanAllowed", id="it is wrong"),
        pytest.param({"BIAS": 1, "FAIL_RATE": 0.5}, "PairsMissing", id="it answers 500"),
    ],
)
def test_a_worse_model_ends_without_any_user_having_seen_it(models: Models, env: dict[str, float], reason: str) -> None:
    start(models, spec=SHADOW, bias=1)
    with living(models, rate=RATE) as traffic:
        models.apply("delay", env={"VERSION": "2.0.0", **env}, spec=SHADOW)
        mirrored(models)
        status = models.phase("delay", "RolledBack", seconds=240)
        assert versions(traffic.tally) == {"1.0.0"}
    assert (outcome(status)["verdict"], outcome(status)["reason"]) == ("Fail", reason)
    assert "before any user was given an answer of it" in status["rollout"]["message"]
    until(lambda: list(entries(models)) == ["stable"], "the route names stable alone", seconds=30)


def test_a_shadow_that_is_only_compared_ends_with_its_verdict_and_its_pods_go(models: Models) -> None:
    start(models, spec=ONLY_COMPARED, bias=10)
    with living(models, rate=RATE) as traffic:
        models.apply("delay", env={"VERSION": "2.0.0", "BIAS": 1}, spec=ONLY_COMPARED)
        mirrored(models)
        status = models.wait(
            "delay",
            lambda s: (s.get("rollout") or {}).get("reason") == "ShadowEnded" and s["rollout"]["phase"] == "Completed",
            "has been compared",
            seconds=240,
        )
        assert versions(traffic.tally) == {"1.0.0"}
    assert outcome(status)["verdict"] == "Pass"
    assert status["stable"]["version"] == "1.0.0"
    until(lambda: models.condition("delay", "Ready").get("status") == "True", "it is ready", seconds=30)
    until(lambda: list(entries(models)) == ["stable"], "the route names stable alone", seconds=30)


def test_a_shadow_that_hangs_changes_nothing_for_users(models: Models) -> None:
    start(models, spec=UNTIMED, bias=1)
    traffic = Traffic(models.url("delay"), body=FLIGHT, rate=80, prefix=models.namespace)
    with traffic:
        models.apply("delay", env={"VERSION": "2.0.0", "DELAY_MS": 8_000}, spec=UNTIMED)
        mirrored(models)
        seen = len(traffic.tally.answers)
        # 20 s of traffic: by then every place of the mirror is taken by a request that hangs, and all others fall.
        until(lambda: len(traffic.tally.answers) > seen + 1_600, "time passed", seconds=60)
        asked, answered = len(traffic.tally.answers), versions(traffic.tally)
        until(lambda: len(traffic.tally.answers) > asked + 160, "answers keep coming at their pace", seconds=10)
        rollout = models.status("delay")["rollout"]
        assert models.command("delay", "abort", rollout=rollout["id"], reason="it hangs")["result"] == "Accepted"
        until(lambda: list(entries(models)) == ["stable"], "the mirror is gone", seconds=60)
    assert traffic.tally.failures == []
    assert answered == {"1.0.0"}
