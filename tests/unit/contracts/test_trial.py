"""The A/B test: one look, by how groups of users differ, at the weeks that were stated and at nothing else."""

from __future__ import annotations

import math
import random
from dataclasses import replace
from datetime import timedelta
from statistics import mean, stdev

import pytest
from hypothesis import given
from hypothesis import strategies as st
from switchyard_contracts.evidence import WindowSums
from switchyard_contracts.folds import FIRST_FOLDS
from switchyard_contracts.judgement import Budget, Judgement, Verdict
from switchyard_contracts.model_deployment import Metric
from switchyard_contracts.sticky import BUCKETS, FOLDS
from switchyard_contracts.trial import Design, Horizon, detectable, gap, needed, student
from switchyard_contracts.unpaired import Losses
from switchyard_contracts.verdicts import judge_once
from switchyard_testkit.sums import NOON, Draw, evidence, metric, sticky_window

BUDGET = Budget(alpha_promote=0.025, alpha_guard=0.0125, alpha_rollback=0.0125)
DESIGN = Design(share=0.5, effect=0.05, power=0.8, spread=1.5)
DAYS = 14
DAY = timedelta(seconds=5)
"""The windows of the tests' kit are five seconds apart."""
HORIZON = Horizon(since=NOON, until=NOON + DAYS * DAY, due=NOON + (DAYS + 2) * DAY, probability=0.5)


def decided(name: str = "outcome.mae", **changes: object) -> Metric:
    limit = {"maxDecrease": "0%"} if name == "outcome.accuracy" else {"maxIncrease": "0%"}
    return metric(metric=name, role="decide", **(limit | changes))


def read(*windows: WindowSums, of: Metric | None = None, days: int = DAYS + 2, coverage: float = 0.8) -> Judgement:
    """What is said of these windows when everything has been read up to that day."""
    one = of or decided()
    shown = evidence(*windows, metric=one.metric, watermark=NOON + days * DAY)
    return judge_once(one, shown, horizon=HORIZON, design=DESIGN, budget=BUDGET, min_coverage=coverage)


def weeks(chance: random.Random, *, users: int = 600, factor: float = 1.0, days: int = DAYS) -> list[WindowSums]:
    """Users who ask now and then, each with losses of its own kind; the candidate's are `factor` times as large."""
    crowd = [
        (chance.randrange(BUCKETS), 1 + int(chance.expovariate(0.5)), chance.lognormvariate(0, 0.6))
        for _ in range(users)
    ]
    return [
        sticky_window(
            [(bucket, times, own * (factor if bucket < BUCKETS // 2 else 1.0)) for bucket, times, own in crowd],
            index=day,
        )
        for day in range(days)
    ]


losses = st.builds(Losses, st.integers(1, 50), st.floats(-100, 100))
folds = st.lists(st.tuples(losses, losses), min_size=2, max_size=FOLDS)


@given(folds, st.floats(0.5, 2.0), st.floats(0.1, 10.0))
def test_the_gap_goes_with_the_unit_of_the_losses(pairs, kappa, unit):
    plain = gap(pairs, kappa=kappa)
    scaled = gap([(_times(one, unit), _times(other, unit)) for one, other in pairs], kappa=kappa)
    assert plain
    assert scaled
    assert scaled.value == pytest.approx(plain.value * unit, abs=1e-6)
    assert scaled.error == pytest.approx(plain.error * unit, abs=1e-6)


@given(folds, st.floats(0.5, 2.0), st.randoms())
def test_the_order_of_the_folds_says_nothing_and_nor_do_folds_without_users(pairs, kappa, chance):
    mixed = [*pairs, (Losses(), Losses())]
    chance.shuffle(mixed)
    one, other = gap(pairs, kappa=kappa), gap(mixed, kappa=kappa)
    assert one
    assert other
    assert (one.value, one.error, one.folds) == (
        pytest.approx(other.value, abs=1e-9),
        pytest.approx(other.error, abs=1e-9),
        other.folds,
    )


def _times(one: Losses, unit: float) -> Losses:
    return Losses(one.n, one.total * unit, one.squares * unit**2)


def test_where_folds_are_of_one_size_the_error_is_that_of_a_mean_of_folds():
    chance = random.Random(1)
    pairs = [(Losses(10, chance.gauss(20, 3)), Losses(10, chance.gauss(25, 4))) for _ in range(FOLDS)]
    apart = [(one.total - 1.1 * other.total) / 10 for one, other in pairs]
    found = gap(pairs, kappa=1.1)
    assert found
    assert found.value == pytest.approx(mean(apart))
    assert found.error == pytest.approx(stdev(apart) / math.sqrt(FOLDS))


def test_a_fold_that_is_all_of_an_arm_leaves_no_error_to_be_known():
    assert gap([(Losses(5, 1.0), Losses(5, 1.0)), (Losses(), Losses(5, 2.0))], kappa=1.0) is None
    assert gap([(Losses(5, 1.0), Losses(5, 1.0))], kappa=1.0) is None


@pytest.mark.parametrize(
    ("alpha", "folds_there", "expected"),
    [(0.025, 32, 2.0395), (0.05, 32, 1.6955), (0.0125, 32, 2.3584), (0.025, 16, 2.1314)],
)
def test_student_is_as_in_the_tables(alpha, folds_there, expected):
    assert student(alpha, folds=folds_there) == pytest.approx(expected, rel=0.002)


@pytest.mark.parametrize("factor", [0.2, 5.0], ids=["far better", "far worse"])
@pytest.mark.parametrize("days", [1, 7, DAYS, DAYS + 1])
def test_before_its_horizon_nothing_is_said_whatever_there_is_to_see(factor, days):
    windows = weeks(random.Random(2), factor=factor, days=min(days, DAYS))
    found = read(*windows, days=days)
    assert (found.verdict, found.reason) == (Verdict.NO_DATA, "HorizonAhead")
    assert (found.value, found.against, found.bound) == (None, None, None)
    assert f"{found.samples:,} of {needed(decided(), DESIGN, alpha=0.025):,} planned" in found.message


@given(st.integers(0, 2**32))
def test_whatever_follows_the_horizon_changes_nothing_of_the_reading(seed):
    windows = weeks(random.Random(3), users=200)
    later = weeks(random.Random(seed), users=50, factor=9.0, days=DAYS + 6)[DAYS:]
    moved = [replace_probability(window, 0.25) for window in weeks(random.Random(seed), users=20, factor=9.0, days=3)]
    assert read(*windows, *later, *moved, days=DAYS + 9) == read(*windows)


def replace_probability(window: WindowSums, probability: float) -> WindowSums:
    return window.model_copy(update={"probability": probability})


@pytest.mark.parametrize(
    ("factor", "verdict", "reason"),
    [
        pytest.param(0.7, Verdict.PASS, "Won", id="better"),
        pytest.param(1.5, Verdict.FAIL, "Lost", id="worse"),
        pytest.param(1.0, Verdict.INCONCLUSIVE, "NoWinner", id="alike"),
    ],
)
def test_an_effect_that_is_there_is_found(factor, verdict, reason):
    found = read(*weeks(random.Random(4), factor=factor))
    assert (found.verdict, found.reason) == (verdict, reason)
    assert "read once after" in found.message
    assert found.needed in (0, None)
    if verdict is Verdict.INCONCLUSIVE:
        assert "would have been found with a power of 80 %" in found.message


def test_right_and_wrong_answers_are_read_too():
    chance = random.Random(5)
    crowd: list[Draw] = [(chance.randrange(BUCKETS), 4, 0.0) for _ in range(1_500)]
    answered = [(b, n, float(chance.random() < (0.2 if b < BUCKETS // 2 else 0.4))) for b, n, _ in crowd]
    found = read(sticky_window(answered), of=decided("outcome.accuracy"))
    assert found.verdict is Verdict.PASS
    assert found.value is not None
    assert found.against is not None
    assert found.value > found.against


@pytest.mark.parametrize("by_user", [True, False], ids=["by users", "by requests"])
def test_of_users_drawn_twice_alike_hardly_any_test_finds_a_winner(by_user):
    """Each user is alike day after day: with requests as units, half of the tests would find one."""
    ends = []
    for run in range(150):
        windows = weeks(random.Random(run), users=300)
        if by_user:
            ends.append(read(*windows).verdict)
        else:
            ends.append(_by_requests(windows))
    wrong = sum(end in (Verdict.PASS, Verdict.FAIL) for end in ends) / 150
    assert wrong <= 0.08 if by_user else wrong > 0.3


def _by_requests(windows: list[WindowSums]) -> Verdict:
    """The usual two-sample t-test at the same levels, which takes each request for a user."""
    mine, other = [window.candidate for window in windows], [window.stable for window in windows]
    arms = [
        (sum(a.n for a in arm), sum(a.loss for a in arm), sum(a.loss_squares for a in arm)) for arm in (mine, other)
    ]
    means = [loss / n for n, loss, _ in arms]
    error = math.sqrt(sum((squares / n - (loss / n) ** 2) / n for n, loss, squares in arms))
    z = (means[0] - means[1]) / error
    return Verdict.PASS if z < -1.96 else Verdict.FAIL if z > 2.24 else Verdict.INCONCLUSIVE


@pytest.mark.parametrize("name", ["outcome.mae", "outcome.rmse", "outcome.accuracy"])
@pytest.mark.parametrize("share", [0.5, 0.2])
def test_as_many_as_are_planned_find_the_effect_as_often_as_was_asked_for(name, share):
    one, design = decided(name), replace(DESIGN, share=share, spread=0.8)
    n = needed(one, design, alpha=0.025)
    better = {"outcome.mae": 0.95, "outcome.rmse": 0.95**2, "outcome.accuracy": 1.05}[name]
    sign = -1.0 if name == "outcome.accuracy" else 1.0
    found = 0
    for run in range(300):
        chance = random.Random(run)
        pairs = [
            (
                _fold(chance, n / FOLDS, sign * better, spread=0.8),
                _fold(chance, n * (1 - share) / share / FOLDS, sign, spread=0.8),
            )
            for _ in range(FOLDS)
        ]
        apart = gap(pairs, kappa=1.0)
        assert apart
        found += apart.value + student(0.025, folds=FOLDS) * apart.error < 0.0
    assert 0.7 <= found / 300 <= 0.9


def _fold(chance: random.Random, n: float, average: float, *, spread: float) -> Losses:
    whole = max(1, round(n))
    return Losses(whole, chance.gauss(whole * average, math.sqrt(whole) * spread))


def test_what_could_have_been_found_shrinks_with_the_error():
    chance = random.Random(1)
    wide = gap([(Losses(10, chance.gauss(10, 1)), Losses(10, chance.gauss(10, 1))) for _ in range(FOLDS)], kappa=1.0)
    assert wide
    found = [
        detectable(decided(), replace(wide, error=wide.error * times), alpha=0.025, power=0.8)
        for times in (1.0, 0.25, 1_000.0)
    ]
    assert found[0] is not None
    assert found[1:] == [pytest.approx(found[0] / 4, rel=1e-6), None]


def test_users_of_too_few_groups_are_no_sample():
    users: list[Draw] = [(fold + FOLDS * (number % 300), 9, 1.0) for number in range(600) for fold in range(8)]
    found = read(sticky_window(users))
    assert (found.verdict, found.reason) == (Verdict.INCONCLUSIVE, "TooFewUsers")
    assert f"at least {FIRST_FOLDS} of {FOLDS}" in found.message


def test_fewer_than_were_asked_for_decide_nothing():
    found = read(*weeks(random.Random(4), factor=0.5), of=decided(minSamples=1_000_000))
    assert (found.verdict, found.reason) == (Verdict.INCONCLUSIVE, "TooFewSamples")


def test_counts_that_do_not_fit_the_split_are_said_at_once_and_never_read():
    windows = weeks(random.Random(6), users=2_000)
    lost = [
        window.model_copy(
            update={
                "folds": window.folds.model_copy(
                    update={"candidate": window.folds.candidate.model_copy(update={"n": [1] * FOLDS})}
                )
            }
        )
        for window in windows
        if window.folds
    ]
    for days in (5, DAYS + 2):
        assert read(*lost, days=days).reason == "SRM"


def test_outcomes_that_are_missing_leave_it_unread():
    windows = weeks(random.Random(4), factor=0.5)
    half = [
        window.model_copy(
            update={
                "candidate": window.candidate.model_copy(update={"predictions": 2 * window.candidate.n}),
                "stable": window.stable.model_copy(update={"predictions": 2 * window.stable.n}),
            }
        )
        for window in windows
    ]
    assert (read(*half).verdict, read(*half).reason) == (Verdict.NO_DATA, "LowCoverage")
    assert read().verdict is Verdict.NO_DATA
