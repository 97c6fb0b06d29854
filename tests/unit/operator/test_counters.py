"""Who speaks of an error guard: the monitor while it can, else the gateways' counters, and these only against it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from switchyard_contracts.counted import Counted, CountedArm, CountedWindow
from switchyard_contracts.evidence import Evidence
from switchyard_contracts.judgement import Budget, Judgement, Verdict
from switchyard_contracts.model_deployment import Metric
from switchyard_operator.domain.analysis import Question
from switchyard_operator.domain.counters import BEHIND, second_opinion, silences
from switchyard_operator.domain.world import Judged

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
AWAY = "the monitor does not answer: ConnectError"
BUDGET = Budget(alpha_promote=0.05, alpha_guard=0.0125, alpha_rollback=0.0125)
PASSED = Judgement(Verdict.PASS, "NothingAgainst", "0 % of 90 requests failed", samples=90)
MISSING = Judgement(Verdict.ERROR, "EvidenceUnavailable", AWAY)
CONTRADICTED = Judgement(Verdict.ERROR, "SRM", "something picks what is counted")


def metric(name: str = "errors", kind: str = "error_rate", role: str = "guard", **limit: str) -> Metric:
    return Metric.model_validate({"name": name, "metric": kind, "role": role, **(limit or {"max": "1%"})})


def said(judgement: Judgement, of: Metric | None = None) -> Judged:
    missing = judgement is MISSING
    return Judged(metric=of or metric(), judgement=judgement, since=NOON, unavailable=missing, waiting_for="40 more")


def evidence(watermark: datetime | None) -> Evidence:
    return Evidence(
        deployment="a/delay", metric="error_rate", revision="b", against="a", traffic=[7], watermark=watermark
    )


def counted(requests: int, failures: int, traffic: int = 7) -> Counted:
    arms = {
        "b": CountedArm(weight_bp=1_000, requests=requests, failures=failures),
        "a": CountedArm(weight_bp=9_000, requests=9 * requests),
    }
    return Counted(windows=[CountedWindow(traffic=traffic, start=NOON, arms=arms)])


@pytest.mark.parametrize(
    ("item", "answer", "why"),
    [
        pytest.param(said(MISSING), AWAY, AWAY, id="no answer"),
        pytest.param(said(PASSED), evidence(NOON), "", id="the monitor is up to date"),
        pytest.param(said(PASSED), evidence(NOON - BEHIND), "", id="as far behind as it may be"),
        pytest.param(
            said(PASSED),
            evidence(NOON - BEHIND - timedelta(seconds=1)),
            "the monitor has read nothing newer than 2026-01-01T11:58:59+00:00",
            id="Kafka fell silent",
        ),
        pytest.param(said(PASSED), evidence(None), "the monitor has not read every partition yet", id="never read"),
        pytest.param(said(CONTRADICTED), evidence(NOON), "something picks what is counted", id="it contradicts itself"),
        pytest.param(said(MISSING, metric(kind="latency_p99", maxIncrease="20%")), AWAY, "", id="latency"),
        pytest.param(said(MISSING, metric(role="observe")), AWAY, "", id="no guard"),
    ],
)
def test_when_the_counters_are_asked(item: Judged, answer: Evidence | str, why: str) -> None:
    assert silences([item], {"errors": answer}, now=NOON) == ({"errors": why} if why else {})


def test_a_metric_that_was_not_asked_is_not_judged_by_counters_either() -> None:
    assert silences([said(MISSING)], {}, now=NOON) == {}


@pytest.mark.parametrize(
    ("item", "counts", "verdict", "words"),
    [
        pytest.param(
            said(MISSING),
            counted(10, 5),
            Verdict.FAIL,
            f"by the gateways' counters ({AWAY}): 50 % of 10 requests failed",
            id="failing, and no evidence",
        ),
        pytest.param(
            said(PASSED),
            counted(10, 5),
            Verdict.FAIL,
            f"by the gateways' counters ({AWAY}): 50 % of 10 requests failed",
            id="failing, and old evidence that says otherwise",
        ),
        pytest.param(
            said(MISSING),
            counted(5_000, 0),
            Verdict.ERROR,
            f"{AWAY}; by the gateways' counters, which only ever take back: 0 % of 5,000 requests failed",
            id="proven healthy passes nothing",
        ),
        pytest.param(
            said(MISSING),
            counted(10, 10, traffic=6),
            Verdict.ERROR,
            "no request of the candidate has been counted yet",
            id="another step's failures",
        ),
        pytest.param(said(PASSED), counted(5_000, 0), Verdict.PASS, PASSED.message, id="old evidence stands"),
        pytest.param(
            said(CONTRADICTED), counted(5_000, 0), Verdict.ERROR, "something picks what is counted; by", id="held"
        ),
    ],
)
def test_what_the_counters_can_do(item: Judged, counts: Counted, verdict: Verdict, words: str) -> None:
    question = Question(item.metric, "b", "a", (7,), NOON, NOON - timedelta(minutes=5))
    (found,) = second_opinion([item], {"errors": AWAY}, asked=[question], counted=[counts], budget=BUDGET)
    assert found.judgement.verdict is verdict
    assert words in found.judgement.message
    assert found.since == item.since
    assert found.unavailable == (item.unavailable and verdict is Verdict.ERROR)


def test_the_others_verdicts_are_left_as_they_are() -> None:
    other = said(PASSED, metric("latency", "latency_p99", maxIncrease="20%"))
    question = Question(metric(), "b", "a", (7,), NOON)
    found = second_opinion(
        [other, said(MISSING)], {"errors": AWAY}, asked=[question], counted=[counted(10, 5)], budget=BUDGET
    )
    assert [item.judgement.verdict for item in found] == [Verdict.PASS, Verdict.FAIL]
    assert found[0] is other
