"""Effect sizes against scipy, a worked example, and the trap that binning both samples together is."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.spatial.distance import jensenshannon
from scipy.stats import norm, wasserstein_distance
from switchyard_monitor.domain.effects import jensen_shannon, psi, smoothed, wasserstein
from switchyard_profile.profile import FeatureSums
from switchyard_profile.training import reference

counts = st.lists(st.integers(0, 5000), min_size=2, max_size=10).filter(any)
pairs = st.integers(2, 10).flatmap(
    lambda size: st.tuples(*[st.lists(st.integers(0, 5000), min_size=size, max_size=size).filter(any)] * 2)
)


def shares(rows: list[int]) -> np.ndarray:
    return np.array(rows) / sum(rows)


@pytest.mark.rule("check-psi")
def test_the_worked_example_of_psi() -> None:
    base, current = [253, 302, 204, 134, 72, 26, 8], [177, 262, 285, 158, 88, 25, 6]
    assert psi(shares(base), shares(current)) == pytest.approx(0.0677, abs=0.00005)


@pytest.mark.rule("check-zero-on-self")
@given(counts, st.integers(1, 20))
def test_equal_shares_are_no_distance_apart(rows: list[int], times: int) -> None:
    expected, found = smoothed(rows, [times * count for count in rows])
    assert abs(psi(expected, found)) < 1e-12
    assert jensen_shannon(expected, found) < 1e-6
    assert wasserstein(range(len(rows)), [0, *rows, 0], [0, *rows, 0]) == 0.0


@given(pairs)
def test_no_group_makes_it_infinite(pair: tuple[list[int], list[int]]) -> None:
    expected, found = smoothed(*pair)
    assert np.all(expected > 0)
    assert np.all(found > 0)
    assert expected.sum() == pytest.approx(1.0)
    assert found.sum() == pytest.approx(1.0)
    assert 0.0 <= psi(expected, found) < 1000.0


@pytest.mark.rule("check-scipy-effects")
@given(pairs)
def test_jensen_shannon_is_scipys(pair: tuple[list[int], list[int]]) -> None:
    first, second = shares(pair[0]), shares(pair[1])
    assert jensen_shannon(first, second) == pytest.approx(jensenshannon(first, second, base=2), abs=1e-6)


def test_smoothing_draws_a_small_window_towards_the_reference() -> None:
    """κ = B/2: of two groups one row in the window weighs as much as the one row of prior."""
    _, found = smoothed([500, 500], [1, 0])
    assert found.tolist() == [0.75, 0.25]


@pytest.mark.rule("check-scipy-effects")
@pytest.mark.parametrize(
    ("shift", "spread", "within"),
    [
        pytest.param(0.0, 1.0, 0.01, id="none"),
        pytest.param(0.1, 1.0, 0.01, id="a tenth"),
        pytest.param(1.0, 1.0, 0.06, id="one, into the last bin, which reaches from 2 to 4 deviations"),
        pytest.param(0.0, 0.5, 0.03, id="none, but half as wide, so both of the last bins matter"),
    ],
)
def test_wasserstein_is_scipys_to_the_width_of_a_bin(shift: float, spread: float, within: float) -> None:
    chance = np.random.default_rng(5)
    held, found = chance.normal(0, 1, 20_000), chance.normal(shift, spread, 20_000)
    inside = found[(found >= held.min()) & (found <= held.max())]
    (feature,) = reference({"x": held.tolist()}).features
    sums = FeatureSums.of(feature.binning, inside.tolist())
    moved = wasserstein(feature.binning.edges, feature.sums.counts[:-1], sums.counts[:-1])
    assert moved == pytest.approx(wasserstein_distance(held, inside), abs=within)


@pytest.mark.rule("check-scipy-effects")
def test_wasserstein_crosses_where_the_spread_differs() -> None:
    """One is wide and one narrow around the same centre: all of it would cancel, were the crossing passed over."""
    assert wasserstein([0.0, 1.0, 2.0, 3.0], [0, 0, 1, 0, 1, 0], [0, 0, 0, 2, 0, 0]) == pytest.approx(0.75)
    assert wasserstein([0.0, 2.0], [0, 1, 0, 1], [0, 0, 2, 0]) == pytest.approx(0.5)


def binned_together(held: np.ndarray, found: np.ndarray) -> float:
    """PSI as Evidently computes it: bins by Sturges over both samples, empty ones filled with 0.0001."""
    edges = np.histogram_bin_edges(np.concatenate([held, found]), bins="sturges")
    both = [np.histogram(one, edges)[0] / len(one) for one in (held, found)]
    expected, other = (np.where(one == 0, 0.0001, one) for one in both)
    return float(np.sum((expected - other) * np.log(expected / other)))


@pytest.mark.rule("check-fixed-bins")
@pytest.mark.parametrize(
    ("rows", "shifted", "hidden", "within"),
    [
        pytest.param(200, 0.9907835928737576, 0.019072097475638865, 0.01, id="of 200 rows"),
        pytest.param(5000, 0.9689361419983167, 6.930699571310737e-05, 0.005, id="of 5,000 rows"),
    ],
)
def test_one_wild_value_does_not_hide_a_shift_of_one_sigma(
    rows: int, shifted: float, hidden: float, within: float
) -> None:
    """The two figures are those that Evidently 0.7.23 itself gives these very rows."""
    held = norm.ppf((np.arange(5000) + 0.5) / 5000)
    found = norm.ppf((np.arange(rows) + 0.5) / rows) + 1.0
    wild = np.append(found, 1e6)
    assert binned_together(held, found) == pytest.approx(shifted, rel=1e-9)
    assert binned_together(held, wild) == pytest.approx(hidden, rel=1e-9), "the trap is no trap any more"

    (feature,) = reference({"x": held.tolist()}).features

    def ours(values: np.ndarray) -> float:
        sums = FeatureSums.of(feature.binning, values.tolist())
        return psi(*smoothed(feature.grouped(feature.sums), feature.grouped(sums)))

    assert ours(found) > 0.8
    assert ours(wild) == pytest.approx(ours(found), abs=within)
