"""The paired boundary: its laws, how often it is wrong, and what it sees that the split does not.

Simulated days: each has a difficulty that both arms share and a mood of its own in which the candidate does better or
worse, so the pairs of one day fail together. Seeds are fixed; the limits are the budget.
"""

import math
import random
from collections.abc import Iterator
from datetime import timedelta

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import norm, t
from switchyard_contracts import comparison
from switchyard_contracts.boundary import few
from switchyard_contracts.evidence import Coverage, Paired
from switchyard_contracts.paired import FIRST_BLOCKS, Block, Score, failed, looks, planned_variance, standing
from switchyard_contracts.standing import Standing
from switchyard_contracts.unpaired import FIRST_LOOK, Losses, Row
from switchyard_contracts.unpaired import looks as looks_at_split
from switchyard_contracts.unpaired import planned_variance as planned_for_split
from switchyard_contracts.verdicts import Budget, Judgement, Verdict, judge, waiting_for
from switchyard_testkit.sums import NOON, arm, block, evidence, metric, pairs, window

KAPPA = 1.05**2
ALPHA = 0.05
LOSS = st.floats(0, 100).map(lambda value: round(value, 3))
PAIRS = st.lists(st.tuples(st.integers(0, 5), LOSS, LOSS), min_size=1, max_size=60)
"""(block, the candidate's loss, stable's loss)."""


def losses(values) -> Losses:
    values = [float(value) for value in values]
    return Losses(len(values), sum(values), sum(value * value for value in values))


def blocks(found) -> list[Block]:
    return [
        Block(
            NOON + timedelta(days=day),
            candidate=losses(mine for d, mine, _ in found if d == day),
            stable=losses(other for d, _, other in found if d == day),
        )
        for day in sorted({day for day, _, _ in found})
    ]


def last(found, kappa=KAPPA) -> Score:
    return list(looks(found, kappa=kappa))[-1]


@given(PAIRS)
def test_sums_say_the_same_as_every_single_pair(found):
    by_day: dict[int, float] = {}
    for day, mine, other in found:
        by_day[day] = by_day.get(day, 0.0) + mine - KAPPA * other
    score = last(blocks(found))
    assert score.total == pytest.approx(sum(by_day.values()), abs=1e-6)
    assert (score.blocks, score.pairs) == (len(by_day), len(found))
    if len(by_day) > 1:
        unbiased = len(by_day) * np.var(list(by_day.values()), ddof=1)
        assert score.variance == pytest.approx(unbiased, rel=1e-6, abs=1e-4)


@given(PAIRS, st.randoms(use_true_random=False))
def test_how_a_block_is_cut_and_in_what_order_the_pieces_come_changes_nothing(found, random):
    cut = [piece for pair in found for piece in blocks([pair])]
    random.shuffle(cut)
    whole, pieces = last(blocks(found)), last(cut)
    assert pieces.total == pytest.approx(whole.total, abs=1e-6)
    assert pieces.squares == pytest.approx(whole.squares, rel=1e-9, abs=1e-4)
    assert (pieces.blocks, pieces.pairs) == (whole.blocks, whole.pairs)


@given(PAIRS)
def test_what_both_lose_alike_falls_out(found):
    common = [(day, mine + 50.0, other + 50.0) for day, mine, other in found]
    plain, shifted = last(blocks(found), 1.0), last(blocks(common), 1.0)
    assert shifted.total == pytest.approx(plain.total, abs=1e-6)
    assert shifted.variance == pytest.approx(plain.variance, rel=1e-6, abs=1e-4)


def test_a_block_without_a_judged_pair_is_no_block():
    empty = Block(NOON, Losses(), Losses())
    assert last([empty]) == Score()


@pytest.mark.rule("check-scipy-verdicts")
@pytest.mark.parametrize("degrees", [6, 13, 30])
@pytest.mark.parametrize("z", [2.0, 3.0, 4.0])
def test_few_blocks_widen_the_boundary_as_students_t_does(degrees, z):
    exact = t.isf(norm.sf(z), degrees)
    mine = few(z * 3.0, variance=9.0, units=degrees + 1)
    assert 3.0 * exact * 0.99 <= mine <= 3.0 * exact * 1.03


def test_many_blocks_leave_the_boundary_as_it_is():
    assert few(3.0, variance=1.0, units=10_000) == pytest.approx(3.0, rel=1e-3)
    assert few(3.0, variance=0.0, units=9) == math.inf


def days(
    seed: int, *, runs: int, ratio: float, days: int = 20, each: int = 60, mood: float = 0.3
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """(the candidate's losses, stable's) by day and pair; on the long run the candidate's are `ratio` times stable's.

    Both meet the same X′, so most of a loss is in both; a fifth is each model's own.
    """
    random = np.random.default_rng(seed)
    for _ in range(runs):
        hard = random.lognormal(0.0, 0.5, (days, 1))
        shared = np.minimum(random.lognormal(0.0, 1.2, (days, each)), 15.0)
        own = random.uniform(0.8, 1.2, (2, days, each))
        moods = 1.0 + mood * np.sqrt(3.0) * random.uniform(-1.0, 1.0, (days, 1))
        yield hard * shared * own[0] * ratio * moods, hard * shared * own[1]


def daily(mine: np.ndarray, other: np.ndarray) -> list[Block]:
    return [Block(NOON + timedelta(days=day), losses(mine[day]), losses(other[day])) for day in range(len(mine))]


def word(standings: Iterator[Standing], alpha: float) -> str:
    """The first verdict when somebody looks after every block."""
    budget = Budget(alpha_promote=alpha, alpha_guard=alpha, alpha_rollback=alpha)
    for stands in standings:
        lower, upper = stands.bounds(budget)
        if upper < 0 or lower > 0:
            return "Pass" if upper < 0 else "Fail"
    return "Inconclusive"


def by_pairs(found: list[Block], *, samples: int = 600) -> Iterator[Standing]:
    planned = 0.0
    for score in looks(found, kappa=KAPPA):
        if score.looked:
            planned = planned or planned_variance(score, samples=samples)
            yield standing(score, planned=planned)


def by_split(mine: np.ndarray, other: np.ndarray, *, samples: int = 600) -> Iterator[Standing]:
    """The same requests, but each meets one arm only."""
    random = np.random.default_rng(mine.size)
    rows = []
    for day in range(len(mine)):
        drawn = random.random(mine.shape[1]) < 0.5
        rows.append(Row(NOON + timedelta(days=day), 0.5, losses(mine[day][drawn]), losses(other[day][~drawn])))
    planned = 0.0
    for score in looks_at_split(rows, kappa=KAPPA):
        if score.looked:
            planned = planned or planned_for_split(score, samples=samples)
            yield comparison.standing(score, planned=planned)


def share(words: list[str], wanted: str) -> float:
    return words.count(wanted) / len(words)


@pytest.mark.parametrize(("alpha", "runs"), [(0.05, 500), (0.0125, 1_000)])
def test_a_candidate_at_the_margin_is_promoted_and_rolled_back_no_more_often_than_the_budget_says(alpha, runs):
    words = [word(by_pairs(daily(*run)), alpha) for run in days(21, runs=runs, ratio=KAPPA)]
    assert share(words, "Pass") <= alpha
    assert share(words, "Fail") <= alpha


def test_with_single_pairs_as_units_it_would_be_promoted_in_a_third_of_the_runs():
    words = []
    for mine, other in days(22, runs=100, ratio=KAPPA):
        single = [
            Block(NOON + timedelta(days=int(day), seconds=i), losses([mine[day, i]]), losses([other[day, i]]))
            for day, i in np.ndindex(mine.shape)
        ]
        words.append(word(by_pairs(single), ALPHA))
    assert share(words, "Pass") >= 0.3


def test_without_the_widening_for_few_blocks_a_small_risk_would_be_broken():
    """Sums of normal days, the kindest there are."""
    alpha, runs = 0.0028, 3_000
    sums = np.random.default_rng(23).normal(size=(runs, 20))
    words: dict[bool, list[str]] = {True: [], False: []}
    for run in sums:
        found = [
            Block(NOON + timedelta(days=day), Losses(40, 100.0 + float(total), 0.0), Losses(40, 100.0 / KAPPA, 0.0))
            for day, total in enumerate(run)
        ]
        stands = list(by_pairs(found))
        words[True].append(word(iter(stands), alpha))
        bare = [Standing(one.total, one.variance, one.weight, one.samples, one.planned) for one in stands]
        words[False].append(word(iter(bare), alpha))
    assert share(words[True], "Pass") <= alpha
    assert share(words[False], "Pass") > 2 * alpha


def test_pairs_find_what_the_split_does_not():
    """Alike but for a tenth; the split sees the same requests."""
    runs = list(days(24, runs=60, ratio=0.9, days=28, mood=0.05))
    paired = [word(by_pairs(daily(*run)), ALPHA) for run in runs]
    split = [word(by_split(*run), ALPHA) for run in runs]
    assert share(paired, "Pass") >= 0.9
    assert share(split, "Pass") <= 0.5
    assert share(paired, "Fail") == 0


def test_a_candidate_that_is_worse_is_found_by_pairs():
    words = [word(by_pairs(daily(*run)), ALPHA) for run in days(25, runs=60, ratio=1.5, mood=0.05)]
    assert share(words, "Fail") >= 0.95


BUDGET = Budget(alpha_promote=0.05, alpha_guard=0.0125, alpha_rollback=0.0125)
RMSE = metric(metric="outcome.rmse", role="decide", maxIncrease="5%", minSamples=400)
ACCURACY = metric(metric="outcome.accuracy", role="decide", maxDecrease="5%", minSamples=400)


def run(*, candidate: float, stable: float = 400.0, days: int = 10, each: int = 50) -> list:
    """Days of pairs; each day's losses lie around the mean by its own amount."""
    return [
        block(
            day,
            candidate=[candidate * (1 + 0.02 * math.sin(day + 1))] * each,
            stable=[stable] * each,
        )
        for day in range(days)
    ]


def judged(*held, one=RMSE, split=(), changes=None, **facts) -> Judgement:
    found = evidence(*split, traffic=[3], paired=pairs(*held, **(changes or {})), **facts)
    return judge(one, found, budget=BUDGET, min_coverage=0.8)


def test_the_first_look_is_seven_blocks_and_two_hundred_pairs():
    assert (FIRST_BLOCKS, FIRST_LOOK) == (7, 200)
    assert not Score(blocks=6, pairs=9_999).looked
    assert not Score(blocks=99, pairs=199).looked
    assert Score(blocks=7, pairs=200).looked


@pytest.mark.parametrize(
    ("held", "changes", "verdict", "reason"),
    [
        pytest.param(run(candidate=200), {}, "Pass", "WithinMargin", id="half of stable's error is better"),
        pytest.param(run(candidate=700), {}, "Fail", "WorseThanAllowed", id="half as much again is worse"),
        pytest.param(run(candidate=441), {}, "Inconclusive", "NotYetCertain", id="at the margin is not proven"),
        pytest.param(run(candidate=4000, days=6), {}, "Inconclusive", "TooFewSamples", id="six days, however bad"),
        pytest.param(run(candidate=4000, days=7), {}, "Fail", "WorseThanAllowed", id="seven days"),
        pytest.param(run(candidate=200, days=7), {}, "Inconclusive", "TooFewSamples", id="better before minSamples"),
        pytest.param(run(candidate=200), {"judged": 300}, "NoData", "LowCoverage", id="too few have an outcome"),
        pytest.param(run(candidate=200), {"expected": 505.0}, "Pass", "WithinMargin", id="one in a hundred may fail"),
        pytest.param(
            run(candidate=200),
            {"expected": 508.0, "unanswered": 8},
            "Inconclusive",
            "PairsMissing",
            id="failed answers are no dropped pairs",
        ),
        pytest.param(
            run(candidate=200),
            {"expected": 520.0, "unanswered": 20},
            "Fail",
            "PairsMissing",
            id="a revision that surely fails too often has failed",
        ),
        pytest.param(
            run(candidate=200),
            {"expected": 900.0, "unanswered": 20},
            "Fail",
            "PairsMissing",
            id="also where the mirror let many others fall",
        ),
        pytest.param(
            run(candidate=200), {"expected": 520.0}, "Inconclusive", "MirrorOverflow", id="the mirror let some fall"
        ),
        pytest.param(
            run(candidate=200),
            {"expected": 520.0, "spread": 100.0},
            "Pass",
            "WithinMargin",
            id="a sample is not exact",
        ),
        pytest.param([], {"expected": 150.0}, "NoData", "NothingJudged", id="no block is complete"),
    ],
)
def test_a_decide_metric_on_pairs(held, changes, verdict, reason):
    found = judged(*held, changes=changes)
    assert (found.verdict, found.reason) == (verdict, reason), found.message
    assert found.paired


def spread_window(index: int, *, candidate: float, stable: float):
    return window(index, candidate=arm(losses=[2 * candidate, 0.0] * 50), stable=arm(losses=[2 * stable, 0.0] * 50))


BETTER_BY_SPLIT = [spread_window(index, candidate=100, stable=400) for index in range(10)]
WORSE_BY_SPLIT = [spread_window(index, candidate=900, stable=400) for index in range(10)]


def test_pairs_decide_where_they_are_whatever_the_split_says():
    found = judged(*run(candidate=200), split=WORSE_BY_SPLIT)
    assert (found.verdict, found.paired) == (Verdict.PASS, True)
    assert "500 judged pairs in 10 blocks of 24 h" in found.message


def test_without_pairs_the_split_decides():
    found = judge(RMSE, evidence(*BETTER_BY_SPLIT), budget=BUDGET, min_coverage=0.8)
    assert (found.verdict, found.paired) == (Verdict.PASS, False)


def test_while_the_first_block_is_not_complete_pairs_are_waited_for():
    found = judged(split=BETTER_BY_SPLIT, changes={"pending": 40})
    assert (found.verdict, found.reason, found.paired) == (Verdict.NO_DATA, "NothingJudged", True)


def test_when_the_revision_leaves_mirrored_requests_unanswered_the_split_decides_and_says_why():
    found = judged(*run(candidate=200), split=WORSE_BY_SPLIT, changes={"expected": 508.0, "unanswered": 8})
    assert (found.verdict, found.paired) == (Verdict.FAIL, False)
    assert "only 98.43 % of 508 requests of stable have an answer of the mirrored revision" in found.message


def test_a_revision_that_answers_no_copy_fails_whatever_the_split_says():
    found = judged(split=BETTER_BY_SPLIT, changes={"expected": 600.0, "unanswered": 600})
    assert (found.verdict, found.reason, found.paired) == (Verdict.FAIL, "PairsMissing", True)
    assert "left 600 of 600 copies of stable's requests without an answer, at most 1 % may be" in found.message


@pytest.mark.parametrize("alpha", [0.05, 0.005])
def test_a_revision_that_fails_at_the_limit_is_rarely_thrown_out_however_often_one_looks(alpha):
    draw = random.Random(20)
    thrown = 0
    for _ in range(400):
        seen = unanswered = 0
        for _ in range(60):
            lost = sum(draw.random() < 0.01 for _ in range(50))
            seen, unanswered = seen + 50 - lost, unanswered + lost
            told = Paired(block_seconds=1.0, expected=float(seen + unanswered), seen=seen, unanswered=unanswered)
            if failed(told, alpha=alpha):
                thrown += 1
                break
    assert thrown <= 400 * alpha


def test_of_requests_of_many_rows_the_requests_are_counted_that_were_not_answered():
    many = {"block_seconds": 1.0, "expected": 100_000.0, "unanswered": 10, "copies": 1000}
    told = Paired(seen=99_000, **many)
    assert failed(told, alpha=0.05) is None, "one in a hundred is what may be"
    worse = Paired(seen=95_000, **(many | {"unanswered": 50}))
    assert "left 50 of 1,000 copies" in (failed(worse, alpha=0.05) or "")
    assert worse.overflow == 0.0, "what it did not answer the mirror did not let fall"
    assert Paired(seen=95_000, **many).overflow == pytest.approx(0.04)


def test_when_the_mirror_overflows_nothing_is_decided_not_even_by_the_split():
    found = judged(*run(candidate=200), split=BETTER_BY_SPLIT, changes={"expected": 600.0})
    assert (found.verdict, found.reason) == (Verdict.INCONCLUSIVE, "MirrorOverflow")


def test_a_split_that_does_not_fit_its_weights_is_an_error_also_beside_pairs():
    odd = [spread_window(i, candidate=1, stable=1).model_copy(update={"probability": 0.05}) for i in range(10)]
    assert judged(*run(candidate=200), split=odd).reason == "SRM"


def test_blocks_of_generations_that_were_not_asked_for_are_passed_over():
    other = [one.model_copy(update={"traffic": 9}) for one in run(candidate=4000)]
    assert judged(*run(candidate=200), *other).verdict is Verdict.PASS


def test_accuracy_is_compared_on_pairs_too():
    def day(index: int, wrong: int):
        held = block(index, candidate=[1.0] * 100, stable=[1.0] * 100)
        return held.model_copy(
            update={
                "candidate": held.candidate.model_copy(update={"failures": wrong + index % 3}),
                "stable": held.stable.model_copy(update={"failures": 20}),
            }
        )

    better = judged(*(day(index, 10) for index in range(8)), one=ACCURACY)
    worse = judged(*(day(index, 50) for index in range(8)), one=ACCURACY)
    assert (better.verdict, worse.verdict) == (Verdict.PASS, Verdict.FAIL)
    assert better.against == pytest.approx(0.8)


def test_what_is_missing_is_said_in_pairs():
    held = run(candidate=200, days=5)
    found = evidence(traffic=[3], paired=pairs(*held, rate_per_second=0.5))
    said = judge(RMSE, found, budget=BUDGET, min_coverage=0.8)
    assert waiting_for(said, found) == "150 more judged pairs needed, about 5 min at this rate"
    assert "the first look comes at 200 pairs in 7 blocks" in said.message


def test_the_arms_of_a_pair_need_no_coverage_of_the_split():
    """In a shadow step the candidate has no traffic of its own."""
    found = judged(
        *run(candidate=200), candidate_coverage=Coverage(), stable_coverage=Coverage(predictions=9, judged=9)
    )
    assert found.verdict is Verdict.PASS


def test_evidence_of_an_older_monitor_has_no_pairs():
    older = evidence(*BETTER_BY_SPLIT).model_dump(mode="json", by_alias=True)
    del older["paired"]
    assert type(evidence()).model_validate(older).paired is None
