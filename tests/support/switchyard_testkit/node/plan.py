"""Who gets which names and addresses: one node per slot, and no two slots share any."""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass
from pathlib import Path

from switchyard_testkit.errors import MachineError, TestkitError

SLOT_NUMBERS = {"demo": 0, "test": 1, "bench": 2}
HIDDEN_IN_NODE = (Path("/run"), Path("/var/run"), Path("/var/lib"), Path("/var/log"))
REGISTRY_PORT = 5000
API_PORT = 6443


@dataclass(frozen=True, slots=True)
class Slot:
    """The names and address ranges of one node."""

    name: str
    number: int

    @property
    def netns(self) -> str:
        return f"switchyard-{self.name}"

    @property
    def node_name(self) -> str:
        return f"switchyard-{self.name}"

    @property
    def cgroup(self) -> str:
        return f"switchyard-{self.name}"

    @property
    def host_link(self) -> str:
        return f"switchyard{self.number}"  # the kernel's limit is 15 characters

    @property
    def host_ip(self) -> str:
        return f"10.99.{self.number}.1"

    @property
    def node_ip(self) -> str:
        return f"10.99.{self.number}.2"

    @property
    def link_network(self) -> str:
        return f"10.99.{self.number}.0/24"

    @property
    def pods(self) -> str:
        return f"10.{244 + self.number}.0.0/16"

    @property
    def services(self) -> str:
        return f"10.{96 + self.number}.0.0/16"

    @property
    def networks(self) -> tuple[str, ...]:
        return (self.link_network, self.pods, self.services)

    @property
    def api_service_ip(self) -> str:
        return str(ipaddress.ip_network(self.services)[1])

    @property
    def api_names(self) -> tuple[str, ...]:
        """What the API server's certificate answers to."""
        service = ["kubernetes", "default", "svc", "cluster", "local"]
        inside = tuple(".".join(service[:parts]) for parts in (1, 2, 3, 5))
        return ("localhost", "127.0.0.1", self.node_ip, self.api_service_ip, *inside)

    @property
    def registry(self) -> str:
        return f"{self.node_ip}:{REGISTRY_PORT}"

    @property
    def api_url(self) -> str:
        return f"https://{self.node_ip}:{API_PORT}"


def slot_named(name: str) -> Slot:
    if name not in SLOT_NUMBERS:
        raise TestkitError(f"--slot is {name!r}; choose one of {', '.join(SLOT_NUMBERS)}.")
    return Slot(name, SLOT_NUMBERS[name])


@dataclass(frozen=True, slots=True)
class Places:
    """Where the node of one slot keeps its files."""

    cache_root: Path
    slot: Slot

    def require_usable(self) -> None:
        """Refuse a cache that the node could not see, or whose name the shell would take apart."""
        for hidden in HIDDEN_IN_NODE:
            if self.cache_root.is_relative_to(hidden):
                raise MachineError(
                    f"The cache is {self.cache_root}, and the node has a {hidden} of its own; "
                    f"set SWITCHYARD_CACHE to a folder elsewhere."
                )
        if not re.fullmatch(r"[\w./-]+", str(self.cache_root)):
            raise MachineError(
                f"The cache is {str(self.cache_root)!r}; set SWITCHYARD_CACHE to a path of letters, digits, '.', '-', "
                f"'_' and '/', because shells and mounts of the node meet it."
            )

    @property
    def home(self) -> Path:
        return self.cache_root / "nodes" / self.slot.name

    @property
    def etc(self) -> Path:
        return self.home / "etc"

    @property
    def pki(self) -> Path:
        return self.home / "pki"

    @property
    def logs(self) -> Path:
        return self.home / "logs"

    @property
    def audit_log(self) -> Path:
        """What the API server was asked by whom; only of who is named in the audit policy."""
        return self.logs / "audit.log"

    @property
    def volumes(self) -> Path:
        return self.home / "volumes"

    @property
    def registry_data(self) -> Path:
        """Shared by all slots and kept when a node goes: layers are named by content, and pushing again is dear."""
        return self.cache_root / "registry"

    @property
    def walls(self) -> Path:
        """The program that enforces NetworkPolicies."""
        return self.etc / "walls"

    @property
    def walls_ready(self) -> Path:
        """There once the first walls stand."""
        return self.home / "walls-ready"

    @property
    def kubeconfig(self) -> Path:
        return self.home / "kubeconfig"

    @property
    def result(self) -> Path:
        return self.home / "cluster.json"

    @property
    def fingerprint(self) -> Path:
        return self.home / "fingerprint"
