"""Judging: a Y beside the X′ that came of it, as whole numbers that add up."""

from __future__ import annotations

from typing import NamedTuple

from switchyard_contracts.sticky import FOLDS

from switchyard_monitor.domain.buckets import ERROR_PARTS, bucket
from switchyard_monitor.domain.rules import CLIP, Rule, Value
from switchyard_monitor.domain.sums import Sums, bump


class Names(NamedTuple):
    """The names under which judged predictions are kept."""

    n: str
    right: str
    e: str
    ee: str
    eeee: str
    a: str
    clipped: str
    h: str

    @classmethod
    def of(cls, which: str) -> Names:
        """Those that start with `<which>.`."""
        return cls(*(f"{which}.{name}" for name in cls._fields))


NOW, AGE = Names.of("now"), Names.of("age")
"""By the latest label, and once at age L."""


class FoldNames(NamedTuple):
    """The names under which the same is kept by groups, as far as a jackknife needs it."""

    n: str
    right: str
    e: str
    ee: str
    a: str

    @classmethod
    def of(cls, which: str, fold: int) -> FoldNames:
        """Those of one group."""
        return cls(*(f"{which}.{name}:{fold}" for name in cls._fields))


FOLDED = tuple(FoldNames.of("age", fold) for fold in range(FOLDS))
"""By group, once at age L: what is still amended needs no interval."""


def judge(
    cell: Sums,
    names: Names,
    rule: Rule,
    said: Value,
    happened: Value | None,
    sign: int,
    *,
    group: FoldNames | None = None,
) -> None:
    """Add what one judged prediction stands for, or take it out (−1); nothing happened yet where that is None."""
    get = cell.get
    if rule.task == "ranking" or isinstance(said, str):
        if happened is not None and comparable(said, happened):
            _judge_right(cell, names, sign, right=was_right(rule, said, happened), group=group)
    elif isinstance(happened, float):
        error = rule.error(said, happened)
        size = abs(error)
        if size > CLIP:
            bump(cell, names.clipped, sign)
            error = clipped(error)
            size = CLIP
        square = size * size
        name = f"{names.h}:{bucket(size, ERROR_PARTS)}"
        cell[names.n] = get(names.n, 0) + sign
        cell[names.e] = get(names.e, 0) + sign * error
        cell[names.ee] = get(names.ee, 0) + sign * square
        cell[names.eeee] = get(names.eeee, 0) + sign * square * square
        cell[names.a] = get(names.a, 0) + sign * size
        cell[name] = get(name, 0) + sign
        if group is not None:
            cell[group.n] = get(group.n, 0) + sign
            cell[group.e] = get(group.e, 0) + sign * error
            cell[group.ee] = get(group.ee, 0) + sign * square
            cell[group.a] = get(group.a, 0) + sign * size


def _judge_right(cell: Sums, names: Names, sign: int, *, right: bool, group: FoldNames | None) -> None:
    bump(cell, names.n, sign)
    if group is not None:
        bump(cell, group.n, sign)
    if right:
        bump(cell, names.right, sign)
        if group is not None:
            bump(cell, group.right, sign)


def was_right(rule: Rule, said: Value, happened: Value) -> bool:
    """Of classes, whether it was the one that happened; of what was shown, whether it was clicked."""
    return happened == 1.0 if rule.task == "ranking" else said == happened


def clipped(error: int) -> int:
    """An error as it is kept."""
    return max(-CLIP, min(CLIP, error))


def comparable(one: Value, other: Value) -> bool:
    """Whether two values are of a kind."""
    return isinstance(one, str) == isinstance(other, str)
