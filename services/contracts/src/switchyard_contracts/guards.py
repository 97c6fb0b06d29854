"""Guards: limits that stop a rollout as soon as they are surely broken, at whatever look that is.

A guard fails only on an e-value of 1/α, so that looking again and again costs nothing. It passes when `minSamples` were
seen and nothing speaks against it: the observed share is not so far beyond the limit that chance would bring it less
than once in twenty. Such a Pass lets a step go on; it is a proof only where its reason says `Proven`. In between it
holds.

Where users stay with their arm, a single one whose every request fails is no proof against the candidate who happened
to get them. There a guard fails only if the groups of users say so as well.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import groupby

from switchyard_contracts.evalues import Shared, log_below, log_exceeds, log_worse, upper_tail, whose
from switchyard_contracts.evidence import ArmSums, WindowSums
from switchyard_contracts.folds import Folded, excess
from switchyard_contracts.judgement import (
    Budget,
    Judgement,
    Verdict,
    count,
    counted,
    evidence_factor,
    factor,
    noun,
    number,
    percent,
)
from switchyard_contracts.model_deployment import Metric
from switchyard_contracts.unpaired import Losses, Row
from switchyard_contracts.unpaired import looks as scores

UNLIKELY = 0.05
"""The chance below which a share beyond the limit counts as speaking against it. It only ever holds a step."""
NO_REQUESTS = "NoRequests"
"""The reason of a verdict while nothing of the candidate was counted."""
UNCOUNTED = "no request of the candidate has been counted yet"
FEW_USERS = "but they come from so few users that it may be these and not the candidate"
SEARCHED = 1 << 40
"""More samples than anyone waits for."""


def total(arms: Sequence[ArmSums]) -> ArmSums:
    """One arm's sums over several windows, which is sound for counts that are held to a fixed limit."""
    return ArmSums(n=sum(arm.n for arm in arms), failures=sum(arm.failures for arm in arms))


def against_limit(
    metric: Metric, windows: Sequence[WindowSums], *, limit: float, what: str, budget: Budget
) -> Judgement:
    """Hold the candidate's share of failures to a limit, but for the windows in which stable breaks it too."""
    whole = total([window.candidate for window in windows])
    if not whole.n:
        return Judgement(
            Verdict.NO_DATA,
            NO_REQUESTS,
            UNCOUNTED,
            needed=metric.min_samples,
            against=limit,
        )
    calm = [(mine, other) for mine, other in _moments(windows) if not breaks(other, limit=limit)]
    seen = total([mine for mine, _ in calm])
    stable = total([other for _, other in calm])
    share = seen.failures / seen.n if seen.n else None
    beyond = log_exceeds(seen.n, seen.failures, limit=limit)
    says = (
        f"{percent(share)} of {counted(seen.n, 'request')} {what}, the limit is {percent(limit)}"
        if share is not None
        else f"none of {counted(whole.n, 'request')} counts"
    )

    def judged(verdict: Verdict, reason: str, message: str, *, needed: int | None = 0) -> Judgement:
        return Judgement(
            verdict,
            reason,
            message,
            samples=seen.n,
            needed=needed,
            value=share,
            against=limit,
            bound=evidence_factor(beyond),
        )

    missing = metric.min_samples - seen.n
    if beyond >= -math.log(budget.alpha_guard):
        if breaks(stable, limit=limit):
            return judged(Verdict.INCONCLUSIVE, "BothArmsBad", f"{says}; but stable breaks the same limit", needed=None)
        if _by_few_users(_over_limit(windows, limit=limit), budget=budget):
            return judged(Verdict.INCONCLUSIVE, "FewUsers", f"{says}; {FEW_USERS}", needed=None)
        return judged(
            Verdict.FAIL,
            "LimitBroken",
            f"{says}; the evidence for more is {factor(beyond)} to 1, {number(1 / budget.alpha_guard)} were needed",
        )
    if missing > 0:
        if seen.n < whole.n:
            return judged(
                Verdict.INCONCLUSIVE,
                "BothArmsBad",
                f"{says}; {count(whole.n - seen.n)} {noun(whole.n - seen.n, 'was', 'were')} left out, as stable broke"
                " the same limit at that time",
                needed=missing,
            )
        return judged(
            Verdict.INCONCLUSIVE,
            "TooFewSamples",
            f"{says}; {_wanted(metric)}",
            needed=missing,
        )
    if log_below(seen.n, seen.failures, limit=limit) >= -math.log(budget.alpha_promote):
        return judged(Verdict.PASS, "Proven", f"{says}; it is proven to be kept")
    if upper_tail(seen.n, seen.failures, rate=limit) < UNLIKELY:
        return judged(
            Verdict.INCONCLUSIVE,
            "LeansAgainst",
            f"{says}; that is more than chance would bring, but not yet enough to roll back",
            needed=_until_likely(seen.n, seen.failures, rate=limit),
        )
    return judged(Verdict.PASS, "NothingAgainst", f"{says}; nothing speaks against it")


def against_stable(metric: Metric, windows: Sequence[WindowSums], *, margin: float, budget: Budget) -> Judgement:
    """Hold the candidate's failures to `margin` times stable's rate: each failure asks whose it was."""
    candidate = total([window.candidate for window in windows])
    stable = total([window.stable for window in windows])
    if not candidate.n:
        return Judgement(
            Verdict.NO_DATA,
            NO_REQUESTS,
            UNCOUNTED,
            needed=metric.min_samples,
        )
    strata = failures_of(windows)
    beyond = log_worse(strata, margin=margin)
    mine = sum(stratum.candidate for stratum in strata)
    both = mine + sum(stratum.stable for stratum in strata)
    expected = sum((s.candidate + s.stable) * whose(s.probability, theta=margin) for s in strata)
    share = candidate.failures / candidate.n
    reference = stable.failures / stable.n if stable.n else None
    says = (
        f"{count(candidate.failures)} of {counted(candidate.n, 'request')} failed, {count(stable.failures)} of"
        f" {count(stable.n)} at stable; of {counted(both, 'failure')} under a split, at most {expected:.1f} should be"
        f" the candidate's, {count(mine)} {noun(mine, 'is', 'are')}"
    )

    def judged(verdict: Verdict, reason: str, message: str, *, needed: int | None = 0) -> Judgement:
        return Judgement(
            verdict,
            reason,
            message,
            samples=candidate.n,
            needed=needed,
            value=share,
            against=reference,
            bound=evidence_factor(beyond),
        )

    missing = metric.min_samples - candidate.n
    if beyond >= -math.log(budget.alpha_guard):
        if _by_few_users(_over_stable(windows, margin=margin), budget=budget):
            return judged(Verdict.INCONCLUSIVE, "FewUsers", f"{says}; {FEW_USERS}", needed=None)
        return judged(
            Verdict.FAIL,
            "WorseThanStable",
            f"{says}; the evidence for more is {factor(beyond)} to 1, {number(1 / budget.alpha_guard)} were needed",
        )
    if missing > 0:
        return judged(
            Verdict.INCONCLUSIVE,
            "TooFewSamples",
            f"{says}; {_wanted(metric)}",
            needed=missing,
        )
    if not any(0.0 < window.probability < 1.0 and window.stable.n for window in windows):
        return judged(
            Verdict.INCONCLUSIVE, "NothingToCompare", f"{says}; stable answered none beside the candidate", needed=None
        )
    if both and upper_tail(both, mine, rate=expected / both) < UNLIKELY:
        return judged(
            Verdict.INCONCLUSIVE,
            "LeansAgainst",
            f"{says}; that is more than chance would bring, but not yet enough to roll back",
            needed=None,
        )
    return judged(Verdict.PASS, "NothingAgainst", f"{says}; nothing speaks against it")


def _wanted(metric: Metric) -> str:
    return f"{counted(metric.min_samples, 'request')} {noun(metric.min_samples, 'is', 'are')} needed"


def _by_few_users(looks: Sequence[Folded], *, budget: Budget) -> bool:
    """Whether the split was sticky, and groups of users do not say what their requests say."""
    return bool(looks) and excess(looks, alpha=budget.alpha_guard) <= 0.0


def _over_limit(windows: Sequence[WindowSums], *, limit: float) -> list[Folded]:
    """The candidate's failures beyond the limit, by fold, window by window."""
    looks: list[Folded] = []
    for window in sorted(windows, key=lambda window: window.start):
        if window.folds is None:
            continue
        mine = window.folds.candidate
        over = [failures - limit * n for failures, n in zip(mine.failures, mine.n, strict=True)]
        looks.append((looks[-1] if looks else Folded()).add(over, mine.n))
    return looks


def _over_stable(windows: Sequence[WindowSums], *, margin: float) -> list[Folded]:
    """The score of the unpaired comparison, with a failure as the loss."""
    rows = [
        Row(
            window.start,
            window.probability,
            Losses(),
            Losses(),
            tuple(
                (Losses(mine, failed), Losses(other, theirs))
                for mine, failed, other, theirs in zip(
                    window.folds.candidate.n,
                    window.folds.candidate.failures,
                    window.folds.stable.n,
                    window.folds.stable.failures,
                    strict=True,
                )
            ),
        )
        for window in windows
        if window.folds is not None and 0.0 < window.probability < 1.0
    ]
    return [score.folded for score in scores(rows, kappa=margin)]


def breaks(arm: ArmSums, *, limit: float) -> bool:
    """Whether an arm's failures are more than the limit makes likely."""
    return upper_tail(arm.n, arm.failures, rate=limit) < UNLIKELY


def failures_of(windows: Sequence[WindowSums]) -> list[Shared]:
    """Each probability's failures, by arm."""
    by_probability = sorted(windows, key=lambda window: window.probability)
    strata = []
    for probability, group in groupby(by_probability, key=lambda window: window.probability):
        rows = list(group)
        strata.append(
            Shared(
                probability,
                candidate=sum(row.candidate.failures for row in rows),
                stable=sum(row.stable.failures for row in rows),
            )
        )
    return strata


def _moments(windows: Sequence[WindowSums]) -> list[tuple[ArmSums, ArmSums]]:
    """Both arms, window by window: an outage that both share strikes all generations of a window alike."""
    moments = []
    for _, group in groupby(sorted(windows, key=lambda window: window.start), key=lambda window: window.start):
        rows = list(group)
        moments.append((total([row.candidate for row in rows]), total([row.stable for row in rows])))
    return moments


def _until_likely(n: int, failures: int, *, rate: float) -> int | None:
    """How many more requests, none failing, until this many failures are no surprise."""
    low, high = 0, 1
    while upper_tail(n + high, failures, rate=rate) < UNLIKELY:
        low, high = high, high * 2
        if high > SEARCHED:
            return None
    while high - low > 1:
        middle = (low + high) // 2
        if upper_tail(n + middle, failures, rate=rate) < UNLIKELY:
            low = middle
        else:
            high = middle
    return high
