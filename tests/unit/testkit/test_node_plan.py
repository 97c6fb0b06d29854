"""The plan of a node: every slot its own names and addresses."""

from __future__ import annotations

import ipaddress
from itertools import combinations
from pathlib import Path

import pytest
from switchyard_testkit.errors import MachineError, TestkitError
from switchyard_testkit.node.namespaces import overlapping
from switchyard_testkit.node.plan import SLOT_NUMBERS, Places, Slot, slot_named

SLOTS = [slot_named(name) for name in SLOT_NUMBERS]


@pytest.mark.parametrize(("one", "other"), list(combinations(SLOTS, 2)), ids=lambda slot: slot.name)
def test_two_slots_share_no_address_and_no_name(one: Slot, other: Slot) -> None:
    for network in one.networks:
        for foreign in other.networks:
            assert not ipaddress.ip_network(network).overlaps(ipaddress.ip_network(foreign))
    names = {(slot.netns, slot.host_link, slot.cgroup, slot.node_name, slot.registry, slot.api_url) for slot in SLOTS}
    assert all(len({name[part] for name in names}) == len(SLOTS) for part in range(6))


@pytest.mark.parametrize("slot", SLOTS, ids=lambda slot: slot.name)
def test_a_slots_addresses_fit_together(slot: Slot) -> None:
    link = ipaddress.ip_network(slot.link_network)
    assert {ipaddress.ip_address(slot.host_ip), ipaddress.ip_address(slot.node_ip)} <= set(link.hosts())
    assert ipaddress.ip_address(slot.api_service_ip) == next(ipaddress.ip_network(slot.services).hosts())
    assert len(slot.host_link) <= 15, "the kernel refuses longer names of links"


def test_the_api_servers_certificate_answers_to_every_way_of_reaching_it() -> None:
    assert set(slot_named("test").api_names) == {
        "localhost",
        "127.0.0.1",
        "10.99.1.2",
        "10.97.0.1",
        "kubernetes",
        "kubernetes.default",
        "kubernetes.default.svc",
        "kubernetes.default.svc.cluster.local",
    }


def test_an_unknown_slot_is_refused_with_the_known_ones() -> None:
    with pytest.raises(TestkitError, match="--slot is 'prod'; choose one of demo, test, bench"):
        slot_named("prod")


@pytest.mark.parametrize(
    ("cache", "objection"),
    [
        pytest.param("/var/lib/switchyard", "the node has a /var/lib of its own", id="where the node keeps its state"),
        pytest.param(
            "/run/user/0/cache", "the node has a /run of its own", id="where the node has a fresh file system"
        ),
        pytest.param("/home/ann lee/.cache", "a path of letters, digits", id="a name the shell would take apart"),
    ],
)
def test_a_cache_that_the_node_cannot_use_is_refused(cache: str, objection: str) -> None:
    with pytest.raises(MachineError, match=objection):
        Places(Path(cache), slot_named("test")).require_usable()


def test_an_ordinary_cache_is_fine() -> None:
    Places(Path("/home/ann/.cache/switchyard"), slot_named("test")).require_usable()


@pytest.mark.parametrize(
    ("routes", "taken"),
    [
        pytest.param([], None, id="no routes at all"),
        pytest.param([{"dst": "default", "dev": "eth0"}], None, id="the default route covers all and is fine"),
        pytest.param([{"dst": "192.168.1.0/24", "dev": "eth0"}], None, id="another network"),
        pytest.param([{"dst": "10.0.0.0/8", "dev": "tun0"}], "10.0.0.0/8 via tun0", id="a larger network around ours"),
        pytest.param([{"dst": "10.245.7.1", "dev": "cni0"}], "10.245.7.1 via cni0", id="one host within ours"),
        pytest.param([{"dst": "10.99.0.0/24", "dev": "switchyard0"}], None, id="the link of another slot"),
    ],
)
def test_addresses_that_the_machine_routes_already_are_noticed(
    routes: list[dict[str, object]], taken: str | None
) -> None:
    assert overlapping(slot_named("test").networks, routes) == taken
