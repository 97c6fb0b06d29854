"""From the cache to a `World`: parsing only, so that the domain sees types and never raw bodies."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from switchyard_contracts.base import LABEL_REVISION, PROMOTED_AT, ROLLED_BACK_AT, ROUTED_AT
from switchyard_contracts.freezes import Freeze
from switchyard_contracts.model_command import ModelCommandSpec
from switchyard_contracts.model_deployment import ModelDeploymentSpec, ModelDeploymentStatus
from switchyard_contracts.model_revision import ModelRevisionSpec, ModelRevisionStatus
from switchyard_contracts.model_route import ModelRouteSpec

from switchyard_operator.cache import Cache, Key
from switchyard_operator.domain import kinds, lineage, pods
from switchyard_operator.domain.world import Beside, Body, Command, GatewayReport, Revision, SeenRoute, Workload, World


def revision_status(body: Body) -> ModelRevisionStatus:
    """The status of a ModelRevision as we wrote it, or an empty one."""
    return ModelRevisionStatus.model_validate(body.get("status") or {})


def revision(body: Body) -> Revision:
    """A ModelRevision with its marks."""
    metadata = body["metadata"]
    marks = metadata.get("annotations") or {}
    return Revision(
        name=metadata["name"],
        uid=metadata["uid"],
        created_at=datetime.fromisoformat(metadata["creationTimestamp"]),
        resource_version=metadata["resourceVersion"],
        spec=ModelRevisionSpec.model_validate(body["spec"]),
        status=revision_status(body),
        promoted_at=_time(marks.get(PROMOTED_AT)),
        sent_home_at=_time(marks.get(ROLLED_BACK_AT)),
        because=marks.get(lineage.BECAUSE, ""),
        because_message=marks.get(lineage.BECAUSE_MESSAGE, ""),
        marked_by=marks.get(lineage.MARKED_BY, ""),
        attempt=int(marks.get(lineage.ATTEMPT, "1")),
    )


def route(body: Body) -> SeenRoute:
    """A ModelRoute as read back."""
    metadata = body["metadata"]
    return SeenRoute(
        spec=ModelRouteSpec.model_validate(body["spec"]),
        generation=int(metadata["generation"]),
        resource_version=metadata["resourceVersion"],
        written_at=_time((metadata.get("annotations") or {}).get(ROUTED_AT)),
    )


def status(body: Body) -> ModelDeploymentStatus:
    """The status as we wrote it, or an empty one."""
    return ModelDeploymentStatus.model_validate(body.get("status") or {})


def commands(bodies: Sequence[Body]) -> list[Command]:
    """The commands without a result, oldest first."""
    found = [
        Command(
            name=body["metadata"]["name"],
            uid=body["metadata"]["uid"],
            resource_version=body["metadata"]["resourceVersion"],
            created_at=datetime.fromisoformat(body["metadata"]["creationTimestamp"]),
            spec=ModelCommandSpec.model_validate(body["spec"]),
        )
        for body in bodies
        if not (body.get("status") or {}).get("result")
    ]
    return sorted(found, key=lambda command: (command.created_at, int(command.resource_version)))


def workloads(cache: Cache, key: Key) -> dict[str, Workload]:
    """The pods of each revision that has any, or has a Deployment."""
    by_revision: dict[str, list[Body]] = {}
    for body in cache.children(kinds.POD, key):
        by_revision.setdefault(_revision_of(body), []).append(body)
    deployments = {_revision_of(body): body for body in cache.children(kinds.DEPLOYMENT, key)}
    return {
        name: pods.observe(deployments.get(name), by_revision.get(name, []))
        for name in sorted({*by_revision, *deployments})
        if name
    }


def world(
    cache: Cache,
    body: Body,
    *,
    spec: ModelDeploymentSpec,
    target: str,
    now: datetime,
    gateways: Sequence[GatewayReport],
    freezes: Sequence[Freeze] = (),
    shadows: Sequence[Beside] = (),
) -> World:
    """Everything the cache knows of one deployment."""
    metadata = body["metadata"]
    key = metadata["namespace"], metadata["name"]
    seen = cache.get(kinds.MODEL_ROUTE, *key)
    revisions = [revision(item) for item in cache.children(kinds.MODEL_REVISION, key)]
    return World(
        now=now,
        namespace=key[0],
        name=key[1],
        uid=metadata["uid"],
        generation=int(metadata.get("generation", 1)),
        spec=spec,
        status=status(body),
        target=target,
        revisions={item.name: item for item in revisions},
        workloads=workloads(cache, key),
        route=route(seen) if seen else None,
        gateways=tuple(gateways),
        freezes=tuple(freezes),
        shadows=tuple(shadows),
        made_at=_time(metadata.get("creationTimestamp")),
    )


def _revision_of(body: Body) -> str:
    return str((body["metadata"].get("labels") or {}).get(LABEL_REVISION, ""))


def _time(text: str | None) -> datetime | None:
    return datetime.fromisoformat(text) if text else None
