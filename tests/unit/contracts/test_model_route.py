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


def test_a_route_without_a_mirror_reads_as_before() -> None:
    said: dict[str, Any] = {"revision": "a-1", "role": "stable", "weightBp": 10_000, "service": "a-1", "port": 3000}
    read = ModelRouteSpec.model_validate({"paths": ["/p"], "timeout": "5s", "routes": [said]})
    assert (read.mirrored, read.stable.mirror_bp) == ([], 0)
