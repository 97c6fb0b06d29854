"""The boundary against its own definition: a mixture over normal drifts, which scipy evaluates exactly."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.optimize import brentq
from scipy.stats import norm
from switchyard_contracts.boundary import tuning, width

ALPHAS = st.floats(0.001, 0.1)
VARIANCES = st.floats(1e-3, 1e12)


def log_mixture(s: float, *, variance: float, r: float) -> float:
    """The one-sided normal mixture martingale, of which the boundary is where it reaches 1/α."""
    total = variance + r
    return math.log(2) + 0.5 * math.log(r / total) + s * s / (2 * total) + norm.logcdf(s / math.sqrt(total))


@pytest.mark.rule("check-scipy-verdicts")
@given(VARIANCES, VARIANCES, ALPHAS)
def test_the_boundary_is_never_inside_the_exact_one_and_hardly_outside(variance, r, alpha):
    mine = width(variance, r=r, alpha=alpha)
    top = 20 * math.sqrt(variance + r) * math.sqrt(1 + math.log(1 + variance / r))
    exact = brentq(lambda s: log_mixture(s, variance=variance, r=r) + math.log(alpha), 0, top)
    assert exact <= mine * (1 + 1e-9)
    assert mine <= exact * 1.06


@pytest.mark.parametrize("alpha", [0.0025, 0.0125, 0.05])
def test_r_makes_the_boundary_tightest_near_the_planned_variance(alpha):
    planned = 5_000.0
    r = tuning(planned, alpha=alpha)
    best = min(width(planned, r=r * 1.02**k, alpha=alpha) for k in range(-200, 201))
    assert width(planned, r=r, alpha=alpha) <= best * 1.005


@given(VARIANCES, ALPHAS, st.floats(1.01, 100))
def test_more_variance_or_less_risk_needs_more(variance, alpha, times):
    r = tuning(1_000.0, alpha=alpha)
    assert width(variance * times, r=r, alpha=alpha) > width(variance, r=r, alpha=alpha)
    assert width(variance, r=r, alpha=alpha / times) > width(variance, r=r, alpha=alpha)


def test_it_is_wider_than_a_bound_for_one_look_but_not_by_much():
    planned = 10_000.0
    for alpha in (0.0125, 0.05):
        once = norm.isf(alpha) * math.sqrt(planned)
        assert 1.3 * once < width(planned, r=tuning(planned, alpha=alpha), alpha=alpha) < 2.0 * once
