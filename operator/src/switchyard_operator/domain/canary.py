"""Canary: named weights in rising order. 100 is implicit at the end, so a step that says it is the end itself."""

from __future__ import annotations

from switchyard_contracts.model_deployment import Canary, ModelDeploymentSpec
from switchyard_contracts.quantities import FULL

from switchyard_operator.domain.step import Step


def steps(canary: Canary, spec: ModelDeploymentSpec) -> tuple[Step, ...]:
    """The steps before the whole; each says how much is mirrored beside its weight."""
    return tuple(
        Step(
            step.name,
            step.weight.value,
            step.hold,
            by_hand=step.pause,
            mirror=spec.mirror_of(canary, step),
            decided=step.await_outcomes,
        )
        for step in canary.steps
        if step.weight.value < FULL
    )
