"""The way of an exchange: gateway, capture, Kafka, feedback, the monitor and its database."""

from __future__ import annotations

from switchyard_testkit.dashboards.panels import Dashboard, Panel, Query, Row

PRODUCT = 'OURS,envoy_http_conn_manager_prefix="product"'
RATE = "sum(rate(%s{OURS}[$__rate_interval]))"
CLAIMS = "max by (persistentvolumeclaim) (kubelet_volume_stats_%s_bytes{OURS})"


def quantiles(name: str, labels: str = "", *, by: str = "sum") -> list[Query]:
    """The median and the 99th percentile of a histogram."""
    buckets = f"{by} by (le) (rate({name}_bucket{{OURS{labels}}}[$__rate_interval]))"
    return [Query(f"histogram_quantile({share}, {buckets})", called) for share, called in ((0.5, "p50"), (0.99, "p99"))]


GATEWAY = Row(
    "The gateway",
    [
        Panel(
            title="Answers",
            says="What products are answered, by the class of the status, over all deployments.",
            unit="reqps",
            stacked=True,
            queries=[
                Query(
                    "sum by (envoy_response_code_class)"
                    f" (rate(envoy_http_downstream_rq_xx{{{PRODUCT}}}[$__rate_interval]))",
                    "{{envoy_response_code_class}}xx",
                )
            ],
        ),
        Panel(
            title="How long answers take",
            says="From the first byte of the request to the last of the answer, as products see it.",
            unit="ms",
            queries=quantiles("envoy_http_downstream_rq_time", ',envoy_http_conn_manager_prefix="product"'),
        ),
        Panel(
            title="Requests under way",
            says="Requests that wait for their answer now: products' and the copies of mirrors.",
            queries=[
                Query(
                    "sum by (envoy_http_conn_manager_prefix) (envoy_http_downstream_rq_active{OURS})",
                    "{{envoy_http_conn_manager_prefix}}",
                )
            ],
        ),
        Panel(
            title="Refused by the gateway itself",
            says="Answers that the gateway gave without asking a model, by status: no such route, a body too large, a"
            " type that is not allowed.",
            unit="reqps",
            queries=[
                Query("sum by (status) (rate(switchyard_gateway_refused_total{OURS}[$__rate_interval]))", "{{status}}")
            ],
        ),
        Panel(
            title="Routes",
            says="ModelRoutes that the gateways serve and those that they cannot serve as written; any rejected one"
            " holds its rollout.",
            queries=[
                Query("min(switchyard_control_routes{OURS})", "served"),
                Query("max(switchyard_control_rejected_routes{OURS})", "rejected"),
            ],
        ),
        Panel(
            title="From a change to Envoy's word",
            says="From hearing of a ModelRoute's change to Envoy's acknowledgement.",
            unit="s",
            queries=quantiles("switchyard_control_sync_seconds"),
        ),
        Panel(
            title="Envoy's word",
            says="Envoy's answers to what it was told, by what it was told of; `refused` comes with a reason in the"
            " ModelDeployment's status.",
            unit="cps",
            queries=[
                Query(
                    "sum by (kind, answer) (rate(switchyard_control_xds_responses_total{OURS}[$__rate_interval]))",
                    "{{kind}} {{answer}}",
                )
            ],
        ),
        Panel(
            title="Connected, stale",
            says="The fewest of Envoys connected to their control (1 is all), and whether any gateway serves routes"
            " from its volume, as the API server was not heard yet.",
            most=1,
            queries=[
                Query("min(switchyard_control_envoy_connected{OURS})", "connected"),
                Query("max(switchyard_control_stale{OURS})", "stale"),
            ],
        ),
        Panel(
            title="What Envoy should have",
            says="Clusters, endpoints and routes that the gateways hold, and the age of what is kept on the volume for"
            " a start without the API server.",
            queries=[
                Query("max by (kind) (switchyard_control_resources{OURS})", "{{kind}}"),
            ],
        ),
        Panel(
            title="Age of the kept snapshot",
            says="How long ago what Envoy last acknowledged was written to the volume; it is written on change only.",
            unit="s",
            queries=[Query("max(time() - (switchyard_control_snapshot_timestamp_seconds{OURS} > 0))", "age")],
        ),
        Panel(
            title="Failed questions to the API server",
            says="Control's questions to the API server that failed, by kind; what serves goes on serving.",
            unit="cps",
            queries=[
                Query("sum by (kind) (rate(switchyard_control_api_errors_total{OURS}[$__rate_interval]))", "{{kind}}")
            ],
        ),
    ],
)

CAPTURE = Row(
    "Capture",
    [
        Panel(
            title="Served and delivered",
            says="Exchanges with a model, and those that Kafka acknowledged. What lies between them for long is"
            " spooled or dropped.",
            unit="cps",
            queries=[
                Query(RATE % "switchyard_shipper_served_total", "served"),
                Query(RATE % "switchyard_shipper_delivered_total", "delivered"),
            ],
        ),
        Panel(
            title="Dropped",
            says="Exchanges that reach nobody, by reason; anything here is missing evidence.",
            unit="cps",
            queries=[
                Query("sum by (reason) (rate(switchyard_shipper_dropped_total{OURS}[$__rate_interval]))", "{{reason}}")
            ],
        ),
        Panel(
            title="Share that is dropped",
            says="The share of what was served that reaches nobody.",
            unit="percentunit",
            queries=[
                Query(
                    f"{RATE % 'switchyard_shipper_dropped_total'} / ({RATE % 'switchyard_shipper_served_total'} > 0)",
                    "dropped",
                )
            ],
        ),
        Panel(
            title="On the spool",
            says="Exchanges that wait for Kafka, and those that are under way or missing; the second goes back to 0"
            " when nothing is under way.",
            queries=[
                Query("sum(switchyard_shipper_spooled{OURS})", "spooled"),
                Query("sum(switchyard_shipper_unaccounted{OURS})", "under way or missing"),
            ],
        ),
        Panel(
            title="Age of the oldest exchange",
            says="How long the oldest exchange has waited for Kafka. Over a minute, Kafka takes too little or nothing.",
            unit="s",
            queries=[Query("max(switchyard_shipper_oldest_age_seconds{OURS})", "oldest")],
        ),
        Panel(
            title="The spool",
            says="Bytes that wait on the volumes, over all gateways.",
            unit="bytes",
            queries=[Query("sum(switchyard_shipper_spool_bytes{OURS})", "bytes")],
        ),
        Panel(
            title="Files of the spool",
            says="Segments on the volumes, over all gateways; a whole one goes when there is no room.",
            queries=[Query("sum(switchyard_shipper_spool_segments{OURS})", "segments")],
        ),
        Panel(
            title="Volume of the spool",
            says="How full the fullest gateway's volume is. At 0.9 capture is switched off, so that requests are"
            " answered.",
            unit="percentunit",
            most=1,
            queries=[Query("max(switchyard_control_volume_used_ratio{OURS})", "taken")],
        ),
        Panel(
            title="Capture is on",
            says="1 while every gateway records what it serves; 0 when one does not, as its volume is full.",
            most=1,
            queries=[Query("min(switchyard_control_capture_enabled{OURS})", "on")],
        ),
        Panel(
            title="Batches that Kafka did not take",
            says="Batches that Kafka did not take whole; what was not taken is sent again.",
            unit="cps",
            queries=[Query(RATE % "switchyard_shipper_kafka_failures_total", "batches")],
        ),
        Panel(
            title="Errors of the script, bodies removed",
            says="Errors of the capture script (the request passed), and events that went without X and Y, as with them"
            " they were too large.",
            unit="cps",
            queries=[
                Query(RATE % "switchyard_gateway_capture_errors_total", "errors of the script"),
                Query(RATE % "switchyard_shipper_bodies_removed_total", "bodies removed"),
            ],
        ),
        Panel(
            title="Copies let fall",
            says="Requests that were not mirrored, as too many were under way to the revision. Over 1 % in a rollout"
            " leaves its pairs undecided.",
            unit="reqps",
            queries=[Query(RATE % "switchyard_gateway_mirror_overflow_total", "not mirrored")],
        ),
    ],
)

FEEDBACK = Row(
    "Feedback",
    [
        Panel(
            title="Responses",
            says="What products that send decisions and outcomes are answered, by status.",
            unit="reqps",
            stacked=True,
            queries=[
                Query(
                    "sum by (status) (rate(switchyard_feedback_responses_total{OURS}[$__rate_interval]))", "{{status}}"
                )
            ],
        ),
        Panel(
            title="Decisions and outcomes",
            says="Single decisions, outcomes and deletions: accepted, refused, or not confirmed by Kafka.",
            unit="cps",
            stacked=True,
            queries=[
                Query(
                    "sum by (kind, result) (rate(switchyard_feedback_items_total{OURS}[$__rate_interval]))",
                    "{{kind}} {{result}}",
                )
            ],
        ),
        Panel(
            title="How long Kafka takes",
            says="How long Kafka took to confirm the events of a request; after 5 s products are asked to come again.",
            unit="s",
            queries=quantiles("switchyard_feedback_kafka_seconds"),
        ),
        Panel(
            title="Waiting for Kafka",
            says="Requests that wait for Kafka's word now.",
            queries=[Query("sum(switchyard_feedback_waiting{OURS})", "requests")],
        ),
    ],
)

MONITOR = Row(
    "The monitor",
    [
        Panel(
            title="Lag",
            says="Records in Kafka that are not committed to the database yet, by partition.",
            queries=[Query("max by (partition) (switchyard_monitor_lag_records{OURS})", "partition {{partition}}")],
        ),
        Panel(
            title="Age of the evidence",
            says="Everything up to so long ago was read; rollouts are decided on evidence of that age.",
            unit="s",
            queries=[Query("time() - max(switchyard_monitor_watermark_timestamp_seconds{OURS})", "age")],
        ),
        Panel(
            title="Records",
            says="Records committed, over all replicas, and those that a replay had them read once more.",
            unit="cps",
            queries=[
                Query(RATE % "switchyard_monitor_records_total", "records"),
                Query(
                    "sum(max by (partition) (rate(switchyard_monitor_replayed_records_total{OURS}[$__rate_interval])))",
                    "replayed",
                ),
            ],
        ),
        Panel(
            title="What became of records",
            says="Each record read is in one column of the ledger; `conflict`, `invalid`, `late` and `gaps` are worth a"
            " look.",
            unit="cps",
            stacked=True,
            queries=[
                Query(
                    "sum by (column) (max by (column, partition)"
                    " (rate(switchyard_monitor_events_total{OURS}[$__rate_interval])))",
                    "{{column}}",
                )
            ],
        ),
        Panel(
            title="Ledger",
            says="Records that wait for their deployment to be published, and records that no column of the ledger"
            " holds; the second is 0, or the counts are wrong.",
            least=None,
            queries=[
                Query("sum(max by (partition) (switchyard_monitor_held_records{OURS}))", "held"),
                Query("sum(max by (partition) (abs(switchyard_monitor_unaccounted_records{OURS})))", "unaccounted"),
            ],
        ),
        Panel(
            title="Dead letters",
            says="Records that can never be read and were set aside with their reason, and 1 while Kafka does not take"
            " them.",
            queries=[
                Query("sum(increase(switchyard_monitor_dead_letters_total{OURS}[$__rate_interval]))", "set aside"),
                Query("max(switchyard_monitor_dead_letters_waiting{OURS})", "waiting"),
            ],
        ),
        Panel(
            title="Stopped partitions",
            says="Partitions that the monitor reads no further until a person has looked.",
            kind="stat",
            queries=[Query("sum(max by (partition) (switchyard_monitor_partition_stopped{OURS}))")],
            colours=(("green", None), ("red", 1)),
        ),
        Panel(
            title="Records that tell nothing",
            says="Records of models that cannot be read, and events without the broker's own time: set"
            " message.timestamp.type=LogAppendTime on the topic.",
            unit="cps",
            queries=[
                Query(RATE % "switchyard_monitor_models_unreadable_total", "models unreadable"),
                Query(RATE % "switchyard_monitor_create_time_records_total", "without the broker's time"),
            ],
        ),
    ],
)

DATABASE = Row(
    "Database and volumes",
    [
        Panel(
            title="Transactions",
            says="How long one transaction of the monitor took, from the first record folded to the commit.",
            unit="s",
            queries=quantiles("switchyard_monitor_commit_seconds"),
        ),
        Panel(
            title="Passes undone",
            says="Passes of the monitor that an outage of the database or of Kafka undid; they are made again.",
            unit="cps",
            queries=[Query(RATE % "switchyard_monitor_failed_passes_total", "passes")],
        ),
        Panel(
            title="Volumes",
            says="How full each volume of this namespace is, as the kubelets say; the monitor's file and the gateways'"
            " spools are on such ones.",
            unit="percentunit",
            most=1,
            queries=[Query(f"1 - {CLAIMS % 'available'} / {CLAIMS % 'capacity'}", "{{persistentvolumeclaim}}")],
        ),
    ],
)

PIPELINE = Dashboard(
    "pipeline",
    "Switchyard / Pipeline",
    "From a request to evidence: the gateway, capture and its drops, feedback, the monitor's lag and ledgers, its"
    " database.",
    [GATEWAY, CAPTURE, FEEDBACK, MONITOR, DATABASE],
)
