"""The join: the facts of one partition's batch, in any order, become rows and changes of sums.

Each fact lands in exactly one column of the partition's ledger, so the ledger closes: what was read is what was
stored, repeated, superseded, stale, duplicate, in conflict, invalid, truncated, late, deleted, refused or ignored.
X and Y may come in one event or apart, of one row or of many: an event is one fact all the same.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from switchyard_contracts.events import Assignment, EventType
from switchyard_contracts.model_route import RouteRole
from switchyard_contracts.quantities import FULL
from switchyard_contracts.sticky import fold_of

from switchyard_monitor.domain import identity, lines
from switchyard_monitor.domain.buckets import TIME_PARTS, bucket
from switchyard_monitor.domain.changes import Changes, Dead
from switchyard_monitor.domain.entries import (
    DECISION,
    NO_FOLD,
    OUTCOME,
    Arm,
    Book,
    Entry,
    LabelCounts,
    Pred,
    Version,
    cell_of,
    contribute,
)
from switchyard_monitor.domain.facts import Fact, Record
from switchyard_monitor.domain.learning import Lesson
from switchyard_monitor.domain.lines import Line
from switchyard_monitor.domain.pairs import contribute_pairs
from switchyard_monitor.domain.profiling import ProfileKey, Tallies, Watch
from switchyard_monitor.domain.rules import MAX_AGE_US, Known, follow
from switchyard_monitor.domain.shapes import Deletion, Inference, InputOnly, Label, PredictionOnly
from switchyard_monitor.domain.sums import Sums, bump

MOST_LATENCY_US = 86_400_000_000
"""A longer one is kept as a day; no timeout is as long."""
SKEW_US = 5 * 60_000_000
"""An event further ahead of the broker than this has a wrong clock; it gets the broker's time."""
BY_USER = frozenset({RouteRole.STABLE, RouteRole.CANDIDATE})
"""Roles that a split gives; what is mirrored is a sample of requests, whoever makes them."""

_ArmKey = tuple[int, str, RouteRole, int, int, Assignment, int]


class Fold:
    """Folds the facts of one partition's batch into changes.

    `entries` holds every key that the facts touch, `elsewhere` the labels of all other rows of what they erase.
    """

    def __init__(
        self,
        *,
        rules: Mapping[str, Known],
        book: Book,
        entries: dict[bytes, Entry],
        erased: set[bytes],
        elsewhere: Mapping[bytes, LabelCounts] | None = None,
        watches: Mapping[str, Watch] | None = None,
        lessons: Mapping[str, Lesson] | None = None,
    ) -> None:
        self.changes = Changes()
        self._rules = rules
        self._book = book
        self._entries = entries
        self._erased = erased
        self._elsewhere = elsewhere or {}
        self._watches = watches or {}
        self._lessons = lessons or {}
        self._tallies = Tallies()
        self._rows_of: dict[bytes, list[bytes]] | None = None
        self._touched: dict[bytes, str] = {}
        self._labelled: dict[bytes, str] = {}
        self._arms: dict[_ArmKey, int] = {}

    def take(self, fact: Fact, *, read_to_us: int | None = None) -> None:
        """Take one fact in; it lands in exactly one column of the ledger.

        `read_to_us` is for one that is read once more: by now everything up to then was read, and what would come too
        late by now is late. So whatever it is known again by need not be kept for longer.
        """
        came_us = fact.record.broker_us
        self.count(self._sort(fact, came_us if read_to_us is None else max(read_to_us, came_us)))

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
        for key, subject in self._labelled.items():
            self._contribute(key, self._entries[key], subject, 1, whole=False)
        self._touched.clear()
        self._labelled.clear()
        changes = self.changes
        changes.profiles = self._tallies.profiles()
        if changes.erased:
            gone, end = changes.erased, identity.PREFIX_BYTES
            changes.examples = [one for one in changes.examples if one.key[:end] not in gone]
            changes.preds = [row for row in changes.preds if row[0][:end] not in gone]
            changes.versions = [row for row in changes.versions if row[0][:end] not in gone]
            changes.exchanges = [row for row in changes.exchanges if row[0][:end] not in gone]
            changes.inputs = [row for row in changes.inputs if row[0][:end] not in gone]
        return changes

    def _sort(self, fact: Fact, came_us: int) -> str:
        known = self._rules[fact.subject]
        data = fact.data
        prefix = fact.prefix
        if isinstance(data, Deletion):
            return self._erase(fact, prefix)
        limit = known.rule.horizon_us if isinstance(data, Label) else MAX_AGE_US
        if came_us - fact.at_us > limit:
            return "late"
        at_us = fact.at_us
        if at_us > fact.record.broker_us + SKEW_US:
            at_us = fact.record.broker_us
            self.count("skewed")
        if prefix in self._erased:
            return "deleted"
        key = prefix + identity.row_bytes(0 if isinstance(data, Inference) else data.row)
        entry = self._entry(key)
        if isinstance(data, Inference):
            return self._exchange(fact, data, known, key, entry, at_us)
        if isinstance(data, Label):
            return self._label(fact, data, known, key, entry, at_us)
        if isinstance(data, PredictionOnly):
            return self._prediction(fact, data, known, key, entry, at_us)
        return self._input(fact, data, known, key, entry, at_us)

    def _exchange(self, fact: Fact, data: Inference, known: Known, key: bytes, entry: Entry, at_us: int) -> str:
        """An exchange counts once; what stands of it under row 0 is how it is known again."""
        event = identity.short(fact.event_id)
        if entry.saw(event):
            return "duplicate"
        fold = NO_FOLD
        if data.role in BY_USER and data.unit is not None:
            fold = fold_of(data.unit)
        elif data.role in BY_USER and known.answers is not None:
            fold = identity.fold(key)  # the rows of a request were drawn together, and are no units by themselves
        arm = self._arm((known.id, data.revision, data.role, data.traffic, data.weight_bp, data.assignment, fold))
        cell = cell_of(self.changes.cells, arm, known.rule.window(at_us))
        bump(cell, "requests")
        if data.error:
            bump(cell, "errors")
        if data.latency_us is None:
            bump(cell, "unmeasured")
        else:
            bump(cell, f"latency:{bucket(max(0, data.latency_us), TIME_PARTS)}")

        found = lines.of_exchange(data, known)
        if any(self._differs(fact.prefix, line) for line in found):
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
        fresh = [line for line in found if not self._answered(fact.prefix, line.row, revision, role)]
        if found and not fresh:
            self._seen(key, entry, event, at_us)
            return "repeat"
        many = known.answers is not None and revision == data.revision
        if not data.response.complete:
            self._seen(key, entry, event, at_us)
            bump(cell, "unreadable")
            if many:
                bump(cell, "answered")  # it was the capture that cut it short, whatever the rows were
            return "truncated"
        latency_us = None if data.latency_us is None else max(0, min(MOST_LATENCY_US, data.latency_us))
        place, learns = None, ""
        if data.request.complete:
            place = self._place(fact, known, revision, role, data.traffic, at_us)
            learns = revision if role is RouteRole.STABLE else ""
        pred = Pred(arm, at_us, event, None, None, latency_us)
        made = self._make(fact, known, fresh, pred, cell, place, learns=learns)
        if many and (made or not found):  # who is asked for no row is answered by none
            bump(cell, "answered")
        if many and made:
            bump(cell, "squares", made * made)
        if not entry.saw(event):
            self._seen(key, entry, event, at_us)
        return "stored"

    def _prediction(self, fact: Fact, data: PredictionOnly, known: Known, key: bytes, entry: Entry, at_us: int) -> str:
        event = identity.short(fact.event_id)
        if entry.saw(event):
            return "duplicate"
        found = lines.of_prediction(data, known, whole=fact.whole)
        fresh = [line for line in found if not self._answered(fact.prefix, line.row, data.revision, data.role)]
        if found and not fresh:
            self._seen(key, entry, event, at_us)
            return "repeat"
        rule = known.rule
        if fresh and rule.task is not None and all(known.said(line.said) is None for line in fresh):
            self.bury(fact.record, "invalid", f"value: {rule.prediction} holds no {rule.task} value")
            return "invalid"
        arm = self._arm((known.id, data.revision, data.role, data.traffic, data.weight_bp, Assignment.SPLIT, NO_FOLD))
        cell = cell_of(self.changes.cells, arm, rule.window(at_us))
        place = self._place(fact, known, data.revision, data.role, data.traffic, at_us)
        self._make(fact, known, fresh, Pred(arm, at_us, event, None, None), cell, place)
        if not entry.saw(event):
            self._seen(key, entry, event, at_us)
        return "stored"

    def _make(
        self,
        fact: Fact,
        known: Known,
        fresh: Sequence[Line],
        pred: Pred,
        cell: Sums,
        place: ProfileKey | None,
        *,
        learns: str = "",
    ) -> int:
        """A Y for each line that has one; answers how many. What took long is said once, by the first row.

        `learns` is the revision of which a reference may be learnt, where X and Y came together.
        """
        made, lesson = 0, self._lessons.get(fact.subject) if learns else None
        for line in fresh:
            value = None
            if known.rule.task is not None:
                value = known.said(line.said)
                if value is None:
                    bump(cell, "unreadable")
                    continue
            key = fact.prefix + identity.row_bytes(line.row)
            entry = self._entry(key)
            if place is not None:
                self._ask(place, entry, line)
                self._tallies.said(place, self._watches[fact.subject], follow(known.prediction, line.said))
            if lesson is not None and line.x is not None:
                y = follow(known.prediction, line.said)
                self.changes.examples += lesson.example(fact.subject, learns, key, pred.at_us, x=line.given, y=y)
            latency_us = pred.latency_us if line.row == 0 else None
            score = known.scored(line.said)
            # Of an X that came alone before it: who puts away what left no Y may not have seen this one yet.
            segment = entry.segment if line.x is None else known.segment(line.given)
            its = Pred(pred.arm, pred.at_us, pred.event, line.x, value, latency_us, score, segment)
            self._add(key, entry, fact.subject, its)
            made += 1
        return made

    def _input(self, fact: Fact, data: InputOnly, known: Known, key: bytes, entry: Entry, at_us: int) -> str:
        event = identity.short(fact.event_id)
        refused = identity.short(f"input {fact.event_id}")  # the Y of this X may have the same event id
        if event in entry.inputs or refused in entry.exchanges:
            return "duplicate"
        found = lines.of_input(data, known, whole=fact.whole)
        if any(self._differs(fact.prefix, line) for line in found):
            self._seen(key, entry, refused, at_us)
            arm = self._arm((known.id, data.revision, data.role, data.traffic, FULL, Assignment.SPLIT, NO_FOLD))
            bump(cell_of(self.changes.cells, arm, known.rule.window(at_us)), "conflicts")
            self.bury(fact.record, "conflict", f"prediction {data.prediction_id!r} came before with another X")
            return "conflict"
        place = self._place(fact, known, data.revision, data.role, data.traffic, at_us)
        column = "repeat"
        for line in found:
            at = fact.prefix + identity.row_bytes(line.row)
            its = self._entry(at)
            if place is not None and self._ask(place, its, line):
                self._seen(at, its, _asked_by(place), at_us)
            if line.x is not None and not its.inputs:
                segment = known.segment(line.given)
                if segment is not None:
                    self._touch(at, its, fact.subject)  # its Y may be there, and is told apart by it from now on
                    its.segment = segment
                its.inputs[event] = line.x
                self.changes.inputs.append((at, event, line.x, at_us, segment))
                column = "stored"
        return column

    def _label(self, fact: Fact, data: Label, known: Known, key: bytes, entry: Entry, at_us: int) -> str:
        rule = known.rule
        if fact.type == EventType.OUTCOME:
            kind, path = OUTCOME, known.outcome
        else:
            kind, path = DECISION, known.decision
        if path is None or rule.task is None:
            return "ignored"
        raw = follow(path, data.value)
        value = rule.happened(raw) if kind == OUTCOME else rule.decided(raw)
        if value is None:
            where = rule.outcome if kind == OUTCOME else rule.decision
            self.bury(fact.record, "invalid", f"value: {where} holds no value that fits the task {rule.task}")
            return "invalid"
        same = [version for version in entry.versions if version.kind == kind]
        if any(version.event_id == fact.event_id for version in same):
            return "duplicate"
        actor = data.actor.kind if data.actor else "unknown"
        new = Version(kind, fact.event_id, data.revision, at_us, fact.record.broker_us, value, actor, known.id)
        self._relabel(key, entry, fact.subject)
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
        joined, orphan = self._elsewhere.get(prefix, LabelCounts())
        for key in self._rows_under(prefix):
            entry = self._entries.pop(key)
            if self._touched.pop(key, None) is not None:
                self._contribute(key, entry, fact.subject, 1)
            elif self._labelled.pop(key, None) is not None:
                self._contribute(key, entry, fact.subject, 1, whole=False)
            if entry.preds:
                joined += len(entry.versions)
            else:
                orphan += len(entry.versions)
        ledger = self.changes.labels.setdefault(fact.subject, {})
        bump(ledger, "joined", -joined)
        bump(ledger, "orphan", -orphan)
        bump(ledger, "deleted", joined + orphan)
        return "stored"

    def _add(self, key: bytes, entry: Entry, subject: str, pred: Pred) -> None:
        self._touch(key, entry, subject)
        entry.preds.append(pred)
        self.changes.preds.append((key, pred))

    def _seen(self, key: bytes, entry: Entry, event: int, at_us: int) -> None:
        entry.exchanges.add(event)
        self.changes.exchanges.append((key, event, at_us))

    def _touch(self, key: bytes, entry: Entry, subject: str) -> None:
        """Before its Ys change: all that it adds is taken out, and is added as it is at the end."""
        if key in self._touched:
            return
        self._touched[key] = subject
        if self._labelled.pop(key, None) is not None:
            # What its labels add is out already, and so are its pairs.
            said, changes, group = Entry(entry.preds, segment=entry.segment), self.changes, identity.fold(key)
            contribute(said, self._book, changes.cells, changes.days, {}, -1, group=group)
        elif entry.preds or entry.versions:
            self._contribute(key, entry, subject, -1)

    def _relabel(self, key: bytes, entry: Entry, subject: str) -> None:
        """Before its labels change: what they add is taken out, which is nothing where this is the first."""
        if key not in self._touched and key not in self._labelled:
            self._labelled[key] = subject
            if entry.versions or len(entry.preds) > 1:
                self._contribute(key, entry, subject, -1, whole=False)

    def _arm(self, key: _ArmKey) -> int:
        number = self._arms.get(key)
        if number is None:
            rule, revision, role, traffic, weight_bp, assignment, fold = key
            arm = Arm(rule, revision, role.value, traffic, weight_bp, assignment.value, fold)
            number = self._arms[key] = self._book.id_of(arm)
        return number

    def _answered(self, prefix: bytes, row: int, revision: str, role: RouteRole) -> bool:
        """Whether there is a Y of the revision. What it said to a mirrored request never stands for what it served."""
        entry = self._entries.get(prefix + identity.row_bytes(row))
        return entry is not None and any(self._is_of(pred, revision, role) for pred in entry.preds)

    def _is_of(self, pred: Pred, revision: str, role: str) -> bool:
        arm = self._book.arm(pred.arm)
        return arm.revision == revision and (arm.role == RouteRole.SHADOW) == (role == RouteRole.SHADOW)

    def _place(
        self, fact: Fact, known: Known, revision: str, role: RouteRole, traffic: int, at_us: int
    ) -> ProfileKey | None:
        """Where it is profiled; None where it is not."""
        watch = self._watches.get(fact.subject)
        if watch is None:
            return None
        start_us = watch.window(at_us, known.rule.window_us)
        return ProfileKey(fact.subject, revision, role.value, traffic, watch.bins.baseline, start_us)

    def _ask(self, place: ProfileKey, entry: Entry, line: Line) -> bool:
        """Count an X, once for each revision that was asked; it may come with its Y, and alone before or after it."""
        if line.x is None or (entry.exchanges and _asked_by(place) in entry.exchanges):
            return False
        if any(pred.x is not None and self._is_of(pred, place.revision, place.role) for pred in entry.preds):
            return False
        self._tallies.asked(place, self._watches[place.subject], line.given)
        return True

    def _differs(self, prefix: bytes, line: Line) -> bool:
        """Whether the prediction came before with another X."""
        entry = self._entries.get(prefix + identity.row_bytes(line.row))
        return entry is not None and line.x is not None and entry.x is not None and line.x != entry.x

    def _entry(self, key: bytes) -> Entry:
        entry = self._entries.get(key)
        if entry is None:
            entry = self._entries[key] = Entry()
            if self._rows_of is not None:
                self._rows_of.setdefault(key[: identity.PREFIX_BYTES], []).append(key)
        return entry

    def _rows_under(self, prefix: bytes) -> list[bytes]:
        """The keys of a prediction's rows; looked for in all that there are with the first deletion of a batch only."""
        if self._rows_of is None:
            self._rows_of = {}
            for key in self._entries:
                self._rows_of.setdefault(key[: identity.PREFIX_BYTES], []).append(key)
        return self._rows_of.pop(prefix, [])

    def _contribute(self, key: bytes, entry: Entry, subject: str, sign: int, *, whole: bool = True) -> None:
        changes = self.changes
        labels = changes.labels.setdefault(subject, {})
        group = identity.fold(key)
        contribute(entry, self._book, changes.cells, changes.days, labels, sign, group=group, whole=whole)
        if len(entry.preds) > 1:
            contribute_pairs(entry, self._book, changes.pairs, sign)


def _asked_by(place: ProfileKey) -> int:
    """How an X that came alone is known to have been counted: it stands among the exchanges that made no Y."""
    mirrored = "mirrored" if place.role == RouteRole.SHADOW else "served"
    return identity.short(f"asked {mirrored} {place.revision}")
