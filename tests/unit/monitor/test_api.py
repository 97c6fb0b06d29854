"""The evidence API: what it answers, and whom it refuses."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient
from prometheus_client import CollectorRegistry
from switchyard_contracts.evidence import Evidence
from switchyard_monitor.api import create_app
from switchyard_monitor.auth import Token, Tokens
from switchyard_monitor.health import Health
from switchyard_monitor.metrics import MonitorCollector
from switchyard_testkit.monitor_world import World, decision, inference, outcome

BASE = "/v1/deployments/demo/flight-delay"


def token(name: str, secret: str, *deployments: str) -> Token:
    return Token(name=name, sha256=hashlib.sha256(secret.encode()).hexdigest(), deployments=list(deployments))


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    made = World(tmp_path)
    made.teach()
    yield made
    made.store.close()


@pytest.fixture
def client(world: World) -> TestClient:
    registry = CollectorRegistry()
    health = Health(lambda: 0.0)
    registry.register(MonitorCollector(store=world.store, health=health, drifting=world.drifting()))
    tokens = Tokens([token("operator", "all", "*"), token("team", "demo", "demo/*"), token("other", "other", "x/*")])
    app = create_app(store=world.store, models=world.models, tokens=tokens, health=health, registry=registry)
    return TestClient(app, headers={"Authorization": "Bearer all"})


def serve(world: World) -> None:
    """Stable alone for 10 s, then 20 % canary for 20 s: its errors are half as large, and one of its requests fails."""
    for i in range(400):
        at = i / 40
        world.say(inference(f"w{i}", y=10.0 + i % 5, at=at, traffic=2, latencyUs=5000 + 10 * i), at=at)
        world.say(outcome(f"w{i}", 10.0, at=at), at=at + 1)
    for i in range(500):
        at = 10 + i / 25
        mine = i % 5 == 0
        arm: dict[str, Any] = (
            {"revision": "next-2", "role": "candidate", "weightBp": 2000} if mine else {"weightBp": 8000}
        )
        if i == 250:
            arm |= {"status": 503, "error": True, "latencyUs": None}
        world.say(inference(f"c{i}", y=10.0 + (1 if mine else 2) * (i % 3), at=at, traffic=3, **arm), at=at)
        world.say(outcome(f"c{i}", 10.0, at=at), at=at + 1)
    world.say(decision("c0", True, at=30), at=30)
    world.now_us += 60_000_000
    world.run()
    world.pass_time(2)
    world.run()


def evidence(client: TestClient, metric: str, **params: Any) -> Evidence:
    query = {"metric": metric, "revision": "next-2", "against": "stable-1", "traffic": "3", **params}
    answer = client.get(f"{BASE}/evidence", params=query)
    assert answer.status_code == 200, answer.text
    return Evidence.model_validate(answer.json())


def test_error_rate(world: World, client: TestClient) -> None:
    serve(world)
    found = evidence(client, "error_rate")
    assert (found.candidate.n, found.candidate.failures, found.stable.n, found.stable.failures) == (100, 1, 400, 0)
    assert found.value == 0.01
    assert found.lower is not None
    assert found.upper is not None
    assert found.lower < 0.01 < found.upper
    assert {window.probability for window in found.windows} == {0.2}
    assert len(found.windows) == 4


def test_windows_of_an_earlier_life_with_the_same_generations_do_not_count(world: World, client: TestClient) -> None:
    serve(world)
    whole = evidence(client, "error_rate")
    halfway = datetime.fromtimestamp(whole.windows[2].start.timestamp(), UTC)
    later = evidence(client, "error_rate", since=halfway.isoformat())
    assert [window.start for window in later.windows] == [window.start for window in whole.windows[2:]]
    assert evidence(client, "error_rate", since="2999-01-01T00:00:00Z").candidate.n == 0


def test_a_stopped_partition_is_no_evidence_and_not_a_silent_candidate(world: World, client: TestClient) -> None:
    serve(world)
    world.say(inference("gone"))
    end = world.broker.bounds([0])[0].end
    world.say(inference("gone too"))
    world.broker.delete_before(0, end + 1)
    world.run()
    query = {"metric": "error_rate", "revision": "next-2", "against": "stable-1", "traffic": "3"}
    refused = client.get(f"{BASE}/evidence", params=query)
    assert refused.status_code == 503
    assert "partition 0: " in refused.text


def test_outcomes_are_judged_with_a_cap_from_before_the_rollout(world: World, client: TestClient) -> None:
    serve(world)
    found = evidence(client, "outcome.rmse")
    assert found.cap == pytest.approx(4.0, rel=1 / 32)
    assert found.candidate_coverage.predictions == found.candidate_coverage.judged == 99
    assert found.value == pytest.approx((sum((i % 3) ** 2 for i in range(0, 500, 5) if i != 250) / 99) ** 0.5)
    assert found.candidate.loss == pytest.approx(sum((i % 3) ** 2 for i in range(0, 500, 5) if i != 250), rel=1e-3)
    assert found.rate_per_second == pytest.approx(99 / 20)


def test_latency_counts_what_is_slower_than_stable_was(world: World, client: TestClient) -> None:
    serve(world)
    found = evidence(client, "latency_p50", margin=0.5)
    assert found.threshold == pytest.approx(1.5 * 0.0055, rel=1 / 16)
    assert found.candidate.failures == 0
    assert found.candidate.n == 99
    limited = evidence(client, "latency_p99", max=0.004)
    assert limited.candidate.failures == 99


def test_a_window_counts_only_when_it_is_mature(world: World, client: TestClient) -> None:
    world.say(inference("a", at=1, role="candidate", revision="next-2", weightBp=500), at=1)
    world.say(outcome("a", 1.0, at=1), at=2)
    world.run()
    assert evidence(client, "error_rate").windows == []
    world.pass_time(6)
    world.run()
    assert len(evidence(client, "error_rate").windows) == 1
    assert evidence(client, "outcome.accuracy").pending == 1
    world.pass_time(20)
    world.run()
    assert evidence(client, "outcome.coverage").candidate.n == 1


def test_counts_quality_ledger_and_predictions(world: World, client: TestClient) -> None:
    serve(world)
    lines = client.get(f"{BASE}/counts", params={"revision": "next-2", "traffic": "3"}).json()
    assert [(line["requests"], line["errors"], line["predictions"]) for line in lines] == [(100, 1, 99)]
    (line,) = client.get(f"{BASE}/quality", params={"revision": "next-2"}).json()
    assert (line["judged"], line["coverage"], line["agreement"]["n"]) == (99, 1.0, 1)
    assert line["atAge"]["rmseLower"] is None, "99 errors are too few for an interval"
    (line,) = client.get(f"{BASE}/quality", params={"revision": "stable-1"}).json()
    for measure in ("rmse", "mae", "bias"):
        judged = line["atAge"]
        assert judged[f"{measure}Lower"] < judged[measure] < judged[f"{measure}Upper"]
    assert line["latest"]["rmseLower"] is None, "what is still amended has no interval"
    books = client.get(f"{BASE}/ledger").json()
    assert all(partition["closes"] for partition in books["partitions"])
    assert books["labels"] == {"received": 901, "joined": 900, "orphan": 1, "expired": 0, "deleted": 0, "closes": True}
    state = client.get(f"{BASE}/predictions/c0").json()
    assert state["arrived"]
    assert state["joined"]
    assert state["decision"]["value"] == 1.0
    assert client.get("/v1/deployments").json()[0]["revisions"] == ["next-2", "stable-1"]


@pytest.mark.parametrize(
    ("path", "headers", "status", "says"),
    [
        pytest.param(f"{BASE}/counts", {"Authorization": ""}, 401, "Bearer", id="without a token"),
        pytest.param(f"{BASE}/counts", {"Authorization": "Bearer wrong"}, 401, "Bearer", id="with a wrong token"),
        pytest.param(f"{BASE}/counts", {"Authorization": "Bearer other"}, 403, "demo/flight-delay", id="out of scope"),
        pytest.param("/v1/deployments/demo/nobody/counts", {}, 404, "demo/nobody", id="an unknown deployment"),
        pytest.param("/v1/nothing", {}, 404, "Not Found", id="an unknown path"),
        pytest.param(f"{BASE}/evidence?metric=x&revision=a&against=b&traffic=1", {}, 422, "metric", id="a bad metric"),
        pytest.param(f"{BASE}/evidence?metric=error_rate&revision=a&against=b", {}, 422, "traffic", id="no traffic"),
    ],
)
def test_refusals_are_problems(
    world: World, client: TestClient, path: str, headers: dict[str, str], status: int, says: str
) -> None:
    world.run()
    answer = client.get(path, headers=headers)
    assert answer.status_code == status
    assert answer.headers["content-type"] == "application/problem+json"
    assert says in answer.json()["detail"]


def test_probes_and_metrics_need_no_token(world: World, client: TestClient) -> None:
    serve(world)
    del client.headers["Authorization"]
    assert client.get("/healthz").status_code == 200
    assert client.get("/readyz").status_code == 200
    assert "evidence" in client.get("/openapi.json").text
    text = client.get("/metrics").text
    assert 'switchyard_requests_total{deployment="demo/flight-delay",revision="next-2",role="candidate"} 100.0' in text
    assert 'switchyard_monitor_events_total{column="stored",partition="0"} 1801.0' in text
    assert 'switchyard_monitor_unaccounted_records{partition="0"} 0.0' in text
    arm = 'deployment="demo/flight-delay",revision="next-2",role="candidate"'
    name = "switchyard_request_latency_seconds"
    # The one that failed had no latency.
    assert f"{name}_count{{{arm}}} 99.0" in text
    for bound, count in (("0.0025", 0), ("0.01", 99), ("+Inf", 99)):
        labels = f'deployment="demo/flight-delay",le="{bound}",revision="next-2",role="candidate"'
        assert f"{name}_bucket{{{labels}}} {count}.0" in text
