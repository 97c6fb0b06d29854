"""The C library's heap: what batches held goes back to the machine, so that memory stays what the work takes.

glibc keeps what was freed, in a heap for each thread that found the others taken, and gives back only what lies at a
heap's end. What a batch leaves behind lies in between; after a million events the fragments make up a quarter.
"""

from __future__ import annotations

import ctypes

TRIM_SECONDS = 5.0
"""How often; each time takes some milliseconds."""
HEAPS = 2
_M_ARENA_MAX = -8


def share() -> None:
    """Have threads share heaps: eight for each core, as glibc has it, are eight times the fragments."""
    if (mallopt := getattr(ctypes.CDLL(None), "mallopt", None)) is not None:
        mallopt(_M_ARENA_MAX, HEAPS)


def trim() -> None:
    """Give back what is free. Other C libraries do so by themselves, or have no way to."""
    if (malloc_trim := getattr(ctypes.CDLL(None), "malloc_trim", None)) is not None:
        malloc_trim(0)
