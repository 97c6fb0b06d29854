"""The operator killed in the middle of a canary, and two of them at once: one acts, and goes on where the other was."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from switchyard_testkit.faults import kill_container
from switchyard_testkit.install import NAMESPACE, Installation, run
from switchyard_testkit.load import Traffic
from switchyard_testkit.models import Models
from switchyard_testkit.outcomes import Outcomes
from switchyard_testkit.waiting import until

pytestmark = pytest.mark.timeout(420)
FLIGHT = {"flight": {"distance": 500}}
TRUTH = 20.0
CANARY: dict[str, Any] = {
    "serving": {"paths": ["/predict"], "timeout": "10s", "port": 3000},
    "strategy": {
        "type": "Canary",
        "canary": {
            "steps": [
                {"name": "quarter", "weight": 25, "hold": "5s"},
                {"name": "half", "weight": 50, "hold": "5s"},
            ]
        },
    },
    "analysis": {
        "block": "10s",
        "metrics": [
            {"name": "errors", "metric": "error_rate", "max": "1%", "role": "guard", "minSamples": 50},
            {
                "name": "outcome",
                "metric": "outcome.rmse",
                "maxIncrease": "5%",
                "role": "decide",
                "minSamples": 200,
                "maxWait": "10m",
            },
        ],
    },
    "monitoring": {
        "window": "2s",
        "prediction": {"path": "$.delay", "task": "regression"},
        "outcome": {"horizon": "1h", "judgedAfter": "4s", "minCoverage": "80%", "affectedBy": "nothing"},
    },
}


@contextmanager
def living(models: Models) -> Iterator[Traffic]:
    """Traffic, and outcomes a second after each answer; at the end no request may have failed."""
    traffic = Traffic(models.url("delay"), body=FLIGHT, rate=80, prefix=models.namespace)
    outcomes = Outcomes(models.installation, models.subject("delay"), traffic, truth=TRUTH, delay=1, seed=17)
    with traffic, outcomes:
        yield traffic
    assert traffic.tally.failures == []
    assert outcomes.refusals == []


def start(models: Models, *, spec: dict[str, Any], bias: float) -> None:
    models.apply("delay", env={"VERSION": "1.0.0", "BIAS": bias}, spec=spec)
    models.serving("delay", "1.0.0")


def operator_pod(installation: Installation) -> str:
    return run(
        "kubectl", "-n", NAMESPACE, "get", "pods", "-l", "app.kubernetes.io/component=operator",
        "-o", "jsonpath={.items[0].metadata.name}", kubeconfig=installation.kubeconfig,
    ).strip()  # fmt: skip


def test_an_operator_killed_at_each_step_goes_on_where_it_was(models: Models) -> None:
    start(models, spec=CANARY, bias=10)
    with living(models):
        models.apply("delay", env={"VERSION": "2.0.0", "BIAS": 1}, spec=CANARY)
        for step in ("quarter", "half"):
            models.wait(
                "delay", lambda s, step=step: (s.get("rollout") or {}).get("step") == step, f"is at {step}", seconds=180
            )  # type: ignore[misc]
            kill_container(models.installation, operator_pod(models.installation), "operator")
        status = models.serving("delay", "2.0.0", seconds=240)
    steps = (status["rollout"] or {}).get("stepsDone", [])
    assert [step["name"] for step in steps][:2] == ["quarter", "half"]
    assert status["rollout"]["attempt"] == 1


def test_two_operators_one_acts_and_the_other_takes_over(models: Models) -> None:
    installation = models.installation

    def scale(replicas: int) -> None:
        arguments = ("-n", NAMESPACE, "scale", "deployment/switchyard-operator", f"--replicas={replicas}")
        run("kubectl", *arguments, kubeconfig=installation.kubeconfig)

    def holder() -> str:
        arguments = ("-n", NAMESPACE, "get", "leases", "-o", "jsonpath={.items[*].spec.holderIdentity}")
        return run("kubectl", *arguments, kubeconfig=installation.kubeconfig).strip()

    def ready() -> bool:
        arguments = (
            "-n",
            NAMESPACE,
            "get",
            "deployment",
            "switchyard-operator",
            "-o",
            "jsonpath={.status.readyReplicas}",
        )
        return run("kubectl", *arguments, kubeconfig=installation.kubeconfig).strip() == "2"

    first = until(holder, "an operator holds the lease", seconds=30)
    scale(2)
    try:
        until(ready, "two operators are ready", seconds=90)
        assert holder() == first, "the newcomer took the lease from a living holder"
        pod_name = next(part for part in (first, first.partition("_")[0]) if part)
        run(
            "kubectl",
            "-n",
            NAMESPACE,
            "delete",
            "pod",
            pod_name,
            "--force",
            "--grace-period=0",
            kubeconfig=installation.kubeconfig,
        )
        until(lambda: holder() not in ("", first), "the other holds the lease", seconds=25)
        models.apply("delay", env={"VERSION": "1.0.0"})
        models.serving("delay", "1.0.0")
    finally:
        scale(1)
