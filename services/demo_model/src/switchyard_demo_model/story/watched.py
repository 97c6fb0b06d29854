"""What Switchyard said of itself in the fourth chapter, beside what the product saw: its figures and tables. Pure."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from switchyard_contracts.alarm_records import AlarmBook, AlarmEvent, AlarmRecord, Look

from switchyard_demo_model.product.ledger import Errors
from switchyard_demo_model.story.expectations import Figure
from switchyard_demo_model.story.summer import DRIFTED, ROWS, WORSE

Rows = list[tuple[str, ...]]


@dataclass(frozen=True, slots=True)
class Finding:
    """One aspect of one feature in one window, as `/drift` says it."""

    feature: str
    side: str
    aspect: str
    effect: float
    usual: float
    drifted: bool
    pages: bool


@dataclass(frozen=True, slots=True)
class Window:
    """One window of `/drift`."""

    start: datetime
    rows: int
    findings: Sequence[Finding]


@dataclass(frozen=True, slots=True)
class Training:
    """One Job that was started to train."""

    name: str
    request: str
    evidence: str
    """What it was told, JSON."""
    ended: str
    """Complete, Failed, or nothing yet."""
    words: str = ""
    """What it said last."""


@dataclass(frozen=True, slots=True)
class Watched:
    """Everything that was read of the chapter at the end."""

    leapt: datetime
    """When the first day of summer began."""
    seconds: int
    """How long a window is."""
    book: AlarmBook
    drift: Sequence[Window]
    trainings: Sequence[Training]
    spring: Errors
    """How far the version was off before the leap, as the product saw it."""
    own: Mapping[datetime, Errors]
    """The same of each window that the alarm on outcomes rests on, by its start."""

    @property
    def length(self) -> timedelta:
        """How long a window is."""
        return timedelta(seconds=self.seconds)

    def before(self) -> list[Window]:
        """Windows of spring with rows enough to be judged."""
        return [one for one in self.drift if one.rows >= ROWS and one.start + self.length <= self.leapt]

    def after(self) -> list[Window]:
        """Windows of summer, up to the one that fired."""
        fired = last_fired(self.book, DRIFTED)
        end = fired.looks[-1].start if fired and fired.looks else datetime.max.replace(tzinfo=self.leapt.tzinfo)
        return [one for one in self.drift if one.rows >= ROWS and self.leapt <= one.start <= end]


def last_fired(book: AlarmBook, alarm: str) -> AlarmRecord | None:
    """The newest record that says it fired."""
    return next((one for one in book.records if one.alarm == alarm and one.event is AlarmEvent.FIRED), None)


def judged(record: AlarmRecord) -> list[Look]:
    """The windows of its evidence that say anything."""
    return [look for look in record.looks if look.value is not None]


def together(errors: Sequence[Errors]) -> Errors:
    """All of them."""
    return Errors(sum(one.count for one in errors), math.fsum(one.squares for one in errors))


def figures(watched: Watched) -> dict[str, Figure]:
    """By name; `fourth.` stands before each."""
    fired = [one for one in watched.book.records if one.event is AlarmEvent.FIRED]
    requests = [one for one in watched.book.records if one.event is AlarmEvent.RETRAIN_REQUESTED]
    found: dict[str, Figure] = {
        "calm": len(watched.before()),
        "driftedBefore": len(_paging(watched.before())),
        "firedBefore": sum(one.at < watched.leapt for one in fired),
        "drifted": len(_paging(watched.after())),
        "requests": len(requests),
        "trainings": len(watched.trainings),
    }
    for alarm in (DRIFTED, WORSE):
        found[f"fired.{alarm}"] = sum(one.alarm == alarm and one.at >= watched.leapt for one in fired)
    late = [one for window in watched.after() for one in window.findings if _is_lateness(one)]
    if late:
        worst = max(late, key=lambda one: one.effect)
        found |= {"lateness.effect": worst.effect, "lateness.usual": worst.usual}
    if watched.spring.rmse is not None:
        found["rmse.spring"] = watched.spring.rmse
    if worse := last_fired(watched.book, WORSE):
        found |= _of_outcomes(watched, worse)
    if requests:
        found |= _of_request(watched, requests[0])
    return {f"fourth.{name}": value for name, value in found.items()}


def _is_lateness(one: Finding) -> bool:
    return (one.feature, one.aspect) == ("departure_delay", "distribution")


def _paging(windows: Sequence[Window]) -> set[str]:
    return {one.feature for window in windows for one in window.findings if one.pages}


def _of_outcomes(watched: Watched, worse: AlarmRecord) -> dict[str, Figure]:
    """What the alarm on outcomes rests on, beside the product's own of the same windows."""
    looks = judged(worse)
    samples = sum(look.samples for look in looks)
    own = together([watched.own[look.start] for look in looks if look.start in watched.own]).rmse
    if not samples or not own:
        return {}
    said = math.sqrt(math.fsum(look.samples * (look.value or 0.0) ** 2 for look in looks) / samples)
    summer = together([errors for start, errors in watched.own.items() if start >= watched.leapt]).rmse
    found: dict[str, Figure] = {"rmse.agreement": abs(said - own) / own}
    return found | ({"rmse.summer": summer} if summer is not None else {})


def _of_request(watched: Watched, request: AlarmRecord) -> dict[str, Figure]:
    """What the request names, and whether whoever trains was told the same."""
    told = watched.trainings[0] if watched.trainings else None
    same = told is not None and AlarmRecord.model_validate_json(told.evidence) == request
    return {
        "request.windows": len(judged(request)),
        "request.features": len({one.feature for one in request.features}),
        "request.told": "the same" if same else "something else",
        "training.ended": told.ended if told else "never began",
    }


def tables(watched: Watched) -> list[tuple[str, tuple[str, ...], Rows]]:
    """For people: what drifted, what fired, and what was asked for."""
    said: Rows = [
        (one.event.value, one.alarm, f"{(one.at - watched.leapt).total_seconds():.0f} s", one.message)
        for one in reversed(watched.book.records)
    ]
    said += [("Job", one.name, one.ended or "not ended", one.words) for one in watched.trainings]
    return [
        (
            "What left the reference of 2.0.0 after the leap",
            ("feature", "side", "what of it", "effect", "usual", "windows", "lasting"),
            _drifted(watched.after()),
        ),
        (
            "What the alarm on outcomes rests on",
            ("window from", "season", "judged", "RMSE", "product's own"),
            [_outcome(watched, look) for look in judged(worse)] if (worse := last_fired(watched.book, WORSE)) else [],
        ),
        (
            "Alarms and requests",
            ("what", "alarm", "after the leap", "in numbers"),
            said,
        ),
    ]


def _drifted(windows: Sequence[Window]) -> Rows:
    found: dict[tuple[str, str, str], list[Finding]] = {}
    for window in windows:
        for one in window.findings:
            if one.drifted:
                found.setdefault((one.feature, one.side, one.aspect), []).append(one)
    return [
        (
            *which,
            f"{max(one.effect for one in ones):.3g}",
            f"{ones[0].usual:.3g}",
            f"{len(ones)} of {len(windows)}",
            "yes" if any(one.pages for one in ones) else "no",
        )
        for which, ones in sorted(found.items(), key=lambda item: -max(one.effect for one in item[1]))
    ]


def _outcome(watched: Watched, look: Look) -> tuple[str, ...]:
    own = watched.own.get(look.start, Errors()).rmse
    return (
        f"{look.start:%H:%M:%S}",
        "summer" if look.start >= watched.leapt else "spring",
        f"{look.samples:,}",
        f"{look.value:.2f} min",
        "–" if own is None else f"{own:.2f} min",
    )
