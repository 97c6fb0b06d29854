"""How far a model is off on the fixed test set: RMSE, MAE and bias, in minutes."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from switchyard_demo_model.pipeline.prepare import Row
from switchyard_demo_model.serving.model import LinearModel


@dataclass(frozen=True, slots=True)
class Metrics:
    """What evaluation found. Rounded to the micro-minute, so that reports compare as text."""

    rows: int
    rmse: float
    mae: float
    bias: float  # mean of prediction − truth: positive promises more delay than came


def evaluate(model: LinearModel, rows: Sequence[Row]) -> Metrics:
    """Judge the model on rows with known delays, by the very code that serves it."""
    if not rows:
        raise ValueError("rows is empty: a model cannot be judged on nothing. Prepare the test table first.")
    errors = [model.predict(row.flight) - row.arrival_delay for row in rows]
    return summary(errors)


def summary(errors: Sequence[float]) -> Metrics:
    """RMSE, MAE and bias of these errors; `fsum` keeps the result free of the order of the rows."""
    count = len(errors)
    return Metrics(
        rows=count,
        rmse=round(math.sqrt(math.fsum(error * error for error in errors) / count), 6),
        mae=round(math.fsum(abs(error) for error in errors) / count, 6),
        bias=round(math.fsum(errors) / count, 6),
    )
