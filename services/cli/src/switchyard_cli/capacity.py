"""What a rollout asks of the cluster at its peak: pods, and what they request. The operator's own rule, in advance."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from switchyard_contracts.containers import Resources
from switchyard_contracts.judgement import counted, noun
from switchyard_contracts.model_deployment import Capacity, ModelDeploymentSpec
from switchyard_contracts.model_revision import RevisionPhase, pod_shape

from switchyard_cli.facts import Revision
from switchyard_cli.wayback import standing

SUFFIXES = {
    "": Decimal(1),
    "m": Decimal("0.001"),
    **{unit: Decimal(1000) ** power for power, unit in enumerate("kMGT", start=1)},
    **{f"{unit}i": Decimal(1024) ** power for power, unit in enumerate("KMGT", start=1)},
}
QUANTITY = re.compile(r"([0-9.]+)([a-zA-Z]*)")


@dataclass(frozen=True, slots=True)
class Share:
    """The pods of one revision."""

    role: str
    pods: int
    resources: Resources | None

    @property
    def requests(self) -> Mapping[str, str]:
        """Of each pod; where only a limit is said, Kubernetes requests as much."""
        return {**self.resources.limits, **self.resources.requests} if self.resources else {}


@dataclass(frozen=True, slots=True)
class Peak:
    """All pods that are there at once when the most are."""

    shares: tuple[Share, ...]
    frugal: bool = False
    """Whether weights wait for pods, so that there are never more (`capacity: frugal`)."""
    there: int = 0
    """How many are there now, where those are more: who came before it was not frugal."""

    @property
    def pods(self) -> int:
        """How many."""
        return sum(share.pods for share in self.shares)

    @property
    def requests(self) -> dict[str, Decimal]:
        """What all of them request, by resource."""
        found: dict[str, Decimal] = {}
        for share in self.shares:
            for name, written in share.requests.items():
                found[name] = found.get(name, Decimal(0)) + share.pods * amount(written)
        return found

    def __str__(self) -> str:
        parts = ", ".join(f"{share.pods} {share.role}" for share in self.shares)
        many = counted(self.pods, "pod")
        peak = f"at most {many} in all" if self.frugal else f"at its peak {many} ({parts})"
        first = f"; of the {self.there} that are there now some go first" if self.there else ""
        asked = ", ".join(f"{name} {written(name, value)}" for name, value in sorted(self.requests.items()))
        mute = sum(share.pods for share in self.shares if not share.requests)
        asks = noun(mute, "requests", "request")
        lacks = f"; {mute} of them {asks} nothing, so nodes may be overfilled" if mute else ""
        requesting = f", requesting {asked}" if asked else ""
        return f"{peak}{requesting}{lacks}{first}; capacity {'frugal' if self.frugal else 'full'}"


def peak(
    spec: ModelDeploymentSpec, *, target: str, replaced: str, revisions: Sequence[Revision], now: datetime
) -> Peak:
    """The candidate's pods beside all that keep theirs: stable, the one before it while warm, and who is replaced."""
    scaling, served = spec.serving.autoscaling, standing(revisions)
    full = scaling.max_replicas if scaling else spec.serving.replicas
    if served and spec.strategy.capacity is Capacity.FRUGAL:
        largest = spec.serving.resources or served[0].spec.pod.resources
        there = sum(item.status.ready_replicas for item in revisions if item.status.phase is not RevisionPhase.SHADOW)
        both = Share("of stable and of its own together", full + 1, largest)
        return Peak((both, *_beside(spec)), frugal=True, there=there if there > full + 1 else 0)
    shares = [Share("of its own", full, spec.serving.resources)]
    if served:
        shares.append(Share("of stable", full, served[0].spec.pod.resources))
    if _warm(served, spec, now=now) and served[1].name != target:
        warm = min(full, spec.rollback.warm.replicas)
        shares.append(Share("of the warm one before it", warm, served[1].spec.pod.resources))
    leaving = next((item for item in revisions if item.name == replaced), None)
    if leaving:
        shares.append(Share("of the replaced one until it has left", full, leaving.spec.pod.resources))
    return Peak((*shares, *_beside(spec)))


def _beside(spec: ModelDeploymentSpec) -> list[Share]:
    """Shadows have pods of their own, however frugal a rollout is."""
    return [
        Share(f"of the shadow {shadow.name}", shadow.replicas, shadow.resources or spec.serving.resources)
        for shadow in spec.shadows
        if pod_shape(spec, shadow) != pod_shape(spec)
    ]


def _warm(served: Sequence[Revision], spec: ModelDeploymentSpec, *, now: datetime) -> bool:
    promoted = served[0].promoted_at if len(served) > 1 else None
    return promoted is not None and now < promoted + spec.rollback.warm.for_


def amount(text: str) -> Decimal:
    """`500m` → 0.5, `2Gi` → 2147483648."""
    found = QUANTITY.fullmatch(text)
    if found is None or found[2] not in SUFFIXES:
        raise ValueError(f"{text!r} is not a quantity; write a number such as 500m, 2 or 4Gi")
    return Decimal(found[1]) * SUFFIXES[found[2]]


def written(name: str, value: Decimal) -> str:
    """As people write it: memory in the largest binary unit that leaves at most two digits after the point."""
    for unit in _units(name):
        scaled = value / SUFFIXES[unit]
        if scaled >= 1 and scaled == round(scaled, 2):
            return f"{scaled.normalize():f}{unit}"
    return f"{value.normalize():f}"


def _units(name: str) -> Iterable[str]:
    return ("Ti", "Gi", "Mi", "Ki") if name in ("memory", "ephemeral-storage") else ()
