"""How many pods the traffic needs: a fixed number, or what the autoscaler has come to.

Where pods are scaled by their load, all of the traffic needs as many as whoever serves it has now. A candidate needs
its share of those: its autoscaler's minimum follows its weight, so that no weight rises before there are pods for it.
Stable's minimum is what it has: it may grow in the middle of a rollout and never shrink, since it is the way back.
"""

from __future__ import annotations

from collections.abc import Mapping

from switchyard_contracts.model_deployment import Capacity, Serving
from switchyard_contracts.quantities import FULL

from switchyard_operator.domain import frugal
from switchyard_operator.domain.lineage import Lineage
from switchyard_operator.domain.step import Step, needed
from switchyard_operator.domain.steps import Course
from switchyard_operator.domain.world import World

NEXT = "WaitingForPods"
"""The reason by which a rollout waits for nothing but the pods of the weight to come."""


def least(serving: Serving) -> int:
    """The pods that a deployment has at rest, whatever its load."""
    return serving.autoscaling.min_replicas if serving.autoscaling else serving.replicas


def full(world: World, line: Lineage) -> int:
    """What all of the traffic is given now."""
    scaling = world.spec.serving.autoscaling
    if scaling is None:
        return world.spec.serving.replicas
    pods = world.workload(_serving(world, line))
    return min(scaling.max_replicas, max(scaling.min_replicas, pods.wanted))


def proven(world: World, line: Lineage) -> int:
    """The same as far as it is there: what was only just asked for is no reason to find a candidate short of pods."""
    scaling = world.spec.serving.autoscaling
    if scaling is None:
        return world.spec.serving.replicas
    pods = world.workload(_serving(world, line))
    return min(scaling.max_replicas, max(scaling.min_replicas, min(pods.wanted, pods.ready)))


def due(world: World, revision: str, weight: int) -> int:
    """How many ready pods a share of the traffic should have."""
    if world.spec.strategy.capacity is Capacity.FRUGAL:
        return frugal.enough(world.spec.serving.replicas, weight)
    return min(world.workload(revision).wanted, least(world.spec.serving))


def before(world: World, line: Lineage, course: Course) -> int:
    """How many pods a candidate must have before its first traffic."""
    wanted = proven(world, line)
    if course.climbs and line.stable:
        return 1
    return course.pods(0) or wanted if world.spec.serving.autoscaling is None else needed(wanted, _needs(course, 0))


def floors(world: World, line: Lineage, course: Course, *, index: int, weight: int, reason: str) -> Mapping[str, int]:
    """The autoscalers' minimum, of each revision that has one; empty where nothing is scaled by its load."""
    if world.spec.serving.autoscaling is None:
        return {}
    wanted, rests = full(world, line), least(world.spec.serving)
    found: dict[str, int] = {}
    if line.stable:
        over = line.settled or (line.target.sent_home and not _is_elsewhere(world, line.stable.name))
        found[line.stable.name] = rests if over else wanted
    if not line.target.sent_home and not line.settled:
        needs = max(weight, _needs(course, index)) if index >= 0 else 0
        if index < 0 or reason == NEXT:
            needs = max(needs, _needs(course, index + 1))
        found[line.target.name] = needed(wanted, needs)
    return found


def _serving(world: World, line: Lineage) -> str:
    if world.route:
        return world.route.spec.stable.revision
    return line.stable.name if line.stable else line.target.name


def _is_elsewhere(world: World, stable: str) -> bool:
    """Whether anybody else has traffic, or nobody has any."""
    return world.route is None or any(e.weight_bp for e in world.route.spec.routes if e.revision != stable)


def _needs(course: Course, index: int) -> int:
    """How much of the traffic a step sends to the candidate, copies among it."""
    if index >= len(course.steps):
        return 0 if course.ends else FULL
    step: Step = course.steps[index]
    return min(FULL, step.weight + step.mirror)
