"""The story that the page's tests look at and its pictures show, so that no picture shows what no test has seen."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from switchyard_contracts.model_deployment import MetricVerdict
from switchyard_contracts.model_route import Route
from switchyard_contracts.topics import RolloutRecord

from switchyard_testkit.monitor_world import NOON, SECOND
from switchyard_testkit.page_world import BAD, MINUTE, NEW, OLD, PageWorld, rollout_record, verdict


def tell(page: PageWorld, *, rate: float = 8.0) -> None:
    """The story of the pictures: 2.0.0 by shadow and canary, at 50 % now; 1.1.0 was taken back before it."""
    stable = Route.model_validate(
        {"revision": OLD, "version": "1.0.0", "role": "stable", "weightBp": 5000, "service": OLD, "port": 3000}
    )
    candidate = Route.model_validate(
        {"revision": NEW, "version": "2.0.0", "role": "candidate", "weightBp": 5000, "service": NEW, "port": 3000}
    )
    page.publish(
        "demo/flight-delay", stable=OLD, traffic=6, routes=[stable, candidate], versions={OLD: "1.0.0", NEW: "2.0.0"}
    )
    page.publish("demo/turnaround", stable="turnaround-1", versions={"turnaround-1": "3.2.1"})
    page.publish("plant/additives")
    every = 1 / rate
    one = (OLD, "stable", 10_000)
    page.serve(0, 3 * MINUTE, every=every, arms=[one], traffic=2)
    page.serve(3 * MINUTE, 6 * MINUTE, every=every, arms=[one, (NEW, "shadow", 10_000)], traffic=3)
    for number, (minute, weight) in enumerate(((6, 500), (9, 2500), (12, 5000)), start=4):
        arms = [(OLD, "stable", 10_000 - weight), (NEW, "candidate", weight)]
        page.serve(minute * MINUTE, (minute + 3) * MINUTE, every=every, arms=arms, traffic=number)
    page.world.now_us += round(15 * MINUTE * SECOND)
    page.catch_up()
    page.happen(*_timeline(), *_elsewhere())


def _timeline() -> list[RolloutRecord]:
    """In the operator's own words."""

    def at(minutes: float) -> datetime:
        return NOON + timedelta(minutes=minutes)

    def said(id: str, minutes: float, phase: str, reason: str, message: str, **facts: Any) -> RolloutRecord:
        return rollout_record(id, at=at(minutes), phase=phase, reason=reason, message=message, **facts)

    def errors(failed: str, samples: int, **numbers: Any) -> MetricVerdict:
        text = f"{failed} of {samples:,} requests failed, the limit is 1 %; nothing speaks against it"
        facts: dict[str, Any] = {"reason": "NothingAgainst", "message": text, "needed": 0} | numbers
        return verdict("errors", "error_rate", "Pass", against=0.01, samples=samples, **facts)

    def outcome(said: str, reason: str, message: str, **numbers: Any) -> MetricVerdict:
        return verdict("outcome", "outcome.rmse", said, role="decide", reason=reason, message=message, **numbers)

    few = verdict(
        "errors",
        "error_rate",
        "NoData",
        reason="NoRequests",
        message="no request of the candidate has been counted yet",
        against=0.01,
        needed=200,
    )
    latency = verdict(
        "latency",
        "latency_p99",
        "Pass",
        reason="NothingAgainst",
        message="0.85 % of 2,150 requests were slower than 10.9 ms, the limit is 1 %; nothing speaks against it",
        value=0.0085,
        against=0.01,
        samples=2150,
        needed=0,
    )
    none = outcome("NoData", "NothingJudged", "no pair has been judged yet", needed=200)
    leaning = outcome(
        "Inconclusive",
        "NotYetCertain",
        "RMSE 4.91 against 6.92 over 1,480 judged of the candidate and 1,480 of stable; it is not yet certain",
        value=4.91,
        against=6.92,
        samples=1480,
        needed=520,
    )
    bad: dict[str, Any] = {"rollout": f"{BAD}.1", "revision": BAD, "version": "1.1.0", "traffic": 1, "step": "five"}
    broken = "8.1 % of 420 requests failed, the limit is 1 %; the evidence for more is 8,940 to 1, 240 were needed"
    failing = verdict(
        "errors",
        "error_rate",
        "Fail",
        reason="LimitBroken",
        message=broken,
        value=0.081,
        against=0.01,
        samples=420,
        needed=0,
    )
    sent = {**bad, "weight_bp": 0, "traffic": 2, "step": "", "verdicts": [failing]}
    back = f"taken back at 5%: errors: {broken}"
    pods: dict[str, Any] = {"step": "", "weight_bp": 0, "traffic": 2}
    mirrored: dict[str, Any] = {"step": "shadow", "weight_bp": 0, "traffic": 3}
    quarter: dict[str, Any] = {"step": "quarter", "weight_bp": 2500, "traffic": 5}
    half: dict[str, Any] = {"step": "half", "weight_bp": 5000, "traffic": 6}
    held = "step {} is held for 3m"
    fine = errors("0.42 %", 2400, value=0.0042)
    return [
        said("a1", -52, "Progressing", "Holding", held.format("five"), **bad),
        said("a2", -49, "RollingBack", "AnalysisFailed", back, **bad, verdicts=[failing]),
        said("a3", -48.5, "RolledBack", "AnalysisFailed", back, **sent),
        said("b1", 2.2, "Provisioning", "WaitingForPods", "0 of 2 pods ready", **pods),
        said("b2", 3, "Shadowing", "Holding", held.format("shadow"), **mirrored, verdicts=[none]),
        said("b3", 6, "Progressing", "Holding", held.format("five"), verdicts=[few, leaning]),
        said(
            "b4",
            7.5,
            "Progressing",
            "Holding",
            held.format("five"),
            verdicts=[errors("0 %", 210, value=0.0), leaning],
        ),
        said("b5", 9, "Progressing", "Holding", held.format("quarter"), **quarter, verdicts=[few, leaning]),
        said("b6", 9.4, "Progressing", "Holding", held.format("quarter"), **quarter, verdicts=[fine, latency, leaning]),
        said("b7", 12, "Progressing", "Holding", held.format("half"), **half, verdicts=[few, leaning]),
        said("b8", 12.2, "Progressing", "Holding", held.format("half"), **half, verdicts=[fine, latency, leaning]),
        said(
            "b9",
            14.5,
            "AwaitingEvidence",
            "AwaitingEvidence",
            f"outcome: {leaning.message}",
            waiting_for="outcome: at least 520 more judged pairs needed, about 2 min at this rate",
            **half,
            verdicts=[fine, latency, leaning],
        ),
    ]


def _elsewhere() -> list[RolloutRecord]:
    return [
        rollout_record(
            "c1",
            subject="demo/turnaround",
            at=NOON - timedelta(days=3),
            rollout="turnaround-1.1",
            revision="turnaround-1",
            version="3.2.1",
            phase="Completed",
            step="full",
            weight_bp=10_000,
            traffic=9,
            reason="Promoted",
            message="watched for 7d, nothing spoke against it",
        )
    ]
