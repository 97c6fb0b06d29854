"""Whether a spec can be honoured. What cannot is refused with the field's path and the remedy, never passed over."""

from __future__ import annotations

from typing import Any

from pydantic import ValidationError
from switchyard_contracts.model_deployment import ModelDeploymentSpec, OnSpecChange, Role, StrategyType

from switchyard_operator.errors import SpecRejected


def read(raw: Any) -> ModelDeploymentSpec:
    """The spec, or `SpecRejected` in the words of the field."""
    try:
        spec = ModelDeploymentSpec.model_validate(raw or {})
    except ValidationError as error:
        faults = "; ".join(_sentence(fault) for fault in error.errors(include_url=False, include_context=False))
        raise SpecRejected(faults) from error
    _refuse_what_is_to_come(spec)
    return spec


def _sentence(fault: Any) -> str:
    path = "spec"
    for part in fault["loc"]:
        path += f"[{part}]" if isinstance(part, int) else f".{part}"
    message = str(fault["msg"]).removeprefix("Value error, ")
    if fault["type"] == "extra_forbidden":
        message = "there is no such field; check its spelling or remove it"
    elif fault["type"] == "missing":
        message = "this field is required"
    return f"{path}: {message}"


def _refuse_what_is_to_come(spec: ModelDeploymentSpec) -> None:
    not_yet = "NotSupportedYet"
    strategy = spec.strategy
    if strategy.type not in (StrategyType.BLUE_GREEN, StrategyType.CANARY):
        raise SpecRejected(
            f"spec.strategy.type: {strategy.type.value} is not supported yet; use BlueGreen or Canary", reason=not_yet
        )
    if (strategy.type is StrategyType.CANARY) != (strategy.canary is not None):
        raise SpecRejected("spec.strategy.canary: must be set when type is Canary, and only then")
    if strategy.blue_green and strategy.type is not StrategyType.BLUE_GREEN:
        raise SpecRejected("spec.strategy.blueGreen: may be set only when type is BlueGreen")
    for index, step in enumerate(strategy.canary.steps if strategy.canary else []):
        if step.mirror is not None:
            path = f"spec.strategy.canary.steps[{index}].mirror"
            raise SpecRejected(f"{path}: mirroring is not supported yet; remove it", reason=not_yet)
    if spec.on_spec_change is not OnSpecChange.REPLACE:
        text = f"spec.onSpecChange: {spec.on_spec_change.value} is not supported yet; use Replace"
        raise SpecRejected(text, reason=not_yet)
    if strategy.type is StrategyType.BLUE_GREEN:
        for index, metric in enumerate(spec.analysis.metrics):
            if metric.role is Role.DECIDE:
                raise SpecRejected(
                    f"spec.analysis.metrics[{index}].role: BlueGreen has no split traffic by which {metric.name!r}"
                    " could be decided before the switch; use Canary, or role: observe",
                    reason=not_yet,
                )
    if strategy.canary:
        names = [step.name for step in strategy.canary.steps]
        for index, name in enumerate(names):
            if name in names[:index] or name == "full":
                path = f"spec.strategy.canary.steps[{index}].name"
                raise SpecRejected(f"{path}: {name!r} is taken; step names must differ, and 'full' is the last step's")
