"""The alerts that the chart carries: each says what it is about, in sentences with numbers, and has its page."""

from __future__ import annotations

import re
from typing import Any

import pytest
import yaml
from switchyard_testkit.dashboards import questions
from switchyard_testkit.exposition import documented
from switchyard_testkit.rendering import CHART

JSON = dict[str, Any]
RULES: JSON = yaml.safe_load((CHART / "files" / "rules.yaml").read_text(encoding="utf-8"))
RUNBOOK = (CHART / "RUNBOOK.md").read_text(encoding="utf-8")
SECTIONS = dict(section.split("\n", 1) for section in RUNBOOK.split("\n## ")[1:])
PARTS = ("operator", "control", "shipper", "feedback", "monitor")
FOREIGN = ("envoy_", "kubelet_volume_stats_", "up")
STEPS = ("**What it means.** ", "**How to look.** ", "**What to do.** ")
PLACES = {"OURS", "RELEASE", "NAMESPACE", "HELD_AFTER"}

each = pytest.mark.parametrize("alert", [pytest.param(one, id=one["alert"]) for one in questions.alerts(RULES)])


@each
def test_an_alert_has_a_severity_and_speaks_in_sentences_with_numbers(alert: JSON) -> None:
    assert alert["labels"].keys() == {"severity"}
    assert alert["labels"]["severity"] in ("critical", "warning")
    assert alert["annotations"].keys() == {"summary", "description"}
    for text in alert["annotations"].values():
        assert re.fullmatch(r"\S.*[^.][.]", text)
    assert "{{" not in alert["annotations"]["summary"]
    description = alert["annotations"]["description"]
    # What is only so or not so has no number but its time, or whose it is.
    assert "$value" in description or "minutes" in description or "$labels.partition" in description


@each
def test_an_alert_has_its_page_which_says_what_it_means_how_to_look_and_what_to_do(alert: JSON) -> None:
    section = SECTIONS[alert["alert"]]
    at = [section.index(step) for step in STEPS]
    assert at == sorted(at)
    assert section.startswith(STEPS[0])


def test_the_runbook_knows_no_alert_that_is_none() -> None:
    names = [one["alert"] for one in questions.alerts(RULES)]
    assert len(set(names)) == len(names)
    assert list(SECTIONS) == names
    assert set(re.findall(r"Switchyard[A-Z]\w+", RUNBOOK)) == set(names)


@each
def test_an_alert_asks_for_metrics_that_the_parts_tell_of_this_installation_alone(alert: JSON) -> None:
    told = set().union(*(documented(part) for part in PARTS))
    metrics = questions.Question(alert["alert"], alert["expr"]).metrics
    assert metrics
    assert {name for name in metrics if not name.startswith(FOREIGN)} <= told
    selectors = re.findall(r"\{([^}]*)\}", alert["expr"])
    assert all(selector.startswith(("OURS", 'namespace="NAMESPACE"')) for selector in selectors)


def test_what_helm_fills_in_is_known() -> None:
    expressions = " ".join(f"{one['expr']} {one.get('for', '')}" for one in questions.alerts(RULES))
    assert set(re.findall(r"\b[A-Z]{3,}(?:_[A-Z]+)*\b", expressions)) == PLACES
