"""Days: quality and coverage of each, and whether they have become worse, on a deployment's page."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from switchyard_contracts.model_route import RouteRole
from switchyard_contracts.windows import DAY_US

from switchyard_monitor import answers
from switchyard_monitor.change_answers import ByDay
from switchyard_monitor.domain.cusum import LIMIT
from switchyard_monitor.domain.entries import Cell
from switchyard_monitor.page import units
from switchyard_monitor.page.charts import STYLES, Chart, Format, Line, Span, chart
from switchyard_monitor.page.tables import Table, who

MOST_DAYS = 120
"""Of a line, the newest."""


def table(lines: Sequence[answers.RevisionQuality], names: Mapping[str, str]) -> Table:
    """A row for each revision that has had days enough."""
    columns = (
        "Revision",
        "Role",
        "Days judged",
        "Added up (CUSUM)",
        "Of at most",
        "Since",
        "Mean before",
        "Mean since",
        "What that says",
    )
    rows = []
    for line in lines:
        found = line.change
        if found is None:
            continue
        words = units.percent if line.at_age.accuracy is not None else units.number
        rows.append(
            (
                who(line.revision, names),
                line.role,
                units.count(found.days),
                units.number(found.score),
                units.number(found.limit),
                f"{found.since:%Y-%m-%d}" if found.since else "",
                words(found.before) if found.since else "",
                words(found.after) if found.since else "",
                "worse than it was" if found.changed else "no more than chance",
            )
        )
    return Table("Whether days have become worse, by mean error or the share that was wrong", columns, rows)


def picture(days: ByDay, names: Mapping[str, str]) -> Chart | None:
    """What has been added up, day by day; what is usual lies below the band's edge."""
    found = {}
    for revision, role in sorted({(cell.arm.revision, cell.arm.role) for cell in days.each}):
        if change := days.of(revision, role).change:
            found[_name(revision, role, names)] = change.points[-MOST_DAYS:]
    newest = sorted(found, key=lambda name: (-found[name][-1].day.start_us, name))[:STYLES]
    if not newest:
        return None
    starts = [point.day.start_us for name in newest for point in found[name]]
    begin, end = min(starts) / 1e6, (max(starts) + DAY_US) / 1e6
    return chart(
        "changes",
        "CUSUM of the days that are judged; above the band it is no chance",
        lines=[
            Line(name, style, [((point.day.start_us + DAY_US / 2) / 1e6, point.score) for point in found[name]])
            for style, name in enumerate(sorted(newest))
        ],
        begin=begin,
        end=end,
        words=units.number,
        top=max(LIMIT, *(point.score for name in newest for point in found[name])),
        usual=[Span(begin, end, LIMIT)],
    )


def by_day(days: ByDay, names: Mapping[str, str], *, task: str) -> list[Chart]:
    """How right each day's predictions were, and how many of them are judged; none before a day is old enough."""
    found: dict[str, dict[int, list[Cell]]] = {}
    for cell in days.each:
        if days.watermark_us is not None and cell.start_us + DAY_US + cell.rule.judged_after_us <= days.watermark_us:
            found.setdefault(_name(cell.arm.revision, cell.arm.role, names), {}).setdefault(cell.start_us, []).append(
                cell
            )
    if not found:
        return []
    newest = sorted(found, key=lambda name: (-max(found[name]), name))[:STYLES]
    last_us = max(max(found[name]) for name in newest)
    begin_us = max(min(min(found[name]) for name in newest), last_us - (MOST_DAYS - 1) * DAY_US)

    def drawn(
        id: str, title: str, value: Callable[[Sequence[Cell]], float | None], words: Format, *, top: float | None = None
    ) -> Chart | None:
        lines = []
        for style, name in enumerate(sorted(newest)):
            starts = range(begin_us, last_us + DAY_US, DAY_US)
            points = [((at + DAY_US / 2) / 1e6, value(found[name][at]) if at in found[name] else None) for at in starts]
            lines.append(Line(name, style, points))
        return chart(
            id,
            title,
            lines=lines,
            begin=begin_us / 1e6,
            end=(last_us + DAY_US) / 1e6,
            words=words,
            top=top,
            lag=DAY_US / 2e6,
            time="Day (UTC)",
        )

    coverage = "Coverage by day: predictions with an outcome at age L"
    drawings = [
        drawn("days-error", "Mean error (MAE) by day, in the unit of the prediction", _mean_error, units.number)
        if task == "regression"
        else drawn("days-accuracy", _titles(task), _accuracy, units.percent, top=1.0),
        drawn("days-coverage", coverage, _coverage, units.percent, top=1.0),
    ]
    return [one for one in drawings if one is not None]


def _titles(task: str) -> str:
    return "Share clicked by day" if task == "ranking" else "Accuracy by day, judged at age L"


def _name(revision: str, role: str, names: Mapping[str, str]) -> str:
    return names.get(revision, revision) + (" (mirrored)" if role == RouteRole.SHADOW else "")


def _judged(cells: Sequence[Cell]) -> int:
    return sum(cell.sums.get("age.n", 0) for cell in cells)


def _accuracy(cells: Sequence[Cell]) -> float | None:
    n = _judged(cells)
    return sum(cell.sums.get("age.right", 0) for cell in cells) / n if n else None


def _mean_error(cells: Sequence[Cell]) -> float | None:
    n = _judged(cells)
    return sum(cell.sums.get("age.a", 0) * cell.rule.unit for cell in cells) / n if n else None


def _coverage(cells: Sequence[Cell]) -> float | None:
    asked = sum(cell.sums.get("predictions", 0) for cell in cells)
    return _judged(cells) / asked if asked else None
