"""Who reads which partition, evaluates which deployment and has which duty: by rendezvous hashing, so that all members
come to one answer.

When a member joins or leaves, only what it gains or loses moves.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable


def owner(what: int | str, members: Iterable[str]) -> str | None:
    """The member with the highest hash of (member, what it is about: a partition, a deployment or a duty's name)."""
    return max(members, key=lambda member: _weight(member, what), default=None)


def _weight(member: str, what: int | str) -> tuple[bytes, str]:
    return hashlib.blake2b(f"{member}\0{what}".encode(), digest_size=8).digest(), member
