"""Words, colours and times that all views share."""

from __future__ import annotations

from datetime import datetime

from rich.text import Text
from switchyard_contracts.model_deployment import MetricVerdict, Phase, Role, ShadowState, ShadowStatus
from switchyard_contracts.spans import span

GOOD, BAD, BUSY, DIM = "green", "red", "yellow", "bright_black"
PERSON = "magenta"
"""What a person said, or is waited for to say."""

PHASES = {
    Phase.COMPLETED: GOOD,
    Phase.WATCHING: GOOD,
    Phase.ROLLED_BACK: BAD,
    Phase.REFUSED: BAD,
    Phase.ROLLING_BACK: BAD,
    Phase.PAUSED: PERSON,
    Phase.SUSPENDED: PERSON,
}
VERDICTS = {"Pass": GOOD, "Fail": BAD, "Error": BAD, "Inconclusive": BUSY, "NoData": DIM}
GATES = {"Passed": GOOD, "Failed": BAD, "Error": BAD, "Waiting": BUSY}
SHADOWS = {ShadowState.REFUSED: BAD, ShadowState.NOT_READY: BAD, ShadowState.ASIDE: DIM}
SERVING = {"Available": GOOD, "Impaired": BUSY, "Unavailable": BAD}


def phase(value: Phase) -> Text:
    """A phase in its colour; what is under way is yellow."""
    return Text(value.value, style=PHASES.get(value, BUSY))


def verdict(value: str) -> Text:
    """A verdict in its colour."""
    return Text(value or "–", style=VERDICTS.get(value, DIM))


def gate(state: str) -> Text:
    """How a gate stands, in its colour."""
    return Text(state, style=GATES.get(state, DIM))


def shadow(item: ShadowStatus) -> Text:
    """How a shadow stands: what its pairs say, or why they say nothing."""
    if item.state is ShadowState.COMPARING:
        return verdict(item.verdict) if item.verdict else Text("compared", style=DIM)
    return Text(item.state.value, style=SHADOWS.get(item.state, BUSY))


def says(item: MetricVerdict) -> Text:
    """A metric's verdict; one that is only observed has none."""
    return Text("observed", style=DIM) if item.role is Role.OBSERVE else verdict(item.verdict)


def ago(moment: datetime | None, *, now: datetime) -> str:
    """`3m ago`, or nothing where the time is not known."""
    return f"{span(now - moment)} ago" if moment else ""


def clock(moment: datetime | None) -> str:
    """A time as logs write it, in UTC."""
    return moment.strftime("%Y-%m-%d %H:%M:%SZ") if moment else "–"
