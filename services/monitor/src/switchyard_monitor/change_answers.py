"""What the API says of days: the sums that they hold, and whether they have become worse."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from switchyard_contracts.base import Timestamp
from switchyard_contracts.events import Part

from switchyard_monitor.domain import cusum
from switchyard_monitor.domain.entries import Cell
from switchyard_monitor.domain.rows import moment
from switchyard_monitor.domain.rules import Rule


class Change(Part):
    """Whether quality has changed for good, by the means of days (CUSUM)."""

    days: int
    """Days that are judged and have a mean: 30 judged predictions, and `minCoverage` of all."""
    score: float
    """What has been added up of how far days lie above those before them; of the newest day."""
    limit: float
    """Beyond which that is no chance any more."""
    changed: bool
    since: Timestamp | None = None
    """The first day since the score was last 0."""
    before: float | None = None
    """The mean error, or the share that was wrong, of the days before that, and from then on."""
    after: float | None = None


@dataclass(frozen=True, slots=True)
class ByDay:
    """What is kept by day."""

    totals: Sequence[Cell]
    """Added up, of each arm."""
    each: Sequence[Cell]
    """Day by day, only what CUSUM is made of."""
    watermark_us: int | None
    coverage: float
    """How many of a day's predictions must be judged."""
    rule: Rule | None = None
    """The one that is in force."""

    def of(self, revision: str, role: str) -> ByDay:
        """One revision's."""

        def own(cells: Sequence[Cell]) -> list[Cell]:
            return [cell for cell in cells if (cell.arm.revision, cell.arm.role) == (revision, role)]

        return ByDay(own(self.totals), own(self.each), self.watermark_us, self.coverage, self.rule)

    @property
    def change(self) -> cusum.Change | None:
        """Of one revision; None where too few days are judged."""
        if self.watermark_us is None:
            return None
        days = cusum.days_of(self.each, coverage=self.coverage, watermark_us=self.watermark_us, rule=self.rule)
        return cusum.change(days)


NO_DAYS = ByDay((), (), None, 0.0)


def changed(days: ByDay) -> Change | None:
    """One revision's days in numbers."""
    found = days.change
    if found is None:
        return None
    since = found.since_us
    return Change(
        days=len(found.points),
        score=found.score,
        limit=cusum.LIMIT,
        changed=found.changed,
        since=None if since is None else moment(since),
        before=None if since is None else found.mean(before_us=since),
        after=None if since is None else found.mean(since_us=since),
    )
