"""Drift: its statistics against scipy, what it finds and what it leaves alone."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binomtest, chi2_contingency, false_discovery_control
from switchyard_monitor.domain.drift import (
    Finding,
    NoBaseline,
    benjamini_hochberg,
    judge,
    lasting,
    waits_for,
)
from switchyard_monitor.domain.twosample import LEAST, chance_of, chance_of_more, pearson, pooled
from switchyard_monitor.domain.usual import Aspect, Usual, Yardstick
from switchyard_profile.errors import OtherBaseline
from switchyard_profile.profile import FeatureSums, Profile
from switchyard_profile.reference import Reference
from switchyard_profile.training import Limits, Options, reference

DAY = 86_400
ROWS = 1000
DAYS = 45
Columns = dict[str, list[Any]]
OPTIONS = Options(limits={"speed": Limits(0.0, 1000.0)}, prediction="answer")


def day(chance: np.random.Generator, rows: int = ROWS, *, apart: float = 0.0) -> Columns:
    """An ordinary day; with `apart`, days differ from each other by so many deviations."""
    level = chance.normal(0.0, apart) if apart else 0.0
    speed = 400.0 + 60.0 * (chance.normal(0.0, 1.0, rows) + level)
    return {
        "speed": speed.tolist(),
        "carrier": chance.choice(["UA", "B6", "EV", "DL"], rows, p=[0.5, 0.3, 0.15, 0.05]).tolist(),
        "answer": (speed / 10.0 + chance.normal(0.0, 3.0, rows)).tolist(),
    }


def learnt(days: int = DAYS, *, apart: float = 0.0, seed: int = 1) -> Yardstick:
    """A reference of ordinary days."""
    chance = np.random.default_rng(seed)
    each = [day(chance, apart=apart) for _ in range(days)]
    columns = {name: [value for one in each for value in one[name]] for name in each[0]}
    times = [at * DAY for at in range(days) for _ in range(ROWS)]
    return Yardstick(reference(columns, times=times, options=OPTIONS))


def found(yardstick: Yardstick, columns: Columns, *, start: int = 100 * DAY) -> dict[tuple[str, Aspect], Finding]:
    """What a window of these columns is said to be."""
    made: Reference = yardstick.reference
    named = {("prediction" if name == "answer" else name): values for name, values in columns.items()}
    rows = len(next(iter(columns.values())))
    profile = Profile.of(made.digest, made.binnings, named, rows=rows)
    return {(one.feature, one.aspect): one for one in judge(yardstick, profile, start=start)}


def drifted(yardstick: Yardstick, columns: Columns) -> set[tuple[str, Aspect]]:
    return {key for key, one in found(yardstick, columns).items() if one.drifted}


@pytest.fixture(scope="module")
def steady() -> Yardstick:
    return learnt()


def shifted(deviations: float) -> Callable[[Columns], None]:
    def change(columns: Columns) -> None:
        columns["speed"] = [value + 60.0 * deviations for value in columns["speed"]]

    return change


def without(share: float) -> Callable[[Columns], None]:
    def change(columns: Columns) -> None:
        columns["speed"][: round(share * ROWS)] = [None] * round(share * ROWS)

    return change


def with_new_name(share: float) -> Callable[[Columns], None]:
    def change(columns: Columns) -> None:
        columns["carrier"][: round(share * ROWS)] = ["XX"] * round(share * ROWS)

    return change


def in_other_units(columns: Columns) -> None:
    columns["speed"] = [value * 0.447 for value in columns["speed"]]


def with_one_outlier(columns: Columns) -> None:
    columns["speed"][3] = 1e6


def as_text(columns: Columns) -> None:
    columns["speed"][:20] = [str(value) for value in columns["speed"][:20]]


def unchanged(columns: Columns) -> None:
    pass


SHIFTS, MISSING, NEW_CATEGORY, UNITS, OUTLIER = (
    pytest.mark.rule(f"check-{what}") for what in ("shifts", "missing", "new-category", "units", "outlier")
)
SPEED, SPEED_MISSING = ("speed", Aspect.DISTRIBUTION), ("speed", Aspect.MISSING)
POWER: list[Any] = [
    # what changed, where it is looked for, at least and at most this share of 200 days find it
    pytest.param(unchanged, SPEED, 0.0, 0.01, id="nothing changed"),
    pytest.param(
        shifted(0.05), SPEED, 0.0, 0.15, id="a shift of 0.05 deviations is too small for 1,000 rows", marks=SHIFTS
    ),
    pytest.param(shifted(0.1), SPEED, 0.02, 0.5, id="a shift of 0.1 is found on some days", marks=SHIFTS),
    pytest.param(shifted(0.2), SPEED, 0.85, 1.0, id="a shift of 0.2", marks=SHIFTS),
    pytest.param(shifted(0.5), SPEED, 1.0, 1.0, id="a shift of 0.5", marks=SHIFTS),
    pytest.param(without(0.01), SPEED_MISSING, 1.0, 1.0, id="1 % missing", marks=MISSING),
    pytest.param(
        with_new_name(0.01), ("carrier", Aspect.UNSEEN), 1.0, 1.0, id="a new category in 1 %", marks=NEW_CATEGORY
    ),
    pytest.param(
        with_new_name(0.05), ("carrier", Aspect.DISTRIBUTION), 1.0, 1.0, id="a new category in 5 % moves the rest"
    ),
    pytest.param(in_other_units, SPEED, 1.0, 1.0, id="swapped units", marks=UNITS),
    pytest.param(as_text, ("speed", Aspect.WRONG), 1.0, 1.0, id="numbers sent as text"),
    pytest.param(with_one_outlier, SPEED, 0.0, 0.01, id="one outlier is no drift", marks=OUTLIER),
]


@pytest.mark.parametrize(("change", "where", "least", "most"), POWER)
def test_power(
    steady: Yardstick,
    change: Callable[[Columns], None],
    where: tuple[str, Aspect],
    least: float,
    most: float,
) -> None:
    chance = np.random.default_rng(7)
    finds = 0
    for _ in range(200):
        columns = day(chance)
        change(columns)
        finds += where in drifted(steady, columns)
    assert least <= finds / 200 <= most


def test_one_outlier_beyond_the_limits_is_counted_and_is_no_finding(steady: Yardstick) -> None:
    columns = day(np.random.default_rng(3))
    with_one_outlier(columns)
    one = found(steady, columns)["speed", Aspect.OUTSIDE]
    assert one.effect == 1 / ROWS
    assert not one.drifted


def test_an_outlier_does_not_hide_a_shift(steady: Yardstick) -> None:
    columns = day(np.random.default_rng(3))
    shifted(1.0)(columns)
    with_one_outlier(columns)
    assert ("speed", Aspect.DISTRIBUTION) in drifted(steady, columns)


def test_swapped_units_of_the_answer_are_drift_of_y(steady: Yardstick) -> None:
    columns = day(np.random.default_rng(3))
    columns["answer"] = [value * 60.0 for value in columns["answer"]]
    assert drifted(steady, columns) == {("prediction", Aspect.DISTRIBUTION)}


def test_days_that_differ_by_themselves_cry_no_wolf() -> None:
    """Days half a deviation apart: against independent rows nearly all differ, and few against what days do."""
    yardstick = learnt(apart=0.5)
    chance = np.random.default_rng(11)
    naive = unlikely = ours = 0
    for _ in range(200):
        columns = day(chance, apart=0.5)
        naive += of_independent_rows(yardstick, columns) < 0.01
        one = found(yardstick, columns)["speed", Aspect.DISTRIBUTION]
        unlikely += likely(one) < 0.01
        ours += one.drifted
    assert naive > 160
    assert unlikely <= 24
    assert ours <= 8


def likely(one: Finding) -> float:
    """Its p-value."""
    assert one.p is not None
    return one.p


def of_independent_rows(yardstick: Yardstick, columns: Columns) -> float:
    """The p-value that takes rows for independent."""
    (speed,) = (feature for feature in yardstick.reference.features if feature.name == "speed")
    sums = FeatureSums.of(speed.binning, columns["speed"])
    return chance_of(*pearson(*pooled(speed.grouped(speed.sums), speed.grouped(sums), neighbours=True)))


@pytest.mark.rule("check-zero-on-self")
def test_a_reference_beside_itself_is_at_no_distance(steady: Yardstick) -> None:
    for one in judge(steady, steady.reference.profile, start=0):
        assert not one.drifted
        assert one.effect == pytest.approx(one.reference, abs=1e-12)
        if one.effects is not None:
            assert one.p == 1.0
            assert abs(one.effects.psi) < 1e-12
            assert one.effects.jensen_shannon < 1e-6
            assert one.effects.wasserstein in (None, 0.0)


@pytest.mark.rule("check-scipy-tests")
@given(
    st.integers(2, 10).flatmap(
        lambda size: st.tuples(*[st.lists(st.integers(1, 5000), min_size=size, max_size=size)] * 2)
    )
)
def test_x2_is_scipys(pair: tuple[list[int], list[int]]) -> None:
    x2, df = pearson(*pair)
    oracle = chi2_contingency(np.array(pair), correction=False)
    assert x2 == pytest.approx(oracle.statistic, rel=1e-9, abs=1e-9)
    assert df == oracle.dof
    assert chance_of(x2, df) == pytest.approx(oracle.pvalue, rel=1e-6, abs=1e-12)


@pytest.mark.rule("check-scipy-tests")
@given(st.integers(0, 200), st.integers(1, 60), st.integers(100, 2000), st.integers(200, 50_000))
def test_shares_are_tested_by_the_conditional_binomial(held: int, more: int, window: int, rows: int) -> None:
    oracle = binomtest(more, more + held, window / (rows + window), alternative="greater").pvalue
    assert chance_of_more(held, rows, more, window, inflation=1.0) == pytest.approx(oracle, rel=1e-6, abs=1e-12)


@given(st.integers(0, 200), st.integers(1, 60), st.floats(1.0, 50.0))
def test_what_came_together_counts_for_less(held: int, more: int, inflation: float) -> None:
    alone = chance_of_more(held, 20_000, more, 1000, inflation=1.0)
    if alone < 0.5:
        assert chance_of_more(held, 20_000, more, 1000, inflation=inflation) >= alone - 1e-12


@pytest.mark.rule("check-scipy-tests")
@given(st.lists(st.floats(0.0, 1.0), min_size=1, max_size=40))
def test_findings_are_those_of_benjamini_and_hochberg(chances: list[float]) -> None:
    adjusted = false_discovery_control(chances)
    clear = np.abs(adjusted - 0.05) > 1e-9
    assert np.array_equal(np.array(benjamini_hochberg(chances, share=0.05))[clear], (adjusted <= 0.05)[clear])


@given(st.lists(st.integers(0, 300), min_size=2, max_size=10).filter(any), st.booleans(), st.data())
def test_merged_groups_have_five_rows_and_lose_none(held: list[int], neighbours: bool, data: st.DataObject) -> None:
    window = data.draw(st.lists(st.integers(0, 300), min_size=len(held), max_size=len(held)).filter(any))
    some, others = pooled(held, window, neighbours=neighbours)
    assert (sum(some), sum(others)) == (sum(held), sum(window))
    share = min(1.0, sum(window) / sum(held))
    assert len(some) == 1 or min(some) * share >= LEAST


@pytest.mark.parametrize(
    ("neighbours", "expected"),
    [
        pytest.param(True, ([102, 60, 40], [100, 60, 70]), id="numbers go to their smaller neighbour"),
        pytest.param(False, ([100, 60, 42], [90, 60, 80]), id="names go to the smallest"),
    ],
)
def test_small_groups_go_where_they_belong(neighbours: bool, expected: tuple[list[int], list[int]]) -> None:
    assert pooled([2, 100, 60, 40], [10, 90, 60, 70], neighbours=neighbours) == expected


def test_a_name_that_was_never_seen_weighs_among_the_rare_ones() -> None:
    held, window = pooled([5000, 4000, 1000, 0], [480, 380, 90, 50], neighbours=False)
    assert (held, window) == ([5000, 4000, 1000], [480, 380, 140])


def test_too_few_rows_say_nothing(steady: Yardstick) -> None:
    one = found(steady, day(np.random.default_rng(3), rows=6))["speed", Aspect.DISTRIBUTION]
    assert one.p is None
    assert not one.drifted
    none: Columns = {"speed": [], "carrier": [], "answer": []}
    assert not any(one.drifted or one.p for one in found(steady, none).values())


@pytest.mark.parametrize(("days", "pages"), [pytest.param(19, False, id="19"), pytest.param(20, True, id="20")])
def test_with_fewer_than_twenty_windows_it_is_optimistic_and_pages_nobody(days: int, pages: bool) -> None:
    columns = day(np.random.default_rng(3))
    shifted(1.0)(columns)
    one = found(learnt(days), columns)["speed", Aspect.DISTRIBUTION]
    assert one.drifted
    assert one.usual.optimistic is not pages
    assert one.pages is pages


def test_a_reference_without_times_is_optimistic() -> None:
    made = Yardstick(reference(day(np.random.default_rng(1)), options=OPTIONS))
    columns = day(np.random.default_rng(3))
    shifted(1.0)(columns)
    one = found(made, columns)["speed", Aspect.DISTRIBUTION]
    assert one.drifted
    assert not one.pages


def test_windows_of_the_same_hour_of_the_week_are_the_measure_where_there_are_enough() -> None:
    """Sundays are slower by half a deviation: as a Sunday that is usual, as a Tuesday it is not."""
    chance = np.random.default_rng(5)
    weeks = 24
    each = [day(chance) for _ in range(7 * weeks)]
    for sunday in each[3::7]:  # 1970 began on a Thursday
        shifted(-0.5)(sunday)
    columns = {name: [value for one in each for value in one[name]] for name in each[0]}
    times = [at * DAY for at in range(7 * weeks) for _ in range(ROWS)]
    yardstick = Yardstick(reference(columns, times=times, options=OPTIONS))
    slow = day(chance)
    shifted(-0.5)(slow)
    sunday, tuesday = (found(yardstick, slow, start=(700 + at) * DAY)["speed", Aspect.DISTRIBUTION] for at in (3, 5))
    assert sunday.usual.windows == tuesday.usual.windows == weeks
    assert not sunday.drifted
    assert tuesday.drifted


def test_what_rows_have_in_common_grows_with_their_number() -> None:
    usual = Usual(windows=45, inflation=4.0, rows=1000.0, most=0.1)
    assert [usual.inflation_at(rows) for rows in (0, 500, 1000, 10_000)] == [1.0, 2.5, 4.0, 31.0]


def test_ten_times_the_traffic_is_no_drift() -> None:
    """φ as it was learnt from 1,000 rows a day would call nearly every day of 10,000 drift."""
    yardstick, chance = learnt(apart=0.2), np.random.default_rng(17)
    days = [found(yardstick, day(chance, 10_000, apart=0.2))["speed", Aspect.DISTRIBUTION] for _ in range(60)]
    assert sum(likely(one) < 0.01 for one in days) <= 9
    assert sum(one.drifted for one in days) <= 3


def test_a_window_counted_in_other_bins_is_refused(steady: Yardstick) -> None:
    with pytest.raises(OtherBaseline):
        judge(steady, Profile("sha256:another", 0, {}), start=0)


@pytest.mark.parametrize(
    ("windows", "expected"),
    [
        pytest.param([], False, id="none yet"),
        pytest.param([True], False, id="one of one"),
        pytest.param([True, False, True], True, id="two of three"),
        pytest.param([True, True, False, False], False, id="two, but long ago"),
    ],
)
def test_an_alarm_takes_k_of_the_last_n(windows: Sequence[bool], expected: bool) -> None:
    assert lasting(windows, k=2, n=3) is expected


@pytest.mark.parametrize(
    ("days", "rows", "says"),
    [
        pytest.param(2, 3120, "2 of 7 full days and 3,120 of 10,000 rows", id="neither"),
        pytest.param(9, 3120, "served 3,120 of 10,000 rows", id="too few rows"),
        pytest.param(6, 90_000, "served 6 of 7 full days", id="too few days"),
    ],
)
def test_without_a_baseline_it_says_what_is_waited_for(days: int, rows: int, says: str) -> None:
    waiting = waits_for(days=days, rows=rows)
    assert isinstance(waiting, NoBaseline)
    assert says in waiting.sentence


def test_seven_days_and_ten_thousand_rows_are_a_baseline() -> None:
    assert waits_for(days=7, rows=10_000) is None
