"""ModelRoute and endpoints in, fragment out: situation by situation."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from switchyard_contracts.model_route import ModelRouteSpec, Route, RouteRole, Split
from switchyard_contracts.sticky import half_sip_hash, key_of
from switchyard_gateway.control.domain.fragment import Arm, Cluster, Draw, Member, Mirror, Pin, Range, Sample
from switchyard_gateway.control.domain.translation import translate
from switchyard_gateway.control.domain.world import Endpoint, Fitness, RouteObject
from switchyard_gateway.control.errors import RouteRefusedError

STABLE_POD = Endpoint("10.0.0.1", 3000)
CANDIDATE_POD = Endpoint("10.0.0.2", 3000)
PODS = {("flights", "delay-1"): (STABLE_POD,), ("flights", "delay-2"): (CANDIDATE_POD,)}


def stable(**changes) -> Route:
    said = {
        "revision": "delay-1",
        "version": "1.0.0",
        "role": RouteRole.STABLE,
        "weight_bp": 9_500,
        "service": "delay-1",
    }
    return Route(**{**said, "port": 3000, **changes})


def candidate(**changes) -> Route:
    said = {
        "revision": "delay-2",
        "version": "2.0.0",
        "role": RouteRole.CANDIDATE,
        "weight_bp": 500,
        "service": "delay-2",
    }
    return Route(**{**said, "port": 3000, **changes})


def a_route(*routes: Route, generation: int = 7, **spec) -> RouteObject:
    """A canary at 5 %; each test says only what differs."""
    said = {"paths": ["/predict"], "timeout": timedelta(seconds=10), "routes": [*routes] or [stable(), candidate()]}
    return RouteObject("flights", "delay", generation, ModelRouteSpec(**{**said, **spec}))


def translated(route: RouteObject, pods=PODS, **options):
    return translate(route, lambda service: pods.get(service, ()), **{"domain": "models.test", **options})


def members(fragment, cluster):
    found = next(each for each in fragment.assignments if each.cluster == cluster)
    return found.first, found.second


def test_a_canary_splits_with_stable_first_and_stamps_each_arm():
    assert translated(a_route(candidate(), stable())).routing.arms == (
        Arm("flights/delay-1/only", 9_500, "flights/delay|delay-1|1.0.0|stable|7|9500|split"),
        Arm("flights/delay-2", 500, "flights/delay|delay-2|2.0.0|candidate|7|500|split"),
    )


def test_every_revision_can_be_pinned_as_a_preview_without_failover():
    assert translated(a_route()).routing.pins == (
        Pin("delay-1", "flights/delay-1/only", "flights/delay|delay-1|1.0.0|preview|7|0|pinned"),
        Pin("delay-2", "flights/delay-2/only", "flights/delay|delay-2|2.0.0|preview|7|0|pinned"),
    )


def test_each_revision_has_a_cluster_that_fails_over_and_one_that_does_not():
    assert set(translated(a_route()).clusters) == {
        Cluster("flights/delay-1", failover=True),
        Cluster("flights/delay-1/only", failover=False),
        Cluster("flights/delay-2", failover=True),
        Cluster("flights/delay-2/only", failover=False),
    }


def test_the_candidates_endpoints_are_backed_by_stables_and_say_whose_they_are():
    one, two = Member("10.0.0.1", 3000, "delay-1", "1.0.0"), Member("10.0.0.2", 3000, "delay-2", "2.0.0")
    fragment = translated(a_route())
    assert members(fragment, "flights/delay-2") == ((two,), (one,))
    assert members(fragment, "flights/delay-2/only") == ((two,), ())
    assert members(fragment, "flights/delay-1/only") == ((one,), ())


def test_a_revision_at_weight_nought_is_out_of_the_split_but_can_be_pinned():
    fragment = translated(a_route(stable(weight_bp=10_000), candidate(weight_bp=0)))
    assert [arm.cluster for arm in fragment.routing.arms] == ["flights/delay-1/only"]
    assert [pin.revision for pin in fragment.routing.pins] == ["delay-1", "delay-2"]


def test_all_traffic_to_the_candidate_still_fails_over_to_stable():
    fragment = translated(a_route(stable(weight_bp=0), candidate(weight_bp=10_000)))
    assert [(arm.cluster, arm.weight) for arm in fragment.routing.arms] == [("flights/delay-2", 10_000)]
    assert members(fragment, "flights/delay-2")[1] != ()


def test_draining_pods_leave_first():
    pods = {**PODS, ("flights", "delay-2"): (CANDIDATE_POD, Endpoint("10.0.0.9", 3000, Fitness.DRAINING))}
    own, _ = members(translated(a_route(), pods), "flights/delay-2")
    assert [member.address for member in own] == ["10.0.0.2"]


def test_a_candidate_with_only_draining_pods_is_left_to_stable():
    pods = {**PODS, ("flights", "delay-2"): (Endpoint("10.0.0.9", 3000, Fitness.DRAINING),)}
    own, spare = members(translated(a_route(), pods), "flights/delay-2")
    assert (own, [member.revision for member in spare]) == ((), ["delay-1"])


def test_stable_with_only_draining_pods_falls_back_on_them():
    pods = {**PODS, ("flights", "delay-1"): (Endpoint("10.0.0.9", 3000, Fitness.DRAINING),)}
    own, _ = members(translated(a_route(), pods), "flights/delay-1/only")
    assert [member.address for member in own] == ["10.0.0.9"]


def test_stable_with_only_unready_pods_falls_back_on_them_and_a_candidate_does_not():
    tired = (Endpoint("10.0.0.9", 3000, Fitness.UNREADY),)
    fragment = translated(a_route(), dict.fromkeys(PODS, tired))
    assert [member.address for member in members(fragment, "flights/delay-1/only")[0]] == ["10.0.0.9"]
    own, spare = members(fragment, "flights/delay-2")
    assert (own, [member.revision for member in spare]) == ((), ["delay-1"])


def test_an_unready_pod_gets_nothing_while_another_is_ready_or_draining():
    tired, leaving = Endpoint("10.0.0.9", 3000, Fitness.UNREADY), Endpoint("10.0.0.8", 3000, Fitness.DRAINING)
    for better in (STABLE_POD, leaving):
        fragment = translated(a_route(), {**PODS, ("flights", "delay-1"): (better, tired)})
        assert [member.address for member in members(fragment, "flights/delay-1/only")[0]] == [better.address]


def test_the_address_is_a_path_and_a_host():
    routing = translated(a_route(paths=["/predict", "/a/b", "/predict"], timeout=timedelta(milliseconds=1500))).routing
    assert (routing.prefix, routing.host) == ("/flights/delay", "delay.flights.models.test")
    assert (routing.paths, routing.timeout_ms) == (("/predict", "/a/b"), 1_500)


def test_without_a_domain_there_is_no_host():
    assert translated(a_route(), domain="").routing.host == ""


def test_where_previews_are_switched_off_nothing_can_be_pinned():
    assert translated(a_route(), preview=False).routing.pins == ()


def test_a_change_of_pods_changes_endpoints_and_nothing_else():
    before, after = translated(a_route()), translated(a_route(), {**PODS, ("flights", "delay-2"): ()})
    assert before.routing == after.routing
    assert before.clusters == after.clusters
    assert before.assignments != after.assignments


def test_a_new_weight_changes_routes_and_nothing_else():
    before = translated(a_route())
    after = translated(a_route(stable(weight_bp=5_000), candidate(weight_bp=5_000), generation=8))
    assert before.routing != after.routing
    assert before.clusters == after.clusters
    assert before.assignments == after.assignments


@pytest.mark.parametrize(
    ("route", "words"),
    [
        pytest.param(
            a_route(stable(version="1|0"), candidate()), "spec.routes[0].version", id="a bar would break the stamp"
        ),
        pytest.param(
            a_route(stable(), candidate(version="2\n")), "spec.routes[1].version", id="a line break in a version"
        ),
        pytest.param(
            a_route(stable(), candidate(version="２.0")), "spec.routes[1].version", id="a version that is not ASCII"
        ),
        pytest.param(
            a_route(stable(), candidate(revision="other-2")), "spec.routes[1].revision", id="another's revision"
        ),
        pytest.param(
            a_route(stable(), candidate(revision="delay-x-2")), "not a revision of 'delay'", id="a longer name's"
        ),
        pytest.param(a_route(stable(), candidate(revision="delay-1")), "named twice", id="one revision twice"),
        pytest.param(a_route(paths=["/a/../metrics"]), "spec.paths[0]", id="a path that climbs"),
        pytest.param(a_route(paths=["/ok", "/a//b"]), "spec.paths[1]", id="a path that is never matched"),
        pytest.param(a_route(timeout=timedelta(0)), "spec.timeout", id="no timeout at all"),
        pytest.param(
            RouteObject("flights", "delay", 7, None, "spec.new: unknown"), "spec.new", id="an unreadable spec"
        ),
    ],
)
def test_what_no_gateway_could_serve_is_refused_by_name(route, words):
    with pytest.raises(RouteRefusedError) as refused:
        translated(route)
    assert words in str(refused.value)


def shadow(**changes) -> Route:
    said = {"revision": "delay-3", "version": "3.0.0", "role": RouteRole.SHADOW, "weight_bp": 0, "service": "delay-3"}
    return Route(**{**said, "port": 3000, **changes})


def test_a_mirrored_candidate_is_asked_without_failover_and_stamped_as_a_shadow():
    fragment = translated(a_route(stable(), candidate(mirror_bp=9_500)), mirror_port=8090)
    (mirror,) = fragment.routing.mirrors
    assert mirror == Mirror(
        door="flights/delay-2/mirror",
        cluster="flights/delay-2/only",
        share=9_500,
        stamp="flights/delay|delay-2|2.0.0|shadow|7|9500|split",
    )
    assert {mirror.door, mirror.cluster} <= fragment.routing.clusters
    assert Cluster("flights/delay-2/mirror", failover=False, places=32) in fragment.clusters
    assert members(fragment, "flights/delay-2/mirror") == ((Member("127.0.0.1", 8090, "delay-2", "2.0.0"),), ())


def test_mirrors_are_reached_where_nothing_can_be_pinned_too():
    fragment = translated(a_route(stable(), candidate(mirror_bp=1)), preview=False)
    assert "flights/delay-2/only" in fragment.routing.clusters


def test_each_mirrored_revision_has_a_door_of_its_own():
    fragment = translated(a_route(stable(), candidate(mirror_bp=500), shadow(mirror_bp=9_500)))
    assert [(each.door, each.share) for each in fragment.routing.mirrors] == [
        ("flights/delay-2/mirror", 500),
        ("flights/delay-3/mirror", 9_500),
    ]


def test_without_a_mirror_there_is_nothing_of_it():
    fragment = translated(a_route())
    assert fragment.routing.mirrors == ()
    assert all("mirror" not in each.name and not each.places for each in fragment.clusters)
    assert {each.cluster for each in fragment.assignments} == {each.name for each in fragment.clusters}


def test_another_share_changes_routes_and_nothing_else():
    before = translated(a_route(stable(), candidate(mirror_bp=500)))
    after = translated(a_route(stable(), candidate(mirror_bp=9_500), generation=8))
    assert before.routing != after.routing
    assert (before.clusters, before.assignments) == (after.clusters, after.assignments)


def test_a_shadows_own_sample_is_a_part_of_all_that_is_stables():
    (mirror,) = translated(a_route(stable(), candidate(), shadow(sample_bp=1_000))).routing.mirrors
    assert mirror == Mirror(
        door="flights/delay-3/mirror",
        cluster="flights/delay-3/only",
        share=9_500,
        stamp="flights/delay|delay-3|3.0.0|shadow|7|950|split",
        sample=Sample(0, 1_000, key_of("flights/delay-3/sample")),
    )


def test_a_shadow_that_takes_everything_has_nothing_to_draw():
    (mirror,) = translated(a_route(stable(), candidate(), shadow(sample_bp=10_000))).routing.mirrors
    assert (mirror.share, mirror.sample) == (9_500, None)
    assert mirror.stamp.endswith("|9500|split")


def test_the_smallest_sample_is_stamped_with_something():
    (mirror,) = translated(
        a_route(stable(weight_bp=500), candidate(weight_bp=9_500), shadow(sample_bp=1))
    ).routing.mirrors
    assert mirror.stamp.endswith("|shadow|7|1|split")


def test_beside_a_sticky_split_a_sample_is_one_of_all_requests_of_stables_own_route():
    routes = stable(), candidate(mirror_bp=500), shadow(sample_bp=1_000)
    draw = translated(a_route(*routes, split=STICKY)).routing.draw
    assert draw is not None
    mine, stables = draw.ranges
    assert mine.mirrors == ()
    assert [(each.share, each.of, each.sample is None) for each in stables.mirrors] == [
        (52_632, 1_000_000, True),
        (1_000_000, 1_000_000, False),
    ]


@given(shares=st.tuples(*[st.sampled_from([500, 1_000, 3_000, 5_000])] * 2), salt=st.integers(0, 10**6))
@settings(max_examples=20, deadline=None)
def test_samples_know_nothing_of_each_other(shares, salt):
    routes = (
        stable(),
        candidate(),
        shadow(sample_bp=shares[0]),
        shadow(revision="delay-4", service="delay-4", sample_bp=shares[1]),
    )
    samples = [each.sample for each in translated(a_route(*routes)).routing.mirrors]
    number = 8_000
    ids = [f"{salt}-{each}".encode() for each in range(number)]
    drawn = [{each for each in ids if half_sip_hash(each, key=one.key) % 10_000 < one.share} for one in samples]
    both = shares[0] * shares[1] / 10_000**2
    for found, share in (*zip(drawn, (each / 10_000 for each in shares), strict=True), (drawn[0] & drawn[1], both)):
        assert abs(len(found) - number * share) <= 5 * (number * share * (1 - share)) ** 0.5


def arm_and_mirrors(routing, drawn: int) -> tuple[str, list[str]]:
    """What Envoy does with a request for which it drew this number: the first range that it falls into answers."""
    end = 0
    for arm in routing.arms:
        end += arm.weight
        if drawn < end:
            return arm.cluster, [mirror.cluster for mirror in routing.mirrors if drawn < mirror.share]
    raise AssertionError(f"{drawn} falls into no arm of {routing.arms}")


@settings(max_examples=40, deadline=None)
@given(data=st.data(), weight=st.integers(0, 10_000))
def test_only_stables_requests_are_mirrored_whatever_the_weights(data, weight):
    shares = data.draw(st.tuples(*[st.integers(0, 10_000 - weight)] * 2))
    routes = [
        stable(weight_bp=10_000 - weight),
        candidate(weight_bp=weight, mirror_bp=shares[0]),
        shadow(mirror_bp=shares[1]),
    ]
    routing = translated(a_route(*data.draw(st.permutations(routes)))).routing
    sent: Counter[str] = Counter()
    for drawn in range(10_000):
        arm, mirrors = arm_and_mirrors(routing, drawn)
        assert arm == "flights/delay-1/only" or not mirrors
        sent.update(mirrors)
    assert (sent["flights/delay-2/only"], sent["flights/delay-3/only"]) == shares


@given(weight=st.integers(0, 10_000), first=st.booleans())
def test_weights_always_sum_to_the_whole_and_none_is_nought(weight, first):
    routes = [stable(weight_bp=10_000 - weight), candidate(weight_bp=weight)]
    arms = translated(a_route(*(routes if first else reversed(routes)))).routing.arms
    assert sum(arm.weight for arm in arms) == 10_000
    assert all(arm.weight for arm in arms)
    assert "|stable|" in arms[0].stamp or weight == 10_000


STICKY = Split(by="header", name="X-User-Id", salt="flights/delay-2.1")


def drawn(weight: int, *, split: Split = STICKY, mirror: int = 0) -> Draw:
    """A sticky canary at this weight."""
    routes = stable(weight_bp=10_000 - weight), candidate(weight_bp=weight, mirror_bp=mirror)
    draw = translated(a_route(*routes, split=split)).routing.draw
    assert draw is not None
    return draw


def test_a_sticky_split_gives_each_arm_a_range_of_buckets_and_an_unfinished_stamp():
    draw = drawn(500)
    assert (draw.by, draw.name, draw.key) == ("header", "x-user-id", key_of("flights/delay-2.1"))
    assert draw.ranges == (
        Range(0, 500, "flights/delay-2", "flights/delay|delay-2|2.0.0|candidate|7|500|"),
        Range(500, 10_000, "flights/delay-1/only", "flights/delay|delay-1|1.0.0|stable|7|9500|"),
    )


def test_without_a_split_nothing_is_drawn():
    assert translated(a_route()).routing.draw is None


def test_a_cookies_name_keeps_its_capitals():
    assert drawn(500, split=Split(by="cookie", name="Session_ID", salt="s")).name == "Session_ID"


def test_of_a_sticky_split_only_stables_range_is_mirrored_by_its_own_share():
    mine, stables = drawn(2_500, mirror=3_000).ranges
    assert mine.mirrors == ()
    (mirror,) = stables.mirrors
    assert (mirror.share, mirror.of) == (400_000, 1_000_000)
    assert mirror.stamp == "flights/delay|delay-2|2.0.0|shadow|7|3000|split"


RangesOf = Callable[[int], tuple[Range, ...]]


def arms_of(ranges: tuple[Range, ...]) -> list[str]:
    """Each bucket's arm."""
    return [each.cluster for each in ranges for _ in range(each.first, each.end)]


def nobody_leaves(ranges_of: RangesOf, low: int, high: int) -> None:
    """The law: every bucket has one arm, as many as its weight, and a rising weight only moves buckets into it."""
    before, after = arms_of(ranges_of(low)), arms_of(ranges_of(high))
    assert len(before) == len(after) == 10_000
    assert (before.count("flights/delay-2"), after.count("flights/delay-2")) == (low, high)
    for was, now in zip(before, after, strict=True):
        assert now == was or now == "flights/delay-2"


@given(st.integers(0, 10_000), st.integers(0, 10_000))
@settings(max_examples=30, deadline=None)
def test_a_rising_weight_only_moves_users_into_the_candidate(one, other):
    nobody_leaves(lambda weight: drawn(weight).ranges, *sorted((one, other)))


def test_with_the_candidates_buckets_elsewhere_users_would_leave_it():
    """The law must be able to fail: a range that begins elsewhere at each weight lets go of its first users."""

    def wandering(weight: int) -> tuple[Range, ...]:
        mine, stables = drawn(weight).ranges
        first = weight // 2
        left = replace(stables, first=0, end=first)
        return left, replace(mine, first=first, end=first + weight), replace(stables, first=first + weight)

    with pytest.raises(AssertionError):
        nobody_leaves(wandering, 500, 2_500)
