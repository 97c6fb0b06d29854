"""Folding: what records say becomes changes of rows and sums, within a transaction of the store.

The reader folds what it polls, a replay what it reads once more; both by the rules that are in force now.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from switchyard_monitor.baselines import Watches
from switchyard_monitor.domain import identity
from switchyard_monitor.domain.changes import Dead
from switchyard_monitor.domain.facts import Fact, Record, read
from switchyard_monitor.domain.join import Fold
from switchyard_monitor.domain.lines import MOST, rows_of
from switchyard_monitor.domain.profiling import Watch
from switchyard_monitor.domain.rules import Known
from switchyard_monitor.errors import Unreadable
from switchyard_monitor.models import Models
from switchyard_monitor.ports import Batch


@dataclass(slots=True)
class Said:
    """What records of one partition say. They are read before the transaction, which others may wait for."""

    records: list[Record] = field(default_factory=list)
    facts: list[Fact] = field(default_factory=list)
    dead: list[Dead] = field(default_factory=list)
    ignored: int = 0

    @property
    def end(self) -> int:
        """The offset after the last."""
        return self.records[-1].offset + 1

    def add(self, record: Record, said: Fact | Dead | None) -> None:
        """The next record, and what it says."""
        self.records.append(record)
        if said is None:
            self.ignored += 1
        elif isinstance(said, Dead):
            self.dead.append(said)
        else:
            self.facts.append(said)


@dataclass(frozen=True, slots=True)
class Portion:
    """What one transaction may hold at most; one record always."""

    rows: int = MOST
    """Each takes about a kilobyte while it is folded, a hundred times as much as on its way."""
    size: int = 16 * 1024 * 1024
    """Bytes of the records' values; read, a list of numbers takes sixteen times as many."""


USUAL = Portion()


def portions(
    polled: Mapping[int, Iterable[Record]], models: Models, most: Portion = USUAL
) -> Iterator[dict[int, Said]]:
    """What records of some partitions say, part by part: each is read when it is asked for."""
    known: dict[str, Known | None] = {}
    part: dict[int, Said] = {}
    rows = size = 0
    for number, records in sorted(polled.items()):
        for record in records:
            said = _read(record)
            more = _rows(said, models, known) if isinstance(said, Fact) else 1
            weight = len(record.value or b"")
            if part and (rows + more > most.rows or size + weight > most.size):
                yield part
                part, rows, size = {}, 0, 0
            rows, size = rows + more, size + weight
            if number not in part:
                part[number] = Said()
            part[number].add(record, said)
    if part:
        yield part


@dataclass(frozen=True, slots=True)
class Again:
    """What is read once more: records before an offset, when everything up to a time has been read."""

    until: int
    read_to_us: int | None


def fold(
    batch: Batch, facts: Iterable[Fact], models: Models, watched: Watches, *, again: Again | None = None
) -> tuple[Fold, list[Fact]]:
    """Fold facts. Those of deployments that nobody has published are handed back, in their order."""
    known: list[Fact] = []
    unknown: list[Fact] = []
    rules: dict[str, Known] = {}
    watches: dict[str, Watch] = {}
    for fact in facts:
        if fact.subject not in rules:
            rule = models.rule(fact.subject)
            if rule is None:
                unknown.append(fact)
                continue
            rules[fact.subject] = Known.of(batch.rule_id(rule), rule)
            if watch := watched.of(models.monitoring(fact.subject)):
                watches[fact.subject] = watch
        known.append(fact)
    keys: set[bytes] = set()
    prefixes: set[bytes] = set()
    deletions: set[bytes] = set()
    for fact in known:
        prefix = fact.prefix
        prefixes.add(prefix)
        rows = rows_of(fact, rules[fact.subject])
        if rows:
            keys.update([prefix + identity.row_bytes(row) for row in rows])
        else:
            deletions.add(prefix)
    folded = Fold(
        rules=rules,
        book=batch.book,
        entries=batch.entries(keys, deletions),
        erased=batch.erased(prefixes),
        watches=watches,
    )
    for fact in known:
        once_more = again is not None and fact.record.offset < again.until
        folded.take(fact, read_to_us=again.read_to_us if again is not None and once_more else None)
    return folded, unknown


def _read(record: Record) -> Fact | Dead | None:
    try:
        return read(record)
    except Unreadable as error:
        return Dead(record, "unreadable", str(error))


def _rows(fact: Fact, models: Models, known: dict[str, Known | None]) -> int:
    if fact.subject not in known:
        rule = models.rule(fact.subject)
        known[fact.subject] = None if rule is None else Known.of(0, rule)
    its = known[fact.subject]
    return 1 if its is None else max(1, len(rows_of(fact, its)))
