"""Intervals that are shown, against scipy."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binom, binomtest
from switchyard_contracts.intervals import quantile_ranks, wilson


@given(st.integers(1, 5_000), st.data(), st.sampled_from([0.8, 0.95, 0.99]))
def test_wilson_is_scipys(n, data, level):
    failures = data.draw(st.integers(0, n))
    oracle = binomtest(failures, n).proportion_ci(confidence_level=level, method="wilson")
    assert wilson(n, failures, level=level) == pytest.approx((oracle.low, oracle.high), abs=1e-9)


def test_of_nothing_nothing_is_known():
    assert wilson(0, 0) == (0.0, 1.0)


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
