"""The sample-ratio check: counts against the stamped probabilities."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binom
from switchyard_contracts.evalues import Shared
from switchyard_contracts.sample_ratio import ALARM, log_mismatch


def alarmed(*strata: Shared) -> bool:
    return log_mismatch(strata) >= math.log(ALARM)


@pytest.mark.parametrize(
    ("strata", "alarm"),
    [
        pytest.param([], False, id="nothing counted"),
        pytest.param([Shared(0.05, 50, 950)], False, id="5 % as stamped"),
        pytest.param([Shared(0.05, 63, 937)], False, id="two standard errors too many"),
        pytest.param([Shared(0.05, 95, 905)], True, id="9.5 % where 5 % is stamped"),
        pytest.param([Shared(0.5, 0, 40)], True, id="the candidate is never counted"),
        pytest.param([Shared(0.5, 5_300, 4_700)], True, id="53 % of ten thousand where half is stamped"),
        pytest.param([Shared(0.05, 50, 950), Shared(0.5, 505, 495)], False, id="a moved weight, each part as stamped"),
        pytest.param([Shared(0.05, 505, 495), Shared(0.5, 50, 950)], True, id="the parts' weights changed places"),
        pytest.param([Shared(0.0, 0, 900), Shared(1.0, 300, 0)], False, id="one arm only, and it was alone"),
        pytest.param([Shared(0.0, 1, 900)], True, id="counted where it could not be drawn"),
        pytest.param([Shared(1.0, 300, 1)], True, id="stable counted where all was the candidate's"),
    ],
)
def test_counts_fit_or_do_not(strata, alarm):
    assert alarmed(*strata) is alarm


def test_a_persistent_one_percent_tilt_is_found_in_the_end():
    many = 2_000_000
    assert alarmed(Shared(0.25, int(many * 0.2525), many - int(many * 0.2525)))
    assert not alarmed(Shared(0.25, int(20_000 * 0.2525), 20_000 - int(20_000 * 0.2525)))


@given(st.floats(0.02, 0.98), st.integers(0, 60))
def test_its_expectation_under_the_stamped_probability_is_one(p, n):
    mean = sum(binom.pmf(k, n, p) * math.exp(log_mismatch([Shared(p, k, n - k)])) for k in range(n + 1))
    assert mean == pytest.approx(1.0, rel=1e-6)


@given(st.floats(0.02, 0.98), st.integers(0, 500), st.integers(0, 500))
def test_the_arms_may_change_places(p, candidate, stable):
    there = log_mismatch([Shared(p, candidate, stable)])
    assert log_mismatch([Shared(1 - p, stable, candidate)]) == pytest.approx(there, abs=1e-9)
