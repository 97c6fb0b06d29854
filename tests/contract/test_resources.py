"""The resources as a real API server sees them: good samples pass, bad ones are refused by the name of the field."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml
from kubernetes import client
from kubernetes.client.exceptions import ApiException
from switchyard_testkit.apiserver import temporary_namespace
from switchyard_testkit.merge_patch import merge_patch
from switchyard_testkit.own_apiserver import ApiServer

ROOT = Path(__file__).resolve().parents[2]
SAMPLES = ROOT / "manifests" / "samples"
BAD = yaml.safe_load((Path(__file__).parent / "bad_samples" / "samples.yaml").read_text(encoding="utf-8"))
PLURALS = {"ModelDeployment": "modeldeployments", "ModelCommand": "modelcommands", "ModelRoute": "modelroutes"}


@dataclass(frozen=True)
class Place:
    """A namespace of a real API server."""

    api: client.ApiClient
    namespace: str


@pytest.fixture(scope="module")
def place(api_server: ApiServer) -> Iterator[Place]:
    with temporary_namespace(api_server.api, "contract") as name:
        yield Place(api_server.api, name)


def create(place: Place, body: dict[str, Any]) -> dict[str, Any]:
    """Create strictly, so that a misspelt field is an error, as `kubectl` asks for."""
    created: dict[str, Any] = client.CustomObjectsApi(place.api).create_namespaced_custom_object(
        "switchyard.dev",
        "v1alpha1",
        place.namespace,
        PLURALS[body["kind"]],
        body,
        field_validation="Strict",
        dry_run="All",
    )
    return created


@pytest.mark.parametrize("sample", sorted(path.name for path in SAMPLES.glob("*.yaml")))
def test_a_good_sample_is_accepted(place: Place, sample: str) -> None:
    body = yaml.safe_load((SAMPLES / sample).read_text(encoding="utf-8"))
    assert create(place, body)["spec"]


def test_the_smallest_sample_has_six_lines() -> None:
    assert len((SAMPLES / "minimal.yaml").read_text(encoding="utf-8").splitlines()) == 6


@pytest.mark.parametrize("case", BAD, ids=[case["id"] for case in BAD])
def test_a_bad_sample_is_refused_by_the_name_of_its_field(place: Place, case: dict[str, Any]) -> None:
    good = yaml.safe_load((SAMPLES / case["sample"]).read_text(encoding="utf-8"))
    with pytest.raises(ApiException) as refusal:
        create(place, merge_patch(good, case["change"]))
    assert refusal.value.status in (400, 422)
    for words in case["says"]:
        assert words in refusal.value.body


def model_route(stable: dict[str, Any], candidate: dict[str, Any]) -> dict[str, Any]:
    return {
        "apiVersion": "switchyard.dev/v1alpha1",
        "kind": "ModelRoute",
        "metadata": {"name": "flight-delay"},
        "spec": {
            "paths": ["/predict"],
            "timeout": "10s",
            "routes": [
                {"revision": "a", "role": "stable", "service": "a", "port": 3000, **stable},
                {"revision": "b", "role": "candidate", "service": "b", "port": 3000, **candidate},
            ],
        },
    }


@pytest.mark.parametrize(
    ("stable", "candidate", "says"),
    [
        pytest.param({"weightBp": 9000}, {"weightBp": 500}, "10000 basis points", id="weights that do not add up"),
        pytest.param(
            {"weightBp": 9000},
            {"weightBp": 1000, "mirrorBp": 9001},
            "not exceed stable's weightBp",
            id="too large a mirror",
        ),
        pytest.param(
            {"weightBp": 9000, "mirrorBp": 1},
            {"weightBp": 1000},
            "not mirrored to stable itself",
            id="stable as a mirror",
        ),
        pytest.param(
            {"weightBp": 9000},
            {"weightBp": 1000, "sampleBp": 100},
            "only a shadow without weightBp",
            id="a candidate with a sample of its own",
        ),
        pytest.param(
            {"weightBp": 10000},
            {"weightBp": 0, "role": "shadow", "sampleBp": 10001},
            "spec.routes[1].sampleBp",
            id="a sample of more than there is",
        ),
    ],
)
def test_a_route_that_could_not_be_served_is_refused(
    place: Place, stable: dict[str, Any], candidate: dict[str, Any], says: str
) -> None:
    with pytest.raises(ApiException) as refusal:
        create(place, model_route(stable, candidate))
    assert says in refusal.value.body


def test_a_route_may_have_a_shadow_with_a_sample_of_its_own(place: Place) -> None:
    shadow = {"weightBp": 0, "role": "shadow", "sampleBp": 25}
    assert create(place, model_route({"weightBp": 10_000}, shadow))["spec"]


def test_a_route_may_mirror_all_of_stables_requests(place: Place) -> None:
    assert create(place, model_route({"weightBp": 9000}, {"weightBp": 1000, "mirrorBp": 9000}))["spec"]


STATED = {"began": "2026-01-01T12:00:00Z", "until": "2026-01-15T12:00:00Z", "readAt": "2026-01-16T00:30:00Z"}
MERGE = "application/merge-patch+json"
LONGER = {"strategy": {"abTest": {"weeks": 4}}}


def under_test(place: Place, name: str, *, phase: str, **trial: Any) -> Callable[[dict[str, Any]], dict[str, Any]]:
    """An A/B test that has come to a phase; what is given back edits its spec."""
    api = client.CustomObjectsApi(place.api)
    body = yaml.safe_load((SAMPLES / "ab-test.yaml").read_text(encoding="utf-8"))
    body["metadata"]["name"] = name
    where = ("switchyard.dev", "v1alpha1", place.namespace, "modeldeployments")
    api.create_namespaced_custom_object(*where, body)
    rollout = {"id": f"{name}-b.1", "revision": f"{name}-b", "phase": phase, "trial": STATED | trial}
    api.patch_namespaced_custom_object_status(*where, name, {"status": {"rollout": rollout}}, _content_type=MERGE)
    return lambda spec: api.patch_namespaced_custom_object(*where, name, {"spec": spec}, _content_type=MERGE)


@pytest.mark.parametrize(
    "change",
    [
        pytest.param(LONGER, id="more weeks"),
        pytest.param({"strategy": {"abTest": {"share": 90}}}, id="other users"),
        pytest.param({"strategy": {"type": "BlueGreen", "abTest": None}}, id="another strategy"),
    ],
)
def test_a_test_under_way_cannot_be_changed(place: Place, change: dict[str, Any]) -> None:
    edit = under_test(place, f"running-{len(str(change))}", phase="Progressing")
    with pytest.raises(ApiException) as refusal:
        edit(change)
    assert "an A/B test is under way" in refusal.value.body
    edit({"serving": {"replicas": 3}})
    edit({"model": {"image": "registry.example/flight-delay:3.0.0"}, **change})


@pytest.mark.parametrize("phase", ["Watching", "Completed", "RolledBack"])
def test_after_a_test_its_strategy_may_be_changed(place: Place, phase: str) -> None:
    assert under_test(place, f"over-{phase.lower()}", phase=phase)(LONGER)["spec"]


def test_a_test_that_cannot_be_read_may_be_changed(place: Place) -> None:
    assert under_test(place, "moved", phase="AwaitingEvidence", moved=True)(LONGER)["spec"]
