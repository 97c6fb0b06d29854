"""Finding and ending processes by what they are, not by remembered numbers.

Every process of a node descends from one whose command line ends in `--node <its folder>`. A number in a file can be
stale, and a run that is killed before it writes the file leaves an orphan; a command line can be neither.
"""

from __future__ import annotations

import os
import select
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

from switchyard_testkit.errors import TimedOutError

GONE = (FileNotFoundError, ProcessLookupError, PermissionError)


def all_pids() -> Iterator[int]:
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            yield int(entry.name)


def command_line(pid: int) -> tuple[str, ...]:
    """Empty for a process that is gone, a zombie or a kernel thread."""
    with suppress(*GONE):
        return tuple(Path(f"/proc/{pid}/cmdline").read_bytes().decode(errors="replace").split("\0")[:-1])
    return ()


def home_in(command: tuple[str, ...]) -> Path | None:
    """The folder of the node that this command line starts or holds, if it does."""
    return Path(command[-1]) if len(command) > 2 and command[-2] == "--node" else None


def homes_of_nodes() -> dict[int, Path]:
    """Each process that says it starts or holds a node, with that node's folder."""
    homes = ((pid, home_in(command_line(pid))) for pid in all_pids())
    return {pid: home for pid, home in homes if home is not None}


def numbers_by_namespace(pid: int) -> tuple[int, ...]:
    """The process's number as we see it and in each PID namespace below ours."""
    with suppress(*GONE):
        for line in Path(f"/proc/{pid}/status").read_text().splitlines():
            if line.startswith("NSpid:"):
                return tuple(int(number) for number in line.split()[1:])
    return ()


def first_process(home: Path) -> int | None:
    """Process 1 of the node's PID namespace, as the host numbers it."""
    for pid, its_home in homes_of_nodes().items():
        numbers = numbers_by_namespace(pid)
        if its_home == home and len(numbers) > 1 and numbers[-1] == 1:
            return pid
    return None


def sharing_namespace(kind: str, with_path: str) -> tuple[int, ...]:
    """All processes in the namespace that this path names."""
    try:
        wanted = Path(with_path).stat()
    except GONE:
        return ()
    found = []
    for pid in all_pids():
        with suppress(*GONE):
            its = Path(f"/proc/{pid}/ns/{kind}").stat()
            if (its.st_dev, its.st_ino) == (wanted.st_dev, wanted.st_ino):
                found.append(pid)
    return tuple(found)


def end(pid: int, still_it: Callable[[int], bool], *, number: signal.Signals, seconds: float) -> None:
    """Signal exactly this process and wait until it is gone; a reused number is never hit."""
    try:
        handle = os.pidfd_open(pid)
    except ProcessLookupError:
        return
    try:
        if not still_it(pid):
            return
        with suppress(ProcessLookupError):
            signal.pidfd_send_signal(handle, number)
        poller = select.poll()
        poller.register(handle, select.POLLIN)
        if not poller.poll(seconds * 1000):
            raise TimedOutError(f"Process {pid} did not end within {seconds:.0f} s of {number.name}.")
    finally:
        os.close(handle)


def end_all(find: Callable[[], tuple[int, ...]], *, seconds: float) -> None:
    """End whatever `find` finds until it finds nothing."""
    deadline = time.monotonic() + seconds
    while pids := find():
        if time.monotonic() > deadline:
            raise TimedOutError(f"Processes {', '.join(map(str, pids))} did not end within {seconds:.0f} s.")
        for pid in pids:
            end(pid, lambda number: number in find(), number=signal.SIGKILL, seconds=seconds)
