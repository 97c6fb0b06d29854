"""Rules about the revision that serves: what can be said, and by which path and remedy all else is refused."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from switchyard_contracts import acceptance
from switchyard_contracts.acceptance import SpecRejected
from switchyard_contracts.alarms import Alarm
from switchyard_contracts.model_deployment import Monitoring

MONITORING: dict[str, Any] = {
    "prediction": {"path": "$.delay", "task": "regression"},
    "decision": {"tolerance": 5},
    "outcome": {"horizon": "7d", "judgedAfter": "12h", "affectedBy": "nothing"},
    "reference": f"sha256:{'a' * 64}",
}


def monitoring(*alarms: dict[str, Any], **said: Any) -> dict[str, Any]:
    return {**MONITORING, "alarms": [{"name": "r", **alarm} for alarm in alarms], **said}


def test_who_has_no_rules_is_told_of_in_words_that_a_monitor_of_before_can_read() -> None:
    assert {"alarms", "retrain"}.isdisjoint(Monitoring.model_validate(MONITORING).to_json())


def refused(said: dict[str, Any]) -> str:
    with pytest.raises(SpecRejected) as caught:
        acceptance.read({"model": {"image": "models/delay:1"}, "monitoring": said})
    return str(caught.value)


@pytest.mark.parametrize(
    ("said", "span"),
    [
        pytest.param({"metric": "error_rate", "max": "1%"}, timedelta(hours=1), id="errors"),
        pytest.param({"metric": "latency_p99", "max": "200ms"}, timedelta(hours=1), id="latency"),
        pytest.param({"metric": "requests", "min": 1}, timedelta(hours=1), id="silence"),
        pytest.param({"metric": "outcome.rmse", "max": "12.5", "clear": "11"}, timedelta(days=1), id="quality"),
        pytest.param({"metric": "outcome.coverage", "min": "80%", "clear": "90%"}, timedelta(days=1), id="coverage"),
        pytest.param({"metric": "decision.agreement", "min": "60%"}, timedelta(days=1), id="agreement"),
        pytest.param({"metric": "data.missing", "max": "5%", "feature": "carrier"}, timedelta(hours=1), id="missing"),
        pytest.param({"metric": "drift"}, None, id="drift of any feature"),
        pytest.param({"metric": "drift", "max": 3, "clear": 1}, None, id="drift of more than three"),
        pytest.param({"metric": "drift", "feature": "distance"}, None, id="drift of one feature"),
        pytest.param({"metric": "error_rate", "max": "1%", "window": "15m"}, timedelta(minutes=15), id="a window"),
    ],
)
def test_what_can_be_watched_and_in_which_windows(said: dict[str, Any], span: timedelta | None) -> None:
    (alarm,) = Monitoring.model_validate(monitoring(said)).alarms
    assert alarm.span(timedelta(minutes=5)) == span
    assert Alarm.model_validate(alarm.to_json()) == alarm


@pytest.mark.parametrize(
    ("said", "after"),
    [
        pytest.param({"window": "5m"}, timedelta(seconds=30), id="a tenth"),
        pytest.param({"window": "1d"}, timedelta(minutes=5), id="at most five minutes"),
        pytest.param({"window": "1d", "after": "2h"}, timedelta(hours=2), id="as it is said"),
        pytest.param({"window": "1d", "after": "0s"}, timedelta(0), id="at once"),
    ],
)
def test_how_long_events_are_waited_for(said: dict[str, Any], after: timedelta) -> None:
    (alarm,) = Monitoring.model_validate(monitoring({"metric": "requests", "min": 1, **said})).alarms
    assert alarm.window is not None
    assert alarm.settled(alarm.window) == after


def test_windows_are_no_shorter_than_what_they_are_made_of() -> None:
    (alarm,) = Monitoring.model_validate(monitoring({"metric": "requests", "min": 1}, window="2h")).alarms
    assert alarm.span(timedelta(hours=2)) == timedelta(hours=2)


@pytest.mark.parametrize(
    ("said", "sentence"),
    [
        pytest.param(
            monitoring({"metric": "outcome.rsme", "max": "1"}),
            "spec.monitoring.alarms[0].metric: 'outcome.rsme' is not a known metric; use error_rate",
            id="an unknown metric",
        ),
        pytest.param(
            monitoring({"metric": "error_rate"}), "an alarm on error_rate is held to max; set that", id="no limit"
        ),
        pytest.param(
            monitoring({"metric": "requests", "max": 5}), "an alarm on requests is held to min", id="the other limit"
        ),
        pytest.param(
            monitoring({"metric": "drift", "min": 5}), "an alarm on drift is held to max", id="a floor for drift"
        ),
        pytest.param(
            monitoring({"metric": "error_rate", "max": "5"}), "max: '5' must be a share, such as \"5%\"", id="a unit"
        ),
        pytest.param(
            monitoring({"metric": "latency_p95", "max": "1s", "clear": "5%"}),
            "clear: '5%' must be a time",
            id="its unit",
        ),
        pytest.param(
            monitoring({"metric": "outcome.mae", "max": "5", "clear": "6"}),
            "clear: 6 is itself beyond max (5); write one below it",
            id="cleared beyond the limit",
        ),
        pytest.param(
            monitoring({"metric": "requests", "min": 5, "clear": 4}),
            "clear: 4 is itself beyond min (5); write one above it",
            id="cleared below the floor",
        ),
        pytest.param(
            monitoring({"metric": "drift", "breaches": 4}), "breaches: 4 of 3 windows can never be", id="k above n"
        ),
        pytest.param(
            monitoring({"metric": "drift", "feature": "x", "max": 2}), "max: says how many features", id="one, and two"
        ),
        pytest.param(
            monitoring({"metric": "requests", "min": 1, "window": "7m"}),
            "alarms[0].window: 7m is no multiple of monitoring.window (5m)",
            id="a window of parts of windows",
        ),
        pytest.param(
            monitoring({"metric": "requests", "min": 1, "window": "31d"}), "31d is not within 30d", id="a long window"
        ),
        pytest.param(
            monitoring({"metric": "requests", "min": 1, "cooldown": "91d"}), "91d is longer than 90d", id="a cool-down"
        ),
        pytest.param(
            monitoring({"metric": "outcome.rmse", "max": "5", "after": "1h"}),
            "after: outcome.rmse is judged at outcome.judgedAfter; leave it out",
            id="another age for labels",
        ),
        pytest.param(
            monitoring({"metric": "outcome.accuracy", "min": "80%"}),
            "alarms[0].metric: outcome.accuracy is not known of a regression",
            id="another task's",
        ),
        pytest.param(
            monitoring({"metric": "decision.agreement", "min": "80%"}, decision=None),
            "alarms[0].metric: decision.agreement needs monitoring.decision",
            id="decisions that nobody tells",
        ),
        pytest.param(
            monitoring({"metric": "drift"}, {"metric": "drift"}), "alarms[1].name: 'r' is taken", id="one name twice"
        ),
        pytest.param(
            monitoring({"metric": "drift"}, retrain={"alarms": ["q"]}),
            "retrain.alarms[0]: no alarm is called 'q'",
            id="an alarm that there is not",
        ),
        pytest.param(
            monitoring({"metric": "drift"}, retrain={"alarms": ["r"], "cooldown": "0s"}),
            "0s is not from 1s",
            id="no pause",
        ),
        pytest.param(
            monitoring({"metric": "drift"}, retrain={"alarms": ["r"], "job": {"image": "t:1", "within": "8d"}}),
            "spec.monitoring.retrain.job: within: 8d is not from 1s to 7d",
            id="a long training",
        ),
        pytest.param(
            monitoring(
                {"metric": "drift"},
                retrain={"alarms": ["r"], "job": {"image": "t:1"}, "webhook": {"url": "https://train.example/"}},
            ),
            "set at most one of job and webhook",
            id="two ways",
        ),
    ],
)
def test_what_cannot_be_is_refused_by_its_path_with_what_helps(said: dict[str, Any], sentence: str) -> None:
    assert sentence in refused(said)


def test_others_are_told_when_it_is_retrained_and_not_how() -> None:
    said = monitoring({"metric": "drift"}, retrain={"alarms": ["r"], "cooldown": "3d", "job": {"image": "train:1"}})
    retrain = Monitoring.model_validate(said).retrain
    assert retrain is not None
    assert retrain.published.to_json() == {"alarms": ["r"], "cooldown": "3d"}
