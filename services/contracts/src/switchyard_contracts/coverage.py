"""Coverage: whether enough outcomes have come in, and equally many in both arms, for the judged to speak for all.

Whether equally many is asked within windows, never of sums over all of them: of outcomes that were lost in an hour when
stable had most of the traffic most are stable's, and that says nothing of the arms. The difference is pooled over
windows as by Cochran (1954) and Mantel and Haenszel (1959), each window weighted by mn/(m+n).
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from switchyard_contracts.evidence import Coverage, WindowSums
from switchyard_contracts.judgement import counted, noun, percent

NOTHING_MATURE = "NothingMature"
NOTABLE = 0.02
"""A difference of coverage up to this much is passed over, however certain: it can move a mean only little."""
CERTAIN = 3.0
"""Standard errors beyond which a difference is not chance. It only ever holds a rollout, so one look's level does."""


def objection(
    *, candidate: Coverage, stable: Coverage, windows: Sequence[WindowSums], least: float
) -> tuple[str, str] | None:
    """(reason, sentence) when outcomes are too few or too uneven to judge by; None when they will do."""
    for name, arm in (("the candidate", candidate), ("stable", stable)):
        if not arm.predictions:
            return NOTHING_MATURE, f"no prediction of {name} is old enough to be judged yet"
        if arm.share < least:
            return "LowCoverage", (
                f"only {percent(arm.share)} of {counted(arm.predictions, 'prediction')} of {name}"
                f" {too_few(arm.predictions, least)}"
            )
    gap, error = difference(windows)
    if abs(gap) > NOTABLE and abs(gap) > CERTAIN * error:
        more, fewer = ("the candidate's", "stable's") if gap > 0 else ("stable's", "the candidate's")
        return "UnevenCoverage", (
            f"of {more} predictions {percent(abs(gap))} more have an outcome than of {fewer} in the same windows: what"
            " is missing may not be missing by chance"
        )
    return None


def too_few(number_of: int, least: float) -> str:
    """The end of the sentence on so many that should have an outcome."""
    have = noun(number_of, "has an outcome at the age when it is", "have an outcome at the age when they are")
    return f"{have} judged; at least {percent(least)} must (monitoring.outcome.minCoverage)"


def difference(windows: Sequence[WindowSums]) -> tuple[float, float]:
    """How much larger the candidate's share of judged predictions is within windows, and its standard error."""
    weights = total = variance = 0.0
    for window in windows:
        candidate, stable = window.candidate, window.stable
        if not (candidate.predictions and stable.predictions):
            continue
        predictions = candidate.predictions + stable.predictions
        weight = candidate.predictions * stable.predictions / predictions
        pooled = (candidate.n + stable.n) / predictions
        weights += weight
        total += weight * (candidate.n / candidate.predictions - stable.n / stable.predictions)
        variance += weight * pooled * (1.0 - pooled)
    return (total / weights, math.sqrt(variance) / weights) if weights else (0.0, 0.0)
