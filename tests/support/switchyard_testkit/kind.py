"""A cluster by kind, where a Docker engine runs. UNTESTED: no engine ran where this was written.

Same names, charts and images as the node; the registry is a container beside it, reached under one address from both
sides as kind's documentation lays out.
"""

from __future__ import annotations

import subprocess
from collections.abc import Mapping

from switchyard_testkit.commands import CommandError, run
from switchyard_testkit.node.plan import Places, Slot
from switchyard_testkit.progress import Progress

STAGES: Mapping[str, float] = {"registry": 10, "kind cluster": 90}
NODE_IMAGE = "kindest/node:v1.34.0"
REGISTRY_IMAGE = "registry:2"
CONFIG = """\
kind: Cluster
apiVersion: kind.x-k8s.io/v1alpha4
containerdConfigPatches:
  - |-
    [plugins."io.containerd.grpc.v1.cri".registry]
      config_path = "/etc/containerd/certs.d"
"""


def engine_answers() -> bool:
    """Whether a Docker engine and kind are there; a client without an engine is not enough."""
    try:
        run(["kind", "version"], timeout=10)
        run(["docker", "version", "--format", "{{.Server.Version}}"], timeout=10)
    except CommandError:
        return False
    return True


def registry_address(slot: Slot) -> str:
    return f"localhost:{5100 + slot.number}"


def up(places: Places, progress: Progress) -> str:
    """Make cluster and registry unless they are there; returns the registry's address."""
    slot = places.slot
    progress.say("a Docker engine answers, so this is kind, which is UNTESTED; CLUSTER=node is the way that is tested")
    container = f"{slot.node_name}-registry"
    port = registry_address(slot).rsplit(":", 1)[1]
    with progress.stage("registry"):
        if not _succeeds("docker", "inspect", container):
            publish = f"127.0.0.1:{port}:5000"
            run(
                ["docker", "run", "-d", "--restart=always", "-p", publish, "--name", container, REGISTRY_IMAGE],
                timeout=300,
            )
    with progress.stage("kind cluster"):
        if slot.node_name not in run(["kind", "get", "clusters"]).split():
            run(
                [
                    "kind",
                    "create",
                    "cluster",
                    "--name",
                    slot.node_name,
                    "--image",
                    NODE_IMAGE,
                    "--config",
                    "-",
                    "--wait",
                    "120s",
                ],
                stdin=CONFIG,
                timeout=600,
            )
            folder = f"/etc/containerd/certs.d/{registry_address(slot)}"
            node = f"{slot.node_name}-control-plane"
            run(["docker", "exec", node, "mkdir", "-p", folder])
            run(
                ["docker", "exec", "-i", node, "cp", "/dev/stdin", f"{folder}/hosts.toml"],
                stdin=f'[host."http://{container}:5000"]\n',
            )
        if not _succeeds("docker", "network", "connect", "kind", container):
            progress.say(f"{container} is in kind's network already")
        places.home.mkdir(parents=True, exist_ok=True)
        run(["kind", "export", "kubeconfig", "--name", slot.node_name, "--kubeconfig", places.kubeconfig])
    return registry_address(slot)


def delete(slot: Slot) -> None:
    run(["kind", "delete", "cluster", "--name", slot.node_name], timeout=300)
    run(["docker", "rm", "--force", "--volumes", f"{slot.node_name}-registry"])


def _succeeds(*command: str) -> bool:
    return subprocess.run(command, capture_output=True, check=False).returncode == 0
