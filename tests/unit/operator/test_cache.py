"""The cache: newer wins, what a listing does not name is gone, and whose object it is is known."""

from __future__ import annotations

from typing import Any

import pytest
from switchyard_contracts.base import LABEL_DEPLOYMENT
from switchyard_operator.cache import Cache
from switchyard_operator.domain import kinds
from switchyard_operator.resync import settle, survey, unheard
from switchyard_testkit.fake_cluster import FakeCluster
from switchyard_testkit.rollout_world import Clock


def pod(name: str, version: int, *, uid: str = "one", owner: str = "delay") -> dict[str, Any]:
    metadata = {"name": name, "namespace": "air", "uid": uid, "resourceVersion": str(version)}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata | {"labels": {LABEL_DEPLOYMENT: owner}}}


OWNER = ("air", "delay")


@pytest.mark.parametrize(
    ("second", "kept"),
    [
        pytest.param(pod("a", 5), "7", id="an older event comes late"),
        pytest.param(pod("a", 9), "9", id="a newer one replaces"),
        pytest.param(pod("a", 3, uid="two"), "3", id="another object of the same name"),
    ],
)
def test_newer_wins(second: dict[str, Any], kept: str) -> None:
    cache = Cache()
    cache.put(pod("a", 7))
    assert cache.put(second) == OWNER
    assert [body["metadata"]["resourceVersion"] for body in cache.children(kinds.POD, OWNER)] == [kept]


def test_a_listing_takes_away_what_it_does_not_name() -> None:
    cache = Cache()
    cache.put(pod("gone", 1))
    cache.put(pod("stays", 2))
    before = cache.snapshot(kinds.POD)
    cache.put(pod("born", 9))
    touched = cache.replace(kinds.POD, [pod("stays", 2)], before=before)
    assert {body["metadata"]["name"] for body in cache.children(kinds.POD, OWNER)} == {"stays", "born"}
    assert touched == {OWNER}


def test_a_late_deletion_of_a_namesake_takes_nothing() -> None:
    cache = Cache()
    cache.put(pod("a", 9, uid="two"))
    cache.forget(pod("a", 5, uid="one"))
    assert cache.get(kinds.POD, "air", "a") is not None


def test_a_command_belongs_to_the_deployment_it_names() -> None:
    metadata = {"name": "c", "namespace": "air", "uid": "1", "resourceVersion": "1"}
    body = {"kind": "ModelCommand", "metadata": metadata, "spec": {"deployment": "delay"}}
    assert Cache().put(body) == OWNER


def test_nobody_keeps_who_set_which_field_nor_what_a_pod_is_made_of() -> None:
    managed = [
        {"manager": "switchyard-operator", "operation": "Apply", "fieldsV1": {"f:spec": {"f:replicas": {}}}},
        {"manager": "kubectl-edit", "operation": "Update", "fieldsV1": {"f:spec": {"f:replicas": {}}}},
    ]
    cache = Cache()
    for kind, spec in (
        ("ModelDeployment", {"suspend": True}),
        ("Deployment", {"replicas": 2}),
        ("Pod", {"nodeName": "one"}),
    ):
        body = pod("delay-x", 1) | {"kind": kind, "spec": spec, "status": {"phase": "Running"}}
        cache.put(body | {"metadata": body["metadata"] | {"managedFields": managed}})
    edited, deployed, running = (
        cache.get(kind, "air", "delay-x") or {} for kind in (kinds.MODEL_DEPLOYMENT, kinds.DEPLOYMENT, kinds.POD)
    )
    assert "managedFields" not in edited["metadata"], "it goes back with every status"
    assert edited["spec"] == {"suspend": True}
    assert deployed["metadata"]["managedFields"] == [{"manager": "switchyard-operator"}, {"manager": "kubectl-edit"}]
    assert deployed["spec"] == {"replicas": 2}
    assert "spec" not in running
    assert running["status"] == {"phase": "Running"}
    assert managed[0]["operation"] == "Apply", "what was told is left as it was"


def test_a_listing_of_what_is_held_takes_no_room_of_its_own() -> None:
    cache = Cache()
    cache.put(pod("a", 7))
    held = cache.get(kinds.POD, "air", "a")
    assert cache.same(pod("a", 7)) is held
    for other in (pod("a", 8), pod("a", 7, uid="two"), pod("b", 7)):
        assert cache.same(other) == other


def test_what_a_listing_shows_and_no_watch_delivers_is_noticed() -> None:
    clock = Clock()
    cluster, cache = FakeCluster(clock), Cache()
    cluster.put({"apiVersion": "v1", "kind": "Pod", **_pod("delay-x")})
    found = survey(cluster, cache)
    assert unheard(found, cache) == ["Pod air/delay-x"]
    assert settle(found, cache) == [OWNER]
    assert unheard(found, cache) == []
    cluster.put({"apiVersion": "v1", "kind": "Pod", **_pod("delay-x"), "status": {"podIP": "10.0.0.1"}})
    later = survey(cluster, cache)
    assert unheard(later, cache) == ["Pod air/delay-x"]
    cache.put(cluster.find(kinds.POD)[0])
    assert unheard(later, cache) == []


def _pod(name: str) -> dict[str, Any]:
    return {"metadata": {"name": name, "namespace": "air", "labels": {LABEL_DEPLOYMENT: "delay"}}}
