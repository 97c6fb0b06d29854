"""Who reads which partition and evaluates which deployment: rendezvous hashing, so that all come to the same answer.

When a member joins or leaves, only the partitions and deployments that it gains or loses move.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable


def owner(what: int | str, members: Iterable[str]) -> str | None:
    """The member with the highest hash of (member, partition or deployment)."""
    return max(members, key=lambda member: _weight(member, what), default=None)


def _weight(member: str, what: int | str) -> tuple[bytes, str]:
    return hashlib.blake2b(f"{member}\0{what}".encode(), digest_size=8).digest(), member
