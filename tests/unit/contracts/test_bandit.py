"""The bandit's weight: as large as the chance to be better, by what was judged, whatever the weights were before."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st
from switchyard_contracts.bandit import GRAIN, Posterior, Rewards, better, posterior, rewards, share
from switchyard_contracts.evidence import ArmSums, WindowSums
from switchyard_contracts.model_deployment import Metric
from switchyard_contracts.quantities import FULL
from switchyard_contracts.unpaired import FIRST_LOOK
from switchyard_testkit.sums import arm, metric, window

RIGHT = metric(metric="outcome.accuracy", role="decide", maxDecrease="0%")
ERROR = metric(metric="outcome.mae", role="decide", maxIncrease="0%")
WIDE = {"cap": None, "floor": 0, "ceiling": FULL}


def answers(n: int, right: float) -> ArmSums:
    return arm(n, failures=round(n * (1.0 - right)))


def judged(mine: tuple[int, float], other: tuple[int, float], *, p: float = 0.5, index: int = 0) -> WindowSums:
    """A window of right and wrong answers: (how many, the share of right ones), the candidate's first."""
    return window(index, candidate=answers(*mine), stable=answers(*other), probability=p)


def test_arms_that_are_alike_have_half_each():
    assert share(RIGHT, [judged((1_000, 0.3), (1_000, 0.3))], **WIDE) == FULL // 2


@pytest.mark.parametrize(
    ("mine", "wanted"), [(0.45, 9_500), (0.15, 500)], ids=["the better one, up to the ceiling", "down to the floor"]
)
def test_the_better_one_has_nearly_all_of_it_and_the_other_its_floor(mine, wanted):
    assert share(RIGHT, [judged((1_000, mine), (1_000, 0.3))], cap=None, floor=500, ceiling=9_500) == wanted


windows = st.lists(
    st.builds(
        judged,
        st.tuples(st.integers(100, 900), st.floats(0, 1)),
        st.tuples(st.integers(100, 900), st.floats(0, 1)),
        p=st.sampled_from([0.05, 0.1, 0.37, 0.5, 0.95]),
    ),
    min_size=2,
    max_size=6,
)


@given(windows, st.integers(2, 40), st.integers(50, 98))
def test_a_weight_is_whole_percents_between_floor_and_ceiling(seen, floor, ceiling):
    found = share(RIGHT, seen, cap=None, floor=floor * GRAIN, ceiling=ceiling * GRAIN)
    assert found is not None
    assert floor * GRAIN <= found <= ceiling * GRAIN
    assert found % GRAIN == 0


@given(windows)
def test_arms_that_change_places_change_shares(seen):
    turned = [
        one.model_copy(update={"candidate": one.stable, "stable": one.candidate, "probability": 1.0 - one.probability})
        for one in seen
    ]
    mine, other = share(RIGHT, seen, **WIDE), share(RIGHT, turned, **WIDE)
    assert mine is not None
    assert other is not None
    assert abs(mine + other - FULL) <= GRAIN


@given(windows, st.randoms())
def test_the_order_of_windows_and_how_they_are_cut_says_nothing(seen, chance):
    mixed = list(seen)
    chance.shuffle(mixed)
    assert share(RIGHT, mixed, **WIDE) == pytest.approx(share(RIGHT, seen, **WIDE), abs=GRAIN)


def test_nobody_is_preferred_before_both_have_been_judged():
    few = judged((FIRST_LOOK - 1, 1.0), (10_000, 0.0), p=0.1)
    assert share(RIGHT, [few], **WIDE) is None
    assert share(RIGHT, [], **WIDE) is None


def test_an_arm_is_not_the_better_one_because_it_had_the_easier_hours():
    """Poured together the worse candidate is right in 66 % against 34 %, as it had most of the easy hours."""
    easy = judged((900, 0.7), (100, 0.8), p=0.9)
    hard = judged((100, 0.2), (900, 0.3), p=0.1, index=1)
    found = share(RIGHT, [easy, hard], **WIDE)
    assert found is not None
    assert found < FULL // 2
    pooled = better(
        posterior([Rewards(1_000, 900 * 0.7 + 100 * 0.2, 0.5)]), posterior([Rewards(1_000, 100 * 0.8 + 900 * 0.3, 0.5)])
    )
    assert pooled > 0.99


def test_a_posterior_is_the_beta_distribution_of_what_was_seen():
    found = posterior([Rewards(98, 49.0, 0.5)])
    assert found == Posterior(pytest.approx(0.5), pytest.approx(0.25 / 101), 98)
    assert posterior([]) == Posterior(0.5, pytest.approx(1 / 12), 0)


@given(st.integers(1, 1_000), st.floats(0, 1), st.floats(0.02, 0.98), st.floats(0.02, 0.98))
def test_what_was_seen_at_uneven_weights_is_worth_no_more_than_it_is(n, share_right, p, q):
    whole = posterior([Rewards(2 * n, 2 * n * share_right, p)])
    apart = posterior([Rewards(n, n * share_right, p), Rewards(n, n * share_right, q)])
    assert apart.variance >= whole.variance * (1 - 1e-9)
    assert 0.0 < apart.mean < 1.0


@pytest.mark.parametrize(
    ("of", "cap", "mean"),
    [
        pytest.param(ERROR, 10.0, 0.6, id="an absolute error, as a share of the cap"),
        pytest.param(metric(metric="outcome.rmse", role="decide", maxIncrease="0%"), 4.0, 0.75, id="a squared one"),
        pytest.param(RIGHT, None, 1.0, id="a right answer"),
    ],
)
def test_a_reward_is_what_is_not_lost(of: Metric, cap, mean):
    ((mine, _),) = rewards(of, [window(candidate=arm(losses=[4.0] * 10), stable=arm(losses=[1.0]))], cap=cap)
    assert mine.total / mine.n == pytest.approx(mean)


def test_without_a_largest_loss_there_is_no_reward():
    assert share(ERROR, [window(candidate=arm(losses=[1.0] * 300), stable=arm(losses=[2.0] * 300))], **WIDE) is None


def test_the_share_is_as_often_as_draws_from_both_posteriors_would_give():
    seen = [judged((400, 0.31), (600, 0.30), p=0.4)]
    chance = random.Random(7)
    mine, other = (posterior([Rewards(n, n * right, 0.5)]) for n, right in ((400, 0.31), (600, 0.30)))
    draws = ([chance.gauss(one.mean, one.variance**0.5) for _ in range(20_000)] for one in (mine, other))
    drawn = sum(a > b for a, b in zip(*draws, strict=True))
    found = share(RIGHT, seen, **WIDE)
    assert found is not None
    assert found / FULL == pytest.approx(drawn / 20_000, abs=0.02)
