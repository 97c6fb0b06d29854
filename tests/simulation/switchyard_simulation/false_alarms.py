"""False alarms: how often a rule fires on flights on which nothing changed, beside what its thresholds state.

Whole days are drawn by lot, one by one or as weeks in a row, so that they differ as real ones do and nothing lies
between those learnt of and those judged. What is stated follows from the thresholds alone. An effect must be larger
than in every window of the reference: of days by lot one in as many and one more is, of each aspect of each feature.
Of a rule by k of n windows it follows from how often one window breaks the limit, were windows independent.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import product

import numpy as np
from scipy import stats
from switchyard_contracts.alarm_records import DriftedFeature, Standing
from switchyard_contracts.alarms import DRIFT
from switchyard_contracts.windows import DAY_US, HOUR_US
from switchyard_monitor.domain import cusum
from switchyard_monitor.domain.alarms import Look, Reading, State, Terms, advance, broken
from switchyard_monitor.domain.drift import Finding, judge
from switchyard_monitor.domain.twosample import chance_of, pearson, pooled
from switchyard_monitor.domain.usual import Aspect, Yardstick
from switchyard_monitor.segment_answers import segments
from switchyard_profile.profile import Profile
from switchyard_profile.reference import DAY_SECONDS
from switchyard_profile.training import Limits, Options, reference
from switchyard_profile.values import Type

from switchyard_simulation.class_coverage import by_days, known, promised, score_sums
from switchyard_simulation.coverage import LATE, groups
from switchyard_simulation.drifting import JUDGED_DAYS, LEARNT_DAYS, Day
from switchyard_simulation.flights import Floats, Replay

QUARTER = 90
"""Days by which alarms are counted."""
SURE = 0.99
"""Of the exact intervals by which what is counted is held to what is stated."""
OPTIONS = Options(types={"remark": Type.TEXT}, limits={"distance": Limits(0.0, 6000.0)}, prediction="answer")
KINDS = {
    "numbers": ("departure_delay", "distance", "hour"),
    "names": ("carrier", "origin", "dest"),
    "a number that a whole day shares (weekday)": ("weekday",),
    "true or false": ("afternoon",),
    "lengths of texts": ("remark",),
    "Y, a class": ("prediction",),
}
"""Features by their kind; ten in all."""
DRIFTED = Terms(name="drifted", metric=DRIFT, high=0.0, clear=0.0, window_us=DAY_US, cooldown_us=DAY_US)
"""As a rule on drift is that says nothing else: any feature, in two of three days."""


@dataclass(frozen=True, slots=True)
class Counted:
    """How often something happened that should seldom happen."""

    what: str
    stated: float
    """How often it may, in the unit of `per`."""
    hits: int
    trials: float
    """Of what it is counted by: days for shares, quarters for alarms."""
    share: bool
    """Whether at most one of each trial can be a hit."""
    promise: bool = True

    @property
    def interval(self) -> tuple[float, float]:
        """Exact: Clopper and Pearson's of a share, Garwood's of a rate."""
        tail = (1 - SURE) / 2
        if self.share:
            found = stats.binomtest(self.hits, round(self.trials)).proportion_ci(confidence_level=SURE)
            return float(found.low), float(found.high)
        low = stats.chi2.ppf(tail, 2 * self.hits) / 2 if self.hits else 0.0
        return float(low) / self.trials, float(stats.chi2.isf(tail, 2 * self.hits + 2)) / 2 / self.trials

    @property
    def over(self) -> bool:
        """Whether it is surely more often than stated."""
        return self.interval[0] > self.stated

    @property
    def verdict(self) -> str:
        """In a word or two."""
        return ("OVER" if self.over else "within") if self.promise else "no promise"

    @property
    def cells(self) -> tuple[str, ...]:
        """A row."""
        low, high = self.interval
        if self.share:
            shown = (f"≤ {self.stated:.1%}", f"{self.hits / self.trials:.1%} ({low:.1%}–{high:.1%})")
            return (self.what, f"{self.trials:,.0f}", *shown, self.verdict)
        shown = (f"≤ {self.stated:.2f}", f"{self.hits / self.trials:.2f} ({low:.2f}–{high:.2f})")
        return (self.what, f"{self.trials:.0f} quarters", *shown, self.verdict)


HEAD = ("nothing changed, and", "of", "stated", "counted (exact 99 %)", "")


# --- drift ------------------------------------------------------------------------------------------------------------


def widened(day: Day) -> Day:
    """With a column of each kind, and Y."""
    late = [value is not None and value >= LATE for value in day["departure_delay"]]
    return {
        **day,
        "afternoon": [hour >= 15 for hour in day["hour"]],
        "remark": [f"{carrier} {delay}" for carrier, delay in zip(day["carrier"], day["departure_delay"], strict=True)],
        "answer": ["late" if one else "on time" for one in late],
    }


def learn(days: Sequence[Day]) -> Yardstick:
    """A reference of these days."""
    columns = {name: [value for day in days for value in day[name]] for name in days[0]}
    times = [at * DAY_SECONDS for at, day in enumerate(days) for _ in day["hour"]]
    return Yardstick(reference(columns, times=times, options=OPTIONS))


def found(yardstick: Yardstick, day: Day) -> tuple[Profile, list[Finding]]:
    """What is said of a day."""
    made = yardstick.reference
    columns = {**day, "prediction": day["answer"]}
    profile = Profile.of(made.digest, made.binnings, columns, rows=len(day["hour"]))
    return profile, judge(yardstick, profile, start=0)


def naive(yardstick: Yardstick, profile: Profile) -> Iterator[str]:
    """Features that differ at p < 1 %, were rows independent."""
    for feature in yardstick.reference.features:
        held, come = feature.grouped(feature.sums), feature.grouped(profile.features[feature.name])
        if sum(come):
            x2, df = pearson(*pooled(held, come, neighbours=feature.binning.type.measured))
            if df and chance_of(x2, df) < 0.01:
                yield feature.name


@dataclass(frozen=True, slots=True)
class Watched:
    """Runs of days, by lot, against references by lot."""

    days: Sequence[Sequence[Sequence[Finding]]]
    naive: Sequence[Sequence[frozenset[str]]]

    @property
    def count(self) -> int:
        """Of all days judged."""
        return sum(map(len, self.days))

    def p_below(self, names: Iterable[str], level: float) -> int:
        """On how many days of a feature its distribution has such a p."""
        return sum(
            one.p is not None and one.p < level
            for run in self.days
            for day in run
            for one in day
            if one.feature in names and one.aspect is Aspect.DISTRIBUTION
        )

    def drifted(self, names: Iterable[str]) -> tuple[int, int]:
        """Aspects of features that were said to drift, and of how many looked at."""
        held = [one for run in self.days for day in run for one in day if one.feature in names]
        return sum(one.drifted for one in held), len(held)

    def alarms(self, names: Iterable[str] | None = None) -> int:
        """How often the rule fired, had there been no other features."""
        return sum(fired([reading(day, names) for day in run], DRIFTED) for run in self.days)


def reading(day: Sequence[Finding], names: Iterable[str] | None) -> Reading:
    """What a rule on drift reads of a day, had there been no other features than these."""
    those = [one for one in day if one.pages and (names is None or one.feature in names)]
    said = tuple(
        DriftedFeature(
            feature=one.feature,
            side=one.side.value,
            aspect=one.aspect.value,
            effect=one.effect,
            usual=one.usual.most,
            p=one.p,
        )
        for one in those
    )
    return Reading(float(len({one.feature for one in those})), 1_000, features=said)


def fired(readings: Iterable[Reading], terms: Terms) -> int:
    """How often a rule fires on these windows."""
    state, times = State(terms.definition, "r", 0), 0
    for reading in readings:
        step = advance(terms, state, reading, event="")
        state, times = step.state, times + step.fired
    return times


def watched(days: Sequence[Day], *, runs: int, seed: int, in_a_row: int = 1) -> Watched:
    """References and days by lot; `in_a_row` days stay together, as they followed each other."""
    judged, plain = [], []
    for run in range(runs):
        chance = np.random.default_rng([seed, in_a_row, run])
        blocks = [days[at : at + in_a_row] for at in range(0, len(days) - in_a_row + 1, in_a_row)]
        drawn = [day for at in chance.permutation(len(blocks)) for day in blocks[at]]
        yardstick = learn(drawn[:LEARNT_DAYS])
        both = [found(yardstick, day) for day in drawn[LEARNT_DAYS : LEARNT_DAYS + JUDGED_DAYS]]
        judged.append([findings for _, findings in both])
        plain.append([frozenset(naive(yardstick, profile)) for profile, _ in both])
    return Watched(judged, plain)


HEAD_OF_DRIFT = (
    "days on which nothing changed",
    "days of a feature",
    "p < 1 %, rows independent",
    "p < 1 %, divided by φ",
    "of aspects drift (stated)",
    "alarms in 90 days (stated)",
    "",
)
PER_ASPECT = 1 / (LEARNT_DAYS + 1)
"""How often a day by lot is further off than each of the reference's days, at most."""
BY_PHI = 0.1
"""How often p < 1 % may be, which alone calls nothing drift: φ is a mean, and X² of days has a longer tail than χ²."""


@dataclass(frozen=True, slots=True)
class Row:
    """One line, and what is wrong with it."""

    cells: tuple[str, ...]
    faults: tuple[str, ...]


def of_kind(what: str, names: Sequence[str], held: Watched) -> Row:
    """Features of one kind."""
    n = held.count * len(names)
    hits, looked = held.drifted(names)
    aspects = looked / held.count
    quarters = held.count / QUARTER
    independent = sum(name in day for run in held.naive for day in run for name in names)
    by_phi = Counted(what, BY_PHI, held.p_below(names, 0.01), n, share=True)
    drifted = Counted(what, PER_ASPECT, hits, looked, share=True)
    alarms = Counted(what, stated_alarms(aspects), held.alarms(names), quarters, share=False)
    faults = tuple(
        f"{name} is surely over what is stated: {one.cells}"
        for name, one in (("p by φ", by_phi), ("drift", drifted), ("alarms", alarms))
        if one.over
    )
    low, high = alarms.interval
    return Row(
        (
            what,
            f"{n:,}",
            f"{independent / n:.1%}",
            f"{by_phi.hits / n:.1%}",
            f"{hits / looked:.2%} (≤ {PER_ASPECT:.1%})",
            f"{alarms.hits / quarters:.2f}, {low:.2f}–{high:.2f} (≤ {alarms.stated:.2f})",
            "OVER" if faults else "within",
        ),
        faults,
    )


def stated_alarms(aspects: float) -> float:
    """In 90 days, of so many aspects, each of which is by chance further off than usual on one of 46 days."""
    return aspects * QUARTER * fires_each_window(PER_ASPECT, DRIFTED)


# --- k of n -----------------------------------------------------------------------------------------------------------


@lru_cache
def fires_each_window(share: float, terms: Terms) -> float:
    """How often a rule fires by window, of which each breaks the limit by this chance, whatever the others do.

    The chain of what the last windows were and whether it fires, until it has forgotten how it began.
    """
    last = terms.of
    states = [(*looks, firing) for looks in product((False, True), repeat=last) for firing in (False, True)]
    at = {state: place for place, state in enumerate(states)}
    weight = np.zeros(len(states))
    weight[at[(*(False,) * last, False)]] = 1.0
    moves = [(place, *_moved(state, breach, terms)) for place, state in enumerate(states) for breach in (False, True)]
    rate = 0.0
    for _ in range(2_000):
        after, rate = np.zeros(len(states)), 0.0
        for number, (place, to, fires) in enumerate(moves):
            mass = weight[place] * (share if number % 2 else 1.0 - share)
            after[at[to]] += mass
            rate += mass * fires
        weight = after
    return float(rate)


def _moved(state: tuple[bool, ...], breach: bool, terms: Terms) -> tuple[tuple[bool, ...], bool]:
    *looks, firing = state
    looks = [*looks[1:], breach]
    held = [
        Look(0, Standing.BREACH if one else Standing.CLEAR, names=("x/distribution",) if one else ()) for one in looks
    ]
    if broken(terms, held):
        return (*looks, True), not firing
    cleared = sum(not one for one in looks) >= terms.breaches
    return (*looks, firing and not cleared), False


def worse_than(high: float) -> Terms:
    """A rule on a day's mean absolute error."""
    return Terms(name="worse", metric="outcome.mae", high=high, clear=high, window_us=DAY_US, cooldown_us=DAY_US)


def silent(*, window_us: int, breaches: int = 2, of: int = 3) -> Terms:
    """A rule on requests."""
    return Terms(
        name="silent",
        metric="requests",
        low=1.0,
        clear=1.0,
        window_us=window_us,
        cooldown_us=window_us,
        breaches=breaches,
        of=of,
    )


def days_by_lot(values: Floats, chance: np.random.Generator, *, days: int, in_a_row: int) -> Floats:
    """Days, or weeks in a row, as often as they come up."""
    starts = chance.integers(0, len(values) - in_a_row + 1, -(-days // in_a_row))
    return np.concatenate([values[at : at + in_a_row] for at in starts])[:days]


def threshold(replay: Replay, *, seed: int, quarters: int, in_a_row: int = 1) -> Counted:
    """Two of three days over the limit that one day in ten is over."""
    values = daily(replay)["error"]
    limit = float(np.quantile(values, 0.9))
    terms = worse_than(limit)
    chance = np.random.default_rng([seed, 11, in_a_row])
    drawn = days_by_lot(values, chance, days=QUARTER * quarters, in_a_row=in_a_row)
    share = float((values > limit).mean())
    what = "MAE over what one day in ten is over, 2 of 3 days"
    hits = fired((Reading(float(value), 1_000) for value in drawn), terms)
    stated = QUARTER * fires_each_window(share, terms)
    how = "days by lot" if in_a_row == 1 else "weeks by lot: bad days follow bad days"
    return Counted(f"{what}; {how}", stated, hits, quarters, share=False, promise=in_a_row == 1)


SILENCE = 3.0
"""Requests an hour."""


def silence(replay: Replay, *, seed: int, quarters: int, window_us: int, as_they_leave: bool) -> Counted:
    """No request in two of three windows: flights at three an hour by lot, as they leave or all through the day."""
    chance = np.random.default_rng([seed, 12, window_us, as_they_leave])
    per_day = DAY_US // window_us
    hours = replay.hours % 24.0
    share = np.bincount((hours * HOUR_US // window_us).astype(np.int64), minlength=per_day) / len(hours)
    rate = SILENCE * 24 * (share if as_they_leave else np.full(per_day, 1 / per_day))
    counts = chance.poisson(np.tile(rate, QUARTER * quarters))
    terms = silent(window_us=window_us)
    empty = float(np.exp(-SILENCE * window_us / HOUR_US))
    stated = QUARTER * per_day * fires_each_window(empty, terms)
    hits = fired((Reading(float(n), int(n)) for n in counts), terms)
    what = f"no request in 2 of 3 windows of {window_us // HOUR_US} h, at 3 an hour"
    how = "as flights leave: nights are silent" if as_they_leave else "all through the day"
    return Counted(f"{what}, {how}", stated, hits, quarters, share=False, promise=not as_they_leave or per_day == 1)


# --- CUSUM, estimate, segments ----------------------------------------------------------------------------------------


@lru_cache
def daily(replay: Replay) -> dict[str, Floats]:
    """A day's mean absolute error, and its share of wrong classes."""
    held = known(replay)
    n = np.bincount(held.day, minlength=replay.days)
    wrong = (held.said == 2) != held.so
    sums = {
        "error": np.bincount(held.day, np.abs(held.error), replay.days),
        "wrong": np.bincount(held.day, wrong, replay.days),
    }
    return {name: total[n > 0] / n[n > 0] for name, total in sums.items()}


STATED_RUN = -83 / math.log(1 - 0.16)
"""Days until CUSUM says that something changed, on average: fewer than 16 of 100 quarters, of 83 days each, do."""


def cusum_runs(values: Floats, *, seed: int, chains: int, in_a_row: int, days: int = 365) -> tuple[int, int, int]:
    """Changes that were said, days that were scored until then, and quarters of these chains with one."""
    chance = np.random.default_rng([seed, 13, in_a_row])
    changes = scored = quarters = 0
    for _ in range(chains):
        drawn = days_by_lot(values, chance, days=days, in_a_row=in_a_row)
        made = cusum.change([cusum.Day(at * DAY_US, 100, float(value)) for at, value in enumerate(drawn)])
        scores = [point.score for point in made.points[cusum.FIRST_DAYS :]] if made else []
        over = next((at for at, score in enumerate(scores) if score > cusum.LIMIT), None)
        changes += over is not None
        scored += len(scores) if over is None else over + 1
        quarters += over is not None and over < QUARTER
    return changes, scored, quarters


def cusum_row(replay: Replay, name: str, *, seed: int, chains: int, in_a_row: int) -> Counted:
    """As a rate: a change in so many days."""
    changes, scored, _ = cusum_runs(daily(replay)[name], seed=seed, chains=chains, in_a_row=in_a_row)
    of = {"error": "MAE", "wrong": "the share of wrong classes"}[name]
    how = "days by lot" if in_a_row == 1 else "weeks by lot"
    run = f"{scored / changes:,.0f} days" if changes else f"more than {scored:,} days"
    what = f"CUSUM of {of}, {how}: run length {run} (stated ≥ {STATED_RUN:.0f})"
    return Counted(what, QUARTER / STATED_RUN, changes, scored / QUARTER, share=False)


def estimate(replay: Replay, *, seed: int, runs: int, days: int) -> Counted:
    """|z| of realised less estimated accuracy over 1.96, of flights by lot or, with days, of whole days by lot."""
    held = known(replay)
    outside = 0
    for run in range(runs):
        chance = np.random.default_rng([seed, 14, days, run])
        at = chance.integers(0, len(held.score), 2_000)
        if days:
            drawn = chance.choice(int(held.day.max()) + 1, days, replace=False)
            at = np.flatnonzero(np.isin(held.day, drawn))
        outside += not promised(
            score_sums(held.score[at], held.so[at], groups(2_000)[np.arange(len(at)) % 2_000]), "gap"
        ).held
    how = f"{days} whole days by lot" if days else "2,000 flights by lot"
    return Counted(
        f"estimated accuracy: |z| of the gap over 1.96, {how}", 0.05, outside, runs, share=True, promise=not days
    )


def apart(replay: Replay, *, seed: int, runs: int) -> Counted:
    """A part of flights by lot is said to differ from the others."""
    said = 0
    for run in range(runs):
        chance = np.random.default_rng([seed, 15, run])
        said += any(
            part.differs for part in segments(list(by_days(replay, chance, 28, by_lot=True)))[0].features[0].parts
        )
    return Counted("any of three segments by lot is said to differ, 28 days", 0.05, said, runs, share=True)
