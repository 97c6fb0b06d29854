"""The reference profile: what the training rows looked like day by day, and what a version says of each of them.

The monitor holds what it sees in production against this. It is made of the very rows that the version learned from.
"""

from collections.abc import Sequence

from switchyard_profile.reference import Reference
from switchyard_profile.training import Limits, Options, reference

from switchyard_demo_model.pipeline.prepare import FEATURES, Prepared, Row
from switchyard_demo_model.serving.model import LinearModel

LIMITS = {"distance": Limits(0.0), "hour": Limits(0.0, 23.0), "weekday": Limits(0.0, 6.0)}  # as `serving.flight` says
ANSWER = "answer"


def profile(prepared: Prepared, rows: Sequence[Row], model: LinearModel) -> Reference:
    """Profile X, and this model's Y; `rows` are those of the training table, in its order."""
    columns = {name: prepared.training[name].tolist() for name in FEATURES}
    columns[ANSWER] = [model.predict(row.flight) for row in rows]
    return reference(columns, times=prepared.training_times, options=Options(limits=LIMITS, prediction=ANSWER))
