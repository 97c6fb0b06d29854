"""What may be said of an A/B test and of a bandit, and in which words the rest is refused."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from switchyard_contracts import acceptance
from switchyard_contracts.acceptance import SpecRejected
from switchyard_contracts.experiments import Bandit
from switchyard_contracts.model_deployment import ModelDeploymentSpec
from switchyard_testkit.rollout_world import AB_SPEC, BANDIT_SPEC

DECIDE = {"name": "other", "metric": "outcome.mae", "maxIncrease": "0%", "role": "decide"}


def ab_test(**changes: Any) -> dict[str, Any]:
    return AB_SPEC | {"strategy": {"type": "ABTest", "abTest": AB_SPEC["strategy"]["abTest"] | changes}}


def bandit(**changes: Any) -> dict[str, Any]:
    return BANDIT_SPEC | {"strategy": {"type": "Bandit", "bandit": BANDIT_SPEC["strategy"]["bandit"] | changes}}


def monitored(spec: dict[str, Any], **changes: Any) -> dict[str, Any]:
    return spec | {"monitoring": spec["monitoring"] | changes}


OUTCOME = AB_SPEC["monitoring"]["outcome"]
REFUSED = [
    pytest.param(ab_test(share=0), "strategy.abTest: share: 0% leaves one of the two without users", id="no users"),
    pytest.param(ab_test(share=100), "share: 100% leaves one of the two", id="nobody to compare with"),
    pytest.param(ab_test(weeks=0), "weeks: 0 is too small", id="no time"),
    pytest.param(ab_test(effect="0.1"), "must be a percentage of stable's value", id="an effect in no unit"),
    pytest.param(ab_test(spread=0), "must be a number above 0", id="no spread"),
    pytest.param(ab_test(power=100), "from 50% to below 100%", id="a certain test"),
    pytest.param(ab_test(split={"by": "header", "name": "user_id"}), "drops headers with an underscore", id="a header"),
    pytest.param(
        ab_test() | {"analysis": {"metrics": AB_SPEC["analysis"]["metrics"][:1]}},
        "spec.analysis.metrics: ABTest compares by a metric with role: decide",
        id="nothing to compare by",
    ),
    pytest.param(
        ab_test() | {"strategy": AB_SPEC["strategy"] | {"capacity": "frugal"}},
        "spec.strategy.capacity: frugal, but weights that climb a pod at a time are no lot by which ABTest",
        id="weights that climb",
    ),
    pytest.param(
        ab_test(weeks=52) | {"analysis": AB_SPEC["analysis"] | {"block": "1d"}},
        "cuts the test's 364d into more than 700 windows, each with its groups of users, and guards add up all of"
        " them; write at least 44928s",
        id="too many windows",
    ),
    pytest.param(
        AB_SPEC | {"strategy": {"type": "ABTest"}}, "abTest: must be set when type is ABTest", id="without its block"
    ),
    pytest.param(
        AB_SPEC | {"strategy": {"abTest": AB_SPEC["strategy"]["abTest"]}}, "only then", id="of another strategy"
    ),
    pytest.param(bandit(floor=1), "those between 2% and 98%", id="a floor below 2 %"),
    pytest.param(bandit(ceiling=99), "those between 2% and 98%", id="a ceiling above 98 %"),
    pytest.param(bandit(start=3), "start: 3% must lie between floor (5%) and ceiling (90%)", id="a start below it"),
    pytest.param(
        monitored(bandit(every="9s"), outcome=OUTCOME | {"judgedAfter": "1m"}),
        "spec.strategy.bandit.every: 9s is less than a quarter of monitoring.outcome.judgedAfter (15s)",
        id="moves before anybody knows what the last one did",
    ),
    pytest.param(
        bandit() | {"analysis": {"metrics": [*BANDIT_SPEC["analysis"]["metrics"], DECIDE]}},
        "a bandit follows one reward, but outcome, other have role: decide",
        id="two rewards",
    ),
    pytest.param(
        bandit()
        | {
            "serving": {
                "paths": ["/predict"],
                "autoscaling": {"maxReplicas": 4},
                "resources": {"requests": {"cpu": "100m"}},
            }
        },
        "spec.serving.autoscaling: a bandit's weight moves while the load says",
        id="pods that follow the load",
    ),
]


@pytest.mark.parametrize(("spec", "says"), REFUSED)
def test_what_cannot_be_tried_is_refused_with_a_sentence(spec: dict[str, Any], says: str) -> None:
    with pytest.raises(SpecRejected) as refused:
        acceptance.read(spec)
    assert says in str(refused.value)


def test_a_week_is_seven_blocks() -> None:
    spec = acceptance.read(ab_test(weeks=3))
    assert spec.horizon == timedelta(seconds=3 * 7 * 5)
    assert acceptance.read(BANDIT_SPEC).horizon == timedelta(0)


def test_gates_stand_before_the_one_step() -> None:
    assert acceptance.step_names(acceptance.read(AB_SPEC).strategy) == ("test",)
    assert acceptance.step_names(acceptance.read(BANDIT_SPEC).strategy) == ("bandit",)


@pytest.mark.parametrize(
    ("every", "judged_after", "window", "pace"),
    [
        pytest.param(None, 3_600, 300, 900, id="a quarter of L"),
        pytest.param("2h", 3_600, 300, 7_200, id="as it is said"),
        pytest.param(None, 60, 300, 300, id="no more often than windows end"),
    ],
)
def test_how_often_a_weight_may_move(every: str | None, judged_after: int, window: int, pace: int) -> None:
    said = Bandit.model_validate({} if every is None else {"every": every})
    found = said.pace(judged_after=timedelta(seconds=judged_after), window=timedelta(seconds=window))
    assert found == timedelta(seconds=pace)


@pytest.mark.parametrize("spec", [AB_SPEC, BANDIT_SPEC], ids=["ABTest", "Bandit"])
def test_a_strategy_that_is_written_down_is_read_as_the_same(spec: dict[str, Any]) -> None:
    strategy = acceptance.read(spec).strategy
    written = strategy.model_dump_json(by_alias=True, exclude_none=True)
    assert type(strategy).model_validate_json(written) == strategy
    assert len(written) < 1_000
    assert ModelDeploymentSpec.model_validate(spec).strategy == strategy
