"""The smaller rooms of the domain: acceptance, differences, pods' words, workloads, settings."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from pydantic import ValidationError
from switchyard_contracts import acceptance
from switchyard_contracts.acceptance import SpecRejected
from switchyard_operator.domain import pods, workloads
from switchyard_operator.domain.difference import differs
from switchyard_operator.domain.workloads import MADE_AS, grace
from switchyard_operator.settings import Settings

IMAGE = {"image": "models/delay:1"}


def then(*steps: dict[str, Any]) -> dict[str, Any]:
    return {"thenPromote": {"steps": list(steps)}}


def canary(*steps: dict[str, Any]) -> dict[str, Any]:
    return {"type": "Canary", "canary": {"steps": list(steps)}}


@pytest.mark.parametrize(
    ("spec", "words"),
    [
        pytest.param({}, r"spec\.model: this field is required", id="nothing"),
        pytest.param({"model": IMAGE | {"imag": "x"}}, r"spec\.model\.imag: there is no such field", id="misspelt"),
        pytest.param({"model": IMAGE, "serving": {"timeout": "1 minute"}}, r"spec\.serving\.timeout", id="duration"),
        pytest.param(
            {"model": IMAGE, "strategy": {"type": "Bandit"}},
            r"spec\.strategy\.bandit: must be set when type is Bandit",
            id="a strategy without its block",
        ),
        pytest.param(
            {"model": IMAGE, "strategy": {"shadow": {}}},
            r"spec\.strategy\.shadow: may be set only when type is Shadow",
            id="a shadow by another strategy",
        ),
        pytest.param(
            {"model": IMAGE, "strategy": {"type": "Shadow", "shadow": then({"name": "shadow", "weight": 5})}},
            r"spec\.strategy\.shadow\.thenPromote\.steps\[0\]\.name: 'shadow' is taken",
            id="a step of the shadow's name",
        ),
        pytest.param(
            {"model": IMAGE, "strategy": {"type": "Shadow", "shadow": then({"name": "a", "mirror": 50})}},
            r"spec: strategy\.shadow\.thenPromote\.steps: weights must rise from step to step, from above 0",
            id="a mirror's step after the shadow",
        ),
        pytest.param(
            {"model": IMAGE, "strategy": {"type": "Shadow", "shadow": {"mirror": 0}}},
            r"spec\.strategy\.shadow\.mirror: 0 compares nothing",
            id="a shadow without a mirror",
        ),
        pytest.param(
            {"model": IMAGE, "strategy": {"type": "Shadow", "shadow": {"mirror": "all"}}},
            r"spec\.strategy\.shadow\.mirror: 'all' is not a percentage; .*; or auto",
            id="a mirror in other words",
        ),
        pytest.param(
            {
                "model": IMAGE,
                "strategy": {"type": "Shadow"},
                "analysis": {
                    "metrics": [{"name": "o", "metric": "outcome.rmse", "maxIncrease": "5%", "role": "decide"}]
                },
                "monitoring": {
                    "prediction": {"path": "$.delay", "task": "regression"},
                    "outcome": {"horizon": "7d", "judgedAfter": "1d", "affectedBy": "decision"},
                },
            },
            r"spec\.analysis\.metrics\[0\]\.role: a mirrored answer changes no decision",
            id="an outcome of decisions that a shadow cannot make",
        ),
        pytest.param(
            {"model": IMAGE, "strategy": {"type": "Canary"}}, r"spec\.strategy\.canary: must be set", id="no steps"
        ),
        pytest.param(
            {
                "model": IMAGE,
                "analysis": {
                    "metrics": [{"name": "o", "metric": "outcome.rmse", "maxIncrease": "5%", "role": "decide"}]
                },
                "monitoring": {
                    "prediction": {"path": "$.delay", "task": "regression"},
                    "outcome": {"horizon": "7d", "judgedAfter": "1d", "affectedBy": "nothing"},
                },
            },
            r"spec\.analysis\.metrics\[0\]\.role: BlueGreen has no split traffic",
            id="blue/green without a mirror cannot be decided by outcomes",
        ),
        pytest.param(
            {
                "model": IMAGE,
                "strategy": {
                    "type": "Canary",
                    "canary": {"steps": [{"name": "a", "weight": 5}, {"name": "a", "weight": 6}]},
                },
            },
            r"spec\.strategy\.canary\.steps\[1\]\.name: 'a' is taken",
            id="two steps of one name",
        ),
        pytest.param(
            {"model": IMAGE, "strategy": canary({"name": "a", "weight": 5, "awaitOutcomes": True})},
            r"spec\.strategy\.canary\.steps\[0\]\.awaitOutcomes: no metric decides",
            id="outcomes of no metric are awaited",
        ),
        pytest.param(
            {
                "model": IMAGE,
                "strategy": canary({"name": "a", "weight": 5}, {"name": "b", "weight": 100, "pause": True}),
            },
            r"spec\.strategy\.canary\.steps\[1\]\.pause: at 100 the candidate takes over",
            id="a pause after the switch",
        ),
    ],
)
@pytest.mark.rule("unknown-field")
def test_what_cannot_be_honoured_is_refused_by_the_fields_path(spec: dict[str, Any], words: str) -> None:
    with pytest.raises(SpecRejected, match=words):
        acceptance.read(spec)


@pytest.mark.parametrize(
    ("wanted", "actual", "expected"),
    [
        pytest.param({"a": 1}, {"a": 1, "b": 2}, False, id="defaults around it"),
        pytest.param({"a": {"b": 1}}, {"a": {"b": 2}}, True, id="another value"),
        pytest.param({"limits": {"cpu": "1000m"}}, {"limits": {"cpu": "1"}}, False, id="a quantity spelt otherwise"),
        pytest.param({"limits": {"cpu": "1"}}, {"limits": {"cpu": "1", "memory": "1"}}, True, id="an added limit"),
        pytest.param(
            {"containers": [{"name": "m", "image": "x"}]},
            {"containers": [{"name": "proxy"}, {"name": "m", "image": "x", "stdin": False}]},
            False,
            id="a sidecar that an admission hook put in",
        ),
        pytest.param({"env": [{"name": "A", "value": "1"}]}, {"env": []}, True, id="a variable taken away"),
        pytest.param(
            {"env": [{"name": "A", "value": "1"}]},
            {"env": [{"name": "A", "value": "1"}, {"name": "B", "value": "2"}]},
            True,
            id="a variable put in",
        ),
        pytest.param({"env": [{"name": "A", "value": ""}]}, {"env": [{"name": "A"}]}, False, id="an empty value"),
    ],
)
def test_differs(wanted: Any, actual: Any, expected: bool) -> None:
    assert differs(wanted, actual) is expected


def pod(**state: Any) -> dict[str, Any]:
    return {
        "metadata": {"name": "delay-x"},
        "status": {"containerStatuses": [{"name": "model", "restartCount": 0, "started": False} | state]},
    }


ENDED = {"reason": "Error", "exitCode": 3, "message": "Traceback\n  no such file: model.json"}


@pytest.mark.parametrize(
    ("body", "words"),
    [
        pytest.param(
            pod(state={"waiting": {"reason": "ImagePullBackOff", "message": "not found"}}),
            "ImagePullBackOff: not found",
            id="no such image",
        ),
        pytest.param(
            pod(
                restartCount=4,
                state={"waiting": {"reason": "CrashLoopBackOff", "message": "back-off"}},
                lastState={"terminated": ENDED},
            ),
            "CrashLoopBackOff: Error with exit code 3: Traceback no such file: model.json",
            id="it crashes",
        ),
        pytest.param(
            pod(restartCount=1, state={"running": {}}, lastState={"terminated": ENDED}),
            "restarted 1 time",
            id="it crashed and runs again",
        ),
        pytest.param(pod(state={"running": {}}), "has not answered /readyz yet", id="it starts"),
        pytest.param(pod(started=True, state={"running": {}}), "runs but is not ready", id="it started, is not ready"),
        pytest.param(pod(state={"waiting": {"reason": "ContainerCreating"}}), "ContainerCreating", id="being made"),
        pytest.param(
            {
                "metadata": {"name": "delay-x"},
                "status": {
                    "conditions": [
                        {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": "no cpu"}
                    ]
                },
            },
            "Unschedulable: no cpu",
            id="no room",
        ),
    ],
)
def test_pods_say_why_they_are_not_ready(body: dict[str, Any], words: str) -> None:
    assert words in pods.problem([body], {})


@pytest.mark.rule("upgrade-starts-nothing")
def test_a_template_of_another_release_is_kept() -> None:
    def deployment(made_as: str, image: str) -> dict[str, Any]:
        return {
            "metadata": {"name": "delay", "annotations": {MADE_AS: made_as}},
            "spec": {"replicas": 2, "template": {"image": image}},
        }

    kept = workloads.keep_pods(deployment("new", "new"), deployment("old", "old"))
    assert kept["spec"]["template"] == {"image": "old"}
    assert workloads.keep_pods(deployment("new", "new"), deployment("new", "edited"))["spec"]["template"] == {
        "image": "new"
    }


@pytest.mark.parametrize("seconds", [1, 60, 61, 600])
def test_a_pod_has_time_for_its_requests_and_the_drain(seconds: int) -> None:
    assert grace(timedelta(seconds=seconds)) > seconds + 10


def test_settings_read_the_environment_and_refuse_what_they_do_not_know() -> None:
    settings = Settings.from_env({"OPERATOR_WORKERS": "2", "OPERATOR_RESYNC": "90s", "HOME": "/"})
    assert (settings.workers, settings.resync) == (2, timedelta(seconds=90))
    with pytest.raises(ValidationError, match="extra"):
        Settings.from_env({"OPERATOR_WORKER": "2"})


def test_a_revision_is_dead_only_since_its_last_pod_is_lost() -> None:
    def lost(name: str, since: str) -> dict[str, Any]:
        conditions = [{"type": "Ready", "status": "False", "lastTransitionTime": since}]
        return {"metadata": {"name": name}, "status": {"conditions": conditions}}

    unavailable = {"type": "Available", "status": "False", "lastTransitionTime": "2026-03-02T11:00:00Z"}
    deployment = {"spec": {"replicas": 2}, "status": {"conditions": [unavailable]}}
    seen = pods.observe(deployment, [lost("a", "2026-03-02T11:00:00Z"), lost("b", "2026-03-02T11:59:50Z")])
    assert seen.ready == 0
    assert seen.lost_at == datetime(2026, 3, 2, 11, 59, 50, tzinfo=UTC)
    assert seen.unready_since == datetime(2026, 3, 2, 11, tzinfo=UTC)


@pytest.mark.parametrize(
    ("gate", "words"),
    [
        pytest.param(
            {"type": "OfflineEvaluation", "offlineEvaluation": {"image": "a", "data": {}}},
            r"data: set exactly one of configMap and claim",
            id="data from nowhere",
        ),
        pytest.param(
            {"type": "Webhook", "webhook": {"url": "https://a", "timeout": "1m"}},
            r"from 100ms to 30s",
            id="too patient",
        ),
        pytest.param(
            {"type": "Approval", "before": "step", "step": "half"},
            r"spec\.gates\[0\]\.step: the strategy has no step 'half'; its steps are preview",
            id="a step that is not there",
        ),
        pytest.param({"type": "Approval", "within": "0s"}, r"spec\.gates\[0\]: within: a gate needs", id="no time"),
        pytest.param(
            {"type": "Version", "before": "provisioning"}, r"without model\.version only a pod", id="no version yet"
        ),
        pytest.param({"type": "Smoke"}, r"smoke: must be set when type is Smoke", id="no requests"),
        pytest.param(
            {"type": "Approval", "smoke": {"requests": [{"path": "/"}]}}, r"only when type is Smoke", id="another block"
        ),
    ],
)
def test_a_gate_that_cannot_be_asked_is_refused(gate: dict[str, Any], words: str) -> None:
    with pytest.raises(SpecRejected, match=words):
        acceptance.read({"model": IMAGE, "gates": [{"name": "one", **gate}]})


@pytest.mark.parametrize("step", ["shadow", "five"])
def test_a_gate_may_stand_before_any_step_of_the_strategy(step: str) -> None:
    strategy = {"type": "Shadow", "shadow": then({"name": "five", "weight": 5})}
    gate = {"name": "one", "type": "Approval", "before": "step", "step": step}
    assert acceptance.read({"model": IMAGE, "strategy": strategy, "gates": [gate]}).gates[0].place == f"step {step}"
