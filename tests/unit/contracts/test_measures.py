"""Which unit a verdict's numbers have, and how they stand in sentences."""

from __future__ import annotations

import re

import pytest
from switchyard_contracts.measures import SHARES, Measure, measure, written
from switchyard_contracts.model_deployment import METRIC_PATTERN, Role


@pytest.mark.parametrize(
    ("metric", "role", "unit"),
    [
        ("error_rate", Role.GUARD, Measure.SHARE),
        ("error_rate", Role.OBSERVE, Measure.SHARE),
        ("latency_p99", Role.GUARD, Measure.SLOW),
        ("latency_p50", Role.OBSERVE, Measure.SECONDS),
        ("outcome.rmse", Role.DECIDE, Measure.NUMBER),
        ("outcome.bias", Role.OBSERVE, Measure.NUMBER),
        ("outcome.accuracy", Role.DECIDE, Measure.SHARE),
        ("outcome.coverage", Role.OBSERVE, Measure.SHARE),
        ("decision.agreement", Role.OBSERVE, Measure.SHARE),
        ("promql", Role.GUARD, Measure.NUMBER),
    ],
)
def test_a_metrics_unit_follows_from_its_name_and_role(metric: str, role: Role, unit: Measure) -> None:
    assert measure(metric, role) is unit


def test_only_metrics_that_there_are_are_shares() -> None:
    assert all(re.fullmatch(METRIC_PATTERN, name) for name in SHARES)


@pytest.mark.parametrize(
    ("value", "unit", "text"),
    [
        (0.0, Measure.SHARE, "0 %"),
        (0.0042, Measure.SHARE, "0.42 %"),
        (0.0085, Measure.SLOW, "0.85 % slow"),
        (0.0109, Measure.SECONDS, "10.9 ms"),
        (18.06, Measure.NUMBER, "18.1"),
    ],
)
def test_a_number_is_written_with_its_unit(value: float, unit: Measure, text: str) -> None:
    assert written(value, unit) == text
