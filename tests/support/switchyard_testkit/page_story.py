"""The story that the page's tests look at and its pictures show, so that no picture shows what no test has seen."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

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
    def at(minutes: float) -> datetime:
        return NOON + timedelta(minutes=minutes)

    errors = verdict("errors", "error_rate", "Pass", value=0.0047, against=0.01, samples=2160)
    latency = verdict("latency", "latency_p99", "Pass", value=0.0101, against=0.0109, samples=2150)
    waiting = verdict(
        "outcome", "outcome.rmse", "NoData", role="decide", samples=63, needed=400, message="337 more pairs are needed"
    )
    undecided = verdict(
        "outcome",
        "outcome.rmse",
        "Inconclusive",
        role="decide",
        value=5.02,
        against=6.94,
        samples=1480,
        needed=2000,
        message="520 more judged predictions are needed, about 2 min at this rate",
    )
    bad: dict[str, Any] = {"rollout": f"{BAD}.1", "revision": BAD, "version": "1.1.0", "traffic": 1}
    failing = verdict(
        "errors", "error_rate", "Fail", value=0.081, against=0.01, samples=420, message="8.1 % failed; 1 % may"
    )
    return [
        rollout_record(
            "a1",
            at=at(-52),
            phase="Progressing",
            step="five",
            reason="Stepped",
            message="the candidate takes 5 %",
            **bad,
        ),
        rollout_record(
            "a2",
            at=at(-49),
            phase="RollingBack",
            step="five",
            reason="GuardFailed",
            message="errors: 8.1 % of 420 requests failed where 1 % may",
            verdicts=[failing],
            **(bad | {"weight_bp": 0}),
        ),
        rollout_record(
            "a3",
            at=at(-48.5),
            phase="RolledBack",
            step="",
            reason="RolledBack",
            message="1.0.0 has all the traffic again",
            verdicts=[failing],
            **(bad | {"weight_bp": 0}),
        ),
        rollout_record(
            "b1",
            at=at(2.2),
            phase="Provisioning",
            step="",
            weight_bp=0,
            traffic=2,
            reason="Provisioning",
            message="0 of 2 replicas are ready",
        ),
        rollout_record(
            "b2",
            at=at(3),
            phase="Shadowing",
            step="shadow",
            weight_bp=0,
            traffic=3,
            reason="Mirroring",
            message="all of stable's requests are mirrored",
            verdicts=[waiting],
        ),
        rollout_record("b3", at=at(6), message="the candidate takes 5 %", verdicts=[errors]),
        rollout_record(
            "b4",
            at=at(9),
            step="quarter",
            weight_bp=2500,
            traffic=5,
            message="the candidate takes 25 %",
            verdicts=[errors, latency],
        ),
        rollout_record(
            "b5",
            at=at(12),
            step="half",
            weight_bp=5000,
            traffic=6,
            message="the candidate takes 50 %",
            verdicts=[errors, latency],
        ),
        rollout_record(
            "b6",
            at=at(13.5),
            phase="AwaitingEvidence",
            step="half",
            weight_bp=5000,
            traffic=6,
            reason="AwaitingEvidence",
            message="outcome: 520 more judged predictions are needed, about 2 min at this rate",
            verdicts=[errors, latency, undecided],
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
            step="",
            weight_bp=10_000,
            traffic=9,
            reason="Promoted",
            message="3.2.1 is stable",
        )
    ]
