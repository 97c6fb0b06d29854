"""Every alert as Prometheus' own tool judges it: it fires when it should, in these words, and is silent otherwise."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from switchyard_testkit.dashboards import questions
from switchyard_testkit.prometheus import program
from switchyard_testkit.rendering import NAMESPACE, RELEASE

JSON = dict[str, Any]
Series = Mapping[str, str]
MODEL = {"deployment": "shop/delay"}
ARM = MODEL | {"revision": "delay-2", "role": "candidate"}
DRIFT = MODEL | {"revision": "delay-1", "side": "X", "aspect": "missing"}
GATEWAY = {"pod": "switchyard-gateway-0"}
PRODUCT, MIRROR = ({"envoy_http_conn_manager_prefix": name} for name in ("product", "mirror"))
CLAIM = {"persistentvolumeclaim": "data-switchyard-monitor-0"}


def of(part: str, metric: str, /, **labels: str) -> str:
    """A series as it is scraped from a part."""
    whole = {"namespace": NAMESPACE, "job": f"{RELEASE}-{part}"} | labels
    return metric + "{" + ",".join(f'{name}="{value}"' for name, value in whole.items()) + "}"


def stays(value: float, minutes: int = 90) -> str:
    """The same at each minute."""
    return f"{float(value)}+0x{minutes}"


def grows(by: float, minutes: int = 90) -> str:
    """A counter."""
    return f"0+{by}x{minutes}"


def phase(name: str) -> str:
    return of("operator", "switchyard_rollout_phase_start_timestamp_seconds", **MODEL, phase=name)


def up(*parts: str, value: float = 1) -> Series:
    return {of(part, "up", instance=part): stays(value) for part in parts}


def claims(available: float) -> Series:
    name = "kubelet_volume_stats_{}_bytes"
    found = {"available": available, "capacity": 100.0}
    return {of("x", name.format(key), **CLAIM).replace("switchyard-x", "kubelet"): stays(found[key]) for key in found}


def database(used: float) -> Series:
    name = "switchyard_monitor_database_{}bytes"
    return {of("monitor", name.format(part)): stays(value) for part, value in (("", used), ("limit_", 100.0))}


@dataclass(frozen=True, kw_only=True)
class Case:
    """One alert: the series with which it fires, those with which it does not, and what it says."""

    fires: Series
    silent: Series
    says: str
    minutes: int = 60
    labels: Mapping[str, str]
    """Of the alert, beside its severity; those of a target are put in by `whose`."""
    whose: str = ""


PARTS = ("operator", "control", "shipper", "feedback", "monitor")
OPERATOR, MONITOR, SHIPPER, CONTROL, FEEDBACK = (
    f"switchyard_{each}" for each in ("operator", "monitor", "shipper", "control", "feedback")
)
AT_ONCE = {
    "RolledBack",
    "RolloutRefused",
    "ChildrenEdited",
    "NotificationsGivenUp",
    "RecordsDropped",
    "CaptureErrors",
    "Drift",
    "DeadLetters",
    "ModelsUnreadable",
}
"""What has happened, and does not pass by itself."""
CASES: dict[str, Case] = {
    "ServingUnavailable": Case(
        fires={of("operator", "switchyard_deployment_serving", **MODEL, state="Unavailable"): stays(1)},
        silent={of("operator", "switchyard_deployment_serving", **MODEL, state="Impaired"): stays(1)},
        says="shop/delay has had no ready pod behind its routes for at least 5 minutes.",
        labels=MODEL | {"state": "Unavailable"},
        whose="operator",
    ),
    "ServingImpaired": Case(
        fires={of("operator", "switchyard_deployment_serving", **MODEL, state="Impaired"): stays(1)},
        silent={of("operator", "switchyard_deployment_serving", **MODEL, state="Available"): stays(1)},
        says="shop/delay has been impaired for at least 15 minutes: a revision that is given traffic lacks ready pods.",
        labels=MODEL | {"state": "Impaired"},
        whose="operator",
    ),
    "RolloutStuck": Case(
        fires={phase("Provisioning"): stays(600)},
        silent={phase("Provisioning"): stays(2400), phase("Watching"): stays(0)},
        says="The rollout of shop/delay has been Provisioning for 50m 0s; half an hour is a long time for that.",
        labels=MODEL | {"phase": "Provisioning"},
        whose="operator",
    ),
    "RolloutHeld": Case(
        fires={phase("AwaitingEvidence"): stays(60, 1600)},
        silent={phase("Progressing"): stays(60, 1600), phase("Paused"): f"_x1000 {stays(60, 500)}"},
        minutes=1500,
        says="The rollout of shop/delay has been AwaitingEvidence since 1970-01-01 00:01:00 +0000 UTC, which is 24h or"
        " more.",
        labels=MODEL | {"phase": "AwaitingEvidence"},
        whose="operator",
    ),
    "RolledBack": Case(
        fires={phase("RolledBack"): stays(60)},
        silent={phase("Completed"): stays(60)},
        minutes=2,
        says="The newest model of shop/delay was taken back at 1970-01-01 00:01:00 +0000 UTC; the one before it serves,"
        " and what Git says is not what serves.",
        labels=MODEL | {"phase": "RolledBack"},
        whose="operator",
    ),
    "RolloutRefused": Case(
        fires={phase("Refused"): stays(60)},
        silent={phase("Superseded"): stays(60)},
        minutes=2,
        says="The newest model of shop/delay was refused at 1970-01-01 00:01:00 +0000 UTC: a gate said no, or it never"
        " became ready.",
        labels=MODEL | {"phase": "Refused"},
        whose="operator",
    ),
    "VerdictError": Case(
        fires={of("operator", "switchyard_rollout_verdict", **MODEL, metric="errors", verdict="Error"): stays(1)},
        silent={of("operator", "switchyard_rollout_verdict", **MODEL, metric="errors", verdict="NoData"): stays(1)},
        says="The metric errors of shop/delay has said Error for at least 10 minutes: its evidence cannot be had, or"
        " cannot be trusted.",
        labels=MODEL | {"metric": "errors", "verdict": "Error"},
        whose="operator",
    ),
    "PairsMissing": Case(
        fires={
            of("monitor", "switchyard_pair_coverage_ratio", **MODEL, revision="delay-2", against="delay-1"): stays(0.5),
            of("operator", "switchyard_rollout_mirror_ratio", **MODEL, revision="delay-2"): stays(0.95),
        },
        silent={  # of a rollout that is over, and of one that is well
            of("monitor", "switchyard_pair_coverage_ratio", **MODEL, revision="delay-2", against="delay-1"): stays(0.5),
            of("monitor", "switchyard_pair_coverage_ratio", **MODEL, revision="delay-3", against="delay-1"): stays(0.9),
            of("operator", "switchyard_rollout_mirror_ratio", **MODEL, revision="delay-3"): stays(0.95),
        },
        says="Of the requests of shop/delay that delay-2 should have answered beside delay-1, 50% have both answers;"
        " under 80 % nothing is judged by pairs.",
        labels=MODEL | {"revision": "delay-2", "against": "delay-1"},
    ),
    "ShadowNotCompared": Case(
        fires={of("operator", "switchyard_shadow_state", **MODEL, shadow="large", state="NotReady"): stays(1)},
        silent={of("operator", "switchyard_shadow_state", **MODEL, shadow="large", state="Comparing"): stays(1)},
        says="The shadow large of shop/delay has been NotReady for at least 15 minutes, so nothing is learned of it.",
        labels=MODEL | {"shadow": "large", "state": "NotReady"},
        whose="operator",
    ),
    "NoLeader": Case(
        fires={of("operator", f"{OPERATOR}_leading", pod=name): stays(0) for name in "ab"},
        silent={of("operator", f"{OPERATOR}_leading", pod=name): stays(name == "a") for name in "ab"},
        says="0 operators say that they lead; it must be 1. Without a leader no rollout moves, none is taken back, and"
        " nothing is repaired.",
        labels={},
    ),
    "OperatorNotReconciling": Case(
        fires={
            of("operator", f"{OPERATOR}_queue_depth"): stays(7),
            of("operator", f"{OPERATOR}_passes_total", result="done"): stays(90),
        },
        silent={
            of("operator", f"{OPERATOR}_queue_depth"): stays(7),
            of("operator", f"{OPERATOR}_passes_total", result="done"): grows(1),
        },
        says="At least 7 deployments have waited for a pass at any time of the last 10 minutes, and none was done.",
        labels={},
    ),
    "PassesFail": Case(
        fires={of("operator", f"{OPERATOR}_passes_total", result="failed"): grows(1)},
        silent={of("operator", f"{OPERATOR}_passes_total", result="failed"): stays(3)},
        says="15 passes failed within 15 minutes; the deployments concerned stay as they are.",
        labels={},
    ),
    "ApiErrors": Case(
        fires={
            of("operator", f"{OPERATOR}_api_requests_total", verb="GET", code="200"): grows(90),
            of("operator", f"{OPERATOR}_api_requests_total", verb="GET", code="<error>"): grows(10),
        },
        silent={
            of("operator", f"{OPERATOR}_api_requests_total", verb="GET", code="200"): grows(90),
            of("operator", f"{OPERATOR}_api_requests_total", verb="PATCH", code="409"): grows(10),
        },
        says="10% of the operator's requests to the API server were refused, failed or not answered within 10 minutes.",
        labels={},
    ),
    "ChildrenEdited": Case(
        fires={of("operator", f"{OPERATOR}_reasserted_total", kind="Deployment"): grows(1)},
        silent={of("operator", f"{OPERATOR}_reasserted_total", kind="Deployment"): grows(0.1)},
        says="Objects of the kind Deployment were changed by somebody else and put right 30 times within 30 minutes.",
        labels={"kind": "Deployment"},
    ),
    "NotificationsGivenUp": Case(
        fires={of("operator", f"{OPERATOR}_notifications_total", receiver="desk", result="gave-up"): grows(0.1)},
        silent={of("operator", f"{OPERATOR}_notifications_total", receiver="desk", result="failed"): grows(1)},
        says="The receiver desk was not told of 6 things within an hour.",
        labels={"receiver": "desk"},
    ),
    "RecordsDropped": Case(
        fires={of("operator", f"{OPERATOR}_dropped_records_total"): grows(2)},
        silent={of("operator", f"{OPERATOR}_dropped_records_total"): stays(2)},
        says="30 records were dropped within 15 minutes; the page's timeline lacks them.",
        labels={},
    ),
    "GatewayFailures": Case(
        fires={
            of("envoy", "envoy_http_downstream_rq_xx", **PRODUCT, envoy_response_code_class="2"): grows(900),
            of("envoy", "envoy_http_downstream_rq_xx", **PRODUCT, envoy_response_code_class="5"): grows(100),
        },
        silent={  # what a product asks wrongly, and what a shadow fails, is no failure of ours
            of("envoy", "envoy_http_downstream_rq_xx", **PRODUCT, envoy_response_code_class="4"): grows(900),
            of("envoy", "envoy_http_downstream_rq_xx", **PRODUCT, envoy_response_code_class="5"): stays(0),
            of("envoy", "envoy_http_downstream_rq_xx", **MIRROR, envoy_response_code_class="5"): grows(900),
        },
        says="10% of the answers of the last 5 minutes were 5xx, over all deployments.",
        labels={},
    ),
    "ModelFailures": Case(
        fires={
            of("monitor", name, **ARM, pod=pod): grows(by)
            for name, by in (("switchyard_requests_total", 100), ("switchyard_request_errors_total", 20))
            for pod in ("monitor-0", "monitor-1")  # each tells all that is in the database
        },
        silent={
            of("monitor", name, **(ARM | {"role": role})): grows(by)
            for name, by in (("switchyard_requests_total", 100), ("switchyard_request_errors_total", 50))
            for role in ("shadow",)
        },
        says="20% of the requests of shop/delay ended in a 5xx, a reset or a timeout within 15 minutes.",
        labels=MODEL,
    ),
    "EnvoyDisconnected": Case(
        fires={of("control", f"{CONTROL}_envoy_connected", **GATEWAY): stays(0)},
        silent={of("control", f"{CONTROL}_envoy_connected", **GATEWAY): f"{stays(1, 58)} 0 0"},
        says="The Envoy of switchyard-gateway-0 has not been connected for at least 2 minutes: it serves the routes"
        " that it has, or none, and rollouts are held.",
        labels=GATEWAY,
        whose="control",
    ),
    "RoutesStale": Case(
        fires={of("control", f"{CONTROL}_stale", **GATEWAY): stays(1)},
        silent={of("control", f"{CONTROL}_stale", **GATEWAY): stays(0)},
        says="switchyard-gateway-0 has not heard the API server for at least 5 minutes since it started, and serves"
        " what was last acknowledged.",
        labels=GATEWAY,
        whose="control",
    ),
    "RouteRejected": Case(
        fires={of("control", f"{CONTROL}_rejected_routes", **GATEWAY): stays(2)},
        silent={of("control", f"{CONTROL}_rejected_routes", **GATEWAY): stays(0)},
        says="switchyard-gateway-0 refuses 2 of its ModelRoutes, and serves what was acknowledged before.",
        labels=GATEWAY,
        whose="control",
    ),
    "CaptureOff": Case(
        fires={of("control", f"{CONTROL}_capture_enabled", **GATEWAY): stays(0)},
        silent={of("control", f"{CONTROL}_capture_enabled", **GATEWAY): stays(1)},
        says="switchyard-gateway-0 switched capture off at least 2 minutes ago, as its volume is full and the shipper"
        " does not free it; requests are answered, and are evidence of nothing.",
        labels=GATEWAY,
        whose="control",
    ),
    "SpoolVolumeFull": Case(
        fires={of("control", f"{CONTROL}_volume_used_ratio", **GATEWAY): stays(0.85)},
        silent={of("control", f"{CONTROL}_volume_used_ratio", **GATEWAY): stays(0.75)},
        says="The volume of switchyard-gateway-0 is 85% full; at 90 % nothing is recorded any more.",
        labels=GATEWAY,
        whose="control",
    ),
    "CaptureDrops": Case(
        fires={
            of("shipper", f"{SHIPPER}_dropped_total", reason="spool_full"): grows(5),
            of("shipper", f"{SHIPPER}_dropped_total", reason="too_large"): stays(0),
            of("shipper", f"{SHIPPER}_served_total"): grows(100),
        },
        silent={
            of("shipper", f"{SHIPPER}_dropped_total", reason="spool_full"): grows(5),
            of("shipper", f"{SHIPPER}_served_total"): grows(1000),
        },
        says="5% of the exchanges of the last 15 minutes reach nobody; over 1 % is worth a look at the reasons.",
        labels={},
    ),
    "AccountOpen": Case(
        fires={
            of("shipper", f"{SHIPPER}_unaccounted", **GATEWAY): stays(5000),
            of("shipper", f"{SHIPPER}_served_total", **GATEWAY): grows(600),
        },
        silent={  # what a busy gateway has under way
            of("shipper", f"{SHIPPER}_unaccounted", **GATEWAY): stays(500),
            of("shipper", f"{SHIPPER}_served_total", **GATEWAY): grows(600),
        },
        says="Of what switchyard-gateway-0 served, at least 5000 exchanges are neither delivered, nor spooled, nor"
        " counted as dropped; more than a minute's requests cannot be under way.",
        labels=GATEWAY,
        whose="shipper",
    ),
    "DeliveryLags": Case(
        fires={of("shipper", f"{SHIPPER}_oldest_age_seconds", **GATEWAY): stays(90)},
        silent={of("shipper", f"{SHIPPER}_oldest_age_seconds", **GATEWAY): stays(30)},
        says="The oldest exchange on the spool of switchyard-gateway-0 is 1m 30s old; evidence is at least as late.",
        labels=GATEWAY,
        whose="shipper",
    ),
    "CaptureErrors": Case(
        fires={of("shipper", "switchyard_gateway_capture_errors_total"): grows(1)},
        silent={of("shipper", "switchyard_gateway_capture_errors_total"): stays(4)},
        says="15 errors of the capture script within 15 minutes; the requests passed, and are not recorded whole.",
        labels={},
    ),
    "MirrorOverflow": Case(
        fires={
            of("shipper", "switchyard_gateway_mirror_overflow_total"): grows(10),
            of("envoy", "envoy_http_downstream_rq_total", **MIRROR): grows(190),
        },
        silent={
            of("shipper", "switchyard_gateway_mirror_overflow_total"): grows(1),
            of("envoy", "envoy_http_downstream_rq_total", **MIRROR): grows(190),
            of("envoy", "envoy_http_downstream_rq_total", **PRODUCT): grows(10),
        },
        says="5% of the copies of the last 15 minutes were let fall; over 1 % in a rollout leaves its pairs undecided.",
        labels={},
    ),
    "FeedbackUnavailable": Case(
        fires={
            of("feedback", f"{FEEDBACK}_responses_total", **MODEL, status="503"): grows(5),
            of("feedback", f"{FEEDBACK}_responses_total", **MODEL, status="202"): grows(95),
        },
        silent={
            of("feedback", f"{FEEDBACK}_responses_total", **MODEL, status="422"): grows(5),
            of("feedback", f"{FEEDBACK}_responses_total", **MODEL, status="202"): grows(95),
        },
        says="5% of what products sent within 5 minutes was answered 5xx; they must send it again.",
        labels={},
    ),
    "FeedbackRejects": Case(
        fires={
            of("feedback", f"{FEEDBACK}_responses_total", deployment="", status="401"): grows(10),
            of("feedback", f"{FEEDBACK}_responses_total", **MODEL, status="202"): grows(90),
        },
        silent={
            of("feedback", f"{FEEDBACK}_responses_total", **MODEL, status="422"): grows(5),
            of("feedback", f"{FEEDBACK}_responses_total", **MODEL, status="202"): grows(95),
        },
        says="100% of what was sent for deployments that the caller may not speak of within 15 minutes was refused;"
        " these outcomes and decisions are lost unless somebody mends the sender.",
        labels={},
    ),
    "MonitorLags": Case(
        fires={of("monitor", f"{MONITOR}_watermark_timestamp_seconds", pod=pod): stays(600) for pod in "ab"},
        silent={of("monitor", f"{MONITOR}_watermark_timestamp_seconds"): "0+60x90"},
        says="The monitor has read up to 50m 0s ago; all evidence is that old, and rollouts wait for it.",
        labels={},
    ),
    "PartitionStopped": Case(
        fires={of("monitor", f"{MONITOR}_partition_stopped", partition="3", pod=pod): stays(1) for pod in "ab"},
        silent={of("monitor", f"{MONITOR}_partition_stopped", partition="3"): stays(0)},
        says="The monitor reads partition 3 no further: offsets or the topic are not what they were, and it resets"
        " nothing by itself. Its /readyz says what is gone and which command reads on.",
        labels={"partition": "3"},
    ),
    "MonitorPassesFail": Case(
        fires={of("monitor", f"{MONITOR}_failed_passes_total"): grows(1)},
        silent={of("monitor", f"{MONITOR}_failed_passes_total"): stays(8)},
        says="10 passes were undone within 10 minutes; nothing is lost, and nothing new is counted.",
        labels={},
    ),
    "MonitorPaused": Case(
        fires={of("monitor", f"{MONITOR}_paused"): stays(1)},
        silent={of("monitor", f"{MONITOR}_paused"): stays(0)},
        says="Nothing has been read for at least 5 minutes: events wait in Kafka, which forgets them when they are as"
        " old as its retention.",
        labels={},
    ),
    "DatabaseFills": Case(
        fires=database(81),
        silent=database(79),
        says="It takes 81% of what it may; at the whole of it no events are read.",
        labels={},
    ),
    "RetentionHeld": Case(
        fires={of("monitor", f"{MONITOR}_retention_held"): stays(2, 1600)},
        silent={of("monitor", f"{MONITOR}_retention_held"): f"{stays(1, 800)} {stays(0, 800)}"},
        minutes=1500,
        says="For at least a day, of 2 deployments or clocks something has stayed that had its time; the database grows"
        " until a person looks.",
        labels={},
    ),
    "LedgerOpen": Case(
        fires={of("monitor", f"{MONITOR}_unaccounted_records", partition="2"): stays(-4)},
        silent={of("monitor", f"{MONITOR}_unaccounted_records", partition="2"): stays(0)},
        says="Of partition 2, 4 records were read and are in no column of the ledger, or in two; no count of it can be"
        " trusted until somebody knows why.",
        labels={"partition": "2"},
    ),
    "LabelLedgerOpen": Case(
        fires={
            of("monitor", f"{MONITOR}_labels", **MODEL, column=column): stays(value)
            for column, value in (("in", 100), ("joined", 80), ("orphan", 13))
        },
        silent={
            of("monitor", f"{MONITOR}_labels", **MODEL, column=column, pod=pod): stays(value)
            for column, value in (("in", 100), ("joined", 80), ("orphan", 13), ("deleted", 7))
            for pod in "ab"
        },
        says="7 decisions or outcomes of shop/delay came in and are neither joined, nor waiting, nor expired, nor"
        " deleted; its quality cannot be trusted until somebody knows why.",
        labels=MODEL,
    ),
    "OutcomesUnmatched": Case(
        fires={
            of("monitor", f"{MONITOR}_labels", **MODEL, column=column): stays(value)
            for column, value in (("in", 100), ("orphan", 25))
        },
        silent={
            of("monitor", f"{MONITOR}_labels", **MODEL, column=column): stays(value)
            for column, value in (("in", 100), ("orphan", 5))
        },
        minutes=70,
        says="25% of the decisions and outcomes of shop/delay wait for a prediction with their id.",
        labels=MODEL,
    ),
    "Drift": Case(
        fires={of("monitor", "switchyard_drift_paging_features", **DRIFT, pod=pod): stays(3) for pod in "ab"},
        silent={
            of("monitor", "switchyard_drift_paging_features", **DRIFT): stays(0),
            of("monitor", "switchyard_drift_features", **DRIFT): stays(3),
        },
        minutes=2,
        says="3 features of X of shop/delay (delay-1) differ from the baseline in missing by more than is usual, in"
        " two of the last three windows.",
        labels=DRIFT,
    ),
    "DeadLetters": Case(
        fires={of("monitor", f"{MONITOR}_dead_letters_total", pod=pod): grows(1) for pod in "ab"},
        silent={of("monitor", f"{MONITOR}_dead_letters_total"): stays(5)},
        says="30 records went to the topic of dead letters within 15 minutes, with the reason for each.",
        labels={},
    ),
    "DeadLettersWaiting": Case(
        fires={of("monitor", f"{MONITOR}_dead_letters_waiting"): stays(1)},
        silent={of("monitor", f"{MONITOR}_dead_letters_waiting"): stays(0)},
        says="Dead letters have waited in the monitor's database for at least 10 minutes; they are not lost, and nobody"
        " sees them.",
        labels={},
    ),
    "ModelsUnreadable": Case(
        fires={of("monitor", f"{MONITOR}_models_unreadable_total"): grows(1)},
        silent={of("monitor", f"{MONITOR}_models_unreadable_total"): stays(1)},
        says="15 records of models were passed over within 15 minutes; events of these deployments are held.",
        labels={},
    ),
    "TargetDown": Case(
        fires=up("shipper", value=0),
        silent=up("shipper") | {f'up{{namespace="{NAMESPACE}",job="shop"}}': stays(0)},
        says="switchyard-shipper at shipper has not answered /metrics for at least 5 minutes.",
        labels={"instance": "shipper"},
        whose="shipper",
    ),
    "PartAbsent": Case(
        fires=up("operator", "control", "shipper", "feedback"),
        silent=up(*PARTS, value=0),
        says="Prometheus has known no target of switchyard-monitor for at least 10 minutes: it has no pod, or is no"
        " longer scraped, and no other alert speaks of it.",
        labels={},
        whose="monitor",
    ),
    "VersionsDiffer": Case(
        fires={
            of(part, "switchyard_build_info", part=part, version=part): stays(1) for part in ("operator", "monitor")
        },
        silent={of(part, "switchyard_build_info", part=part, version="1"): stays(1) for part in PARTS},
        minutes=70,
        says="2 versions of the parts have run beside each other for at least an hour; an upgrade did not end.",
        labels={},
    ),
    "VolumeFull": Case(
        fires=claims(10),
        silent=claims(20),
        says="The volume data-switchyard-monitor-0 is 90% full.",
        labels=CLAIM,
    ),
}


@pytest.fixture(scope="module")
def rules(tmp_path_factory: pytest.TempPathFactory) -> JSON:
    return questions.rules(questions.rendered(tmp_path_factory.mktemp("chart")))


def promtool(folder: Path, rules: JSON, *words: str) -> subprocess.CompletedProcess[str]:
    (folder / "rules.json").write_text(json.dumps(rules), encoding="utf-8")
    return subprocess.run([program("promtool"), *words], cwd=folder, capture_output=True, text=True, check=False)


def judged(folder: Path, rules: JSON, name: str, series: Series, *, minutes: int, expected: list[JSON]) -> str:
    """What promtool has to say against it; empty when it is as expected."""
    test = {
        "interval": "1m",
        "input_series": [{"series": key, "values": value} for key, value in series.items()],
        "alert_rule_test": [{"eval_time": f"{minutes}m", "alertname": f"Switchyard{name}", "exp_alerts": expected}],
    }
    document = {"rule_files": ["rules.json"], "evaluation_interval": "1m", "tests": [test]}
    (folder / "test.json").write_text(json.dumps(document), encoding="utf-8")
    # Alone, as each rule that is evaluated costs time.
    alone = {"groups": [{"name": "alone", "rules": [rule(rules, name)]}]}
    done = promtool(folder, alone, "test", "rules", "test.json")
    return "" if done.returncode == 0 else done.stdout + done.stderr


def rule(rules: JSON, name: str) -> JSON:
    return next(each for each in questions.alerts(rules) if each["alert"] == f"Switchyard{name}")


def test_prometheus_takes_the_rules(rules: JSON, tmp_path: Path) -> None:
    done = promtool(tmp_path, rules, "check", "rules", "--lint=all", "--lint-fatal", "rules.json")
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"SUCCESS: {len(CASES)} rules found" in done.stdout


def test_there_is_a_case_for_each_alert(rules: JSON) -> None:
    assert [f"Switchyard{name}" for name in CASES] == [alert["alert"] for alert in questions.alerts(rules)]


@pytest.mark.parametrize("name", list(CASES))
def test_it_fires_when_it_should_and_says_what_is_wrong_in_numbers(name: str, rules: JSON, tmp_path: Path) -> None:
    case, asked = CASES[name], rule(rules, name)
    target = {"namespace": NAMESPACE, "job": f"{RELEASE}-{case.whose}"} if case.whose else {}
    expected = {
        "exp_labels": asked["labels"] | dict(case.labels) | target,
        "exp_annotations": asked["annotations"] | {"description": case.says},
    }
    assert judged(tmp_path, rules, name, case.fires, minutes=case.minutes, expected=[expected]) == ""


@pytest.mark.parametrize("name", list(CASES))
def test_it_is_silent_when_all_is_well_or_too_young(name: str, rules: JSON, tmp_path: Path) -> None:
    case = CASES[name]
    assert judged(tmp_path, rules, name, case.silent, minutes=case.minutes, expected=[]) == ""
    assert ("for" in rule(rules, name)) is (name not in AT_ONCE)
    if name not in AT_ONCE:
        assert judged(tmp_path, rules, name, case.fires, minutes=0, expected=[]) == ""


def test_another_installation_in_the_cluster_wakes_nobody(rules: JSON, tmp_path: Path) -> None:
    for name, case in CASES.items():
        others = {key.replace(NAMESPACE, "elsewhere"): values for key, values in case.fires.items()}
        if name != "PartAbsent":
            assert judged(tmp_path, rules, name, others, minutes=case.minutes, expected=[]) == "", name
