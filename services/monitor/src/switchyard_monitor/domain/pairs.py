"""Pairs: stable's Y and a mirrored revision's Y on the same X, and what they add to the sums of pairs.

Like everything an entry adds, it is a pure function of the entry, so order, splits, corrections and late labels need
no cases of their own. A pair lies in the window and generation of stable's Y. Both Ys are judged by the same X′: the
one that had come when stable's reached age L (`age.…`), and the latest (`now.…`).

Names: `n` pairs; `agree` of `compared` gave the same answer; `y yy ya y.clipped` the mirrored Y less stable's, in parts
of the scale; `lat.n lat.d lat.dd` the mirrored latency less stable's in microseconds, `slower:<bucket>` and
`faster:<bucket>` its size; per judgement `c.…` the mirrored revision's and `s.…` stable's sums as in `sums`, and
`x.a x.ee x.right`: Σ|e_c||e_s|, Σe_c²e_s², both right; one's own losses as in `row_losses`. From
these Σd and Σd² follow for any margin, exactly.
"""

from __future__ import annotations

from collections.abc import Sequence

from switchyard_contracts.model_route import RouteRole

from switchyard_monitor.domain import row_losses
from switchyard_monitor.domain.buckets import TIME_PARTS, bucket
from switchyard_monitor.domain.entries import (
    OUTCOME,
    Arm,
    Book,
    Cells,
    Entry,
    Pair,
    Pred,
    cell_of,
    in_time,
    value_of,
)
from switchyard_monitor.domain.judging import Names, clipped, comparable, judge, was_right
from switchyard_monitor.domain.rules import CLIP, Rule, Value
from switchyard_monitor.domain.sums import Sums, bump

OF_LOT = frozenset({"split", "sticky"})
"""Assignments that are compared: the lot drew them."""


def contribute_pairs(entry: Entry, book: Book, cells: Cells, sign: int) -> None:
    """Add the pairs that an entry holds to the cells of pairs, or take them out (−1)."""
    if len(entry.preds) < 2:
        return
    known = [(pred, book.arm(pred.arm)) for pred in entry.preds]
    primary = [held for held in known if is_primary(held[1])]
    if not primary:
        return
    outcomes = [version for version in entry.versions if version.kind == OUTCOME]
    for mirrored, its_arm in known:
        if its_arm.role != RouteRole.SHADOW:
            continue
        stable, arm = _partner(mirrored, primary)
        rule = book.rule(arm.rule)
        number = book.pair_id(Pair(arm.rule, arm.revision, its_arm.revision, arm.traffic))
        cell = cell_of(cells, number, rule.window(stable.at_us))
        bump(cell, "n", sign)
        _latencies(cell, mirrored, stable, sign)
        if mirrored.value is None or stable.value is None or not comparable(mirrored.value, stable.value):
            continue
        _answers(cell, rule, mirrored.value, stable.value, sign)
        if outcomes:
            _judge_both(cell, "now", rule, mirrored.value, stable.value, value_of(outcomes), sign)
            known_then = value_of(in_time(outcomes, stable, rule))
            _judge_both(cell, "age", rule, mirrored.value, stable.value, known_then, sign)
            its, stables = (mirrored.value, mirrored.score), (stable.value, stable.score)
            row_losses.judge_both(cell, "now", rule, value_of(outcomes), sign, mirrored=its, stable=stables)
            row_losses.judge_both(cell, "age", rule, known_then, sign, mirrored=its, stable=stables)


def is_primary(arm: Arm) -> bool:
    """Whether an answer is one of stable's that may be mirrored: the lot drew it."""
    return arm.role == RouteRole.STABLE and arm.assignment in OF_LOT


def _partner(mirrored: Pred, primary: Sequence[tuple[Pred, Arm]]) -> tuple[Pred, Arm]:
    """The Y of stable that a mirrored Y was made from: there is one, but for ids that came again much later."""
    if len(primary) == 1:
        return primary[0]
    return min(primary, key=lambda held: (abs(held[0].at_us - mirrored.at_us), held[0].at_us, held[0].event))


def _latencies(cell: Sums, mirrored: Pred, stable: Pred, sign: int) -> None:
    if mirrored.latency_us is None or stable.latency_us is None:
        return
    difference = mirrored.latency_us - stable.latency_us
    bump(cell, "lat.n", sign)
    bump(cell, "lat.d", sign * difference)
    bump(cell, "lat.dd", sign * difference * difference)
    way = "slower" if difference >= 0 else "faster"
    bump(cell, f"{way}:{bucket(abs(difference), TIME_PARTS)}", sign)


def _answers(cell: Sums, rule: Rule, mirrored: Value, stable: Value, sign: int) -> None:
    bump(cell, "compared", sign)
    if rule.alike(mirrored, stable):
        bump(cell, "agree", sign)
    if isinstance(mirrored, float) and isinstance(stable, float):
        whole = rule.error(mirrored, stable)
        difference = clipped(whole)
        if abs(whole) > CLIP:
            bump(cell, "y.clipped", sign)
        bump(cell, "y", sign * difference)
        bump(cell, "yy", sign * difference * difference)
        bump(cell, "ya", sign * abs(difference))


_NAMES = {which: (Names.of(f"{which}.c"), Names.of(f"{which}.s")) for which in ("now", "age")}


def _judge_both(
    cell: Sums, which: str, rule: Rule, mirrored: Value, stable: Value, happened: Value | None, sign: int
) -> None:
    if happened is None or not comparable(stable, happened):
        return
    its, stables = _NAMES[which]
    judge(cell, its, rule, mirrored, happened, sign)
    judge(cell, stables, rule, stable, happened, sign)
    if rule.task == "ranking" or not isinstance(happened, float):
        if was_right(rule, mirrored, happened) and was_right(rule, stable, happened):
            bump(cell, f"{which}.x.right", sign)
    elif isinstance(mirrored, float) and isinstance(stable, float):
        size = abs(clipped(rule.error(mirrored, happened))) * abs(clipped(rule.error(stable, happened)))
        bump(cell, f"{which}.x.a", sign * size)
        bump(cell, f"{which}.x.ee", sign * size * size)
