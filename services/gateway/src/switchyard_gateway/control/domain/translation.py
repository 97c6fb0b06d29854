"""From a ModelRoute and the endpoints behind it to a fragment of Envoy's configuration: one pure function.

Two clusters per revision: `<namespace>/<revision>` fails over to stable's endpoints and takes the candidate's weighted
traffic; `<namespace>/<revision>/only` never does, and takes what must not be answered by another: previews, mirrored
requests, and stable itself (which has nobody to fail over to).

Envoy draws one number for each request, from 0 to 9,999, and both the split and the sample of every mirror go by it:
an arm is a range of these numbers, a sample is the first so many of them. So stable comes first, a mirror's share never
exceeds stable's weight, and only stable's requests are mirrored. Of two mirrored revisions the smaller sample lies
within the larger: both meet the same X. How many are under way is bounded for each by itself, by the places of a third
cluster, `<namespace>/<revision>/mirror`, which leads back to this Envoy: one that hangs costs no other its pairs.

In a sticky split a request's bucket is found first (services/gateway/envoy/sticky.lua) and each arm is a route for a
range of buckets: the candidate's begin at 0, so a larger weight keeps everyone it had. Stable's route takes the rest
and mirrors its own requests; the sample is drawn by request, so that pairs speak of all of its users.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace

from switchyard_contracts.events import Assignment as Assigned
from switchyard_contracts.model_route import ModelRouteSpec, Route, RouteRole
from switchyard_contracts.quantities import FULL
from switchyard_contracts.sticky import key_of

from switchyard_gateway.control.domain.fragment import (
    MIRROR_DOOR,
    Arm,
    Assignment,
    Cluster,
    Draw,
    Fragment,
    Member,
    Mirror,
    Pin,
    Range,
    Routing,
    Sample,
)
from switchyard_gateway.control.domain.world import Endpoint, Fitness, RouteObject, ServiceKey
from switchyard_gateway.control.errors import RouteRefusedError

STAMPABLE = re.compile(r"[!-{}~]*")
"""What may stand between the bars of a stamp: printable ASCII without spaces and without the bar itself."""

MIRROR_PORT = 8090
"""Where the bootstrap's mirror listener is, by default."""
LOOPBACK = "127.0.0.1"
MILLION = 1_000_000
PLACES = 32
"""How many mirrored requests of a revision may be under way; one that is too slow loses pairs, and no more."""

EndpointsOf = Callable[[ServiceKey], tuple[Endpoint, ...]]


def translate(
    route: RouteObject,
    endpoints_of: EndpointsOf,
    *,
    domain: str,
    preview: bool = True,
    mirror_port: int = MIRROR_PORT,
) -> Fragment:
    """The fragment for one ModelRoute; raises `RouteRefusedError` with a sentence when no gateway could serve it."""
    spec = _checked(route)
    clusters = tuple(
        cluster
        for each in spec.routes
        for cluster in (
            Cluster(_failover(route, each), failover=True),
            Cluster(_only(route, each), failover=False),
        )
    )
    doors = tuple(Cluster(_door(route, each), failover=False, places=PLACES) for each in spec.copied)
    return Fragment(
        routing=_routing(route, spec, domain=domain, preview=preview),
        clusters=(*clusters, *doors),
        assignments=(*_assignments(route, spec, endpoints_of), *_own_door(route, spec, mirror_port)),
        source=route,
        endpoints=tuple((service, endpoints_of(service)) for service in sorted(set(route.services))),
    )


def _checked(route: RouteObject) -> ModelRouteSpec:
    """What the API server's schema cannot say, said here, so that Envoy seldom has to."""
    spec = route.spec
    if spec is None:
        raise RouteRefusedError(route.problem)
    seen: set[str] = set()
    for index, each in enumerate(spec.routes):
        if not STAMPABLE.fullmatch(each.version):
            raise RouteRefusedError(
                f"spec.routes[{index}].version: {each.version!r} cannot be stamped on a request; "
                "use printable ASCII without spaces and without '|'"
            )
        if each.revision.rpartition("-")[0] != route.name:
            raise RouteRefusedError(
                f"spec.routes[{index}].revision: {each.revision!r} is not a revision of {route.name!r}; "
                f"revisions are named {route.name}-<hash>, so that no two deployments share one"
            )
        if each.revision in seen:
            raise RouteRefusedError(
                f"spec.routes[{index}].revision: {each.revision!r} is named twice; give each revision one entry"
            )
        seen.add(each.revision)
    for index, path in enumerate(spec.paths):
        if "//" in path or any(part in (".", "..") for part in path.split("/")):
            raise RouteRefusedError(
                f"spec.paths[{index}]: {path!r} is not a normal path and never matches; leave out '//', '.' and '..'"
            )
    if spec.timeout.total_seconds() <= 0:
        raise RouteRefusedError("spec.timeout: 0s would mean no timeout at all; write a positive duration such as 60s")
    return spec


def _routing(route: RouteObject, spec: ModelRouteSpec, *, domain: str, preview: bool) -> Routing:
    by_role = sorted(spec.routes, key=lambda each: each.role is not RouteRole.STABLE)
    arms = tuple(
        Arm(
            cluster=_only(route, each) if each.role is RouteRole.STABLE else _failover(route, each),
            weight=each.weight_bp,
            stamp=_stamp(route, each, each.role, each.weight_bp, Assigned.SPLIT),
        )
        for each in by_role
        if each.weight_bp
    )
    pins = tuple(
        Pin(each.revision, _only(route, each), _stamp(route, each, RouteRole.PREVIEW, 0, Assigned.PINNED))
        for each in by_role
        if preview
    )
    return Routing(
        deployment=route.key,
        generation=route.generation,
        host=f"{route.name}.{route.namespace}.{domain}" if domain else "",
        prefix=f"/{route.namespace}/{route.name}",
        paths=tuple(dict.fromkeys(spec.paths)),
        timeout_ms=round(spec.timeout.total_seconds() * 1000),
        arms=arms,
        pins=pins,
        mirrors=_mirrors(route, spec),
        draw=_draw(route, spec),
    )


def _mirrors(route: RouteObject, spec: ModelRouteSpec) -> tuple[Mirror, ...]:
    own = (_sampled(route, each, spec.stable, number=number) for number, each in enumerate(spec.sampled))
    return (*(_mirror(route, each) for each in spec.mirrored), *own)


def _mirror(route: RouteObject, each: Route) -> Mirror:
    return Mirror(
        door=_door(route, each),
        cluster=_only(route, each),
        share=each.mirror_bp,
        stamp=_stamp(route, each, RouteRole.SHADOW, each.mirror_bp, Assigned.SPLIT),
    )


def _sampled(route: RouteObject, each: Route, stable: Route, *, number: int) -> Mirror:
    """Stable's whole share, and of that the sample. What is stamped is the part of the whole traffic, as of any mirror.

    A part is no less than a basis point: a mirror that is stamped with none is one that nobody could have drawn.
    """
    share = each.sample_bp or FULL
    sample = Sample(number, share, key_of(f"{route.namespace}/{each.revision}/sample"))
    return Mirror(
        door=_door(route, each),
        cluster=_only(route, each),
        share=stable.weight_bp,
        stamp=_stamp(route, each, RouteRole.SHADOW, max(1, share * stable.weight_bp // FULL), Assigned.SPLIT),
        sample=sample if share < FULL else None,
    )


def _draw(route: RouteObject, spec: ModelRouteSpec) -> Draw | None:
    """The arms as ranges of buckets, one after the other; stable's is the last, so that it alone gives way."""
    if spec.split is None:
        return None
    ranges: list[Range] = []
    first = 0
    for each in sorted(spec.routes, key=lambda each: each.role is RouteRole.STABLE):
        if not each.weight_bp:
            continue
        is_stable = each.role is RouteRole.STABLE
        ranges.append(
            Range(
                first=first,
                end=first + each.weight_bp,
                cluster=_only(route, each) if is_stable else _failover(route, each),
                stamp=_unfinished(route, each, each.role, each.weight_bp),
                mirrors=tuple(_of_own(one, each) for one in _mirrors(route, spec)) if is_stable else (),
            )
        )
        first += each.weight_bp
    return Draw(
        spec.split.by,
        spec.split.name.lower() if spec.split.by == "header" else spec.split.name,
        key_of(spec.split.salt),
        tuple(ranges),
    )


def _of_own(mirror: Mirror, stable: Route) -> Mirror:
    """The same requests in the mean, as a share of those that come by stable's own route."""
    return replace(mirror, share=round(mirror.share * MILLION / stable.weight_bp), of=MILLION)


def _assignments(route: RouteObject, spec: ModelRouteSpec, endpoints_of: EndpointsOf) -> list[Assignment]:
    made = []
    stable = _members(route, spec.stable, endpoints_of)
    for each in spec.routes:
        own = stable if each is spec.stable else _members(route, each, endpoints_of)
        made.append(Assignment(_failover(route, each), route.key, own, _stand_ins(each, spec, stable)))
        made.append(Assignment(_only(route, each), route.key, own))
    return made


def _stand_ins(each: Route, spec: ModelRouteSpec, stable: tuple[Member, ...]) -> tuple[Member, ...]:
    """Who answers when none of a revision's own can, whatever its weight: stable's. Behind stable is nobody."""
    return () if each is spec.stable else stable


def _own_door(route: RouteObject, spec: ModelRouteSpec, port: int) -> list[Assignment]:
    """This Envoy's mirror listener, in the name of the revision that the requests are for."""
    return [
        Assignment(_door(route, each), route.key, (Member(LOOPBACK, port, each.revision, each.version),))
        for each in spec.copied
    ]


def _members(route: RouteObject, each: Route, endpoints_of: EndpointsOf) -> tuple[Member, ...]:
    """The revision's addresses. Pods that are not ready get nothing, as long as anybody else can answer.

    Behind stable is nobody: rather than a sure 503 it gets its draining pods, and failing these the ones that are not
    ready (on a starved node a pod that works may be too slow for its probe).
    """
    known = endpoints_of((route.namespace, each.service))
    ranks = [*Fitness] if each.role is RouteRole.STABLE else [Fitness.READY]
    settled = next((fit for rank in ranks if (fit := [one for one in known if one.fitness is rank])), [])
    return tuple(Member(endpoint.address, endpoint.port, each.revision, each.version) for endpoint in settled)


def _stamp(route: RouteObject, each: Route, role: RouteRole, weight: int, assigned: Assigned) -> str:
    return f"{_unfinished(route, each, role, weight)}{assigned.value}"


def _unfinished(route: RouteObject, each: Route, role: RouteRole, weight: int) -> str:
    return f"{route.key}|{each.revision}|{each.version}|{role.value}|{route.generation}|{weight}|"


def _failover(route: RouteObject, each: Route) -> str:
    return f"{route.namespace}/{each.revision}"


def _only(route: RouteObject, each: Route) -> str:
    return f"{route.namespace}/{each.revision}/only"


def _door(route: RouteObject, each: Route) -> str:
    return f"{route.namespace}/{each.revision}{MIRROR_DOOR}"
