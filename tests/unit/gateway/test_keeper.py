"""The keeper: a killed part comes back at once, a misconfigured one is let go of, an end that was asked for is one."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from switchyard_gateway.keeper import FIRST_PAUSE, LONGEST_PAUSE, YOUNG, pause
from switchyard_testkit.waiting import until


def test_a_killed_part_starts_again_and_the_pauses_grow_to_a_bound() -> None:
    last, seen = 0.0, []
    for _ in range(10):
        again = pause(-signal.SIGKILL, lived=0.5, last=last)
        assert again is not None
        seen.append(again)
        last = again
    assert seen[0] == FIRST_PAUSE
    assert seen == sorted(seen)
    assert seen[-1] == LONGEST_PAUSE


@pytest.mark.parametrize("code", [0, 1, 2])
def test_a_part_that_ends_by_itself_while_young_is_let_go_of(code: int) -> None:
    assert pause(code, lived=YOUNG - 0.1, last=0.0) is None


def test_a_part_that_lived_starts_again_however_it_ended() -> None:
    assert pause(1, lived=YOUNG, last=LONGEST_PAUSE) == FIRST_PAUSE


@pytest.fixture
def started(tmp_path: Path) -> subprocess.Popen[bytes]:
    """A keeper of a module that writes its process id, and ends with 7 when it is told to end."""
    (tmp_path / "part.py").write_text(
        "import os, pathlib, signal, sys, time\n"
        "signal.signal(signal.SIGTERM, lambda *_: sys.exit(7))\n"
        "fresh = pathlib.Path(os.environ['PIDS'], f'{os.getpid()}.new')\n"
        "fresh.touch()\n"
        "fresh.rename(fresh.with_suffix('.pid'))\n"
        "time.sleep(60)\n"
    )
    return subprocess.Popen(
        [sys.executable, "-m", "switchyard_gateway.keeper", "part"],
        env={**os.environ, "PYTHONPATH": str(tmp_path), "PIDS": str(tmp_path)},
    )


def wait_for_parts(folder: Path, count: int) -> set[int]:
    def started() -> set[int] | None:
        found = {int(path.stem) for path in folder.glob("*.pid")}
        return found if len(found) >= count else None

    return until(started, f"{count} parts have started", seconds=100, every=0.02)


def test_kill_9_of_the_part_leaves_the_keeper_and_brings_another(
    started: subprocess.Popen[bytes], tmp_path: Path
) -> None:
    (first,) = wait_for_parts(tmp_path, 1)
    os.kill(first, signal.SIGKILL)
    both = wait_for_parts(tmp_path, 2)
    assert first in both
    assert started.poll() is None
    started.terminate()
    assert started.wait(timeout=100) == 7


def test_an_unknown_part_ends_with_an_error() -> None:
    ended = subprocess.run(
        [sys.executable, "-m", "switchyard_gateway.keeper", "switchyard_gateway.nothing"],
        capture_output=True,
        check=False,
    )
    assert ended.returncode == 1
    assert b"switchyard_gateway.nothing" in ended.stderr
