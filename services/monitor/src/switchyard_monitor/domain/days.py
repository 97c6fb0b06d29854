"""Days: what is summed up by the day of a prediction (UTC), beside the short windows that evidence is made of.

A day is what varies together, so drifts of quality are looked for from day to day; and histograms of scores and tables
of classes are so many numbers that few windows of them are kept. All are judged once, at age L.

Names: `predictions`, and `age.…` as in a window. Of classes `age.c:<said·64 + happened>`, and by groups, for
intervals, `age.{tp,said,came}:<group·64 + class>`. Of scores p, of all that were given one, `est.{n,p}` and
`est.s:<bin>`; where a class is positive, `est.{said,hit}` of those that were said to be it. Of those that are judged
too, y being whether it was so: `cal.{n,y,p,said,hit,right}`, `cal.pq` of p(1−p), `cal.b` of (y−p)², `cal.l` of the
loss in bits, `cal.z` of (y−p)(1−2p) and `cal.zz` of its variance, `cal.{s0,s1}:<bin>` for y of 0 and 1, by tenths of
the scale `cal.g:<tenth>` of y−p and `cal.gq:<tenth>` of p(1−p), and by groups `cal.{n,b,l}:<group>` and
`cal.{f0,f1}:<group·32 + bin÷8>`. Of what was shown `rank.{n,c}:<place>`, how often and how often it was clicked, and
`rank.places` of those that were; and by groups `rank.{lists,clicks,rr,dcg}:<group>`, of how many lists the first place
was shown, how many clicks there were, and Σ 1/place and Σ 1/log₂(place + 1) of these, each in parts. By segments of X
`seg.{all,n,right,e,ee,a}:<feature·64 + part>`, all predictions and those that are judged.
"""

from __future__ import annotations

from functools import lru_cache

from switchyard_monitor.domain.judging import AGE, clipped, comparable, was_right
from switchyard_monitor.domain.rules import CLIP, Rule, Value
from switchyard_monitor.domain.scores import ONE, bin_of, bits, tenth
from switchyard_monitor.domain.segments import places
from switchyard_monitor.domain.sums import Sums, bump

STRIDE = 64
"""More than there are classes, the rest among them."""
LAST_PLACE, MOST_PLACE = 50, 1_000_000
"""Places from this one on are counted as one, and none is further off than so many."""
COARSE, COARSE_BINS = 8, 32
"""Bins that are put together where they are kept by groups, and how many that makes."""


def add_to_day(
    day: Sums,
    rule: Rule,
    said: Value | None,
    happened: Value | None,
    sign: int,
    *,
    score: int | None = None,
    segment: int | None = None,
    fold: int,
) -> None:
    """Add all that one prediction stands for, or take it out (−1); `happened` is what was known of it at age L."""
    add_said(day, rule, said, sign, score=score, segment=segment)
    if said is not None and happened is not None:
        add_judged(day, rule, said, happened, sign, score=score, segment=segment, fold=fold)


def add_said(day: Sums, rule: Rule, said: Value | None, sign: int, *, score: int | None, segment: int | None) -> None:
    """Add what one prediction stands for before anybody knows what happened, or take it out (−1)."""
    day["predictions"] = day.get("predictions", 0) + sign
    if segment is not None and rule.segments is not None:
        for place in places(rule.segments, segment):
            bump(day, f"seg.all:{place}", sign)
    if score is not None and isinstance(said, str):
        _add_estimate(day, rule, said, sign, score=score)


def add_judged(
    day: Sums,
    rule: Rule,
    said: Value,
    happened: Value,
    sign: int,
    *,
    score: int | None,
    segment: int | None,
    fold: int,
) -> None:
    """Add what it stands for beside what was known of it at age L, or take that out (−1)."""
    if segment is not None and rule.segments is not None and comparable(said, happened):
        for place in places(rule.segments, segment):
            _add_segment(day, rule, said, happened, sign, place=place)
    if rule.task == "ranking":
        if isinstance(said, float) and isinstance(happened, float):
            _add_click(day, said, clicked=happened == 1.0, sign=sign, fold=fold)
    elif isinstance(said, float):
        if isinstance(happened, float):
            _add_error(day, rule, said, happened, sign)
    elif isinstance(happened, str):
        _add_class(day, rule, said, happened, sign, fold=fold)
        if score is not None:
            _add_score(day, rule, said, happened, sign, score=score, fold=fold)


def _add_segment(day: Sums, rule: Rule, said: Value, happened: Value, sign: int, *, place: int) -> None:
    bump(day, f"seg.n:{place}", sign)
    if rule.task != "ranking" and isinstance(said, float) and isinstance(happened, float):
        error = clipped(rule.error(said, happened))
        bump(day, f"seg.e:{place}", sign * error)
        bump(day, f"seg.ee:{place}", sign * error * error)
        bump(day, f"seg.a:{place}", sign * abs(error))
    elif was_right(rule, said, happened):
        bump(day, f"seg.right:{place}", sign)


def _add_click(day: Sums, place: float, *, clicked: bool, sign: int, fold: int) -> None:
    """Something that was shown at a place, and whether it was clicked."""
    at, exact = round(min(place, LAST_PLACE)), round(min(place, MOST_PLACE))
    if exact == 1:
        bump(day, f"rank.lists:{fold}", sign)
    bump(day, AGE.n, sign)
    bump(day, f"rank.n:{at}", sign)
    if clicked:
        bump(day, AGE.right, sign)
        bump(day, f"rank.c:{at}", sign)
        bump(day, "rank.places", sign * exact)
        bump(day, f"rank.clicks:{fold}", sign)
        bump(day, f"rank.rr:{fold}", sign * rounded(ONE, exact))
        bump(day, f"rank.dcg:{fold}", sign * discount(exact))


@lru_cache(maxsize=4096)
def discount(place: int) -> int:
    """1/log₂(place + 1) in parts, by whole numbers alone: the same on every machine."""
    return rounded(ONE * ONE, bits(1) - bits(place + 1))


def rounded(part: int, whole: int) -> int:
    """A quotient to the nearest whole number."""
    return (2 * part + whole) // (2 * whole)


def _add_error(day: Sums, rule: Rule, said: float, happened: float, sign: int) -> None:
    error = rule.error(said, happened)
    if not -CLIP <= error <= CLIP:
        bump(day, AGE.clipped, sign)
        error = clipped(error)
    get = day.get
    day[AGE.n] = get(AGE.n, 0) + sign
    day[AGE.e] = get(AGE.e, 0) + sign * error
    day[AGE.ee] = get(AGE.ee, 0) + sign * error * error
    day[AGE.a] = get(AGE.a, 0) + sign * abs(error)


def _add_class(day: Sums, rule: Rule, said: str, happened: str, sign: int, *, fold: int) -> None:
    bump(day, AGE.n, sign)
    if said == happened:
        bump(day, AGE.right, sign)
    if rule.classes is None:
        return
    mine, came, at = rule.place(said), rule.place(happened), fold * STRIDE
    bump(day, f"age.c:{mine * STRIDE + came}", sign)
    bump(day, f"age.said:{at + mine}", sign)
    bump(day, f"age.came:{at + came}", sign)
    if mine == came:
        bump(day, f"age.tp:{at + mine}", sign)


def _add_estimate(day: Sums, rule: Rule, said: str, sign: int, *, score: int) -> None:
    """What a score promises, before anybody knows."""
    bump(day, "est.n", sign)
    bump(day, "est.p", sign * score)
    bump(day, f"est.s:{bin_of(score)}", sign)
    if said == rule.positive:
        bump(day, "est.said", sign)
        bump(day, "est.hit", sign * score)


def _add_score(day: Sums, rule: Rule, said: str, happened: str, sign: int, *, score: int, fold: int) -> None:
    """What it promised, beside what happened."""
    so = happened == (said if rule.positive is None else rule.positive)
    yes = rule.positive is None or said == rule.positive
    miss = ONE - score if so else -score
    steep = ONE - 2 * score
    doubt = score * (ONE - score)
    # Of 0 and 1 as much as of the score next to them: what was sure of all and wrong would have no z at all.
    least = max(doubt, ONE - 1)
    loss = bits(score if so else ONE - score)
    index = bin_of(score)
    bump(day, "cal.n", sign)
    bump(day, "cal.p", sign * score)
    bump(day, "cal.pq", sign * least)
    bump(day, "cal.b", sign * miss * miss)
    bump(day, "cal.l", sign * loss)
    bump(day, "cal.z", sign * miss * steep)
    bump(day, "cal.zz", sign * steep * steep * least)
    if so:
        bump(day, "cal.y", sign)
    if yes == so:
        bump(day, "cal.right", sign)
    if yes and rule.positive is not None:
        bump(day, "cal.said", sign)
        bump(day, "cal.hit", sign * score)
    bump(day, f"cal.{'s1' if so else 's0'}:{index}", sign)
    bump(day, f"cal.g:{tenth(score)}", sign * miss)
    bump(day, f"cal.gq:{tenth(score)}", sign * doubt)
    bump(day, f"cal.n:{fold}", sign)
    bump(day, f"cal.b:{fold}", sign * miss * miss)
    bump(day, f"cal.l:{fold}", sign * loss)
    bump(day, f"cal.{'f1' if so else 'f0'}:{fold * COARSE_BINS + index // COARSE}", sign)
