"""Bins: fixed by the reference, once. Where a value falls depends on nothing that comes later.

Numbers: below the least edge, exactly on it, then up to each further edge with the edge itself, above the last. So a
value that is common (0, or one of seven weekdays) has a bin to itself, and nothing new can hide among what is known.
Names: one bin each for the most frequent ones, and one for all others. What is missing is counted behind them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import numpy as np

from switchyard_profile.values import Floats, Whole

QUANTILES = 50
"""Edges are the quantiles at 0, 1/50, … 1 of the reference; equal ones are one."""
MOST_NAMES = 200
"""Names beyond the most frequent ones are counted together."""
GROUPS = 10
"""Bins are merged into so many groups at most, in which the reference and a window are compared."""
NAMED_GROUPS = GROUPS - 2
"""Of those, groups of one name each; the others are the rarer names, and whatever has no bin."""


def quantile_edges(numbers: Floats) -> list[float]:
    """Edges for these numbers, of which there is at least one. They are values that occur, never means of two."""
    shares = np.linspace(0.0, 1.0, QUANTILES + 1)
    return [float(edge) for edge in np.unique(np.quantile(numbers, shares, method="inverted_cdf"))]


def frequent_names(counts: Mapping[str, int]) -> list[str]:
    """The names with a bin of their own, the most frequent first; equally frequent ones in the order of their text."""
    return sorted(counts, key=lambda name: (-counts[name], name))[:MOST_NAMES]


def of_numbers(edges: Floats, numbers: Floats) -> Whole:
    """The bin of each number: 0 is below the least edge, `len(edges) + 1` above the last."""
    places: Whole = np.searchsorted(edges, numbers, side="left") + (numbers >= edges[0])
    return places


def counts_of_names(names: Sequence[str], found: Mapping[str, int]) -> list[int]:
    """How often each of the names was found, and at the end how often any other."""
    counts = [found.get(name, 0) for name in names]
    return [*counts, sum(found.values()) - sum(counts)]


def groups_of_numbers(counts: Sequence[int]) -> list[int]:
    """The group of each bin, in their order: about a tenth of the reference each, more where one bin alone is more."""
    total, before = sum(counts), 0
    middles = []
    for count in counts:
        middles.append(min(GROUPS - 1, GROUPS * (2 * before + count) // (2 * total)))
        before += count
    return _numbered(middles)


def groups_of_names(names: int) -> list[int]:
    """The group of each name's bin, the most frequent first, and of the bin of all others, which stays by itself."""
    return _numbered([*(min(place, NAMED_GROUPS) for place in range(names)), GROUPS])


def _numbered(groups: Iterable[int]) -> list[int]:
    """The same groups, numbered from 0 without gaps."""
    number: dict[int, int] = {}
    return [number.setdefault(group, len(number)) for group in groups]
