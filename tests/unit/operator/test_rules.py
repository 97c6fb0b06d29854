"""The chain of rules: rows are situations, laws are what no situation may break."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from switchyard_contracts.judgement import Judgement, Verdict
from switchyard_contracts.model_deployment import Metric, Missing, Phase
from switchyard_contracts.quantities import FULL
from switchyard_operator.domain.rules import (
    DEAD_AFTER,
    EVERYTHING,
    GATE_PATIENCE,
    Move,
    Says,
    Seen,
    decide,
    says,
)
from switchyard_operator.domain.step import Step, mirrored, needed, sustainable
from switchyard_operator.domain.sync import Sync, SyncState
from switchyard_operator.domain.world import Judged, Smoke

MINUTE = timedelta(minutes=1)
STEPS = (Step("five", 500, MINUTE), Step("half", 5000, MINUTE))


def guard(verdict: Verdict, **changes: Any) -> Judged:
    metric = Metric.model_validate({"name": "errors", "metric": "error_rate", "max": "1%", "role": "guard"} | changes)
    return Judged(metric=metric, judgement=Judgement(verdict, "Because", "7 of 100 failed"))


def outcome(verdict: Verdict, **changes: Any) -> Judged:
    fields = {"name": "outcome", "metric": "outcome.rmse", "maxIncrease": "5%", "role": "decide"} | changes
    return Judged(metric=Metric.model_validate(fields), judgement=Judgement(verdict, "Because", "133 outcomes"))


def seen(*judged: Judged, waited: timedelta = timedelta(0), **changes: Any) -> Seen:
    """A healthy candidate at 5 % whose hold is over; each row says only what differs."""
    found = judged or (guard(Verdict.PASS), outcome(Verdict.INCONCLUSIVE))
    usual: dict[str, Any] = {"steps": STEPS, "index": 0, "weight": 500, "held_for": 2 * MINUTE, "wanted": 2, "ready": 2}
    return Seen(**usual | {"judged": found, "waited": (waited,) * len(found)} | changes)


AT_HALF: dict[str, Any] = {"index": 1, "weight": 5000}
SWITCHED: dict[str, Any] = {"index": 2, "weight": FULL}
SHADOW = Step("shadow", 0, MINUTE, mirror=FULL, decided=True)
SHADOWED: dict[str, Any] = {"steps": (SHADOW, *STEPS), "index": 0, "weight": 0}
ONLY_COMPARED: dict[str, Any] = {"steps": (SHADOW,), "index": 0, "weight": 0, "ends": True}
PREVIEW = Step("preview", 0, timedelta(0), by_hand=True)
WAITING = Sync(SyncState.WAITING, "1 of 2 gateways")


@pytest.mark.parametrize(
    ("situation", "move", "reason", "weight"),
    [
        pytest.param(seen(), Move.ENTER, "Stepped", 5000, id="passed after the hold"),
        pytest.param(
            seen(held_for=MINUTE / 2),
            Move.HOLD,
            "Holding",
            0,
            id="the hold is not over",
            marks=pytest.mark.rule("canary"),
        ),
        pytest.param(seen(held_for=None), Move.HOLD, "Holding", 0, id="not every gateway has had it"),
        pytest.param(
            seen(guard(Verdict.FAIL)),
            Move.TAKE_BACK,
            "AnalysisFailed",
            0,
            id="a guard fails",
            marks=pytest.mark.rule("canary"),
        ),
        pytest.param(seen(outcome(Verdict.FAIL)), Move.TAKE_BACK, "AnalysisFailed", 0, id="an outcome fails early"),
        pytest.param(
            seen(guard(Verdict.FAIL), ready=0), Move.TAKE_BACK, "AnalysisFailed", 0, id="failing beats not being ready"
        ),
        pytest.param(
            seen(guard(Verdict.FAIL), paused="lunch"), Move.TAKE_BACK, "AnalysisFailed", 0, id="failing beats a pause"
        ),
        pytest.param(
            seen(guard(Verdict.FAIL), automatic=False), Move.HOLD, "AnalysisFailed", 0, id="failing, but not automatic"
        ),
        pytest.param(seen(guard(Verdict.NO_DATA)), Move.HOLD, "AwaitingEvidence", 0, id="a guard without data"),
        pytest.param(
            seen(guard(Verdict.INCONCLUSIVE)),
            Move.HOLD,
            "AwaitingEvidence",
            0,
            id="too few requests",
            marks=pytest.mark.rule("too-little-traffic"),
        ),
        pytest.param(
            seen(guard(Verdict.ERROR)),
            Move.HOLD,
            "EvidenceUnavailable",
            0,
            id="the monitor is away",
            marks=pytest.mark.rule("evidence-down"),
        ),
        pytest.param(
            seen(guard(Verdict.ERROR), waited=timedelta(days=99)),
            Move.HOLD,
            "EvidenceUnavailable",
            0,
            id="counts that do not fit hold for good",
        ),
        pytest.param(
            seen(guard(Verdict.NO_DATA, onNoData="fail"), waited=timedelta(days=15)),
            Move.TAKE_BACK,
            "AnalysisFailed",
            0,
            id="no data, patience over, the spec says fail",
            marks=pytest.mark.rule("too-little-traffic"),
        ),
        pytest.param(
            seen(guard(Verdict.NO_DATA, onNoData="pass"), waited=timedelta(days=15)),
            Move.ENTER,
            "Stepped",
            5000,
            id="no data, patience over, the spec says pass",
        ),
        pytest.param(
            seen(sync=WAITING),
            Move.HOLD,
            "Waiting",
            0,
            id="a gateway has not acknowledged",
            marks=pytest.mark.rule("silent-gateway"),
        ),
        pytest.param(
            seen(paused="lunch"), Move.HOLD, "Paused", 0, id="paused by a person", marks=pytest.mark.rule("pause")
        ),
        pytest.param(
            seen(frozen="frozen until noon"),
            Move.HOLD,
            "Frozen",
            0,
            id="in a freeze",
            marks=pytest.mark.rule("freeze"),
        ),
        pytest.param(
            seen(frozen="till noon", granted=frozenset({EVERYTHING})), Move.HOLD, "Frozen", 0, id="a promote alone"
        ),
        pytest.param(
            seen(frozen="till noon", overridden=True), Move.ENTER, "Stepped", 5000, id="an override in a freeze"
        ),
        pytest.param(
            seen(guard(Verdict.FAIL), frozen="till noon"),
            Move.TAKE_BACK,
            "AnalysisFailed",
            0,
            id="it fails in a freeze",
        ),
        pytest.param(seen(frozen="till noon", weight=0), Move.HOLD, "Frozen", 0, id="ready again, in a freeze"),
        pytest.param(
            seen(frozen="till noon", ready=0), Move.LOWER, "CandidateNotReady", 0, id="pods are short in a freeze"
        ),
        pytest.param(
            seen(frozen="till noon", **SWITCHED), Move.PROMOTE, "Promoted", 0, id="switched before the freeze"
        ),
        pytest.param(
            seen(suspended=True), Move.HOLD, "Suspended", 0, id="suspended", marks=pytest.mark.rule("suspend")
        ),
        pytest.param(
            seen(guard(Verdict.FAIL), suspended=True), Move.HOLD, "Suspended", 0, id="suspended though failing"
        ),
        pytest.param(seen(ready=1), Move.ENTER, "Stepped", 5000, id="one of two pods is enough for half"),
        pytest.param(
            seen(ready=0),
            Move.LOWER,
            "CandidateNotReady",
            0,
            id="no pod ready: no weight",
            marks=pytest.mark.rule("raising-a-weight"),
        ),
        pytest.param(
            seen(ready=0, unready_for=timedelta(minutes=11)), Move.TAKE_BACK, "NotReady", 0, id="not ready for too long"
        ),
        pytest.param(seen(weight=0), Move.ENTER, "Restored", 500, id="ready again"),
        pytest.param(
            seen(**AT_HALF),
            Move.HOLD,
            "AwaitingEvidence",
            0,
            id="outcomes are awaited before all of the traffic",
            marks=pytest.mark.rule("late-labels"),
        ),
        pytest.param(
            seen(guard(Verdict.PASS), outcome(Verdict.PASS), **AT_HALF),
            Move.ENTER,
            "Switching",
            FULL,
            id="every outcome passes",
        ),
        pytest.param(
            seen(guard(Verdict.PASS), outcome(Verdict.PASS), ready=1, **AT_HALF),
            Move.HOLD,
            "WaitingForPods",
            0,
            id="all of the traffic needs every pod",
            marks=pytest.mark.rule("raising-a-weight"),
        ),
        pytest.param(
            seen(steps=(PREVIEW,), weight=0),
            Move.HOLD,
            "AwaitingPromote",
            0,
            id="a preview is left by hand",
            marks=pytest.mark.rule("blue-green"),
        ),
        pytest.param(
            seen(granted=frozenset({"half"}), **AT_HALF), Move.ENTER, "Switching", FULL, id="a person promotes"
        ),
        pytest.param(
            seen(granted=frozenset({"five"}), **AT_HALF), Move.HOLD, "AwaitingEvidence", 0, id="a grant is for one step"
        ),
        pytest.param(
            seen(granted=frozenset({EVERYTHING}), ready=0, **AT_HALF),
            Move.LOWER,
            "CandidateNotReady",
            0,
            id="no grant makes pods ready",
            marks=pytest.mark.rule("promote-full"),
        ),
        pytest.param(
            seen(stable_ready=0, stable_dead_for=DEAD_AFTER),
            Move.ENTER,
            "Expedited",
            FULL,
            id="stable is dead",
            marks=pytest.mark.rule("stable-is-sick"),
        ),
        pytest.param(seen(stable_ready=0), Move.ENTER, "Stepped", 5000, id="stable missed a probe"),
        pytest.param(
            seen(stable_ready=0, stable_dead_for=DEAD_AFTER, ready=0), Move.HOLD, "CandidateNotReady", 0, id="both dead"
        ),
        pytest.param(seen(**SWITCHED), Move.PROMOTE, "Promoted", 0, id="switched everywhere"),
        pytest.param(seen(sync=WAITING, **SWITCHED), Move.HOLD, "Waiting", 0, id="switched, not everywhere"),
        pytest.param(seen(ready=0, **SWITCHED), Move.LOWER, "CandidateNotReady", 0, id="switched, and dead"),
        pytest.param(seen(index=-1, weight=0), Move.ENTER, "Stepped", 500, id="ready and answered: the first step"),
        pytest.param(seen(index=-1, weight=0, ready=1), Move.HOLD, "WaitingForPods", 0, id="one of two pods ready"),
        pytest.param(
            seen(index=-1, weight=0, ready=1, unready_for=timedelta(minutes=11)),
            Move.TAKE_BACK,
            "NeverReady",
            0,
            id="never ready",
            marks=pytest.mark.rule("never-ready"),
        ),
        pytest.param(
            seen(index=-1, weight=0, smoke=Smoke(asked=True, message="500")), Move.HOLD, "Gating", 0, id="smoke fails"
        ),
        pytest.param(
            seen(index=-1, weight=0, smoke=Smoke(asked=True, message="500"), gating_for=2 * GATE_PATIENCE),
            Move.TAKE_BACK,
            "SmokeFailed",
            0,
            id="smoke keeps failing",
        ),
        pytest.param(
            seen(guard(Verdict.NO_DATA), outcome(Verdict.PASS), **SHADOWED),
            Move.ENTER,
            "Stepped",
            500,
            id="a shadow that passed goes on without guards",
        ),
        pytest.param(seen(**SHADOWED), Move.HOLD, "AwaitingEvidence", 0, id="a shadow is left only by its pairs"),
        pytest.param(
            seen(outcome(Verdict.PASS), held_for=MINUTE / 2, **SHADOWED),
            Move.HOLD,
            "Holding",
            0,
            id="a shadow is held as long as it says",
        ),
        pytest.param(
            seen(outcome(Verdict.FAIL), **SHADOWED), Move.TAKE_BACK, "AnalysisFailed", 0, id="a shadow is worse"
        ),
        pytest.param(
            seen(granted=frozenset({"shadow"}), **SHADOWED), Move.ENTER, "Stepped", 500, id="a person ends a shadow"
        ),
        pytest.param(seen(ready=0, **SHADOWED), Move.HOLD, "CandidateNotReady", 0, id="a shadow without a pod"),
        pytest.param(
            seen(outcome(Verdict.PASS), **ONLY_COMPARED), Move.END, "ShadowEnded", 0, id="compared, and no more"
        ),
        pytest.param(
            seen(outcome(Verdict.PASS), ready=1, **ONLY_COMPARED), Move.END, "ShadowEnded", 0, id="ends with one pod"
        ),
        pytest.param(seen(**ONLY_COMPARED), Move.HOLD, "AwaitingEvidence", 0, id="not compared yet"),
        pytest.param(
            seen(stable_ready=0, stable_dead_for=DEAD_AFTER, **ONLY_COMPARED),
            Move.HOLD,
            "AwaitingEvidence",
            0,
            id="only compared, so it never takes over from a dead stable",
        ),
        pytest.param(
            seen(steps=(), index=-1, weight=0, has_stable=False, sync=Sync(SyncState.UNKNOWN)),
            Move.ENTER,
            "Switching",
            FULL,
            id="the first deployment",
        ),
    ],
)
def test_decide(situation: Seen, move: Move, reason: str, weight: int) -> None:
    decision = decide(situation)
    assert (decision.move, decision.reason, decision.weight) == (move, reason, weight)


judged_lists = st.lists(
    st.builds(
        lambda kind, verdict, missing: kind(verdict, onNoData=missing, onInconclusive=missing, onUnavailable=missing),
        st.sampled_from([guard, outcome]),
        st.sampled_from(Verdict),
        st.sampled_from([item.value for item in Missing]),
    ),
    max_size=4,
)
spans = st.integers(0, 40).map(lambda days: timedelta(days=days)) | st.integers(0, 300).map(
    lambda s: timedelta(seconds=s)
)


shares = st.integers(0, FULL)
paces = st.none() | spans


@st.composite
def situations(draw: st.DrawFn) -> Seen:
    weights = sorted(draw(st.sets(st.integers(0, FULL - 1), max_size=4)))
    steps = tuple(
        Step(f"s{index}", weight, draw(spans), mirror=draw(shares), decided=draw(st.booleans()), every=draw(paces))
        for index, weight in enumerate(weights)
    )
    index = draw(st.integers(-1, len(steps)))
    full = 0 if index < 0 else FULL if index == len(steps) else steps[index].weight
    judged = tuple(replace(item, final=draw(st.booleans())) for item in draw(judged_lists))
    wanted = draw(st.integers(1, 5))
    return Seen(
        steps=steps,
        index=index,
        passed=draw(st.booleans()) if 0 <= index < len(steps) else False,
        weight=draw(st.sampled_from([0, full // 2, full])),
        held_for=draw(st.none() | spans),
        sync=Sync(draw(st.sampled_from(SyncState)), "somebody"),
        wanted=wanted,
        ready=draw(st.integers(0, wanted + 1)),
        unready_for=draw(spans),
        smoke=Smoke(asked=True, passed=draw(st.booleans())),
        gating_for=draw(spans),
        has_stable=draw(st.booleans()),
        stable_ready=draw(st.integers(0, 2)),
        stable_dead_for=draw(spans),
        judged=judged,
        waited=tuple(draw(spans) for _ in judged),
        granted=frozenset(draw(st.sets(st.sampled_from([EVERYTHING, "s0", "s1"]), max_size=2))),
        paused=draw(st.sampled_from(["", "lunch"])),
        suspended=draw(st.booleans()),
        automatic=draw(st.booleans()),
        ends=draw(st.booleans()) and bool(steps),
        wish=draw(st.none() | shares),
    )


def raises_the_weight(situation: Seen) -> bool:
    decision = decide(situation)
    return decision.move is Move.ENTER and decision.weight > situation.weight


@pytest.mark.rule("raising-a-weight")
@given(situations())
def test_a_weight_goes_up_only_with_pods_for_it(situation: Seen) -> None:
    decision = decide(situation)
    if raises_the_weight(situation) and decision.reason != "Expedited":
        assert situation.ready >= needed(situation.wanted, decision.weight)


@given(situations())
def test_a_weight_goes_up_only_when_every_gateway_has_the_last_one(situation: Seen) -> None:
    if raises_the_weight(situation) and decide(situation).reason != "Expedited":
        assert situation.sync.acknowledged or (situation.index < 0 and situation.sync.state is SyncState.UNKNOWN)


@given(situations())
def test_a_step_is_left_only_on_evidence_or_by_a_person(situation: Seen) -> None:
    decision = decide(situation)
    left = decision.move is Move.ENTER and decision.index > situation.index >= 0 and not situation.passed
    if not left or decision.reason == "Expedited" or situation.has_grant:
        return
    assert situation.step is not None
    assert (situation.held_for or timedelta(0)) >= situation.step.hold
    pairs = list(zip(situation.judged, situation.waited, strict=True))
    # Guards are on what users met: nobody met anything in a step without weight.
    guards = bool(situation.step.weight)
    decided = situation.step.decided or decision.index == situation.final
    asked = [pair for pair in pairs if (guards if pair[0].metric.role == "guard" else decided)]
    assert all(says(judged, waited) is Says.GO for judged, waited in asked)


@given(situations())
def test_what_fails_never_gains_traffic(situation: Seen) -> None:
    failing = any(judged.judgement.verdict is Verdict.FAIL for judged in situation.judged)
    if failing and situation.index >= 0 and not situation.has_grant:
        assert not raises_the_weight(situation)
        assert decide(situation).move is not Move.PROMOTE


@given(situations())
def test_an_outage_alone_never_takes_a_candidate_back(situation: Seen) -> None:
    decision = decide(situation)
    if all(judged.judgement.verdict is Verdict.ERROR and not judged.unavailable for judged in situation.judged):
        assert decision.reason != "AnalysisFailed"


@given(situations())
def test_what_is_only_compared_never_has_all_of_the_traffic(situation: Seen) -> None:
    decision = decide(situation)
    if situation.ends and situation.index < situation.final:
        assert decision.index < situation.final
        assert decision.weight <= max([situation.weight, *(step.weight for step in situation.steps)])


@given(situations())
def test_a_comparison_ends_only_after_its_last_step(situation: Seen) -> None:
    if decide(situation).move is Move.END:
        decided = [item for item in situation.judged if item.metric.role == "decide"]
        read = bool(decided) and any(item.final for item in decided)
        assert read or (situation.ends and situation.index == situation.final - 1)


@given(situations())
def test_evidence_moves_a_weight_only_where_it_stood_long_enough_and_nothing_holds_it(situation: Seen) -> None:
    if decide(situation).move is not Move.SHIFT:
        return
    step = situation.step
    assert step is not None
    assert step.every is not None
    assert situation.held_for is not None
    assert situation.held_for >= max(step.every, step.hold)
    assert (situation.paused, situation.frozen, situation.suspended) == ("", "", False)
    assert situation.sync.acknowledged
    assert situation.weight == step.weight
    assert decide(situation).weight == situation.wish != step.weight


@given(shares, shares, shares, st.integers(1, 50), st.integers(0, 60))
def test_what_is_mirrored_is_stables_and_leaves_the_pods_for_users(
    weight: int, given_now: int, mirror: int, wanted: int, ready: int
) -> None:
    copies = mirrored(
        Step("a", weight, MINUTE, mirror=mirror), weight=given_now, wanted=wanted, ready=min(wanted, ready)
    )
    assert 0 <= copies <= min(mirror, FULL - given_now)
    if copies:
        assert given_now == weight
        assert needed(wanted, given_now + copies) <= ready


@pytest.mark.rule("freeze")
@given(situations())
def test_in_a_freeze_no_weight_of_the_candidate_rises(situation: Seen) -> None:
    held = replace(situation, frozen="frozen until noon")
    decision = decide(held)
    # A dead stable is no rollout's business: users come before any freeze.
    assert not raises_the_weight(held) or decision.reason == "Expedited"
    assert decision.move is not Move.PROMOTE or held.weight == FULL
    assert decision.move is not Move.END


@given(situations())
def test_a_freeze_stops_no_way_back(situation: Seen) -> None:
    back = (Move.TAKE_BACK, Move.LOWER)
    if decide(situation).move in back:
        assert decide(replace(situation, frozen="frozen until noon")) == decide(situation)


@given(situations())
def test_suspended_is_left_alone(situation: Seen) -> None:
    if situation.suspended:
        assert decide(situation).phase is Phase.SUSPENDED


@given(st.integers(1, 50), st.integers(0, 50))
def test_what_is_sustainable_needs_no_more_than_is_ready(wanted: int, ready: int) -> None:
    share = sustainable(wanted, ready)
    assert 0 <= share <= FULL
    if ready:
        assert needed(wanted, share) <= ready
