"""How long the monitor keeps what it read, and what that takes on disk: one arithmetic for the monitor and for `plan`.

Of each prediction a row is kept, and of each decision and outcome; the sums of windows take little beside them. A row
stays as long as it may be joined or judged, and as much longer as people want to look at it.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

from switchyard_contracts.model_deployment import ModelDeploymentSpec

PREDICTION_BYTES = 72
LABEL_BYTES = 117
"""Of a row with its key in a SQLite file, as measured with events' ids of 36 characters."""
SERVER_TIMES = 2
"""About so many times as much they take in a PostgreSQL, whose rows have heads and whose keys are kept twice."""
MAX_AGE = timedelta(days=7)
"""An X or Y that comes later than this after its own time is late, so that until then it may come again."""
HORIZON = timedelta(days=30)
"""How long a decision may take where no outcome says how long."""
ROWS = timedelta(days=30)
"""For how long people find a row, unless the installation says otherwise."""
MARGIN = timedelta(days=1)
"""What a row is kept for beyond the last time at which it may be needed: for what waits on its way."""
FILE_BYTES = 50 * 10**9
"""A SQLite file takes no more, unless the installation says otherwise."""
DAY = timedelta(days=1)


def kept(horizon: timedelta, *, rows: timedelta = ROWS, margin: timedelta = MARGIN) -> timedelta:
    """How long rows are kept; what may still be joined, judged or sent again stays, however little `rows` says."""
    return max(rows, max(MAX_AGE, horizon) + margin)


@dataclass(frozen=True, slots=True)
class Storage:
    """What the rows of one deployment take at a rate of requests a second."""

    rate: float
    predictions: float
    """Of a request: its own, and those of shadows."""
    labels: int
    """Of a prediction, where each of them comes: an outcome, a decision."""
    kept: timedelta

    @classmethod
    def of(cls, spec: ModelDeploymentSpec, rate: float) -> Storage:
        """What a spec asks for. What a rollout mirrors comes on top while it lasts."""
        monitoring = spec.monitoring
        outcome = monitoring.outcome if monitoring else None
        decision = monitoring.decision if monitoring else None
        return cls(
            rate=rate,
            predictions=1.0 + sum(shadow.sample.share for shadow in spec.shadows),
            labels=(outcome is not None) + (decision is not None),
            kept=kept(outcome.horizon if outcome else HORIZON),
        )

    @property
    def daily(self) -> float:
        """Bytes a day."""
        each = self.predictions * PREDICTION_BYTES + self.labels * LABEL_BYTES
        return self.rate * DAY.total_seconds() * each

    @property
    def whole(self) -> float:
        """Bytes when the first rows go."""
        return self.daily * (self.kept / DAY)
