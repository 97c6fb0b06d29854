"""What the API says of segments: quality by parts of X, and which feature it depends on.

Days vary together, so days are what an interval is made of. Of many parts some lie far off by chance: one is said to
differ where an interval does that holds for all parts at once (Bonferroni).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

from switchyard_contracts.events import Part
from switchyard_contracts.intervals import jackknife_share, jackknife_squares

from switchyard_monitor.domain.entries import Cell, spoken
from switchyard_monitor.domain.rules import Rule
from switchyard_monitor.domain.segments import BASE, Segment
from switchyard_monitor.domain.sums import Sums, merged, only

NAMES = only(*(f"seg.{name}:" for name in ("all", "n", "right", "e", "ee", "a")))
"""The sums that it is made of."""
FIRST_DAYS = 7
LEVEL = 0.95


class SegmentQuality(Part):
    """One part of one feature, judged at age L."""

    part: str
    predictions: int
    judged: int
    coverage: float | None = None
    rmse: float | None = None
    mae: float | None = None
    bias: float | None = None
    accuracy: float | None = None
    lower: float | None = None
    upper: float | None = None
    """Of the MAE or the accuracy, by days; nothing where fewer than seven have any."""
    differs: bool | None = None
    """Whether it lies off what all parts together have, by more than chance among so many parts."""


class FeatureSegments(Part):
    """All parts of one feature."""

    feature: str
    explained: float | None = None
    """How much of what makes one error larger than another (or one answer right and another wrong) the parts explain,
    from 0 to 1, less what parts drawn by lot would."""
    parts: list[SegmentQuality]


class RevisionSegments(Part):
    """One revision in one role."""

    revision: str
    role: str
    features: list[FeatureSegments]


class _Loss(NamedTuple):
    """What judged predictions lost: |e| in the unit of Y, or 1 for each that was wrong."""

    n: int
    total: float
    squares: float

    @property
    def mean(self) -> float:
        return self.total / self.n if self.n else 0.0


def segments(days: Sequence[Cell], rule_in_force: Rule | None = None) -> list[RevisionSegments]:
    """One line for each revision and role whose rule, the one in force or the newest, tells segments apart."""
    by_revision: dict[tuple[str, str], list[Cell]] = {}
    for cell in days:
        by_revision.setdefault((cell.arm.revision, cell.arm.role), []).append(cell)
    found = []
    for (revision, role), held in sorted(by_revision.items()):
        rule = spoken(held, rule_in_force)
        if rule is None:
            continue
        terms = _terms(rule)
        by_day: dict[int, list[Sums]] = {}
        for cell in held:
            if _terms(cell.rule) == terms:
                by_day.setdefault(cell.start_us, []).append(cell.sums)
        each = [merged(parts) for _, parts in sorted(by_day.items())]
        whole = merged(each)
        features = [_feature(rule, place, segment, each, whole) for place, segment in enumerate(rule.segments or ())]
        if any(feature.parts for feature in features):
            found.append(RevisionSegments(revision=revision, role=role, features=features))
    return found


def _terms(rule: Rule) -> tuple[object, ...]:
    return rule.measured, rule.segments, rule.unit


def _feature(rule: Rule, place: int, segment: Segment, days: Sequence[Sums], whole: Sums) -> FeatureSegments:
    digits = [digit for digit in range(BASE) if whole.get(f"seg.all:{BASE * place + digit}")]
    losses = [_loss(rule, whole, BASE * place + digit) for digit in digits]
    every = _Loss(*(math.fsum(column) for column in zip(*losses, strict=True))) if losses else _Loss(0, 0.0, 0.0)  # type: ignore[arg-type]
    parts = [
        _part(rule, segment.words(digit), whole, days, BASE * place + digit, every=every, among=len(digits))
        for digit in digits
    ]
    return FeatureSegments(feature=segment.name, explained=_explained(losses, every), parts=parts)


def _part(
    rule: Rule, words: str, whole: Sums, days: Sequence[Sums], at: int, *, every: _Loss, among: int
) -> SegmentQuality:
    regression = rule.task == "regression"
    asked, unit = whole.get(f"seg.all:{at}", 0), rule.unit
    loss = _loss(rule, whole, at)
    found = SegmentQuality(part=words, predictions=asked, judged=loss.n, coverage=loss.n / asked if asked else None)
    if not loss.n:
        return found
    groups = [(day.n, day.total if regression else day.n - day.total) for day in (_loss(rule, day, at) for day in days)]
    # A few days of storms make most of a mean, and in a fortnight without one they are missing in its error too: the
    # jackknife of the mean itself held in 90 of 100 fortnights, that of its inverse in 92.
    interval = jackknife_squares if regression else jackknife_share
    usual, strict = (interval(groups, level=level, least=FIRST_DAYS) for level in (LEVEL, 1 - (1 - LEVEL) / among))
    middle = every.mean if regression else 1 - every.mean
    measures: dict[str, float] = (
        {
            "mae": loss.mean,
            "rmse": math.sqrt(loss.squares / loss.n),
            "bias": whole.get(f"seg.e:{at}", 0) * unit / loss.n,
        }
        if regression
        else {"accuracy": 1 - loss.mean}
    )
    ends = {} if usual is None else {"lower": usual[0], "upper": usual[1]}
    differs = None if strict is None else not strict[0] <= middle <= strict[1]
    return found.model_copy(update={**measures, **ends, "differs": differs})


def _loss(rule: Rule, sums: Sums, at: int) -> _Loss:
    n = sums.get(f"seg.n:{at}", 0)
    if rule.task == "regression":
        return _Loss(n, sums.get(f"seg.a:{at}", 0) * rule.unit, sums.get(f"seg.ee:{at}", 0) * rule.unit**2)
    wrong = n - sums.get(f"seg.right:{at}", 0)
    return _Loss(n, wrong, wrong)


def _explained(losses: Sequence[_Loss], every: _Loss) -> float | None:
    """ε²: the share of the variance that lies between parts, less what it would be by lot."""
    held = [loss for loss in losses if loss.n]
    n, spread = every.n, every.squares - every.n * every.mean**2
    if len(held) < 2 or n <= len(held) or spread <= 1e-12 * every.squares:
        return None
    between = math.fsum(loss.n * (loss.mean - every.mean) ** 2 for loss in held)
    return max(0.0, 1 - (1 - between / spread) * (n - 1) / (n - len(held)))
