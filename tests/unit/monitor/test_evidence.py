"""Evidence: the same rows, computed once more by libraries that others wrote, and judged by the shared verdicts."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy import stats
from sklearn.metrics import accuracy_score, mean_absolute_error, mean_squared_error
from switchyard_contracts import bandit
from switchyard_contracts.evidence import Evidence
from switchyard_contracts.model_deployment import Metric
from switchyard_contracts.sticky import bucket_of, fold_of
from switchyard_contracts.trial import Design, Horizon
from switchyard_contracts.verdicts import Budget, Verdict, judge, judge_once
from switchyard_monitor import answers
from switchyard_monitor.domain import identity
from switchyard_monitor.domain.buckets import TIME_PARTS, Histogram, bucket
from switchyard_monitor.domain.entries import NO_FOLD
from switchyard_monitor.domain.evidence import COUNTED, METRICS, NAMES, answer
from switchyard_monitor.domain.quality import quantile_interval
from switchyard_monitor.domain.rows import Question
from switchyard_monitor.domain.watermark import watermark
from switchyard_testkit.monitor_world import (
    MONITORING,
    NOON_US,
    ROWS,
    SECOND,
    SUBJECT,
    World,
    batch,
    decision,
    inference,
    outcome,
)

STABLE, NEXT = "stable-1", "next-2"
GROUPED = tuple(f"age.{name}:" for name in ("n", "right", "e", "ee", "a"))
BUDGET = Budget(alpha_promote=0.025, alpha_guard=0.0125, alpha_rollback=0.0125)


@dataclass
class Played:
    """What was played, as the libraries want it."""

    said: dict[tuple[str, int], list[float]] = field(default_factory=dict)
    happened: dict[tuple[str, int], list[float]] = field(default_factory=dict)
    groups: dict[tuple[str, int], list[int]] = field(default_factory=dict)
    """The group that each is counted in, by its id."""

    def errors(self, revision: str, traffic: int) -> Any:
        return np.array(self.said[revision, traffic]) - np.array(self.happened[revision, traffic])


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    made = World(tmp_path)
    made.teach()
    yield made
    made.store.close()


def play(
    world: World, *, noise: float, failing: float = 0.0, assignment: str = "split", requests: int = 3000
) -> Played:
    """Stable alone (generation 2), then half and half (generation 3), where the candidate has that much noise."""
    chance = np.random.default_rng(11)
    played = Played()
    for i in range(requests):
        at = i / 50
        traffic = 2 if i < requests // 3 else 3
        mine = traffic == 3 and chance.random() < 0.5
        revision = NEXT if mine else STABLE
        truth = float(chance.normal(10, 30))
        said = truth + float(chance.normal(1.0, noise if mine else 20.0))
        weight = 10_000 if traffic == 2 else 5000
        failed = mine and chance.random() < failing
        exchange: dict[str, Any] = {"revision": revision, "role": "candidate" if mine else "stable", "weightBp": weight}
        if failed:
            exchange |= {"status": 500, "error": True}
        latency = int(chance.lognormal(8, 0.5))
        world.say(
            inference(f"p{i}", y=said, at=at, traffic=traffic, latencyUs=latency, assignment=assignment, **exchange),
            at=at,
        )
        world.say(outcome(f"p{i}", truth, at=at), at=at + 2)
        if not failed:
            played.said.setdefault((revision, traffic), []).append(said)
            played.happened.setdefault((revision, traffic), []).append(truth)
            played.groups.setdefault((revision, traffic), []).append(identity.fold(identity.key(SUBJECT, f"p{i}")))
    world.now_us = NOON_US + 120 * SECOND
    world.run()
    world.pass_time(2)
    world.run()
    return played


def ask(world: World, metric: str, *, margin: float = 0.0, traffic: tuple[int, ...] = (3,)) -> Evidence:
    cells = world.store.cells(world.store.arms(SUBJECT))
    question = Question(SUBJECT, metric, NEXT, STABLE, traffic, margin)
    return answer(question, cells=cells, watermark_us=watermark(world.store.positions()))


@pytest.mark.rule("check-scikit-learn")
def test_values_agree_with_scikit_learn(world: World) -> None:
    played = play(world, noise=15.0)
    said, happened = played.said[NEXT, 3], played.happened[NEXT, 3]
    assert ask(world, "outcome.rmse").value == pytest.approx(mean_squared_error(happened, said) ** 0.5, rel=1e-6)
    assert ask(world, "outcome.mse").value == pytest.approx(mean_squared_error(happened, said), rel=1e-6)
    assert ask(world, "outcome.mae").value == pytest.approx(mean_absolute_error(happened, said), rel=1e-6)
    assert ask(world, "outcome.bias").value == pytest.approx(float(np.mean(played.errors(NEXT, 3))), abs=1e-6)
    assert ask(world, "outcome.rmse").against_value == pytest.approx(
        float(np.sqrt(np.mean(played.errors(STABLE, 3) ** 2))), rel=1e-6
    )


@pytest.mark.rule("check-scikit-learn")
def test_the_share_of_classes_that_were_right_agrees_with_scikit_learn(world: World) -> None:
    world.teach({**MONITORING, "prediction": {"path": "$.delay", "task": "classification"}, "decision": None})
    chance, names = np.random.default_rng(3), ["early", "on time", "late"]
    said: dict[str, list[str]] = {STABLE: [], NEXT: []}
    happened: dict[str, list[str]] = {STABLE: [], NEXT: []}
    for i in range(500):
        revision, role = ((STABLE, "stable"), (NEXT, "candidate"))[int(chance.random() < 0.5)]
        said[revision].append(str(chance.choice(names)))
        happened[revision].append(str(chance.choice([said[revision][-1], *names])))
        facts = {"revision": revision, "role": role, "weightBp": 5000}
        world.say(inference(f"p{i}", y=said[revision][-1], at=i / 50, traffic=3, **facts), at=i / 50)
        world.say(outcome(f"p{i}", happened[revision][-1], at=i / 50), at=i / 50 + 2)
    world.now_us = NOON_US + 120 * SECOND
    world.run()
    world.pass_time(2)
    world.run()
    found = ask(world, "outcome.accuracy")
    assert found.value == pytest.approx(accuracy_score(happened[NEXT], said[NEXT]), abs=1e-12)
    assert found.against_value == pytest.approx(accuracy_score(happened[STABLE], said[STABLE]), abs=1e-12)
    for line in answers.quality(world.store.totals(world.store.arms(SUBJECT))):
        expected = accuracy_score(happened[line.revision], said[line.revision])
        assert (line.latest.accuracy, line.at_age.accuracy) == pytest.approx((expected, expected), abs=1e-12)


@pytest.mark.parametrize(("metric", "power"), [("outcome.rmse", 2), ("outcome.mae", 1)])
def test_capped_losses_agree_with_numpy(world: World, metric: str, power: int) -> None:
    played = play(world, noise=40.0)
    found = ask(world, metric)
    assert found.cap == pytest.approx(float(np.quantile(np.abs(played.errors(STABLE, 2)), 0.99)), rel=1 / 16)
    assert found.cap is not None
    losses = np.minimum(np.abs(played.errors(NEXT, 3)), found.cap) ** power
    assert found.candidate.n == len(losses)
    assert found.candidate.loss == pytest.approx(losses.sum(), rel=2e-3)
    assert found.candidate.loss_squares == pytest.approx((losses**2).sum(), rel=5e-3)
    assert found.candidate.loss == pytest.approx(sum(window.candidate.loss for window in found.windows))


@pytest.mark.rule("check-scipy-intervals")
def test_intervals_agree_with_scipy(world: World) -> None:
    play(world, noise=15.0, failing=0.05)
    rate = ask(world, "error_rate")
    interval = stats.binomtest(rate.candidate.failures, rate.candidate.n).proportion_ci(method="wilson")
    assert (rate.lower, rate.upper) == pytest.approx((interval.low, interval.high))
    assert rate.method == "Wilson"
    whose = stats.binomtest(rate.candidate.failures, rate.candidate.failures + rate.stable.failures)
    share = whose.proportion_ci(method="wilsoncc")
    assert (rate.ratio, rate.ratio_upper) == (None, None), "stable never failed"
    assert rate.ratio_lower == pytest.approx(share.low / (1 - share.low))


Maker = Callable[[Any], Any]
MEASURES: dict[str, tuple[Maker, Maker]] = {
    "outcome.rmse": (lambda errors: -1 / (errors**2).mean(), lambda ends: np.sqrt(-1 / ends)),
    "outcome.mse": (lambda errors: -1 / (errors**2).mean(), lambda ends: -1 / ends),
    "outcome.mae": (lambda errors: np.abs(errors).mean(), lambda ends: ends),
    "outcome.bias": (lambda errors: errors.mean(), lambda ends: ends),
}
"""What the groups are left out of, one after the other, and how the metric follows from it."""


@pytest.mark.parametrize("metric", MEASURES)
def test_an_interval_is_the_jackknife_of_single_errors(world: World, metric: str) -> None:
    """Made from the errors one by one, with the group of each left out in turn; and of the same scale as scipy's."""
    played, (of, shown) = play(world, noise=15.0), MEASURES[metric]
    errors, groups = played.errors(NEXT, 3), np.array(played.groups[NEXT, 3])
    without = np.array([of(errors[groups != one]) for one in range(32)])
    half = stats.t.ppf(0.975, 31) * np.sqrt(31 / 32 * ((without - without.mean()) ** 2).sum())
    found = ask(world, metric)
    assert (found.lower, found.upper) == pytest.approx(tuple(shown(of(errors) + np.array([-half, half]))), rel=1e-3)
    assert (found.kind, found.method) == ("fixed", "jackknife")
    if metric == "outcome.bias":
        assert half == pytest.approx(1.96 * stats.sem(errors), rel=0.5)


def test_an_accuracys_interval_is_wilsons_of_as_many_as_there_are_in_effect(world: World) -> None:
    world.teach({**MONITORING, "prediction": {"path": "$.delay", "task": "classification"}, "decision": None})
    chance = np.random.default_rng(3)
    for i in range(1_000):
        mine, right = i % 2 == 0, bool(chance.random() < 0.9)
        said = {"revision": NEXT if mine else STABLE, "role": "candidate" if mine else "stable"}
        world.say(inference(f"p{i}", y="late", at=i / 50, traffic=3, weightBp=5000, **said), at=i / 50)
        world.say(outcome(f"p{i}", "late" if right else "early", at=i / 50), at=i / 50 + 2)
    world.now_us = NOON_US + 120 * SECOND
    world.run()
    world.pass_time(2)
    world.run()
    found = ask(world, "outcome.accuracy")
    alone = stats.binomtest(found.candidate.n - found.candidate.failures, found.candidate.n).proportion_ci(
        method="wilson"
    )
    assert found.candidate.n == 500
    assert found.method == "Wilson, by the jackknife"
    assert found.lower is not None
    assert found.upper is not None
    assert found.lower < alone.low
    assert found.upper > alone.high
    assert found.upper - found.lower < 2 * (alone.high - alone.low)


def test_what_was_kept_before_there_were_groups_has_no_interval(world: World) -> None:
    play(world, noise=15.0)
    cells = [
        replace(cell, sums={name: value for name, value in cell.sums.items() if not name.startswith(GROUPED)})
        if cell.start_us == NOON_US + 40 * SECOND
        else cell
        for cell in world.store.cells(world.store.arms(SUBJECT))
    ]
    for metric in MEASURES:
        question = Question(SUBJECT, metric, NEXT, STABLE, (3,))
        found = answer(question, cells=cells, watermark_us=watermark(world.store.positions()))
        assert found.value == ask(world, metric).value
        assert (found.lower, found.upper, found.kind) == (None, None, "none")


@pytest.mark.parametrize("n", [300, 3000, 30_000])
def test_a_quantiles_interval_holds_it_as_often_as_it_says(n: int) -> None:
    chance = np.random.default_rng(5)
    share, rounds, held = 0.95, 200, 0
    true = float(np.exp(8 + 0.5 * stats.norm.ppf(share))) / 1e6
    for _ in range(rounds):
        counts: dict[int, int] = {}
        for value in chance.lognormal(8, 0.5, n).astype(int):
            index = bucket(int(value), TIME_PARTS)
            counts[index] = counts.get(index, 0) + 1
        interval = quantile_interval(Histogram(counts, TIME_PARTS), share)
        assert interval is not None
        # A bucket is 1/16 wide, and an end is the middle of one.
        held += interval[0] * (1 - 1 / 32) <= true <= interval[1] * (1 + 1 / 32)
    assert held / rounds > 0.92


OUTCOME = Metric.model_validate(
    {"name": "outcome", "metric": "outcome.rmse", "role": "decide", "maxIncrease": "5%", "minSamples": 500}
)
ERRORS = Metric.model_validate({"name": "errors", "metric": "error_rate", "role": "guard", "max": "1%"})


@pytest.mark.parametrize(
    ("metric", "noise", "failing", "verdict"),
    [
        pytest.param(OUTCOME, 10.0, 0.0, Verdict.PASS, id="a clearly better candidate passes"),
        pytest.param(OUTCOME, 40.0, 0.0, Verdict.FAIL, id="a clearly worse one fails"),
        pytest.param(OUTCOME, 21.0, 0.0, Verdict.INCONCLUSIVE, id="one at the margin is undecided"),
        pytest.param(ERRORS, 20.0, 0.2, Verdict.FAIL, id="a failing one breaks the guard"),
        pytest.param(ERRORS, 20.0, 0.0, Verdict.PASS, id="a healthy one keeps it"),
    ],
)
def test_the_shared_verdicts_can_judge_it(
    world: World, metric: Metric, noise: float, failing: float, verdict: Verdict
) -> None:
    play(world, noise=noise, failing=failing)
    found = judge(metric, ask(world, metric.metric), budget=BUDGET, min_coverage=0.8)
    assert found.verdict == verdict, found.message


def test_generations_stay_apart_and_those_not_asked_for_are_left_out(world: World) -> None:
    play(world, noise=15.0)
    found = ask(world, "error_rate", traffic=(2, 3))
    assert {(window.traffic, window.probability) for window in found.windows} == {(2, 0.0), (3, 0.5)}
    assert {window.traffic for window in ask(world, "error_rate").windows} == {3}
    assert sum(window.candidate.n + window.stable.n for window in found.windows) == 3000


def test_windows_in_which_nobody_drew_the_candidate_are_of_the_same_split(world: World) -> None:
    """At little traffic many windows are so; apart from the others they would show a split that was never made."""
    for i in range(600):
        mine = i % 20 == 0  # exactly a twentieth, in every third window
        said = {"revision": NEXT if mine else STABLE, "role": "candidate" if mine else "stable"}
        exchange = inference(f"q{i}", y=1.0, at=i * 0.7, traffic=3, weightBp=500 if mine else 9500, **said)
        world.say(exchange, at=i * 0.7)
    world.now_us = NOON_US + 600 * SECOND
    world.run()
    found = ask(world, "error_rate")
    assert sum(not window.candidate.n for window in found.windows) > len(found.windows) / 2
    assert {window.probability for window in found.windows} == {0.05}
    assert judge(ERRORS, found, budget=BUDGET, min_coverage=0.8).verdict is not Verdict.ERROR


@pytest.mark.parametrize("assignment", ["pinned", "retry"])
def test_what_the_lot_did_not_assign_is_no_evidence(world: World, assignment: str) -> None:
    play(world, noise=15.0, assignment=assignment, requests=300)
    assert ask(world, "error_rate").windows == []


def test_without_a_cap_no_window_is_handed_out(world: World) -> None:
    play(world, noise=15.0, requests=300)
    found = ask(world, "outcome.rmse")
    assert found.windows == []
    assert found.cap is None
    assert "1,000 judged errors of stable" in found.method
    assert judge(OUTCOME, found, budget=BUDGET, min_coverage=0.8).verdict == Verdict.NO_DATA


def test_a_label_after_age_l_lowers_the_coverage(world: World) -> None:
    for i in range(10):
        world.say(inference(f"p{i}", at=1, revision=NEXT, role="candidate", weightBp=5000), at=1)
        world.say(outcome(f"p{i}", 1.0, at=1), at=2 if i < 6 else 22)
    world.now_us = NOON_US + 60 * SECOND
    world.run()
    world.pass_time(2)
    world.run()
    coverage = ask(world, "outcome.coverage").candidate_coverage
    assert (coverage.predictions, coverage.judged, coverage.share) == (10, 6, 0.6)


def play_sticky(world: World, *, users: int = 150, times: int = 4, better: float = 1.0) -> dict[tuple[int, bool], int]:
    """Generation 3 at a half, where users stay with their arm; how many requests each fold had of each arm."""
    wanted: dict[tuple[int, bool], int] = {}
    for user in range(users):
        bucket = bucket_of(f"user-{user}".encode(), salt="demo/next-2.1")
        mine = bucket < 5_000
        for time in range(times):
            name, at = f"p{user}-{time}", (user + time * users) / 50
            exchange: dict[str, Any] = {
                "revision": NEXT if mine else STABLE,
                "role": "candidate" if mine else "stable",
                "weightBp": 5_000,
                "assignment": "sticky" if time else "split",
                "unit": bucket,
            }
            error = user % 7 * (better if mine else 1.0)
            world.say(inference(name, y=10.0 + error, at=at, **exchange), at=at)
            world.say(outcome(name, 10.0, at=at), at=at + 2)
            key = fold_of(bucket), mine
            wanted[key] = wanted.get(key, 0) + 1
    world.now_us = NOON_US + 120 * SECOND
    world.run()
    world.pass_time(2)
    world.run()
    return wanted


def by_fold(found: Evidence, which: str) -> dict[tuple[int, bool], float]:
    """What each fold has of each arm, all windows together."""
    sums: dict[tuple[int, bool], float] = {}
    for each in found.windows:
        assert each.folds is not None
        for mine, side in ((True, each.folds.candidate), (False, each.folds.stable)):
            for fold, value in enumerate(getattr(side, which)):
                if value:
                    sums[fold, mine] = sums.get((fold, mine), 0) + value
    return sums


def test_a_sticky_splits_sums_are_kept_by_groups_of_users(world: World) -> None:
    wanted = play_sticky(world)
    assert by_fold(ask(world, "error_rate"), "n") == wanted
    whole = ask(world, "error_rate")
    assert whole.candidate.n == sum(count for (_, mine), count in wanted.items() if mine)


def test_losses_by_fold_add_up_to_the_windows_own(world: World) -> None:
    play_sticky(world, users=300, times=8)
    found = ask(world, "outcome.mae")
    assert found.windows
    for each in found.windows:
        assert each.folds is not None
        for side, total in ((each.folds.candidate, each.candidate), (each.folds.stable, each.stable)):
            assert sum(side.n) == total.n
            assert sum(side.loss) == pytest.approx(total.loss)


@pytest.mark.parametrize(
    ("better", "verdict"),
    [(0.5, Verdict.PASS), (1.5, Verdict.FAIL), (1.0, Verdict.INCONCLUSIVE)],
    ids=["better", "worse", "alike"],
)
def test_a_test_on_users_is_read_of_the_weeks_that_were_stated_and_only_then(
    world: World, better: float, verdict: Verdict
) -> None:
    play_sticky(world, users=500, times=8, better=better)
    found = ask(world, "outcome.mae")
    noon, until = found.windows[0].start, found.windows[0].start + timedelta(seconds=60)
    horizon = Horizon(since=noon, until=until, due=until + timedelta(seconds=25), probability=0.5)
    design = Design(share=0.5, effect=0.05, power=0.8, spread=1.0)
    assert found.watermark is not None
    early = found.model_copy(update={"watermark": horizon.due - timedelta(seconds=1)})
    ahead, read = (
        judge_once(metric_of("outcome.mae"), one, horizon=horizon, design=design, budget=BUDGET, min_coverage=0.8)
        for one in (early, found)
    )
    assert ahead.reason == "HorizonAhead"
    assert read.verdict is verdict
    assert read.samples == sum(window.candidate.n for window in found.windows if noon <= window.start < until)


def test_a_bandits_weight_comes_of_what_was_judged(world: World) -> None:
    play(world, noise=5.0)
    found, mae = ask(world, "outcome.mae"), metric_of("outcome.mae")
    assert bandit.share(mae, found.windows, cap=found.cap, floor=200, ceiling=9_500) == 9_500
    swapped = [
        one.model_copy(update={"candidate": one.stable, "stable": one.candidate, "probability": 1 - one.probability})
        for one in found.windows
    ]
    assert bandit.share(mae, swapped, cap=found.cap, floor=200, ceiling=9_500) == 200
    assert bandit.share(mae, found.windows, cap=None, floor=200, ceiling=9_500) is None


def metric_of(name: str) -> Metric:
    return Metric.model_validate({"name": "it", "metric": name, "maxIncrease": "0%", "role": "decide"})


def test_the_interval_of_a_sticky_split_is_by_users_and_not_by_requests(world: World) -> None:
    """Each user errs in its own way, again and again: as if each had come once."""
    play_sticky(world, users=300, times=8)
    found = ask(world, "outcome.mae")
    users = [
        (fold_of(bucket), user % 7)
        for user in range(300)
        if (bucket := bucket_of(f"user-{user}".encode(), salt="demo/next-2.1")) < 5_000
    ]
    folds, sizes = np.array(users).T
    without = np.array([sizes[folds != fold].mean() for fold in np.unique(folds)])
    half = stats.t.ppf(0.975, len(without) - 1) * np.sqrt(
        (len(without) - 1) / len(without) * ((without - without.mean()) ** 2).sum()
    )
    assert (found.lower, found.upper) == pytest.approx((sizes.mean() - half, sizes.mean() + half), rel=1e-3)
    assert ask(world, "error_rate").ratio_lower is None


def test_counts_show_an_arm_once_whatever_groups_it_was_kept_in(world: World) -> None:
    wanted = play_sticky(world)
    lines = answers.counts(world.store.cells(world.store.arms(SUBJECT)))
    assert len(lines) == 4
    assert {(line.role, line.assignment) for line in lines} == {
        (role, assignment) for role in ("stable", "candidate") for assignment in ("split", "sticky")
    }
    assert sum(line.requests for line in lines) == sum(wanted.values())


def test_an_answer_is_made_of_the_sums_that_are_read_for_it_and_of_no_others(world: World) -> None:
    world.teach(MONITORING | {"loss": {"expression": "abs(prediction - outcome)"}})
    play(world, noise=15.0, failing=0.1)
    for i in range(0, 3000, 3):
        world.say(decision(f"p{i}", i % 2 == 0, at=i / 50), at=i / 50 + 3)
    world.run()
    arms, mark = world.store.arms(SUBJECT), watermark(world.store.positions())
    whole = world.store.cells(arms)
    for metric in sorted(METRICS):
        question = Question(SUBJECT, metric, NEXT, STABLE, (3,), 0.1)
        some = world.store.cells(arms, names=NAMES.get(metric, COUNTED))
        found = answer(question, cells=some, watermark_us=mark)
        assert found == answer(question, cells=whole, watermark_us=mark)
        assert found.value is not None, metric


def test_where_each_request_is_drawn_by_itself_there_are_no_folds(world: World) -> None:
    play(world, noise=15.0, requests=300)
    assert all(window.folds is None for window in ask(world, "error_rate").windows)
    assert all(arm.fold == NO_FOLD for arm in world.store.arms(SUBJECT).values())


def play_many(world: World, *, requests: int = 200, rows: int = 10) -> list[bool]:
    """Requests of many rows at a half, both arms equally good; whose each request was."""
    world.teach(ROWS)
    chance = np.random.default_rng(0)
    drawn = [bool(lot < 0.5) for lot in chance.random(requests)]
    for i, mine in enumerate(drawn):
        at = i / 50
        exchange = {"revision": NEXT, "role": "candidate"} if mine else {"revision": STABLE, "role": "stable"}
        errors = float(chance.normal(0, 3)) + chance.normal(0, 1, rows)
        world.say(batch(f"p{i}", list(10.0 + errors), at=at, weightBp=5000, **exchange), at=at)
        for row in range(rows):
            world.say(outcome(f"p{i}", 10.0, at=at, row=row, event_id=f"o{row}"), at=at + 2)
    world.now_us = NOON_US + 300 * SECOND
    world.run()
    world.pass_time(2)
    world.run()
    return drawn


def test_rows_of_one_request_are_judged_by_groups_of_requests_and_not_one_by_one(world: World) -> None:
    drawn = play_many(world)
    found = ask(world, "outcome.rmse")
    assert found.candidate.n + found.stable.n == 10 * len(drawn)
    sums = by_fold(found, "n")
    for fold in range(32):
        mine = [yes for i, yes in enumerate(drawn) if identity.fold(identity.key(SUBJECT, f"p{i}")) == fold]
        assert sums.get((fold, True), 0) == 10 * sum(mine)
        assert sums.get((fold, False), 0) == 10 * (len(mine) - sum(mine))
    metric = Metric.model_validate({"name": "m", "metric": "outcome.rmse", "role": "decide", "maxIncrease": "5%"})
    alone = found.model_copy(update={"windows": [each.model_copy(update={"folds": None}) for each in found.windows]})
    assert judge(metric, found, budget=BUDGET, min_coverage=0.5).verdict is not Verdict.ERROR
    # The draw is one that two hundred units make by chance, and two thousand do not.
    assert judge(metric, alone, budget=BUDGET, min_coverage=0.5).reason == "SRM"


def test_requests_of_many_rows_are_units_themselves(world: World) -> None:
    drawn = play_many(world)
    found = ask(world, "error_rate")
    assert found.windows
    assert all(window.folds is None for window in found.windows)
    assert (found.candidate.n, found.stable.n) == (sum(drawn), len(drawn) - sum(drawn))
