"""Verdicts in units: what a metric's numbers are is the contracts' to say, how the page writes them its own."""

from __future__ import annotations

from dataclasses import dataclass

from switchyard_contracts.measures import Measure, measure
from switchyard_contracts.model_deployment import MetricVerdict

from switchyard_monitor.page import units


@dataclass(frozen=True, slots=True)
class Verdict:
    """One metric's verdict, in units."""

    name: str
    metric: str
    role: str
    verdict: str
    reason: str
    message: str
    value: str
    against: str
    samples: str
    missing: str
    """How many more samples are needed at least."""


def verdict(item: MetricVerdict) -> Verdict:
    """A verdict as the operator said it."""
    return Verdict(
        name=item.name,
        metric=item.metric,
        role=item.role.value,
        verdict=item.verdict,
        reason=item.reason,
        message=units.whole(item.message),
        value=_measured(item, item.value),
        against=_measured(item, item.against),
        samples=units.count(item.samples),
        missing="unknown" if item.needed is None else units.count(item.needed) if item.needed else "none",
    )


def _measured(item: MetricVerdict, value: float | None) -> str:
    if value is None:
        return units.NOTHING
    match measure(item.metric, item.role):
        case Measure.SECONDS:
            return units.seconds(value)
        case Measure.SLOW:
            return f"{units.percent(value)}{units.GAP}slow"
        case Measure.SHARE:
            return units.percent(value)
        case Measure.NUMBER:
            return units.number(value)
