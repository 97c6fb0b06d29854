"""What the testkit says when it cannot go on: a sentence with the remedy, printed without a traceback."""

from __future__ import annotations


class TestkitError(Exception):
    """Ends the command with this sentence and exit code 1."""

    __test__ = False  # pytest would take the name for a test class


class MachineError(TestkitError):
    """The machine lacks something; the sentence names it and says how to get it."""


class TimedOutError(TestkitError):
    """A wait reached its deadline; the sentence names what was waited for and what was last seen."""
