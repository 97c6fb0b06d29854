"""Gates: what has to be so before a rollout goes on, beside evidence.

A gate stands before a place of the rollout. It is asked when the rollout would pass that place, its verdict is kept for
the revision's attempt, and it is not asked again once it has passed or failed.
"""

from __future__ import annotations

from datetime import timedelta
from enum import StrEnum
from typing import Annotated, Any, Literal, Self

from pydantic import Field, StringConstraints, model_validator

from switchyard_contracts.base import Message, ResourceName, Shape, Status, Timestamp
from switchyard_contracts.containers import EnvVar, Image, Resources
from switchyard_contracts.quantities import Duration, parse_duration

SMOKE = "smoke"
"""The name of the gate that every revision passes without being told to: its warm-up, or `/readyz`."""


class GateType(StrEnum):
    """What is asked, and of whom."""

    PROVENANCE = "Provenance"
    VERSION = "Version"
    SMOKE = "Smoke"
    SCHEMA = "Schema"
    APPROVAL = "Approval"
    WEBHOOK = "Webhook"
    OFFLINE_EVALUATION = "OfflineEvaluation"


class Before(StrEnum):
    """Which place of the rollout is not passed without it."""

    PROVISIONING = "provisioning"
    """Any pod of the revision."""
    TRAFFIC = "traffic"
    """Any request, mirrored ones among them."""
    STEP = "step"
    """The step that `step` names."""
    PROMOTION = "promotion"
    """All of the traffic."""


class Overdue(StrEnum):
    """What a gate means that has not decided within its time."""

    HOLD = "hold"
    FAIL = "fail"
    PASS = "pass"


class ProvenanceGate(Shape):
    """Which fields of `model.provenance` must be said."""

    fields: Annotated[
        list[Literal["gitCommit", "dataDigest", "trainingRun", "pipeline"]], Field(min_length=1, max_length=4)
    ] = ["gitCommit", "dataDigest", "trainingRun", "pipeline"]
    """The names of the fields."""


class SmokeRequest(Shape):
    """One request that every pod of the candidate must answer with 2xx; a POST of JSON where there is a body."""

    path: Annotated[str, StringConstraints(pattern=r"^/[A-Za-z0-9_./-]*$", max_length=256)]
    """Where it is sent."""
    body: Annotated[str, StringConstraints(max_length=8192)] | None = None
    """The JSON that is sent; without it, the request is a GET."""


class SmokeGate(Shape):
    """Requests to each pod of the candidate itself, past the gateway."""

    requests: Annotated[list[SmokeRequest], Field(min_length=1, max_length=8)]
    """What is sent, in order."""


class ApprovalGate(Shape):
    """Whose ModelCommand `approve` counts; anybody's who may create one, where nobody is named."""

    approvers: Annotated[
        list[Annotated[str, StringConstraints(min_length=1, max_length=256)]], Field(max_length=32)
    ] = []
    """User names, as the API server knows them."""


class WebhookGate(Shape):
    """Whom to ask by a POST; the answer decides."""

    url: Annotated[str, StringConstraints(pattern=r"^https?://[A-Za-z0-9.\[\]:-]{1,253}(/[^\s]*)?$", max_length=1024)]
    """Where the question is sent."""
    timeout: Duration = parse_duration("10s")
    """How long one request may take; at most 30s."""

    @model_validator(mode="after")
    def _bounded(self) -> Self:
        if not timedelta(milliseconds=100) <= self.timeout <= timedelta(seconds=30):
            raise ValueError(
                "timeout: must be from 100ms to 30s; a webhook that needs longer answers 202 until it knows"
            )
        return self


class EvaluationData(Shape):
    """The fixed set, mounted read-only at `/data`."""

    config_map: ResourceName | None = None
    """A ConfigMap."""
    claim: ResourceName | None = None
    """A PersistentVolumeClaim of the deployment's namespace."""

    @model_validator(mode="after")
    def _one_of_them(self) -> Self:
        if (self.config_map is None) == (self.claim is None):
            raise ValueError("set exactly one of configMap and claim")
        return self


Word = Annotated[str, StringConstraints(max_length=4096)]


class OfflineEvaluation(Shape):
    """A Job that compares the candidate with stable on a fixed set: 0 is passed, any other exit code failed."""

    image: Image
    """The image of the Job's container."""
    command: Annotated[list[Word], Field(max_length=32)] = []
    """What it runs; the image's own entry point where nothing is said."""
    args: Annotated[list[Word], Field(max_length=64)] = []
    """Arguments."""
    env: Annotated[list[EnvVar], Field(max_length=64)] = []
    """Environment variables."""
    resources: Resources | None = None
    """What its container asks of a node, and may take at most."""
    data: EvaluationData | None = None
    """The data to evaluate on."""
    service_account_name: ResourceName | None = None
    """The ServiceAccount of its pod."""


BLOCKS: dict[GateType, tuple[str, bool]] = {
    GateType.PROVENANCE: ("provenance", False),
    GateType.SMOKE: ("smoke", True),
    GateType.APPROVAL: ("approval", False),
    GateType.WEBHOOK: ("webhook", True),
    GateType.OFFLINE_EVALUATION: ("offline_evaluation", True),
}
"""The block of each type that has one, and whether it has to be there."""

NEEDS_PODS = frozenset({GateType.SMOKE, GateType.SCHEMA})

WITHIN: dict[GateType, timedelta] = {
    GateType.SMOKE: timedelta(seconds=30),
    GateType.APPROVAL: timedelta(days=7),
    GateType.OFFLINE_EVALUATION: timedelta(hours=1),
}
USUALLY_WITHIN = timedelta(minutes=10)


class Gate(Shape):
    """One gate."""

    name: ResourceName
    """The gate's name, by which commands and status speak of it."""
    type: GateType
    """What is asked, and of whom."""
    before: Before = Before.TRAFFIC
    """Where it stands: before pods are made, before traffic, before a step, or before promotion."""
    step: ResourceName | None = None
    """For `before: step`: which one."""
    required: bool = True
    """One that is not is passed over where stable is dead, and by a promote of every step."""
    within: Duration | None = None
    """Its deadline, from when it is first asked. Where it is not said: 30s for Smoke, 1h for OfflineEvaluation, 7d for
    Approval, else 10m."""
    on_timeout: Overdue = Overdue.FAIL
    """What it means that nobody has decided within that time."""
    on_unavailable: Overdue = Overdue.HOLD
    """What it means that whoever decides could not be asked all that time."""
    provenance: ProvenanceGate | None = None
    """For `type: Provenance`."""
    smoke: SmokeGate | None = None
    """For `type: Smoke`."""
    approval: ApprovalGate | None = None
    """For `type: Approval`."""
    webhook: WebhookGate | None = None
    """For `type: Webhook`."""
    offline_evaluation: OfflineEvaluation | None = None
    """For `type: OfflineEvaluation`."""

    @property
    def deadline(self) -> timedelta:
        """How long it may take."""
        return self.within if self.within is not None else WITHIN.get(self.type, USUALLY_WITHIN)

    @property
    def place(self) -> str:
        """Where it stands, in words."""
        return f"step {self.step}" if self.step else self.before.value

    @property
    def block(self) -> Shape | None:
        """What its type says of it."""
        field = BLOCKS.get(self.type, ("", False))[0]
        found: Shape | None = getattr(self, field) if field else None
        return found

    @model_validator(mode="after")
    def _parts_fit(self) -> Self:
        if (self.before is Before.STEP) != (self.step is not None):
            raise ValueError("step: must be set when before is step, and only then")
        for kind, (field, needed) in BLOCKS.items():
            said = getattr(self, field) is not None
            name = str(type(self).model_fields[field].alias or field)
            if said and kind is not self.type:
                raise ValueError(f"{name}: may be set only when type is {kind.value}")
            if needed and not said and kind is self.type:
                raise ValueError(f"{name}: must be set when type is {kind.value}")
        if self.before is Before.PROVISIONING and self.type in NEEDS_PODS:
            raise ValueError(
                f"before: there is no pod before provisioning that {self.type.value} could ask; use traffic"
            )
        if self.within is not None and not self.within:
            raise ValueError("within: a gate needs some time to be passed; leave it out, or write one such as 10m")
        return self


class GateVerdict(Status):
    """What one gate came to, for one attempt of one revision."""

    name: str
    type: str
    before: str = ""
    state: Literal["Passed", "Failed", "Waiting", "Error"]
    message: Message = ""
    attempt: int = 1
    since: Timestamp | None = None
    """When it was first asked; its deadline runs from here."""
    at: Timestamp | None = None
    """When it came to this state."""
    definition: str = ""
    """A digest of what was asked: a gate that is edited is asked anew."""


CEL: dict[type[Shape], list[dict[str, Any]]] = {
    Gate: [
        {
            "rule": "(self.before == 'step') == has(self.step)",
            "message": "step must be set when before is step, and only then",
        },
        {
            "rule": "self.type == 'Provenance' || !has(self.provenance)",
            "message": "the block provenance may be set only when type is Provenance",
        },
        {
            "rule": "(self.type == 'Smoke') == has(self.smoke)",
            "message": "the block smoke must be set when type is Smoke, and only then",
        },
        {
            "rule": "self.type == 'Approval' || !has(self.approval)",
            "message": "the block approval may be set only when type is Approval",
        },
        {
            "rule": "(self.type == 'Webhook') == has(self.webhook)",
            "message": "the block webhook must be set when type is Webhook, and only then",
        },
        {
            "rule": "(self.type == 'OfflineEvaluation') == has(self.offlineEvaluation)",
            "message": "the block offlineEvaluation must be set when type is OfflineEvaluation, and only then",
        },
        {
            "rule": "self.before != 'provisioning' || !(self.type in ['Smoke', 'Schema'])",
            "message": "there is no pod before provisioning that this gate could ask; use traffic",
            "fieldPath": ".before",
        },
    ],
    EvaluationData: [
        {"rule": "has(self.configMap) != has(self.claim)", "message": "set exactly one of configMap and claim"},
    ],
}
"""What the API server itself checks of a gate."""
