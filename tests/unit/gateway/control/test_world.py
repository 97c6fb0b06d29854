"""What a silence of the cluster means: deleted, deleted unseen, or not to be believed."""

from __future__ import annotations

from datetime import timedelta

import pytest
from switchyard_contracts.model_route import ModelRouteSpec, Route, RouteRole
from switchyard_gateway.control.domain.world import Endpoint, RouteObject, Slice, World

HERE = Endpoint("10.0.0.1", 3000)
THERE = Endpoint("10.0.0.2", 3000)


def route(name: str, *, generation: int = 1) -> RouteObject:
    stable = Route(revision=f"{name}-1", role=RouteRole.STABLE, weight_bp=10_000, service=f"{name}-1", port=3000)
    return RouteObject(
        "ns", name, generation, ModelRouteSpec(paths=["/p"], timeout=timedelta(seconds=1), routes=[stable])
    )


def part(service: str, *endpoints: Endpoint, suffix: str = "x") -> Slice:
    return Slice("ns", f"{service}-{suffix}", service, endpoints)


def world() -> World:
    """Two deployments, each with one pod, all of it heard from the API server."""
    made = World()
    made.list_routes([route("a"), route("b")])
    made.list_slices([part("a-1", HERE), part("b-1", THERE)])
    return made


def test_a_world_is_complete_once_both_kinds_were_listed():
    made = World()
    made.list_routes([])
    assert not made.complete
    made.list_slices([])
    assert made.complete


def test_a_deleted_route_is_gone_at_once():
    made = world()
    assert made.delete_route("ns/a") == {"ns/a"}
    assert set(made.routes) == {"ns/b"}


def test_a_route_missing_from_a_list_that_names_others_is_gone():
    made = world()
    assert made.list_routes([route("b")]) == {"ns/a"}
    assert set(made.routes) == {"ns/b"}


def test_an_empty_list_removes_no_route():
    made = world()
    assert made.list_routes([]) == set()
    assert set(made.routes) == {"ns/a", "ns/b"}


def test_an_empty_list_removes_no_endpoint():
    made = world()
    assert made.list_slices([]) == set()
    assert made.endpoints(("ns", "a-1")) == (HERE,)


def test_empty_lists_of_both_kinds_remove_nothing_however_often_they_come():
    made = world()
    for _ in range(3):
        made.list_routes([])
        made.list_slices([])
    assert set(made.routes) == {"ns/a", "ns/b"}
    assert made.endpoints(("ns", "b-1")) == (THERE,)


def test_a_kept_route_goes_once_its_endpoints_are_known_to_be_gone():
    made = world()
    made.list_routes([])
    assert made.delete_slice(("ns", "a-1-x")) == {"ns/a"}
    assert set(made.routes) == {"ns/b"}


def test_a_kept_route_goes_when_a_believed_list_shows_no_endpoints_of_it():
    made = world()
    made.list_routes([])
    assert made.list_slices([part("b-1", THERE)]) == {"ns/a"}


def test_a_heard_route_stays_though_it_has_no_endpoints():
    made = world()
    made.delete_slice(("ns", "a-1-x"))
    assert set(made.routes) == {"ns/a", "ns/b"}


def test_a_kept_slice_gives_way_when_its_service_is_heard_of_again():
    made = world()
    made.list_slices([])
    made.put_slice(part("a-1", THERE, suffix="new"))
    assert made.endpoints(("ns", "a-1")) == (THERE,)
    assert made.endpoints(("ns", "b-1")) == (THERE,)


def test_slices_of_one_service_are_joined_and_an_address_counts_once():
    made = world()
    made.put_slice(part("a-1", THERE, HERE, suffix="y"))
    assert made.endpoints(("ns", "a-1")) == (HERE, THERE)


def test_what_the_volume_remembers_is_kept_until_the_cluster_speaks():
    made = World()
    made.recall([route("a")], {("ns", "a-1"): (HERE,)})
    assert not made.complete
    made.list_routes([])
    made.list_slices([])
    assert set(made.routes) == {"ns/a"}
    made.put_slice(part("a-1", THERE))
    assert made.endpoints(("ns", "a-1")) == (THERE,)


def test_a_remembered_route_that_was_deleted_meanwhile_goes_with_the_first_list_of_others():
    made = World()
    made.recall([route("a")], {("ns", "a-1"): (HERE,)})
    assert made.list_routes([route("b")]) == {"ns/a", "ns/b"}
    assert set(made.routes) == {"ns/b"}


@pytest.mark.parametrize(
    ("change", "concerned"),
    [
        pytest.param(lambda made: made.put_route(route("a")), set(), id="the same route again concerns nobody"),
        pytest.param(
            lambda made: made.put_route(route("a", generation=2)), {"ns/a"}, id="a new generation concerns its own"
        ),
        pytest.param(lambda made: made.put_slice(part("a-1", HERE)), set(), id="the same slice again concerns nobody"),
        pytest.param(
            lambda made: made.put_slice(part("b-1", HERE)), {"ns/b"}, id="a pod concerns its own deployment only"
        ),
        pytest.param(
            lambda made: made.put_slice(part("c-1", HERE)), set(), id="a service without a route concerns nobody"
        ),
        pytest.param(lambda made: made.delete_route("ns/none"), set(), id="an unknown deletion concerns nobody"),
    ],
)
def test_only_the_deployments_concerned_are_named(change, concerned):
    assert change(world()) == concerned


def test_a_followed_service_concerns_its_follower_too():
    made = world()
    made.follow("ns/a", [("ns", "old-9")])
    assert made.put_slice(part("old-9", HERE)) == {"ns/a"}
