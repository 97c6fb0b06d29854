"""Several shadows with samples of their own, by control and a real Envoy: what goes to which, and what it costs.

Envoy runs with one thread here, so the numbers of places are exact.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from switchyard_contracts.sticky import bucket_of
from switchyard_testkit.control import Model, model
from switchyard_testkit.fake_api import route
from switchyard_testkit.gateway_pod import KEY, PREDICT, Pod, gateway_pod
from switchyard_testkit.record import Record
from switchyard_testkit.waiting import until

PLACES = 32
THREE, FOUR = "delay-3", "delay-4"


@pytest.fixture(scope="module")
def the_pod(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pod]:
    with gateway_pod(tmp_path_factory.mktemp("pod")) as pod:
        yield pod


@pytest.fixture
def pod(the_pod: Pod) -> Pod:
    the_pod.afresh()
    until(lambda: under_way(the_pod) == 0, "nothing is under way from the test before", seconds=30, every=0.02)
    return the_pod


@pytest.fixture
def shadows(pod: Pod) -> Iterator[tuple[Model, Model]]:
    """The pods of two shadows."""
    with model("three") as three, model("four") as four:
        pod.pods(THREE, three)
        pod.pods(FOUR, four)
        yield three, four


@pytest.fixture
def record(pod: Pod) -> Record:
    path = pod.envoy.spool / "active" / "exchanges.log"

    def written() -> int:
        return path.read_bytes().count(b"\n")

    until(lambda: written() == pod.envoy.stat("switchyard.recorded"), "the last test's lines are written", seconds=30)
    return Record(path, path.stat().st_size)


def under_way(pod: Pod) -> int:
    """Copies that wait for their answer."""
    return pod.envoy.stat("http.mirror.downstream_rq_active")


def beside(pod: Pod, three: int, four: int, *, candidate: int = 0, **spec: Any) -> int:
    """Two shadows with these samples beside a split; acknowledged, and their pods are known."""
    generation = pod.deploy(
        route("delay-1", 10_000 - candidate),
        route("delay-2", candidate, "candidate", version="2.0.0"),
        route(THREE, 0, "shadow", version="3.0.0", sample=three),
        route(FOUR, 0, "shadow", version="4.0.0", sample=four),
        **spec,
    )
    pod.control.wait_for(KEY, generation)
    pod.reached(THREE, FOUR)
    return generation


def ask_many(pod: Pod, number: int, **headers: str) -> list[httpx.Response]:
    """One after the other, on one connection."""
    said = {key.replace("_", "-"): value for key, value in headers.items()}
    with pod.client() as client:
        return [client.post(PREDICT, json={"distance": 1}, headers=said) for _ in range(number)]


def landed(pod: Pod, number: int) -> None:
    """After every few requests wait for their copies: of a thousand in a row a busy machine has no place for one."""
    if number % (PLACES // 4) == 0:
        until(lambda: under_way(pod) == 0, "the copies so far are answered", seconds=30, every=0.005)


def mirrored(pod: Pod, revision: str) -> int:
    """How many copies were sent to a revision so far, as control's door shows it."""
    shown = pod.control.ask("/counters")[1]["counters"].get(KEY, {}).get(revision, {})
    return int(shown.get("mirrored", 0))


def within_chance(count: int, of: int, share: float) -> bool:
    """As many as the share brings, give or take five standard deviations."""
    return abs(count - of * share) <= 5 * (of * share * (1 - share)) ** 0.5


@pytest.mark.timeout(180)
def test_each_sample_is_drawn_by_itself_from_all_that_is_stables(pod, record, shadows):
    begun = mirrored(pod, THREE), mirrored(pod, FOUR)
    generation = beside(pod, 2_000, 1_000, candidate=4_000)
    ask_many(pod, 5_000)
    sent = mirrored(pod, THREE) - begun[0], mirrored(pod, FOUR) - begun[1]
    split = record.wait_for(5_000, "stable", "candidate")
    stable = {each.prediction_id for each in split if each.role == "stable"}
    found = record.wait_for(sum(sent), "shadow")
    third, fourth = ({each.prediction_id for each in found if each.revision == name} for name in (THREE, FOUR))
    assert (len(third), len(fourth)) == sent
    assert third | fourth <= stable
    assert within_chance(len(third), len(stable), 0.2)
    assert within_chance(len(fourth), len(stable), 0.1)
    # One within the other would have all of the fourth's in both; drawn by themselves, a fifth of them.
    assert within_chance(len(third & fourth), len(fourth), 0.2)
    assert {(each.revision, each.weight_bp, each.traffic, each.status) for each in found} == {
        (THREE, 1_200, generation, 200),
        (FOUR, 600, generation, 200),
    }


def test_a_sample_of_everything_is_everything_and_a_small_one_beside_it_is_small(pod, record, shadows):
    begun = mirrored(pod, FOUR)
    beside(pod, 10_000, 500)
    with pod.client() as client:
        for number in range(1_000):
            landed(pod, number)
            client.post(PREDICT, json={"distance": 1})
    ids = sorted(each.prediction_id for each in record.wait_for(1_000, "stable"))
    sent = mirrored(pod, FOUR) - begun
    found = record.wait_for(1_000 + sent, "shadow")
    assert sorted(each.prediction_id for each in found if each.revision == THREE) == ids
    assert within_chance(sent, 1_000, 0.05)


def test_samples_beside_a_sticky_split_are_of_stables_users_whoever_they_are(pod, record, shadows):
    begun = mirrored(pod, THREE), mirrored(pod, FOUR)
    split = {"by": "header", "name": "x-user-id", "salt": "delay-2.1"}
    beside(pod, 3_000, 10_000, candidate=2_500, split=split)
    users = [f"user-{number}" for number in range(800)]
    with pod.client() as client:
        for number, user in enumerate(users):
            landed(pod, number)
            client.post(PREDICT, json={}, headers={"x-user-id": user, "x-prediction-id": f"p-{user}"})
    record.wait_for(800, "stable", "candidate")
    stables = {f"p-{user}" for user in users if bucket_of(user.encode(), salt="delay-2.1") >= 2_500}
    sent = mirrored(pod, THREE) - begun[0], mirrored(pod, FOUR) - begun[1]
    found = record.wait_for(sum(sent), "shadow")
    assert {each.prediction_id for each in found if each.revision == FOUR} == stables
    assert {each.prediction_id for each in found if each.revision == THREE} <= stables
    assert within_chance(sent[0], len(stables), 0.3)


def test_a_dead_shadow_beside_a_living_one_costs_neither_users_nor_the_other_anything(pod, record, shadows):
    three, _ = shadows
    beside(pod, 10_000, 10_000)
    three.stop()
    answers = ask_many(pod, 200)
    assert {(each.status_code, each.json()["model"]) for each in answers} == {(200, "one")}
    found = record.wait_for(400, "shadow")
    ends = {(each.revision, each.status, each.error) for each in found}
    assert ends == {(THREE, 503, True), (FOUR, 200, False)}
    assert {each.answered_by for each in found if each.revision == THREE} <= {"", THREE}


def test_a_shadow_that_hangs_fills_its_own_places_and_delays_nobody(pod, record, shadows):
    three, four = shadows
    beside(pod, 10_000, 10_000, timeout="10s")
    three.silent = True
    started = time.monotonic()
    answers = ask_many(pod, 100)
    assert {(each.status_code, each.json()["model"]) for each in answers} == {(200, "one")}
    assert time.monotonic() - started < 10, "a hundred answers came before the first copy was given up"
    until(lambda: len(four.requests) >= 100, "all are mirrored to the other", seconds=30, every=0.02)
    assert len(three.requests) == PLACES


def test_nobody_picks_a_shadow_and_no_shadow_knows_of_another(pod, record, shadows):
    three, four = shadows
    begun = mirrored(pod, THREE)
    beside(pod, 1, 10_000)
    ask_many(pod, 200, x_switchyard_sample_0="flights/delay-3/mirror", x_switchyard_sample_1="flights/delay-3/mirror")
    until(lambda: len(four.requests) >= 200, "all are mirrored to the other", seconds=30, every=0.02)
    assert mirrored(pod, THREE) - begun <= 3, "of 200 requests so small a sample draws none, or as good as none"
    beside(pod, 5_000, 10_000)
    ask_many(pod, 50)
    until(lambda: three.requests, "some are mirrored", seconds=30, every=0.02)
    for request in (*three.requests, *four.requests):
        ours = {name for name in request["headers"] if name.startswith("x-switchyard-")}
        assert ours == {"x-switchyard-stamp", "x-switchyard-shadow"}
    for request in pod.models["one"].requests:
        ours = {name for name in request["headers"] if name.startswith("x-switchyard-")}
        assert ours <= {"x-switchyard-stamp", "x-switchyard-sample-0"}


def test_samples_that_come_and_go_under_load_lose_no_request(pod, record, shadows):
    with pod.traffic(rate=100) as traffic:
        for number in range(20):
            beside(pod, 100 + 400 * (number % 3), 10_000 - 400 * (number % 2), candidate=100 * number)
            seen = len(traffic.tally.answers)
            until(lambda seen=seen: len(traffic.tally.answers) > seen + 3, "traffic goes on", seconds=30, every=0.01)
        pod.split(0)
    assert traffic.tally.failures == []


def test_bodies_are_captured_and_refused_where_a_sample_is_drawn_too(pod, record, shadows):
    beside(pod, 5_000, 10_000)
    pod.ask()
    (event,) = record.wait_for(1, "stable")
    assert (event.request.value, event.response.complete) == ({"distance": 1}, True)
    with pod.client() as client:
        refused = client.post(PREDICT, content=b"x", headers={"content-type": "application/x-pickle"})
    assert refused.status_code == 415
