"""A person's approve: which gate it is for, whether it counts, and the verdict that is remembered of it."""

from __future__ import annotations

from dataclasses import dataclass

from switchyard_contracts.gates import ApprovalGate, Gate, GateType
from switchyard_contracts.model_deployment import RolloutStatus

from switchyard_operator.domain import gates
from switchyard_operator.domain.gates import Answer, State
from switchyard_operator.domain.steps import Course
from switchyard_operator.domain.world import Command, World


@dataclass(frozen=True, slots=True)
class Approval:
    """What becomes of the command; `memory` is the rollout's with the verdict, where it changed."""

    accepted: bool
    reason: str
    message: str
    memory: RolloutStatus | None = None


def consider(command: Command, world: World, *, memory: RolloutStatus, course: Course) -> Approval:
    """Judge one approve of the rollout under way. It may come before its gate is reached: then nobody is waited for."""
    found = [gate for gate in gates.applicable(world.spec, course) if gate.type is GateType.APPROVAL]
    names = ", ".join(gate.name for gate in found)
    if not found:
        return Approval(False, "NothingToApprove", f"{memory.id} has no gate that waits for a person")
    if command.spec.gate is None:
        open_ones = [gate for gate in found if not gates.passed(memory, gate)]
        if len(open_ones) > 1:
            return Approval(False, "GateMissing", f"more than one gate waits for a person; name one of {names}")
        gate = (open_ones or found)[0]
    else:
        wanted = [gate for gate in found if gate.name == command.spec.gate]
        if not wanted:
            text = f"no gate {command.spec.gate} waits for a person; those that do are {names}"
            return Approval(False, "NoSuchGate", text)
        gate = wanted[0]
    return _approve(command, gate, world, memory)


def _approve(command: Command, gate: Gate, world: World, memory: RolloutStatus) -> Approval:
    if gates.passed(memory, gate):
        return Approval(True, "Approved", f"gate {gate.name} is passed already")
    who = command.spec.requested_by
    allowed = (gate.approval or ApprovalGate()).approvers
    if allowed and who not in allowed:
        return Approval(False, "NotAnApprover", f"gate {gate.name} is approved by {' or '.join(allowed)}, not by {who}")
    before = gates.held(memory, gate)
    if before and before.state == State.FAILED.value:
        return Approval(False, "GateFailed", f"gate {gate.name} has failed: {before.message}; retry the revision")
    why = f": {command.spec.reason}" if command.spec.reason else ""
    verdict = gates.settle(gate, Answer(State.PASSED, f"approved by {who}{why}"), memory=memory, now=world.now)
    kept = [item for item in memory.gates if item.name != gate.name]
    changed = memory.model_copy(update={"gates": [*kept, verdict]})
    return Approval(True, "Approved", f"gate {gate.name} of {memory.id} is passed", memory=changed)
