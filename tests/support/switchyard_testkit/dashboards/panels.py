"""Panels, rows and variables as Grafana reads them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

JSON = dict[str, Any]

SCHEMA = 39
"""Of Grafana 10 and later."""
WHOLE_WIDTH = 24
OURS = 'namespace="$namespace"'
THIS = f'{OURS},deployment="$deployment"'
SOURCE = {"type": "prometheus", "uid": "${datasource}"}
TO_DEPLOYMENT = (
    "/d/switchyard-deployment?var-datasource=${datasource}&var-namespace=${namespace}&var-deployment=${__value.raw}"
)


@dataclass(frozen=True, slots=True)
class Query:
    """One expression, and how its series are called."""

    expr: str
    legend: str = ""

    @property
    def whole(self) -> str:
        """As Prometheus is asked, but for Grafana's variables."""
        return self.expr.replace("OURS", OURS).replace("THIS", THIS)


@dataclass(frozen=True, slots=True, kw_only=True)
class Panel:
    """One question, and what its answer means."""

    title: str
    says: str
    """Its description, in full sentences."""
    queries: Sequence[Query]
    unit: str = "short"
    kind: Literal["timeseries", "stat", "table"] = "timeseries"
    width: int = 8
    height: int = 8
    stacked: bool = False
    most: float | None = None
    least: float | None = 0
    value: str = "value"
    """How a table calls the number."""
    colours: Sequence[tuple[str, float | None]] = (("green", None),)
    """Of a stat: each with the number from which on it holds, the first for all below."""

    def json(self, number: int, x: int, y: int) -> JSON:
        """Grafana's."""
        defaults: JSON = {"unit": self.unit, "color": {"mode": "palette-classic"}}
        defaults |= {name: bound for name, bound in (("min", self.least), ("max", self.most)) if bound is not None}
        found: JSON = {
            "id": number,
            "type": self.kind,
            "title": self.title,
            "description": self.says,
            "datasource": SOURCE,
            "gridPos": {"x": x, "y": y, "w": self.width, "h": self.height},
            "targets": [self._target(letter, query) for letter, query in zip("ABCDEFGH", self.queries, strict=False)],
            "fieldConfig": {"defaults": defaults, "overrides": []},
        }
        shapes = {"timeseries": self._timeseries, "stat": self._stat, "table": self._table}
        return found | shapes[self.kind](defaults)

    def _target(self, letter: str, query: Query) -> JSON:
        found: JSON = {"refId": letter, "expr": query.whole, "legendFormat": query.legend, "datasource": SOURCE}
        if self.kind == "table":
            return found | {"format": "table", "instant": True, "range": False}
        return found | {"range": True}

    def _timeseries(self, defaults: JSON) -> JSON:
        stacking = {"mode": "normal" if self.stacked else "none"}
        defaults["custom"] = {"lineWidth": 1, "fillOpacity": 25 if self.stacked else 5, "stacking": stacking}
        return {
            "options": {
                "legend": {"displayMode": "table", "placement": "bottom", "calcs": ["lastNotNull", "max"]},
                "tooltip": {"mode": "multi", "sort": "desc"},
            }
        }

    def _stat(self, defaults: JSON) -> JSON:
        steps = [{"color": colour, "value": start} for colour, start in self.colours]
        defaults |= {"color": {"mode": "thresholds"}, "thresholds": {"mode": "absolute", "steps": steps}}
        return {
            "options": {
                "reduceOptions": {"calcs": ["lastNotNull"], "fields": "", "values": False},
                "colorMode": "value",
                "graphMode": "none",
                "textMode": "value_and_name" if any(query.legend for query in self.queries) else "value",
            }
        }

    def _table(self, defaults: JSON) -> JSON:
        del defaults["color"]
        return {
            "options": {"showHeader": True, "sortBy": [{"displayName": self.value, "desc": True}]},
            "transformations": [
                {"id": "organize", "options": {"excludeByName": {"Time": True}, "renameByName": {"Value": self.value}}}
            ],
            "fieldConfig": {
                "defaults": defaults,
                "overrides": [
                    {
                        "matcher": {"id": "byName", "options": "deployment"},
                        "properties": [
                            {"id": "links", "value": [{"title": "Look at this deployment", "url": TO_DEPLOYMENT}]}
                        ],
                    }
                ],
            },
        }


@dataclass(frozen=True, slots=True)
class Row:
    """Panels that belong together."""

    title: str
    panels: Sequence[Panel]


@dataclass(frozen=True, slots=True)
class Dashboard:
    """One page of Grafana's."""

    name: str
    title: str
    says: str
    rows: Sequence[Row]
    variables: Mapping[str, str] = field(default_factory=dict)
    """Beside the source and the namespace, by name: the query of its values."""

    def json(self) -> JSON:
        """Grafana's."""
        known = {"namespace": "label_values(switchyard_build_info, namespace)", **self.variables}
        return {
            "uid": f"switchyard-{self.name}",
            "title": self.title,
            "description": self.says,
            "tags": ["switchyard"],
            "schemaVersion": SCHEMA,
            "version": 1,
            "editable": True,
            "graphTooltip": 1,
            "refresh": "30s",
            "timezone": "",
            "time": {"from": "now-3h", "to": "now"},
            "annotations": {"list": []},
            "links": [
                {
                    "type": "dashboards",
                    "title": "Switchyard",
                    "tags": ["switchyard"],
                    "asDropdown": False,
                    "includeVars": True,
                    "keepTime": True,
                }
            ],
            "templating": {"list": [source(), *(variable(name, query) for name, query in known.items())]},
            "panels": list(self._laid_out()),
        }

    def _laid_out(self) -> Iterator[JSON]:
        number, y = 0, 0
        for row in self.rows:
            number += 1
            yield {
                "id": number,
                "type": "row",
                "title": row.title,
                "collapsed": False,
                "gridPos": {"x": 0, "y": y, "w": WHOLE_WIDTH, "h": 1},
                "panels": [],
            }
            x, y, tallest = 0, y + 1, 0
            for panel in row.panels:
                if x + panel.width > WHOLE_WIDTH:
                    x, y, tallest = 0, y + tallest, 0
                number += 1
                yield panel.json(number, x, y)
                x, tallest = x + panel.width, max(tallest, panel.height)
            y += tallest


def source() -> JSON:
    """Which Prometheus is asked."""
    return {"name": "datasource", "label": "Prometheus", "type": "datasource", "query": "prometheus", "hide": 0}


def variable(name: str, query: str) -> JSON:
    """One whose values Prometheus knows."""
    return {
        "name": name,
        "label": name.capitalize(),
        "type": "query",
        "datasource": SOURCE,
        "query": {"query": query.replace("OURS", OURS), "refId": name},
        "refresh": 2,
        "sort": 1,
        "hide": 0,
        "includeAll": False,
        "multi": False,
    }
