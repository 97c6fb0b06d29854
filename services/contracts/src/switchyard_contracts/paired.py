"""The paired comparison: stable and the candidate answered the same X, and met the same X′.

Each pair scores D = L_candidate − κ·L_stable, κ = 1 + δ. What is common to both falls out, and no weight matters, since
every pair has both arms. But the pairs of one day fail together: with single pairs as units a candidate at the margin
passed in more than half of the runs. So the units are blocks (`analysis.block`): S = ΣD, and V comes from the blocks'
sums alone, V = B/(B − 1) · (ΣD_b² − S²/B). With so few units V is itself a guess, for which the boundary is widened
(`boundary.few`).

A missing mirrored answer is a failure of the mirrored revision, never a dropped pair: below a coverage of 99 % the
pairs that are left are not all of them, and nothing rests on them. And coverage is a guard: a revision that surely
leaves more than 1 % of its copies without an answer has failed. What the mirror itself let fall (it drops the busy
hours first) makes pairs inconclusive from 1 % on, and is nobody's failure.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from itertools import groupby

from switchyard_contracts.evalues import log_exceeds
from switchyard_contracts.evidence import Paired
from switchyard_contracts.judgement import count, counted, factor, number, percent
from switchyard_contracts.standing import Standing
from switchyard_contracts.unpaired import FIRST_LOOK, Losses

FIRST_BLOCKS = 7
"""Blocks before anyone looks: a week of days."""
LEAST_COVERAGE = 0.99
MOST_OVERFLOW = 0.01


@dataclass(frozen=True, slots=True)
class Block:
    """The judged pairs of one block, or of a part of it (a generation)."""

    start: datetime
    candidate: Losses
    stable: Losses


@dataclass(frozen=True, slots=True)
class Score:
    """What has been added up so far."""

    total: float = 0.0
    """S."""
    squares: float = 0.0
    """ΣD_b²."""
    blocks: int = 0
    pairs: int = 0

    @property
    def variance(self) -> float:
        """V."""
        if self.blocks < 2:
            return 0.0
        return max(0.0, self.squares - self.total**2 / self.blocks) * self.blocks / (self.blocks - 1)

    @property
    def looked(self) -> bool:
        """Whether the first look has come."""
        return self.blocks >= FIRST_BLOCKS and self.pairs >= FIRST_LOOK

    def add(self, parts: Iterable[Block], *, kappa: float) -> Score:
        """Add one block, all of its parts together."""
        held = list(parts)
        pairs = sum(part.candidate.n for part in held)
        if not pairs:
            return self
        total = sum(part.candidate.total - kappa * part.stable.total for part in held)
        return Score(
            total=self.total + total,
            squares=self.squares + total**2,
            blocks=self.blocks + 1,
            pairs=self.pairs + pairs,
        )


def looks(blocks: Iterable[Block], *, kappa: float) -> Iterator[Score]:
    """The score after each block, in order of time."""
    score = Score()
    for _, parts in groupby(sorted(blocks, key=lambda block: block.start), key=lambda block: block.start):
        score = score.add(parts, kappa=kappa)
        yield score


def planned_variance(first: Score, *, samples: int) -> float:
    """V*: the variance to expect at `samples` judged pairs, as the first look sees it."""
    return first.variance * max(1.0, samples / first.pairs)


def standing(score: Score, *, planned: float) -> Standing:
    """Where the score stands; V* was fixed at the first look."""
    return Standing(
        total=score.total,
        variance=score.variance,
        weight=float(score.pairs),
        samples=score.pairs,
        planned=planned,
        units=score.blocks,
    )


def failed(pairs: Paired, *, alpha: float) -> str | None:
    """The sentence when the mirrored revision surely answers too few of its copies; else None.

    Only copies that came to it are asked: what the mirror let fall on the way is no answer of its.
    """
    copies = pairs.seen + pairs.unanswered if pairs.copies is None else pairs.copies
    beyond = log_exceeds(copies, pairs.unanswered, limit=1.0 - LEAST_COVERAGE)
    if beyond < -math.log(alpha):
        return None
    return (
        f"the mirrored revision left {count(pairs.unanswered)} of {counted(copies, 'copy', 'copies')} of stable's"
        f" requests without an answer, at most {percent(1.0 - LEAST_COVERAGE)} may be; the evidence for more is"
        f" {factor(beyond)} to 1, {number(1 / alpha)} were needed"
    )


def overflowed(pairs: Paired) -> tuple[str, str] | None:
    """(reason, sentence) when the mirror let too much fall for the pairs to speak for all; else None."""
    if pairs.expected < FIRST_LOOK or pairs.overflow <= MOST_OVERFLOW:
        return None
    return "MirrorOverflow", (
        f"the mirror let {percent(pairs.overflow)} of {counted(round(pairs.expected), 'request')} fall, and busy hours"
        f" first; at most {percent(MOST_OVERFLOW)} may be missing for pairs to be judged"
    )


def incomplete(pairs: Paired) -> tuple[str, str] | None:
    """(reason, sentence) when the mirrored revision left too many requests without an answer; else None."""
    if pairs.expected < FIRST_LOOK or pairs.coverage >= LEAST_COVERAGE:
        return None
    return "PairsMissing", (
        f"only {percent(pairs.coverage)} of {counted(round(pairs.expected), 'request')} of stable have an answer of the"
        f" mirrored revision beside stable's; at least {percent(LEAST_COVERAGE)} must"
    )
