"""Features: what X is made of, and the reference profile that it is held against."""

from __future__ import annotations

from typing import Annotated

from pydantic import StringConstraints

from switchyard_contracts.base import JsonPath, Shape

ProfileDigest = Annotated[str, StringConstraints(pattern=r"^sha256:[0-9a-f]{64}$", max_length=71)]


class Feature(Shape):
    """Where one feature of X stands in the request."""

    name: Annotated[str, StringConstraints(min_length=1, max_length=256)]
    """What it is called in the reference profile."""
    path: JsonPath
    """Where it stands in the request's JSON, such as $.flight.distance."""
