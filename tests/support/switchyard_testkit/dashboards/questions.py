"""What dashboards and alerts ask of Prometheus, for tests to ask it too.

The rules are those that Helm renders, and the panels those of the committed files: what users get.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from switchyard_testkit.install import merged
from switchyard_testkit.prometheus import RealPrometheus
from switchyard_testkit.rendering import CHART, LEAST, NAMESPACE, RELEASE, objects, of_kind, render
from switchyard_testkit.waiting import until

JSON = dict[str, Any]

DASHBOARDS = CHART / "files" / "dashboards"
ON: JSON = {
    "monitoring": {"podMonitors": {"enabled": True}, "rules": {"enabled": True}, "dashboards": {"enabled": True}}
}
"""Everything that the chart has for a Prometheus and a Grafana."""
GATEWAYS = ("switchyard_control_", "switchyard_shipper_", "switchyard_gateway_", "envoy_")
"""What only a gateway's pod tells."""
ITS_JOBS = tuple(f'job="{RELEASE}-{part}"' for part in ("control", "shipper", "envoy"))
SELECTOR = re.compile(r"([a-zA-Z_:][a-zA-Z0-9_:]*)\s*\{")
PARTS_OF_HISTOGRAMS = re.compile(r"_(bucket|sum|count)$")
SPLITS = re.compile(
    r"\b(?:and|or|unless)\b(?:\s+(?:on|ignoring)\s*\([^)]*\))?(?:\s+group_(?:left|right)\s*\([^)]*\))?|[<>]=?|[=!]="
)
NUMBER = re.compile(r"[-+]?[0-9.]+")


@dataclass(frozen=True, slots=True)
class Question:
    """One expression, and who asks it."""

    asker: str
    expr: str

    @property
    def metrics(self) -> set[str]:
        """The names that it selects, as the parts tell them: a histogram by its own name."""
        return {PARTS_OF_HISTOGRAMS.sub("", name) for name in SELECTOR.findall(self.expr)}

    @property
    def of_gateways(self) -> bool:
        """Whether a gateway's pod must be there to answer it."""
        return any(name.startswith(GATEWAYS) for name in self.metrics) or any(job in self.expr for job in ITS_JOBS)

    def asked(self, *, deployment: str, rate: str = "30s") -> str:
        """As Grafana sends it."""
        values = {"$namespace": NAMESPACE, "$deployment": deployment, "${deployment}": deployment}
        expr = self.expr
        for name, value in (values | {"$__rate_interval": rate}).items():
            expr = expr.replace(name, value)
        return expr


def dashboards() -> dict[str, JSON]:
    """The committed ones, by name."""
    return {path.stem: json.loads(path.read_text(encoding="utf-8")) for path in sorted(DASHBOARDS.glob("*.json"))}


def panels(dashboard: Mapping[str, Any]) -> list[JSON]:
    """Its panels, without the rows that hold them together."""
    return [panel for panel in dashboard["panels"] if panel["type"] != "row"]


def of_panels() -> Iterator[Question]:
    """Every query of every panel."""
    for name, dashboard in dashboards().items():
        for panel in panels(dashboard):
            for target in panel["targets"]:
                yield Question(f"{name}: {panel['title']} {target['refId']}", target["expr"])


def of_variables() -> Iterator[tuple[Question, str]]:
    """Every variable's selector, and the label whose values it shows."""
    for name, dashboard in dashboards().items():
        for variable in dashboard["templating"]["list"]:
            if variable["type"] == "query":
                found = re.fullmatch(r"label_values\((.+), (\w+)\)", variable["query"]["query"])
                if not found:
                    raise ValueError(f"{name}: {variable['query']['query']} asks for no label's values")
                yield Question(f"{name}: ${variable['name']}", found[1]), found[2]


def rendered(folder: Path, **said: Any) -> list[JSON]:
    """The objects of the chart with all of it switched on; `said` are the values of `monitoring.rules`."""
    values = merged(merged(LEAST, ON), {"monitoring": {"rules": said}})
    return objects(render(values, folder))


def rules(bodies: list[JSON]) -> JSON:
    """What the PrometheusRule holds: a file of rules as Prometheus reads it."""
    (found,) = of_kind(bodies, "PrometheusRule")
    spec: JSON = found["spec"]
    return spec


def alerts(held: Mapping[str, Any]) -> list[JSON]:
    """Every alert of such a file."""
    return [rule for group in held["groups"] for rule in group["rules"]]


def of_alerts(held: Mapping[str, Any]) -> Iterator[Question]:
    """What each alert compares: every side of it that is no number, with nothing taken off by a comparison."""
    for alert in alerts(held):
        for number, expr in enumerate(operands(alert["expr"])):
            yield Question(f"{alert['alert']} {number}", expr)


def operands(expr: str) -> list[str]:
    """The sides of comparisons and set operators at the outermost level. Absence is asked as presence."""
    flat = re.sub(r"\{[^}]*\}", lambda found: "·" * len(found[0]), expr)
    while (inner := re.sub(r"\([^()]*\)", lambda found: "·" * len(found[0]), flat)) != flat:
        flat = inner
    # `on (…)` was flattened with all other brackets.
    ends = re.compile(SPLITS.pattern.replace(r"\s*\([^)]*\)", r"\s*·+"))
    found, start = [], 0
    for split in ends.finditer(flat):
        found.append(expr[start : split.start()])
        start = split.end()
    sides = [side.strip() for side in [*found, expr[start:]]]
    return [re.sub(r"^absent\b", "count", side) for side in sides if side and not NUMBER.fullmatch(side)]


def unanswered(server: RealPrometheus, asked: Iterable[Question], *, deployments: Sequence[str]) -> list[str]:
    """Who is told nothing, or nothing that is a number, of any of these deployments."""
    return [
        f"{question.asker}: {question.expr}"
        for question in asked
        if not any(
            not math.isnan(float(series["value"][1]))
            for deployment in deployments
            for series in server.instant(question.asked(deployment=deployment))
        )
    ]


def until_told(server: RealPrometheus, asked: Sequence[Question], stir: Callable[[], None]) -> None:
    """Have the parts do things until every metric that is asked for has its name told; else an error names the rest."""
    _until_none(lambda: unknown(server, asked), stir, "metrics that nobody tells", seconds=60)


def until_answered(
    server: RealPrometheus, asked: Sequence[Question], stir: Callable[[], None], *, deployments: Sequence[str]
) -> None:
    """Have the parts do things until every question is answered; else an error names the rest."""
    _until_none(
        lambda: unanswered(server, asked, deployments=deployments), stir, "questions without an answer", seconds=240
    )


def _until_none(look: Callable[[], Iterable[str]], stir: Callable[[], None], what: str, *, seconds: float) -> None:
    left: list[str] = []

    def none() -> bool:
        stir()
        left[:] = sorted(look())
        return not left

    try:
        until(none, f"no {what}", seconds=seconds, every=2)
    except TimeoutError as late:
        raise AssertionError("\n".join([f"{what}:", *left])) from late


def unknown(server: RealPrometheus, asked: Iterable[Question]) -> set[str]:
    """Metrics that are asked for, and that nobody has told yet."""
    told = {PARTS_OF_HISTOGRAMS.sub("", name) for name in server.ask("label/__name__/values")}
    return {name for question in asked for name in question.metrics} - told


def unshown(server: RealPrometheus, *, side: Callable[[Question], bool]) -> list[str]:
    """Variables of dashboards that have no value to choose."""
    return [
        question.asker
        for question, label in of_variables()
        if side(question) and not server.ask(f"label/{label}/values", **{"match[]": question.asked(deployment="")})
    ]


def troubled(server: RealPrometheus) -> list[str]:
    """Rules that Prometheus cannot evaluate, and its words."""
    groups = server.ask("rules")["groups"]
    return [
        f"{rule['name']}: {rule['lastError']}" for group in groups for rule in group["rules"] if rule.get("lastError")
    ]


def jobs(targets: Mapping[str, tuple[str, ...]], *, paths: Mapping[str, str] | None = None) -> list[JSON]:
    """What scrapes these as the PodMonitors do: by part, `host:port` of each."""
    return [
        {
            "job_name": part,
            "metrics_path": (paths or {}).get(part, "/metrics"),
            "scrape_interval": "2s",
            "scrape_timeout": "2s",
            "static_configs": [
                {"targets": list(where), "labels": {"job": f"{RELEASE}-{part}", "namespace": NAMESPACE}}
            ],
        }
        for part, where in targets.items()
    ]
