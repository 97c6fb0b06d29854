"""The rollouts of one deployment as people read them: what was decided, when, and why."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from switchyard_contracts.model_deployment import MetricVerdict, Phase
from switchyard_contracts.quantities import FULL
from switchyard_contracts.topics import RolloutRecord

from switchyard_monitor.domain.rollouts import Happening
from switchyard_monitor.page import units
from switchyard_monitor.page.charts import Chart, Line, Mark, chart

KINDS = {
    "good": (Phase.COMPLETED, Phase.PROMOTING, Phase.WATCHING),
    "going": (Phase.PENDING, Phase.GATING, Phase.PROVISIONING, Phase.SHADOWING, Phase.PROGRESSING),
    "waiting": (Phase.AWAITING_EVIDENCE, Phase.PAUSED, Phase.SUSPENDED),
    "bad": (Phase.ROLLING_BACK, Phase.ROLLED_BACK, Phase.REFUSED),
}
"""Phases by how good the news is; a colour each, beside the word."""
ENDED = frozenset({Phase.COMPLETED, Phase.ROLLED_BACK, Phase.REFUSED, Phase.SUPERSEDED})
SHAPES = {"Pass": "circle", "Fail": "cross", "Inconclusive": "diamond", "NoData": "ring", "Error": "triangle"}
WORST_FIRST = ("Fail", "Error", "Inconclusive", "NoData", "Pass")


@dataclass(frozen=True, slots=True)
class Verdict:
    """One metric's verdict, in units."""

    name: str
    metric: str
    role: str
    verdict: str
    reason: str
    message: str
    value: str
    against: str
    samples: str


@dataclass(frozen=True, slots=True)
class Step:
    """One line of the timeline."""

    at: str
    iso: str
    phase: str
    kind: str
    step: str
    weight: str
    traffic: int
    reason: str
    message: str
    verdicts: Sequence[Verdict]
    again: str
    """When it was said once more, empty when it was not."""


@dataclass(frozen=True, slots=True)
class Rollout:
    """One rollout; its steps newest first."""

    id: str
    number: int
    revision: str
    version: str
    phase: str
    kind: str
    ended: bool
    weight: str
    reason: str
    message: str
    began: str
    lasted: str
    steps: Sequence[Step]
    chart: Chart | None


def kind(phase: str) -> str:
    """How good the news is; a phase of a newer operator is none."""
    return next((name for name, phases in KINDS.items() if phase in phases), "none")


def rollouts(happenings: Iterable[Happening], *, now: float) -> list[Rollout]:
    """Each rollout that happenings tell of, the newest first."""
    held: dict[str, list[tuple[Happening, RolloutRecord]]] = {}
    for happening in happenings:
        record = happening.record
        held.setdefault(record.rollout, []).append((happening, record))
    told = [sorted(items, key=lambda item: (item[0].first_us, item[0].id)) for items in held.values()]
    told.sort(key=lambda items: items[-1][0].last_us, reverse=True)
    return [_rollout(items, number, now) for number, items in enumerate(told, start=1)]


def _rollout(items: Sequence[tuple[Happening, RolloutRecord]], number: int, now: float) -> Rollout:
    # What was said last holds, also where it had been said before.
    newest, last = max(items, key=lambda item: (item[0].last_us, item[0].id))
    began, over = items[0][0].first_us / 1e6, newest.last_us / 1e6
    # One that a newer rollout followed is over, whatever was said of it last.
    ended = last.phase in ENDED or number > 1
    end = over if ended else max(now, over)
    return Rollout(
        id=last.rollout,
        number=number,
        revision=last.revision,
        version=last.version or last.revision or "nothing new",
        phase=last.phase,
        kind=kind(last.phase),
        ended=ended,
        weight=units.weight(last.weight_bp),
        reason=last.reason,
        message=last.message,
        began=units.moment(items[0][0].first),
        lasted=units.span(end - began),
        steps=[_step(happening, record) for happening, record in reversed(items)],
        chart=_chart(items, f"weight-{number}", last.version or last.revision, began=began, end=end),
    )


def _chart(
    items: Sequence[tuple[Happening, RolloutRecord]], id: str, name: str, *, began: float, end: float
) -> Chart | None:
    times = [(happening.first_us / 1e6, record) for happening, record in items]
    marks: list[Mark] = []
    shown: dict[str, str] = {}
    for at, record in times:
        said: dict[str, str] = {item.name: item.verdict for item in record.verdicts}
        if said and said != shown:
            worst = next(word for word in WORST_FIRST if word in said.values())
            words = ", ".join(f"{metric} {verdict}" for metric, verdict in sorted(said.items()))
            marks.append(Mark(SHAPES[worst], at, record.weight_bp / FULL, words))
        shown = said
    return chart(
        id,
        f"Weight of {name or 'the new revision'} over time",
        lines=[Line(name or "the new revision", 1, [(at, record.weight_bp / FULL) for at, record in times])],
        begin=began,
        end=end + max(1.0, 0.02 * (end - began)),
        words=lambda share: units.weight(round((share or 0) * FULL)),
        top=1.0,
        stepped=True,
        marks=marks,
    )


def _step(happening: Happening, record: RolloutRecord) -> Step:
    return Step(
        at=units.moment(happening.first),
        iso=happening.first.isoformat(),
        phase=record.phase,
        kind=kind(record.phase),
        step=record.step,
        weight=units.weight(record.weight_bp),
        traffic=record.traffic,
        reason=record.reason,
        message=record.message,
        verdicts=[_verdict(item) for item in record.verdicts],
        again=units.moment(units.from_us(happening.last_us)) if happening.last_us != happening.first_us else "",
    )


def _verdict(item: MetricVerdict) -> Verdict:
    needed = "" if item.needed is None else f" of {units.count(item.needed)}"
    return Verdict(
        name=item.name,
        metric=item.metric,
        role=item.role.value,
        verdict=item.verdict,
        reason=item.reason,
        message=item.message,
        value=units.measured(item.metric, item.value),
        against=units.measured(item.metric, item.against),
        samples=f"{units.count(item.samples)}{needed}",
    )
