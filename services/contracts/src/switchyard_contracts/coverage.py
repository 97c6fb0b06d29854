"""Coverage: whether enough outcomes have come in, and equally many in both arms, for the judged to speak for all."""

from __future__ import annotations

import math

from switchyard_contracts.evidence import Coverage
from switchyard_contracts.judgement import count, percent

NOTHING_MATURE = "NothingMature"
NOTABLE = 0.02
"""A difference of coverage up to this much is passed over, however certain: it can move a mean only little."""
CERTAIN = 3.0
"""Standard errors beyond which a difference is not chance. It only ever holds a rollout, so one look's level does."""


def objection(*, candidate: Coverage, stable: Coverage, least: float) -> tuple[str, str] | None:
    """(reason, sentence) when outcomes are too few or too uneven to judge by; None when they will do."""
    for name, arm in (("the candidate", candidate), ("stable", stable)):
        if not arm.predictions:
            return NOTHING_MATURE, f"no prediction of {name} is old enough to be judged yet"
        if arm.share < least:
            return "LowCoverage", (
                f"only {percent(arm.share)} of {count(arm.predictions)} predictions of {name} have an outcome at the"
                f" age when they are judged; at least {percent(least)} must (monitoring.outcome.minCoverage)"
            )
    gap = abs(candidate.share - stable.share)
    pooled = (candidate.judged + stable.judged) / (candidate.predictions + stable.predictions)
    error = math.sqrt(pooled * (1.0 - pooled) * (1.0 / candidate.predictions + 1.0 / stable.predictions))
    if gap > NOTABLE and gap > CERTAIN * error:
        return "UnevenCoverage", (
            f"{percent(candidate.share)} of the candidate's predictions have an outcome but {percent(stable.share)} of"
            " stable's: what is missing may not be missing by chance"
        )
    return None
