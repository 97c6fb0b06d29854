"""Waiting for a condition with a deadline: tests never sleep and hope."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

Result = TypeVar("Result")


def until(condition: Callable[[], Result | None], what: str, *, seconds: float, every: float = 0.2) -> Result:
    """Ask until the condition is true, and return what it said; at the deadline say what was waited for."""
    deadline = time.monotonic() + seconds
    while True:
        found = condition()
        if found:
            return found
        if time.monotonic() >= deadline:
            raise TimeoutError(f"waited {seconds:g} s, but it is not so: {what}; last answer: {found!r}")
        time.sleep(every)
