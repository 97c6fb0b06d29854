"""Who reads which partition: rendezvous hashing, so that every member comes to the same answer alone.

When a member joins or leaves, only the partitions that it gains or loses move.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable


def owner(partition: int, members: Iterable[str]) -> str | None:
    """The member with the highest hash of (member, partition)."""
    return max(members, key=lambda member: _weight(member, partition), default=None)


def _weight(member: str, partition: int) -> tuple[bytes, str]:
    return hashlib.blake2b(f"{member}\0{partition}".encode(), digest_size=8).digest(), member
