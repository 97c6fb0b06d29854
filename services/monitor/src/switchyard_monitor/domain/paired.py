"""Paired evidence: the sums of pairs in blocks of time, put together so that `switchyard_contracts.verdicts` can judge.

A block counts when it is complete: everything up to its end, and up to the age L of its last prediction, has been read
on every partition. How many pairs should be there follows from stable's own predictions: the share of them that is
mirrored is the mirrored revision's stamped weight (the route's `mirrorBp`) over stable's.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import NormalDist

from switchyard_contracts.boundary import few
from switchyard_contracts.evidence import ArmSums, PairBlock, Paired
from switchyard_contracts.model_route import RouteRole

from switchyard_monitor.domain import row_losses
from switchyard_monitor.domain.entries import Cell, PairCell
from switchyard_monitor.domain.losses import LOSSES, Cap, Kept, capped
from switchyard_monitor.domain.pairs import is_primary
from switchyard_monitor.domain.quality import Quality
from switchyard_monitor.domain.row_losses import OWN, RowLoss
from switchyard_monitor.domain.rows import Question, moment
from switchyard_monitor.domain.rules import Rule
from switchyard_monitor.domain.sums import Sums, merged

RECENT_BLOCKS = 7
PAIRED = frozenset({*LOSSES, "outcome.accuracy"})
"""Metrics that can be compared on pairs."""
_Z95 = NormalDist().inv_cdf(0.975)


@dataclass(frozen=True, slots=True)
class Expected:
    """How many pairs there should be."""

    pairs: float = 0.0
    spread: float = 0.0
    """Its variance: drawing a sample is chance, mirroring everything is not."""
    unanswered: int = 0
    """Mirrored requests that got no answer that could be used."""
    copies: int | None = None
    """All mirrored requests that came, where each carries many rows."""


@dataclass(frozen=True, slots=True)
class Timing:
    """When a block is complete."""

    block_us: int
    watermark_us: int | None

    def start(self, at_us: int) -> int:
        """The start of the block that a window lies in."""
        return at_us - at_us % self.block_us

    def complete(self, rule: Rule, at_us: int) -> bool:
        """Whether the block of a window is over, and its last prediction old enough to be judged."""
        overhang = rule.window_us if self.block_us % rule.window_us else 0
        end_us = self.start(at_us) + self.block_us + overhang + rule.judged_after_us
        return self.watermark_us is not None and self.watermark_us >= end_us


def mirror_weights(cells: Iterable[Cell], *, mirrored: str, generations: Iterable[int] = ()) -> dict[int, int]:
    """The mirror's weight in each generation with a mirrored exchange, 0 in those that are only named."""
    weights = dict.fromkeys(generations, 0)
    for cell in cells:
        if _is_shadow(cell, mirrored):
            weights[cell.arm.traffic] = max(weights.get(cell.arm.traffic, 0), cell.arm.weight_bp)
    return weights


def expected(cells: Iterable[Cell], *, stable: str, mirrored: str, weights: Mapping[int, int]) -> Expected:
    """What should be paired in these cells, in the generations with a mirror's weight."""
    held = list(cells)
    shadows = [cell for cell in held if _is_shadow(cell, mirrored)]
    pairs = spread = 0.0
    for cell in held:
        arm = cell.arm
        if arm.revision != stable or not is_primary(arm):
            continue
        if (weight := weights.get(arm.traffic)) is None:
            continue
        # A mirror that was never seen, or has no weight in its stamp, is held to cover everything.
        share = min(1.0, weight / arm.weight_bp) if weight and arm.weight_bp else 1.0
        n = cell.sums.get("predictions", 0)
        pairs += n * share
        # Requests are drawn, not rows: the rows of one are mirrored together, or none of them.
        spread += (cell.sums.get("squares", n) if cell.rule.answers else n) * share * (1.0 - share)
    copies = sum(cell.sums.get("requests", 0) for cell in shadows)
    answered = sum(cell.sums.get("answered" if cell.rule.answers else "predictions", 0) for cell in shadows)
    many = any(cell.rule.answers for cell in shadows)
    return Expected(pairs, spread, max(0, copies - answered), copies if many else None)


def _is_shadow(cell: Cell, revision: str) -> bool:
    return cell.arm.role == RouteRole.SHADOW and cell.arm.revision == revision


def paired(
    question: Question,
    *,
    pair_cells: Sequence[PairCell],
    cells: Sequence[Cell],
    cap: Cap | None,
    watermark_us: int | None,
) -> Paired | None:
    """The pairs of both revisions in the generations asked for; None where nothing was mirrored."""
    mine = [
        cell
        for cell in pair_cells
        if (cell.pair.stable, cell.pair.mirrored) == (question.against, question.revision)
        and cell.pair.traffic in question.traffic
    ]
    asked = [cell for cell in cells if cell.arm.traffic in question.traffic]
    if question.metric == OWN:
        loss = row_losses.newest(asked)
        mine = [cell for cell in mine if cell.rule.loss == loss]
        asked = [cell for cell in asked if cell.rule.loss == loss]
    named = set(question.mirrored) & set(question.traffic)
    weights = mirror_weights(asked, mirrored=question.revision, generations=named)
    if not (mine or weights):
        return None
    longest = max((cell.rule.window_us for cell in asked), default=0)
    timing = Timing(max(1, question.block_us, longest), watermark_us)
    should = expected(
        [cell for cell in asked if timing.complete(cell.rule, cell.start_us)],
        stable=question.against,
        mirrored=question.revision,
        weights=weights,
    )
    ripe = [cell for cell in mine if timing.complete(cell.rule, cell.start_us)]
    kept = LOSSES.get(question.metric)
    evidence = Paired(
        block_seconds=timing.block_us / 1_000_000,
        seen=_sum(ripe, "n"),
        judged=_sum(ripe, f"age.c{kept.suffix if kept else ''}.n"),
        expected=should.pairs,
        spread=should.spread,
        unanswered=should.unanswered,
        copies=should.copies,
        pending=_sum(mine, "n") - _sum(ripe, "n"),
    )
    if cap is None and kept is not None:
        return evidence
    blocks = _blocks(ripe, timing, _measure(kept, cap))
    mean, interval = difference(blocks)
    return evidence.model_copy(
        update={
            "blocks": blocks,
            "value": _value(question.metric, ripe, "age.c"),
            "against_value": _value(question.metric, ripe, "age.s"),
            "difference": mean,
            "lower": interval and interval[0],
            "upper": interval and interval[1],
            "rate_per_second": _rate(blocks, timing),
        }
    )


@dataclass(frozen=True, slots=True)
class _Losses:
    """The losses of some pairs under one rule."""

    candidate: ArmSums
    stable: ArmSums
    difference: float
    squares: float


_Measure = Callable[[Rule, Mapping[str, int]], _Losses]


def _value(metric: str, cells: Sequence[PairCell], which: str) -> float | None:
    parts = [(cell.rule, cell.sums) for cell in cells]
    if metric == OWN:
        return RowLoss.of(parts, which, loss=row_losses.newest(cells)).mean
    value: float | None = getattr(Quality.of(parts, which), metric.partition(".")[2])
    return value


def _measure(kept: Kept | None, cap: Cap | None) -> _Measure:
    if cap is None or kept is None:
        return _wrong
    power = kept.power

    def numbers(rule: Rule, sums: Mapping[str, int]) -> _Losses:
        arms = []
        for which in ("age.c", "age.s"):
            n, loss, squares = capped(sums, which, rule, cap=cap, kept=kept)
            arms.append(ArmSums(n=n, loss=loss, loss_squares=squares))
        first, second = ("a", "ee") if power == 1 else ("ee", "eeee")
        own, unit, get = kept.suffix, kept.unit(rule), sums.get
        difference = get(f"age.c{own}.{first}", 0) - get(f"age.s{own}.{first}", 0)
        crossed = get(f"age.x{own or f'.{first}'}", 0)
        squared = get(f"age.c{own}.{second}", 0) + get(f"age.s{own}.{second}", 0) - 2 * crossed
        return _Losses(arms[0], arms[1], difference * unit**power, squared * unit ** (2 * power))

    return numbers


def _wrong(_: Rule, sums: Mapping[str, int]) -> _Losses:
    n, both = sums.get("age.c.n", 0), sums.get("age.x.right", 0)
    right = [sums.get(f"age.{arm}.right", 0) for arm in ("c", "s")]
    arms = [ArmSums(n=n, failures=n - hits, loss=float(n - hits), loss_squares=float(n - hits)) for hits in right]
    return _Losses(arms[0], arms[1], float(right[1] - right[0]), float(right[0] + right[1] - 2 * both))


def _blocks(cells: Iterable[PairCell], timing: Timing, measure: _Measure) -> list[PairBlock]:
    found: dict[tuple[int, int], dict[Rule, list[Sums]]] = {}
    for cell in cells:
        place = timing.start(cell.start_us), cell.pair.traffic
        found.setdefault(place, {}).setdefault(cell.rule, []).append(cell.sums)
    blocks = []
    for (start_us, traffic), by_rule in sorted(found.items(), key=lambda item: item[0]):
        whole = [(rule, merged(parts)) for rule, parts in by_rule.items()]
        parts = [measure(rule, sums) for rule, sums in whole]
        blocks.append(
            PairBlock(
                start=moment(start_us),
                traffic=traffic,
                pairs=sum(sums.get("n", 0) for _, sums in whole),
                candidate=_added([part.candidate for part in parts]),
                stable=_added([part.stable for part in parts]),
                difference=math.fsum(part.difference for part in parts),
                difference_squares=math.fsum(part.squares for part in parts),
            )
        )
    return blocks


def _added(arms: Sequence[ArmSums]) -> ArmSums:
    return ArmSums(
        n=sum(arm.n for arm in arms),
        failures=sum(arm.failures for arm in arms),
        loss=math.fsum(arm.loss for arm in arms),
        loss_squares=math.fsum(arm.loss_squares for arm in arms),
    )


def difference(blocks: Sequence[PairBlock]) -> tuple[float | None, tuple[float, float] | None]:
    """The mean of d, and about 95 % of such intervals hold the true one, were blocks independent.

    None where there is one block, or one in which nearly all was lost.
    """
    n = sum(block.candidate.n for block in blocks)
    if not n:
        return None, None
    mean = math.fsum(block.difference for block in blocks) / n
    by_block: dict[object, float] = {}
    sizes: dict[object, float] = {}
    for block in blocks:
        rest = block.difference - mean * block.candidate.n
        by_block[block.start] = by_block.get(block.start, 0.0) + rest
        sizes[block.start] = sizes.get(block.start, 0.0) + block.stable.loss
    count, units = len(by_block), _alike(sizes.values())
    if units < 2.0:
        return mean, None
    variance = math.fsum(rest**2 for rest in by_block.values()) * count / (count - 1)
    half = few(_Z95 * math.sqrt(variance), variance=variance, units=units) / n if variance else 0.0
    return mean, (mean - half, mean + half)


def _alike(sizes: Collection[float]) -> float:
    """Of how many blocks of one size the error is known as badly as of these (Satterthwaite).

    Where much is lost the losses differ by much, so that a few stormy days make most of the variance; taken for as many
    as there are, the interval of 14 days of flights held in 89 of 100 cases, and by this in 91.6 % of 1,000.
    """
    squares = math.fsum(size**2 for size in sizes)
    return squares**2 / math.fsum(size**4 for size in sizes) if squares else float(len(sizes))


def _rate(blocks: Sequence[PairBlock], timing: Timing) -> float | None:
    """Judged pairs a second over the last blocks."""
    starts = sorted({block.start for block in blocks})[-RECENT_BLOCKS:]
    if not starts:
        return None
    n = sum(block.candidate.n for block in blocks if block.start >= starts[0])
    seconds = (starts[-1] - starts[0]).total_seconds() + timing.block_us / 1_000_000
    return n / seconds


def _sum(cells: Iterable[PairCell], name: str) -> int:
    return sum(cell.sums.get(name, 0) for cell in cells)
