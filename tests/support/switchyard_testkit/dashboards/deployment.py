"""One deployment: who is given which share, how its revisions answer, and what the evidence says."""

from __future__ import annotations

from switchyard_testkit.dashboards.panels import Dashboard, Panel, Query, Row

REVISION = "{{revision}} {{role}}"
RATE = "max by (revision, role) (rate(%s{THIS}[$__rate_interval]))"
QUANTILE = "histogram_quantile(%s, max by (revision, role, le) (rate(%s_bucket{THIS}[$__rate_interval])))"
NOW = "max by (revision, role) (%s{THIS})"
PAIR = "max by (revision, against) (%s{THIS})"
BESIDE = "{{revision}} beside {{against}}"

STANDING = Row(
    "Where it stands",
    [
        Panel(
            title="What users get",
            says="Available, Impaired (a revision with traffic lacks ready pods) or Unavailable (nobody can answer).",
            kind="stat",
            width=6,
            height=6,
            queries=[Query("max by (state) (switchyard_deployment_serving{THIS})", "{{state}}")],
        ),
        Panel(
            title="Phase of the newest rollout",
            says="The phase that the newest rollout is in, and how long it has been.",
            kind="stat",
            unit="s",
            width=6,
            height=6,
            queries=[
                Query("max by (phase) (time() - switchyard_rollout_phase_start_timestamp_seconds{THIS})", "{{phase}}")
            ],
        ),
        Panel(
            title="Verdicts",
            says="What each metric of the analysis says now, and each metric of its shadows; why stands in the status"
            " and on the monitor's page, in numbers.",
            kind="table",
            width=12,
            height=6,
            value="says so",
            queries=[Query("max by (metric, verdict) (switchyard_rollout_verdict{THIS})")],
        ),
    ],
)

TRAFFIC = Row(
    "Traffic",
    [
        Panel(
            title="Weights",
            says="The share of the traffic that each revision is given by the ModelRoute.",
            unit="percentunit",
            most=1,
            stacked=True,
            queries=[Query(NOW % "switchyard_rollout_weight_ratio", REVISION)],
        ),
        Panel(
            title="Mirrored",
            says="The share of the traffic that is mirrored to a revision; its answers reach nobody.",
            unit="percentunit",
            most=1,
            queries=[Query("max by (revision) (switchyard_rollout_mirror_ratio{THIS})", "{{revision}}")],
        ),
        Panel(
            title="Requests",
            says="Exchanges of each revision, in each role, as the monitor counted them: late by its lag.",
            unit="reqps",
            queries=[Query(RATE % "switchyard_requests_total", REVISION)],
        ),
        Panel(
            title="Failures",
            says="The share of each revision's requests that ended in a 5xx, a reset or a timeout.",
            unit="percentunit",
            queries=[
                Query(
                    f"{RATE % 'switchyard_request_errors_total'} / ({RATE % 'switchyard_requests_total'} > 0)", REVISION
                )
            ],
        ),
        Panel(
            title="Answered by stable instead",
            says="Requests that were meant for a revision without a healthy pod, and that stable answered in its place."
            " They count against the one that they were meant for.",
            unit="reqps",
            queries=[Query(RATE % "switchyard_failovers_total", REVISION)],
        ),
        Panel(
            title="Latency, median",
            says="The median time from the first byte out to a revision to the last byte in.",
            unit="s",
            queries=[Query(QUANTILE % ("0.5", "switchyard_request_latency_seconds"), REVISION)],
        ),
        Panel(
            title="Latency, 99th percentile",
            says="The time within which 99 of 100 requests of a revision were answered.",
            unit="s",
            queries=[Query(QUANTILE % ("0.99", "switchyard_request_latency_seconds"), REVISION)],
        ),
        Panel(
            title="Healthy pods, as Envoy sees them",
            says="Pods that the gateways send requests of the deployments in this namespace to, by cluster; a"
            " revision's `/only` is the one without failover to stable.",
            queries=[
                Query(
                    "min by (envoy_cluster_name) (envoy_cluster_membership_healthy"
                    '{OURS,envoy_cluster_name=~"${deployment}-.*"})',
                    "{{envoy_cluster_name}}",
                )
            ],
        ),
        Panel(
            title="Answers, as Envoy counts them",
            says="Answers of each cluster by the class of their status, at once and without the monitor.",
            unit="reqps",
            queries=[
                Query(
                    "sum by (envoy_cluster_name, envoy_response_code_class) (rate(envoy_cluster_upstream_rq_xx"
                    '{OURS,envoy_cluster_name=~"${deployment}-.*"}[$__rate_interval]))',
                    "{{envoy_cluster_name}} {{envoy_response_code_class}}xx",
                )
            ],
        ),
    ],
)

QUALITY = Row(
    "Outcomes and decisions",
    [
        Panel(
            title="Predictions and judged ones",
            says="Predictions of each revision so far, and those of them that had an outcome at the age at which they"
            " are judged (`outcome.judgedAfter`).",
            queries=[
                Query(NOW % "switchyard_predictions_total", f"{REVISION} predictions"),
                Query(NOW % "switchyard_outcome_judged", f"{REVISION} judged"),
            ],
        ),
        Panel(
            title="Coverage",
            says="The share of predictions that are judged. Arms whose shares differ are not compared; one that falls"
            " says that outcomes no longer arrive.",
            unit="percentunit",
            most=1,
            queries=[Query(NOW % "switchyard_outcome_coverage_ratio", REVISION)],
        ),
        Panel(
            title="Delay of outcomes",
            says="How long after the prediction its first outcome came: the median and the 95th percentile. Outcomes"
            " that come after `judgedAfter` are not judged.",
            unit="s",
            queries=[
                Query(QUANTILE % ("0.5", "switchyard_outcome_delay_seconds"), f"{REVISION} p50"),
                Query(QUANTILE % ("0.95", "switchyard_outcome_delay_seconds"), f"{REVISION} p95"),
            ],
        ),
        Panel(
            title="Error of numbers",
            says="Root mean squared and mean absolute error against the outcome, over all that was judged, in the unit"
            " of the prediction. Numbers of different days do not compare revisions; pairs do.",
            queries=[
                Query(NOW % "switchyard_outcome_rmse", f"{REVISION} RMSE"),
                Query(NOW % "switchyard_outcome_mae", f"{REVISION} MAE"),
            ],
        ),
        Panel(
            title="Bias",
            says="The mean of prediction less outcome, over all that was judged, in the unit of the prediction.",
            least=None,
            queries=[Query(NOW % "switchyard_outcome_bias", REVISION)],
        ),
        Panel(
            title="Right classes",
            says="The share of judged predictions that named the right class; of classifications only.",
            unit="percentunit",
            most=1,
            queries=[Query(NOW % "switchyard_outcome_accuracy_ratio", REVISION)],
        ),
        Panel(
            title="Decisions that follow",
            says="The share of people's decisions that followed the prediction.",
            unit="percentunit",
            most=1,
            queries=[Query(NOW % "switchyard_decision_agreement_ratio", REVISION)],
        ),
        Panel(
            title="Labels",
            says="What became of decisions and outcomes: joined to a prediction, waiting for one (orphan), having"
            " waited in vain (expired), deleted. `in` is the sum of the others.",
            queries=[Query("max by (column) (switchyard_monitor_labels{THIS})", "{{column}}")],
        ),
        Panel(
            title="Feedback",
            says="What products sent for this deployment, by the status that they were answered with.",
            unit="reqps",
            queries=[
                Query(
                    "sum by (status) (rate(switchyard_feedback_responses_total{THIS}[$__rate_interval]))", "{{status}}"
                )
            ],
        ),
    ],
)

DRIFT = Row(
    "Drift",
    [
        Panel(
            title="Features that drift",
            says="Features of X and of Y that differ from the baseline by more than is usual, in the last window that"
            " is over, by what of them does.",
            queries=[
                Query(
                    "max by (revision, side, aspect) (switchyard_drift_features{THIS})",
                    "{{revision}} {{side}} {{aspect}}",
                )
            ],
        ),
        Panel(
            title="Features that drift for long",
            says="Those that do in two of the last three windows, by a baseline that can say what is usual.",
            queries=[
                Query(
                    "max by (revision, side, aspect) (switchyard_drift_paging_features{THIS})",
                    "{{revision}} {{side}} {{aspect}}",
                )
            ],
        ),
        Panel(
            title="Largest PSI",
            says="The largest population stability index of any feature in that window. It depends on the window's"
            " size; what is usual is found by the features above.",
            queries=[Query("max by (revision, side) (switchyard_drift_largest_psi{THIS})", "{{revision}} {{side}}")],
        ),
        Panel(
            title="Age of the last window",
            says="How long ago the last window that was judged for drift was over.",
            unit="s",
            queries=[
                Query(
                    "time() - max by (revision) (switchyard_drift_window_end_timestamp_seconds{THIS})", "{{revision}}"
                )
            ],
        ),
    ],
)

PAIRS = Row(
    "Pairs and shadows",
    [
        Panel(
            title="Pairs",
            says="Requests that a mirrored revision and stable have both answered, and those of them with an outcome.",
            queries=[
                Query(PAIR % "switchyard_pairs_total", f"{BESIDE} pairs"),
                Query(PAIR % "switchyard_pair_judged", f"{BESIDE} judged"),
            ],
        ),
        Panel(
            title="Coverage of pairs",
            says="The share of predictions that should have both answers and have. Under 0.8 nothing is judged by"
            " pairs.",
            unit="percentunit",
            most=1,
            queries=[Query(PAIR % "switchyard_pair_coverage_ratio", BESIDE)],
        ),
        Panel(
            title="Same answers",
            says="The share of pairs in which both gave the same answer.",
            unit="percentunit",
            most=1,
            queries=[Query(PAIR % "switchyard_pair_agreement_ratio", BESIDE)],
        ),
        Panel(
            title="Difference of losses",
            says="The mean squared error (or share of wrong classes) of the mirrored revision less stable's on the same"
            " predictions: below 0 it is the better one. Whether that is proven, the verdict says.",
            least=None,
            queries=[Query(PAIR % "switchyard_pair_loss_difference", BESIDE)],
        ),
        Panel(
            title="Difference of latencies",
            says="The mean latency of the mirrored revision less stable's on the same requests.",
            unit="s",
            least=None,
            queries=[Query(PAIR % "switchyard_pair_latency_difference_seconds", BESIDE)],
        ),
        Panel(
            title="Shadows",
            says="Pairs of each shadow since it is compared with what serves now.",
            queries=[Query("max by (shadow) (switchyard_shadow_pairs{THIS})", "{{shadow}}")],
        ),
        Panel(
            title="Where shadows stand",
            says="Each shadow's state; NotReady and Refused are compared with nothing.",
            kind="table",
            width=12,
            value="is so",
            queries=[Query("max by (shadow, state) (switchyard_shadow_state{THIS})")],
        ),
        Panel(
            title="Verdicts on shadows",
            says="What each decide metric says of a shadow and the revision that serves.",
            kind="table",
            width=12,
            value="says so",
            queries=[Query("max by (shadow, metric, verdict) (switchyard_shadow_verdict{THIS})")],
        ),
    ],
)

DEPLOYMENT = Dashboard(
    "deployment",
    "Switchyard / Deployment",
    "One deployment: weights, requests, failures and latency by revision, quality with coverage, drift, pairs,"
    " shadows.",
    [STANDING, TRAFFIC, QUALITY, DRIFT, PAIRS],
    {"deployment": "label_values(switchyard_rollout_phase_start_timestamp_seconds{OURS}, deployment)"},
)
