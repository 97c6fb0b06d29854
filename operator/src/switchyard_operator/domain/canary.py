"""Canary: named weights in rising order. 100 is implicit at the end, so a step that says it is the end itself."""

from __future__ import annotations

from switchyard_contracts.model_deployment import Canary, CanaryStep, ModelDeploymentSpec
from switchyard_contracts.quantities import FULL

from switchyard_operator.domain.step import Step, needed


def steps(canary: Canary, spec: ModelDeploymentSpec, *, mirror: int = 0) -> tuple[Step, ...]:
    """The steps before the whole; each says how much is mirrored beside its weight.

    A step that only scales keeps what the one before had: its weight, and its mirror (`mirror` before the first).
    """
    found: list[Step] = []
    weight, pods = 0, 0
    for step in canary.steps:
        if step.scale:
            pods = step.scale.of(spec.serving.replicas)
        else:
            weight, mirror = step.weight.value, spec.mirror_of(canary, step)
        if weight < FULL:
            found.append(_step(step, weight, mirror, pods, wanted=spec.serving.replicas))
    return tuple(found)


def _step(step: CanaryStep, weight: int, mirror: int, pods: int, *, wanted: int) -> Step:
    return Step(
        step.name,
        weight,
        step.hold,
        by_hand=step.pause,
        mirror=mirror,
        decided=step.await_outcomes,
        pods=max(pods, needed(wanted, weight)) if pods else 0,
        scales=step.scale is not None,
        judges=tuple(step.analysis or ()),
    )
