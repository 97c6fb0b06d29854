"""The table of segments on a deployment's page: the parts of X in which a revision is least right."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from switchyard_monitor.page import units
from switchyard_monitor.page.tables import Table, between, who
from switchyard_monitor.segment_answers import RevisionSegments, SegmentQuality

MOST_ROWS = 24
"""Of one revision, those that are worst; the API has them all."""


def table(lines: Sequence[RevisionSegments], names: Mapping[str, str]) -> Table:
    """The worst parts of each revision, those first that differ."""
    classes = any(part.accuracy is not None for line in lines for one in line.features for part in one.parts)
    measure = "Accuracy" if classes else "MAE"
    columns = (
        "Revision",
        "Role",
        "Feature",
        "Part",
        "Predictions",
        "Judged",
        measure,
        f"95{units.GAP}% interval of it",
        *(() if classes else ("RMSE", "Bias")),
        "What that says",
        "Explained by the feature",
    )
    words = units.percent if classes else units.number
    rows = []
    for line in lines:
        parts = [(part, one) for one in line.features for part in one.parts if part.judged]
        worst = sorted(parts, key=lambda found: (not found[0].differs, -_lost(found[0])))
        for part, one in worst[:MOST_ROWS]:
            rows.append(
                (
                    who(line.revision, names),
                    line.role,
                    one.feature,
                    part.part,
                    units.count(part.predictions),
                    units.count(part.judged),
                    words(part.accuracy if classes else part.mae),
                    between(words, part.lower, part.upper),
                    *(() if classes else (units.number(part.rmse), units.number(part.bias))),
                    _says(part),
                    units.percent(one.explained),
                )
            )
    return Table("Quality by parts of X at age L, by revision and role, those that differ first", columns, rows)


def _lost(part: SegmentQuality) -> float:
    return 1 - part.accuracy if part.accuracy is not None else part.mae or 0.0


def _says(part: SegmentQuality) -> str:
    if part.differs is None:
        return "too few days to tell"
    return "differs from the rest" if part.differs else "no more than chance"
