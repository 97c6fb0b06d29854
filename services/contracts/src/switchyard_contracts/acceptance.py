"""Whether a spec can be honoured. What cannot is refused with the field's path and the remedy, never passed over.

The operator asks here before it acts, and `lint` before anything is sent, so both say the same in the same words.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any

from pydantic import ValidationError

from switchyard_contracts.alarms import ALARM_PATTERN
from switchyard_contracts.base import NAME_PATTERN
from switchyard_contracts.containers import IMAGE_PATTERN
from switchyard_contracts.experiments import BANDIT_STEP, MOST_WINDOWS, MOVES, TEST_STEP
from switchyard_contracts.gates import Before
from switchyard_contracts.model import SEMANTIC_VERSION
from switchyard_contracts.model_deployment import (
    METRIC_PATTERN,
    PATH_PATTERN,
    PREVIEW_STEP,
    SHADOW_STEP,
    Affected,
    BlueGreen,
    Canary,
    CanaryStep,
    Capacity,
    ModelDeploymentSpec,
    Role,
    Strategy,
    StrategyType,
)
from switchyard_contracts.model_revision import pod_shape
from switchyard_contracts.quantities import FULL, format_duration


class SpecRejected(ValueError):
    """The user must change the resource; retrying cannot help. Becomes Accepted=False."""

    def __init__(self, message: str, *, reason: str = "Invalid", sentences: Sequence[str] = ()) -> None:
        super().__init__(message)
        self.reason = reason
        self.sentences = tuple(sentences) or (message,)
        """One for each fault, `<path>: <what is wrong and what helps>`."""


def read(raw: Any) -> ModelDeploymentSpec:
    """The spec, or `SpecRejected` in the words of the field."""
    try:
        spec = ModelDeploymentSpec.model_validate(raw or {})
    except ValidationError as error:
        found = sentences(error)
        raise SpecRejected("; ".join(found), sentences=found) from error
    _refuse_what_cannot_be(spec)
    return spec


def sentences(error: ValidationError) -> tuple[str, ...]:
    """What pydantic found, each fault in the words of its field."""
    return tuple(_sentence(fault) for fault in error.errors(include_url=False))


REMEDIES = {
    SEMANTIC_VERSION: "a semantic version; write three numbers, such as 1.3.0",
    IMAGE_PATTERN: "an image; write a repository with a tag or a digest, such as registry.example/name:1.3.0",
    PATH_PATTERN: "a path that the gateway may open; begin with '/' and a letter or digit, such as /predict",
    METRIC_PATTERN: (
        "a known metric; use error_rate, latency_p50, _p90, _p95 or _p99, outcome.rmse, .mse, .mae, .bias, .accuracy,"
        " .coverage or .loss, decision.agreement, or promql"
    ),
    ALARM_PATTERN: (
        "a known metric; use error_rate, latency_p50, _p90, _p95 or _p99, requests, outcome.rmse, .mse, .mae, .bias,"
        " .accuracy, .coverage, .cusum or .loss, decision.agreement, drift, or data.missing, .unseen, .outside or"
        " .wrong"
    ),
    NAME_PATTERN: "a name; use lower-case letters, digits and '-', and begin with a letter",
}
"""What helps where a text does not have the form that its field asks for."""


def _sentence(fault: Any) -> str:
    path = "spec"
    for part in fault["loc"]:
        path += f"[{part}]" if isinstance(part, int) else f".{part}"
    return f"{path}: {_what_helps(fault)}"


def _what_helps(fault: Any) -> str:
    value, context = fault.get("input"), fault.get("ctx") or {}
    match fault["type"]:
        case "extra_forbidden":
            return "there is no such field; check its spelling or remove it"
        case "missing":
            return "this field is required"
        case "string_pattern_mismatch":
            form = REMEDIES.get(context["pattern"], f"of the form {context['pattern']}")
            return f"{value!r} is not {form}"
        case "enum" | "literal_error":
            return f"{value!r} is not known; write {context['expected']}"
        case "greater_than_equal":
            return f"{value!r} is too small; write at least {context['ge']}"
        case "less_than_equal":
            return f"{value!r} is too large; write at most {context['le']}"
        case "value_error":
            return str(fault["msg"]).removeprefix("Value error, ")
    shown = f"{value!r}: " if isinstance(value, str | int | float | None) else ""
    return f"{shown}{fault['msg']}"


TRIED = (StrategyType.AB_TEST, StrategyType.BANDIT)
"""Strategies that try the candidate on users, and learn from what follows."""


def _refuse_what_cannot_be(spec: ModelDeploymentSpec) -> None:
    strategy = spec.strategy
    for kind, field, block in (
        (StrategyType.CANARY, "canary", strategy.canary),
        (StrategyType.AB_TEST, "abTest", strategy.ab_test),
        (StrategyType.BANDIT, "bandit", strategy.bandit),
    ):
        if (strategy.type is kind) != (block is not None):
            raise SpecRejected(f"spec.strategy.{field}: must be set when type is {kind.value}, and only then")
    if strategy.blue_green and strategy.type is not StrategyType.BLUE_GREEN:
        raise SpecRejected("spec.strategy.blueGreen: may be set only when type is BlueGreen")
    if strategy.shadow and strategy.type is not StrategyType.SHADOW:
        raise SpecRejected("spec.strategy.shadow: may be set only when type is Shadow")
    if strategy.shadow and not strategy.shadow.mirror.value:
        raise SpecRejected("spec.strategy.shadow.mirror: 0 compares nothing; write auto, or a percentage above 0")
    _refuse_what_is_not_frugal(spec)
    _refuse_what_cannot_be_tried(spec)
    _refuse_what_nobody_could_decide(spec)
    _refuse_gates_that_stand_nowhere(spec)
    _refuse_shadows_that_are_one(spec)
    if strategy.canary:
        _refuse_scales_that_cannot_be(spec, strategy.canary.steps, path="spec.strategy.canary.steps")
        _refuse_waits_that_nothing_ends(spec, strategy.canary.steps, path="spec.strategy.canary.steps")
        _refuse_names_of_nothing_judged(spec, strategy.canary, path="spec.strategy.canary.steps")
        _refuse_names_that_are_taken(strategy.canary.steps, path="spec.strategy.canary.steps", taken=("full",))
    if strategy.shadow and strategy.shadow.then_promote:
        path = "spec.strategy.shadow.thenPromote.steps"
        _refuse_scales_that_cannot_be(spec, strategy.shadow.then_promote.steps, path=path)
        _refuse_waits_that_nothing_ends(spec, strategy.shadow.then_promote.steps, path=path)
        then, mirror = strategy.shadow.then_promote, strategy.shadow.mirror.value
        _refuse_names_of_nothing_judged(spec, then, path=path, mirror=mirror)
        _refuse_names_that_are_taken(strategy.shadow.then_promote.steps, path=path, taken=("full", SHADOW_STEP))


def _refuse_what_cannot_be_tried(spec: ModelDeploymentSpec) -> None:
    """What users are tried with needs something to compare by, and a split that nothing but it moves."""
    strategy = spec.strategy
    if strategy.type not in TRIED:
        return
    if strategy.capacity is Capacity.FRUGAL:
        raise SpecRejected(
            "spec.strategy.capacity: frugal, but weights that climb a pod at a time are no lot by which"
            f" {strategy.type} could compare users; write capacity: full"
        )
    deciding = [metric.name for metric in spec.analysis.metrics if metric.role is Role.DECIDE]
    if not deciding:
        raise SpecRejected(f"spec.analysis.metrics: {strategy.type} compares by a metric with role: decide; add one")
    if strategy.ab_test and spec.horizon > spec.window * MOST_WINDOWS:
        least = timedelta(seconds=math.ceil(spec.horizon.total_seconds() / MOST_WINDOWS))
        raise SpecRejected(
            f"spec.monitoring.window: {format_duration(spec.window)} cuts the test's"
            f" {format_duration(spec.horizon)} into more than {MOST_WINDOWS:,} windows, each with its groups of users,"
            f" and guards add up all of them; write at least {format_duration(least)}"
        )
    if strategy.bandit:
        if len(deciding) > 1:
            raise SpecRejected(
                f"spec.analysis.metrics: a bandit follows one reward, but {', '.join(deciding)} have role: decide;"
                " leave it to one of them, and let the others guard or observe"
            )
        if spec.serving.autoscaling:
            raise SpecRejected(
                "spec.serving.autoscaling: a bandit's weight moves while the load says how many pods there are; write"
                " serving.replicas in the place of autoscaling, or another strategy"
            )
        outcome = spec.monitoring.outcome if spec.monitoring else None
        quarter = outcome.judged_after / MOVES if outcome else timedelta(0)
        if strategy.bandit.every is not None and strategy.bandit.every < quarter:
            raise SpecRejected(
                f"spec.strategy.bandit.every: {format_duration(strategy.bandit.every)} is less than a quarter of"
                f" monitoring.outcome.judgedAfter ({format_duration(quarter)}): weights would move before anybody knows"
                " what the last move did; write at least as much"
            )


def _refuse_what_nobody_could_decide(spec: ModelDeploymentSpec) -> None:
    outcome = spec.monitoring.outcome if spec.monitoring else None
    for index, metric in enumerate(spec.analysis.metrics):
        if metric.role is not Role.DECIDE:
            continue
        path = f"spec.analysis.metrics[{index}].role"
        mirrored = spec.strategy.type is StrategyType.SHADOW
        if spec.strategy.type is StrategyType.BLUE_GREEN:
            mirrored = _mirrors(spec.strategy.blue_green)
            if not mirrored:
                raise SpecRejected(
                    f"{path}: BlueGreen has no split traffic by which {metric.name!r} could be decided before the"
                    " switch; set strategy.blueGreen.mirror, use Canary, or role: observe"
                )
        if mirrored and outcome and outcome.affected_by is Affected.DECISION:
            raise SpecRejected(
                f"{path}: a mirrored answer changes no decision, and {metric.name!r} is of an outcome that depends on"
                " it (monitoring.outcome.affectedBy); use Canary, or role: observe"
            )


def _refuse_gates_that_stand_nowhere(spec: ModelDeploymentSpec) -> None:
    steps = step_names(spec.strategy)
    for index, gate in enumerate(spec.gates):
        path = f"spec.gates[{index}]"
        if gate.before is Before.STEP and gate.step not in steps:
            found = ", ".join(steps)
            raise SpecRejected(f"{path}.step: the strategy has no step {gate.step!r}; its steps are {found}")


def _refuse_shadows_that_are_one(spec: ModelDeploymentSpec) -> None:
    """A revision is compared once: two shadows with the same pods would be the same one."""
    shapes = [pod_shape(spec, shadow) for shadow in spec.shadows]
    for index, shape in enumerate(shapes):
        if shape in shapes[:index]:
            other = spec.shadows[shapes.index(shape)].name
            raise SpecRejected(
                f"spec.shadows[{index}].model: the same model in the same pods as the shadow {other!r}; take one of"
                " them out"
            )


def step_names(strategy: Strategy) -> tuple[str, ...]:
    """The steps of a strategy that a gate can stand before."""
    if strategy.type in TRIED:
        return (TEST_STEP if strategy.type is StrategyType.AB_TEST else BANDIT_STEP,)
    if strategy.canary:
        return tuple(step.name for step in strategy.canary.steps)
    if strategy.type is StrategyType.SHADOW:
        after = strategy.shadow.then_promote if strategy.shadow else None
        return (SHADOW_STEP, *(step.name for step in (after.steps if after else ())))
    return (PREVIEW_STEP,)


def _mirrors(blue_green: BlueGreen | None) -> bool:
    return blue_green is not None and blue_green.mirror is not None and blue_green.mirror.value > 0


def _refuse_waits_that_nothing_ends(spec: ModelDeploymentSpec, steps: Sequence[CanaryStep], *, path: str) -> None:
    decides = any(metric.role is Role.DECIDE for metric in spec.analysis.metrics)
    for index, step in enumerate(steps):
        for field, said in (("pause", step.pause), ("awaitOutcomes", step.await_outcomes)):
            if said and step.weight.value >= FULL:
                text = "at 100 the candidate takes over; say it of the step before"
                raise SpecRejected(f"{path}[{index}].{field}: {text}")
        if step.await_outcomes and not decides:
            text = "no metric decides; add one with role: decide, or take awaitOutcomes out"
            raise SpecRejected(f"{path}[{index}].awaitOutcomes: {text}")


def _refuse_names_of_nothing_judged(spec: ModelDeploymentSpec, canary: Canary, *, path: str, mirror: int = 0) -> None:
    """What a step names has to be there, and to say something in it (`mirror`: of the step before the first)."""
    roles = {metric.name: metric.role for metric in spec.analysis.metrics}
    weight = 0
    for index, step in enumerate(canary.steps):
        if step.scale is None:
            weight, mirror = step.weight.value, spec.mirror_of(canary, step)
        names = step.analysis or []
        for place, name in enumerate(names):
            if fault := _says_nothing(name, roles, weight=weight, paired=mirror > 0 and spec.judged_by_pairs):
                raise SpecRejected(f"{path}[{index}].analysis[{place}]: {fault}")
            if name in names[:place]:
                raise SpecRejected(f"{path}[{index}].analysis[{place}]: {name!r} is named already; take it out once")
        if step.await_outcomes and names and not any(roles[name] is Role.DECIDE for name in names):
            raise SpecRejected(
                f"{path}[{index}].awaitOutcomes: true, but analysis names no metric with role: decide; name one, or"
                " take awaitOutcomes out"
            )


def _says_nothing(name: str, roles: Mapping[str, Role], *, weight: int, paired: bool) -> str:
    """Why a metric that a step names could say nothing in it; empty where it can."""
    role = roles.get(name)
    if role is None:
        return f"spec.analysis.metrics has no {name!r}; it has {', '.join(roles) or 'none'}"
    if role is Role.OBSERVE:
        return f"{name!r} is only observed, so no step waits for it; take it out, or give it another role"
    if weight >= FULL:
        return "at 100 the candidate takes over, and every metric speaks; take analysis out"
    if weight or (paired and role is Role.DECIDE):
        return ""
    if role is Role.GUARD:
        return f"{name!r} guards what users are answered, and in this step the candidate answers none; take it out"
    return f"nothing decides {name!r} in a step without a weight and without pairs; say a weight or a mirror"


def _refuse_what_is_not_frugal(spec: ModelDeploymentSpec) -> None:
    strategy = spec.strategy
    if strategy.capacity is not Capacity.FRUGAL:
        return
    if spec.serving.autoscaling:
        raise SpecRejected(
            "spec.strategy.capacity: frugal, but with serving.autoscaling the load says how many pods there are; write"
            " serving.replicas in the place of autoscaling, or capacity: full"
        )
    if spec.rollback.warm.replicas > 1:
        raise SpecRejected(
            f"spec.rollback.warm.replicas: {spec.rollback.warm.replicas}, but strategy.capacity: frugal leaves room for"
            " one pod beside the replicas; write 1, or capacity: full"
        )
    after = strategy.shadow.then_promote if strategy.shadow else None
    for path, canary in (("canary", strategy.canary), ("shadow.thenPromote", after)):
        for index, step in enumerate(canary.steps if canary else ()):
            if step.scale is not None:
                raise SpecRejected(
                    f"spec.strategy.{path}.steps[{index}].scale: with capacity: frugal the candidate has as many pods"
                    " as its weight asks for; take the step out, or write capacity: full"
                )


def _refuse_scales_that_cannot_be(spec: ModelDeploymentSpec, steps: Sequence[CanaryStep], *, path: str) -> None:
    replicas, whole = spec.serving.replicas, False
    for index, step in enumerate(steps):
        whole = whole or step.weight.value >= FULL
        if step.scale is None:
            continue
        place = f"{path}[{index}]"
        if spec.serving.autoscaling:
            raise SpecRejected(
                f"{place}.scale: {step.scale}, but with serving.autoscaling a candidate's least number of pods follows"
                " its weight; take the step out, or write serving.replicas in the place of autoscaling"
            )
        if step.weight.value:
            raise SpecRejected(
                f"{place}.weight: {step.weight} beside scale; a step that scales moves no weight: take weight out, or"
                " make it two steps"
            )
        if step.mirror is not None:
            raise SpecRejected(
                f"{place}.mirror: {step.mirror} beside scale; a step that scales keeps the mirror of the step before:"
                " take mirror out, or make it two steps"
            )
        if whole:
            raise SpecRejected(f"{place}.scale: at 100 the candidate has all of its pods; take the step out")
        if step.scale.of(replicas) > replicas:
            raise SpecRejected(
                f"{place}.scale: {step.scale} is more than serving.replicas ({replicas}), which serve all of the"
                f" traffic; write at most {replicas}"
            )


def _refuse_names_that_are_taken(steps: Sequence[CanaryStep], *, path: str, taken: tuple[str, ...]) -> None:
    names = [step.name for step in steps]
    for index, name in enumerate(names):
        if name in taken[1:]:
            raise SpecRejected(f"{path}[{index}].name: {name!r} is taken by the step that mirrors; choose another")
        if name in names[:index] or name in taken:
            raise SpecRejected(
                f"{path}[{index}].name: {name!r} is taken; step names must differ, and 'full' is the last step's"
            )
