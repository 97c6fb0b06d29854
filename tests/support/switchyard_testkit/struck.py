"""Deployments under traffic while faults strike, and what may then be said of them.

Their clients count what they were answered, their products send decisions and outcomes until they are taken, and at the
end the topic is read once and held against both.
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
"""Requests a second, of all deployments together."""
FLUSH = round(RATE * 0.1)
"""Exchanges whose records a killed Envoy may take along: what is answered in 100 ms. It writes every 20 ms."""
PLACES = 32
"""Copies that may be under way to one mirrored revision at a time."""
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
        # Between what both versions answer, so that they are not alike, and decisions follow the one and not the other.
        "decision": {"threshold": 25},
        # While Kafka or feedback starts anew, outcomes come later than their predictions are judged. That is no loss:
        # in both arms alike they count as not judged, and the coverage says so.
        "outcome": {"horizon": "1h", "judgedAfter": "10s", "minCoverage": "50%", "affectedBy": "nothing"},
    },
}

HELD: dict[str, Any] = {
    **CANARY,
    "strategy": {
        "type": "Canary",
        "canary": {"mirror": 0, "steps": [{"name": "half", "weight": 50, "hold": "1h"}]},
    },
}
"""A canary that only its outcomes end, and that a worse candidate so leaves from the one step it has."""

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
def product(
    models: Models, name: str = NAME, *, rate: float = RATE, patience: float = 120
) -> Iterator[tuple[Traffic, Outcomes]]:
    """Traffic, and of each answer a decision and an outcome a second later; at the end every one of them was taken."""
    traffic = Traffic(models.url(name), body=FLIGHT, rate=rate, prefix=f"{models.namespace}-{name}")
    subject = models.subject(name)
    outcomes = Outcomes(
        models.installation, subject, traffic, truth=TRUTH, delay=1, seed=SEED, patience=patience, assent=0.8
    )
    with traffic, outcomes:
        yield traffic, outcomes
        traffic.stop()
        until(lambda: outcomes.sent >= len(traffic.tally.answers), f"{name}: every outcome was sent", seconds=150)
    if outcomes.refusals:
        raise AssertionError(f"feedback refused labels of {name} for {patience:g} s: {outcomes.refusals[:3]}")


def mirrored(models: Models, name: str = NAME) -> bool:
    """Whether every gateway mirrors all of stable's requests."""
    shares = {entry["role"]: entry["mirrorBp"] for entry in models.get(name, "modelroutes")["spec"]["routes"]}
    return shares.get("candidate") == 10_000 and models.condition(name, "TrafficSynced").get("status") == "True"


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


def topics(models: Models, *names: str) -> dict[str, Topic]:
    """What the topic holds of each deployment, read once, when traffic has ended and everything was delivered."""
    installation = models.installation
    before: dict[str, Any] = {}

    def at_rest() -> bool:
        """Nothing waits, and nothing has moved for a second: Envoy writes a line some time after its answer."""
        now = account(installation)
        rests = not now["spooled"] and now == before
        before.clear()
        before.update(now)
        return rests

    until(at_rest, "everything was delivered", seconds=120, every=1)
    found = events_of(installation, [models.subject(name) for name in names])
    return {name: Topic(installation, models.subject(name), found[models.subject(name)]) for name in names}


class Topic:
    """What the topic holds of one deployment."""

    def __init__(self, installation: Installation, subject: str, records: Sequence[Mapping[str, Any]]) -> None:
        self._installation, self._subject = installation, subject
        self.records = records
        # An event that was sent again is the same event.
        self._events = {record["value"]["id"]: record["value"] for record in records}

    def exchanges(self) -> list[dict[str, Any]]:
        """The data of each exchange."""
        return self._of("dev.switchyard.inference.v1")

    def outcomes(self) -> Counter[str]:
        """How many outcomes there are of each prediction."""
        return self._labels("outcome")

    def decisions(self) -> Counter[str]:
        """How many decisions there are of each prediction."""
        return self._labels("decision")

    def copies(self) -> set[str]:
        """Ids of requests that were answered by a mirrored revision too."""
        return {str(data["predictionId"]) for data in self.exchanges() if data["role"] == "shadow"}

    def missing(self, tally: Tally) -> set[str]:
        """Ids that a model answered and of which there is no event. None is there twice, or of nobody's request."""
        counted = Counter((data["predictionId"], data["role"] == "shadow") for data in self.exchanges())
        twice = {key: count for key, count in counted.items() if count != 1}
        if twice:
            raise AssertionError(f"these exchanges were recorded more than once: {twice}")
        if foreign := {prediction_id for prediction_id, _ in counted} - tally.ids - tally.unanswered:
            raise AssertionError(f"nobody sent these requests: {sorted(foreign)[:5]}")
        primary = {prediction_id for prediction_id, shadow in counted if not shadow}
        return {answer.prediction_id for answer in tally.answers if answer.status == 200} - primary

    def fallen(self) -> set[str]:
        """Ids of requests that were to be mirrored, by the generation of their route, and whose copy is no event."""
        mirroring = {data["traffic"] for data in self.exchanges() if data["role"] == "shadow"}
        due = {
            str(data["predictionId"])
            for data in self.exchanges()
            if data["role"] == "stable" and data["traffic"] in mirroring
        }
        return due - self.copies()

    def recomputed(self, monitoring: Mapping[str, Any], folder: Path) -> str:
        """See that the monitor's ledgers close and its sums are the topic's to the last bit; what was compared."""
        folder.mkdir(exist_ok=True)
        return agree(self._installation, self._subject, records=self.records, monitoring=monitoring, folder=folder)

    def _labels(self, kind: str) -> Counter[str]:
        return Counter(str(data["predictionId"]) for data in self._of(f"dev.switchyard.{kind}.v1"))

    def _of(self, kind: str) -> list[dict[str, Any]]:
        return [event["data"] for event in self._events.values() if event["type"] == kind]
