"""The model: a table of numbers and the sum that turns a flight into a delay.

It is kept as canonical JSON. Loading it can run no code, its digest depends on nothing but its numbers, and answering
needs neither numpy nor scikit-learn, which keeps the image small and one answer in the microseconds.
"""

import hashlib
import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Self

from switchyard_demo_model.serving.flight import Flight

MINUTES = 1.0


@dataclass(frozen=True, slots=True)
class Number:
    """A numeric feature: its weight, and what stands in for it where a flight has none."""

    weight: float
    missing: float


@dataclass(frozen=True, slots=True)
class LinearModel:
    """An intercept, a weight per number, and a weight per level of each category."""

    version: str
    intercept: float
    numbers: Mapping[str, Number]
    categories: Mapping[str, Mapping[str, float]]

    def predict(self, flight: Flight, *, delay_unit: float = MINUTES) -> float:
        """How late the flight lands, in minutes. A level never seen in training adds nothing.

        `delay_unit` is what the serving code multiplies the product's minutes by before the model sees them.
        """
        terms = [self.intercept]
        for name, number in self.numbers.items():
            value = getattr(flight, name)
            if value is None:
                value = number.missing
            elif name == "departure_delay":
                value *= delay_unit
            terms.append(number.weight * value)
        for name, weights in self.categories.items():
            terms.append(weights.get(str(getattr(flight, name)), 0.0))
        return math.fsum(terms)  # exact, so that the order in which an artefact lists its features cannot show

    def parameters(self) -> dict[str, Any]:
        """What was learned, without the name it goes by: two versions with the same parameters are the same model."""
        return {key: value for key, value in asdict(self).items() if key != "version"}

    def digest(self) -> str:
        """SHA-256 over the canonical form of the parameters."""
        return "sha256:" + hashlib.sha256(canonical(self.parameters())).hexdigest()

    def to_bytes(self) -> bytes:
        """The artefact, byte for byte the same for the same model and version."""
        return canonical({"version": self.version, **self.parameters()})

    @classmethod
    def from_bytes(cls, data: bytes) -> Self:
        """Read an artefact back."""
        held = json.loads(data)
        return cls(
            version=held["version"],
            intercept=held["intercept"],
            numbers={name: Number(**number) for name, number in held["numbers"].items()},
            categories=held["categories"],
        )


def canonical(value: Any) -> bytes:
    """JSON with sorted keys and no spare bytes; a number that is none is refused."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False).encode()
