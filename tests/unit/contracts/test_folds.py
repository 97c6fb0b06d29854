"""Sticky splits are judged by groups of users: what one user does again and again is no proof of anything."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st
from switchyard_contracts import sample_ratio
from switchyard_contracts.evidence import Evidence, WindowSums
from switchyard_contracts.folds import FIRST_FOLDS, Folded, excess, share_of
from switchyard_contracts.model_deployment import Metric
from switchyard_contracts.sticky import BUCKETS, FOLDS, fold_of
from switchyard_contracts.unpaired import Losses, Row, looks
from switchyard_contracts.verdicts import Budget, Verdict, judge
from switchyard_testkit.sums import Draw, arm, evidence, sticky_window, window

BUDGET = Budget(alpha_promote=0.025, alpha_guard=0.0125, alpha_rollback=0.0125)
OUTCOME = Metric.model_validate(
    {"name": "outcome", "metric": "outcome.mae", "maxIncrease": "5%", "minSamples": 200, "role": "decide"}
)
LIMIT = Metric.model_validate(
    {"name": "errors", "metric": "error_rate", "max": "1%", "minSamples": 50, "role": "guard"}
)
STABLE = Metric.model_validate(
    {"name": "errors", "metric": "error_rate", "maxIncrease": "50%", "minSamples": 50, "role": "guard"}
)


def crowd(chance: random.Random, *, users: int, times: Callable[[], int], loss: Callable[[int], float]) -> list[Draw]:
    buckets = [chance.randrange(BUCKETS) for _ in range(users)]
    return [(bucket, times(), loss(bucket)) for bucket in buckets]


def ask(metric: Metric, *windows: WindowSums) -> Verdict:
    shown: Evidence = evidence(*windows, metric=metric.metric)
    return judge(metric, shown, budget=BUDGET, min_coverage=0.0).verdict


@given(st.integers(0, BUCKETS), st.integers(0, BUCKETS))
def test_each_fold_has_its_share_of_the_candidates_buckets(one, other):
    low, high = sorted((one, other))
    shares = [[share_of(fold, probability=weight / BUCKETS) for fold in range(FOLDS)] for weight in (low, high)]
    of_fold = [sum(1 for bucket in range(low) if fold_of(bucket) == fold) for fold in (0, 17, 31)]
    whole = [sum(1 for bucket in range(BUCKETS) if fold_of(bucket) == fold) for fold in (0, 17, 31)]
    assert [shares[0][fold] for fold in (0, 17, 31)] == [mine / all_ for mine, all_ in zip(of_fold, whole, strict=True)]
    assert all(before <= after for before, after in zip(*shares, strict=True))


def rows(windows: list[WindowSums]) -> Iterator[Row]:
    for each in windows:
        assert each.folds is not None
        arms = [
            [Losses(n, loss) for n, loss in zip(side.n, side.loss, strict=True)]
            for side in (each.folds.candidate, each.folds.stable)
        ]
        totals = [Losses(side.n, side.loss, side.loss_squares) for side in (each.candidate, each.stable)]
        yield Row(each.start, each.probability, *totals, tuple(zip(*arms, strict=True)))


def test_the_score_by_folds_is_the_score_and_only_its_variance_differs():
    chance = random.Random(5)
    windows = [
        sticky_window(
            crowd(chance, users=300, times=lambda: chance.randrange(1, 9), loss=lambda _: chance.random()), index=index
        )
        for index in range(4)
    ]
    plain = [Row(each.start, each.probability, each.candidate, each.stable) for each in rows(windows)]
    by_user, by_request = list(looks(rows(windows), kappa=1.05))[-1], list(looks(plain, kappa=1.05))[-1]
    assert (by_user.n, by_user.candidate) == (by_request.n, by_request.candidate)
    assert by_user.total == pytest.approx(by_request.total)
    assert by_user.folded.total == pytest.approx(by_user.total)
    assert by_user.weight == pytest.approx(by_request.weight)
    assert (by_user.units, by_request.units) == (FOLDS, None)


@pytest.mark.parametrize(("by_user", "most"), [(True, 0.08), (False, 1.0)], ids=["by users", "by requests"])
def test_a_candidate_at_the_margin_is_promoted_no_more_often_than_the_risk_allows(by_user, most):
    """Each user's losses are alike day after day; with requests as units nearly half of all runs would be decided."""
    decided = 0
    for run in range(120):
        chance = random.Random(run)
        mild = {number: chance.lognormvariate(0, 0.7) for number in range(BUCKETS)}
        users = [(chance.randrange(BUCKETS), 1 + int(chance.expovariate(1 / 8))) for _ in range(400)]
        windows = [
            sticky_window(
                [(bucket, times, mild[bucket] * (1.05 if bucket < 5_000 else 1.0)) for bucket, times in users],
                index=day,
                by_user=by_user,
            )
            for day in range(6)
        ]
        found = [ask(OUTCOME, *windows[:day]) for day in range(1, 7)]
        decided += Verdict.PASS in found
    share = decided / 120
    assert share <= most
    if not by_user:
        assert share > 0.15, "requests as units would do, so the folds are for nothing"


@pytest.mark.parametrize(("factor", "wanted"), [(0.5, Verdict.PASS), (2.0, Verdict.FAIL)], ids=["better", "worse"])
def test_a_known_effect_is_found(factor, wanted):
    chance = random.Random(3)
    users = crowd(
        chance,
        users=3_000,
        times=lambda: chance.randrange(1, 4),
        loss=lambda bucket: chance.uniform(0.5, 1.5) * (factor if bucket < 5_000 else 1.0),
    )
    assert ask(OUTCOME, *(sticky_window(users, index=index) for index in range(3))) is wanted


def test_a_handful_of_users_decide_nothing_however_often_they_ask():
    users = [(number * 1_200, 5_000, 0.2 if number < 4 else 1.0) for number in range(8)]
    assert ask(OUTCOME, sticky_window(users)) is Verdict.INCONCLUSIVE


def test_one_busy_user_is_no_fault_of_the_split_but_a_missing_arm_is():
    chance = random.Random(1)
    users = crowd(chance, users=2_000, times=lambda: 3, loss=lambda _: 0.0)
    busy = [*users, (17, 4_000, 0.0)]
    assert ask(LIMIT, sticky_window(busy)) is not Verdict.ERROR
    assert ask(LIMIT, sticky_window(busy, by_user=False)) is Verdict.ERROR
    lost = [(bucket, times if bucket >= 5_000 else 1, loss) for bucket, times, loss in users]
    assert ask(LIMIT, sticky_window(lost)) is Verdict.ERROR


def test_by_chance_the_sample_ratio_alarms_hardly_ever():
    alarms = 0
    for run in range(150):
        chance = random.Random(run)
        users = crowd(chance, users=500, times=lambda: 1 + int(chance.paretovariate(1.5)), loss=lambda _: 0.0)  # noqa: B023
        alarms += sample_ratio.of_users([sticky_window(users, weight=500, index=index) for index in range(3)])
    assert alarms <= 1


@pytest.mark.parametrize("metric", [LIMIT, STABLE], ids=["a limit", "against stable"])
def test_a_guard_fails_on_many_users_failures_and_not_on_one_users(metric):
    chance = random.Random(2)
    healthy = crowd(chance, users=2_000, times=lambda: 2, loss=lambda _: 0.0)
    one = [*healthy, (42, 400, 1.0)]
    assert ask(metric, sticky_window(one)) is Verdict.INCONCLUSIVE
    assert ask(metric, sticky_window(one, by_user=False)) in (Verdict.FAIL, Verdict.ERROR)
    broken = [(bucket, times, 1.0 if bucket < 5_000 and bucket % 5 == 0 else 0.0) for bucket, times, _ in healthy]
    assert ask(metric, sticky_window(broken)) is Verdict.FAIL


def test_a_broken_candidate_is_found_after_some_dozen_users():
    users = [(number * 83, 1, 1.0 if number * 83 < 5_000 else 0.0) for number in range(120)]
    assert ask(LIMIT, sticky_window(users)) is Verdict.FAIL


def test_until_half_of_the_folds_have_somebody_nobody_looks():
    few = Folded().add(
        [1.0] * (FIRST_FOLDS - 1) + [0.0] * (FOLDS - FIRST_FOLDS + 1), [1] * (FIRST_FOLDS - 1) + [0] * 17
    )
    assert excess([few], alpha=0.5) == 0.0


def test_windows_of_a_split_by_request_count_beside_those_of_users():
    calm = window(0, candidate=arm(losses=[1.0, 2.0] * 150), stable=arm(losses=[2.0, 1.0] * 150))
    chance = random.Random(4)
    users = crowd(chance, users=2_000, times=lambda: 1, loss=lambda bucket: 0.3 if bucket < 5_000 else 1.0)
    found = judge(OUTCOME, evidence(calm, sticky_window(users, index=1)), budget=BUDGET, min_coverage=0.0)
    assert (found.verdict, found.samples > 300) == (Verdict.PASS, True)
