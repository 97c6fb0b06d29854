"""How often the procedures are wrong, and how soon they are right, with a look after every window.

Simulated rollouts: the hours differ in traffic and in difficulty, losses have a long tail, the weight rises from 5 to
25 to 50 % within each day. The code under test is the code that decides. Seeds are fixed; the limits are the budget.
"""

import math
from collections.abc import Iterator
from datetime import timedelta

import numpy as np
import pytest
from switchyard_contracts.comparison import standing
from switchyard_contracts.evalues import Shared, log_exceeds, log_worse
from switchyard_contracts.evidence import ArmSums, WindowSums
from switchyard_contracts.model_deployment import Analysis
from switchyard_contracts.sample_ratio import ALARM, log_mismatch
from switchyard_contracts.unpaired import Losses, Row, Score, looks, planned_variance
from switchyard_contracts.verdicts import Budget, Verdict, budget, judge
from switchyard_testkit.sums import NOON, evidence, metric

KAPPA = 1.05**2
ALPHA = 0.05
BUDGET = Budget(alpha_promote=ALPHA, alpha_guard=ALPHA, alpha_rollback=ALPHA)
HOURS = 24
RAMP = np.repeat([0.05, 0.25, 0.5], HOURS // 3)
HALF = np.full(HOURS, 0.5)
HARD = np.linspace(0.3, 1.7, HOURS)
"""How difficult an hour is: delays pile up over the day, while the ramp goes on."""


def rollouts(
    seed: int, *, runs: int, days: int, ratio: float, ramp: np.ndarray, per_hour: int = 100
) -> Iterator[list[Row]]:
    """Rollouts whose candidate has `ratio` times stable's mean squared error in every hour."""
    random = np.random.default_rng(seed)
    hours = days * HOURS
    probability, hard = np.tile(ramp, days), np.tile(HARD, days)
    for _ in range(runs):
        mine = random.random((hours, per_hour)) < probability[:, None]
        loss = np.minimum(random.lognormal(0.0, 1.5, (hours, per_hour)), 30.0)  # capped at about the 99th percentile
        loss *= hard[:, None] * np.where(mine, ratio, 1.0)
        arms = []
        for whose in (mine, ~mine):
            arms.append((whose.sum(1), (loss * whose).sum(1), (loss**2 * whose).sum(1)))
        yield [
            Row(
                NOON + timedelta(hours=hour),
                float(probability[hour]),
                *(Losses(int(n[hour]), float(total[hour]), float(squares[hour])) for n, total, squares in arms),
            )
            for hour in range(hours)
        ]


def first_word(rows: list[Row], *, samples: int = 1_000) -> str:
    """The first verdict of a decide metric that is looked at after every window."""
    planned = 0.0
    for score in looks(rows, kappa=KAPPA):
        if score.looked:
            planned = planned or planned_variance(score, samples=samples)
            lower, upper = standing(score, planned=planned).bounds(BUDGET)
            if upper < 0:
                return "Pass"
            if lower > 0:
                return "Fail"
    return "Inconclusive"


def usual_word(rows: list[Row]) -> str:
    """What a usual 95 % bound says, looked at as often."""
    for score in looks(rows, kappa=KAPPA):
        if score.looked and score.total + 1.645 * math.sqrt(score.variance) < 0:
            return "Pass"
    return "Inconclusive"


def share(words: list[str], word: str) -> float:
    return words.count(word) / len(words)


@pytest.mark.parametrize(
    ("ramp", "seed"), [pytest.param(HALF, 1, id="at half"), pytest.param(RAMP, 22, id="on a ramp in every day")]
)
def test_a_candidate_at_the_margin_is_promoted_and_rolled_back_no_more_often_than_the_budget_says(ramp, seed):
    words = [first_word(rows) for rows in rollouts(seed, runs=300, days=4, ratio=KAPPA, ramp=ramp)]
    assert share(words, "Pass") <= ALPHA
    assert share(words, "Fail") <= ALPHA
    assert share(words, "Inconclusive") >= 0.9


def test_a_usual_bound_looked_at_as_often_promotes_it_in_a_quarter_of_the_runs_or_more():
    words = [usual_word(rows) for rows in rollouts(1, runs=300, days=4, ratio=KAPPA, ramp=HALF)]
    assert share(words, "Pass") >= 0.2


def test_a_candidate_that_is_clearly_better_is_promoted_and_one_that_is_clearly_worse_is_rolled_back():
    better = [first_word(rows) for rows in rollouts(3, runs=60, days=2, ratio=0.4, ramp=RAMP)]
    worse = [first_word(rows) for rows in rollouts(4, runs=60, days=2, ratio=3.0, ramp=RAMP)]
    assert share(better, "Pass") >= 0.95
    assert share(worse, "Fail") >= 0.95
    assert share(better, "Fail") == share(worse, "Pass") == 0


def test_a_candidate_that_is_alike_is_within_the_margin_in_the_end():
    words = [first_word(rows) for rows in rollouts(5, runs=20, days=20, ratio=1.0, ramp=HALF, per_hour=1_000)]
    assert share(words, "Pass") >= 0.9
    assert share(words, "Fail") == 0


def pooled(rows: list[Row]) -> float:
    """The candidate's mean loss over stable's, all hours in one pot."""
    mine, other = [row.candidate for row in rows], [row.stable for row in rows]
    return (sum(a.total for a in mine) / sum(a.n for a in mine)) / (
        sum(a.total for a in other) / sum(a.n for a in other)
    )


def stratified(rows: list[Row]) -> float:
    """The candidate's mean loss over stable's, from the score with κ = 1."""
    score = list(looks(rows, kappa=1.0))[-1]
    level = sum(r.stable.total * r.probability for r in rows) / score.weight  # Σh · stable's mean, by weighting
    return 1.0 + score.total / score.weight / level


def test_pooled_over_a_moving_weight_an_identical_candidate_looks_worse_stratified_it_does_not():
    runs = list(rollouts(6, runs=40, days=5, ratio=1.0, ramp=RAMP))
    assert np.mean([pooled(rows) for rows in runs]) > 1.1
    assert abs(np.mean([stratified(rows) for rows in runs]) - 1.0) < 0.02


def ever(values: Iterator[float], *, alpha: float) -> bool:
    return any(value >= -math.log(alpha) for value in values)


def test_a_guard_at_its_limit_raises_no_more_false_alarms_than_its_risk_over_many_looks():
    random = np.random.default_rng(7)
    alarms = 0
    for _ in range(500):
        failures = np.cumsum(random.binomial(20, 0.01, 250))
        news = np.flatnonzero(np.diff(failures, prepend=0))  # the evidence only rises with a failure
        alarms += ever((log_exceeds(20 * (i + 1), int(failures[i]), limit=0.01) for i in news), alpha=ALPHA)
    assert 0 < alarms / 500 <= ALPHA


def errors(random: np.random.Generator, *, ratio: float, windows: int = 120) -> list[tuple[float, int, int]]:
    """(probability, candidate's failures, stable's) per window, while stable's own rate swings tenfold in a day."""
    hours = np.arange(windows) % HOURS
    rate, p = 0.002 * 10.0 ** (HARD[hours] - HARD[0]), np.tile(RAMP, windows // HOURS)
    mine = random.binomial(50, p)
    return [
        (float(q), int(a), int(b))
        for q, a, b in zip(
            p, random.binomial(mine, np.minimum(1, rate * ratio)), random.binomial(50 - mine, rate), strict=True
        )
    ]


def worse(run: list[tuple[float, int, int]], *, margin: float) -> Iterator[float]:
    """The evidence after each window that brought a failure of the candidate."""
    sums: dict[float, tuple[int, int]] = {}
    for p, mine, other in run:
        a, b = sums.get(p, (0, 0))
        sums[p] = (a + mine, b + other)
        if mine:
            yield log_worse([Shared(q, *both) for q, both in sums.items()], margin=margin)


def test_errors_against_stable_at_the_margin_raise_no_more_false_alarms_than_the_risk_under_a_daily_curve():
    random = np.random.default_rng(8)
    alarms = sum(ever(worse(errors(random, ratio=1.2), margin=1.2), alpha=ALPHA) for _ in range(300))
    assert alarms / 300 <= ALPHA


def test_errors_against_stable_are_found_when_they_are_three_times_as_many():
    random = np.random.default_rng(9)
    found = sum(ever(worse(errors(random, ratio=3.0), margin=1.2), alpha=ALPHA) for _ in range(60))
    assert found / 60 >= 0.9


def requests_until(random: np.random.Generator, *, rate: float, stable: float, p: float, margin: float) -> int:
    """The candidate's requests until its errors are found, one request at a time."""
    sums, mine = [0, 0], 0
    while mine < 20_000:
        own = random.random() < p
        mine += own
        if random.random() < (rate if own else stable):
            sums[not own] += 1
            if own and log_worse([Shared(p, *sums)], margin=margin) >= -math.log(ALPHA):
                break
    return mine


def test_twenty_percent_errors_are_found_after_about_eight_requests():
    random = np.random.default_rng(10)
    times = [requests_until(random, rate=0.2, stable=0.002, p=0.05, margin=1.0) for _ in range(60)]
    assert 5 <= np.median(times) <= 12


def test_one_percent_errors_against_a_fifth_of_a_percent_are_found_after_some_hundred_requests():
    random = np.random.default_rng(11)
    times = [requests_until(random, rate=0.01, stable=0.002, p=0.05, margin=1.0) for _ in range(25)]
    assert 200 <= np.median(times) <= 900


def test_the_sample_ratio_check_is_silent_when_the_split_is_honest():
    random = np.random.default_rng(12)
    alarms = 0
    for _ in range(150):
        sums = dict.fromkeys((0.05, 0.25, 0.5), (0, 0))
        for p in np.repeat([0.05, 0.25, 0.5], 8):
            mine = int(random.binomial(200, p))
            a, b = sums[p]
            sums[p] = (a + mine, b + 200 - mine)
            alarms += log_mismatch([Shared(q, *both) for q, both in sums.items()]) >= math.log(ALARM)
    assert alarms == 0


def whole_rollout(random: np.random.Generator, analysis: Analysis) -> set[str]:
    """Every verdict of an A/A rollout through the door: identical arms, 0.5 % errors, two steps, judged often."""
    risk = budget(analysis, steps=2, attempt=1, paired=False)
    windows: list[WindowSums] = []
    said: set[str] = set()
    for index in range(24):
        p, traffic = (0.05, 3) if index < 12 else (0.5, 4)
        n = int(random.poisson(400))
        mine = int(random.binomial(n, p))
        arms = []
        for size in (mine, n - mine):
            loss = np.minimum(random.lognormal(0.0, 1.5, size), 30.0)
            failures = int(random.binomial(size, 0.005))
            arms.append(ArmSums(n=size, failures=failures, loss=float(loss.sum()), loss_squares=float((loss**2).sum())))
        windows.append(
            WindowSums(
                start=NOON + timedelta(minutes=index),
                traffic=traffic,
                probability=p,
                candidate=arms[0],
                stable=arms[1],
            )
        )
        if index % 3 == 2:
            for one in analysis.metrics:
                # guards judge per step, decide metrics over the rollout
                generations = [traffic] if one.role == "guard" else [3, 4]
                verdict = judge(one, evidence(*windows, traffic=generations), budget=risk, min_coverage=0.8).verdict
                said.add(f"{one.role}: {verdict}")
    return said


def test_identical_rollouts_through_the_door_are_rolled_back_no_more_often_than_the_budget_says():
    analysis = Analysis(
        metrics=[
            metric(name="errors", max="1%"),
            metric(name="against", maxIncrease="20%"),
            metric(name="outcome", metric="outcome.rmse", role="decide", maxIncrease="5%", minSamples=1000),
        ]
    )
    random = np.random.default_rng(13)
    runs = [whole_rollout(random, analysis) for _ in range(100)]
    assert sum(any(said.endswith(Verdict.FAIL) for said in run) for run in runs) <= 5
    assert not any(said.endswith(Verdict.ERROR) for run in runs for said in run)
    assert all("guard: Pass" in run for run in runs)


def test_the_score_of_an_honest_split_has_no_drift():
    totals = [list(looks(rows, kappa=KAPPA))[-1] for rows in rollouts(14, runs=200, days=2, ratio=KAPPA, ramp=RAMP)]
    z = [score.total / math.sqrt(score.variance) for score in totals if isinstance(score, Score)]
    assert abs(np.mean(z)) < 4 / math.sqrt(len(z))
    assert np.std(z) == pytest.approx(1.0, abs=0.2)
