"""Strategies that try a candidate on users: a test that is read once, and a weight that follows what is better."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import pytest
from kubernetes import client
from kubernetes.client.exceptions import ApiException
from switchyard_testkit.apiserver import api_client
from switchyard_testkit.canary import CANARY, living, start
from switchyard_testkit.load import Answer
from switchyard_testkit.models import GROUP, Models
from switchyard_testkit.recheck import ask
from switchyard_testkit.waiting import until

pytestmark = pytest.mark.timeout(480)
USERS = 400
ERRORS, OUTCOME = CANARY["analysis"]["metrics"]
AB_TEST: dict[str, Any] = {
    **CANARY,
    "strategy": {"type": "ABTest", "abTest": {"split": {"by": "header", "name": "x-user-id"}, "weeks": 1}},
    "analysis": {"block": "4s", "metrics": [ERRORS, {**OUTCOME, "maxIncrease": "0%"}]},
}
"""A week of 28 seconds."""
STOPPED: dict[str, Any] = {
    **AB_TEST,
    "strategy": {"type": "ABTest", "abTest": {**AB_TEST["strategy"]["abTest"], "share": 30, "whenWon": "stop"}},
}
BANDIT: dict[str, Any] = {
    **CANARY,
    "strategy": {"type": "Bandit", "bandit": {"start": 20, "floor": 5, "ceiling": 90, "every": "4s"}},
    "analysis": {"block": "4s", "metrics": [ERRORS, {**OUTCOME, "minSamples": 3_000}]},
}


def verdict(status: dict[str, Any]) -> dict[str, Any]:
    """The decide metric, as the rollout or its end tells it."""
    ended = [entry for entry in status.get("history", []) if entry["version"] == "2.0.0"]
    verdicts = (ended or [status["rollout"]])[0].get("verdicts", [])
    return next(item for item in verdicts if item["name"] == "outcome")


def moment(text: str) -> float:
    return datetime.fromisoformat(text).timestamp()


def edit(models: Models, strategy: dict[str, Any]) -> None:
    """A merge patch of the strategy, as a person makes one."""
    with api_client(models.installation.slot) as api:
        client.CustomObjectsApi(api).patch_namespaced_custom_object(
            *GROUP,
            models.namespace,
            "modeldeployments",
            "delay",
            {"spec": {"strategy": strategy}},
            _content_type="application/merge-patch+json",
        )


def during(answers: list[Answer], trial: dict[str, Any]) -> list[Answer]:
    """What was answered while users were told apart: the gateway begins with it when it takes the route, if late."""
    begun = min(one.at for one in answers if one.version == "2.0.0")
    return [one for one in answers if max(moment(trial["began"]), begun) + 2 < one.at < moment(trial["until"])]


def test_a_test_is_read_once_at_its_end_and_the_winner_takes_over(models: Models) -> None:
    start(models, spec=AB_TEST, bias=10)
    with living(models, users=USERS) as traffic:
        models.apply("delay", env={"VERSION": "2.0.0", "BIAS": 1}, spec=AB_TEST)
        status = models.wait("delay", lambda s: (s.get("rollout") or {}).get("reason") == "Testing", "is tested")
        trial = status["rollout"]["trial"]
        assert moment(trial["until"]) - moment(trial["began"]) == pytest.approx(28)
        assert verdict(status)["reason"] == "HorizonAhead"
        assert "value" not in verdict(status)
        with pytest.raises(ApiException) as refused:
            edit(models, {"abTest": {"weeks": 2}})
        assert "an A/B test is under way" in refused.value.body
        status = models.serving("delay", "2.0.0", seconds=120)
    assert status["rollout"]["trial"]["until"] == trial["until"]
    assert moment(status["rollout"]["trial"]["read"]) >= moment(trial["readAt"])
    found = verdict(status)
    assert (found["verdict"], found["reason"]) == ("Pass", "Won")
    assert found["value"] < found["against"]
    told_apart = during(traffic.tally.answers, trial)
    met: dict[str, set[str]] = {}
    for one in told_apart:
        met.setdefault(one.user, set()).add(one.version)
    assert len(met) == USERS
    assert all(len(versions) == 1 for versions in met.values()), "nobody met both"
    share = sum(versions == {"2.0.0"} for versions in met.values()) / USERS
    assert share == pytest.approx(0.5, abs=0.1)


def test_a_test_that_is_to_stop_there_says_who_won_and_stable_keeps_the_traffic(models: Models) -> None:
    start(models, spec=STOPPED, bias=10)
    with living(models, users=USERS):
        models.apply("delay", env={"VERSION": "2.0.0", "BIAS": 1}, spec=STOPPED)
        status = models.wait(
            "delay",
            lambda s: (s.get("rollout") or {}).get("reason") == "TrialEnded" and s["rollout"]["phase"] == "Completed",
            "was tested",
            seconds=150,
        )
    assert verdict(status)["reason"] == "Won"
    assert status["stable"]["version"] == "1.0.0"
    assert models.condition("delay", "Ready")["status"] == "True"
    edit(models, {"abTest": {"weeks": 2}})


def test_a_bandit_gives_the_better_one_more_and_then_all_of_the_traffic(models: Models) -> None:
    start(models, spec=BANDIT, bias=6)
    weights: list[int] = []
    with living(models):
        models.apply("delay", env={"VERSION": "2.0.0", "BIAS": 4}, spec=BANDIT)

        def is_preferred() -> bool:
            routes = models.get("delay", "modelroutes")["spec"]["routes"]
            now = next((entry["weightBp"] for entry in routes if entry["role"] == "candidate"), 0)
            if now and now not in weights[-1:]:
                weights.append(now)
            return now == 9_000

        until(is_preferred, "the better one has what it may have at most", seconds=150)
        models.serving("delay", "2.0.0", seconds=180)
    assert weights[0] == 2_000
    assert all(500 <= weight <= 9_000 for weight in weights)

    def stamped() -> set[int]:
        counted = ask(models.installation, f"/v1/deployments/{models.subject('delay')}/counts")
        return {line["weightBp"] for line in counted if line["role"] == "candidate" and line["requests"]}

    until(lambda: stamped() >= {2_000, 9_000}, "each exchange says how likely it was to be the candidate's", seconds=60)
