"""Whether days have become worse: the table and the chart of it on a deployment's page."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from switchyard_contracts.model_route import RouteRole
from switchyard_contracts.windows import DAY_US

from switchyard_monitor import answers
from switchyard_monitor.change_answers import ByDay
from switchyard_monitor.domain.cusum import LIMIT
from switchyard_monitor.page import units
from switchyard_monitor.page.charts import STYLES, Chart, Line, Span, chart
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
            name = names.get(revision, revision) + (" (mirrored)" if role == RouteRole.SHADOW else "")
            found[name] = change.points[-MOST_DAYS:]
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
