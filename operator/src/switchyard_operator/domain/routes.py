"""The ModelRoute that should be: who answers how much, in one value that always adds up."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

from switchyard_contracts.model_route import ModelRouteSpec, Route, RouteRole, Split
from switchyard_contracts.quantities import FULL
from switchyard_contracts.sticky import Sticky

from switchyard_operator.domain.world import Revision


@dataclass(frozen=True, slots=True, kw_only=True)
class Shares:
    """Who is in the traffic. The candidate's weight is stable's loss; warm ones are reachable by header only."""

    stable: Revision
    candidate: Revision | None = None
    weight: int = 0
    mirror: int = 0
    """How much of the traffic is mirrored to the candidate; never more than stable has."""
    warm: tuple[Revision, ...] = ()
    shadows: tuple[tuple[Revision, int], ...] = ()
    """Who is sent how much of stable's requests beside all that, in basis points of these."""


def compose(
    shares: Shares, *, paths: list[str], timeout: timedelta, rollout_id: str, split: Split | None = None
) -> ModelRouteSpec:
    """The route's spec; stable first, as Envoy's mirror rules will want it. A split is named where there is one."""
    weight = min(FULL, max(0, shares.weight)) if shares.candidate else 0
    routes = [_entry(shares.stable, RouteRole.STABLE, FULL - weight)]
    if shares.candidate and shares.candidate.name != shares.stable.name:
        mirror = min(FULL - weight, max(0, shares.mirror))
        routes.append(_entry(shares.candidate, RouteRole.CANDIDATE, weight, mirror=mirror))
    taken = {route.revision for route in routes}
    shadows = [(revision, share) for revision, share in shares.shadows if revision.name not in taken]
    taken |= {revision.name for revision, _ in shadows}
    routes.extend(_entry(revision, RouteRole.PREVIEW, 0) for revision in shares.warm if revision.name not in taken)
    routes.extend(_entry(revision, RouteRole.SHADOW, 0, sample=share) for revision, share in shadows)
    drawn = split if 0 < weight < FULL else None
    return ModelRouteSpec(paths=paths, timeout=timeout, rollout_id=rollout_id, routes=routes, split=drawn)


def sticky(split: Sticky | None, *, namespace: str, rollout_id: str) -> Split | None:
    """How users are told apart in one rollout. Its name is the salt: whoever reads it anew finds the same one."""
    return Split(by=split.by, name=split.name, salt=f"{namespace}/{rollout_id}") if split else None


def _entry(revision: Revision, role: RouteRole, weight: int, *, mirror: int = 0, sample: int | None = None) -> Route:
    return Route(
        revision=revision.name,
        version=revision.version,
        role=role,
        weight_bp=weight,
        mirror_bp=mirror,
        sample_bp=sample,
        service=revision.name,
        port=revision.spec.pod.port,
    )
