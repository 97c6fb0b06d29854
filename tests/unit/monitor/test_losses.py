"""Capped losses, put together from sums and buckets, against the same losses capped one by one."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from switchyard_monitor.domain.buckets import ERROR_PARTS, bucket
from switchyard_monitor.domain.losses import LOSSES, SQUARES, Cap, capped
from switchyard_monitor.domain.rules import UNIT, Rule

RULE = Rule(subject="shop/delay", task="regression", scale=100)
KEPT = {1: LOSSES["outcome.mae"], 2: SQUARES}


def sums(errors: list[float]) -> dict[str, int]:
    """What the join keeps of these errors."""
    whole = [round(abs(error) * UNIT / RULE.scale) for error in errors]
    found = {"age.n": len(whole)}
    for name, power in (("a", 1), ("ee", 2), ("eeee", 4)):
        found[f"age.{name}"] = sum(one**power for one in whole)
    for one in whole:
        name = f"age.h:{bucket(one, ERROR_PARTS)}"
        found[name] = found.get(name, 0) + 1
    return found


small = st.floats(0.01, 40.0)
nonsense = st.floats(60.0, 100_000.0)


@pytest.mark.parametrize("power", [1, 2])
@given(st.lists(small, min_size=1, max_size=60), st.lists(nonsense, max_size=60))
def test_the_sums_are_those_of_losses_capped_one_by_one(power: int, usual: list[float], wild: list[float]) -> None:
    cap = 50.0
    losses = [min(abs(error), cap) ** power for error in [*usual, *wild]]
    n, loss, squares = capped(sums([*usual, *wild]), "age", RULE, cap=Cap(cap), kept=KEPT[power])
    assert n == len(losses)
    assert loss == pytest.approx(sum(losses), rel=0.1)
    assert squares == pytest.approx(sum(loss**2 for loss in losses), rel=0.2)


def test_a_model_that_answers_nonsense_is_not_better_by_it() -> None:
    """Two predictions off by thousands weigh two caps; they do not swallow the other six."""
    usual, wild = [20.0] * 6, [9_000.0, 4_321.0]
    _, loss, squares = capped(sums([*usual, *wild]), "age", RULE, cap=Cap(47.0), kept=SQUARES)
    assert loss == pytest.approx(6 * 400 + 2 * 47.0**2, rel=0.05)
    assert squares == pytest.approx(6 * 400**2 + 2 * 47.0**4, rel=0.1)


def test_nothing_above_the_cap_is_exact() -> None:
    _, loss, _ = capped(sums([3.0, 4.0]), "age", RULE, cap=Cap(50.0), kept=SQUARES)
    assert loss == pytest.approx(25.0, rel=1e-5)
