"""One run's outcomes: which flights are asked about, which arm answers, and what that costs; summed by window.

Requests follow the flights: in the hours in which more leave, more are asked about. Each flight is asked about a number
of times (Poisson), each of these falls to an arm by the weight of its hour, and fails or not. So a day of 86 million
requests costs no more than one of 72.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from switchyard_simulation.flights import Floats, Replay, Whole
from switchyard_simulation.truth import Losses


@dataclass(frozen=True, slots=True)
class Pace:
    """How much is asked, and how the rollout goes on."""

    name: str
    per_hour: float
    days: int
    """After so many days nobody waits any longer."""
    windows: int
    """Windows of a day; somebody looks at outcomes after each."""
    step_days: int
    """How long the first two steps take; the last takes the rest."""
    guards: tuple[float, ...]
    """When guards are looked at in each step, in hours from its start."""
    weights: tuple[float, ...] = (0.05, 0.25, 0.5)

    def step(self, window: int) -> int:
        """The step that a window lies in."""
        return min(window // (self.windows * self.step_days), len(self.weights) - 1)

    def probabilities(self) -> Floats:
        """The candidate's weight in each window."""
        return np.array([self.weights[self.step(window)] for window in range(self.days * self.windows)])


@dataclass(frozen=True, slots=True)
class Arm:
    """One arm's sums, by window."""

    predictions: Whole
    judged: Whole
    loss: Floats
    squares: Floats


@dataclass(frozen=True, slots=True)
class Pairs:
    """Sums by day of the requests that both answered: how many, how many judged, what each lost."""

    seen: Whole
    judged: Whole
    candidate: Floats
    candidate_squares: Floats
    stable: Floats
    stable_squares: Floats


@dataclass(frozen=True, slots=True)
class Drawn:
    """One run."""

    pace: Pace
    probabilities: Floats
    candidate: Arm
    stable: Arm
    pairs: Pairs


def draw(
    replay: Replay,
    losses: Losses,
    *,
    pace: Pace,
    failing: tuple[float, float] = (0.0, 0.0),
    first: int,
    chance: np.random.Generator,
    probabilities: Floats | None = None,
) -> Drawn:
    """Draw one run that begins on day `first`; `failing` is how often each arm's answers are none."""
    part = replay.part(first, first + pace.days)
    hours = replay.hours[part] - 24.0 * first
    landed = ~np.isnan(replay.delay[part])
    day = (hours // 24).astype(np.int64)
    window = (hours * pace.windows // 24).astype(np.int64)
    weights = pace.probabilities() if probabilities is None else probabilities
    each = pace.per_hour * 24 / np.bincount(day, minlength=pace.days)
    asked = chance.poisson(each[day])
    mine = chance.binomial(asked, weights[window])
    other = asked - mine
    total = len(weights)

    def arm(requests: Whole, loss: Floats, failing: float) -> tuple[Arm, Whole]:
        good = requests - chance.binomial(requests, failing)
        judged = np.where(landed, good, 0)
        sums = Arm(
            predictions=by(window, good, total),
            judged=by(window, judged, total),
            loss=sums_by(window, judged * loss, total),
            squares=sums_by(window, judged * loss**2, total),
        )
        return sums, good

    candidate, _ = arm(mine, losses.candidate, failing[0])
    stable, answered = arm(other, losses.stable, failing[1])
    judged = np.where(landed, answered, 0)
    pairs = Pairs(
        seen=by(day, answered, pace.days),
        judged=by(day, judged, pace.days),
        candidate=sums_by(day, judged * losses.candidate, pace.days),
        candidate_squares=sums_by(day, judged * losses.candidate**2, pace.days),
        stable=sums_by(day, judged * losses.stable, pace.days),
        stable_squares=sums_by(day, judged * losses.stable**2, pace.days),
    )
    return Drawn(pace, weights, candidate, stable, pairs)


def sums_by(place: Whole, values: Floats | Whole, length: int) -> Floats:
    """Values added up by place."""
    return np.asarray(np.bincount(place, values, length), dtype=np.float64)


def by(place: Whole, counts: Whole, length: int) -> Whole:
    """Counts added up by place; exact, as they stay far below 2⁵³."""
    return np.bincount(place, counts, length).astype(np.int64)
