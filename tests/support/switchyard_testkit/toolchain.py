"""Kubernetes and the other Go programs, built from source once per machine.

`tests/support/toolchain` is one Go module that names every program and pins all they are made of, so what they share is
compiled once and the same sums give the same programs. Its hash is the key in the cache.
"""

from __future__ import annotations

import os
import platform
import re
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

from switchyard_testkit.cache import GIB, Cache, recipe_key, remove_tree
from switchyard_testkit.commands import CommandError, run, tail
from switchyard_testkit.errors import MachineError, TestkitError
from switchyard_testkit.progress import Progress

MODULE = Path(__file__).resolve().parents[1] / "toolchain"
KUBERNETES = "v1.34.4"
STAGE = "build Kubernetes and tools from source"
STAGE_ESTIMATE = 600.0
DISK = 6 * GIB  # sources 1.3, compiled packages 3.5, programs 0.6
# Nobody debugs these programs here, and the tables for it are a good part of a compiler's work.
FLAGS = (
    "-trimpath",
    "-gcflags=all=-dwarf=false",
    "-ldflags",
    f"-s -w -X k8s.io/component-base/version.gitVersion={KUBERNETES}",
)


GO_FOLDER = "/usr/local/go/bin"
GO_WANTED = (1, 24)


def key(module: Path = MODULE) -> str:
    sources = {
        str(path.relative_to(module)): path.read_bytes()
        for path in sorted(module.rglob("*"))
        if path.suffix in (".go", ".mod", ".sum")
    }
    return recipe_key({**sources, "flags": " ".join(FLAGS), "machine": platform.machine()})


def folder(cache: Cache) -> Path:
    """Where the programs are, or will be."""
    return cache.entry("toolchain", key()) / "bin"


def is_built(cache: Cache) -> bool:
    return folder(cache).is_dir()


def tool_path(name: str, environ: Mapping[str, str] = os.environ) -> Path:
    """Where one of the programs is."""
    path = folder(Cache.from_env(environ)) / name
    if not path.exists():
        raise MachineError(f"There is no {path}; `make cluster CLUSTER=node` builds it.")
    return path


def ensure(cache: Cache, progress: Progress) -> Path:
    """The folder with kube-apiserver, kubelet, kubectl, helm, coredns, vegeta and the rest."""
    if is_built(cache):
        return folder(cache)
    with progress.stage(STAGE):
        cache.require_free(DISK, "Building Kubernetes from source")
        cache.build("toolchain", key(), lambda target: _build(cache, target, progress), say=progress.say)
    return folder(cache)


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


def _build(cache: Cache, target: Path, progress: Progress) -> None:
    go = go_program()
    env = _environment(cache, os.environ)
    # Sources and compiled packages are kept until the end, so that a killed build goes on where it was.
    progress.waiting("the sources")
    packages = run([go, "list", "-deps", "./...", "tool"], env=env, cwd=MODULE, timeout=1800).splitlines()
    progress.waiting(f"the compiler: 0 of {len(packages)} packages")
    command = ["nice", go, "build", "-v", *FLAGS, "-o", f"{target}/bin/", "./...", "tool"]
    printed: list[str] = []
    with subprocess.Popen(command, env=env, cwd=MODULE, stderr=subprocess.PIPE, text=True) as compiler:
        assert compiler.stderr is not None
        for line in compiler.stderr:
            printed.append(line)
            done = min(len(printed), len(packages))
            progress.waiting(f"the compiler: {done} of {len(packages)} packages", share=done / len(packages))
    if compiler.returncode != 0:
        raise CommandError(f"`go build` in {MODULE} ended with code {compiler.returncode}:\n{tail(''.join(printed))}")
    remove_tree(cache.root / "go")


def _environment(cache: Cache, environ: Mapping[str, str]) -> dict[str, str]:
    """Nothing of Go's is left outside the cache, and go.mod and go.sum are law."""
    return {
        **environ,
        "GOMODCACHE": str(cache.root / "go" / "mod"),
        "GOCACHE": str(cache.root / "go" / "build"),
        "GOFLAGS": "-mod=readonly -modcacherw -buildvcs=false",
        "GOTOOLCHAIN": "local",
        "GOWORK": "off",
        "CGO_ENABLED": "0",
        # The compiler collects its garbage less often: an eighth of its time for some memory.
        "GOGC": "400",
    }


def main(arguments: list[str]) -> int:
    """`path NAME` prints where that program is."""
    match arguments:
        case ["path", name]:
            print(tool_path(name))
            return 0
    print("usage: python -m switchyard_testkit.toolchain path NAME", file=sys.stderr)
    return 2


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except TestkitError as error:
        print(error, file=sys.stderr)
        sys.exit(1)
