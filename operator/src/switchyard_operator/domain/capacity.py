"""Who has pods, and how many: each revision's share of what the traffic needs.

At full capacity stable keeps all of its pods through a rollout; frugally, never more than replicas + 1 stand in all.
"""

from __future__ import annotations

from collections.abc import Mapping

from switchyard_contracts.model_deployment import Capacity
from switchyard_contracts.model_route import RouteRole
from switchyard_contracts.quantities import FULL

from switchyard_operator.domain import bearings, fleet, frugal, gates, shadows
from switchyard_operator.domain.bearings import Bearings
from switchyard_operator.domain.rules import Decision
from switchyard_operator.domain.step import needed
from switchyard_operator.domain.world import World


def is_frugal(world: World) -> bool:
    return world.spec.strategy.capacity is Capacity.FRUGAL


def replicas(world: World, known: Bearings, decision: Decision, floors: Mapping[str, int]) -> dict[str, int]:
    """Who has pods, and how many; shadows have their own, whatever the rollout does and may take."""
    wanted = _of_the_rollout(world, known, decision, floors)
    for name, number in shadows.pods(known.shadows).items():
        wanted[name] = max(wanted.get(name, 0), number)
    return wanted


def _of_the_rollout(world: World, known: Bearings, decision: Decision, floors: Mapping[str, int]) -> dict[str, int]:
    """Whoever has an autoscaler has as many as that says, and no fewer than its minimum."""
    if is_frugal(world):
        return _frugal_replicas(world, known)
    most = world.spec.serving.autoscaling.max_replicas if world.spec.serving.autoscaling else 0
    wanted = _full_replicas(world, known, decision)
    for name in wanted.keys() & floors.keys():
        wanted[name] = min(most, max(floors[name], world.workload(name).wanted))
    return wanted


def floors(world: World, known: Bearings, decision: Decision) -> Mapping[str, int]:
    spot = known.spot
    return fleet.floors(
        world, known.lineage, known.course, index=spot.index, weight=spot.weight, reason=decision.reason
    )


def _full_replicas(world: World, known: Bearings, decision: Decision) -> dict[str, int]:
    """Stable has all of its pods, and the target as many as its steps say. Nobody with traffic loses pods here."""
    line, full = known.lineage, fleet.full(world, known.lineage)
    wanted: dict[str, int] = {}
    if line.stable:
        wanted[line.stable.name] = full
    opened = gates.may_provision(known.memory, course=known.course, gates=known.gates)
    if not line.target.sent_home and (opened or line.settled or world.workload(line.target.name).exists):
        wanted[line.target.name] = _own(world, known, decision)
    if line.previous and line.previous.name not in wanted and bearings.still_warm(world, line):
        wanted[line.previous.name] = min(full, world.spec.rollback.warm.replicas)
    if world.route:
        for entry in world.route.spec.routes:
            pods = world.workload(entry.revision)
            if wanted.get(entry.revision) == full:
                continue
            serving = entry.weight_bp > 0 or not known.sync.acknowledged
            if serving and pods.exists and entry.revision in world.revisions:
                scaled = known.sync.acknowledged and entry.role is RouteRole.CANDIDATE
                least = needed(full, entry.weight_bp) if scaled and entry.revision in wanted else pods.wanted
                wanted[entry.revision] = max(wanted.get(entry.revision, 0), least)
    return wanted


def _frugal_replicas(world: World, known: Bearings) -> dict[str, int]:
    """Never more than replicas + 1 in all: stable has what its share asks for, then the target, then who is warm.

    Shadows are not counted: they are asked for beside the rollout.
    """
    line, full, spot = known.lineage, world.spec.serving.replicas, known.spot
    shares = {entry.revision: entry.weight_bp for entry in world.route.spec.routes} if world.route else {}
    beside = {name for name in shadows.pods(known.shadows) if not shares.get(name)}
    wishes: dict[str, int] = {}
    rolls = not (line.settled or line.target.sent_home or bearings.stranger(world, line))
    goal = spot.weight
    if spot.index >= 0 and not spot.passed:
        goal = FULL if spot.index >= known.course.final else known.course.steps[spot.index].weight
    if line.stable:
        away = min(spot.weight, goal) if rolls and spot.in_route else 0
        wishes[line.stable.name] = frugal.enough(full, FULL - away) if away else full
    opened = gates.may_provision(known.memory, course=known.course, gates=known.gates)
    if rolls and (opened or world.workload(line.target.name).exists):
        wishes[line.target.name] = frugal.towards(spot.weight, goal, wanted=full) if line.stable else full
    if (
        line.settled
        and line.previous
        and bearings.still_warm(world, line)
        and world.workload(line.previous.name).exists
        and line.previous.name not in beside
    ):
        wishes.setdefault(line.previous.name, 1)
    holdings = {}
    for name in [*wishes, *sorted(set(world.workloads) - set(wishes) - beside)]:
        pods, share = world.workload(name), shares.get(name, 0)
        least = frugal.enough(full, share) if share else 0
        if world.route is not None and not known.sync.acknowledged and name in shares:
            least = max(least, pods.wanted)
        if name not in wishes and not share and name not in shares:
            least = pods.wanted  # it is about to go as a whole
        holdings[name] = frugal.Holding(wanted=pods.wanted, pods=pods.pods, least=least, wish=wishes.get(name, 0))
    found = frugal.share_out(holdings, wanted=full)
    return {name: number for name, number in found.items() if number and (name in wishes or name in shares)}


def _own(world: World, known: Bearings, decision: Decision) -> int:
    """How many pods the target is given: all, or as many as the steps that scale say and the next weight asks for."""
    full = fleet.full(world, known.lineage)
    if known.lineage.settled or known.lineage.stable is None:
        return full
    records = known.memory.steps_done
    asked = records[-1].pods if records and not records[-1].ended_at else 0
    return min(full, max(known.course.pods(known.spot.index) or full, asked, decision.pods))
