"""A metric of the user's own Prometheus: what is asked, how often, and how many answers in a row it takes.

A query speaks of the step that is under way and of nothing before it: every range in it is `[$window]`, and the first
look is taken when the step is as old as the window. A number from outside comes without its uncertainty, so no error
budget covers the threshold it is held to: it may guard, and never decides.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import timedelta
from enum import StrEnum
from typing import Annotated, Any, Self

from pydantic import Field, StringConstraints, model_validator

from switchyard_contracts.base import Shape
from switchyard_contracts.quantities import Duration, format_duration, parse_duration

METRIC = "promql"
"""What stands in a metric's field `metric` when the block `promql` says what is measured."""


class Placeholder(StrEnum):
    """What a query may leave open, each as `$name`; any other `$name` is refused."""

    NAMESPACE = "namespace"
    DEPLOYMENT = "deployment"
    CANDIDATE = "candidate"
    """The revision that is judged; its pods are named `<revision>-…`."""
    STABLE = "stable"
    """The revision it is judged beside."""
    WINDOW = "window"


ADDRESS = r"https?://[A-Za-z0-9.\[\]:-]{1,253}(/[A-Za-z0-9._~/-]*)?"
"""Of a Prometheus: with neither a user nor a query, as who asks stands in a Secret."""
RANGE = f"[${Placeholder.WINDOW.value}]"
SHORTEST, LONGEST = timedelta(seconds=5), timedelta(days=1)

_UNREAD = re.compile(r'"(?:\\.|[^"\\])*"' r"|'(?:\\.|[^'\\])*'" r"|`[^`]*`|#[^\n]*")
"""Texts and comments."""
_NAMED = re.compile(r"\$([A-Za-z_][A-Za-z0-9_]*)")
_RANGE = re.compile(r"\[([^\[\]]*)\]")
_SHIFTED = re.compile(r"\boffset\s+[-+0-9(]|@")


class PromQL(Shape):
    """A question to Prometheus. The answer has to be one number: a scalar, or a vector of one series."""

    query: Annotated[str, StringConstraints(min_length=1, max_length=2048)]
    """With `$namespace`, `$deployment`, `$candidate`, `$stable` and, as the only range, `[$window]`."""
    window: Duration = parse_duration("1m")
    """How far back a look sees. It is also how old a step has to be for the first look."""
    every: Duration | None = None
    """From look to look; as long as the window where it is not said, so that no moment is seen twice."""
    looks: Annotated[int, Field(ge=1, le=60)] = 3
    """How many in a row have to be within the limit for a Pass, or beyond it for a Fail."""

    @property
    def pace(self) -> timedelta:
        """From look to look."""
        return self.every or self.window

    @property
    def patience(self) -> timedelta:
        """How old a step is before this metric can pass."""
        return self.window + (self.looks - 1) * self.pace

    @model_validator(mode="after")
    def _can_be_asked(self) -> Self:
        if not SHORTEST <= self.window <= LONGEST:
            raise ValueError(f"window: {format_duration(self.window)} is not from 5s to 1d; write one such as 1m")
        if self.every is not None and not SHORTEST <= self.every <= self.window:
            raise ValueError(
                f"every: {format_duration(self.every)} is not from 5s to the window ({format_duration(self.window)});"
                " what lies between two windows would be seen by no look"
            )
        if fault := faults(self.query):
            raise ValueError(f"query: {fault}")
        return self


def faults(query: str) -> str:
    """Why a query cannot be asked; empty where it can. Whether it is PromQL is Prometheus' own to say."""
    known = [placeholder.value for placeholder in Placeholder]
    strange = next((name for name in _NAMED.findall(query) if name not in known), "")
    if strange:
        return f"${strange} is not known; write one of {', '.join(f'${name}' for name in known)}"
    bare = _UNREAD.sub("", query)
    ranges = _RANGE.findall(bare)
    other = next((found for found in ranges if found.strip() != f"${Placeholder.WINDOW.value}"), None)
    if other is not None:
        return f"[{other}] may reach back to before the step; write {RANGE}, and how long that is in promql.window"
    if not ranges:
        return (
            f"it has no {RANGE}, so it could speak of a time before the step; put a range function around the metric,"
            f" such as rate(…{RANGE}) for a counter or max_over_time(…{RANGE}) for a gauge"
        )
    if shifted := _SHIFTED.search(bare):
        return f"{shifted[0][:6].strip()} looks at another time than the step's; take it out"
    return ""


def render(query: str, values: Mapping[Placeholder, str]) -> str:
    """The query with every placeholder filled; revisions and namespaces hold nothing that a query could mistake."""
    return _NAMED.sub(lambda found: values[Placeholder(found[1])], query)


CEL: dict[type[Shape], list[dict[str, Any]]] = {
    PromQL: [
        {
            "rule": f"self.query.contains('{RANGE}')",
            "message": f"a query needs a range, and every range is {RANGE}, so that it speaks of the step alone",
            "fieldPath": ".query",
        },
    ],
}
