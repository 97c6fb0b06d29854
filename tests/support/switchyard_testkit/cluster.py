"""`python -m switchyard_testkit.cluster up|down|status|env --slot demo|test|bench`: a cluster to work on.

CLUSTER chooses which: `current` takes the kube context you have, `kind` makes one with kind, `node` makes the single
node from source. Unset, it is kind where a Docker engine answers and the node everywhere else. Whoever needs the
cluster reads `<cache>/nodes/<slot>/cluster.json`; it is there exactly while the cluster is up.
"""

from __future__ import annotations

import argparse
import json
import os
import shlex
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Literal, get_args

from switchyard_testkit import kind, machine, programs, toolchain
from switchyard_testkit.cache import Cache, Durations, write_atomically
from switchyard_testkit.errors import TestkitError
from switchyard_testkit.node import lifecycle
from switchyard_testkit.node.plan import SLOT_NUMBERS, Places, slot_named
from switchyard_testkit.progress import Progress

Kind = Literal["node", "kind", "current"]


@dataclass(frozen=True, slots=True)
class Described:
    """What others must know to use the cluster; the content of cluster.json."""

    slot: str
    kind: Kind
    kubeconfig: str
    registry: str
    node_ip: str


def chosen_kind(environ: Mapping[str, str], *, engine_answers: bool) -> Kind:
    wanted = environ.get("CLUSTER", "")
    if not wanted:
        return "kind" if engine_answers else "node"
    for known in get_args(Kind):
        if wanted == known:
            return known  # type: ignore[no-any-return]
    raise TestkitError(f"CLUSTER is {wanted!r}; use current, kind or node, or leave it unset.")


def up(slot_name: str, environ: Mapping[str, str]) -> Described:
    """The slot's cluster, made if it is not there; about a second when it is."""
    cache = Cache.from_env(environ)
    places = Places(cache.root, slot_named(slot_name))
    durations = Durations(cache.root / "durations.json")
    with cache.lock(f"node-{slot_name}"):
        chosen = chosen_kind(environ, engine_answers="CLUSTER" not in environ and kind.engine_answers())
        if chosen == "current":
            described = _current(slot_name, environ)
        elif chosen == "kind":
            described = _kind(places, durations)
        else:
            described = _node(cache, places, durations)
        write_atomically(places.result, json.dumps(asdict(described), indent=1) + "\n")
    return described


def down(slot_name: str, environ: Mapping[str, str]) -> str:
    """Remove what `up` made in this slot, and say so; a cluster of yours is only forgotten."""
    cache = Cache.from_env(environ)
    places = Places(cache.root, slot_named(slot_name))
    with cache.lock(f"node-{slot_name}"):
        described = read(places)
        if described is not None and described.kind == "current":
            places.result.unlink()
            return (
                f"slot {slot_name}: your own cluster is forgotten and left as it is; "
                "`helm uninstall switchyard --namespace switchyard-system` takes Switchyard off it, and "
                "`kubectl delete crd model{deployments,revisions,routes,commands}.switchyard.dev` its types"
            )
        if described is not None and described.kind == "kind":
            kind.delete(places.slot)
        node = _node_of(cache, places)
        if foreign := node.foreign():
            return f"slot {slot_name}: left alone, a node that keeps its files in {foreign} uses it"
        node.down()
    return f"slot {slot_name}: down; nothing is left of it"


def status(slot_name: str, environ: Mapping[str, str]) -> str | None:
    """None when the slot's cluster is up and healthy; else a sentence."""
    cache = Cache.from_env(environ)
    places = Places(cache.root, slot_named(slot_name))
    described = read(places)
    if described is None:
        return "it is not up"
    return _node_of(cache, places).trouble() if described.kind == "node" else None


def exports(slot_name: str, environ: Mapping[str, str]) -> str:
    """Shell commands after which kubectl and helm work on the slot's cluster."""
    cache = Cache.from_env(environ)
    described = read(Places(cache.root, slot_named(slot_name)))
    if described is None:
        raise TestkitError(f"slot {slot_name} is not up; `make cluster SLOT={slot_name}` starts it.")
    lines = [f"export KUBECONFIG={shlex.quote(described.kubeconfig)}"]
    if described.kind == "node":
        lines.append(f'export PATH={shlex.quote(str(toolchain.folder(cache)))}:"$PATH"')
    return "\n".join(lines)


def read(places: Places) -> Described | None:
    if not places.result.exists():
        return None
    return Described(**json.loads(places.result.read_text()))


def stop_api_server(slot_name: str, environ: Mapping[str, str]) -> None:
    """Kill the slot's API server; for tests of faults, on the node only."""
    cache = Cache.from_env(environ)
    _node_of(cache, Places(cache.root, slot_named(slot_name))).stop_api_server()


def start_api_server(slot_name: str, environ: Mapping[str, str]) -> None:
    """Start it again and wait until it serves."""
    cache = Cache.from_env(environ)
    durations = Durations(cache.root / "durations.json")
    progress = Progress(f"node {slot_name}", plan={}, durations=durations)
    _node_of(cache, Places(cache.root, slot_named(slot_name))).start_api_server(progress)


def stop_control_plane(slot_name: str, environ: Mapping[str, str]) -> None:
    """Kill the slot's API server and its controllers; for tests of faults, on the node only."""
    cache = Cache.from_env(environ)
    _node_of(cache, Places(cache.root, slot_named(slot_name))).stop_control_plane()


def start_control_plane(slot_name: str, environ: Mapping[str, str]) -> None:
    """Start them again and wait until the API server serves."""
    cache = Cache.from_env(environ)
    progress = Progress(f"node {slot_name}", plan={}, durations=Durations(cache.root / "durations.json"))
    _node_of(cache, Places(cache.root, slot_named(slot_name))).start_control_plane(progress)


def _node_of(cache: Cache, places: Places) -> lifecycle.Node:
    return lifecycle.Node(cache, places, toolchain.folder(cache))


def _node(cache: Cache, places: Places, durations: Durations) -> Described:
    slot = places.slot
    node = _node_of(cache, places)
    described = Described(slot.name, "node", str(places.kubeconfig), slot.registry, slot.node_ip)
    trouble = node.trouble()
    if trouble is None:
        return described
    stages = {**programs.plan(cache), **lifecycle.STAGES}
    progress = Progress(f"node {slot.name}", plan=stages, durations=durations, remembered_as="node")
    progress.say(f"making it, because {trouble}")
    machine.require_root()
    machine.require_overlay()
    programs.ensure(cache, progress)
    node.up(progress)
    progress.finish()
    return described


def _kind(places: Places, durations: Durations) -> Described:
    progress = Progress(f"kind {places.slot.name}", plan=kind.STAGES, durations=durations)
    registry = kind.up(places, progress)
    return Described(places.slot.name, "kind", str(places.kubeconfig), registry, "127.0.0.1")


def _current(slot_name: str, environ: Mapping[str, str]) -> Described:
    kubeconfig = environ.get("KUBECONFIG") or f"{environ.get('HOME', '/root')}/.kube/config"
    registry = environ.get("SWITCHYARD_REGISTRY", "")
    if not registry:
        raise TestkitError(
            "CLUSTER=current needs SWITCHYARD_REGISTRY: a registry that you can push to and the cluster can pull from."
        )
    found = subprocess.run(
        ["kubectl", f"--kubeconfig={kubeconfig}", "version", "--request-timeout=10s"],
        capture_output=True,
        text=True,
        check=False,
    )
    if found.returncode != 0:
        raise TestkitError(f"CLUSTER=current, but the cluster of {kubeconfig} does not answer: {found.stderr.strip()}")
    return Described(slot_name, "current", kubeconfig, registry, "")


def main(arguments: list[str], environ: Mapping[str, str]) -> int:
    parser = argparse.ArgumentParser(
        prog="switchyard_testkit.cluster", description="Make, look at or remove a cluster."
    )
    parser.add_argument("action", choices=("up", "down", "status", "env"))
    parser.add_argument("--slot", choices=tuple(SLOT_NUMBERS), default="test")
    parser.add_argument("--all", action="store_true", help="every slot, whatever --slot says")
    chosen = parser.parse_args(arguments)
    slots = tuple(SLOT_NUMBERS) if chosen.all else (chosen.slot,)
    well = True
    for slot in slots:
        if chosen.action == "up":
            described = up(slot, environ)
            print(f"slot {slot}: up ({described.kind}); export KUBECONFIG={described.kubeconfig}")
        elif chosen.action == "down":
            try:
                print(down(slot, environ))
            except TestkitError as error:  # the other slots shall go all the same
                print(error, file=sys.stderr)
                well = False
        elif chosen.action == "env":
            print(exports(slot, environ))
        else:
            trouble = status(slot, environ)
            print(f"slot {slot}: {'up' if trouble is None else trouble}")
            well = well and trouble is None
    return 0 if well else 1


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:], os.environ))
    except TestkitError as error:
        print(error, file=sys.stderr)
        sys.exit(1)
