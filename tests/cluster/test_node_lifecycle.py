"""The node itself, in a slot of its own: it comes up whole, goes without a trace, and survives being killed half-way.

Looks at the machine with other eyes than the node's own check does, so that the two can disagree.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator

import pytest
from switchyard_testkit import cluster, toolchain
from switchyard_testkit.cache import Cache
from switchyard_testkit.node import configs, processes
from switchyard_testkit.node.plan import Places, slot_named
from switchyard_testkit.waiting import until

pytestmark = pytest.mark.alone

SLOT = slot_named("bench")
ENVIRON = {**os.environ, "CLUSTER": "node", "PYTHONPATH": str(toolchain.MODULE.parent)}
PLACES = Places(Cache.from_env(os.environ).root, SLOT)
COMMAND = [sys.executable, "-m", "switchyard_testkit.cluster"]
POD = {
    "apiVersion": "v1",
    "kind": "Pod",
    "metadata": {"name": "holder"},
    "spec": {
        "securityContext": {
            "runAsUser": 1034,
            "runAsNonRoot": True,
            "fsGroup": 1034,
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        "containers": [
            {
                "name": "holder",
                "image": configs.PAUSE_IMAGE,
                "imagePullPolicy": "Never",
                "securityContext": {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}},
                "volumeMounts": [{"name": "data", "mountPath": "/data"}],
            }
        ],
        "volumes": [{"name": "data", "persistentVolumeClaim": {"claimName": "data"}}],
    },
}
CLAIM = {
    "apiVersion": "v1",
    "kind": "PersistentVolumeClaim",
    "metadata": {"name": "data"},
    "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}},
}


def traces() -> list[str]:
    """Whatever on this machine has to do with the slot, found by the system's own tools."""
    found = []
    for pid in processes.all_pids():
        words = " ".join(processes.command_line(pid))
        if str(PLACES.home) in words and pid != os.getpid():
            found.append(f"process {pid}: {words}")
    for command in (["ip", "link"], ["ip", "route"], ["ip", "netns"], ["findmnt", "--raw", "--noheadings"]):
        printed = subprocess.run(command, capture_output=True, text=True, check=True).stdout
        marks = (SLOT.host_link, SLOT.netns, str(PLACES.home), *(network.split("/")[0] for network in SLOT.networks))
        found += [f"{command[0]}: {line}" for line in printed.splitlines() if any(mark in line for mark in marks)]
    # Other nodes' groups go while we look; os.walk passes over what is gone, and Path.glob does not.
    found += [f"cgroup {path}/{SLOT.cgroup}" for path, names, _ in os.walk("/sys/fs/cgroup") if SLOT.cgroup in names]
    if PLACES.home.exists():
        found.append(f"folder {PLACES.home}")
    return found


def kubectl(*words: str, given: object = None) -> str:
    done = subprocess.run(
        [toolchain.tool_path("kubectl"), f"--kubeconfig={PLACES.kubeconfig}", *words],
        input=None if given is None else json.dumps(given),
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout


@pytest.fixture
def empty_slot() -> Iterator[None]:
    cluster.down(SLOT.name, ENVIRON)
    yield
    cluster.down(SLOT.name, ENVIRON)


@pytest.mark.timeout(300)
@pytest.mark.usefixtures("empty_slot")
@pytest.mark.parametrize(
    "stage", ["namespaces and identities", "etcd and API server", "container runtime and node", "cluster services"]
)
def test_a_run_killed_in_any_stage_leaves_nothing_that_down_does_not_remove(stage: str) -> None:
    with subprocess.Popen([*COMMAND, "up", "--slot", SLOT.name], env=ENVIRON, stdout=subprocess.PIPE, text=True) as run:
        assert run.stdout is not None
        reached = any(stage in line for line in run.stdout)
        if stage == "namespaces and identities":
            until(lambda: len(traces()) > 1, "the stage has begun to make things", seconds=60, every=0.01)
        run.send_signal(signal.SIGKILL)
    assert reached, f"the run ended before the stage {stage!r}"
    assert not PLACES.result.exists(), "a node that is not whole is announced"
    assert traces(), "nothing was there to remove, so nothing is proved"
    cluster.down(SLOT.name, ENVIRON)
    assert traces() == []


@pytest.mark.timeout(400)
@pytest.mark.usefixtures("empty_slot")
def test_a_node_comes_up_over_a_wreck_serves_and_goes_without_a_trace() -> None:
    with subprocess.Popen([*COMMAND, "up", "--slot", SLOT.name], env=ENVIRON, stdout=subprocess.PIPE, text=True) as run:
        assert run.stdout is not None
        assert any("container runtime and node" in line for line in run.stdout)
        run.send_signal(signal.SIGKILL)

    described = cluster.up(SLOT.name, ENVIRON)
    assert json.loads(PLACES.result.read_text())["registry"] == described.registry == "10.99.2.2:5000"
    assert cluster.status(SLOT.name, ENVIRON) is None

    first = processes.first_process(PLACES.home)
    cluster.up(SLOT.name, ENVIRON)
    assert processes.first_process(PLACES.home) == first, "a healthy node was not left alone"

    kubectl("apply", "-f", "-", given=CLAIM)
    kubectl("apply", "-f", "-", given=POD)
    kubectl("wait", "--for=condition=Ready", "pod/holder", "--timeout=180s")
    assert kubectl("get", "pvc", "data", "-o", "jsonpath={.status.phase}") == "Bound"
    assert len(list(PLACES.volumes.iterdir())) == 1

    cluster.stop_api_server(SLOT.name, ENVIRON)
    trouble = cluster.status(SLOT.name, ENVIRON)
    assert trouble is not None
    assert "kube-apiserver has ended" in trouble
    cluster.start_api_server(SLOT.name, ENVIRON)
    assert cluster.status(SLOT.name, ENVIRON) is None
    assert kubectl("get", "pod", "holder", "-o", "jsonpath={.status.phase}") == "Running"

    cluster.down(SLOT.name, ENVIRON)
    assert traces() == []
