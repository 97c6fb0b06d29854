"""The account closes: requests served are events in the topic, by id, whatever was killed or away in between.

One deployment serves all tests but one: what they strike are the parts, and each asks under prediction ids of its own.
"""

from __future__ import annotations

import itertools
import os
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from switchyard_testkit.apiserver import api_client, temporary_namespace
from switchyard_testkit.faults import container_status, kill_container, kill_part, pod, scaled_away
from switchyard_testkit.install import NAMESPACE, Installation, run, unready
from switchyard_testkit.load import Tally, Traffic
from switchyard_testkit.models import Models
from switchyard_testkit.struck import CANARY, GATEWAY, NAME, account, product, topics
from switchyard_testkit.topics import inferences
from switchyard_testkit.waiting import until

pytestmark = [pytest.mark.alone, pytest.mark.timeout(420)]
FLIGHT = {"flight": {"distance": 500}}
RATE = 50
AWAY = 600 if os.environ.get("SWITCHYARD_LONG") else 60
"""Seconds that Kafka is away for; `make test-faults LONG=1` takes the ten minutes that `make test` has no time for."""
ERRORS = {"name": "errors", "metric": "error_rate", "max": "1%", "role": "guard", "minSamples": 600}
WAITING: dict[str, Any] = {
    **CANARY,
    "strategy": {
        "type": "Canary",
        "canary": {"mirror": 0, "steps": [{"name": "quarter", "weight": 25, "hold": "5s"}]},
    },
    "analysis": {"block": "10s", "metrics": [ERRORS]},
}
"""A canary whose guard wants 48 s of a quarter's requests: more than come before Kafka goes, fewer than wait for it."""
NUMBERS = itertools.count(1)


@pytest.fixture(scope="module")
def deployed(installation: Installation) -> Iterator[Models]:
    with api_client(installation.slot) as api, temporary_namespace(api, "t") as name:
        models = Models(installation, name)
        models.apply("delay", env={"VERSION": "1.0.0"})
        models.serving("delay", "1.0.0")
        yield models


@pytest.fixture
def model(deployed: Models) -> Iterator[Models]:
    yield deployed
    until(lambda: not unready(deployed.installation.kubeconfig), "every part is well again", seconds=120)


def traffic(models: Models) -> Traffic:
    prefix = f"{models.namespace}-{next(NUMBERS)}"
    return Traffic(models.url("delay"), body=FLIGHT, rate=RATE, prefix=prefix)


def delivered(models: Models) -> Counter[str]:
    """How many events there are of each prediction id."""
    found = inferences(models.installation, models.subject("delay"))
    events: dict[str, str] = {event["id"]: event["data"]["predictionId"] for event in found}
    return Counter(events.values())


def closes(models: Models, tally: Tally, *, missing: int = 0) -> None:
    """Every answered request has exactly one event; at most `missing` have none, and then the account counts them."""
    served = tally.ids

    def all_there() -> bool:
        return len(served - delivered(models).keys()) <= missing

    until(all_there, f"all but {missing} of {len(served)} served requests are events", seconds=90, every=1)
    own = f"{next(iter(served)).rpartition('-')[0]}-"
    events = {key: count for key, count in delivered(models).items() if key.startswith(own)}
    twice = {key: count for key, count in events.items() if count != 1}
    assert not twice, f"these exchanges were recorded more than once: {twice}"
    assert events.keys() <= served | tally.unanswered


def wait_answered(running: Traffic, more: int, *, seconds: float = 120) -> None:
    """Let the traffic go on until it has seen this many further answers."""
    running.go_on(more, seconds=seconds)


def test_served_is_delivered(model: Models) -> None:
    with traffic(model) as running:
        wait_answered(running, 500)
    assert running.tally.failures == []
    closes(model, running.tally)
    books = until(lambda: _balanced(model.installation), "the shipper's own account closes", seconds=30)
    assert books["delivered"] >= 500


def _balanced(installation: Installation) -> dict[str, Any]:
    """The account, once it is at rest and closes; else nothing."""
    books = account(installation)
    dropped = sum(books["dropped"].values())
    return books if books["served"] == books["delivered"] + books["spooled"] + dropped and not books["spooled"] else {}


@pytest.mark.timeout(600 + 2 * AWAY)
def test_kafka_away_in_the_middle_of_a_canary_passes_no_step_and_loses_nothing(models: Models, tmp_path: Path) -> None:
    """Away for a minute, or for ten: answers go on at their pace, and what waited is delivered, and decides, after it.

    Decisions and outcomes of that time come later than their predictions are judged; they are joined all the same.
    """
    models.apply(NAME, env={"VERSION": "1.0.0", "BIAS": 10}, spec=WAITING)
    models.serving(NAME, "1.0.0")

    def standing() -> tuple[str, str, int]:
        rollout = models.status(NAME)["rollout"]
        return rollout["version"], rollout["step"], rollout["weightBp"]

    with product(models, rate=RATE, patience=2 * AWAY + 60) as (running, _):
        models.apply(NAME, env={"VERSION": "2.0.0", "BIAS": 1}, spec=WAITING)
        models.wait(NAME, lambda s: (s.get("rollout") or {}).get("weightBp") == 2500, "has a quarter")
        with scaled_away(models.installation, "statefulset", "switchyard-kafka"):
            wait_answered(running, RATE * AWAY, seconds=2 * AWAY)
            assert account(models.installation)["spooled"] >= RATE * (AWAY - 10), (
                "Kafka was away, but nothing waited in the spool"
            )
            assert standing() == ("2.0.0", "quarter", 2500), "decided without evidence"
        models.serving(NAME, "2.0.0", seconds=240)
        wait_answered(running, RATE)
    tally = running.tally
    assert tally.failures == []
    topic = topics(models, NAME)[NAME]
    assert topic.missing(tally) == set()
    assert topic.outcomes() == topic.decisions() == dict.fromkeys(tally.ids, 1)
    said = topic.recomputed(WAITING["monitoring"], tmp_path)
    assert "numbers are equal" in said
    assert " 0 decisions" not in said


def test_a_killed_shipper_loses_nothing_and_fails_no_request(model: Models) -> None:
    with traffic(model) as running:
        for _ in range(3):
            wait_answered(running, 150)
            kill_part(model.installation, GATEWAY, "shipper")
        wait_answered(running, 150)
    assert running.tally.failures == []
    closes(model, running.tally)


def test_a_killed_control_fails_no_request(model: Models) -> None:
    with traffic(model) as running:
        for _ in range(3):
            wait_answered(running, 150)
            kill_part(model.installation, GATEWAY, "control")
        wait_answered(running, 300)
    assert running.tally.failures == []
    closes(model, running.tally)


def test_a_killed_shipper_container_loses_nothing(model: Models) -> None:
    """With its keeper gone too the pod counts as unready for a moment, so that not each request finds a gateway."""
    with traffic(model) as running:
        wait_answered(running, 150)
        kill_container(model.installation, GATEWAY, "shipper")
        wait_answered(running, 150)
    closes(model, running.tally)


def test_a_killed_envoy_loses_at_most_one_flush_and_it_is_counted(model: Models) -> None:
    before = account(model.installation)["dropped"].get("lost_in_crash", 0)
    with traffic(model) as running:
        wait_answered(running, 300)
        kill_container(model.installation, GATEWAY, "envoy")
        wait_answered(running, 300)
    tally = running.tally
    flush = 5  # what is answered within 100 ms at this rate; Envoy writes every 20 ms
    closes(model, tally, missing=flush)
    missing = len(tally.ids - delivered(model).keys())
    counted = account(model.installation)["dropped"].get("lost_in_crash", 0) - before
    assert counted >= missing, f"{missing} served requests have no event, the account counts {counted}"
    assert counted <= missing + len(tally.unanswered) + flush


def test_a_deleted_gateway_pod_loses_nothing_that_it_answered(model: Models) -> None:
    born = pod(model.installation, GATEWAY)["metadata"]["uid"]
    with traffic(model) as running:
        wait_answered(running, 200)
        run(
            "kubectl",
            "-n",
            NAMESPACE,
            "delete",
            "pod",
            GATEWAY,
            "--wait=false",
            kubeconfig=model.installation.kubeconfig,
        )
        until(lambda: _uid(model.installation) not in ("", born), "another pod took its place", seconds=120)
        until(lambda: not unready(model.installation.kubeconfig), "it is ready", seconds=120)
        wait_answered(running, 200)
    closes(model, running.tally)


def _uid(installation: Installation) -> str:
    text = run(
        "kubectl", "-n", NAMESPACE, "get", "pod", GATEWAY, "--ignore-not-found", "-o", "jsonpath={.metadata.uid}",
        kubeconfig=installation.kubeconfig,
    )  # fmt: skip
    return text.strip()


def test_a_gateway_restarted_by_a_rollout_loses_nothing_that_it_answered(model: Models) -> None:
    born = _uid(model.installation)
    with traffic(model) as running:
        wait_answered(running, 200)
        run(
            "kubectl", "-n", NAMESPACE, "rollout", "restart", "statefulset/switchyard-gateway",
            kubeconfig=model.installation.kubeconfig,
        )  # fmt: skip
        until(lambda: _uid(model.installation) not in ("", born), "the pod was replaced", seconds=120)
        until(lambda: not unready(model.installation.kubeconfig), "it is ready", seconds=120)
        wait_answered(running, 200)
    closes(model, running.tally)
    assert container_status(model.installation, GATEWAY, "envoy")["restartCount"] == 0


def test_ids_are_minted_where_the_caller_brings_none(model: Models) -> None:
    with httpx.Client(timeout=30) as client:
        answers = [client.post(model.url("delay"), json=FLIGHT) for _ in range(50)]
    ids = [answer.headers["x-prediction-id"] for answer in answers]
    assert len(set(ids)) == 50
    until(lambda: set(ids) <= delivered(model).keys(), "each minted id is an event's", seconds=90)
    times = [int(one.partition("-")[0]) for one in ids]
    assert all(a <= b for a, b in itertools.pairwise(times)), "minted ids are ordered by time"
