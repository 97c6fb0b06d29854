"""Alarms: what one rule makes of its windows, one after another, each judged once.

The clock is the events' own. A window is judged when the watermark has passed its end by as long as its events may be
on their way or, where labels count, by age L; that moment is the look's time, and cool-downs run from one such moment
to another. So the same events lead to the same alarms, whenever, by whom and in however many attempts they are judged.

A window that says nothing takes its place among the last n and is neither broken nor cleared: it fires nothing, clears
nothing, and what was broken before it grows old meanwhile. Only a rule that says so takes silence for a breach.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Any, Self

from switchyard_contracts.alarm_records import DriftedFeature, Standing
from switchyard_contracts.alarms import DRIFT, MOST_LOOKS, REQUESTS, Alarm, WithoutData
from switchyard_contracts.canonical import digest

MICROSECOND = timedelta(microseconds=1)
MOST_NAMES = 100
"""Of the features that drifted in one window, so many are remembered, those that drifted most."""


@dataclass(frozen=True, slots=True)
class Reading:
    """What one window says, before it is held against a limit."""

    value: float | None
    """None where nothing can be said; `words` say why."""
    samples: int = 0
    words: str = ""
    features: tuple[DriftedFeature, ...] = ()
    """Those that drifted, or whose rows are meant, the worst first."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """One rule in numbers; times in microseconds."""

    name: str
    metric: str
    feature: str = ""
    high: float | None = None
    low: float | None = None
    clear: float
    """What clears it; the limit itself where nothing else is said."""
    limit: str = ""
    clear_text: str = ""
    window_us: int
    age_us: int = 0
    """How long after its end it is judged: of labels, how old the window's last prediction must be."""
    breaches: int = 2
    of: int = 3
    samples: int = 1
    cooldown_us: int
    silence_fires: bool = False
    baseline: str = ""
    """The reference that X and Y are held against."""

    @classmethod
    def of_alarm(
        cls, alarm: Alarm, *, base: timedelta, judged_after: timedelta | None, reference_us: int, baseline: str = ""
    ) -> Self:
        """The rule of a resource, beside what else this says of windows, labels and the reference. Labels are judged
        at an age L where the resource says one; decisions alone have none."""
        limit = alarm.min or alarm.max
        value, text = (limit.value, limit.text) if limit else (0.0, "0")
        span = alarm.span(base)
        window = reference_us * MICROSECOND if span is None else span
        at_age = judged_after if alarm.waits_for_labels and alarm.after is None else None
        return cls(
            name=alarm.name,
            metric=alarm.metric,
            feature=alarm.feature or "",
            high=None if alarm.min else value,
            low=value if alarm.min else None,
            clear=alarm.clear.value if alarm.clear else value,
            limit=f"{'min' if alarm.min else 'max'} {text}",
            clear_text=alarm.clear.text if alarm.clear else "",
            window_us=window // MICROSECOND,
            age_us=(alarm.settled(window) if at_age is None else at_age) // MICROSECOND,
            breaches=alarm.breaches,
            of=alarm.of,
            samples=1 if alarm.metric == REQUESTS else alarm.min_samples,
            cooldown_us=alarm.cooldown // MICROSECOND,
            silence_fires=alarm.on_no_data is WithoutData.FIRE,
            baseline=baseline if alarm.needs_reference else "",
        )

    @property
    def definition(self) -> str:
        """What its looks are of: where this changes, those of before say nothing any more."""
        of = [self.metric, self.feature, self.high, self.low, self.clear, self.window_us, self.age_us, self.baseline]
        return digest([*of, self.samples])[:16]

    def at(self, start_us: int) -> int:
        """When a window can be judged."""
        return start_us + self.window_us + self.age_us

    def newest(self, watermark_us: int) -> int:
        """The start of the newest window that can be judged."""
        ripe = watermark_us - self.age_us
        return ripe - ripe % self.window_us - self.window_us

    def stand(self, reading: Reading) -> Standing:
        """What a window says, held against the limits."""
        value = reading.value
        if value is None:
            return Standing.NO_DATA
        if self.low is not None:
            return Standing.BREACH if value < self.low else Standing.CLEAR if value >= self.clear else Standing.BETWEEN
        high = self.high or 0.0
        return Standing.BREACH if value > high else Standing.CLEAR if value <= self.clear else Standing.BETWEEN


@dataclass(frozen=True, slots=True)
class Look:
    """One window that was judged."""

    start_us: int
    standing: Standing
    value: float | None = None
    samples: int = 0
    words: str = ""
    names: tuple[str, ...] = ()
    """Of drift: `<feature>/<aspect>` of what drifted."""


@dataclass(frozen=True, slots=True)
class State:
    """What is remembered of a rule: all that the next look depends on."""

    definition: str
    revision: str
    """Which revision it is about; empty where it is about all who serve."""
    next_us: int
    """The start of the window that is judged next."""
    since_us: int = 0
    """From when on it is watched; windows that began before were silent for good reasons."""
    looks: tuple[Look, ...] = ()
    firing: bool = False
    fired_us: int | None = None
    """When it fired last."""
    event: str = ""
    """The id of the record that said so."""

    def encode(self) -> dict[str, Any]:
        """As JSON."""
        looks = [
            [look.start_us, look.standing.value, look.value, look.samples, look.words, list(look.names)]
            for look in self.looks
        ]
        return {
            "definition": self.definition,
            "revision": self.revision,
            "next": self.next_us,
            "since": self.since_us,
            "looks": looks,
            "firing": self.firing,
            "fired": self.fired_us,
            "event": self.event,
        }

    @classmethod
    def read(cls, text: str) -> Self | None:
        """From JSON text; None where it is not of this release, and the rule has to begin anew."""
        try:
            return cls.decode(json.loads(text))
        except (KeyError, TypeError, ValueError):
            return None

    @classmethod
    def decode(cls, body: Any) -> Self:
        """From JSON."""
        looks = tuple(
            Look(start, Standing(standing), value, samples, words, tuple(names))
            for start, standing, value, samples, words, names in body["looks"]
        )
        return cls(
            definition=body["definition"],
            revision=body["revision"],
            next_us=body["next"],
            since_us=body["since"],
            looks=looks,
            firing=body["firing"],
            fired_us=body["fired"],
            event=body["event"],
        )


@dataclass(frozen=True, slots=True)
class Step:
    """A look, and what came of it."""

    state: State
    at_us: int
    look: Look
    reading: Reading = field(compare=False)
    fired: bool = False
    recovered: bool = False


def first(terms: Terms, watermark_us: int) -> int:
    """Where a rule begins that nothing was remembered of: so far back that what is there already can fire it."""
    return terms.newest(watermark_us) - (terms.of - 1) * terms.window_us


def due(terms: Terms, state: State, watermark_us: int) -> Iterator[int]:
    """The windows that can be judged and were not, in order of time."""
    start = state.next_us
    while terms.at(start) <= watermark_us:
        yield start
        start += terms.window_us


def advance(terms: Terms, state: State, reading: Reading, *, event: str) -> Step:
    """Judge the next window. `event` is the id by which it is known, should it fire."""
    start, at = state.next_us, terms.at(state.next_us)
    names = tuple(f"{one.feature}/{one.aspect}" for one in reading.features[:MOST_NAMES])
    standing = terms.stand(reading)
    look = Look(start, standing, reading.value, reading.samples, reading.words, names if terms.metric == DRIFT else ())
    looks = (*state.looks, look)[-MOST_LOOKS:]
    state = replace(state, next_us=start + terms.window_us, looks=looks)
    last = looks[-terms.of :]
    watched = [look for look in last if look.standing is not Standing.NO_DATA or look.start_us >= state.since_us]
    if broken(terms, watched):
        if not state.firing and cooled(terms, state, at):
            state = replace(state, firing=True, fired_us=at, event=event)
            return Step(state, at, look, reading, fired=True)
    elif state.firing and _count(last, Standing.CLEAR) >= terms.breaches:
        return Step(replace(state, firing=False), at, look, reading, recovered=True)
    return Step(state, at, look, reading)


def cooled(terms: Terms, state: State, at_us: int) -> bool:
    """Whether it may fire again."""
    return state.fired_us is None or at_us >= state.fired_us + terms.cooldown_us


def broken(terms: Terms, last: Sequence[Look]) -> bool:
    """Whether enough of the last windows are beyond the limit; of drift, in the same features."""
    if terms.silence_fires and _count(last, Standing.NO_DATA) >= terms.breaches:
        return True
    if terms.metric == DRIFT and not terms.feature:
        return len(lasting(last, least=terms.breaches)) > (terms.high or 0.0)
    silent = _count(last, Standing.NO_DATA) if terms.silence_fires else 0
    return _count(last, Standing.BREACH) + silent >= terms.breaches


def lasting(last: Sequence[Look], *, least: int) -> set[str]:
    """The features of which the same aspect drifted in at least so many of these windows."""
    times = Counter(name for look in last for name in set(look.names))
    return {name.rpartition("/")[0] for name, many in times.items() if many >= least}


def _count(looks: Sequence[Look], standing: Standing) -> int:
    return sum(look.standing is standing for look in looks)
