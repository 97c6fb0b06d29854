"""Running other programs: the output is kept, and a failure says which command failed and what it printed."""

from __future__ import annotations

import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

from switchyard_testkit.errors import TestkitError

TAIL_LINES = 25


class CommandError(TestkitError):
    """A program ended with a code other than zero."""


def run(
    command: Sequence[str | Path],
    *,
    env: Mapping[str, str] | None = None,
    stdin: str | None = None,
    timeout: float = 120,
    cwd: Path | None = None,
) -> str:
    """Run to the end and return what it wrote to standard output."""
    words = [str(word) for word in command]
    try:
        done = subprocess.run(
            words,
            env=dict(env) if env is not None else None,
            input=stdin,
            stdin=subprocess.DEVNULL if stdin is None else None,
            capture_output=True,
            text=True,
            timeout=timeout,
            cwd=cwd,
            check=False,
        )
    except FileNotFoundError as error:
        raise CommandError(f"There is no program {words[0]}; `make doctor` says what to install.") from error
    except subprocess.TimeoutExpired as error:
        raise CommandError(f"`{' '.join(words)}` did not end within {timeout:.0f} s.") from error
    if done.returncode != 0:
        raise CommandError(
            f"`{' '.join(words)}` ended with code {done.returncode}:\n{tail(done.stderr or done.stdout)}"
        )
    return done.stdout


def tail(text: str, lines: int = TAIL_LINES) -> str:
    return "\n".join(text.rstrip().splitlines()[-lines:])
