"""Classes and scores: what is told of them is what scikit-learn makes of the same rows."""

from __future__ import annotations

import math
import random
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry
from scipy.optimize import minimize_scalar
from scipy.stats import norm
from sklearn import metrics
from switchyard_monitor.adapters.store import SqlStore
from switchyard_monitor.answers import RevisionQuality, quality
from switchyard_monitor.change_answers import ByDay
from switchyard_monitor.domain.calibration import Calibration, Gap, Promise
from switchyard_monitor.domain.confusion import Confusion
from switchyard_monitor.domain.days import add_to_day
from switchyard_monitor.domain.rules import Rule
from switchyard_monitor.domain.scores import BINS, ONE, bin_of, bits, edge, parts
from switchyard_monitor.domain.separation import Auroc, Separation, average_precision
from switchyard_monitor.domain.sums import Sums, add
from switchyard_monitor.health import Health
from switchyard_monitor.metrics import MonitorCollector
from switchyard_testkit.monitor_world import CLASSES, NOON_US, SECOND, SUBJECT, World, classified, outcome

NAMES = ("late", "early")
RULE = Rule("demo/m", task="classification", classes=NAMES, positive="late", score="$.p")
Row = tuple[str, str, float]
"""What was said, what happened, and the score of `late`."""


def drawn(n: int, *, seed: int, sharp: float = 1.0, rare: float = 0.0) -> list[Row]:
    """Rows whose scores are true where `sharp` is 1, and too sure of themselves where it is more."""
    chance, rows = random.Random(seed), []
    for _ in range(n):
        odds = chance.gauss(-rare, 1.5)
        happened = "late" if chance.random() < 1 / (1 + math.exp(-odds)) else "early"
        score = 1 / (1 + math.exp(-odds * sharp))
        rows.append(("late" if score >= 0.5 else "early", happened, score))
    return rows


def summed(rows: Sequence[Row], rule: Rule = RULE) -> Sums:
    """One day of them."""
    day: Sums = {}
    for place, (said, happened, score) in enumerate(rows):
        add_to_day(day, rule, said, happened, 1, score=parts(score), fold=place % 32)
    return day


def columns(rows: Sequence[Row]) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    """What was said, what happened, the score."""
    said, happened, scores = zip(*rows, strict=True)
    return np.array(said), np.array(happened), np.array(scores)


# --- scores as whole numbers ------------------------------------------------------------------------------------------


def test_bins_rise_with_the_score_and_begin_where_they_say() -> None:
    every = [bin_of(score) for score in range(ONE + 1)]
    assert every == sorted(every)
    assert set(every) == set(range(BINS))
    for index in range(1, BINS):
        first = round(edge(index) * ONE)
        assert (bin_of(first - 1), bin_of(first)) == (index - 1, index)
    assert (edge(0), edge(BINS)) == (0.0, 1.0)


@given(st.integers(0, ONE))
def test_a_logarithm_in_whole_numbers_is_the_logarithm(score: int) -> None:
    assert abs(bits(score) / ONE + math.log2(max(1, score) / ONE)) <= 2 / ONE


@pytest.mark.parametrize(
    ("said", "kept"),
    [(0.0, 0), (1.0, ONE), (0.5, ONE // 2), (1 + 1e-9, ONE), (-1e-9, 0), (1.01, None), (-0.2, None), (None, None)],
)
def test_what_is_no_probability_is_no_score(said: float | None, kept: int | None) -> None:
    assert parts(said) == kept


# --- against scikit-learn ---------------------------------------------------------------------------------------------


@pytest.mark.rule("check-scikit-learn-scores")
@pytest.mark.parametrize(("seed", "rare"), [(1, 0.0), (2, 2.0), (3, -3.0), (4, 6.0)])
def test_auroc_is_scikit_learns_within_its_ties_and_equal_on_the_bins(seed: int, rare: float) -> None:
    rows = drawn(4000, seed=seed, rare=rare)
    _, happened, scores = columns(rows)
    found = Separation.of(summed(rows)).auroc
    assert found is not None
    binned = [bin_of(round(score * ONE)) for score in scores]
    assert found.value == pytest.approx(metrics.roc_auc_score(happened == "late", binned), abs=1e-12)
    assert abs(found.value - metrics.roc_auc_score(happened == "late", scores)) <= found.tied / 2
    assert found.tied < 0.02


@pytest.mark.rule("check-scikit-learn-scores")
@pytest.mark.parametrize(("seed", "rare"), [(1, 0.0), (2, 2.0), (3, 5.0)])
def test_average_precision_is_scikit_learns_on_the_bins_and_near_it_on_the_scores(seed: int, rare: float) -> None:
    rows = drawn(4000, seed=seed, rare=rare)
    _, happened, scores = columns(rows)
    found = Separation.of(summed(rows)).average_precision
    binned = [bin_of(round(score * ONE)) for score in scores]
    assert found == pytest.approx(metrics.average_precision_score(happened == "late", binned), abs=1e-12)
    assert found == pytest.approx(metrics.average_precision_score(happened == "late", scores), rel=0.03)


def test_delongs_error_is_that_of_its_definition() -> None:
    rows = drawn(300, seed=5)
    _, happened, scores = columns(rows)
    at = np.array([bin_of(round(score * ONE)) for score in scores])
    yes, no = at[happened == "late"], at[happened != "late"]
    wins = (yes[:, None] > no[None, :]) + 0.5 * (yes[:, None] == no[None, :])
    error = math.sqrt(wins.mean(axis=1).var(ddof=1) / len(yes) + wins.mean(axis=0).var(ddof=1) / len(no))
    found = Separation.of(summed(rows)).auroc
    assert found is not None
    assert found.error == pytest.approx(error, rel=1e-12)


@pytest.mark.rule("check-scikit-learn-classes")
@pytest.mark.parametrize("names", [("late", "early"), ("a", "b", "c", "d"), ("late",)])
def test_precision_recall_f1_and_mcc_are_scikit_learns(names: tuple[str, ...]) -> None:
    chance = random.Random(7)
    every = [*names, "something else"]
    weights = [5.0, *[1.0] * (len(every) - 1)]
    happened = chance.choices(every, weights, k=2000)
    said = [one if chance.random() < 0.6 else chance.choice(every) for one in happened]
    rule = Rule("demo/m", task="classification", classes=names)
    found = Confusion.of(names, summed([(s, h, 0.5) for s, h in zip(said, happened, strict=True)], rule))
    assert found is not None
    table = metrics.confusion_matrix(happened, said, labels=every)
    assert np.array_equal(np.array(found.table), table.T)
    each = metrics.precision_recall_fscore_support(happened, said, labels=every)
    for place, one in enumerate(found.classes):
        assert (one.precision.value, one.recall.value, one.f1.value) == pytest.approx(
            [part[place] for part in each[:3]]
        )
        assert one.happened == each[3][place]
        for share in (one.precision, one.recall, one.f1):
            assert share.value is not None
            assert share.interval is not None
            assert share.interval[0] < share.value < share.interval[1]
    assert found.macro_f1.value == pytest.approx(metrics.f1_score(happened, said, labels=every, average="macro"))
    assert found.mcc.value == pytest.approx(metrics.matthews_corrcoef(happened, said))


@pytest.mark.rule("check-scikit-learn-calibration")
def test_brier_log_loss_and_calibration_are_those_of_their_definitions() -> None:
    rows = drawn(3000, seed=8, sharp=1.4)
    _, happened, scores = columns(rows)
    y = (happened == "late").astype(float)
    found = Calibration.of(summed(rows))
    assert found is not None
    assert (found.n, found.happened) == (3000, int(y.sum()))
    assert found.promised == pytest.approx(scores.sum(), rel=1e-5)
    assert found.brier == pytest.approx(metrics.brier_score_loss(y, scores), rel=1e-5)
    assert found.log_loss == pytest.approx(metrics.log_loss(y, scores), rel=1e-4)
    steep = 1 - 2 * scores
    z = ((y - scores) * steep).sum() / math.sqrt((steep**2 * scores * (1 - scores)).sum())
    assert found.z == pytest.approx(z, rel=1e-3)
    assert abs(z) > norm.ppf(0.999)
    # The slope of a logistic regression on the log odds, its intercept found for each slope.
    odds = np.log(scores / (1 - scores))

    def worst(slope: float) -> float:
        def loss(start: float) -> float:
            return float(np.logaddexp(0, -(2 * y - 1) * (start + slope * odds)).sum())

        return float(minimize_scalar(loss).fun)

    assert found.slope == pytest.approx(minimize_scalar(worst, bracket=(0.5, 1.0)).x, abs=0.01)
    assert found.slope == pytest.approx(1 / 1.4, abs=0.1)
    wide = np.minimum(9, (scores * 10).astype(int))
    ece = sum(abs((y - scores)[wide == place].sum()) for place in range(10)) / 3000
    assert found.ece == pytest.approx(ece, abs=1e-5)
    assert found.ece > 2 * found.ece_by_chance


@pytest.mark.parametrize("score", [0.0, 0.3, 0.5, 0.9, 1.0])
def test_few_scores_that_are_all_true_have_no_calibration_error(score: float) -> None:
    n = 20_000
    late = round(n * score)
    rows: list[Row] = [("late", "late", score)] * late + [("late", "early", score)] * (n - late)
    found = Calibration.of(summed(rows))
    assert found is not None
    assert found.ece == pytest.approx(0.0, abs=1e-6)
    chance = math.sqrt(2 / math.pi * score * (1 - score) / n)
    assert found.ece_by_chance == pytest.approx(chance, abs=1e-6)


def test_a_perfectly_calibrated_model_is_not_accused() -> None:
    found = [Calibration.of(summed(drawn(500, seed=seed))) for seed in range(200)]
    zs = [one.z for one in found if one is not None and one.z is not None]
    assert len(zs) == 200
    assert sum(abs(z) > 1.96 for z in zs) in range(3, 20)
    slopes = [one.slope for one in found if one is not None and one.slope is not None]
    assert np.mean(slopes) == pytest.approx(1.0, abs=0.05)
    assert np.mean([one.ece for one in found if one]) == pytest.approx(
        np.mean([one.ece_by_chance for one in found if one]), rel=0.1
    )


@pytest.mark.parametrize("seed", range(3))
def test_what_scores_promise_is_what_comes_of_true_ones(seed: int) -> None:
    rows = drawn(20_000, seed=seed)
    said, happened, scores = columns(rows)
    day = summed(rows)
    promise, gap = Promise.of(day, "est", positive=True), Gap.of(day, positive=True)
    assert promise is not None
    assert gap is not None
    assert promise.accuracy == pytest.approx(metrics.accuracy_score(happened, said), abs=0.015)
    assert promise.f1 == pytest.approx(metrics.f1_score(happened, said, pos_label="late"), abs=0.02)
    assert promise.precision == pytest.approx(metrics.precision_score(happened, said, pos_label="late"), abs=0.02)
    assert promise.recall == pytest.approx(metrics.recall_score(happened, said, pos_label="late"), abs=0.02)
    assert promise.auroc == pytest.approx(metrics.roc_auc_score(happened == "late", scores), abs=0.015)
    assert gap.realised == metrics.accuracy_score(happened, said)
    assert gap.expected == pytest.approx(promise.accuracy)
    assert abs(gap.z) < 3.3


def test_a_concept_that_changed_shows_in_the_gap_and_not_in_the_promise() -> None:
    rows = drawn(5000, seed=1)
    turned: list[Row] = [(said, "early", score) for said, _, score in rows]
    before, after = (Gap.of(summed(some), positive=True) for some in (rows, turned))
    assert before is not None
    assert after is not None
    assert after.expected == before.expected
    assert after.z < -10


def test_scores_that_were_sure_and_wrong_are_no_chance() -> None:
    rows: list[Row] = [("late", "late", 1.0)] * 7 + [("late", "early", 1.0)] * 3
    scores, gap = Calibration.of(summed(rows)), Gap.of(summed(rows), positive=True)
    assert scores is not None
    assert gap is not None
    assert (gap.expected, gap.realised) == (1.0, 0.7)
    assert scores.z is not None
    assert gap.z < -100
    assert scores.z > 100
    right = Gap.of(summed(rows[:7]), positive=True)
    assert right is not None
    assert right.z == 0.0, "of what was sure and right"


def test_scores_of_whatever_was_said_promise_its_accuracy() -> None:
    chance = random.Random(3)
    rule = Rule("demo/m", task="classification", classes=("a", "b", "c"), score="$.p")
    rows: list[Row] = []
    for _ in range(5000):
        sure = chance.uniform(0.4, 1.0)
        said = chance.choice("abc")
        rows.append((said, said if chance.random() < sure else "other", sure))
    day = summed(rows, rule)
    promise, gap, found = Promise.of(day, "est", positive=False), Gap.of(day, positive=False), Calibration.of(day)
    assert promise is not None
    assert gap is not None
    assert found is not None
    assert promise == Promise(5000, promise.accuracy)
    assert promise.accuracy == pytest.approx(np.mean([sure for _, _, sure in rows]), rel=1e-5)
    assert gap.realised == found.happened / 5000 == np.mean([said == came for said, came, _ in rows])
    assert abs(gap.z) < 3.3


# --- what there is nothing to say about -------------------------------------------------------------------------------


def test_of_one_class_alone_there_is_no_auroc_no_mcc_and_no_slope() -> None:
    day = summed([("late", "late", 0.9)] * 50)
    apart, table, found = Separation.of(day), Confusion.of(NAMES, day), Calibration.of(day)
    assert (apart.auroc, apart.auroc_interval, apart.average_precision) == (None, None, 1.0)
    assert table is not None
    assert table.mcc.value is None
    assert table.classes[1].precision.value is None
    assert table.classes[0].recall.interval == pytest.approx((0.926, 1.0), abs=0.01)
    assert found is not None
    assert found.slope is None


@pytest.mark.parametrize("happened", [NAMES, NAMES[::-1]], ids=["all right", "all wrong"])
def test_what_is_the_same_in_all_groups_has_no_interval_of_no_width(happened: Sequence[str]) -> None:
    rows: list[Row] = [("late", happened[0], 1.0), ("early", happened[1], 0.0)] * 64
    day = summed(rows)
    table, scores = Confusion.of(NAMES, day), Calibration.of(day)
    assert table is not None
    assert scores is not None
    assert table.macro_f1.value in (0.0, 1.0)
    assert table.macro_f1.interval is None
    assert (scores.brier_interval, scores.log_loss_interval) == (None, None)
    assert table.classes[0].f1.interval is not None, "which is as wide as that of a share"


def test_no_loss_is_less_than_nought_nor_are_the_ends_of_its_interval() -> None:
    rows: list[Row] = [("late", "late", 0.9)] * 79 + [("late", "early", 1.0)]
    found = Calibration.of(summed(rows))
    assert found is not None
    for value, interval in ((found.brier, found.brier_interval), (found.log_loss, found.log_loss_interval)):
        assert interval is not None
        assert 0.0 <= interval[0] < value < interval[1]


def test_few_have_a_value_and_no_interval() -> None:
    few = Separation.of(summed(drawn(12, seed=2)))
    assert few.auroc is not None
    assert few.auroc_interval is None
    assert Separation.of({}) == Separation(0, 0, None, None)
    assert Confusion.of(NAMES, {}) is None
    assert Calibration.of({}) is None


def test_scores_that_tell_everything_apart_have_no_interval_that_says_more() -> None:
    rows: list[Row] = [("late", "late", 0.9)] * 50 + [("early", "early", 0.1)] * 50
    found = Separation.of(summed(rows))
    assert found.auroc is not None
    assert (found.auroc.value, found.auroc_interval) == (1.0, None)


# --- how often intervals hold -----------------------------------------------------------------------------------------


def held(truth: float, intervals: Sequence[tuple[float, float] | None]) -> float:
    """How often it lies within."""
    found = [one for one in intervals if one is not None]
    assert len(found) > 0.95 * len(intervals)
    return sum(lower <= truth <= upper for lower, upper in found) / len(intervals)


def test_intervals_of_separation_and_classes_hold_the_truth_about_as_often_as_they_say() -> None:
    said, happened, scores = columns(drawn(300_000, seed=99, rare=1.0))
    days = [summed(drawn(400, seed=seed, rare=1.0)) for seed in range(400)]
    apart = [Separation.of(day) for day in days]
    tables = [Confusion.of(NAMES, day) for day in days]
    assert 0.92 < held(metrics.roc_auc_score(happened == "late", scores), [one.auroc_interval for one in apart]) < 0.985
    truth = metrics.average_precision_score(happened == "late", scores)
    assert 0.92 < held(truth, [one.average_precision_interval for one in apart]) < 0.985
    for name, of_sklearn in (
        ("precision", metrics.precision_score),
        ("recall", metrics.recall_score),
        ("f1", metrics.f1_score),
    ):
        truth = of_sklearn(happened, said, pos_label="late")
        assert 0.92 < held(truth, [getattr(one.classes[0], name).interval for one in tables if one]) < 0.985
    truth = metrics.matthews_corrcoef(happened, said)
    assert 0.92 < held(truth, [one.mcc.interval for one in tables if one]) < 0.985
    truth = metrics.f1_score(happened, said, average="macro")
    assert 0.92 < held(truth, [one.macro_f1.interval for one in tables if one]) < 0.985


# --- laws -------------------------------------------------------------------------------------------------------------

rows_of = st.tuples(st.sampled_from([*NAMES, "?"]), st.sampled_from([*NAMES, "?"]), st.floats(0, 1))


@given(st.lists(rows_of, max_size=20), st.randoms(use_true_random=False))
def test_what_was_added_can_be_taken_out_again_in_any_order_and_leaves_nothing(
    rows: list[Row], chance: random.Random
) -> None:
    day, places = summed(rows), list(enumerate(rows))
    chance.shuffle(places)
    for place, (said, happened, score) in places:
        add_to_day(day, RULE, said, happened, -1, score=parts(score), fold=place % 32)
    assert not any(day.values())


@given(st.lists(rows_of, min_size=1, max_size=20), st.integers(0, 20))
def test_parts_that_are_added_are_the_whole(rows: list[Row], cut: int) -> None:
    whole: Sums = {}
    for place, (said, happened, score) in enumerate(rows):
        part: Sums = {}
        add_to_day(part, RULE, said, happened, 1, score=parts(score), fold=place % 32)
        add(whole, part)
    assert whole == {name: value for name, value in summed(rows).items() if value}
    assert Auroc.of(*_halves(whole)) == Auroc.of(*_halves(summed(rows)))
    del cut


def _halves(sums: Mapping[str, int]) -> tuple[list[int], list[int]]:
    no, yes = ([sums.get(f"cal.{name}:{index}", 0) for index in range(BINS)] for name in ("s0", "s1"))
    return no, yes


def test_average_precision_of_no_rows_is_not_known() -> None:
    assert average_precision([0, 1], [0, 0]) is None


# --- through the join -------------------------------------------------------------------------------------------------


@pytest.fixture
def world(tmp_path: Path, empty: Path) -> Iterator[World]:
    made = World(tmp_path, empty)
    made.teach(CLASSES)
    yield made
    made.store.close()


def shown(world: World) -> RevisionQuality:
    """What `/quality` says of the one revision."""
    arms = world.store.arms(SUBJECT)
    days = ByDay(world.store.day_totals(arms), (), None, 0.0, world.models.rule(SUBJECT))
    (line,) = quality(world.store.totals(arms), days)
    return line


def test_the_api_says_what_was_joined(world: World) -> None:
    rows = drawn(200, seed=4)
    for place, (said, happened, score) in enumerate(rows):
        world.say(classified(f"p{place}", said, score), at=1)
        world.say(outcome(f"p{place}", happened), at=2)
    world.run()
    line = shown(world)
    said_, happened_, scores_ = columns(rows)
    assert line.classes is not None
    assert line.scores is not None
    assert line.estimate is not None
    assert line.classes.names == ["late", "early"]
    assert [one.name for one in line.classes.each] == ["late", "early"]
    assert line.classes.each[0].f1.value == pytest.approx(metrics.f1_score(happened_, said_, pos_label="late"))
    assert line.scores.brier.value == pytest.approx(metrics.brier_score_loss(happened_ == "late", scores_), rel=1e-4)
    assert line.scores.auroc.lower is not None
    assert line.estimate.n == line.estimate.judged == 200
    assert line.estimate.realised_accuracy == line.at_age.accuracy == metrics.accuracy_score(happened_, said_)


def test_prometheus_is_told_of_scores(world: World) -> None:
    rows = drawn(60, seed=4)
    for place, (said, happened, score) in enumerate(rows):
        world.say(classified(f"p{place}", said, score), at=1)
        world.say(outcome(f"p{place}", happened), at=2)
    world.run()
    line = shown(world)
    registry = CollectorRegistry()
    registry.register(MonitorCollector(store=world.store, health=Health(lambda: 0.0), drifting=world.drifting()))
    labels = {"deployment": SUBJECT, "revision": "stable-1", "role": "stable"}

    def told(name: str) -> float | None:
        return registry.get_sample_value(f"switchyard_outcome_{name}", labels)

    assert line.classes is not None
    assert line.scores is not None
    assert line.estimate is not None
    assert told("auroc_ratio") == line.scores.auroc.value
    assert told("brier") == line.scores.brier.value
    assert told("macro_f1_ratio") == line.classes.macro_f1.value
    assert told("expected_accuracy_ratio") == line.estimate.accuracy
    assert told("expected_gap_z") == line.estimate.gap_z


def test_a_label_that_is_corrected_in_time_is_judged_as_if_it_had_been_so(world: World) -> None:
    world.say(classified("a", "late", 0.8), at=1)
    world.say(outcome("a", "early"), at=2)
    world.run()
    world.say(outcome("a", "late", revision=1), at=3)
    world.run()
    (sums,) = world.day_sums().values()
    assert sums == {name: value for name, value in _alone("late", "late", 0.8, "a", world).items() if value}


def test_a_label_that_comes_after_age_l_leaves_the_promise_alone(world: World) -> None:
    world.say(classified("a", "late", 0.8), at=1)
    world.say(outcome("a", "late"), at=30)
    world.run()
    line = shown(world)
    assert line.scores is None
    assert line.classes is None
    assert line.estimate is not None
    assert (line.estimate.n, line.estimate.judged) == (1, 0)
    assert line.estimate.accuracy == pytest.approx(0.8, abs=1e-5)


def test_a_score_that_is_none_counts_the_class_alone(world: World) -> None:
    for place, score in enumerate((None, "high", 1.2, True)):
        world.say(classified(f"p{place}", "late", score), at=1)
        world.say(outcome(f"p{place}", "late"), at=2)
    world.run()
    line = shown(world)
    assert line.judged == 4
    assert line.classes is not None
    assert line.classes.each[0].right == 4
    assert (line.scores, line.estimate) == (None, None)
    assert line.unscored == 4
    world.say(classified("more", "late", 0.5), at=3)
    world.run()
    line = shown(world)
    assert line.estimate is not None
    assert (line.estimate.n, line.unscored) == (1, 4)


def test_classes_that_are_named_anew_begin_anew(world: World) -> None:
    world.say(classified("a", "late", 0.8), at=1)
    world.say(outcome("a", "late"), at=2)
    world.run()
    world.teach({**CLASSES, "prediction": {**CLASSES["prediction"], "classes": ["late", "early", "lost"]}})
    world.say(classified("b", "lost", 0.1), at=3)
    world.say(outcome("b", "early"), at=4)
    world.run()
    line = shown(world)
    assert line.judged == 2
    assert line.classes is not None
    assert [(one.name, one.said, one.happened) for one in line.classes.each] == [("early", 0, 1), ("lost", 1, 0)]


def test_classes_that_are_named_as_before_are_told_again(world: World) -> None:
    world.say(classified("a", "late", 0.8), at=1)
    world.say(outcome("a", "late"), at=2)
    world.run()
    world.teach({**CLASSES, "prediction": {**CLASSES["prediction"], "classes": ["late", "early", "lost"]}})
    world.say(classified("b", "lost", 0.1), at=3)
    world.run()
    world.teach(CLASSES)
    world.say(classified("c", "early", 0.1), at=4)
    world.say(outcome("c", "early"), at=5)
    world.run()
    line = shown(world)
    assert line.classes is not None
    assert line.classes.names == ["late", "early"]
    assert [one.right for one in line.classes.each] == [1, 1]


def _alone(said: str, happened: str, score: float, name: str, world: World) -> Sums:
    """What one judged prediction stands for."""
    day: Sums = {}
    (arm,) = world.store.arms(SUBJECT).values()
    sums = world.day_sums()
    folds = {int(key.partition(":")[2]) for one in sums.values() for key in one if key.startswith("cal.n:")}
    (fold,) = folds
    rule = Rule(SUBJECT, task="classification", classes=NAMES, positive="late", score="$.late")
    assert arm.fold == -1, name
    add_to_day(day, rule, said, happened, 1, score=parts(score), fold=fold)
    return day


@pytest.fixture(scope="module")
def empty(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A database that was brought up to date, to be copied."""
    path = tmp_path_factory.mktemp("empty") / "monitor.db"
    store = SqlStore(f"sqlite:///{path}")
    store.migrate()
    store.close()
    return path


@settings(max_examples=10, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    st.lists(
        st.tuples(st.sampled_from("abc"), st.sampled_from([*NAMES, "?"]), st.integers(0, 2), st.integers(2, 40)),
        max_size=8,
        unique_by=lambda row: (row[0], row[2]),
    ),
    st.randoms(use_true_random=False),
)
def test_any_order_of_labels_and_predictions_gives_the_same_days(
    empty: Path, labels: list[tuple[str, str, int, int]], chance: random.Random
) -> None:
    deliveries = [(classified(name, "late", 0.25), 1) for name in "abc"]
    deliveries += [(outcome(name, value, revision=number), at) for name, value, number, at in labels]

    def told(order: Sequence[tuple[bytes, int]]) -> Any:
        with TemporaryDirectory() as folder:
            world = World(Path(folder), empty)
            world.teach(CLASSES)
            for value, at in order:
                world.say(value, at=at)
            world.now_us = NOON_US + 100 * SECOND
            world.run()
            found = world.day_sums()
            world.store.close()
            return found

    shuffled = chance.sample(deliveries, k=len(deliveries))
    assert told(shuffled) == told(deliveries)
