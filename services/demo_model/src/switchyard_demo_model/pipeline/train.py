"""Training: ridge regression, the same bytes from the same rows.

Three things would otherwise move the digest. Threads sum in another order each run, so the solver gets one. A solver
with random starts would need a seed; Cholesky has none. And processors differ in the last bits of a sum, so weights are
kept to nine significant digits, far beyond what the data can tell apart.
"""

import pandas as pd
from sklearn.linear_model import Ridge
from threadpoolctl import threadpool_limits

from switchyard_demo_model.pipeline.features import matrix
from switchyard_demo_model.pipeline.prepare import TARGET
from switchyard_demo_model.serving.model import LinearModel, Number
from switchyard_demo_model.serving.versions import Version

DIGITS = 9


def train(version: Version, table: pd.DataFrame) -> LinearModel:
    """Learn this version's weights from the training table."""
    features = matrix(version, table)
    solver = Ridge(alpha=version.ridge, solver="cholesky")
    with threadpool_limits(limits=1):
        solver.fit(features.values, table[TARGET].to_numpy())
    weights = [rounded(weight) for weight in solver.coef_]
    learned = dict(zip(features.numbers, weights, strict=False))
    categories: dict[str, dict[str, float]] = {name: {} for name in version.categories}
    for (name, level), weight in zip(features.levels, weights[len(features.numbers) :], strict=True):
        categories[name][level] = weight
    return LinearModel(
        version=version.number,
        intercept=rounded(solver.intercept_),
        numbers={name: Number(learned[name], missing) for name, missing in features.numbers.items()},
        categories=categories,
    )


def rounded(value: float) -> float:
    """Nine significant digits of it; never minus zero, which would be another text for the same number."""
    return float(f"{value:.{DIGITS}g}") + 0.0
