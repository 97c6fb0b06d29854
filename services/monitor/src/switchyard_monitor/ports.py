"""What the monitor needs of the world: a broker that hands records over, and a store that commits all or nothing."""

from __future__ import annotations

from collections.abc import Collection, Container, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from re import Pattern
from typing import Protocol

from switchyard_contracts.alarm_records import AlarmHead, AlarmRecord

from switchyard_monitor.domain import drift_book
from switchyard_monitor.domain.alarms import State
from switchyard_monitor.domain.changes import Changes
from switchyard_monitor.domain.drift_book import Due, FeatureDrift, WindowDrift
from switchyard_monitor.domain.entries import Arm, Book, Cell, Entry, LabelCounts, Pair, PairCell
from switchyard_monitor.domain.facts import Record
from switchyard_monitor.domain.learning import Cut, Example, Learnt
from switchyard_monitor.domain.needs import Unjudged
from switchyard_monitor.domain.profiling import Coarsening, Profiles, Span
from switchyard_monitor.domain.retention import UNMOVED, Gone, Old, Rungs
from switchyard_monitor.domain.rollouts import Happening
from switchyard_monitor.domain.roster import Asked, Judged
from switchyard_monitor.domain.rules import Rule
from switchyard_monitor.domain.sums import Sums


@dataclass(frozen=True, slots=True)
class Topic:
    """A topic as it stands: a topic of the same name that was made anew has another id."""

    id: str
    partitions: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Bounds:
    """The first offset that a partition still has, and the one after its last."""

    start: int
    end: int


@dataclass(frozen=True, slots=True)
class Letter:
    """A record to be sent. `n` is its place in the outbox."""

    n: int
    topic: str
    key: bytes | None
    value: bytes | None
    headers: tuple[tuple[str, bytes], ...] = ()


class DeadLetters(Protocol):
    """The topic of dead letters. Every call may raise `BrokerUnavailable`."""

    def read(self) -> Iterator[list[Record]]:
        """All that are there now, oldest first, some at a time."""

    def close(self) -> None:
        """Let go of all connections."""


class Broker(Protocol):
    """Kafka, or the local one of the tests; both pass the same contract suite.

    Every call may raise `BrokerUnavailable`. None of them commits an offset: those live in the store.
    """

    def topic(self) -> Topic:
        """The topic of events."""

    def bounds(self, partitions: Iterable[int]) -> dict[int, Bounds]:
        """The bounds of partitions of the topic of events."""

    def assign(self, positions: Mapping[int, int]) -> None:
        """Read these partitions from these offsets, and no others."""

    def poll(self, limit: int, timeout: float) -> dict[int, list[Record]]:
        """The next records, in order, at most `limit`; `OffsetLost` when an offset is not in the log."""

    def models(self) -> list[Record]:
        """What is new on `switchyard.models`; the first call reads it to its end."""

    def send(self, letters: Sequence[Letter]) -> None:
        """Send, and return when all were acknowledged."""

    def close(self) -> None:
        """Let go of all connections."""


@dataclass(frozen=True, slots=True)
class Position:
    """How far a partition was read, and by whom. `next_offset` is None before the first claim."""

    partition: int
    topic_id: str | None
    base_offset: int | None
    next_offset: int | None
    owner: str | None
    epoch: int
    expires_us: int
    watermark_us: int | None
    stopped: str | None
    again_until: int = 0
    """What lies before this offset was read before, and is read once more if it is read."""
    aged_us: int | None = None
    """Up to when all was read by the broker's clock alone; None while there was no event."""


@dataclass(frozen=True, slots=True)
class Lease:
    """The right to commit for a partition; a stale epoch is refused."""

    partition: int
    owner: str
    epoch: int


@dataclass(frozen=True, slots=True)
class HeldRecord:
    """A record of a deployment that we know nothing about yet."""

    subject: str
    record: Record


@dataclass(frozen=True, slots=True)
class Work:
    """What one partition's part of a batch leaves behind."""

    changes: Changes
    next_offset: int
    watermark_us: int | None
    hold: Sequence[HeldRecord] = ()
    released: Sequence[int] = ()
    """Offsets of held records that are dealt with now."""
    letters: Sequence[Letter] = ()


class Batch(Protocol):
    """One transaction."""

    @property
    def book(self) -> Book:
        """The arms and rules; what it writes down is part of the transaction."""

    def rule_id(self, rule: Rule) -> int:
        """The number of a rule; a new one is written down."""

    def lock(self, lease: Lease, next_offset: int) -> None:
        """Hold the partition's row; `Deposed` when the epoch or the offset is another one."""

    def visit(self, partition: int) -> Position | None:
        """Hold a partition's row beside whoever reads it, who waits; None when it was never read.

        What is written then leaves `next_offset` where it is.
        """

    def rewind(self, partition: int, *, topic_id: str, offset: int) -> Position | None:
        """Have a partition be read from another offset; a stop is lifted. Answers where it stood before.

        Whoever holds it is deposed and claims it anew. What is read once more is taken off the books beforehand, under
        `replayed`, so that they still close; what is left out is booked under `gaps`. None when it was never read, or
        was of another topic.
        """

    def alone(self, subjects: Iterable[str]) -> None:
        """Fold these deployments while nobody else does, until the end; what others committed before is seen then.

        An X and its X′ may lie in partitions of two members. Without this neither would find the other's row. Once in
        a transaction, after `lock` and before anything is looked up: whoever took names twice could wait in a circle.
        """

    def entries(self, keys: Iterable[bytes]) -> dict[bytes, Entry]:
        """All that is known of these keys."""

    def labels_under(self, prefix: bytes, *, but: Container[bytes]) -> LabelCounts:
        """How many labels a prediction's rows have, but for some; rows may be too many to be held together."""

    def erased(self, prefixes: Iterable[bytes]) -> set[bytes]:
        """Which of these predictions were erased."""

    def held(self, partition: int, subject: str, limit: int) -> list[Record]:
        """The oldest held records of a deployment."""

    def write(self, lease: Lease, work: Work) -> None:
        """Rows, sums, outbox, offset."""

    def coarsen(self, lease: Lease, moving: Coarsening, *, most: int) -> None:
        """Put profiles of the partition together to longer windows, at most so many."""


@dataclass(frozen=True, slots=True)
class Ledger:
    """One partition's books."""

    position: Position
    columns: Mapping[str, int] = field(default_factory=dict)


class Store(Protocol):
    """The database. Every call may raise `StoreUnavailable`; then nothing of it happened."""

    def prepare(self, partitions: Iterable[int]) -> None:
        """Have a row for each partition."""

    def positions(self) -> list[Position]:
        """All partitions."""

    def announce(self, member: str, *, now_us: int, ttl_us: int) -> list[str]:
        """Say that a member lives, and learn who else does."""

    def leave(self, member: str) -> None:
        """Say that a member goes, so that its partitions need not wait."""

    def claim(self, partition: int, member: str, *, now_us: int, ttl_us: int) -> Position | None:
        """Take a partition that is free, expired or our own, with a new epoch; None when another holds it."""

    def start(self, lease: Lease, *, topic_id: str, offset: int) -> None:
        """Where a partition is read from for the first time."""

    def renew(self, leases: Sequence[Lease], *, now_us: int, ttl_us: int, watermarks: Mapping[int, int]) -> list[Lease]:
        """Keep leases and raise the watermarks of idle partitions; answers which leases still hold.

        An idle partition is as old as the newest event of any.
        """

    def release(self, lease: Lease) -> None:
        """Give a partition back."""

    def stop(self, lease: Lease, reason: str) -> None:
        """Mark a partition as stopped; only a person starts it again."""

    def begin(self) -> AbstractContextManager[Batch]:
        """One transaction: committed at the end of the block, or undone."""

    def held_subjects(self, partition: int) -> dict[str, int]:
        """The deployments whose records are held, with the broker's time of the oldest."""

    def outbox(self, limit: int) -> list[Letter]:
        """What waits to be sent, oldest first; so many at most of each topic."""

    def sent(self, letters: Sequence[Letter]) -> None:
        """These need not be sent again."""

    def deployments(self) -> list[str]:
        """Every deployment that has rules."""

    def arms(self, subject: str) -> dict[int, Arm]:
        """A deployment's arms, by number and in that order."""

    def cells(self, arms: Iterable[int], *, limit: int | None = None, names: Pattern[str] | None = None) -> list[Cell]:
        """The cells of these arms, oldest first; with a limit, at most so many rows, the earlier arms' latest first.

        With names (`sums.only`), these sums alone: of a sticky split an arm has as many cells as groups of users.
        """

    def totals(self, arms: Iterable[int]) -> list[Cell]:
        """Each arm's windows added up, as one cell that starts at 0."""

    def days(self, arms: Iterable[int], *, names: Pattern[str] | None = None) -> list[Cell]:
        """The days (of UTC) of these arms, oldest first; with names (`sums.only`), these sums alone."""

    def day_totals(self, arms: Iterable[int]) -> list[Cell]:
        """Each arm's days added up, as one cell that starts at 0."""

    def pairs(self, subject: str) -> dict[int, Pair]:
        """A deployment's pairs of revisions, by number and in that order."""

    def pair_cells(self, pairs: Iterable[int]) -> list[PairCell]:
        """The cells of these pairs, oldest first."""

    def pair_totals(self, pairs: Iterable[int]) -> list[PairCell]:
        """Each pair's windows added up, as one cell that starts at 0."""

    def keep_baseline(self, digest: str, body: bytes) -> None:
        """Keep a reference profile under its name; the same again changes nothing."""

    def baseline(self, digest: str) -> bytes | None:
        """A reference profile by its name."""

    def profiles(self, wanted: Span) -> Profiles:
        """The profiles of windows that begin in a span, all partitions together."""

    def fine_profiles(self, moving: Coarsening) -> set[int]:
        """The partitions whose profiles can be put together so."""

    def lessons(self, subject: str, revision: str) -> dict[int, int]:
        """Of how many rows of each day a revision's reference can be learnt."""

    def examples(self, subject: str, revision: str, days: Sequence[int]) -> list[Example]:
        """Those of some days."""

    def learnt(self, subject: str) -> list[Learnt]:
        """What was learnt of a deployment, the newest last."""

    def cuts(self, subject: str) -> dict[Cut, int]:
        """Of revisions and days that have rows enough, the rank from which on none is kept."""

    def conclude(self, subject: str, learnt: Learnt, body: bytes) -> None:
        """Keep a reference that was learnt, unless another was, and forget what it was learnt of."""

    def forget_lessons(self, subject: str, revision: str) -> None:
        """Forget a revision's rows."""

    def ledgers(self) -> list[Ledger]:
        """Every partition's books."""

    def labels(self, subject: str) -> Sums:
        """The ledger of a deployment's labels."""

    def entry(self, key: bytes) -> tuple[Entry | None, bool]:
        """What is known of one row of a prediction, and whether it was erased."""

    def arm(self, number: int) -> Arm:
        """An arm, for reading."""

    def close(self) -> None:
        """Let go of all connections."""


@dataclass(frozen=True, slots=True)
class Duty:
    """The right to do one thing that is done from time to time; a stale epoch is refused."""

    name: str
    owner: str
    epoch: int


@dataclass(frozen=True, slots=True)
class Slice:
    """A piece of the keys' range."""

    rows: Sequence[Old]
    """Rows of predictions and labels that may have had their time."""
    remains: bool
    """Whether something lies there that was only kept to know it again, and need not be any longer."""
    end: bytes
    """Where the next one begins."""


@dataclass(frozen=True, slots=True)
class Size:
    """Bytes that the database takes; what was freed in it is free again."""

    used: int
    free: int | None
    """What its volume still has; None where it is a server's."""
    freed: int = 0
    """What the file holds and no longer needs: it is used again before the file grows."""


@dataclass(frozen=True, slots=True)
class Rules:
    """The rules that rows were made by."""

    known: Sequence[Rule]
    unreadable: Mapping[str, str] = field(default_factory=dict)
    """Deployments of whose rules one cannot be read, and why: nobody knows how long their rows are needed."""


class Tidying(Protocol):
    """One transaction of the pruner's: small, so that nobody who joins events waits for long."""

    @property
    def book(self) -> Book:
        """The arms and rules."""

    def hold(self, duty: Duty, *, now_us: int, ttl_us: int) -> None:
        """Hold the duty's row, and keep it for so long; `Relieved` when the epoch is another one. Comes first."""

    def alone(self, subjects: Iterable[str]) -> None:
        """As in `Batch`: nobody folds these deployments until the end."""

    def entries(self, keys: Iterable[bytes]) -> dict[bytes, Entry]:
        """All that is known of these keys."""

    def unjudged(self, subject: str) -> Unjudged:
        """What of a deployment was begun to be judged, or is due; `alone`, nobody begins anything until the end."""

    def forget(self, gone: Gone, start: bytes, end: bytes, *, seen_us: int) -> int:
        """Delete entries, and in a range what was seen before then and left no Y; answers how many rows went."""

    def coarsen(self, subject: str, *, to: Rungs, most: int) -> bool:
        """Move windows towards these marks, about so many rows of them; whether there is more to move."""

    def drop(self, subject: str, *, before_us: int) -> bool:
        """Forget some of the windows that start before then, with their profiles and what was found of drift in them.

        Answers whether there are more.
        """

    def forget_lessons(self, before_us: int) -> int:
        """Forget rows of days before then that were kept to learn a reference of; answers how many."""


class Upkeep(Protocol):
    """What is done to the database from time to time, by one member each. Calls may raise `StoreUnavailable`."""

    def claim(self, name: str, member: str, *, now_us: int, ttl_us: int) -> Duty | None:
        """Take a duty that is free, expired or our own, with a new epoch; None when another has it."""

    def release(self, duty: Duty) -> None:
        """Give a duty back."""

    def rules(self) -> Rules:
        """Every rule that rows were made by."""

    def newest(self, subject: str, roles: Collection[str] = ()) -> int | None:
        """The start of a deployment's newest window, of these roles (none named: of all); None where it has none."""

    def look(self, start: bytes, stop: bytes, *, before_us: int, seen_us: int, rows: int, keys: int) -> Slice:
        """What lies from here on, of so many rows at most, that is older than that; nobody waits for it.

        `seen_us` is for what left no Y; a kind whose time is 0 is not looked through. At most about so many keys are
        answered.
        """

    def begin(self) -> AbstractContextManager[Tidying]:
        """One transaction: committed at the end of the block, or undone."""

    def size(self) -> Size:
        """How large the database is."""

    def now_us(self) -> int:
        """What the database's clock says, in microseconds."""


class RolloutLog(Protocol):
    """`switchyard.rollouts`. Every call may raise `BrokerUnavailable`."""

    def open(self, topic_id: str | None, offsets: Mapping[int, int]) -> str | None:
        """Read on from these offsets; from the start where the topic is another one, or no longer has them.

        Answers the topic's id; None while there is no such topic.
        """

    def poll(self) -> list[Record]:
        """What is new; nothing is waited for."""

    def ended(self) -> bool:
        """Whether all was handed over that was there when it was opened."""

    def close(self) -> None:
        """Let go of all connections."""


class Timeline(Protocol):
    """What happened in rollouts, kept for the page. Every call may raise `StoreUnavailable`."""

    def place(self) -> tuple[str | None, dict[int, int]]:
        """The topic that was read, and the next offset of each of its partitions."""

    def learn(
        self, happenings: Sequence[Happening], *, topic_id: str, offsets: Mapping[int, int], oldest_us: int
    ) -> None:
        """Merge these in, move the offsets and forget what is older but for each one's last, in one transaction.

        The same records again, in any order, change nothing. Of a deployment, the newest so many stay.
        """

    def of(self, subject: str, *, limit: int) -> list[Happening]:
        """The newest of a deployment, newest first."""

    def latest(self, subjects: Sequence[str]) -> dict[str, Happening]:
        """The newest of each."""

    def close(self) -> None:
        """Let go of all connections."""


@dataclass(frozen=True, slots=True)
class Turn:
    """The right to evaluate a deployment, and what is remembered of its alarms."""

    subject: str
    owner: str
    epoch: int
    states: Mapping[str, State]
    asked: Asked
    closed: Mapping[str, str] = field(default_factory=dict)
    """By rules, the id of the record that closed an alarm of it last."""
    rungs: Rungs = UNMOVED
    """Up to where its windows are coarser, or no more."""


@dataclass(frozen=True, slots=True)
class Found:
    """Sums of windows, and up to where windows are not as they were, at one moment."""

    cells: Sequence[Cell]
    rungs: Rungs


@dataclass(frozen=True, slots=True)
class Said:
    """What is remembered of a deployment's alarms, and what was said of them."""

    states: Mapping[str, State]
    records: Sequence[AlarmRecord]
    """The newest, newest first."""
    request: AlarmRecord | None
    """The newest request to retrain."""


class Alarms(Protocol):
    """What is remembered of alarms. Every call may raise `StoreUnavailable`; then nothing of it happened."""

    def members(self, *, now_us: int) -> list[str]:
        """Who lives, by what the readers announce."""

    def subjects(self) -> list[str]:
        """The deployments of which anything is remembered."""

    def take(self, subject: str, member: str, *, now_us: int, ttl_us: int) -> Turn | None:
        """The right to evaluate, while nobody else has it; None when somebody has."""

    def keep(self, turn: Turn, judged: Judged, *, now_us: int, ttl_us: int, topic: str) -> int:
        """Remember what was judged and say it, in one transaction; answers how many records are new.

        `Relieved` when another member has taken the right meanwhile; then nothing of it happened.
        """

    def cells(self, subject: str, *, since_us: int, until_us: int, names: Pattern[str]) -> Found:
        """The cells of windows that begin from one time up to another, some of their sums."""

    def served(self, subject: str, *, until_us: int) -> bool:
        """Whether any window began before that."""

    def said(self, subject: str, *, limit: int) -> Said:
        """What is remembered and was said of one deployment."""

    def heads(self) -> list[AlarmHead]:
        """The newest record of every deployment that has any."""

    def close(self) -> None:
        """Let go of all connections."""


class SaidAlarms(Protocol):
    """The part of alarms that those need who only tell of them."""

    def said(self, subject: str, *, limit: int) -> Said:
        """What is remembered and was said of one deployment."""

    def heads(self) -> list[AlarmHead]:
        """The newest record of every deployment that has any."""


class NoAlarms:
    """Nothing is remembered, and nothing was said."""

    def said(self, subject: str, *, limit: int) -> Said:
        """Nothing."""
        del subject, limit
        return Said({}, (), None)

    def heads(self) -> list[AlarmHead]:
        """Nobody's."""
        return []


class Looks(Protocol):
    """Sums for people to look at: few queries, whatever the number of arms. May raise `StoreUnavailable`."""

    def totals(self, subjects: Sequence[str], *, generations: int) -> dict[str, list[Cell]]:
        """Each arm's windows added up, of the newest so many generations of each deployment."""

    def day_totals(self, subject: str, *, generations: int) -> list[Cell]:
        """Each arm's days added up, of the newest so many generations."""

    def days(self, subject: str, *, generations: int, names: Pattern[str]) -> list[Cell]:
        """The days of the revisions that they have, of whatever generation: each partition's apart, some of the sums.

        Nobody may change them.
        """

    def windows(
        self, subject: str, *, generations: int, since_us: int, limit: int, without: tuple[str, ...]
    ) -> list[Cell]:
        """The windows since then, each partition's apart, without sums whose names begin so.

        At most so many, the newest. Nobody may change them.
        """

    def pair_totals(self, subject: str, *, generations: int) -> list[PairCell]:
        """Each pair's windows added up, of the newest so many generations that have pairs."""

    def close(self) -> None:
        """Let go of all connections."""


class DriftBook(Protocol):
    """What windows were found to be. Every call may raise `StoreUnavailable`; then nothing of it happened."""

    def members(self, *, now_us: int) -> list[str]:
        """Who lives, by what the readers announce."""

    def due(self) -> list[tuple[str, str, int]]:
        """The deployments and baselines of which anything is due to be judged, and since when, in microseconds."""

    def dues(self, subject: str, baseline: str) -> list[Due]:
        """What of one deployment is due, in order of time."""

    def keep(self, subject: str, baseline: str, pages: Sequence[drift_book.Page], *, done: Sequence[Due]) -> None:
        """Write down what windows were found to be. Of what was due, that to which nothing was added since is done."""

    def revisions(self, subject: str, baseline: str) -> dict[str, int]:
        """The revisions that have windows, and the start of each one's newest, in microseconds."""

    def windows(
        self,
        subject: str,
        baseline: str,
        *,
        revision: str | None = None,
        until_us: int | None = None,
        limit: int | None = None,
    ) -> list[WindowDrift]:
        """Windows of every revision or of one, in order of time; of those that begin by then the newest so many."""

    def following(self, subject: str, baseline: str, revision: str, start_us: int) -> int | None:
        """The start of a revision's next window after this one."""

    def features(self, subject: str, baseline: str, revision: str, *, starts: Sequence[int]) -> list[FeatureDrift]:
        """All features in these windows."""

    def history(
        self, subject: str, baseline: str, revision: str, feature: str, *, since_us: int, until_us: int
    ) -> list[FeatureDrift]:
        """One feature in every window that begins since the one time and by the other, in order of time."""

    def close(self) -> None:
        """Let go of all connections."""
