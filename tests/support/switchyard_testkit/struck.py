"""A deployment under traffic while faults strike, and what may then be said of it.

Its client counts what it was answered, its product sends outcomes until they are taken, and at the end the topic is
read once and held against both.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx

from switchyard_testkit import canary
from switchyard_testkit.canary import FLIGHT, TRUTH
from switchyard_testkit.faults import container_status, kill_container, kill_part, pod, pod_of
from switchyard_testkit.install import Installation, unready
from switchyard_testkit.load import Tally, Traffic
from switchyard_testkit.models import Models
from switchyard_testkit.outcomes import Outcomes
from switchyard_testkit.recheck import agree, events_of
from switchyard_testkit.waiting import until

NAME = "delay"
GATEWAY = "switchyard-gateway-0"
RATE = 80
FLUSH = round(RATE * 0.1)
"""Exchanges whose records a killed Envoy may take along: what is answered in 100 ms. It writes every 20 ms."""
SEED = 20
PARTS = ("operator", "control", "envoy", "shipper", "feedback", "monitor", "kafka")
KILLED = 137
"""The exit code of what was killed by signal 9."""

CANARY: dict[str, Any] = {
    **canary.CANARY,
    "strategy": {
        "type": "Canary",
        "canary": {
            # Decided without pairs: an Envoy or a candidate that starves while others start anew lets copies fall, and
            # more than 1 % of them leave a verdict on pairs open. The steps last as long as the kills in them.
            "mirror": 0,
            "steps": [{"name": "quarter", "weight": 25, "hold": "25s"}, {"name": "half", "weight": 50, "hold": "60s"}],
        },
    },
    "monitoring": {
        **canary.CANARY["monitoring"],
        # While Kafka or feedback starts anew, outcomes come later than their predictions are judged. That is no loss:
        # in both arms alike they count as not judged, and the coverage says so.
        "outcome": {"horizon": "1h", "judgedAfter": "10s", "minCoverage": "50%", "affectedBy": "nothing"},
    },
}

SHADOW: dict[str, Any] = {
    **CANARY,
    "strategy": {"type": "Shadow", "shadow": {"hold": "1h"}},
    "analysis": {"block": "10s", "metrics": []},
}
"""Every request of stable's is mirrored to the candidate, and nothing is decided."""


def kill(installation: Installation, part: str) -> None:
    """kill -9 one part and see that it struck: what a keeper keeps is another process, any other part restarted."""
    if part in ("control", "shipper"):
        kill_part(installation, GATEWAY, part)
        return
    name = pod_of(installation, "gateway" if part == "envoy" else part)
    kill_container(installation, name, part)
    ended = container_status(installation, name, part)["lastState"].get("terminated", {})
    if ended.get("exitCode") != KILLED:
        raise RuntimeError(f"{name}/{part} was restarted, but not because it was killed: {ended}")


def well(installation: Installation) -> None:
    """Wait until every part is ready."""
    until(lambda: not unready(installation.kubeconfig), "every part is well again", seconds=180)


@contextmanager
def product(models: Models) -> Iterator[tuple[Traffic, Outcomes]]:
    """Traffic, and an outcome a second after each answer; at the end every one of them was taken."""
    traffic = Traffic(models.url(NAME), body=FLIGHT, rate=RATE, prefix=models.namespace)
    subject = models.subject(NAME)
    outcomes = Outcomes(models.installation, subject, traffic, truth=TRUTH, delay=1, seed=SEED, patience=120)
    with traffic, outcomes:
        yield traffic, outcomes
        traffic.stop()
        until(lambda: outcomes.sent >= len(traffic.tally.answers), "every answer's outcome was sent", seconds=150)
    if outcomes.refusals:
        raise AssertionError(f"feedback refused outcomes for two minutes: {outcomes.refusals[:3]}")


def address(installation: Installation) -> str:
    """The gateway pod's."""
    return str(pod(installation, GATEWAY)["status"]["podIP"])


def account(installation: Installation) -> dict[str, Any]:
    """What the shipper says of its own account."""
    url = f"http://{address(installation)}:8082/account"

    def says() -> dict[str, Any]:
        try:
            found: dict[str, Any] = httpx.get(url, timeout=10).raise_for_status().json()
        except httpx.HTTPError:
            return {}
        return found

    return until(says, "the shipper answers", seconds=60)


class Topic:
    """What the topic holds of the deployment, read once, when traffic has ended and everything was delivered."""

    def __init__(self, models: Models) -> None:
        installation = models.installation
        until(lambda: not account(installation)["spooled"], "everything was delivered", seconds=120, every=1)
        self._models = models
        self.records = events_of(installation, models.subject(NAME))
        # An event that was sent again is the same event.
        self._events = {record["value"]["id"]: record["value"] for record in self.records}

    def exchanges(self) -> list[dict[str, Any]]:
        """The data of each exchange."""
        return self._of("dev.switchyard.inference.v1")

    def outcomes(self) -> Counter[str]:
        """How many outcomes there are of each prediction."""
        return Counter(str(data["predictionId"]) for data in self._of("dev.switchyard.outcome.v1"))

    def missing(self, tally: Tally) -> set[str]:
        """Ids that a model answered and of which there is no event. None is there twice, or of nobody's request."""
        counted = Counter((data["predictionId"], data["role"] == "shadow") for data in self.exchanges())
        twice = {key: count for key, count in counted.items() if count != 1}
        if twice:
            raise AssertionError(f"these exchanges were recorded more than once: {twice}")
        primary = {prediction_id for prediction_id, shadow in counted if not shadow}
        if foreign := primary - tally.ids - tally.unanswered:
            raise AssertionError(f"nobody sent these requests: {sorted(foreign)[:5]}")
        return {answer.prediction_id for answer in tally.answers if answer.status == 200} - primary

    def recomputed(self, monitoring: Mapping[str, Any], folder: Path) -> str:
        """See that the monitor's ledgers close and its sums are the topic's to the last bit; what was compared."""
        subject = self._models.subject(NAME)
        records: Sequence[Mapping[str, Any]] = self.records
        return agree(self._models.installation, subject, records=records, monitoring=monitoring, folder=folder)

    def _of(self, kind: str) -> list[dict[str, Any]]:
        return [event["data"] for event in self._events.values() if event["type"] == kind]
