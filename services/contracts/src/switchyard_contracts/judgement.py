"""The words of a verdict, and how its numbers are written in sentences."""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import StrEnum

LARGEST_SHOWN = 1e12
"""E-values grow without end, and JSON has no infinity; past this nobody reads the digits."""


class Verdict(StrEnum):
    """What evidence says of one metric; what a rollout does about it is the operator's."""

    PASS = "Pass"
    """Decide: proven within the margin. Guard: enough samples, and nothing speaks against it."""
    FAIL = "Fail"
    """Proven beyond the limit."""
    INCONCLUSIVE = "Inconclusive"
    """There are samples, but they say neither yet."""
    NO_DATA = "NoData"
    """There is nothing that could be judged."""
    ERROR = "Error"
    """The evidence contradicts itself, so that no verdict can rest on it."""


@dataclass(frozen=True, slots=True)
class Judgement:
    """One metric's verdict, with the numbers it rests on."""

    verdict: Verdict
    reason: str
    """One word in CamelCase, for conditions and alarms."""
    message: str
    """A sentence with the numbers, for people."""
    samples: int = 0
    """The candidate's samples that were judged."""
    needed: int | None = None
    """How many more of the candidate's samples are needed at least; None where nobody can say."""
    value: float | None = None
    """The candidate's value, in the metric's own unit."""
    against: float | None = None
    """What it was held against: stable's value, or the limit."""
    bound: float | None = None
    """Decide: the anytime bound. Guard: the e-value."""
    paired: bool = False
    """Decide: whether it rests on pairs; `samples` and `needed` then count pairs."""


@dataclass(frozen=True, slots=True)
class Budget:
    """The chance of error that one test of one attempt may spend."""

    alpha_promote: float
    """Of a decide metric's Pass. All of them must pass, so each may spend the whole."""
    alpha_guard: float
    """Of a guard's Fail, in one step."""
    alpha_rollback: float
    """Of a decide metric's Fail, over the whole rollout."""


def count(value: int) -> str:
    """`1,240`."""
    return f"{value:,}"


def noun(number_of: float, one: str, many: str = "") -> str:
    """The word that goes with so many: `block` with 1, else `blocks`; `is` and `are` where both are given."""
    return one if number_of == 1 else many or f"{one}s"


def counted(number_of: int, one: str, many: str = "") -> str:
    """So many of something: `1 block`, `1,240 blocks`, `0 blocks`."""
    return f"{count(number_of)} {noun(number_of, one, many)}"


def number(value: float) -> str:
    """Three significant digits without an exponent where that is readable."""
    if value and (abs(value) >= 1e6 or abs(value) < 1e-3):
        return f"{value:.2e}".replace("-", "−")
    digits = 0 if abs(value) >= 100 else 1 if abs(value) >= 10 else 2 if abs(value) >= 1 else 3
    return f"{value:,.{digits}f}".replace("-", "−")


def percent(share: float) -> str:
    """`0.42 %`, with as many digits as it takes to tell it from its neighbours."""
    value = share * 100
    return f"{value:.4g} %" if abs(value) >= 0.01 or value == 0 else f"{value:.2e} %"


def evidence_factor(log_e: float) -> float:
    """An e-value from its logarithm, cut where it stops being readable."""
    return min(math.exp(min(log_e, 700.0)), LARGEST_SHOWN)


def factor(log_e: float) -> str:
    """An e-value in a sentence: `87`, `1,204`, `over 1,000,000`."""
    value = evidence_factor(log_e)
    return "over 1,000,000" if value > 1e6 else number(value)


def span(seconds: float) -> str:
    """A time as people say it: `40 s`, `12 min`, `5 h`, `3 d`."""
    for size, unit in ((86_400.0, "d"), (3_600.0, "h"), (60.0, "min")):
        if seconds >= 2 * size:
            return f"{math.ceil(seconds / size):,} {unit}"
    return f"{max(1, math.ceil(seconds))} s"
