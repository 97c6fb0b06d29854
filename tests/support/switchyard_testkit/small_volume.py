"""A volume of a few megabytes, which a test fills to its last byte: a file system of its own, in memory."""

from __future__ import annotations

import errno
import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from switchyard_testkit.errors import MachineError

CHUNK = 64 * 1024


@dataclass(frozen=True, slots=True)
class SmallVolume:
    """The folder at which it is mounted."""

    folder: Path

    def fill(self) -> None:
        """Take all that is left."""
        with self._ballast.open("wb", buffering=0) as file:
            try:
                while file.write(bytes(CHUNK)):
                    pass
            except OSError as error:
                if error.errno != errno.ENOSPC:
                    raise

    def empty(self) -> None:
        """Give it back."""
        self._ballast.unlink()

    @property
    def free(self) -> int:
        """Bytes that are left."""
        said = os.statvfs(self.folder)
        return said.f_bavail * said.f_frsize

    @property
    def _ballast(self) -> Path:
        return self.folder / "ballast"


@contextmanager
def small_volume(folder: Path, *, megabytes: int) -> Iterator[SmallVolume]:
    """One that is mounted there; it is gone at the end, with all that lies in it."""
    folder.mkdir()
    done = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={megabytes}m,mode=755", "switchyard-small", str(folder)],
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise MachineError(f"a full disk is tried on a volume of its own, which only root may mount: {done.stderr}")
    try:
        yield SmallVolume(folder)
    finally:
        # Lazily: a process that the test could not end may still have a file open.
        subprocess.run(["umount", "--lazy", str(folder)], check=True)
        folder.rmdir()
