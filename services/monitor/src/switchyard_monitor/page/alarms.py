"""The alarms of one deployment as people read them: how each rule stands, and what was said, newest first."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from switchyard_contracts.alarm_records import AlarmBook, AlarmEvent, AlarmRecord, AlarmState, Standing
from switchyard_contracts.alarm_records import Look as Judged

from switchyard_monitor.page import units

RECORDS = 30
FEATURES = 5
"""Named of those that an alarm of drift is about."""
KINDS = {
    AlarmEvent.FIRED: "bad",
    AlarmEvent.RECOVERED: "good",
    AlarmEvent.CLOSED: "none",
    AlarmEvent.RETRAIN_REQUESTED: "going",
}
STANDINGS = {
    Standing.BREACH: ("bad", "beyond"),
    Standing.CLEAR: ("good", "within"),
    Standing.BETWEEN: ("waiting", "between"),
    Standing.NO_DATA: ("none", "no data"),
}


@dataclass(frozen=True, slots=True)
class Look:
    """One window that was judged."""

    at: str
    kind: str
    words: str


@dataclass(frozen=True, slots=True)
class Rule:
    """One rule, and how it stands."""

    name: str
    metric: str
    kind: str
    state: str
    limit: str
    value: str
    message: str
    looks: Sequence[Look]


@dataclass(frozen=True, slots=True)
class Entry:
    """One thing that was said."""

    at: str
    iso: str
    kind: str
    event: str
    alarm: str
    version: str
    message: str
    features: Sequence[str]


@dataclass(frozen=True, slots=True)
class Alarms:
    """The section's content."""

    rules: Sequence[Rule]
    entries: Sequence[Entry]
    cut: bool
    """Whether more was said than is shown."""

    @property
    def firing(self) -> int:
        """How many rules fire now."""
        return sum(rule.kind == "bad" for rule in self.rules)


def alarms(held: AlarmBook) -> Alarms:
    """Put the section together."""
    return Alarms(
        rules=[_rule(state) for state in held.alarms],
        entries=[_entry(record) for record in held.records],
        cut=len(held.records) >= RECORDS,
    )


def _rule(state: AlarmState) -> Rule:
    fired = units.short_clock(round(state.fired_at.timestamp() * 1e6)) if state.fired_at else ""
    last = state.looks[-1] if state.looks else None
    unknown = last is not None and last.standing is Standing.NO_DATA
    words = "Nothing judged yet" if last is None else "No data" if unknown else "Quiet"
    return Rule(
        name=state.alarm,
        metric=f"{state.metric} of {state.feature}" if state.feature else state.metric,
        kind="bad" if state.firing else "good" if last and not unknown else "none",
        state=f"Firing since {fired}" if state.firing else words,
        limit=f"{state.limit}, clears at {state.clear}" if state.clear else state.limit,
        value=_value(state.metric, state.value),
        message=units.whole(state.message),
        looks=[
            Look(
                units.short_clock(round(look.start.timestamp() * 1e6)),
                STANDINGS[look.standing][0],
                _words(state.metric, look),
            )
            for look in state.looks
        ],
    )


def _words(metric: str, look: Judged) -> str:
    found = STANDINGS[look.standing][1]
    return found if look.value is None else f"{found}: {_value(metric, look.value)}"


def _entry(record: AlarmRecord) -> Entry:
    named = [
        f"{one.feature} ({one.aspect} {units.number(round(one.effect, 4))}, usual up to"
        f" {units.number(round(one.usual, 4))})"
        for one in record.features[:FEATURES]
    ]
    more = len(record.features) - len(named)
    return Entry(
        at=units.moment(record.at).removesuffix(" UTC"),
        iso=record.at.isoformat(),
        kind=KINDS.get(record.event, "none"),
        event=record.event.value,
        alarm=record.alarm,
        version=record.version or record.revision,
        message=units.whole(record.message),
        features=[*named, f"and {more} more"] if more > 0 else named,
    )


def _value(metric: str, value: float | None) -> str:
    if value is None:
        return units.NOTHING
    if metric.startswith("latency"):
        return units.seconds(value)
    if metric in ("error_rate", "outcome.accuracy", "outcome.coverage", "decision.agreement") or metric[:5] == "data.":
        return units.percent(value)
    return units.number(value)
