"""The node's network, mounts and process ids: making them, starting things in them, taking them away."""

from __future__ import annotations

import ipaddress
import json
import subprocess
from collections.abc import Sequence
from pathlib import Path

from switchyard_testkit.commands import CommandError, run
from switchyard_testkit.errors import MachineError
from switchyard_testkit.node import processes
from switchyard_testkit.node.plan import Places, Slot

NETNS_FOLDER = Path("/run/netns")
# The node's processes get nothing of the caller's environment: a proxy meant for the internet would swallow the node's
# own addresses. Its Go programs collect garbage less often: processors are scarcer than memory where tests run.
ENVIRONMENT = {"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "HOME": "/root", "GOGC": "400"}


def netns_path(slot: Slot) -> Path:
    return NETNS_FOLDER / slot.netns


def overlapping(networks: Sequence[str], routes: Sequence[dict[str, object]]) -> str | None:
    """The first route of the machine that covers an address of ours; the default route covers all and is fine."""
    for route in routes:
        destination = str(route.get("dst", "default"))
        if destination == "default":
            continue
        taken = ipaddress.ip_network(destination, strict=False)
        for network in networks:
            if taken.version == 4 and taken.overlaps(ipaddress.ip_network(network)):
                return f"{destination} via {route.get('dev', 'an unknown device')}"
    return None


def require_free_addresses(slot: Slot) -> None:
    routes = json.loads(run(["ip", "-4", "-json", "route"]) or "[]")
    if taken := overlapping(slot.networks, routes):
        raise MachineError(
            f"The node of slot {slot.name} uses {', '.join(slot.networks)}, and this machine already routes {taken}. "
            f"Use another slot, or CLUSTER=current."
        )


def make_network(slot: Slot) -> None:
    """A link between the machine and the namespace, and routes to the node's pods and Services through it."""
    inside = ["ip", "-n", slot.netns]
    run(["ip", "netns", "add", slot.netns])
    run(["ip", "link", "add", slot.host_link, "type", "veth", "peer", "name", "eth0", "netns", slot.netns])
    run(["ip", "addr", "add", f"{slot.host_ip}/24", "dev", slot.host_link])
    run(["ip", "link", "set", slot.host_link, "up"])
    run([*inside, "link", "set", "lo", "up"])
    run([*inside, "addr", "add", f"{slot.node_ip}/24", "dev", "eth0"])
    run([*inside, "link", "set", "eth0", "up"])
    run([*inside, "route", "add", "default", "via", slot.host_ip])
    for network in (slot.pods, slot.services):
        run(["ip", "route", "add", network, "via", slot.node_ip])


def start_first_process(places: Places) -> None:
    """Start process 1; everything else of the node is started into its namespaces."""
    command = [
        "nsenter",
        f"--net={netns_path(places.slot)}",
        "unshare",
        "--mount",
        "--pid",
        "--fork",
        "--mount-proc",
        "--propagation=slave",
        "/bin/sh",
        str(places.etc / "init.sh"),
        "--node",
        str(places.home),
    ]
    with (places.logs / "init.log").open("ab") as log:
        subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=ENVIRONMENT, start_new_session=True, cwd="/"
        )


def inside(first: int, command: Sequence[str]) -> list[str]:
    """The command that runs `command` in the node. Not `ip netns exec`, which remounts /sys and hides the cgroups."""
    return ["nsenter", f"--target={first}", "--mount", "--net", "--pid", "--", *command]


def start_inside(first: int, command: Sequence[str], log: Path) -> None:
    """Start a process that outlives us: process 1 of the node becomes its parent."""
    script = 'log=$1; shift; setsid "$@" >>"$log" 2>&1 </dev/null &'
    run(inside(first, ["/bin/sh", "-c", script, "sh", str(log), *command]), env=ENVIRONMENT)


def take_down(places: Places) -> None:
    """End the node's processes, then remove its network; safe to repeat and to run on a half-made node."""
    slot = places.slot

    def starting_or_holding() -> tuple[int, ...]:
        return tuple(pid for pid, home in processes.homes_of_nodes().items() if home == places.home)

    processes.end_all(starting_or_holding, seconds=60)
    # Whoever else entered the node's network (a load generator of a test, say) would keep it alive without a name.
    processes.end_all(lambda: processes.sharing_namespace("net", str(netns_path(slot))), seconds=60)
    # The link first: with its namespace it would go too, but some time later.
    if link_exists(slot):
        try:
            run(["ip", "link", "delete", slot.host_link])
        except CommandError:
            if link_exists(slot):  # else a namespace that went just before took it along
                raise
    if netns_path(slot).exists():
        run(["ip", "netns", "delete", slot.netns])
    _give_back_netns_folder()


def _give_back_netns_folder() -> None:
    """`ip netns add` mounts the folder of names onto itself and leaves it so; with no name in it nobody needs that."""
    if NETNS_FOLDER.is_mount() and not any(NETNS_FOLDER.iterdir()):
        # Fails when another slot's node adds its name just now, and is then not ours to do.
        subprocess.run(["umount", str(NETNS_FOLDER)], check=False, capture_output=True)


def link_exists(slot: Slot) -> bool:
    return Path(f"/sys/class/net/{slot.host_link}").exists()


def leftovers(places: Places) -> list[str]:
    """What is still there of the node, each thing named."""
    slot = places.slot
    found = [f"process {pid}" for pid, home in processes.homes_of_nodes().items() if home == places.home]
    if netns_path(slot).exists():
        found.append(f"network namespace {slot.netns}")
    if link_exists(slot):
        found.append(f"link {slot.host_link}")
    for route in json.loads(run(["ip", "-4", "-json", "route"]) or "[]"):
        if route.get("dst") in slot.networks:
            found.append(f"route {route['dst']}")
    for line in Path("/proc/self/mountinfo").read_text().splitlines():
        mounted = line.split()[4]
        if mounted == str(netns_path(slot)) or mounted.startswith(f"{places.home}/"):
            found.append(f"mount {mounted}")
    return found
