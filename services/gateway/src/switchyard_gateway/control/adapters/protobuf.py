"""A fragment's values in Envoy's own words (protobuf). What a field means to Envoy stands here and nowhere else.

Each resource is encoded once and kept as bytes as long as its value is the same, so a change of one deployment among a
thousand costs the encoding of one.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import Any

from envoy.config.cluster.v3 import circuit_breaker_pb2, cluster_pb2, outlier_detection_pb2
from envoy.config.common.mutation_rules.v3 import mutation_rules_pb2
from envoy.config.core.v3 import address_pb2, base_pb2, config_source_pb2, protocol_pb2
from envoy.config.endpoint.v3 import endpoint_components_pb2, endpoint_pb2
from envoy.config.route.v3 import route_components_pb2, route_pb2
from envoy.extensions.filters.http.lua.v3 import lua_pb2
from envoy.extensions.retry.host.previous_hosts.v3 import previous_hosts_pb2
from envoy.extensions.retry.priority.previous_priorities.v3 import previous_priorities_config_pb2
from envoy.extensions.upstreams.http.v3 import http_protocol_options_pb2
from envoy.service.discovery.v3 import discovery_pb2
from envoy.type.matcher.v3 import http_inputs_pb2, string_pb2
from envoy.type.v3 import percent_pb2, range_pb2
from google.protobuf import any_pb2, duration_pb2, struct_pb2, wrappers_pb2
from switchyard_contracts.events import PREDICTION_ID_PATTERN
from switchyard_contracts.model_route import MOST_ROUTES
from xds.core.v3 import extension_pb2
from xds.type.matcher.v3 import matcher_pb2
from xds.type.matcher.v3 import regex_pb2 as xds_regex_pb2
from xds.type.matcher.v3 import string_pb2 as xds_string_pb2

from switchyard_gateway.control.domain.delivery import MIRROR, Kind, Resource, RouteTable, Send
from switchyard_gateway.control.domain.fragment import Assignment, Cluster, Member, Mirror, Range, Routing, Sample

TYPE_URLS: Mapping[Kind, str] = {
    Kind.CLUSTERS: "type.googleapis.com/envoy.config.cluster.v3.Cluster",
    Kind.ENDPOINTS: "type.googleapis.com/envoy.config.endpoint.v3.ClusterLoadAssignment",
    Kind.ROUTES: "type.googleapis.com/envoy.config.route.v3.RouteConfiguration",
}
KINDS: Mapping[str, Kind] = {url: kind for kind, url in TYPE_URLS.items()}

PREDICTION_ID = "x-prediction-id"
REVISION = "x-switchyard-revision"
STAMP = "x-switchyard-stamp"
SHADOW = "x-switchyard-shadow"
"""`true` on every mirrored request and on no other: by it a model knows that nobody waits for the answer."""
MIRROR_CLUSTER = "x-switchyard-mirror-cluster"
"""Who answers a mirrored request; the mirror listener's only route obeys it."""
MIRROR_TIMEOUT = "x-switchyard-mirror-timeout-ms"
"""How long it may take there; the bootstrap makes it the mirror listener's own timeout."""
REQUEST_TIMEOUT = "x-envoy-upstream-rq-timeout-ms"
MINTED = "%START_TIME(%s%3f)%-%REQ(X-REQUEST-ID)%"
"""Ids in order of time, from what Envoy already knows of the request."""
ANSWERED_BY = "%UPSTREAM_METADATA(switchyard:revision)%"
ANSWERED_VERSION = "%UPSTREAM_METADATA(switchyard:version)%"
METADATA = "switchyard"
FEEDBACK = "feedback"
"""The bootstrap's own cluster."""
FEEDBACK_PREFIX = "/-/feedback/v1/"
"""Its metrics and its own description stay inside the cluster."""
LUA = "envoy.filters.http.lua"
DRAWING_SCRIPT = "draws"
"""The bootstrap's script for routes on which something is drawn (draws.lua), which captures as the other one does."""
BUCKET = "x-switchyard-bucket"
"""What it finds out. The product listener takes it from whoever brings it along."""
SAMPLE = "x-switchyard-sample-"
"""With a number: on a request that a sample has drawn, and names the cluster it is mirrored to. The router looks for it
when the request is on its way, so stable's model sees it, as it sees the stamp; nobody else does."""
SAMPLES = tuple(f"{SAMPLE}{number}" for number in range(MOST_ROUTES))
DRAWN = "%DYNAMIC_METADATA(switchyard.split:drawn)%"
"""The end of a stamp, as the script says it: `sticky|<bucket>`, or `split|<bucket>` where a request names no user."""

NEVER_FULL = 1_000_000
"""Circuit breakers of primaries stand out of the way: their default of 1,024 would answer 503 at the first rush."""
CONNECT_TIMEOUT = 1.0
IDLE_TIMEOUT = 3.0
"""Shorter than the 5 s after which a model's server closes an idle connection: it never closes one we just took up."""
RETRIES = 3
DOORS_IDLE_TIMEOUT = 60.0
"""Shorter than the mirror listener's, so that it never closes a connection that we just took up."""
MIRROR_GRACE_MS = 1_000
"""How much longer than its timeout a mirrored request is waited for: the mirror listener is the one that gives up, and
writes down that the revision did not answer."""
MIRROR_TIMEOUT_BY_DEFAULT = 15.0
"""Of a mirrored request that brings none, which none of ours is."""
DETAIL_LIMIT = 1_000

DENOMINATORS = {
    10_000: percent_pb2.FractionalPercent.TEN_THOUSAND,
    1_000_000: percent_pb2.FractionalPercent.MILLION,
}
OVERWRITE = base_pb2.HeaderValueOption.OVERWRITE_IF_EXISTS_OR_ADD
IF_ABSENT = base_pb2.HeaderValueOption.ADD_IF_ABSENT


def response(send: Send) -> discovery_pb2.DeltaDiscoveryResponse:
    """One response of the xDS stream."""
    return discovery_pb2.DeltaDiscoveryResponse(
        type_url=TYPE_URLS[send.kind],
        nonce=send.nonce,
        resources=[_resource(send.kind, each) for each in send.put],
        removed_resources=send.remove,
    )


def _resource(kind: Kind, resource: Resource) -> discovery_pb2.Resource:
    match resource:
        case Cluster(name=name):
            value = cluster(resource)
        case Assignment(cluster=name):
            value = assignment(resource)
        case RouteTable(name=name):
            value = route_table(resource)
    return discovery_pb2.Resource(
        name=name,
        version=hashlib.sha256(value).hexdigest()[:16],
        resource=any_pb2.Any(type_url=TYPE_URLS[kind], value=value),
    )


@lru_cache(maxsize=16_384)
def cluster(wanted: Cluster) -> bytes:
    """A revision's cluster: its endpoints come by EDS, and dead ones are left out at once.

    Where places are bounded, requests are, and connections are not: a request that found no connection would wait for
    one, unseen, until it is given up. So each is on its way at once, or turned away and counted.
    """
    places = wanted.places or NEVER_FULL
    limits = {
        "max_connections": wrappers_pb2.UInt32Value(value=NEVER_FULL),
        "max_pending_requests": wrappers_pb2.UInt32Value(value=places),
        "max_requests": wrappers_pb2.UInt32Value(value=places),
        "max_retries": wrappers_pb2.UInt32Value(value=NEVER_FULL),
    }
    idle_timeout = DOORS_IDLE_TIMEOUT if wanted.places else IDLE_TIMEOUT
    protocol = http_protocol_options_pb2.HttpProtocolOptions(
        common_http_protocol_options=protocol_pb2.HttpProtocolOptions(idle_timeout=_duration(idle_timeout)),
        explicit_http_config=http_protocol_options_pb2.HttpProtocolOptions.ExplicitHttpConfig(
            http_protocol_options=protocol_pb2.Http1ProtocolOptions()
        ),
    )
    return _bytes(
        cluster_pb2.Cluster(
            name=wanted.name,
            type=cluster_pb2.Cluster.EDS,
            eds_cluster_config=cluster_pb2.Cluster.EdsClusterConfig(
                eds_config=config_source_pb2.ConfigSource(
                    ads=config_source_pb2.AggregatedConfigSource(),
                    resource_api_version=config_source_pb2.V3,
                    # Wait for the endpoints however long it takes: an empty cluster in their place would answer 503.
                    initial_fetch_timeout=_duration(0),
                )
            ),
            connect_timeout=_duration(CONNECT_TIMEOUT),
            lb_policy=cluster_pb2.Cluster.LEAST_REQUEST,
            common_lb_config=cluster_pb2.Cluster.CommonLbConfig(
                healthy_panic_threshold={"value": 0},
            ),
            circuit_breakers=circuit_breaker_pb2.CircuitBreakers(
                thresholds=[circuit_breaker_pb2.CircuitBreakers.Thresholds(**limits)]
            ),
            outlier_detection=None if wanted.places else _outliers(wanted),
            typed_extension_protocol_options={
                "envoy.extensions.upstreams.http.v3.HttpProtocolOptions": _any(protocol),
            },
        )
    )


def _outliers(wanted: Cluster) -> Any:
    """Only what Envoy itself could not do (connect) puts a host out; a model that answers 500 is a rollout's to judge.

    Without failover nobody would answer in place of a lone host, so at most half are put out.
    """
    number = wrappers_pb2.UInt32Value
    return outlier_detection_pb2.OutlierDetection(
        split_external_local_origin_errors=True,
        consecutive_local_origin_failure=number(value=3),
        enforcing_consecutive_local_origin_failure=number(value=100),
        enforcing_local_origin_success_rate=number(value=0),
        enforcing_success_rate=number(value=0),
        enforcing_consecutive_5xx=number(value=0),
        enforcing_consecutive_gateway_failure=number(value=0),
        max_ejection_percent=number(value=100 if wanted.failover else 50),
        always_eject_one_host=wrappers_pb2.BoolValue(value=wanted.failover),
        interval=_duration(1),
        base_ejection_time=_duration(2),
        max_ejection_time=_duration(20),
    )


@lru_cache(maxsize=16_384)
def assignment(wanted: Assignment) -> bytes:
    """The endpoints of a cluster; stable's stand behind the candidate's as priority 1."""
    groups = [(0, wanted.first), (1, wanted.second)]
    return _bytes(
        endpoint_pb2.ClusterLoadAssignment(
            cluster_name=wanted.cluster,
            endpoints=[
                endpoint_components_pb2.LocalityLbEndpoints(
                    priority=priority, lb_endpoints=[_endpoint(wanted.deployment, member) for member in members]
                )
                for priority, members in groups
                if members or priority == 0
            ],
            policy=endpoint_pb2.ClusterLoadAssignment.Policy(
                # One healthy pod of the candidate keeps all of its traffic; by default half a priority spills over.
                overprovisioning_factor=wrappers_pb2.UInt32Value(value=100_000),
            ),
        )
    )


def _endpoint(deployment: str, member: Member) -> Any:
    metadata = struct_pb2.Struct()
    metadata.update({"deployment": deployment, "revision": member.revision, "version": member.version})
    return endpoint_components_pb2.LbEndpoint(
        endpoint=endpoint_components_pb2.Endpoint(
            address=address_pb2.Address(
                socket_address=address_pb2.SocketAddress(address=member.address, port_value=member.port)
            )
        ),
        metadata=base_pb2.Metadata(filter_metadata={METADATA: metadata}),
    )


def route_table(table: RouteTable) -> bytes:
    """A whole RouteConfiguration, put together from parts that are already encoded.

    Paths are found in a tree of prefixes, one branch per deployment: however many there are, a request looks at its own
    deployment's few routes only. (Fields of protobuf's wire format may follow each other in any order, and a map is its
    entries one by one; so a thousand kept branches make a table without being encoded again.)
    """
    if table.name == MIRROR:
        return _mirror_table()
    by_path = [_shared_branches(), *(_path_branch(each) for each in table.routings)]
    hosts = [_tree("by-path", "*", ":path", by_path)]
    for domain in sorted({_domain(each) for each in table.routings if each.host}):
        by_host = [_host_branch(each) for each in table.routings if each.host and _domain(each) == domain]
        hosts.append(_tree(f"by-host {domain}", f"*.{domain}", ":authority", by_host))
    head = route_pb2.RouteConfiguration(
        name=table.name,
        ignore_port_in_host_matching=True,
        most_specific_header_mutations_wins=True,
        request_headers_to_add=[_header(PREDICTION_ID, MINTED, IF_ABSENT)],
        request_headers_to_remove=["proxy-authorization", REVISION],
        response_headers_to_add=[
            _header(PREDICTION_ID, "%REQ(X-PREDICTION-ID)%", OVERWRITE),
            _header("x-model-revision", ANSWERED_BY, OVERWRITE),
            _header("x-model-version", ANSWERED_VERSION, OVERWRITE),
        ],
    )
    number = _number(route_pb2.RouteConfiguration, "virtual_hosts")
    return _bytes(head) + b"".join(_field(number, each) for each in hosts)


def _mirror_table() -> bytes:
    """The mirror listener's: one route for all deployments, which never changes, so none can be refused or late.

    A mirrored request says itself who answers it, for how long it is waited for, and what it is stamped with. It was
    routed before: its path is rewritten, its id is there, credentials are gone. It is asked once, of one host.
    """
    mirrored = route_components_pb2.Route(
        match=route_components_pb2.RouteMatch(
            prefix="/", headers=[route_components_pb2.HeaderMatcher(name=MIRROR_CLUSTER, present_match=True)]
        ),
        route=route_components_pb2.RouteAction(
            cluster_header=MIRROR_CLUSTER,
            timeout=_duration(MIRROR_TIMEOUT_BY_DEFAULT),
            # No other clock: a request that is given up for being idle would not be a timeout of the revision.
            idle_timeout=_duration(0),
        ),
        request_headers_to_remove=[MIRROR_CLUSTER, MIRROR_TIMEOUT, *SAMPLES],
    )
    routes = [mirrored, *_not_found("Only requests that this gateway mirrors are answered here.")]
    host = route_components_pb2.VirtualHost(name=MIRROR, domains=["*"], routes=routes)
    return _bytes(route_pb2.RouteConfiguration(name=MIRROR, virtual_hosts=[host]))


def _tree(name: str, domain: str, header: str, branches: Iterable[bytes]) -> bytes:
    """A virtual host: ids that nobody could join are refused first, then the longest prefix of a header decides."""
    tree = matcher_pb2.Matcher.MatcherTree
    branching = _bytes(tree(input=_header_input(header))) + _field(
        _number(tree, "prefix_match_map"), b"".join(branches)
    )
    inner = _field(_number(matcher_pb2.Matcher, "matcher_tree"), branching)
    nowhere = matcher_pb2.Matcher(on_no_match=_list_of_routes(_not_found("No model is deployed under this name.")))
    otherwise = _field(_number(matcher_pb2.Matcher.OnMatch, "matcher"), inner + _bytes(nowhere))
    outer = _bytes(_bad_id_matcher()) + _field(_number(matcher_pb2.Matcher, "on_no_match"), otherwise)
    host = route_components_pb2.VirtualHost(
        name=name,
        domains=[domain],
        retry_policy=_retries(),
    )
    return _bytes(host) + _field(_number(route_components_pb2.VirtualHost, "matcher"), outer)


def _domain(routing: Routing) -> str:
    """What follows `<name>.<namespace>.` in its host."""
    return routing.host.split(".", 2)[2]


@lru_cache(maxsize=1)
def _shared_branches() -> bytes:
    nowhere = _not_found("No model is deployed under this path.")
    return _branch_of("/", nowhere) + _branch_of(FEEDBACK_PREFIX, [_feedback()])


@lru_cache(maxsize=8_192)
def _path_branch(routing: Routing) -> bytes:
    """This deployment's routes under `/<namespace>/<name>/…`."""
    return _branch_of(f"{routing.prefix}/", _model_routes(routing, routing.prefix))


def _branch_of(prefix: str, routes: list[Any]) -> bytes:
    """An entry of the tree's map from prefixes to lists of routes."""
    return _bytes(matcher_pb2.Matcher.MatcherTree.MatchMap(map={prefix: _list_of_routes(routes)}))


def _list_of_routes(routes: list[Any]) -> Any:
    return _action("routes", route_components_pb2.RouteList(routes=routes))


def _bad_id_matcher() -> Any:
    """There is an id, and it is not one that could be joined."""
    predicate = matcher_pb2.Matcher.MatcherList.Predicate

    def id_is(regex: str) -> Any:
        value = xds_string_pb2.StringMatcher(safe_regex=xds_regex_pb2.RegexMatcher(regex=regex, google_re2={}))
        return predicate(
            single_predicate=predicate.SinglePredicate(input=_header_input(PREDICTION_ID), value_match=value)
        )

    there = id_is("(?s).*")
    unfit = predicate(not_matcher=id_is(PREDICTION_ID_PATTERN))
    both = predicate(and_matcher=predicate.PredicateList(predicate=[there, unfit]))
    refused = _action("route", _bad_id())
    matchers = [matcher_pb2.Matcher.MatcherList.FieldMatcher(predicate=both, on_match=refused)]
    return matcher_pb2.Matcher(matcher_list=matcher_pb2.Matcher.MatcherList(matchers=matchers))


def _header_input(name: str) -> Any:
    wanted = http_inputs_pb2.HttpRequestHeaderMatchInput(header_name=name)
    return extension_pb2.TypedExtensionConfig(name=f"header {name}", typed_config=_any(wanted))


def _action(name: str, action: Any) -> Any:
    return matcher_pb2.Matcher.OnMatch(
        action=extension_pb2.TypedExtensionConfig(name=name, typed_config=_any(action)),
    )


@lru_cache(maxsize=8_192)
def _host_branch(routing: Routing) -> bytes:
    """This deployment's routes under a host of its own, with bare paths. A port may follow the name."""
    return _branch_of(routing.host, [_feedback(), *_model_routes(routing, "")])


def _feedback() -> Any:
    """Feedback's door keeps its bearer token and is never captured."""
    return route_components_pb2.Route(
        name="feedback",
        match=route_components_pb2.RouteMatch(prefix=FEEDBACK_PREFIX),
        route=route_components_pb2.RouteAction(cluster=FEEDBACK, prefix_rewrite="/v1/", timeout=_duration(30)),
        typed_per_filter_config={LUA: _any(lua_pb2.LuaPerRoute(disabled=True))},
        request_headers_to_remove=[STAMP],
    )


def _bad_id() -> Any:
    """The answer carries an id of ours: the caller's could not be joined."""
    detail = f"The header {PREDICTION_ID} must be 1 to 128 letters, digits, dots, underscores, colons or hyphens."
    return _direct(route_components_pb2.RouteMatch(prefix="/"), 400, detail, minted=OVERWRITE)


def _model_routes(routing: Routing, prefix: str) -> list[Any]:
    routes = []
    for path in routing.paths:
        for pin in routing.pins:
            wanted = string_pb2.StringMatcher(exact=pin.revision)
            match = route_components_pb2.RouteMatch(
                path=prefix + path, headers=[route_components_pb2.HeaderMatcher(name=REVISION, string_match=wanted)]
            )
            action = route_components_pb2.RouteAction(cluster=pin.cluster, **_how(routing, path, prefix))
            routes.append(_proxied(match, action, stamp=pin.stamp))
        unknown = route_components_pb2.RouteMatch(
            path=prefix + path, headers=[route_components_pb2.HeaderMatcher(name=REVISION, present_match=True)]
        )
        known = ", ".join(pin.revision for pin in routing.pins)
        if known:
            detail = f"{routing.deployment} has no such revision in its traffic; it has {known}."
            routes.append(_direct(unknown, 404, detail))
        else:
            detail = f"This gateway lets no request pick a revision; leave out {REVISION}."
            routes.append(_direct(unknown, 403, detail))
        split = route_components_pb2.WeightedCluster(
            clusters=[
                route_components_pb2.WeightedCluster.ClusterWeight(
                    name=arm.cluster,
                    weight=wrappers_pb2.UInt32Value(value=arm.weight),
                    request_headers_to_add=[_header(STAMP, _literal(arm.stamp), OVERWRITE)],
                )
                for arm in routing.arms
            ]
        )
        match = route_components_pb2.RouteMatch(path=prefix + path)
        mirrors = [_mirror(each, timeout_ms=routing.timeout_ms) for each in routing.mirrors]
        action = route_components_pb2.RouteAction(
            weighted_clusters=split, request_mirror_policies=mirrors, **_how(routing, path, prefix)
        )
        if routing.draw:
            routes += [_arm(each, routing, path=path, prefix=prefix) for each in routing.draw.ranges]
        routes.append(_proxied(match, action, drawing=_drawing(routing)))
    elsewhere = f"{routing.deployment} does not serve this path; it serves {', '.join(routing.paths)}."
    return [*routes, *_not_found(elsewhere)]


def _arm(wanted: Range, routing: Routing, *, path: str, prefix: str) -> Any:
    """An arm of a sticky split: requests that have been drawn, by their bucket."""
    buckets = range_pb2.Int64Range(start=wanted.first, end=wanted.end)
    drawn = route_components_pb2.HeaderMatcher(name=BUCKET, range_match=buckets)
    mirrors = [_mirror(each, timeout_ms=routing.timeout_ms) for each in wanted.mirrors]
    action = route_components_pb2.RouteAction(
        cluster=wanted.cluster, request_mirror_policies=mirrors, **_how(routing, path, prefix)
    )
    arm = _proxied(route_components_pb2.RouteMatch(path=prefix + path, headers=[drawn]), action)
    arm.request_headers_to_add.append(_header(STAMP, _literal(wanted.stamp) + DRAWN, OVERWRITE))
    arm.request_headers_to_remove.append(BUCKET)
    return arm


def _mirror(wanted: Mirror, *, timeout_ms: int) -> Any:
    """The copy that is sent to our own mirror listener.

    The number it is drawn by is the split's, of ten thousand; where stable has a route of its own, any of a million.
    What has a sample of its own is sent where the script that drew it says: without a word of it, nowhere.
    """
    share = percent_pb2.FractionalPercent(numerator=wanted.share, denominator=DENOMINATORS[wanted.of])
    headers = {
        STAMP: _literal(wanted.stamp),
        SHADOW: "true",
        MIRROR_CLUSTER: _literal(wanted.cluster),
        MIRROR_TIMEOUT: str(timeout_ms),
        REQUEST_TIMEOUT: str(timeout_ms + MIRROR_GRACE_MS),
    }
    where = {"cluster_header": SAMPLES[wanted.sample.number]} if wanted.sample else {"cluster": wanted.door}
    return route_components_pb2.RouteAction.RequestMirrorPolicy(
        **where,
        runtime_fraction=base_pb2.RuntimeFractionalPercent(default_value=share),
        disable_shadow_host_suffix_append=True,
        request_headers_mutations=[
            mutation_rules_pb2.HeaderMutation(append=_header(key, value, OVERWRITE)) for key, value in headers.items()
        ],
    )


def _how(routing: Routing, path: str, prefix: str) -> dict[str, Any]:
    timeout = routing.timeout_ms / 1000
    return {
        "timeout": _duration(timeout),
        # Later than the timeout, so that a slow model is a 504 of the revision and never an idle stream.
        "idle_timeout": _duration(timeout + 5),
        **({"prefix_rewrite": path} if prefix else {}),
    }


@lru_cache(maxsize=1)
def _retries() -> Any:
    """Only where no byte was sent, and then elsewhere: another host, and the next priority."""
    return route_components_pb2.RetryPolicy(
        retry_on="connect-failure",
        num_retries=wrappers_pb2.UInt32Value(value=RETRIES),
        retry_host_predicate=[
            route_components_pb2.RetryPolicy.RetryHostPredicate(
                name="envoy.retry_host_predicates.previous_hosts",
                typed_config=_any(previous_hosts_pb2.PreviousHostsPredicate()),
            )
        ],
        host_selection_retry_max_attempts=5,
        retry_priority=route_components_pb2.RetryPolicy.RetryPriority(
            name="envoy.retry_priorities.previous_priorities",
            typed_config=_any(previous_priorities_config_pb2.PreviousPrioritiesConfig(update_frequency=1)),
        ),
        retry_back_off=route_components_pb2.RetryPolicy.RetryBackOff(
            base_interval=_duration(0.005), max_interval=_duration(0.05)
        ),
    )


def _proxied(match: Any, action: Any, *, stamp: str = "", drawing: Any = None) -> Any:
    return route_components_pb2.Route(
        match=match,
        route=action,
        typed_per_filter_config={LUA: _any(drawing)} if drawing is not None else {},
        request_headers_to_add=[_header(STAMP, _literal(stamp), OVERWRITE)] if stamp else [],
        request_headers_to_remove=["authorization", "cookie"],
    )


def _drawing(routing: Routing) -> Any:
    """The script that draws, in place of the one that every other route has: only here does it cost."""
    said: dict[str, Any] = {}
    if draw := routing.draw:
        said |= {"by": draw.by, "name": draw.name, "k0": draw.key[0], "k1": draw.key[1]}
    if samples := [_sample(each, each.sample) for each in routing.mirrors if each.sample]:
        said["samples"] = samples
    if not said:
        return None
    context = struct_pb2.Struct()
    context.update(said)
    return lua_pb2.LuaPerRoute(name=DRAWING_SCRIPT, filter_context=context)


def _sample(mirror: Mirror, sample: Sample) -> dict[str, Any]:
    k0, k1 = sample.key
    return {"header": SAMPLES[sample.number], "door": mirror.door, "share": sample.share, "k0": k0, "k1": k1}


def _not_found(detail: str) -> list[Any]:
    return [_direct(route_components_pb2.RouteMatch(prefix="/"), 404, detail)]


def _direct(match: Any, status: int, detail: str, *, minted: Any = IF_ABSENT) -> Any:
    """One plain sentence; the listener makes an RFC 9457 document of it.

    It never becomes a request to anybody, so the table's id of requests does not reach it: it mints its own, after the
    table's headers were set. (On the host the same header would cost every model's answer the making of an id.)
    """
    if len(detail) > DETAIL_LIMIT:
        detail = detail[: DETAIL_LIMIT - 1] + "…"
    return route_components_pb2.Route(
        match=match,
        direct_response=route_components_pb2.DirectResponseAction(
            status=status, body=base_pb2.DataSource(inline_string=detail)
        ),
        response_headers_to_add=[_header(PREDICTION_ID, MINTED, minted)],
    )


def _header(key: str, value: str, how: Any) -> Any:
    return base_pb2.HeaderValueOption(header=base_pb2.HeaderValue(key=key, value=value), append_action=how)


def _literal(text: str) -> str:
    """A per cent sign begins a command in Envoy's formats; doubled it stands for itself."""
    return text.replace("%", "%%")


def _duration(seconds: float) -> Any:
    whole = int(seconds)
    return duration_pb2.Duration(seconds=whole, nanos=round((seconds - whole) * 1e9))


def _any(message: Any) -> any_pb2.Any:
    packed = any_pb2.Any()
    packed.Pack(message, deterministic=True)
    return packed


def _bytes(message: Any) -> bytes:
    """The same value gives the same bytes, so that a version says whether anything changed."""
    encoded: bytes = message.SerializeToString(deterministic=True)
    return encoded


def _number(message: Any, name: str) -> int:
    """A field's number."""
    number: int = message.DESCRIPTOR.fields_by_name[name].number
    return number


def _field(number: int, value: bytes) -> bytes:
    """A length-delimited field of protobuf's wire format."""
    return _varint(number << 3 | 2) + _varint(len(value)) + value


def _varint(value: int) -> bytes:
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*out, value])


def names(requested: Iterable[str]) -> tuple[str, ...]:
    """Resource names as Envoy asks for them; `*` is the wildcard, which names none."""
    return tuple(name for name in requested if name != "*")
