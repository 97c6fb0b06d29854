"""The cluster in memory and the real API server keep the same contract, so what is proven on one holds on the other."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import pytest
from switchyard_contracts.base import LABEL_DEPLOYMENT
from switchyard_contracts.model_deployment import Serving
from switchyard_contracts.model_revision import ModelRevisionSpec, PodShape
from switchyard_operator.adapters.cluster import ApiCluster, connect
from switchyard_operator.domain.difference import differs
from switchyard_operator.domain.kinds import CONFIG_MAP, DEPLOYMENT, MODEL_REVISION, MODEL_ROUTE, SERVICE
from switchyard_operator.domain.lineage import promoted, sent_home
from switchyard_operator.domain.workloads import bodies, revision_body
from switchyard_operator.errors import AlreadyThere, Outdated
from switchyard_operator.gather import revision as parsed
from switchyard_operator.ports import Cluster
from switchyard_testkit.apiserver import temporary_namespace
from switchyard_testkit.fake_cluster import FakeCluster
from switchyard_testkit.own_apiserver import ApiServer
from switchyard_testkit.waiting import until

NOW = datetime(2026, 1, 1, tzinfo=UTC)


@dataclass(frozen=True)
class Place:
    """A cluster and a namespace of the test's own."""

    cluster: Cluster
    namespace: str


@pytest.fixture(scope="module")
def real(api_server: ApiServer) -> Iterator[Place]:
    with temporary_namespace(api_server.api, "port") as name:
        cluster = ApiCluster(connect(str(api_server.kubeconfig)), namespaces=[name], counted=lambda *_: None)
        yield Place(cluster, name)


@pytest.fixture(params=["in memory", "API server"])
def at(request: pytest.FixtureRequest) -> Place:
    if request.param == "in memory":
        return Place(FakeCluster(lambda: NOW), "port")
    place: Place = request.getfixturevalue("real")
    return place


def route(at: Place, name: str, *, weight: int = 0) -> dict[str, Any]:
    def entry(revision: str, role: str, share: int) -> dict[str, Any]:
        return {"revision": revision, "role": role, "weightBp": share, "mirrorBp": 0, "service": revision, "port": 3000}

    routes = [entry("delay-a", "stable", 10_000 - weight), entry("delay-b", "candidate", weight)]
    return {
        "apiVersion": "switchyard.dev/v1alpha1",
        "kind": "ModelRoute",
        "metadata": {"name": name, "namespace": at.namespace, "labels": {LABEL_DEPLOYMENT: name}},
        "spec": {"paths": ["/predict"], "timeout": "5s", "rolloutId": "", "routes": routes},
    }


def revision(at: Place, name: str) -> dict[str, Any]:
    pod = PodShape(image="models/delay:1")
    spec = ModelRevisionSpec(deployment="delay", model_hash="0" * 10, pod_hash="1" * 10, pod=pod)
    body = dict(revision_body(at.namespace, name=name, owner_uid="nobody", spec=spec))
    body["metadata"] = {key: value for key, value in body["metadata"].items() if key != "ownerReferences"}
    return body


def test_what_is_not_there_is_none_and_deleting_it_is_fine(at: Place) -> None:
    assert at.cluster.read(MODEL_ROUTE, at.namespace, "nobody") is None
    at.cluster.delete(MODEL_ROUTE, at.namespace, "nobody")


def test_created_once(at: Place) -> None:
    made = at.cluster.create(route(at, "once"))
    assert made["metadata"]["generation"] == 1
    assert made["metadata"]["uid"]
    with pytest.raises(AlreadyThere):
        at.cluster.create(route(at, "once"))


def test_a_route_is_replaced_only_from_the_version_it_was_decided_on(at: Place) -> None:
    made = at.cluster.create(route(at, "replaced"))
    body = route(at, "replaced", weight=500)
    body["metadata"]["resourceVersion"] = made["metadata"]["resourceVersion"]
    changed = at.cluster.replace(body)
    assert changed["metadata"]["generation"] == 2
    with pytest.raises(Outdated):
        at.cluster.replace(body)
    body["metadata"]["resourceVersion"] = changed["metadata"]["resourceVersion"]
    assert at.cluster.replace(body)["metadata"] == changed["metadata"]


def test_versions_are_numbers_that_grow(at: Place) -> None:
    made = at.cluster.create(route(at, "numbered"))
    body = route(at, "numbered", weight=700)
    body["metadata"]["resourceVersion"] = made["metadata"]["resourceVersion"]
    changed = at.cluster.replace(body)
    assert int(changed["metadata"]["resourceVersion"]) > int(made["metadata"]["resourceVersion"])


def test_a_status_moves_no_generation_and_rests_on_its_version(at: Place) -> None:
    made = at.cluster.create(revision(at, "delay-status"))
    told = at.cluster.write_status(made, {"phase": "Stable", "version": "1.0.0"})
    assert told["metadata"]["generation"] == made["metadata"]["generation"]
    assert (told["spec"], told["status"]["version"]) == (made["spec"], "1.0.0")
    with pytest.raises(Outdated):
        at.cluster.write_status(made, {"phase": "Retired"})


def test_a_status_cannot_be_smuggled_in_by_a_create(at: Place) -> None:
    body = revision(at, "delay-smuggled") | {"status": {"phase": "Stable"}}
    assert "status" not in at.cluster.create(body)


def test_marks_are_set_and_removed_by_a_patch_that_rests_on_a_version(at: Place) -> None:
    made = at.cluster.create(revision(at, "delay-marked"))

    def mark(annotations: Any, version: str) -> dict[str, Any]:
        metadata = {"annotations": dict(annotations), "resourceVersion": version}
        return dict(at.cluster.patch(MODEL_REVISION, at.namespace, "delay-marked", {"metadata": metadata}))

    up = mark(promoted("delay-marked", now=NOW).annotations, made["metadata"]["resourceVersion"])
    assert parsed(up).promoted_at == NOW
    home = sent_home("delay-marked", now=NOW, reason="Aborted", message="by ada: nonsense")
    with pytest.raises(Outdated):
        mark(home.annotations, made["metadata"]["resourceVersion"])
    down = parsed(mark(home.annotations, up["metadata"]["resourceVersion"]))
    assert (down.sent_home, down.because, down.because_message) == (True, "Aborted", "by ada: nonsense")


def test_an_apply_that_changes_nothing_writes_nothing_and_is_not_needed(at: Place) -> None:
    made = parsed(at.cluster.create(revision(at, "delay-applied")))
    for wanted in bodies(at.namespace, made, replicas=0, serving=Serving()):
        applied = at.cluster.apply(wanted)
        comparable = {key: value for key, value in wanted.items() if key not in ("apiVersion", "kind")}
        assert not differs(comparable, applied), wanted["kind"]
        again = at.cluster.apply(wanted)
        # A Deployment's and a budget's status is moved meanwhile by their controllers; a generation is not.
        counter = "resourceVersion" if wanted["kind"] == "Service" else "generation"
        assert again["metadata"][counter] == applied["metadata"][counter]


def test_an_apply_keeps_what_others_own(at: Place) -> None:
    service = {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": "kept", "namespace": at.namespace, "labels": {"ours": "1"}},
        "spec": {"ports": [{"name": "http", "port": 80}], "selector": {"a": "b"}},
    }
    at.cluster.apply(service)
    at.cluster.patch(SERVICE, at.namespace, "kept", {"metadata": {"labels": {"theirs": "1"}}})
    assert at.cluster.apply(service)["metadata"]["labels"] == {"ours": "1", "theirs": "1"}


@pytest.mark.timeout(300)  # the collector looks for types every half minute, and may have looked before ours were there
def test_children_go_with_their_owner(at: Place) -> None:
    made = parsed(at.cluster.create(revision(at, "delay-owner")))
    for wanted in bodies(at.namespace, made, replicas=0, serving=Serving()):
        at.cluster.apply(wanted)
    at.cluster.delete(MODEL_REVISION, at.namespace, "delay-owner")
    until(
        lambda: at.cluster.read(DEPLOYMENT, at.namespace, "delay-owner") is None,
        "the revision's Deployment goes with it",
        seconds=150,
    )


def test_found_by_label_with_its_kind(at: Place) -> None:
    at.cluster.create(route(at, "labelled"))
    found = at.cluster.find(MODEL_ROUTE, namespace=at.namespace, labels={LABEL_DEPLOYMENT: "labelled"})
    assert [(body["kind"], body["metadata"]["name"]) for body in found] == [("ModelRoute", "labelled")]
    everything = at.cluster.find(MODEL_ROUTE, labels={LABEL_DEPLOYMENT: ""})
    assert "labelled" in {body["metadata"]["name"] for body in everything}
    assert at.cluster.find(CONFIG_MAP, namespace=at.namespace, labels={LABEL_DEPLOYMENT: "labelled"}) == []
