"""The node's branch in the machine's tree of cgroups: made before the kubelet asks for it, removed after its pods."""

from __future__ import annotations

import os
import time
from contextlib import suppress
from pathlib import Path

from switchyard_testkit.errors import TimedOutError

ROOT = Path("/sys/fs/cgroup")
V2_CONTROLLERS = "+cpu +cpuset +memory +pids +io"


def hierarchies(root: Path = ROOT) -> tuple[Path, ...]:
    """One folder where cgroups are unified (v2), one per controller where they are not (v1)."""
    if (root / "cgroup.controllers").exists():
        return (root,)
    return tuple(sorted(path for path in root.iterdir() if not path.is_symlink() and (path / "cgroup.procs").exists()))


def make(name: str, root: Path = ROOT) -> None:
    for hierarchy in hierarchies(root):
        branch = hierarchy / name
        if (hierarchy / "cgroup.subtree_control").exists() and hierarchy == root:
            (hierarchy / "cgroup.subtree_control").write_text(V2_CONTROLLERS)
        branch.mkdir(exist_ok=True)
        # A new v1 cpuset has no processors and takes no process until it is given some.
        for setting in ("cpuset.cpus", "cpuset.mems"):
            if hierarchy != root and (branch / setting).exists() and not (branch / setting).read_text().strip():
                (branch / setting).write_text((hierarchy / setting).read_text())


def remove(name: str, *, seconds: float = 60, root: Path = ROOT) -> None:
    """Remove the branch, leaves first. The kernel keeps a group busy for a moment after its last process ended."""
    deadline = time.monotonic() + seconds
    for hierarchy in hierarchies(root):
        branch = hierarchy / name
        while branch.exists():
            for folder, _, _ in os.walk(branch, topdown=False):
                with suppress(OSError):
                    Path(folder).rmdir()
            if branch.exists():
                if time.monotonic() > deadline:
                    raise TimedOutError(f"The cgroup {branch} is still busy after {seconds:.0f} s.")
                time.sleep(0.1)


def leftovers(name: str, root: Path = ROOT) -> list[str]:
    return [f"cgroup {hierarchy / name}" for hierarchy in hierarchies(root) if (hierarchy / name).exists()]
