"""What may be said of a model, and what is refused with which words."""

from typing import Any

import pytest
from pydantic import ValidationError
from switchyard_contracts.model_deployment import Metric, ModelDeploymentSpec, StrategyType
from switchyard_contracts.model_route import ModelRouteSpec, RouteRole

OUTCOME = {
    "prediction": {"path": "$.delay", "task": "regression"},
    "outcome": {"horizon": "7d", "judgedAfter": "12h", "affectedBy": "nothing"},
}
RMSE = {"name": "outcome", "metric": "outcome.rmse", "maxIncrease": "5%", "role": "decide"}


def spec(**changes: Any) -> ModelDeploymentSpec:
    return ModelDeploymentSpec.model_validate({"model": {"image": "registry.example/delay:1"}} | changes)


def test_an_image_is_enough():
    found = spec()
    assert found.strategy.type is StrategyType.BLUE_GREEN
    assert (found.serving.replicas, found.analysis.metrics, found.monitoring) == (1, [], None)
    assert found.analysis.risk.wrong_promotion.value == 500


def test_what_was_never_said_is_not_written():
    assert "provenance" not in spec().to_json()["model"]


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        pytest.param({"model": {}}, "image", id="no image"),
        pytest.param({"model": {"image": "a b"}}, "image", id="no image name"),
        pytest.param({"model": {"image": "a", "version": "1.0"}}, "version", id="half a version"),
        pytest.param({"serving": {"replica": 2}}, "replica", id="a misspelt field"),
        pytest.param({"serving": {"replicas": 0}}, "replicas", id="no replica"),
        pytest.param({"serving": {"paths": ["/-/feedback"]}}, "paths", id="the gateway's own path"),
        pytest.param({"analysis": {"metrics": [RMSE]}}, "needs monitoring.outcome", id="an outcome nobody reports"),
        pytest.param(
            {"analysis": {"metrics": [RMSE, RMSE]}, "monitoring": OUTCOME}, "names must differ", id="two of a name"
        ),
        pytest.param(
            {
                "strategy": {
                    "type": "Canary",
                    "canary": {"steps": [{"name": "a", "weight": 50}, {"name": "b", "weight": 5}]},
                }
            },
            "weights must rise",
            id="falling weights",
        ),
        pytest.param(
            {"monitoring": {**OUTCOME, "outcome": {"horizon": "7d", "judgedAfter": "12h"}}}, "affectedBy", id="unsaid"
        ),
    ],
)
def test_a_slip_is_refused_and_named(changes, says):
    with pytest.raises(ValidationError, match=says):
        spec(**changes)


@pytest.mark.parametrize(
    ("metric", "says"),
    [
        pytest.param({"metric": "error_rate", "role": "guard"}, "exactly one of", id="no limit"),
        pytest.param({"metric": "error_rate", "role": "guard", "max": "1%", "min": "0%"}, "exactly one of", id="two"),
        pytest.param({"metric": "error_rate", "role": "guard", "max": 1}, "must be a percentage", id="1 of what"),
        pytest.param({"metric": "error_rate", "role": "guard", "min": "1%"}, "use max or maxIncrease", id="at least"),
        pytest.param({"metric": "error_rate", "role": "decide", "max": "1%"}, "use role: observe", id="decide by it"),
        pytest.param({"metric": "latency_p99", "role": "guard", "max": "5%"}, "must be a time", id="5 % of a time"),
        pytest.param({"metric": "latency_p42", "role": "guard", "max": "1s"}, "metric", id="an unknown metric"),
        pytest.param({"metric": "outcome.rmse", "role": "guard", "maxIncrease": "5%"}, "role: observe", id="as guard"),
        pytest.param({"metric": "outcome.rmse", "role": "decide", "max": "5"}, "use maxIncrease", id="a fixed RMSE"),
        pytest.param({"metric": "outcome.rmse", "role": "decide", "maxIncrease": "5"}, "of stable's value", id="by 5"),
        pytest.param({"metric": "outcome.accuracy", "role": "decide", "maxIncrease": "5%"}, "maxDecrease", id="worse"),
        pytest.param({"metric": "outcome.bias", "role": "decide", "max": "5"}, "role: observe", id="bias decides not"),
    ],
)
def test_a_limit_that_could_not_be_judged_is_refused(metric, says):
    with pytest.raises(ValidationError, match=says):
        Metric.model_validate({"name": "it"} | metric)


@pytest.mark.parametrize("name", ["outcome.bias", "outcome.coverage", "decision.agreement", "error_rate"])
def test_everything_may_be_observed_by_any_limit(name):
    metric = Metric.model_validate({"name": "it", "metric": name, "role": "observe", "min": "80%"})
    assert metric.limit == ("min", metric.min)


def canary(**changes: Any) -> dict[str, Any]:
    return {"type": "Canary", "canary": {"steps": [{"name": "five", "weight": 5}]} | changes}


JUDGED = {"analysis": {"metrics": [RMSE]}, "monitoring": OUTCOME}
BY_DECISION = {**OUTCOME, "outcome": {**OUTCOME["outcome"], "affectedBy": "decision"}}


@pytest.mark.parametrize(
    ("changes", "mirror"),
    [
        pytest.param(JUDGED, 10_000, id="an outcome decides: all that can be taken"),
        pytest.param({}, 0, id="nothing is decided by outcomes"),
        pytest.param({**JUDGED, "monitoring": BY_DECISION}, 0, id="the outcome depends on what is decided"),
        pytest.param({"strategy": canary(mirror="auto")}, 10_000, id="asked for, though it decides nothing"),
        pytest.param({**JUDGED, "strategy": canary(mirror=0)}, 0, id="switched off"),
        pytest.param({**JUDGED, "strategy": canary(mirror="2.5%")}, 250, id="a sample"),
        pytest.param(
            {**JUDGED, "strategy": canary(mirror=50, steps=[{"name": "five", "weight": 5, "mirror": 0}])},
            0,
            id="a step's own word, even if it is none",
        ),
    ],
)
def test_what_a_step_mirrors(changes: dict[str, Any], mirror: int):
    found = spec(**({"strategy": canary()} | changes))
    assert found.strategy.canary
    assert found.mirror_of(found.strategy.canary, found.strategy.canary.steps[0]) == mirror
    again = ModelDeploymentSpec.model_validate(found.to_json())
    assert again == found


def test_a_step_that_says_no_weight_only_mirrors():
    found = spec(strategy=canary(steps=[{"name": "look", "mirror": 100}, {"name": "five", "weight": 5}]))
    assert found.strategy.canary
    assert [step.weight.value for step in found.strategy.canary.steps] == [0, 500]


def routes(*roles_and_weights: tuple[str, int]) -> ModelRouteSpec:
    return ModelRouteSpec.model_validate(
        {
            "paths": ["/predict"],
            "timeout": "60s",
            "routes": [
                {"revision": f"delay-{i}", "role": role, "weightBp": weight, "service": f"delay-{i}", "port": 3000}
                for i, (role, weight) in enumerate(roles_and_weights)
            ],
        }
    )


def test_a_route_knows_its_stable_and_its_candidate():
    found = routes(("stable", 9500), ("candidate", 500))
    assert found.stable.role is RouteRole.STABLE
    assert found.candidate is not None
    assert found.candidate.weight_bp == 500
    assert routes(("stable", 10_000)).candidate is None


@pytest.mark.parametrize(
    ("given", "says"),
    [
        pytest.param([("stable", 9500), ("candidate", 600)], "sum to 10100 basis points", id="too much"),
        pytest.param([("candidate", 10_000)], "exactly one must be stable, 0 are", id="no stable"),
        pytest.param([("stable", 5000), ("stable", 5000)], "exactly one must be stable, 2 are", id="two stables"),
    ],
)
def test_a_route_that_does_not_add_up_is_refused(given, says):
    with pytest.raises(ValidationError, match=says):
        routes(*given)
