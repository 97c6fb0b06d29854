"""The chart as Helm renders it, without a cluster; and who may speak to whom by the NetworkPolicies it holds."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from switchyard_testkit.toolchain import KUBERNETES, tool_path
from switchyard_testkit.walls.policies import selects

JSON = dict[str, Any]
CHART = Path(__file__).resolve().parents[3] / "charts" / "switchyard"
NAMESPACE, RELEASE = "switchyard-system", "switchyard"
LEAST: JSON = {"monitor": {"operatorToken": "a-long-token-of-the-operator"}, "kafka": {"embedded": {"enabled": True}}}
"""The fewest values that the chart takes."""


class NotRendered(ValueError):
    """Helm refused the values; the message is Helm's."""


def render(values: Mapping[str, Any], folder: Path, *, chart: Path = CHART) -> str:
    """What `helm template` prints. Raises `NotRendered`."""
    given = folder / "values.json"
    given.write_text(json.dumps(values), encoding="utf-8")
    # A Helm that is built from source names no Kubernetes of its own.
    arguments = ["--namespace", NAMESPACE, "--kube-version", KUBERNETES, "--values", str(given)]
    done = subprocess.run(
        [str(tool_path("helm")), "template", RELEASE, str(chart), *arguments],
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise NotRendered(done.stderr.strip())
    return done.stdout


def objects(rendered: str) -> list[JSON]:
    """Every object, but the definitions of types."""
    found = [body for body in yaml.safe_load_all(rendered) if body]
    return [body for body in found if body["kind"] != "CustomResourceDefinition"]


def of_kind(bodies: list[JSON], *kinds: str) -> list[JSON]:
    """Those of these kinds."""
    return [body for body in bodies if body["kind"] in kinds]


def pods(bodies: list[JSON]) -> Iterator[tuple[str, JSON]]:
    """Every pod's name and template."""
    for body in bodies:
        if body["kind"] == "Pod":
            yield body["metadata"]["name"], body
        elif body["kind"] in ("Deployment", "StatefulSet", "DaemonSet", "Job"):
            yield body["metadata"]["name"], body["spec"]["template"]


def containers(pod: JSON) -> list[JSON]:
    """Its containers, sidecars first."""
    return [*pod["spec"].get("initContainers", []), *pod["spec"]["containers"]]


def variables(pod: JSON, container: str, prefix: str) -> dict[str, str]:
    """A container's variables with a prefix; those from elsewhere say from where."""
    found = next(each for each in containers(pod) if each["name"] == container)
    return {
        item["name"]: str(item["value"]) if "value" in item else "from-elsewhere"
        for item in found["env"]
        if item["name"].startswith(prefix)
    }


@dataclass(frozen=True, slots=True)
class Place:
    """A pod, as policies see it: its labels and the namespace it is in. A stranger has neither."""

    labels: Mapping[str, str]
    namespace: str = NAMESPACE


def part(component: str) -> Place:
    """One of the release's own pods."""
    name = "app.kubernetes.io/"
    return Place({f"{name}name": "switchyard", f"{name}instance": RELEASE, f"{name}component": component})


def may(policies: list[JSON], source: Place, target: Place, port: int, protocol: str = "TCP") -> bool:
    """Whether a connection is let out at the one end and in at the other; only namespaces of ours hold policies."""
    return _open(policies, source, target, "egress", port, protocol) and _open(
        policies, target, source, "ingress", port, protocol
    )


def _open(policies: list[JSON], own: Place, other: Place, way: str, port: int, protocol: str) -> bool:
    selecting = [
        policy["spec"]
        for policy in policies
        if policy["metadata"].get("namespace", NAMESPACE) == own.namespace
        and way.capitalize() in policy["spec"]["policyTypes"]
        and selects(policy["spec"]["podSelector"], own.labels)
    ]
    rules = [rule for spec in selecting for rule in spec.get(way) or []]
    return not selecting or any(_covers(rule, own, other, way, port, protocol) for rule in rules)


def _covers(rule: JSON, own: Place, other: Place, way: str, port: int, protocol: str) -> bool:
    ports = rule.get("ports")
    if ports and not any(item.get("protocol", "TCP") == protocol and item.get("port") == port for item in ports):
        return False
    peers = rule.get("from" if way == "ingress" else "to")
    return not peers or any(_is(peer, own, other) for peer in peers)


def _is(peer: JSON, own: Place, other: Place) -> bool:
    if "ipBlock" in peer:
        return False  # these places have no addresses
    if "namespaceSelector" in peer:
        if not selects(peer["namespaceSelector"], {"kubernetes.io/metadata.name": other.namespace}):
            return False
    elif own.namespace != other.namespace:
        return False
    return selects(peer.get("podSelector", {}), other.labels)
