"""Which gates stand before a rollout's next move, what their answers come to, and what the rollout does about it.

A verdict counts only once it stands in the status: so a crash between asking and remembering asks again, under the same
name and key, and one between remembering and moving on asks nobody.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Literal

from switchyard_contracts.base import Shape
from switchyard_contracts.canonical import digest
from switchyard_contracts.gates import SMOKE, Before, Gate, GateType, GateVerdict, Overdue
from switchyard_contracts.model_deployment import ModelDeploymentSpec, Phase, RolloutStatus
from switchyard_contracts.quantities import format_duration

from switchyard_operator.domain import patience
from switchyard_operator.domain.rules import EVERYTHING, Decision, Move
from switchyard_operator.domain.steps import Course, Way
from switchyard_operator.domain.world import Revision, Smoke

PROVISIONING = -1
"""The place before a revision's pods, where the first step's is 0."""
EXPEDITED = "Expedited"
TRULY = frozenset({Way.FIRST, Way.NEW})
"""Ways in which gates are asked. What serves already, or did, has passed them: it passes the smoke request alone."""


class State(StrEnum):
    """How a gate stands."""

    PASSED = "Passed"
    FAILED = "Failed"
    WAITING = "Waiting"
    ERROR = "Error"
    """Whoever decides could not be asked."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What asking a gate came to now."""

    state: State
    message: str


def definition(gate: Gate) -> str:
    """What is asked, as ten hex digits; where the gate stands, and for how long, is not part of it."""
    block: Shape | None = gate.block
    return digest({"type": gate.type.value, "block": block.to_json() if block else {}})[:10]


def applicable(spec: ModelDeploymentSpec, course: Course) -> tuple[Gate, ...]:
    """The gates that this rollout has to pass, in the order of their places."""
    if course.way not in TRULY:
        return ()
    return tuple(sorted(spec.gates, key=lambda gate: place(gate, course)))


def place(gate: Gate, course: Course) -> int:
    """The step that is not entered without it. One that this rollout has not is before all of the traffic."""
    match gate.before:
        case Before.PROVISIONING:
            return PROVISIONING
        case Before.TRAFFIC:
            return 0
        case Before.PROMOTION:
            return course.final
    names = [step.name for step in course.steps]
    return names.index(gate.step) if gate.step in names else course.final


# --- what is remembered --------------------------------------------------------------------------------------------


def recall(memory: RolloutStatus, revision: Revision) -> RolloutStatus:
    """The rollout with the verdicts that its revision kept, when another rollout's stood in the status meanwhile."""
    if memory.gates:
        return memory
    kept = [verdict for verdict in revision.status.gates if verdict.attempt == revision.attempt]
    return memory.model_copy(update={"gates": kept}) if kept else memory


def held(memory: RolloutStatus, gate: Gate) -> GateVerdict | None:
    """What is remembered of a gate as it is written now."""
    for verdict in memory.gates:
        if verdict.name == gate.name and verdict.definition == definition(gate) and verdict.attempt == memory.attempt:
            return verdict
    return None


def settle(gate: Gate, answer: Answer, *, memory: RolloutStatus, now: datetime) -> GateVerdict:
    """The verdict that an answer comes to. Deadlines stop while a person holds the rollout."""
    before = held(memory, gate)
    since = before.since if before and before.since else now
    state, message = answer.state, answer.message
    late = patience.elapsed(since, now=now, pauses=memory.pauses) > gate.deadline
    meaning = {State.WAITING: gate.on_timeout, State.ERROR: gate.on_unavailable}.get(state)
    if late and meaning is not None:
        field = "onTimeout" if state is State.WAITING else "onUnavailable"
        message = f"{message}; not decided within {format_duration(gate.deadline)} ({field}: {meaning.value})"
        state = {Overdue.FAIL: State.FAILED, Overdue.PASS: State.PASSED, Overdue.HOLD: state}[meaning]
    return _verdict(
        gate.name,
        kind=gate.type,
        where=gate.place,
        answer=Answer(state, message),
        before=before,
        memory=memory,
        since=since,
        now=now,
        of=definition(gate),
    )


def _verdict(
    name: str,
    *,
    kind: GateType,
    where: str,
    answer: Answer,
    before: GateVerdict | None,
    memory: RolloutStatus,
    since: datetime,
    now: datetime,
    of: str,
) -> GateVerdict:
    state: Literal["Passed", "Failed", "Waiting", "Error"] = answer.state.value
    same = before is not None and before.state == state
    return GateVerdict(
        name=name,
        type=kind.value,
        before=where,
        state=state,
        message=answer.message[:4096],
        attempt=memory.attempt,
        since=since,
        at=before.at if same and before else now,
        definition=of,
    )


def remember(
    memory: RolloutStatus, *, gates: Iterable[Gate], fresh: Iterable[GateVerdict], smoke: Smoke, now: datetime
) -> list[GateVerdict]:
    """The verdicts as the status will hold them: the smoke request's, then those of the gates that there are."""
    answers = {verdict.name: verdict for verdict in fresh}
    found = [smoked] if (smoked := smoke_verdict(memory, smoke, now=now)) else []
    for gate in gates:
        verdict = answers.get(gate.name) or held(memory, gate)
        if verdict is not None:
            found.append(verdict)
    return found


def smoke_verdict(memory: RolloutStatus, smoke: Smoke, *, now: datetime) -> GateVerdict | None:
    """The request that every revision has to answer, as a gate among the others; it fails by its own rule."""
    before = next((verdict for verdict in memory.gates if verdict.name == SMOKE), None)
    if not smoke.asked:
        return before
    state = State.PASSED if smoke.passed else State.WAITING
    since = before.since if before and before.state == state.value and before.since else now
    answer = Answer(state, smoke.message or "every pod answered the first request")
    return _verdict(
        SMOKE,
        kind=GateType.SMOKE,
        where=Before.TRAFFIC.value,
        answer=answer,
        before=before,
        memory=memory,
        since=since,
        now=now,
        of="",
    )


def smoke_passed(memory: RolloutStatus) -> bool:
    """Whether the pods have answered already, and only other gates are waited for."""
    return any(verdict.name == SMOKE and verdict.state == State.PASSED.value for verdict in memory.gates)


def smoke_fails_since(memory: RolloutStatus) -> datetime | None:
    """Since when they do not answer."""
    return next((each.since for each in memory.gates if each.name == SMOKE and each.state == State.WAITING.value), None)


# --- what stands in the way ----------------------------------------------------------------------------------------


def standing(
    decision: Decision, *, course: Course, memory: RolloutStatus, gates: Iterable[Gate], index: int
) -> tuple[Gate, ...]:
    """The gates that what is about to be done may not pass yet."""
    upto = _next(decision, index=index)
    if upto is None or memory.overridden:
        return ()
    lenient = decision.reason == EXPEDITED or EVERYTHING in memory.granted
    return tuple(
        gate
        for gate in gates
        if place(gate, course) <= upto and not passed(memory, gate) and (gate.required or not lenient)
    )


def _next(decision: Decision, *, index: int) -> int | None:
    """The farthest place that the decision passes; None where it raises nothing."""
    if decision.phase is Phase.SUSPENDED or decision.move not in (Move.ENTER, Move.HOLD):
        return None
    if decision.move is Move.ENTER:
        return decision.index if decision.index > index else None
    return PROVISIONING if index < 0 else None


def passed(memory: RolloutStatus, gate: Gate) -> bool:
    """Whether it is remembered to have been passed."""
    verdict = held(memory, gate)
    return verdict is not None and verdict.state == State.PASSED.value


def may_provision(memory: RolloutStatus, *, course: Course, gates: Iterable[Gate]) -> bool:
    """Whether nothing stands before the revision's pods, or a person has overridden what does."""
    shut = any(not passed(memory, gate) for gate in gates if place(gate, course) == PROVISIONING)
    return bool(memory.overridden) or not shut


def opened_at(memory: RolloutStatus, *, course: Course, gates: Iterable[Gate]) -> datetime | None:
    """When the last gate before provisioning was passed; None where there is none."""
    first = [held(memory, gate) for gate in gates if place(gate, course) == PROVISIONING]
    return max((verdict.at for verdict in first if verdict and verdict.at), default=None)


def stand(
    decision: Decision,
    shut: Iterable[Gate],
    *,
    memory: RolloutStatus,
    fresh: Mapping[str, GateVerdict],
    index: int,
    automatic: bool,
) -> Decision:
    """The decision, or what the gates in its way make of it: the first that failed ends it, else it waits."""
    found = [(gate, fresh.get(gate.name) or held(memory, gate)) for gate in shut]
    if not found:
        return decision
    failed = [(gate, verdict) for gate, verdict in found if verdict and verdict.state == State.FAILED.value]
    if failed:
        gate, verdict = failed[0]
        text = f"gate {gate.name}, before {gate.place}: {verdict.message}"
        if index >= 0 and not automatic:
            held_back = f"{text} (rollback.automatic is false: abort by a ModelCommand)"
            return _hold(Phase.PAUSED, "GateFailed", held_back, waiting_for="a person's abort")
        return Decision(move=Move.TAKE_BACK, phase=Phase.ROLLING_BACK, reason="GateFailed", message=text)
    waiting = [(gate, verdict) for gate, verdict in found if not verdict or verdict.state != State.PASSED.value]
    if not waiting:
        words = "; ".join(f"gate {gate.name}: {verdict.message}" for gate, verdict in found if verdict)
        return _hold(Phase.GATING, "GatePassed", words, waiting_for="the next look")
    words = "; ".join(
        f"gate {gate.name}: {verdict.message if verdict else 'not asked yet'}" for gate, verdict in waiting
    )
    if any(verdict and verdict.state == State.ERROR.value for _, verdict in waiting):
        return _hold(Phase.GATING, "GateUnavailable", words)
    if all(gate.type is GateType.APPROVAL for gate, _ in waiting):
        names = ", ".join(gate.name for gate, _ in waiting)
        return _hold(Phase.PAUSED, "AwaitingApproval", words, waiting_for=f"a person's approve of {names}")
    return _hold(Phase.GATING, "GateWaiting", words)


def _hold(phase: Phase, reason: str, message: str, *, waiting_for: str = "") -> Decision:
    return Decision(move=Move.HOLD, phase=phase, reason=reason, message=message, waiting_for=waiting_for or message)
