"""Resources as the verbs need them: typed, out of the bodies that the API server sends."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

from pydantic import ValidationError
from switchyard_contracts import acceptance
from switchyard_contracts.acceptance import SpecRejected
from switchyard_contracts.base import PROMOTED_AT, ROLLED_BACK_AT
from switchyard_contracts.conditions import Condition
from switchyard_contracts.judgement import counted, noun
from switchyard_contracts.model_deployment import ModelDeploymentSpec, ModelDeploymentStatus, Phase, RolloutStatus
from switchyard_contracts.model_revision import ModelRevisionSpec, ModelRevisionStatus

from switchyard_cli.errors import Unreadable
from switchyard_cli.ports import Body

OVER = frozenset({Phase.COMPLETED, Phase.ROLLED_BACK, Phase.REFUSED, Phase.SUPERSEDED})
"""Phases that a rollout does not leave."""
BACK = frozenset({Phase.ROLLED_BACK, Phase.REFUSED, Phase.ROLLING_BACK})
"""Phases of a rollout that was taken back, or is on its way back."""


@dataclass(frozen=True, slots=True)
class Deployment:
    """A ModelDeployment as it stands."""

    namespace: str
    name: str
    generation: int
    created_at: datetime | None
    spec: ModelDeploymentSpec | None
    """None where this release of the command line cannot read it."""
    status: ModelDeploymentStatus

    @property
    def rollout(self) -> RolloutStatus | None:
        """The rollout under way, or the last one."""
        return self.status.rollout

    @property
    def live(self) -> RolloutStatus | None:
        """The rollout, if it can still be steered."""
        rollout = self.status.rollout
        return rollout if rollout and rollout.phase not in OVER and rollout.phase is not Phase.WATCHING else None

    @property
    def noticed(self) -> bool:
        """Whether the operator has seen the newest spec."""
        return self.status.observed_generation >= self.generation

    def condition(self, kind: str) -> Condition | None:
        """One condition."""
        return next((item for item in self.status.conditions if item.type == kind), None)


@dataclass(frozen=True, slots=True)
class Revision:
    """A ModelRevision with its marks."""

    name: str
    spec: ModelRevisionSpec
    status: ModelRevisionStatus
    promoted_at: datetime | None = None
    sent_home_at: datetime | None = None

    @property
    def sent_home(self) -> bool:
        """Taken back after whatever promotion it had; only a retry clears it."""
        return self.sent_home_at is not None and (self.promoted_at is None or self.sent_home_at >= self.promoted_at)

    @property
    def version(self) -> str:
        """The version people know it by."""
        return self.spec.version or self.status.version


def deployment(body: Body) -> Deployment:
    """Read a ModelDeployment. A spec that this release does not know is passed over; a status must be readable."""
    metadata = body["metadata"]
    try:
        spec = acceptance.read(body.get("spec"))
    except SpecRejected:
        spec = None
    try:
        status = ModelDeploymentStatus.model_validate(body.get("status") or {})
    except ValidationError as error:
        raise Unreadable(
            f"the status of {metadata['name']} is of another release than this command line"
            f" ({counted(error.error_count(), 'field')} {noun(error.error_count(), 'is', 'are')} not understood); use"
            " the command line of the operator's release"
        ) from error
    return Deployment(
        namespace=metadata.get("namespace", ""),
        name=metadata["name"],
        generation=int(metadata.get("generation", 1)),
        created_at=_time(metadata.get("creationTimestamp")),
        spec=spec,
        status=status,
    )


def revisions(bodies: Iterable[Body]) -> list[Revision]:
    """Read ModelRevisions; one of a newer release is passed over."""
    found = []
    for body in bodies:
        marks = body["metadata"].get("annotations") or {}
        try:
            spec = ModelRevisionSpec.model_validate(body["spec"])
            status = ModelRevisionStatus.model_validate(body.get("status") or {})
        except ValidationError:
            continue
        name = body["metadata"]["name"]
        promoted, home = _time(marks.get(PROMOTED_AT)), _time(marks.get(ROLLED_BACK_AT))
        found.append(Revision(name, spec, status, promoted, home))
    return found


def stable_of(found: Sequence[Revision]) -> Revision | None:
    """The newest promoted revision that was not taken back, as the operator tells it."""
    standing = [item for item in found if item.promoted_at and not item.sent_home]
    return max(standing, key=lambda item: (item.promoted_at, item.name), default=None)


def _time(text: str | None) -> datetime | None:
    return datetime.fromisoformat(text) if text else None
