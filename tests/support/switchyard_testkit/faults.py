"""Faults on purpose: kill -9 a container's process, take a workload away. Each sees that it struck."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from switchyard_testkit.halting import halt
from switchyard_testkit.install import NAMESPACE, Installation, run, unready
from switchyard_testkit.waiting import until


def pod(installation: Installation, name: str, *, namespace: str = NAMESPACE) -> dict[str, Any]:
    """The pod as it is."""
    text = run("kubectl", "-n", namespace, "get", "pod", name, "-o", "json", kubeconfig=installation.kubeconfig)
    found: dict[str, Any] = json.loads(text)
    return found


def pod_of(installation: Installation, component: str) -> str:
    """The name of a component's pod; where there are several, of one that is not on its way out."""
    selector = f"app.kubernetes.io/component={component}"
    arguments = ("-n", NAMESPACE, "get", "pods", "-l", selector, "-o", "json")
    pods = json.loads(run("kubectl", *arguments, kubeconfig=installation.kubeconfig))["items"]
    names = [str(one["metadata"]["name"]) for one in pods if "deletionTimestamp" not in one["metadata"]]
    if not names:
        raise RuntimeError(f"no pod of the component {component} is there")
    return sorted(names)[0]


def container_status(
    installation: Installation, name: str, container: str, *, namespace: str = NAMESPACE
) -> dict[str, Any]:
    """What the kubelet says of a container."""
    status = pod(installation, name, namespace=namespace)["status"]
    every = [*status.get("initContainerStatuses", []), *status.get("containerStatuses", [])]
    return next((one for one in every if one["name"] == container), {})


def processes(container_id: str) -> list[int]:
    """Process ids of a container, which runs on this machine, by its cgroup."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cgroup"):
        try:
            text = path.read_text(encoding="utf-8")
        except OSError:
            continue  # it ended while we looked
        if container_id in text:
            found.append(int(path.parent.name))
    return sorted(found)


def kill_all(victims: Sequence[int]) -> None:
    """kill -9; the others of a container go by themselves when its first process is gone."""
    for victim in victims:
        with suppress(ProcessLookupError):
            os.kill(victim, signal.SIGKILL)


def kill_pod_unseen(installation: Installation, name: str, tell: Callable[[], object]) -> None:
    """kill -9 every container of a pod while the API server is away, so that nobody but the kubelet can see it.

    `tell` is called when all is looked up: it takes the API server away.
    """
    status = pod(installation, name)["status"]
    containers = [*status.get("initContainerStatuses", []), *status.get("containerStatuses", [])]
    held = [one["containerID"].rpartition("//")[2] for one in containers]
    tell()
    victims = [process for container_id in held for process in processes(container_id)]
    if len(victims) < len(held):
        raise RuntimeError(f"not every container of {name} has a process on this machine: {victims}")
    kill_all(victims)
    until(lambda: not any(map(processes, held)), f"every process of {name} has ended", seconds=30)


def kill_container(installation: Installation, name: str, container: str, *, namespace: str = NAMESPACE) -> None:
    """kill -9 the container's main process, and see that it really ended: the kubelet counts one more restart."""
    before = end_container(installation, name, container, namespace=namespace)

    def restarted() -> bool:
        now = container_status(installation, name, container, namespace=namespace)
        return int(now.get("restartCount", 0)) > before

    until(restarted, f"{name}/{container} was killed and restarted", seconds=60)


def end_container(installation: Installation, name: str, container: str, *, namespace: str = NAMESPACE) -> int:
    """kill -9 its processes and wait for nothing; how often it was restarted before."""
    before = container_status(installation, name, container, namespace=namespace)
    victims = processes(before["containerID"].rpartition("//")[2])
    if not victims:
        raise RuntimeError(f"no process of {name}/{container} is on this machine; kill -9 needs the node to be here")
    kill_all(victims)
    return int(before["restartCount"])


@contextmanager
def halted(installation: Installation, name: str, container: str) -> Iterator[None]:
    """Halt every process of a container (SIGSTOP) and let it go on at the end: it is there and says nothing.

    Only for less than its liveness probe takes.
    """
    container_id = container_status(installation, name, container)["containerID"].rpartition("//")[2]
    victims = processes(container_id)
    if not victims:
        raise RuntimeError(f"no process of {name}/{container} is on this machine; to halt it the node needs to be here")
    try:
        for victim in victims:
            halt(victim)
        yield
    finally:
        for victim in victims:
            with suppress(ProcessLookupError):
                os.kill(victim, signal.SIGCONT)


def kill_part(installation: Installation, name: str, container: str) -> None:
    """kill -9 what a keeper keeps, and see that another process took its place within the same container."""
    before = container_status(installation, name, container)
    container_id = before["containerID"].rpartition("//")[2]
    inside = set(processes(container_id))
    victims = {each for each in inside if _parent(each) in inside}
    if not victims:
        raise RuntimeError(f"{name}/{container} has no kept process here: {sorted(inside)}")
    kill_all(sorted(victims))

    def replaced() -> bool:
        now = set(processes(container_id))
        return not now & victims and len(now) == len(inside)

    until(replaced, f"{name}/{container} has another process", seconds=30)
    after = container_status(installation, name, container)
    if after["restartCount"] != before["restartCount"]:
        raise RuntimeError(f"{name}/{container} was restarted as a whole: its keeper did not outlive the part")


def _parent(process: int) -> int:
    """Its parent's process id; 0 when it ended meanwhile."""
    try:
        text = Path(f"/proc/{process}/stat").read_text(encoding="utf-8")
    except OSError:
        return 0
    return int(text.rpartition(")")[2].split()[1])


@contextmanager
def scaled_away(installation: Installation, kind: str, name: str) -> Iterator[None]:
    """Scale a workload to nothing, see that its pods are gone, and bring it back at the end."""
    target = f"{kind}/{name}"
    replicas = run(
        "kubectl", "-n", NAMESPACE, "get", target, "-o", "jsonpath={.spec.replicas}", kubeconfig=installation.kubeconfig
    )
    component = name.rpartition("-")[2]

    def pods() -> int:
        selector = f"app.kubernetes.io/component={component}"
        text = run(
            "kubectl", "-n", NAMESPACE, "get", "pods", "-l", selector, "-o", "json", kubeconfig=installation.kubeconfig
        )
        return len(json.loads(text)["items"])

    run("kubectl", "-n", NAMESPACE, "scale", target, "--replicas=0", kubeconfig=installation.kubeconfig)
    try:
        until(lambda: pods() == 0, f"{target} has no pods", seconds=120)
        yield
    finally:
        run("kubectl", "-n", NAMESPACE, "scale", target, f"--replicas={replicas}", kubeconfig=installation.kubeconfig)
        until(lambda: not unready(installation.kubeconfig), f"{target} is back", seconds=180)
