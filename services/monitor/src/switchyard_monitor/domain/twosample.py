"""Two samples: whether counts of a window differ from those of the reference by more than independent rows would."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy.special import betainc, chdtrc

LEAST = 5.0
"""Groups of which fewer rows are expected are merged: below it X² is no χ²."""


def pooled(reference: Sequence[int], current: Sequence[int], *, neighbours: bool) -> tuple[list[int], list[int]]:
    """The same counts with groups merged until at least five rows of each are expected in the window.

    What is expected rests on the reference alone, so the window does not choose its own groups. Of numbers a small
    group goes to its smaller neighbour, of names to the smallest group: a name that was never seen is then among the
    rare ones, where it weighs most.
    """
    held, found = list(reference), list(current)
    per_row = sum(found) / sum(held)
    while len(held) > 1:
        at = held.index(min(held))
        if held[at] * min(per_row, 1.0) >= LEAST:
            break
        beside = (at - 1, at + 1) if neighbours else range(len(held))
        others = [other for other in beside if other != at and 0 <= other < len(held)]
        to = min(others, key=held.__getitem__)
        held[to] += held[at]
        found[to] += found[at]
        del held[at], found[at]
    return held, found


def pearson(reference: Sequence[int], current: Sequence[int]) -> tuple[float, int]:
    """Pearson's X² of two lists of counts, and its degrees of freedom; (0, 0) where there is nothing to compare."""
    held, found = np.array(reference, dtype=np.float64), np.array(current, dtype=np.float64)
    rows, window = held.sum(), found.sum()
    there = held + found > 0
    if rows == 0 or window == 0 or there.sum() < 2:
        return 0.0, 0
    weight = np.sqrt(window / rows)
    differences = (held[there] * weight - found[there] / weight) ** 2
    return float(np.sum(differences / (held + found)[there])), int(there.sum()) - 1


def chance_of(x2: float, df: int) -> float:
    """How likely independent rows are to give such an X² or a larger one."""
    return float(chdtrc(df, x2))


def chance_of_more(held: int, rows: int, found: int, window: int, *, inflation: float) -> float:
    """How likely a window of `window` rows is to have `found` of something, or more, where `held` of `rows` had it.

    Exact where it is rare, however few there are: given how many there were in all, each was in the window by the
    same chance. Where it is not rare this asks for more than it needs to. With an inflation of φ, φ of them count as
    one, for they came together.
    """
    if not found:
        return 1.0
    return float(betainc(found / inflation, held / inflation + 1.0, window / (rows + window)))
