"""Canary: named weights in rising order. 100 is implicit at the end, so a step that says it is the end itself."""

from __future__ import annotations

from switchyard_contracts.model_deployment import Canary
from switchyard_contracts.quantities import FULL

from switchyard_operator.domain.step import Step


def steps(canary: Canary) -> tuple[Step, ...]:
    """The steps before the whole."""
    return tuple(Step(step.name, step.weight.value, step.hold) for step in canary.steps if step.weight.value < FULL)
