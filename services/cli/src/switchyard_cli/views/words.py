"""Words, colours and times that all views share."""

from __future__ import annotations

from datetime import datetime, timedelta

from rich.text import Text
from switchyard_contracts.model_deployment import MetricVerdict, Phase, Role

GOOD, BAD, BUSY, DIM, PLAIN = "green", "red", "yellow", "bright_black", ""

PHASES = {
    Phase.COMPLETED: GOOD,
    Phase.WATCHING: GOOD,
    Phase.ROLLED_BACK: BAD,
    Phase.REFUSED: BAD,
    Phase.ROLLING_BACK: BAD,
    Phase.PAUSED: "magenta",
    Phase.SUSPENDED: "magenta",
}
VERDICTS = {"Pass": GOOD, "Fail": BAD, "Error": BAD, "Inconclusive": BUSY, "NoData": DIM}
SERVING = {"Available": GOOD, "Impaired": BUSY, "Unavailable": BAD}


def phase(value: Phase) -> Text:
    """A phase in its colour; what is under way is yellow."""
    return Text(value.value, style=PHASES.get(value, BUSY))


def verdict(value: str) -> Text:
    """A verdict in its colour."""
    return Text(value or "–", style=VERDICTS.get(value, DIM))


def says(item: MetricVerdict) -> Text:
    """A metric's verdict; one that is only observed has none."""
    return Text("observed", style=DIM) if item.role is Role.OBSERVE else verdict(item.verdict)


def span(value: timedelta) -> str:
    """`48s`, `2m10s`, `3h5m`, `4d2h`: two units at most, as people glance at it."""
    seconds = max(0, round(value.total_seconds()))
    for size, unit, smaller, name in ((86_400, "d", 3_600, "h"), (3_600, "h", 60, "m"), (60, "m", 1, "s")):
        if seconds >= size:
            rest = seconds % size // smaller
            return f"{seconds // size}{unit}{f'{rest}{name}' if rest else ''}"
    return f"{seconds}s"


def ago(moment: datetime | None, *, now: datetime) -> str:
    """`3m ago`, or nothing where the time is not known."""
    return f"{span(now - moment)} ago" if moment else ""


def clock(moment: datetime | None) -> str:
    """A time as logs write it, in UTC."""
    return moment.strftime("%Y-%m-%d %H:%M:%SZ") if moment else "–"
