"""What a person's command does: a mark on a revision, or a word in the rollout's memory. Each is done once.

The effect is written before the command's result, and finding it already done is success: so a crash in between replays
to the same end.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from switchyard_contracts.model_command import ModelCommandStatus, Verb
from switchyard_contracts.model_deployment import Obeyed, RolloutStatus

from switchyard_operator.domain import approvals, freezing, lineage
from switchyard_operator.domain.bearings import Bearings
from switchyard_operator.domain.lineage import Mark
from switchyard_operator.domain.memory import ENDED
from switchyard_operator.domain.rules import EVERYTHING
from switchyard_operator.domain.world import Command, World

TOO_OLD = timedelta(hours=1)
"""A restored backup must not replay what was wanted long ago."""
KEPT = timedelta(days=7)
"""A consumed command is deleted after this time, or with its deployment."""
NO_DEPLOYMENT = "NoDeployment"
"""The reason of a command that nobody can carry out."""
MOST_OBEYED = 20
"""How many commands a rollout remembers."""


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
            return _retry(command, world, known)
        case Verb.ROLLBACK:
            return _rollback(command, world, known)
        case Verb.APPROVE:
            return _approve(command, world, known)


def unaddressed(namespace: str, name: str, *, now: datetime) -> ModelCommandStatus:
    """What a command is told whose deployment is not there."""
    message = f"there is no ModelDeployment {name!r} in namespace {namespace!r}; name another in spec.deployment"
    return ModelCommandStatus(result="Refused", reason=NO_DEPLOYMENT, message=message, observed_at=now)


def _who(command: Command) -> str:
    reason = f": {command.spec.reason}" if command.spec.reason else ""
    return f"{command.spec.requested_by}{reason}"


def _obeyed(command: Command, held: RolloutStatus) -> bool:
    return any(item.uid == command.uid for item in held.commands)


def _noted(command: Command, held: RolloutStatus, world: World, **changes: object) -> RolloutStatus:
    """The rollout's memory with this command in it."""
    spec = command.spec
    word = Obeyed(
        uid=command.uid,
        verb=spec.verb.value,
        by=spec.requested_by,
        reason=spec.reason,
        step=spec.step or "",
        gate=spec.gate or "",
        override=bool(spec.override),
        at=world.now,
    )
    return held.model_copy(update={"commands": [*held.commands, word][-MOST_OBEYED:], **changes})


def _told(command: Command, held: RolloutStatus, world: World) -> RolloutStatus | None:
    """The memory of a command whose effect is a mark; None where it is noted already, or the status is of another."""
    here = world.status.rollout
    return None if here is None or here.id != held.id or _obeyed(command, held) else _noted(command, held, world)


def _stale(command: Command, world: World, known: Bearings) -> Answer | None:
    """A command that names another rollout than the one under way, or the last one."""
    if command.spec.rollout == known.memory.id:
        return None
    text = f"the rollout under way is {known.memory.id}, the command names {command.spec.rollout}"
    return _refuse(world, "Stale", text)


def _not_live(command: Command, world: World, known: Bearings) -> Answer | None:
    """A command that names another rollout than the one under way, or one that is over."""
    held, line = known.memory, known.lineage
    if objection := _stale(command, world, known):
        return objection
    if line.target.sent_home:
        return _refuse(world, "Over", f"{held.id} was taken back already: {line.target.because_message}")
    if line.settled or held.phase in ENDED:
        text = f"{held.id} is promoted; go back by a rollback command that names the revision to go back to"
        return _refuse(world, "Over", text)
    return None


def _abort(command: Command, world: World, known: Bearings) -> Answer:
    target, held = known.lineage.target, known.memory
    done = f"{target.name} is taken back"
    if target.sent_home and target.marked_by == command.uid:
        return _accept(world, "Aborted", done, memory=_told(command, held, world))
    if objection := _not_live(command, world, known):
        return objection
    message = f"aborted by {_who(command)}"
    mark = lineage.sent_home(target.name, now=world.now, reason=lineage.ABORTED, message=message, by=command.uid)
    return _accept(world, "Aborted", done, marks=(mark,), memory=_told(command, held, world))


def _promote(command: Command, world: World, known: Bearings) -> Answer:
    held = known.memory
    token = command.spec.step or EVERYTHING
    mine = command.spec.rollout == held.id and token in held.granted
    if mine and (_obeyed(command, held) or not command.spec.override or held.overridden):
        return _accept(world, "Promoted", "granted already")
    if objection := _not_live(command, world, known):
        return objection
    if command.spec.override and command.spec.step:
        return _refuse(world, "Unfit", "override is for a promote of every step; leave step out, or override")
    if command.spec.override and not command.spec.reason:
        return _refuse(world, "ReasonMissing", "an override needs a reason, which is recorded; give one in spec.reason")
    here = known.course.name(known.spot.index)
    if command.spec.step and command.spec.step != here:
        text = f"the rollout is at step {here or '(before the first)'}, the command names {command.spec.step}"
        return _refuse(world, "StepOver", text)
    granted = held.granted if token in held.granted else [*held.granted, token]
    changes: dict[str, object] = {"granted": granted}
    message = f"step {token} waits no longer" if command.spec.step else "no step waits any longer"
    if command.spec.override:
        changes["overridden"] = f"overridden by {_who(command)}"[:4096]
        message = f"{message}; one ready pod is enough, and no gate and no freeze is waited for"
    else:
        message = f"{message}; readiness is still waited for"
    if held.paused:
        message = f"{message}; it is {held.paused}, so it goes on when it is resumed"
    freeze = freezing.holding(world, held, known.lineage.target)
    if freeze and not command.spec.override:
        message = f"{message}; it is {freeze.words}, so it goes on then, or by an override of every step with a reason"
    return _accept(world, "Promoted", message[:4096], memory=_noted(command, held, world, **changes))


def _pause(command: Command, world: World, known: Bearings) -> Answer:
    held = known.memory
    pausing = command.spec.verb is Verb.PAUSE
    word = "Paused" if pausing else "Resumed"
    if command.spec.rollout == held.id and _obeyed(command, held):
        return _accept(world, word, f"{held.id}: {word.lower()} already")
    if objection := _not_live(command, world, known):
        return objection
    message = f"{held.id}: {word.lower()}"
    if pausing and held.paused:
        message = f"{message}; it was {held.paused}, and one resume lets it go on"
    elif not pausing:
        message = f"{message}{_still_held(world, known)}" if held.paused else f"{held.id}: nobody had paused it"
    paused = f"paused by {_who(command)}"[:4096] if pausing else ""
    return _accept(world, word, message[:4096], memory=_noted(command, held, world, paused=paused))


def _still_held(world: World, known: Bearings) -> str:
    """A person's pause and the rollout's own wait for a person are two reasons; a resume clears the first."""
    if world.spec.suspend:
        return "; spec.suspend still holds it"
    index, held = known.spot.index, known.memory
    step = known.course.steps[index] if 0 <= index < known.course.final else None
    if step is None or not step.by_hand or step.name in held.granted or EVERYTHING in held.granted:
        return ""
    return f"; step {step.name} still waits for a promote"


def _approve(command: Command, world: World, known: Bearings) -> Answer:
    if objection := _not_live(command, world, known):
        return objection
    found = approvals.consider(command, world, memory=known.memory, course=known.course)
    if not found.accepted:
        return _refuse(world, found.reason, found.message)
    memory = _noted(command, found.memory, world) if found.memory else None
    return _accept(world, found.reason, found.message, memory=memory)


def _retry(command: Command, world: World, known: Bearings) -> Answer:
    revision = world.revisions.get(command.spec.revision or "")
    if revision is None:
        return _refuse(world, "NotFound", f"there is no revision {command.spec.revision} of {world.name}")
    if revision.marked_by == command.uid and not revision.sent_home:
        return _accept(world, "Retried", f"attempt {revision.attempt} of {revision.name}")
    if command.spec.rollout and (objection := _stale(command, world, known)):
        return objection
    if not revision.sent_home:
        return _refuse(world, "NotRolledBack", f"{revision.name} was not taken back, so there is nothing to retry")
    mark = lineage.retried(revision, by=command.uid)
    return _accept(world, "Retried", f"attempt {revision.attempt + 1} of {revision.name}", marks=(mark,))


def _rollback(command: Command, world: World, known: Bearings) -> Answer:
    goal = world.revisions.get(command.spec.revision or "")
    line, held = known.lineage, known.memory
    begun = any(revision.marked_by == command.uid for revision in world.revisions.values())
    if goal is None:
        return _refuse(world, "NotFound", f"there is no revision {command.spec.revision} of {world.name}")
    if command.spec.rollout and not begun and (objection := _stale(command, world, known)):
        return objection
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
        memory = _told(command, held, world) if begun else None
        return _accept(world, "RolledBack", f"{goal.name} is stable", memory=memory)
    message = f"rolled back to {goal.name} by {_who(command)}"
    marks = tuple(
        lineage.sent_home(revision.name, now=world.now, reason=lineage.ROLLED_BACK, message=message, by=command.uid)
        for revision in sorted(newer, key=lambda item: item.name)
    )
    back = f"back to {goal.name}"
    return _accept(world, "RolledBack", back, marks=marks, memory=_told(command, held, world))


def _accept(
    world: World, reason: str, message: str, *, marks: tuple[Mark, ...] = (), memory: RolloutStatus | None = None
) -> Answer:
    status = ModelCommandStatus(result="Accepted", reason=reason, message=message, observed_at=world.now)
    return Answer(status=status, marks=marks, memory=memory)


def _refuse(world: World, reason: str, message: str) -> Answer:
    return Answer(
        status=ModelCommandStatus(result="Refused", reason=reason, message=message[:4096], observed_at=world.now)
    )
