"""The dashboards that the chart carries: every panel says what it shows, and asks only what some part tells."""

from __future__ import annotations

import re
from itertools import combinations
from typing import Any

import pytest
from switchyard_testkit.dashboards import questions
from switchyard_testkit.exposition import documented

JSON = dict[str, Any]
PARTS = ("operator", "control", "shipper", "feedback", "monitor")
UNITS = {"short", "percentunit", "s", "ms", "bytes", "reqps", "cps", "wps"}
"""Those of Grafana's that are used; a misspelt one would be shown behind each number."""
NOT_OURS = {"up"}
"""What Prometheus tells itself of each target."""
FOREIGN = ("envoy_", "kubelet_volume_stats_", "process_")
"""What Envoy, kubelets and the client library tell; the contract tests hold these against what is scraped."""

pages = pytest.mark.parametrize("name", sorted(questions.dashboards()))


@pages
def test_every_panel_says_what_it_shows_in_a_sentence_and_in_a_unit(name: str) -> None:
    for panel in questions.panels(questions.dashboards()[name]):
        assert re.fullmatch(r"\S.*[.]", panel["description"]), panel["title"]
        assert panel["fieldConfig"]["defaults"]["unit"] in UNITS, panel["title"]
        assert panel["datasource"]["uid"] == "${datasource}"


@pages
def test_no_panel_lies_over_another_and_none_beside_the_page(name: str) -> None:
    found = questions.dashboards()[name]["panels"]
    assert len({panel["id"] for panel in found}) == len(found)
    places = [tuple(panel["gridPos"][side] for side in "xywh") for panel in found]
    assert all(x >= 0 and x + w <= 24 for x, _, w, _ in places)
    for (x, y, w, h), (u, v, a, b) in combinations(places, 2):
        assert x + w <= u or u + a <= x or y + h <= v or v + b <= y


@pages
def test_several_series_have_names(name: str) -> None:
    for panel in questions.panels(questions.dashboards()[name]):
        for target in panel["targets"]:
            labels = re.findall(r"\{\{(\w+)\}\}", target["legendFormat"])
            if panel["type"] == "table":
                continue
            named = target["legendFormat"] or len(panel["targets"]) == 1
            assert named, panel["title"]
            assert all(f"{label}" in target["expr"] for label in labels), (panel["title"], labels)


@pages
def test_one_chooses_the_prometheus_and_the_installation(name: str) -> None:
    found = {each["name"]: each for each in questions.dashboards()[name]["templating"]["list"]}
    assert list(found)[:2] == ["datasource", "namespace"]
    assert found["datasource"]["type"] == "datasource"
    used = set(re.findall(r"\$\{?(\w+)", str(questions.panels(questions.dashboards()[name]))))
    assert used - {"__rate_interval", "__value", "deployment"} <= found.keys()
    asked = " ".join(
        target["expr"] for panel in questions.panels(questions.dashboards()[name]) for target in panel["targets"]
    )
    assert ("deployment" in found) is ("$deployment" in asked or "${deployment}" in asked)


@pytest.mark.parametrize("question", [pytest.param(each, id=each.asker) for each in questions.of_panels()])
def test_a_panel_asks_for_metrics_that_the_parts_tell(question: questions.Question) -> None:
    told = NOT_OURS.union(*(documented(part) for part in PARTS))
    assert question.metrics
    assert {name for name in question.metrics if not name.startswith(FOREIGN)} <= told
    # Whatever is selected names the installation, so that two of them are never added up.
    expr = re.sub(r"\b(by|on|group_left) \([^)]*\)", "", question.expr.replace("${deployment}", "$deployment"))
    assert re.findall(r"\b(?:switchyard|envoy|kubelet|process)_\w+\b", re.sub(r"\{[^}]*\}", "{}", expr)) == re.findall(
        r"\b\w+(?={namespace=)", expr.replace("up{", "{")
    )


@pytest.mark.parametrize(
    ("expr", "sides"),
    [
        pytest.param('a{b="<"} > 1', ['a{b="<"}'], id="a comparison with a number"),
        pytest.param("sum by (x) (a{}) / b{} > 0.1", ["sum by (x) (a{}) / b{}"], id="arithmetic stays"),
        pytest.param("a{} < 1 and on (x, y) b{}", ["a{}", "b{}"], id="two sides"),
        pytest.param("absent(a{}) or absent(b{})", ["count(a{})", "count(b{})"], id="absence"),
        pytest.param("a{} > 100 + 60 * b{}", ["a{}", "100 + 60 * b{}"], id="a bound that is computed"),
        pytest.param("max(a{} > 0) unless sum(b{}) > 0", ["max(a{} > 0)", "sum(b{})"], id="within brackets it stays"),
    ],
)
def test_an_alert_is_taken_apart_into_what_it_compares(expr: str, sides: list[str]) -> None:
    assert questions.operands(expr) == sides
