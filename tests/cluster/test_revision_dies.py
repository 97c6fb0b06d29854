"""A revision dies in the middle of its canary: stable answers in its place, and the operator follows."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from switchyard_testkit.canary import CANARY, FLIGHT, start
from switchyard_testkit.faults import end_container, kill_container
from switchyard_testkit.load import Traffic
from switchyard_testkit.models import Models
from switchyard_testkit.reach import pods_of
from switchyard_testkit.recheck import ask
from switchyard_testkit.waiting import until

pytestmark = pytest.mark.timeout(300)
RATE = 40
HALF: dict[str, Any] = {
    **CANARY,
    "strategy": {
        "type": "Canary",
        "canary": {"mirror": 0, "steps": [{"name": "half", "weight": 50, "hold": "1h"}]},
    },
    "analysis": {"block": "10s", "metrics": []},
}


def has(weight: int) -> Callable[[dict[str, Any]], bool]:
    """Whether the candidate has this share."""
    return lambda status: (status.get("rollout") or {}).get("weightBp") == weight


def test_whoever_was_drawn_for_a_dead_revision_is_answered_by_stable(models: Models) -> None:
    """Killed three times: after the third the kubelet lets it lie for 20 s, so that a busy operator sees it dead."""
    installation, namespace = models.installation, models.namespace
    start(models, spec=HALF, bias=1)
    with Traffic(models.url("delay"), body=FLIGHT, rate=RATE, prefix=namespace) as traffic:
        models.apply("delay", env={"VERSION": "2.0.0", "BIAS": 1}, spec=HALF)
        candidate = models.wait("delay", has(5_000), "has half")["rollout"]["revision"]
        traffic.go_on(RATE)
        assert traffic.tally.failures == []
        assert {answer.version for answer in traffic.tally.answers} == {"1.0.0", "2.0.0"}

        (victim,) = pods_of(installation, namespace, f"switchyard.dev/revision={candidate}")
        for _ in range(2):
            kill_container(installation, victim.name, "model", namespace=namespace)
        end_container(installation, victim.name, "model", namespace=namespace)
        dead = models.wait("delay", has(0), "has no weight while it is dead", seconds=20)
        failed, seen = list(traffic.tally.failures), len(traffic.tally.answers)
        assert dead["rollout"]["reason"] == "CandidateNotReady"
        assert (dead["rollout"]["step"], dead["stable"]["version"]) == ("half", "1.0.0")
        traffic.go_on(RATE)
        assert {answer.version for answer in traffic.tally.answers[seen:]} == {"1.0.0"}

        models.wait("delay", has(5_000), "is alive again, and has its half", seconds=90)
        traffic.go_on(RATE)
    # What it was answering when it died, and what it refused before Envoy had let go of it.
    assert len(failed) <= RATE // 2, failed
    assert traffic.tally.failures == failed, "requests failed after it was known to be dead"

    def stood_in() -> int:
        lines = ask(installation, f"/v1/deployments/{models.subject('delay')}/counts")
        return sum(line["failover"] for line in lines if line["revision"] == candidate)

    until(stood_in, "the monitor knows that stable stood in for it", seconds=60)
