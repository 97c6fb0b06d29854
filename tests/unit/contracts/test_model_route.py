"""What a ModelRoute may say of mirrors."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError
from switchyard_contracts.model_route import ModelRouteSpec, Route, RouteRole


def entry(revision: str, role: RouteRole, weight: int, mirror: int = 0) -> Route:
    return Route(revision=revision, role=role, weight_bp=weight, mirror_bp=mirror, service=revision, port=3000)


def spec(*routes: Route) -> ModelRouteSpec:
    return ModelRouteSpec(paths=["/predict"], timeout=timedelta(seconds=10), routes=[*routes])


@given(weight=st.integers(0, 10_000), mirror=st.integers(0, 10_000))
def test_at_most_stables_own_share_is_mirrored(weight: int, mirror: int) -> None:
    routes = entry("a-1", RouteRole.STABLE, 10_000 - weight), entry("a-2", RouteRole.CANDIDATE, weight, mirror)
    if mirror <= 10_000 - weight:
        assert [each.revision for each in spec(*routes).mirrored] == (["a-2"] if mirror else [])
        return
    with pytest.raises(ValidationError, match=f"must not exceed stable's weightBp, {10_000 - weight}"):
        spec(*routes)


def test_stable_is_no_mirror_of_itself() -> None:
    with pytest.raises(ValidationError, match="give it mirrorBp 0"):
        spec(entry("a-1", RouteRole.STABLE, 10_000, 100))


def test_several_may_be_mirrored() -> None:
    shadows = [entry(f"a-{number}", RouteRole.SHADOW, 0, 10_000) for number in (2, 3)]
    assert spec(entry("a-1", RouteRole.STABLE, 10_000), *shadows).mirrored == shadows


def shadow(revision: str, sample: int, **changes: Any) -> Route:
    said = {"role": RouteRole.SHADOW, "weight_bp": 0, "service": revision, "port": 3000}
    return Route(**{**said, "revision": revision, "sample_bp": sample, **changes})


@given(weight=st.integers(0, 10_000), samples=st.lists(st.integers(1, 10_000), max_size=4))
def test_shadows_have_samples_of_their_own_whatever_stables_weight(weight: int, samples: list[int]) -> None:
    shadows = [shadow(f"a-{number}", sample) for number, sample in enumerate(samples, start=3)]
    split = entry("a-1", RouteRole.STABLE, 10_000 - weight), entry("a-2", RouteRole.CANDIDATE, weight)
    found = spec(*split, *shadows)
    assert (found.sampled, found.copied, found.mirrored) == (shadows, shadows, [])


@pytest.mark.parametrize(
    "changes",
    [
        pytest.param({"role": RouteRole.PREVIEW}, id="kept warm"),
        pytest.param({"mirror_bp": 100}, id="a mirror beside it"),
    ],
)
def test_nobody_but_a_shadow_has_a_sample_of_its_own(changes: dict[str, Any]) -> None:
    with pytest.raises(ValidationError, match="only a shadow without weightBp and mirrorBp"):
        spec(entry("a-1", RouteRole.STABLE, 10_000), shadow("a-2", 100, **changes))


def test_a_shadow_has_no_weight() -> None:
    with pytest.raises(ValidationError, match="sampleBp of a-2 is 100"):
        spec(entry("a-1", RouteRole.STABLE, 9_000), shadow("a-2", 100, weight_bp=1_000))


def test_who_has_no_sample_does_not_say_so_for_an_older_gateway_cannot_read_it() -> None:
    written = spec(entry("a-1", RouteRole.STABLE, 10_000), shadow("a-2", 100)).to_json()["routes"]
    assert ["sampleBp" in each for each in written] == [False, True]


def test_a_route_without_a_mirror_reads_as_before() -> None:
    said: dict[str, Any] = {"revision": "a-1", "role": "stable", "weightBp": 10_000, "service": "a-1", "port": 3000}
    read = ModelRouteSpec.model_validate({"paths": ["/p"], "timeout": "5s", "routes": [said]})
    assert (read.mirrored, read.stable.mirror_bp) == ([], 0)
