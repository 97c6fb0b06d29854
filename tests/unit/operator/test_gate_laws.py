"""What no gate, verdict or decision may break: nothing is raised past a gate that is not remembered to be passed."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from switchyard_contracts.gates import Gate, GateVerdict
from switchyard_contracts.model_deployment import Pause, Phase, RolloutStatus
from switchyard_operator.domain import gates
from switchyard_operator.domain.gates import Answer, State
from switchyard_operator.domain.rules import EVERYTHING, Decision, Move
from switchyard_operator.domain.step import Step
from switchyard_operator.domain.steps import Course, Way
from switchyard_testkit.rollout_world import NOON

HOUR = timedelta(hours=1)
COURSE = Course(Way.NEW, (Step("five", 500, HOUR), Step("half", 5000, HOUR)))
PLACES: tuple[dict[str, Any], ...] = (
    {"before": "provisioning"},
    {"before": "traffic"},
    {"before": "step", "step": "half"},
    {"before": "step", "step": "gone"},
    {"before": "promotion"},
)
RANKS = {"provisioning": -1, "traffic": 0, "step half": 1, "step gone": 2, "promotion": 2}


@st.composite
def gates_and_verdicts(draw: st.DrawFn) -> tuple[list[Gate], RolloutStatus]:
    """Up to four gates, and what is remembered of some of them: of this attempt or another, as written or edited."""
    found, verdicts = [], []
    for index in range(draw(st.integers(0, 4))):
        words = draw(st.sampled_from(PLACES)) | {"required": draw(st.booleans())}
        gate = Gate.model_validate({"name": f"g{index}", "type": "Approval"} | words)
        found.append(gate)
        if state := draw(st.sampled_from([None, *State])):
            definition = gates.definition(gate) if draw(st.booleans()) else "edited"
            attempt = draw(st.sampled_from([1, 2]))
            verdicts.append(
                GateVerdict(
                    name=gate.name,
                    type="Approval",
                    state=state.value,
                    attempt=attempt,
                    definition=definition,
                    since=NOON,
                    at=NOON,
                )
            )
    granted = [EVERYTHING] if draw(st.booleans()) else []
    memory = RolloutStatus(
        id="r.2", revision="r", attempt=2, phase=Phase.GATING, gates=verdicts, granted=granted, way="new"
    )
    return found, memory


DECISIONS = st.builds(
    lambda move, index, phase, reason: Decision(move=move, phase=phase, reason=reason, message="", index=index),
    st.sampled_from(Move),
    st.integers(-1, 2),
    st.sampled_from(Phase),
    st.sampled_from(["Stepped", "Expedited"]),
)


def counts(memory: RolloutStatus, gate: Gate) -> bool:
    """Passed, by this attempt, as the gate is written now."""
    return any(
        each.name == gate.name
        and each.state == "Passed"
        and each.attempt == memory.attempt
        and each.definition != "edited"
        for each in memory.gates
    )


@given(gates_and_verdicts(), DECISIONS, st.integers(-1, 2), st.booleans(), st.booleans())
def test_no_weight_rises_past_a_gate_that_is_not_passed(
    given_: tuple[list[Gate], RolloutStatus], wished: Decision, index: int, automatic: bool, fresh_passes: bool
) -> None:
    found, memory = given_
    fresh = {
        gate.name: gates.settle(gate, Answer(State.PASSED, "just now"), memory=memory, now=NOON)
        for gate in found
        if fresh_passes
    }
    shut = gates.standing(wished, course=COURSE, memory=memory, gates=found, index=index)
    decision = gates.stand(wished, shut, memory=memory, fresh=fresh, index=index, automatic=automatic)
    if decision.move is Move.ENTER and decision.index > index and decision.phase is not Phase.SUSPENDED:
        lenient = decision.reason == "Expedited" or EVERYTHING in memory.granted
        for gate in found:
            if RANKS[gate.place] <= decision.index and (gate.required or not lenient):
                assert counts(memory, gate)


@given(gates_and_verdicts(), DECISIONS, st.integers(-1, 2), st.booleans())
def test_no_gate_keeps_a_revision_in_the_traffic_that_is_to_leave(
    given_: tuple[list[Gate], RolloutStatus], wished: Decision, index: int, automatic: bool
) -> None:
    found, memory = given_
    shut = gates.standing(wished, course=COURSE, memory=memory, gates=found, index=index)
    decision = gates.stand(wished, shut, memory=memory, fresh={}, index=index, automatic=automatic)
    if wished.move in (Move.TAKE_BACK, Move.LOWER, Move.END, Move.PROMOTE):
        assert decision is wished


@given(st.sampled_from(State), st.integers(0, 100), st.sampled_from(["hold", "fail", "pass"]), st.booleans())
def test_only_what_is_late_is_decided_by_its_deadline(state: State, minutes: int, word: str, paused: bool) -> None:
    fields = {"name": "g", "type": "Approval", "within": "50m", "onTimeout": word, "onUnavailable": word}
    gate = Gate.model_validate(fields)
    held = GateVerdict(
        name="g", type="Approval", state="Waiting", attempt=1, definition=gates.definition(gate), since=NOON
    )
    memory = RolloutStatus(
        id="r.1", revision="r", phase=Phase.GATING, gates=[held], pauses=[Pause(since=NOON)] if paused else []
    )
    verdict = gates.settle(gate, Answer(state, "said"), memory=memory, now=NOON + timedelta(minutes=minutes))
    late = minutes > 50 and not paused and state in (State.WAITING, State.ERROR)
    ends = {"hold": state.value, "fail": "Failed", "pass": "Passed"}
    assert verdict.state == (ends[word] if late else state.value)
    assert verdict.since == NOON
