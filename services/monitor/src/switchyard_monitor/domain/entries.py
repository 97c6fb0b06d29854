"""Entries: all that is known of one row of one prediction, and what it adds to the sums.

What an entry adds is a pure function of it. So a change of an entry is: take out what it added, change it, add what it
adds now. Order, splits, corrections and late labels then need no cases of their own, and nothing is counted twice.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol

from switchyard_contracts.windows import DAY_US

from switchyard_monitor.domain import row_losses
from switchyard_monitor.domain.buckets import TIME_PARTS, bucket
from switchyard_monitor.domain.days import add_judged, add_said
from switchyard_monitor.domain.judging import AGE, FOLDED, NOW, comparable, judge
from switchyard_monitor.domain.rules import Rule, Value
from switchyard_monitor.domain.sums import Sums, bump

NO_FOLD = -1
"""Each request was drawn by itself, and makes one prediction."""
OUTCOME, DECISION = "outcome", "decision"

Cells = dict[tuple[int, int], Sums]
"""Sums by (arm or pair, start of the window in microseconds)."""


@dataclass(frozen=True, slots=True)
class Arm:
    """Whose sums an exchange belongs to: one revision in one role, in one ModelRoute generation, under one rule."""

    rule: int
    revision: str
    role: str
    traffic: int
    weight_bp: int
    assignment: str
    fold: int = NO_FOLD
    """The group of its users, where the split was sticky; that of its requests' ids, where each carries many rows."""


@dataclass(frozen=True, slots=True)
class Pair:
    """Two revisions that answer the same requests: stable's are mirrored to the other, in one generation."""

    rule: int
    stable: str
    mirrored: str
    traffic: int


class Pred(NamedTuple):
    """One Y. A tuple, like `Version`: tens of thousands are made a second."""

    arm: int
    at_us: int
    event: int
    x: int | None
    value: Value | None
    latency_us: int | None = None
    score: int | None = None
    """The probability that a classification gave, in parts."""
    segment: int | None = None
    """The parts of X that it lay in, where X came with it."""


class Version(NamedTuple):
    """One version of a Y′ or X′."""

    kind: str
    event_id: str
    revision: int
    at_us: int
    broker_us: int
    value: Value
    actor: str
    rule: int | None = None
    """By which it was read, and so whose it is while there is no Y; None where that was not written down yet."""

    @property
    def rank(self) -> tuple[int, int, str]:
        """The highest wins."""
        return self.revision, self.at_us, self.event_id


class LabelCounts(NamedTuple):
    """The labels of rows that have a Y, and of rows that have none."""

    joined: int = 0
    orphan: int = 0


@dataclass(slots=True)
class Entry:
    """All we know of one row of one prediction."""

    preds: list[Pred] = field(default_factory=list)
    versions: list[Version] = field(default_factory=list)
    exchanges: set[int] = field(default_factory=set)
    """Exchanges that made no Y: errors, repeats, conflicts."""
    inputs: dict[int, int] = field(default_factory=dict)
    """X that came alone: the hash of the event, and of the X."""
    segment: int | None = None
    """The parts of X that one which came alone lay in."""

    def saw(self, event: int) -> bool:
        """Whether an exchange was seen before."""
        if event in self.exchanges:
            return True
        return bool(self.preds) and any(pred.event == event for pred in self.preds)

    @property
    def x(self) -> int | None:
        """The hash of the X that came first, of those that are known."""
        for pred in self.preds:
            if pred.x is not None:
                return pred.x
        return next(iter(self.inputs.values()), None)


@dataclass(frozen=True, slots=True)
class Cell:
    """One arm in one window, all partitions together."""

    arm: Arm
    rule: Rule
    start_us: int
    sums: Sums


def spoken(cells: Iterable[Cell], rule: Rule | None) -> Rule | None:
    """The rule that cells are looked at by: the one in force, or the newest where that has none of them.

    The newest alone would not do: a rule that is said once more has the number that it had at first.
    """
    held = {cell.arm.rule: cell.rule for cell in cells}
    return rule if rule in held.values() else held[max(held)] if held else None


@dataclass(frozen=True, slots=True)
class PairCell:
    """One pair of revisions in one window, all partitions together."""

    pair: Pair
    rule: Rule
    start_us: int
    sums: Sums


class Book(Protocol):
    """The arms, pairs and rules that rows refer to by number."""

    def id_of(self, arm: Arm) -> int:
        """The number of an arm; a new one is written down."""

    def arm(self, arm_id: int) -> Arm:
        """The arm of a number."""

    def pair_id(self, pair: Pair) -> int:
        """The number of a pair; a new one is written down."""

    def rule(self, rule_id: int) -> Rule:
        """The rule of a number."""


def cell_of(cells: Cells, owner: int, window: int) -> Sums:
    """A cell, made when it is first needed."""
    cell = cells.get((owner, window))
    if cell is None:
        cell = cells[owner, window] = {}
    return cell


def contribute(
    entry: Entry, book: Book, cells: Cells, days: Cells, labels: Sums, sign: int, *, group: int, whole: bool = True
) -> None:
    """Add all that an entry stands for to the cells and days of its Ys and to the labels' ledger, or take it out (−1).

    What its Ys stand for without any label is left out where it is not `whole`: a label that comes changes none of it.
    `group` is the fold that it is counted in by its id; where its user is known, it is counted with that one's.
    """
    versions, preds = entry.versions, entry.preds
    if versions:
        bump(labels, "in", sign * len(versions))
        bump(labels, "joined" if preds else "orphan", sign * len(versions))
    elif not whole:
        return
    outcomes = [version for version in versions if version.kind == OUTCOME]
    decisions = [version for version in versions if version.kind == DECISION] if len(outcomes) < len(versions) else []
    for pred in preds:
        arm = book.arm(pred.arm)
        rule = book.rule(arm.rule)
        cell = cell_of(cells, pred.arm, pred.at_us - pred.at_us % rule.window_us)
        day = cell_of(days, pred.arm, pred.at_us - pred.at_us % DAY_US)
        segment = entry.segment if pred.segment is None else pred.segment
        if whole:
            cell["predictions"] = cell.get("predictions", 0) + sign
            add_said(day, rule, pred.value, sign, score=pred.score, segment=segment)
        if pred.value is None:
            continue
        if outcomes:
            fold = group if arm.fold == NO_FOLD else arm.fold
            known_then = value_of(in_time(outcomes, pred, rule))
            if known_then is not None:
                add_judged(day, rule, pred.value, known_then, sign, score=pred.score, segment=segment, fold=fold)
            delay = f"delay:{_delay(outcomes, pred)}"
            cell[delay] = cell.get(delay, 0) + sign
            judge(cell, NOW, rule, pred.value, value_of(outcomes), sign)
            judge(cell, AGE, rule, pred.value, known_then, sign, group=FOLDED[fold])
            if rule.loss is not None:
                now, score = value_of(outcomes), pred.score
                row_losses.judge(cell, row_losses.NOW, rule, pred.value, now, sign, score=score)
                row_losses.judge(cell, row_losses.AGE, rule, pred.value, known_then, sign, score=score, fold=fold)
        if decisions and (decision := latest(decisions)) is not None and comparable(pred.value, decision.value):
            bump(cell, f"dec.delay:{_delay(decisions, pred)}", sign)
            followed = rule.agrees(pred.value, decision.value)
            for suffix in ("", f":{decision.actor}"):
                bump(cell, f"dec.n{suffix}", sign)
                if followed:
                    bump(cell, f"dec.agree{suffix}", sign)
            if (happened := value_of(outcomes)) is not None and comparable(pred.value, happened):
                _compare(cell, rule, pred.value, decision, happened, sign, followed=followed)


def _compare(
    cell: Sums, rule: Rule, said: Value, decision: Version, happened: Value, sign: int, *, followed: bool
) -> None:
    """Who was right, by the latest outcome: both or neither where a decision followed the prediction, else one."""
    if followed:
        names = ["same", *(["both"] if rule.alike(said, happened) else [])]
    else:
        names = ["differ", *rule.nearer(said, decision.value, happened)]
    for name in names:
        for suffix in ("", f":{decision.actor}"):
            bump(cell, f"who.{name}{suffix}", sign)


def _delay(versions: Sequence[Version], pred: Pred) -> int:
    """How long after a prediction the first of these came: a bucket of milliseconds."""
    first = versions[0].broker_us if len(versions) == 1 else min([version.broker_us for version in versions])
    return bucket(max(0, first - pred.at_us) // 1000, TIME_PARTS)


def latest(versions: Sequence[Version]) -> Version | None:
    """The version that holds."""
    if len(versions) <= 1:
        return versions[0] if versions else None
    return max(versions, key=lambda version: version.rank)


def value_of(versions: Sequence[Version]) -> Value | None:
    """What the version that holds says."""
    held = latest(versions)
    return None if held is None else held.value


def in_time(versions: Sequence[Version], pred: Pred, rule: Rule) -> list[Version]:
    """Those that had come when the prediction reached age L."""
    until = pred.at_us + rule.judged_after_us
    return [version for version in versions if version.broker_us <= until]
