"""How often drift is cried on days of flights on which nothing changed, and is found where something did.

Days are drawn from the whole year by lot, some for the reference, others to be judged: each day is whole, so its rows
are as alike as they are, but no season lies between the two. The same rows shuffled over the same days are beside it,
for that is what calibrations are often done on. In their real order days do change, and what is found there is drift.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from switchyard_demo_model.pipeline import flights
from switchyard_demo_model.pipeline.prepare import FEATURES
from switchyard_monitor.domain.drift import judge, lasting
from switchyard_monitor.domain.twosample import chance_of, pearson, pooled
from switchyard_monitor.domain.usual import Aspect, Yardstick
from switchyard_profile.profile import Profile
from switchyard_profile.reference import DAY_SECONDS, Reference
from switchyard_profile.training import reference

LEARNT_DAYS = 45
"""Of the reference, as many as the demo's models are trained on."""
JUDGED_DAYS = 90
NAIVE = 0.01
K, N = 2, 3

Day = Mapping[str, Sequence[Any]]
Key = tuple[str, Aspect]


@dataclass(frozen=True, slots=True)
class Days:
    """What came of some judged days, in their order."""

    naive: Sequence[frozenset[str]]
    """Features that differ at p < 1 % if rows were independent."""
    found: Sequence[frozenset[Key]]
    """What is called drift."""

    def alarms(self, k: int, n: int) -> int:
        """How often k of n began to hold, for anything."""
        begun = 0
        for key in frozenset().union(*self.found):
            drifted = [key in one for one in self.found]
            held = [lasting(drifted[: at + 1], k=k, n=n) for at in range(len(drifted))]
            begun += sum(now and not before for before, now in zip([False, *held], held, strict=False))
        return begun


def days_of(source: Path) -> list[Day]:
    """Every day of the year, as the columns of X."""
    table = flights.read(source)
    return [_plain(day) for _, day in table.groupby("date", sort=True)]


def _plain(day: pd.DataFrame) -> Day:
    found = day[list(FEATURES)].astype(object)
    return {name: found[name].where(found[name].notna(), None).tolist() for name in FEATURES}


def by_lot(days: Sequence[Day], chance: np.random.Generator) -> tuple[list[Day], list[Day]]:
    """Days for the reference, and others to be judged."""
    drawn = [days[at] for at in chance.permutation(len(days))[: LEARNT_DAYS + JUDGED_DAYS]]
    return drawn[:LEARNT_DAYS], drawn[LEARNT_DAYS:]


def shuffled(days: Sequence[Day], chance: np.random.Generator) -> list[Day]:
    """As many days of as many rows, each row on any of them."""
    pooled_rows = {name: [value for day in days for value in day[name]] for name in FEATURES}
    order = chance.permutation(len(pooled_rows[FEATURES[0]])).tolist()
    mixed = {name: [values[row] for row in order] for name, values in pooled_rows.items()}
    bounds = np.cumsum([0, *(len(day[FEATURES[0]]) for day in days)]).tolist()
    return [{name: values[first:last] for name, values in mixed.items()} for first, last in pairwise(bounds)]


def learn(days: Sequence[Day]) -> Yardstick:
    """A reference of these days."""
    columns = {name: [value for day in days for value in day[name]] for name in FEATURES}
    times = [at * DAY_SECONDS for at, day in enumerate(days) for _ in day[FEATURES[0]]]
    return Yardstick(reference(columns, times=times))


def watch(yardstick: Yardstick, days: Sequence[Day]) -> Days:
    """Judge day after day."""
    both = [_judged(yardstick, day, at) for at, day in enumerate(days, start=LEARNT_DAYS)]
    return Days([naive for naive, _ in both], [found for _, found in both])


def _judged(yardstick: Yardstick, day: Day, at: int) -> tuple[frozenset[str], frozenset[Key]]:
    made = yardstick.reference
    profile = Profile.of(made.digest, made.binnings, day, rows=len(day[FEATURES[0]]))
    found = judge(yardstick, profile, start=at * DAY_SECONDS)
    drifted = frozenset((one.feature, one.aspect) for one in found if one.drifted)
    return frozenset(_naive(made, profile)), drifted


def _naive(made: Reference, profile: Profile) -> Iterator[str]:
    for feature in made.features:
        held, found = feature.grouped(feature.sums), feature.grouped(profile.features[feature.name])
        x2, df = pearson(*pooled(held, found, neighbours=feature.binning.type.measured))
        if df and chance_of(x2, df) < NAIVE:
            yield feature.name


@dataclass(frozen=True, slots=True)
class Change:
    """Something that goes wrong with X, and where it is looked for."""

    what: str
    key: Key
    change: Callable[[Day], Day]


def _of(name: str, change: Callable[[Sequence[Any]], Sequence[Any]]) -> Callable[[Day], Day]:
    return lambda day: {**day, name: change(day[name])}


def _plus(minutes: float) -> Callable[[Sequence[Any]], Sequence[Any]]:
    return lambda values: [None if value is None else value + minutes for value in values]


def _every(step: int, value: Any) -> Callable[[Sequence[Any]], Sequence[Any]]:
    return lambda values: [value if row % step == 0 else held for row, held in enumerate(values)]


CHANGES = (
    Change(
        "delays in seconds",
        ("departure_delay", Aspect.DISTRIBUTION),
        _of("departure_delay", lambda values: [None if value is None else 60.0 * value for value in values]),
    ),
    Change("delays 5 min longer", ("departure_delay", Aspect.DISTRIBUTION), _of("departure_delay", _plus(5.0))),
    Change("delays 20 min longer", ("departure_delay", Aspect.DISTRIBUTION), _of("departure_delay", _plus(20.0))),
    Change(
        "distances in kilometres",
        ("distance", Aspect.DISTRIBUTION),
        _of("distance", lambda values: [1.609 * value for value in values]),
    ),
    Change("1 % of distances missing", ("distance", Aspect.MISSING), _of("distance", _every(100, None))),
    Change("a new carrier, 1 % of flights", ("carrier", Aspect.UNSEEN), _of("carrier", _every(100, "XX"))),
    Change(
        "one distance of a million",
        ("distance", Aspect.DISTRIBUTION),
        _of("distance", lambda values: [1e6, *values[1:]]),
    ),
)


HEAD = (
    "days of flights on which nothing changed",
    "days",
    "of a feature's days differ at p < 1 %",
    "of a feature's days drift",
    "days with any finding",
    f"alarms in 90 days, {K} of {N}",
    "",
)
HEAD_OF_CHANGES = ("what changed", "days", "found on", "without it")
MOST_ALARMS = 1.0
"""Promised: so many false alarms of a deployment in 90 days at most."""
RUNS = 20


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the table."""

    cells: tuple[str, ...]
    promised: bool = False
    broken: bool = False


def calm(days: Sequence[Day], *, runs: int, seed: int) -> Iterator[Row]:
    """How often drift is cried, on whole days by lot, on shuffled rows, and on days in their own order."""
    whole, mixed = [], []
    for run in range(runs):
        chance = np.random.default_rng([seed, 3, run])
        learnt, judged = by_lot(days, chance)
        whole.append(watch(learn(learnt), judged))
        both = shuffled([*learnt, *judged], chance)
        mixed.append(watch(learn(both[:LEARNT_DAYS]), both[LEARNT_DAYS:]))
    yield _calm("whole days, by lot", whole, promised=True)
    yield _calm("their rows, shuffled over the days", mixed, promised=True)
    in_order = watch(learn(days[:LEARNT_DAYS]), days[LEARNT_DAYS : LEARNT_DAYS + JUDGED_DAYS])
    yield _calm("days in their own order: the season does change", [in_order], promised=False)


def _calm(what: str, held: Sequence[Days], *, promised: bool) -> Row:
    count = sum(len(one.found) for one in held)
    naive = [sum(name in day for one in held for day in one.naive) / count for name in FEATURES]
    ours = [sum((name, Aspect.DISTRIBUTION) in day for one in held for day in one.found) / count for name in FEATURES]
    any_finding = sum(bool(day) for one in held for day in one.found) / count
    alarms = sum(one.alarms(K, N) for one in held) * 90 / count
    broken = promised and alarms > MOST_ALARMS
    verdict = ("broken" if broken else f"kept (at most {MOST_ALARMS:g})") if promised else ""
    cells = (what, f"{count:,}", _span(naive), _span(ours), f"{any_finding:.1%}", f"{alarms:.2f}", verdict)
    return Row(cells, promised, broken)


def changed(days: Sequence[Day], *, runs: int, seed: int) -> Iterator[Row]:
    """How often each change is found, on whole days by lot, and how often drift is found there without it."""
    drawn = [by_lot(days, np.random.default_rng([seed, 3, run])) for run in range(runs)]
    held = [(learn(learnt), judged) for learnt, judged in drawn]
    before = [day for yardstick, judged in held for day in watch(yardstick, judged).found]
    for change in CHANGES:
        after = [
            day for yardstick, judged in held for day in watch(yardstick, [change.change(one) for one in judged]).found
        ]
        found, without = (sum(change.key in day for day in found) / len(found) for found in (after, before))
        yield Row((change.what, f"{len(after):,}", f"{found:.1%}", f"{without:.1%}"))


def _span(shares: Sequence[float]) -> str:
    return f"{100 * min(shares):.1f}–{100 * max(shares):.1f} %"
