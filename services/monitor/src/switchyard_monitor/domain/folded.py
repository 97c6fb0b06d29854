"""Folded: numbers that sums keep under `<name>:<place>`, as lists."""

from __future__ import annotations

from collections.abc import Mapping

from switchyard_contracts.sticky import FOLDS


def by_number(sums: Mapping[str, int], name: str, size: int) -> list[int]:
    """What stands under `<name>:0`, `<name>:1` and so on."""
    get = sums.get
    return [get(f"{name}:{place}", 0) for place in range(size)]


def by_group(sums: Mapping[str, int], name: str, size: int) -> list[list[int]]:
    """The same of each group, which are kept one after another, `size` apart."""
    every = by_number(sums, name, size * FOLDS)
    return [every[group * size : (group + 1) * size] for group in range(FOLDS)]
