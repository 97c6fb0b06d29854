"""The A/B test: users are drawn once, for full weeks, and it is read once, when those are over.

What is estimated is the mean loss of a prediction: whoever asks twice as often counts twice. A mean of each user's own
mean would need a row for every user, without end; or for each of the 10,000 buckets, of which one is several users as
soon as there are thousands. What one user does again and again is one user's matter all the same: users stay in their
fold, and the error comes from how the 32 folds differ, by a jackknife that leaves out each fold with both of its arms.

One look needs no boundary for many. Student's t with one degree of freedom less than there are folds decides, one-sided
each way: below the margin the candidate has won, above it it has lost, and else nobody has.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from statistics import NormalDist

from switchyard_contracts import boundary
from switchyard_contracts.comparison import COMPARISONS, Comparison, by_fold
from switchyard_contracts.evidence import WindowSums
from switchyard_contracts.folds import FIRST_FOLDS
from switchyard_contracts.judgement import Budget, Judgement, Verdict, count, counted, noun, number, percent, span
from switchyard_contracts.model_deployment import Metric
from switchyard_contracts.standing import Case
from switchyard_contracts.sticky import FOLDS
from switchyard_contracts.unpaired import Losses

AHEAD = "HorizonAhead"
"""Why a test says nothing yet."""


@dataclass(frozen=True, slots=True)
class Horizon:
    """Which windows count, and from when on all of them are known."""

    since: datetime
    until: datetime
    due: datetime
    """When everything up to `until` is old enough to be judged."""
    probability: float
    """The candidate's share of the users. Windows with another one are of users who were moved."""

    def holds(self, window: WindowSums) -> bool:
        """Whether a window counts. As many begin in it as full weeks have, wherever between two it began itself."""
        return self.since <= window.start < self.until and window.probability == self.probability

    def is_over(self, watermark: datetime | None) -> bool:
        """Whether everything that counts has been read."""
        return watermark is not None and watermark >= self.due


@dataclass(frozen=True, slots=True)
class Design:
    """What is stated before the first user is drawn."""

    share: float
    """The candidate's share of the users, from 0 to 1."""
    effect: float
    """The smallest improvement that should be found, as a share of the metric's own value."""
    power: float
    """How often it should be found where it is there."""
    spread: float
    """How far a single loss lies from the mean, as a multiple of the mean, with what users have alike counted in."""


@dataclass(frozen=True, slots=True)
class Gap:
    """The candidate's mean loss − κ · stable's; below 0 it is better than asked for."""

    value: float
    error: float
    """Its standard error."""
    folds: int
    """How many of them have anybody."""
    candidate: Losses
    stable: Losses
    kappa: float

    @property
    def means(self) -> tuple[float, float]:
        """The candidate's mean loss, and stable's."""
        return self.candidate.total / self.candidate.n, self.stable.total / self.stable.n

    @property
    def spread(self) -> float | None:
        """The spread that a design should have assumed; None where stable loses nothing."""
        _, mean = self.means
        single = math.sqrt(1.0 / self.candidate.n + self.kappa**2 / self.stable.n)
        return self.error / (abs(mean) * single) if mean else None


def gap(folds: Iterable[tuple[Losses, Losses]], *, kappa: float) -> Gap | None:
    """The jackknife over folds (the candidate's and stable's of each); None where one fold is all of an arm."""
    held = [pair for pair in folds if pair[0].n or pair[1].n]
    mine, other = _whole(pair[0] for pair in held), _whole(pair[1] for pair in held)
    without = []
    for candidate, stable in held:
        left = mine.n - candidate.n, other.n - stable.n
        if not all(left):
            return None
        without.append((mine.total - candidate.total) / left[0] - kappa * (other.total - stable.total) / left[1])
    if len(without) < 2:
        return None
    middle = math.fsum(without) / len(without)
    squares = math.fsum((each - middle) ** 2 for each in without)
    return Gap(
        value=mine.total / mine.n - kappa * other.total / other.n,
        error=math.sqrt(squares * (len(without) - 1) / len(without)),
        folds=len(without),
        candidate=mine,
        stable=other,
        kappa=kappa,
    )


def student(alpha: float, *, folds: int) -> float:
    """What Student's t exceeds with the chance α, with as many degrees of freedom as folds, less one."""
    return boundary.few(NormalDist().inv_cdf(1.0 - alpha), variance=1.0, units=folds)


def needed(metric: Metric, design: Design, *, alpha: float) -> int:
    """How many judged predictions of the candidate find the effect with that power, as far as the spread is true."""
    comparison, kappa = COMPARISONS[metric.metric], _kappa(metric)
    odds = design.share / (1.0 - design.share)
    normal = NormalDist()
    reach = normal.inv_cdf(1.0 - alpha) + normal.inv_cdf(design.power)
    distance = _distance(comparison, kappa, design.effect)
    return math.ceil((reach * design.spread / distance) ** 2 * (1.0 + kappa**2 * odds))


def detectable(metric: Metric, found: Gap, *, alpha: float, power: float) -> float | None:
    """The smallest improvement that so many would have found with that power; None where not even the largest."""
    comparison, (_, mean) = COMPARISONS[metric.metric], found.means
    if not mean:
        return None
    wanted = (student(alpha, folds=found.folds) + NormalDist().inv_cdf(power)) * found.error / abs(mean)
    low, high = 0.0, 1.0
    if _distance(comparison, found.kappa, high) < wanted:
        return None
    for _ in range(40):
        middle = (low + high) / 2.0
        low, high = (low, middle) if _distance(comparison, found.kappa, middle) >= wanted else (middle, high)
    return high


def ahead(windows: Sequence[WindowSums], *, horizon: Horizon, planned: int) -> Judgement:
    """What is said until it is read: how many there are, and nothing of what they say."""
    mine, other = (sum(getattr(window, arm).n for window in windows) for arm in ("candidate", "stable"))
    due = horizon.due.isoformat(timespec="seconds").replace("+00:00", "Z")
    return Judgement(
        Verdict.NO_DATA,
        AHEAD,
        f"the test is read once, on {due}; {count(mine)} of {count(planned)} planned {noun(mine, 'is', 'are')} judged"
        f" of the candidate, and {count(other)} of stable",
        samples=mine,
        needed=None,
    )


def read(
    metric: Metric, windows: Sequence[WindowSums], *, horizon: Horizon, design: Design, budget: Budget
) -> Judgement:
    """The one look: Pass, the candidate won; Fail, it lost; Inconclusive, nobody did."""
    comparison, kappa = COMPARISONS[metric.metric], _kappa(metric)
    folds = _added([by_fold(window, comparison) for window in windows])
    candidate, stable = _whole(pair[0] for pair in folds), _whole(pair[1] for pair in folds)
    if not (candidate.n and stable.n):
        text = "no outcome of a user of the test has been judged in both arms"
        return Judgement(Verdict.NO_DATA, "NothingJudged", text, needed=None)
    found = gap(folds, kappa=kappa)
    shown = [comparison.shown(arm.total / arm.n) for arm in (candidate, stable)]
    occupied = sum(1 for pair in folds if pair[0].n or pair[1].n)
    field, threshold = metric.limit
    case = Case(
        says=(
            f"{comparison.label} {number(shown[0])} against {number(shown[1])} over {count(candidate.n)} judged of the"
            f" candidate and {count(stable.n)} of stable, from users of {counted(occupied, 'group')}, read once after"
            f" {span((horizon.until - horizon.since).total_seconds())}"
        ),
        allowed=f"{'+' if field == 'maxIncrease' else '−'}{percent(threshold.value)}",
        first_look="",
        min_samples=metric.min_samples,
        missing=0,
        samples=candidate.n,
        value=shown[0],
        against=shown[1],
    )
    if occupied < FIRST_FOLDS or found is None:
        text = f"{case.says}; there must be users of at least {FIRST_FOLDS} of {FOLDS} groups, in both arms"
        return case.found(Verdict.INCONCLUSIVE, "TooFewUsers", text, needed=None)
    if candidate.n < metric.min_samples:
        text = f"{case.says}; {count(metric.min_samples)} were asked for (minSamples)"
        return case.found(Verdict.INCONCLUSIVE, "TooFewSamples", text, needed=None)
    return _read(metric, case, found, design=design, budget=budget)


def _read(metric: Metric, case: Case, found: Gap, *, design: Design, budget: Budget) -> Judgement:
    if not found.error:
        text = f"{case.says}; all groups of users are alike, so there is no scale"
        return case.found(Verdict.INCONCLUSIVE, "NoVariation", text, needed=None)
    upper = found.value + student(budget.alpha_promote, folds=found.folds) * found.error
    lower = found.value - student(budget.alpha_rollback, folds=found.folds) * found.error
    if upper < 0.0:
        text = f"{case.says}; the bound {number(upper)} lies below 0, so it won against {case.allowed}"
        return case.found(Verdict.PASS, "Won", text, bound=upper)
    if lower > 0.0:
        text = f"{case.says}; the bound {number(lower)} lies above 0, so it lost against {case.allowed}"
        return case.found(Verdict.FAIL, "Lost", text, bound=lower)
    could = detectable(metric, found, alpha=budget.alpha_promote, power=design.power)
    found_out = "no difference" if could is None else f"a difference of {percent(could)}"
    spread = "" if found.spread is None else f" (spread {number(found.spread)}, {number(design.spread)} was assumed)"
    text = (
        f"{case.says}; the bounds {number(lower)} and {number(upper)} have 0 between them, so nobody won;"
        f" {found_out} would have been found with a power of {percent(design.power)}{spread}"
    )
    return case.found(Verdict.INCONCLUSIVE, "NoWinner", text, needed=None, bound=upper)


def _kappa(metric: Metric) -> float:
    _, threshold = metric.limit
    return COMPARISONS[metric.metric].kappa(threshold.value)


def _distance(comparison: Comparison, kappa: float, effect: float) -> float:
    """How far a candidate that is better by the effect lies from the margin, in mean losses of stable."""
    return abs(kappa - comparison.kappa(-effect))


def _added(windows: Sequence[Sequence[tuple[Losses, Losses]]]) -> list[tuple[Losses, Losses]]:
    """Each fold over all windows; requests of nobody who is known are in no fold, and do not count."""
    by_users = zip(*(folds for folds in windows if folds), strict=True)
    return [(_whole(pair[0] for pair in same), _whole(pair[1] for pair in same)) for same in by_users]


def _whole(parts: Iterable[Losses]) -> Losses:
    held = list(parts)
    return Losses(sum(part.n for part in held), math.fsum(part.total for part in held))
