"""Guards without the evidence path: what the gateways counted speaks while the monitor does not.

One source at a time. As long as the monitor answers, and has read what lately happened, its evidence decides. Else an
error guard is judged by the same statistics on the requests and failures that every gateway's Envoy has counted in the
step's generations. Such counts can only take a candidate back: no step is passed on them, and what a spec wants to
happen while evidence is unavailable (`onUnavailable`) happens as if there were none.

Changing over between the sources may spend a guard's error budget twice at most; both count the same requests, so it
is much less. Latency is left to the monitor: Envoy times a cluster as a whole, with the answers of who stood in.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta

from switchyard_contracts.counted import Counted, sums
from switchyard_contracts.evidence import Evidence
from switchyard_contracts.judgement import Budget, Verdict
from switchyard_contracts.model_deployment import Role
from switchyard_contracts.verdicts import judge_counted

from switchyard_operator.domain.analysis import Question
from switchyard_operator.domain.world import Judged

BEHIND = timedelta(seconds=60)
"""A monitor that has read nothing newer says what was, not what is: Kafka is down, or it cannot keep up."""


def silences(judged: Sequence[Judged], answers: Mapping[str, Evidence | str], *, now: datetime) -> dict[str, str]:
    """The error guards of which the monitor says nothing that holds now, by name, and why that is so."""
    found = {}
    for item in judged:
        metric, answer = item.metric, answers.get(item.metric.name)
        if metric.role is Role.GUARD and metric.metric == "error_rate" and answer is not None:
            found[metric.name] = _silence(answer, now=now) or _contradiction(item)
    return {name: why for name, why in found.items() if why}


def second_opinion(
    judged: Sequence[Judged],
    silent: Mapping[str, str],
    *,
    asked: Sequence[Question],
    counted: Sequence[Counted],
    budget: Budget,
) -> tuple[Judged, ...]:
    """The same verdicts, but that what the counters prove to be broken has failed."""
    questions = {question.metric.name: question for question in asked}
    return tuple(
        _by_count(item, questions[item.metric.name], silent[item.metric.name], counted=counted, budget=budget)
        if item.metric.name in silent
        else item
        for item in judged
    )


def _silence(answer: Evidence | str, *, now: datetime) -> str:
    if isinstance(answer, str):
        return answer
    if answer.watermark is None:
        return "the monitor has not read every partition yet"
    if now - answer.watermark > BEHIND:
        return f"the monitor has read nothing newer than {answer.watermark.isoformat(timespec='seconds')}"
    return ""


def _contradiction(item: Judged) -> str:
    return item.judgement.message if item.judgement.verdict is Verdict.ERROR else ""


def _by_count(item: Judged, question: Question, why: str, *, counted: Sequence[Counted], budget: Budget) -> Judged:
    windows = sums(
        counted, revision=question.revision, against=question.against, traffic=question.traffic, since=question.begun
    )
    found = judge_counted(item.metric, windows, budget=budget)
    if found.verdict is Verdict.FAIL:
        failed = replace(found, message=f"by the gateways' counters ({why}): {found.message}")
        return Judged(metric=item.metric, judgement=failed, since=item.since)
    if item.judgement.verdict is not Verdict.ERROR:
        return item
    text = f"{item.judgement.message}; by the gateways' counters, which only ever take back: {found.message}"
    return replace(item, judgement=replace(item.judgement, message=text))
