"""Verdicts in units: what a metric's numbers are depends on its role."""

from __future__ import annotations

from dataclasses import dataclass

from switchyard_contracts.model_deployment import MetricVerdict, Role

from switchyard_monitor.page import units

PERCENT = frozenset({"error_rate", "outcome.accuracy", "outcome.coverage", "decision.agreement"})


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
    if item.metric.startswith("latency"):
        # A guard holds the share of requests that were slower than stable's quantile to a limit.
        return units.seconds(value) if item.role is Role.OBSERVE else f"{units.percent(value)}{units.GAP}slow"
    return units.percent(value) if item.metric in PERCENT else units.number(value)
