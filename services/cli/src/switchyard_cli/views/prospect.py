"""`plan`: what would happen, step by step, with what each step waits for."""

from __future__ import annotations

import math
from collections.abc import Sequence
from datetime import timedelta

from rich.console import Group, RenderableType
from rich.text import Text
from rich.tree import Tree
from switchyard_contracts.gates import Gate, GateType
from switchyard_contracts.judgement import count, noun
from switchyard_contracts.model_deployment import ModelDeploymentSpec, Role
from switchyard_contracts.paired import FIRST_BLOCKS
from switchyard_contracts.quantities import FULL, format_duration, format_percent
from switchyard_contracts.shadows import ShadowModel
from switchyard_contracts.spans import span
from switchyard_contracts.unpaired import FIRST_LOOK

from switchyard_cli import storage
from switchyard_cli.course import Need, Planned, Way, aftermath, earliest, pods, sentence, stakes, took
from switchyard_cli.forecast import Change, Forecast
from switchyard_cli.views.words import BAD, BUSY, DIM, GOOD

MOST_CHANGES = 20


def show(planned: Forecast, spec: ModelDeploymentSpec, *, rate: float | None) -> RenderableType:
    """One deployment's plan."""
    style = BAD if planned.refused else GOOD if planned.course else DIM
    version = f" {planned.version}" if planned.version else ""
    root = Tree(Text.assemble((f"{planned.name}{version}", "bold"), ": ", (planned.sentence, style)), guide_style=DIM)
    if planned.changes:
        _changes(root, planned.changes)
    if planned.course and not planned.refused:
        _course(root, planned, spec, rate=rate)
    for shadow in spec.shadows if not planned.refused else ():
        root.add(Text(_shadow(shadow, spec, rate=rate)))
    if rate is not None and not planned.refused:
        root.add(Text(storage.sentence(spec, rate=rate)))
    for note in planned.notes:
        root.add(Text(f"note: {note}", style=BUSY))
    return Group(root)


def _shadow(shadow: ShadowModel, spec: ModelDeploymentSpec, *, rate: float | None) -> str:
    """What would be compared beside, by what, and how soon that can be had."""
    judged = [m for m in spec.analysis.metrics if m.role is Role.DECIDE] if spec.judged_by_pairs else []
    text = (
        f"shadow {shadow.name} {shadow.model.version or shadow.model.image}: {pods(shadow.replicas)},"
        f" {shadow.sample} of stable's requests"
    )
    if not judged:
        return f"{text}; nothing decides by pairs, so its answers are only recorded"
    needed = max(max(metric.min_samples, FIRST_LOOK) for metric in judged)
    names = ", ".join(metric.name for metric in judged)
    text = (
        f"{text}; {names}: proof by at least {count(needed)} judged pairs in {FIRST_BLOCKS} blocks"
        f" (analysis.block, here {format_duration(spec.block)})"
    )
    if rate is None:
        return text
    judged_after = spec.monitoring.outcome.judged_after if spec.monitoring and spec.monitoring.outcome else timedelta(0)
    pairs = timedelta(seconds=needed / (rate * shadow.sample.share))
    soonest = max(pairs, FIRST_BLOCKS * spec.block) + judged_after
    return f"{text}; at {_pace(rate)} not before {span(soonest)}"


def _pace(rate: float) -> str:
    return f"{rate:g} {noun(rate, 'request')} a second"


def _changes(root: Tree, found: Sequence[Change]) -> None:
    for title, chosen in (
        ("changes that make the revision", [item for item in found if item.makes_pods]),
        ("changes that apply in place", [item for item in found if not item.makes_pods]),
    ):
        if chosen:
            branch = root.add(title)
            for item in chosen[:MOST_CHANGES]:
                branch.add(Text(f"spec.{item.path}: {_value(item.old)} → {_value(item.new)}"))
            if len(chosen) > MOST_CHANGES:
                branch.add(f"and {len(chosen) - MOST_CHANGES} more")


def _value(value: object) -> str:
    text = "(none)" if value is None else str(value)
    return text if len(text) <= 80 else f"{text[:79]}…"


def _course(root: Tree, planned: Forecast, spec: ModelDeploymentSpec, *, rate: float | None) -> None:
    course = planned.course
    if course is None:
        return
    if not course.known:
        root.add(
            Text(f"the strategy {spec.strategy.type.value} is newer than this command line: its steps are not known")
        )
        return
    if planned.peak:
        root.add(Text(str(planned.peak)))
        if planned.peak.frugal:
            root.add("weights move a pod at a time, and so does the way back; an abort goes at once, short of pods")
    patience = format_duration(spec.serving.ready_within)
    root.add(f"{_first(planned, spec)} of its own, ready within {patience}, and a smoke request")
    if course.way in (Way.FIRST, Way.NEW):  # what serves already, or did, has passed its gates
        for gate in spec.gates:
            root.add(Text(_gate(gate, name=planned.name)))
    for index, step in enumerate(course.steps):
        branch = root.add(_step(step, done=index < planned.done))
        if index >= planned.done:
            for need in step.needs:
                branch.add(Text(f"{sentence(step, need)}{_takes(step, need, rate=rate)}"))
            if step.by_hand:
                branch.add(Text(f"a person's word: `kubectl switchyard promote {planned.name}`"))
    root.add("then it ends: stable keeps all of the traffic" if course.ends else _step(course.final, done=False))
    if course.steps and (said := stakes(spec, course, attempt=planned.attempt)):
        root.add(said)
    if course.steps and spec.monitoring:
        root.add(f"what is measured counts every {format_duration(spec.monitoring.window)} (monitoring.window)")
    if not course.ends:
        root.add(aftermath(spec))
    if rate is not None:
        goal = "its end" if course.ends else "all of the traffic"
        root.add(_estimate(course.steps[planned.done :], spec, rate=rate, goal=goal))


def _first(planned: Forecast, spec: ModelDeploymentSpec) -> str:
    """What a candidate has before its first traffic."""
    if spec.serving.autoscaling:
        return f"up to {pods(spec.serving.autoscaling.max_replicas)}, by their load,"
    if planned.peak and planned.peak.frugal:
        return pods(1)
    steps = planned.course.steps if planned.course else ()
    return pods((steps[0].pods if steps else 0) or spec.serving.replicas)


def _gate(gate: Gate, *, name: str) -> str:
    asks = f"; a person's word: `kubectl switchyard approve {name} --gate {gate.name}`"
    text = f"gate {gate.name} ({gate.type.value}) before {gate.place}, within {format_duration(gate.deadline)}"
    lenient = "" if gate.required else ", not required"
    return f"{text}{lenient}{asks if gate.type is GateType.APPROVAL else ''}"


def _step(step: Planned, *, done: bool) -> Text:
    text = Text.assemble(
        ("✓ " if done else "○ ", GOOD if done else DIM), f"{step.name:<12}", (format_percent(step.weight))
    )
    if step.scales:
        text.append(f" as before, {pods(step.pods)} of its own")
    if step.mirror:
        text.append(f", {format_percent(step.mirror)} mirrored")
    if step.hold:
        text.append(f", held for {format_duration(step.hold)}")
    if step.horizon:
        text.append(f" of the users, for {format_duration(step.horizon)}")
    if step.moves:
        text.append(f" first, then {step.moves}")
    if step.judges:
        text.append(f", judges {', '.join(step.judges)}")
    if step.weight == 0 and not step.mirror and not step.scales:
        text.append(", reachable by the header x-switchyard-revision")
    return text


def _takes(step: Planned, need: Need, *, rate: float | None) -> str:
    """How long so many samples take at this step's share alone."""
    if step.horizon and need.outcomes and rate is not None:
        by_then = math.floor(rate * step.horizon.total_seconds() * step.weight / FULL)
        few = "" if by_then >= need.samples else ", which is too few: take more weeks, or look for a larger effect"
        return f"; at {_pace(rate)} it has {count(by_then)} by then{few}"
    seconds = took(step, need, rate=rate) if rate is not None else None
    return "" if seconds is None or rate is None else f"; {span(seconds)} of this step at {_pace(rate)}"


def _estimate(steps: Sequence[Planned], spec: ModelDeploymentSpec, *, rate: float, goal: str) -> str:
    outcome = spec.monitoring.outcome if spec.monitoring else None
    judged_after = outcome.judged_after if outcome else timedelta(0)
    least = earliest(steps, rate=rate, judged_after=judged_after, block=spec.block)
    if least is None:
        return f"at {_pace(rate)}: a person decides when"
    return f"at {_pace(rate)}: {span(least)} from ready pods to {goal} at the earliest (a close call takes longer)"
