"""Durations, percentages and thresholds as people write them, and as the parts compute with them.

One grammar stands in the resource, in the chart and in the environment. Percentages become integer basis points at
once, because `multipleOf: 0.01` on a JSON number refuses 5 and 0.29.
"""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from dataclasses import dataclass
from datetime import timedelta
from typing import Annotated, Any, Literal, Self

from pydantic import BeforeValidator, GetCoreSchemaHandler, GetJsonSchemaHandler, PlainSerializer, WithJsonSchema
from pydantic_core import CoreSchema, core_schema

FULL = 10_000
"""The whole of the traffic, in basis points."""

_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
DURATION_PATTERN = r"^[0-9]{1,6}(ms|s|m|h|d)$"
PERCENT_PATTERN = r"^(100(\.0{1,2})?|[0-9]{1,2}(\.[0-9]{1,2})?)%$"
AUTO = "auto"
MIRROR_PATTERN = rf"^{AUTO}$|{PERCENT_PATTERN}"
THRESHOLD_PATTERN = r"^[0-9]{1,9}(\.[0-9]{1,6})?(%|ms|s)?$"


def parse_duration(value: object) -> timedelta:
    """Read `90s`, `10m`, `24h` or `7d`."""
    if isinstance(value, timedelta):
        return value
    match = re.fullmatch(r"([0-9]{1,6})(ms|s|m|h|d)", value) if isinstance(value, str) else None
    if match is None:
        raise ValueError(f"{value!r} is not a duration; write a whole number and a unit, such as 90s, 10m, 24h or 7d")
    return timedelta(seconds=int(match[1]) * _UNITS[match[2]])


def format_duration(value: timedelta) -> str:
    """Write a duration with the largest unit that divides it."""
    milliseconds = round(value.total_seconds() * 1000)
    if milliseconds == 0:
        return "0s"
    for unit in ("d", "h", "m", "s"):
        size = round(_UNITS[unit] * 1000)
        if milliseconds % size == 0:
            return f"{milliseconds // size}{unit}"
    return f"{milliseconds}ms"


def parse_percent(value: object) -> int:
    """Read `5`, `"5%"` or `"0.25%"` as basis points (500, 500 and 25)."""
    if isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= 100:
        return value * 100
    if isinstance(value, str) and re.fullmatch(PERCENT_PATTERN, value):
        whole, _, fraction = value[:-1].partition(".")
        return int(whole) * 100 + int(fraction.ljust(2, "0") or 0)
    raise ValueError(f'{value!r} is not a percentage; write a whole number from 0 to 100, or a string such as "0.25%"')


def format_percent(basis_points: int) -> str:
    """Write basis points as people read them: 500 → `5%`, 25 → `0.25%`."""
    whole, rest = divmod(basis_points, 100)
    return f"{whole}.{rest:02d}".rstrip("0").rstrip(".") + "%" if rest else f"{whole}%"


class Written(ABC):
    """A quantity that stands in a resource as people write it: `parse` reads it, `str` writes it back."""

    __slots__ = ()

    @classmethod
    @abstractmethod
    def parse(cls, value: object) -> Self:
        """Read it, or take it as it is; raises ValueError with the value and how to write it."""

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_plain_validator_function(
            cls.parse, serialization=core_schema.plain_serializer_function_ser_schema(str)
        )


@dataclass(frozen=True, slots=True)
class BasisPoints(Written):
    """A percentage in its own type, so that 5 (per cent) and 500 (basis points) cannot be mixed up unseen."""

    value: int

    @classmethod
    def parse(cls, value: object) -> Self:
        """Read a percentage."""
        return value if isinstance(value, cls) else cls(parse_percent(value))

    @classmethod
    def __get_pydantic_json_schema__(cls, schema: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        return {"x-kubernetes-int-or-string": True, "pattern": PERCENT_PATTERN, "minimum": 0, "maximum": 100}

    @property
    def share(self) -> float:
        """The percentage as a number from 0 to 1."""
        return self.value / FULL

    def __str__(self) -> str:
        return format_percent(self.value)


@dataclass(frozen=True, slots=True)
class PodCount(Written):
    """How many pods: a whole number of them, or a percentage of what serves all of the traffic."""

    number: int = 0
    """Where a number was written; else 0."""
    basis_points: int = 0
    """Where a percentage was written; else 0."""

    @classmethod
    def parse(cls, value: object) -> Self:
        """Read `2`, or `"50%"`."""
        if isinstance(value, cls):
            return value
        if isinstance(value, int) and not isinstance(value, bool) and 1 <= value <= 1000:
            return cls(number=value)
        if isinstance(value, str) and re.fullmatch(PERCENT_PATTERN, value) and (share := parse_percent(value)):
            return cls(basis_points=share)
        raise ValueError(
            f'{value!r} is no number of pods; write a whole number from 1 to 1000, or a percentage such as "50%"'
        )

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_plain_validator_function(
            cls.parse, serialization=core_schema.plain_serializer_function_ser_schema(lambda held: held.written)
        )

    @classmethod
    def __get_pydantic_json_schema__(cls, schema: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        return {"x-kubernetes-int-or-string": True, "pattern": PERCENT_PATTERN, "minimum": 1, "maximum": 1000}

    @property
    def written(self) -> int | str:
        """As it stands in a resource."""
        return self.number or format_percent(self.basis_points)

    def of(self, replicas: int) -> int:
        """How many that is, rounded up: a share of the pods is never less than was asked for."""
        return self.number or -(-replicas * self.basis_points // FULL)

    def __str__(self) -> str:
        return str(self.written)


@dataclass(frozen=True, slots=True)
class MirrorShare(Written):
    """How much of the traffic is mirrored at most: a percentage of the whole, or `auto`, all that can be taken."""

    value: int
    """Basis points. Only stable's requests are mirrored, and only as many as the ready pods can take."""
    text: str

    @classmethod
    def parse(cls, value: object) -> Self:
        """Read `auto`, or a percentage."""
        if isinstance(value, cls):
            return value
        if value == AUTO:
            return cls(FULL, AUTO)
        try:
            basis_points = parse_percent(value)
        except ValueError as error:
            raise ValueError(f"{error}; or auto, for all that the candidate's pods can take") from error
        return cls(basis_points, format_percent(basis_points))

    @classmethod
    def __get_pydantic_json_schema__(cls, schema: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        return {"x-kubernetes-int-or-string": True, "pattern": MIRROR_PATTERN, "minimum": 0, "maximum": 100}

    def __str__(self) -> str:
        return self.text


@dataclass(frozen=True, slots=True)
class Threshold(Written):
    """A limit: a plain number (`40.5`), a share (`1%`) or a time (`200ms`); `value` is in 1 or in seconds."""

    value: float
    unit: Literal["", "%", "s"]
    text: str

    @classmethod
    def parse(cls, value: object) -> Self:
        """Read a threshold; whole numbers may stand without quotes."""
        if isinstance(value, cls):
            return value
        if isinstance(value, int) and not isinstance(value, bool) and value >= 0:
            return cls(float(value), "", str(value))
        if isinstance(value, str) and re.fullmatch(THRESHOLD_PATTERN, value):
            if value.endswith("%"):
                return cls(float(value[:-1]) / 100, "%", value)
            if value.endswith("ms"):
                return cls(float(value[:-2]) / 1000, "s", value)
            if value.endswith("s"):
                return cls(float(value[:-1]), "s", value)
            return cls(float(value), "", value)
        raise ValueError(
            f'{value!r} is not a threshold; write a number, a share such as "1%", or a time such as "200ms"'
        )

    @classmethod
    def __get_pydantic_json_schema__(cls, schema: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        return {"x-kubernetes-int-or-string": True, "pattern": THRESHOLD_PATTERN, "minimum": 0}

    def __str__(self) -> str:
        return self.text


Duration = Annotated[
    timedelta,
    BeforeValidator(parse_duration),
    PlainSerializer(format_duration, return_type=str),
    WithJsonSchema({"type": "string", "pattern": DURATION_PATTERN, "maxLength": 8}),
]
