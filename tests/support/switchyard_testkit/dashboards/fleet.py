"""All deployments at once: how they serve, which rollouts are under way or wait, and how the operator is."""

from __future__ import annotations

from switchyard_testkit.dashboards.panels import Dashboard, Panel, Query, Row

AGE = "sum by (deployment, phase) (time() - switchyard_rollout_phase_start_timestamp_seconds{OURS,phase=~%s})"

DEPLOYMENTS = Row(
    "Deployments",
    [
        Panel(
            title="Deployments",
            says="How many ModelDeployments have a rollout behind them or under way.",
            kind="stat",
            width=4,
            queries=[Query("sum(switchyard_operator_rollouts{OURS})")],
        ),
        Panel(
            title="What users get",
            says="Deployments by what their users get now: Available, Impaired (a revision with traffic lacks ready"
            " pods) or Unavailable (nobody can answer).",
            kind="stat",
            width=8,
            queries=[Query("sum by (state) (switchyard_deployment_serving{OURS})", "{{state}}")],
        ),
        Panel(
            title="Deployments by phase",
            says="Deployments by the phase of their newest rollout. Completed is at rest; RolledBack and Refused wait"
            " for a newer model or a person.",
            width=12,
            stacked=True,
            queries=[Query("sum by (phase) (switchyard_operator_rollouts{OURS})", "{{phase}}")],
        ),
    ],
)

ROLLOUTS = Row(
    "Rollouts",
    [
        Panel(
            title="Under way",
            says="Rollouts that move by themselves, and how long each has been in its phase.",
            kind="table",
            unit="s",
            value="in this phase for",
            queries=[Query(AGE % '"Pending|Provisioning|Shadowing|Progressing|Promoting|Watching|RollingBack"')],
        ),
        Panel(
            title="Waiting",
            says="Rollouts that wait for a gate, for evidence or for a person, and how long; `kubectl switchyard why`"
            " says for what, in numbers.",
            kind="table",
            unit="s",
            value="waits for",
            queries=[Query(AGE % '"Gating|AwaitingEvidence|Paused|Suspended"')],
        ),
        Panel(
            title="Taken back or refused",
            says="Deployments whose newest model does not serve, and since when.",
            kind="table",
            unit="s",
            value="since",
            queries=[Query(AGE % '"RolledBack|Refused"')],
        ),
        Panel(
            title="Verdicts",
            says="What the metrics of all analyses say now. Error is evidence that cannot be had or trusted, and is"
            " never taken for a failure.",
            stacked=True,
            width=12,
            queries=[Query("sum by (verdict) (switchyard_rollout_verdict{OURS})", "{{verdict}}")],
        ),
        Panel(
            title="Shadows",
            says="The shadows beside all deployments, by where they stand. NotReady and Refused are compared with"
            " nothing.",
            stacked=True,
            width=12,
            queries=[Query("sum by (state) (switchyard_shadow_state{OURS})", "{{state}}")],
        ),
    ],
)

OPERATOR = Row(
    "The operator",
    [
        Panel(
            title="Leaders",
            says="How many operators say that they lead; it must be 1.",
            kind="stat",
            width=4,
            queries=[Query("sum(switchyard_operator_leading{OURS})")],
            colours=(("red", None), ("green", 1), ("red", 2)),
        ),
        Panel(
            title="Waiting for a pass",
            says="Deployments that wait for a pass of the operator. A queue that does not empty is an operator that"
            " cannot keep up.",
            width=10,
            queries=[Query("max(switchyard_operator_queue_depth{OURS})", "deployments")],
        ),
        Panel(
            title="Passes",
            says="Passes of the operator by how they ended. Failed is an error that it does not know; later is one"
            " that it waits out.",
            unit="cps",
            width=10,
            queries=[
                Query("sum by (result) (rate(switchyard_operator_passes_total{OURS}[$__rate_interval]))", "{{result}}")
            ],
        ),
        Panel(
            title="How long a pass takes",
            says="The median and the 99th percentile of a pass.",
            unit="s",
            queries=[
                Query(
                    f"histogram_quantile({share}, sum by (le)"
                    " (rate(switchyard_operator_pass_seconds_bucket{OURS}[$__rate_interval])))",
                    name,
                )
                for share, name in ((0.5, "p50"), (0.99, "p99"))
            ],
        ),
        Panel(
            title="Requests to the API server",
            says="The operator's requests by status code; <error> is no answer at all. 403 is a right that its role"
            " lacks.",
            unit="reqps",
            queries=[
                Query(
                    "sum by (code) (rate(switchyard_operator_api_requests_total{OURS}[$__rate_interval]))", "{{code}}"
                )
            ],
        ),
        Panel(
            title="How long the API server takes",
            says="The 99th percentile of the API server's answers, by method.",
            unit="s",
            queries=[
                Query(
                    "histogram_quantile(0.99, sum by (le, verb)"
                    " (rate(switchyard_operator_api_request_seconds_bucket{OURS}[$__rate_interval])))",
                    "{{verb}}",
                )
            ],
        ),
        Panel(
            title="Writes",
            says="What the operator writes, by kind. While nothing changes it writes nothing but its Lease.",
            unit="wps",
            queries=[
                Query(
                    "sum by (verb, kind) (rate(switchyard_operator_writes_total{OURS}[$__rate_interval]))",
                    "{{verb}} {{kind}}",
                )
            ],
        ),
        Panel(
            title="Put right",
            says="Objects of the operator's that somebody else had changed, and that it put right.",
            queries=[
                Query(
                    "sum by (kind) (increase(switchyard_operator_reasserted_total{OURS}[$__rate_interval]))", "{{kind}}"
                )
            ],
        ),
        Panel(
            title="Notifications and records",
            says="Tries to tell receivers, by how they ended, and records for Kafka that were dropped as it was away.",
            queries=[
                Query(
                    "sum by (receiver, result)"
                    " (increase(switchyard_operator_notifications_total{OURS}[$__rate_interval]))",
                    "{{receiver}} {{result}}",
                ),
                Query(
                    "sum(increase(switchyard_operator_dropped_records_total{OURS}[$__rate_interval]))",
                    "records dropped",
                ),
            ],
        ),
        Panel(
            title="Age of the last watch event",
            says="How long the operator has heard nothing from its watches. An idle cluster is silent too; beside"
            " changes that are seen elsewhere, silence is a watch that died.",
            unit="s",
            queries=[Query("min(switchyard_operator_last_event_age_seconds{OURS})", "age")],
        ),
    ],
)

PARTS = Row(
    "The parts",
    [
        Panel(
            title="Parts that answer",
            says="Targets of each part that answer Prometheus.",
            queries=[Query("sum by (job) (up{OURS})", "{{job}}")],
        ),
        Panel(
            title="Versions",
            says="Which versions of the parts run. More than one for long is an upgrade that did not end.",
            kind="table",
            value="pods",
            queries=[Query("count by (part, version) (switchyard_build_info{OURS})")],
        ),
        Panel(
            title="CPU",
            says="Cores that each part's processes take.",
            queries=[
                Query(
                    "sum by (part) (rate(process_cpu_seconds_total{OURS}[$__rate_interval])"
                    " * on (job, instance) group_left (part) switchyard_build_info{OURS})",
                    "{{part}}",
                )
            ],
        ),
        Panel(
            title="Memory",
            says="Resident memory of each part's processes.",
            unit="bytes",
            queries=[
                Query(
                    "sum by (part) (process_resident_memory_bytes{OURS}"
                    " * on (job, instance) group_left (part) switchyard_build_info{OURS})",
                    "{{part}}",
                )
            ],
        ),
    ],
)

FLEET = Dashboard(
    "fleet",
    "Switchyard / Fleet",
    "All deployments of one installation: what users get, rollouts under way and waiting, verdicts, the operator.",
    [DEPLOYMENTS, ROLLOUTS, OPERATOR, PARTS],
)
