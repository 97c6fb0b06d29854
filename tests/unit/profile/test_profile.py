"""Laws of a window's profile: any order, any split, taking out again, bit by bit; and its figures against oracles."""

from __future__ import annotations

import json
import math
import random
from itertools import pairwise
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from switchyard_profile import training
from switchyard_profile.binning import Binning
from switchyard_profile.errors import OtherBaseline
from switchyard_profile.moments import MOST, moments
from switchyard_profile.profile import FeatureSums, Profile
from switchyard_profile.readings import Reading, quantile
from switchyard_profile.values import Type

DISTANCE = Binning(
    name="distance",
    type=Type.NUMBER,
    edges=[-3.5, 0.0, 1.0, 2.5, 70.0],
    center=1.0,
    scale=2.0,
    minimum=0.0,
    maximum=50.0,
)
CARRIER = Binning(name="carrier", type=Type.STRING, categories=["UA", "B6", "EV"])
CANCELLED = Binning(name="cancelled", type=Type.BOOLEAN, categories=["false", "true"])
REMARK = Binning(name="remark", type=Type.TEXT, edges=[0.0, 4.0, 20.0], center=4.0, scale=3.0)
BINNINGS = (DISTANCE, CARRIER, CANCELLED, REMARK)

NOTHING = Profile("sha256:one", 0, {each.name: FeatureSums.nothing(each) for each in BINNINGS})

anything = st.one_of(
    st.none(),
    st.booleans(),
    st.sampled_from([*DISTANCE.edges, "UA", "B6", "", 10**400, -(10**400), 1e308, math.nan, math.inf]),
    st.integers(-100, 100),
    st.floats(),
    st.text(max_size=8),
    st.lists(st.integers(), max_size=1),
)
tables = st.lists(st.fixed_dictionaries({each.name: anything for each in BINNINGS}), max_size=12)
UNEVEN: list[dict[str, Any]] = [
    {each.name: number for each in BINNINGS} for number in (0.1, 0.7, 3.3, 1000.3, -77.7, 1e-9, 512.9)
]
"""Whose squares have more digits than a float: what is drawn has so many by chance only."""


def profile(rows: list[dict[str, Any]]) -> Profile:
    """These rows, counted."""
    columns = {each.name: [row[each.name] for row in rows] for each in BINNINGS}
    return Profile.of("sha256:one", BINNINGS, columns, rows=len(rows))


def exact(found: Profile) -> dict[str, tuple[Any, ...]]:
    """All that can be taken out again."""
    return {
        name: (sums.counts, sums.wrong, sums.outside, sums.clipped, sums.q, sums.qq)
        for name, sums in found.features.items()
    }


@pytest.mark.rule("check-merge-profiles")
@given(tables, st.randoms(use_true_random=False), st.lists(st.integers(0, 12), max_size=4))
@example(UNEVEN, random.Random(1), [2, 5])
def test_merged_over_any_split_it_is_the_whole(
    rows: list[dict[str, Any]], chance: random.Random, cuts: list[int]
) -> None:
    whole = profile(rows)
    rows = chance.sample(rows, len(rows))
    merged = NOTHING
    bounds = [0, *sorted(min(cut, len(rows)) for cut in cuts), len(rows)]
    for first, last in pairwise(bounds):
        merged = merged.merge(profile(rows[first:last]))
    assert merged == whole
    assert merged.encode() == whole.encode()


@pytest.mark.rule("check-retract-profiles")
@given(tables, tables)
def test_what_is_taken_out_was_never_there(some: list[dict[str, Any]], more: list[dict[str, Any]]) -> None:
    both = profile(some).merge(profile(more))
    left = both.retract(profile(more))
    assert exact(left) == exact(profile(some))
    assert left.rows == len(some)
    assert profile(more).retract(profile(more)) == NOTHING


def test_an_extreme_value_that_was_taken_out_leaves_only_bounds_of_least_and_greatest() -> None:
    usual = FeatureSums.of(DISTANCE, [1.0, 2.0, 3.0])
    left = usual.merge(FeatureSums.of(DISTANCE, [1e9])).retract(FeatureSums.of(DISTANCE, [1e9]))
    assert (left.high, left.amended) == (1e9, True)
    assert Reading.of(DISTANCE, left).approximate
    assert Reading.of(DISTANCE, left).deviation == Reading.of(DISTANCE, usual).deviation == 1.0


@given(tables)
def test_every_row_is_counted_once(rows: list[dict[str, Any]]) -> None:
    found = profile(rows)
    assert found.rows == len(rows)
    assert all(sums.rows == len(rows) and min(sums.counts) >= 0 for sums in found.features.values())


@given(tables)
def test_the_stored_form_reads_back_the_same(rows: list[dict[str, Any]]) -> None:
    found = profile(rows)
    assert Profile.decode(json.loads(found.encode())) == found


@given(st.lists(st.floats(-100, 100) | st.sampled_from(DISTANCE.edges), min_size=1))
def test_numbers_fall_where_pandas_puts_them(values: list[float]) -> None:
    """pandas' intervals are open on the left; the edge below the least one makes the least a bin of its own."""
    least = np.nextafter(DISTANCE.edges[0], -math.inf)
    expected = pd.cut(values, [-math.inf, least, *DISTANCE.edges, math.inf]).value_counts().tolist()
    assert list(FeatureSums.of(DISTANCE, values).counts) == [*expected, 0]


@pytest.mark.parametrize(
    ("binning", "value", "where"),
    [
        pytest.param(DISTANCE, None, "missing", id="null is missing"),
        pytest.param(DISTANCE, math.nan, "missing", id="not a number is missing"),
        pytest.param(DISTANCE, "12", "wrong", id="a text that looks like a number is none"),
        pytest.param(DISTANCE, True, "wrong", id="true is no 1"),
        pytest.param(DISTANCE, math.inf, "wrong", id="infinite is no number to count with"),
        pytest.param(DISTANCE, 10**400, "wrong", id="a whole number beyond all floats"),
        pytest.param(DISTANCE, 51, "outside", id="above the limit"),
        pytest.param(DISTANCE, -1e300, "clipped", id="too far from the centre for sums"),
        pytest.param(CARRIER, "XX", "unseen", id="a name without a bin"),
        pytest.param(CARRIER, 7, "wrong", id="a number is no name"),
        pytest.param(CANCELLED, "true", "wrong", id="a text is no boolean"),
        pytest.param(CANCELLED, 1, "wrong", id="1 is no boolean"),
        pytest.param(REMARK, ["a"], "wrong", id="a list is no text"),
        pytest.param(REMARK, None, "missing", id="no text"),
    ],
)
def test_what_is_odd_is_counted_as_what_it_is(binning: Binning, value: Any, where: str) -> None:
    assert getattr(Reading.of(binning, FeatureSums.of(binning, [value])), where) == 1


def test_a_column_that_is_not_there_is_missing_in_every_row() -> None:
    found = Profile.of("sha256:one", BINNINGS, {"carrier": ["UA", "UA"]}, rows=2)
    assert found.features["distance"].missing == 2
    assert found.features["carrier"].missing == 0


def test_profiles_of_two_references_are_not_added() -> None:
    with pytest.raises(OtherBaseline, match="sha256:two"):
        NOTHING.merge(Profile("sha256:two", 0, NOTHING.features))


@pytest.mark.rule("check-numacc4")
def test_nist_numacc4() -> None:
    """NIST's NumAcc4: 1,001 values, mean 10000000.2 and deviation 0.1 exactly; naive sums of squares lose it all."""
    values = [10000000.2, *[10000000.1, 10000000.3] * 500]
    binning = Binning(name="x", type=Type.NUMBER, edges=[10000000.1, 10000000.3], center=10000000.2, scale=0.2)
    (learnt,) = training.reference({"x": values}).features
    for each in (binning, learnt.binning):
        reading = Reading.of(each, FeatureSums.of(each, values))
        assert reading.mean == pytest.approx(10000000.2, rel=1e-14)
        assert reading.deviation == pytest.approx(0.1, rel=1e-7)
        assert reading.clipped == 0


@given(st.lists(st.floats(-4e3, 4e3), min_size=2, max_size=200))
def test_mean_and_deviation_are_pandas_own_to_a_millionth_of_the_scale(values: list[float]) -> None:
    reading = Reading.of(DISTANCE, FeatureSums.of(DISTANCE, values))
    assert reading.clipped == 0
    assert reading.mean == pytest.approx(pd.Series(values).mean(), abs=2e-6)
    assert reading.deviation == pytest.approx(pd.Series(values).std(), abs=2e-6)


@given(st.lists(st.integers(-MOST, MOST), max_size=50))
def test_squares_do_not_overflow(parts: list[int]) -> None:
    numbers = np.array(parts, dtype=np.float64) / 2**20
    found, clipped = moments(numbers, center=0.0, scale=1.0)
    assert (found.q, found.qq, clipped) == (sum(parts), sum(part * part for part in parts), 0)


def test_quantiles_lie_within_a_bin_of_the_true_ones() -> None:
    values = np.random.default_rng(7).gamma(2.0, 30.0, 20_000)
    feature = training.reference({"delay": values.tolist()}).features[0]
    for share in (0.01, 0.1, 0.5, 0.9, 0.99):
        found = quantile(feature.binning, feature.sums, share)
        low, high = np.quantile(values, [max(0.0, share - 0.02), min(1.0, share + 0.02)])
        assert found is not None
        assert low <= found <= high
    assert quantile(feature.binning, feature.sums, 0.0) == values.min()
    assert quantile(feature.binning, feature.sums, 1.0) == values.max()
