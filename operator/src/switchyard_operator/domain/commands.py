"""What a person's command does: a mark on a revision, or a word in the rollout's memory. Each is done once.

The effect is written before the command's result, and finding it already done is success: so a crash in between replays
to the same end.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

from switchyard_contracts.model_command import ModelCommandStatus, Verb
from switchyard_contracts.model_deployment import RolloutStatus

from switchyard_operator.domain import approvals, lineage
from switchyard_operator.domain.decision import Bearings
from switchyard_operator.domain.lineage import Mark
from switchyard_operator.domain.memory import ENDED
from switchyard_operator.domain.rules import EVERYTHING
from switchyard_operator.domain.world import Command, World

TOO_OLD = timedelta(hours=1)
"""A restored backup must not replay what was wanted long ago."""
KEPT = timedelta(days=7)
"""A consumed command is deleted after this time."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """The command's result, and the effect that comes before it."""

    status: ModelCommandStatus
    marks: tuple[Mark, ...] = ()
    memory: RolloutStatus | None = None


def consider(command: Command, world: World, known: Bearings) -> Answer:
    """Judge one command."""
    age = world.now - command.created_at
    if age > TOO_OLD:
        return _refuse(world, "TooOld", "the command is older than 1 h; create another if it is still wanted")
    match command.spec.verb:
        case Verb.ABORT:
            return _abort(command, world, known)
        case Verb.PROMOTE:
            return _promote(command, world, known)
        case Verb.PAUSE | Verb.RESUME:
            return _pause(command, world, known)
        case Verb.RETRY:
            return _retry(command, world)
        case Verb.ROLLBACK:
            return _rollback(command, world, known)
        case Verb.APPROVE:
            return _approve(command, world, known)


def _who(command: Command) -> str:
    reason = f": {command.spec.reason}" if command.spec.reason else ""
    return f"{command.spec.requested_by}{reason}"


def _not_live(command: Command, world: World, known: Bearings) -> Answer | None:
    """A command that names another rollout than the one under way, or one that is over."""
    held, line = known.memory, known.lineage
    if command.spec.rollout != held.id:
        text = f"the rollout under way is {held.id}, the command names {command.spec.rollout}"
        return _refuse(world, "Stale", text)
    if line.target.sent_home:
        return _refuse(world, "Over", f"{held.id} was taken back already: {line.target.because_message}")
    if line.settled or held.phase in ENDED:
        text = f"{held.id} is promoted; go back by a rollback command that names the revision to go back to"
        return _refuse(world, "Over", text)
    return None


def _abort(command: Command, world: World, known: Bearings) -> Answer:
    target = known.lineage.target
    if target.sent_home and target.marked_by == command.uid:
        return _accept(world, "Aborted", f"{target.name} is taken back")
    if objection := _not_live(command, world, known):
        return objection
    message = f"aborted by {_who(command)}"
    mark = lineage.sent_home(target.name, now=world.now, reason="Aborted", message=message, by=command.uid)
    return _accept(world, "Aborted", f"{target.name} is taken back", marks=(mark,))


def _promote(command: Command, world: World, known: Bearings) -> Answer:
    held = known.memory
    token = command.spec.step or EVERYTHING
    if command.spec.rollout == held.id and token in held.granted:
        return _accept(world, "Promoted", "granted already")
    if objection := _not_live(command, world, known):
        return objection
    here = known.course.name(known.spot.index)
    if command.spec.step and command.spec.step != here:
        text = f"the rollout is at step {here or '(before the first)'}, the command names {command.spec.step}"
        return _refuse(world, "StepOver", text)
    granted = [*held.granted, token]
    what = f"step {token} waits no longer" if command.spec.step else "no step waits any longer"
    memory = held.model_copy(update={"granted": granted})
    return _accept(world, "Promoted", f"{what}; readiness is still waited for", memory=memory)


def _pause(command: Command, world: World, known: Bearings) -> Answer:
    if objection := _not_live(command, world, known):
        return objection
    held = known.memory
    paused = f"paused by {_who(command)}"[:4096] if command.spec.verb is Verb.PAUSE else ""
    word = "Paused" if paused else "Resumed"
    memory = held.model_copy(update={"paused": paused})
    return _accept(world, word, f"{held.id}: {word.lower()}", memory=memory)


def _approve(command: Command, world: World, known: Bearings) -> Answer:
    if objection := _not_live(command, world, known):
        return objection
    found = approvals.consider(command, world, memory=known.memory, course=known.course)
    if not found.accepted:
        return _refuse(world, found.reason, found.message)
    return _accept(world, found.reason, found.message, memory=found.memory)


def _retry(command: Command, world: World) -> Answer:
    revision = world.revisions.get(command.spec.revision or "")
    if revision is None:
        return _refuse(world, "NotFound", f"there is no revision {command.spec.revision} of {world.name}")
    if revision.marked_by == command.uid and not revision.sent_home:
        return _accept(world, "Retried", f"attempt {revision.attempt} of {revision.name}")
    if not revision.sent_home:
        return _refuse(world, "NotRolledBack", f"{revision.name} was not taken back, so there is nothing to retry")
    mark = lineage.retried(revision, by=command.uid)
    return _accept(world, "Retried", f"attempt {revision.attempt + 1} of {revision.name}", marks=(mark,))


def _rollback(command: Command, world: World, known: Bearings) -> Answer:
    goal = world.revisions.get(command.spec.revision or "")
    line = known.lineage
    if goal is None:
        return _refuse(world, "NotFound", f"there is no revision {command.spec.revision} of {world.name}")
    if goal.promoted_at is None or goal.sent_home:
        return _refuse(world, "NeverPromoted", f"{goal.name} was never promoted, or was taken back; it cannot serve")
    newer = [
        revision
        for revision in world.revisions.values()
        if revision.promoted_at and revision.promoted_at > goal.promoted_at and not revision.sent_home
    ]
    if not line.target.sent_home and line.target.name != goal.name and line.target not in newer:
        newer.append(line.target)
    if not newer:
        if line.stable and line.stable.name == goal.name:
            return _accept(world, "RolledBack", f"{goal.name} is stable")
        return _refuse(world, "NothingToDo", f"{goal.name} is stable already")
    message = f"rolled back to {goal.name} by {_who(command)}"
    marks = tuple(
        lineage.sent_home(revision.name, now=world.now, reason="RolledBackByCommand", message=message, by=command.uid)
        for revision in sorted(newer, key=lambda item: item.name)
    )
    return _accept(world, "RolledBack", f"back to {goal.name}", marks=marks)


def _accept(
    world: World, reason: str, message: str, *, marks: tuple[Mark, ...] = (), memory: RolloutStatus | None = None
) -> Answer:
    status = ModelCommandStatus(result="Accepted", reason=reason, message=message, observed_at=world.now)
    return Answer(status=status, marks=marks, memory=memory)


def _refuse(world: World, reason: str, message: str) -> Answer:
    return Answer(
        status=ModelCommandStatus(result="Refused", reason=reason, message=message[:4096], observed_at=world.now)
    )
