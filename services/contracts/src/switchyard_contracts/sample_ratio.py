"""The sample-ratio check: do the arms' counts fit the probabilities that were stamped on the requests?

If they do not, something picks who is counted, and every comparison of the arms rests on sand. So this comes first. The
alternatives are that the candidate's odds were off by a factor, from 1 % to twenty-fold in either direction. Half of
the bet is on one factor throughout, which finds a small lasting fault soonest; half is on a factor of its own for each
probability, which finds faults that would cancel out (two generations whose weights changed places).

Where users stay with their arm, one who asks a thousand times is no fault. There the folds of users are asked: whether
the candidate's counts lie further from its share than the folds differ among each other.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator

from switchyard_contracts.evalues import Shared, log_sum, log_tilt
from switchyard_contracts.evidence import WindowSums
from switchyard_contracts.folds import Folded, excess, share_of

ALARM = 1000.0
"""The e-value from which the counts are held not to fit: by chance at most once in a thousand rollouts."""
TILTS = 24
"""Odds factors mixed in each direction, even in the logarithm of their logarithm."""
LEAST, MOST = 0.01, 3.0
"""Their logarithms."""


def of_users(windows: Iterable[WindowSums]) -> bool:
    """Whether the counts of sticky windows do not come from the stamped probabilities."""
    return excess(_by_fold(windows), alpha=1.0 / (2.0 * ALARM)) != 0.0


def _by_fold(windows: Iterable[WindowSums]) -> Iterator[Folded]:
    so_far = Folded()
    for window in sorted(windows, key=lambda window: window.start):
        if window.folds is None or not 0.0 < window.probability < 1.0:
            continue
        both = list(zip(window.folds.candidate.n, window.folds.stable.n, strict=True))
        beyond = [
            mine - (mine + other) * share_of(fold, probability=window.probability)
            for fold, (mine, other) in enumerate(both)
        ]
        so_far = so_far.add(beyond, [mine + other for mine, other in both])
        yield so_far


def log_mismatch(strata: Iterable[Shared]) -> float:
    """ln of the evidence that the counts do not come from the stamped probabilities."""
    kept = []
    for stratum in strata:
        if 0.0 < stratum.probability < 1.0:
            kept.append(stratum)
        elif stratum.candidate if stratum.probability <= 0.0 else stratum.stable:
            return math.inf  # an arm that could not be drawn was
    step = math.log(MOST / LEAST) / (TILTS - 1)
    thetas = [math.exp(sign * LEAST * math.exp(step * i)) for i in range(TILTS) for sign in (1, -1)]
    # By probability, then by factor: what one factor throughout, and one for each, both rest on.
    logs = [[log_tilt([stratum], theta=theta, null=1.0) for theta in thetas] for stratum in kept]
    throughout = _mixed([math.fsum(terms) for terms in zip(*logs, strict=True)] if logs else [0.0])
    each = sum(_mixed(terms) for terms in logs)
    return log_sum([throughout, each]) - math.log(2)


def _mixed(terms: list[float]) -> float:
    return log_sum(terms) - math.log(len(terms))
