"""A profile: what one window's rows hold, counted in the reference's bins.

Profiles of one reference add up, and what was added can be taken out again: the counts and sums are then what they
would be had it never been there, to the last bit. The least and the greatest value are the exception. They only ever
widen, and after something was taken out `amended` says that they may be wider than what is left.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any, Self

import numpy as np
from switchyard_contracts.canonical import canonical

from switchyard_profile import bins
from switchyard_profile.binning import Binning
from switchyard_profile.errors import OtherBaseline
from switchyard_profile.moments import Moments, moments
from switchyard_profile.values import measure, names


@dataclass(frozen=True, slots=True)
class FeatureSums:
    """One feature of some rows. Every row is in exactly one of `counts` and `wrong`."""

    counts: tuple[int, ...]
    """Rows per bin; the last count is of those where the value is missing."""
    wrong: int = 0
    """Values of another type."""
    outside: int = 0
    """Numbers beyond the limits that the reference states."""
    clipped: int = 0
    """Numbers too far from the centre for `q` and `qq`."""
    q: int = 0
    qq: int = 0
    low: float | None = None
    high: float | None = None
    amended: bool = False
    """Whether something was taken out, so that `low` and `high` are bounds."""

    @classmethod
    def of(cls, binning: Binning, values: Iterable[Any]) -> Self:
        """Count values, JSON's own."""
        if binning.type.measured:
            sorted_ = measure(values, binning.type)
            found = sorted_.found
            counts = np.bincount(bins.of_numbers(binning.edge_array, found), minlength=binning.size)
            sums, clipped = moments(found, center=binning.center, scale=binning.scale)
            return cls(
                counts=(*counts.tolist(), sorted_.missing),
                wrong=sorted_.wrong,
                outside=binning.outside(found),
                clipped=clipped,
                q=sums.q,
                qq=sums.qq,
                low=float(found.min()) if len(found) else None,
                high=float(found.max()) if len(found) else None,
            )
        named = names(values, binning.type)
        return cls(counts=(*bins.counts_of_names(binning.categories, named.found), named.missing), wrong=named.wrong)

    @classmethod
    def nothing(cls, binning: Binning) -> Self:
        """No rows at all."""
        return cls((0,) * (binning.size + 1))

    @property
    def rows(self) -> int:
        """All of them."""
        return sum(self.counts) + self.wrong

    @property
    def present(self) -> int:
        """Rows with a value of the right type."""
        return sum(self.counts[:-1])

    @property
    def missing(self) -> int:
        """Rows without a value."""
        return self.counts[-1]

    @property
    def moments(self) -> Moments:
        """Of the numbers."""
        return Moments(self.present, self.q, self.qq)

    def merge(self, other: FeatureSums) -> FeatureSums:
        """Both together."""
        return FeatureSums(
            counts=tuple(mine + new for mine, new in zip(self.counts, other.counts, strict=True)),
            wrong=self.wrong + other.wrong,
            outside=self.outside + other.outside,
            clipped=self.clipped + other.clipped,
            q=self.q + other.q,
            qq=self.qq + other.qq,
            low=_least(self.low, other.low),
            high=_greatest(self.high, other.high),
            amended=self.amended or other.amended,
        )

    def retract(self, other: FeatureSums) -> FeatureSums:
        """What is left when this part of it is taken out. Where nothing is, that is as if nothing had been there."""
        counts = tuple(mine - gone for mine, gone in zip(self.counts, other.counts, strict=True))
        empty = not any(counts[:-1])
        return FeatureSums(
            counts=counts,
            wrong=self.wrong - other.wrong,
            outside=self.outside - other.outside,
            clipped=self.clipped - other.clipped,
            q=self.q - other.q,
            qq=self.qq - other.qq,
            low=None if empty else self.low,
            high=None if empty else self.high,
            amended=not empty and (self.amended or other.present > 0),
        )


@dataclass(frozen=True, slots=True)
class Profile:
    """All features of some rows. It names the reference in whose bins it was counted."""

    baseline: str
    rows: int
    features: Mapping[str, FeatureSums]

    @classmethod
    def of(cls, baseline: str, binnings: Iterable[Binning], columns: Mapping[str, Sequence[Any]], *, rows: int) -> Self:
        """Count the columns of some rows; a column that is not there is missing in each of them."""
        absent = [None] * rows
        return cls(
            baseline, rows, {each.name: FeatureSums.of(each, columns.get(each.name, absent)) for each in binnings}
        )

    def merge(self, other: Profile) -> Profile:
        """Both together; `OtherBaseline` where they were counted in different bins."""
        self.fits(other.baseline)
        merged = {name: sums.merge(other.features[name]) for name, sums in self.features.items()}
        return Profile(self.baseline, self.rows + other.rows, merged)

    def retract(self, other: Profile) -> Profile:
        """What is left when a part that was added before is taken out."""
        self.fits(other.baseline)
        left = {name: sums.retract(other.features[name]) for name, sums in self.features.items()}
        return Profile(self.baseline, self.rows - other.rows, left)

    def encode(self) -> str:
        """The stored form: equal profiles have equal text."""
        features = {name: {each: getattr(sums, each) for each in _FIELDS} for name, sums in self.features.items()}
        return canonical({"baseline": self.baseline, "rows": self.rows, "features": features}).decode()

    @classmethod
    def decode(cls, stored: Mapping[str, Any]) -> Self:
        """Read the stored form, parsed from JSON."""
        features = {
            name: FeatureSums(**{**sums, "counts": tuple(sums["counts"])}) for name, sums in stored["features"].items()
        }
        return cls(stored["baseline"], stored["rows"], features)

    def fits(self, baseline: str) -> None:
        """Nothing, or `OtherBaseline` where it was counted in other bins than those of this reference."""
        if self.baseline != baseline:
            raise OtherBaseline(
                f"a profile counted against {self.baseline} cannot be put beside {baseline}; count its rows again"
            )


_FIELDS = tuple(field.name for field in fields(FeatureSums))
"""`asdict` would copy every count by itself, for ten times the time."""


def _least(mine: float | None, other: float | None) -> float | None:
    return other if mine is None else mine if other is None else min(mine, other)


def _greatest(mine: float | None, other: float | None) -> float | None:
    return other if mine is None else mine if other is None else max(mine, other)
