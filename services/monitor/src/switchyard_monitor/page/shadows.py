"""The shadows of one deployment as people read them: with what each is compared, what came of it, what was before.

Every record of a rollout says how all shadows stood. So what is another way than in the record before has happened in
between, and one that is named no more is compared no more.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby

from switchyard_contracts.model_deployment import ShadowState
from switchyard_contracts.topics import ShadowRecord

from switchyard_monitor.domain.rollouts import Happening
from switchyard_monitor.page import units
from switchyard_monitor.page.rollouts import Change, in_order
from switchyard_monitor.page.verdicts import Verdict, verdict

KINDS = {
    "going": (ShadowState.COMPARING, ShadowState.PROVISIONING),
    "waiting": (ShadowState.WAITING,),
    "bad": (ShadowState.NOT_READY, ShadowState.REFUSED),
}
"""States by how good the news is; a colour each, beside the word."""
PROVEN = {"Pass": "good", "Fail": "bad"}
ENDED = "Ended"


@dataclass(frozen=True, slots=True)
class Told:
    """How a shadow stood at one time; no record where it was named no more."""

    at_us: int
    record: ShadowRecord | None
    last: bool
    """Whether its words are those of this time."""


@dataclass(frozen=True, slots=True)
class Step:
    """One line of a shadow's timeline: as long as it stood the same way."""

    at: str
    iso: str
    state: str
    kind: str
    what: str
    message: str
    changes: Sequence[Change]


@dataclass(frozen=True, slots=True)
class Shadow:
    """One of spec.shadows; its steps newest first."""

    name: str
    number: int
    version: str
    revision: str
    state: str
    kind: str
    over: bool
    verdict: str
    sample: str
    against: str
    since: str
    pairs: str
    message: str
    said: str
    verdicts: Sequence[Verdict]
    """As last said."""
    steps: Sequence[Step]


def shadows(happenings: Iterable[Happening], *, names: Mapping[str, str], live: bool = True) -> list[Shadow]:
    """Each shadow that happenings tell of, those first that are compared still. `names` are versions by revision."""
    held: dict[str, list[Told]] = {}
    for said in in_order(happenings):
        now = {item.name: item for item in said.record.shadows}
        for name, item in now.items():
            held.setdefault(name, []).append(Told(said.at_us, item, said.last))
        for name, items in held.items():
            if name not in now and items[-1].record is not None:
                items.append(Told(said.at_us, None, last=True))
    known = {**names, **_versions(held)}
    found = sorted(held.items(), key=lambda item: item[1][-1].record is None)
    return [_shadow(name, items, number, known, live=live) for number, (name, items) in enumerate(found, start=1)]


def _versions(held: Mapping[str, Sequence[Told]]) -> dict[str, str]:
    records = [told.record for items in held.values() for told in items if told.record]
    return {record.revision: record.version for record in records if record.revision and record.version}


def _shadow(name: str, items: Sequence[Told], number: int, names: Mapping[str, str], *, live: bool) -> Shadow:
    told, last = next((told, told.record) for told in reversed(items) if told.record)
    over = items[-1].record is None or not live
    return Shadow(
        name=name,
        number=number,
        version=last.version or names.get(last.revision, last.revision),
        revision=last.revision,
        state=ENDED if over else last.state,
        kind="none" if over else _kind(last),
        over=over,
        verdict=last.verdict,
        sample=_share(last),
        against=names.get(last.against, last.against),
        since=units.moment(last.since) if last.since else "",
        pairs=units.count(last.pairs),
        message="" if last.state == ShadowState.COMPARING else units.whole(last.message),
        said=units.clock(told.at_us),
        verdicts=[verdict(item) for item in last.verdicts],
        steps=[_step(list(group), names) for _, group in groupby(items, key=_standing)][::-1],
    )


def _kind(record: ShadowRecord) -> str:
    found = next((name for name, states in KINDS.items() if record.state in states), "none")
    return PROVEN.get(record.verdict, found) if record.state == ShadowState.COMPARING else found


def _share(record: ShadowRecord) -> str:
    return f"{record.sample.replace('%', f'{units.GAP}%')} of stable's requests" if record.sample else ""


def _standing(told: Told) -> tuple[str, ...]:
    record = told.record
    if record is None:
        return (ENDED,)
    reason = "" if record.state == ShadowState.COMPARING else record.reason
    return record.state, record.revision, record.against, record.sample, reason


def _step(items: Sequence[Told], names: Mapping[str, str]) -> Step:
    record = next((told.record for told in reversed(items) if told.last), items[-1].record)
    words = record.message if record and any(told.last for told in items) else ""
    return Step(
        at=units.clock(items[0].at_us),
        iso=units.from_us(items[0].at_us).isoformat(),
        state=record.state if record else ENDED,
        kind=_kind(record) if record else "none",
        what=_what(record, names) if record else "it is compared no more",
        message=units.whole(words),
        changes=_changes(items),
    )


def _what(record: ShadowRecord, names: Mapping[str, str]) -> str:
    version = record.version or names.get(record.revision, record.revision)
    if not record.sample:
        return version
    return f"{version}, {_share(record)}, beside {names.get(record.against, record.against)}"


def _changes(items: Sequence[Told]) -> list[Change]:
    found: list[Change] = []
    known: dict[str, str] = {}
    for told in items:
        speaking = told.record.verdicts if told.record else []
        new = [item for item in speaking if known.get(item.name) != item.verdict]
        known = {item.name: item.verdict for item in speaking}
        if new:
            found.append(Change(units.clock(told.at_us), [verdict(item) for item in new]))
    return found
