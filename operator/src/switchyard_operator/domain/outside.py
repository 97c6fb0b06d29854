"""Numbers from the user's own Prometheus: at which moments of a step they are looked at, and what they mean.

The first look is taken when the step is as old as the window, counted from when every gateway had its weight, and one
follows each `every`. So no look sees what was before the step. Prometheus keeps its own past: the last few looks are
asked for together, at the same moments whoever asks, and an operator that was away finds those that it missed.

A threshold on a number that comes without its uncertainty is no test, and no error budget covers it. What it has
instead is that several looks in a row must agree, for a Pass as for a Fail. Whatever is no number is never a failure.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum

from switchyard_contracts.judgement import Judgement, Verdict, count, counted, noun, number, percent, span
from switchyard_contracts.model_deployment import Metric, Role
from switchyard_contracts.promql import Placeholder, PromQL, render
from switchyard_contracts.quantities import Threshold, format_duration

from switchyard_operator.domain.world import Judged


@dataclass(frozen=True, slots=True, kw_only=True)
class Inquiry:
    """One question: a query at several moments."""

    query: str
    entered: datetime
    """When the step had its weight at every gateway; looks are counted from there."""
    first: datetime
    every: timedelta
    looks: int
    window: timedelta

    @property
    def times(self) -> tuple[datetime, ...]:
        """When it looks, oldest first."""
        return tuple(self.first + index * self.every for index in range(self.looks))

    @property
    def last(self) -> datetime:
        """The newest look."""
        return self.first + (self.looks - 1) * self.every

    def continues(self, older: Inquiry) -> bool:
        """Whether it asks the same of the same step, only later."""
        return (self.query, self.entered, self.window) == (older.query, older.entered, older.window)


@dataclass(frozen=True, slots=True)
class Looks:
    """What was seen: a number at each of the moments, or None where there was none."""

    asked: Inquiry
    values: tuple[float | None, ...]


class Lack(StrEnum):
    """Why there are no looks."""

    NOT_YET = "NotYet"
    UNAVAILABLE = "PrometheusUnavailable"
    REFUSED = "QueryRefused"
    """The query is at fault, so that only an edit of it helps."""


@dataclass(frozen=True, slots=True)
class Unseen:
    """No looks, and why."""

    lack: Lack
    why: str


Answer = Looks | Unseen


def due(said: PromQL, since: datetime) -> datetime:
    """When the first look is taken: whole seconds, and never a moment before the step."""
    whole = since.replace(microsecond=0)
    return whole + said.window + (timedelta(seconds=1) if since.microsecond else timedelta(0))


def inquiry(metric: Metric, *, since: datetime, now: datetime, values: Mapping[Placeholder, str]) -> Inquiry | None:
    """What to ask now; nothing before the step is as old as the window."""
    said = metric.promql
    assert said is not None
    begin = due(said, since)
    if now < begin:
        return None
    newest = (now - begin) // said.pace
    many = 1 if metric.role is Role.OBSERVE else said.looks
    oldest = max(0, newest - many + 1)
    return Inquiry(
        query=render(said.query, {**values, Placeholder.WINDOW: format_duration(said.window)}),
        entered=since,
        first=begin + oldest * said.pace,
        every=said.pace,
        looks=newest - oldest + 1,
        window=said.window,
    )


def judged(metric: Metric, answer: Answer, *, since: datetime | None) -> Judged:
    """The verdict. Silence of Prometheus is an outage (`onUnavailable`), a query at fault waits for a person."""
    if isinstance(answer, Looks):
        judgement = judge(metric, answer)
        unusable = judgement.verdict is Verdict.ERROR
        return Judged(
            metric=metric,
            judgement=judgement,
            since=since,
            unavailable=unusable,
            waiting_for=_waiting_for(metric, judgement),
        )
    verdict = Verdict.NO_DATA if answer.lack is Lack.NOT_YET else Verdict.ERROR
    judgement = Judgement(verdict, answer.lack.value, answer.why)
    return Judged(metric=metric, judgement=judgement, since=since, unavailable=answer.lack is Lack.UNAVAILABLE)


def judge(metric: Metric, seen: Looks) -> Judgement:
    """Hold the looks to the limit: as many as are wanted, in a row, on the same side of it."""
    said, (field, limit) = metric.promql, metric.limit
    assert said is not None
    value, at = seen.values[-1], f"{seen.asked.last:%H:%M:%SZ}"
    asked = f"asked: {' '.join(seen.asked.query.split())}"
    if value is None:
        words = (
            f"it has no value at {at}: in the {format_duration(said.window)} before, no series was there that fits"
            " (is it scraped, do the labels fit, has it had traffic?)"
        )
        return Judgement(Verdict.NO_DATA, "NoSeries", f"{words}; {asked}", against=limit.value)
    if not math.isfinite(value):
        words = (
            f"it is {_infinite(value)} at {at}, as of 0 / 0 where nothing was counted; have it give nothing there,"
            " such as by `> 0` behind what it divides by"
        )
        return Judgement(Verdict.ERROR, "NotANumber", f"{words}; {asked}", against=limit.value)
    if metric.role is Role.OBSERVE:
        words = f"{_shown(value, limit)} at {at}; it is only observed"
        return Judgement(Verdict.PASS, "Observed", words, samples=1, needed=0, value=value, against=limit.value)
    kept = _keeps(value, field=field, limit=limit.value)
    streak = _streak(seen.values, field=field, limit=limit.value)
    words = (
        f"{_shown(value, limit)} at {at} is {'within' if kept else 'beyond'} {field} {limit.text},"
        f" {count(streak)} of {counted(said.looks, 'look')} in a row"
    )
    found = Judgement(Verdict.PASS, "WithinLimit", words, samples=streak, needed=0, value=value, against=limit.value)
    if streak < said.looks:
        reason = "TooFewLooks" if kept else "LeansAgainst"
        return replace(found, verdict=Verdict.INCONCLUSIVE, reason=reason, needed=said.looks - streak)
    if kept:
        return found
    return replace(found, verdict=Verdict.FAIL, reason="LimitBroken", message=f"{words}; {asked}")


def _keeps(value: float, *, field: str, limit: float) -> bool:
    return value <= limit if field == "max" else value >= limit


def _streak(values: tuple[float | None, ...], *, field: str, limit: float) -> int:
    """How many of the newest looks agree; one without a number ends the row."""
    newest = values[-1]
    assert newest is not None
    kept, length = _keeps(newest, field=field, limit=limit), 0
    for value in reversed(values):
        if value is None or not math.isfinite(value) or _keeps(value, field=field, limit=limit) is not kept:
            break
        length += 1
    return length


def _waiting_for(metric: Metric, judgement: Judgement) -> str:
    """`2 more looks within the limit, about 2 min`."""
    said = metric.promql
    if judgement.verdict is Verdict.PASS or said is None:
        return ""
    if judgement.verdict is not Verdict.INCONCLUSIVE or judgement.needed is None:
        return judgement.message
    pace = said.pace.total_seconds()
    if judgement.reason == "TooFewLooks":
        left = judgement.needed
        return f"{counted(left, 'more look')} within the limit, about {span(left * pace)}"
    return (
        f"{counted(said.looks, 'look')} in a row within the limit, about {span(said.looks * pace)};"
        f" {judgement.needed} more beyond it {noun(judgement.needed, 'takes', 'take')} it back"
    )


def _infinite(value: float) -> str:
    return "NaN" if math.isnan(value) else "+Inf" if value > 0 else "-Inf"


def _shown(value: float, limit: Threshold) -> str:
    """In the unit of the limit: a share, a time, or a plain number."""
    if limit.unit == "%":
        return percent(value)
    return f"{number(value)} s" if limit.unit == "s" else number(value)
