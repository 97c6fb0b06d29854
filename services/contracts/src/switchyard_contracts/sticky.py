"""Sticky splits: a user stays with one revision for the whole of a rollout.

A keyed hash of a header or cookie gives each user a bucket from 0 to 9,999. The candidate has the first so many of
them, as many as its weight in basis points; so a weight that rises only moves users into the candidate, and one that
falls only lets go of those who came last. The key comes from a salt, which is another for each rollout: whoever met
one candidate first is not the one who meets every candidate first.

The hash is HalfSipHash-2-4, which needs no more than additions, rotations and exclusive ors of 32 bits: the gateway
computes it in Lua for each request (services/gateway/envoy/draws.lua), and this is the same in Python.
"""

from __future__ import annotations

import hashlib
from typing import Annotated, Any, Literal, Self

from pydantic import Field, model_validator

from switchyard_contracts.base import Shape

BUCKETS = 10_000
"""As many as basis points, so that a weight is a number of buckets."""
FOLDS = 32
"""Users are compared in so many groups, by bucket: what one user does again and again is one group's matter."""
NEVER_THERE = ("x-request-id", "accept-encoding")
"""Headers that the gateway takes from every request before anybody reads them."""
OURS = "x-switchyard-"
MASK = 0xFFFF_FFFF


class Sticky(Shape):
    """By what users are told apart: a header or a cookie that each of them sends with every request.

    A request without it is drawn by its own id, as without a sticky split, and counted as such (`assignment: split`).
    """

    by: Literal["header", "cookie"]
    """What tells users apart."""
    name: Annotated[str, Field(min_length=1, max_length=128, pattern=r"^[A-Za-z0-9_-]+$")]
    """The name of the header or cookie."""

    @model_validator(mode="after")
    def _arrives(self) -> Self:
        if self.by == "cookie":
            return self
        name = self.name.lower()
        if "_" in name:
            raise ValueError(
                f"name: the gateway drops headers with an underscore, such as {self.name!r}; use "
                f"{self.name.replace('_', '-')!r}, or by: cookie"
            )
        if name.startswith(OURS) or name in NEVER_THERE:
            raise ValueError(
                f"name: the gateway takes {self.name!r} from every request itself; use a header of the product's, such"
                " as x-user-id"
            )
        return self


def key_of(salt: str) -> tuple[int, int]:
    """The hash's key, as two numbers of 32 bits."""
    digest = hashlib.sha256(salt.encode()).digest()
    return int.from_bytes(digest[:4], "little"), int.from_bytes(digest[4:8], "little")


def bucket_of(user: bytes, *, salt: str) -> int:
    """The bucket of a user in one rollout."""
    return half_sip_hash(user, key=key_of(salt)) % BUCKETS


def fold_of(bucket: int) -> int:
    """The group in which a user is compared; each has buckets of both arms."""
    return bucket % FOLDS


def half_sip_hash(data: bytes, *, key: tuple[int, int]) -> int:
    """HalfSipHash-2-4 of 32 bits (Aumasson and Bernstein)."""
    v0, v1, v2, v3 = key[0], key[1], 0x6C79_6765 ^ key[0], 0x7465_6462 ^ key[1]

    def mix(rounds: int) -> None:
        nonlocal v0, v1, v2, v3
        for _ in range(rounds):
            v0 = (v0 + v1) & MASK
            v1 = _rotated(v1, 5) ^ v0
            v0 = _rotated(v0, 16)
            v2 = (v2 + v3) & MASK
            v3 = _rotated(v3, 8) ^ v2
            v0 = (v0 + v3) & MASK
            v3 = _rotated(v3, 7) ^ v0
            v2 = (v2 + v1) & MASK
            v1 = _rotated(v1, 13) ^ v2
            v2 = _rotated(v2, 16)

    whole = len(data) - len(data) % 4
    last = data[whole:].ljust(3, b"\0") + bytes([len(data) & 0xFF])
    for start in range(0, whole + 4, 4):
        word = int.from_bytes(data[start : start + 4] if start < whole else last, "little")
        v3 ^= word
        mix(2)
        v0 ^= word
    v2 ^= 0xFF
    mix(4)
    return v1 ^ v3


def _rotated(word: int, by: int) -> int:
    return (word << by | word >> (32 - by)) & MASK


CEL: dict[type[Shape], list[dict[str, Any]]] = {
    Sticky: [
        {
            "rule": "self.by != 'header' || !self.name.contains('_')",
            "message": "the gateway drops headers with an underscore; use one with hyphens, or by: cookie",
            "fieldPath": ".name",
        },
        {
            "rule": "self.by != 'header' || !(self.name.lowerAscii().startsWith('x-switchyard-') || "
            "self.name.lowerAscii() in ['x-request-id', 'accept-encoding'])",
            "message": "the gateway takes this header from every request itself; use one of the product's",
            "fieldPath": ".name",
        },
    ],
}
