"""Where a rollback may go: the revisions that served, and the one that a person means by a name or a version."""

from __future__ import annotations

from collections.abc import Sequence

from switchyard_cli.errors import NotFound, Unfit
from switchyard_cli.facts import Revision


def standing(known: Sequence[Revision]) -> list[Revision]:
    """Those that were promoted and not taken back, the newest first: the first is stable."""
    found = [item for item in known if item.promoted_at and not item.sent_home]
    return sorted(found, key=lambda item: (item.promoted_at, item.name), reverse=True)


def goal(wanted: str, known: Sequence[Revision], *, name: str) -> Revision:
    """The revision of that name or version; without one, what served before stable."""
    served = standing(known)
    if not wanted:
        if len(served) < 2:
            raise Unfit(
                f"nothing served before {_title(served[0])}, so there is nothing to go back to"
                if served
                else f"no revision of {name} ever served, so there is nothing to go back to"
            )
        return served[1]
    found = next((item for item in known if item.name == wanted), None)
    found = found or next((item for item in served if item.version == wanted), None)
    found = found or next((item for item in known if item.version == wanted), None)
    if found is None:
        raise NotFound(f"there is no revision or version {wanted!r} of {name}; these may serve again: {_list(served)}")
    if found not in served:
        why = "was taken back" if found.sent_home else "was never promoted"
        raise Unfit(f"{_title(found)} {why}, so it cannot be gone back to; these may serve again: {_list(served)}")
    return found


def _title(revision: Revision) -> str:
    return f"{revision.version} ({revision.name})" if revision.version else revision.name


def _list(served: Sequence[Revision]) -> str:
    return ", ".join(map(_title, served)) or "none"
