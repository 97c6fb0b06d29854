"""Decide metrics: is the candidate's loss proven to be within the margin of stable's?

`Pass` when the upper bound of (candidate's mean loss − κ · stable's) lies below 0, `Fail` when the lower bound lies
above it, each by a boundary that holds at every look. Promotion also waits for `minSamples`; a rollback does not.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from switchyard_contracts.evidence import ArmSums, Evidence, WindowSums
from switchyard_contracts.judgement import Budget, Judgement, Verdict, count, number, percent
from switchyard_contracts.model_deployment import Metric
from switchyard_contracts.standing import Case, Standing
from switchyard_contracts.unpaired import FIRST_LOOK, Losses, Row, Score, looks, planned_variance

NOTHING_JUDGED = "no outcome of the candidate has been judged under a split yet"


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
        )
        for window in windows
        if 0.0 < window.probability < 1.0
    ]
    value = _value(evidence.value, rows, comparison, lambda row: row.candidate)
    against = _value(evidence.against_value, rows, comparison, lambda row: row.stable)
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
        first_look=f"the first look comes at {FIRST_LOOK} of each",
        min_samples=metric.min_samples,
        missing=_missing(score, metric.min_samples),
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


def standing(score: Score, *, planned: float) -> Standing:
    """Where the score stands; V* was fixed at the first look."""
    return Standing(
        total=score.total,
        variance=score.variance,
        weight=score.weight,
        samples=score.candidate,
        planned=planned,
    )


def _missing(score: Score, min_samples: int) -> int:
    """How many more of the candidate's samples until minSamples, and until stable's first look at the present ratio."""
    own = max(min_samples, FIRST_LOOK) - score.candidate
    short = FIRST_LOOK - score.stable
    other = math.ceil(short * score.candidate / score.stable) if short > 0 and score.stable else 0
    return max(own, other)


def _value(
    given: float | None, rows: Sequence[Row], comparison: Comparison, arm: Callable[[Row], Losses]
) -> float | None:
    """The value as the monitor gives it, uncapped; else from the sums."""
    if given is not None:
        return given
    n = sum(arm(row).n for row in rows)
    return comparison.shown(sum(arm(row).total for row in rows) / n) if n else None


def _or_unknown(value: float | None) -> str:
    return "unknown" if value is None else number(value)
