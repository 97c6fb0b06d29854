"""The answers about pairs: what both revisions said to the same requests, and which of them was right."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from switchyard_contracts.events import Part
from switchyard_contracts.model_route import RouteRole

from switchyard_monitor.domain.buckets import TIME_PARTS
from switchyard_monitor.domain.entries import Cell, PairCell
from switchyard_monitor.domain.paired import expected, mirror_weights
from switchyard_monitor.domain.pairs import is_primary
from switchyard_monitor.domain.quality import Quality
from switchyard_monitor.domain.rules import Rule
from switchyard_monitor.domain.sums import Sums, histogram


class JudgedPairs(Part):
    """The same predictions of both revisions, held against the same outcomes; in the unit of Y."""

    n: int
    rmse: float | None = None
    mae: float | None = None
    bias: float | None = None
    accuracy: float | None = None
    """Of the mirrored revision; `stable…` is stable's on the same predictions."""
    stable_rmse: float | None = None
    stable_mae: float | None = None
    stable_bias: float | None = None
    stable_accuracy: float | None = None
    loss_difference: float | None = None
    """The mean of d = the mirrored revision's squared error − stable's, or of its wrong answers − stable's."""
    loss_difference_sd: float | None = None
    """How far single pairs lie from it."""
    only_mirrored_right: int = 0
    only_stable_right: int = 0


class PairCount(Part):
    """One mirrored revision beside stable, in one ModelRoute generation."""

    revision: str
    against: str
    traffic: int
    pairs: int
    """Requests that both answered."""
    expected: float
    """Stable's predictions that the mirror should have covered."""
    coverage: float | None = None
    unanswered: int
    """Mirrored requests that the revision did not answer."""
    compared: int
    agreed: int
    agreement: float | None = None
    """The share of the same answers: equal classes, or numbers within the decision's tolerance or threshold."""
    difference: float | None = None
    """The mean of the mirrored Y − stable's, and its root mean square."""
    difference_rms: float | None = None
    latency_pairs: int
    latency_difference: float | None = None
    """The mean of the mirrored latency − stable's, in seconds, and its median; below 0 the mirrored one is faster."""
    latency_difference_p50: float | None = None
    at_age: JudgedPairs
    latest: JudgedPairs


def pair_counts(pair_cells: Sequence[PairCell], cells: Sequence[Cell]) -> list[PairCount]:
    """One line per pair and generation. Pairs of the last moments may still be on their way."""
    beside: dict[int, list[Cell]] = {}
    for cell in cells:
        beside.setdefault(cell.arm.traffic, []).append(cell)
    held: dict[tuple[int, str, str], list[PairCell]] = {}
    for traffic, found in beside.items():  # also those of which no pair was ever seen
        stables = {cell.arm.revision for cell in found if is_primary(cell.arm)}
        shadows = {cell.arm.revision for cell in found if cell.arm.role == RouteRole.SHADOW}
        held |= {(traffic, stable, mirrored): [] for stable in stables for mirrored in shadows}
    for pair_cell in pair_cells:
        pair = pair_cell.pair
        held.setdefault((pair.traffic, pair.stable, pair.mirrored), []).append(pair_cell)
    return [
        _line(stable, mirrored, traffic, pair_cells=same, cells=beside.get(traffic, []))
        for (traffic, stable, mirrored), same in sorted(held.items(), key=lambda item: item[0])
    ]


def _line(
    stable: str, mirrored: str, traffic: int, *, pair_cells: Sequence[PairCell], cells: Sequence[Cell]
) -> PairCount:
    weights = mirror_weights(cells, mirrored=mirrored, generations=[traffic])
    should = expected(cells, stable=stable, mirrored=mirrored, weights=weights)
    parts = [(cell.rule, cell.sums) for cell in pair_cells]
    n, compared, agreed, timed = (_sum(parts, name) for name in ("n", "compared", "agree", "lat.n"))
    numeric = _sum([part for part in parts if part[0].task == "regression"], "compared")
    apart = math.fsum(sums.get("y", 0) * rule.unit for rule, sums in parts)
    squares = math.fsum(sums.get("yy", 0) * rule.unit**2 for rule, sums in parts)
    later = _sum(parts, "lat.d")
    return PairCount(
        revision=mirrored,
        against=stable,
        traffic=traffic,
        pairs=n,
        expected=should.pairs,
        coverage=min(1.0, n / should.pairs) if should.pairs else None,
        unanswered=should.unanswered,
        compared=compared,
        agreed=agreed,
        agreement=agreed / compared if compared else None,
        difference=apart / numeric if numeric else None,
        difference_rms=math.sqrt(squares / numeric) if numeric else None,
        latency_pairs=timed,
        latency_difference=later / timed / 1_000_000 if timed else None,
        latency_difference_p50=_median(parts, timed),
        at_age=_judged(parts, "age"),
        latest=_judged(parts, "now"),
    )


def _median(parts: Iterable[tuple[Rule, Sums]], n: int) -> float | None:
    """The middle latency difference: the faster ones come first, the fastest of all first."""
    if not n:
        return None
    slower = faster = histogram({}, "slower", TIME_PARTS)
    for _, sums in parts:
        slower = slower.plus(histogram(sums, "slower", TIME_PARTS))
        faster = faster.plus(histogram(sums, "faster", TIME_PARTS))
    rank = (n + 1) // 2
    if rank <= faster.n:
        at = faster.ranked(faster.n - rank + 1)
        return None if at is None else -faster.middle(at) / 1_000_000
    at = slower.ranked(rank - faster.n)
    return None if at is None else slower.middle(at) / 1_000_000


def _judged(parts: Sequence[tuple[Rule, Sums]], which: str) -> JudgedPairs:
    its, stables = Quality.of(parts, f"{which}.c"), Quality.of(parts, f"{which}.s")
    both = _sum(parts, f"{which}.x.right")
    if its.numeric:
        total = its.squares - stables.squares
        crossed = math.fsum(sums.get(f"{which}.x.ee", 0) * rule.unit**4 for rule, sums in parts)
        squares = its.fourths + stables.fourths - 2 * crossed
    else:
        total = float(stables.right - its.right)
        squares = float(its.right + stables.right - 2 * both)
    mean = total / its.n if its.n else None
    spread: dict[str, Any] = {}
    if mean is not None:
        spread = {"loss_difference_sd": math.sqrt(max(0.0, squares / its.n - mean**2))}
    return JudgedPairs(
        n=its.n,
        rmse=its.rmse,
        mae=its.mae,
        bias=its.bias,
        accuracy=its.accuracy,
        stable_rmse=stables.rmse,
        stable_mae=stables.mae,
        stable_bias=stables.bias,
        stable_accuracy=stables.accuracy,
        loss_difference=mean,
        only_mirrored_right=its.right - both,
        only_stable_right=stables.right - both,
        **spread,
    )


def _sum(parts: Iterable[tuple[Rule, Mapping[str, int]]], name: str) -> int:
    return sum(sums.get(name, 0) for _, sums in parts)
