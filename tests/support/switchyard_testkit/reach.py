"""Who reaches whom on a real cluster: connections tried from within pods, and from this machine."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from kubernetes import client

from switchyard_testkit.apiserver import api_client
from switchyard_testkit.install import Installation, run
from switchyard_testkit.models import image
from switchyard_testkit.waiting import until

OPEN, CLOSED = "open", "closed"
NAMELESS = "no such name"
PORT = 3000
"""Where a plain pod listens."""
TRY = f"""
import json, socket, sys
from concurrent.futures import ThreadPoolExecutor

def tried(target):
    host, _, port = target.rpartition(":")
    try:
        address = socket.getaddrinfo(host, int(port), socket.AF_INET, socket.SOCK_STREAM)[0][4]
    except OSError:
        return "{NAMELESS}"
    try:
        socket.create_connection(address, timeout=3).close()
    except OSError:
        return "{CLOSED}"
    return "{OPEN}"

targets = sys.argv[1:]
with ThreadPoolExecutor(len(targets)) as pool:
    print(json.dumps(dict(zip(targets, pool.map(tried, targets)))))
"""
"""Tries every target at once, and prints what became of each."""


@dataclass(frozen=True, slots=True)
class Pod:
    """A pod with Python in it, to look out of."""

    installation: Installation
    namespace: str
    name: str
    address: str

    @property
    def target(self) -> str:
        """Where it listens."""
        return f"{self.address}:{PORT}"

    def python(self, script: str, *arguments: str) -> str:
        """What a script prints that runs inside."""
        words = ("-n", self.namespace, "exec", self.name, "--", "python", "-c", script, *arguments)
        return run("kubectl", *words, kubeconfig=self.installation.kubeconfig)

    def tries(self, targets: Iterable[str]) -> dict[str, str]:
        """Whether each `host:port` takes a connection from here: OPEN, CLOSED or NAMELESS."""
        found: dict[str, str] = json.loads(self.python(TRY, *targets))
        return found

    def reaches(self, target: str) -> bool:
        return self.tries([target])[target] == OPEN


def this_machine_tries(targets: Iterable[str]) -> dict[str, str]:
    """The same from this machine."""
    done = subprocess.run([sys.executable, "-c", TRY, *targets], capture_output=True, text=True, check=True)
    found: dict[str, str] = json.loads(done.stdout)
    return found


def pods_of(installation: Installation, namespace: str, selector: str) -> list[Pod]:
    """The pods that are ready."""
    arguments = ("-n", namespace, "get", "pods", "-l", selector, "-o", "json")
    bodies: list[dict[str, Any]] = json.loads(run("kubectl", *arguments, kubeconfig=installation.kubeconfig))["items"]
    return [
        Pod(installation, namespace, body["metadata"]["name"], body["status"]["podIP"])
        for body in bodies
        if any(c["type"] == "Ready" and c["status"] == "True" for c in body["status"].get("conditions", []))
    ]


def plain_pod(installation: Installation, namespace: str, name: str) -> Pod:
    """A pod that no chart and no operator made: the fault model's program, which listens at PORT."""
    body = client.V1Pod(
        metadata=client.V1ObjectMeta(name=name, labels={"plain": name}),
        spec=client.V1PodSpec(
            security_context=client.V1PodSecurityContext(
                run_as_non_root=True, run_as_user=1034, seccomp_profile=client.V1SeccompProfile(type="RuntimeDefault")
            ),
            termination_grace_period_seconds=1,
            containers=[
                client.V1Container(
                    name="main",
                    image=image(installation.slot, "test/fault-model"),
                    security_context=client.V1SecurityContext(
                        allow_privilege_escalation=False, capabilities=client.V1Capabilities(drop=["ALL"])
                    ),
                    readiness_probe=client.V1Probe(
                        http_get=client.V1HTTPGetAction(path="/readyz", port=PORT), period_seconds=1
                    ),
                )
            ],
        ),
    )
    with api_client(installation.slot) as api:
        client.CoreV1Api(api).create_namespaced_pod(namespace, body)
    (pod,) = until(lambda: pods_of(installation, namespace, f"plain={name}"), f"the pod {name} is ready", seconds=90)
    return pod


@contextmanager
def policy(installation: Installation, namespace: str, name: str, spec: dict[str, Any]) -> Iterator[None]:
    """A NetworkPolicy for as long as the block lasts."""
    metadata = {"name": name}
    body: Any = {"apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy", "metadata": metadata, "spec": spec}
    with api_client(installation.slot) as api:
        policies = client.NetworkingV1Api(api)
        policies.create_namespaced_network_policy(namespace, body)
        try:
            yield
        finally:
            policies.delete_namespaced_network_policy(name, namespace)
