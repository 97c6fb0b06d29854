"""E-values for counts of failures: how much better the data fit "beyond the limit" than "at the limit".

An e-value is at least 1/α with a chance of at most α when the limit is kept, at whatever look anyone stops. All are
kept as logarithms.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

ALTERNATIVES = 40
"""How many rate ratios beyond the margin are mixed."""
NEAREST, FARTHEST = 1.1, 400.0
"""The least and the greatest of them, as multiples of the margin. Beyond the greatest, more is no further news: at a
rate of 0.2 % it is 80 %."""
NEGLIGIBLE = 1e-17


def log_sum(logs: Iterable[float]) -> float:
    """ln Σ exp(x), without overflow."""
    terms = list(logs)
    top = max(terms)
    return top if math.isinf(top) else top + math.log(math.fsum(math.exp(term - top) for term in terms))


def log_exceeds(n: int, failures: int, *, limit: float) -> float:
    """ln of the evidence that the failure rate is above `limit`: a uniform mixture over every rate above it.

    E = ∫_{p>p₀} pᶠ(1−p)ⁿ⁻ᶠ dp / (1−p₀) ÷ p₀ᶠ(1−p₀)ⁿ⁻ᶠ. By the identity of the incomplete beta function and the binomial
    tail this is the finite sum Σⱼ f!(n−f)! / ((f−j)!(n+1−f+j)!) · ((1−p₀)/p₀)ʲ, j = 0…f. The terms rise to one peak and
    fall, so it is summed outwards from the peak until nothing is added any more.
    """
    if limit <= 0.0:
        return math.inf if failures else -math.log(n + 1)
    if limit >= 1.0:
        return -math.inf
    odds = (1.0 - limit) / limit
    # term(j + 1) / term(j) = (f − j)·odds / (n + 2 − f + j) is 1 at the peak
    peak = min(failures, max(0, math.floor((failures * odds - (n + 2 - failures)) / (odds + 1.0)) + 1))
    log_peak = (
        math.lgamma(failures + 1)
        + math.lgamma(n - failures + 1)
        - math.lgamma(failures - peak + 1)
        - math.lgamma(n + 2 - failures + peak)
        + peak * math.log(odds)
    )
    relative, term, j = 1.0, 1.0, peak
    while j < failures and term > NEGLIGIBLE:
        term *= (failures - j) * odds / (n + 2 - failures + j)
        relative += term
        j += 1
    term, j = 1.0, peak
    while j > 0 and term > NEGLIGIBLE:
        term *= (n + 1 - failures + j) / ((failures - j + 1) * odds)
        relative += term
        j -= 1
    return log_peak + math.log(relative)


def log_below(n: int, failures: int, *, limit: float) -> float:
    """ln of the evidence that the failure rate is below `limit`: the same sum, with successes for failures."""
    return log_exceeds(n, n - failures, limit=1.0 - limit)


def upper_tail(n: int, failures: int, *, rate: float) -> float:
    """P(at least this many failures of n) at `rate`: for one look, never for deciding."""
    if failures <= 0:
        return 1.0
    if failures <= n * rate:  # the tail holds the peak: sum the other side
        return 1.0 - _tail_from(n, n - failures + 1, rate=1.0 - rate)
    return _tail_from(n, failures, rate=rate)


def _tail_from(n: int, first: int, *, rate: float) -> float:
    """Σ of the binomial probabilities from `first` on, where they fall."""
    if first > n or rate <= 0.0:
        return 0.0
    log_first = (
        math.lgamma(n + 1)
        - math.lgamma(first + 1)
        - math.lgamma(n - first + 1)
        + first * math.log(rate)
        + (n - first) * math.log1p(-rate)
    )
    odds, term, total = rate / (1.0 - rate), 1.0, 1.0
    for k in range(first, n):
        term *= (n - k) / (k + 1) * odds
        total += term
        if term < NEGLIGIBLE * total:
            break
    return min(1.0, math.exp(log_first) * total)


@dataclass(frozen=True, slots=True)
class Shared:
    """How many of something fell to each arm while the candidate's probability was `probability`."""

    probability: float
    candidate: int
    stable: int


def whose(probability: float, *, theta: float) -> float:
    """q(θ): the chance that the next one is the candidate's, if its rate is θ times stable's."""
    return probability * theta / (probability * theta + 1.0 - probability)


def log_tilt(strata: Iterable[Shared], *, theta: float, null: float) -> float:
    """ln of how much better a rate ratio of θ explains whose they were than `null` does."""
    total = 0.0
    for stratum in strata:
        p = stratum.probability
        # whose(θ)/whose(null) = θ/null · d and (1 − whose(θ))/(1 − whose(null)) = d, with d:
        shrink = math.log((p * null + 1.0 - p) / (p * theta + 1.0 - p))
        total += stratum.candidate * (math.log(theta / null) + shrink) + stratum.stable * shrink
    return total


def log_worse(strata: Iterable[Shared], *, margin: float) -> float:
    """ln of the evidence that the candidate fails more than `margin` times as often as stable.

    Each failure asks whose it was. Given that one happened, only the ratio of the rates and the stamped probability
    matter, so a daily curve of the rate itself has no say. Mixed over 40 ratios beyond the margin, even in logarithm.
    """
    kept = [stratum for stratum in strata if 0.0 < stratum.probability < 1.0]
    ratio = math.log(FARTHEST / NEAREST) / (ALTERNATIVES - 1)
    thetas = (margin * NEAREST * math.exp(ratio * i) for i in range(ALTERNATIVES))
    return log_sum(log_tilt(kept, theta=theta, null=margin) for theta in thetas) - math.log(ALTERNATIVES)
