"""What NetworkPolicies mean for pods, and that the node's packet rules say the same."""

from __future__ import annotations

import http.client
import ipaddress
import json
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from queue import Queue
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from switchyard_testkit.waiting import until
from switchyard_testkit.walls.enforcer import NAMESPACES, PODS, POLICIES, enforce
from switchyard_testkit.walls.policies import Opening, Wall, walls
from switchyard_testkit.walls.ruleset import ruleset
from switchyard_testkit.walls.watching import Watched

JSON = dict[str, Any]
SHOP, OTHER = "shop", "other"
TILL, CLERK, STORE, THIEF = "10.245.0.2", "10.245.0.3", "10.245.0.4", "10.245.0.5"
OUTSIDE = "192.0.2.7"
NAMESPACES_HELD: list[JSON] = [
    {"metadata": {"name": SHOP, "uid": SHOP, "labels": {"kubernetes.io/metadata.name": SHOP}}},
    {"metadata": {"name": OTHER, "uid": OTHER, "labels": {"kubernetes.io/metadata.name": OTHER, "team": "theirs"}}},
]


def pod(address: str, namespace: str = SHOP, *, phase: str = "Running", **labels: str) -> JSON:
    """A pod that serves at 3000, by the name http."""
    container = {"name": "main", "ports": [{"name": "http", "containerPort": 3000, "protocol": "TCP"}]}
    return {
        "metadata": {"name": address, "uid": address, "namespace": namespace, "labels": labels},
        "spec": {"containers": [container]},
        "status": {"podIP": address, "phase": phase},
    }


PODS_HELD = [
    pod(TILL, role="till", shift="day"),
    pod(CLERK, role="clerk"),
    pod(STORE, OTHER, role="store"),
    pod(THIEF, OTHER, role="thief"),
]


def policy(namespace: str = SHOP, name: str = "one", *, on: JSON | None = None, **spec: Any) -> JSON:
    """A policy on the till, if nothing else is said."""
    ways = [way.capitalize() for way in ("ingress", "egress") if way in spec]
    chosen = {"matchLabels": {"role": "till"}} if on is None else on
    return {
        "metadata": {"name": name, "uid": name, "namespace": namespace},
        "spec": {"podSelector": chosen, "policyTypes": ways, **spec},
    }


def may(policies: list[JSON], source: str, target: str, port: int, protocol: str = "TCP") -> bool:
    """Whether the walls let a connection out of the one pod and into the other."""
    found = {wall.address: wall for wall in walls(PODS_HELD, NAMESPACES_HELD, policies)}
    out = found[source].egress if source in found else None
    into = found[target].ingress if target in found else None
    return lets(out, target, port, protocol) and lets(into, source, port, protocol)


def lets(openings: tuple[Opening, ...] | None, other: str, port: int, protocol: str) -> bool:
    address = ipaddress.ip_address(other)

    def fits(opening: Opening) -> bool:
        whom = opening.networks is None or any(address in ipaddress.ip_network(net) for net in opening.networks)
        shut = any(address in ipaddress.ip_network(net) for net in opening.but)
        at = opening.ports is None or any(
            held.protocol == protocol
            and (held.first is None or (held.last is not None and held.first <= port <= held.last))
            for held in opening.ports
        )
        return whom and not shut and at

    return openings is None or any(map(fits, openings))


def to(*peers: JSON, ports: list[JSON] | None = None) -> JSON:
    return {"to": list(peers)} | ({"ports": ports} if ports is not None else {})


def coming(*peers: JSON, ports: list[JSON] | None = None) -> JSON:
    return {"from": list(peers)} | ({"ports": ports} if ports is not None else {})


def block(cidr: str, *but: str) -> JSON:
    return {"ipBlock": {"cidr": cidr, "except": list(but)}}


def pods(**labels: str) -> JSON:
    return {"podSelector": {"matchLabels": labels}}


def theirs(**labels: str) -> JSON:
    return {"namespaceSelector": {"matchLabels": {"team": "theirs"}}, **pods(**labels)}


def on(operator: str, *values: str) -> JSON:
    return {"matchExpressions": [{"key": "shift", "operator": operator, "values": list(values)}]}


CLOSED = policy(ingress=[], egress=[])
HTTP, DNS = {"port": 3000, "protocol": "TCP"}, {"port": 53, "protocol": "UDP"}


@pytest.mark.parametrize(
    ("policies", "source", "target", "port", "open_"),
    [
        pytest.param([], THIEF, TILL, 3000, True, id="without a policy all is open"),
        pytest.param([CLOSED], CLERK, TILL, 3000, False, id="an empty ingress lets nobody in"),
        pytest.param([CLOSED], TILL, CLERK, 3000, False, id="an empty egress lets nobody out"),
        pytest.param([CLOSED], CLERK, STORE, 3000, True, id="whom no policy selects is open"),
        pytest.param([policy(ingress=[])], TILL, CLERK, 3000, True, id="a closed way in closes no way out"),
        pytest.param([policy(egress=[])], CLERK, TILL, 3000, True, id="a closed way out closes no way in"),
        pytest.param([policy(OTHER, ingress=[])], CLERK, TILL, 3000, True, id="a policy is for its own namespace"),
        pytest.param([policy(on={}, ingress=[])], THIEF, CLERK, 3000, False, id="an empty selector is every pod"),
        pytest.param([policy(ingress=[{}])], THIEF, TILL, 9, True, id="an empty rule opens to everyone"),
        pytest.param([policy(ingress=[coming()])], THIEF, TILL, 9, True, id="no peers are all peers"),
        pytest.param([policy(ingress=[coming(pods(role="clerk"))])], CLERK, TILL, 9, True, id="a named pod comes in"),
        pytest.param([policy(ingress=[coming(pods(role="clerk"))])], THIEF, TILL, 9, False, id="another does not"),
        pytest.param(
            [policy(ingress=[coming(pods(role="none"))])], CLERK, TILL, 9, False, id="naming nobody opens none"
        ),
        pytest.param([policy(ingress=[coming(pods())])], CLERK, TILL, 9, True, id="all pods of the own namespace"),
        pytest.param([policy(ingress=[coming(pods())])], STORE, TILL, 9, False, id="are not those of another"),
        pytest.param([policy(ingress=[coming(theirs())])], STORE, TILL, 9, True, id="another namespace by its label"),
        pytest.param([policy(ingress=[coming(theirs())])], CLERK, TILL, 9, False, id="does not mean the own one"),
        pytest.param([policy(ingress=[coming(theirs(role="store"))])], STORE, TILL, 9, True, id="a pod over there"),
        pytest.param([policy(ingress=[coming(theirs(role="store"))])], THIEF, TILL, 9, False, id="not its neighbour"),
        pytest.param(
            [policy(ingress=[coming({"namespaceSelector": {}})])], THIEF, TILL, 9, True, id="every namespace there is"
        ),
        pytest.param(
            [policy(ingress=[coming({"namespaceSelector": {}})])], OUTSIDE, TILL, 9, False, id="but nobody outside"
        ),
        pytest.param([policy(ingress=[coming(ports=[HTTP])])], THIEF, TILL, 3000, True, id="everyone at one port"),
        pytest.param([policy(ingress=[coming(ports=[HTTP])])], THIEF, TILL, 3001, False, id="and at no other"),
        pytest.param([policy(ingress=[coming(ports=[DNS])])], THIEF, TILL, 53, False, id="nor by another protocol"),
        pytest.param(
            [policy(ingress=[coming(ports=[{"port": 3000, "endPort": 3002}])])], THIEF, TILL, 3002, True, id="a range"
        ),
        pytest.param(
            [policy(ingress=[coming(ports=[{"port": 3000, "endPort": 3002}])])], THIEF, TILL, 3003, False, id="its end"
        ),
        pytest.param([policy(ingress=[coming(ports=[{"protocol": "TCP"}])])], THIEF, TILL, 9, True, id="all of TCP"),
        pytest.param(
            [policy(ingress=[coming(ports=[{"port": "http"}])])], THIEF, TILL, 3000, True, id="the port's own name"
        ),
        pytest.param(
            [policy(ingress=[coming(ports=[{"port": "admin"}])])], THIEF, TILL, 3000, False, id="a name it has not"
        ),
        pytest.param(
            [policy(egress=[to(theirs(), ports=[{"port": "http"}])])], TILL, STORE, 3000, True, id="the called's name"
        ),
        pytest.param(
            [policy(egress=[to(theirs(), ports=[{"port": "http"}])])],
            TILL,
            STORE,
            3001,
            False,
            id="and its number only",
        ),
        pytest.param(
            [policy(egress=[to(ports=[{"port": "http"}])])], TILL, STORE, 3000, True, id="any pod that has the name"
        ),
        pytest.param(
            [policy(egress=[to(ports=[{"port": "http"}])])], TILL, OUTSIDE, 3000, False, id="outside has no names"
        ),
        pytest.param([policy(egress=[to(block("192.0.2.0/24"))])], TILL, OUTSIDE, 9, True, id="a block of addresses"),
        pytest.param([policy(egress=[to(block("192.0.3.0/24"))])], TILL, OUTSIDE, 9, False, id="another block"),
        pytest.param(
            [policy(egress=[to(block("192.0.2.0/24", "192.0.2.0/28"))])],
            TILL,
            OUTSIDE,
            9,
            False,
            id="but not this part",
        ),
        pytest.param([policy(egress=[to(block("2001:db8::/32"))])], TILL, OUTSIDE, 9, False, id="a block of IPv6"),
        pytest.param(
            [policy(egress=[to(block("10.20.0.0/16"), pods(role="clerk"))])], TILL, CLERK, 9, True, id="blocks and pods"
        ),
        pytest.param(
            [CLOSED, policy(name="two", ingress=[coming(pods(role="clerk"))])], CLERK, TILL, 9, True, id="any may open"
        ),
        pytest.param(
            [policy(egress=[{}]), policy(name="two", on={"matchLabels": {"role": "clerk"}}, ingress=[])],
            TILL,
            CLERK,
            9,
            False,
            id="both ends must agree",
        ),
        pytest.param([policy(on=on("In", "day"), ingress=[])], CLERK, TILL, 9, False, id="In"),
        pytest.param([policy(on=on("In", "night"), ingress=[])], CLERK, TILL, 9, True, id="In, of others"),
        pytest.param(
            [policy(on=on("NotIn", "day"), ingress=[])], TILL, CLERK, 9, False, id="NotIn takes the unlabelled"
        ),
        pytest.param([policy(on=on("NotIn", "day"), ingress=[])], CLERK, TILL, 9, True, id="NotIn"),
        pytest.param([policy(on=on("Exists"), ingress=[])], CLERK, TILL, 9, False, id="Exists"),
        pytest.param([policy(on=on("DoesNotExist"), ingress=[])], TILL, CLERK, 9, False, id="DoesNotExist"),
    ],
)
def test_who_may_speak_to_whom(policies: list[JSON], source: str, target: str, port: int, open_: bool) -> None:
    assert may(policies, source, target, port) is open_


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(pod(TILL, phase="Succeeded"), id="one that has ended"),
        pytest.param(pod(TILL) | {"status": {}}, id="one without an address yet"),
        pytest.param(pod(TILL) | {"spec": {"containers": [], "hostNetwork": True}}, id="one in the node's own network"),
    ],
)
def test_a_pod_without_an_address_of_its_own_has_no_wall_and_is_nobodys_peer(body: JSON) -> None:
    everyone = policy(on={}, ingress=[coming(pods())])
    (clerk,) = walls([body, pod(CLERK)], NAMESPACES_HELD, [everyone])
    assert clerk == Wall(CLERK, (Opening((CLERK,)),), None)


def test_a_policy_that_does_not_say_which_ways_it_closes_closes_the_way_in() -> None:
    silent = policy(ingress=[])
    del silent["spec"]["policyTypes"]
    assert not may([silent], CLERK, TILL, 9)
    assert may([silent], TILL, CLERK, 9)


def chain(rules: str, name: str) -> list[str]:
    """The rules of one chain."""
    body = rules.partition(f"chain {name} {{\n")[2].partition("\n}")[0]
    return [line.strip() for line in body.splitlines()]


def test_walls_as_packet_rules() -> None:
    entering = [coming(pods(role="clerk"), block("10.99.0.0/16", "10.99.1.0/24", "10.99.1.0/25"), ports=[HTTP])]
    leaving = [to(ports=[DNS]), to(block("192.0.2.0/24"), ports=[{"port": 1, "endPort": 9}, {"protocol": "UDP"}])]
    rules = ruleset(walls(PODS_HELD, NAMESPACES_HELD, [policy(ingress=entering, egress=leaving)]))
    assert chain(rules, "entering_10_245_0_2") == [
        "ip saddr { 10.99.0.0/16 } ip saddr != { 10.99.1.0/24 } tcp dport 3000 return",
        "ip saddr { 10.245.0.3 } tcp dport 3000 return",
        "drop",
    ]
    assert chain(rules, "leaving_10_245_0_2") == [
        "udp dport 53 return",
        "ip daddr { 192.0.2.0/24 } tcp dport 1-9 return",
        "ip daddr { 192.0.2.0/24 } meta l4proto udp return",
        "drop",
    ]
    assert f"{TILL} : jump entering_10_245_0_2" in rules
    assert CLERK not in rules.partition("map entering")[2], "a pod without policies has a wall"


@pytest.mark.parametrize(
    "opened",
    [
        pytest.param({}, id="an empty rule"),
        pytest.param(to(block("0.0.0.0/0")), id="the block of all addresses"),
    ],
)
def test_what_opens_to_everyone_is_a_rule_without_conditions(opened: JSON) -> None:
    rules = ruleset(walls(PODS_HELD, NAMESPACES_HELD, [policy(egress=[opened])]))
    assert chain(rules, "leaving_10_245_0_2") == ["return", "drop"]


def test_a_table_takes_the_place_of_the_one_before_in_one_step() -> None:
    lines = ruleset(()).splitlines()
    assert lines[:3] == [
        "table inet switchyard_walls",
        "delete table inet switchyard_walls",
        "table inet switchyard_walls {",
    ]


@given(st.permutations(PODS_HELD), st.permutations([CLOSED, policy(name="two", ingress=[coming(theirs())])]))
def test_the_order_in_which_the_api_server_tells_changes_nothing(held: list[JSON], policies: list[JSON]) -> None:
    usual = [CLOSED, policy(name="two", ingress=[coming(theirs())])]
    told = ruleset(walls(held, NAMESPACES_HELD, policies))
    assert told == ruleset(walls(PODS_HELD, NAMESPACES_HELD, usual))


@dataclass
class FakeApi:
    """Lists what it holds, and hands each watcher what is told until it is told to break off (None)."""

    held: Mapping[str, list[JSON]]
    lists: int = 0
    broken: bool = False
    told: dict[str, Queue[bytes | None]] = field(default_factory=dict)

    def answer(self, request: BaseHTTPRequestHandler) -> None:
        path, _, query = request.path.partition("?")
        if self.broken:
            request.send_error(503)
            return
        request.send_response(200)
        request.end_headers()
        if not query:
            self.lists += 1
            listed = {"metadata": {"resourceVersion": "7"}, "items": self.held[path]}
            request.wfile.write(json.dumps(listed).encode())
            return
        while (line := self.told[path].get()) is not None:
            request.wfile.write(line)

    def tell(self, path: str, kind: str, body: JSON) -> None:
        self.told[path].put(json.dumps({"type": kind, "object": body}).encode() + b"\n")


@pytest.fixture
def api() -> Iterator[tuple[FakeApi, int]]:
    """The fake and its port."""
    fake = FakeApi({PODS: PODS_HELD, NAMESPACES: NAMESPACES_HELD, POLICIES: [CLOSED]})
    fake.told = {path: Queue() for path in fake.held}

    class Door(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            fake.answer(self)

        def log_message(self, format: str, *args: object) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Door)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield fake, server.server_port
    server.shutdown()


def test_what_is_watched_is_listed_and_then_followed_and_an_outage_is_outlived(api: tuple[FakeApi, int]) -> None:
    fake, port = api
    heard = threading.Event()
    watched = Watched(lambda: http.client.HTTPConnection("127.0.0.1", port), PODS, changed=heard.set)
    assert watched.held is None
    threading.Thread(target=watched.follow, daemon=True).start()

    def addresses() -> set[str]:
        return {body["status"]["podIP"] for body in watched.held or ()}

    until(lambda: addresses() == {TILL, CLERK, STORE, THIEF}, "all are listed", seconds=100)
    fake.tell(PODS, "DELETED", pod(THIEF, OTHER))
    fake.tell(PODS, "ADDED", pod("10.245.0.9"))
    until(lambda: addresses() == {TILL, CLERK, STORE, "10.245.0.9"}, "the watch is followed", seconds=100)
    fake.broken = True
    lists = fake.lists
    fake.told[PODS].put(None)
    assert addresses() == {TILL, CLERK, STORE, "10.245.0.9"}
    fake.broken = False
    until(lambda: fake.lists > lists, "it lists again", seconds=100)
    until(lambda: addresses() == {TILL, CLERK, STORE, THIEF}, "what was listed is all there is", seconds=100)
    lists = fake.lists
    fake.told[PODS].put(b'{"type": "ERROR", "object": {"message": "too old"}}\n')
    until(lambda: fake.lists > lists, "a watch that is too old is listed anew", seconds=100)
    assert heard.is_set()


def test_walls_follow_the_policies_and_only_what_differs_is_written(api: tuple[FakeApi, int]) -> None:
    fake, port = api
    written: list[str] = []
    stand = threading.Event()
    arguments = (lambda: http.client.HTTPConnection("127.0.0.1", port), written.append, stand.set)
    threading.Thread(target=enforce, args=arguments, daemon=True).start()
    until(stand.is_set, "the walls stand", seconds=100)
    assert written == [ruleset(walls(PODS_HELD, NAMESPACES_HELD, [CLOSED]))], "walls of half the world were written"
    fake.tell(PODS, "MODIFIED", pod(CLERK, role="clerk"))  # as it was
    fake.tell(POLICIES, "DELETED", CLOSED)
    until(lambda: len(written) > 1, "the policy's end is heard", seconds=100)
    assert written[1:] == [ruleset(walls(PODS_HELD, NAMESPACES_HELD, []))]
