"""Learning: where the resource names no reference, stable's first seven full days become one.

Of each day some rows are kept as they were, drawn by lot from their keys: the same ones in whatever order and from
whatever partition they come. When there are days and rows enough they make a reference, and then they go.
What a person forgets goes at once. Seven days say too little of what is usual for anybody to be paged by them.
"""

from __future__ import annotations

import math
import sys
from array import array
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Self

from switchyard_contracts.model_deployment import Monitoring
from switchyard_contracts.windows import start
from switchyard_profile.binning import MOST_NAME, PREDICTION
from switchyard_profile.errors import TableError
from switchyard_profile.reference import DAY_SECONDS, MOST_FEATURES, Reference
from switchyard_profile.training import Options, reference
from switchyard_profile.values import Type

from switchyard_monitor.domain import identity
from switchyard_monitor.domain.drift import LEARNING_DAYS, LEARNING_ROWS, NoBaseline, waits_for
from switchyard_monitor.domain.profiling import Path, unwrapped
from switchyard_monitor.domain.rules import follow, steps

DAY_US = DAY_SECONDS * 1_000_000
MOST_A_DAY = 2_000
"""Rows of one revision and day that are kept; seven such days are more than the rows it takes."""
NEARLY = 0.99
"""A feature whose values are of one type in fewer rows is left out."""
SELDOM = 0.01
"""And one that fewer rows have: where names are somebody's, there is one a row."""
MOST_TEXT = 256
"""A longer string is not kept, and a feature with such is left out."""
MOST_NAMES = 4_096
"""So many features are looked at, those that are met first; of them the most frequent ones become the reference."""
TOO_LONG: list[Any] = []


class Example(NamedTuple):
    """One X and its Y."""

    subject: str
    revision: str
    day_us: int
    rank: int
    """A place by lot. The first ones stay."""
    key: bytes
    at_us: int
    body: dict[str, Any]
    """Every feature, and Y by the name that it has in profiles."""


@dataclass(frozen=True, slots=True)
class Learnt:
    """A revision's reference, by its name."""

    revision: str
    digest: str
    at_us: int


Cut = tuple[str, int]
"""A revision and a day."""


@dataclass(frozen=True, slots=True)
class Lesson:
    """What a deployment's rows are kept for: the revisions that have no reference yet."""

    paths: Mapping[str, Path] = field(default_factory=dict)
    done: frozenset[str] = frozenset()
    cuts: Mapping[Cut, int] = field(default_factory=dict)
    """Of days that are full, as of a while ago: rows from that rank on would not stay."""

    @classmethod
    def of(cls, monitoring: Monitoring, learnt: Iterable[Learnt], cuts: Mapping[Cut, int]) -> Self:
        """Every revision but those of which one was learnt."""
        paths = {feature.name: steps(feature.path) for feature in monitoring.features}
        return cls(paths, frozenset(one.revision for one in learnt), cuts)

    def example(self, subject: str, revision: str, key: bytes, at_us: int, *, x: Any, y: Any) -> Sequence[Example]:
        """One at most: none where that revision's reference is there, or its day has rows enough."""
        if revision in self.done:
            return ()
        rank, day_us = identity.rank(key), start(at_us, DAY_US)
        if rank > self.cuts.get((revision, day_us), rank):
            return ()
        body = self._features(x)
        if _plain(y):
            body[PREDICTION] = _short(y)
        return (Example(subject, revision, day_us, rank, key, at_us, body),)

    def _features(self, x: Any) -> dict[str, Any]:
        """Those that the resource names; else all that stand in the request, or in the one object that is all of it."""
        if self.paths:
            found = {name: follow(path, x) for name, path in self.paths.items()}
        else:
            inner = unwrapped(x)
            found = inner if isinstance(inner, dict) else {}
        kept = sorted(name for name, value in found.items() if _named(name) and _plain(value))
        return {name: _short(found[name]) for name in kept[:MOST_FEATURES]}


def fitting(learnt: Sequence[Learnt], stable: str) -> str | None:
    """Which reference goes with a revision: its own, else the one that was learnt last."""
    return next(
        (one.digest for one in reversed(learnt) if one.revision == stable), learnt[-1].digest if learnt else None
    )


def full(days: Iterable[int], *, mark_us: int) -> list[int]:
    """Those of a revision's days that are over, but for the first: nobody knows how much of that it served."""
    return [day_us for day_us in sorted(days)[1:] if day_us + DAY_US <= mark_us]


def waiting(rows: Mapping[int, int], *, mark_us: int) -> NoBaseline | None:
    """What more is needed, of how many rows are kept of each day."""
    counts = [rows[day_us] for day_us in full(rows, mark_us=mark_us)]
    # Where no day lacked rows, more days bring more of them.
    many = all(count >= MOST_A_DAY for count in counts)
    return waits_for(days=len(counts), rows=max(LEARNING_ROWS, sum(counts)) if many else sum(counts))


def enough(rows: Mapping[int, int], *, mark_us: int) -> list[int]:
    """The first full days of which a reference can be learnt; none where there are not enough."""
    days = full(rows, mark_us=mark_us)
    for count in range(LEARNING_DAYS, len(days) + 1):
        if waits_for(days=count, rows=sum(rows[day_us] for day_us in days[:count])) is None:
            return days[:count]
    return []


def learn(examples: Iterable[Example]) -> Reference | None:
    """A reference of these rows; None where no feature is of one type."""
    times: list[int] = []
    found: dict[str, _Found] = {PREDICTION: _Found()}
    for place, example in enumerate(examples):
        times.append(example.at_us // 1_000_000)
        for name, value in example.body.items():
            if value is not None and (name in found or len(found) < MOST_NAMES):
                found.setdefault(name, _Found()).add(place, value)
    named = [name for name in found.keys() - {PREDICTION} if len(found[name].places) >= SELDOM * len(times)]
    often = sorted(named, key=lambda name: (-len(found[name].places), name))[: MOST_FEATURES - 1]
    columns = {}
    for name in (*often, PREDICTION):
        values = found.pop(name).of_one_type(len(times))
        if values is not None:
            columns[name] = values
    prediction = PREDICTION if PREDICTION in columns else None
    try:
        return reference(columns, times=times, options=Options(prediction=prediction))
    except TableError:
        return None


@dataclass(slots=True)
class _Found:
    """A feature's values. They are millions, so each takes its place and little more."""

    places: array[int] = field(default_factory=lambda: array("L"))
    values: list[Any] = field(default_factory=list)

    def add(self, place: int, value: Any) -> None:
        self.places.append(place)
        self.values.append(sys.intern(value) if isinstance(value, str) else value)

    def of_one_type(self, rows: int) -> list[Any] | None:
        """The column, without the few values of another type; None where they are not few, or nothing is there."""
        kinds = [_kind(value) for value in self.values]
        counts = Counter(kind for kind in kinds if kind is not None)
        if not counts:
            return None
        ((most, count),) = counts.most_common(1)
        if most is Type.TEXT or count < NEARLY * counts.total():
            return None
        column = [None] * rows
        for place, value, kind in zip(self.places, self.values, kinds, strict=True):
            if kind is most:
                column[place] = value
        return column


def _kind(value: Any) -> Type | None:
    if isinstance(value, list):
        return Type.TEXT
    if isinstance(value, bool):
        return Type.BOOLEAN
    if isinstance(value, str):
        return Type.STRING
    try:
        return Type.NUMBER if math.isfinite(value) else None
    except OverflowError:  # a whole number without end
        return None


def _named(name: str) -> bool:
    """Whether a reference can have a feature of this name; its answer's name is no feature's."""
    return 0 < len(name) <= MOST_NAME and "\0" not in name and name != PREDICTION


def _plain(value: Any) -> bool:
    return value is None or isinstance(value, str | int | float)


def _short(value: Any) -> Any:
    return TOO_LONG if isinstance(value, str) and len(value) > MOST_TEXT else value
