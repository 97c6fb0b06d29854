"""Replays: events of the topic, or records out of dead letters, are read once more.

Both are safe by identity: what was taken in is known again and changes no sum. Late is late by the broker's first time
of a record, which a dead letter keeps. What would come too late by now is late as well, so that whatever it is known
again by need not be kept for longer.

The books count readings, and close: what was read before is taken off them under `replayed`. Events are read by whoever
holds the partition, from the offset that is written here; dead letters are folded here, one transaction for some of
them, beside the readers.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from switchyard_monitor.baselines import Watches
from switchyard_monitor.domain import identity
from switchyard_monitor.domain.facts import Fact, Record
from switchyard_monitor.domain.watermark import read_to
from switchyard_monitor.errors import CannotReplay, Unreadable
from switchyard_monitor.folding import Again, Said, fold, portions
from switchyard_monitor.letters import Opened, opened
from switchyard_monitor.models import Models
from switchyard_monitor.ports import Broker, DeadLetters, Lease, Store, Work

MOST_OFFSET = 2**63
MOST_TOLD = 1000
"""There may be millions of dead letters."""


@dataclass(frozen=True, slots=True)
class Moved:
    """A partition that is read from another offset."""

    partition: int
    before: int
    offset: int
    stopped: str | None
    """Why it was stopped, if it was; it no longer is."""


def events(store: Store, broker: Broker, *, partitions: Collection[int], offset: int | None) -> list[Moved]:
    """Have partitions (none named: all) be read from an offset, or from where their logs begin: all of them, or none.

    Raises `CannotReplay` for an offset that is not in a log, and for a topic other than the one that was read.
    """
    topic = broker.topic()
    if missing := set(partitions) - set(topic.partitions):
        raise CannotReplay(f"the topic has no partition {min(missing)}; it has {_named(topic.partitions)}")
    numbers = sorted(partitions or topic.partitions)
    bounds = broker.bounds(numbers)
    moved = []
    with store.begin() as batch:
        for number in numbers:
            start, end = bounds[number].start, bounds[number].end
            wanted = start if offset is None else offset
            if not start <= wanted <= end:
                raise CannotReplay(f"partition {number} holds the offsets {start} to {end}, and {wanted} is not there")
            before = batch.rewind(number, topic_id=topic.id, offset=wanted)
            if before is None or before.next_offset is None:
                raise CannotReplay(
                    f"partition {number} was never read, or its topic was made anew since: offsets of another topic say"
                    " nothing of this one; start with an empty database to read it"
                )
            moved.append(Moved(number, before.next_offset, wanted, before.stopped))
    return moved


@dataclass(slots=True)
class Tally:
    """What became of dead letters."""

    columns: Counter[str] = field(default_factory=Counter)
    """Columns of the ledger: where those that could be taken in now went; `duplicate` was taken in before."""
    passed_over: int = 0
    """Of a type that is none of ours."""
    failed: list[tuple[str, str]] = field(default_factory=list)
    """(where the record stood, why it cannot be taken in), of the first `MOST_TOLD`."""
    failures: int = 0
    """All of them."""

    def fail(self, found: Iterable[tuple[str, str]]) -> None:
        """These cannot be taken in."""
        for each in found:
            self.failures += 1
            if len(self.failed) < MOST_TOLD:
                self.failed.append(each)


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which letters; what is not said, is not asked."""

    deployment: str | None = None
    reason: str | None = None


def letters(store: Store, models: Models, source: DeadLetters, *, topic: str, wanted: Wanted) -> Tally:
    """Take in what can be taken in of dead letters by the rules of now. None is written again: they are still there."""
    tally = Tally()
    seen: set[int] = set()
    watches = Watches(store, clock_us=lambda: 0)  # a reference that is not there is looked for once
    for sent in source.read():
        chosen: list[Opened] = []
        for each in sent:
            try:
                found = opened(each, topic=topic)
            except Unreadable as error:
                tally.fail([(f"letter {each.offset}", str(error))])
                continue
            known = identity.short(found.id)
            if known not in seen and wanted.reason in (None, found.reason):
                chosen.append(found)
            seen.add(known)
        by_partition: dict[int, list[Record]] = {}
        for record in sorted((one.record for one in chosen), key=_place):
            by_partition.setdefault(record.partition, []).append(record)
        for portion in portions(by_partition, models):
            _take(store, models, watches, portion, wanted, tally)
    return tally


def _take(
    store: Store, models: Models, watches: Watches, portion: Mapping[int, Said], wanted: Wanted, tally: Tally
) -> None:
    by_partition: dict[int, list[Fact]] = {}
    for number, said in portion.items():
        if wanted.deployment is None:
            tally.passed_over += said.ignored
            tally.fail((_where(dead.record), dead.message) for dead in said.dead)
        if facts := [fact for fact in said.facts if wanted.deployment in (None, fact.subject)]:
            by_partition[number] = facts
    if not by_partition:
        return
    columns: Counter[str] = Counter()
    failed: list[tuple[str, str]] = []
    with store.begin() as batch:
        positions = {number: batch.visit(number) for number in sorted(by_partition)}
        batch.alone({fact.subject for facts in by_partition.values() for fact in facts})
        read_to_us = read_to(store.positions())
        for number, facts in sorted(by_partition.items()):
            position = positions[number]
            if position is None or position.next_offset is None:
                failed += [(_where(fact.record), f"partition {number} was never read here") for fact in facts]
                continue
            folded, unknown = fold(batch, facts, models, watches, again=Again(MOST_OFFSET, read_to_us))
            failed += [
                (_where(fact.record), f"no deployment {fact.subject!r} is published on the topic of models")
                for fact in unknown
            ]
            changes = folded.finish()
            for dead in changes.dead:  # the letter that was opened says it still
                folded.count(dead.reason, -1)
                failed.append((_where(dead.record), dead.message))
            columns.update({name: n for name, n in changes.ledger.items() if n and name != "skewed"})
            folded.count("replayed", len(changes.dead) + len(unknown) - len(facts))
            batch.write(
                Lease(number, "", position.epoch),
                Work(changes=changes, next_offset=position.next_offset, watermark_us=None),
            )
    tally.columns.update(columns)
    tally.fail(failed)


def _place(record: Record) -> tuple[int, int]:
    return record.partition, record.offset


def _where(record: Record) -> str:
    return f"partition {record.partition}, offset {record.offset}"


def _named(numbers: Sequence[int]) -> str:
    return ", ".join(str(number) for number in numbers) or "none"
