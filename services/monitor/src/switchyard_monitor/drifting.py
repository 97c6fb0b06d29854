"""Drifting: what the last windows of every deployment were found to be, for Prometheus, from the book of drift.

Nothing is judged here. A window that is over is told as soon as the keeper has judged it, and until then the one before
it; both say of when they are. Rows that came late have their window judged again, so it is read again after a while. A
scrape reads for a moment only: of what it does not come to, the figures of the last time stand until the next one.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from switchyard_contracts.windows import SECOND_US, start
from switchyard_profile.binning import Side

from switchyard_monitor.baselines import Baselines
from switchyard_monitor.domain.drift import lasting
from switchyard_monitor.domain.drift_book import FeatureDrift, K, N
from switchyard_monitor.domain.usual import Aspect
from switchyard_monitor.domain.watermark import watermark
from switchyard_monitor.models import Models
from switchyard_monitor.ports import DriftBook, Store

SECONDS = 2.0
"""Of one scrape, for reading."""
AGAIN = 60.0
"""Seconds after which a window is read again; so long the keeper waits, too, before it judges one again."""

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


@dataclass(frozen=True, slots=True)
class _Held:
    read: float
    until_us: int
    """The end of the last window that was over then."""
    judged: bool
    baseline: str
    lines: Sequence[Drift]

    def stands(self, baseline: str, until_us: int, now: float) -> bool:
        """Whether it need not be read again."""
        return self.judged and (self.baseline, self.until_us) == (baseline, until_us) and now < self.read + AGAIN


class Drifting:
    """What was read last, by deployment."""

    def __init__(
        self,
        *,
        store: Store,
        book: DriftBook,
        models: Models,
        baselines: Baselines,
        clock: Callable[[], float],
    ) -> None:
        self._store = store
        self._book = book
        self._models = models
        self._baselines = baselines
        self._clock = clock
        self._held: dict[str, _Held] = {}
        self._lengths: dict[str, int] = {}
        """By baseline, how long its windows are: of many deployments not all references are at hand."""

    def lines(self) -> Iterator[tuple[str, Drift]]:
        """Every revision that served in the last window. A deployment without a baseline has none."""
        mark_us = watermark(self._store.positions())
        subjects = self._models.subjects()
        for gone in self._held.keys() - set(subjects):
            del self._held[gone]
        until = self._clock() + SECONDS
        # Who was read longest ago comes first, so that nobody is passed over for ever.
        for subject in sorted(
            subjects, key=lambda name: self._held[name].read if name in self._held else float("-inf")
        ):
            now = self._clock()
            if mark_us is None or now > until:
                break
            self._look(subject, mark_us, now)
        for subject, held in sorted(self._held.items()):
            for line in held.lines:
                yield subject, line

    def _look(self, subject: str, mark_us: int, now: float) -> None:
        baseline = self._baselines.of(self._models.record(subject))
        length_us = self._length(baseline) if baseline else None
        if baseline is None or length_us is None:
            self._held.pop(subject, None)
            return
        until_us = start(mark_us, length_us)
        held = self._held.get(subject)
        if held is not None and held.stands(baseline, until_us, now):
            return
        dues = self._book.dues(subject, baseline)
        windows = self._book.windows(subject, baseline)
        last_us = until_us - length_us
        judged = any(window.start_us == last_us for window in windows) or not any(
            start(due.start_us, length_us) == last_us for due in dues
        )
        if not judged:
            last_us -= length_us
        served = [window.revision for window in windows if window.start_us == last_us]
        lines = [self._line(subject, baseline, revision, last_us, length_us) for revision in served]
        self._held[subject] = _Held(now, until_us, judged, baseline, lines)

    def _length(self, baseline: str) -> int | None:
        if baseline not in self._lengths and (reference := self._baselines.reference(baseline)) is not None:
            self._lengths[baseline] = reference.length_seconds * SECOND_US
        return self._lengths.get(baseline)

    def _line(self, subject: str, baseline: str, revision: str, last_us: int, length_us: int) -> Drift:
        starts = [last_us - back * length_us for back in reversed(range(N))]
        history: dict[str, list[FeatureDrift]] = {}
        for one in self._book.features(subject, baseline, revision, starts=starts):
            history.setdefault(one.feature, []).append(one)
        drifted: Counter[Group] = Counter()
        pages: Counter[Group] = Counter()
        psi: dict[Side, float] = {}
        for windows in history.values():
            last = windows[-1]
            if last.start_us != last_us:
                continue
            for finding in last.told[1]:
                group = finding.side, finding.aspect
                drifted[group] += finding.drifted
                lasts = lasting([finding.aspect in window.drifted for window in windows], k=K, n=N)
                pages[group] += lasts and finding.pages
                if finding.effects is not None:
                    psi[finding.side] = max(psi.get(finding.side, 0.0), finding.effects.psi)
        return Drift(revision, last_us + length_us, drifted, pages, psi)
