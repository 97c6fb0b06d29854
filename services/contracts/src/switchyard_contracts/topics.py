"""What the operator publishes for others: which models there are, and what was decided about them.

The monitor holds no cluster credentials; all it knows of a deployment stands in `switchyard.models` (compacted, keyed
`<namespace>/<name>`, a tombstone when the deployment is gone). Whoever serves a model without us writes its record
there by hand. `switchyard.rollouts` is the timeline.
"""

from __future__ import annotations

from dataclasses import dataclass

from switchyard_contracts.base import Timestamp
from switchyard_contracts.events import Part
from switchyard_contracts.model_deployment import Analysis, MetricVerdict, Monitoring
from switchyard_contracts.model_route import Route
from switchyard_contracts.topic_names import TopicNames


@dataclass(frozen=True, slots=True)
class TopicSpec:
    """A topic as it must be for exactness: the broker's own time on each record, deleted or compacted by design."""

    name: str
    compacted: bool
    single_partition: bool


def specs(names: TopicNames) -> tuple[TopicSpec, ...]:
    """All of them; the operator makes those that are missing (`kafka.topics.create` in the chart)."""
    return (
        TopicSpec(names.events, compacted=False, single_partition=False),
        TopicSpec(names.deadletter, compacted=False, single_partition=True),
        TopicSpec(names.models, compacted=True, single_partition=True),
        TopicSpec(names.rollouts, compacted=False, single_partition=True),
    )


class ModelRecord(Part):
    """A deployment as the monitor needs to know it."""

    namespace: str
    name: str
    generation: int = 0
    """The ModelDeployment's generation this was made from; 0 where there is none, because something else serves the
    model. The operator leaves such records alone."""
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


class ShadowRecord(Part):
    """How one of spec.shadows stood, and how it compared with the revision that served."""

    name: str
    revision: str = ""
    version: str = ""
    state: str
    sample: str = ""
    """How much of stable's requests it was sent: `10%`; empty while it was sent none."""
    against: str = ""
    """The revision that it was compared with."""
    since: Timestamp | None = None
    """When that began."""
    pairs: int = 0
    """Requests that both had answered, judged or not."""
    reason: str = ""
    message: str = ""
    verdict: str = ""
    """The worst of the verdicts; empty where nothing is judged."""
    verdicts: list[MetricVerdict] = []


class RolloutRecord(Part):
    """One thing that happened in a rollout, or beside it to a shadow: a weight, a verdict, an end.

    Each says how all of it stood then; what differs from the one before is what happened.
    """

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
    waiting_for: str = ""
    """In numbers, as they were when this was said."""
    verdicts: list[MetricVerdict] = []
    shadows: list[ShadowRecord] = []
    """Those of spec.shadows, whether or not a rollout is under way."""
