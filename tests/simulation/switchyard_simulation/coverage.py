"""How often the intervals that are shown hold what is true. They are for one look; nothing is decided by them.

These are all that the code has: Wilson for shares, order statistics for quantiles of latency, normal intervals for
RMSE, MAE and bias, and day blocks for pairs.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from statistics import NormalDist

import numpy as np
from switchyard_contracts.evidence import ArmSums, PairBlock
from switchyard_contracts.intervals import wilson
from switchyard_monitor.domain.buckets import TIME_PARTS, Histogram, bucket
from switchyard_monitor.domain.paired import difference
from switchyard_monitor.domain.quality import Quality, quantile_interval

from switchyard_simulation import exhibits, truth
from switchyard_simulation.drawing import Pace, draw
from switchyard_simulation.flights import Floats, Replay
from switchyard_simulation.guarding import MEDIAN_US, SPREAD

Covers = Callable[[Replay, np.random.Generator], bool]
SHARES = (0.002, 0.01, 0.1)
PAIRED = Pace("1,000 a second", 3.6e6, 14, 1, 1, ())


def of_shares(n: int) -> Covers:
    """Wilson's, of a share among n."""

    def covers(replay: Replay, chance: np.random.Generator) -> bool:
        share = float(chance.choice(SHARES))
        low, high = wilson(n, int(chance.binomial(n, share)))
        return low <= share <= high

    return covers


def of_quantiles(quantile: float, n: int) -> Covers:
    """Order statistics of n latencies, in the monitor's buckets."""
    true = MEDIAN_US * math.exp(SPREAD * NormalDist().inv_cdf(quantile)) / 1_000_000

    def covers(replay: Replay, chance: np.random.Generator) -> bool:
        times = np.exp(math.log(MEDIAN_US) + SPREAD * chance.standard_normal(n)).round().astype(np.int64)
        values, counts = np.unique(times, return_counts=True)
        found: dict[int, int] = {}
        for value, count in zip(values.tolist(), counts.tolist(), strict=True):
            at = bucket(value, TIME_PARTS)
            found[at] = found.get(at, 0) + count
        interval = quantile_interval(Histogram(found, TIME_PARTS), quantile)
        return interval is not None and interval[0] <= true <= interval[1]

    return covers


def of_errors(name: str, n: int, *, days: int = 0) -> Covers:
    """RMSE, MAE or bias of 2.0.0, over n flights by lot, or over so many days in a row."""

    def covers(replay: Replay, chance: np.random.Generator) -> bool:
        errors = replay.answers["2.0.0"] - replay.delay
        landed = errors[~np.isnan(errors)]
        if days:
            first = int(chance.integers(0, replay.days - days))
            held = errors[replay.part(first, first + days)]
            held = held[~np.isnan(held)]
        else:
            held = chance.choice(landed, n)
        known, whole = quality(held), quality(landed)
        interval = known.bias_interval() if name == "bias" else known.interval(name)
        true = getattr(whole, name)
        return interval is not None and interval[0] <= true <= interval[1]

    return covers


def quality(errors: Floats) -> Quality:
    """The monitor's sums of these errors."""
    return Quality(
        n=len(errors),
        numeric=len(errors),
        total=float(errors.sum()),
        squares=float((errors**2).sum()),
        size=float(np.abs(errors).sum()),
        fourths=float((errors**4).sum()),
    )


def of_pairs(replay: Replay, chance: np.random.Generator) -> bool:
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
            difference=block.candidate.loss - block.stable.loss,
        )
        for block in exhibits.blocks_of(pairs)
    ]
    true = (truth.KAPPA - 1.0) * float(pairs.stable.sum()) / int(pairs.judged.sum())
    _, interval = difference(blocks)
    return interval is not None and interval[0] <= true <= interval[1]
