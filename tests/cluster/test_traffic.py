"""No failed request: weights move 200 times, blue and green change places 20 times, and pods come and go meanwhile."""

from __future__ import annotations

import itertools
import json
import random
from typing import Any

import httpx
import pytest
from kubernetes import client
from switchyard_testkit.apiserver import api_client
from switchyard_testkit.install import run
from switchyard_testkit.load import Traffic
from switchyard_testkit.models import APPLY, GROUP, Models
from switchyard_testkit.waiting import until

pytestmark = [pytest.mark.alone, pytest.mark.timeout(420)]
FLIGHT = {"flight": {"distance": 500}}
TWO = {"serving": {"paths": ["/predict"], "timeout": "10s", "port": 3000, "replicas": 2}}


def acknowledged(models: Models, name: str) -> int:
    """The generation of the route that the gateway runs now."""
    pods = run(
        "kubectl", "-n", "switchyard-system", "get", "pods", "-l", "app.kubernetes.io/component=gateway",
        "-o", "jsonpath={.items[*].status.podIP}", kubeconfig=models.installation.kubeconfig,
    )  # fmt: skip
    seen = []
    for address in pods.split():
        routes = httpx.get(f"http://{address}:8081/routes", timeout=10).json()["routes"]
        seen.append(int(routes.get(models.subject(name), {}).get("generation", 0)))
    return min(seen)


def write_route(models: Models, name: str, routes: list[dict[str, Any]]) -> int:
    """Write a ModelRoute of our own; the generation it became."""
    body = {
        "apiVersion": "/".join(GROUP),
        "kind": "ModelRoute",
        "metadata": {"name": name, "namespace": models.namespace},
        "spec": {"paths": ["/predict"], "timeout": "10s", "routes": routes},
    }
    with api_client(models.installation.slot) as api:
        client.CustomObjectsApi(api).patch_namespaced_custom_object(
            *GROUP, models.namespace, "modelroutes", name, body, field_manager="test", force=True, _content_type=APPLY
        )
    return int(models.get(name, "modelroutes")["metadata"]["generation"])


def delete_one_pod(models: Models, revision: str) -> None:
    """Take one of a revision's pods, and see that another takes its place while the traffic goes on."""
    arguments = ("-n", models.namespace, "get", "pods", "-l", f"switchyard.dev/revision={revision}", "-o", "json")
    pods = json.loads(run("kubectl", *arguments, kubeconfig=models.installation.kubeconfig))["items"]
    alive = [pod["metadata"]["name"] for pod in pods if "deletionTimestamp" not in pod["metadata"]]
    run(
        "kubectl",
        "-n",
        models.namespace,
        "delete",
        "pod",
        alive[0],
        "--wait=false",
        kubeconfig=models.installation.kubeconfig,
    )


def ready_pods(models: Models, revision: str) -> int:
    """Ready pods of a revision that are not on their way out."""
    arguments = ("-n", models.namespace, "get", "pods", "-l", f"switchyard.dev/revision={revision}", "-o", "json")
    pods = json.loads(run("kubectl", *arguments, kubeconfig=models.installation.kubeconfig))["items"]
    return sum(
        "deletionTimestamp" not in pod["metadata"]
        and any(c["type"] == "Ready" and c["status"] == "True" for c in pod["status"].get("conditions", []))
        for pod in pods
    )


def test_two_hundred_changes_of_weight_fail_no_request(models: Models) -> None:
    models.apply("blue", env={"VERSION": "1.0.0"}, spec=TWO)
    models.apply("green", env={"VERSION": "2.0.0"}, spec=TWO)
    blue = models.serving("blue", "1.0.0")["stable"]["revision"]
    green = models.serving("green", "2.0.0")["stable"]["revision"]

    def routes(weight: int) -> list[dict[str, Any]]:
        of_blue = {"revision": "mix-blue", "version": "1.0.0", "role": "stable", "service": blue, "port": 3000}
        of_green = {"revision": "mix-green", "version": "2.0.0", "role": "candidate", "service": green, "port": 3000}
        return [{**of_blue, "weightBp": 10_000 - weight}, {**of_green, "weightBp": weight}]

    rng = random.Random(17)
    first = write_route(models, "mix", routes(500))
    until(lambda: acknowledged(models, "mix") >= first, "the gateway runs the first route", seconds=30)
    with Traffic(models.url("mix"), body=FLIGHT, rate=60, prefix=models.namespace) as traffic:
        for change in range(200):
            weight = rng.choice(list(range(0, 10_001, 250)))
            generation = write_route(models, "mix", routes(weight))
            until(
                lambda g=generation: acknowledged(models, "mix") >= g,
                f"change {change} is acknowledged",
                seconds=30,
                every=0.02,
            )  # type: ignore[misc]
            if change % 50 == 25:
                victim = rng.choice([blue, green])
                until(lambda v=victim: ready_pods(models, v) == 2, "two pods are ready", seconds=90)  # type: ignore[misc]
                delete_one_pod(models, victim)
    tally = traffic.tally
    assert tally.failures == []
    assert acknowledged(models, "mix") >= first + 150, "the weights did not really move"
    assert set(tally.by_revision()) == {"mix-blue", "mix-green"}


def test_twenty_switches_of_blue_and_green_fail_no_request(models: Models) -> None:
    models.apply("delay", env={"VERSION": "1.0.0"}, spec=TWO)
    models.serving("delay", "1.0.0")
    with Traffic(models.url("delay"), body=FLIGHT, rate=60, prefix=models.namespace) as traffic:
        for switch in range(20):
            version = "2.0.0" if switch % 2 == 0 else "1.0.0"
            models.apply("delay", env={"VERSION": version}, spec=TWO)
            status = models.serving("delay", version)
            if switch % 7 == 3:
                revision = status["stable"]["revision"]
                until(lambda r=revision: ready_pods(models, r) == 2, "two pods are ready", seconds=90)  # type: ignore[misc]
                delete_one_pod(models, revision)
    tally = traffic.tally
    assert tally.failures == []
    versions = [answer.version for answer in sorted(tally.answers, key=lambda a: a.at)]
    changes = sum(a != b for a, b in itertools.pairwise(versions))
    assert changes >= 20, f"the versions changed places only {changes} times"
