"""Sums: named whole numbers that add up, and can be taken out again to the last bit.

A cell is one arm in one window. Its sums are a mapping of names to integers; a name that is missing is zero. Adding
cells in any order, in any split, and subtracting what was added gives exactly nothing, because integers do.

Names: `requests errors unmeasured latency:<bucket> predictions unreadable failover conflicts`; where a request carries
many rows, `answered` requests that were answered, and `squares` of how many predictions each made;
`now.…` judged by the latest label, `age.…` judged once at age L, each `n e ee eeee a clipped h:<bucket>` for a
regression and `n right` for classes; `age.n:<fold>`, and `e ee a right` in the same way, by groups of users or of ids;
`dec.n dec.agree dec.n:<actor> dec.agree:<actor> dec.delay:<bucket>` for decisions; of those with an outcome `who.same`
followed the prediction and `who.both` of them were right, `who.differ` did not follow it and `who.model who.decider` of
them say who was right, each with `:<actor>` too; `delay:<bucket>` of outcomes.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping

from switchyard_monitor.domain.buckets import Histogram

Sums = dict[str, int]
"""Mutable while a batch is folded; never shared between cells."""


def add(total: Sums, part: Mapping[str, int], sign: int = 1) -> Sums:
    """Add a part to a total in place, or take it out with sign −1; what becomes zero disappears."""
    for name, value in part.items():
        new = total.get(name, 0) + sign * value
        if new:
            total[name] = new
        else:
            total.pop(name, None)
    return total


def bump(sums: Sums, name: str, by: int = 1) -> None:
    """Count in a cell that is being folded."""
    sums[name] = sums.get(name, 0) + by


def merged(parts: Iterable[Mapping[str, int]]) -> Sums:
    """All parts together."""
    total: Sums = {}
    for part in parts:
        add(total, part)
    return total


def histogram(sums: Mapping[str, int], name: str, parts: int) -> Histogram:
    """The histogram that is kept under `<name>:<bucket>`."""
    start = f"{name}:"
    return Histogram(
        {int(key[len(start) :]): value for key, value in sums.items() if key.startswith(start) and value}, parts
    )


def encode(sums: Mapping[str, int]) -> str:
    """The stored form: equal sums have equal text."""
    return json.dumps({name: value for name, value in sums.items() if value}, sort_keys=True, separators=(",", ":"))


def only(*names: str) -> re.Pattern[str]:
    """Some of the sums in their stored form, for `pick`; a name that ends in a colon is every bucket of it."""
    each = "|".join(re.escape(name) + (r"\d+" if name.endswith(":") else "") for name in names)
    return re.compile(rf'"({each})":(-?\d+)')


def either(*patterns: re.Pattern[str]) -> re.Pattern[str]:
    """What one of them picks, or another."""
    begin, end = '"(', r')":(-?\d+)'
    return re.compile(begin + "|".join(each.pattern.removeprefix(begin).removesuffix(end) for each in patterns) + end)


def pick(text: str, names: re.Pattern[str]) -> Sums:
    """Read some of the stored sums: most of a text are histograms, which few questions are about."""
    return {name: int(value) for name, value in names.findall(text)}


def decode(text: str) -> Sums:
    """Read the stored form."""
    sums: Sums = json.loads(text)
    return sums
