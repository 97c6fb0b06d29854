"""What is found of what goes wrong, on real days: on how many of them, and how many days it takes an alarm to say so.

Each change is made to the same days by lot, of which some are learnt of as they were. An alarm is a rule on drift that
says nothing else, two days of three; each begins anew on each judged day, with the days that follow. Of labels that are
turned round nothing is to be seen in X and Y: quality is where it shows, by CUSUM of the share of wrong classes.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from statistics import median
from typing import Any

import numpy as np
from scipy import stats
from switchyard_contracts.windows import DAY_US
from switchyard_monitor.domain import cusum
from switchyard_monitor.domain.alarms import State, advance
from switchyard_monitor.domain.drift import Finding
from switchyard_monitor.domain.usual import Aspect, Yardstick

from switchyard_simulation import false_alarms
from switchyard_simulation.drifting import LEARNT_DAYS, Day, Key
from switchyard_simulation.false_alarms import DRIFTED, reading
from switchyard_simulation.flights import Replay

JUDGED_DAYS, WITHIN = 40, 14
"""Days of a run; and in so many an alarm should have said so."""
BEFORE_FLIP = 60
DELAY: Key = ("departure_delay", Aspect.DISTRIBUTION)
DISTANCE: Key = ("distance", Aspect.DISTRIBUTION)
Change = Callable[[Day, float], Day]


@dataclass(frozen=True, slots=True)
class Wrong:
    """Something that goes wrong, where it is looked for, and the band of days on which it is found."""

    what: str
    key: Key
    change: Change
    least: float
    most: float = 1.0


def _of(name: str, change: Callable[[Sequence[Any], float], Sequence[Any]]) -> Change:
    return lambda day, deviation: {**day, name: change(day[name], deviation)}


def _shifted(deviations: float) -> Change:
    return _of(
        "departure_delay",
        lambda values, deviation: [None if value is None else value + deviations * deviation for value in values],
    )


def _times(name: str, factor: float) -> Change:
    return _of(name, lambda values, _: [None if value is None else value * factor for value in values])


def _every(name: str, step: int, value: Any) -> Change:
    return _of(name, lambda values, _: [value if row % step == 0 else held for row, held in enumerate(values)])


CHANGES = (
    Wrong("nothing", DELAY, lambda day, _: day, 0.0, 0.05),
    Wrong("departures 0.05 deviations later (two minutes)", DELAY, _shifted(0.05), 0.01, 0.4),
    Wrong("0.1 deviations later (four minutes)", DELAY, _shifted(0.1), 0.5),
    Wrong("0.2 deviations later", DELAY, _shifted(0.2), 0.98),
    Wrong("0.5 deviations later", DELAY, _shifted(0.5), 0.99),
    Wrong("1 % of distances missing", ("distance", Aspect.MISSING), _every("distance", 100, None), 0.99),
    Wrong("1 % of flights by a new carrier", ("carrier", Aspect.UNSEEN), _every("carrier", 100, "XX"), 0.99),
    Wrong("kilometres for miles", DISTANCE, _times("distance", 1.609344), 0.99),
    Wrong("seconds for minutes", DELAY, _times("departure_delay", 60.0), 0.99),
    Wrong(
        "one distance of a million",
        DISTANCE,
        lambda day, _: {**day, "distance": [1e6, *day["distance"][1:]]},
        0.0,
        0.05,
    ),
    Wrong("labels turned round, looked for in Y", ("prediction", Aspect.DISTRIBUTION), lambda day, _: day, 0.0, 0.05),
)
HEAD = (
    "what goes wrong",
    "days",
    "found on (exact 95 %)",
    f"alarm within {WITHIN} days",
    "days until then",
    "band",
    "",
)


@dataclass(frozen=True, slots=True)
class Found:
    """What was found of one change."""

    wrong: Wrong
    days: int
    hits: int
    taken: Sequence[int | None]
    """Days until an alarm named it, from each day on; None where none did in time."""

    @property
    def broken(self) -> bool:
        """Whether it is found surely more seldom or more often than its band says."""
        found = stats.binomtest(self.hits, self.days).proportion_ci()
        return bool(found.high < self.wrong.least or found.low > self.wrong.most)

    @property
    def cells(self) -> tuple[str, ...]:
        """A row."""
        found = stats.binomtest(self.hits, self.days).proportion_ci()
        share = f"{self.hits / self.days:.1%} ({found.low:.1%}–{found.high:.1%})"
        band = f"{self.wrong.least:.0%}–{self.wrong.most:.0%}"
        return (
            self.wrong.what,
            f"{self.days}",
            share,
            *_told(self.taken),
            band,
            "OUTSIDE" if self.broken else "within",
        )


def _told(taken: Sequence[int | None]) -> tuple[str, str]:
    told = [days for days in taken if days is not None]
    return f"{len(told) / len(taken):.0%}", f"{median(told):g}" if told else "–"


@dataclass(frozen=True, slots=True)
class Stage:
    """A reference, the days that it judges, and how much departures deviate."""

    yardstick: Yardstick
    days: Sequence[Day]
    deviation: float


def stages(days: Sequence[Day], *, runs: int, seed: int) -> list[Stage]:
    """By lot."""
    held = []
    for run in range(runs):
        drawn = np.random.default_rng([seed, 21, run]).permutation(len(days))[: LEARNT_DAYS + JUDGED_DAYS]
        each = [days[at] for at in drawn]
        yardstick = false_alarms.learn(each[:LEARNT_DAYS])
        (delay,) = (one for one in yardstick.reference.features if one.name == "departure_delay")
        deviation = delay.sums.moments.deviation(scale=delay.binning.scale)
        held.append(Stage(yardstick, each[LEARNT_DAYS:], deviation or 0.0))
    return held


def found(wrong: Wrong, held: Sequence[Stage]) -> Found:
    """Make the change on every judged day."""
    days = hits = 0
    taken: list[int | None] = []
    for stage in held:
        judged = [false_alarms.found(stage.yardstick, wrong.change(day, stage.deviation))[1] for day in stage.days]
        drifted = [any((one.feature, one.aspect) == wrong.key and one.drifted for one in day) for day in judged]
        days, hits = days + len(drifted), hits + sum(drifted)
        taken += [until_alarm(judged[at : at + WITHIN], wrong.key[0]) for at in range(len(judged) - WITHIN + 1)]
    return Found(wrong, days, hits, taken)


def until_alarm(days: Sequence[Sequence[Finding]], name: str) -> int | None:
    """How many days it takes the rule to fire for this feature; None where it does not."""
    state = State(DRIFTED.definition, "r", 0)
    for at, day in enumerate(days, start=1):
        step = advance(DRIFTED, state, reading(day, (name,)), event="")
        if step.fired:
            return at
        state = step.state
    return None


def flipped(replay: Replay, *, runs: int, seed: int) -> tuple[str, ...]:
    """Whoever writes outcomes has yes and no the wrong way round, from a day on; days until CUSUM says so."""
    right, wrong = _wrong(replay)
    taken: list[int | None] = []
    for run in range(runs):
        order = np.random.default_rng([seed, 22, run]).permutation(len(right))[: BEFORE_FLIP + WITHIN]
        values = [*right[order[:BEFORE_FLIP]], *wrong[order[BEFORE_FLIP:]]]
        made = cusum.change([cusum.Day(at * DAY_US, 500, float(value)) for at, value in enumerate(values)])
        scores = [point.score for point in made.points[BEFORE_FLIP:]] if made else []
        taken.append(next((at for at, score in enumerate(scores, start=1) if score > cusum.LIMIT), None))
    share, days = _told(taken)
    return (
        "labels turned round, looked for in outcomes (CUSUM)",
        f"{runs}",
        "–",
        share,
        days,
        "100%–100%",
        "within" if None not in taken else "OUTSIDE",
    )


@lru_cache
def _wrong(replay: Replay) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    """A day's share of wrong classes, by the labels as they are and turned round."""
    share = false_alarms.daily(replay)["wrong"]
    return share, 1.0 - share
