"""Decide metrics: is the candidate's loss proven to be within the margin of stable's?

`Pass` when the upper bound of (candidate's mean loss − κ · stable's) lies below 0, `Fail` when the lower bound lies
above it, each by a boundary that holds at every look. Promotion also waits for `minSamples`; a rollback does not.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from switchyard_contracts import paired
from switchyard_contracts.evidence import ArmFolds, ArmSums, Evidence, Paired, WindowSums
from switchyard_contracts.folds import FIRST_FOLDS
from switchyard_contracts.judgement import Budget, Judgement, Verdict, count, counted, number, percent, span
from switchyard_contracts.model_deployment import Metric
from switchyard_contracts.standing import Case, Standing
from switchyard_contracts.sticky import FOLDS
from switchyard_contracts.unpaired import FIRST_LOOK, Losses, Row, Score, looks, planned_variance

NOTHING_JUDGED = "no outcome of the candidate has been judged under a split yet"
OF_USERS = f", from users of at least {FIRST_FOLDS} of {FOLDS} groups"
NO_PAIRS = "no block of mirrored requests is complete and judged yet"


@dataclass(frozen=True, slots=True)
class Comparison:
    """How a metric is read as a loss, of which less is better."""

    label: str
    losses: Callable[[ArmSums], Losses]
    kappa: Callable[[float], float]
    """The factor on stable's mean loss, from the margin as a share."""
    shown: Callable[[float], float]
    """The metric's value from a mean loss."""


def _as_sent(arm: ArmSums) -> Losses:
    return Losses(arm.n, arm.loss, arm.loss_squares)


def _lost_gain(arm: ArmSums) -> Losses:
    """−1 for a right answer, 0 for a wrong one, so that a margin on accuracy is a factor on a mean loss."""
    right = float(arm.n - arm.failures)
    return Losses(arm.n, -right, right)


COMPARISONS: dict[str, Comparison] = {
    "outcome.rmse": Comparison(
        "RMSE", _as_sent, lambda margin: (1.0 + margin) ** 2, lambda mean: math.sqrt(max(0.0, mean))
    ),
    "outcome.mse": Comparison("MSE", _as_sent, lambda margin: 1.0 + margin, lambda mean: mean),
    "outcome.mae": Comparison("MAE", _as_sent, lambda margin: 1.0 + margin, lambda mean: mean),
    "outcome.loss": Comparison("loss", _as_sent, lambda margin: 1.0 + margin, lambda mean: mean),
    "outcome.accuracy": Comparison("accuracy", _lost_gain, lambda margin: 1.0 - margin, lambda mean: -mean),
}
"""RMSE is tested as MSE: the mean of squares adds up, its root does not."""


def compare(metric: Metric, evidence: Evidence, *, windows: Sequence[WindowSums], budget: Budget) -> Judgement:
    """Judge one decide metric by the unpaired boundary."""
    comparison = COMPARISONS[metric.metric]
    field, threshold = metric.limit
    kappa = comparison.kappa(threshold.value)
    rows = [
        Row(
            window.start,
            window.probability,
            candidate=comparison.losses(window.candidate),
            stable=comparison.losses(window.stable),
            folds=by_fold(window, comparison),
        )
        for window in windows
        if 0.0 < window.probability < 1.0
    ]
    value = _given_or(evidence.value, [row.candidate for row in rows], comparison)
    against = _given_or(evidence.against_value, [row.stable for row in rows], comparison)
    first: Score | None = None
    score = Score()
    for score in looks(rows, kappa=kappa):
        if first is None and score.looked:
            first = score
    case = Case(
        says=(
            f"{comparison.label} {_or_unknown(value)} against {_or_unknown(against)} over {count(score.candidate)}"
            f" judged of the candidate and {count(score.stable)} of stable"
        ),
        allowed=f"{'+' if field == 'maxIncrease' else '−'}{percent(threshold.value)}",
        first_look=f"the first look comes at {FIRST_LOOK} of each{'' if score.units is None else OF_USERS}",
        min_samples=metric.min_samples,
        missing=max(_missing(score, metric.min_samples), 0 if first or score.units is None else 1),
        samples=score.candidate,
        value=value,
        against=against,
    )
    if not score.candidate:
        return case.found(
            Verdict.NO_DATA,
            "NothingJudged",
            evidence.method if not windows and evidence.method else NOTHING_JUDGED,
            needed=max(metric.min_samples, FIRST_LOOK),
        )
    if first is None:
        return case.judge(None, budget=budget)
    planned = planned_variance(first, samples=max(metric.min_samples, FIRST_LOOK))
    return case.judge(standing(score, planned=planned), budget=budget)


def compare_pairs(metric: Metric, evidence: Evidence, *, pairs: Paired, budget: Budget) -> Judgement:
    """Judge one decide metric by the paired boundary."""
    comparison = COMPARISONS[metric.metric]
    field, threshold = metric.limit
    blocks = [
        paired.Block(block.start, candidate=comparison.losses(block.candidate), stable=comparison.losses(block.stable))
        for block in pairs.blocks
        if block.traffic in evidence.traffic
    ]
    first: paired.Score | None = None
    score = paired.Score()
    for score in paired.looks(blocks, kappa=comparison.kappa(threshold.value)):
        if first is None and score.looked:
            first = score
    value = _given_or(pairs.value, [block.candidate for block in blocks], comparison)
    against = _given_or(pairs.against_value, [block.stable for block in blocks], comparison)
    wanted = max(metric.min_samples, FIRST_LOOK)
    blocks_missing = max(0, paired.FIRST_BLOCKS - score.blocks)
    case = Case(
        says=(
            f"{comparison.label} {_or_unknown(value)} against {_or_unknown(against)} over"
            f" {counted(score.pairs, 'judged pair')} in {counted(score.blocks, 'block')} of {span(pairs.block_seconds)}"
        ),
        allowed=f"{'+' if field == 'maxIncrease' else '−'}{percent(threshold.value)}",
        first_look=f"the first look comes at {FIRST_LOOK} pairs in {paired.FIRST_BLOCKS} blocks",
        min_samples=metric.min_samples,
        missing=max(
            wanted - score.pairs, math.ceil(blocks_missing * score.pairs / score.blocks) if score.blocks else 0
        ),
        samples=score.pairs,
        value=value,
        against=against,
        paired=True,
    )
    if not score.pairs:
        message = evidence.method if evidence.cap is None and evidence.method else NO_PAIRS
        return case.found(Verdict.NO_DATA, "NothingJudged", message, needed=wanted)
    if first is None:
        return case.judge(None, budget=budget)
    planned = paired.planned_variance(first, samples=wanted)
    return case.judge(paired.standing(score, planned=planned), budget=budget)


def standing(score: Score, *, planned: float) -> Standing:
    """Where the score stands; V* was fixed at the first look."""
    return Standing(
        total=score.total,
        variance=score.variance,
        weight=score.weight,
        samples=score.candidate,
        planned=planned,
        units=score.units,
    )


def by_fold(window: WindowSums, comparison: Comparison) -> tuple[tuple[Losses, Losses], ...]:
    """Both arms by fold, where the split was sticky."""
    if window.folds is None:
        return ()

    def arm(folds: ArmFolds) -> list[Losses]:
        each = zip(folds.n, folds.failures, folds.loss, strict=True)
        return [comparison.losses(ArmSums(n=n, failures=failures, loss=loss)) for n, failures, loss in each]

    return tuple(zip(arm(window.folds.candidate), arm(window.folds.stable), strict=True))


def _missing(score: Score, min_samples: int) -> int:
    """How many more of the candidate's samples until minSamples, and until stable's first look at the present ratio."""
    own = max(min_samples, FIRST_LOOK) - score.candidate
    short = FIRST_LOOK - score.stable
    other = math.ceil(short * score.candidate / score.stable) if short > 0 and score.stable else 0
    return max(own, other)


def _given_or(given: float | None, arms: Iterable[Losses], comparison: Comparison) -> float | None:
    """The value as the monitor gives it, uncapped; else from the sums."""
    if given is not None:
        return given
    held = list(arms)
    n = sum(arm.n for arm in held)
    return comparison.shown(sum(arm.total for arm in held) / n) if n else None


def _or_unknown(value: float | None) -> str:
    return "unknown" if value is None else number(value)
