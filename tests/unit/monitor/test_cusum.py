"""CUSUM: days that become worse are found, and days that only differ are not."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats
from switchyard_contracts.windows import DAY_US
from switchyard_monitor.answers import quality
from switchyard_monitor.change_answers import ByDay
from switchyard_monitor.domain.alarms import Terms
from switchyard_monitor.domain.cusum import FEWEST, FIRST_DAYS, LIMIT, Change, Day, change, days_of
from switchyard_monitor.domain.entries import Arm, Cell
from switchyard_monitor.domain.gauges import of_days
from switchyard_monitor.domain.rules import UNIT, Rule
from switchyard_monitor.page.changes import picture, table
from switchyard_testkit.flights import of_year

RULE = Rule("demo/m", task="regression", outcome="$", judged_after_us=DAY_US // 2)
CLASSES = Rule("demo/m", task="classification", outcome="$")
QUARTER = 97
"""Days: the first fourteen, and 83 that are scored."""
Values = Sequence[float]


def days(values: Values) -> list[Day]:
    """Days with these means."""
    return [Day(place * DAY_US, 100, float(value)) for place, value in enumerate(values)]


def added_up(values: Values) -> Change:
    found = change(days(values))
    assert found is not None
    return found


def fired(values: Values) -> bool:
    return any(point.score > LIMIT for point in added_up(values).points)


def plainly(values: Values) -> list[float]:
    """The same by the definitions, each day from all those before it."""
    found, score = [], 0.0
    for place, value in enumerate(values):
        before = np.array(values[:place])
        if place >= FIRST_DAYS:
            t = math.sqrt(place / (place + 1)) * (value - before.mean()) / before.std(ddof=1)
            p = stats.t(place - 1).cdf(t)
            z = float(np.clip(stats.norm.ppf(p), -3, 3))
            apart = before - before.mean()
            alike = np.clip((apart[1:] * apart[:-1]).sum() / (apart**2).sum() + 1 / place, 0, 0.8)
            score = max(0.0, score + z * math.sqrt((1 - alike) / (1 + alike)) - 0.5)
        found.append(score)
    return found


@pytest.mark.parametrize("offset", [0.0, 1e7])
def test_it_is_what_the_definitions_say(offset: float) -> None:
    chance = np.random.default_rng(1)
    values = [offset + value for value in np.cumsum(chance.normal(size=80)) * 0.3 + chance.normal(size=80)]
    assert [point.score for point in added_up(values).points] == pytest.approx(plainly(values), abs=1e-6)


def test_nothing_is_said_before_the_fifteenth_day() -> None:
    values = list(np.random.default_rng(2).normal(size=FIRST_DAYS))
    assert change(days(values)) is None
    assert [point.z is None for point in added_up([*values, 0.0]).points] == [True] * FIRST_DAYS + [False]


@pytest.mark.parametrize("mean", [0.0, 0.25, 0.1])
def test_days_that_never_differ_are_as_ever_and_the_first_that_does_is_as_far_off_as_a_day_can_be(mean: float) -> None:
    found = added_up([mean] * 30)
    assert [point.z for point in found.points] == [None] * FIRST_DAYS + [0.0] * 16
    assert (found.score, found.changed) == (0.0, False)
    assert [point.z for point in added_up([*[mean] * 30, mean + 0.5]).points][-1] == 3.0
    assert [point.z for point in added_up([*[mean] * 30, mean - 0.01]).points][-1] == -3.0
    found = added_up([*[mean] * 30, *[mean + 0.5] * 3])
    assert found.changed
    assert found.since_us == 30 * DAY_US


def test_a_change_is_found_and_when_it_began() -> None:
    chance = np.random.default_rng(3)
    values = [*chance.normal(10, 1, size=40), *chance.normal(13, 1, size=8)]
    found = added_up(values)
    assert found.changed
    assert found.since_us is not None
    assert abs(found.since_us // DAY_US - 40) <= 2
    assert found.mean(before_us=found.since_us) == pytest.approx(10, abs=0.5)
    assert found.mean(since_us=found.since_us) == pytest.approx(13, abs=0.8)


def test_what_becomes_better_is_no_change_for_the_worse() -> None:
    chance = np.random.default_rng(3)
    assert not fired([*chance.normal(10, 1, size=40), *chance.normal(5, 1, size=40)])


@given(st.floats(-1e9, 1e9))
def test_no_single_day_is_a_change(value: float) -> None:
    values = list(np.random.default_rng(4).normal(size=40))
    found = added_up([*values, value])
    assert found.score <= added_up(values).score + 2.5
    assert not found.changed


@given(st.lists(st.floats(0, 1e6), max_size=40), st.integers(0, 40))
def test_what_is_said_of_a_day_depends_on_no_later_one(values: list[float], cut: int) -> None:
    whole, part = change(days(values)), change(days(values[:cut]))
    if part is not None:
        assert whole is not None
        assert list(whole.points[:cut]) == list(part.points)


# --- how often it is wrong, and what it finds -------------------------------------------------------------------------


@pytest.fixture(scope="module")
def flights() -> dict[str, np.ndarray[Any, Any]]:
    """The daily means of a year's flights under one model, which never changes: delays are as at departure, less 4."""
    found = of_year()
    found = found[found["arr_delay"].notna()]
    day = found["month"] * 100 + found["day"]
    error = (found["dep_delay"] - 4 - found["arr_delay"]).abs()
    wrong = (found["dep_delay"] > 15) != (found["arr_delay"] > 15)
    return {"error": error.groupby(day).mean().to_numpy(), "wrong": wrong.groupby(day).mean().to_numpy()}


def weeks(values: np.ndarray[Any, Any], chance: np.random.Generator) -> np.ndarray[Any, Any]:
    """A quarter of weeks, drawn in any order: bad days follow bad days, and no season does."""
    starts = chance.integers(0, len(values) - 7, size=14)
    return np.concatenate([values[start : start + 7] for start in starts])[:QUARTER]


@pytest.mark.rule("check-cusum")
@pytest.mark.parametrize("what", ["error", "wrong"])
def test_weeks_of_flights_in_any_order_are_seldom_a_change(flights: dict[str, np.ndarray[Any, Any]], what: str) -> None:
    chance = np.random.default_rng(5)
    rate = np.mean([fired(weeks(flights[what], chance)) for _ in range(400)])
    assert 0.01 < rate < 0.16, "of quarters in which nothing changed"


def test_days_that_have_nothing_to_do_with_each_other_are_hardly_ever_a_change() -> None:
    chance = np.random.default_rng(6)
    assert np.mean([fired(chance.normal(size=QUARTER)) for _ in range(400)]) < 0.04


@pytest.mark.parametrize(("shift", "least"), [(1.0, 0.3), (2.0, 0.75), (3.0, 0.95)])
def test_what_changes_is_found_within_three_weeks(shift: float, least: float) -> None:
    chance = np.random.default_rng(7)
    found = 0
    for _ in range(200):
        values = chance.normal(size=61)
        values[40:] += shift
        found += fired(values)
    assert found / 200 >= least


# --- which days count -------------------------------------------------------------------------------------------------


def cell(place: int, *, rule: Rule = RULE, revision: str = "r", role: str = "stable", **sums: int) -> Cell:
    named = {name.replace("_", "."): value for name, value in sums.items()}
    number = {RULE: 1, CLASSES: 2}.get(rule, 3)
    return Cell(Arm(number, revision, role, 3, 10_000, "split"), rule, place * DAY_US, named)


def test_a_day_counts_when_it_is_over_judged_and_covered() -> None:
    full = {"predictions": 100, "age_n": 90, "age_a": 90 * 3 * UNIT}
    cells = [
        cell(0, **full),
        cell(1, predictions=200, age_n=90, age_a=1),
        cell(2, predictions=FEWEST - 1, age_n=FEWEST - 1, age_a=1),
        cell(3, **full),
        cell(3, **full),
        cell(4, **full),
    ]
    mark = 5 * DAY_US + DAY_US // 2 - 1
    assert days_of(cells, coverage=0.8, watermark_us=mark) == [Day(0, 90, 3.0), Day(3 * DAY_US, 180, 3.0)]
    assert [day.start_us // DAY_US for day in days_of(cells, coverage=0.8)] == [0, 3, 4]
    wrong = cell(0, rule=CLASSES, predictions=100, age_n=80, age_right=60)
    assert days_of([wrong], coverage=0.8) == [Day(0, 80, 0.25)]


def test_days_that_were_measured_by_something_else_are_none_of_these() -> None:
    numbers = cell(0, predictions=100, age_n=100, age_a=100 * 30 * UNIT)
    classes = cell(1, rule=CLASSES, predictions=100, age_n=100, age_right=75)
    assert days_of([numbers, classes], coverage=0.8, rule=CLASSES) == [Day(DAY_US, 100, 0.25)]
    assert days_of([numbers, classes], coverage=0.8, rule=RULE) == [Day(0, 100, 30.0)]
    finer = replace(RULE, scale=7, judged_after_us=0)
    again = cell(1, rule=finer, predictions=100, age_n=100, age_a=100 * UNIT)
    assert days_of([numbers, again], coverage=0.8, rule=finer) == [Day(0, 100, 30.0), Day(DAY_US, 100, 7.0)]


def year(*, shift: float = 0.0, **whose: Any) -> list[Cell]:
    """60 days, of which the last ten are worse by a shift."""
    chance = np.random.default_rng(8)
    means = chance.normal(10, 1, size=60)
    means[50:] += shift
    return [
        cell(place, predictions=100, age_n=100, age_a=round(mean * 100 * UNIT), **whose)
        for place, mean in enumerate(means)
    ]


def test_the_api_and_the_page_say_it() -> None:
    cells = [*year(shift=4.0), *year(revision="q", role="candidate")]
    by_day = ByDay((), cells, 61 * DAY_US, 0.8)
    other, mine = quality(cells, by_day)
    assert mine.change is not None
    assert other.change is not None
    assert (mine.change.days, mine.change.changed, mine.change.limit) == (60, True, LIMIT)
    assert not other.change.changed
    assert mine.change.since is not None
    assert abs(mine.change.since - datetime.fromtimestamp(50 * 86_400, UTC)) <= timedelta(days=2)
    assert mine.change.before == pytest.approx(10, abs=0.5)
    assert mine.change.after == pytest.approx(14, abs=0.8)
    rows = table([other, mine], {"r": "1.0.0"}).rows
    assert [row[-1] for row in rows] == ["no more than chance", "worse than it was"]
    drawn = picture(by_day, {"r": "1.0.0"})
    assert drawn is not None
    assert {line.name for line in drawn.lines} == {"1.0.0", "q"}
    assert picture(ByDay((), cells[:5], 61 * DAY_US, 0.8), {}) is None
    assert picture(ByDay((), cells, None, 0.8), {}) is None


# --- as an alarm ------------------------------------------------------------------------------------------------------

TERMS = Terms(
    name="worse", metric="outcome.cusum", high=LIMIT, clear=LIMIT, window_us=DAY_US, cooldown_us=0, samples=50
)


def test_a_window_of_the_alarm_says_what_all_days_up_to_it_have_added_up_to() -> None:
    cells = [*year(shift=4.0), *year(revision="q"), *year(role="shadow")]
    scores = [point.score for point in added_up([day.mean for day in days_of(year(shift=4.0), coverage=0.8)]).points]
    for place in (FIRST_DAYS, 40, 59):
        reading = of_days(TERMS, cells, revision="r", coverage=0.8, start_us=place * DAY_US)
        assert (reading.value, reading.samples) == (pytest.approx(scores[place]), 100)


@pytest.mark.parametrize(
    ("place", "cells", "words"),
    [
        pytest.param(5, year(), "6 days of 15 are judged", id="too few days"),
        pytest.param(60, year(), "0 of 50 judged predictions", id="a day without anything"),
        pytest.param(
            60,
            [*year(), cell(60, predictions=100, age_n=60, age_a=1)],
            "60 % of 100 predictions have an outcome at age L, and it takes 80 %",
            id="a day whose labels are missing",
        ),
        pytest.param(
            60,
            [*year(), cell(60, predictions=25, age_n=25, age_a=1)],
            "25 of 30 judged predictions",
            id="a day of too few for a mean, whatever the rule asks for",
        ),
    ],
)
def test_a_day_of_which_too_little_is_known_says_nothing(place: int, cells: list[Cell], words: str) -> None:
    terms = replace(TERMS, samples=min(TERMS.samples, 20 if "of 30" in words else 50))
    reading = of_days(terms, cells, revision="r", coverage=0.8, start_us=place * DAY_US)
    assert reading.value is None
    assert reading.words.replace("\u00a0", " ") == words
