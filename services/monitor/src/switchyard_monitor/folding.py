"""Folding: what records say becomes changes of rows and sums, within a transaction of the store.

The reader folds what it polls, a replay what it reads once more; both by the rules that are in force now.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from switchyard_monitor.baselines import Watches
from switchyard_monitor.domain import identity
from switchyard_monitor.domain.changes import Dead
from switchyard_monitor.domain.facts import Fact, Record, read
from switchyard_monitor.domain.join import Fold
from switchyard_monitor.domain.lines import rows_of
from switchyard_monitor.domain.profiling import Watch
from switchyard_monitor.domain.rules import Known
from switchyard_monitor.errors import Unreadable
from switchyard_monitor.models import Models
from switchyard_monitor.ports import Batch


@dataclass(frozen=True, slots=True)
class Said:
    """What records of one partition say. They are read before the transaction, which others may wait for."""

    records: Sequence[Record]
    facts: Sequence[Fact]
    dead: Sequence[Dead]
    ignored: int

    @property
    def end(self) -> int:
        """The offset after the last."""
        return self.records[-1].offset + 1

    @classmethod
    def of(cls, records: Sequence[Record]) -> Said:
        """Read them all."""
        facts: list[Fact] = []
        dead: list[Dead] = []
        ignored = 0
        for record in records:
            try:
                fact = read(record)
            except Unreadable as error:
                dead.append(Dead(record, "unreadable", str(error)))
                continue
            if fact is None:
                ignored += 1
            else:
                facts.append(fact)
        return cls(records, facts, dead, ignored)


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
