"""How long things are kept: rows until nobody can join or judge them, windows ever coarser, totals for ever.

An entry goes whole or not at all: if its Y went and its X′ stayed, a correction would find the half of it. What it
added to the sums stays, and an X′ or Y′ that never met its Y is booked as expired, so that the ledger of labels closes.
Age is the brokers', not the wall's: while events wait to be read, nothing that they may speak of grows old, and while
none come, nothing does.

Windows are made coarser up to a mark of their deployment, and a label that comes later adds to the coarser one. What a
prediction adds (judged, followed, and itself) stays hourly where what an exchange adds is kept by day.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import NamedTuple

from switchyard_contracts import retention, windows
from switchyard_contracts.model_route import RouteRole
from switchyard_contracts.topics import ModelRecord, RolloutRecord
from switchyard_contracts.windows import DAY_US, HOUR_US, MICROSECOND

from switchyard_monitor.domain import identity
from switchyard_monitor.domain.entries import Book, Cells, Entry, cell_of
from switchyard_monitor.domain.rollouts import ENDED
from switchyard_monitor.domain.rules import MAX_AGE_US, Rule
from switchyard_monitor.domain.sums import Sums, add, bump

SHOWN_WINDOWS = 240
"""So many of a deployment's newest windows stay as they are, however long one is: charts show half as many."""
LAST_KEY = b"\xff" * (identity.PREFIX_BYTES + identity.ROW_BYTES + 1)
OF_PREDICTIONS = ("now.", "age.", "delay:", "dec.")
COUNTS_OF_PREDICTIONS = frozenset({"predictions", "n"})


@dataclass(frozen=True, slots=True)
class Keep:
    """For how long, in microseconds."""

    rows_us: int = retention.ROWS // MICROSECOND
    """Rows, at least: what may still be joined or judged stays longer."""
    margin_us: int = retention.MARGIN // MICROSECOND
    """Beyond the last time at which a row may be needed."""
    windows_us: int = 2 * DAY_US
    """Windows as they are; then by hour."""
    hourly_us: int = 14 * DAY_US
    """Windows by hour; then what exchanges add is kept by day."""
    daily_us: int = 400 * DAY_US
    """Windows at all."""

    def rows(self, rule: Rule) -> int:
        """How long the rows of a deployment are kept."""
        needed = max(MAX_AGE_US, rule.horizon_us, rule.judged_after_us)
        return max(self.rows_us, needed + self.margin_us)

    @property
    def seen_us(self) -> int:
        """How long it is remembered that an event was seen which left no Y: until it could only come again too late."""
        return MAX_AGE_US + self.margin_us

    def marks(self, rule: Rule, mark_us: int, *, widest_us: int) -> Rungs:
        """Up to where a deployment's windows may be coarser by now, if none may be wider than this."""
        shown_us = SHOWN_WINDOWS * rule.window_us
        hourly = mark_us - max(self.windows_us, shown_us) if widest_us >= HOUR_US else 0
        daily = mark_us - max(self.hourly_us, shown_us) if widest_us >= DAY_US else 0
        return Rungs(_floor(hourly, HOUR_US), _floor(daily, DAY_US))

    def forgotten(self, rule: Rule, mark_us: int) -> int:
        """Before when a deployment's windows go: never while one of their predictions may be judged."""
        return _floor(mark_us - max(self.daily_us, self.rows(rule)), DAY_US)


class Rungs(NamedTuple):
    """Up to where a deployment's windows are coarser: whole hours before the one, whole days before the other."""

    hourly_us: int = 0
    daily_us: int = 0
    forgotten_us: int = 0
    """Windows before this are no more."""

    def within(self, needs: Rungs) -> Rungs:
        """The same as far as these allow."""
        return self._replace(
            hourly_us=min(self.hourly_us, needs.hourly_us), daily_us=min(self.daily_us, needs.daily_us)
        )

    @property
    def whole(self) -> Rungs:
        """Rounded down: to whole hours the first, and to whole days the others."""
        return Rungs(_floor(self.hourly_us, HOUR_US), _floor(self.daily_us, DAY_US), _floor(self.forgotten_us, DAY_US))

    def places(self, start_us: int, window_us: int) -> tuple[int, int]:
        """Where a window's sums lie: those that predictions add, and those that exchanges add."""
        hour = start_us
        if start_us < self.hourly_us and window_us < HOUR_US:
            hour = windows.start(start_us, HOUR_US)
        if start_us < self.daily_us and window_us < DAY_US:
            return hour, windows.start(start_us, DAY_US)
        return hour, hour


UNMOVED = Rungs()

Places = Callable[[int, int], tuple[int, int] | None]
"""Where the sums of an owner's window lie, by the owner and the window's start, as `Rungs.places`; None: nowhere."""


class Old(NamedTuple):
    """A row that may have had its time."""

    key: bytes
    subject: str | None
    """Whose it is; None for a label without a Y that was kept before this was written down."""
    at_us: int


@dataclass(frozen=True, slots=True)
class Gone:
    """What is forgotten: whole entries, and what that means for the ledgers of labels."""

    keys: list[bytes]
    labels: dict[str, Sums]


def cuts(rules: Iterable[Rule], keep: Keep, mark_us: int) -> dict[str, int]:
    """Before when each deployment's rows have had their time; of several rules the one that keeps them longest."""
    found: dict[str, int] = {}
    for rule in rules:
        cut_us = mark_us - keep.rows(rule)
        found[rule.subject] = min(cut_us, found.get(rule.subject, cut_us))
    return found


class Stretch(NamedTuple):
    """A range of keys, and before when what lies there has had its time; 0 where nothing of a kind is looked for."""

    start: bytes
    stop: bytes
    before_us: int
    """Of predictions and labels."""
    seen_us: int
    """Of what left no Y."""


def stretches(before_us: int, seen_us: int, mark_us: int) -> list[Stretch]:
    """Where old rows lie. Minted ids lie in order of time; of a caller's own a few lie among them.

    What is kept longer is not looked through before its time: rows may be kept for months, what was seen for a week.
    """
    first_us, then_us = sorted((before_us, seen_us))
    first, then = identity.earliest(first_us), identity.earliest(then_us)
    found = [
        Stretch(b"", first, before_us, seen_us),
        Stretch(first, then, before_us if before_us > seen_us else 0, seen_us if seen_us > before_us else 0),
        Stretch(identity.earliest(mark_us + DAY_US), LAST_KEY, before_us, seen_us),
    ]
    return [stretch for stretch in found if stretch.start < stretch.stop]


def candidates(rows: Iterable[Old], before: Mapping[str, int]) -> dict[str, set[bytes]]:
    """The keys of rows that have had their time, by deployment."""
    found: dict[str, set[bytes]] = {}
    for row in rows:
        if row.subject is not None and row.at_us < before.get(row.subject, 0):
            found.setdefault(row.subject, set()).add(row.key)
    return found


def expired(entries: Mapping[bytes, Entry], book: Book, before: Mapping[str, int]) -> Gone:
    """Of these entries those of which every row has had its time; `before` is by deployment, in microseconds."""
    gone = Gone([], {})
    for key, entry in entries.items():
        subject = owner(entry, book)
        if subject is None:
            continue
        cut_us = before.get(subject, 0)
        if any(pred.at_us >= cut_us for pred in entry.preds) or any(one.at_us >= cut_us for one in entry.versions):
            continue
        gone.keys.append(key)
        if entry.versions and not entry.preds:
            ledger = gone.labels.setdefault(subject, {})
            bump(ledger, "orphan", -len(entry.versions))
            bump(ledger, "expired", len(entry.versions))
    return gone


def owner(entry: Entry, book: Book) -> str | None:
    """Whose an entry is; None where no row of it says."""
    for pred in entry.preds:
        return book.rule(book.arm(pred.arm).rule).subject
    known = [version.rule for version in entry.versions if version.rule is not None]
    return book.rule(known[0]).subject if known else None


def of_prediction(name: str) -> bool:
    """Whether a sum is one that predictions add, not exchanges."""
    return name in COUNTS_OF_PREDICTIONS or name.startswith(OF_PREDICTIONS)


def spread(sums: Mapping[str, int], places: tuple[int, int]) -> dict[int, Sums]:
    """One window's sums by where they lie."""
    hour, rest = places
    if hour == rest:
        return {hour: dict(sums)}
    found: dict[int, Sums] = {}
    for name, value in sums.items():
        found.setdefault(hour if of_prediction(name) else rest, {})[name] = value
    return found


def settled(cells: Cells, places: Places) -> Cells:
    """What a batch changes, put where the windows lie by now; the cells themselves where none has moved.

    What belongs to a window that was forgotten is left out: half a window would say what nobody measured.
    """
    moved = {key: to for key in cells if (to := places(*key)) is None or set(to) != {key[1]}}
    if not moved:
        return cells
    found: Cells = {key: sums for key, sums in cells.items() if key not in moved}
    for (number, start_us), to in moved.items():
        for at_us, sums in spread(cells[number, start_us], to).items() if to else ():
            held = cell_of(found, number, at_us)
            found[number, at_us] = add(dict(held), sums)
    return found


def widest(record: ModelRecord | None, last: RolloutRecord | None, *, gone: bool = False) -> int:
    """The widest windows that evidence which may still be asked for allows, in microseconds; 0: none may change.

    A rollout is judged window by window, over and over, also while it is watched: its windows, and those before it,
    stay as they are. So do those of a deployment with shadows, whose comparisons begin at any time, not on the hour.
    `gone` is who was heard to go: where a record is only missing, what was said last of its rollouts counts.
    """
    if gone:
        return DAY_US
    if last is not None and last.phase not in ENDED:
        return 0
    if record is None:
        return DAY_US
    if any(route.role is RouteRole.CANDIDATE and (route.weight_bp or route.mirror_bp) for route in record.routes):
        return 0
    return 0 if any(route.role is RouteRole.SHADOW for route in record.routes) else DAY_US


def _floor(at_us: int, unit_us: int) -> int:
    return max(0, windows.start(at_us, unit_us))
