"""Profiling: the X and Y of one batch, counted window by window in the bins of the deployment's reference.

What is counted is what made a Y: an answer that was stored. A repeat, a conflict, an error and a request that was cut
short add nothing, and a deletion takes nothing back. An X that comes alone is counted as it comes, in its own window,
once for each revision; so of X there may be other rows than of Y. A profile, like the rows, is the same however often
and in which order events come.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, Self

from switchyard_contracts import profile_fit
from switchyard_contracts.model_deployment import Monitoring
from switchyard_contracts.profile_fit import Profiled
from switchyard_contracts.windows import start
from switchyard_profile.binning import Binning, Side
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


@dataclass(frozen=True, slots=True, kw_only=True)
class Span:
    """Which of a deployment's profiles are asked for. Times are in microseconds since 1970."""

    subject: str
    baseline: str
    since_us: int
    until_us: int
    """Windows that begin from the one up to the other."""
    length_us: int = 1
    """Windows are put together to such of this length: as they are read, for a day of them may hold gigabytes."""
    revision: str | None = None


@dataclass(frozen=True, slots=True)
class Coarsening:
    """Which of a deployment's profiles become parts of longer windows."""

    subject: str
    baseline: str
    before_us: int
    length_us: int


@dataclass(frozen=True, slots=True)
class Bins:
    """Of a reference what counting takes. Its own counts, most of it by far, are for judging."""

    baseline: str
    binnings: Sequence[Binning]
    length_us: int
    """How long the windows are that will be judged."""

    @classmethod
    def of(cls, reference: Reference) -> Self:
        """Take it out."""
        return cls(reference.digest, reference.binnings, reference.length_seconds * 1_000_000)


@dataclass(frozen=True, slots=True)
class Watch:
    """The bins that a deployment's X and Y are counted in, and where its features stand in a request."""

    bins: Bins
    paths: Mapping[str, Path]

    @classmethod
    def of(cls, monitoring: Monitoring, bins: Bins) -> Self:
        """What the resource says; a feature that it does not name is looked for by its own name."""
        return cls(bins, {feature.name: steps(feature.path) for feature in monitoring.features})

    def window(self, at_us: int, window_us: int) -> int:
        """The start of the window that a row is counted in: the deployment's own, `window_us` long.

        It is that of the reference where that is not made up of the deployment's, so that what is judged is whole.
        """
        length_us = self.bins.length_us
        return start(at_us, window_us if length_us % window_us == 0 else length_us)

    def columns(self, requests: list[Any], answers: list[Any]) -> dict[str, list[Any]]:
        """Every feature's values, row by row; Xs and Ys that came apart need not be as many."""
        inner = [_unwrapped(request) for request in requests]
        found: dict[str, list[Any]] = {}
        for binning in self.bins.binnings:
            name = binning.name
            if binning.side is Side.Y:
                found[name] = answers
            elif (path := self.paths.get(name)) is not None:
                found[name] = [follow(path, request) for request in requests]
            else:
                found[name] = [request.get(name) if isinstance(request, dict) else None for request in inner]
        return found


def misfits(monitoring: Monitoring, reference: Reference) -> list[str]:
    """Where the resource and the reference speak of different models; each a sentence with what helps."""
    answer = next((str(feature.binning.type) for feature in reference.side(Side.Y)), None)
    known = Profiled(reference.digest, [feature.name for feature in reference.side(Side.X)], answer)
    return [f"monitoring.{field}: {sentence}" for field, sentence in profile_fit.misfits(monitoring, known)]


class Tallies:
    """The rows of a batch, by the window that they belong to."""

    def __init__(self) -> None:
        self._rows: dict[ProfileKey, tuple[Watch, list[Any], list[Any]]] = {}

    def asked(self, key: ProfileKey, watch: Watch, request: Any) -> None:
        """One X, as the JSON has it."""
        self._of(key, watch)[1].append(request)

    def said(self, key: ProfileKey, watch: Watch, answer: Any) -> None:
        """One Y."""
        self._of(key, watch)[2].append(answer)

    def profiles(self) -> Profiles:
        """All that was taken, counted: once a window and feature, whatever the number of rows."""
        return {
            key: Profile.of(key.baseline, watch.bins.binnings, watch.columns(requests, answers), rows=len(answers))
            for key, (watch, requests, answers) in self._rows.items()
        }

    def _of(self, key: ProfileKey, watch: Watch) -> tuple[Watch, list[Any], list[Any]]:
        rows = self._rows.get(key)
        if rows is None:
            rows = self._rows[key] = (watch, [], [])
        return rows


def _unwrapped(request: Any) -> Any:
    """What a request is about, where that is one object under one name: `{"flight": {…}}`, as BentoML has it."""
    if isinstance(request, dict) and len(request) == 1:
        (inner,) = request.values()
        if isinstance(inner, dict):
            return inner
    return request
