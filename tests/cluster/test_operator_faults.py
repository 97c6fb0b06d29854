"""The operator killed in the middle of a canary, and two of them at once: one acts, and goes on where the other was."""

from __future__ import annotations

import pytest
from switchyard_testkit.canary import CANARY, living, start
from switchyard_testkit.faults import kill_container
from switchyard_testkit.install import NAMESPACE, Installation, run
from switchyard_testkit.models import Models
from switchyard_testkit.waiting import until

pytestmark = [pytest.mark.alone, pytest.mark.timeout(420)]


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

    first = until(holder, "an operator holds the lease", seconds=90)
    scale(2)
    try:
        until(ready, "two operators are ready", seconds=150)
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
        until(lambda: holder() not in ("", first), "the other holds the lease", seconds=90)
        models.apply("delay", env={"VERSION": "1.0.0"})
        models.serving("delay", "1.0.0")
    finally:
        scale(1)
