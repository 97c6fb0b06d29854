"""The bandit: a weight that follows what the arms are rewarded, by Thompson sampling.

A reward is a number from 0 to 1: 1 − loss / cap of a capped loss, or 1 for a right answer and 0 for a wrong one.
Drawing from both arms' posteriors for each request, and giving it to the larger draw, would give the candidate a share
as large as the chance that it is the better one; so that chance is its weight, within a floor and a ceiling.

Only what was judged at age L counts: outcomes that are quick to come say nothing of the rest, and the arm whose
outcomes are quicker would have nearly all of the traffic whether or not it is the better one. Each window is weighted
by how likely its requests were to be that arm's, so that an arm is not the better one because it had the easier hours.

The posterior takes requests for independent. Days are alike in themselves, so it is narrower than it should be, and
explores less than it says; the floors are there for that. It moves weights and decides nothing: who has won is found by
the boundary that holds at every look (`unpaired`), whatever the weights were.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from statistics import NormalDist

from switchyard_contracts.comparison import COMPARISONS
from switchyard_contracts.evidence import ArmSums, WindowSums
from switchyard_contracts.model_deployment import Metric
from switchyard_contracts.quantities import FULL
from switchyard_contracts.unpaired import FIRST_LOOK

GRAIN = 100
"""Basis points: a weight moves by whole percents, so that one that has settled writes no route."""
POWERS = {"outcome.rmse": 2, "outcome.mse": 2, "outcome.mae": 1, "outcome.loss": 1}
"""By which power of |error|, or of one's own loss, a loss is made; it is at most as large as the cap to that power."""


@dataclass(frozen=True, slots=True)
class Rewards:
    """One arm in one window: how many, Σ reward, and how likely a request was this arm's."""

    n: int
    total: float
    probability: float


@dataclass(frozen=True, slots=True)
class Posterior:
    """What is believed of an arm's mean reward: a Beta distribution, by its mean and its variance."""

    mean: float
    variance: float
    n: int
    """Judged, of the arm."""


def posterior(windows: Iterable[Rewards]) -> Posterior:
    """From one success and one failure that nobody saw, and as many as the weighted sums are worth."""
    counts = total = squares = 0.0
    n = 0
    for window in windows:
        if not 0.0 < window.probability < 1.0:
            continue
        n += window.n
        counts += window.n / window.probability
        squares += window.n / window.probability**2
        total += window.total / window.probability
    worth = counts**2 / squares if squares else 0.0
    mean = min(1.0, max(0.0, total / counts)) if counts else 0.5
    middle = (1.0 + worth * mean) / (2.0 + worth)
    return Posterior(middle, middle * (1.0 - middle) / (3.0 + worth), n)


def better(candidate: Posterior, stable: Posterior) -> float:
    """The chance that the candidate is the better one, from 0 to 1, with both posteriors taken for normal."""
    return NormalDist().cdf((candidate.mean - stable.mean) / math.sqrt(candidate.variance + stable.variance))


def share(metric: Metric, windows: Sequence[WindowSums], *, cap: float | None, floor: int, ceiling: int) -> int | None:
    """The candidate's weight in basis points; None before each arm has as many judged as a first look takes."""
    arms = list(rewards(metric, windows, cap=cap))
    candidate, stable = posterior(pair[0] for pair in arms), posterior(pair[1] for pair in arms)
    if min(candidate.n, stable.n) < FIRST_LOOK:
        return None
    wish = round(better(candidate, stable) * FULL / GRAIN) * GRAIN
    return min(ceiling, max(floor, wish))


def rewards(metric: Metric, windows: Iterable[WindowSums], *, cap: float | None) -> Iterator[tuple[Rewards, Rewards]]:
    """Both arms of each window, the candidate's first; none where nothing says what the largest loss is."""
    power = POWERS.get(metric.metric)
    largest = 1.0 if power is None else (cap or 0.0) ** power
    if metric.metric not in COMPARISONS or largest <= 0.0:
        return
    for window in windows:
        p = window.probability
        yield (
            Rewards(window.candidate.n, _reward(window.candidate, power, largest), p),
            Rewards(window.stable.n, _reward(window.stable, power, largest), 1.0 - p),
        )


def _reward(arm: ArmSums, power: int | None, largest: float) -> float:
    return float(arm.n - arm.failures) if power is None else arm.n - arm.loss / largest
