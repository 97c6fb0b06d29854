"""Strategies that try a candidate on users: A/B tests that are read once, and bandits whose weight follows rewards.

Users are made up, each as often there as chance has it and each with losses of its own kind; what they ask about are
real flights, in their real order.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime, timedelta

import numpy as np
from switchyard_contracts import bandit
from switchyard_contracts.evidence import ArmFolds, ArmSums, Folds, WindowSums
from switchyard_contracts.judgement import Verdict
from switchyard_contracts.model_deployment import Analysis, Metric
from switchyard_contracts.sticky import BUCKETS, FOLDS
from switchyard_contracts.trial import Design, Horizon
from switchyard_contracts.verdicts import budget, judge, judge_once

from switchyard_simulation import exhibits, truth
from switchyard_simulation.flights import Floats, Replay
from switchyard_simulation.rollout import MIN_COVERAGE, Course, End

ANALYSIS = Analysis.model_validate(
    {
        "metrics": [
            {"name": "errors", "metric": "error_rate", "max": "1%", "role": "guard"},
            {"name": "outcome", "metric": "outcome.rmse", "maxIncrease": "0%", "minSamples": 200, "role": "decide"},
        ]
    }
)
"""The candidate must be better, by whatever little; with the usual risk of 5 % each way."""
TESTED = ANALYSIS.metrics[1]
BUDGET = budget(ANALYSIS, steps=2, attempt=1, paired=False)
RIGHT = Metric.model_validate(
    {"name": "right", "metric": "outcome.accuracy", "maxDecrease": "0%", "minSamples": 200, "role": "decide"}
)
DESIGN = Design(share=0.5, effect=0.05, power=0.8, spread=1.5)
USERS, VISITS, STAY = 2_000, 12.0, 3.0
"""Of two weeks; how often each asks, and within how many days (a standard deviation)."""
WEEKS, EXTENDED = 14, 56
"""Days: two weeks, and what becomes of them where somebody waits for a winner."""
ENDS = {Verdict.PASS: End.PROMOTED, Verdict.FAIL: End.ROLLED_BACK}


def users(replay: Replay, chance: np.random.Generator, *, ratio: float, days: int) -> Floats:
    """n, Σ loss and Σ loss² by arm (the candidate's first), day and fold.

    Users come and go: each is there for some days around one of its own. The candidate loses `ratio` times as much.
    """
    first = int(chance.integers(truth.BEFORE, replay.days - days))
    cap = truth.cap_of(replay, "2.0.0", first)
    number = USERS * days // WEEKS
    bucket = chance.integers(0, BUCKETS, number)
    visits = chance.poisson(VISITS * chance.lognormal(-0.5, 1.0, number))
    kind, home = chance.lognormal(-0.5, 1.0, number), chance.uniform(0, days, number)
    user = np.repeat(np.arange(number), visits)
    day = (home[user] + STAY * chance.standard_normal(len(user))).astype(np.int64) % days
    loss = np.empty(len(user))
    for at in range(days):
        part = truth.squared(replay, "2.0.0", replay.part(first + at, first + at + 1), cap=cap)
        loss[day == at] = chance.choice(part, int((day == at).sum()))
    mine = bucket[user] < BUCKETS // 2
    loss = np.minimum(loss * kind[user] * np.where(mine, ratio, 1.0), cap**2)
    place = (np.where(mine, 0, 1) * days + day) * FOLDS + bucket[user] % FOLDS
    length = 2 * days * FOLDS
    sums = [np.bincount(place, weights, length) for weights in (np.ones(len(user)), loss, loss**2)]
    return np.asarray(sums, dtype=np.float64).reshape(3, 2, days, FOLDS)


def _window(sums: Floats, *, day: int = 0) -> WindowSums:
    """A window that begins on a day."""
    n, loss, squares = sums
    arms = [
        ArmSums(
            n=int(n[i].sum()),
            predictions=int(n[i].sum()),
            loss=float(loss[i].sum()),
            loss_squares=float(squares[i].sum()),
        )
        for i in (0, 1)
    ]
    folds = [
        ArmFolds(n=[int(each) for each in n[i]], failures=[0] * FOLDS, loss=[float(each) for each in loss[i]])
        for i in (0, 1)
    ]
    return WindowSums(
        start=exhibits.MIDNIGHT + timedelta(days=day),
        traffic=1,
        probability=0.5,
        candidate=arms[0],
        stable=arms[1],
        folds=Folds(candidate=folds[0], stable=folds[1]),
    )


def read_once(replay: Replay, chance: np.random.Generator, *, ratio: float = 1.0) -> Course:
    """One A/B test, read at its horizon."""
    sums = users(replay, chance, ratio=ratio, days=WEEKS)
    return _read([_window(sums[:, :, day], day=day) for day in range(WEEKS)], WEEKS)


def looked_at(replay: Replay, chance: np.random.Generator) -> Course:
    """The same model twice, looked at every day from the second on, and made longer until somebody has won."""
    so_far = np.cumsum(users(replay, chance, ratio=1.0, days=EXTENDED), axis=2)
    for days in range(2, EXTENDED + 1):
        found = _read([_window(so_far[:, :, days - 1])], days)
        if found.end is not End.OPEN:
            return found
    return Course(End.OPEN, hours=24.0 * EXTENDED)


def by_requests(replay: Replay, chance: np.random.Generator) -> Course:
    """The same model twice, read once, with each request taken for a user."""
    n, loss, squares = users(replay, chance, ratio=1.0, days=WEEKS).sum(axis=(2, 3))
    mean = loss / n
    z = (mean[0] - mean[1]) / math.sqrt(float(((squares / n - mean**2) / n).sum()))
    end = End.PROMOTED if z < -1.96 else End.ROLLED_BACK if z > 1.96 else End.OPEN
    return Course(end, int(n[0]), 24.0 * WEEKS)


def _read(windows: Sequence[WindowSums], days: int) -> Course:
    until: datetime = exhibits.MIDNIGHT + timedelta(days=days)
    horizon = Horizon(since=exhibits.MIDNIGHT, until=until, due=until, probability=0.5)
    evidence = exhibits.evidence(TESTED, windows).model_copy(update={"watermark": until})
    said = judge_once(TESTED, evidence, horizon=horizon, design=DESIGN, budget=BUDGET, min_coverage=MIN_COVERAGE)
    return Course(ENDS.get(said.verdict, End.OPEN), said.samples, 24.0 * days, TESTED.name)


# --- bandits ---------------------------------------------------------------------------------------------------------

START, FLOOR, CEILING = 1_000, 500, 9_500
LATE = 4
"""Windows until what happened in one is judged: L. A weight moves after each, so once in a quarter of L."""
QUARTERS = 4
"""Windows of a day."""
EACH = 360
"""Requests of a window, where flights are asked about; ten times as many where answers are right or wrong."""
MOST, LEAST = 8_000, 2_000
"""Who has as much of the traffic at the end is preferred, and who has as little is not."""
QUICK, SLOW = 0.30, 0.32
"""How often the candidate is right, of which one knows in the next window, and how often stable, of which one knows at
age L."""

Sums = Callable[[int, int, int], tuple[ArmSums, ArmSums]]
"""(the window, how many requests of the candidate, of stable) → what came of both."""
Known = Callable[[Sequence[WindowSums]], Sequence[WindowSums]]
"""What a bandit may know of the windows that are over."""


def steer(
    metric: Metric, sums: Sums, known: Known, *, cap: float | None, windows: int, each: int, chance: np.random.Generator
) -> Iterator[tuple[int, Sequence[WindowSums]]]:
    """The weight after each window, and what is known by then."""
    weight = START
    seen: list[WindowSums] = []
    for at in range(windows):
        asked = int(chance.poisson(each))
        mine = int(chance.binomial(asked, weight / 10_000))
        candidate, stable = sums(at, mine, asked - mine)
        start = exhibits.MIDNIGHT + timedelta(days=at / QUARTERS)
        probability = weight / 10_000
        seen.append(
            WindowSums(start=start, traffic=1 + at, probability=probability, candidate=candidate, stable=stable)
        )
        ripe = known(seen)
        wish = bandit.share(metric, ripe, cap=cap, floor=FLOOR, ceiling=CEILING)
        weight = weight if wish is None else wish
        yield weight, ripe


def at_age(seen: Sequence[WindowSums]) -> Sequence[WindowSums]:
    """Windows that are old enough, and all of what came of them."""
    return seen[: max(0, len(seen) - LATE)]


def on_arrival(seen: Sequence[WindowSums]) -> Sequence[WindowSums]:
    """All windows; what is not known yet is taken for wrong."""
    found = []
    for age, one in zip(range(len(seen) - 1, -1, -1), seen, strict=True):
        unknown = {"candidate": age < 1, "stable": age < LATE}
        arms = {
            name: getattr(one, name).model_copy(update={"failures": getattr(one, name).n})
            for name, is_unknown in unknown.items()
            if is_unknown
        }
        found.append(one.model_copy(update=arms))
    return found


def decided(replay: Replay, chance: np.random.Generator, *, ratio: float = 1.0, days: int = 28) -> Course:
    """A bandit on flights until somebody has won by the boundary; the candidate loses `ratio` times as much."""
    first = int(chance.integers(truth.BEFORE, replay.days - days))
    cap = truth.cap_of(replay, "2.0.0", first)
    part = replay.part(first, first + days)
    losses = truth.squared(replay, "2.0.0", part, cap=cap)
    window = ((replay.hours[part] - 24.0 * first) * QUARTERS / 24.0).astype(np.int64)
    edges = np.searchsorted(window, np.arange(days * QUARTERS + 1))

    def sums(at: int, mine: int, other: int) -> tuple[ArmSums, ArmSums]:
        held = losses[edges[at] : edges[at + 1]]
        return _arm(held, mine, ratio, cap, chance), _arm(held, other, 1.0, cap, chance)

    steps = steer(TESTED, sums, at_age, cap=cap, windows=days * QUARTERS, each=EACH, chance=chance)
    for at, (_, ripe) in enumerate(steps, start=1):
        said = judge(TESTED, exhibits.evidence(TESTED, ripe), budget=BUDGET, min_coverage=MIN_COVERAGE)
        if end := ENDS.get(said.verdict):
            return Course(end, said.samples, at * 24.0 / QUARTERS, TESTED.name)
    return Course(End.OPEN, hours=24.0 * days)


def _arm(held: Floats, n: int, ratio: float, cap: float, chance: np.random.Generator) -> ArmSums:
    if not n or not len(held):
        return ArmSums()
    loss = np.minimum(chance.choice(held, n) * ratio, cap**2)
    return ArmSums(n=n, predictions=n, loss=float(loss.sum()), loss_squares=float((loss**2).sum()))


def preferred(replay: Replay, chance: np.random.Generator, *, known: Known) -> Course:
    """Who has the traffic after a week: a candidate that is right less often, but quicker to show it, or stable."""

    def sums(at: int, mine: int, other: int) -> tuple[ArmSums, ArmSums]:
        wrong = int(chance.binomial(mine, 1.0 - QUICK)), int(chance.binomial(other, 1.0 - SLOW))
        return ArmSums(n=mine, failures=wrong[0]), ArmSums(n=other, failures=wrong[1])

    steps = steer(RIGHT, sums, known, cap=None, windows=7 * QUARTERS, each=10 * EACH, chance=chance)
    *_, (weight, _) = steps
    end = End.PROMOTED if weight >= MOST else End.ROLLED_BACK if weight <= LEAST else End.OPEN
    return Course(end, hours=24.0 * 7)
