"""The one layer under every image: Debian's Python, made on this machine where no registry of base images is reached.

Elsewhere the Dockerfiles stand on `python:3.12-slim` by their `BASE` argument; nothing in them knows this one.
"""

import hashlib
import shutil
import subprocess
from pathlib import Path

from switchyard_testkit.images.store import KEY_LETTERS, BuildError, Store

NAME = "localhost/switchyard/base"
EDITION = 1  # raise it when the steps below change: everything else that makes the base is in the constants
SUITE = "bookworm"
PACKAGES = ("python3", "python3-venv", "python3-pip", "ca-certificates")

# uv trusts its own list of authorities unless told to use the system's, as pip of Debian does by itself.
ENVIRONMENT = {
    "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
    "LANG": "C.UTF-8",
    "UV_SYSTEM_CERTS": "true",
}

# Of no use in a container. Licences (usr/share/doc/*/copyright) stay.
CLEARED = (
    "var/cache/apt/archives/*.deb",
    "var/lib/apt/lists/*",
    "var/log/*",
    "usr/share/man/*/*",  # the folders stay: Java's packages put links there
    "usr/share/locale/*",
    "usr/share/doc/*/changelog*",
    "usr/share/doc/*/NEWS*",
    "usr/lib/python3*/EXTERNALLY-MANAGED",  # a container's Python belongs to who builds the container
)


def key() -> str:
    """The hash of what makes the base."""
    return hashlib.sha256(repr((EDITION, SUITE, PACKAGES, ENVIRONMENT, CLEARED)).encode()).hexdigest()[:KEY_LETTERS]


def make(store: Store, image: str, *, scratch: Path, packages: Path, log: Path) -> None:
    """Have the base in the store under this name. `packages` keeps Debian's packages for the next time."""
    root = scratch / "root"
    if root.exists():
        shutil.rmtree(root)
    try:
        _debootstrap(root, packages=packages, log=log)
        _tidy(root)
        store.from_folder(image, root=root, environment=ENVIRONMENT, log=log)
    finally:
        shutil.rmtree(root, ignore_errors=True)


def _debootstrap(root: Path, *, packages: Path, log: Path) -> None:
    root.mkdir(parents=True)
    packages.mkdir(parents=True, exist_ok=True)
    log.parent.mkdir(parents=True, exist_ok=True)
    # In a mount namespace of its own, so that a killed run leaves no /proc mounted below a folder that we then delete.
    command = ["unshare", "--mount", "debootstrap", "--variant=minbase", f"--include={','.join(PACKAGES)}"]
    with log.open("a") as out:
        done = subprocess.run(
            [*command, f"--cache-dir={packages}", SUITE, str(root)], stdout=out, stderr=subprocess.STDOUT, check=False
        )
    if done.returncode:
        words = "\n".join(log.read_text().splitlines()[-15:])
        raise BuildError(f"debootstrap of {SUITE} ended with {done.returncode}; the log is {log}, its end:\n{words}")


def _tidy(root: Path) -> None:
    for pattern in CLEARED:
        for path in root.glob(pattern):
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path)
            else:
                path.unlink()
    (root / "usr/bin/python").symlink_to("python3")
