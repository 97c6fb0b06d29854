"""Whether a reference profile and a resource speak of the same model. Nothing else of a profile is known here."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from switchyard_contracts.model_deployment import Monitoring, Task


@dataclass(frozen=True, slots=True)
class Profiled:
    """What has to be known of a profile."""

    digest: str
    features: Sequence[str]
    """Of X."""
    answer: str | None = None
    """What type Y is of; None where the profile has no Y."""


def misfits(monitoring: Monitoring, profile: Profiled) -> list[tuple[str, str]]:
    """Where the resource says something else than the profile: the field of `monitoring`, and what helps."""
    found = []
    if unknown := sorted({feature.name for feature in monitoring.features}.difference(profile.features)):
        has, verb = ", ".join(profile.features) or "no X", "is" if len(unknown) == 1 else "are"
        found.append(
            (
                "features",
                f"{', '.join(unknown)} {verb} not in the profile {profile.digest}, which has {has}; name features as"
                " it does, or make it anew with them",
            )
        )
    if monitoring.prediction.task is Task.REGRESSION and profile.answer not in (None, "number"):
        found.append(
            (
                "prediction.task",
                f"it is regression, and Y of the profile {profile.digest} is a {profile.answer}; make it anew with a"
                " column of numbers as --prediction",
            )
        )
    return found
