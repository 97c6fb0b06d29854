"""`why`: what was decided, and the numbers it rests on, in the order in which a person asks."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime

from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.text import Text
from switchyard_contracts.conditions import READY, RECONCILING
from switchyard_contracts.judgement import count, counted, number
from switchyard_contracts.measures import measure, written
from switchyard_contracts.model_command import Verb
from switchyard_contracts.model_deployment import (
    HistoryEntry,
    MetricVerdict,
    Obeyed,
    Role,
    RolloutStatus,
    ShadowEntry,
    ShadowState,
    ShadowStatus,
)
from switchyard_contracts.spans import span
from switchyard_contracts.verdicts import budget

from switchyard_cli.course import Way, plot
from switchyard_cli.facts import Deployment
from switchyard_cli.views import words
from switchyard_cli.views.echoes import Told
from switchyard_cli.views.words import BAD, BUSY, DIM
from switchyard_cli.waiting import waits


def explain(item: Deployment, *, now: datetime, past: int) -> RenderableType:
    """The present, the verdicts, what stands in the way, the past."""
    parts: list[RenderableType] = [Text(serves(item))]
    rollout = item.rollout
    if rollout:
        parts += [Text(), *_rollout(item, rollout, now=now)]
    for shadow in item.status.shadows:
        parts += [Text(), *_shadow(shadow, now=now)]
    hindrances = list(_hindrances(item, told=Told.of(metrics=rollout.verdicts) if rollout else Told()))
    if hindrances:
        parts += [Text(), Text("What stands in the way", style="bold"), *map(_indent, hindrances)]
    ended = [one for one in reversed(item.status.history) if not rollout or not _is_told(one, rollout)][:past]
    if ended:
        parts += [Text(), Text("Before", style="bold")]
        for one in ended:
            parts += [_indent(part) for part in entry(one, now=now)]
    return Group(*parts)


def _is_told(one: HistoryEntry, rollout: RolloutStatus) -> bool:
    """Whether it is the end of the rollout that the present tells of; an earlier end of the same one is of the past."""
    return (one.id, one.outcome) == (rollout.id, rollout.phase)


def serves(item: Deployment) -> str:
    """Who answers whom, in one sentence."""
    status, rollout = item.status, item.rollout
    if status.stable is None:
        return f"{item.name}: nothing serves yet."
    stable = f"{status.stable.version or '?'} ({status.stable.revision})"
    asked = status.desired_version
    if status.candidate and rollout and rollout.weight_bp:
        text = f"{stable} is stable; {status.candidate.version or status.candidate.revision} has {rollout.weight}"
    else:
        text = f"{stable} answers everything"
    if asked and asked != status.stable.version and not status.candidate:
        text += f", although the spec asks for {asked}"
    return f"{item.name} is {status.serving.value}: {text}."


def _rollout(item: Deployment, rollout: RolloutStatus, *, now: datetime) -> Iterator[RenderableType]:
    head = Text.assemble(("Rollout ", "bold"), (rollout.id, "bold"), " is ", words.phase(rollout.phase))
    if rollout.step:
        head.append(f" at step {rollout.step} ({rollout.step_index} of {rollout.steps}, {rollout.weight})")
    if rollout.phase_since:
        head.append(f", since {words.clock(rollout.phase_since)} ({words.ago(rollout.phase_since, now=now)})")
    yield head
    told = Told.of(metrics=rollout.verdicts)
    message, wait = told.shortened(rollout.message), told.shortened(waits(item, now=now))
    if message:
        yield _indent(Text(f"{rollout.reason}: {message}"))
    if wait and wait != message:
        yield _indent(Text.assemble(("It waits for: ", "bold"), wait))
    if rollout.paused and rollout.paused != rollout.message:
        yield _indent(Text(rollout.paused, style=words.PERSON))
    if rollout.overridden:
        yield _indent(Text(rollout.overridden, style=words.PERSON))
    if rollout.granted:
        steps = "every step" if "*" in rollout.granted else f"step {', '.join(rollout.granted)}"
        yield _indent(Text(f"{steps} passes by a person's promote"))
    for given in rollout.commands:
        yield _indent(Text(command(given), style=DIM))
    if rollout.verdicts:
        yield Text()
        yield Text("Verdicts", style="bold")
    for verdict in rollout.verdicts:
        limit = _limit(item, rollout, verdict)
        yield from (_indent(part) for part in _verdict(verdict, told=told, limit=limit, now=now))


def _shadow(item: ShadowStatus, *, now: datetime) -> Iterator[RenderableType]:
    """A shadow: what it is sent, what its pairs came to, and that nothing follows from it by itself."""
    head = Text.assemble(("Shadow ", "bold"), (item.name, "bold"), f" ({item.version or item.revision or '?'}): ")
    head.append_text(words.shadow(item))
    if item.sample:
        head.append(f", {item.sample} of stable's requests, beside {item.against}")
    if item.since and item.sample:
        head.append(f" since {words.clock(item.since)} ({words.ago(item.since, now=now)})")
    if item.pairs:
        head.append(f", {counted(item.pairs, 'pair')}", style=DIM)
    yield head
    if not item.verdicts or item.state is not ShadowState.COMPARING:
        yield _indent(Text(f"{item.reason}: {item.message}"))
    for verdict in item.verdicts:
        limit = "Pass needs the upper bound below 0, Fail the lower bound above it" if verdict.bound is not None else ""
        yield from (_indent(part) for part in _verdict(verdict, told=Told(), limit=limit, now=now))


def _verdict(item: MetricVerdict, *, told: Told, limit: str, now: datetime) -> Iterator[RenderableType]:
    head = Text.assemble((item.name, "bold"), f" ({item.role.value} on {item.metric}): ", words.says(item))
    head.append(f", {item.reason}")
    if item.at:
        head.append(f", {words.ago(item.at, now=now)}", style=DIM)
    yield head
    if item.message:
        yield _indent(Text(told.own(item.name, item.message)))
    if facts := numbers(item):
        yield _indent(Text(f"{facts}{f'; {limit}' if limit else ''}", style=DIM))


def numbers(item: MetricVerdict) -> str:
    """The figures of a verdict, each with its name and its unit."""
    found = [f"samples {count(item.samples)}"] if item.samples else []
    if item.needed:
        found.append(f"needed {count(item.needed)} more")
    unit = measure(item.metric, item.role)
    if item.value is not None:
        found.append(f"value {written(item.value, unit)}")
    if item.against is not None:
        found.append(f"against {written(item.against, unit)}")
    if item.bound is not None:
        found.append(f"{'e-value' if item.role is Role.GUARD else 'bound'} {number(item.bound)}")
    return ", ".join(found)


def _limit(item: Deployment, rollout: RolloutStatus, verdict: MetricVerdict) -> str:
    """By how much it would be taken back: an e-value of a guard, a bound on the other side of 0 of an outcome."""
    if verdict.bound is None or item.spec is None or rollout.steps < 1:
        return ""
    if verdict.role is Role.DECIDE:
        return "Pass needs the upper bound below 0, Fail the lower bound above it"
    named = plot(item.spec, Way(rollout.way)).named if rollout.way in list(Way) else ()
    copied = item.spec.judged_by_pairs and any(record.mirrored for record in rollout.steps_done)
    spend = budget(
        item.spec.analysis,
        steps=rollout.steps,
        attempt=max(1, rollout.attempt),
        paired=copied or (rollout.way == Way.NEW and item.spec.plans_pairs),
        named=named,
    )
    return f"taken back at an e-value of {number(1 / spend.alpha_guard)}"


def _hindrances(item: Deployment, *, told: Told) -> Iterator[Text]:
    if not item.noticed:
        yield Text("the operator has not taken note of the newest spec yet; is it running?", style=BUSY)
    said = {item.rollout.message} if item.rollout else set()
    for condition in item.status.conditions:
        if condition.type in (READY, RECONCILING) or condition.status == "True" or not condition.message:
            continue
        if condition.message not in said and not told.repeats(condition.message):
            style = BAD if condition.status == "False" else BUSY
            yield Text.assemble((f"{condition.type} {condition.reason}: ", style), told.shortened(condition.message))
            said.add(condition.message)


def entry(ended: HistoryEntry, *, now: datetime) -> Sequence[RenderableType]:
    """An ended rollout: how, why, by which numbers, and who told it what."""
    took = ""
    if ended.started_at and ended.ended_at:
        took = f" after {span(ended.ended_at - ended.started_at)}"
    head = Text.assemble(f"{ended.version or '?'} ({ended.id}) ", words.phase(ended.outcome))
    head.append(f"{took}, {words.clock(ended.ended_at)} ({words.ago(ended.ended_at, now=now)})")
    parts: list[RenderableType] = [head, _indent(Text(f"{ended.reason}: {ended.message}"))]
    parts += [_ended_verdict(verdict) for verdict in ended.verdicts]
    parts += [_indent(Text(command(one), style=words.PERSON)) for one in ended.commands]
    return parts


def shadow_entry(ended: ShadowEntry, *, now: datetime) -> Sequence[RenderableType]:
    """A comparison that is over: of what with what, what it came to, by which numbers, and why it ended."""
    took = f" after {span(ended.ended_at - ended.started_at)}" if ended.started_at and ended.ended_at else ""
    head = Text.assemble(f"{ended.name} {ended.version or '?'} ({ended.revision}) beside {ended.against}: ")
    head.append_text(words.verdict(ended.verdict))
    head.append(f", {counted(ended.pairs, 'pair')}{took}, {words.clock(ended.ended_at)}")
    head.append(f" ({words.ago(ended.ended_at, now=now)})")
    parts: list[RenderableType] = [head, _indent(Text(f"{ended.reason}: {ended.message}"))]
    return parts + [_ended_verdict(verdict) for verdict in ended.verdicts]


def _ended_verdict(verdict: MetricVerdict) -> RenderableType:
    return _indent(Text.assemble(f"{verdict.name} ", words.says(verdict), f" {numbers(verdict)}"))


def command(given: Obeyed) -> str:
    """`promote of step five by ada at 2026-01-01 12:00:30Z: the tower agrees`."""
    full = " of every step" if given.verb == Verb.PROMOTE else ""
    what = f" of step {given.step}" if given.step else f" of gate {given.gate}" if given.gate else full
    over = ", overriding readiness and gates," if given.override else ""
    why = f": {given.reason}" if given.reason else ""
    return f"{given.verb}{what}{over} by {given.by} at {words.clock(given.at)}{why}"


def _indent(part: RenderableType) -> RenderableType:
    return Padding.indent(part, 2)
