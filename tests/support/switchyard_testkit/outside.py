"""The world outside the tests' installation: desks that are told of rollouts, and a Prometheus that the operator asks.

Both stand in the chart's values, so they are named when it is installed, whether somebody is there or not; a test plays
their part at the other end of the node's link. Rollouts are told of in namespaces of fixed names alone, so those of all
other tests owe nobody anything.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from switchyard_testkit.node import pki
from switchyard_testkit.node.plan import slot_named

SLOT = "test"
DESKS = {"told": 9801, "taken-back": 9802}
"""The namespaces that are told of, and the port at which each has its desk, so that two tests can listen at once."""
PROMETHEUS_PORT = 9803
PROMETHEUS = "prometheus-outside"
"""The Secret with what the operator shows to Prometheus, and by whose signature it trusts it."""
USER, PASSWORD = "switchyard", "open-sesame"

JSON = dict[str, Any]


def desk_address(slot: str, namespace: str) -> tuple[str, int]:
    """Where a namespace's desk listens."""
    return slot_named(slot).host_ip, DESKS[namespace]


def authority(folder: Path) -> Path:
    """Where the authority is, below the slot's folder, whose certificates the operator takes for Prometheus'."""
    return folder / "outside"


def values(slot: str) -> JSON:
    """What the chart is told of it; the other slots' installations know nobody."""
    if slot != SLOT:
        return {}
    host = slot_named(slot).host_ip
    every = {namespace: [f"{namespace}/*"] for namespace in DESKS}
    receivers: list[JSON] = [
        {"name": _desk(namespace), "deployments": scope, "webhook": {"secret": _desk(namespace)}}
        for namespace, scope in every.items()
    ]
    bus = {"name": "bus", "deployments": [one for scope in every.values() for one in scope], "kafka": {}}
    there = [{"ipBlock": {"cidr": f"{host}/32"}}]
    return {
        "notifications": {"receivers": [*receivers, bus]},
        "operator": {
            "prometheus": {
                "url": f"https://{host}:{PROMETHEUS_PORT}",
                "existingSecret": PROMETHEUS,
                "caSecret": PROMETHEUS,
            }
        },
        "networkPolicy": {"notifications": {"to": there, "ports": [*DESKS.values()]}, "prometheus": {"to": there}},
    }


def secrets(slot: str, folder: Path, *, key: str) -> list[JSON]:
    """The Secrets that these values name; `key` is what the desks are shown that it is us."""
    if slot != SLOT:
        return []
    place = authority(folder)
    if not (place / "ca.crt").exists():
        place.mkdir(exist_ok=True)
        pki.make_authority(place, "outside")
    known = {"username": USER, "password": PASSWORD, "ca.crt": (place / "ca.crt").read_text(encoding="utf-8")}
    return [
        _secret(PROMETHEUS, known),
        *(
            _secret(_desk(namespace), {"url": f"http://{host}:{port}/rollouts", "key": key})
            for namespace in DESKS
            for host, port in [desk_address(slot, namespace)]
        ),
    ]


def _desk(namespace: str) -> str:
    return f"desk-of-{namespace}"


def _secret(name: str, data: dict[str, str]) -> JSON:
    return {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name}, "stringData": data}
