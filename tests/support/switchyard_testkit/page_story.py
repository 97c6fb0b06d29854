"""The story that the page's tests look at and its pictures show, so that no picture shows what no test has seen.

The operator and the monitor tell it themselves (`page_rollout`): here stands only what people did, and how the models
behave.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from switchyard_contracts.model_deployment import Phase
from switchyard_contracts.topics import RolloutRecord

from switchyard_testkit.monitor_world import MONITORING, NOON
from switchyard_testkit.page_features import reference
from switchyard_testkit.page_rollout import PageRollout
from switchyard_testkit.page_traffic import BUFFER_FROM, Timed
from switchyard_testkit.page_world import PageWorld

FLIGHTS, TURNAROUND, UNTOUCHED = "demo/flight-delay", "demo/turnaround", "plant/additives"
RATE, LESS = 6.0, 1.0
"""Requests a second."""
STEPS = [
    {"name": "five", "weight": 5, "hold": "3m"},
    {"name": "quarter", "weight": 25, "hold": "3m"},
    {"name": "half", "weight": 50, "hold": "3m"},
]
STRAIGHT: dict[str, Any] = {
    "type": "Canary",
    "canary": {"mirror": 0, "steps": [{"name": "fifth", "weight": 20, "hold": "3m"}, *STEPS[2:]]},
}
COMPARED: dict[str, Any] = {"type": "Shadow", "shadow": {"hold": "3m", "thenPromote": {"steps": STEPS}}}
WINDOW = "10s"
REFERENCE = reference()
ODD_FROM = 900.0
"""Seconds after the first request: the weather is other than in training from here on."""
SPEC: dict[str, Any] = {
    "model": {"image": "flight-delay:1.0.0"},
    "serving": {"replicas": 2, "paths": ["/predict"]},
    "strategy": STRAIGHT,
    "analysis": {
        "block": WINDOW,
        "metrics": [
            {"name": "errors", "metric": "error_rate", "max": "1%", "minSamples": 40, "role": "guard"},
            {"name": "latency", "metric": "latency_p99", "maxIncrease": "10%", "minSamples": 40, "role": "guard"},
            {
                "name": "outcome",
                "metric": "outcome.rmse",
                "maxIncrease": "5%",
                "minSamples": 1500,
                "maxWait": "1h",
                "role": "decide",
            },
        ],
    },
    "monitoring": MONITORING
    | {
        "reference": REFERENCE.digest,
        "window": WINDOW,
        "decision": {"path": "$.buffer", "threshold": BUFFER_FROM},
        "alarms": [
            {"name": "other-weather", "metric": "drift", "max": 2},
            {"name": "worse", "metric": "outcome.rmse", "max": 12, "window": "2m"},
            {"name": "failing", "metric": "error_rate", "max": "5%", "window": "1m"},
        ],
    },
    "rollback": {"watch": "1h", "warm": {"replicas": 1, "for": "10m"}},
}
MODELS = {
    "flight-delay:1.0.0": Timed(version="1.0.0", loss=48.0, failing=0.004, latency=0.0085),
    "flight-delay:1.1.0": Timed(version="1.1.0", loss=45.0, failing=0.08),
    "flight-delay:2.0.0": Timed(version="2.0.0", loss=24.0, failing=0.003, latency=0.0079),
}
ELSEWHERE = {"turnaround:3.2.1": Timed(version="3.2.1", loss=9.0, failing=0.001, latency=0.004)}


@dataclass(frozen=True)
class Story:
    """What was told."""

    page: PageWorld
    flights: PageRollout
    revisions: Mapping[str, str]
    """Of the flights, by version."""

    @property
    def records(self) -> Sequence[RolloutRecord]:
        """What the operator said of the flights."""
        return self.flights.bus.rollouts


def tell(page: PageWorld) -> Story:
    """2.0.0 by shadow and canary, at 50 % now; 1.1.0 was taken back before it. Elsewhere little happens."""
    page.publish(UNTOUCHED)
    turnaround = PageRollout(page, ELSEWHERE, subject=TURNAROUND, rate=LESS, start=NOON - timedelta(minutes=4))
    turnaround.deploy(SPEC, image="turnaround:3.2.1")
    turnaround.run_for(timedelta(minutes=4))

    page.world.store.keep_baseline(REFERENCE.digest, REFERENCE.to_bytes())
    flights = PageRollout(page, MODELS, subject=FLIGHTS, rate=RATE, start=NOON)
    flights.traffic.flights.odd_from = ODD_FROM
    flights.deploy(SPEC)
    flights.run(lambda: flights.phase is Phase.COMPLETED)
    flights.run_for(timedelta(minutes=3))
    flights.deploy(SPEC, image="flight-delay:1.1.0")
    flights.run(lambda: flights.phase is Phase.ROLLED_BACK)
    flights.run_for(timedelta(minutes=1))
    flights.deploy(SPEC, image="flight-delay:2.0.0", strategy=COMPARED)
    flights.run(lambda: bool(flights.status.rollout and flights.status.rollout.step == "half"))
    flights.run_for(timedelta(seconds=90))
    page.catch_up()
    revisions = {model.version: flights.revision(image) for image, model in MODELS.items()}
    return Story(page, flights, revisions)
