"""Intervals for showing. They hold for one look; nothing is decided by them."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import accumulate
from statistics import NormalDist

from switchyard_contracts.boundary import few
from switchyard_contracts.evalues import Shared, whose
from switchyard_contracts.folds import FIRST_FOLDS

Groups = Iterable[tuple[float, float]]
"""Of each group how many it holds, and their Σ."""
ENDS = (-60.0, 60.0)
"""Between these logarithms a ratio of two rates is looked for; no count of failures leads beyond them."""
HALVINGS = 60


def wilson(n: int, failures: int, *, level: float = 0.95) -> tuple[float, float]:
    """The Wilson score interval of a share: honest near 0 and 1, where the textbook interval leaves the scale."""
    return _score(n, failures / n, z=_z(level)) if n else (0.0, 1.0)


def jackknife(
    groups: Groups, *, of: Callable[[float], float] = float, level: float = 0.95, least: int = FIRST_FOLDS
) -> tuple[float, float] | None:
    """The interval of a mean, or of what is made `of` it, by how it moves when each group in turn is left out.

    What a group has in common (all that one user asked, all rows of a request) is then one draw and not many. Student's
    t has as many degrees of freedom as there are groups with anything in them, less one. None where they are fewer than
    the least.
    """
    held = _held(groups)
    error = _error(held, of, least)
    if error is None:
        return None
    value, half = of(_mean(held)), few(_z(level), variance=1.0, units=len(held)) * error
    return value - half, value + half


def jackknife_squares(groups: Groups, *, level: float = 0.95, least: int = FIRST_FOLDS) -> tuple[float, float] | None:
    """The interval of a mean of squares, or of sizes of which some are large, by the jackknife of its inverse.

    A few large errors make most of such a mean, and where a sample has none of them its mean and the error of it are
    both too small: the interval of the mean itself held in 89 of 100 samples of 200 flights, that of the inverse, whose
    upper end lies further off, in 92. None where so few squares make the mean that nothing sets that end.
    """
    held = _held(groups)
    large = sum(total > 0.0 for _, total in held)
    if large < 2:
        return (0.0, 0.0) if held and not large and len(held) >= least else None
    found = jackknife(held, of=lambda mean: 1.0 / mean, level=level, least=least)
    return None if found is None or found[0] <= 0.0 else (1.0 / found[1], 1.0 / found[0])


def jackknife_share(groups: Groups, *, level: float = 0.95, least: int = FIRST_FOLDS) -> tuple[float, float] | None:
    """Wilson's interval of a share, of as many as the jackknife says there are in effect; never of more than there are.

    The jackknife alone has no width where nothing is wrong, however few were asked. The Σ of a group is its hits.
    """
    held = _held(groups)
    error = _error(held, float, least)
    if error is None:
        return None
    share, n = _mean(held), sum(count for count, _ in held)
    alone = share * (1 - share) / n
    return _score(
        n / max(1.0, error**2 / alone) if alone else n, share, z=few(_z(level), variance=1.0, units=len(held))
    )


def jackknife_parts(
    groups: Iterable[Sequence[float]], *, of: Callable[[Sequence[float]], float | None], level: float = 0.95
) -> tuple[float, float] | None:
    """The interval of anything that is made `of` numbers which add up over groups, by leaving out each in turn.

    Groups in which all numbers are 0 are no groups. None where they are too few, or without one of them there is
    nothing to be told.
    """
    held = [group for group in groups if any(group)]
    if len(held) < FIRST_FOLDS:
        return None
    whole = [math.fsum(column) for column in zip(*held, strict=True)]
    value = of(whole)
    without = [of([total - part for total, part in zip(whole, group, strict=True)]) for group in held]
    told = [one for one in without if one is not None]
    if value is None or len(told) < len(held):
        return None
    middle = math.fsum(told) / len(told)
    error = math.sqrt(math.fsum((one - middle) ** 2 for one in told) * (len(told) - 1) / len(told))
    half = few(_z(level), variance=1.0, units=len(held)) * error
    return value - half, value + half


@dataclass(frozen=True, slots=True)
class Ratio:
    """How many times as often the candidate fails as stable; an end that nothing sets is None."""

    value: float | None
    lower: float
    upper: float | None


def rate_ratio(strata: Iterable[Shared], *, level: float = 0.95) -> Ratio | None:
    """The ratio of two rates by whose each failure was; None where none happened under a split.

    Given that one failed, that it was the candidate's has the chance q(θ) = pθ/(pθ+1−p), whatever the rate was at that
    moment. So the candidate's number is a sum of binomial ones, and θ is held where that number is no surprise: by its
    mean and variance, with the correction of a half that makes a normal tail as wide as a binomial one.
    """
    held = [stratum for stratum in strata if 0.0 < stratum.probability < 1.0]
    mine = sum(stratum.candidate for stratum in held)
    both = mine + sum(stratum.stable for stratum in held)
    if not both:
        return None

    def surprise(theta: float, hits: float, *, z: float) -> float:
        """How far the mean at θ lies above so many hits and z standard deviations; from below 0 to above it, once."""
        chances = [(stratum.candidate + stratum.stable, whose(stratum.probability, theta=theta)) for stratum in held]
        spread = math.sqrt(math.fsum(n * q * (1 - q) for n, q in chances))
        return math.fsum(n * q for n, q in chances) - hits - z * spread

    z = _z(level)
    return Ratio(
        value=0.0 if not mine else None if mine == both else _root(lambda theta: surprise(theta, mine, z=0.0)),
        lower=_root(lambda theta: surprise(theta, mine - 0.5, z=-z)) if mine else 0.0,
        upper=_root(lambda theta: surprise(theta, mine + 0.5, z=z)) if mine < both else None,
    )


def quantile_ranks(n: int, quantile: float, *, level: float = 0.95) -> tuple[int, int] | None:
    """Ranks (from 1) of the order statistics that hold a quantile; None where n is too small for both ends.

    P(x₍lower₎ ≤ quantile < x₍upper₎) = P(lower ≤ B < upper) for B binomial(n, quantile); each end misses at most half.
    """
    miss = (1 - level) / 2
    lower, upper, below = 0, n + 1, 0.0
    for k in range(n + 1):
        below += math.exp(
            math.lgamma(n + 1)
            - math.lgamma(k + 1)
            - math.lgamma(n - k + 1)
            + k * math.log(quantile)
            + (n - k) * math.log1p(-quantile)
        )
        if below <= miss:
            lower = k + 1
        if below >= 1 - miss:
            upper = k + 1
            break
    return (lower, upper) if lower >= 1 and upper <= n else None


def _z(level: float) -> float:
    return NormalDist().inv_cdf(0.5 + level / 2)


def _score(n: float, share: float, *, z: float) -> tuple[float, float]:
    squared = z * z
    middle = share + squared / (2 * n)
    half = z * math.sqrt(share * (1 - share) / n + squared / (4 * n * n))
    scale = 1 + squared / n
    low = 0.0 if share == 0.0 else (middle - half) / scale
    high = 1.0 if share == 1.0 else (middle + half) / scale
    return low, high


def _held(groups: Groups) -> list[tuple[float, float]]:
    return [(n, total) for n, total in groups if n]


def _mean(groups: Sequence[tuple[float, float]]) -> float:
    return math.fsum(total for _, total in groups) / sum(n for n, _ in groups)


def _error(groups: Sequence[tuple[float, float]], of: Callable[[float], float], least: int) -> float | None:
    """The standard error; None where the groups are too few to tell."""
    if len(groups) < least:
        return None
    n = sum(count for count, _ in groups)
    # What comes before each and after it: taking a group out of the sum could leave less than nothing of squares.
    before = accumulate((total for _, total in groups[:-1]), initial=0.0)
    after = [*accumulate((total for _, total in groups[:0:-1]), initial=0.0)]
    without = [
        of((earlier + later) / (n - count))
        for (count, _), earlier, later in zip(groups, before, reversed(after), strict=True)
    ]
    middle = math.fsum(without) / len(without)
    return math.sqrt(math.fsum((each - middle) ** 2 for each in without) * (len(without) - 1) / len(without))


def _root(rises: Callable[[float], float]) -> float:
    """Where a function of θ comes to 0 from below."""
    low, high = ENDS
    for _ in range(HALVINGS):
        middle = (low + high) / 2
        low, high = (low, middle) if rises(math.exp(middle)) >= 0.0 else (middle, high)
    return math.exp((low + high) / 2)
