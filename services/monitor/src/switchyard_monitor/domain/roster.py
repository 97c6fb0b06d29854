"""The roster: all rules of one deployment with what is remembered of them, and what is said when they are judged.

Looks of several rules are taken in the order of the moments at which they could be judged, so that what rests on more
than one of them, the cool-down of retraining, does not depend on who judged how many at once.
"""

from __future__ import annotations

import hashlib
import heapq
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

from switchyard_contracts import alarm_records
from switchyard_contracts.alarm_records import AlarmEvent, AlarmRecord, AlarmState, Standing
from switchyard_contracts.alarms import DRIFT, REQUESTS
from switchyard_contracts.judgement import count, number, percent
from switchyard_contracts.quantities import format_duration
from switchyard_contracts.windows import MICROSECOND

from switchyard_monitor.domain.alarms import Look, Reading, State, Step, Terms, advance, due, first
from switchyard_monitor.domain.gauges import told_from
from switchyard_monitor.domain.retention import UNMOVED, Rungs
from switchyard_monitor.domain.rows import moment

MOST_LOOKS = 500
"""Judged in one go; the rest follows in the next."""
MOST_FEATURES = 20
"""Of those that drifted, so many are told."""

Read = Callable[[Terms, str, int], Reading]
"""What a rule's window says of a revision, by the window's start."""


@dataclass(frozen=True, slots=True)
class Retraining:
    """By which alarms a model is trained anew, and how often at most."""

    on: frozenset[str] = frozenset()
    cooldown_us: int = 0


@dataclass(frozen=True, slots=True)
class Asked:
    """The last request to retrain."""

    at_us: int | None = None
    request: str = ""


@dataclass(frozen=True, slots=True)
class Judged:
    """What judging came to."""

    states: Mapping[str, State]
    asked: Asked
    records: tuple[AlarmRecord, ...] = ()
    looks: int = 0
    more: bool = False
    """Whether some that could be judged were left for the next time."""
    begins_us: int | None = None
    """The start of the first window that a rule begins with, of those that nothing was remembered of."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Roster:
    """One deployment's rules, and the revision that serves."""

    subject: str
    terms: Sequence[Terms] = ()
    retraining: Retraining = field(default_factory=Retraining)
    revision: str = ""
    """The stable one; empty before the first promotion."""
    version: str = ""

    def about(self, terms: Terms) -> str:
        """The revision that a rule is about."""
        return "" if terms.metric == REQUESTS else self.revision

    def next_us(self, states: Mapping[str, State], watermark_us: int) -> int:
        """From which watermark on there is something to be judged."""
        found = self._enrolled(states, watermark_us)[0]
        return min((terms.at(found[terms.name].next_us) for terms in self.terms if terms.name in found), default=2**62)

    def judge(
        self,
        states: Mapping[str, State],
        asked: Asked,
        *,
        watermark_us: int,
        read: Read,
        closed: Mapping[str, str] | None = None,
        rungs: Rungs = UNMOVED,
    ) -> Judged:
        """Judge all windows that can be and were not, each once. `closed` are the ids that closed a rule's alarm last:
        where it begins anew and fires by the same window as before, that is another alarm. `rungs` say which windows
        are not as they were."""
        held, records = self._enrolled(states, watermark_us, rungs)
        begun = [state.next_us for name, state in held.items() if states.get(name) != state]
        ends = {**(closed or {}), **{record.alarm: record.id for record in records}}
        by_name = {terms.name: terms for terms in self.terms if terms.name in held}
        # A rule's windows come in order: of a long absence's many none is thought of before its turn.
        ahead = heapq.merge(*(_moments(terms, held[terms.name], watermark_us) for terms in by_name.values()))
        looks = 0
        for _, name, start in islice(ahead, MOST_LOOKS):
            looks, terms, end = looks + 1, by_name[name], ends.get(name, "")
            reading = read(terms, self.about(terms), start)
            step = advance(terms, held[name], reading, event=self._id(terms, start, AlarmEvent.FIRED, end))
            held[name] = step.state
            if step.fired or step.recovered:
                records.append(self._record(terms, step, AlarmEvent.FIRED if step.fired else AlarmEvent.RECOVERED, end))
            if self._wants_retraining(terms, step, asked):
                request = self._record(terms, step, AlarmEvent.RETRAIN_REQUESTED, end)
                asked = Asked(step.at_us, request.id)
                records.append(request)
        more = next(ahead, None) is not None
        return Judged(held, asked, tuple(records), looks, more=more, begins_us=min(begun, default=None))

    def _enrolled(
        self, states: Mapping[str, State], watermark_us: int, rungs: Rungs = UNMOVED
    ) -> tuple[dict[str, State], list[AlarmRecord]]:
        """Each rule's state: the one that was kept, or a new one; what fired and is no more is closed.

        A rule begins with windows that can be told: that older ones cannot is nobody's silence.
        """
        found: dict[str, State] = {}
        closed: list[AlarmRecord] = []
        for terms in self.terms:
            about, held = self.about(terms), states.get(terms.name)
            if held and (held.definition, held.revision) == (terms.definition, about):
                found[terms.name] = held
                continue
            if held and held.firing:
                reason = "Superseded" if held.definition == terms.definition else "RuleChanged"
                closed.append(self._closed(terms.name, held, reason, watermark_us))
            if not about and terms.metric != REQUESTS:
                continue
            start = max(first(terms, watermark_us), told_from(terms, rungs))
            if held and held.definition == terms.definition:
                start = max(start, held.next_us)
            found[terms.name] = State(terms.definition, about, start, since_us=watermark_us)
        for name in sorted(states.keys() - {terms.name for terms in self.terms}):
            if states[name].firing:
                closed.append(self._closed(name, states[name], "RuleRemoved", watermark_us))
        return found, closed

    def _wants_retraining(self, terms: Terms, step: Step, asked: Asked) -> bool:
        """While an alarm fires, by a window that is broken, once per cool-down: what came to nothing is asked again."""
        broken = step.look.standing is Standing.BREACH or (terms.silence_fires and step.look.value is None)
        if terms.name not in self.retraining.on or not step.state.firing or not broken:
            return False
        return asked.at_us is None or step.at_us >= asked.at_us + self.retraining.cooldown_us

    def _record(self, terms: Terms, step: Step, event: AlarmEvent, end: str) -> AlarmRecord:
        namespace, _, name = self.subject.partition("/")
        fired = event is AlarmEvent.FIRED
        return AlarmRecord(
            id=step.state.event if fired else self._id(terms, step.look.start_us, event, end),
            event=event,
            namespace=namespace,
            name=name,
            alarm=terms.name,
            metric=terms.metric,
            feature=terms.feature,
            revision=step.state.revision,
            version=self.version if step.state.revision else "",
            at=moment(step.at_us),
            fired_at=_time(step.state.fired_us),
            value=step.look.value,
            samples=step.look.samples,
            limit=terms.limit,
            clear=terms.clear_text,
            window_seconds=terms.window_us // 1_000_000,
            breaches=terms.breaches,
            of=terms.of,
            looks=looks(step.state.looks[-terms.of :]),
            features=list(step.reading.features[:MOST_FEATURES]),
            baseline=terms.baseline,
            cause="" if fired else step.state.event,
            reason=event.value,
            message=sentence(terms, step.state.looks[-terms.of :]),
        )

    def _closed(self, name: str, held: State, reason: str, watermark_us: int) -> AlarmRecord:
        """What it was about is no more."""
        namespace, _, deployment = self.subject.partition("/")
        words = {
            "Superseded": f"{held.revision or 'what served'} is no longer the revision that serves",
            "RuleChanged": "the rule or its reference was changed, and it begins anew",
            "RuleRemoved": "the rule was taken out",
        }
        metric = next((terms.metric for terms in self.terms if terms.name == name), "")
        return AlarmRecord(
            id=identity(held.event, AlarmEvent.CLOSED.value),
            event=AlarmEvent.CLOSED,
            namespace=namespace,
            name=deployment,
            alarm=name,
            metric=metric,
            revision=held.revision,
            at=moment(watermark_us),
            fired_at=_time(held.fired_us),
            cause=held.event,
            reason=reason,
            message=words[reason],
        )

    def _id(self, terms: Terms, start_us: int, event: AlarmEvent, end: str) -> str:
        of = (self.subject, terms.name, terms.definition, self.about(terms), terms.window_us, start_us, event.value)
        return identity(*of, *([end] if end else []))


def _moments(terms: Terms, held: State, watermark_us: int) -> Iterator[tuple[int, str, int]]:
    """When each window that is due could be judged, by which rule, and when it begins."""
    return ((terms.at(start), terms.name, start) for start in due(terms, held, watermark_us))


def identity(*of: object) -> str:
    """The same for the same happening, whoever says it and how often."""
    return hashlib.sha256("\0".join(map(str, of)).encode()).hexdigest()[:32]


def state(terms: Terms, held: State | None, *, waits_for: str = "") -> AlarmState:
    """How one rule stands."""
    last = held.looks[-terms.of :] if held else ()
    return AlarmState(
        alarm=terms.name,
        metric=terms.metric,
        feature=terms.feature,
        revision=held.revision if held else "",
        firing=bool(held and held.firing),
        fired_at=_time(held.fired_us) if held else None,
        event=held.event if held else "",
        value=last[-1].value if last else None,
        limit=terms.limit,
        clear=terms.clear_text,
        next_window=moment(held.next_us) if held else None,
        looks=looks(last),
        message=sentence(terms, last) if last else waits_for or "no window was judged yet",
    )


def looks(held: Sequence[Look]) -> list[alarm_records.Look]:
    """As others read them."""
    return [
        alarm_records.Look(
            start=moment(look.start_us),
            standing=look.standing,
            value=look.value,
            samples=look.samples,
            message=look.words,
        )
        for look in held
    ]


def sentence(terms: Terms, last: Sequence[Look]) -> str:
    """What the last windows say, in numbers."""
    what = f"{terms.metric} of {terms.feature}" if terms.feature else terms.metric
    window = format_duration(terms.window_us * MICROSECOND)
    broken = sum(look.standing is Standing.BREACH for look in last)
    silent = sum(look.standing is Standing.NO_DATA for look in last)
    newest = last[-1]
    is_value = f"is {written(terms, newest.value)}" if newest.value is not None else f"cannot be told ({newest.words})"
    text = (
        f"{what} {is_value} in the window of {window} from {moment(newest.start_us).isoformat(timespec='seconds')}"
        f" ({terms.limit}); {count(broken)} of the last {count(len(last))} windows are beyond it"
    )
    return f"{text}, {count(silent)} without data" if silent else text


def written(terms: Terms, value: float) -> str:
    """A value in the unit of its limit."""
    if terms.limit.endswith("%"):
        return percent(value)
    if terms.metric.startswith("latency"):
        return f"{number(value * 1000)} ms"
    if terms.metric in (REQUESTS, DRIFT):
        return count(round(value))
    return number(value)


def _time(at_us: int | None) -> Any:
    return None if at_us is None else moment(at_us)
