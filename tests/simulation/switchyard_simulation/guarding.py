"""What the guards of one run see: requests, failures and slow ones of both arms, at each look of each step.

Looks crowd at a step's start, where guards decide, up to as long as a step of the samples holds.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
from switchyard_contracts.evidence import WindowSums
from switchyard_monitor.domain.buckets import TIME_PARTS, bucket, low, width

from switchyard_simulation import exhibits
from switchyard_simulation.drawing import Pace

SPREAD = 0.5
"""Of the logarithm of latency."""
MEDIAN_US = 8_000.0
ALLOWED = 1.5
"""Of the guards on more errors than stable, and on latency: 50 % more."""
EARLIER = {True: 20_000, False: 200}
"""Requests from which stable's p95 is known, where there are many or few; fewer give no threshold."""


@dataclass(frozen=True, slots=True)
class Faults:
    """How often each arm's answers fail, by how much the candidate is slower, and how failures move in the day."""

    candidate: float
    stable: float
    slower: float = 1.0
    curve: float = 0.0
    """Of both arms: 0.8 is from a fifth of the mean to nearly twice it."""


@dataclass(frozen=True, slots=True)
class Look:
    """What there is at one look, in this step so far."""

    hours: float
    errors: list[WindowSums]
    slow: list[WindowSums]


def looks(faults: Faults, pace: Pace, chance: np.random.Generator) -> Iterator[Look]:
    """Every look, in order of time."""
    share = slow_share(faults.slower, earlier=EARLIER[pace.per_hour > 1_000], chance=chance)
    usual = slow_share(1.0, earlier=EARLIER[pace.per_hour > 1_000], chance=chance)
    for step, probability in enumerate(pace.weights):
        began, before = 24.0 * pace.step_days * step, 0.0
        errors: list[WindowSums] = []
        slow: list[WindowSums] = []
        for until in pace.guards:
            start = began + before
            requests = chance.poisson(pace.per_hour * (until - before))
            mine = int(chance.binomial(requests, probability))
            both = (mine, int(requests) - mine)
            tide = 1.0 + faults.curve * math.sin(2.0 * math.pi * start / 24.0)
            failed = [
                int(chance.binomial(n, rate * tide))
                for n, rate in zip(both, (faults.candidate, faults.stable), strict=True)
            ]
            late = [int(chance.binomial(n, rate)) for n, rate in zip(both, (share, usual), strict=True)]
            errors.append(exhibits.counts(start, probability, step=step, requests=both, hits=(failed[0], failed[1])))
            slow.append(exhibits.counts(start, probability, step=step, requests=both, hits=(late[0], late[1])))
            before = until
            yield Look(began + until, list(errors), list(slow))


def slow_share(slower: float, *, earlier: int, chance: np.random.Generator) -> float:
    """How many are beyond the threshold, which is drawn as the monitor finds it: in buckets, from earlier requests."""
    known = np.exp(math.log(MEDIAN_US) + SPREAD * chance.standard_normal(earlier))
    quantile = float(np.partition(known, math.ceil(0.95 * earlier) - 1)[math.ceil(0.95 * earlier) - 1])
    at = bucket(round(quantile), TIME_PARTS)
    limit = bucket(math.ceil((low(at, TIME_PARTS) + width(at, TIME_PARTS) - 1) * ALLOWED), TIME_PARTS)
    edge = low(limit, TIME_PARTS) + width(limit, TIME_PARTS)
    return 1.0 - NormalDist().cdf(math.log(edge / (MEDIAN_US * slower)) / SPREAD)
