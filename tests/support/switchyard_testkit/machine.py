"""What the machine must bring, what it lacks, and how it gets it.

Runs on the machine's bare Python: it is asked before there is an environment.
"""

from __future__ import annotations

import importlib.util
import os
import platform
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from switchyard_testkit import toolchain
from switchyard_testkit.cache import GIB, Cache
from switchyard_testkit.commands import run
from switchyard_testkit.errors import MachineError, TestkitError

SEARCH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
PYTHON_WANTED = (3, 11)
DISK = 20 * GIB  # tools while they are built 6, images 6, a node 8
WARM_DISK = 8 * GIB
TARGET_MINUTES = {"demo": 8, "test": 40}  # with everything built
TOOLS_MINUTES = 8
IMAGES_MINUTES = 5
POLICY = Path("/usr/sbin/policy-rc.d")
POLICY_MARK = "# switchyard: no service starts while packages are installed"


@dataclass(frozen=True, slots=True)
class Package:
    """A Debian package, the file that shows it is there (a * stands for a version), and the services it would start."""

    name: str
    shows: str
    megabytes: int
    services: tuple[str, ...] = ()

    def is_there(self) -> bool:
        if "/" in self.shows:
            return any(Path("/").glob(self.shows.removeprefix("/")))
        return shutil.which(self.shows, path=SEARCH) is not None


NODE_PACKAGES = (
    Package("etcd-server", "etcd", 25, ("etcd",)),
    Package("containerd", "containerd", 130, ("containerd",)),
    Package("runc", "runc", 12),
    Package("containernetworking-plugins", "/usr/lib/cni/ptp", 45),
    Package("docker-registry", "docker-registry", 25, ("docker-registry",)),
    Package("iptables", "iptables", 3),
    Package("nftables", "nft", 1),
    Package("conntrack", "conntrack", 1),
    Package("openssl", "openssl", 2),
    Package("iproute2", "ip", 4),
    Package("util-linux", "nsenter", 5),
    Package("python3", "/usr/bin/python3", 35),
)
IMAGE_PACKAGES = (
    Package("buildah", "buildah", 60),
    Package("debootstrap", "debootstrap", 1),
    Package("ca-certificates", "/etc/ssl/certs/ca-certificates.crt", 1),
)
BROWSER_PACKAGES = (
    Package("chromium-headless-shell", "chromium-headless-shell", 225),
    Package("fonts-dejavu-core", "/usr/share/fonts/truetype/dejavu/DejaVuSans.ttf", 3),
)
PROMETHEUS_PACKAGES = (Package("prometheus", "promtool", 94, ("prometheus",)),)
POSTGRES_PACKAGES = (Package("postgresql", "/usr/lib/postgresql/*/bin/postgres", 175, ("postgresql",)),)
COMPILER_PACKAGES = (Package("gcc", "gcc", 60), Package("libc6-dev", "/usr/include/stdio.h", 15))
TEST_PACKAGES = BROWSER_PACKAGES + PROMETHEUS_PACKAGES + POSTGRES_PACKAGES + COMPILER_PACKAGES
PACKAGES = NODE_PACKAGES + IMAGE_PACKAGES


def missing(packages: Sequence[Package] = PACKAGES) -> tuple[Package, ...]:
    return tuple(package for package in packages if not package.is_there())


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


def finding(what: str, check: Callable[[], str | None]) -> Finding:
    """What a check says when it holds, or the sentence it raises when it does not."""
    try:
        return Finding(what, True, check() or "found")
    except MachineError as error:
        return Finding(what, False, str(error))


def examine(cache: Cache) -> tuple[Finding, ...]:
    """Everything that `make demo` and `make test` will ask of the machine, without changing it."""

    def space() -> str:
        needed = disk_needed(cache)
        cache.require_free(needed, "`make demo`")
        return (
            f"{shutil.disk_usage(cache.root).free / GIB:.0f} GB free below {cache.root}, {needed / GIB:.0f} GB needed"
        )

    def go() -> str:
        return "not needed, the tools are built" if toolchain.is_built(cache) else toolchain.go_program()

    def python() -> str:
        if sys.version_info < PYTHON_WANTED:
            wanted = ".".join(map(str, PYTHON_WANTED))
            raise MachineError(f"python3 is {platform.python_version()}; Switchyard needs {wanted} or newer.")
        # Debian ships the module's half that makes environments in a package of its own.
        if importlib.util.find_spec("ensurepip") is None:
            raise MachineError("python3 cannot make environments; install `python3-venv`.")
        return platform.python_version()

    def program(name: str) -> Callable[[], str]:
        def check() -> str:
            found = shutil.which(name) or shutil.which(name, path=SEARCH)
            if found is None:
                raise MachineError(f"{name} is missing; install it with `apt-get install {name}`.")
            return found

        return check

    return (
        finding("root", require_root),
        finding("overlay file system", require_overlay),
        finding("packages", would_install),
        finding("go", go),
        finding("python", python),
        finding("git", program("git")),
        finding("disk", space),
    )


def would_install(packages: Sequence[Package] = PACKAGES) -> str:
    """Which packages apt-get will bring; MachineError where there is no apt-get to bring them."""
    lacking = missing(packages)
    if not lacking:
        return "all are installed"
    names = " ".join(package.name for package in lacking)
    if shutil.which("apt-get", path=SEARCH) is None:
        raise MachineError(f"Missing: {names}. This machine has no apt-get; install what they bring another way.")
    return f"apt-get will install {names} ({sum(package.megabytes for package in lacking)} MB), starting no service"


def images_built(cache: Cache) -> bool:
    return (cache.root / "images" / "store").is_dir()


def disk_needed(cache: Cache) -> int:
    return WARM_DISK if toolchain.is_built(cache) and images_built(cache) else DISK


def announcement(target: str, cache: Cache, *, packages: str) -> str:
    """The first lines of a long run: what it will install, how much disk, about how long."""
    minutes = TARGET_MINUTES[target]
    steps = [f"packages: {packages}"]
    if not toolchain.is_built(cache):
        minutes += TOOLS_MINUTES
        steps.append(f"Kubernetes {toolchain.KUBERNETES} and tools: built from source once, about {TOOLS_MINUTES} min")
    if not images_built(cache):
        minutes += IMAGES_MINUTES
        steps.append(f"images: built once, about {IMAGES_MINUTES} min")
    disk = f"up to {disk_needed(cache) / GIB:.0f} GB below {cache.root}"
    steps.append(f"disk: {disk}; `make down` stops everything, the cache stays")
    return "\n".join([f"make {target}: about {minutes} min on two cores", *(f"  {step}" for step in steps)])


def ensure_packages(packages: Sequence[Package] = PACKAGES, *, say: Callable[[str], None] = print) -> None:
    """Install what is missing, ask nothing, start no service."""
    if not missing(packages):
        return
    # The node and the images are made beside each other, and apt-get waits for nobody.
    with Cache.from_env(os.environ).lock("packages", say):
        if lacking := missing(packages):  # another run may have brought them meanwhile
            _install(lacking, say)
    if still := missing(packages):
        raise MachineError(
            f"apt-get ran, but still missing: {', '.join(f'{package.name} ({package.shows})' for package in still)}."
        )


def _install(lacking: Sequence[Package], say: Callable[[str], None]) -> None:
    names = [package.name for package in lacking]
    if os.geteuid() != 0:
        raise MachineError(
            f"Missing: {' '.join(names)}. Installing them needs root; run make as root (`sudo make …`), or install them"
            " before."
        )
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


def main(arguments: list[str]) -> int:
    """`doctor` examines the machine; `announce TARGET` says what that target is about to do to it."""
    cache = Cache.from_env(os.environ)
    match arguments:
        case ["doctor"]:
            tests = finding(
                "browser, Prometheus and PostgreSQL, for `make test` and `make screenshots`",
                lambda: would_install(TEST_PACKAGES),
            )
            findings = (*examine(cache), tests)
            for found in findings:
                print(f"{'ok     ' if found.good else 'MISSING'} {found.what}: {found.text}")
            return 0 if all(found.good for found in findings) else 1
        case ["announce", target] if target in TARGET_MINUTES:
            wanted = PACKAGES + TEST_PACKAGES if target == "test" else PACKAGES
            print(announcement(target, cache, packages=would_install(wanted)), flush=True)
            unmet = [found.text for found in examine(cache) if not found.good]
            for sentence in unmet:
                print(sentence, file=sys.stderr)
            return 1 if unmet else 0
    print("usage: python -m switchyard_testkit.machine doctor | announce demo|test", file=sys.stderr)
    return 2


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except TestkitError as error:
        print(error, file=sys.stderr)
        sys.exit(1)
