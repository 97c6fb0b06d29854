"""Control and a real Envoy, as the product configures it, on loopback; the API server is a fake, the wire is not."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from switchyard_contracts.events import PREDICTION_ID_PATTERN
from switchyard_testkit.cache import Cache
from switchyard_testkit.control import ControlProcess, model
from switchyard_testkit.envoy import EnvoyProcess, binary
from switchyard_testkit.fake_api import ROUTES, SLICES, endpoint_slice, fake_api, route
from switchyard_testkit.gateway_pod import KEY, PREDICT, Pod, gateway_pod
from switchyard_testkit.rendering import LEAST, containers, objects, pods, render
from switchyard_testkit.waiting import until

REFUSED_BY_ENVOY = "999999d"
"""A timeout that the resource's schema allows and Envoy does not: only Envoy itself can find this one."""


@pytest.fixture(scope="module")
def the_pod(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pod]:
    """One for all tests: whatever they do to it, it must come back by itself."""
    with gateway_pod(tmp_path_factory.mktemp("pod")) as pod:
        yield pod


@pytest.fixture
def pod(the_pod: Pod) -> Pod:
    the_pod.afresh()
    return the_pod


def test_a_model_answers_under_its_path_with_its_name_and_a_minted_id(pod):
    answer = pod.ask()
    assert (answer.status_code, answer.json()) == (200, {"model": "one", "path": "/predict", "delay": 1.5})
    assert (answer.headers["x-model-revision"], answer.headers["x-model-version"]) == ("delay-1", "1.0.0")
    assert re.fullmatch(r"[0-9]{13}-[0-9a-f-]{36}", answer.headers["x-prediction-id"])


def test_a_model_answers_under_its_host_and_keeps_the_query(pod):
    answer = pod.ask("/predict?rows=2", host="delay.flights.models.test:8080")
    assert answer.json() == {"model": "one", "path": "/predict?rows=2", "delay": 1.5}


def test_a_host_that_no_model_has_is_404_with_an_id(pod):
    answer = pod.ask("/predict", host="price.flights.models.test")
    assert (answer.status_code, answer.json()["detail"]) == (404, "No model is deployed under this name.")
    assert re.fullmatch(PREDICTION_ID_PATTERN, answer.headers["x-prediction-id"])


def test_a_bad_id_under_a_host_is_refused_too(pod):
    assert pod.ask("/predict", host="delay.flights.models.test", x_prediction_id="a b").status_code == 400


def test_minted_ids_are_unique_and_in_order_of_time(pod):
    ids = [pod.ask().headers["x-prediction-id"] for _ in range(20)]
    assert len({*ids}) == 20
    stamps = [int(each.split("-")[0]) for each in ids]
    assert stamps == sorted(stamps)


@pytest.mark.parametrize("path", [PREDICT, "/flights/delay/unknown", "/nobody/here"])
def test_the_callers_own_id_comes_back_whatever_the_answer(pod, path):
    assert pod.ask(path, x_prediction_id="order:4711.a_b-c").headers["x-prediction-id"] == "order:4711.a_b-c"


@pytest.mark.parametrize("given", ["with space", "x" * 129, "a/b", "ünï", ""])
def test_an_id_that_could_not_be_joined_is_refused_and_not_echoed(pod, given):
    answer = pod.ask(x_prediction_id=given)
    assert (answer.status_code, answer.headers["content-type"]) == (400, "application/problem+json")
    assert "x-prediction-id" in answer.json()["detail"]
    assert re.fullmatch(PREDICTION_ID_PATTERN, answer.headers["x-prediction-id"])
    assert answer.headers["x-prediction-id"] != given


@pytest.mark.parametrize(
    ("path", "detail"),
    [
        pytest.param("/nobody/here", "No model is deployed under this path.", id="no such deployment"),
        pytest.param(
            "/flights/delay/metrics",
            "flights/delay does not serve this path; it serves /predict.",
            id="a path not allowed",
        ),
        pytest.param(
            "/flights/delay/predict/more",
            "flights/delay does not serve this path; it serves /predict.",
            id="a longer path",
        ),
        pytest.param("/flights/delays/predict", "No model is deployed under this path.", id="a longer name"),
        pytest.param("/predict", "No model is deployed under this path.", id="a bare path without a host"),
    ],
)
def test_what_is_not_served_is_404_in_json_with_an_id(pod, path, detail):
    answer = pod.ask(path)
    assert (answer.status_code, answer.json()["detail"]) == (404, detail)
    assert answer.headers["content-type"] == "application/problem+json"
    assert re.fullmatch(PREDICTION_ID_PATTERN, answer.headers["x-prediction-id"])


def test_a_revision_is_picked_by_header_and_stamped_as_a_preview(pod):
    answer = pod.ask(x_switchyard_revision="delay-2")
    assert (answer.json()["model"], answer.headers["x-model-version"]) == ("two", "2.0.0")
    headers = pod.models["two"].requests[-1]["headers"]
    assert headers["x-switchyard-stamp"] == f"flights/delay|delay-2|2.0.0|preview|{pod.generation}|0|pinned"
    assert "x-switchyard-revision" not in headers


def test_a_revision_that_is_not_in_the_traffic_is_404(pod):
    answer = pod.ask(x_switchyard_revision="delay-9")
    assert (answer.status_code, "it has delay-1, delay-2" in answer.json()["detail"]) == (404, True)


def test_a_forged_stamp_is_overwritten_and_credentials_stay_behind(pod):
    pod.ask(
        x_switchyard_stamp="flights/delay|delay-9|9|stable|1|1|split",
        authorization="Bearer secret",
        cookie="a=b",
    )
    headers = pod.models["one"].requests[-1]["headers"]
    assert headers["x-switchyard-stamp"] == f"flights/delay|delay-1|1.0.0|stable|{pod.generation}|10000|split"
    assert not {"authorization", "cookie"} & headers.keys()


def test_the_door_says_what_envoy_acknowledged(pod):
    assert pod.control.ask("/routes") == (
        200,
        {
            "node": "gateway-0",
            "stale": False,
            "unrecorded": "",
            "routes": {KEY: {"generation": pod.generation, "state": "Synced", "message": ""}},
        },
    )
    assert pod.control.ask("/readyz")[0] == 200


def test_the_split_is_drawn_with_the_weights_it_says(pod):
    generation = pod.split(3_000)
    with pod.client() as client:
        answered = Counter(client.post(PREDICT, json={}).headers["x-model-revision"] for _ in range(2_000))
    share = answered["delay-2"] / 2_000
    assert abs(share - 0.3) < 4.5 * (0.3 * 0.7 / 2_000) ** 0.5, answered
    roles = {each["headers"]["x-switchyard-stamp"] for each in pod.models["two"].requests}
    assert roles == {f"flights/delay|delay-2|2.0.0|candidate|{generation}|3000|split"}


def test_two_hundred_changes_of_weight_under_load_lose_no_request(pod):
    with pod.traffic(rate=150) as traffic:
        latencies = []
        for number in range(200):
            begun = time.monotonic()
            pod.split(500 + number * 45)
            latencies.append(time.monotonic() - begun)
    assert traffic.tally.failures == []
    assert len(traffic.tally.answers) >= 200
    assert {"delay-1", "delay-2"} == {*traffic.tally.by_revision()}
    assert sorted(latencies)[198] < 1.0


def test_a_blue_green_switch_with_pods_that_come_and_go_loses_no_request(pod):
    with model("three") as three, pod.traffic(rate=100) as traffic:
        for number in range(20):
            pod.pods("delay-2", three if number % 2 else pod.models["two"])
            generation = pod.deploy(
                route("delay-1", 10_000 * (number % 2)),
                route("delay-2", 10_000 * ((number + 1) % 2), "candidate", version="2.0.0"),
            )
            pod.control.wait_for(KEY, generation)
            seen = len(traffic.tally.answers)
            until(lambda seen=seen: len(traffic.tally.answers) > seen + 3, "traffic goes on", seconds=30, every=0.01)
    assert traffic.tally.failures == []
    assert {"delay-1", "delay-2"} == {*traffic.tally.by_revision()}


def test_a_candidate_without_pods_is_answered_by_stable_which_says_so(pod):
    pod.split(5_000)
    pod.pods("delay-2")
    with pod.client() as client:
        until(
            lambda: client.post(PREDICT, json={}).headers["x-model-revision"] == "delay-1",
            "the pod is gone",
            seconds=30,
        )
        until(lambda: not pod.hosts("flights/delay-2/only"), "Envoy knows", seconds=30, every=0.02)
        answers = [client.post(PREDICT, json={}) for _ in range(60)]
    assert {(each.status_code, each.headers["x-model-revision"]) for each in answers} == {(200, "delay-1")}
    stamps = {each["headers"]["x-switchyard-stamp"].split("|")[1] for each in pod.models["one"].requests[-60:]}
    assert stamps == {"delay-1", "delay-2"}


def test_a_candidate_that_refuses_connections_is_answered_by_stable(pod):
    pod.split(5_000)
    pod.models["two"].stop()
    with pod.client() as client:
        answers = [client.post(PREDICT, json={}) for _ in range(100)]
    assert {(each.status_code, each.headers["x-model-revision"]) for each in answers} == {(200, "delay-1")}


def test_a_preview_is_never_answered_by_another_revision(pod):
    pod.models["two"].stop()
    answer = pod.ask(x_switchyard_revision="delay-2", x_prediction_id="mine")
    assert (answer.status_code, answer.headers["x-prediction-id"]) == (503, "mine")
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.headers.get("x-model-revision", "delay-2") == "delay-2"


def test_a_candidate_that_comes_back_gets_its_share_again(pod):
    pod.split(5_000)
    pod.models["two"].stop()
    with pod.client() as client:
        for _ in range(20):
            assert client.post(PREDICT, json={}).status_code == 200
        pod.models["two"].start()
        until(
            lambda: client.post(PREDICT, json={}).headers["x-model-revision"] == "delay-2",
            "the candidate answers again",
            seconds=30,
            every=0.02,
        )


def test_stables_pods_that_are_too_slow_for_their_probe_still_answer(pod):
    unready = {"ready": False, "serving": False, "terminating": False}
    pod.split(5_000)
    with pod.traffic(rate=50) as traffic:
        for revision, each in (("delay-1", pod.models["one"]), ("delay-2", pod.models["two"])):
            pod.api.put(SLICES, endpoint_slice("flights", revision, each.address, conditions=unready))
        until(lambda: not pod.hosts("flights/delay-2/only"), "Envoy knows", seconds=30, every=0.02)
        answered = len(traffic.tally.answers)
        until(lambda: len(traffic.tally.answers) > answered + 10, "answers flow", seconds=30, every=0.02)
    assert traffic.tally.failures == []
    assert traffic.tally.answers[-1].revision == "delay-1"


def test_the_counters_are_by_the_revision_that_answered(pod):
    pod.split(5_000)
    before = counters(pod)
    pod.models["two"].status = 500
    with pod.client() as client:
        statuses = Counter(client.post(PREDICT, json={}).status_code for _ in range(100))
    assert statuses[200] + statuses[500] == 100
    after = counters(pod)
    assert after["delay-1"] - before["delay-1"] == Counter(requests=statuses[200])
    assert after["delay-2"] - before["delay-2"] == Counter(requests=statuses[500], errors=statuses[500])


def test_a_route_that_envoy_refuses_is_isolated_and_named_and_the_others_go_on(pod):
    pod.pods("price-1", pod.models["two"])
    pod.deploy(route("price-1", 10_000), name="price")
    pod.control.wait_for("flights/price", 1)
    with pod.traffic(rate=100) as traffic:
        bad = pod.deploy(route("delay-1", 10_000), timeout=REFUSED_BY_ENVOY)
        standing = pod.control.wait_for(KEY, bad - 1, state="Rejected")
        good = pod.deploy(route("price-1", 10_000), name="price", timeout="7s")
        pod.control.wait_for("flights/price", good)
        mended = pod.deploy(route("delay-1", 10_000), timeout="8s")
        pod.control.wait_for(KEY, mended)
    assert "uration" in standing["message"]
    assert traffic.tally.failures == []


def test_one_bad_route_among_many_written_at_once_is_found(pod):
    names = [f"m{number}" for number in range(12)]
    for name in names:
        pod.pods(f"{name}-1", pod.models["two"])
    for name in names:
        pod.deploy(route(f"{name}-1", 10_000), name=name, timeout=REFUSED_BY_ENVOY if name == "m5" else "5s")
    for name in names:
        if name != "m5":
            pod.control.wait_for(f"flights/{name}", 1)
    assert pod.control.wait_for("flights/m5", 0, state="Rejected")["message"]
    pod.reached("m11-1")
    assert pod.ask("/flights/m11/predict").status_code == 200
    assert pod.ask("/flights/m5/predict").status_code == 404
    assert pod.ask().status_code == 200


def test_a_deleted_route_is_404_and_the_others_stay(pod):
    pod.pods("price-1", pod.models["two"])
    pod.deploy(route("price-1", 10_000), name="price")
    pod.control.wait_for("flights/price", 1)
    pod.api.delete(ROUTES, "flights", "price")
    until(lambda: pod.ask("/flights/price/predict").status_code == 404, "it is gone", seconds=30)
    assert pod.ask().status_code == 200


def test_control_restarts_beside_a_running_envoy_without_a_failed_request(pod):
    pod.split(5_000)
    with pod.traffic(rate=100) as traffic:
        until(lambda: len(traffic.tally.answers) > 20, "traffic flows", seconds=30)
        pod.control.end(signal.SIGKILL)
        seen = len(traffic.tally.answers)
        until(lambda: len(traffic.tally.answers) > seen + 20, "traffic goes on without control", seconds=30)
        pod.control.start()
        generation = pod.split(2_500)
    assert traffic.tally.failures == []
    assert pod.control.standing(KEY)["generation"] == generation


def test_envoy_restarts_and_is_given_the_same_again(pod):
    generation = pod.split(5_000)
    pod.envoy.end(signal.SIGKILL)
    until(lambda: pod.control.ask("/readyz")[0] == 503, "control knows that Envoy is gone", seconds=30)
    pod.envoy.start(now_ns=time.time_ns())
    pod.control.wait_for(KEY, generation)
    assert pod.ask().status_code == 200


def test_without_an_api_server_a_restarted_pod_serves_the_volumes_snapshot_marked_stale(pod):
    generation = pod.split(5_000)
    snapshot = pod.control.folder / "spool" / "snapshot.json"
    until(
        lambda: (
            json.loads(snapshot.read_bytes())["routes"][0]["generation"] == generation if snapshot.exists() else False
        ),
        "the snapshot is on the volume",
        seconds=30,
    )
    pod.control.end(signal.SIGKILL)
    pod.envoy.end(signal.SIGKILL)
    pod.api.stop()
    pod.control.start()
    pod.envoy.start(now_ns=time.time_ns())
    assert pod.ask().status_code == 200
    assert pod.control.ask("/routes")[1]["stale"] is True
    until(lambda: "ModelRoutes" in pod.control.ask("/healthz")[1]["trouble"], "control says what it lacks", seconds=30)
    pod.api.start()
    until(lambda: pod.control.ask("/routes")[1]["stale"] is False, "the API server is heard again", seconds=30)
    pod.split(7_000)


def test_without_an_api_server_and_without_a_snapshot_envoy_is_not_answered(tmp_path):
    with fake_api() as api:
        control = ControlProcess(tmp_path, api.kubeconfig(tmp_path))
        api.break_with("500")
        envoy = EnvoyProcess(binary(Cache.from_env(os.environ)), tmp_path)
        try:
            control.start()
            envoy.start(now_ns=time.time_ns(), ready_within=None)
            until(lambda: "Envoy is connected" in control.log(), "Envoy has asked", seconds=30)
            until(lambda: len(api.asked) > 4, "the API server was asked again and again", seconds=30)
            assert control.ask("/readyz")[0] == 503
            assert not envoy.is_ready()
            assert not in_service(control, envoy, tmp_path)
            api.break_with("")
            until(envoy.is_ready, "an empty cluster opens the doors", seconds=60)
            until(lambda: control.ask("/readyz")[0] == 200, "control says so", seconds=30)
            assert in_service(control, envoy, tmp_path)
            control.end(signal.SIGKILL)
            assert in_service(control, envoy, tmp_path), "a gateway leaves its Service while control starts again"
        finally:
            envoy.end(signal.SIGKILL)
            if control.process:
                control.end(signal.SIGKILL)


def in_service(control: ControlProcess, envoy: EnvoyProcess, folder: Path) -> bool:
    """What the kubelet would find by the chart's own readiness probe of the gateway's pod."""
    pod = dict(pods(objects(render(LEAST, folder))))["switchyard-gateway"]
    ports = {port["name"]: port["containerPort"] for each in containers(pod) for port in each.get("ports", ())}
    here = {8080: envoy.port, 8081: control.port}
    (probe,) = (each["readinessProbe"] for each in containers(pod) if "readinessProbe" in each)
    ((how, asked),) = ((key, value) for key, value in probe.items() if key in ("httpGet", "tcpSocket"))
    port = here[ports.get(asked["port"], asked["port"])]
    try:
        if how == "tcpSocket":
            socket.create_connection(("127.0.0.1", port), timeout=5).close()
            return True
        return httpx.get(f"http://127.0.0.1:{port}{asked['path']}", trust_env=False, timeout=5).is_success
    except (OSError, httpx.TransportError):
        return False


@pytest.mark.parametrize("fault", ["500", "429", "hang", "wiped"])
def test_whatever_the_api_server_does_answers_flow_and_the_next_change_arrives(pod, fault):
    before = pod.split(2_000)
    with pod.traffic(rate=50) as traffic:
        pod.api.break_with(fault)
        if fault == "wiped":
            pod.api.forget_history()
        asked = len(pod.api.asked)
        until(lambda: len(pod.api.asked) >= asked + 2, "both watches met the fault", seconds=60)
        answered = len(traffic.tally.answers)
        until(lambda: len(traffic.tally.answers) > answered + 10, "answers flow meanwhile", seconds=30)
        assert pod.control.standing(KEY)["generation"] == before
        pod.api.break_with("")
        generation = pod.deploy(route("delay-1", 4_000), route("delay-2", 6_000, "candidate", version="2.0.0"))
        pod.control.wait_for(KEY, generation, seconds=60)
    assert traffic.tally.failures == []


def test_what_was_deleted_while_nobody_watched_is_gone_with_the_next_list(pod):
    pod.pods("price-1", pod.models["two"])
    pod.deploy(route("price-1", 10_000), name="price")
    pod.control.wait_for("flights/price", 1)
    pod.api.delete(ROUTES, "flights", "price", told=False)
    pod.api.forget_history()
    until(lambda: pod.ask("/flights/price/predict").status_code == 404, "it is gone", seconds=30)
    pod.split(3_000)


def test_control_ends_at_once_when_it_is_asked_to_and_leaves_the_snapshot(pod):
    generation = pod.split(1_000)
    begun = time.monotonic()
    assert pod.control.end() == 0
    assert time.monotonic() - begun < 10
    assert (
        json.loads((pod.control.folder / "spool" / "snapshot.json").read_bytes())["routes"][0]["generation"]
        == generation
    )


def counters(pod: Pod) -> dict[str, Counter[str]]:
    """What control counted so far, by revision."""
    found = pod.control.ask("/counters")[1]["counters"].get(KEY, {})
    return {revision: Counter(found.get(revision, {})) for revision in ("delay-1", "delay-2")}
