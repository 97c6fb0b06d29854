"""Walls as one table of nftables, which takes the place of the one before in a single step of the kernel: pure.

A packet to or from a pod is seen where it is forwarded, and one from a pod to the node itself where it comes in: both
after a Service's address has become a pod's. What the node sends to its pods (a probe of the kubelet) meets no rule.
What is not let through is dropped without a word, as most networks of clusters do.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Iterator, Sequence

from switchyard_testkit.walls.policies import Opening, Port, Wall

TABLE = "inet switchyard_walls"
POD_LINKS = "veth*"
SIDES = {"entering": "saddr", "leaving": "daddr"}


def ruleset(walls: Sequence[Wall]) -> str:
    """What `nft -f` takes. Equal walls, equal text."""
    own = ", ".join(f"{wall.address} . {wall.address}" for wall in walls)
    sides = {
        "entering": {wall.address: wall.ingress for wall in walls if wall.ingress is not None},
        "leaving": {wall.address: wall.egress for wall in walls if wall.egress is not None},
    }
    chains = [
        _chain(f"{side}_{address.replace('.', '_')}", [*_rules(openings, SIDES[side]), "drop"])
        for side, closed in sides.items()
        for address, openings in closed.items()
    ]
    maps = []
    for side, closed in sides.items():
        jumps = ", ".join(f"{address} : jump {side}_{address.replace('.', '_')}" for address in closed)
        maps.append(f"map {side} {{ type ipv4_addr : verdict; {_elements(jumps)}}}")
    accepted = "ct state established,related accept"
    forward = [
        "type filter hook forward priority filter; policy accept;",
        accepted,
        "ip saddr . ip daddr @itself accept",
        "ip saddr vmap @leaving",
        "ip daddr vmap @entering",
    ]
    incoming = [
        "type filter hook input priority filter; policy accept;",
        accepted,
        # The node listens there too, and policies of pods that have none of these addresses cannot speak of them.
        f'iifname "{POD_LINKS}" meta nfproto ipv6 drop',
        "ip saddr vmap @leaving",
    ]
    parts = [
        f"set itself {{ type ipv4_addr . ipv4_addr; {_elements(own)}}}",
        *chains,
        *maps,
        _chain("forward", forward),
        _chain("incoming", incoming),
    ]
    return "\n".join([f"table {TABLE}", f"delete table {TABLE}", f"table {TABLE} {{", *parts, "}"]) + "\n"


def _elements(text: str) -> str:
    return f"elements = {{ {text} }} " if text else ""


def _chain(name: str, lines: Iterable[str]) -> str:
    return "\n".join([f"chain {name} {{", *(f"  {line}" for line in lines), "}"])


def _rules(openings: Sequence[Opening], side: str) -> Iterator[str]:
    for opening in openings:
        whom = " ".join(_whom(opening, side))
        for port in opening.ports if opening.ports is not None else (None,):
            yield " ".join(part for part in (whom, _port(port), "return") if part)


def _whom(opening: Opening, side: str) -> Iterator[str]:
    networks = [ipaddress.IPv4Network(network) for network in opening.networks or ()]
    if networks and all(network.prefixlen for network in networks):  # the net of all addresses is no condition
        yield f"ip {side} {{ {', '.join(map(_network, networks))} }}"
    if opening.but:
        # The kernel's sets take no network that lies in another.
        but = ipaddress.collapse_addresses(map(ipaddress.IPv4Network, opening.but))
        yield f"ip {side} != {{ {', '.join(map(_network, but))} }}"


def _network(network: ipaddress.IPv4Network) -> str:
    return str(network.network_address) if network.prefixlen == network.max_prefixlen else str(network)


def _port(port: Port | None) -> str:
    if port is None:
        return ""
    if port.first is None:
        return f"meta l4proto {port.protocol.lower()}"
    numbers = f"{port.first}" if port.first == port.last else f"{port.first}-{port.last}"
    return f"{port.protocol.lower()} dport {numbers}"
