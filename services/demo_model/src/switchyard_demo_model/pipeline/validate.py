"""The gate before packaging: a version may not be worse than the one before it, on the same fixed rows.

It looks at the model, not at the service around it. That is what offline validation does everywhere, and why 3.0.0 of
this demo passes it.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from switchyard_demo_model.pipeline.evaluate import Metrics, evaluate, summary
from switchyard_demo_model.pipeline.prepare import Row
from switchyard_demo_model.serving.model import LinearModel

ALLOWED = 0.01  # a candidate's RMSE may exceed the previous version's by this share


@dataclass(frozen=True, slots=True)
class Validation:
    """The report: who was compared with whom, by how much, and whether it may go on."""

    passed: bool
    candidate: str
    against: str
    rmse: float
    rmse_before: float
    margin: float  # share by which the candidate's RMSE may still rise; negative says by how much it failed
    test_digest: str
    sentence: str


@dataclass(frozen=True, slots=True)
class Trained:
    """A model and its figures on the test set."""

    model: LinearModel
    metrics: Metrics


def validate(candidate: Trained, previous: Trained | None, *, rows: Sequence[Row], test_digest: str) -> Validation:
    """Compare with the previous version; the first one is compared with promising every flight the same delay."""
    if previous is None:
        mean = sum(row.arrival_delay for row in rows) / len(rows)
        against, before = "the mean of the test set", summary([mean - row.arrival_delay for row in rows]).rmse
    else:
        against, before = previous.model.version, previous.metrics.rmse
    margin = round(1 + ALLOWED - candidate.metrics.rmse / before, 6)
    passed = margin >= 0
    return Validation(
        passed=passed,
        candidate=candidate.model.version,
        against=against,
        rmse=candidate.metrics.rmse,
        rmse_before=before,
        margin=margin,
        test_digest=test_digest,
        sentence=f"RMSE {candidate.metrics.rmse:.2f} min against {before:.2f} of {against}: "
        f"{'may be served' if passed else f'more than {ALLOWED:.0%} worse, not packaged'}",
    )


def trained(model: LinearModel, rows: Sequence[Row]) -> Trained:
    """A model with its figures."""
    return Trained(model, evaluate(model, rows))
