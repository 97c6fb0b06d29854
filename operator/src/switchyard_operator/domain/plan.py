"""What the shell does in one pass: a mark, a route or the workloads, and when to look again."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from switchyard_contracts.model_deployment import HistoryEntry, Phase, RolloutStatus, ShadowState, ShadowStatus
from switchyard_contracts.model_route import ModelRouteSpec
from switchyard_contracts.quantities import format_percent

from switchyard_operator.domain import (
    ab_test,
    analysis,
    bearings,
    capacity,
    freezing,
    gates,
    memory,
    patience,
    routes,
    rules,
    shadows,
)
from switchyard_operator.domain.bearings import Bearings
from switchyard_operator.domain.lineage import Mark
from switchyard_operator.domain.routes import Shares
from switchyard_operator.domain.rules import Decision, Move
from switchyard_operator.domain.sync import SyncState
from switchyard_operator.domain.world import Revision, World

SOON = timedelta(milliseconds=300)
"""When something is expected from a gateway."""
POLL = timedelta(seconds=2)
"""While evidence is awaited."""
PODS_POLL = timedelta(seconds=10)
"""While only pods are awaited: their watch tells sooner what becomes of them, and nobody has to be asked."""
TRIAL_POLL = timedelta(minutes=1)
"""While a trial runs for weeks; sooner where windows of sums are shorter than ten minutes."""
WATCH_POLL = timedelta(seconds=5)
"""While late evidence is looked out for."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What the shell does: at most one of mark, route and drop_route, else the workloads."""

    decision: Decision
    memory: RolloutStatus
    bearings: Bearings
    mark: Mark | None = None
    route: ModelRouteSpec | None = None
    drop_route: bool = False
    replicas: Mapping[str, int] = field(default_factory=dict)
    """Revisions that have pods, and how many."""
    floors: Mapping[str, int] = field(default_factory=dict)
    """Of these, the ones that are scaled by their load, and their autoscalers' minimum."""
    retire: tuple[str, ...] = ()
    """Revisions whose pods may go now."""
    warm: Revision | None = None
    warm_until: datetime | None = None
    ended: tuple[HistoryEntry, ...] = ()
    again: timedelta | None = None
    hindrance: str = ""
    """Why the API server refused what the plan writes."""
    shadows: tuple[ShadowStatus, ...] = ()
    """How those stand that are compared beside the rollout."""


def mark_first(
    world: World,
    known: Bearings,
    mark: Mark,
    *,
    decision: Decision | None = None,
    ended: tuple[HistoryEntry, ...] = (),
) -> Plan:
    """A mark first, by itself: whatever follows from it is found by the next pass, also after a crash."""
    chosen = decision or Decision(move=Move.HOLD, phase=known.memory.phase, reason="Marked", message=mark.what)
    floors = capacity.floors(world, known, chosen)
    replicas = capacity.replicas(world, known, chosen, floors)
    return Plan(
        decision=chosen,
        memory=_remember(known.memory, chosen, world, known),
        bearings=known,
        mark=mark,
        replicas=replicas,
        floors=floors,
        ended=ended,
        again=timedelta(0),
        shadows=shadows.told(world, known.shadows),
    )


def finish(
    world: World,
    known: Bearings,
    decision: Decision,
    *,
    route: ModelRouteSpec | None = None,
    drop_route: bool = False,
    ended: tuple[HistoryEntry, ...] = (),
) -> Plan:
    line = known.lineage
    warm = line.previous if line.settled and line.previous and bearings.still_warm(world, line) else None
    until = bearings.warm_until(world, line) if warm else None
    floors = capacity.floors(world, known, decision)
    replicas = capacity.replicas(world, known, decision, floors)
    retire: tuple[str, ...] = ()
    if route is None and not drop_route and (known.sync.acknowledged or world.route is None):
        kept = {*replicas, *(entry.revision for entry in (world.route.spec.routes if world.route else ()))}
        retire = tuple(sorted(name for name, pods in world.workloads.items() if pods.exists and name not in kept))
    held = _remember(known.memory, decision, world, known)
    return Plan(
        decision=decision,
        memory=held,
        bearings=known,
        route=route,
        drop_route=drop_route,
        replicas=replicas,
        floors=floors,
        retire=retire,
        warm=warm,
        warm_until=until,
        ended=ended,
        again=SOON if route else _again(world, known, decision, acted=drop_route, warm_until=until),
        shadows=shadows.told(world, known.shadows),
    )


def compose_route(world: World, known: Bearings, shares: Shares) -> ModelRouteSpec:
    """The route of these shares; it names the rollout while the target is in the traffic, and until it is replaced.

    Whoever is compared beside the rollout is in it, whatever the rollout does.
    """
    found = shadows.samples(known.shadows, acknowledged=known.sync.acknowledged)
    shares = replace(shares, shadows=tuple((world.revisions[name], share) for name, share in found))
    line, standing = known.lineage, world.route.spec.rollout_id if world.route else ""
    target_in = line.target in (shares.stable, shares.candidate)
    rollout = known.memory.id if target_in and not line.settled else "" if line.target.sent_home else standing
    return routes.compose(
        shares,
        paths=bearings.paths(world, shares.stable),
        timeout=world.spec.serving.timeout,
        rollout_id=rollout,
        split=routes.sticky(world.spec.strategy.sticky, namespace=world.namespace, rollout_id=rollout),
    )


def _again(
    world: World, known: Bearings, decision: Decision, *, acted: bool, warm_until: datetime | None
) -> timedelta | None:
    """When to look again even if nothing is heard."""
    if acted or _decided(world, known):
        return timedelta(0)
    times = []
    if known.sync.state not in (SyncState.ACKNOWLEDGED, SyncState.UNKNOWN):
        times.append(SOON if known.sync.state is SyncState.WAITING else POLL)
    if decision.phase is Phase.WATCHING:
        times.append(WATCH_POLL)
    elif decision.reason in rules.UNDER_WAY:
        times.append(max(POLL, min(TRIAL_POLL, world.spec.window / 10)))
    elif decision.left is not None and _stands(known, world):
        times.append(max(SOON, min(PODS_POLL, decision.left)))
    elif decision.phase not in memory.ENDED and decision.phase is not Phase.SUSPENDED:
        times.append(POLL)
    if warm_until:
        times.append(max(SOON, warm_until - world.now))
    if any(each.sent or each.status.state is ShadowState.PROVISIONING for each in known.shadows):
        times.append(shadows.PACE)
    return min(times) if times else None


def _stands(known: Bearings, world: World) -> bool:
    """Whether no clock runs for stable: there is none, or it has a ready pod."""
    stable = known.lineage.stable
    return stable is None or world.workload(stable.name).ready > 0


def _decided(world: World, known: Bearings) -> bool:
    """Whether a gate has decided that the status does not know of yet: the pass that follows goes on from there."""
    ends = (gates.State.PASSED.value, gates.State.FAILED.value)
    known_ends = {(each.name, each.definition) for each in known.memory.gates if each.state in ends}
    return any(each.state in ends and (each.name, each.definition) not in known_ends for each in world.gated)


def _remember(held: RolloutStatus, decision: Decision, world: World, known: Bearings) -> RolloutStatus:
    """The memory as the status will hold it."""
    moved = decision.phase is not held.phase
    ended = decision.phase in memory.ENDED
    weight = known.spot.weight if not known.lineage.target.sent_home else 0
    freeze = None if ended else freezing.holding(world, held, known.lineage.target)
    changes: dict[str, object] = {
        "phase": decision.phase,
        "reason": decision.reason,
        "message": decision.message[:4096],
        "waiting_for": "" if ended and decision.phase is Phase.COMPLETED else decision.waiting_for[:4096],
        "step": known.course.name(known.spot.index),
        "step_index": max(0, known.spot.index + 1),
        "steps": known.course.final + (0 if known.course.ends else 1),
        "weight_bp": weight,
        "weight": format_percent(weight) if known.spot.in_route else "",
        "mirror_bp": known.spot.mirror,
        "pauses": patience.noted(
            held.pauses, held=bool(held.paused or world.spec.suspend or freeze) and not ended, now=world.now
        ),
        "frozen_until": freeze.until if freeze and decision.reason == rules.FROZEN else None,
        "phase_since": world.now if moved else held.phase_since,
        "ended_at": (held.ended_at or world.now) if ended else None,
        "steps_done": memory.asked(held, decision.pods).steps_done,
    }
    changes["gates"] = gates.remember(
        held,
        gates=known.gates,
        fresh=world.gated,
        smoke=world.smoke,
        now=world.now,
    )
    if world.judged and not ended:
        changes["verdicts"] = shown = analysis.shown(world.judged, now=world.now)
        changes["verdict"] = analysis.summary(shown)
        if held.trial:
            changes["trial"] = ab_test.noted(held.trial, world.judged, now=world.now)
    return held.model_copy(update=changes)
