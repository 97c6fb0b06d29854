"""The steps that `plan` and `get` show are the operator's own, and the estimates keep their laws."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from switchyard_cli import course as mine
from switchyard_cli.facts import Revision, stable_of
from switchyard_cli.forecast import changes, choose, unheard
from switchyard_contracts import acceptance
from switchyard_contracts.judgement import number
from switchyard_contracts.model_deployment import ModelDeploymentSpec, Phase, Role, RolloutStatus
from switchyard_contracts.model_revision import ModelRevisionSpec, ModelRevisionStatus, PodShape
from switchyard_operator.domain import analysis, lineage, steps
from switchyard_operator.domain.step import mirrored
from switchyard_operator.domain.world import Revision as OperatorsRevision
from switchyard_testkit.rollout_world import (
    AB_SPEC,
    ANALYSIS,
    BANDIT_SPEC,
    CANARY_SPEC,
    MONITORING,
    NOON,
    PAIRED_SPEC,
    SPEC,
)

SECONDS = st.integers(0, 600)
NAMED = st.sampled_from([["outcome"], ["errors", "outcome"]])
MIRRORED = st.sampled_from([{}, {"mirror": 0}, {"mirror": 50}])


@st.composite
def canaries(draw: st.DrawFn) -> ModelDeploymentSpec:
    weights = sorted(draw(st.sets(st.integers(1, 100), min_size=1, max_size=6)))
    listed: list[dict[str, Any]] = [
        {"name": f"s{weight}", "weight": weight, "hold": f"{draw(SECONDS)}s"}
        | ({"pause": draw(st.booleans()), "awaitOutcomes": draw(st.booleans())} if weight < 100 else {})
        | ({"analysis": draw(NAMED)} if weight < 100 and draw(st.booleans()) else {})
        for weight in weights
    ]
    if draw(st.booleans()):
        place = draw(st.integers(0, len(listed) - (weights[-1] == 100)))
        listed.insert(place, {"name": "scaled", "scale": draw(st.sampled_from([1, 2, "40%"])), "hold": "1s"})
    return acceptance.read(
        SPEC
        | {
            "strategy": {"type": "Canary", "canary": {"steps": listed} | draw(MIRRORED)},
            "analysis": ANALYSIS,
            "monitoring": MONITORING,
            "rollback": {"warm": {"for": f"{draw(SECONDS)}s"}},
        }
    )


@st.composite
def blue_greens(draw: st.DrawFn) -> ModelDeploymentSpec:
    block = {"autoPromote": draw(st.booleans()), "hold": f"{draw(SECONDS)}s", "mirror": draw(st.integers(0, 100))}
    strategy = draw(st.sampled_from([{}, {"type": "BlueGreen"}, {"type": "BlueGreen", "blueGreen": block}]))
    judged = strategy.get("blueGreen", {}).get("mirror")
    said = {"analysis": ANALYSIS, "monitoring": MONITORING} if judged else {}
    return acceptance.read(SPEC | said | {"strategy": strategy, "rollback": {"warm": {"for": f"{draw(SECONDS)}s"}}})


@st.composite
def shadows(draw: st.DrawFn) -> ModelDeploymentSpec:
    weights = sorted(draw(st.sets(st.integers(1, 100), max_size=4)))
    listed = [{"name": f"s{weight}", "weight": weight, "hold": f"{draw(SECONDS)}s"} for weight in weights]
    block = {"hold": f"{draw(SECONDS)}s", "mirror": draw(st.integers(1, 100))}
    block |= {"thenPromote": {"steps": listed}} if listed else {}
    return acceptance.read(PAIRED_SPEC | {"strategy": {"type": "Shadow", "shadow": block}})


@st.composite
def trials(draw: st.DrawFn) -> ModelDeploymentSpec:
    end = draw(st.sampled_from(["promote", "stop"]))
    if draw(st.booleans()):
        block = {"start": 10, "every": f"{draw(st.integers(3, 600))}s", "whenWon": end}
        return acceptance.read(BANDIT_SPEC | {"strategy": {"type": "Bandit", "bandit": block}})
    own = AB_SPEC["strategy"]["abTest"] | {"share": draw(st.integers(1, 99)), "weeks": draw(st.integers(1, 52))}
    return acceptance.read(AB_SPEC | {"strategy": {"type": "ABTest", "abTest": own | {"whenWon": end}}})


SPECS = canaries() | blue_greens() | shadows() | trials()


@given(SPECS, st.sampled_from(list(mine.Way)))
def test_the_steps_are_the_operators(spec: ModelDeploymentSpec, way: mine.Way) -> None:
    theirs = steps.course(spec, steps.Way(way))
    ours = mine.plot(spec, way)
    assert ours.known
    assert [(s.name, s.weight, s.hold, s.by_hand) for s in ours.steps] == [
        (s.name, s.weight, s.hold, s.by_hand) for s in theirs.steps
    ]
    assert [(s.pods, s.scales) for s in ours.steps] == [(s.pods, s.scales) for s in theirs.steps]
    assert [s.mirror for s in ours.steps] == [
        mirrored(s, weight=s.weight, wanted=2, ready=s.pods or 2) for s in theirs.steps
    ]
    assert [(s.decided, s.judges) for s in ours.steps] == [(s.decided, s.judges) for s in theirs.steps]
    assert ours.named == theirs.named
    assert ours.ends == theirs.ends
    assert mine.FINAL == steps.FINAL
    assert mine.watched(spec) == steps.watch(spec)


def body(name: str, model: str) -> ModelRevisionSpec:
    return ModelRevisionSpec(deployment="delay", model_hash=model * 10, pod_hash="0" * 10, pod=PodShape(image="a"))


MOMENTS = st.none() | st.integers(0, 900).map(lambda ago: NOON - timedelta(seconds=ago))


@given(
    SPECS,
    st.lists(st.tuples(MOMENTS, MOMENTS, st.sampled_from("ab")), min_size=1, max_size=4),
)
def test_the_way_and_the_stable_revision_are_the_operators(
    spec: ModelDeploymentSpec, marks: list[tuple[datetime | None, datetime | None, str]]
) -> None:
    theirs, ours = {}, []
    for index, (promoted, home, model) in enumerate(marks):
        name = f"delay-{index}"
        ours.append(Revision(name, body(name, model), ModelRevisionStatus(), promoted, home))
        theirs[name] = OperatorsRevision(
            name=name,
            uid=name,
            created_at=NOON,
            resource_version="1",
            spec=body(name, model),
            status=ModelRevisionStatus(),
            promoted_at=promoted,
            sent_home_at=home,
        )
    line = lineage.trace(theirs, "delay-0")
    target, stable = ours[0], stable_of(ours)
    assert (stable.name if stable else None) == (line.stable.name if line.stable else None)
    assert target.sent_home == line.target.sent_home
    if line.settled:
        return
    way = choose(spec, held=target, stable=stable, model_hash=target.spec.model_hash, now=NOON)
    assert way.value == steps.way(spec, line, now=NOON).value


def test_a_strategy_of_a_newer_release_is_said_not_guessed() -> None:
    spec = ModelDeploymentSpec.model_validate(SPEC | {"strategy": {"type": "Bandit"}})
    assert not mine.plot(spec, mine.Way.NEW).known


def test_guards_speak_where_there_is_traffic_and_outcomes_before_all_of_it() -> None:
    plotted = mine.plot(acceptance.read(CANARY_SPEC), mine.Way.NEW)
    assert [[need.metric.name for need in step.needs] for step in plotted.steps] == [
        ["errors"],
        ["errors"],
        ["errors", "outcome"],
    ]


def test_a_step_waits_for_what_it_names() -> None:
    listed = [
        {"name": "five", "weight": 5, "analysis": ["outcome"]},
        {"name": "ten", "weight": 10, "analysis": ["errors"]},
        {"name": "half", "weight": 50, "analysis": ["errors"]},
    ]
    named = CANARY_SPEC | {"strategy": {"type": "Canary", "canary": {"mirror": 0, "steps": listed}}}
    plotted = mine.plot(acceptance.read(named), mine.Way.NEW)
    assert [[need.metric.name for need in step.needs] for step in plotted.steps] == [
        ["outcome"],
        ["errors"],
        ["errors", "outcome"],
    ]


def test_a_guard_that_no_step_listens_to_is_said() -> None:
    metrics = [*ANALYSIS["metrics"], ANALYSIS["metrics"][0] | {"name": "strict"}]
    for names, silent in (["errors"], ["strict"]), (["errors", "strict"], []), (None, []):
        step = {"name": "five", "weight": 5} | ({"analysis": names} if names else {})
        strategy = {"type": "Canary", "canary": {"steps": [step]}}
        spec = acceptance.read(CANARY_SPEC | {"analysis": {"metrics": metrics}, "strategy": strategy})
        assert unheard(spec) == silent


QUERY = {"query": "max(max_over_time(load[$window]))", "window": "20s", "every": "10s"}
LOAD: dict[str, Any] = {"name": "load", "metric": "promql", "role": "guard", "max": "90%", "promql": QUERY}


def test_looks_at_prometheus_take_their_time_in_each_step() -> None:
    steps_ = [{"name": "five", "weight": 5, "hold": "1s"}, {"name": "half", "weight": 50, "hold": "1s"}]
    strategy = {"type": "Canary", "canary": {"mirror": 0, "steps": steps_}}
    spec = acceptance.read(CANARY_SPEC | {"strategy": strategy, "analysis": {"metrics": [LOAD]}})
    plotted = mine.plot(spec, mine.Way.NEW)
    said = [mine.sentence(step, need) for step in plotted.steps for need in step.needs]
    assert (
        said
        == ["load (promql): 3 looks in a row, one each 10s, within max 90%, the first when the step is 20s old"] * 2
    )
    # The window and two more looks, in each of two steps, whatever the traffic.
    for rate in (0.1, 1000.0):
        assert mine.earliest(plotted.steps, rate=rate, judged_after=timedelta(0)) == timedelta(seconds=80)
        assert mine.took(plotted.steps[0], plotted.steps[0].needs[0], rate=rate) == timedelta(seconds=40)
    assert mine.stakes(spec, plotted, attempt=1) == ""


def course(*listed: dict[str, Any], min_samples: int = 200) -> tuple[mine.Planned, ...]:
    analysis = {
        "metrics": [
            {"name": "errors", "metric": "error_rate", "max": "1%", "role": "guard", "minSamples": 100},
            {**ANALYSIS["metrics"][1], "minSamples": min_samples},
        ]
    }
    spec = CANARY_SPEC | {
        "strategy": {"type": "Canary", "canary": {"mirror": 0, "steps": list(listed)}},
        "analysis": analysis,
    }
    return mine.plot(acceptance.read(spec), mine.Way.NEW).steps


@pytest.mark.parametrize(
    ("steps_", "samples", "seconds"),
    [
        # 100 of 10 a second is 10 s; 200 judged need 20 s of predictions and 10 s until they are judged.
        pytest.param([{"name": "a", "weight": 10, "hold": "1s"}], 200, 30, id="outcomes decide"),
        pytest.param([{"name": "a", "weight": 10, "hold": "5m"}], 200, 300, id="the hold is longer than all"),
        # 10 s at 10 a second is 100; the other 100 take 2 s at 50 a second, and 10 s until they are judged.
        pytest.param(
            [{"name": "a", "weight": 10, "hold": "1s"}, {"name": "b", "weight": 50, "hold": "1s"}],
            200,
            22,
            id="predictions of earlier steps count",
        ),
        # 300 s at 10 a second made 200 long ago: only the second step's own hold is left.
        pytest.param(
            [{"name": "a", "weight": 10, "hold": "5m"}, {"name": "b", "weight": 50, "hold": "7s"}],
            200,
            307,
            id="enough was judged before the last step",
        ),
        # 99 %: 200 of stable's take 200 s at 1 a second, and 10 s.
        pytest.param([{"name": "a", "weight": 99, "hold": "1s"}], 200, 210, id="stable has its share to show too"),
    ],
)
def test_the_earliest_end_at_100_a_second(steps_: list[dict[str, Any]], samples: int, seconds: float) -> None:
    planned = course(*steps_, min_samples=samples)
    least = mine.earliest(planned, rate=100, judged_after=timedelta(seconds=10))
    assert least
    assert least.total_seconds() == pytest.approx(seconds)


@pytest.mark.parametrize(
    ("strategy", "seconds"),
    [
        # 200 pairs take 2 s at 100 a second, but 7 blocks of 20 s come first; then 10 s until they are judged.
        pytest.param({"type": "Shadow", "shadow": {"hold": "1s"}}, 150, id="blocks decide"),
        pytest.param({"type": "Shadow", "shadow": {"hold": "10m"}}, 600, id="the hold is longer"),
        pytest.param({"type": "Shadow", "shadow": {"hold": "1s", "mirror": 1}}, 210, id="a small mirror takes longer"),
    ],
)
def test_the_earliest_end_of_a_comparison_by_pairs(strategy: dict[str, Any], seconds: float) -> None:
    planned = mine.plot(acceptance.read(PAIRED_SPEC | {"strategy": strategy}), mine.Way.NEW)
    assert planned.ends
    assert "200 judged pairs" in mine.sentence(planned.steps[0], planned.steps[0].needs[0])
    least = mine.earliest(planned.steps, rate=100, judged_after=timedelta(seconds=10), block=timedelta(seconds=20))
    assert least
    assert least.total_seconds() == pytest.approx(seconds)


@given(canaries() | shadows(), st.floats(0.1, 1000), st.floats(1, 50))
def test_more_traffic_never_takes_longer_and_no_traffic_shortens_a_hold(
    spec: ModelDeploymentSpec, rate: float, times: float
) -> None:
    planned = [replace(step, by_hand=False) for step in mine.plot(spec, mine.Way.NEW).steps]
    slow = mine.earliest(planned, rate=rate, judged_after=timedelta(seconds=10))
    fast = mine.earliest(planned, rate=rate * times, judged_after=timedelta(seconds=10))
    assert slow is not None
    assert fast is not None
    assert fast <= slow + timedelta(milliseconds=1)
    assert fast >= sum((step.hold for step in planned), timedelta(0))


def test_nobody_knows_when_a_person_will_speak() -> None:
    planned = (mine.Planned("preview", 0, by_hand=True),)
    assert mine.earliest(planned, rate=1, judged_after=timedelta(0)) is None


def test_a_rate_of_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match="rate 0"):
        mine.earliest((), rate=0, judged_after=timedelta(0))


@given(SPECS)
def test_a_spec_does_not_differ_from_itself(spec: ModelDeploymentSpec) -> None:
    assert list(changes(spec, spec)) == []


@given(SPECS, SPECS)
def test_a_change_and_its_way_back_name_the_same_fields(one: ModelDeploymentSpec, two: ModelDeploymentSpec) -> None:
    there = [(item.path, item.old, item.new) for item in changes(one, two)]
    back = [(item.path, item.new, item.old) for item in changes(two, one)]
    assert there == back
    assert bool(there) == (one != two)


@given(SPECS, st.sampled_from(list(mine.Way)), st.integers(1, 4))
def test_the_evidence_that_takes_a_candidate_back_is_what_the_operator_asks_for(
    spec: ModelDeploymentSpec, way: mine.Way, attempt: int
) -> None:
    theirs = steps.course(spec, steps.Way(way))
    held = RolloutStatus(id="delay-1.1", revision="delay-1", phase=Phase.PENDING, way=way, attempt=attempt)
    wanted = number(1 / analysis.spending(spec, theirs, held).alpha_guard)
    said = mine.stakes(spec, mine.plot(spec, way), attempt=attempt)
    guarded = any(metric.role is Role.GUARD for metric in spec.analysis.metrics)
    assert said.endswith(f" {wanted} to 1") if guarded else not said


def test_stakes_follow_the_attempt() -> None:
    spec = acceptance.read(CANARY_SPEC)
    plotted = mine.plot(spec, mine.Way.NEW)
    assert "200 to 1" in mine.stakes(spec, plotted, attempt=1)
    assert "400 to 1" in mine.stakes(spec, plotted, attempt=2)
    mirroring = acceptance.read(PAIRED_SPEC)
    assert "240 to 1" in mine.stakes(mirroring, mine.plot(mirroring, mine.Way.NEW), attempt=1)
    assert Role.GUARD in {metric.role for metric in spec.analysis.metrics}
    assert mine.stakes(acceptance.read(SPEC), plotted, attempt=1) == ""
