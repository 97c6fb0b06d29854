"""Where a deployment stands: what follows from the world before any evidence is asked for.

Lineage, course, place on it, what the gateways run, memory: taken once a pass, and what has to be asked with them.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from switchyard_contracts.gates import Gate
from switchyard_contracts.model_deployment import Phase, RolloutStatus
from switchyard_contracts.model_route import RouteRole

from switchyard_operator.domain import ab_test, analysis, bandit, fleet, gates, lineage, memory, shadows
from switchyard_operator.domain.analysis import Question
from switchyard_operator.domain.lineage import Lineage
from switchyard_operator.domain.memory import Place
from switchyard_operator.domain.shadows import Standing
from switchyard_operator.domain.steps import Course, Way, course
from switchyard_operator.domain.sync import Sync, SyncState, compare
from switchyard_operator.domain.world import Revision, World


@dataclass(frozen=True, slots=True, kw_only=True)
class Bearings:
    """What follows from the world before any evidence is asked for."""

    lineage: Lineage
    course: Course
    spot: Place
    sync: Sync
    memory: RolloutStatus
    gates: tuple[Gate, ...] = ()
    """What this rollout has to pass beside evidence, in order."""
    questions: tuple[Question, ...] = ()
    wants_smoke: bool = False
    wants_facts: tuple[str, ...] = ()
    """Revisions whose version or paths are not known, and that have a ready pod to tell them."""
    shadows: tuple[Standing, ...] = ()
    """Who is compared beside the rollout."""
    returns: bool = False
    """Its status says already that it goes back, and no mark does yet: an operator died in between."""


def take(world: World) -> Bearings:
    """Where things stand, and what has to be asked before a decision."""
    line = lineage.trace(world.revisions, world.target)
    sync = synchronised(world)
    held = gates.recall(memory.recall(world, line), line.target)
    _, routed, _ = memory.place(world.route, line.target.name)
    way = course(world.spec, Way(held.way), standing=bandit.standing(held, routed=routed))
    spot = memory.locate(
        way,
        held.steps_done,
        route=world.route,
        target=line.target.name,
        edited=world.status.observed_generation not in (0, world.generation),
    )
    if not line.target.sent_home:
        arrived = sync.acknowledged and _scaled(world, line, way, spot)
        held = memory.follow(held, way, spot, route=world.route, arrived=arrived, now=world.now)
        if way.decides and not line.settled:
            alpha = analysis.spending(world.spec, way, held).alpha_promote
            held = ab_test.begin(world.spec, held, alpha=alpha, now=world.now)
    against = _against(line)
    watching = line.settled and not over(held)
    returns = _returns(world, line, held)
    live = not (line.target.sent_home or returns) and (not line.settled or watching)
    pods = world.workload(line.target.name)
    enough = pods.ready >= fleet.before(world, line, way) and not gates.smoke_passed(held)
    return Bearings(
        lineage=line,
        course=way,
        spot=spot,
        sync=sync,
        memory=held,
        gates=gates.applicable(world.spec, way),
        questions=(
            analysis.questions(world.spec, held, way, spot, against=against, now=world.now) if live and against else ()
        ),
        wants_smoke=live and spot.index < 0 and enough and not line.settled,
        wants_facts=_ignorant(world, line),
        shadows=shadows.take(world, line),
        returns=returns,
    )


def synchronised(world: World) -> Sync:
    """Whether the gateways run the newest route."""
    if world.route is None:
        return Sync(SyncState.UNKNOWN, "there is no route yet")
    held = next((item for item in world.status.conditions if item.type == "TrafficSynced"), None)
    since = held.last_transition_time if held and held.status != "True" else world.now
    # Who was named as silent stays so until it speaks, though its condition's clock began anew when it was named.
    named = held is not None and held.reason == SyncState.SILENT.value
    waited = timedelta.max if named else world.now - since
    return compare(world.gateways, generation=world.route.generation, waiting_for=waited)


def over(held: RolloutStatus) -> bool:
    return held.phase in memory.ENDED


def paths(world: World, revision: Revision) -> list[str]:
    return list(world.spec.serving.paths or revision.status.paths)


def stranger(world: World, line: Lineage) -> str:
    """A revision in the traffic that is neither stable nor the target: the candidate of a rollout that was replaced."""
    if world.route is None or line.stable is None:
        return ""
    for entry in world.route.spec.routes:
        if entry.revision not in (line.stable.name, line.target.name) and (
            entry.weight_bp or entry.role is RouteRole.CANDIDATE
        ):
            return entry.revision
    return ""


def warm_until(world: World, line: Lineage) -> datetime | None:
    if line.stable is None or line.stable.promoted_at is None:
        return None
    return line.stable.promoted_at + world.spec.rollback.warm.for_


def still_warm(world: World, line: Lineage) -> bool:
    until = warm_until(world, line)
    return until is not None and world.now < until


def _returns(world: World, line: Lineage, held: RolloutStatus) -> bool:
    noted = held.phase is Phase.ROLLING_BACK and held.reason != shadows.REFUSED_WRITE
    return noted and not line.target.sent_home and not world.spec.suspend


def _against(line: Lineage) -> str:
    if not line.settled:
        return line.stable.name if line.stable else ""
    return line.previous.name if line.previous else ""


def _scaled(world: World, line: Lineage, way: Course, spot: Place) -> bool:
    """Whether the pods are ready that a step which only scales asks for."""
    step = way.steps[spot.index] if 0 <= spot.index < way.final else None
    return step is None or not step.scales or world.workload(line.target.name).ready >= step.pods


def _ignorant(world: World, line: Lineage) -> tuple[str, ...]:
    names = []
    for revision in {item.name: item for item in (line.target, line.stable) if item}.values():
        unknown = not revision.version or not (world.spec.serving.paths or revision.status.paths)
        if unknown and world.workload(revision.name).addresses:
            names.append(revision.name)
    return tuple(names)
