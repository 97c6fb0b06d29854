"""What the story promises (`story.yaml`), and whether it held."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import yaml
from pydantic import BaseModel, ConfigDict, Field, model_validator
from pydantic.alias_generators import to_camel

Figure = float | int | str
FILE = Path(__file__).with_name("story.yaml")


class Part(BaseModel):
    """A part of the file; a misspelt key is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid", alias_generator=to_camel, populate_by_name=True)


class Tempo(Part):
    """How fast the world runs, and how long the product lives on each version."""

    rate: float
    day_seconds: float
    seed: int
    quiet: float
    quiet_short: float
    after: float
    after_short: float
    calm: int
    calm_short: int


class Patience(Part):
    """Seconds after which a chapter has failed."""

    deployed: float
    promoted: float
    promoted_short: float
    taken_back: float
    taken_back_short: float
    watched: float
    calm: float
    asked: float


class Expectation(Part):
    """One promise about one figure."""

    says: str
    figure: str
    is_: Figure | None = Field(default=None, alias="is")
    at_least: float | None = None
    at_most: float | None = None
    below: float | None = None
    of: str | None = None
    short: float | None = None
    """Takes the place of `atLeast` in the short form of the story."""

    @model_validator(mode="after")
    def _one_relation(self) -> Self:
        given = [name for name in ("is_", "at_least", "at_most", "below") if getattr(self, name) is not None]
        if len(given) != 1:
            raise ValueError(f"{self.figure}: give exactly one of is, atLeast, atMost, below")
        if (self.below is None) != (self.of is None):
            raise ValueError(f"{self.figure}: below needs of, and of needs below")
        if self.short is not None and self.at_least is None:
            raise ValueError(f"{self.figure}: short goes with atLeast alone")
        return self

    def check(self, figures: Mapping[str, Figure], *, short: bool) -> Held:
        """Whether it held. A figure that could not be read is a promise broken, never one passed over."""
        value, wanted = figures.get(self.figure), self._wanted(figures, short=short)
        if value is None:
            return Held(self.figure, self.says, held=False, found="not known", wanted=wanted)
        return Held(
            self.figure, self.says, held=self._holds(value, figures, short=short), found=text(value), wanted=wanted
        )

    def _holds(self, value: Figure, figures: Mapping[str, Figure], *, short: bool) -> bool:
        if self.is_ is not None:
            return value == self.is_
        if isinstance(value, str):
            return False
        if self.at_least is not None:
            return value >= self._least(short)
        if self.at_most is not None:
            return value <= self.at_most
        other = figures.get(self.of or "")
        return isinstance(other, float | int) and self.below is not None and value < self.below * other

    def _least(self, short: bool) -> float:
        return self.short if short and self.short is not None else self.at_least or 0.0

    def _wanted(self, figures: Mapping[str, Figure], *, short: bool) -> str:
        if self.is_ is not None:
            return text(self.is_)
        if self.at_least is not None:
            return f"≥ {text(self._least(short))}"
        if self.at_most is not None:
            return f"≤ {text(self.at_most)}"
        other = figures.get(self.of or "")
        return f"< {self.below} x {self.of}" + (
            f" = {text(self.below * other)}" if isinstance(other, float | int) and self.below else ""
        )


@dataclass(frozen=True, slots=True)
class Held:
    """How one expectation came out."""

    figure: str
    says: str
    held: bool
    found: str
    wanted: str


class Script(Part):
    """The whole file."""

    pace: Tempo
    patience: Patience
    expectations: tuple[Expectation, ...]

    @classmethod
    def read(cls, path: Path = FILE) -> Self:
        """Read the file; a mistake in it is an error before anything is started."""
        return cls.model_validate(yaml.safe_load(path.read_text(encoding="utf-8")))

    def check(self, figures: Mapping[str, Figure], *, short: bool) -> list[Held]:
        """Every expectation, in the file's order."""
        return [expectation.check(figures, short=short) for expectation in self.expectations]


def text(value: Figure) -> str:
    """A figure as people read it."""
    if isinstance(value, str):
        return value
    return f"{value:,.0f}" if float(value).is_integer() else f"{value:,.3f}"
