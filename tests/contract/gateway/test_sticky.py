"""Sticky splits by control and a real Envoy: users stay with their arm, and a rising weight only moves them into it."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any

import pytest
from switchyard_contracts.sticky import bucket_of
from switchyard_testkit.crowd import ask_all, quick_models
from switchyard_testkit.fake_api import SLICES, endpoint_slice, route
from switchyard_testkit.gateway_pod import KEY, PREDICT, Pod, gateway_pod
from switchyard_testkit.record import Record
from switchyard_testkit.waiting import until

USERS = [f"user-{number}" for number in range(10_000)]
BY_HEADER = {"by": "header", "name": "X-User-Id"}
STABLE, CANDIDATE = "delay-1", "delay-2"


@pytest.fixture(scope="module")
def the_pod(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pod]:
    with gateway_pod(tmp_path_factory.mktemp("pod")) as pod:
        yield pod


@pytest.fixture
def pod(the_pod: Pod) -> Pod:
    the_pod.afresh()
    return the_pod


@pytest.fixture
def record(pod: Pod) -> Record:
    path = pod.envoy.spool / "active" / "exchanges.log"

    def written() -> int:
        return path.read_bytes().count(b"\n") if path.exists() else 0

    until(lambda: written() == pod.envoy.stat("switchyard.recorded"), "the last test's lines are written", seconds=30)
    return Record(path, path.stat().st_size if path.exists() else 0)


def sticky(pod: Pod, candidate: int, *, salt: str = "delay-2.1", mirror: int = 0, **split: Any) -> None:
    """2.0.0 has this weight among users that are told apart by a header; acknowledged."""
    generation = pod.deploy(
        route(STABLE, 10_000 - candidate),
        route(CANDIDATE, candidate, "candidate", version="2.0.0", mirror=mirror),
        split={**BY_HEADER, "salt": salt, **split},
    )
    pod.control.wait_for(KEY, generation)


def candidates_users(pod: Pod, users: Sequence[str] = USERS) -> set[str]:
    """Each of them asks once; those whom the candidate answered."""
    answered = ask_all(pod.envoy.port, PREDICT, [f"x-user-id: {user}" for user in users])
    assert set(answered) <= {STABLE, CANDIDATE}
    return {user for user, revision in zip(users, answered, strict=True) if revision == CANDIDATE}


def within_chance(count: int, of: int, share: float) -> bool:
    """As many as the share brings, give or take five standard deviations."""
    return abs(count - of * share) <= 5 * math.sqrt(of * share * (1 - share))


@pytest.mark.timeout(300)  # some twelve seconds of work, on a machine that others may want too
def test_of_ten_thousand_users_nobody_ever_leaves_the_candidate_and_a_new_salt_draws_anew(pod):
    with quick_models(2) as models:
        for revision, quick in zip((STABLE, CANDIDATE), models, strict=True):
            pod.api.put(SLICES, endpoint_slice("flights", revision, quick.address))
            until(
                lambda name=f"flights/{revision}/only", port=quick.address[1]: pod.healthy_ports(name) == {port},
                f"Envoy sends {revision}'s requests to the quick model",
                seconds=30,
            )
        before: set[str] = set()
        seen: dict[int, set[str]] = {}
        for weight in (500, 2_500, 5_000, 10_000):
            sticky(pod, weight)
            now = candidates_users(pod)
            assert before <= now, f"{len(before - now)} users left the candidate at {weight} basis points"
            assert within_chance(len(now), len(USERS), weight / 10_000)
            assert now == {user for user in USERS if bucket_of(user.encode(), salt="delay-2.1") < weight}
            before = seen[weight] = now
        sticky(pod, 2_500, salt="delay-2.2")
        some = set(USERS[:2_500])
        first, second = seen[2_500] & some, candidates_users(pod, USERS[:2_500])
        assert within_chance(len(second), len(some), 0.25)
        assert within_chance(len(first & second), len(first), 0.25), "the draws know of each other"


def test_the_event_says_that_it_was_sticky_and_by_which_bucket(pod, record):
    sticky(pod, 5_000)
    for user in USERS[:20]:
        revision = pod.ask(x_user_id=user).headers["x-model-revision"]
        assert revision == (CANDIDATE if bucket_of(user.encode(), salt="delay-2.1") < 5_000 else STABLE)
    events = record.wait_for(20, "stable", "candidate")
    assert [(each.assignment, each.weight_bp) for each in events] == [("sticky", 5_000)] * 20
    assert [each.unit for each in events] == [bucket_of(user.encode(), salt="delay-2.1") for user in USERS[:20]]


def test_a_request_that_names_no_user_is_drawn_by_its_own_id_and_says_split(pod, record):
    sticky(pod, 5_000)
    ids = [f"order-{number}" for number in range(20)]
    for each in ids:
        pod.ask(x_prediction_id=each)
        pod.ask(x_prediction_id=each, x_user_id="")
    events = record.wait_for(40, "stable", "candidate")
    wanted = [bucket_of(each.encode(), salt="delay-2.1") for each in ids for _ in range(2)]
    assert [(each.assignment, each.unit) for each in events] == [("split", unit) for unit in wanted]
    assert [each.role for each in events] == ["candidate" if unit < 5_000 else "stable" for unit in wanted]
    with pod.client() as client:
        for _ in range(40):
            client.post(PREDICT, json={"distance": 1})
    assert len({each.unit for each in record.wait_for(80, "stable", "candidate")[40:]}) > 30


def test_users_are_told_apart_by_a_cookie_too(pod, record):
    sticky(pod, 5_000, by="cookie", name="Session_id")
    said = ["Session_id=u-7", "a=b; Session_id=u-7 ;c=d", "xSession_id=no; Session_id=u-7", "session_id=other", "a=b"]
    for each in said:
        pod.ask(cookie=each)
    units = [(each.assignment, each.unit) for each in record.wait_for(5, "stable", "candidate")]
    assert units[:3] == [("sticky", bucket_of(b"u-7", salt="delay-2.1"))] * 3
    assert [assignment for assignment, _ in units[3:]] == ["split", "split"]
    assert all("cookie" not in each["headers"] for model in pod.models.values() for each in model.requests)


def test_nobody_picks_a_bucket_and_no_model_sees_one(pod, record):
    sticky(pod, 5_000)
    taken = next(user for user in USERS if bucket_of(user.encode(), salt="delay-2.1") >= 5_000)
    answer = pod.ask(x_user_id=taken, x_switchyard_bucket="0")
    assert answer.headers["x-model-revision"] == STABLE
    (request,) = pod.models["one"].requests
    assert "x-switchyard-bucket" not in request["headers"]
    assert record.wait_for(1, "stable")[0].unit == bucket_of(taken.encode(), salt="delay-2.1")


@pytest.mark.parametrize(("share", "of_stable"), [(7_500, 1.0), (3_000, 0.4)], ids=["all of stable's", "a sample"])
def test_of_a_sticky_split_only_stables_users_are_mirrored(pod, record, share, of_stable):
    sticky(pod, 2_500, mirror=share)
    with pod.client() as client:
        for number in range(400):
            headers = {"x-user-id": USERS[number], "x-prediction-id": f"p-{number}"}
            client.post(PREDICT, json={"distance": 1}, headers=headers)
    served = record.wait_for(400, "stable", "candidate")
    stable = {each.prediction_id for each in served if each.role == "stable"}
    assert within_chance(len(stable), 400, 0.75)
    until(lambda: pod.envoy.stat("http.mirror.downstream_rq_active") == 0, "mirrored requests are over", seconds=30)
    if of_stable == 1.0:
        record.wait_for(len(stable), "shadow")
    shadows = record.of("shadow")
    assert {each.prediction_id for each in shadows} <= stable
    assert within_chance(len(shadows), len(stable), of_stable)
    assert {(each.weight_bp, each.unit) for each in shadows} == {(share, None)}


def test_bodies_are_captured_and_refused_as_on_any_route(pod, record):
    sticky(pod, 5_000)
    pod.ask(x_user_id="u-1")
    (event,) = record.wait_for(1, "stable", "candidate")
    assert (event.request.value, event.response.complete) == ({"distance": 1}, True)
    with pod.client() as client:
        refused = client.post(PREDICT, content=b"x", headers={"content-type": "application/x-pickle", "x-user-id": "u"})
    assert refused.status_code == 415


def test_a_host_of_its_own_splits_alike(pod, record):
    sticky(pod, 5_000)
    with pod.client() as client:
        for user in USERS[:10]:
            headers = {"host": "delay.flights.models.test", "x-user-id": user}
            client.post("/predict", json={"distance": 1}, headers=headers).raise_for_status()
    units = [each.unit for each in record.wait_for(10, "stable", "candidate")]
    assert units == [bucket_of(user.encode(), salt="delay-2.1") for user in USERS[:10]]
