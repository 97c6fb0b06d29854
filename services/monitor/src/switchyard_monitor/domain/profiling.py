"""Profiling: the X and Y of one batch, counted window by window in the bins of the deployment's reference.

What is counted is what made a Y: an answer that was stored. A repeat, a conflict, an error and a request that was cut
short add nothing, and a deletion takes nothing back. So a profile, like the rows, is the same however often and in
which order events come.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple, Self

from switchyard_contracts.model_deployment import Monitoring
from switchyard_profile.binning import PREDICTION, Side
from switchyard_profile.profile import Profile
from switchyard_profile.reference import Reference

from switchyard_monitor.domain.rules import follow, steps

Path = tuple[str | int, ...]


class ProfileKey(NamedTuple):
    """Whose profile it is: one revision in one role, in one ModelRoute generation and one window, in certain bins."""

    subject: str
    revision: str
    role: str
    traffic: int
    baseline: str
    start_us: int


Profiles = dict[ProfileKey, Profile]


@dataclass(frozen=True, slots=True)
class Watch:
    """A deployment's reference, and where its features stand in a request."""

    reference: Reference
    paths: Mapping[str, Path]

    @classmethod
    def of(cls, monitoring: Monitoring, reference: Reference) -> Self:
        """What the resource says; a feature that it does not name is looked for by its own name."""
        return cls(reference, {feature.name: steps(feature.path) for feature in monitoring.features})

    @property
    def baseline(self) -> str:
        """The reference's name."""
        return self.reference.digest

    def columns(self, requests: list[Any], answers: list[Any]) -> dict[str, list[Any]]:
        """Every feature's values, row by row."""
        inner = [_unwrapped(request) for request in requests]
        found: dict[str, list[Any]] = {}
        for feature in self.reference.side(Side.X):
            path = self.paths.get(feature.name)
            if path is None:
                found[feature.name] = [follow((feature.name,), request) for request in inner]
            else:
                found[feature.name] = [follow(path, request) for request in requests]
        found[PREDICTION] = answers
        return found


class Tallies:
    """The rows of a batch, by the window that they belong to."""

    def __init__(self) -> None:
        self._rows: dict[ProfileKey, tuple[Watch, list[Any], list[Any]]] = {}

    def take(self, key: ProfileKey, watch: Watch, request: Any, answer: Any) -> None:
        """One X and its Y, as the JSON has them."""
        rows = self._rows.get(key)
        if rows is None:
            rows = self._rows[key] = (watch, [], [])
        rows[1].append(request)
        rows[2].append(answer)

    def profiles(self) -> Profiles:
        """All that was taken, counted: once a window and feature, whatever the number of rows."""
        return {
            key: Profile.of(
                key.baseline, watch.reference.binnings, watch.columns(requests, answers), rows=len(requests)
            )
            for key, (watch, requests, answers) in self._rows.items()
        }


def _unwrapped(request: Any) -> Any:
    """What a request is about, where that is one object under one name: `{"flight": {…}}`, as BentoML has it."""
    if isinstance(request, dict) and len(request) == 1:
        (inner,) = request.values()
        if isinstance(inner, dict):
            return inner
    return request


def merged(parts: Iterable[Profile]) -> Profile | None:
    """All of them together; None of none."""
    total: Profile | None = None
    for part in parts:
        total = part if total is None else total.merge(part)
    return total
