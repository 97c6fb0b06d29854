"""What the exit code says, for scripts. `status --wait` uses all of them."""

from __future__ import annotations

from enum import IntEnum


class Exit(IntEnum):
    """The one table of exit codes."""

    DONE = 0
    """What was asked for is so; of a rollout: promoted."""
    FAILED = 1
    """It could not be done: a fault in a file or an option, a refused command, no answer from the cluster."""
    ROLLED_BACK = 2
    """The rollout was taken back, refused or replaced by another."""
    PAUSED = 3
    """The rollout waits for a person."""
    TIMED_OUT = 4
    """Not decided within the time that was given."""


class Ended(Exception):
    """A verb's end with a code of its own; what there is to say has been printed."""

    def __init__(self, code: Exit) -> None:
        super().__init__(code.name)
        self.code = code
