"""The rollout's memory: what cannot be read back from the ModelRoute and the marks, kept in `status.rollout`.

Which steps were entered, at which ModelRoute generations, since when. All else is derived anew in each pass: the route
is the truth about the weight, so a crash between a route's write and the status' is seen as "the route is ahead", and
the same code follows it that follows an ordinary step.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from switchyard_contracts.model_deployment import ModelDeploymentSpec, Phase, RolloutStatus, StepRecord
from switchyard_contracts.model_route import RouteRole
from switchyard_contracts.quantities import FULL

from switchyard_operator.domain import retraining
from switchyard_operator.domain.lineage import Lineage
from switchyard_operator.domain.steps import Course, Way, way
from switchyard_operator.domain.world import SeenRoute, World

ENDED = frozenset({Phase.COMPLETED, Phase.ROLLED_BACK, Phase.REFUSED, Phase.SUPERSEDED})
"""Phases that a rollout does not leave."""
PROMOTED = frozenset({Phase.WATCHING, Phase.COMPLETED})

MOST_RECORDS = 64
MOST_GENERATIONS = 200


def rollout_id(lineage: Lineage) -> str:
    """`<revision>.<attempt>`."""
    return f"{lineage.target.name}.{lineage.target.attempt}"


def begin(spec: ModelDeploymentSpec, lineage: Lineage, *, now: datetime) -> RolloutStatus:
    """A rollout that nothing is known of yet."""
    before = Lineage(lineage.target, lineage.previous, None) if lineage.settled else lineage
    return RolloutStatus(
        id=rollout_id(lineage),
        revision=lineage.target.name,
        version=lineage.target.version,
        attempt=lineage.target.attempt,
        way=way(spec, before, now=now),
        phase=Phase.PENDING,
        started_at=now,
        phase_since=now,
    )


def recall(world: World, lineage: Lineage) -> RolloutStatus:
    """The target's rollout as the status holds it, or a fresh one."""
    held = world.status.rollout
    if held and held.id == rollout_id(lineage) and held.way in list(Way):
        return held.model_copy(update={"version": lineage.target.version})
    fresh = begin(world.spec, lineage, now=world.now)
    return fresh.model_copy(update={"cause": retraining.cause(world, lineage.target)})


@dataclass(frozen=True, slots=True)
class Place:
    """Where the target stands in the traffic."""

    index: int
    """The step; -1 before the first, one past the last after the switch."""
    passed: bool
    """The step's record is closed: only its successor has changed."""
    weight: int
    in_route: bool
    mirror: int = 0
    """How much of the traffic is mirrored to it."""


def place(route: SeenRoute | None, target: str) -> tuple[bool, int, bool]:
    """Whether the target is in the route, its weight, and whether it is the route's stable."""
    found = next((entry for entry in route.spec.routes if entry.revision == target), None) if route else None
    if found is None or route is None:
        return False, 0, False
    return True, found.weight_bp, route.spec.stable.revision == target


def mirror(route: SeenRoute | None, target: str) -> int:
    """How much of the traffic the route mirrors to the target."""
    return next((entry.mirror_bp for entry in route.spec.routes if entry.revision == target), 0) if route else 0


def _is_at_no_step(route: SeenRoute | None, target: str) -> bool:
    """In the route for those only who ask for it by name, or as a shadow that it was before it became the target."""
    entries = route.spec.routes if route else []
    return any(entry.revision == target and entry.role in (RouteRole.PREVIEW, RouteRole.SHADOW) for entry in entries)


def _matches(record: StepRecord, course: Course, index: int) -> bool:
    weight = course.steps[index].weight if index < course.final else FULL
    return record.name == course.name(index) and record.weight_bp == weight


def locate(course: Course, records: list[StepRecord], *, route: SeenRoute | None, target: str, edited: bool) -> Place:
    """Where it stands: by the records, unless the route is ahead of them.

    After an edit of the steps the first one that changed is the next: a step is done while its name and weight match.
    A generation that a record names was told of already: its weight is what an edit left over, not a step entered.
    """
    in_route, weight, switched = place(route, target)
    if not in_route:
        return Place(-1, False, 0, False)
    copies = mirror(route, target)
    done = 0
    while (
        done < len(records) and done < course.final and records[done].ended_at and _matches(records[done], course, done)
    ):
        done += 1
    current = records[done] if done < len(records) else None
    if current and not current.ended_at and _matches(current, course, done):
        index, passed = done, False
    else:
        index, passed = done - 1, done > 0
    if switched:
        return Place(course.final, False, weight, True, copies)
    told = route is not None and any(route.generation in record.generations for record in records)
    # Nor is it one if a later route has it still: a timeout that was edited, or a shadow's sample, moved no weight.
    left_over = passed and bool(records) and records[-1].weight_bp == weight
    if not (edited or told or left_over) and index < course.final and not _is_at_no_step(route, target):
        ahead = next((i for i, step in enumerate(course.steps) if step.weight == weight), None)
        if course.climbs and index >= 0:
            # Every step's record is written before its weight moves, and weights between steps say nothing.
            return Place(index, passed, weight, True, copies)
        if ahead is not None and ahead > index:
            return Place(ahead, False, weight, True, copies)
        if course.climbs and weight > 0 and (not course.steps or weight < course.steps[0].weight):
            return Place(0, False, weight, True, copies)
        if ahead is None and index < 0:
            below = [i for i, step in enumerate(course.steps) if step.weight < weight]
            return Place(below[-1] if below else -1, False, weight, True, copies)
    return Place(index, passed, weight, True, copies)


def follow(
    memory: RolloutStatus, course: Course, spot: Place, *, route: SeenRoute | None, arrived: bool, now: datetime
) -> RolloutStatus:
    """Bring the records up to where the route is: close what was left, open what was entered, add the generation.

    A step's time runs from when it has `arrived`: at every gateway, and with the pods that it asks for.
    """
    if spot.index < 0 or route is None:
        return memory
    if spot.passed:
        return memory
    records = _before(memory.steps_done, course, spot.index, now=now)
    want = course.steps[spot.index].weight if spot.index < course.final else FULL
    found = next((item for item in memory.steps_done if _matches(item, course, spot.index)), None)
    # The route's own time: a crash, or a pass that comes late, must not make the switch look faster than it was.
    entered = min(now, route.written_at or now)
    record = found or StepRecord(name=course.name(spot.index), weight_bp=want, started_at=entered)
    if spot.weight > 0 or spot.mirror > 0:
        record = record.model_copy(update={"generations": _with(record.generations, route.generation)})
    if spot.mirror > 0:
        record = record.model_copy(update={"mirrored": _with(record.mirrored, route.generation)})
    if spot.weight != want:
        record = record.model_copy(update={"synced_at": None})
    elif arrived and record.synced_at is None:
        record = record.model_copy(update={"synced_at": now})
    records.append(record)
    return memory.model_copy(update={"steps_done": records[:MOST_RECORDS]})


def enter(memory: RolloutStatus, course: Course, index: int, *, now: datetime) -> RolloutStatus:
    """A step that changes nothing of the route: nothing but its record says that it was entered."""
    weight = course.steps[index].weight if index < course.final else FULL
    records = _before(memory.steps_done, course, index, now=now)
    records.append(StepRecord(name=course.name(index), weight_bp=weight, started_at=now))
    return memory.model_copy(update={"steps_done": records[:MOST_RECORDS]})


def shift(memory: RolloutStatus, weight: int) -> RolloutStatus:
    """Another weight of the step under way; the route follows it."""
    last = memory.steps_done[-1].model_copy(update={"weight_bp": weight, "synced_at": None})
    return memory.model_copy(update={"steps_done": [*memory.steps_done[:-1], last]})


def asked(memory: RolloutStatus, pods: int) -> RolloutStatus:
    """That so many pods were asked for, for what comes after the step under way; it stays so until it is left."""
    if not pods or not memory.steps_done or memory.steps_done[-1].ended_at:
        return memory
    last = memory.steps_done[-1].model_copy(update={"pods": max(pods, memory.steps_done[-1].pods)})
    return memory.model_copy(update={"steps_done": [*memory.steps_done[:-1], last]})


def _with(generations: list[int], newest: int) -> list[int]:
    return generations if newest in generations else [*generations, newest][-MOST_GENERATIONS:]


def _before(held: list[StepRecord], course: Course, index: int, *, now: datetime) -> list[StepRecord]:
    """The closed records before a step. Before the switch they are kept as they were, whatever the spec says now."""
    if index == course.final:
        records = [record for record in held if not _matches(record, course, index)]
    else:
        records = list(held[:index])
        for missing in range(len(records), index):
            weight = course.steps[missing].weight
            records.append(StepRecord(name=course.name(missing), weight_bp=weight, ended_at=now, reason="Recalled"))
    return [
        record if record.ended_at else record.model_copy(update={"ended_at": now, "reason": "Passed"})
        for record in records
    ]


def traffic(memory: RolloutStatus) -> list[int]:
    """Every generation that split or mirrored in this rollout, oldest first; the switch's own is no comparison."""
    return sorted({g for record in memory.steps_done if record.weight_bp < FULL for g in record.generations})


def mirrored(memory: RolloutStatus) -> list[int]:
    """Of these, the ones in which stable's requests were mirrored."""
    return sorted({g for record in memory.steps_done if record.weight_bp < FULL for g in record.mirrored})


def first_traffic_at(memory: RolloutStatus) -> datetime | None:
    """When the first step began that gave it requests, whether or not anybody was given the answers."""
    given = (record for record in memory.steps_done if record.weight_bp or record.mirrored)
    return next((record.started_at for record in given if record.started_at), None)
