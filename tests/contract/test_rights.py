"""The operator as a process with exactly the chart's rights, on a real API server: they are enough, in both modes."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import yaml
from kubernetes import client
from switchyard_testkit.envoy import free_port
from switchyard_testkit.install import merged, run
from switchyard_testkit.node import pki
from switchyard_testkit.own_apiserver import own_api_server
from switchyard_testkit.rendering import LEAST, NAMESPACE, pods, render, variables
from switchyard_testkit.waiting import until

pytestmark = pytest.mark.timeout(600)

MODEL = """
apiVersion: switchyard.dev/v1alpha1
kind: ModelDeployment
metadata: {name: delay}
spec:
  model: {image: registry.example/delay:1, config: {envFrom: [{configMap: settings}]}}
  serving:
    egress: [{cidr: 10.20.0.0/16, ports: [5432]}]
    autoscaling: {minReplicas: 2, maxReplicas: 4}
    resources: {requests: {cpu: 100m}}
    volumes: [{name: settings, mountPath: /etc/settings, configMap: settings}]
"""
GATED = """
apiVersion: switchyard.dev/v1alpha1
kind: ModelDeployment
metadata: {name: gated}
spec:
  model: {image: registry.example/delay:1}
  gates:
  - name: offline
    type: OfflineEvaluation
    before: provisioning
    offlineEvaluation: {image: registry.example/evaluation:1, data: {configMap: settings}}
"""
MADE = "modelrevisions,configmaps,services,poddisruptionbudgets,networkpolicies,deployments,horizontalpodautoscalers"
NEEDED = {"Role", "RoleBinding", "ClusterRole", "ClusterRoleBinding", "CustomResourceDefinition"}


@contextmanager
def operator(environ: dict[str, str], log: Path) -> Iterator[subprocess.Popen[bytes]]:
    with log.open("ab") as file:
        process = subprocess.Popen([sys.executable, "-m", "switchyard_operator"], env=environ, stdout=file, stderr=file)
    try:
        yield process
    finally:
        process.kill()
        process.wait(10)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, str]]:
    """The folder of a server's identities, and its address."""
    folder = tmp_path_factory.mktemp("server")
    with own_api_server(folder) as api:
        account = f"system:serviceaccount:{NAMESPACE}:switchyard-operator"
        groups = ("system:serviceaccounts", f"system:serviceaccounts:{NAMESPACE}")
        pki.make_client(folder, "operator", pki.Identity(account, groups))
        address = str(api.configuration.host)
        (folder / "operator.kubeconfig").write_text(pki.kubeconfig(folder, "operator", cluster="test", server=address))
        core = client.CoreV1Api(api)
        core.create_namespace(client.V1Namespace(metadata=client.V1ObjectMeta(name=NAMESPACE)))
        yield folder, address


@pytest.mark.parametrize("named", [False, True], ids=["in every namespace", "in a named one"])
def test_the_chart_s_rights_are_enough(named: bool, server: tuple[Path, str], tmp_path: Path) -> None:
    folder, _ = server
    admin = str(folder / "kubeconfig")
    mine, other = ("shop-named", "other-named") if named else ("shop", "other")
    values: dict[str, Any] = merged(LEAST, {"watchNamespaces": [mine]} if named else {})
    bodies = [body for body in yaml.safe_load_all(render(values, tmp_path)) if body]

    def kubectl(*arguments: str, given: str | None = None) -> str:
        return run("kubectl", *arguments, kubeconfig=admin, given=given)

    for name in (mine, other):
        kubectl("create", "namespace", name)
        kubectl("-n", name, "create", "configmap", "settings", "--from-literal=BIAS=1")
    if named:
        kubectl("delete", "clusterroles,clusterrolebindings", "-l", "app.kubernetes.io/name=switchyard")
    for body in (body for body in bodies if body["kind"] in NEEDED):
        place = (
            []
            if body["kind"] == "CustomResourceDefinition" or body["kind"].startswith("Cluster")
            else ["-n", body["metadata"].get("namespace", NAMESPACE)]
        )
        kubectl("apply", "--server-side", "--force-conflicts", *place, "-f", "-", given=yaml.safe_dump(body))
    kubectl("wait", "--for=condition=Established", "crd", "--all", "--timeout=60s")
    kinds = ("api-resources", "--api-group=switchyard.dev", "--cached=false", "-o", "name")
    until(lambda: len(kubectl(*kinds).split()) == 4, "kubectl is told of the types", seconds=60)
    for name in (mine, other):
        kubectl("-n", name, "apply", "-f", "-", given=f"{MODEL}---{GATED}")

    told = variables(dict(pods(bodies))["switchyard-operator"], "operator", "OPERATOR_")
    environ = {
        "PATH": os.environ["PATH"],
        "PYTHONPATH": os.environ.get("PYTHONPATH", ""),
        "KUBECONFIG": str(folder / "operator.kubeconfig"),
        **{key: value for key, value in told.items() if "KAFKA" not in key and "TOKEN" not in key},
        "OPERATOR_NAMESPACE": NAMESPACE,
        "OPERATOR_IDENTITY": "operator-named" if named else "operator",
        "OPERATOR_MONITOR_URL": "",
        "OPERATOR_PORT": str(free_port()),
        "OPERATOR_RESYNC": "2s",
    }
    log = tmp_path / "operator.log"

    def made(namespace: str) -> set[str]:
        words = ("-l", "switchyard.dev/deployment=delay", "-o", "jsonpath={.items[*].kind}")
        return set(kubectl("-n", namespace, "get", MADE, *words).split())

    children = {"ConfigMap", "Service", "PodDisruptionBudget", "NetworkPolicy", "Deployment", "HorizontalPodAutoscaler"}
    whole = {"ModelRevision", *children}
    with operator(environ, log) as process:
        until(lambda: made(mine) == whole, f"everything is made; its log is {log}", seconds=150)
        if not named:
            until(lambda: made(other) == whole, "everything is made there too", seconds=60)
        phase = ("-o", "jsonpath={.status.rollout.phase}")
        until(lambda: kubectl("-n", mine, "get", "mdep", "delay", *phase), "the status is written", seconds=60)
        jobs = ("get", "jobs", "-l", "switchyard.dev/deployment=gated", "-o", "name")
        until(lambda: kubectl("-n", mine, *jobs), "the gate's Job is made", seconds=60)
        waits = ("get", "mdep", "gated", "-o", "jsonpath={.status.rollout.gates[0].state}")
        until(lambda: kubectl("-n", mine, *waits) == "Waiting", "the gate waits for its Job", seconds=60)
        assert process.poll() is None
    assert (made(other) == whole) is not named
    said = log.read_text(encoding="utf-8", errors="replace")
    assert "forbidden" not in said.lower(), said[-3000:]
