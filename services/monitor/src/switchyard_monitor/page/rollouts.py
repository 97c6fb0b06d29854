"""The rollouts of one deployment as people read them: what was decided, when, and why."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import groupby

from switchyard_contracts.model_deployment import Phase, Role
from switchyard_contracts.topics import RolloutRecord

from switchyard_monitor.domain.rollouts import ENDED, Happening
from switchyard_monitor.page import units
from switchyard_monitor.page.charts import Chart
from switchyard_monitor.page.verdicts import Verdict, verdict
from switchyard_monitor.page.weights import weights

KINDS = {
    "good": (Phase.COMPLETED, Phase.PROMOTING, Phase.WATCHING),
    "going": (Phase.PENDING, Phase.GATING, Phase.PROVISIONING, Phase.SHADOWING, Phase.PROGRESSING),
    "waiting": (Phase.AWAITING_EVIDENCE, Phase.PAUSED, Phase.SUSPENDED),
    "bad": (Phase.ROLLING_BACK, Phase.ROLLED_BACK, Phase.REFUSED),
}
"""Phases by how good the news is; a colour each, beside the word."""
FOLLOWED = {Phase.WATCHING: Phase.COMPLETED, Phase.ROLLING_BACK: Phase.ROLLED_BACK}
"""What becomes of a rollout that another one followed before its end. All others are superseded."""


@dataclass(frozen=True, slots=True)
class Said:
    """One time at which something was said; what is said again after something else was said is there twice."""

    at_us: int
    again_us: int
    record: RolloutRecord
    last: bool
    """Whether the record's message is that of this time; of what was said again, only the last words are kept."""


@dataclass(frozen=True, slots=True)
class Change:
    """Verdicts that became others; the first of a step has them all."""

    at: str
    verdicts: Sequence[Verdict]


@dataclass(frozen=True, slots=True)
class Step:
    """One line of the timeline: as long as phase, step, weight, reason and message were the same."""

    at: str
    iso: str
    phase: str
    kind: str
    step: str
    weight: str
    traffic: str
    reason: str
    message: str
    changes: Sequence[Change]
    again: str
    """When it was said once more, empty when it was not."""


@dataclass(frozen=True, slots=True)
class Rollout:
    """One rollout; its steps newest first."""

    id: str
    number: int
    attempt: str
    """Which attempt it is, where it is not the first."""
    revision: str
    version: str
    phase: str
    kind: str
    ended: bool
    step: str
    weight: str
    reason: str
    message: str
    waits: str
    """What it waits for, where that says more than the message does."""
    said: str
    ago: str
    began: str
    lasted: str
    verdicts: Sequence[Verdict]
    """As last said."""
    steps: Sequence[Step]
    chart: Chart | None
    still: str
    """From when on nothing changed, where the chart does not go on for as long."""


def kind(phase: str) -> str:
    """How good the news is; a phase of a newer operator is none."""
    return next((name for name, phases in KINDS.items() if phase in phases), "none")


def rollouts(happenings: Iterable[Happening], *, now: float, live: bool = True) -> list[Rollout]:
    """Each rollout that happenings tell of, the newest first. Of a deployment that is gone, none is under way."""
    held: dict[str, list[Said]] = {}
    gaps: dict[str, list[int]] = {}
    before = ""
    for said in _of_rollouts(in_order(happenings)):
        id = said.record.rollout
        if before and id != before:
            gaps.setdefault(before, []).append(said.at_us)
        held.setdefault(id, []).append(said)
        before = id
    told = sorted(held.items(), key=lambda item: item[1][-1].again_us, reverse=True)
    return [
        _rollout(items, number, gaps.get(id, []), now, over=number > 1 or not live)
        for number, (id, items) in enumerate(told, start=1)
    ]


def _of_rollouts(every: Iterable[Said]) -> list[Said]:
    """What was said of rollouts: that a shadow stands otherwise is no news of the one beside it."""
    found: list[Said] = []
    stood: set[object] = set()
    for said in every:
        before = found[-1] if found else None
        stood.add(beside := _beside(said.record))
        # A route that took a shadow in, or let one go, is of a new generation for that alone.
        routed = len(stood) == 1
        if before is None or not any(stood) or _of_itself(before.record, routed) != _of_itself(said.record, routed):
            found.append(said)
            stood = {beside}
        elif said.last and not before.last:
            found[-1] = replace(before, record=said.record, last=True)
    return found


def _of_itself(record: RolloutRecord, routed: bool) -> tuple[object, ...]:
    verdicts = [(item.name, item.verdict) for item in record.verdicts]
    traffic = record.traffic if routed else 0
    return record.rollout, record.phase, record.step, record.weight_bp, traffic, record.reason, verdicts


def _beside(record: RolloutRecord) -> tuple[object, ...]:
    """Which shadows there are, and what the route has of each."""
    return tuple((item.name, item.revision, item.state, item.sample, item.against) for item in record.shadows)


def in_order(happenings: Iterable[Happening]) -> list[Said]:
    """What was said, in time. The same once more with nothing in between is once, with the time of the last."""
    every: list[Said] = []
    for happening in happenings:
        record = happening.record
        once = happening.first_us == happening.last_us
        every.append(Said(happening.first_us, happening.first_us, record, last=once))
        if not once:
            every.append(Said(happening.last_us, happening.last_us, record, last=True))
    # Of two at the same time the one of the older route came first.
    every.sort(key=lambda said: (said.at_us, said.record.traffic, said.record.id))
    found: list[Said] = []
    for said in every:
        if found and (found[-1].record.rollout, found[-1].record.id) == (said.record.rollout, said.record.id):
            found[-1] = Said(found[-1].at_us, said.at_us, said.record, last=True)
        else:
            found.append(said)
    return found


def _rollout(items: Sequence[Said], number: int, gaps: Sequence[int], now: float, *, over: bool) -> Rollout:
    last = items[-1].record
    phase = last.phase
    if number > 1 and phase not in ENDED:
        phase = next((after for before, after in FOLLOWED.items() if before == phase), Phase.SUPERSEDED)
    began, end = items[0].at_us / 1e6, max(now, items[-1].again_us / 1e6)
    ended = over or last.phase in ENDED
    if last.phase in ENDED:
        end = _ending(items).at_us / 1e6
    elif ended:
        end = (gaps[-1] if gaps and gaps[-1] > items[-1].at_us else items[-1].again_us) / 1e6
    name = last.version or last.revision
    attempt = last.rollout.rpartition(".")[2]
    drawn = weights(
        [(said.at_us / 1e6, said.record) for said in items],
        gaps=[gap / 1e6 for gap in gaps],
        id=f"weight-{number}",
        name=name,
        end=end,
    )
    return Rollout(
        id=last.rollout,
        number=number,
        attempt=attempt if attempt.isdecimal() and attempt != "1" else "",
        revision=last.revision,
        version=name or "nothing new",
        phase=phase,
        kind=kind(phase),
        ended=ended,
        step=last.step,
        weight=units.weight(last.weight_bp),
        reason=last.reason,
        message=units.whole(last.message),
        waits="" if ended or last.waiting_for == last.message else units.whole(last.waiting_for),
        said=units.clock(items[-1].again_us),
        ago=units.span(max(0.0, now - items[-1].again_us / 1e6)),
        began=units.clock(items[0].at_us),
        lasted=units.span(end - began),
        verdicts=[verdict(item) for item in last.verdicts],
        steps=[_step(list(group)) for _, group in groupby(items, key=_standing)][::-1],
        chart=drawn.chart,
        still="" if drawn.still is None else units.clock(round(drawn.still * 1e6)),
    )


def _ending(items: Sequence[Said]) -> Said:
    """The first of the ended phases that were said without another in between."""
    found = items[-1]
    for said in reversed(items):
        if said.record.phase not in ENDED:
            break
        found = said
    return found


def _standing(said: Said) -> tuple[str, str, int, str, str]:
    record = said.record
    return record.phase, record.step, record.weight_bp, record.reason, _message(said)


def _message(said: Said) -> str:
    return said.record.message if said.last else ""


def _step(items: Sequence[Said]) -> Step:
    first, last = items[0], items[-1]
    record = last.record
    routes = sorted({said.record.traffic for said in items if said.record.traffic})
    return Step(
        at=units.clock(first.at_us),
        iso=units.from_us(first.at_us).isoformat(),
        phase=record.phase,
        kind=kind(record.phase),
        step=record.step,
        weight=units.weight(record.weight_bp),
        traffic=_generations(routes),
        reason=record.reason,
        message=units.whole(_message(last)),
        changes=_changes(items),
        again=units.clock(last.again_us) if last.again_us != last.at_us else "",
    )


def _generations(routes: Sequence[int]) -> str:
    if not routes:
        return ""
    return f"generation {routes[0]}" if len(routes) == 1 else f"generations {routes[0]} to {routes[-1]}"


def _changes(items: Sequence[Said]) -> list[Change]:
    found: list[Change] = []
    known: dict[str, str] = {}
    for said in items:
        speaking = [item for item in said.record.verdicts if item.role is not Role.OBSERVE]
        new = [item for item in speaking if known.get(item.name) != item.verdict]
        known = {item.name: item.verdict for item in speaking}
        if new:
            found.append(Change(units.clock(said.at_us), [verdict(item) for item in new]))
    return found
