"""Halting a process (SIGSTOP) so that it is there and says nothing."""

from __future__ import annotations

import os
import signal
from pathlib import Path

from switchyard_testkit.waiting import until


def halt(process: int) -> None:
    """Halt it, and see that none of its threads runs any more: a busy machine may let one answer after the signal."""
    os.kill(process, signal.SIGSTOP)
    until(lambda: _states(process) == {"T"}, f"every thread of process {process} is halted", seconds=20, every=0.01)


def _states(process: int) -> set[str]:
    """What its threads do, by the kernel's letters; a thread that ends meanwhile does nothing."""
    found = set()
    for thread in Path(f"/proc/{process}/task").iterdir():
        try:
            text = (thread / "stat").read_text(encoding="utf-8")
        except OSError:
            continue
        found.add(text.rpartition(")")[2].split()[0])
    return found
