"""Which evidence a rollout asks for: guards over their step's generations, decide metrics over all of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from switchyard_contracts import windows
from switchyard_contracts.evidence import Evidence
from switchyard_contracts.experiments import Trial
from switchyard_contracts.guards import NO_REQUESTS
from switchyard_contracts.judgement import Budget, Judgement, Verdict
from switchyard_contracts.model_deployment import (
    Affected,
    Metric,
    MetricVerdict,
    ModelDeploymentSpec,
    Role,
    RolloutStatus,
)
from switchyard_contracts.quantities import format_duration
from switchyard_contracts.verdicts import budget, judge, waiting_for

from switchyard_operator.domain import ab_test, bandit, outside
from switchyard_operator.domain import memory as memories
from switchyard_operator.domain.memory import Place
from switchyard_operator.domain.steps import Course
from switchyard_operator.domain.world import Judged

MOST_GENERATIONS = 250
"""The monitor answers for so many at a time; a rollout has a handful."""


@dataclass(frozen=True, slots=True)
class Question:
    """One metric, asked of the monitor over some ModelRoute generations."""

    metric: Metric
    revision: str
    against: str
    traffic: tuple[int, ...]
    since: datetime | None
    begun: datetime | None = None
    """When the rollout began; what was counted before it under the same generations was another life's."""
    block: timedelta | None = None
    """The units of pairs; None where none are to be had."""
    mirrored: tuple[int, ...] = ()
    """The generations in which stable's requests were mirrored to the revision."""
    patient: bool = False
    """Whether the answer may take its time: it is about weeks, and asked once."""


def questions(
    spec: ModelDeploymentSpec, memory: RolloutStatus, course: Course, spot: Place, *, against: str, now: datetime
) -> tuple[Question, ...]:
    """What to ask now: nothing before the candidate has had traffic, and no guard that the step does not name.

    Of a test nothing is asked but its one reading.
    """
    if spot.index < 0:
        return ()
    record = memory.steps_done[-1] if memory.steps_done else None
    over_all = tuple(memories.traffic(memory))[-MOST_GENERATIONS:]
    first = memories.first_traffic_at(memory)
    copied = frozenset(memories.mirrored(memory)) if _can_be_paired(spec) else frozenset()
    asked = []
    for metric in spec.analysis.metrics:
        if not _speaks(metric, course, spot) or _known(spec, memory, metric, now=now):
            continue
        if metric.role is Role.GUARD:
            # Guards are on what users met; in a step that only mirrors nobody met anything.
            live = record if record and record.weight_bp else None
            generations, since = (tuple(live.generations), live.synced_at) if live else ((), None)
        else:
            generations, since = over_all, first
        if not generations:
            continue
        pairs = tuple(g for g in generations if g in copied) if metric.metric.startswith("outcome.") else ()
        block = spec.analysis.block if pairs else None
        asked.append(
            Question(
                metric,
                memory.revision,
                against,
                generations,
                since,
                memory.started_at,
                block=block,
                mirrored=pairs,
                patient=_trial(spec, memory, metric) is not None,
            )
        )
    return tuple(asked)


def _known(spec: ModelDeploymentSpec, memory: RolloutStatus, metric: Metric, *, now: datetime) -> Judged | None:
    """What is said of a test's metric without asking."""
    trial = _trial(spec, memory, metric)
    return ab_test.known(metric, trial, memory, now=now) if trial else None


def _trial(spec: ModelDeploymentSpec, memory: RolloutStatus, metric: Metric) -> Trial | None:
    return memory.trial if spec.strategy.ab_test and metric.role is Role.DECIDE else None


def _can_be_paired(spec: ModelDeploymentSpec) -> bool:
    """Where people's decisions change the outcome, nobody knows what a mirrored answer would have led to."""
    outcome = spec.monitoring.outcome if spec.monitoring else None
    return outcome is not None and outcome.affected_by is Affected.NOTHING


def judge_all(
    spec: ModelDeploymentSpec,
    course: Course,
    memory: RolloutStatus,
    spot: Place,
    *,
    answers: Mapping[str, Evidence | str],
    looks: Mapping[str, outside.Answer],
    asked: tuple[Question, ...],
    now: datetime,
) -> tuple[Judged, ...]:
    """The verdict of each metric. An answer that is a sentence says why there is no evidence; `looks` are Prometheus'.

    A metric that was not asked has no data, unless it has no say where the rollout stands.
    """
    spend = spending(spec, course, memory)
    by_name = {question.metric.name: question for question in asked}
    found = []
    for metric in spec.analysis.metrics:
        question = by_name.get(metric.name)
        if question is None:
            if not _speaks(metric, course, spot):
                continue
            if known := _known(spec, memory, metric, now=now):
                found.append(known)
                continue
            nothing = Judgement(Verdict.NO_DATA, "NoTraffic", "the candidate has had no traffic in this step")
            found.append(Judged(metric=metric, judgement=nothing))
            continue
        if metric.promql:
            found.append(outside.judged(metric, looks[metric.name], since=question.since))
            continue
        answer = answers.get(metric.name, "the monitor was not asked")
        if trial := _trial(spec, memory, metric):
            found.append(_read(question, answer, trial, spec=spec, spend=spend))
            continue
        told = judge_one(question, answer, spec=spec, spend=spend)
        follows = spec.strategy.bandit if metric.role is Role.DECIDE and course.decides else None
        if follows and not isinstance(answer, str):
            told = replace(told, wish=bandit.wish(follows, metric, answer, told.judgement))
        found.append(told)
    return tuple(found)


def _read(
    question: Question, answer: Evidence | str, trial: Trial, *, spec: ModelDeploymentSpec, spend: Budget
) -> Judged:
    """The one reading of a test."""
    if isinstance(answer, str):
        return replace(judge_one(question, answer, spec=spec, spend=spend), since=trial.read_at)
    return ab_test.read(question.metric, answer, trial=trial, budget=spend, min_coverage=_least_coverage(spec))


def _least_coverage(spec: ModelDeploymentSpec) -> float:
    return spec.monitoring.outcome.min_coverage.share if spec.monitoring and spec.monitoring.outcome else 0.0


def judge_one(question: Question, answer: Evidence | str, *, spec: ModelDeploymentSpec, spend: Budget) -> Judged:
    """The verdict of what was asked of the monitor; an answer that is a sentence says why there is no evidence."""
    metric = question.metric
    if isinstance(answer, str):
        silent = Judgement(Verdict.ERROR, "EvidenceUnavailable", answer)
        return Judged(metric=metric, judgement=silent, since=question.since, unavailable=True)
    if not _can_be_paired(spec):
        answer = answer.model_copy(update={"paired": None})
    judgement = judge(metric, answer, budget=spend, min_coverage=_least_coverage(spec))
    told = Judged(metric=metric, judgement=judgement, since=question.since, waiting_for=waiting_for(judgement, answer))
    uncounted = judgement.reason == NO_REQUESTS
    return _until_it_counts(told, window=spec.window, read_to=answer.watermark) if uncounted else told


def _until_it_counts(item: Judged, *, window: timedelta, read_to: datetime | None) -> Judged:
    """Of a guard that nothing was counted for: by which windows that is done, and when the step's first one ends."""
    words, long = item.judgement.message, f"{format_duration(window)} (monitoring.window)"
    rule, waits = f"{words}: requests count when their window of {long} is over", item.waiting_for
    if item.since is None:
        text = rule
    else:
        first = windows.end(item.since, window)
        at = f"{first:%Y-%m-%d %H:%M:%SZ}"
        if read_to is not None and read_to >= first:
            text = f"{words}, though the step's first window of {long} ended at {at}"
        else:
            text = f"{rule}, and the step's first ends at {at}"
            waits = f"{waits}, the step's first window ends at {at}"
    return replace(item, judgement=replace(item.judgement, message=text), waiting_for=waits)


def _speaks(metric: Metric, course: Course, spot: Place) -> bool:
    """Whether a metric has a say: nothing is decided of pods alone, and a step may name the guards that speak in it."""
    if spot.index < 0:
        return False
    if metric.role is Role.GUARD:
        return course.judges(spot.index, metric.name)
    return metric.role is not Role.DECIDE or course.decides


def spending(spec: ModelDeploymentSpec, course: Course, memory: RolloutStatus) -> Budget:
    """What each test of this rollout may spend; the switch is a step too.

    Where an edit ended the mirror, the pairs that were made before it are judged all the same.
    """
    paired = (course.decides and spec.plans_pairs) or (spec.judged_by_pairs and bool(memories.mirrored(memory)))
    return budget(spec.analysis, steps=course.final + 1, attempt=memory.attempt, paired=paired, named=course.named)


def shown(judged: tuple[Judged, ...], *, now: datetime) -> list[MetricVerdict]:
    """The verdicts as the status prints them."""
    return [
        MetricVerdict(
            name=item.metric.name,
            metric=item.metric.metric,
            role=item.metric.role,
            verdict=item.judgement.verdict.value,
            reason=item.judgement.reason,
            message=item.judgement.message[:4096],
            samples=item.judgement.samples,
            needed=item.judgement.needed,
            value=item.judgement.value,
            against=item.judgement.against,
            bound=item.judgement.bound,
            paired=item.judgement.paired,
            at=now,
        )
        for item in judged
    ]


WORST = (Verdict.FAIL, Verdict.ERROR, Verdict.NO_DATA, Verdict.INCONCLUSIVE, Verdict.PASS)


def summary(verdicts: Sequence[MetricVerdict]) -> str:
    """The worst verdict of the metrics that have a say; empty when none has."""
    speaking = [Verdict(item.verdict) for item in verdicts if item.role is not Role.OBSERVE]
    return min(speaking, key=WORST.index).value if speaking else ""
