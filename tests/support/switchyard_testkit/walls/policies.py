"""What NetworkPolicies mean for each pod: pure, from the API server's objects to what each pod may send and take in.

The rules are those of the API's reference: a pod that no policy selects is open that way; one that some select is
closed but for what any of them opens. The node itself always reaches its pods, and a pod itself; neither is a matter of
policies, and the packet rules see to it.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

JSON = Mapping[str, Any]
Way = Literal["ingress", "egress"]
PEERS: Mapping[Way, str] = {"ingress": "from", "egress": "to"}
OVER = ("Succeeded", "Failed")  # such a pod's address may be another's by now


@dataclass(frozen=True, slots=True)
class Port:
    """A protocol, and its ports from first to last; None is every port."""

    protocol: str
    first: int | None = None
    last: int | None = None


@dataclass(frozen=True, slots=True)
class Opening:
    """One gap in a wall: to or from these networks but not those, at these ports. None is everyone, and every port."""

    networks: tuple[str, ...] | None
    but: tuple[str, ...] = ()
    ports: tuple[Port, ...] | None = None


@dataclass(frozen=True, slots=True)
class Wall:
    """What one pod may take in and send; None is a way that no policy closes."""

    address: str
    ingress: tuple[Opening, ...] | None
    egress: tuple[Opening, ...] | None


@dataclass(frozen=True, slots=True)
class Pod:
    """A pod as policies see it."""

    namespace: str
    address: str
    labels: Mapping[str, str]
    ports: tuple[tuple[str, str, int], ...]  # name, protocol, number


def walls(pods: Iterable[JSON], namespaces: Iterable[JSON], policies: Iterable[JSON]) -> tuple[Wall, ...]:
    """Every pod's wall, by address; a pod that no policy selects has both ways open."""
    known = sorted((pod for body in pods if (pod := _pod(body))), key=lambda pod: pod.address)
    labels = {body["metadata"]["name"]: body["metadata"].get("labels") or {} for body in namespaces}
    ordered = sorted(policies, key=lambda body: (body["metadata"]["namespace"], body["metadata"]["name"]))

    def side(pod: Pod, way: Way) -> tuple[Opening, ...] | None:
        selecting = [
            body["spec"]
            for body in ordered
            if body["metadata"]["namespace"] == pod.namespace
            and way in _ways(body["spec"])
            and selects(body["spec"].get("podSelector") or {}, pod.labels)
        ]
        if not selecting:
            return None
        found = (
            opening
            for spec in selecting
            for rule in spec.get(way) or ()
            for opening in _openings(rule, way, pod, known, labels)
        )
        return tuple(dict.fromkeys(found))

    return tuple(Wall(pod.address, side(pod, "ingress"), side(pod, "egress")) for pod in known)


def selects(selector: JSON, labels: Mapping[str, str]) -> bool:
    """Whether a label selector takes an object with these labels; an empty one takes all."""
    if any(labels.get(key) != value for key, value in (selector.get("matchLabels") or {}).items()):
        return False
    return all(_meets(expression, labels) for expression in selector.get("matchExpressions") or ())


def _meets(expression: JSON, labels: Mapping[str, str]) -> bool:
    held = labels.get(expression["key"])
    values = expression.get("values") or ()
    match expression["operator"]:
        case "In":
            return held in values
        case "NotIn":
            return held not in values
        case "Exists":
            return held is not None
        case "DoesNotExist":
            return held is None
    raise ValueError(f"a label selector's operator is {expression['operator']!r}; the API knows no such")


def _ways(spec: JSON) -> set[str]:
    """The ways that a policy closes. The API server writes them down; by its rule where it did not."""
    named = spec.get("policyTypes") or (["Ingress", "Egress"] if spec.get("egress") else ["Ingress"])
    return {name.lower() for name in named}


def _pod(body: JSON) -> Pod | None:
    """None for a pod without an address of its own."""
    status, spec = body.get("status") or {}, body["spec"]
    if not status.get("podIP") or spec.get("hostNetwork") or status.get("phase") in OVER:
        return None
    # A sidecar of Kubernetes' own kind stands among the init containers.
    containers = [*spec["containers"], *(spec.get("initContainers") or ())]
    ports = tuple(
        (port["name"], port.get("protocol", "TCP"), port["containerPort"])
        for container in containers
        for port in container.get("ports") or ()
        if port.get("name")
    )
    metadata = body["metadata"]
    return Pod(metadata["namespace"], status["podIP"], metadata.get("labels") or {}, ports)


def _openings(
    rule: JSON, way: Way, own: Pod, pods: Sequence[Pod], namespaces: Mapping[str, Mapping[str, str]]
) -> Iterator[Opening]:
    """The gaps that one rule makes: for each block of addresses, and for all the pods that its selectors name."""
    peers = rule.get(PEERS[way]) or ()
    named = [pod for pod in pods if any(_names(peer, own, pod, namespaces) for peer in peers)] if peers else pods
    blocks = [peer["ipBlock"] for peer in peers if "ipBlock" in peer]
    ports = rule.get("ports") or ()
    if way == "ingress":  # a port's name is of the pod that is called
        fixed = tuple(found for port in ports for found in _numbered(port, own))
    else:
        fixed = tuple(found for port in ports if not _is_name(port) for found in _numbered(port, own))
        for called in named:
            if by_name := tuple(found for port in ports if _is_name(port) for found in _numbered(port, called)):
                yield Opening((called.address,), ports=by_name)
    if ports and not fixed:
        return
    for block in blocks:
        if ipaddress.ip_network(block["cidr"]).version == 4:  # pods here have no other addresses
            yield Opening((block["cidr"],), tuple(block.get("except") or ()), fixed or None)
    if not peers:
        yield Opening(None, ports=fixed or None)
    elif named:
        yield Opening(tuple(pod.address for pod in named), ports=fixed or None)


def _names(peer: JSON, own: Pod, other: Pod, namespaces: Mapping[str, Mapping[str, str]]) -> bool:
    """Whether a peer's selectors take the other pod; without one for namespaces, it is the policy's own."""
    if "ipBlock" in peer:
        return False
    if (selector := peer.get("namespaceSelector")) is not None:
        if other.namespace not in namespaces or not selects(selector, namespaces[other.namespace]):
            return False
    elif own.namespace != other.namespace:
        return False
    return selects(peer.get("podSelector") or {}, other.labels)


def _is_name(port: JSON) -> bool:
    return isinstance(port.get("port"), str)


def _numbered(port: JSON, called: Pod) -> Iterator[Port]:
    """The port by number; by name, it is what the called pod calls so."""
    protocol, number = port.get("protocol", "TCP"), port.get("port")
    if isinstance(number, str):
        for name, its, held in called.ports:
            if (name, its) == (number, protocol):
                yield Port(protocol, held, held)
    elif number is None:
        yield Port(protocol)
    else:
        yield Port(protocol, number, port.get("endPort") or number)
