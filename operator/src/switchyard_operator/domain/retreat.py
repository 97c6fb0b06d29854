"""The way back to stable: at once when it serves already, else as soon as its pods can take the traffic."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

from switchyard_contracts.model_deployment import HistoryEntry
from switchyard_contracts.model_route import Route
from switchyard_contracts.quantities import FULL, format_percent

from switchyard_operator.domain import bearings, capacity, fleet, frugal, lineage, plan
from switchyard_operator.domain.bearings import Bearings
from switchyard_operator.domain.lineage import Lineage
from switchyard_operator.domain.plan import Plan
from switchyard_operator.domain.pods import readiness
from switchyard_operator.domain.routes import Shares
from switchyard_operator.domain.rules import Decision
from switchyard_operator.domain.world import Revision, World

DEMOTION_PATIENCE = timedelta(seconds=30)
"""How long a way back waits for the old revision's full scale before it is content with one ready pod."""


def to_stable(world: World, known: Bearings, decision: Decision, *, ended: tuple[HistoryEntry, ...]) -> Plan:
    """All of the traffic to stable: at once when it serves already, else as soon as its pods can take it."""
    line = known.lineage
    assert line.stable is not None
    if world.spec.suspend and world.route and not line.target.sent_home:
        # What was taken back by a person's command leaves all the same: suspend holds decisions, not an abort.
        return plan.finish(world, known, decision, ended=ended)
    if not bearings.paths(world, line.stable):
        return plan.finish(world, known, decision, ended=ended)
    warm = (line.previous,) if line.previous and bearings.still_warm(world, line) else ()
    want = plan.compose_route(world, known, Shares(stable=line.stable, warm=warm))
    if capacity.is_frugal(world) and (heavy := _leaving(world, line.stable)):
        left = _left_to(world, line.stable, heavy)
        if left and _is_at_once(world, line, heavy):
            return plan.finish(world, known, decision, route=want, ended=ended)
        if left:
            return _go_back_by_pods(world, known, decision, heavy=heavy, left=left, ended=ended)
    if world.route and world.route.spec == want:
        return plan.finish(world, known, decision, ended=ended)
    serving = world.route.spec.stable.revision if world.route else ""
    if not _can_take_over(world, line.stable, serving=serving, wanted=fleet.full(world, line)):
        pods = world.workload(line.stable.name)
        text = f"{decision.message}; stable has {readiness(pods.ready, fleet.full(world, line))} to take over"
        return plan.finish(world, known, replace(decision, waiting_for=text), ended=ended)
    return plan.finish(world, known, decision, route=want, ended=ended)


def short(world: World, stable: Revision) -> str:
    """What is missing of stable, where it had to take over before it had the pods; nothing where all are there."""
    pods, full = world.workload(stable.name), world.spec.serving.replicas
    if not capacity.is_frugal(world) or pods.wanted >= full:
        return ""
    return (
        f"stable to have all of its pods: {pods.ready} of {full} ready, and more come as others go (capacity: frugal)"
    )


def _leaving(world: World, stable: Revision) -> Route | None:
    """Whoever has most of the traffic that is stable's by right."""
    entries = world.route.spec.routes if world.route else []
    others = [entry for entry in entries if entry.weight_bp and entry.revision != stable.name]
    return max((entry for entry in others if entry.revision in world.revisions), key=_weight, default=None)


def _weight(entry: Route) -> int:
    return entry.weight_bp


def _is_at_once(world: World, line: Lineage, heavy: Route) -> bool:
    """A person's end of a rollout stands above frugality, but no traffic is sent where no pod is."""
    ordered = lineage.is_ended_by_a_person(line, world.revisions[heavy.revision])
    return ordered and line.stable is not None and world.workload(line.stable.name).ready > 0


def _left_to(world: World, stable: Revision, heavy: Route) -> int:
    """What has to stay with it until stable has pods for more."""
    return frugal.onward(
        heavy.weight_bp,
        0,
        wanted=world.spec.serving.replicas,
        ready=world.workload(heavy.revision).ready,
        stable_ready=world.workload(stable.name).ready,
    )


def _go_back_by_pods(
    world: World, known: Bearings, decision: Decision, *, heavy: Route, left: int, ended: tuple[HistoryEntry, ...]
) -> Plan:
    """Stable's pods first, then their share of the traffic; the mirror ends at once."""
    stable = known.lineage.stable
    assert stable is not None
    ready, full = world.workload(stable.name).ready, world.spec.serving.replicas
    how = "a pod at a time (capacity: frugal)" if ready else "as soon as it has a ready pod"
    text = (
        f"stable to take over {how}: {readiness(ready, full)},"
        f" {format_percent(left)} of the traffic is still with {heavy.revision}"
    )
    if not known.sync.acknowledged:
        text = f"{text}; {known.sync.message}"
    said = replace(decision, waiting_for=text)
    want = plan.compose_route(
        world, known, Shares(stable=stable, candidate=world.revisions[heavy.revision], weight=left)
    )
    same = world.route is not None and world.route.spec == want
    return plan.finish(world, known, said, route=None if same or left == FULL else want, ended=ended)


def _can_take_over(world: World, stable: Revision, *, serving: str, wanted: int) -> bool:
    pods = world.workload(stable.name)
    if serving == stable.name:
        return True
    if pods.ready >= wanted:
        return True
    if not pods.ready:
        return False
    other = world.revisions.get(serving)
    since = other.sent_home_at if other else None
    return since is None or world.now - since > DEMOTION_PATIENCE or not world.workload(serving).ready
