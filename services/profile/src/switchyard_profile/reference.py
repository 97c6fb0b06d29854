"""The reference: the profile that windows are compared with. It is JSON, and its hash is its name.

Every score names the reference it was made with, so that two scores can be told to be comparable. The same rows give
the same bytes: canonical JSON, where a float is the shortest text that reads back as the same number.
"""

from __future__ import annotations

import hashlib
from functools import cached_property
from typing import Annotated, Literal, Self

from pydantic import Field, ValidationError, model_validator
from switchyard_contracts.base import Shape
from switchyard_contracts.canonical import canonical

from switchyard_profile import bins
from switchyard_profile.binning import Binning, Side
from switchyard_profile.errors import UnreadableProfile
from switchyard_profile.importance import Importance
from switchyard_profile.profile import FeatureSums, Profile

MOST_FEATURES = 512
MOST_WINDOWS = 4096
MOST_ROWS = 2**40
"""Of so many windows the sum is still a number of 64 bits."""
DAY_SECONDS = 86_400


class Feature(Shape):
    """One feature of the reference: its bins, all of its rows, and its windows."""

    binning: Binning
    groups: list[Annotated[int, Field(ge=0, lt=bins.GROUPS)]]
    """The group of each bin, numbered from 0; what is missing has none."""
    sums: FeatureSums
    """Of all rows."""
    windows: list[list[Annotated[int, Field(ge=0, le=MOST_ROWS)]]] = []
    """For each window of the reference: rows per group, then rows where the value is missing, then those outside."""
    importance: Importance | None = None
    """How much it matters. Profiles of before say nothing of it, and keep their names."""

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        name, size = self.binning.name, self.binning.size
        if len(self.groups) != size or len(self.sums.counts) != size + 1:
            raise ValueError(f"{name}: there are {size} bins, so groups has {size} entries and counts has {size + 1}")
        if min(*self.sums.counts, self.sums.wrong, self.sums.outside, self.sums.clipped, self.sums.qq) < 0:
            raise ValueError(f"{name}: a count is below zero")
        if not self.sums.present:
            raise ValueError(f"{name}: no row has a value, so nothing can be held against it")
        if set(self.groups) != set(range(max(self.groups) + 1)):
            raise ValueError(f"{name}: groups are numbered from 0 without gaps")
        if any(len(window) != self.group_count + 2 for window in self.windows):
            raise ValueError(f"{name}: each window has {self.group_count + 2} counts")
        return self

    @property
    def name(self) -> str:
        """What it is called."""
        return self.binning.name

    @property
    def weight(self) -> float:
        """How much it matters, as far as anybody knows; 0 where nobody does."""
        return self.importance.weight if self.importance else 0.0

    @property
    def group_count(self) -> int:
        """How many groups there are."""
        return max(self.groups) + 1

    def grouped(self, sums: FeatureSums) -> list[int]:
        """Rows per group, of those where there is a value."""
        found = [0] * self.group_count
        for group, count in zip(self.groups, sums.counts, strict=False):
            found[group] += count
        return found

    def window(self, sums: FeatureSums) -> list[int]:
        """A window of the reference, as it is kept in it."""
        return [*self.grouped(sums), sums.missing, sums.outside]


class Reference(Shape):
    """What windows are compared with."""

    format: Literal["switchyard.dev/profile.v1"] = "switchyard.dev/profile.v1"
    rows: Annotated[int, Field(ge=1, le=MOST_ROWS)]
    features: Annotated[list[Feature], Field(min_length=1, max_length=MOST_FEATURES)]
    window_seconds: Annotated[int, Field(ge=1)] | None = None
    """How long its own windows are; none where its rows had no time.

    The command makes none below a minute; a world whose days take seconds, as the demo's, has such.
    """
    starts: Annotated[list[int], Field(max_length=MOST_WINDOWS)] = []
    """When each of them began, in seconds since 1970."""

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        names = [feature.name for feature in self.features]
        if twice := sorted({name for name in names if names.count(name) > 1}):
            raise ValueError(f"features: {twice[0]} is there twice")
        for feature in self.features:
            if feature.sums.rows != self.rows:
                raise ValueError(f"{feature.name}: {feature.sums.rows} of {self.rows} rows were counted")
            if len(feature.windows) != len(self.starts):
                raise ValueError(f"{feature.name}: there are {len(self.starts)} windows")
        return self

    def to_bytes(self) -> bytes:
        """The artefact."""
        return canonical(self.to_json())

    @classmethod
    def of_bytes(cls, data: bytes) -> Self:
        """Read an artefact; `UnreadableProfile` names the field that is wrong. How it is indented does not matter."""
        try:
            return cls.model_validate_json(data)
        except ValidationError as error:
            first = error.errors()[0]
            place = ".".join(str(step) for step in first["loc"]) or "the profile"
            raise UnreadableProfile(
                f"{place}: {first['msg']}; make the profile anew with switchyard-profile of this release"
            ) from error

    @cached_property
    def digest(self) -> str:
        """Its name."""
        return f"sha256:{hashlib.sha256(self.to_bytes()).hexdigest()}"

    @property
    def length_seconds(self) -> int:
        """How long the windows are that are held against it: as long as its own, else days."""
        return self.window_seconds or DAY_SECONDS

    @property
    def binnings(self) -> list[Binning]:
        """How each feature is counted."""
        return [feature.binning for feature in self.features]

    def side(self, side: Side) -> list[Feature]:
        """The features of X, or of Y."""
        return [feature for feature in self.features if feature.binning.side is side]

    @property
    def profile(self) -> Profile:
        """All of its rows, as a window of it would be."""
        return Profile(self.digest, self.rows, {feature.name: feature.sums for feature in self.features})
