"""Usual ways of judging and of showing, to be compared with: they are no part of the product."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

from switchyard_contracts.evidence import ArmSums, WindowSums
from switchyard_contracts.unpaired import FIRST_LOOK

from switchyard_simulation.flights import Floats
from switchyard_simulation.rollout import Course, End
from switchyard_simulation.truth import KAPPA

Z95 = 1.6448536269514722
"""One-sided."""


def usual_bound(windows: Sequence[WindowSums]) -> Course:
    """A 95 % bound of the difference of two means, as for one look, looked at after every window."""
    for at, (mine, other) in enumerate(_growing(windows), start=1):
        if min(mine.n, other.n) < FIRST_LOOK:
            continue
        gap = mine.loss / mine.n - KAPPA * other.loss / other.n
        error = math.sqrt(_spread(mine) / mine.n + KAPPA**2 * _spread(other) / other.n)
        if abs(gap) > Z95 * error:
            return Course(End.PROMOTED if gap < 0 else End.ROLLED_BACK, mine.n, float(at), "usual bound")
    return Course(End.OPEN)


def pooled(windows: Sequence[WindowSums], *, each: int) -> list[WindowSums]:
    """Windows poured together, so many at a time, as if the weight had been what it was on average."""
    found = []
    for at in range(0, len(windows), each):
        held = windows[at : at + each]
        mine, other = _added([one.candidate for one in held]), _added([one.stable for one in held])
        share = mine.n / (mine.n + other.n) if mine.n + other.n else 0.0
        found.append(
            WindowSums(start=held[0].start, traffic=held[0].traffic, probability=share, candidate=mine, stable=other)
        )
    return found


def normal_rmse(errors: Floats) -> tuple[float, float]:
    """The 95 % interval of an RMSE as for a mean of many squares."""
    squares = errors**2
    half = 1.96 * float(squares.std(ddof=1)) / math.sqrt(len(squares))
    mean = float(squares.mean())
    return math.sqrt(max(0.0, mean - half)), math.sqrt(mean + half)


def _growing(windows: Sequence[WindowSums]) -> Iterator[tuple[ArmSums, ArmSums]]:
    mine, other = ArmSums(), ArmSums()
    for window in windows:
        mine, other = _added([mine, window.candidate]), _added([other, window.stable])
        yield mine, other


def _added(arms: Sequence[ArmSums]) -> ArmSums:
    return ArmSums(
        n=sum(arm.n for arm in arms),
        predictions=sum(arm.predictions for arm in arms),
        failures=sum(arm.failures for arm in arms),
        loss=sum(arm.loss for arm in arms),
        loss_squares=sum(arm.loss_squares for arm in arms),
    )


def _spread(arm: ArmSums) -> float:
    return max(0.0, arm.loss_squares / arm.n - (arm.loss / arm.n) ** 2)
