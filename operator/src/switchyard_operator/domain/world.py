"""What the operator knows of one deployment at one moment: gathered by the shell, judged by the rest of the domain."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from switchyard_contracts.alarm_records import AlarmBook
from switchyard_contracts.experiments import TRIAL_ENDED
from switchyard_contracts.freezes import Freeze
from switchyard_contracts.gates import GateVerdict
from switchyard_contracts.judgement import Judgement
from switchyard_contracts.model_command import ModelCommandSpec
from switchyard_contracts.model_deployment import SHADOW_ENDED, Metric, ModelDeploymentSpec, ModelDeploymentStatus
from switchyard_contracts.model_revision import ModelRevisionSpec, ModelRevisionStatus
from switchyard_contracts.model_route import ModelRouteSpec
from switchyard_contracts.retraining import TrainingState
from switchyard_contracts.shadows import ShadowModel

Body = Mapping[str, Any]
"""An object as the API server sends it."""
COMPARED = frozenset({SHADOW_ENDED, TRIAL_ENDED})
"""Why a revision goes home in peace."""


def is_ending(body: Body) -> bool:
    """Whether it was deleted already, and only stands until what it runs or owns is gone."""
    return bool(body["metadata"].get("deletionTimestamp"))


@dataclass(frozen=True, slots=True, kw_only=True)
class Revision:
    """A ModelRevision with its marks. The marks are annotations, so they outlive every status."""

    name: str
    uid: str
    created_at: datetime
    resource_version: str
    spec: ModelRevisionSpec
    status: ModelRevisionStatus
    promoted_at: datetime | None = None
    sent_home_at: datetime | None = None
    because: str = ""
    """Why it was sent home, as one word."""
    because_message: str = ""
    marked_by: str = ""
    """The uid of the ModelCommand that set the last mark; so the same command cannot act twice."""
    attempt: int = 1

    @property
    def sent_home(self) -> bool:
        """Taken back after whatever promotion it had; only a retry clears it."""
        return self.sent_home_at is not None and (self.promoted_at is None or self.sent_home_at >= self.promoted_at)

    @property
    def compared(self) -> bool:
        """Sent home because its comparison is done, not because anything spoke against it."""
        return self.sent_home and self.because in COMPARED

    @property
    def version(self) -> str:
        """The version people know it by: the spec's word before the image's."""
        return self.spec.version or self.status.version


@dataclass(frozen=True, slots=True, kw_only=True)
class Workload:
    """A revision's pods as they are."""

    wanted: int = 0
    """What its Deployment asks for; 0 when there is none."""
    exists: bool = False
    pods: int = 0
    """How many there are, those on their way out among them."""
    ready: int = 0
    unready_since: datetime | None = None
    """Since when not all of its pods are ready."""
    lost_at: datetime | None = None
    """When the newest of the pods that are not ready stopped being so; it says since when none is."""
    problem: str = ""
    """The pods' own words for why they are not ready."""
    addresses: tuple[str, ...] = ()
    """Of the ready pods."""


NO_WORKLOAD = Workload()


@dataclass(frozen=True, slots=True, kw_only=True)
class SeenRoute:
    """The ModelRoute as read back."""

    spec: ModelRouteSpec
    generation: int
    resource_version: str
    written_at: datetime | None = None
    """When the operator wrote this spec; None for a route that it did not write."""


@dataclass(frozen=True, slots=True, kw_only=True)
class GatewayReport:
    """What one ready gateway pod says of this deployment's route."""

    pod: str
    generation: int | None = None
    """The generation it runs; None when it did not answer or does not know the route."""
    rejected: str = ""
    """Envoy's own words, when it refused."""
    error: str = ""
    """Why it could not be asked."""
    unrecorded: str = ""
    """Why exchanges are answered and not kept; evidence of them will be missing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Judged:
    """One metric with what the evidence says of it."""

    metric: Metric
    judgement: Judgement
    since: datetime | None = None
    """Since when it could have had data; `maxWait` runs from here."""
    unavailable: bool = False
    """The source could not be asked."""
    waiting_for: str = ""
    """What it still needs, in numbers."""
    final: bool = False
    """Whether it was read once and for all: no later look will say more."""
    wish: int | None = None
    """The candidate's weight in basis points that the evidence asks for, where a weight follows it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Smoke:
    """What the candidate's pods said to the requests that stand before any traffic."""

    asked: bool = False
    passed: bool = False
    message: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Command:
    """A ModelCommand that has no result yet."""

    name: str
    uid: str
    resource_version: str
    created_at: datetime
    spec: ModelCommandSpec


@dataclass(frozen=True, slots=True, kw_only=True)
class Beside:
    """One of spec.shadows, with the revision that it became."""

    said: ShadowModel
    revision: str = ""
    """Empty where `fault` says why there is none."""
    fault: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Compared:
    """What the pairs of one shadow came to."""

    judged: tuple[Judged, ...]
    pairs: int | None = None
    """How many there are, judged or not; None where nobody could say."""


@dataclass(frozen=True, slots=True, kw_only=True)
class World:
    """Everything a decision rests on."""

    now: datetime
    namespace: str
    name: str
    uid: str
    generation: int
    spec: ModelDeploymentSpec
    status: ModelDeploymentStatus
    target: str
    """The revision that is rolled out: what the spec asks for, unless that has to wait for its turn."""
    revisions: Mapping[str, Revision]
    workloads: Mapping[str, Workload] = field(default_factory=dict)
    route: SeenRoute | None = None
    gateways: tuple[GatewayReport, ...] = ()
    smoke: Smoke = Smoke()
    judged: tuple[Judged, ...] = ()
    asked: str = ""
    """What the spec asks for, while it waits for its turn or is refused it."""
    freezes: tuple[Freeze, ...] = ()
    """Those of the whole installation, beside the spec's own."""
    gated: tuple[GateVerdict, ...] = ()
    """What gates came to in this pass; none of it counts before it stands in the status."""
    shadows: tuple[Beside, ...] = ()
    """spec.shadows, each with its revision."""
    compared: Mapping[str, Compared] = field(default_factory=dict)
    """What was learnt of shadows in this pass, by their names; of the others the status still says what was before."""
    alarms: AlarmBook | None = None
    """What the monitor says of the alarms, where that was heard in this pass."""
    made_at: datetime | None = None
    """When this ModelDeployment was made: what was said before was said of another one of its name."""
    training: tuple[TrainingState, ...] | None = None
    """What became of requests to retrain, where anything did in this pass."""

    def workload(self, revision: str) -> Workload:
        """The revision's pods, or the want of them."""
        return self.workloads.get(revision, NO_WORKLOAD)
