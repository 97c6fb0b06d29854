"""`get`: all deployments in a table, or one as a tree with its steps and verdicts, as they are at this moment."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text
from rich.tree import Tree
from switchyard_contracts.conditions import READY
from switchyard_contracts.model_deployment import RolloutStatus, StepRecord
from switchyard_contracts.quantities import FULL, format_duration, format_percent

from switchyard_cli.course import FINAL, Course, Planned, Way, plot
from switchyard_cli.facts import Deployment
from switchyard_cli.views import words
from switchyard_cli.views.words import BAD, BUSY, DIM, GOOD


def table(found: Sequence[Deployment], *, now: datetime, everywhere: bool = False) -> RenderableType:
    """One line for each."""
    if not found:
        return Text("no ModelDeployments found")
    columns = ["NAME", "SERVING", "VERSION", "DESIRED", "PHASE", "STEP", "WEIGHT", "VERDICT", "WAITS FOR", "AGE"]
    made = Table(box=None, pad_edge=False, header_style="bold")
    if everywhere:
        made.add_column("NAMESPACE", no_wrap=True)
    for column in columns:
        made.add_column(column, no_wrap=column != "WAITS FOR", overflow="fold")
    for item in sorted(found, key=lambda one: (one.namespace, one.name)):
        rollout, status = item.rollout, item.status
        row: list[str | Text] = [item.namespace] if everywhere else []
        row += [
            item.name,
            Text(status.serving.value, style=words.SERVING.get(status.serving.value, "")),
            status.stable.version or status.stable.revision if status.stable else "–",
            status.desired_version or "–",
            words.phase(rollout.phase) if rollout else "–",
            _position(rollout) if rollout else "–",
            rollout.weight or "–" if rollout else "–",
            words.verdict(rollout.verdict if rollout else ""),
            _waits(item, now=now) or "–",
            words.span(now - item.created_at) if item.created_at else "–",
        ]
        made.add_row(*row)
    return made


def tree(item: Deployment, *, now: datetime) -> RenderableType:
    """One deployment: who serves, the rollout's steps, its verdicts, what it waits for."""
    root = Tree(_title(item), guide_style=DIM)
    _serving(root, item)
    rollout = item.rollout
    if rollout:
        head = Text.assemble("rollout ", (rollout.id, "bold"), "  ", words.phase(rollout.phase))
        if rollout.phase_since:
            head.append(f"  for {words.span(now - rollout.phase_since)}", style=DIM)
        branch = root.add(head)
        for line in steps(item, rollout, now=now):
            branch.add(line)
        for metric in rollout.verdicts:
            line = Text.assemble(f"{metric.name} ", words.says(metric), f"  {metric.message}")
            branch.add(line)
        if waits := _waits(item, now=now):
            branch.add(Text.assemble(("waits for ", "bold"), waits))
        elif rollout.message:
            branch.add(Text.assemble((f"{rollout.reason} ", "bold"), rollout.message))
    for condition in item.status.conditions:
        if condition.status != "True" and condition.type != READY and condition.message:
            style = BAD if condition.status == "False" else BUSY
            root.add(Text.assemble((f"{condition.type} {condition.reason} ", style), condition.message))
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


def steps(item: Deployment, rollout: RolloutStatus, *, now: datetime) -> list[Text]:
    """The steps that were entered, and those to come."""
    course = _course(item, rollout)
    records = {record.name: record for record in rollout.steps_done}
    planned = [*course.steps, course.final] if course else []
    shown = [*planned] + [
        Planned(record.name, record.weight_bp)
        for record in rollout.steps_done
        if record.name not in {step.name for step in planned}
    ]
    return [_step(step, records.get(step.name), rollout, now=now) for step in shown]


def _step(step: Planned, record: StepRecord | None, rollout: RolloutStatus, *, now: datetime) -> Text:
    here = rollout.step == step.name and record is not None and record.ended_at is None
    mark, style = (("●", BUSY) if here else ("✓", GOOD)) if record else ("○", DIM)
    text = Text.assemble((f"{mark} ", style), f"{step.name:<12}{format_percent(step.weight):>7}")
    if step.mirror:
        text.append(f"  mirrored {format_percent(step.mirror)}")
    if here and record:
        text.append(f"  {_held(step, record, now=now)}")
    elif record and record.ended_at:
        took = words.span(record.ended_at - record.started_at) if record.started_at else ""
        text.append(f"  {record.reason or 'Passed'}{f' after {took}' if took else ''}", style=DIM)
    elif step.hold:
        text.append(f"  held for {format_duration(step.hold)}", style=DIM)
    return text


def _held(step: Planned, record: StepRecord, *, now: datetime) -> str:
    if record.synced_at is None:
        return "waits for the gateways"
    if not step.hold:
        return f"for {words.span(now - record.synced_at)}"
    return f"held {words.span(min(step.hold, now - record.synced_at))} of {words.span(step.hold)}"


def _waits(item: Deployment, *, now: datetime) -> str:
    """What it waits for; a hold is counted down here, since the status says it only now and then."""
    rollout = item.rollout
    if rollout is None or rollout.reason != "Holding":
        return rollout.waiting_for if rollout else ""
    course, records = _course(item, rollout), rollout.steps_done
    step = next((one for one in course.steps if one.name == rollout.step), None) if course else None
    since = records[-1].synced_at if records else None
    if step is None or since is None:
        return rollout.waiting_for
    left = max(timedelta(0), step.hold - (now - since))
    return f"{words.span(left)} more of step {step.name}"


def _course(item: Deployment, rollout: RolloutStatus) -> Course | None:
    if item.spec is None:
        return None
    return plot(item.spec, Way(rollout.way) if rollout.way in list(Way) else Way.NEW)


def _position(rollout: RolloutStatus) -> str:
    if not rollout.step:
        return "–"
    if rollout.step == FINAL or not rollout.steps:
        return rollout.step
    return f"{rollout.step} {rollout.step_index}/{rollout.steps}"
