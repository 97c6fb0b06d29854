"""Row losses: what judged predictions cost by an expression of the user's own, as whole numbers that add up.

It is a function of one prediction and its outcome, so it is added and taken out with everything else an entry stands
for. Names, after `now.loss.` (by the latest label) and `age.loss.` (once, at age L): `n` of those that have a loss,
`a ee clipped h:<bucket>` as of errors, `none` of those whose expression came to no number or to less than nothing;
`age.loss.{n,a}:<fold>` by groups. Of pairs `c.loss` and `s.loss` of those of which both have one, `x.none` of the
others, and `x.loss` = Σ loss_c·loss_s.

Losses of two expressions cannot be added up: what is told is that of the newest rule.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import NamedTuple, Protocol

from switchyard_contracts.intervals import jackknife
from switchyard_contracts.sticky import FOLDS

from switchyard_monitor.domain.buckets import ERROR_PARTS, bucket
from switchyard_monitor.domain.judging import comparable
from switchyard_monitor.domain.rules import CLIP, Rule, Value
from switchyard_monitor.domain.sums import Sums, bump, only

OWN = "outcome.loss"
FIRST_LOSSES = 200
"""Of fewer, too often no large one is among them for their mean to have an interval."""


class Names(NamedTuple):
    """The names under which losses are kept."""

    n: str
    a: str
    ee: str
    clipped: str
    none: str
    h: str

    @classmethod
    def of(cls, which: str) -> Names:
        """Those that start with `<which>.loss.`."""
        return cls(*(f"{which}.loss.{name}" for name in cls._fields))


NOW, AGE = Names.of("now"), Names.of("age")
FOLDED = tuple((f"{AGE.n}:{fold}", f"{AGE.a}:{fold}") for fold in range(FOLDS))
_PAIRED = {which: (Names.of(f"{which}.c"), Names.of(f"{which}.s")) for which in ("now", "age")}
SHOWN = (AGE.n, AGE.a, AGE.clipped, AGE.none)
"""The sums that their mean is made of."""
WHOLE = (*SHOWN, AGE.ee, f"{AGE.h}:", f"{AGE.n}:", f"{AGE.a}:")
"""Those that evidence is made of."""
OF_LOSSES = only(*WHOLE)


def judge(
    cell: Sums,
    names: Names,
    rule: Rule,
    said: Value,
    happened: Value | None,
    sign: int,
    *,
    score: int | None,
    fold: int | None = None,
) -> None:
    """Add what one judged prediction cost, or take it out (−1); nothing where no loss is said."""
    if rule.loss is None or happened is None or not comparable(said, happened):
        return
    cost = rule.cost(said, happened, score=score)
    if cost is None:
        bump(cell, names.none, sign)
        return
    _add(cell, names, cost, sign)
    if fold is not None:
        n, a = FOLDED[fold]
        bump(cell, n, sign)
        bump(cell, a, sign * min(cost, CLIP))


def judge_both(
    cell: Sums,
    which: str,
    rule: Rule,
    happened: Value | None,
    sign: int,
    *,
    mirrored: tuple[Value, int | None],
    stable: tuple[Value, int | None],
) -> None:
    """The same of a pair, each with its score: only where both have a loss are they compared."""
    if rule.loss is None or happened is None or not comparable(stable[0], happened):
        return
    its, stables = (rule.cost(said, happened, score=score) for said, score in (mirrored, stable))
    if its is None or stables is None:
        bump(cell, f"{which}.x.none", sign)
        return
    for names, cost in zip(_PAIRED[which], (its, stables), strict=True):
        _add(cell, names, cost, sign)
    bump(cell, f"{which}.x.loss", sign * min(its, CLIP) * min(stables, CLIP))


def _add(cell: Sums, names: Names, cost: int, sign: int) -> None:
    if cost > CLIP:
        bump(cell, names.clipped, sign)
        cost = CLIP
    bump(cell, names.n, sign)
    bump(cell, names.a, sign * cost)
    bump(cell, names.ee, sign * cost * cost)
    bump(cell, f"{names.h}:{bucket(cost, ERROR_PARTS)}", sign)


class Window(Protocol):
    """Anything with a rule and a start."""

    @property
    def rule(self) -> Rule:
        """By which it was judged."""

    @property
    def start_us(self) -> int:
        """When it began."""


def newest(windows: Iterable[Window]) -> str | None:
    """The expression of the newest window; None where it has none."""
    last = max(windows, key=lambda window: window.start_us, default=None)
    return last.rule.loss if last else None


class Group(NamedTuple):
    """The losses of a group of users, or of ids."""

    n: int = 0
    total: float = 0.0


@dataclass(frozen=True, slots=True)
class RowLoss:
    """Losses of judged predictions, in the unit of their expression."""

    n: int = 0
    total: float = 0.0
    clipped: int = 0
    none: int = 0
    groups: tuple[Group, ...] = ()

    @classmethod
    def of(cls, parts: Iterable[tuple[Rule, Mapping[str, int]]], which: str, *, loss: str | None) -> RowLoss:
        """Put together what was judged by one expression; `which` as in `judging`, or one arm of pairs."""
        names = Names.of(which)
        n = clipped = none = 0
        total = 0.0
        groups = [Group()] * FOLDS
        for rule, sums in parts:
            if loss is None or rule.loss != loss:
                continue
            n, none = n + sums.get(names.n, 0), none + sums.get(names.none, 0)
            total += sums.get(names.a, 0) * rule.loss_unit
            clipped += sums.get(names.clipped, 0)
            if names == AGE:
                groups = [
                    Group(group.n + sums.get(its_n, 0), group.total + sums.get(its_a, 0) * rule.loss_unit)
                    for group, (its_n, its_a) in zip(groups, FOLDED, strict=True)
                ]
        return cls(n, total, clipped, none, tuple(group for group in groups if group.n))

    @property
    def mean(self) -> float | None:
        """The mean loss."""
        return self.total / self.n if self.n else None

    @property
    def interval(self) -> tuple[float, float] | None:
        """Which holds the true mean about 95 % of the time, were groups independent; None where there are too few."""
        if self.n < FIRST_LOSSES or sum(group.n for group in self.groups) != self.n:
            return None
        return jackknife(self.groups)
