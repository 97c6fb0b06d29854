"""ModelRevision: one immutable version of a deployment; the registry of what served when, and why.

Its name is `<deployment>-<hash>` over the canonical JSON of what makes its pods. All else of a ModelDeployment applies
in place and starts no rollout.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Any

from pydantic import Field, StringConstraints

from switchyard_contracts.base import Message, ResourceName, Shape, Status, Timestamp
from switchyard_contracts.canonical import digest
from switchyard_contracts.containers import EnvVar, Image, Resources
from switchyard_contracts.gates import GateVerdict
from switchyard_contracts.model import ConfigSource, Provenance
from switchyard_contracts.model_deployment import (
    MetricVerdict,
    ModelDeploymentSpec,
    Scheduling,
    ServingPath,
    Startup,
    Warmup,
)
from switchyard_contracts.shadows import ShadowModel
from switchyard_contracts.volumes import Volumes

HASH_SCHEMA = 1
"""Part of what is hashed: it changes only with a deliberate new meaning, since a new hash is a new rollout for
everyone."""


Hash = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{10}$")]


class PodShape(Shape):
    """What makes a revision's pods, and nothing else."""

    image: Image
    env: Annotated[list[EnvVar], Field(max_length=64)] = []
    env_from: Annotated[list[ConfigSource], Field(max_length=16)] = []
    resources: Resources | None = None
    scheduling: Scheduling | None = None
    port: int = 3000
    warmup: Warmup | None = None
    startup: Startup | None = None
    volumes: Volumes | None = None
    """Absent where there are none: what a release adds here must not change the hash of who does not use it."""


class ModelRevisionSpec(Shape):
    """The immutable snapshot."""

    deployment: ResourceName
    version: Annotated[str, Field(max_length=64)] = ""
    """As the spec said it at first sight; what the image itself says stands in the status."""
    provenance: Provenance | None = None
    model_hash: Hash
    pod_hash: Hash
    pod: PodShape


class RevisionPhase(StrEnum):
    """What this revision is to its deployment now."""

    PENDING = "Pending"
    CANDIDATE = "Candidate"
    STABLE = "Stable"
    SHADOW = "Shadow"
    WARM = "Warm"
    RETIRED = "Retired"
    ROLLED_BACK = "RolledBack"
    REFUSED = "Refused"


class ModelRevisionStatus(Status):
    """What became of it."""

    phase: RevisionPhase = RevisionPhase.PENDING
    version: str = ""
    paths: list[ServingPath] = []
    attempts: int = 0
    ready_replicas: int = 0
    weight_bp: int = 0
    weight: str = ""
    """The same for people, as in `20%`; empty when it is not in the route."""
    verdict: str = ""
    reason: str = ""
    message: Message = ""
    verdicts: list[MetricVerdict] = []
    gates: list[GateVerdict] = []
    created_at: Timestamp | None = None
    first_served_at: Timestamp | None = None
    promoted_at: Timestamp | None = None
    rolled_back_at: Timestamp | None = None


def pod_shape(spec: ModelDeploymentSpec, shadow: ShadowModel | None = None) -> PodShape:
    """What of a spec makes the pods: the model's own, or those of one of its shadows."""
    model = shadow.model if shadow else spec.model
    config = model.config or spec.model.config
    return PodShape(
        image=model.image,
        env=config.env if config else [],
        env_from=config.env_from if config else [],
        resources=(shadow.resources if shadow else None) or spec.serving.resources,
        scheduling=spec.serving.scheduling,
        port=spec.serving.port,
        warmup=spec.serving.warmup,
        startup=spec.serving.startup,
        volumes=spec.serving.volumes or None,
    )


def hashes(shape: PodShape, *, config_digests: dict[str, str] | None = None) -> tuple[str, str]:
    """The model's hash (image, environment, contents of ConfigMaps) and the pod's (all of it), ten hex digits each."""
    whole: dict[str, Any] = {"schema": HASH_SCHEMA, "pod": shape.to_json(), "config": config_digests or {}}
    model = {key: whole["pod"].get(key) for key in ("image", "env", "envFrom")}
    return digest({"schema": HASH_SCHEMA, "model": model, "config": whole["config"]})[:10], digest(whole)[:10]


def revision_name(deployment: str, pod_hash: str) -> str:
    """`<deployment>-<hash>`."""
    return f"{deployment}-{pod_hash}"
