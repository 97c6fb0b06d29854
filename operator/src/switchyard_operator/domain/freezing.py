"""Whether a moment is frozen, and until when: freezes that touch or overlap are one.

Wall-clock times become moments by their zone. Where clocks are put forward or back, and a time comes not at all or
twice, a freeze is as long as it can be read to be.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta

from switchyard_contracts.freezes import DAYS, Freeze
from switchyard_contracts.model_deployment import RolloutStatus

from switchyard_operator.domain.world import Revision, World

DAY = timedelta(days=1)
FARTHEST = timedelta(days=60)
"""Whoever freezes every hour of every day is frozen until further notice; nobody looks farther ahead than this."""


@dataclass(frozen=True, slots=True)
class Frozen:
    """A freeze that holds now."""

    until: datetime
    reason: str = ""

    @property
    def words(self) -> str:
        """For people."""
        because = f": {self.reason}" if self.reason else ""
        return (
            f"frozen until {self.until.astimezone(UTC).isoformat(timespec='minutes').replace('+00:00', 'Z')}{because}"
        )


def holding(world: World, held: RolloutStatus, target: Revision) -> Frozen | None:
    """The freeze that holds this rollout. Whoever served before comes back all the same, and a person may override."""
    if target.promoted_at or target.sent_home or held.overridden:
        return None
    return frozen((*world.spec.freeze, *world.freezes), world.now)


def frozen(freezes: Iterable[Freeze], now: datetime) -> Frozen | None:
    """The freeze that holds at this moment, with whatever follows on it without a gap."""
    found = list(freezes)
    reasons = [freeze.reason for freeze in found if freeze.reason and _end(freeze, now)]
    until = now
    while until - now < FARTHEST and (ends := [end for freeze in found if (end := _end(freeze, until))]):
        until = max(ends)
    if until == now:
        return None
    return Frozen(until, "; ".join(dict.fromkeys(reasons)))


def _end(freeze: Freeze, moment: datetime) -> datetime | None:
    """When the freeze ends in which this moment lies; None where it lies in none."""
    return max((end for begin, end in _spans(freeze, moment) if begin <= moment < end), default=None)


def _spans(freeze: Freeze, moment: datetime) -> Iterator[tuple[datetime, datetime]]:
    """Those of its times that could hold the moment."""
    if freeze.dated:
        yield _moment(freeze, freeze.from_, end=False), _moment(freeze, freeze.to, end=True)
        return
    today = moment.astimezone(freeze.zone).date()
    over_night = time.fromisoformat(freeze.to) <= time.fromisoformat(freeze.from_)
    for day in (today - DAY, today):
        if not freeze.days or DAYS[day.weekday()] in freeze.days:
            last = day + DAY if over_night else day
            yield _on(freeze, day, freeze.from_, end=False), _on(freeze, last, freeze.to, end=True)


def _on(freeze: Freeze, day: date, clock: str, *, end: bool) -> datetime:
    return _moment(freeze, f"{day.isoformat()}T{clock}", end=end)


def _moment(freeze: Freeze, text: str, *, end: bool) -> datetime:
    local = datetime.fromisoformat(text).replace(tzinfo=freeze.zone)
    readings = [local.replace(fold=fold).astimezone(UTC) for fold in (0, 1)]
    return max(readings) if end else min(readings)
