"""The reader: moves events from the broker into the store, each batch in one transaction, and never loses its place.

One pass: keep the leases, learn what is new of deployments, fold what was held for them, take a batch, fold it, send
what the outbox holds. A pass may fail at any point; what was committed stands, all else is read again. A store or a
broker that is away makes it wait. A message that can never work goes to the dead letters and holds nobody up.
"""

from __future__ import annotations

import gc
import logging
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from switchyard_contracts.events import TOPIC_DEADLETTER, TOPIC_EVENTS

from switchyard_monitor.baselines import Watches
from switchyard_monitor.coarsening import Coarsener
from switchyard_monitor.domain.changes import Changes, Dead
from switchyard_monitor.domain.facts import Record
from switchyard_monitor.domain.leases import owner
from switchyard_monitor.domain.watermark import read_to
from switchyard_monitor.errors import BrokerUnavailable, Deposed, OffsetLost
from switchyard_monitor.folding import USUAL, Again, Portion, Said, fold, portions
from switchyard_monitor.letters import letter
from switchyard_monitor.models import Models
from switchyard_monitor.ports import Batch, Broker, HeldRecord, Lease, Letter, Store, Work

log = logging.getLogger(__name__)

OUTBOX_CHUNK = 500
SEND_PAUSE_US = 10_000_000
REMEDY = (
    "nothing more of it is read until a person accepts the loss: `python -m switchyard_monitor replay events"
    " --partition {partition}`, run in a monitor's pod, reads on from the first event that is left, and the ledger"
    " counts those that are gone under `gaps`"
)
ANEW = (
    "nothing of it is read, because offsets of another topic say nothing of this one: bring the old topic back, or"
    " start with an empty database"
)


@dataclass(frozen=True, slots=True)
class Pace:
    """How much, how long, how often; times in microseconds but for `linger`, in seconds."""

    batch: int = 5000
    linger: float = 0.25
    lease_us: int = 10_000_000
    pulse_us: int = 1_000_000
    margin_us: int = 1_000_000
    hold_us: int = 3_600_000_000
    portion: Portion = USUAL


class Reader:
    """One member of the group of monitors."""

    def __init__(
        self,
        *,
        member: str,
        broker: Broker,
        store: Store,
        models: Models,
        pace: Pace,
        clock_us: Callable[[], int],
        on_commit: Callable[[float], None] = lambda _seconds: None,
        reads: str = TOPIC_EVENTS,
        letters_to: str = TOPIC_DEADLETTER,
        paused: Callable[[], bool] = lambda: False,
    ) -> None:
        self._member = member
        self._broker = broker
        self._store = store
        self._models = models
        self._pace = pace
        self._clock = clock_us
        self._on_commit = on_commit
        self._reads = reads
        self._letters_to = letters_to
        self._paused = paused
        self._watches = Watches(store, clock_us=clock_us)
        self._coarsener = Coarsener(store=store, models=models, watches=self._watches, clock_us=clock_us)
        self._leases: dict[int, Lease] = {}
        self._next: dict[int, int] = {}
        self._again: dict[int, int] = {}
        self._held: dict[int, dict[str, int]] = {}
        self._prepared: set[int] = set()
        self._pulsed_us: int | None = None
        self._moved = False
        self._send_after_us = 0
        self.dead_letters = 0
        """Sent since this start."""
        self.dead_letters_waiting = False
        """Whether some could not be sent, and wait in the store."""
        self.members: list[str] = []
        """Who lived at the last pulse."""
        self.lag: dict[int, int] = {}
        """Records that are in the log and not yet committed, per partition that is held."""

    @property
    def partitions(self) -> list[int]:
        """The partitions that are held."""
        return sorted(self._leases)

    def step(self) -> int:
        """One pass; answers how many records were committed. While paused, leases are kept and nothing is read."""
        self._models.learn(self._broker.models())
        self._pulse()
        if self._paused():
            self._coarsen()
            return 0
        if self._moved:
            self._broker.assign(self._next)
            self._moved = False
        self._drain()
        try:
            # Never by a name here: see the broker's `poll` of how long a caller's names may live.
            done = self._commit(self._broker.poll(self._pace.batch, self._pace.linger))
        except OffsetLost as lost:
            self._stop(lost)
            return 0
        self._send()
        self._coarsen()
        return done

    def reset(self) -> None:
        """After a failure: forget what was in hand, and read on from what was committed."""
        self._leases.clear()
        self._next.clear()
        self._prepared.clear()
        self._pulsed_us = None
        self._moved = True

    def close(self) -> None:
        """Give the partitions back, so that another member need not wait for the leases to run out."""
        for lease in list(self._leases.values()):
            self._store.release(lease)
        self._leases.clear()
        self._store.leave(self._member)

    def _pulse(self) -> None:
        now_us = self._clock()
        if self._pulsed_us is not None and now_us - self._pulsed_us < self._pace.pulse_us:
            return
        topic = self._broker.topic()
        if fresh := set(topic.partitions) - self._prepared:
            # Also of a topic that has grown: until it is read, nobody knows how old anything is.
            self._store.prepare(sorted(fresh))
            self._prepared |= fresh
        self.members = self._store.announce(self._member, now_us=now_us, ttl_us=self._pace.lease_us)
        mine = {number for number in topic.partitions if owner(number, self.members) == self._member}
        for number in sorted(self._leases.keys() - mine):
            self._store.release(self._leases[number])
            self._let_go(number)
        for number in sorted(mine - self._leases.keys()):
            self._claim(number, topic.id, now_us)
        bounds = self._broker.bounds(self._leases)
        idle: dict[int, int] = {}
        for number, bound in bounds.items():
            self.lag[number] = max(0, bound.end - self._next[number])
            if self._next[number] >= bound.end:
                # At the time of asking, nothing older than now was left to be read.
                idle[number] = now_us - self._pace.margin_us
        kept = self._store.renew(
            list(self._leases.values()), now_us=now_us, ttl_us=self._pace.lease_us, watermarks=idle
        )
        for number in self._leases.keys() - {lease.partition for lease in kept}:
            log.warning("partition %d was taken over by another member", number, extra={"partition": number})
            self._let_go(number)
        self._pulsed_us = now_us

    def _claim(self, number: int, topic_id: str, now_us: int) -> None:
        position = self._store.claim(number, self._member, now_us=now_us, ttl_us=self._pace.lease_us)
        if position is None:
            return
        lease = Lease(number, self._member, position.epoch)
        bounds = self._broker.bounds([number])[number]
        offset = position.next_offset
        if offset is None:
            offset = bounds.start
            self._store.start(lease, topic_id=topic_id, offset=offset)
        elif position.topic_id != topic_id:
            self._refuse(lease, f"the topic has another id ({topic_id}) than the one that was read; {ANEW}")
            return
        elif not bounds.start <= offset <= bounds.end:
            self._refuse(
                lease,
                f"the next offset is {offset}, but the log holds {bounds.start} to {bounds.end}: events are gone; "
                + REMEDY.format(partition=number),
            )
            return
        self._leases[number] = lease
        self._next[number] = offset
        self._again[number] = position.again_until
        self._held[number] = self._store.held_subjects(number)
        self._moved = True

    def _refuse(self, lease: Lease, reason: str) -> None:
        names = {"partition": lease.partition, "offset": self._next.get(lease.partition)}
        log.error("partition %d is stopped: %s", lease.partition, reason, extra=names)
        self._store.stop(lease, reason)

    def _stop(self, lost: OffsetLost) -> None:
        lease = self._leases.get(lost.partition)
        if lease is not None:
            self._refuse(lease, f"{lost}; {REMEDY.format(partition=lost.partition)}")
            self._let_go(lost.partition)

    def _give_way(self, deposed: Deposed) -> None:
        log.warning("%s", deposed, extra={"partition": deposed.partition, "offset": self._next[deposed.partition]})
        self._let_go(deposed.partition)

    def _let_go(self, number: int) -> None:
        self._leases.pop(number, None)
        self._next.pop(number, None)
        self._held.pop(number, None)
        self.lag.pop(number, None)
        self._moved = True

    def _coarsen(self) -> None:
        """Also while nothing is read: it makes room."""
        try:
            self._coarsener.step(self._leases, self._next)
        except Deposed as deposed:
            self._give_way(deposed)

    def _drain(self) -> None:
        """Fold what was held for deployments that are known by now, before anything newer of theirs."""
        for number, subjects in list(self._held.items()):
            try:
                self._drain_partition(number, subjects)
            except Deposed as deposed:
                self._give_way(deposed)

    def _drain_partition(self, number: int, subjects: dict[str, int]) -> None:
        for subject in sorted(subjects):
            if self._models.rule(subject) is None:
                if self._clock() - subjects[subject] > self._pace.hold_us:
                    self._refuse_held(number, subject)
                continue
            while self._drain_some(number, subject):
                pass
            del subjects[subject]

    def _drain_some(self, number: int, subject: str) -> bool:
        lease, offset = self._leases[number], self._next[number]
        with self._store.begin() as batch:
            batch.lock(lease, offset)
            batch.alone([subject])
            records = batch.held(number, subject, self._pace.batch)
            for portion in portions({number: records}, self._models, self._pace.portion):
                self._fold(batch, lease, portion[number], next_offset=offset, drained=True)
                return True
        return False

    def _refuse_held(self, number: int, subject: str) -> None:
        """Nobody published the deployment in all that time: these records will never find it."""
        lease, offset, until = self._leases[number], self._next[number], self._clock() - self._pace.hold_us
        with self._store.begin() as batch:
            batch.lock(lease, offset)
            records = batch.held(number, subject, self._pace.batch)
            old = [record for record in records if record.broker_us <= until]
            message = f"no deployment {subject!r} was published within {self._pace.hold_us // 1_000_000} s"
            changes = Changes(ledger={"held": -len(old), "refused": len(old)})
            changes.dead = [Dead(record, "refused", message) for record in old]
            batch.write(
                lease,
                Work(
                    changes=changes,
                    next_offset=offset,
                    watermark_us=None,
                    released=[record.offset for record in old],
                    letters=self._letters(changes.dead),
                ),
            )
        self._held[number] = self._store.held_subjects(number)

    def _commit(self, polled: Mapping[int, Sequence[Record]]) -> int:
        """One transaction for the whole poll, or more where it holds many rows."""
        with _uncollected():
            return self._commit_portions(polled)

    def _commit_portions(self, polled: Mapping[int, Sequence[Record]]) -> int:
        done = 0
        for portion in portions(polled, self._models, self._pace.portion):
            if done and self._clock() - (self._pulsed_us or 0) >= self._pace.pulse_us:
                self._moved = True  # the leases must be kept; what is left is read again
                break
            done += self._commit_some({number: said for number, said in portion.items() if number in self._leases})
        return done

    def _commit_some(self, wanted: dict[int, Said]) -> int:
        """One transaction; when a partition was lost meanwhile, one without it."""
        while wanted:
            held: dict[int, dict[str, int]] = {}
            began_us = self._clock()
            try:
                with self._store.begin() as batch:
                    for number in sorted(wanted):
                        batch.lock(self._leases[number], self._next[number])
                    batch.alone({fact.subject for said in wanted.values() for fact in said.facts})
                    for number, said in sorted(wanted.items()):
                        lease = self._leases[number]
                        held[number] = self._fold(batch, lease, said, next_offset=said.end, drained=False)
            except Deposed as deposed:
                self._give_way(deposed)
                del wanted[deposed.partition]
                continue
            self._on_commit(max(0, self._clock() - began_us) / 1e6)
            for number, said in wanted.items():
                self._next[number] = said.end
                for subject, oldest in held[number].items():
                    self._held[number].setdefault(subject, oldest)
            return sum(len(said.records) for said in wanted.values())
        return 0

    def _fold(self, batch: Batch, lease: Lease, said: Said, *, next_offset: int, drained: bool) -> dict[str, int]:
        """Fold one partition's records; answers what had to be held."""
        records = said.records
        until, again = self._again.get(lease.partition, 0), None
        if records[0].offset < until:
            again = Again(until, read_to(self._store.positions()))
        folded, unknown = fold(batch, said.facts, self._models, self._watches, again=again)
        hold = [HeldRecord(fact.subject, fact.record) for fact in unknown]
        for dead in said.dead:
            folded.bury(dead.record, dead.reason, dead.message)
            folded.count("invalid")
        folded.count("ignored", said.ignored)
        folded.count("held", len(hold))
        if drained:
            folded.count("held", -len(records))
        else:
            folded.count("gaps", next_offset - self._next[lease.partition] - len(records))
        changes = folded.finish()
        # What is read once more says nothing of the time: up to when things are known does not fall for it.
        old = drained or records[-1].offset < until
        batch.write(
            lease,
            Work(
                changes=changes,
                next_offset=next_offset,
                watermark_us=None if old else records[-1].broker_us,
                hold=hold,
                released=[record.offset for record in records] if drained else (),
                letters=self._letters(changes.dead),
            ),
        )
        return {item.subject: item.record.broker_us for item in reversed(hold)}

    def _letters(self, dead: Iterable[Dead]) -> list[Letter]:
        return [letter(each, topic=self._reads, to=self._letters_to) for each in dead]

    def _send(self) -> None:
        """Empty the outbox. Dead letters and alarms that cannot be sent wait there; reading goes on meanwhile."""
        if self._clock() < self._send_after_us:
            return
        while letters := self._store.outbox(OUTBOX_CHUNK):
            # A topic that cannot be written keeps the letters to the others from nothing.
            topics = sorted({each.topic for each in letters})
            sent = [self._send_to(topic, [each for each in letters if each.topic == topic]) for topic in topics]
            if not all(sent):
                self._send_after_us = self._clock() + SEND_PAUSE_US
                return
        self.dead_letters_waiting = False

    def _send_to(self, topic: str, letters: Sequence[Letter]) -> bool:
        try:
            self._broker.send(letters)
        except BrokerUnavailable as error:
            log.warning("%d letters to %s wait in the outbox: %s", len(letters), topic, error)
            self.dead_letters_waiting = self.dead_letters_waiting or topic == self._letters_to
            return False
        self._store.sent(letters)
        if topic == self._letters_to:
            self.dead_letters += len(letters)
            self.dead_letters_waiting = False
        return True


@contextmanager
def _uncollected() -> Iterator[None]:
    """Without looking for cycles: a batch makes a hundred thousand objects, no cycle among them, and all go with it."""
    if not gc.isenabled():
        yield
        return
    gc.disable()
    try:
        yield
    finally:
        gc.enable()
