"""The edges that speak HTTP: what is sent, and what becomes of answers of every kind."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest
from switchyard_contracts.model_deployment import Metric
from switchyard_operator.adapters.gateway import GatewayPods
from switchyard_operator.adapters.models import HttpModels
from switchyard_operator.adapters.monitor import HttpMonitor
from switchyard_operator.domain.analysis import Question
from switchyard_operator.errors import EvidenceUnavailable, TryLater
from switchyard_testkit.fake_cluster import FakeCluster
from switchyard_testkit.rollout_world import Clock

LATENCY = Metric.model_validate({"name": "l", "metric": "latency_p95", "maxIncrease": "20%", "role": "guard"})
ERRORS = Metric.model_validate({"name": "e", "metric": "error_rate", "max": "1%", "role": "guard"})
RMSE = Metric.model_validate({"name": "o", "metric": "outcome.rmse", "maxIncrease": "5%", "role": "decide"})
SLOW = Metric.model_validate({"name": "s", "metric": "latency_p99", "max": "200ms", "role": "guard"})


def http(answer: Callable[[httpx.Request], httpx.Response]) -> httpx.Client:
    return httpx.Client(transport=httpx.MockTransport(answer))


def question(metric: Metric) -> Question:
    return Question(metric, "delay-b", "delay-a", (3, 4), None, datetime(2026, 3, 2, 12, tzinfo=UTC))


@pytest.mark.parametrize(
    ("metric", "extra"),
    [
        pytest.param(ERRORS, {}, id="an error rate needs no margin"),
        pytest.param(LATENCY, {"margin": "0.2"}, id="latency against stable"),
        pytest.param(SLOW, {"max": "0.2"}, id="latency against a limit, in seconds"),
    ],
)
def test_the_monitor_is_asked_in_its_own_words(metric: Metric, extra: dict[str, str]) -> None:
    asked: list[httpx.Request] = []

    def answer(request: httpx.Request) -> httpx.Response:
        asked.append(request)
        fields = {"deployment": "air/delay", "metric": metric.metric, "revision": "delay-b", "against": "delay-a"}
        return httpx.Response(200, json=fields | {"traffic": [3, 4]})

    evidence = HttpMonitor(http(answer), url="http://monitor:8080/", token=lambda: "secret").evidence(
        "air/delay", question(metric)
    )
    assert evidence.traffic == [3, 4]
    assert asked[0].url.path == "/v1/deployments/air/delay/evidence"
    usual = {"metric": metric.metric, "revision": "delay-b", "against": "delay-a", "traffic": "3,4"}
    usual["since"] = "2026-03-02T12:00:00+00:00"
    assert dict(asked[0].url.params) == usual | extra
    assert asked[0].headers["authorization"] == "Bearer secret"


def test_the_monitor_is_told_which_generations_were_mirrored_and_what_varies_together() -> None:
    asked: list[httpx.Request] = []

    def answer(request: httpx.Request) -> httpx.Response:
        asked.append(request)
        return httpx.Response(503)

    mirrored = Question(RMSE, "delay-b", "delay-a", (3, 4), None, block=timedelta(days=1), mirrored=(4,))
    with pytest.raises(EvidenceUnavailable):
        HttpMonitor(http(answer), url="http://monitor:8080", token=lambda: "").evidence("air/delay", mirrored)
    sent = dict(asked[0].url.params)
    assert (sent["traffic"], sent["mirrored"], sent["block"], sent["margin"]) == ("3,4", "4", "1d", "0.05")


def refuse(request: httpx.Request) -> httpx.Response:
    raise httpx.ConnectError("refused")


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        pytest.param(refuse, "does not answer", id="it is away"),
        pytest.param(lambda _: httpx.Response(401, json={"detail": "no token"}), "401: no token", id="a wrong token"),
        pytest.param(lambda _: httpx.Response(502, text="<html>"), "502: <html>", id="something in between answers"),
        pytest.param(lambda _: httpx.Response(200, json={"n": 1}), "cannot be read", id="another document"),
    ],
)
def test_a_monitor_that_cannot_be_asked_is_said_to_be_so(
    answer: Callable[[httpx.Request], httpx.Response], words: str
) -> None:
    monitor = HttpMonitor(http(answer), url="http://monitor:8080", token=lambda: "")
    for ask in (
        lambda: monitor.evidence("air/delay", question(ERRORS)),
        monitor.heads,
        lambda: monitor.alarms("air/d"),
    ):
        with pytest.raises(EvidenceUnavailable, match=words):
            ask()


def gateways(answer: Callable[[httpx.Request], httpx.Response], *, pods: dict[str, bool]) -> GatewayPods:
    clock = Clock()
    cluster = FakeCluster(clock)
    for number, (name, ready) in enumerate(pods.items()):
        metadata = {"name": name, "namespace": "system", "labels": {"component": "gateway"}}
        status: dict[str, Any] = {
            "podIP": f"10.0.0.{number}",
            "conditions": [{"type": "Ready", "status": str(ready)}],
        }
        cluster.put({"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "status": status})
    return GatewayPods(
        cluster,
        namespace="system",
        labels={"component": "gateway"},
        port=8081,
        clock=lambda: clock.now.timestamp(),
        http=http(answer),
    )


def test_every_ready_gateway_is_asked_and_a_silent_one_is_reported() -> None:
    def answer(request: httpx.Request) -> httpx.Response:
        if request.url.host == "10.0.0.1":
            raise httpx.ReadTimeout("silent")
        standing = {"generation": 6, "state": "Rejected", "message": "no such cluster"}
        return httpx.Response(200, json={"routes": {"air/delay": standing}})

    asked = gateways(answer, pods={"a": True, "b": True, "c": False})
    first, second = asked.reports("air/delay", 7)
    assert (first.pod, first.generation, first.rejected) == ("a", 6, "no such cluster")
    assert (second.pod, second.generation) == ("b", None)
    assert "ReadTimeout" in second.error
    assert asked.reports("air/other", 1)[0].generation is None


def test_a_gateway_that_keeps_nothing_of_what_it_answers_says_so_beside_its_routes() -> None:
    def answer(request: httpx.Request) -> httpx.Response:
        mute = {"unrecorded": "the spool is full, 3 exchanges were dropped"} if request.url.host == "10.0.0.1" else {}
        return httpx.Response(200, json={"routes": {"air/delay": {"generation": 7, "state": "Synced"}}, **mute})

    first, second = gateways(answer, pods={"a": True, "b": True}).reports("air/delay", 7)
    assert (first.generation, first.unrecorded) == (7, "")
    assert (second.generation, second.unrecorded) == (7, "the spool is full, 3 exchanges were dropped")


def test_one_round_serves_all_who_ask_at_the_same_time() -> None:
    rounds: list[str] = []

    def answer(request: httpx.Request) -> httpx.Response:
        rounds.append(str(request.url))
        return httpx.Response(200, json={"routes": {}})

    asked = gateways(answer, pods={"a": True})
    for number in range(50):
        asked.reports(f"air/model-{number}", 1)
    assert rounds == ["http://10.0.0.0:8081/routes"]


def test_what_the_gateways_counted_is_asked_of_those_of_the_last_round_and_a_silent_one_is_left_out() -> None:
    asked: list[str] = []
    arms = {"delay-b": {"weightBp": 500, "requests": 9, "failures": 3, "failedOver": 1}}
    windows = [{"traffic": 7, "start": "2026-03-02T12:00:00Z", "arms": arms, "new": "field"}]

    def answer(request: httpx.Request) -> httpx.Response:
        asked.append(f"{request.url.host}{request.url.path}")
        if request.url.path == "/routes":
            return httpx.Response(200, json={"routes": {}})
        assert dict(request.url.params) == {"deployment": "air/delay"}
        if request.url.host == "10.0.0.1":
            raise httpx.ReadTimeout("silent")
        return httpx.Response(503 if request.url.host == "10.0.0.2" else 200, json={"node": "a", "windows": windows})

    pods = gateways(answer, pods={"a": True, "b": True, "c": True, "d": False})
    pods.reports("air/delay", 7)
    (found,) = pods.counted("air/delay")
    assert found.windows[0].traffic == 7
    assert found.windows[0].arms["delay-b"].failed_over == 1
    assert sorted(asked[3:]) == ["10.0.0.0/counters", "10.0.0.1/counters", "10.0.0.2/counters"]


def test_a_gateway_of_an_older_release_counted_nothing_that_is_known() -> None:
    def answer(request: httpx.Request) -> httpx.Response:
        return httpx.Response(200, json={"routes": {}, "node": "a", "counters": {"air/delay": {}}})

    (found,) = gateways(answer, pods={"a": True}).counted("air/delay")
    assert found.windows == []


def test_a_bento_says_its_version_and_paths() -> None:
    documents = {
        "/docs.json": {"info": {"version": "1.3.0"}},
        "/schema.json": {"routes": [{"route": "/predict"}, {"route": "/"}, {"route": "/v1/classify"}]},
    }
    models = HttpModels(http(lambda request: httpx.Response(200, json=documents[request.url.path])))
    facts = models.facts("10.0.0.1", 3000)
    assert (facts.version, facts.paths) == ("1.3.0", ("/predict", "/v1/classify"))


def test_what_is_no_bento_says_nothing_and_who_is_silent_is_asked_later() -> None:
    facts = HttpModels(http(lambda _: httpx.Response(404))).facts("10.0.0.1", 3000)
    assert (facts.version, facts.paths) == ("", ())
    with pytest.raises(TryLater, match="does not answer"):
        HttpModels(http(refuse)).facts("10.0.0.1", 3000)


def test_a_smoke_request_says_what_was_wrong() -> None:
    models = HttpModels(
        http(lambda request: httpx.Response(500 if request.method == "POST" else 200, text="no weights"))
    )
    assert models.smoke("10.0.0.1", 3000, path="/readyz", body=None) == ""
    assert models.smoke("10.0.0.1", 3000, path="/predict", body="{}") == "answered 500: no weights"
