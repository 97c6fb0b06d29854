"""Intervals that are shown, against numpy and scipy."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binom, binomtest, t
from switchyard_contracts.evalues import Shared, whose
from switchyard_contracts.folds import FIRST_FOLDS
from switchyard_contracts.intervals import (
    jackknife,
    jackknife_share,
    jackknife_squares,
    quantile_ranks,
    rate_ratio,
    wilson,
)

seeds = st.integers(0, 2**32)


@pytest.mark.rule("check-scipy-intervals")
@given(st.integers(1, 5_000), st.data(), st.sampled_from([0.8, 0.95, 0.99]))
def test_wilson_is_scipys(n, data, level):
    failures = data.draw(st.integers(0, n))
    oracle = binomtest(failures, n).proportion_ci(confidence_level=level, method="wilson")
    assert wilson(n, failures, level=level) == pytest.approx((oracle.low, oracle.high), abs=1e-9)


def test_of_nothing_nothing_is_known():
    assert wilson(0, 0) == (0.0, 1.0)


@pytest.mark.rule("check-scipy-intervals")
@given(st.integers(1, 3_000), st.sampled_from([0.5, 0.9, 0.95, 0.99]))
def test_the_ranks_hold_the_quantile_as_often_as_they_say(n, quantile):
    ranks = quantile_ranks(n, quantile)
    if ranks is None:
        assert quantile**n > 0.0249 or (1 - quantile) ** n > 0.0249  # an end is missing more than it may
        return
    lower, upper = ranks
    assert binom.cdf(upper - 1, n, quantile) - binom.cdf(lower - 1, n, quantile) >= 0.95 - 1e-9
    assert binom.cdf(lower, n, quantile) > 0.025 - 1e-9  # and are no wider than they must be
    assert binom.cdf(upper - 2, n, quantile) < 0.975 + 1e-9


def test_a_p99_has_an_upper_end_only_from_some_hundred_requests_on():
    assert quantile_ranks(300, 0.99) is None
    assert quantile_ranks(400, 0.99) is not None


def drawn(seed, *, n=300, groups=32):
    """Values of a long tail, and the group of each."""
    chance = np.random.default_rng(seed)
    return chance.lognormal(1.0, 1.0, n), chance.integers(0, groups, n)


def by_group(values, group):
    return [(int((group == one).sum()), float(values[group == one].sum())) for one in range(64)]


def directly(values, group, of):
    """The value, and the standard error from the means of all that is not in each group; and how many groups."""
    without = np.array([of(values[group != one].mean()) for one in np.unique(group)])
    error = math.sqrt((len(without) - 1) / len(without) * ((without - without.mean()) ** 2).sum())
    return of(values.mean()), error, len(without)


@pytest.mark.rule("check-scipy-intervals")
@given(seeds, st.sampled_from([40, 300, 5_000]), st.sampled_from([20, 32, 50]))
@pytest.mark.parametrize("of", [float, math.sqrt, math.log], ids=["the mean", "its root", "its logarithm"])
def test_the_jackknife_is_the_direct_computation(of, seed, n, groups):
    values, group = drawn(seed, n=n, groups=groups)
    value, error, units = directly(values, group, of)
    found = jackknife(by_group(values, group), of=of)
    if units < FIRST_FOLDS:
        assert found is None
        return
    half = t.ppf(0.975, units - 1) * error
    assert found == pytest.approx((value - half, value + half), rel=1e-3)


@given(seeds)
def test_of_32_groups_the_width_is_students_with_31_degrees(seed):
    values, group = drawn(seed)
    _, error, units = directly(values, group, float)
    low, high = jackknife(by_group(values, group))
    assert units == 32
    assert (high - low) / 2 / error == pytest.approx(2.0395, rel=1e-4)


def test_what_one_user_does_again_and_again_is_no_new_evidence():
    values, group = drawn(5)
    once, often = (
        jackknife(by_group(values, group)),
        jackknife([(9 * n, 9 * total) for n, total in by_group(values, group)]),
    )
    assert often == pytest.approx(once)


def test_too_few_groups_say_nothing():
    assert jackknife([(100, 5.0)] * (FIRST_FOLDS - 1) + [(0, 0.0)] * 20) is None
    assert jackknife_share([(100, 5)] * (FIRST_FOLDS - 1)) is None
    assert jackknife([(100, 5.0)] * FIRST_FOLDS) == (0.05, 0.05)


def test_all_squares_in_one_group_leave_no_less_than_nothing():
    low, high = jackknife([(3, 0.1 + 0.2)] + [(3, 0.0)] * 31, of=math.sqrt)
    assert low < math.sqrt(0.3 / 96) < high


@given(seeds, st.sampled_from([300, 5_000]))
def test_a_mean_of_squares_has_its_interval_by_the_inverse(seed, n):
    chance = np.random.default_rng(seed)
    squares, group = chance.standard_t(5, n) ** 2, chance.integers(0, 32, n)
    inverse, error, units = directly(squares, group, lambda mean: 1.0 / mean)
    half = t.ppf(0.975, units - 1) * error
    found = jackknife_squares(by_group(squares, group))
    if half >= inverse:
        assert found is None
        return
    assert found == pytest.approx((1 / (inverse + half), 1 / (inverse - half)), rel=2e-2)
    assert found[0] < squares.mean() < found[1]
    assert found[1] - squares.mean() > squares.mean() - found[0]


@pytest.mark.parametrize(
    ("totals", "interval"),
    [
        pytest.param([0.0] * 32, (0.0, 0.0), id="a model that is always right"),
        pytest.param([7.0] + [0.0] * 31, None, id="one error that is all there is"),
        pytest.param([700.0] + [1.0] * 31, None, id="one that is nearly all there is"),
        pytest.param([2.0] * 32, (0.5, 0.5), id="groups that are all alike"),
        pytest.param([2.0] * 15, None, id="too few groups"),
        pytest.param([0.0] * 15, None, id="too few groups, all right"),
        pytest.param([], None, id="nothing"),
    ],
)
def test_what_sets_no_upper_end_has_no_interval(totals, interval):
    assert jackknife_squares([(4, total) for total in totals]) == (interval and pytest.approx(interval))


@given(seeds, st.sampled_from([0.7, 0.95, 0.99]))
def test_a_share_of_independent_ones_is_about_wilsons(seed, share):
    chance = np.random.default_rng(seed)
    hits, group = (chance.random(2_000) < share).astype(float), np.arange(2_000) % 32
    low, high = jackknife_share(by_group(hits, group))
    alone = wilson(2_000, int(hits.sum()))
    assert low < hits.mean() <= high
    assert high - low >= alone[1] - alone[0]
    assert high - low < 2.5 * (alone[1] - alone[0])


@pytest.mark.parametrize("hits", [0, 64])
def test_a_share_of_all_or_none_has_a_width_too(hits):
    low, high = jackknife_share([(2, hits // 32)] * 32)
    assert high - low == pytest.approx(t.ppf(0.975, 31) ** 2 / (64 + t.ppf(0.975, 31) ** 2), rel=1e-3)


def test_a_share_of_users_who_are_each_alike_is_one_of_users():
    hits = [1] * 20 + [0] * 12
    low, high = jackknife_share([(100, 100 * hit) for hit in hits])
    of_users = wilson(32, sum(hits))
    assert high - low == pytest.approx(of_users[1] - of_users[0], rel=0.1)


@pytest.mark.rule("check-scipy-intervals")
@given(st.integers(0, 300), st.integers(0, 300), st.sampled_from([0.05, 0.25, 0.5]))
def test_the_ratio_of_rates_is_scipys_where_the_split_stood_still(mine, other, probability):
    found = rate_ratio([Shared(probability, mine, other)])
    if not mine + other:
        assert found is None
        return
    share = binomtest(mine, mine + other).proportion_ci(method="wilsoncc")
    odds = (1 - probability) / probability
    assert found.lower == pytest.approx(share.low / (1 - share.low) * odds, rel=1e-6, abs=1e-9)
    if other:
        assert found.value == pytest.approx(mine / other * odds, rel=1e-6)
        assert found.upper == pytest.approx(share.high / (1 - share.high) * odds, rel=1e-6)
    else:
        assert (found.value, found.upper) == (None, None)


@given(st.lists(st.tuples(st.sampled_from([0.05, 0.25, 0.5]), st.integers(0, 40), st.integers(0, 40)), max_size=6))
def test_a_weight_that_moved_is_the_same_split_in_parts(parts):
    strata = [Shared(*part) for part in parts]
    whole = [
        Shared(p, sum(s.candidate for s in same), sum(s.stable for s in same))
        for p in (0.05, 0.25, 0.5)
        if (same := [s for s in strata if s.probability == p])
    ]
    alone = [Shared(1.0, 7, 0), Shared(0.0, 0, 7)]  # nobody was drawn there
    one, other = rate_ratio([*strata, *alone]), rate_ratio(whole)
    assert one == pytest.approx(other) if one is None else vars_of(one) == pytest.approx(vars_of(other))


def vars_of(ratio):
    return {name: getattr(ratio, name) for name in ("value", "lower", "upper") if getattr(ratio, name) is not None}


@pytest.mark.parametrize("probability", [0.05, 0.25, 0.5])
@pytest.mark.parametrize("theta", [0.3, 1.0, 4.0])
@pytest.mark.parametrize("failures", [6, 40, 400])
def test_the_ratio_is_held_as_often_as_it_says(probability, theta, failures):
    """Exactly: the chance of every count under which the interval holds it, added up."""
    chances = binom.pmf(np.arange(failures + 1), failures, whose(probability, theta=theta))
    held = 0.0
    for mine, chance in enumerate(chances):
        if chance > 1e-9:
            found = rate_ratio([Shared(probability, mine, failures - mine)])
            held += chance * (found.lower <= theta and (found.upper is None or theta <= found.upper))
    assert held > 0.94
