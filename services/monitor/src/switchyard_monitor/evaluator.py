"""The evaluator: judges the alarms of the deployments whose turn this member has, and says what came of it.

It works beside the reader, in a thread of its own, and is never in its way: what goes wrong here is said by the probes,
and tried again after a pause. Of the members that live, rendezvous hashing names one for each deployment; the right to
evaluate is a row that this one takes. What was judged and what is said of it are written in one transaction, or not at
all: then the next who comes judges the same windows, and comes to the same.
"""

from __future__ import annotations

import logging
from collections.abc import Callable

from switchyard_contracts.alarms import CUSUM, REQUESTS
from switchyard_contracts.windows import SECOND_US

from switchyard_monitor.domain import cusum, gauges
from switchyard_monitor.domain.alarms import Reading, Terms
from switchyard_monitor.domain.leases import owner
from switchyard_monitor.domain.profiling import Span, merged
from switchyard_monitor.domain.roster import Roster
from switchyard_monitor.domain.watermark import watermark
from switchyard_monitor.errors import Relieved, StoreUnavailable
from switchyard_monitor.ports import Alarms, Store
from switchyard_monitor.rosters import Rosters

log = logging.getLogger(__name__)

EVERY_US = SECOND_US
PAUSE_US = 10 * SECOND_US
TURN_US = 30 * SECOND_US


class Evaluator:
    """One member's part of the evaluating."""

    def __init__(
        self,
        *,
        member: str,
        store: Store,
        alarms: Alarms,
        rosters: Rosters,
        clock_us: Callable[[], int],
        topic: str,
    ) -> None:
        self._member = member
        self._store = store
        self._alarms = alarms
        self._rosters = rosters
        self._models = rosters.models
        self._clock = clock_us
        self._topic = topic
        self._next_us = 0
        self._idle: dict[str, tuple[Roster, int]] = {}
        """Of each deployment: by what it was judged last, and from which watermark on there is more to be judged."""
        self.trouble = ""
        """Why alarms may be late; empty when they are not."""
        self.looks = 0
        """Windows judged since this start."""

    def step(self) -> int:
        """Judge what can be, if it is time; answers how many windows were. Raises nothing of the world's."""
        now_us = self._clock()
        if now_us < self._next_us or not self._models.complete:
            return 0
        try:
            done, more = self._evaluate(now_us)
        except StoreUnavailable as error:
            if self.trouble != str(error):
                log.warning("alarms wait: %s", error)
            self.trouble = str(error)
            self._next_us = now_us + PAUSE_US
            return 0
        self.trouble = ""
        self.looks += done
        if not more:
            self._next_us = now_us + EVERY_US
        return done

    def _evaluate(self, now_us: int) -> tuple[int, bool]:
        mark = watermark(self._store.positions())
        if mark is None:
            return 0, False
        done, more = 0, False
        # With no deployment at all the topic may not be there yet; nothing is forgotten for that.
        remembered = self._alarms.subjects() if self._models.subjects() else []
        live: list[str] | None = None
        for subject in sorted(self._rosters.watched().union(remembered)):
            roster = self._rosters.of(subject)
            if self._is_idle(subject, roster, mark):
                continue
            live = self._alarms.members(now_us=now_us) if live is None else live
            if owner(subject, live) != self._member:
                continue
            looks, left = self._judge(subject, roster, mark, now_us)
            done, more = done + looks, more or left
        return done, more

    def _judge(self, subject: str, roster: Roster, mark: int, now_us: int) -> tuple[int, bool]:
        turn = self._alarms.take(subject, self._member, now_us=now_us, ttl_us=TURN_US)
        if turn is None:
            return 0, False
        read = self._reading(subject)
        judged = roster.judge(
            turn.states, turn.asked, watermark_us=mark, read=read, closed=turn.closed, rungs=turn.rungs
        )
        try:
            if judged.looks or judged.records or judged.states != turn.states:
                self._alarms.keep(turn, judged, now_us=self._clock(), ttl_us=TURN_US, topic=self._topic)
        except Relieved as relieved:
            log.warning("%s", relieved, extra={"deployment": subject})
            return 0, False
        for record in judged.records:
            names = {"deployment": subject, "revision": record.revision, "reason": record.event.value}
            log.info("%s: alarm %s: %s: %s", subject, record.alarm, record.event.value, record.message, extra=names)
        self._idle[subject] = roster, mark if judged.more else roster.next_us(judged.states, mark)
        return judged.looks, judged.more

    def _is_idle(self, subject: str, roster: Roster, mark: int) -> bool:
        """Whether nothing has changed, and no window can be judged yet."""
        before = self._idle.get(subject)
        return before is not None and before[0] == roster and mark < before[1]

    def _reading(self, subject: str) -> Callable[[Terms, str, int], Reading]:
        monitoring = self._models.monitoring(subject)
        outcome = monitoring.outcome if monitoring else None

        def read(terms: Terms, revision: str, start_us: int) -> Reading:
            end_us = start_us + terms.window_us
            if terms.metric == CUSUM:
                arms = self._store.arms(subject)
                days = self._store.days(arms, names=cusum.NAMES)
                coverage = outcome.min_coverage.share if outcome else 0.0
                rule = self._models.rule(subject)
                return gauges.of_days(terms, days, revision=revision, coverage=coverage, start_us=start_us, rule=rule)
            names = gauges.names(terms)
            if names is None:
                return self._profiled(subject, terms, revision, start_us=start_us, end_us=end_us)
            found = self._alarms.cells(subject, since_us=start_us, until_us=end_us, names=names)
            if late := gauges.gone(terms, start_us, found.rungs):
                return Reading(None, words=late)
            return gauges.of_sums(
                terms,
                found.cells,
                revision=revision,
                coverage=outcome.min_coverage.share if outcome else 0.0,
                served=terms.metric != REQUESTS or self._alarms.served(subject, until_us=end_us),
            )

        return read

    def _profiled(self, subject: str, terms: Terms, revision: str, *, start_us: int, end_us: int) -> Reading:
        late = gauges.coarsened(terms, start_us, now_us=self._clock())
        if late:
            return Reading(None, words=late)
        if not terms.baseline:
            return Reading(None, words="there is no reference yet: none is named, and none was learnt")
        reference = self._rosters.baselines.reference(terms.baseline)
        if reference is None:
            return Reading(None, words=f"nobody has handed over {terms.baseline} yet")
        span = Span(
            subject=subject,
            baseline=reference.digest,
            since_us=start_us,
            until_us=end_us,
            length_us=terms.window_us,
            revision=revision,
        )
        own = [profile for key, profile in self._store.profiles(span).items() if key.role in gauges.SERVED]
        return gauges.of_profile(terms, self._rosters.baselines.yardstick(reference), merged(own), start_us=start_us)
