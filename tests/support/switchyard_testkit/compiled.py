"""The monitor as its image runs it, with the inner loops compiled; the developer's environment has the sources alone.

    python -m switchyard_testkit.compiled --python .venv-compile/bin/python

prints the folder that belongs to the front of PYTHONPATH. It is made once for the sources and the Python they are for,
in the cache.
"""

from __future__ import annotations

import argparse
import os
import shutil
import sys
import sysconfig
import zipfile
from pathlib import Path
from tempfile import TemporaryDirectory

from switchyard_testkit import commands
from switchyard_testkit.cache import Cache
from switchyard_testkit.errors import MachineError, TestkitError
from switchyard_testkit.images.recipes import REPOSITORY, digest
from switchyard_testkit.machine import COMPILER_PACKAGES, ensure_packages

PARTS = tuple(f"services/{name}" for name in ("contracts", "profile", "monitor"))
"""What is compiled, last, and the types that it is compiled by."""
LOCKS = ("locks/compile.txt", "locks/monitor.txt")
MOST_SECONDS = 600.0


def folder(cache: Cache, python: Path) -> Path:
    """The folder of the compiled package. `python` has what compiles; it must be of the version that runs this."""
    sources = [REPOSITORY / name for name in (*PARTS, *LOCKS)]
    salt = f"{sys.implementation.cache_tag} {sysconfig.get_platform()}"

    def make(target: Path) -> None:
        _compile(python, target)

    return cache.build("compiled", digest(sources, salt=salt), make, say=_say)


def _compile(python: Path, target: Path) -> None:
    header = Path(sysconfig.get_path("include")) / "Python.h"
    if not header.is_file():
        raise MachineError(f"{header} is missing; for Debian's Python `apt-get install python3-dev` brings it.")
    ensure_packages(COMPILER_PACKAGES)
    _say("compiling the monitor's inner loops, about a minute")
    with TemporaryDirectory() as scratch:
        # The compiled files are written beside the sources, where they must not be: they would be run instead of them.
        for name in PARTS:
            ignored = shutil.ignore_patterns("__pycache__", "*.so", "page-screenshots")
            shutil.copytree(REPOSITORY / name, Path(scratch) / name, ignore=ignored)
        types = os.pathsep.join(str(Path(scratch) / name / "src") for name in PARTS)
        environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
        environment |= {"HATCH_BUILD_HOOK_ENABLE_MYPYC": "true", "MYPYPATH": types}
        commands.run(
            [python, "-m", "hatchling", "build", "-t", "wheel", "-d", Path(scratch) / "wheel"],
            env=environment,
            cwd=Path(scratch) / PARTS[-1],
            timeout=MOST_SECONDS,
        )
        (wheel,) = (Path(scratch) / "wheel").iterdir()
        if wheel.name.endswith("-none-any.whl"):
            raise TestkitError(
                f"{wheel.name} holds nothing that was compiled; see the hook in {PARTS[-1]}/pyproject.toml."
            )
        with zipfile.ZipFile(wheel) as packed:
            packed.extractall(target)


def _say(text: str) -> None:
    print(f"compiled: {text}", file=sys.stderr, flush=True)


def main() -> int:
    """Print the folder."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--python", type=Path, required=True, help="of the environment of locks/compile.txt")
    try:
        print(folder(Cache.from_env(os.environ), parser.parse_args().python.absolute()))
    except TestkitError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
