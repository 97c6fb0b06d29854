"""A canary of the fault model as the cluster tests roll it out, with traffic and what then happened."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from switchyard_testkit.load import Traffic
from switchyard_testkit.models import Models
from switchyard_testkit.outcomes import Outcomes

FLIGHT = {"flight": {"distance": 500}}
TRUTH = 20.0
CANARY: dict[str, Any] = {
    "serving": {"paths": ["/predict"], "timeout": "10s", "port": 3000},
    "strategy": {
        "type": "Canary",
        "canary": {
            "mirror": 0,
            "steps": [
                {"name": "quarter", "weight": 25, "hold": "5s"},
                {"name": "half", "weight": 50, "hold": "5s"},
            ],
        },
    },
    "analysis": {
        "block": "10s",
        "metrics": [
            {"name": "errors", "metric": "error_rate", "max": "1%", "role": "guard", "minSamples": 50},
            {
                "name": "outcome",
                "metric": "outcome.rmse",
                "maxIncrease": "5%",
                "role": "decide",
                "minSamples": 200,
                "maxWait": "10m",
            },
        ],
    },
    "monitoring": {
        "window": "2s",
        "prediction": {"path": "$.delay", "task": "regression"},
        "outcome": {"horizon": "1h", "judgedAfter": "4s", "minCoverage": "80%", "affectedBy": "nothing"},
    },
}


@contextmanager
def living(models: Models, *, rate: float = 80, users: int = 0) -> Iterator[Traffic]:
    """Traffic, and outcomes a second after each answer; at the end no request may have failed."""
    traffic = Traffic(models.url("delay"), body=FLIGHT, rate=rate, prefix=models.namespace, users=users)
    outcomes = Outcomes(models.installation, models.subject("delay"), traffic, truth=TRUTH, delay=1, seed=17)
    with traffic, outcomes:
        yield traffic
    assert traffic.tally.failures == []
    assert outcomes.refusals == []


def start(models: Models, *, spec: dict[str, Any], bias: float) -> None:
    """Deploy the first version, whose answers are off by `bias`, and wait until it serves."""
    models.apply("delay", env={"VERSION": "1.0.0", "BIAS": bias}, spec=spec)
    models.serving("delay", "1.0.0")
