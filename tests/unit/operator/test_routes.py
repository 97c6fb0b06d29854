"""Routes always add up, whoever is in them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from switchyard_contracts.model_revision import ModelRevisionSpec, ModelRevisionStatus, PodShape
from switchyard_contracts.model_route import RouteRole
from switchyard_contracts.quantities import FULL
from switchyard_contracts.sticky import Sticky
from switchyard_operator.domain.routes import Shares, compose, sticky
from switchyard_operator.domain.world import Revision


def revision(name: str) -> Revision:
    pod = PodShape(image="models/delay:1")
    return Revision(
        name=name,
        uid=name,
        created_at=datetime(2026, 1, 1, tzinfo=UTC),
        resource_version="1",
        spec=ModelRevisionSpec(deployment="delay", version="1.0.0", model_hash="0" * 10, pod_hash="1" * 10, pod=pod),
        status=ModelRevisionStatus(),
    )


names = st.sampled_from(["delay-a", "delay-b", "delay-c"]).map(revision)


@given(
    names,
    st.none() | names,
    st.integers(-5, FULL + 5),
    st.integers(-5, FULL + 5),
    st.lists(names, max_size=3, unique_by=lambda item: item.name),
)
def test_weights_sum_to_the_whole_and_each_revision_stands_once(
    stable: Revision, candidate: Revision | None, weight: int, mirror: int, warm: list[Revision]
) -> None:
    shares = Shares(stable=stable, candidate=candidate, weight=weight, mirror=mirror, warm=tuple(warm))
    if candidate and candidate.name == stable.name:
        shares = Shares(stable=stable, warm=tuple(warm))
    route = compose(shares, paths=["/predict"], timeout=timedelta(seconds=5), rollout_id="delay-b.1")
    assert sum(entry.weight_bp for entry in route.routes) == FULL
    assert [entry.role for entry in route.routes].count(RouteRole.STABLE) == 1
    assert len({entry.revision for entry in route.routes}) == len(route.routes)
    assert route.routes[0].role is RouteRole.STABLE
    assert all(entry.role is RouteRole.CANDIDATE for entry in route.mirrored)
    assert all(entry.mirror_bp <= route.stable.weight_bp for entry in route.mirrored)
    assert all(entry.weight_bp == 0 for entry in route.routes if entry.role is RouteRole.PREVIEW)


BY_HEADER = Sticky(by="header", name="x-user-id")


@pytest.mark.parametrize(
    ("weight", "wanted"),
    [(0, None), (1, "shop/delay-b.1"), (9_999, "shop/delay-b.1"), (FULL, None)],
    ids=["mirrored only", "the first user", "all but one", "everybody"],
)
def test_users_are_told_apart_while_two_revisions_answer_them(weight: int, wanted: str | None) -> None:
    shares = Shares(stable=revision("delay-a"), candidate=revision("delay-b"), weight=weight)
    split = sticky(BY_HEADER, namespace="shop", rollout_id="delay-b.1")
    route = compose(shares, paths=["/predict"], timeout=timedelta(seconds=5), rollout_id="delay-b.1", split=split)
    assert (route.split.salt if route.split else None) == wanted


def test_each_rollout_has_a_salt_of_its_own_and_finds_it_again() -> None:
    rollouts = [("shop", "delay-b.1"), ("shop", "delay-b.2"), ("shop", "delay-c.1"), ("other", "delay-b.1")]
    splits = [sticky(BY_HEADER, namespace=namespace, rollout_id=rollout) for namespace, rollout in rollouts]
    assert len({split.salt for split in splits if split}) == len(rollouts)
    assert splits == [sticky(BY_HEADER, namespace=namespace, rollout_id=rollout) for namespace, rollout in rollouts]
    assert sticky(None, namespace="shop", rollout_id="delay-b.1") is None
