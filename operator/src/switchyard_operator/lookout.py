"""Looks at the user's Prometheus without waiting for it: a pass takes what is known and goes on.

A question is asked once for each look, by threads of its own, so that a Prometheus which is slow, or hangs, holds up no
rollout but those that want its numbers, and no worker. While a newer look is asked for, the one before it stands.
"""

from __future__ import annotations

from concurrent.futures import Executor, Future, wait
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from switchyard_contracts.promql import Placeholder

from switchyard_operator.cache import Key
from switchyard_operator.domain import outside
from switchyard_operator.domain.analysis import Question
from switchyard_operator.domain.outside import Answer, Inquiry, Lack, Looks, Unseen
from switchyard_operator.errors import EvidenceUnavailable, QueryRefused
from switchyard_operator.ports import Prometheus

PROMPT = 0.3
"""Seconds that a pass waits for an answer to what it has just asked; most come sooner, and then it counts at once."""
PACE = timedelta(seconds=10)
"""After how long a look that came to nothing is tried again: numbers may come to Prometheus late."""
OVERDUE = timedelta(minutes=1)
"""How long the look before stands in for one that is being asked for."""


@dataclass(frozen=True, slots=True)
class Heard:
    """What became of a question."""

    asked: Inquiry
    at: datetime
    answer: Answer


@dataclass(frozen=True, slots=True)
class Pending:
    """A question under way."""

    asked: Inquiry
    at: datetime
    answer: Future[Looks]


@dataclass(slots=True)
class Watched:
    """One metric of one deployment."""

    heard: Heard | None = None
    pending: Pending | None = None


@dataclass(slots=True)
class Lookout:
    """The newest look at each metric that comes from outside."""

    prometheus: Prometheus
    pool: Executor
    _watched: dict[Key, dict[str, Watched]] = field(default_factory=dict, init=False)

    def see(self, key: Key, question: Question, *, now: datetime) -> Answer:
        """The newest looks, or why there are none."""
        said, since = question.metric.promql, question.since
        assert said is not None
        if since is None:
            return Unseen(Lack.NOT_YET, "looks are counted from when every gateway has the step's weight")
        values = {
            Placeholder.NAMESPACE: key[0],
            Placeholder.DEPLOYMENT: key[1],
            Placeholder.CANDIDATE: question.revision,
            Placeholder.STABLE: question.against,
        }
        wanted = outside.inquiry(question.metric, since=since, now=now, values=values)
        if wanted is None:
            return Unseen(Lack.NOT_YET, f"the first look is taken at {outside.due(said, since):%H:%M:%SZ}")
        watched = self._watched.setdefault(key, {}).setdefault(question.metric.name, Watched())
        _collect(watched)
        if watched.pending is None and _is_due(watched.heard, wanted, now=now):
            answer = self.pool.submit(self.prometheus.looks, wanted)
            watched.pending = Pending(wanted, now, answer)
            wait([answer], timeout=PROMPT)
            _collect(watched)
        return _told(watched, wanted, now=now)

    def forget(self, key: Key) -> None:
        """The deployment is gone."""
        self._watched.pop(key, None)


def _collect(watched: Watched) -> None:
    """Take in an answer that has come."""
    pending = watched.pending
    if pending is None or not pending.answer.done():
        return
    watched.pending = None
    watched.heard = Heard(pending.asked, pending.at, _answer(pending.answer))


def _answer(future: Future[Looks]) -> Answer:
    try:
        return future.result()
    except QueryRefused as error:
        return Unseen(Lack.REFUSED, str(error))
    except EvidenceUnavailable as error:
        return Unseen(Lack.UNAVAILABLE, str(error))


def _is_due(heard: Heard | None, wanted: Inquiry, *, now: datetime) -> bool:
    if heard is None or heard.asked != wanted:
        return True
    came_to_nothing = isinstance(heard.answer, Unseen) or heard.answer.values[-1] is None
    return came_to_nothing and now - heard.at >= PACE


def _told(watched: Watched, wanted: Inquiry, *, now: datetime) -> Answer:
    """The answer, or while it is on its way, the one before it."""
    heard, pending = watched.heard, watched.pending
    if heard and heard.asked == wanted:
        return heard.answer
    late = pending is not None and now - pending.at >= OVERDUE
    if heard and not late and wanted.continues(heard.asked):
        return heard.answer
    if late:
        return Unseen(Lack.UNAVAILABLE, "Prometheus has been asked, and questions before this one keep it waiting")
    return Unseen(Lack.NOT_YET, "Prometheus is being asked")
