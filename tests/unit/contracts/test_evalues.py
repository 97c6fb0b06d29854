"""E-values for failures: worked figures, scipy as the oracle, and laws."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.integrate import quad
from scipy.special import betaln
from scipy.stats import beta, binom
from switchyard_contracts.evalues import Shared, log_below, log_exceeds, log_sum, log_tilt, log_worse, upper_tail, whose

LIMITS = st.floats(0.001, 0.6)


@st.composite
def counts(draw, most=5_000):
    n = draw(st.integers(0, most))
    return n, draw(st.integers(0, n))


@pytest.mark.parametrize(
    ("n", "failures", "fails"),
    [
        pytest.param(10, 2, False, id="2 of 10 may be chance"),
        pytest.param(10, 3, True, id="3 of 10 is not 1 %"),
        pytest.param(100, 6, False, id="6 of 100 may be chance"),
        pytest.param(100, 7, True, id="7 of 100 is not 1 %"),
        pytest.param(500, 16, False, id="16 of 500 may be chance"),
        pytest.param(500, 17, True, id="17 of 500 is not 1 %"),
    ],
)
def test_a_limit_of_1_percent_at_a_risk_of_1_25_percent(n, failures, fails):
    assert (log_exceeds(n, failures, limit=0.01) >= math.log(1 / 0.0125)) is fails


def test_nothing_is_proven_to_stay_below_1_percent_before_about_450_clean_requests():
    proven = [n for n in range(600) if log_below(n, 0, limit=0.01) >= math.log(1 / 0.05)]
    assert proven[0] == 449
    assert proven == list(range(449, 600))


@pytest.mark.rule("check-scipy-verdicts")
@given(counts(), LIMITS)
def test_the_sum_is_the_integral_over_every_rate_above_the_limit(seen, limit):
    n, failures = seen
    oracle = (
        betaln(failures + 1, n - failures + 1)
        + beta.logsf(limit, failures + 1, n - failures + 1)
        - math.log1p(-limit)
        - failures * math.log(limit)
        - (n - failures) * math.log1p(-limit)
    )
    if math.isfinite(oracle):  # scipy's tail underflows where failures are far too few; the law below covers that
        assert log_exceeds(n, failures, limit=limit) == pytest.approx(oracle, rel=1e-7, abs=1e-6)


@pytest.mark.parametrize(("n", "failures", "limit"), [(0, 0, 0.01), (40, 0, 0.2), (40, 9, 0.2), (40, 40, 0.2)])
def test_the_sum_is_the_integral_done_by_hand(n, failures, limit):
    def ratio(p):
        return (p / limit) ** failures * ((1 - p) / (1 - limit)) ** (n - failures) / (1 - limit)

    assert math.exp(log_exceeds(n, failures, limit=limit)) == pytest.approx(quad(ratio, limit, 1)[0], rel=1e-6)


@pytest.mark.parametrize(
    ("n", "failures"),
    [pytest.param(10_000_000, 100_500, id="at the limit"), pytest.param(10_000_000, 5_000_000, id="far beyond")],
)
def test_ten_million_requests_are_summed_without_overflow(n, failures):
    assert math.isfinite(log_exceeds(n, failures, limit=0.01))
    assert math.isfinite(log_below(n, failures, limit=0.01))


@given(counts(most=2_000), LIMITS)
def test_one_more_failure_never_speaks_for_the_limit(seen, limit):
    n, failures = seen
    if failures < n:
        assert log_exceeds(n, failures + 1, limit=limit) > log_exceeds(n, failures, limit=limit)
        assert log_below(n, failures + 1, limit=limit) < log_below(n, failures, limit=limit)


@given(st.integers(0, 300), LIMITS)
def test_its_expectation_at_the_limit_is_one(n, limit):
    """What makes it an e-value: the evidence against a limit that is just kept averages to exactly 1."""
    chances = binom.logpmf(np.arange(n + 1), n, limit)
    for measure in (log_exceeds, log_below):
        terms = [chance + measure(n, f, limit=limit) for f, chance in enumerate(chances)]
        assert log_sum(terms) == pytest.approx(0.0, abs=1e-6)


def test_a_limit_of_nothing_is_broken_by_the_first_failure_and_a_limit_of_all_never():
    assert log_exceeds(100, 1, limit=0.0) == math.inf
    assert log_exceeds(100, 0, limit=0.0) < 0
    assert log_exceeds(100, 100, limit=1.0) == -math.inf


@given(counts(), st.floats(0.0, 1.0))
def test_the_tail_is_scipys(seen, rate):
    n, failures = seen
    assert upper_tail(n, failures, rate=rate) == pytest.approx(binom.sf(failures - 1, n, rate), rel=1e-6, abs=1e-12)


@given(st.floats(0.01, 0.99), st.floats(0.1, 50), st.floats(0.001, 0.5))
def test_whose_the_next_failure_is_does_not_depend_on_how_many_there_are(p, theta, rate):
    mine, others = p * theta * rate, (1 - p) * rate
    assert whose(p, theta=theta) == pytest.approx(mine / (mine + others))


STRATA = st.lists(
    st.builds(Shared, st.sampled_from([0.05, 0.25, 0.5]), candidate=st.integers(0, 40), stable=st.integers(0, 40)),
    max_size=5,
)


@pytest.mark.rule("check-scipy-verdicts")
@given(STRATA, st.floats(1.0, 3.0))
def test_errors_against_stable_are_the_mixed_likelihood_ratio(strata, margin):
    thetas = margin * np.geomspace(1.1, 400.0, 40)

    def log_likelihood(theta):
        return sum(binom.logpmf(s.candidate, s.candidate + s.stable, whose(s.probability, theta=theta)) for s in strata)

    logs = [log_likelihood(theta) - log_likelihood(margin) for theta in thetas]
    oracle = np.logaddexp.reduce(logs) - math.log(len(logs))
    assert log_worse(strata, margin=margin) == pytest.approx(oracle, rel=1e-6, abs=1e-6)


@given(STRATA, st.floats(1.0, 3.0))
def test_a_failure_of_the_candidate_speaks_against_it_and_one_of_stable_for_it(strata, margin):
    base = log_worse(strata, margin=margin)
    assert log_worse([*strata, Shared(0.3, candidate=1, stable=0)], margin=margin) > base
    assert log_worse([*strata, Shared(0.3, candidate=0, stable=1)], margin=margin) < base


@given(STRATA, st.floats(1.0, 3.0))
def test_cutting_a_stratum_in_two_changes_nothing(strata, margin):
    halves = [
        part
        for s in strata
        for part in (
            Shared(s.probability, s.candidate // 2, s.stable // 3),
            Shared(s.probability, s.candidate - s.candidate // 2, s.stable - s.stable // 3),
        )
    ]
    assert log_worse(halves[::-1], margin=margin) == pytest.approx(log_worse(strata, margin=margin), abs=1e-9)


@given(st.floats(0.02, 0.98), st.floats(1.0, 3.0), st.integers(1, 12))
def test_the_expectation_at_the_margin_is_one_however_the_failures_fall(p, margin, failures):
    q = whose(p, theta=margin)
    mean = sum(
        binom.pmf(k, failures, q) * math.exp(log_worse([Shared(p, k, failures - k)], margin=margin))
        for k in range(failures + 1)
    )
    assert mean == pytest.approx(1.0, rel=1e-6)


def test_an_arm_that_could_not_be_drawn_says_nothing_about_whose_failures_they_are():
    assert log_worse([Shared(1.0, candidate=50, stable=0)], margin=1.2) == pytest.approx(0.0)


def test_a_tilt_of_nothing_is_no_evidence():
    assert log_tilt([Shared(0.2, 30, 60)], theta=1.0, null=1.0) == 0.0
    assert log_sum([-math.inf, 0.0]) == 0.0
