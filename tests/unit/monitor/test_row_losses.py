"""Losses of one's own: summed up exactly, told with what has none, and compared as errors are."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from switchyard_contracts import intervals
from switchyard_contracts.evidence import Evidence
from switchyard_contracts.model_deployment import Metric
from switchyard_contracts.verdicts import Budget, Verdict, judge
from switchyard_monitor import answers, metrics
from switchyard_monitor.domain import row_losses
from switchyard_monitor.domain.evidence import NAMES, answer
from switchyard_monitor.domain.row_losses import AGE, OWN, RowLoss
from switchyard_monitor.domain.rows import Question
from switchyard_monitor.domain.rules import CLIP, UNIT, Rule
from switchyard_monitor.domain.sums import Sums
from switchyard_monitor.domain.watermark import watermark
from switchyard_monitor.page import tables
from switchyard_testkit.monitor_world import (
    CLASSES,
    MONITORING,
    NOON_US,
    SECOND,
    SUBJECT,
    World,
    classified,
    inference,
    mirrored,
    outcome,
)

PINBALL = "max(0.9*(outcome-prediction), 0.1*(prediction-outcome))"
SHARE = "abs(prediction - outcome) / outcome"
RULE = Rule("demo/m", task="regression", outcome="$", loss=PINBALL, loss_scale=10)
BUDGET = Budget(alpha_promote=0.025, alpha_guard=0.0125, alpha_rollback=0.0125)
COST = Metric.model_validate(
    {"name": "cost", "metric": OWN, "role": "decide", "maxIncrease": "5%", "minSamples": 400, "maxWait": "1h"}
)
NEXT, STABLE = "next-2", "stable-1"


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    made = World(tmp_path)
    made.teach(MONITORING | {"loss": {"expression": PINBALL, "scale": 10}})
    yield made
    made.store.close()


def line_of(world: World) -> answers.RevisionQuality:
    (line,) = answers.quality(world.store.totals(world.store.arms(SUBJECT)))
    return line


def pinball(said: Any, came: Any) -> Any:
    return np.maximum(0.9 * (came - said), 0.1 * (said - came))


@pytest.mark.rule("check-row-losses")
def test_its_mean_and_interval_are_numpys_of_the_same_rows(world: World) -> None:
    chance, said, came, groups = np.random.default_rng(5), [], [], []
    for i in range(600):
        said.append(float(chance.normal(10, 5)))
        came.append(float(chance.normal(12, 5)))
        groups.append(i % 32)
        exchange = {"assignment": "sticky", "unit": i % 32, "weightBp": 5000}
        world.say(inference(f"p{i}", y=said[-1], at=i / 100, **exchange), at=i / 100)
        world.say(outcome(f"p{i}", came[-1], at=i / 100), at=i / 100 + 1)
    world.run()
    losses = pinball(np.array(said), np.array(came))
    (errors, latest) = line_of(world).at_age, line_of(world).latest
    assert (errors.loss_n, errors.loss_none, errors.loss_clipped) == (600, 0, 0)
    assert errors.loss == pytest.approx(losses.mean(), rel=1e-6)
    assert latest.loss == errors.loss
    held = [(int((np.array(groups) == g).sum()), float(losses[np.array(groups) == g].sum())) for g in range(32)]
    assert (errors.loss_lower, errors.loss_upper) == pytest.approx(intervals.jackknife(held), rel=1e-6)
    assert latest.loss_lower is None
    told = {name: value for name, _, value in metrics._judged(line_of(world))}
    assert (told["switchyard_outcome_loss"], told["switchyard_outcome_loss_none"]) == (errors.loss, 0.0)
    shown = tables.quality([line_of(world)], {})
    assert (shown.columns[9], shown.columns[11]) == ("Loss", "Without a loss")
    assert shown.rows[0][11] == "0"


@pytest.mark.rule("check-row-losses")
def test_what_comes_to_no_number_is_counted_and_not_hidden(world: World) -> None:
    world.teach(MONITORING | {"loss": {"expression": SHARE}})
    for i, came in enumerate((10.0, 0.0, -5.0, 20.0)):
        world.say(inference(f"p{i}", y=15.0), at=1)
        world.say(outcome(f"p{i}", came), at=2)
    world.say(inference("far", y=1e9), at=1)
    world.say(outcome("far", 1.0), at=2)
    world.run()
    errors = line_of(world).at_age
    assert (errors.n, errors.loss_n, errors.loss_none, errors.loss_clipped) == (5, 3, 2, 1)
    assert errors.loss == pytest.approx((0.5 + 0.25 + CLIP / UNIT) / 3)
    shown = tables.quality([line_of(world)], {})
    assert shown.rows[0][shown.columns.index("Without a loss")] == "2"


def test_classes_cost_what_the_expression_says_of_them(world: World) -> None:
    cost = '20*(1-score) if outcome == "late" and prediction != "late" else 1 if prediction != outcome else 0'
    world.teach(CLASSES | {"loss": {"expression": cost}, "outcome": CLASSES["outcome"] | {"path": "$.delay"}})
    for i, (said, score, came) in enumerate(
        [("late", 0.9, "late"), ("early", 0.25, "late"), ("late", 0.7, "early"), ("early", None, "late")]
    ):
        world.say(classified(f"p{i}", said, score), at=1)
        world.say(outcome(f"p{i}", came), at=2)
    world.run()
    errors = line_of(world).at_age
    assert (errors.loss_n, errors.loss_none) == (3, 1)
    assert errors.loss == pytest.approx((0 + 15 + 1) / 3)


@pytest.mark.rule("check-row-losses")
def test_an_amended_outcome_costs_what_the_new_one_does_to_the_last_bit(world: World) -> None:
    """In whatever order and in however many batches it comes, a deletion of a neighbour among it."""
    told: list[tuple[float, bytes]] = []
    chance = random.Random(3)
    for i in range(60):
        told.append((1, inference(f"p{i}", y=chance.gauss(10, 30))))
        if i % 2:
            told.append((1.5, mirrored(f"p{i}", y=chance.gauss(10, 30))))
        for version in range(3):
            told.append((2 + 15 * version, outcome(f"p{i}", chance.gauss(10, 30), revision=version)))
    for at, value in told:
        world.say(value, at=at)
    world.run()
    sums, pairs = world.sums(), world.pair_sums()
    chance.shuffle(told)
    (world.path / "b").mkdir()
    again = World(world.path / "b")
    again.teach(MONITORING | {"loss": {"expression": PINBALL, "scale": 10}})
    for at, value in told:
        again.say(value, at=at)
        if chance.random() < 0.3:
            again.run()
    again.run()
    assert (again.sums(), again.pair_sums()) == (sums, pairs)
    assert any(name.startswith("age.x.loss") for part in pairs.values() for name in part)
    again.store.close()


values = st.floats(-1e12, 1e12) | st.sampled_from([0.0, 1.0, -1.0])


@pytest.mark.rule("check-row-losses")
@given(st.lists(st.tuples(values, values), max_size=20), st.randoms(use_true_random=False))
def test_what_was_added_is_taken_out_again(rows: Sequence[tuple[float, float]], chance: random.Random) -> None:
    for rule in (RULE, Rule("demo/m", task="regression", outcome="$", loss=SHARE, loss_scale=1)):
        cell: Sums = {}
        for sign in (1, -1):
            for said, came in chance.sample(rows, len(rows)):
                row_losses.judge(cell, AGE, rule, said, came, sign, score=None, fold=3)
                its, stable = (said, None), (came / 2, None)
                row_losses.judge_both(cell, "age", rule, came, sign, mirrored=its, stable=stable)
        assert not any(cell.values())


def test_another_expression_is_another_rule_and_none_is_the_rule_of_before() -> None:
    plain = Rule("demo/m", task="regression", outcome="$")
    assert "loss" not in plain.body
    assert "loss_scale" not in plain.body
    assert Rule.read(RULE.body) == RULE
    digests = {plain.digest, RULE.digest, Rule.read(RULE.body | {"loss": SHARE}).digest}
    assert len(digests | {Rule.read(RULE.body | {"loss_scale": 20}).digest}) == 4


def test_losses_of_two_expressions_are_not_added_up() -> None:
    other = Rule("demo/m", task="regression", outcome="$", loss=SHARE, loss_scale=1)
    cells: list[tuple[Rule, Sums]] = []
    for rule in (RULE, other):
        cell: Sums = {}
        row_losses.judge(cell, AGE, rule, 10.0, 20.0, 1, score=None, fold=0)
        cells.append((rule, cell))
    assert RowLoss.of(cells, "age", loss=PINBALL).mean == pytest.approx(9.0, rel=1e-6)
    assert RowLoss.of(cells, "age", loss=SHARE).mean == pytest.approx(0.5, rel=1e-6)
    assert RowLoss.of(cells, "age", loss=None).mean is None


def play(world: World, *, noise: float, mirror: bool) -> tuple[Any, Any]:
    """2,400 requests at a half, or 1,100 that are mirrored too; the losses of the candidate and of stable."""
    chance = np.random.default_rng(7)
    losses: tuple[list[float], list[float]] = [], []
    for i in range(1100 if mirror else 2400):
        at = i / 10 if mirror else i / 50
        truth, hard = float(chance.normal(10, 30)), float(chance.normal(0, 20))
        said = {False: truth + hard + float(chance.normal(0, 2)), True: truth + noise * hard}
        mine = not mirror and chance.random() < 0.5
        role = {"revision": NEXT, "role": "candidate"} if mine else {}
        world.say(inference(f"p{i}", y=said[mine], at=at, weightBp=10_000 if mirror else 5000, **role), at=at)
        if mirror:
            world.say(mirrored(f"p{i}", y=said[True], at=at), at=at)
        world.say(outcome(f"p{i}", truth, at=at), at=at + 2)
        for which in (False, True) if mirror else (mine,):
            losses[not which].append(pinball(said[which], truth))
    world.now_us = NOON_US + 200 * SECOND
    world.run()
    world.pass_time(2)
    world.run()
    return np.array(losses[0]), np.array(losses[1])


def ask(world: World, *, mirrored: tuple[int, ...] = ()) -> Evidence:
    arms = world.store.arms(SUBJECT)
    question = Question(SUBJECT, OWN, NEXT, STABLE, (3,), 0.05, block_us=10 * SECOND, mirrored=mirrored)
    return answer(
        question,
        cells=world.store.cells(arms, names=NAMES[OWN]),
        watermark_us=watermark(world.store.positions()),
        pair_cells=world.store.pair_cells(world.store.pairs(SUBJECT)),
    )


@pytest.mark.parametrize(("noise", "verdict"), [(0.3, Verdict.PASS), (2.0, Verdict.FAIL)])
def test_a_split_is_judged_by_it(world: World, noise: float, verdict: Verdict) -> None:
    mine, other = play(world, noise=noise, mirror=False)
    found = ask(world)
    assert found.value == pytest.approx(mine.mean(), rel=1e-6)
    assert found.against_value == pytest.approx(other.mean(), rel=1e-6)
    assert found.cap == pytest.approx(np.quantile(other, 0.99), rel=0.1)
    assert found.lower is not None
    assert found.candidate.loss == pytest.approx(np.minimum(mine, found.cap).sum(), rel=5e-3)
    assert judge(COST, found, budget=BUDGET, min_coverage=0.8).verdict is verdict


@pytest.mark.parametrize(("noise", "verdict"), [(0.3, Verdict.PASS), (2.0, Verdict.FAIL)])
def test_pairs_are_judged_by_it(world: World, noise: float, verdict: Verdict) -> None:
    mine, other = play(world, noise=noise, mirror=True)
    found = ask(world, mirrored=(3,))
    assert found.paired is not None
    assert found.paired.judged == 1100
    assert found.paired.value == pytest.approx(mine.mean(), rel=1e-6)
    assert found.paired.difference == pytest.approx((mine - other).mean(), rel=1e-4)
    squares = sum(block.difference_squares for block in found.paired.blocks)
    assert squares == pytest.approx(((mine - other) ** 2).sum(), rel=1e-6)
    assert judge(COST, found, budget=BUDGET, min_coverage=0.8).verdict is verdict


def test_a_candidate_whose_answers_have_no_loss_is_not_covered(world: World) -> None:
    world.teach(MONITORING | {"loss": {"expression": "abs(prediction - outcome) + 0 * sqrt(prediction - 10)"}})
    mine, _ = play(world, noise=0.3, mirror=False)
    found = ask(world)
    assert 0.2 < found.candidate_coverage.share < 0.7
    assert found.candidate.n < 0.7 * len(mine)
    assert judge(COST, found, budget=BUDGET, min_coverage=0.8).verdict is Verdict.NO_DATA
