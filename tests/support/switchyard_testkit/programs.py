"""`python -m switchyard_testkit.programs`: what a node and the tests' own servers are run from, brought once.

etcd and a container runtime are Debian's packages; the API server, the kubelet, helm and more are built from source.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from pathlib import Path

from switchyard_testkit import machine, toolchain
from switchyard_testkit.cache import Cache, Durations
from switchyard_testkit.errors import TestkitError
from switchyard_testkit.progress import Progress

PACKAGES_STAGE = "install packages"
PACKAGES_ESTIMATE = 60.0


def plan(cache: Cache) -> Mapping[str, float]:
    """What has still to be brought, and about how long each takes in seconds; empty where all is there."""
    stages = {}
    if machine.missing(machine.NODE_PACKAGES):
        stages[PACKAGES_STAGE] = PACKAGES_ESTIMATE
    if not toolchain.is_built(cache):
        stages[toolchain.STAGE] = toolchain.STAGE_ESTIMATE
    return stages


def ensure(cache: Cache, progress: Progress) -> Path:
    """The folder of what is built from source, with the packages installed; MachineError where they cannot be."""
    if machine.missing(machine.NODE_PACKAGES):
        with progress.stage(PACKAGES_STAGE):
            machine.ensure_packages(machine.NODE_PACKAGES, say=progress.say)
    return toolchain.ensure(cache, progress)


def main(environ: Mapping[str, str]) -> int:
    cache = Cache.from_env(environ)
    durations = Durations(cache.root / "durations.json")
    ensure(cache, Progress("programs", plan=plan(cache), durations=durations, remembered_as="node"))
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main(os.environ))
    except TestkitError as error:
        print(error, file=sys.stderr)
        sys.exit(1)
