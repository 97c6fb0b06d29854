"""`get`: all deployments in a table, or one as a tree with its steps and verdicts, as they are at this moment."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text
from rich.tree import Tree
from switchyard_contracts.conditions import READY
from switchyard_contracts.experiments import Trial
from switchyard_contracts.judgement import count, counted
from switchyard_contracts.model_deployment import RolloutStatus, ShadowState, ShadowStatus, StepRecord
from switchyard_contracts.quantities import FULL, format_duration, format_percent
from switchyard_contracts.spans import span

from switchyard_cli.course import FINAL, Planned
from switchyard_cli.facts import BACK, Deployment
from switchyard_cli.views import words
from switchyard_cli.views.echoes import Told
from switchyard_cli.views.words import BAD, BUSY, DIM, GOOD
from switchyard_cli.waiting import course_of, waits

GAP = 2
LEAST_WAIT = 24
"""Narrower than this, a sentence of what is waited for is no reading."""
LESSER = ("AGE", "SERVING")
"""What a narrow terminal shows last; a name leads to it."""


def table(found: Sequence[Deployment], *, now: datetime, width: int, everywhere: bool = False) -> RenderableType:
    """One line for each; in a narrow terminal what is waited for has a line of its own, and lesser columns go."""
    if not found:
        return Text("no ModelDeployments found")
    items = sorted(found, key=lambda one: (one.namespace, one.name))
    rows = [_row(item, now=now, everywhere=everywhere) for item in items]
    waiting = [waits(item, now=now) for item in items]
    columns = list(rows[0])
    natural = {column: max(len(column), *(row[column].cell_len for row in rows)) for column in columns}

    def needed() -> int:
        return sum(natural[column] + GAP for column in columns)

    beside = needed() + min(LEAST_WAIT, max(map(len, waiting))) <= width
    for column in LESSER:
        if not beside and needed() > width + GAP:
            columns.remove(column)
    made = Table(box=None, pad_edge=False, header_style="bold")
    for column in columns:
        made.add_column(column, no_wrap=True, min_width=natural[column])
    if beside:
        made.add_column("WAITS FOR", overflow="fold")
    for row, wait in zip(rows, waiting, strict=True):
        made.add_row(*(row[column] for column in columns), *([wait or "–"] if beside else []))
    if beside:
        return made
    below = [
        Text(f"{item.name} waits for {wait}", style=DIM) for item, wait in zip(items, waiting, strict=True) if wait
    ]
    return Group(made, *below)


def _row(item: Deployment, *, now: datetime, everywhere: bool) -> dict[str, Text]:
    rollout, status = item.rollout, item.status
    found = {"NAMESPACE": Text(item.namespace)} if everywhere else {}
    return found | {
        "NAME": Text(item.name),
        "SERVING": Text(status.serving.value, style=words.SERVING.get(status.serving.value, "")),
        "VERSION": Text(status.stable.version or status.stable.revision if status.stable else "–"),
        "DESIRED": Text(status.desired_version or "–"),
        "PHASE": words.phase(rollout.phase) if rollout else Text("–"),
        "STEP": Text(_position(rollout) if rollout else "–"),
        "WEIGHT": Text(rollout.weight or "–" if rollout else "–"),
        "VERDICT": words.verdict(rollout.verdict if rollout else ""),
        "AGE": Text(span(now - item.created_at) if item.created_at else "–"),
    }


def tree(item: Deployment, *, now: datetime) -> RenderableType:
    """One deployment: who serves, the rollout's steps, its verdicts, what it waits for."""
    root = Tree(_title(item), guide_style=DIM)
    _serving(root, item)
    rollout = item.rollout
    told = Told.of(gates=rollout.gates, metrics=rollout.verdicts) if rollout else Told()
    if rollout:
        head = Text.assemble("rollout ", (rollout.id, "bold"), "  ", words.phase(rollout.phase))
        if rollout.phase_since:
            head.append(f"  for {span(now - rollout.phase_since)}", style=DIM)
        branch = root.add(head)
        for line in steps(item, rollout, now=now):
            branch.add(line)
        if rollout.trial:
            branch.add(_trial(rollout.trial))
        for gate in rollout.gates:
            name = f"gate {gate.name}"
            branch.add(Text.assemble(f"{name} ", words.gate(gate.state), f"  {told.own(name, gate.message)}"))
        for metric in rollout.verdicts:
            sentence = told.own(metric.name, metric.message)
            branch.add(Text.assemble(f"{metric.name} ", words.says(metric), f"  {sentence}"))
        for word in (rollout.paused, rollout.overridden):
            if word:
                branch.add(Text(word, style=words.PERSON))
        if wait := waits(item, now=now):
            branch.add(Text.assemble(("waits for ", "bold"), told.shortened(wait)))
        elif rollout.message:
            branch.add(Text.assemble((f"{rollout.reason} ", "bold"), told.shortened(rollout.message)))
    for shadow in item.status.shadows:
        _shadow(root, shadow)
    said = rollout.message if rollout else ""
    for condition in item.status.conditions:
        if condition.status == "True" or condition.type == READY or not condition.message:
            continue
        if condition.message not in said and not told.repeats(condition.message):
            style = BAD if condition.status == "False" else BUSY
            root.add(Text.assemble((f"{condition.type} {condition.reason} ", style), told.shortened(condition.message)))
    if not item.noticed:
        root.add(Text("the operator has not taken note of the newest spec yet", style=BUSY))
    return root


def noted(shown: RenderableType, note: str) -> RenderableType:
    """A view, with what hinders looking below it."""
    return Group(shown, Text(note, style=BAD)) if note else shown


def _title(item: Deployment) -> Text:
    serving = item.status.serving.value
    name = f"{item.namespace}/{item.name}" if item.namespace else item.name
    return Text.assemble((name, "bold"), "  ", (serving, words.SERVING.get(serving, "")))


def _serving(root: Tree, item: Deployment) -> None:
    status, rollout = item.status, item.rollout
    share = rollout.weight_bp if rollout and status.candidate else 0
    for title, who in (("stable", status.stable), ("candidate", status.candidate), ("warm", status.warm)):
        if who is None:
            continue
        weight = {"stable": FULL - share, "candidate": share}.get(title, 0)
        until = f"  until {words.clock(status.warm_until)}" if title == "warm" and status.warm_until else ""
        root.add(f"{title:<10}{who.version or '?':<12}{format_percent(weight):>7}  {who.revision}{until}")
    if status.stable is None and status.candidate is None:
        root.add(Text("nothing serves yet", style=BUSY))


def _shadow(root: Tree, item: ShadowStatus) -> None:
    """A shadow, and what its pairs say; where it is not compared, why."""
    sample = f"{item.sample} of stable's requests" if item.sample else "no copies"
    head = Text.assemble(f"shadow {item.name}  {item.version or '?'}  {sample}  ", words.shadow(item))
    if item.pairs:
        head.append(f"  {counted(item.pairs, 'pair')}", style=DIM)
    branch = root.add(head.append(f"  {item.revision}", style=DIM))
    if not item.verdicts or item.state is not ShadowState.COMPARING:
        branch.add(Text(item.message))
    for metric in item.verdicts:
        branch.add(Text.assemble(f"{metric.name} ", words.says(metric), f"  {metric.message}"))


def steps(item: Deployment, rollout: RolloutStatus, *, now: datetime) -> list[Text]:
    """The steps that were entered, and those to come."""
    course = course_of(item, rollout)
    records = {record.name: record for record in rollout.steps_done}
    planned = [*course.steps, *([] if course.ends else [course.final])] if course else []
    shown = [*planned] + [
        Planned(record.name, record.weight_bp)
        for record in rollout.steps_done
        if record.name not in {step.name for step in planned}
    ]
    return [_step(step, records.get(step.name), rollout, now=now) for step in shown]


def _step(step: Planned, record: StepRecord | None, rollout: RolloutStatus, *, now: datetime) -> Text:
    here = record is not None and record.ended_at is None
    back = here and rollout.phase in BACK
    mark, style = ("✗", BAD) if back else ("●", BUSY) if here else ("✓", GOOD) if record else ("○", DIM)
    weight = record.weight_bp if record and step.moves else step.weight
    text = Text.assemble((f"{mark} ", style), f"{step.name:<12}{format_percent(weight):>7}")
    if step.mirror:
        text.append(f"  mirrored {format_percent(step.mirror)}")
    if back:
        text.append("  taken back here", style=BAD)
    elif here and record:
        text.append(f"  {_held(step, record, now=now)}")
    elif record and record.ended_at:
        took = span(record.ended_at - record.started_at) if record.started_at else ""
        text.append(f"  {record.reason or 'Passed'}{f' after {took}' if took else ''}", style=DIM)
    elif step.hold:
        text.append(f"  held for {format_duration(step.hold)}", style=DIM)
    return text


def _trial(trial: Trial) -> Text:
    """What was stated of a test before its first user was drawn."""
    when = f"read on {words.clock(trial.read)}" if trial.read else f"read once, on {words.clock(trial.read_at)}"
    return Text(
        f"test from {words.clock(trial.began)} to {words.clock(trial.until)}, {when}: {count(trial.planned)} judged"
        f" predictions of the candidate find an improvement of {trial.effect} with a power of {trial.power}"
    )


def _held(step: Planned, record: StepRecord, *, now: datetime) -> str:
    if record.synced_at is None:
        return "waits for the gateways"
    if not step.hold:
        return f"for {span(now - record.synced_at)}"
    return f"held {span(min(step.hold, now - record.synced_at))} of {span(step.hold)}"


def _position(rollout: RolloutStatus) -> str:
    if not rollout.step:
        return "–"
    if rollout.step == FINAL or not rollout.steps:
        return rollout.step
    return f"{rollout.step} {rollout.step_index}/{rollout.steps}"
