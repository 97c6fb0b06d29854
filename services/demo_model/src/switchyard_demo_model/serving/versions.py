"""The versions of the model: what each one looks at, and how its service reads the question.

3.0.0 carries the demo's fault. Its service was rewritten to hand the model seconds, and the model was still trained on
minutes. The pipeline validates the model on its own table and never runs the service's reading, so validation passes;
the service starts, answers quickly and without an error, and what it answers is nonsense. Only outcomes can tell.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from switchyard_demo_model.serving.model import MINUTES

SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class Version:
    """One version: its number, what it is trained on, what it is compared with, and the unit its service hands over."""

    number: str
    numbers: tuple[str, ...]
    categories: tuple[str, ...]
    ridge: float
    follows: str | None = None  # the version it must not be worse than
    delay_unit: float = MINUTES


SCHEDULE = ("carrier", "origin", "dest", "hour", "weekday")

VERSIONS: Mapping[str, Version] = MappingProxyType(
    {
        # The timetable alone.
        "1.0.0": Version("1.0.0", ("distance",), SCHEDULE, ridge=1.0),
        # And how late the flight left, which is most of how late it lands.
        "2.0.0": Version("2.0.0", ("distance", "departure_delay"), SCHEDULE, ridge=1.0, follows="1.0.0"),
        # Trained again with a stronger ridge; the fault is in the reading.
        "3.0.0": Version(
            "3.0.0", ("distance", "departure_delay"), SCHEDULE, ridge=10.0, follows="2.0.0", delay_unit=SECONDS
        ),
        # Called 2.0.0 and learned what 1.0.0 learned: the story in which there is nothing to promote.
        "2.0.0-nodifference": Version("2.0.0", ("distance",), SCHEDULE, ridge=1.0, follows="1.0.0"),
    }
)
