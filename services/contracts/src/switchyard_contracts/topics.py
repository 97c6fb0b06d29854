"""What the operator publishes for others: which models there are, and what was decided about them.

The monitor holds no cluster credentials; all it knows of a deployment stands in `switchyard.models` (compacted, keyed
`<namespace>/<name>`, a tombstone when the deployment is gone). `switchyard.rollouts` is the timeline.
"""

from __future__ import annotations

from switchyard_contracts.base import Timestamp
from switchyard_contracts.events import Part
from switchyard_contracts.model_deployment import Analysis, MetricVerdict, Monitoring
from switchyard_contracts.model_route import Route


class ModelRecord(Part):
    """A deployment as the monitor needs to know it."""

    namespace: str
    name: str
    generation: int
    """The ModelDeployment's generation this was made from."""
    monitoring: Monitoring | None = None
    analysis: Analysis = Analysis()
    stable: str = ""
    """The stable revision's name, empty before the first promotion."""
    traffic: int = 0
    """The ModelRoute's generation; 0 before there is one."""
    routes: list[Route] = []
    rollout_id: str = ""
    versions: dict[str, str] = {}
    """Version label of each live revision."""

    @property
    def subject(self) -> str:
        """`<namespace>/<name>`."""
        return f"{self.namespace}/{self.name}"


class RolloutRecord(Part):
    """One thing that happened in a rollout: a weight, a verdict, an end."""

    id: str
    """A hash of what happened, so that a record sent twice is one."""
    namespace: str
    name: str
    rollout: str
    revision: str
    version: str = ""
    at: Timestamp
    phase: str
    step: str = ""
    weight_bp: int = 0
    traffic: int = 0
    reason: str
    message: str = ""
    verdicts: list[MetricVerdict] = []
