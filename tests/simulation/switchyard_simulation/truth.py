"""What is true of a candidate in one run: its loss on each flight, how often it fails, how slow it is.

A candidate is made from real flights and real models, and placed exactly where a promise is hardest to keep.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from switchyard_simulation.flights import Floats, Replay

BEFORE = 14
"""Days of stable before a rollout: the cap on losses comes from them, as in the monitor."""
MARGIN = 0.05
KAPPA = (1.0 + MARGIN) ** 2
"""RMSE is tested as MSE."""


@dataclass(frozen=True, slots=True)
class Losses:
    """Capped squared errors of each flight of the run, zero where it never landed."""

    candidate: Floats
    stable: Floats


Maker = Callable[[Replay, int, int, np.random.Generator], Losses]
"""(replay, first day, days, chance) → what each arm loses."""


def squared(replay: Replay, model: str, part: slice, *, cap: float) -> Floats:
    """min(|e|, cap)² of one model."""
    errors = np.abs(replay.answers[model][part] - replay.delay[part])
    return np.asarray(np.nan_to_num(np.minimum(errors, cap) ** 2))


def cap_of(replay: Replay, model: str, first: int) -> float:
    """The 99th percentile of stable's |e| before the rollout."""
    part = replay.part(first - BEFORE, first)
    return float(np.nanquantile(np.abs(replay.answers[model][part] - replay.delay[part]), 0.99))


def versus(stable: str, candidate: str) -> Maker:
    """Two real models as they are."""

    def losses(replay: Replay, first: int, days: int, chance: np.random.Generator) -> Losses:
        part, cap = replay.part(first, first + days), cap_of(replay, stable, first)
        return Losses(squared(replay, candidate, part, cap=cap), squared(replay, stable, part, cap=cap))

    return losses


def at_margin_always(replay: Replay, first: int, days: int, chance: np.random.Generator) -> Losses:
    """The candidate loses κ times what stable loses, on every flight, so the limit is met at every moment."""
    same = versus("2.0.0", "2.0.0")(replay, first, days, chance)
    return Losses(KAPPA * same.candidate, same.stable)


def at_margin_by_days(replay: Replay, first: int, days: int, chance: np.random.Generator) -> Losses:
    """On each day it loses κ times as much, times how the challenger did against 2.0.0 on some real day.

    Those ratios are drawn by lot and are 1 on average, so whatever was seen, the next day is expected at the limit.
    """
    same = at_margin_always(replay, first, days, chance)
    ratios = daily_ratios(replay)
    part = replay.part(first, first + days)
    day = (replay.hours[part] // 24).astype(np.int64) - first
    return Losses(same.candidate * chance.choice(ratios, size=days)[day], same.stable)


def at_margin_in_all(replay: Replay, first: int, days: int, chance: np.random.Generator) -> Losses:
    """The challenger as it is, in its real order, scaled to be at the limit over the days of this run together."""
    real = versus("2.0.0", "challenger")(replay, first, days, chance)
    return Losses(real.candidate * (KAPPA * real.stable.sum() / real.candidate.sum()), real.stable)


def at_margin_of_the_year(replay: Replay, first: int, days: int, chance: np.random.Generator) -> Losses:
    """The same, but at the limit over all ten months: seasons differ, and a verdict speaks of the days judged."""
    real = versus("2.0.0", "challenger")(replay, first, days, chance)
    part, cap = replay.part(0, replay.days), cap_of(replay, "2.0.0", first)
    ratio = squared(replay, "challenger", part, cap=cap).sum() / squared(replay, "2.0.0", part, cap=cap).sum()
    return Losses(real.candidate * (KAPPA / ratio), real.stable)


def daily_ratios(replay: Replay) -> Floats:
    """Each day's mean loss of the challenger as a multiple of that of 2.0.0, one on average."""
    part, cap = replay.part(0, replay.days), cap_of(replay, "2.0.0", BEFORE)
    day = (replay.hours[part] // 24).astype(np.int64)
    mine = np.bincount(day, squared(replay, "challenger", part, cap=cap), replay.days)
    other = np.bincount(day, squared(replay, "2.0.0", part, cap=cap), replay.days)
    ratios = mine / other
    return np.asarray(ratios / ratios.mean())
