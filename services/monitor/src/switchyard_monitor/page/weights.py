"""The weight of a rollout's revision over time, with a sign where verdicts changed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from switchyard_contracts.model_deployment import Role
from switchyard_contracts.quantities import FULL
from switchyard_contracts.topics import RolloutRecord

from switchyard_monitor.page import units
from switchyard_monitor.page.charts import FAILURE, Chart, Line, Mark, chart

SHAPES = {"Pass": "circle", "Fail": FAILURE, "Inconclusive": "diamond", "NoData": "ring", "Error": "triangle"}
WORST_FIRST = ("Fail", "Error", "NoData", "Inconclusive", "Pass")
"""As the operator sums verdicts up."""
STILL = 1.4
"""A chart goes on for so many times the span in which something changed: a week's watch would hide an hour's steps."""


@dataclass(frozen=True, slots=True)
class Weights:
    """The chart, and from when on nothing changed, if that is longer than the chart shows."""

    chart: Chart | None
    still: float | None


def weights(
    said: Sequence[tuple[float, RolloutRecord]], *, gaps: Sequence[float], id: str, name: str, end: float
) -> Weights:
    """Draw what was said, at times in seconds; from a gap on another rollout had the traffic."""
    marks: list[Mark] = []
    shown: dict[str, str] = {}
    began = changed = said[0][0]
    weight = said[0][1].weight_bp
    for at, record in said:
        verdicts: dict[str, str] = {
            item.name: item.verdict for item in record.verdicts if item.role is not Role.OBSERVE
        }
        if verdicts and verdicts != shown:
            worst = next(word for word in WORST_FIRST if word in verdicts.values())
            words = ", ".join(f"{metric} {verdict}" for metric, verdict in sorted(verdicts.items()))
            marks.append(Mark(SHAPES[worst], at, record.weight_bp / FULL, words))
            changed = at
        if record.weight_bp != weight:
            changed = at
        shown, weight = verdicts, record.weight_bp
    shortened = began + STILL * (changed - began) + 1.0
    points: list[tuple[float, float | None]] = [(at, record.weight_bp / FULL) for at, record in said]
    points = sorted([*points, *((gap, None) for gap in gaps)], key=lambda point: point[0])
    title = name or "the new revision"
    drawn = chart(
        id,
        f"Weight of {title} over time",
        lines=[Line(title, 1, points)],
        begin=began,
        end=min(shortened, end + max(1.0, 0.02 * (end - began))),
        words=lambda share: units.weight(round((share or 0) * FULL)),
        top=1.0,
        stepped=True,
        marks=marks,
    )
    return Weights(drawn, changed if shortened < end else None)
