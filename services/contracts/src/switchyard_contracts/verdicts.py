"""The door to the statistics that decide: evidence and a limit go in, a verdict with its reason comes out.

The operator, the monitor, `plan` and the simulations all use these functions, so that there is one procedure and it is
the one that was tested. They are pure: the same sums give the same verdict.

In order, first objection wins: windows of generations that were not asked for are passed over; counts that do not fit
the stamped probabilities are an `Error`; for outcomes, too little or uneven coverage is `NoData`; then comes the
metric's own rule in `guards` or `comparison`. A metric that is only observed is never judged.

A decide metric rests on pairs where stable's requests are mirrored, from the first one on, and else on the split. Which
of the two is chosen by how many pairs are there, never by what they say.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Sequence
from dataclasses import replace
from itertools import groupby

from switchyard_contracts import coverage, paired, sample_ratio, trial
from switchyard_contracts.comparison import compare, compare_pairs
from switchyard_contracts.evalues import Shared
from switchyard_contracts.evidence import ArmSums, Coverage, Evidence, Paired, WindowSums
from switchyard_contracts.guards import against_limit, against_stable
from switchyard_contracts.judgement import (
    Budget,
    Judgement,
    Verdict,
    count,
    counted,
    factor,
    noun,
    number,
    percent,
    span,
)
from switchyard_contracts.measures import measure, written
from switchyard_contracts.model_deployment import Analysis, Metric, Role
from switchyard_contracts.trial import Design, Horizon
from switchyard_contracts.unpaired import FIRST_LOOK

__all__ = ["Budget", "Judgement", "Verdict", "budget", "judge", "judge_counted", "judge_once", "waiting_for"]

QUANTILES = {"latency_p50": 0.5, "latency_p90": 0.9, "latency_p95": 0.95, "latency_p99": 0.99}
"""By the metric's name; the share of requests that may be slower than the threshold is the rest."""


def budget(
    analysis: Analysis, *, steps: int, attempt: int, paired: bool, named: Sequence[Collection[str]] = ()
) -> Budget:
    """What each test of the j-th attempt may spend, so that all attempts together stay within `analysis.risk`.

    Attempt j has 1/2ʲ of the risk. Promotion needs every decide metric, so each may use the whole of it. A rollback
    needs only one test to fail: each guard in each step, as guards start anew there, each decide metric once, and once
    the guard of the pairs, that copies are answered: where there are any (`paired`), as a test of nothing spends
    nothing.
    `named` are the steps that name what they judge, each with its names: a guard that does not speak spends nothing.
    Nor does a guard on a number from outside: what chance there is of its being wrong, nobody here knows.
    """
    if steps < 1 or attempt < 1:
        raise ValueError(f"steps ({steps}) and attempt ({attempt}) are counted from 1")
    guards = [metric.name for metric in analysis.metrics if metric.role is Role.GUARD and not metric.promql]
    silent = sum(guard not in names for names in named for guard in guards)
    deciding = sum(metric.role is Role.DECIDE for metric in analysis.metrics)
    share = 0.5**attempt
    tests = len(guards) * steps - silent + deciding + (1 if paired else 0)
    rollback = analysis.risk.wrong_rollback.share * share / max(1, tests)
    return Budget(
        alpha_promote=analysis.risk.wrong_promotion.share * share, alpha_guard=rollback, alpha_rollback=rollback
    )


def judge(metric: Metric, evidence: Evidence, *, budget: Budget, min_coverage: float) -> Judgement:
    """Judge one metric by the evidence for it."""
    if metric.role is Role.OBSERVE:
        return _shown(metric, evidence)
    windows = asked_for(evidence)
    mismatch = sample_ratio.log_mismatch(counts_of([window for window in windows if window.folds is None]))
    if mismatch >= math.log(sample_ratio.ALARM):
        return _off(windows, f"({factor(mismatch)} to 1 against chance)")
    if sample_ratio.of_users(windows):
        return _off(windows, "(further off than groups of users differ by chance)")
    if metric.role is Role.DECIDE:
        return _decided(metric, evidence, windows=windows, budget=budget, min_coverage=min_coverage)
    field, threshold = metric.limit
    if metric.metric in QUANTILES:
        if evidence.threshold is None and windows:
            return Judgement(
                Verdict.NO_DATA,
                "NoThreshold",
                "stable has not answered enough requests in earlier windows to say what is slow",
                needed=None,
            )
        what = f"were slower than {number((evidence.threshold or 0.0) * 1000)} ms"
        limit = 1.0 - QUANTILES[metric.metric]
        return against_limit(metric, windows, limit=limit, what=what, budget=budget)
    if field == "max":
        return against_limit(metric, windows, limit=threshold.value, what="failed", budget=budget)
    return against_stable(metric, windows, margin=1.0 + threshold.value, budget=budget)


def asked_for(evidence: Evidence) -> list[WindowSums]:
    """The windows of the generations that were asked for; a monitor that starts anew may hand out others."""
    return [window for window in evidence.windows if window.traffic in evidence.traffic]


def judge_once(
    metric: Metric, evidence: Evidence, *, horizon: Horizon, design: Design, budget: Budget, min_coverage: float
) -> Judgement:
    """Read an A/B test: nothing before its horizon is over, and then always the same, whenever it is asked."""
    windows = [window for window in asked_for(evidence) if horizon.holds(window)]
    if sample_ratio.of_users(windows):
        return _off(windows, "(further off than groups of users differ by chance)")
    if not horizon.is_over(evidence.watermark):
        planned = trial.needed(metric, design, alpha=budget.alpha_promote)
        return trial.ahead(windows, horizon=horizon, planned=planned)
    if not windows and evidence.method:
        return Judgement(Verdict.NO_DATA, "NothingJudged", evidence.method, needed=None)
    candidate, stable = _covered(window.candidate for window in windows), _covered(window.stable for window in windows)
    if objection := coverage.objection(candidate=candidate, stable=stable, windows=windows, least=min_coverage):
        return Judgement(Verdict.NO_DATA, *objection, samples=candidate.judged, needed=None)
    return trial.read(metric, windows, horizon=horizon, design=design, budget=budget)


def judge_counted(metric: Metric, windows: Sequence[WindowSums], *, budget: Budget) -> Judgement:
    """Judge a guard on errors by what gateways counted. A fixed limit asks nothing of the split, so neither is it."""
    field, threshold = metric.limit
    if field == "max":
        return against_limit(metric, windows, limit=threshold.value, what="failed", budget=budget)
    mismatch = sample_ratio.log_mismatch(counts_of(windows))
    if mismatch >= math.log(sample_ratio.ALARM):
        return _off(windows, f"({factor(mismatch)} to 1 against chance)")
    return against_stable(metric, windows, margin=1.0 + threshold.value, budget=budget)


def _decided(
    metric: Metric, evidence: Evidence, *, windows: Sequence[WindowSums], budget: Budget, min_coverage: float
) -> Judgement:
    """By pairs where enough of them are there, else by the split."""
    pairs = evidence.paired
    if pairs is None:
        return _by_split(metric, evidence, windows=windows, budget=budget, min_coverage=min_coverage)
    if failure := paired.failed(pairs, alpha=budget.alpha_rollback):
        # No bound: that of a decide metric is one of losses, and this is no verdict on them.
        return replace(_undecided(pairs, ("PairsMissing", failure)), verdict=Verdict.FAIL, needed=0)
    if objection := paired.overflowed(pairs):
        return _undecided(pairs, objection)
    if objection := paired.incomplete(pairs):
        if not evidence.candidate_coverage.predictions:
            return _undecided(pairs, objection)
        found = _by_split(metric, evidence, windows=windows, budget=budget, min_coverage=min_coverage)
        return replace(found, message=f"{found.message}; by the split, as {objection[1]}")
    judged = Coverage(predictions=pairs.seen, judged=pairs.judged)
    if pairs.seen and judged.share < min_coverage:
        return Judgement(
            Verdict.NO_DATA,
            "LowCoverage",
            f"only {percent(judged.share)} of {counted(pairs.seen, 'pair')}"
            f" {coverage.too_few(pairs.seen, min_coverage)}",
            samples=pairs.judged,
            value=pairs.value,
            against=pairs.against_value,
            paired=True,
        )
    return compare_pairs(metric, evidence, pairs=pairs, budget=budget)


def _by_split(
    metric: Metric, evidence: Evidence, *, windows: Sequence[WindowSums], budget: Budget, min_coverage: float
) -> Judgement:
    objection = coverage.objection(
        candidate=evidence.candidate_coverage,
        stable=evidence.stable_coverage,
        windows=windows,
        least=min_coverage,
    )
    if objection:
        return Judgement(
            Verdict.NO_DATA,
            *objection,
            samples=evidence.candidate_coverage.judged,
            needed=max(metric.min_samples, FIRST_LOOK) if objection[0] == coverage.NOTHING_MATURE else None,
            value=evidence.value,
            against=evidence.against_value,
        )
    return compare(metric, evidence, windows=windows, budget=budget)


def _undecided(pairs: Paired, objection: tuple[str, str]) -> Judgement:
    return Judgement(
        Verdict.INCONCLUSIVE,
        *objection,
        samples=pairs.judged,
        needed=None,
        value=pairs.value,
        against=pairs.against_value,
        paired=True,
    )


def waiting_for(judgement: Judgement, evidence: Evidence) -> str:
    """What a judgement waits for, in numbers: `137 more outcomes needed, about 5 h at this rate`."""
    if judgement.needed is None:
        return judgement.message
    if judgement.needed <= 0:
        return ""
    rate = evidence.rate_per_second
    thing = "outcome" if evidence.metric.startswith("outcome.") else "request"
    if judgement.paired and evidence.paired is not None:
        thing, rate = "judged pair", evidence.paired.rate_per_second
    least = "at least " if judgement.reason in ("NotYetCertain", "LeansAgainst") else ""
    text = f"{least}{counted(judgement.needed, f'more {thing}')} needed"
    if rate is None:
        return text
    if rate <= 0.0:
        return f"{text}, none are coming in"
    return f"{text}, about {span(judgement.needed / rate)} at this rate"


def counts_of(windows: Sequence[WindowSums]) -> list[Shared]:
    """Each probability's counts, by arm."""
    strata = []
    by_probability = sorted(windows, key=lambda window: window.probability)
    for probability, group in groupby(by_probability, key=lambda window: window.probability):
        rows = list(group)
        strata.append(
            Shared(
                probability, candidate=sum(row.candidate.n for row in rows), stable=sum(row.stable.n for row in rows)
            )
        )
    return strata


def _covered(arms: Iterable[ArmSums]) -> Coverage:
    """Of these windows alone, and not of all that were asked for."""
    held = list(arms)
    return Coverage(predictions=sum(arm.predictions for arm in held), judged=sum(arm.n for arm in held))


def _off(windows: Sequence[WindowSums], how_far: str) -> Judgement:
    strata = counts_of(windows)
    candidate = sum(stratum.candidate for stratum in strata)
    both = candidate + sum(stratum.stable for stratum in strata)
    expected = sum((stratum.candidate + stratum.stable) * stratum.probability for stratum in strata)
    return Judgement(
        Verdict.ERROR,
        "SRM",
        f"of {count(both)} counted, {expected:,.1f} should be the candidate's by the stamped weights, but"
        f" {count(candidate)} {noun(candidate, 'is', 'are')} {how_far}: something picks what is counted, so nothing can"
        " be compared",
        samples=candidate,
        needed=None,
    )


def _shown(metric: Metric, evidence: Evidence) -> Judgement:
    if evidence.value is None:
        return Judgement(Verdict.NO_DATA, "NothingToShow", f"{metric.metric} has no value yet")
    unit = measure(metric.metric, metric.role)
    against = "" if evidence.against_value is None else f" against {written(evidence.against_value, unit)}"
    return Judgement(
        Verdict.PASS,
        "Observed",
        f"{metric.metric} is {written(evidence.value, unit)}{against}; it is only observed",
        samples=evidence.candidate.n,
        needed=0,
        value=evidence.value,
        against=evidence.against_value,
    )
