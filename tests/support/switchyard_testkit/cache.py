"""The folder that outlives a run: what was built once, keyed by its recipe, never half there.

Two runs may want the same thing at the same time and either may be killed at any point. So whoever builds holds a file
lock (the kernel drops it with its holder), builds in a folder beside the final one, and renames: an entry is there and
whole, or not there.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from switchyard_testkit.errors import MachineError

GIB = 1024**3
UNFINISHED = ".unfinished-"
REMOVERS = 16
"""How many files are removed at once."""


def recipe_key(recipe: Mapping[str, str | bytes]) -> str:
    """A name for what this recipe makes: equal recipes, equal names, in whatever order they were written down."""
    digest = hashlib.sha256()
    for name in sorted(recipe):
        value = recipe[name]
        content = value.encode() if isinstance(value, str) else value
        digest.update(f"{len(name)}:{name}{len(content)}:".encode())
        digest.update(content)
    return digest.hexdigest()[:16]


def write_atomically(path: Path, content: str, mode: int = 0o644) -> None:
    """Readers see the old file or the new one; a killed writer leaves the old one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f"{UNFINISHED}{path.name}.")
    with os.fdopen(handle, "w") as file:
        os.fchmod(file.fileno(), mode)
        file.write(content)
    Path(name).replace(path)


def remove_tree(path: Path) -> None:
    """Remove a folder even where its folders were made read-only, as Go's module cache is.

    Where a volume tells its disk of each file that goes (mount option discard), one after the other takes minutes for a
    node's images and Go's packages; the disk takes many at once.
    """
    if not path.exists():
        return

    def clear(folder: Path, names: Sequence[str]) -> None:
        for name in names:
            (folder / name).unlink()

    with ThreadPoolExecutor(REMOVERS) as pool:
        cleared = []
        for folder, _, names in os.walk(path):
            Path(folder).chmod(0o755)
            cleared.append(pool.submit(clear, Path(folder), names))
        for each in cleared:
            each.result()
    shutil.rmtree(path)


@dataclass(frozen=True, slots=True)
class Cache:
    """One folder of built things, shared by every clone of the repository on this machine."""

    root: Path

    @classmethod
    def from_env(cls, environ: Mapping[str, str]) -> Cache:
        configured = environ.get("SWITCHYARD_CACHE")
        if configured:
            root = Path(configured)
            if not root.is_absolute():
                raise MachineError(f"SWITCHYARD_CACHE is {configured!r}; give an absolute path, or leave it unset.")
            return cls(root)
        return cls(Path(environ.get("HOME", "/root")) / ".cache" / "switchyard")

    @contextmanager
    def lock(self, name: str, say: Callable[[str], None] = print) -> Iterator[None]:
        """Hold `name` alone; says so when another run has it, because the wait may be minutes."""
        path = self.root / "locks" / f"{name}.lock"
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("a+") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                file.seek(0)
                say(f"waiting for process {file.read().strip() or 'unknown'}, which holds {path}")
                fcntl.flock(file, fcntl.LOCK_EX)
            file.seek(0)
            file.truncate()
            file.write(str(os.getpid()))
            file.flush()
            yield

    def entry(self, kind: str, key: str) -> Path:
        return self.root / kind / key

    def build(self, kind: str, key: str, make: Callable[[Path], None], *, say: Callable[[str], None] = print) -> Path:
        """The folder of that kind and key, made by `make` if nobody has made it yet."""
        final = self.entry(kind, key)
        if final.is_dir():
            return final
        with self.lock(f"{kind}-{key}", say):
            if final.is_dir():
                return final
            unfinished = final.parent / f"{UNFINISHED}{key}"
            remove_tree(unfinished)  # a killed run's; we hold the lock, so nobody works in it
            unfinished.mkdir(parents=True)
            make(unfinished)
            unfinished.replace(final)
        return final

    def require_free(self, needed: int, purpose: str) -> None:
        """Refuse before the work rather than fail in its middle with half a disk written."""
        self.root.mkdir(parents=True, exist_ok=True)
        free = shutil.disk_usage(self.root).free
        if free < needed:
            raise MachineError(
                f"{purpose} needs {needed / GIB:.1f} GB free below {self.root}, and {free / GIB:.1f} GB are. "
                f"Free some, or set SWITCHYARD_CACHE to a folder on a larger disk."
            )


@dataclass(frozen=True, slots=True)
class Durations:
    """How long each stage took when it last ended well; what makes 'time left' more than a guess."""

    path: Path

    def read(self) -> dict[str, float]:
        try:
            held = json.loads(self.path.read_text())
        except (FileNotFoundError, json.JSONDecodeError):
            return {}
        return {name: float(value) for name, value in held.items()} if isinstance(held, dict) else {}

    def remember(self, name: str, seconds: float) -> None:
        write_atomically(
            self.path, json.dumps({**self.read(), name: round(seconds, 2)}, indent=1, sort_keys=True) + "\n"
        )
