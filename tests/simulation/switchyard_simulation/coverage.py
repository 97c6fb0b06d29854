"""How often the intervals that are shown hold what is true. They are for one look; nothing is decided by them.

These are all that the code has: Wilson for shares, the conditional binomial for failures against stable, order
statistics for quantiles of latency, the jackknife for RMSE, MAE, bias and accuracy, and day blocks for pairs. Flights
are drawn by lot, again and again, so that what is true of all of them is known.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import lru_cache
from statistics import NormalDist
from typing import NamedTuple

import numpy as np
from switchyard_contracts.evalues import Shared
from switchyard_contracts.evidence import ArmSums, PairBlock
from switchyard_contracts.intervals import rate_ratio, wilson
from switchyard_contracts.sticky import BUCKETS, FOLDS, fold_of
from switchyard_monitor.domain import identity
from switchyard_monitor.domain.buckets import TIME_PARTS, Histogram, bucket
from switchyard_monitor.domain.judging import AGE, FOLDED, FoldNames, Names
from switchyard_monitor.domain.paired import difference
from switchyard_monitor.domain.quality import Quality, quantile_interval
from switchyard_monitor.domain.rules import CLIP, Rule
from switchyard_monitor.domain.sums import Sums

from switchyard_simulation import exhibits, naive, truth
from switchyard_simulation.drawing import Pace, draw
from switchyard_simulation.flights import Floats, Replay, Whole
from switchyard_simulation.guarding import MEDIAN_US, SPREAD

Bounds = tuple[float, float] | None


class Shown(NamedTuple):
    """One interval that would have been shown, held to what is true."""

    held: bool
    width: float | None
    """None where there is no interval, or nothing sets an end of it."""

    @classmethod
    def of(cls, interval: Bounds, true: float) -> Shown:
        """Where none is shown none holds."""
        return (
            cls(False, None) if interval is None else cls(interval[0] <= true <= interval[1], interval[1] - interval[0])
        )


Covers = Callable[[Replay, np.random.Generator], Shown]
SHARES = (0.002, 0.01, 0.1)
RATIOS = (0.3, 1.0, 4.0)
"""How many times as often a candidate fails as stable."""
ASKED = 10_000
"""Requests of an hour, where failures are counted."""
CURVE = 0.8
"""How far the rate of failures moves in the day: from a fifth of the mean to nearly twice it."""
WEIGHTS = (0.05, 0.25, 0.5)
PAIRED = Pace("1,000 a second", 3.6e6, 14, 1, 1, ())
SUBJECT = "demo/delay"
NUMBERS = Rule(SUBJECT, task="regression", scale=10)
CLASSES = Rule(SUBJECT, task="classification")
LATE = 15.0
"""Minutes from which on a flight counts as late, for what is right or wrong."""
USERS, TIMES = 200, 20
OWN = 15.0
"""Minutes by which the model is off for each user in a way of that user's own (a standard deviation)."""


def of_shares(n: int) -> Covers:
    """Wilson's, of a share among n."""

    def covers(replay: Replay, chance: np.random.Generator) -> Shown:
        share = float(chance.choice(SHARES))
        return Shown.of(wilson(n, int(chance.binomial(n, share))), share)

    return covers


def of_ratios(failures: int) -> Covers:
    """The conditional binomial's, of about so many failures of both arms, a day at each of three weights."""
    hours = np.arange(24)
    tide = 1.0 + CURVE * np.sin(2.0 * np.pi * hours / 24.0)

    def covers(replay: Replay, chance: np.random.Generator) -> Shown:
        theta = float(chance.choice(RATIOS))
        rate = failures / (ASKED * len(hours) * sum(p * theta + 1.0 - p for p in WEIGHTS)) * tide
        strata = []
        for probability in WEIGHTS:
            mine = chance.binomial(ASKED, probability, len(hours))
            failed = chance.binomial(mine, theta * rate), chance.binomial(ASKED - mine, rate)
            strata.append(Shared(probability, int(failed[0].sum()), int(failed[1].sum())))
        found = rate_ratio(strata)
        if found is None:  # nobody failed: nothing is shown, and nothing wrong is said
            return Shown(True, None)
        if found.upper is None:
            return Shown(found.lower <= theta, None)
        return Shown.of((found.lower, found.upper), theta)

    return covers


def of_quantiles(quantile: float, n: int) -> Covers:
    """Order statistics of n latencies, in the monitor's buckets."""
    true = MEDIAN_US * math.exp(SPREAD * NormalDist().inv_cdf(quantile)) / 1_000_000

    def covers(replay: Replay, chance: np.random.Generator) -> Shown:
        times = np.exp(math.log(MEDIAN_US) + SPREAD * chance.standard_normal(n)).round().astype(np.int64)
        values, counts = np.unique(times, return_counts=True)
        found: dict[int, int] = {}
        for value, count in zip(values.tolist(), counts.tolist(), strict=True):
            at = bucket(value, TIME_PARTS)
            found[at] = found.get(at, 0) + count
        return Shown.of(quantile_interval(Histogram(found, TIME_PARTS), quantile), true)

    return covers


def of_durations(quantile: float, n: int) -> Covers:
    """Order statistics of n flights by lot, by how long they took; an hour for ten milliseconds."""

    def covers(replay: Replay, chance: np.random.Generator) -> Shown:
        took = (replay.lands - replay.hours) * 10_000
        took = took[~np.isnan(took)].round().astype(np.int64)
        held: dict[int, int] = {}
        values, counts = np.unique(chance.choice(took, n), return_counts=True)
        for value, count in zip(values.tolist(), counts.tolist(), strict=True):
            at = bucket(value, TIME_PARTS)
            held[at] = held.get(at, 0) + count
        true = float(np.quantile(took, quantile, method="inverted_cdf")) / 1_000_000
        return Shown.of(quantile_interval(Histogram(held, TIME_PARTS), quantile), true)

    return covers


def of_errors(name: str, n: int, *, level: float = 0.95) -> Covers:
    """The jackknife's, of the RMSE, MAE or bias of 2.0.0 over n flights by lot."""

    def covers(replay: Replay, chance: np.random.Generator) -> Shown:
        landed = _errors(replay)
        held = chance.choice(landed, n)
        return Shown.of(numbers(held, groups(n)).interval(name, level=level), _true(name, landed))

    return covers


def of_errors_usual(n: int) -> Covers:
    """The normal one, of the RMSE of the same: it takes a few large errors for no more than they are."""

    def covers(replay: Replay, chance: np.random.Generator) -> Shown:
        landed = _errors(replay)
        return Shown.of(naive.normal_rmse(chance.choice(landed, n)), _true("rmse", landed))

    return covers


def of_a_week(replay: Replay, chance: np.random.Generator) -> Shown:
    """The jackknife's, of the RMSE of all flights of seven days in a row, held to that of all days."""
    errors = replay.answers["2.0.0"] - replay.delay
    first = int(chance.integers(0, replay.days - 7))
    held = errors[replay.part(first, first + 7)]
    held = held[~np.isnan(held)]
    return Shown.of(numbers(held, groups(len(held))).interval("rmse"), _true("rmse", _errors(replay)))


def of_classes(n: int) -> Covers:
    """That of the accuracy of 2.0.0, of whether a flight will be late, over n flights by lot."""

    def covers(replay: Replay, chance: np.random.Generator) -> Shown:
        landed = ~np.isnan(replay.delay)
        right = (replay.answers["2.0.0"][landed] >= LATE) == (replay.delay[landed] >= LATE)
        return Shown.of(classes(chance.choice(right, n), groups(n)).interval("accuracy"), float(right.mean()))

    return covers


def of_rare_errors(n: int, share: float) -> Covers:
    """That of an accuracy of which so many are wrong."""

    def covers(replay: Replay, chance: np.random.Generator) -> Shown:
        return Shown.of(classes(chance.random(n) >= share, groups(n)).interval("accuracy"), 1.0 - share)

    return covers


def of_users(*, known: bool) -> Covers:
    """The bias where each of some users asks again and again, and the model is off for each in its own way.

    Counted by users, as where a split is sticky; or, where users are not `known`, each request by its id.
    """

    def covers(replay: Replay, chance: np.random.Generator) -> Shown:
        landed = _errors(replay)
        user = np.repeat(np.arange(USERS), TIMES)
        held = chance.choice(landed, len(user)) + OWN * chance.standard_normal(USERS)[user]
        folds = np.array([fold_of(int(at)) for at in chance.integers(0, BUCKETS, USERS)])
        return Shown.of(
            numbers(held, folds[user] if known else groups(len(user))).interval("bias"), _true("bias", landed)
        )

    return covers


def numbers(errors: Floats, fold: Whole) -> Quality:
    """What the monitor makes of these errors, each counted in its fold."""
    whole = np.clip(np.rint(errors / NUMBERS.unit), -CLIP, CLIP)
    values = {"n": np.ones(len(whole)), "e": whole, "ee": whole**2, "eeee": whole**4, "a": np.abs(whole)}
    return Quality.of([(NUMBERS, _sums(values, fold))], "age")


def classes(right: np.ndarray[tuple[int], np.dtype[np.bool_]], fold: Whole) -> Quality:
    """What the monitor makes of right and wrong answers."""
    return Quality.of([(CLASSES, _sums({"n": np.ones(len(right)), "right": right.astype(np.float64)}, fold))], "age")


def _sums(values: dict[str, Floats], fold: Whole) -> Sums:
    """As the join keeps them: whole, and by groups."""
    found: Sums = {}
    for name, each in values.items():
        if name in Names._fields:
            found[getattr(AGE, name)] = int(each.sum())
        if name in FoldNames._fields:
            for names, total in zip(FOLDED, np.bincount(fold, each, FOLDS), strict=True):
                found[getattr(names, name)] = int(total)
    return found


@lru_cache
def groups(n: int) -> Whole:
    """The folds of n predictions, by their ids."""
    return np.array([identity.fold(identity.key(SUBJECT, f"flight-{number}")) for number in range(n)])


def of_pairs(replay: Replay, chance: np.random.Generator) -> Shown:
    """The mean difference of pairs over two weeks of days that differ."""
    first = int(chance.integers(truth.BEFORE, replay.days - PAIRED.days))
    losses = truth.at_margin_by_days(replay, first, PAIRED.days, chance)
    pairs = draw(replay, losses, pace=PAIRED, first=first, chance=chance).pairs
    blocks = [
        PairBlock(
            start=block.start,
            traffic=1,
            pairs=block.pairs,
            candidate=ArmSums(n=block.candidate.n),
            stable=block.stable,
            difference=block.candidate.loss - block.stable.loss,
        )
        for block in exhibits.blocks_of(pairs)
    ]
    true = (truth.KAPPA - 1.0) * float(pairs.stable.sum()) / int(pairs.judged.sum())
    return Shown.of(difference(blocks)[1], true)


def _errors(replay: Replay) -> Floats:
    errors = replay.answers["2.0.0"] - replay.delay
    return np.asarray(errors[~np.isnan(errors)])


def _true(name: str, errors: Floats) -> float:
    found = {"rmse": math.sqrt(float((errors**2).mean())), "mae": float(np.abs(errors).mean())}
    return (found | {"bias": float(errors.mean())})[name]
