"""What the machine must bring, what it lacks, and how it gets it.

Runs on the machine's bare Python: it is asked before there is an environment.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from switchyard_testkit.cache import GIB, Cache
from switchyard_testkit.commands import run
from switchyard_testkit.errors import MachineError

SEARCH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
GO_FOLDER = "/usr/local/go/bin"
GO_WANTED = (1, 24)
POLICY = Path("/usr/sbin/policy-rc.d")
POLICY_MARK = "# switchyard: no service starts while packages are installed"


@dataclass(frozen=True, slots=True)
class Package:
    """A Debian package, the file that shows it is there, and the services it would start."""

    name: str
    shows: str
    megabytes: int
    services: tuple[str, ...] = ()

    def is_there(self) -> bool:
        return Path(self.shows).exists() if "/" in self.shows else shutil.which(self.shows, path=SEARCH) is not None


NODE_PACKAGES = (
    Package("etcd-server", "etcd", 25, ("etcd",)),
    Package("containerd", "containerd", 130, ("containerd",)),
    Package("runc", "runc", 12),
    Package("containernetworking-plugins", "/usr/lib/cni/ptp", 45),
    Package("docker-registry", "docker-registry", 25, ("docker-registry",)),
    Package("iptables", "iptables", 3),
    Package("conntrack", "conntrack", 1),
    Package("iproute2", "ip", 4),
    Package("util-linux", "nsenter", 5),
)
IMAGE_PACKAGES = (
    Package("buildah", "buildah", 60),
    Package("debootstrap", "debootstrap", 1),
    Package("ca-certificates", "/etc/ssl/certs/ca-certificates.crt", 1),
)
PACKAGES = NODE_PACKAGES + IMAGE_PACKAGES


def missing(packages: Sequence[Package] = PACKAGES) -> tuple[Package, ...]:
    return tuple(package for package in packages if not package.is_there())


def go_program() -> str:
    """The path of a Go that is new enough."""
    found = shutil.which("go") or shutil.which("go", path=GO_FOLDER)
    wanted = ".".join(map(str, GO_WANTED))
    if found is None:
        raise MachineError(
            f"Go is missing. Install Go {wanted} or newer from https://go.dev/dl in /usr/local/go, or put it on PATH."
        )
    printed = run([found, "env", "GOVERSION"], env={**os.environ, "GOTOOLCHAIN": "local"}).strip()
    version = re.match(r"go(\d+)\.(\d+)", printed)
    if version is None or (int(version[1]), int(version[2])) < GO_WANTED:
        raise MachineError(f"{found} is {printed}; Kubernetes needs Go {wanted} or newer from https://go.dev/dl.")
    return found


def require_root() -> None:
    if os.geteuid() != 0:
        raise MachineError(
            "The node needs root: it makes network namespaces, mounts and cgroups. Run make as root (`sudo make …`), "
            "or point CLUSTER=current at a cluster you have."
        )


def require_overlay() -> None:
    if "overlay" not in Path("/proc/filesystems").read_text().split():
        raise MachineError("The kernel has no overlay file system; load it with `modprobe overlay`.")


@dataclass(frozen=True, slots=True)
class Finding:
    """One line of the doctor."""

    what: str
    good: bool
    text: str


def _finding(what: str, check: Callable[[], object]) -> Finding:
    try:
        said = check()
    except MachineError as error:
        return Finding(what, False, str(error))
    return Finding(what, True, said if isinstance(said, str) else "found")


def examine(cache: Cache, *, disk: int) -> tuple[Finding, ...]:
    """Everything that `make demo` and `make test` will ask of the machine, without changing it."""

    def packages() -> str:
        lacking = missing()
        if not lacking:
            return "all installed"
        names = " ".join(package.name for package in lacking)
        megabytes = sum(package.megabytes for package in lacking)
        if shutil.which("apt-get") is None:
            raise MachineError(f"Missing: {names}. This machine has no apt-get; install what they bring another way.")
        return f"apt-get will install {names} ({megabytes} MB); their services will not be started"

    def space() -> str:
        cache.require_free(disk, "A first run")
        return f"{shutil.disk_usage(cache.root).free / GIB:.0f} GB free below {cache.root}, {disk / GIB:.0f} GB needed"

    def python() -> str:
        return run(["python3", "--version"]).strip()

    def tool(name: str, remedy: str) -> Callable[[], str]:
        def check() -> str:
            found = shutil.which(name) or shutil.which(name, path=SEARCH)
            if found is None:
                raise MachineError(f"{name} is missing; {remedy}.")
            return found

        return check

    return (
        _finding("root", require_root),
        _finding("overlay file system", require_overlay),
        _finding("packages", packages),
        _finding("go", go_program),
        _finding("python", python),
        _finding("git", tool("git", "install it with `apt-get install git`")),
        _finding("disk", space),
    )


def ensure_packages(packages: Sequence[Package] = PACKAGES, *, say: Callable[[str], None] = print) -> None:
    """Install what is missing, ask nothing, start no service."""
    lacking = missing(packages)
    if not lacking:
        return
    require_root()
    names = [package.name for package in lacking]
    if shutil.which("apt-get") is None:
        raise MachineError(
            f"Missing: {' '.join(names)}. This machine has no apt-get; install what they bring another way."
        )
    say(f"installing with apt-get: {' '.join(names)}")
    env = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    apt = ["apt-get", "-q", "-y", "-o", "DPkg::Lock::Timeout=300"]
    with _no_service_starts():
        run([*apt, "update"], env=env, timeout=600)
        run([*apt, "install", "--no-install-recommends", *names], env=env, timeout=1200)
    _keep_services_off([service for package in lacking for service in package.services])
    if still := missing(packages):
        raise MachineError(
            f"apt-get installed {' '.join(names)}, but still missing: {', '.join(package.shows for package in still)}."
        )


@contextmanager
def _no_service_starts() -> Iterator[None]:
    """Debian asks this file before a package starts its service; one that is there already is the machine's own."""
    ours = not POLICY.exists() or POLICY_MARK in POLICY.read_text()  # a killed run may have left ours
    if ours:
        POLICY.write_text(f"#!/bin/sh\n{POLICY_MARK}\nexit 101\n")
        POLICY.chmod(0o755)
    try:
        yield
    finally:
        if ours:
            POLICY.unlink(missing_ok=True)


def _keep_services_off(services: Sequence[str]) -> None:
    """Packages also enable their services for the next start of the machine."""
    if services and Path("/run/systemd/system").is_dir():
        subprocess.run(["systemctl", "disable", *services], check=False, capture_output=True)
