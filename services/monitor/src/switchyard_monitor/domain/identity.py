"""Who is who: a prediction is (deployment, prediction id, row), everywhere, in 16 bytes.

An id that the gateway minted starts with its time, so its key does too and new rows are appended to the tables. A
caller's own id is hashed whole: that works as well, but its rows land anywhere, which costs more writes.
The last three bytes are the row, so that all rows of one prediction lie side by side and a deletion finds them.
"""

from __future__ import annotations

import hashlib
from typing import Any

from pydantic_core import to_json
from switchyard_contracts.sticky import FOLDS

PREFIX_BYTES = 13
ROW_BYTES = 3
MINTED_LENGTH = 13 + 1 + 36
"""Milliseconds, a dash, a UUID."""
_NESTED = frozenset({dict, list})
_GOLDEN = 0x9E37_79B9_7F4A_7C15
"""2⁶⁴ by the golden ratio: its multiples lie far apart."""


def prefix(subject: str, prediction_id: str) -> bytes:
    """The part of the key that all rows of a prediction share."""
    name = f"{subject}\0{prediction_id}".encode()
    if len(prediction_id) == MINTED_LENGTH and prediction_id[13] == "-" and prediction_id[:13].isdigit():
        return int(prediction_id[:13]).to_bytes(6) + hashlib.blake2b(name, digest_size=7).digest()
    return hashlib.blake2b(name, digest_size=PREFIX_BYTES).digest()


def key(subject: str, prediction_id: str, row: int = 0) -> bytes:
    """The key of one row of a prediction."""
    return prefix(subject, prediction_id) + row_bytes(row)


def earliest(at_us: int) -> bytes:
    """The least key of an id that was minted at a time; a caller's own id may lie anywhere."""
    return max(0, at_us // 1000).to_bytes(6)


def fold(key: bytes) -> int:
    """The group that all rows of a prediction are counted in, where nobody knows whose they are.

    The last byte of a prefix is one of a hash, whoever made the id.
    """
    return key[PREFIX_BYTES - 1] % FOLDS


def rank(key: bytes) -> int:
    """A row's place in an order by lot, from 0 to 2⁶³: seven bytes of every prefix are those of a hash."""
    lot, row = int.from_bytes(key[PREFIX_BYTES - 7 : PREFIX_BYTES]), int.from_bytes(key[PREFIX_BYTES:])
    return (lot * 128 + row * _GOLDEN) % 2**63


def row_bytes(row: int) -> bytes:
    """The part of the key that tells the rows of a prediction apart."""
    return row.to_bytes(ROW_BYTES)


def short(text: str) -> int:
    """A signed 8-byte hash, for telling two events of one prediction apart."""
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), signed=True)


def content(value: Any) -> int:
    """A signed 8-byte hash of a JSON value, whatever the order of its keys."""
    return int.from_bytes(hashlib.blake2b(to_json(_ordered(value)), digest_size=8).digest(), signed=True)


def _ordered(value: Any) -> Any:
    if isinstance(value, dict):
        value = {name: value[name] for name in sorted(value)}
        if not _NESTED.isdisjoint(map(type, value.values())):
            for name, item in value.items():
                if type(item) in _NESTED:
                    value[name] = _ordered(item)
    elif isinstance(value, list):
        value = [_ordered(item) if type(item) in _NESTED else item for item in value]
    return value
