"""Who is stable, who wants to be, and who was sent home: read from marks on the ModelRevisions and from nothing else.

So a deployment whose whole status is lost still knows its stable revision (the newest promoted one), and a revision
that was taken back stays back.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from switchyard_contracts.base import GROUP, PROMOTED_AT, ROLLED_BACK_AT

from switchyard_operator.domain.world import Revision

BECAUSE = f"{GROUP}/rolled-back-because"
BECAUSE_MESSAGE = f"{GROUP}/rolled-back-message"
ATTEMPT = f"{GROUP}/attempt"
MARKED_BY = f"{GROUP}/marked-by"
ABORTED, ROLLED_BACK = "Aborted", "RolledBackByCommand"
BY_A_PERSON = frozenset({ABORTED, ROLLED_BACK})
"""Why a revision was sent home, where somebody ordered it."""


@dataclass(frozen=True, slots=True)
class Lineage:
    """The revisions that matter."""

    target: Revision
    stable: Revision | None
    previous: Revision | None
    """Whom to go back to: the newest promoted one before stable."""

    @property
    def settled(self) -> bool:
        """The spec asks for what is stable."""
        return self.stable is not None and self.stable.name == self.target.name


def is_ended_by_a_person(lineage: Lineage, leaving: Revision) -> bool:
    """Whether somebody has ordered the rollout's end: an abort, a rollback to stable, or a spec that asks for stable.

    What was promoted after stable is no rollout any more: going back from it is another matter.
    """
    stable = lineage.stable
    if stable and stable.promoted_at and leaving.promoted_at and leaving.promoted_at > stable.promoted_at:
        return False
    ordered = any(each.sent_home and each.because in BY_A_PERSON for each in (lineage.target, leaving))
    return ordered or lineage.settled


def trace(revisions: Mapping[str, Revision], target: str) -> Lineage:
    """Read the marks."""
    standing = sorted(
        (revision for revision in revisions.values() if revision.promoted_at and not revision.sent_home),
        key=lambda revision: (revision.promoted_at, revision.name),
        reverse=True,
    )
    return Lineage(
        target=revisions[target],
        stable=standing[0] if standing else None,
        previous=standing[1] if len(standing) > 1 else None,
    )


def write_time(moment: datetime) -> str:
    """A mark's time; microseconds, so that two marks of one second keep their order."""
    return moment.isoformat(timespec="microseconds").replace("+00:00", "Z")


@dataclass(frozen=True, slots=True)
class Mark:
    """One change of a revision's annotations; None removes."""

    revision: str
    annotations: Mapping[str, str | None]
    what: str
    """For the log."""


def promoted(revision: str, *, now: datetime) -> Mark:
    """The revision is the model now."""
    return Mark(revision, {PROMOTED_AT: write_time(now), ROLLED_BACK_AT: None, BECAUSE: None}, "promoted")


def sent_home(revision: str, *, now: datetime, reason: str, message: str, by: str = "") -> Mark:
    """The revision is taken back, and stays back."""
    annotations: dict[str, str | None] = {
        ROLLED_BACK_AT: write_time(now),
        BECAUSE: reason,
        BECAUSE_MESSAGE: message[:1024],
        MARKED_BY: by or None,
    }
    return Mark(revision, annotations, f"sent home: {reason}")


def retried(revision: Revision, *, by: str) -> Mark:
    """The revision may try again, as another attempt: from the first step, though it was promoted once."""
    annotations: dict[str, str | None] = {
        PROMOTED_AT: None,
        ROLLED_BACK_AT: None,
        BECAUSE: None,
        BECAUSE_MESSAGE: None,
        MARKED_BY: by,
        ATTEMPT: str(revision.attempt + 1),
    }
    return Mark(revision.name, annotations, "retried")
