"""Bringing a node up and taking it down.

`up` looks first: a healthy node of the same recipe is left alone. Anything else in the slot, whatever state a killed
run left it in, is taken down completely and made anew: one way to a running node, not one per kind of wreck.
"""

from __future__ import annotations

import signal
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping
from pathlib import Path

from switchyard_testkit.cache import GIB, Cache, recipe_key, remove_tree, write_atomically
from switchyard_testkit.commands import CommandError, run, tail
from switchyard_testkit.errors import TestkitError, TimedOutError
from switchyard_testkit.node import cgroups, configs, namespaces, pause_image, pki, processes
from switchyard_testkit.node.api import ApiServer
from switchyard_testkit.node.components import Component, components
from switchyard_testkit.node.plan import Places
from switchyard_testkit.progress import Progress

DISK = 8 * GIB  # images unpacked, the registry's layers, volumes
STAGES: Mapping[str, float] = {
    "clear the slot": 2,
    "namespaces and identities": 2,
    "etcd and API server": 8,
    "container runtime and node": 15,
    "cluster services": 5,
}
API_SERVER = "kube-apiserver"
CONTROLLERS = "kube-controller-manager"
PATIENCE = 180.0  # a part is there within 15 s on an idle machine; a busy one gets its time


class Node:
    """The node of one slot."""

    def __init__(self, cache: Cache, places: Places, tools: Path) -> None:
        self._cache = cache
        self._places = places
        self._tools = tools
        self._slot = places.slot
        self._files = configs.files(places, tools / "pause")
        self._components = {component.name: component for component in components(places, tools)}
        self._api = ApiServer(places)

    @property
    def fingerprint(self) -> str:
        """Changes when anything would be started differently."""
        commands = {name: "\0".join(component.command) for name, component in self._components.items()}
        return recipe_key({**{str(path): text for path, text in self._files.items()}, **commands})

    def trouble(self) -> str | None:
        """None when the node is up, whole and of this recipe; else the first thing that is not so."""
        if not self._places.result.exists() or not self._places.fingerprint.exists():
            return "it is not up"
        if self._places.fingerprint.read_text() != self.fingerprint:
            return "it was made by another recipe"
        first = processes.first_process(self._places.home)
        if first is None:
            return "its processes are gone"
        for component in self._components.values():
            if not self._running(first, component):
                return f"its {component.name} has ended; see {self._log(component)}"
        return self._api.not_ready() or self._api.node_not_ready(self._slot.node_name)

    def foreign(self) -> Path | None:
        """The folder of a node that another cache runs under this slot's name, if there is one."""
        homes = processes.homes_of_nodes().values()
        return next((home for home in homes if home.name == self._slot.name and home != self._places.home), None)

    def up(self, progress: Progress) -> None:
        """Make the node; the caller holds the slot's lock and has found trouble."""
        with progress.stage("clear the slot"):
            self._places.require_usable()
            if foreign := self.foreign():
                raise TestkitError(
                    f"Slot {self._slot.name} is taken by a node that keeps its files in {foreign}. Take it down with "
                    f"SWITCHYARD_CACHE={foreign.parents[1]}, or use another slot."
                )
            self.down()
            self._cache.require_free(DISK, f"The node of slot {self._slot.name}")
            namespaces.require_free_addresses(self._slot)
        with progress.stage("namespaces and identities"):
            self._write_files()
            self._make_identities()
            namespaces.make_network(self._slot)
            cgroups.make(self._slot.cgroup)
            namespaces.start_first_process(self._places)
            ready = self._places.home / "namespaces-ready"
            progress.wait_for(
                "the node's own mounts",
                lambda: None if ready.exists() else self._last_lines(self._places.logs / "init.log"),
                seconds=PATIENCE,
            )
        with progress.stage("etcd and API server"):
            self._start("etcd")
            self._start(API_SERVER)
            self._await(progress, "the API server", self._api.not_ready, suspect=API_SERVER)
        with progress.stage("container runtime and node"):
            self._start("containerd")
            for name in ("kube-controller-manager", "kube-scheduler", "docker-registry", "coredns", "kube-proxy"):
                self._start(name)
            self._await(progress, "containerd", self._runtime_not_ready, suspect="containerd")
            self._import_pause_image()
            self._start("kubelet")
            self._start("local-volumes")
            self._await(
                progress,
                "the node to be Ready",
                lambda: self._api.node_not_ready(self._slot.node_name),
                suspect="kubelet",
            )
        with progress.stage("cluster services"):
            self._apply_add_ons()
            self._start("walls")
            self._await(
                progress,
                "the walls that NetworkPolicies ask for",
                lambda: None if self._places.walls_ready.exists() else "they do not stand yet",
                suspect="walls",
            )
            self._await(
                progress,
                "the default service account",
                lambda: self._api.exists("/api/v1/namespaces/default/serviceaccounts/default"),
                suspect="kube-controller-manager",
            )
            self._await(
                progress,
                "the registry",
                lambda: _not_answering(f"http://{self._slot.registry}/v2/"),
                suspect="docker-registry",
            )
            self._await(
                progress,
                "the cluster's DNS",
                lambda: _not_answering(f"http://{self._slot.node_ip}:8181/ready"),
                suspect="coredns",
            )
        write_atomically(self._places.fingerprint, self.fingerprint)

    def down(self) -> None:
        """Leave nothing of the node, and prove it. The caller has made sure that the slot is not another cache's."""
        self._places.result.unlink(missing_ok=True)  # first: nobody shall be sent to a node that is going
        namespaces.take_down(self._places)
        cgroups.remove(self._slot.cgroup)
        if self._places.home.exists():
            remove_tree(self._places.home)
        if left := namespaces.leftovers(self._places) + cgroups.leftovers(self._slot.cgroup):
            raise TestkitError(f"The node of slot {self._slot.name} is down, but these are left: {'; '.join(left)}.")

    def stop_api_server(self) -> None:
        """Kill the API server alone, as a crash would; for tests of faults."""
        self._kill(API_SERVER)

    def start_api_server(self, progress: Progress) -> None:
        """Start it again and wait until it serves; one that runs is left alone."""
        if not self._running(self._first(), self._components[API_SERVER]):
            self._start(API_SERVER)
        self._await(progress, "the API server", self._api.not_ready, suspect=API_SERVER)

    def stop_control_plane(self) -> None:
        """The API server, and the controllers: where several elect a leader, they end when they cannot renew its lease.

        Left running, with all that they know minutes old, they would take the node for dead on the server's return.
        """
        self._kill(CONTROLLERS)
        self._kill(API_SERVER)

    def start_control_plane(self, progress: Progress) -> None:
        """Both again."""
        self.start_api_server(progress)
        if not self._running(self._first(), self._components[CONTROLLERS]):
            self._start(CONTROLLERS)

    def _kill(self, name: str) -> None:
        first, component = self._first(), self._components[name]
        for pid in self._pids(first, component):
            processes.end(pid, lambda number: number in self._pids(first, component), number=signal.SIGKILL, seconds=20)

    def _first(self) -> int:
        first = processes.first_process(self._places.home)
        if first is None:
            raise TestkitError(
                f"The node of slot {self._slot.name} is not up; run `make cluster SLOT={self._slot.name}` first."
            )
        return first

    def _pids(self, first: int, component: Component) -> tuple[int, ...]:
        return tuple(
            pid
            for pid in processes.sharing_namespace("pid", f"/proc/{first}/ns/pid")
            if processes.command_line(pid)[: len(component.command)] == component.command
        )

    def _running(self, first: int, component: Component) -> bool:
        return bool(self._pids(first, component))

    def _start(self, name: str) -> None:
        component = self._components[name]
        namespaces.start_inside(self._first(), component.command, self._log(component))

    def _log(self, component: Component) -> Path:
        return self._places.logs / f"{component.name}.log"

    def _write_files(self) -> None:
        places = self._places
        for folder in (places.etc, places.pki, places.logs, places.volumes, places.registry_data):
            folder.mkdir(parents=True, exist_ok=True)
        for state in ("var/lib/cni", "var/log"):
            (places.home / state).mkdir(parents=True, exist_ok=True)
        for path, text in self._files.items():
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)

    def _make_identities(self) -> None:
        places, slot = self._places, self._slot
        pki.make_authority(places.pki, f"switchyard {slot.name}")
        pki.make_server(places.pki, "apiserver", slot.api_names)
        pki.make_token_key(places.pki, "service-accounts")
        for name, identity in configs.identities(slot).items():
            pki.make_client(places.pki, name, identity)
            text = pki.kubeconfig(places.pki, name, cluster=slot.node_name, server=slot.api_url)
            path = places.kubeconfig if name == configs.ADMINISTRATOR else places.etc / f"{name}.kubeconfig"
            write_atomically(path, text, mode=0o600)

    def _runtime_not_ready(self) -> str | None:
        try:
            run(namespaces.inside(self._first(), ["ctr", "--timeout", "2s", "version"]), env=namespaces.ENVIRONMENT)
        except CommandError as error:
            return str(error)
        return None

    def _import_pause_image(self) -> None:
        archive = self._places.home / "pause.tar"
        pause_image.write_archive(self._tools / "pause", configs.PAUSE_IMAGE, archive)
        command = ["ctr", "--namespace", "k8s.io", "images", "import", str(archive)]
        run(namespaces.inside(self._first(), command), env=namespaces.ENVIRONMENT)

    def _apply_add_ons(self) -> None:
        kubectl = [str(self._tools / "kubectl"), f"--kubeconfig={self._places.kubeconfig}"]
        command = [*kubectl, "apply", "--server-side", "-f", str(self._places.etc / "add-ons.yaml")]
        # In the node, so that it ends with the node should we be killed now.
        run(namespaces.inside(self._first(), command), env=namespaces.ENVIRONMENT)

    def _await(self, progress: Progress, awaited: str, condition: Callable[[], str | None], *, suspect: str) -> None:
        """Wait for a condition; when it does not come, show what the part that should bring it has logged."""
        try:
            progress.wait_for(awaited, condition, seconds=PATIENCE)
        except TimedOutError as error:
            log = self._log(self._components[suspect])
            raise TimedOutError(f"{error}\nThe end of {log}:\n{self._last_lines(log)}") from error

    def _last_lines(self, log: Path) -> str:
        return tail(log.read_text(errors="replace")) if log.exists() else "nothing yet"


def _not_answering(url: str) -> str | None:
    """None when a GET of the URL answers 200."""
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(url, timeout=3):
            return None
    except (OSError, urllib.error.URLError) as error:
        return f"{url}: {error}"
