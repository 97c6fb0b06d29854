"""Whose turn it is when a newer model is wanted in the middle of a rollout: `onSpecChange` says.

`Replace` gives it the turn at once. `Queue` lets it wait for the end of the rollout under way; only what the spec asks
for by then is remembered, so of several only the newest has its turn. `Reject` sends it home before it began, and it
stays there until a retry names it, as others that were sent home do.

Going back waits for nobody: a spec that asks for stable, or for a revision that served before, always replaces.
"""

from __future__ import annotations

from dataclasses import dataclass

from switchyard_contracts.conditions import ConditionStatus
from switchyard_contracts.model_deployment import OnSpecChange
from switchyard_contracts.model_route import RouteRole

from switchyard_operator.domain import lineage
from switchyard_operator.domain.lineage import Mark
from switchyard_operator.domain.memory import ENDED
from switchyard_operator.domain.world import Revision, World

QUEUED = "Queued"
NEWER_REFUSED = "RolloutUnderWay"


@dataclass(frozen=True, slots=True)
class Turn:
    """Who is rolled out now, and what becomes of a newer one."""

    target: str
    mark: Mark | None = None
    """On the newer one, before anything else is done."""
    asked: str = ""
    """The newer one, while it has to wait or is refused."""


def whose(world: World) -> Turn:
    """The turn. `world.target` is what the spec asks for."""
    wanted = world.revisions[world.target]
    if refused(wanted):
        return Turn(_last(world) or wanted.name, asked=wanted.name)
    policy, holder = world.spec.on_spec_change, _under_way(world)
    goes_back = wanted.promoted_at is not None and not wanted.sent_home
    if policy is OnSpecChange.REPLACE or not holder or holder == wanted.name or goes_back:
        return Turn(wanted.name)
    if policy is OnSpecChange.QUEUE or wanted.sent_home:
        return Turn(holder, asked=wanted.name)
    text = (
        f"refused, as the rollout of {holder} was under way (spec.onSpecChange is Reject);"
        " retry it by a ModelCommand when that is over"
    )
    mark = lineage.sent_home(wanted.name, now=world.now, reason=NEWER_REFUSED, message=text)
    return Turn(holder, mark=mark)


def refused(revision: Revision) -> bool:
    """Sent home before it began, as another's rollout was under way."""
    return revision.sent_home and revision.because == NEWER_REFUSED


def accepted(world: World) -> tuple[ConditionStatus, str, str] | None:
    """What the condition Accepted says while a newer one waits or stays back: status, reason, message."""
    newer = world.revisions.get(world.asked)
    if newer is None:
        return None
    name = f"{newer.version} ({newer.name})" if newer.version else newer.name
    if newer.sent_home:
        return "False", newer.because or NEWER_REFUSED, f"{name} stays back: {newer.because_message}"
    return "True", QUEUED, f"{name} waits until the rollout of {world.target} is over (spec.onSpecChange is Queue)"


def _last(world: World) -> str:
    """Whose rollout the status speaks of, else what is stable: a refused one changes neither."""
    held = world.status.rollout
    if held and held.revision in world.revisions and not refused(world.revisions[held.revision]):
        return held.revision
    stable = lineage.trace(world.revisions, world.target).stable
    return _under_way(world) or (stable.name if stable else "")


def _under_way(world: World) -> str:
    """The revision of a rollout that has begun and is not over; its status may be lost, its route is not."""
    held = world.status.rollout
    if held and held.phase in ENDED:
        return ""
    entries = world.route.spec.routes if world.route else []
    routed = next((entry.revision for entry in entries if entry.role is RouteRole.CANDIDATE), "")
    name = held.revision if held else routed
    found = world.revisions.get(name)
    if found is None or found.sent_home or lineage.trace(world.revisions, name).settled:
        return ""
    return name
