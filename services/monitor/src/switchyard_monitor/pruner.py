"""The pruner: puts away what is old, each part of it by one member, a little at a time.

It works beside the reader, in the same thread: between two passes it does one piece of some ten milliseconds, so that
events never wait for it. A piece that writes is one transaction, which first holds the row of its duty: who was thought
dead and comes back finds another epoch there, and writes nothing. What was not finished is found again.

The duty `rows` is all rows that have had their time, and each deployment's name is its windows. What alarms and drift
may yet look at stays as it is until they have, be they behind by months.
"""

from __future__ import annotations

import itertools
import logging
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from switchyard_contracts.model_route import RouteRole
from switchyard_contracts.topics import RolloutRecord
from switchyard_contracts.windows import DAY_US, start

from switchyard_monitor.domain.learning import OLD_US
from switchyard_monitor.domain.leases import owner
from switchyard_monitor.domain.needs import Unjudged, needed
from switchyard_monitor.domain.retention import Keep, candidates, cuts, expired, stretches, widest
from switchyard_monitor.domain.rules import Rule
from switchyard_monitor.domain.watermark import aged
from switchyard_monitor.errors import Relieved, StoreUnavailable, Unreadable
from switchyard_monitor.ports import Duty, Rules, Store, Upkeep
from switchyard_monitor.rosters import Rosters

log = logging.getLogger(__name__)

ROWS = "rows"
CLOCKS = "clocks"
PIECE_US = 250_000
"""Between two pieces at least."""
ROUND_US = 3_600_000_000
"""Between two rounds."""
SECOND_LOOK_US = 600_000_000
"""How much later the time is asked for once more, when it leapt by over a day or nobody knows what it was before."""
PAUSE_US = 10_000_000
"""Before a round is tried again that could not be begun, or failed."""
MISSED_US = 14 * DAY_US
"""A deployment without a record is taken for gone when no event of it came for so long."""
COMPARED = frozenset({RouteRole.CANDIDATE.value, RouteRole.SHADOW.value})
TTL_US = 60_000_000
"""A duty is held for so long after its last piece that wrote."""


@dataclass(frozen=True, slots=True)
class Piece:
    """How much is done at once."""

    rows: int = 10_000
    """Rows of each kind that are looked through, in order of their keys."""
    keys: int = 1_000
    """Of those, so many at most are forgotten."""
    moves: int = 500
    """Rows of sums that are moved into coarser windows."""


class Pruner:
    """One member's share of the duties. Raises nothing of the world's: what fails is tried again."""

    def __init__(
        self,
        *,
        member: str,
        store: Store,
        upkeep: Upkeep,
        rosters: Rosters,
        rollout: Callable[[str], RolloutRecord | None],
        keep: Keep,
        clock_us: Callable[[], int],
        database_us: Callable[[], int],
        behind: Callable[[str], bool] = lambda _: False,
        doubt: Callable[[], str] = lambda: "",
        piece: Piece = Piece(),
    ) -> None:
        """Make one.

        Args:
            member: this replica's name.
            rosters: the rules of alarms, beside what is known of deployments.
            rollout: what was said last of a deployment's rollouts; may raise `Unreadable`.
            keep: for how long.
            database_us: what the database's clock says; nothing is older than by that.
            behind: whether the timeline may not know of a deployment's last rollout; then its windows stay as they are.
            doubt: why the brokers' times say nothing of age; empty where they do.
            piece: how much is done at once.
        """
        self._member = member
        self._store = store
        self._upkeep = upkeep
        self._rosters = rosters
        self._models = rosters.models
        self._rollout = rollout
        self._keep = keep
        self._clock = clock_us
        self._members: Sequence[str] = ()
        self._database_us = database_us
        self._behind = behind
        self._doubt = doubt
        self._piece = piece
        self._round: Iterator[None] | None = None
        self._last_us: int | None = None
        self._next_us = 0
        self._trouble = ""
        self.rows = 0
        """Rows that were deleted since this start, because they had had their time."""
        self.held: dict[str, str] = {}
        """What stays as it is until a person looks, and why: by deployment, `rows` or `clocks`."""

    @property
    def busy(self) -> bool:
        """Whether a round has begun and is not over."""
        return self._round is not None

    def step(self, members: Sequence[str], *, hurry: bool = False) -> None:
        """One piece, if it is time for one. `members` are those who live, each of whom has a share of the duties.

        In a hurry a round that has begun goes on at once: nobody reads events, whom it might keep waiting.
        """
        self._members = members
        now_us = self._clock()
        soon = now_us < self._next_us <= now_us + ROUND_US  # further ahead, it was said by a clock that was set back
        if soon and not (hurry and self.busy):
            return
        self._next_us = now_us + PIECE_US
        try:
            if self._round is None:
                self._round = self._begin(now_us)
            elif next(self._round, self) is self:
                self._round = None
                self._next_us = now_us + ROUND_US
            self._trouble = ""
        except StoreUnavailable as error:
            if self._trouble != str(error):
                log.warning("old rows and windows wait to be put away: %s", error)
            self._trouble = str(error)
            self._round = None
            self._next_us = now_us + PAUSE_US

    def run(self, members: Sequence[str]) -> None:
        """A whole round at once, whatever the time is. Unlike `step` it hides no failure."""
        self._members = members
        mark_us = self._mark()
        for _ in () if mark_us is None else self._all(mark_us):
            pass

    def _begin(self, now_us: int) -> Iterator[None] | None:
        """A round, if nobody doubts how old things are; else when it is asked for again."""
        mark_us = self._mark()
        if mark_us is None:
            self._next_us = now_us + PAUSE_US
            return None
        before_us, self._last_us = self._last_us, mark_us
        if before_us is None or mark_us > before_us + DAY_US:
            # A clock that is wrong when a machine starts is set right within minutes.
            self._next_us = now_us + SECOND_LOOK_US
            return None
        return self._all(mark_us)

    def _mark(self) -> int | None:
        """Up to when all that events speak of is known; None while nobody knows how old anything is.

        So it is where a partition was never read, and where clocks do not agree: what is deleted never comes back.
        """
        positions = self._store.positions()
        mark_us, now_us = aged(positions), self._database_us()
        if mark_us is None:
            return None
        why = self._doubt()
        if not why and mark_us > now_us + DAY_US:
            day = datetime.fromtimestamp(mark_us / 1e6, UTC).date()
            why = (
                f"Kafka's newest event is of {day} and the database's clock is more than a day behind that; set right"
                " the clock that is wrong, a broker's or the database's"
            )
        self._say(CLOCKS, f"nothing is put away, because {why}" if why else "")
        if why:
            return None
        held = [self._store.held_subjects(position.partition).values() for position in positions]
        return min([mark_us, now_us, *itertools.chain(*held)])

    def _all(self, mark_us: int) -> Iterator[None]:
        for name in (ROWS, *self._store.deployments()):
            if owner(name, self._members) != self._member:
                continue
            duty = self._upkeep.claim(name, self._member, now_us=self._clock(), ttl_us=TTL_US)
            if duty is None:
                continue
            try:
                yield from self._prune(duty, mark_us) if name == ROWS else self._coarsen(duty, mark_us)
                self._upkeep.release(duty)
            except Relieved as relieved:
                log.warning("%s", relieved)
            except Unreadable as error:
                self._say(name, str(error))

    def _prune(self, duty: Duty, mark_us: int) -> Iterator[None]:
        """Delete what nobody can join or judge any more: where old ids lie, and where callers' own do."""
        held = self._upkeep.rules()
        before = self._cuts(held, mark_us)
        before_us, seen_us = max(before.values(), default=0), mark_us - self._keep.seen_us
        for stretch in stretches(before_us, seen_us, mark_us):
            place, seen_us = stretch.start, stretch.seen_us
            while place < stretch.stop:
                piece = self._upkeep.look(
                    place,
                    stretch.stop,
                    before_us=stretch.before_us,
                    seen_us=seen_us,
                    rows=self._piece.rows,
                    keys=self._piece.keys,
                )
                before = self._cuts(held, mark_us)  # each time anew: somebody may want rows for longer by now
                keys = candidates(piece.rows, before)
                if keys or piece.remains:
                    with self._upkeep.begin() as tidying:
                        tidying.hold(duty, now_us=self._clock(), ttl_us=TTL_US)
                        tidying.alone(keys)
                        entries = tidying.entries(set().union(*keys.values()))
                        gone = expired(entries, tidying.book, before)
                        rows = tidying.forget(gone, place, piece.end, seen_us=seen_us)
                    self.rows += rows
                place = piece.end
                yield
        with self._upkeep.begin() as tidying:
            tidying.hold(duty, now_us=self._clock(), ttl_us=TTL_US)
            tidying.forget_lessons(mark_us - OLD_US)
        yield

    def _cuts(self, held: Rules, mark_us: int) -> dict[str, int]:
        """Before when rows have had their time, by deployment, but for those whose rules cannot be read."""
        rules = self._with_todays(held)
        self._say(ROWS, "; ".join(f"those of {subject} stay: {why}" for subject, why in rules.unreadable.items()))
        return cuts((rule for rule in rules.known if rule.subject not in rules.unreadable), self._keep, mark_us)

    def _coarsen(self, duty: Duty, mark_us: int) -> Iterator[None]:
        """Move a deployment's windows into coarser ones, and forget the oldest."""
        subject = duty.name
        held = self._with_todays(self._upkeep.rules())
        if why := held.unreadable.get(subject):
            raise Unreadable(f"its windows stay as they are: {why}")
        rules = [rule for rule in held.known if rule.subject == subject]
        if self._compares(rules[0], mark_us):
            self._say(subject, "")
            return
        oldest_us = min(self._keep.forgotten(rule, mark_us) for rule in rules)
        for moving in (True, False):
            more = True
            while more:
                # Each time anew: a rollout may have begun since the last piece, or a rule looks at more.
                widest_us, terms = self._widest(subject, mark_us), self._rosters.of(subject).terms
                if not widest_us:
                    self._say(subject, "")
                    return
                with self._upkeep.begin() as tidying:
                    tidying.hold(duty, now_us=self._clock(), ttl_us=TTL_US)
                    tidying.alone([subject])
                    unjudged = tidying.unjudged(subject)
                    due = self._due(unjudged)
                    needs = needed(terms, unjudged.states, due, mark_us).whole
                    if moving:
                        to = self._keep.marks(rules[0], mark_us, widest_us=widest_us).within(needs)
                        more = tidying.coarsen(subject, to=to, most=self._piece.moves)
                    else:
                        more = tidying.drop(subject, before_us=min(oldest_us, needs.forgotten_us))
                late = any(start_us < oldest_us for start_us in due)
                self._say(subject, "its oldest windows stay: their drift was not judged yet" if late else "")
                yield

    def _due(self, unjudged: Unjudged) -> list[int]:
        """The starts of the reference's windows whose drift is due to be judged; of one that is not here, of all."""
        due = ((at_us, self._rosters.length_us(baseline)) for baseline, at_us in unjudged.due.items())
        return [start(at_us, length_us) if length_us else 0 for at_us, length_us in due]

    def _compares(self, rule: Rule, mark_us: int) -> bool:
        """Whether a candidate or a shadow answered of late, whoever has spoken of a rollout yet."""
        newest_us = self._upkeep.newest(rule.subject, COMPARED)
        return newest_us is not None and newest_us >= self._keep.marks(rule, mark_us, widest_us=DAY_US).hourly_us

    def _widest(self, subject: str, mark_us: int) -> int:
        """As `retention.widest`; 0 also where what is known of a deployment may not be the last."""
        models = self._models
        if self._behind(subject):
            return 0
        record = models.record(subject)
        if record is None:
            # It may be that the record was lost, or is not written yet; but not that nobody notices for so long.
            newest_us = self._upkeep.newest(subject)
            if newest_us is not None and newest_us > mark_us - MISSED_US:
                return 0
        return widest(record, self._rollout(subject), gone=subject in models.gone)

    def _with_todays(self, held: Rules) -> Rules:
        """Of each deployment that has rows every rule that they were made by; one that is published has today's first.

        Today's alone would not do: what an older one may yet judge would go while somebody tries a shorter horizon. Nor
        do the older ones, where today's cannot be read.
        """
        subjects = sorted({rule.subject for rule in held.known})
        today = [self._models.rule(subject) for subject in subjects]
        why = "its newest record on the topic of models cannot be read"
        unread = {subject: why for subject in subjects if subject in self._models.unread}
        return Rules([*filter(None, today), *held.known], {**unread, **held.unreadable})

    def _say(self, name: str, why: str) -> None:
        """Keep in mind why something stays as it is, and log it once; nothing where it need not any longer."""
        if not why:
            self.held.pop(name, None)
        elif self.held.get(name) != why:
            log.warning("%s: %s", name, why)
            self.held[name] = why
