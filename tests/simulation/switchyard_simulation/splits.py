"""Splits in which each flight is asked about once: many looks, a weight that moves, labels that come early and late."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from switchyard_contracts.evidence import WindowSums
from switchyard_contracts.judgement import Budget
from switchyard_contracts.verdicts import judge

from switchyard_simulation import exhibits, naive, truth
from switchyard_simulation.drawing import Pace, draw, sums_by
from switchyard_simulation.flights import Floats, Replay
from switchyard_simulation.rollout import OUTCOME, Course, Moment, by_windows, roll

ALONE = Budget(alpha_promote=0.05, alpha_guard=0.05, alpha_rollback=0.05)
"""One test that may spend the whole budget, as what it is compared with does."""
REQUESTS, EACH = 10_000, 100
HALF = np.full(REQUESTS, 0.5)
RAMP = np.repeat([0.05, 0.25, 0.5], [REQUESTS // 4, REQUESTS // 4, REQUESTS // 2])
BY_THE_HOUR = np.tile([0.05, 0.25, 0.5], 14)
"""Thirds of a day, for two weeks."""
TWO_WEEKS = Pace("every flight once", 38.0, 14, 3, 1, ())
SHIFT = 20.0
"""Minutes by which a candidate is too hopeful: right on flights that land early, which are the first to report."""
WORSE = 1.2
JUDGED_AFTER = 12
TIMES = 20
"""How often each flight is asked about where labels are early and late."""


def at_margin(replay: Replay, chance: np.random.Generator, probabilities: Floats) -> list[WindowSums]:
    """The flights that come after a random one, the candidate exactly at the margin, in windows of 100 requests."""
    landed = np.flatnonzero(~np.isnan(replay.delay))
    first = int(chance.integers(14 * 900, len(landed) - REQUESTS))
    part = landed[first : first + REQUESTS]
    cap = truth.cap_of(replay, "2.0.0", int(replay.hours[part[0]] // 24))
    loss = np.minimum(np.abs(replay.answers["2.0.0"][part] - replay.delay[part]), cap) ** 2
    mine = chance.random(REQUESTS) < probabilities
    return exhibits.rows(probabilities[::EACH], _sums(loss * truth.KAPPA, mine), _sums(loss, ~mine))


def _sums(loss: Floats, chosen: np.ndarray[tuple[int], np.dtype[np.bool_]]) -> tuple[Floats, Floats, Floats]:
    held = np.where(chosen, loss, 0.0).reshape(-1, EACH)
    return chosen.reshape(-1, EACH).sum(axis=1).astype(np.float64), held.sum(axis=1), (held**2).sum(axis=1)


def every_hundred(replay: Replay, chance: np.random.Generator, probabilities: Floats) -> Course:
    """Looked at every 100 requests, by the boundary."""
    return roll([], by_windows(at_margin(replay, chance, probabilities), risk=ALONE), last_step=0.0)


def every_hundred_usual(replay: Replay, chance: np.random.Generator, probabilities: Floats) -> Course:
    """The same, by a usual bound."""
    return naive.usual_bound(at_margin(replay, chance, probabilities))


def by_the_hour(replay: Replay, chance: np.random.Generator) -> list[WindowSums]:
    """Two equal arms of the timetable's model, the weight rising from 5 to 50 % within each day."""
    first = int(chance.integers(truth.BEFORE, replay.days - TWO_WEEKS.days))
    losses = truth.versus("1.0.0", "1.0.0")(replay, first, TWO_WEEKS.days, chance)
    drawn = draw(replay, losses, pace=TWO_WEEKS, first=first, chance=chance, probabilities=BY_THE_HOUR)
    return exhibits.outcomes(drawn)


def moving(replay: Replay, chance: np.random.Generator) -> Course:
    """Judged with each weight a row of its own."""
    return roll([], by_windows(by_the_hour(replay, chance), every=3, risk=ALONE), last_step=0.0)


def moving_pooled(replay: Replay, chance: np.random.Generator) -> Course:
    """Judged by each day's sums, poured together over its weights."""
    return roll([], by_windows(naive.pooled(by_the_hour(replay, chance), each=3), risk=ALONE), last_step=0.0)


def excess(replay: Replay, chance: np.random.Generator) -> tuple[float, float]:
    """By how much the candidate's RMSE seems to exceed stable's: pooled over two weeks, and with weights apart."""
    windows = by_the_hour(replay, chance)
    (whole,) = naive.pooled(windows, each=len(windows))
    apart = [0.0, 0.0]
    for window in windows:
        p = window.probability
        weight = p * (1.0 - p)
        apart[0] += weight * window.candidate.loss / p
        apart[1] += weight * window.stable.loss / (1.0 - p)
    pooled = (whole.candidate.loss / whole.candidate.n) / (whole.stable.loss / whole.stable.n)
    return float(pooled**0.5 - 1.0), float((apart[0] / apart[1]) ** 0.5 - 1.0)


def at_age(replay: Replay, chance: np.random.Generator) -> Course:
    """A candidate that is worse than allowed, judged by labels of age L."""
    return roll([], _labels(replay, chance, on_arrival=False), last_step=0.0)


def on_arrival(replay: Replay, chance: np.random.Generator) -> Course:
    """The same, judged by what labels there are."""
    return roll([], _labels(replay, chance, on_arrival=True), last_step=0.0)


def _labels(replay: Replay, chance: np.random.Generator, *, on_arrival: bool) -> Iterator[Moment]:
    """Looks at every hour of two days and a half; the timetable's model, asked when the flight should leave."""
    days = 3
    first = int(chance.integers(truth.BEFORE, replay.days - days))
    part = replay.part(first, first + days)
    cap = truth.cap_of(replay, "1.0.0", first)
    error = replay.answers["1.0.0"][part] - replay.delay[part]
    stable = np.nan_to_num(np.minimum(np.abs(error), cap) ** 2)
    hopeful = np.nan_to_num(np.minimum(np.abs(error - SHIFT), cap) ** 2)
    hours, lands = replay.hours[part] - 24.0 * first, replay.lands[part] - 24.0 * first
    window = hours.astype(np.int64)
    # Worse in every hour alike, so that it is the labels that mislead, and not the time of day.
    least = 1e-9
    ratio = (np.bincount(window, stable) + least) / (np.bincount(window, hopeful) + least)
    candidate = hopeful * (WORSE * truth.KAPPA * ratio)[window]
    asked = chance.poisson(TIMES, size=len(hours))
    mine = chance.binomial(asked, 0.5)
    for now in range(1, 60):
        if on_arrival:
            known, until = lands <= now, now
        else:
            known, until = lands <= hours + JUDGED_AFTER, now - JUDGED_AFTER
        if until < 1:
            continue
        held = (window < until) & known
        sums = [
            [sums_by(window[held], values[held], until)[:until] for values in (n, n * loss, n * loss**2)]
            for n, loss in ((mine, candidate), (asked - mine, stable))
        ]
        evidence = exhibits.evidence(OUTCOME, _rows(sums, until))
        yield float(now), [(OUTCOME.name, judge(OUTCOME, evidence, budget=ALONE, min_coverage=0.0))]


def _rows(sums: Sequence[Sequence[Floats]], length: int) -> list[WindowSums]:
    (a, b, c), (d, e, f) = sums
    return exhibits.rows(np.full(length, 0.5), (a, b, c), (d, e, f))
