"""What a metric's numbers measure. Whoever shows a verdict asks here for the unit, and writes it as its readers do."""

from __future__ import annotations

from enum import StrEnum

from switchyard_contracts.judgement import number, percent
from switchyard_contracts.model_deployment import Role


class Measure(StrEnum):
    """The unit of a verdict's `value` and `against`."""

    SHARE = "share"
    """A share of 1."""
    SLOW = "slow"
    """The share of requests that were slower than the threshold."""
    SECONDS = "seconds"
    NUMBER = "number"
    """In the model's own unit, or in nobody's."""


SHARES = frozenset({"error_rate", "outcome.accuracy", "outcome.coverage", "decision.agreement"})


def measure(metric: str, role: Role) -> Measure:
    """What a metric's numbers are, which depends on its role too."""
    if metric.startswith("latency"):
        # A guard holds the share of requests that were slower than stable's quantile to a limit.
        return Measure.SECONDS if role is Role.OBSERVE else Measure.SLOW
    return Measure.SHARE if metric in SHARES else Measure.NUMBER


def written(value: float, unit: Measure) -> str:
    """A number with its unit, as it stands in sentences: `0.42 %`, `0.85 % slow`, `10.9 ms`, `18.1`."""
    match unit:
        case Measure.SHARE:
            return percent(value)
        case Measure.SLOW:
            return f"{percent(value)} slow"
        case Measure.SECONDS:
            return f"{number(value * 1000)} ms"
        case Measure.NUMBER:
            return number(value)
