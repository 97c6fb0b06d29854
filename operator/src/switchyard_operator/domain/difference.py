"""Whether an object is as it should be: every field we ask for is there, whatever defaults were added around it.

So an apply that would change nothing is not sent, and an idle operator writes nothing.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from decimal import Decimal
from typing import Any

UNITS = {
    "m": Decimal("0.001"),
    "": Decimal(1),
    "k": Decimal(10**3),
    "M": Decimal(10**6),
    "G": Decimal(10**9),
    "T": Decimal(10**12),
    "Ki": Decimal(2**10),
    "Mi": Decimal(2**20),
    "Gi": Decimal(2**30),
    "Ti": Decimal(2**40),
}
OWNED_WHOLE = ("ports", "env", "envFrom", "volumes", "volumeMounts", "drop", "tolerations", "nodeSelector")
"""What somebody else added here is taken out again: it would change what the model is."""
EXACT = ("egress",)
"""What is left out here says something: a way out without peers leads anywhere, one without ports to every port."""


def differs(wanted: Any, actual: Any, *, field: str = "") -> bool:
    """Whether applying `wanted` over `actual` would change it."""
    if field in EXACT:
        return bool(wanted != actual)
    if isinstance(wanted, Mapping):
        if not isinstance(actual, Mapping):
            return bool(wanted) or actual is not None
        if field in ("requests", "limits"):
            return set(wanted) != set(actual) or any(not same_quantity(wanted[key], actual[key]) for key in wanted)
        if field in OWNED_WHOLE and set(wanted) != set(actual):
            return True
        return any(differs(value, actual.get(key), field=key) for key, value in wanted.items())
    if isinstance(wanted, list):
        if not isinstance(actual, list):
            return bool(wanted) or actual is not None
        return _lists_differ(wanted, actual, field=field)
    if wanted == "" and actual is None:
        return False
    if field == "sizeLimit" and actual is not None:
        return not same_quantity(wanted, actual)
    return bool(wanted != actual)


def _lists_differ(wanted: list[Any], actual: list[Any], *, field: str) -> bool:
    if field in OWNED_WHOLE and len(wanted) != len(actual):
        return True
    if wanted and all(isinstance(item, Mapping) and "name" in item for item in wanted):
        by_name = {item.get("name"): item for item in actual if isinstance(item, Mapping)}
        return any(item["name"] not in by_name or differs(item, by_name[item["name"]]) for item in wanted)
    return len(wanted) != len(actual) or any(differs(one, other) for one, other in zip(wanted, actual, strict=True))


def same_quantity(one: str, other: str) -> bool:
    """`1000m` is `1`, and the API server spells it its own way."""
    return _quantity(one) == _quantity(other)


def _quantity(text: str) -> Decimal | str:
    match = re.fullmatch(r"([0-9.]+)(m|k|M|G|T|Ki|Mi|Gi|Ti)?", str(text))
    return Decimal(match[1]) * UNITS[match[2] or ""] if match else str(text)
