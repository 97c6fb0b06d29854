"""What is usual: how much a reference's own windows differ from the rest of it, while nothing has changed.

Rows of a day are alike: the weather, one big customer, a schedule. Against a test that takes rows for independent, 88
to 99 % of ordinary days of flights differ at p < 1 %. So a window is held against what the reference's windows of the
same length do: each is compared with the reference without it, by the same statistics.

Windows of the same hour of the week are the measure where there are enough of them, for a Sunday differs from the rest
as Sundays do. Where there are not, all windows are, which asks for more before anything is called drift.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum

import numpy as np
import numpy.typing as npt
from switchyard_profile.reference import Feature, Reference
from switchyard_profile.values import Type

from switchyard_monitor.domain.effects import psi, smoothed
from switchyard_monitor.domain.twosample import pearson, pooled

ENOUGH = 20
"""Windows of the reference, below which what is usual is a guess."""
HIGH = 0.99
"""What is larger than in this share of the windows is unusual; of up to a hundred windows that is the largest."""
WEEK_SECONDS = 7 * 86_400


class Aspect(StrEnum):
    """What of a feature is looked at."""

    DISTRIBUTION = "distribution"
    """How its values are spread over the groups, of those that are there."""
    MISSING = "missing"
    UNSEEN = "unseen"
    """Names that the reference has no bin for."""
    OUTSIDE = "outside"
    """Numbers beyond the limits that the reference states."""
    WRONG = "wrong"
    """Values of another type."""

    @classmethod
    def of(cls, feature: Feature) -> list[Aspect]:
        """Those that a feature has."""
        binning = feature.binning
        found = [cls.DISTRIBUTION, cls.MISSING, cls.WRONG]
        if binning.type is Type.STRING:
            found.append(cls.UNSEEN)
        if binning.minimum is not None or binning.maximum is not None:
            found.append(cls.OUTSIDE)
        return found


@dataclass(frozen=True, slots=True)
class Usual:
    """How windows differ, in one aspect of one feature."""

    windows: int = 0
    inflation: float = 1.0
    """φ: how many times larger X² is than it would be if rows were independent, on average; at least 1."""
    rows: float = 0.0
    """Of how many rows these windows were, on average."""
    most: float = 0.0
    """The effect that a share of `HIGH` of them stay below."""

    @property
    def optimistic(self) -> bool:
        """Whether there are too few windows to say what is usual."""
        return self.windows < ENOUGH

    def inflation_at(self, rows: int) -> float:
        """φ for a window of so many rows.

        What the rows of a window have in common does not average out, so X² grows with their number: φ − 1 is
        proportional to it. At the windows' own number this is φ.
        """
        return 1.0 + (self.inflation - 1.0) * rows / self.rows if self.rows else 1.0


@dataclass(frozen=True, slots=True)
class Compared:
    """One window of the reference against the rest of it."""

    start: int
    ratio: float
    """X² by its degrees of freedom."""
    effect: float
    rows: int


class Yardstick:
    """A reference, and all that its own windows say of what is usual; worked out once."""

    def __init__(self, reference: Reference) -> None:
        self.reference = reference
        self._compared = {
            (feature.name, aspect): list(_compared(feature, reference.starts, aspect))
            for feature in reference.features
            for aspect in Aspect.of(feature)
        }

    def usual(self, name: str, aspect: Aspect, *, start: int) -> Usual:
        """What is usual for a window that begins then, in seconds since 1970."""
        compared = self._compared[name, aspect]
        alike = [one for one in compared if (one.start - start) % WEEK_SECONDS == 0]
        return _usual(alike if len(alike) >= ENOUGH else compared)


def _usual(compared: Sequence[Compared]) -> Usual:
    if not compared:
        return Usual()
    return Usual(
        windows=len(compared),
        inflation=max(1.0, float(np.mean([one.ratio for one in compared]))),
        rows=float(np.mean([one.rows for one in compared])),
        most=float(np.quantile([one.effect for one in compared], HIGH, method="higher")),
    )


def _compared(feature: Feature, starts: Sequence[int], aspect: Aspect) -> Iterator[Compared]:
    """Every window that has rows enough to be compared."""
    windows: npt.NDArray[np.int64] = np.array(feature.windows, dtype=np.int64).reshape(
        len(starts), feature.group_count + 2
    )
    rest = windows.sum(axis=0) - windows
    for start, window, others in zip(starts, windows.tolist(), rest.tolist(), strict=True):
        if aspect is Aspect.DISTRIBUTION:
            found, held = window[:-2], others[:-2]
            if not sum(found) or not sum(held):
                continue
            x2, df = pearson(*pooled(held, found, neighbours=feature.binning.type.measured))
            if df:
                yield Compared(start, x2 / df, psi(*smoothed(held, found)), sum(found))
        else:
            (those, rows), (those_held, rows_held) = share(window, aspect), share(others, aspect)
            if rows and rows_held:
                x2, _ = pearson([those_held, rows_held - those_held], [those, rows - those])
                yield Compared(start, x2, those / rows, rows)


def share(window: Sequence[int], aspect: Aspect) -> tuple[int, int]:
    """How many rows of a reference's window have something, and of how many. None has a value of a wrong type."""
    *groups, missing, outside = window
    present = sum(groups)
    those = {Aspect.MISSING: missing, Aspect.UNSEEN: groups[-1], Aspect.OUTSIDE: outside, Aspect.WRONG: 0}[aspect]
    return those, present if aspect in (Aspect.UNSEEN, Aspect.OUTSIDE) else present + missing
