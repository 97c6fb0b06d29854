"""What the values become in Envoy's words: the table as Envoy would read it."""

from __future__ import annotations

import pytest
from envoy.config.cluster.v3 import cluster_pb2
from envoy.config.core.v3 import base_pb2
from envoy.config.endpoint.v3 import endpoint_pb2
from envoy.config.route.v3 import route_components_pb2, route_pb2
from envoy.extensions.filters.http.lua.v3 import lua_pb2
from envoy.type.v3 import percent_pb2
from switchyard_gateway.control.adapters import protobuf
from switchyard_gateway.control.domain.delivery import MIRROR, PRODUCT, Kind, RouteTable, Send
from switchyard_gateway.control.domain.fragment import (
    Arm,
    Assignment,
    Cluster,
    Draw,
    Member,
    Mirror,
    Pin,
    Range,
    Routing,
    Sample,
)


def routing(name: str = "delay", **changes) -> Routing:
    said = {
        "deployment": f"flights/{name}",
        "generation": 7,
        "host": f"{name}.flights.models.test",
        "prefix": f"/flights/{name}",
        "paths": ("/predict",),
        "timeout_ms": 1_500,
        "arms": (Arm("flights/delay-1/only", 9_500, "stable's"), Arm("flights/delay-2", 500, "100% candidate's")),
        "pins": (Pin("delay-1", "flights/delay-1/only", "pinned"),),
    }
    return Routing(**{**said, **changes})


def table(*routings: Routing, name: str = PRODUCT) -> route_pb2.RouteConfiguration:
    return route_pb2.RouteConfiguration.FromString(protobuf.route_table(RouteTable(name, routings)))


def branches(host) -> dict[str, list[route_components_pb2.Route]]:
    """The lists of routes behind each prefix of the tree."""
    tree = host.matcher.on_no_match.matcher.matcher_tree.prefix_match_map.map
    found = {}
    for prefix, branch in tree.items():
        routes = route_components_pb2.RouteList()
        assert branch.action.typed_config.Unpack(routes)
        found[prefix] = [*routes.routes]
    return found


def routes_of(host) -> list[route_components_pb2.Route]:
    return [route for found in branches(host).values() for route in found]


def paths(host) -> list[str]:
    return [route.match.path for route in routes_of(host) if route.match.path]


def split(host):
    return next(route for route in routes_of(host) if route.route.HasField("weighted_clusters"))


def test_a_deployment_answers_under_its_path_and_under_its_host():
    by_path, by_host = table(routing()).virtual_hosts
    assert (by_path.name, [*by_path.domains]) == ("by-path", ["*"])
    assert [*by_host.domains] == ["*.models.test"]
    assert {*branches(by_host)} == {"delay.flights.models.test"}
    assert set(paths(by_path)) == {"/flights/delay/predict"}
    assert set(paths(by_host)) == {"/predict"}
    assert split(by_path).route.prefix_rewrite == "/predict"


def test_the_split_is_exact_stamped_and_timed():
    route = split(table(routing()).virtual_hosts[0])
    arms = route.route.weighted_clusters.clusters
    assert [(arm.name, arm.weight.value) for arm in arms] == [("flights/delay-1/only", 9_500), ("flights/delay-2", 500)]
    assert [arm.request_headers_to_add[0].header.key for arm in arms] == ["x-switchyard-stamp"] * 2
    assert route.route.timeout.ToMilliseconds() == 1_500


def test_a_per_cent_sign_in_a_stamp_stands_for_itself():
    arms = split(table(routing()).virtual_hosts[0]).route.weighted_clusters.clusters
    assert arms[1].request_headers_to_add[0].header.value == "100%% candidate's"


def test_credentials_and_the_preview_header_stay_in_envoy():
    whole = table(routing())
    removed = {*whole.request_headers_to_remove, *split(whole.virtual_hosts[0]).request_headers_to_remove}
    assert {"authorization", "cookie", "proxy-authorization", "x-switchyard-revision"} <= removed


def test_only_a_failed_connection_is_tried_again():
    assert {host.retry_policy.retry_on for host in table(routing()).virtual_hosts} == {"connect-failure"}


def test_feedback_keeps_its_credentials_and_is_never_captured():
    whole = table(routing())
    for host in whole.virtual_hosts:
        first = next(route for route in routes_of(host) if route.match.prefix == "/-/feedback/v1/")
        assert first.route.cluster == "feedback"
        assert first.route.prefix_rewrite == "/v1/"
        assert "authorization" not in whole.request_headers_to_remove
        assert "authorization" not in first.request_headers_to_remove
        assert "envoy.filters.http.lua" in first.typed_per_filter_config


def test_many_deployments_share_one_table_and_the_last_word_is_404():
    read = table(routing("a"), routing("b"), routing("c", host=""))
    assert [host.name for host in read.virtual_hosts] == ["by-path", "by-host models.test"]
    assert {*branches(read.virtual_hosts[1])} == {"a.flights.models.test", "b.flights.models.test"}
    assert {*paths(read.virtual_hosts[0])} == {f"/flights/{name}/predict" for name in "abc"}
    tree = branches(read.virtual_hosts[0])
    assert {*tree} == {"/", "/-/feedback/v1/", "/flights/a/", "/flights/b/", "/flights/c/"}
    assert {found[-1].direct_response.status for prefix, found in tree.items() if prefix != "/-/feedback/v1/"} == {404}


def test_an_empty_table_answers_everything_with_404():
    (host,) = table().virtual_hosts
    assert branches(host)["/"][0].direct_response.status == 404


MIRRORED = Mirror("flights/delay-2/mirror", "flights/delay-2/only", 9_500, "100% shadow's")


def test_a_mirror_is_drawn_in_ten_thousandths_from_the_splits_number():
    (policy,) = split(table(routing(mirrors=(MIRRORED,))).virtual_hosts[0]).route.request_mirror_policies
    assert policy.cluster == "flights/delay-2/mirror"
    share = policy.runtime_fraction
    assert (share.default_value.numerator, share.runtime_key) == (9_500, "")
    assert share.default_value.denominator == percent_pb2.FractionalPercent.TEN_THOUSAND
    assert policy.disable_shadow_host_suffix_append


def test_a_mirrored_request_says_itself_who_answers_it_and_until_when():
    (policy,) = split(table(routing(mirrors=(MIRRORED,))).virtual_hosts[0]).route.request_mirror_policies
    said = {each.append.header.key: each.append.header.value for each in policy.request_headers_mutations}
    assert said == {
        "x-switchyard-stamp": "100%% shadow's",
        "x-switchyard-shadow": "true",
        "x-switchyard-mirror-cluster": "flights/delay-2/only",
        "x-switchyard-mirror-timeout-ms": "1500",
        "x-envoy-upstream-rq-timeout-ms": "2500",
    }
    assert {each.append.append_action for each in policy.request_headers_mutations} == {
        base_pb2.HeaderValueOption.OVERWRITE_IF_EXISTS_OR_ADD
    }


def test_previews_are_not_mirrored():
    for host in table(routing(mirrors=(MIRRORED,))).virtual_hosts:
        mirrored = [route for route in routes_of(host) if route.route.request_mirror_policies]
        assert [route.route.HasField("weighted_clusters") for route in mirrored] == [True]


def test_the_mirrors_table_is_the_same_whoever_is_mirrored_asks_once_and_turns_others_away():
    (host,) = table(name=MIRROR).virtual_hosts
    assert table(routing(mirrors=(MIRRORED,)), name=MIRROR).virtual_hosts == [host]
    mirrored, others = host.routes
    assert mirrored.route.cluster_header == "x-switchyard-mirror-cluster"
    assert [each.name for each in mirrored.match.headers] == ["x-switchyard-mirror-cluster"]
    assert not mirrored.route.HasField("retry_policy")
    assert not host.HasField("retry_policy")
    assert others.direct_response.status == 404


def test_places_bound_requests_and_never_connections():
    read = cluster_pb2.Cluster.FromString(protobuf.cluster(Cluster("ns/a-1/mirror", failover=False, places=32)))
    (limits,) = read.circuit_breakers.thresholds
    assert (limits.max_requests.value, limits.max_connections.value) == (32, 1_000_000)


def test_where_nothing_can_be_pinned_the_header_is_forbidden():
    (by_path, _) = table(routing(pins=())).virtual_hosts
    asked = [
        route for route in routes_of(by_path) if any(h.name == "x-switchyard-revision" for h in route.match.headers)
    ]
    assert {route.direct_response.status for route in asked} == {403}


@pytest.mark.parametrize("failover", [True, False])
def test_a_cluster_is_never_full_never_panics_and_closes_before_the_server_does(failover):
    read = cluster_pb2.Cluster.FromString(protobuf.cluster(Cluster("ns/a-1", failover=failover)))
    assert read.common_lb_config.HasField("healthy_panic_threshold")
    assert read.common_lb_config.healthy_panic_threshold.value == 0
    assert read.circuit_breakers.thresholds[0].max_requests.value == 1_000_000
    assert read.outlier_detection.enforcing_consecutive_5xx.value == 0
    assert read.outlier_detection.split_external_local_origin_errors
    assert read.outlier_detection.always_eject_one_host.value is failover


def test_endpoints_say_whose_they_are_and_stable_stands_behind():
    own, spare = Member("10.0.0.2", 3000, "a-2", "2.0.0"), Member("10.0.0.1", 3000, "a-1", "1.0.0")
    encoded = protobuf.assignment(Assignment("ns/a-2", "ns/a", (own,), (spare,)))
    read = endpoint_pb2.ClusterLoadAssignment.FromString(encoded)
    said = [
        (group.priority, group.lb_endpoints[0].metadata.filter_metadata["switchyard"]["revision"])
        for group in read.endpoints
    ]
    assert said == [(0, "a-2"), (1, "a-1")]


def test_the_same_value_gives_the_same_version_and_another_another():
    def version(*routings: Routing) -> str:
        return protobuf.response(Send(Kind.ROUTES, "1", (RouteTable(PRODUCT, routings),))).resources[0].version

    assert version(routing()) == version(routing())
    assert version(routing()) != version(routing(generation=8, arms=(Arm("flights/delay-1/only", 10_000, "other"),)))


def test_a_long_list_of_paths_fits_envoys_limit_of_a_direct_response():
    many = tuple(f"/{'p' * 200}{number}" for number in range(32))
    for host in table(routing(paths=many)).virtual_hosts:
        for route in routes_of(host):
            assert len(route.direct_response.body.inline_string.encode()) <= 4_096


DRAW = Draw(
    "header",
    "x-user-id",
    (7, 4_000_000_000),
    (
        Range(0, 500, "flights/delay-2", "100% candidate's|"),
        Range(500, 10_000, "flights/delay-1/only", "stable's|", (Mirror("d", "c", 400_000, "shadow's", 1_000_000),)),
    ),
)


def lua(route) -> lua_pb2.LuaPerRoute | None:
    """The script that a route names, if any."""
    if protobuf.LUA not in route.typed_per_filter_config:
        return None
    return lua_pb2.LuaPerRoute.FromString(route.typed_per_filter_config[protobuf.LUA].value)


def test_a_sticky_splits_arms_come_before_the_route_that_draws():
    for host in table(routing(draw=DRAW)).virtual_hosts:
        found = [route for route in routes_of(host) if route.match.path and route.HasField("route")][-3:]
        ranges = [
            [(each.name, each.range_match.start, each.range_match.end) for each in r.match.headers] for r in found
        ]
        assert ranges == [[(protobuf.BUCKET, 0, 500)], [(protobuf.BUCKET, 500, 10_000)], []]
        assert [route.route.cluster for route in found[:2]] == ["flights/delay-2", "flights/delay-1/only"]
        stamps = [route.request_headers_to_add[0].header.value for route in found[:2]]
        assert stamps == [f"100%% candidate's|{protobuf.DRAWN}", f"stable's|{protobuf.DRAWN}"]
        assert all(protobuf.BUCKET in route.request_headers_to_remove for route in found[:2])
        assert [len(route.route.request_mirror_policies) for route in found[:2]] == [0, 1]
        fraction = found[1].route.request_mirror_policies[0].runtime_fraction.default_value
        assert (fraction.numerator, fraction.denominator) == (400_000, percent_pb2.FractionalPercent.MILLION)
        assert found[2].route.HasField("weighted_clusters")
        script = lua(found[2])
        assert script is not None
        assert script.name == "draws"
        assert dict(script.filter_context) == {"by": "header", "name": "x-user-id", "k0": 7, "k1": 4_000_000_000}
        assert [lua(route) for route in found[:2]] == [None, None]


def test_a_route_without_a_sticky_split_names_no_script_so_that_it_costs_what_it_did():
    for host in table(routing()).virtual_hosts:
        assert [lua(route) for route in routes_of(host) if route.match.path] == [None] * len(paths(host))
        assert split(host).match.headers == []


SAMPLED = Mirror("flights/delay-3/mirror", "flights/delay-3/only", 9_500, "shadow's", sample=Sample(1, 250, (5, 6)))


def test_a_sample_is_drawn_by_the_script_and_mirrored_where_that_says():
    for host in table(routing(mirrors=(MIRRORED, SAMPLED))).virtual_hosts:
        route = split(host)
        plain, drawn = route.route.request_mirror_policies
        assert (plain.cluster, plain.cluster_header) == ("flights/delay-2/mirror", "")
        assert (drawn.cluster, drawn.cluster_header) == ("", "x-switchyard-sample-1")
        assert drawn.runtime_fraction.default_value.numerator == 9_500
        script = lua(route)
        assert script is not None
        assert script.name == "draws"
        (said,) = script.filter_context["samples"]
        assert dict(said) == {
            "header": "x-switchyard-sample-1",
            "door": "flights/delay-3/mirror",
            "share": 250,
            "k0": 5,
            "k1": 6,
        }


def test_a_mirror_that_takes_everything_costs_no_script():
    for host in table(routing(mirrors=(MIRRORED,))).virtual_hosts:
        assert lua(split(host)) is None


def test_what_is_said_of_samples_ends_at_the_mirror_listener():
    (host,) = table(name=MIRROR).virtual_hosts
    assert {f"x-switchyard-sample-{number}" for number in range(8)} <= {*host.routes[0].request_headers_to_remove}
