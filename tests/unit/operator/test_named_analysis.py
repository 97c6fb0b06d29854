"""Steps that name what they judge: the other guards are silent in them, and named outcomes are awaited."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from switchyard_contracts import acceptance
from switchyard_contracts.acceptance import SpecRejected
from switchyard_contracts.model_deployment import Phase, RolloutStatus, StepRecord
from switchyard_operator.domain import analysis, steps
from switchyard_operator.domain.steps import Way
from switchyard_testkit.rollout_world import (
    AB_SPEC,
    ANALYSIS,
    CANARY_SPEC,
    MONITORING,
    PAIRED_SPEC,
    SHADOW_SPEC,
    THEN_SPEC,
    Model,
    Simulation,
)

ONE, TWO = "models/delay:1", "models/delay:2"
SECOND, MINUTE = timedelta(seconds=1), timedelta(minutes=1)
STRICT, OUTCOME = ANALYSIS["metrics"][0] | {"name": "strict"}, ANALYSIS["metrics"][1]
LOOSE = STRICT | {"name": "loose", "max": "50%"}
SLOW = {"name": "slow", "metric": "latency_p95", "maxIncrease": "20%", "role": "guard"}
"""The world's monitor never says what is slow, so this guard waits for ever where it speaks."""
TRUST = {"name": "trust", "metric": "decision.agreement", "min": "80%", "role": "observe"}


def naming(ten: list[str] | None, half: list[str] | None, *metrics: dict[str, Any], **first: Any) -> dict[str, Any]:
    """A canary of two steps that name these."""
    listed: list[dict[str, Any]] = [
        {"name": "ten", "weight": 10, "hold": "10s"} | first,
        {"name": "half", "weight": 50, "hold": "10s"},
    ]
    for step, names in zip(listed, (ten, half), strict=True):
        if names is not None:
            step["analysis"] = names
    strategy = {"type": "Canary", "canary": {"mirror": 0, "steps": listed}}
    return CANARY_SPEC | {"strategy": strategy, "analysis": {"metrics": list(metrics)}}


def started(spec: dict[str, Any], **nature: Any) -> Simulation:
    """The first model serves, and the second is on its way."""
    second = Model(**{"version": "2.0.0", "loss": 50.0} | nature)
    world = Simulation({ONE: Model(version="1.0.0", loss=100.0), TWO: second})
    world.deploy(spec)
    world.run(lambda: world.phase is Phase.COMPLETED)
    world.deploy(spec, image=TWO)
    world.run(lambda: TWO in world.route)
    return world


@pytest.mark.rule("canary")
def test_a_guard_that_no_step_names_holds_none_of_them() -> None:
    world = started(naming(["strict"], ["strict"], STRICT, SLOW))
    world.run(lambda: world.phase is Phase.WATCHING, within=5 * MINUTE)


def test_where_no_step_names_any_every_guard_holds() -> None:
    world = started(naming(None, None, STRICT, SLOW))
    world.run_for(5 * MINUTE)
    assert (world.phase, world.route.get(TWO)) == (Phase.AWAITING_EVIDENCE, ("candidate", 1000))


@pytest.mark.rule("canary")
def test_a_guard_takes_it_back_in_the_first_step_that_names_it() -> None:
    world = started(naming(["loose"], ["strict"], STRICT, LOOSE), failing=0.3)
    world.run(lambda: world.route.get(TWO) == ("candidate", 5000), within=2 * MINUTE)
    world.run(lambda: world.route == {ONE: ("stable", 10_000)}, within=2 * MINUTE)
    assert world.status.rollout
    assert "strict: " in world.status.rollout.message
    assert "loose: " not in world.status.rollout.message


def test_after_the_switch_every_guard_speaks() -> None:
    world = started(naming(["loose"], ["loose"], STRICT, LOOSE), failing=0.3)
    world.run(lambda: world.phase is Phase.ROLLED_BACK, within=5 * MINUTE)
    assert 10_000 in [weight for _, weight in world.weights]


def test_only_what_is_judged_is_asked_and_shown() -> None:
    world = started(naming(["strict"], None, STRICT, LOOSE, TRUST))
    world.run(lambda: bool(world.status.rollout and world.status.rollout.verdicts), within=MINUTE)
    assert world.status.rollout
    assert [verdict.name for verdict in world.status.rollout.verdicts] == ["strict", "trust"]
    assert {question.metric.name for question in world.monitor.asked} == {"strict", "trust"}


@pytest.mark.rule("canary")
def test_a_step_is_not_left_before_the_outcome_that_it_names_passes() -> None:
    world = started(naming(["strict", "outcome"], None, STRICT, OUTCOME), loss=111.0)
    world.run_for(5 * MINUTE)
    assert (world.phase, world.route.get(TWO)) == (Phase.AWAITING_EVIDENCE, ("candidate", 1000))
    world.images[TWO] = Model(version="2.0.0", loss=40.0)
    world.run(lambda: world.route[TWO] == ("candidate", 5000), within=20 * MINUTE)


@pytest.mark.rule("late-labels")
def test_no_name_lets_an_outcome_out_before_all_of_the_traffic() -> None:
    world = started(naming(["strict"], ["strict"], STRICT, OUTCOME), loss=111.0)
    world.run(lambda: world.route[TWO] == ("candidate", 5000), within=2 * MINUTE)
    world.run_for(5 * MINUTE)
    assert (world.phase, world.route.get(TWO)) == (Phase.AWAITING_EVIDENCE, ("candidate", 5000))


def test_an_outcome_that_is_proven_worse_ends_it_at_a_step_that_does_not_name_it() -> None:
    world = started(naming(["strict"], None, STRICT, OUTCOME, hold="30m"), loss=400.0)
    world.run(lambda: world.route == {ONE: ("stable", 10_000)}, within=20 * MINUTE)
    assert [weight for _, weight in world.weights if weight] == [1000]


@pytest.mark.parametrize(
    ("ten", "half", "tests"),
    [
        pytest.param(None, None, 2 * 3 + 1, id="two guards in two steps and the switch, and an outcome"),
        pytest.param(["strict"], None, 2 * 3, id="one is silent in a step"),
        pytest.param(["strict"], ["strict", "outcome"], 2 * 3 - 1, id="one is silent in both"),
        pytest.param(["outcome"], None, 2 * 3 - 1, id="both are silent in one"),
    ],
)
def test_guards_share_the_budget_of_the_steps_in_which_they_speak(
    ten: list[str] | None, half: list[str] | None, tests: int
) -> None:
    spec = acceptance.read(naming(ten, half, STRICT, LOOSE, OUTCOME))
    world = started(naming(ten, half, STRICT, LOOSE, OUTCOME))
    assert world.status.rollout
    spend = analysis.spending(spec, steps.course(spec, Way.NEW), world.status.rollout)
    assert spend.alpha_guard == pytest.approx(0.025 / tests)


PREVIEW = PAIRED_SPEC | {"strategy": {"type": "BlueGreen", "blueGreen": {"mirror": 5}}}
DEPENDENT = PAIRED_SPEC | {
    "strategy": {"type": "Canary", "canary": {"mirror": 50, "steps": [{"name": "ten", "weight": 10}]}},
    "monitoring": MONITORING | {"outcome": MONITORING["outcome"] | {"affectedBy": "decision"}},
}


@pytest.mark.parametrize(
    ("said", "way", "copied", "pairs"),
    [
        pytest.param(PAIRED_SPEC, Way.NEW, [], 1, id="a canary that mirrors as nothing else is said"),
        pytest.param(CANARY_SPEC, Way.NEW, [], 0, id="a canary that mirrors nothing"),
        pytest.param(CANARY_SPEC, Way.NEW, [4], 1, id="an edit ended its mirror, and there are pairs of before"),
        pytest.param(DEPENDENT, Way.NEW, [4], 0, id="copies by which nothing is judged"),
        pytest.param(SHADOW_SPEC, Way.NEW, [], 1, id="a shadow"),
        pytest.param(PREVIEW, Way.NEW, [], 1, id="a preview with copies"),
        pytest.param(AB_SPEC, Way.NEW, [], 0, id="users who are told apart"),
        pytest.param(PAIRED_SPEC, Way.SAME_MODEL, [], 0, id="the same model in other pods, which takes no step"),
    ],
)
def test_that_copies_are_answered_has_a_share_of_the_budget_only_where_there_are_any(
    said: dict[str, Any], way: Way, copied: list[int], pairs: int
) -> None:
    spec = acceptance.read(said)
    course = steps.course(spec, way)
    records = [StepRecord(name="ten", weight_bp=1_000, generations=copied, mirrored=copied)]
    held = RolloutStatus(id="delay-1.1", revision="delay-1", phase=Phase.PROGRESSING, way=way, steps_done=records)
    spend = analysis.spending(spec, course, held)
    assert spend.alpha_guard == pytest.approx(0.025 / (len(course.steps) + 1 + 1 + pairs))


def first(**said: Any) -> dict[str, Any]:
    """A canary whose first step says this."""
    listed = [{"name": "ten", "hold": "10s"} | said, {"name": "half", "weight": 50}]
    return CANARY_SPEC | {
        "strategy": {"type": "Canary", "canary": {"steps": listed}},
        "analysis": {"metrics": [STRICT, OUTCOME, TRUST]},
    }


@pytest.mark.parametrize(
    ("spec", "words"),
    [
        pytest.param(first(weight=5, analysis=["errors"]), "no 'errors'; it has strict, outcome, trust", id="unknown"),
        pytest.param(first(weight=5, analysis=["strict", "strict"]), "is named already", id="twice"),
        pytest.param(first(weight=5, analysis=["trust"]), "is only observed", id="what nothing waits for"),
        pytest.param(first(weight=5, analysis=[]), "at least 1 item", id="none at all"),
        pytest.param(first(mirror=50, analysis=["strict"]), "the candidate answers none", id="a guard of nobody"),
        pytest.param(first(mirror=0, analysis=["outcome"]), "without pairs", id="an outcome of nobody"),
        pytest.param(first(scale=1, analysis=["strict"]), "the candidate answers none", id="a guard of idle pods"),
        pytest.param(
            first(weight=5, awaitOutcomes=True, analysis=["strict"]),
            r"steps\[0\].awaitOutcomes: true, but analysis names no metric with role: decide",
            id="outcomes are awaited, and none is named",
        ),
        pytest.param(
            naming(None, ["strict"], STRICT, weight=10)
            | {
                "strategy": {
                    "type": "Canary",
                    "canary": {"steps": [{"name": "all", "weight": 100, "analysis": ["strict"]}]},
                }
            },
            "at 100 the candidate takes over",
            id="after the switch",
        ),
        pytest.param(
            THEN_SPEC
            | {
                "strategy": {
                    "type": "Shadow",
                    "shadow": {"thenPromote": {"steps": [{"name": "five", "weight": 5, "analysis": ["no"]}]}},
                }
            },
            r"thenPromote\.steps\[0\]\.analysis\[0\]: spec.analysis.metrics has no 'no'",
            id="in the canary after a shadow",
        ),
    ],
)
@pytest.mark.rule("unknown-field")
def test_a_name_that_could_say_nothing_is_refused(spec: dict[str, Any], words: str) -> None:
    with pytest.raises(SpecRejected, match=words):
        acceptance.read(spec)


@pytest.mark.parametrize(
    "spec",
    [
        pytest.param(first(weight=5, analysis=["strict", "outcome"]), id="a guard and an outcome"),
        pytest.param(first(mirror=50, analysis=["outcome"]), id="an outcome of pairs alone"),
        pytest.param(first(weight=5, awaitOutcomes=True, analysis=["strict", "outcome"]), id="awaited twice is once"),
    ],
)
def test_a_name_that_can_be_judged_is_taken(spec: dict[str, Any]) -> None:
    assert acceptance.read(spec).strategy.canary
