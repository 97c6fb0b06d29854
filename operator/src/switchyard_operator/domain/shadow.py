"""Shadow: stable's requests are mirrored to the candidate until it is judged; then it goes, or takes over by steps."""

from __future__ import annotations

from switchyard_contracts.model_deployment import SHADOW_STEP, ModelDeploymentSpec, Shadow

from switchyard_operator.domain import canary
from switchyard_operator.domain.step import Step


def steps(shadow: Shadow, spec: ModelDeploymentSpec) -> tuple[Step, ...]:
    """The mirror's own step, which every decide metric must pass, and the canary's after it where there are any."""
    own = Step(SHADOW_STEP, 0, shadow.hold, mirror=shadow.mirror.value, decided=True)
    return (own, *(_after(shadow, spec) if shadow.then_promote else ()))


def _after(shadow: Shadow, spec: ModelDeploymentSpec) -> tuple[Step, ...]:
    assert shadow.then_promote is not None
    return canary.steps(shadow.then_promote, spec, mirror=shadow.mirror.value)


def ends(shadow: Shadow) -> bool:
    """Whether it is over after its own step, without any traffic."""
    return shadow.then_promote is None
