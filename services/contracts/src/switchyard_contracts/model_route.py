"""ModelRoute: who answers how much of the traffic. The operator writes it, gateways read it; weights live nowhere else.

Its `metadata.generation` is what gateways acknowledge and what each exchange carries as `traffic`.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Any, Self

from pydantic import Field, model_validator

from switchyard_contracts.base import ResourceName, Shape
from switchyard_contracts.model_deployment import ServingPath
from switchyard_contracts.quantities import FULL, Duration
from switchyard_contracts.sticky import CEL as STICKY_CEL
from switchyard_contracts.sticky import Sticky

MOST_ROUTES = 8
"""Stable, a candidate, one that is kept warm, and shadows."""


class RouteRole(StrEnum):
    """What a revision is to the traffic, stamped on each exchange when it is served."""

    STABLE = "stable"
    CANDIDATE = "candidate"
    SHADOW = "shadow"
    PREVIEW = "preview"


class Route(Shape):
    """One revision's share. Weight 0 keeps the revision reachable by header (preview)."""

    revision: ResourceName
    version: Annotated[str, Field(max_length=64)] = ""
    role: RouteRole
    weight_bp: Annotated[int, Field(ge=0, le=FULL)]
    mirror_bp: Annotated[int, Field(ge=0, le=FULL)] = 0
    """How much of the whole traffic is sent to this revision too, out of stable's share of it. Nobody is given these
    answers; they are recorded under the same prediction id, with the role shadow."""
    sample_bp: Annotated[int, Field(ge=1, le=FULL)] | None = None
    """How much of stable's requests is sent to this shadow too, whatever stable's weight is. Every such sample is drawn
    by itself: it knows neither the split nor any other sample. Absent on all others, for older gateways' sake."""
    service: ResourceName
    port: Annotated[int, Field(ge=1, le=65535)]


class Split(Sticky):
    """A sticky split: the candidate has the first buckets of a keyed hash of a header or cookie."""

    salt: Annotated[str, Field(min_length=1, max_length=256)]
    """Another for each rollout, so that not the same users come first every time."""


class ModelRouteSpec(Shape):
    """The whole truth about a deployment's traffic."""

    paths: Annotated[list[ServingPath], Field(min_length=1, max_length=32)]
    timeout: Duration
    rollout_id: Annotated[str, Field(max_length=80)] = ""
    routes: Annotated[list[Route], Field(min_length=1, max_length=MOST_ROUTES)]
    split: Split | None = None
    """Where users stay with their arm; else each request is drawn by itself."""

    @model_validator(mode="after")
    def _adds_up(self) -> Self:
        total = sum(route.weight_bp for route in self.routes)
        if total != FULL:
            raise ValueError(f"routes: weights sum to {total} basis points, they must sum to {FULL}")
        stables = [route for route in self.routes if route.role is RouteRole.STABLE]
        if len(stables) != 1:
            raise ValueError(f"routes: exactly one must be stable, {len(stables)} are")
        (stable,) = stables
        if stable.mirror_bp:
            raise ValueError("routes: stable's requests are not mirrored to stable itself; give it mirrorBp 0")
        for route in self.mirrored:
            if route.mirror_bp > stable.weight_bp:
                raise ValueError(
                    f"routes: mirrorBp of {route.revision} is {route.mirror_bp}; only stable's requests are mirrored, "
                    f"so it must not exceed stable's weightBp, {stable.weight_bp}"
                )
        for route in self.sampled:
            if route.role is not RouteRole.SHADOW or route.weight_bp or route.mirror_bp:
                raise ValueError(
                    f"routes: sampleBp of {route.revision} is {route.sample_bp}, and only a shadow without weightBp and"
                    " mirrorBp has a sample of its own; take it out, or make it such a shadow"
                )
        return self

    @property
    def stable(self) -> Route:
        """The route of the stable revision."""
        return next(route for route in self.routes if route.role is RouteRole.STABLE)

    @property
    def mirrored(self) -> list[Route]:
        """The routes of the revisions that stable's requests are mirrored to."""
        return [route for route in self.routes if route.mirror_bp]

    @property
    def sampled(self) -> list[Route]:
        """The routes of the shadows that draw a sample of their own of stable's requests."""
        return [route for route in self.routes if route.sample_bp]

    @property
    def copied(self) -> list[Route]:
        """The routes of all revisions that answer copies of stable's requests."""
        return [*self.mirrored, *self.sampled]

    @property
    def candidate(self) -> Route | None:
        """The route of the candidate, if one is in the traffic."""
        return next((route for route in self.routes if route.role is RouteRole.CANDIDATE), None)


CEL: dict[type[Shape], list[dict[str, Any]]] = {
    Split: STICKY_CEL[Sticky],
    ModelRouteSpec: [
        {
            "rule": "self.routes.map(r, r.weightBp).sum() == 10000",
            "message": "the weights of routes must sum to 10000 basis points",
            "fieldPath": ".routes",
        },
        {
            "rule": "self.routes.exists_one(r, r.role == 'stable')",
            "message": "exactly one of routes must have the role stable",
            "fieldPath": ".routes",
        },
        {
            "rule": "self.routes.all(r, r.role != 'stable' || r.mirrorBp == 0)",
            "message": "stable's requests are not mirrored to stable itself; its mirrorBp must be 0",
            "fieldPath": ".routes",
        },
        {
            "rule": "self.routes.all(r, self.routes.all(s, s.role != 'stable' || r.mirrorBp <= s.weightBp))",
            "message": "only stable's requests are mirrored; mirrorBp must not exceed stable's weightBp",
            "fieldPath": ".routes",
        },
        {
            "rule": "self.routes.all(r, !has(r.sampleBp) || "
            "(r.role == 'shadow' && r.weightBp == 0 && r.mirrorBp == 0))",
            "message": "only a shadow without weightBp and mirrorBp has a sample of its own; take sampleBp out",
            "fieldPath": ".routes",
        },
    ],
}
