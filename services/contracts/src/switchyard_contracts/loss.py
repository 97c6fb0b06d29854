"""Loss: what one prediction costs, by an expression of the user's own over it and what then happened."""

from __future__ import annotations

from functools import lru_cache
from typing import Annotated, Any

from pydantic import Field, StringConstraints

from switchyard_contracts.base import Shape
from switchyard_contracts.expressions import EXAMPLE, MOST_LETTERS, Expression, Kind, parse

PREDICTION, OUTCOME, SCORE = "prediction", "outcome", "score"


class Loss(Shape):
    """What one judged prediction costs, less being better. It is never below 0: a prediction whose loss comes to less,
    or to no number, has none, and is counted apart."""

    expression: Annotated[str, StringConstraints(min_length=1, max_length=MOST_LETTERS)]
    """Of prediction and outcome, and of score where prediction.score says where that stands: numbers, + - * /, ** with
    a whole exponent up to 4, comparisons, and, or, not, … if … else …, abs, max, min, sqrt. Such as
    max(0.9*(outcome-prediction), 0.1*(prediction-outcome)). Classes are texts: 20 if outcome == "late" and prediction
    != "late" else 0. Of a ranking, prediction is the place and outcome 1 for a click, else 0."""
    scale: Annotated[int, Field(ge=1, le=1_000_000_000)] = 1
    """The typical size of a loss. Sums are exact to scale / 2^20; beyond 2048 scales it is clipped and counted."""


@lru_cache(maxsize=256)
def read(expression: str, *, task: str, scored: bool) -> Expression:
    """The expression, over what a task knows; ValueError with what is wrong and what helps."""
    kind = Kind.TEXT if task == "classification" else Kind.NUMBER
    known = {PREDICTION: kind, OUTCOME: kind} | ({SCORE: Kind.NUMBER} if scored else {})
    found = parse(expression, known)
    if OUTCOME not in found.names or not found.names & {PREDICTION, SCORE}:
        missing = OUTCOME if OUTCOME not in found.names else PREDICTION
        raise ValueError(f"{expression!r} says nothing of {missing}; a loss compares both, such as {EXAMPLE}")
    return found


def fit(loss: Loss | None, *, task: str, scored: bool, outcome: bool) -> None:
    """Whether a deployment's loss can be computed of what else it says; ValueError by the field's path if not."""
    if loss is None:
        return
    if not outcome:
        raise ValueError("loss: is made of what then happened, and outcome is not set; set it, or take loss out")
    try:
        read(loss.expression, task=task, scored=scored)
    except ValueError as error:
        raise ValueError(f"loss.expression: {error}") from error


CEL: dict[str, Any] = {
    "rule": "!has(self.loss) || has(self.outcome)",
    "message": "loss is made of what then happened; set outcome, or take loss out",
    "fieldPath": ".loss",
}
"""What the API server itself checks of it: an expression is read by the operator."""
