"""Gauges of X and Y: what a window's profile says to a rule, by the reference's own windows."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from switchyard_monitor.domain.alarms import Reading, Terms
from switchyard_monitor.domain.gauges import of_profile
from switchyard_monitor.domain.usual import Yardstick
from switchyard_profile.profile import Profile
from switchyard_profile.reference import Reference
from switchyard_profile.training import DAY_SECONDS, Limits, Options, reference

DAY_US = DAY_SECONDS * 1_000_000
ROWS = 200
Columns = dict[str, list[Any]]


def rows(chance: np.random.Generator, *, kilometres: bool = False, missing: int = 0, far: int = 0) -> Columns:
    """A day of flights; each test says what is odd about it."""
    distance = chance.normal(1000.0, 300.0, ROWS) * (1.609 if kilometres else 1.0)
    carrier: list[Any] = chance.choice(["UA", "B6", "EV"], ROWS, p=[0.5, 0.3, 0.2]).tolist()
    carrier[:missing] = [None] * missing
    miles = distance.tolist()
    miles[:far] = [99_999.0] * far
    return {"carrier": carrier, "distance": miles, "prediction": (distance / 50.0).tolist()}


def learnt(days: int) -> Reference:
    """What so many days were like."""
    chance = np.random.default_rng(1)
    parts = [rows(chance) for _ in range(days)]
    columns = {name: [value for part in parts for value in part[name]] for name in parts[0]}
    times = [at // ROWS * DAY_SECONDS for at in range(days * ROWS)]
    limits = {"distance": Limits(0.0, 5000.0)}
    return reference(columns, times=times, options=Options(prediction="prediction", limits=limits))


LEARNT = Yardstick(learnt(30))


def terms(metric: str, **changes: Any) -> Terms:
    said = {"name": "r", "metric": metric, "high": 0.0, "clear": 0.0, "window_us": DAY_US, "cooldown_us": 0}
    return Terms(**{**said, "samples": 100, **changes})


def gauge(rule: Terms, yardstick: Yardstick = LEARNT, **odd: Any) -> Reading:
    columns = rows(np.random.default_rng(7), **odd)
    found = yardstick.reference
    profile = Profile.of(found.digest, found.binnings, columns, rows=ROWS)
    return of_profile(rule, yardstick, profile, start_us=40 * DAY_US)


def names(reading: Reading) -> list[str]:
    return [f"{one.feature}/{one.aspect}" for one in reading.features]


def test_a_day_like_the_others_has_no_drift() -> None:
    reading = gauge(terms("drift"))
    assert (reading.value, reading.samples, reading.features) == (0.0, ROWS, ())


def test_drift_counts_the_features_of_x_and_of_y_that_differ_the_worst_first() -> None:
    reading = gauge(terms("drift"), kilometres=True, missing=60)
    assert reading.value == 3.0
    assert {*names(reading)} == {"distance/distribution", "prediction/distribution", "carrier/missing"}
    worst = [one.effect / one.usual if one.usual else float("inf") for one in reading.features]
    assert worst == sorted(worst, reverse=True)
    assert all(one.p is not None and one.p < 0.01 for one in reading.features)


@pytest.mark.parametrize(("feature", "value"), [("distance", 1.0), ("prediction", 1.0), ("carrier", 0.0)])
def test_drift_of_one_feature_looks_at_no_other(feature: str, value: float) -> None:
    assert gauge(terms("drift", feature=feature), kilometres=True).value == value


def test_a_reference_of_few_days_fires_nobody() -> None:
    reading = gauge(terms("drift"), Yardstick(learnt(19)), kilometres=True)
    assert (reading.value, reading.words) == (None, "the reference has 19 windows, and what is usual takes 20")


@pytest.mark.parametrize(
    ("rule", "value", "worst"),
    [
        pytest.param(terms("data.missing"), 0.3, "carrier", id="the worst feature"),
        pytest.param(terms("data.missing", feature="distance"), 0.0, "", id="the feature that is named"),
        pytest.param(terms("data.outside"), 0.1, "distance", id="beyond the limits that the reference states"),
        pytest.param(terms("data.unseen"), 0.0, "", id="names that were seen"),
        pytest.param(terms("data.wrong"), 0.0, "", id="types as they were"),
    ],
)
def test_shares_of_rows(rule: Terms, value: float, worst: str) -> None:
    reading = gauge(rule, missing=60, far=20)
    assert reading.value == pytest.approx(value)
    assert (reading.features[0].feature if reading.features else "") == worst


@pytest.mark.parametrize(
    ("rule", "words"),
    [
        pytest.param(terms("drift", samples=201), "200 of 201 rows", id="too few rows"),
        pytest.param(terms("drift", feature="tail"), "the reference has no feature 'tail'", id="an unknown feature"),
        pytest.param(
            terms("data.outside", feature="carrier"), "no feature of the reference can be outside", id="no limits"
        ),
    ],
)
def test_why_nothing_can_be_said(rule: Terms, words: str) -> None:
    reading = gauge(rule)
    assert (reading.value, reading.words) == (None, words)


def test_nobody_was_asked() -> None:
    assert of_profile(terms("drift"), LEARNT, None, start_us=0).words == "0 of 100 rows"
