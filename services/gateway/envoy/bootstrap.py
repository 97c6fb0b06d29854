"""The data plane's configuration, as a pure function of its settings.

Envoy's own part is fixed here: two listeners, what they refuse, what they record. Which model answers which path comes
from control by xDS. Standard library only: the image holds Envoy and a Python, nothing else.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

JSON = dict[str, Any]

PREFIX = "ENVOY_"
LUA_FILTER = "envoy.filters.http.lua"
CAPTURE_KEY = "switchyard.capture"
CERTIFICATE = "product"
HOOKS_FOLDER = Path(__file__).parent


def whole_number(key: str, text: str) -> int:
    """A count or a size."""
    if not text.isascii() or not text.isdigit():
        raise ValueError(f"{key} is {text!r}; give a whole number")
    return int(text)


def yes_or_no(key: str, text: str) -> bool:
    """A switch."""
    if text not in ("true", "false"):
        raise ValueError(f"{key} is {text!r}; give true or false")
    return text == "true"


PARSERS: dict[type, Callable[[str, str], Any]] = {int: whole_number, bool: yes_or_no, str: lambda _, text: text}


@dataclass(frozen=True, kw_only=True)
class Settings:
    """What may differ between installations; each field is the environment variable ENVOY_<FIELD> in capitals."""

    node: str = "gateway"
    address: str = "0.0.0.0"
    port: int = 8080
    mirror_port: int = 8090
    concurrency: int = 2
    """Worker threads; give as many as the container has CPUs."""
    run_dir: str = "/run/switchyard"
    """Sockets: xds.sock (control listens), admin.sock (Envoy listens)."""
    spool_dir: str = "/var/spool/switchyard"
    feedback_address: str = "switchyard-feedback"
    feedback_port: int = 8080
    feedback_ca_file: str = ""
    """Speak TLS to feedback, and trust what this authority signed for its address."""
    tls_dir: str = ""
    """Serve products by TLS, with tls.crt and tls.key of this folder; they are read again when the folder changes."""
    max_connections: int = 10_000
    max_request_bytes: int = 4_194_304
    """A larger body is refused with 413."""
    capture: bool = True
    """Record every exchange; without it nothing is written, and the account says how many were not."""
    capture_max_body_bytes: int = 131_072
    """How much of a body is recorded, each way; two of them, escaped, must fit a Kafka record of 1 MiB."""
    content_types: str = "application/json"
    """Comma-separated; types that end in +json are let in beside them, pickle never is."""
    trusted_hops: int = 0
    """Proxies before this one whose X-Forwarded-For is believed."""
    drain_seconds: int = 75
    """How long a termination waits at most for requests under way: longer than a model's 60 s by default."""
    settle_seconds: int = 8
    """How long a termination keeps answering new connections, until no one sends them here any more."""
    log_level: str = "warning"
    flush_interval_ms: int = 20
    flush_min_size_kb: int = 64
    """A killed Envoy loses the lines of its last interval. To write each line at once (0) costs a tenth of all CPU."""

    @classmethod
    def from_env(cls, environ: Mapping[str, str]) -> Settings:
        """Read ENVOY_…; a misspelt variable is an error, so chart and image cannot drift apart."""
        known = {field.name: type(field.default) for field in fields(cls)}
        values: JSON = {}
        for key, text in environ.items():
            if not key.startswith(PREFIX):
                continue
            name = key.removeprefix(PREFIX).lower()
            if name not in known:
                raise ValueError(f"{key} is no setting of the data plane; known are {', '.join(sorted(known))}")
            values[name] = PARSERS[known[name]](key, text)
        return cls(**values)

    @property
    def certificate_file(self) -> str:
        """Where Envoy is told which certificate it serves."""
        return f"{self.run_dir}/certificate.json"

    @property
    def exchanges_log(self) -> str:
        """The file that Envoy appends to and the shipper follows."""
        return f"{self.spool_dir}/active/exchanges.log"


def any_of(type_name: str, **content: Any) -> JSON:
    """A typed message, as Envoy wants its extensions."""
    return {"@type": f"type.googleapis.com/{type_name}", **content}


def bootstrap(settings: Settings, *, boot: str) -> JSON:
    """The whole configuration of one start of Envoy; `boot` names that start in every line it records."""
    return {
        # Control reads the boot back, for every counter begins anew with it.
        "node": {"id": settings.node, "cluster": "switchyard-gateway", "metadata": {"boot": boot}},
        # Admin can stop Envoy and change its runtime: only those who share this folder may ask.
        "admin": {"address": {"pipe": {"path": f"{settings.run_dir}/admin.sock", "mode": 0o660}}},
        "layered_runtime": {
            "layers": [
                # The pattern of prediction ids, {1,128}, is a larger program than Envoy's default lets in.
                {
                    "name": "switchyard",
                    "static_layer": {
                        "re2.max_program_size.error_level": 2000,
                        "re2.max_program_size.warn_level": 2000,
                        # Control sets it to 0 on the admin layer while the volume is full.
                        CAPTURE_KEY: 100 if settings.capture else 0,
                    },
                },
                {"name": "admin", "admin_layer": {}},
            ]
        },
        "overload_manager": {
            "refresh_interval": "0.25s",
            "resource_monitors": [
                {
                    "name": "envoy.resource_monitors.global_downstream_max_connections",
                    "typed_config": any_of(
                        "envoy.extensions.resource_monitors.downstream_connections.v3.DownstreamConnectionsConfig",
                        max_active_downstream_connections=settings.max_connections,
                    ),
                }
            ],
        },
        "stats_config": {"stats_matcher": {"inclusion_list": {"patterns": stats_kept()}}},
        "dynamic_resources": {
            "ads_config": {
                "api_type": "DELTA_GRPC",
                "transport_api_version": "V3",
                "set_node_on_first_message_only": True,
                # Control is in the same pod: after its restart it is found again within a second, not in half a minute.
                "grpc_services": [
                    {
                        "envoy_grpc": {
                            "cluster_name": "xds",
                            "retry_policy": {"retry_back_off": {"base_interval": "0.1s", "max_interval": "1s"}},
                        }
                    }
                ],
            },
            "cds_config": from_control(),
        },
        "static_resources": {
            "listeners": [
                listener(
                    "product",
                    address=settings.address,
                    port=settings.port,
                    manager=product(settings, boot=boot),
                    limit=settings.max_request_bytes,
                    tls=served_by_tls(settings) if settings.tls_dir else None,
                ),
                listener(
                    "mirror",
                    address="127.0.0.1",
                    port=settings.mirror_port,
                    manager=mirror(settings, boot=boot),
                    limit=settings.max_request_bytes,
                ),
            ],
            "clusters": [xds_cluster(settings), feedback_cluster(settings)],
        },
    }


def stats_kept() -> list[JSON]:
    """What control, shipper and Prometheus read; a model's clusters would otherwise cost some hundred counters each."""
    prefixes = [
        "switchyard.",
        "filesystem.",
        "http.product.",
        "http.mirror.",
        "listener.0.0.0.0",
        "listener_manager.",
        "cluster_manager.",
        "cluster.feedback.",
        "cluster.xds.",
        "server.",
        "overload.",
        "runtime.",
    ]
    per_revision = (
        r"^cluster\..*\.(upstream_rq_(total|[2345]xx|timeout|rx_reset|tx_reset|retry|(pending|active)_overflow)"
        r"|upstream_cx_(active|connect_fail)|membership_(healthy|total)|outlier_detection\.ejections_active"
        r"|update_(success|rejected))$"
    )
    return [{"prefix": prefix} for prefix in prefixes] + [{"safe_regex": {"regex": per_revision}}]


def from_control() -> JSON:
    """Resources by ADS. No time limit: an Envoy without routes must not open its port and answer 404."""
    return {"resource_api_version": "V3", "ads": {}, "initial_fetch_timeout": "0s"}


def listener(name: str, *, address: str, port: int, manager: JSON, limit: int, tls: JSON | None = None) -> JSON:
    """One listener with one connection manager. Its buffer limit is what answers 413 to bodies of unknown length."""
    chain: JSON = {"filters": [{"name": "http", "typed_config": manager}]}
    if tls is not None:
        chain["transport_socket"] = tls
    return {
        "name": name,
        "address": {"socket_address": {"address": address, "port_value": port}},
        "per_connection_buffer_limit_bytes": limit,
        "filter_chains": [chain],
    }


def served_by_tls(settings: Settings) -> JSON:
    """The products' door by TLS. The certificate comes by SDS from a file, because only so Envoy looks for new ones."""
    return {
        "name": "envoy.transport_sockets.tls",
        "typed_config": any_of(
            "envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext",
            common_tls_context={
                "alpn_protocols": ["h2", "http/1.1"],
                "tls_params": {"tls_minimum_protocol_version": "TLSv1_2"},
                "tls_certificate_sds_secret_configs": [
                    {
                        "name": CERTIFICATE,
                        "sds_config": {
                            "resource_api_version": "V3",
                            "path_config_source": {"path": settings.certificate_file},
                        },
                    }
                ],
            },
        ),
    }


def certificate(settings: Settings) -> JSON:
    """The file from which Envoy reads which certificate it serves. Kubernetes changes a Secret by moving its folder."""
    secret = any_of(
        "envoy.extensions.transport_sockets.tls.v3.Secret",
        name=CERTIFICATE,
        tls_certificate={
            "certificate_chain": {"filename": f"{settings.tls_dir}/tls.crt"},
            "private_key": {"filename": f"{settings.tls_dir}/tls.key"},
            "watched_directory": {"path": settings.tls_dir},
        },
    )
    return {"resources": [secret]}


def product(settings: Settings, *, boot: str) -> JSON:
    """Where products ask. Of x-switchyard-* only the revision that a caller asks for is let in."""
    return connection_manager(settings, name="product", routes="switchyard", boot=boot, scripts=scripts()) | {
        "use_remote_address": True,
        "xff_num_trusted_hops": settings.trusted_hops,
        "early_header_mutation_extensions": [
            {
                "name": "strip",
                "typed_config": any_of(
                    "envoy.extensions.http.early_header_mutation.header_mutation.v3.HeaderMutation",
                    mutations=[
                        {"remove": "x-request-id"},
                        # Ours alone: it decides what is not recorded.
                        {"remove": "x-envoy-original-path"},
                        # A compressed answer could be recorded but not read.
                        {"remove": "accept-encoding"},
                        {
                            "remove_on_match": {
                                "key_matcher": {"safe_regex": {"regex": all_but("x-switchyard-", "revision")}}
                            }
                        },
                    ],
                ),
            }
        ],
    }


def mirror(settings: Settings, *, boot: str) -> JSON:
    """Where this Envoy sends its own mirrored requests, which keep the ids that the product's listener gave them.

    Each brings its timeout along (control writes it), so that one route serves all and this listener itself gives up.
    """
    manager = connection_manager(settings, name="mirror", routes="switchyard-mirror", boot=boot)
    timeout = {"key": "x-envoy-upstream-rq-timeout-ms", "value": "%REQ(X-SWITCHYARD-MIRROR-TIMEOUT-MS)%"}
    set_timeout = {
        "name": "envoy.filters.http.header_mutation",
        "typed_config": any_of(
            "envoy.extensions.filters.http.header_mutation.v3.HeaderMutation",
            mutations={
                "request_mutations": [
                    {"append": {"header": timeout, "append_action": "OVERWRITE_IF_EXISTS_OR_ADD"}},
                ]
            },
        ),
    }
    return manager | {"preserve_external_request_id": True, "http_filters": [set_timeout, *manager["http_filters"]]}


def all_but(prefix: str, kept: str) -> str:
    """A pattern for every name with the prefix but one. RE2 knows no look-ahead, so each first difference is named."""
    ends = [f"{kept[:i]}(|[^{letter}].*)" for i, letter in enumerate(kept)]
    return f"{prefix}({'|'.join([*ends, kept + '.+'])})"


def scripts() -> JSON:
    """What a route may run in the place of capture.lua alone; control names it where something is drawn."""
    both = "\n".join((HOOKS_FOLDER / name).read_text() for name in ("capture.lua", "draws.lua"))
    return {"draws": {"inline_string": both}}


def connection_manager(settings: Settings, *, name: str, routes: str, boot: str, scripts: JSON | None = None) -> JSON:
    """What both listeners do with a request."""
    return any_of(
        "envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager",
        stat_prefix=name,
        server_name="switchyard",
        rds={"route_config_name": routes, "config_source": from_control()},
        # One path, one spelling: an allow-list of paths is worth nothing if a path can be spelt around it.
        normalize_path=True,
        merge_slashes=True,
        path_with_escaped_slashes_action="REJECT_REQUEST",
        strip_any_host_port=True,
        common_http_protocol_options={
            "idle_timeout": "300s",
            "max_headers_count": 100,
            "headers_with_underscores_action": "DROP_HEADER",
        },
        http2_protocol_options={"max_concurrent_streams": 128},
        request_headers_timeout="10s",
        stream_idle_timeout="300s",
        drain_timeout=f"{settings.drain_seconds}s",
        request_id_extension={
            "typed_config": any_of("envoy.extensions.request_id.uuid.v3.UuidRequestIdConfig", pack_trace_reason=False)
        },
        generate_request_id=True,
        always_set_request_id_in_response=True,
        local_reply_config=problem_details(),
        access_log=access_logs(settings, listener_name=name, boot=boot),
        http_filters=[
            {
                "name": LUA_FILTER,
                "typed_config": any_of(
                    "envoy.extensions.filters.http.lua.v3.Lua",
                    default_source_code={"filename": str(HOOKS_FOLDER / "capture.lua")},
                    **({"source_codes": scripts} if scripts else {}),
                ),
            },
            {
                "name": "envoy.filters.http.router",
                "typed_config": any_of("envoy.extensions.filters.http.router.v3.Router"),
            },
        ],
    )


def problem_details() -> JSON:
    """Every answer that Envoy gives itself is RFC 9457, and carries the id under which it was asked."""
    always = {"runtime_filter": {"runtime_key": "switchyard.problem_details", "percent_sampled": {"numerator": 100}}}
    return {
        "mappers": [
            {
                "filter": always,
                "headers_to_add": [
                    {
                        "header": {"key": "x-prediction-id", "value": "%REQ(X-PREDICTION-ID?X-REQUEST-ID)%"},
                        "append_action": "ADD_IF_ABSENT",
                    }
                ],
            }
        ],
        "body_format": {
            "content_type": "application/problem+json",
            "json_format": {
                "type": "about:blank",
                "status": "%RESPONSE_CODE%",
                "detail": "%LOCAL_REPLY_BODY%",
                "reason": "%RESPONSE_CODE_DETAILS%",
                "predictionId": "%REQ(X-PREDICTION-ID?X-REQUEST-ID)%",
            },
        },
    }


def access_logs(settings: Settings, *, listener_name: str, boot: str) -> list[JSON]:
    """A line per exchange, and two counters that say how many lines there ought to be."""
    not_feedback = {
        "and_filter": {"filters": [not_under(":path"), not_under("x-envoy-original-path")]},
    }
    switched_on = {"runtime_filter": {"runtime_key": CAPTURE_KEY, "percent_sampled": {"numerator": 100}}}
    recorded = {"and_filter": {"filters": [switched_on, *not_feedback["and_filter"]["filters"]]}}
    return [
        {
            "name": "exchanges",
            "filter": recorded,
            "typed_config": any_of(
                "envoy.extensions.access_loggers.file.v3.FileAccessLog",
                path=settings.exchanges_log,
                log_format={"omit_empty_values": True, "json_format": line(listener_name=listener_name, boot=boot)},
            ),
        },
        counter("exchanges", not_feedback),
        counter("recorded", recorded),
    ]


def not_under(header: str) -> JSON:
    """Feedback (under /-/) is labels and a token, not a prediction: it is never recorded, whatever its route says."""
    return {
        "header_filter": {
            "header": {
                "name": header,
                "string_match": {"prefix": "/-/"},
                "invert_match": True,
                "treat_missing_header_as_empty": True,
            }
        }
    }


def counter(name: str, only: JSON) -> JSON:
    """A counter that moves where the line is written, so that both are about the same exchanges."""
    return {
        "name": name,
        "filter": only,
        "typed_config": any_of(
            "envoy.extensions.access_loggers.stats.v3.Config",
            stats_scope={"prefix": "switchyard"},
            counters=[{"stat": {"name": name}, "value_fixed": 1}],
        ),
    }


def line(*, listener_name: str, boot: str) -> JSON:
    """The fields of a line; `switchyard_gateway.shipper.line` reads them."""
    return {
        "boot": boot,
        "listener": listener_name,
        "id": "%STREAM_ID%",
        "prediction": "%REQ(X-PREDICTION-ID)%",
        "stamp": "%REQ(X-SWITCHYARD-STAMP)%",
        "start": "%START_TIME(%s%6f)%",
        "status": "%RESPONSE_CODE%",
        "flags": "%RESPONSE_FLAGS%",
        "upstream_us": "%COMMON_DURATION(US_TX_BEG:US_RX_END:us)%",
        "host": "%UPSTREAM_HOST%",
        "answered_by": "%UPSTREAM_METADATA(switchyard:revision)%",
        "request_type": "%REQ(CONTENT-TYPE)%",
        "request_bytes": "%BYTES_RECEIVED%",
        "response_type": "%RESP(CONTENT-TYPE)%",
        "response_bytes": "%BYTES_SENT%",
        "body": "%DYNAMIC_METADATA(switchyard)%",
        "request_chunks": "%DYNAMIC_METADATA(switchyard.request)%",
        "response_chunks": "%DYNAMIC_METADATA(switchyard.response)%",
    }


def xds_cluster(settings: Settings) -> JSON:
    """Control, in the same pod."""
    return {
        "name": "xds",
        "type": "STATIC",
        "connect_timeout": "1s",
        "typed_extension_protocol_options": {
            "envoy.extensions.upstreams.http.v3.HttpProtocolOptions": any_of(
                "envoy.extensions.upstreams.http.v3.HttpProtocolOptions",
                explicit_http_config={"http2_protocol_options": {}},
            )
        },
        "load_assignment": assignment("xds", {"pipe": {"path": f"{settings.run_dir}/xds.sock"}}),
    }


def feedback_cluster(settings: Settings) -> JSON:
    """The feedback service, which also has a door here so that a product needs to know one address only."""
    address = {"socket_address": {"address": settings.feedback_address, "port_value": settings.feedback_port}}
    return ({"transport_socket": towards_feedback(settings)} if settings.feedback_ca_file else {}) | {
        "name": "feedback",
        "type": "STRICT_DNS",
        "connect_timeout": "1s",
        "dns_lookup_family": "V4_PREFERRED",
        # uvicorn closes idle connections after 5 s; whoever closes first must be us, or a request meets a closed door.
        "typed_extension_protocol_options": {
            "envoy.extensions.upstreams.http.v3.HttpProtocolOptions": any_of(
                "envoy.extensions.upstreams.http.v3.HttpProtocolOptions",
                common_http_protocol_options={"idle_timeout": "3s"},
                explicit_http_config={"http_protocol_options": {}},
            )
        },
        "load_assignment": assignment("feedback", address),
    }


def towards_feedback(settings: Settings) -> JSON:
    """TLS that trusts one authority, for one name."""
    name = settings.feedback_address
    return {
        "name": "envoy.transport_sockets.tls",
        "typed_config": any_of(
            "envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext",
            sni=name,
            common_tls_context={
                "tls_params": {"tls_minimum_protocol_version": "TLSv1_2"},
                "validation_context": {
                    "trusted_ca": {"filename": settings.feedback_ca_file},
                    "match_typed_subject_alt_names": [
                        {"san_type": "IP_ADDRESS" if is_address(name) else "DNS", "matcher": {"exact": name}}
                    ],
                },
            },
        ),
    }


def is_address(name: str) -> bool:
    """Whether this is no name to look up."""
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


def assignment(cluster: str, address: JSON) -> JSON:
    """One fixed endpoint."""
    return {"cluster_name": cluster, "endpoints": [{"lb_endpoints": [{"endpoint": {"address": address}}]}]}
