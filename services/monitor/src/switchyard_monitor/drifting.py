"""Drifting: what the last windows of every deployment say of drift, for Prometheus. Each is judged once it is over.

Of a deployment with many features and partitions that takes seconds, so a scrape judges for a moment only; of what it
does not come to, the figures of the window before stand until the next one, and say of when they are.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from switchyard_profile.binning import Side

from switchyard_monitor.baselines import Baselines
from switchyard_monitor.domain.profiling import Profiles, Span
from switchyard_monitor.domain.usual import Aspect
from switchyard_monitor.domain.watermark import watermark
from switchyard_monitor.drift_answers import SECOND_US, SERVED, DriftAnswer, N, drift
from switchyard_monitor.models import Models
from switchyard_monitor.ports import Store

SECONDS = 2.0
"""Of one scrape, for judging."""

Group = tuple[Side, Aspect]


@dataclass(frozen=True, slots=True)
class Drift:
    """One revision's last window that is over: features are counted by side and aspect, so that they are few."""

    revision: str
    end_us: int
    drifted: Mapping[Group, int]
    pages: Mapping[Group, int]
    psi: Mapping[Side, float]
    """The largest one of any feature."""


@dataclass(slots=True)
class _Held:
    until_us: int
    baseline: str
    lines: Sequence[Drift] = field(default_factory=list)


class Drifting:
    """What was judged last, by deployment."""

    def __init__(self, *, store: Store, models: Models, baselines: Baselines, clock: Callable[[], float]) -> None:
        self._store = store
        self._models = models
        self._baselines = baselines
        self._clock = clock
        self._held: dict[str, _Held] = {}

    def lines(self) -> Iterator[tuple[str, Drift]]:
        """Every revision that served in the last window. A deployment without a baseline has none."""
        mark_us = watermark(self._store.positions())
        subjects = self._models.subjects()
        for gone in self._held.keys() - set(subjects):
            del self._held[gone]
        until = self._clock() + SECONDS
        # Who was judged longest ago comes first, so that nobody is passed over for ever.
        for subject in sorted(subjects, key=lambda name: self._held[name].until_us if name in self._held else 0):
            if mark_us is None or self._clock() > until:
                break
            self._look(subject, mark_us)
        for subject, held in sorted(self._held.items()):
            for line in held.lines:
                yield subject, line

    def _look(self, subject: str, mark_us: int) -> None:
        monitoring = self._models.monitoring(subject)
        named = monitoring.reference if monitoring else None
        reference = self._baselines.reference(named) if named else None
        if reference is None:
            self._held.pop(subject, None)
            return
        length_us = reference.length_seconds * SECOND_US
        until_us = mark_us - mark_us % length_us
        held = self._held.get(subject)
        if held is not None and (held.until_us, held.baseline) == (until_us, reference.digest):
            return
        span = Span(
            subject=subject,
            baseline=reference.digest,
            since_us=until_us - N * length_us,
            until_us=until_us,
            length_us=length_us,
        )
        by_revision: dict[str, Profiles] = {}
        for key, profile in self._store.profiles(span).items():
            if key.role in SERVED:
                by_revision.setdefault(key.revision, {})[key] = profile
        yardstick = self._baselines.yardstick(reference)
        answers = {revision: drift(yardstick, revision, found) for revision, found in sorted(by_revision.items())}
        lines = [line for answer in answers.values() if (line := _line(answer, until_us, length_us)) is not None]
        self._held[subject] = _Held(until_us, reference.digest, lines)


def _line(answer: DriftAnswer, until_us: int, length_us: int) -> Drift | None:
    """None where the revision did not serve in the last window."""
    last = answer.windows[-1]
    if round(last.start.timestamp()) * SECOND_US != until_us - length_us:
        return None
    drifted: Counter[Group] = Counter()
    pages: Counter[Group] = Counter()
    psi: dict[Side, float] = {}
    for one in last.findings:
        side = Side(one.side)
        group = side, Aspect(one.aspect)
        drifted[group] += one.drifted
        pages[group] += one.pages
        if one.psi is not None:
            psi[side] = max(psi.get(side, 0.0), one.psi)
    return Drift(answer.revision, until_us, drifted, pages, psi)
