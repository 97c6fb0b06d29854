"""Rows: both arms of one window of one ModelRoute generation, and what must be known before they are compared.

Only exchanges that the lot assigned (`split`, `sticky`) are compared, only in the roles stable and candidate, and each
generation stays a row of its own. A window is mature when everything up to its end has been read on every partition;
for outcomes, up to its end and the age L at which predictions are judged.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime

from switchyard_contracts.quantities import FULL
from switchyard_contracts.windows import DAY_US

from switchyard_monitor.domain.buckets import ERROR_PARTS, Histogram
from switchyard_monitor.domain.entries import NO_FOLD, Cell
from switchyard_monitor.domain.losses import Cap, Kept, cap_of
from switchyard_monitor.domain.rules import Rule
from switchyard_monitor.domain.sums import Sums, histogram, merged

COMPARED_ASSIGNMENTS = frozenset({"split", "sticky"})
COMPARED_ROLES = frozenset({"stable", "candidate"})
REFERENCE_ERRORS = 200
"""Judged errors of stable before the rollout from which a cap may be taken."""
FIRST_ERRORS = 1000
"""Without those, the cap comes from so many first ones of the stable arm."""


@dataclass(frozen=True, slots=True)
class Question:
    """What is asked: one metric of one revision against another, in some generations."""

    subject: str
    metric: str
    revision: str
    against: str
    traffic: tuple[int, ...]
    margin: float = 0.0
    limit: float | None = None
    """An absolute limit in seconds, for latency."""
    block_us: int = DAY_US
    """What varies together; the units in which pairs are compared."""
    mirrored: tuple[int, ...] = ()
    """Generations in which stable's requests were to be mirrored, also where no mirrored exchange was seen."""

    @property
    def of_exchanges(self) -> bool:
        """Whether it is about requests, and not about the predictions that they make."""
        return self.metric == "error_rate" or self.metric.startswith("latency_")


@dataclass(frozen=True, slots=True)
class Row:
    """Both arms of one window of one generation."""

    start_us: int
    traffic: int
    probability: float
    rule: Rule
    candidate: Sums
    stable: Sums
    folds: Mapping[int, tuple[Sums, Sums]] = field(default_factory=dict)
    """The same by groups of users, where the split was sticky; by groups of requests, where those have many rows."""


def of_lot(cell: Cell) -> bool:
    """Whether a cell may be compared at all."""
    return cell.arm.assignment in COMPARED_ASSIGNMENTS and cell.arm.role in COMPARED_ROLES


def rows_of(question: Question, cells: Iterable[Cell]) -> list[Row]:
    """The rows of the two revisions, in order of time."""
    found: dict[tuple[int, int, Rule], tuple[list[Cell], list[Cell]]] = {}
    for cell in cells:
        arms = found.setdefault((cell.start_us, cell.arm.traffic, cell.rule), ([], []))
        if cell.arm.revision == question.revision:
            arms[0].append(cell)
        elif cell.arm.revision == question.against:
            arms[1].append(cell)
    rows = []
    for (start_us, traffic, rule), (candidate, stable) in found.items():
        if candidate:
            probability = candidate[0].arm.weight_bp / FULL
        elif stable:
            # By whole numbers: the same weight must be the same probability to the last bit, or windows in which nobody
            # drew the candidate would be taken for another split than those in which somebody did.
            probability = (FULL - stable[0].arm.weight_bp) / FULL
        else:
            continue
        rows.append(
            Row(
                start_us,
                traffic,
                probability,
                rule,
                merged(cell.sums for cell in candidate),
                merged(cell.sums for cell in stable),
                {} if question.of_exchanges and _drawn_alone(candidate, stable) else _by_fold(candidate, stable),
            )
        )
    return sorted(rows, key=lambda row: (row.start_us, row.traffic))


def _drawn_alone(candidate: Sequence[Cell], stable: Sequence[Cell]) -> bool:
    """Whether single requests are units: the lot drew each, and only their rows belong together."""
    return all(cell.rule.answers is not None and cell.arm.assignment == "split" for cell in (*candidate, *stable))


def _by_fold(candidate: Sequence[Cell], stable: Sequence[Cell]) -> dict[int, tuple[Sums, Sums]]:
    folds = {cell.arm.fold for cell in (*candidate, *stable)} - {NO_FOLD}
    return {
        fold: (
            merged(cell.sums for cell in candidate if cell.arm.fold == fold),
            merged(cell.sums for cell in stable if cell.arm.fold == fold),
        )
        for fold in sorted(folds)
    }


def mature(row: Row, watermark_us: int | None, waits_for_labels: bool) -> bool:
    """Whether all of a row has been read, its labels too where they are waited for."""
    end_us = row.start_us + row.rule.window_us + (row.rule.judged_after_us if waits_for_labels else 0)
    return watermark_us is not None and watermark_us >= end_us


def loss_cap(rows: Sequence[Row], before: Sequence[Cell], kept: Kept) -> Cap | None:
    """The cap from stable's losses before the rollout, else from its first ones; None while there are too few."""
    name = f"age{kept.suffix}.h"
    earlier = [(kept.unit(cell.rule), histogram(cell.sums, name, ERROR_PARTS)) for cell in before]
    if sum(errors.n for _, errors in earlier) >= REFERENCE_ERRORS:
        return cap_of(earlier)
    seen = 0
    first: list[tuple[float, Histogram]] = []
    for row in rows:
        errors = histogram(row.stable, name, ERROR_PARTS)
        first.append((kept.unit(row.rule), errors))
        seen += errors.n
        if seen >= FIRST_ERRORS:
            return cap_of(first)
    return None


def moment(at_us: int) -> datetime:
    """A time as people and JSON write it."""
    seconds, rest = divmod(at_us, 1_000_000)
    return datetime.fromtimestamp(seconds, UTC).replace(microsecond=rest)
