"""The join: the facts of one partition's batch, in any order, become rows and changes of sums.

Each fact lands in exactly one column of the partition's ledger, so the ledger closes: what was read is what was
stored, repeated, superseded, stale, duplicate, in conflict, invalid, truncated, late, deleted, refused or ignored.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from switchyard_contracts.events import Assignment, Deletion, EventType, Inference, InputOnly, Label, PredictionOnly
from switchyard_contracts.model_route import RouteRole
from switchyard_contracts.sticky import fold_of

from switchyard_monitor.domain import identity
from switchyard_monitor.domain.buckets import TIME_PARTS, bucket
from switchyard_monitor.domain.changes import Changes, Dead
from switchyard_monitor.domain.entries import (
    DECISION,
    NO_FOLD,
    OUTCOME,
    Arm,
    Book,
    Entry,
    Pred,
    Version,
    cell_of,
    contribute,
)
from switchyard_monitor.domain.facts import Fact, Record
from switchyard_monitor.domain.pairs import contribute_pairs
from switchyard_monitor.domain.rules import MAX_AGE_US, Rule, follow, steps
from switchyard_monitor.domain.sums import bump

MOST_LATENCY_US = 86_400_000_000
"""A longer one is kept as a day; no timeout is as long."""
SKEW_US = 5 * 60_000_000
"""An event further ahead of the broker than this has a wrong clock; it gets the broker's time."""
BY_USER = frozenset({RouteRole.STABLE, RouteRole.CANDIDATE})
"""Roles that a split gives; what is mirrored is a sample of requests, whoever makes them."""

_ArmKey = tuple[int, str, RouteRole, int, int, Assignment, int]
Paths = tuple[tuple[str | int, ...], tuple[str | int, ...] | None, tuple[str | int, ...] | None]


@dataclass(frozen=True, slots=True)
class Known:
    """A rule that is in force, with its row's id and its paths taken apart."""

    id: int
    rule: Rule
    paths: Paths

    @classmethod
    def of(cls, rule_id: int, rule: Rule) -> Known:
        """Prepare a rule."""
        return cls(
            rule_id,
            rule,
            (
                steps(rule.prediction),
                steps(rule.outcome) if rule.outcome else None,
                steps(rule.decision) if rule.decision else None,
            ),
        )


class Fold:
    """Folds the facts of one partition's batch into changes. `entries` holds every key that the facts touch."""

    def __init__(
        self,
        *,
        rules: Mapping[str, Known],
        book: Book,
        entries: dict[bytes, Entry],
        erased: set[bytes],
    ) -> None:
        self.changes = Changes()
        self._rules = rules
        self._book = book
        self._entries = entries
        self._erased = erased
        self._touched: dict[bytes, str] = {}
        self._arms: dict[_ArmKey, int] = {}

    def take(self, fact: Fact) -> None:
        """Take one fact in; it lands in exactly one column of the ledger."""
        column = self._sort(fact)
        self.count(column)

    def count(self, column: str, by: int = 1) -> None:
        """Book in the partition's ledger."""
        self.changes.ledger[column] = self.changes.ledger.get(column, 0) + by

    def bury(self, record: Record, reason: str, message: str) -> None:
        """Make a dead letter."""
        self.changes.dead.append(Dead(record, reason, message))

    def finish(self) -> Changes:
        """Add what the touched entries add now, and hand the changes over."""
        for key, subject in self._touched.items():
            self._contribute(key, self._entries[key], subject, 1)
        self._touched.clear()
        changes = self.changes
        if changes.removed:
            gone = changes.removed
            changes.preds = [row for row in changes.preds if row[0] not in gone]
            changes.versions = [row for row in changes.versions if row[0] not in gone]
            changes.exchanges = [row for row in changes.exchanges if row[0] not in gone]
            changes.inputs = [row for row in changes.inputs if row[0] not in gone]
        return changes

    def _sort(self, fact: Fact) -> str:
        known = self._rules[fact.subject]
        data = fact.data
        prefix = fact.prefix
        if isinstance(data, Deletion):
            return self._erase(fact, prefix)
        limit = known.rule.horizon_us if isinstance(data, Label) else MAX_AGE_US
        if fact.record.broker_us - fact.at_us > limit:
            return "late"
        at_us = fact.at_us
        if at_us > fact.record.broker_us + SKEW_US:
            at_us = fact.record.broker_us
            self.count("skewed")
        if prefix in self._erased:
            return "deleted"
        row = 0 if isinstance(data, Inference) else data.row
        key = prefix + identity.row_bytes(row)
        entry = self._entries.get(key)
        if entry is None:
            entry = self._entries[key] = Entry()
        if isinstance(data, Inference):
            return self._exchange(fact, data, known, key, entry, at_us)
        if isinstance(data, Label):
            return self._label(fact, data, known, key, entry, at_us)
        if isinstance(data, PredictionOnly):
            return self._prediction(fact, data, known, key, entry, at_us)
        return self._input(fact, data, key, entry, at_us)

    def _exchange(self, fact: Fact, data: Inference, known: Known, key: bytes, entry: Entry, at_us: int) -> str:
        event = identity.short(fact.event_id)
        if entry.saw(event):
            return "duplicate"
        fold = NO_FOLD if data.unit is None or data.role not in BY_USER else fold_of(data.unit)
        arm = self._arm((known.id, data.revision, data.role, data.traffic, data.weight_bp, data.assignment, fold))
        cell = cell_of(self.changes.cells, arm, known.rule.window(at_us))
        bump(cell, "requests")
        if data.error:
            bump(cell, "errors")
        if data.latency_us is None:
            bump(cell, "unmeasured")
        else:
            bump(cell, f"latency:{bucket(max(0, data.latency_us), TIME_PARTS)}")

        x = identity.content(data.request.value) if data.request.complete else None
        if x is not None and entry.x is not None and x != entry.x:
            self._seen(key, entry, event, at_us)
            bump(cell, "conflicts")
            self.bury(fact.record, "conflict", f"prediction {data.prediction_id!r} came before with another X")
            return "conflict"
        if data.error or not 200 <= data.status < 300:
            self._seen(key, entry, event, at_us)
            return "stored"
        if data.answered_by and data.answered_by != data.revision:
            bump(cell, "failover")
            if data.role is RouteRole.SHADOW:
                # Nobody stands in for a mirrored revision: a Y of stable's would be filed as a second one.
                self._seen(key, entry, event, at_us)
                return "stored"
            # Stable stood in for it. The Y is stable's, but not by the lot, so it is never compared.
            revision, role, assignment = data.answered_by, RouteRole.STABLE, Assignment.RETRY
            arm = self._arm((known.id, revision, role, data.traffic, data.weight_bp, assignment, NO_FOLD))
        else:
            revision, role = data.revision, data.role
        if entry.preds and self._answered(entry, revision, role):
            self._seen(key, entry, event, at_us)
            return "repeat"
        if not data.response.complete:
            self._seen(key, entry, event, at_us)
            bump(cell, "unreadable")
            return "truncated"
        value = None
        if known.rule.task is not None:
            value = known.rule.value(follow(known.paths[0], data.response.value))
            if value is None:
                self._seen(key, entry, event, at_us)
                bump(cell, "unreadable")
                return "stored"
        latency_us = None if data.latency_us is None else max(0, min(MOST_LATENCY_US, data.latency_us))
        self._add(key, entry, fact.subject, Pred(arm, at_us, event, x, value, latency_us))
        return "stored"

    def _prediction(self, fact: Fact, data: PredictionOnly, known: Known, key: bytes, entry: Entry, at_us: int) -> str:
        event = identity.short(fact.event_id)
        if entry.saw(event):
            return "duplicate"
        if self._answered(entry, data.revision, data.role):
            self._seen(key, entry, event, at_us)
            return "repeat"
        value = known.rule.value(follow(known.paths[0], data.value))
        if value is None and known.rule.task is not None:
            self.bury(fact.record, "invalid", f"value: {known.rule.prediction} holds no {known.rule.task} value")
            return "invalid"
        arm = self._arm((known.id, data.revision, data.role, data.traffic, data.weight_bp, Assignment.SPLIT, NO_FOLD))
        self._add(key, entry, fact.subject, Pred(arm, at_us, event, None, value))
        return "stored"

    def _input(self, fact: Fact, data: InputOnly, key: bytes, entry: Entry, at_us: int) -> str:
        event, x = identity.short(fact.event_id), identity.content(data.value)
        if event in entry.inputs:
            return "duplicate"
        if entry.x is not None and entry.x != x:
            self.bury(fact.record, "conflict", f"prediction {data.prediction_id!r} came before with another X")
            return "conflict"
        if entry.inputs:
            return "repeat"
        entry.inputs[event] = x
        self.changes.inputs.append((key, event, x, at_us))
        return "stored"

    def _label(self, fact: Fact, data: Label, known: Known, key: bytes, entry: Entry, at_us: int) -> str:
        rule = known.rule
        if fact.type == EventType.OUTCOME:
            kind, path = OUTCOME, known.paths[1]
        else:
            kind, path = DECISION, known.paths[2]
        if path is None or rule.task is None:
            return "ignored"
        raw = follow(path, data.value)
        value = rule.value(raw) if kind == OUTCOME else rule.decided(raw)
        if value is None:
            where = rule.outcome if kind == OUTCOME else rule.decision
            self.bury(fact.record, "invalid", f"value: {where} holds no value that fits the task {rule.task}")
            return "invalid"
        same = [version for version in entry.versions if version.kind == kind]
        if any(version.event_id == fact.event_id for version in same):
            return "duplicate"
        actor = data.actor.kind if data.actor else "unknown"
        new = Version(kind, fact.event_id, data.revision, at_us, fact.record.broker_us, value, actor, known.id)
        self._touch(key, entry, fact.subject)
        entry.versions.append(new)
        self.changes.versions.append((key, new))
        if not same:
            return "stored"
        return "superseded" if new.rank > max(version.rank for version in same) else "stale"

    def _erase(self, fact: Fact, prefix: bytes) -> str:
        if prefix in self._erased:
            return "duplicate"
        self._erased.add(prefix)
        self.changes.erased.add(prefix)
        for key in [key for key in self._entries if key.startswith(prefix)]:
            entry = self._entries.pop(key)
            if self._touched.pop(key, None) is not None:
                self._contribute(key, entry, fact.subject, 1)
            self.changes.removed.add(key)
            ledger = self.changes.labels.setdefault(fact.subject, {})
            bump(ledger, "joined" if entry.preds else "orphan", -len(entry.versions))
            bump(ledger, "deleted", len(entry.versions))
        return "stored"

    def _add(self, key: bytes, entry: Entry, subject: str, pred: Pred) -> None:
        self._touch(key, entry, subject)
        entry.preds.append(pred)
        self.changes.preds.append((key, pred))

    def _seen(self, key: bytes, entry: Entry, event: int, at_us: int) -> None:
        entry.exchanges.add(event)
        self.changes.exchanges.append((key, event, at_us))

    def _touch(self, key: bytes, entry: Entry, subject: str) -> None:
        if key not in self._touched:
            self._touched[key] = subject
            if entry.preds or entry.versions:
                self._contribute(key, entry, subject, -1)

    def _arm(self, key: _ArmKey) -> int:
        number = self._arms.get(key)
        if number is None:
            rule, revision, role, traffic, weight_bp, assignment, fold = key
            arm = Arm(rule, revision, role.value, traffic, weight_bp, assignment.value, fold)
            number = self._arms[key] = self._book.id_of(arm)
        return number

    def _answered(self, entry: Entry, revision: str, role: RouteRole) -> bool:
        """Whether there is a Y of the revision. What it said to a mirrored request never stands for what it served."""
        mirrored = role is RouteRole.SHADOW
        arms = [self._book.arm(pred.arm) for pred in entry.preds]
        return any(arm.revision == revision and (arm.role == RouteRole.SHADOW) == mirrored for arm in arms)

    def _contribute(self, key: bytes, entry: Entry, subject: str, sign: int) -> None:
        labels = self.changes.labels.setdefault(subject, {})
        contribute(entry, self._book, self.changes.cells, labels, sign, group=identity.fold(key))
        contribute_pairs(entry, self._book, self.changes.pairs, sign)
