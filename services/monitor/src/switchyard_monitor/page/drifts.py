"""X and Y of one revision against the reference: which features are how far from it, and since when.

Everything comes of the book of drift, which holds what windows that are over were found to be. So a page takes one
window's lines, and of a feature one line a window, however many rows those stand for.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from switchyard_contracts.judgement import counted
from switchyard_contracts.windows import SECOND_US
from switchyard_profile.reference import Feature, Reference

from switchyard_monitor.domain.drift_book import FeatureDrift, K, N, WindowDrift
from switchyard_monitor.domain.profiling import misfits
from switchyard_monitor.domain.usual import ENOUGH
from switchyard_monitor.models import Models
from switchyard_monitor.page import units
from switchyard_monitor.page.charts import Chart, Line, chart
from switchyard_monitor.page.spreads import Spread, spread
from switchyard_monitor.ports import DriftBook

WINDOWS = 90
"""So many are drawn, the newest."""
ADDRESS = "%Y-%m-%dT%H:%M:%SZ"
"""How addresses say a time."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """What an address asks for; what it says nothing about is chosen."""

    revision: str = ""
    window: str = ""


@dataclass(frozen=True, slots=True)
class Choice:
    """A revision or window that can be looked at, beside the others."""

    value: str
    words: str
    chosen: bool


@dataclass(frozen=True, slots=True)
class State:
    """How a feature is, in a word."""

    kind: str
    """A colour beside the word."""
    words: str
    rank: int
    """The worst first."""


LASTS = State("bad", f"Drifted in {K} of {N} windows", 0)
DRIFTED = State("waiting", "Drifted", 1)
GUESSED = State("none", "Differs; what is usual is not known", 2)
USUAL = State("good", "As usual", 3)
STATES = (LASTS, DRIFTED, GUESSED, USUAL)


@dataclass(frozen=True, slots=True)
class Card:
    """One feature in one window, small."""

    number: int
    name: str
    side: str
    type: str
    state: State
    effect: float
    psi: str
    usual: str
    rows: str
    shares: Sequence[tuple[str, str, str]]
    """What else is looked at, where there is any of it: its name, the share of the window, of the reference."""
    spread: Spread
    matters: str = ""
    """How much the feature does; empty where nobody knows."""


@dataclass(frozen=True, slots=True)
class Against:
    """One window of one revision against the reference. Without a window, `waits` says for what."""

    reference: Reference | None
    waits: str
    misfits: Sequence[str] = ()
    revision: str = ""
    version: str = ""
    revisions: Sequence[Choice] = ()
    windows: Sequence[WindowDrift] = ()
    """Of the revision, the newest of them, in order of time."""
    window: WindowDrift | None = None
    shareable: str = ""
    """The window as an address says it."""
    earlier: str = ""
    later: str = ""
    """The windows beside it, in the same way; empty where there is none."""
    length: str = ""

    @property
    def when(self) -> str:
        """Such as "2026-03-01 to 2026-03-02"."""
        if self.reference is None or self.window is None:
            return ""
        begin = self.window.start_us
        end = begin + self.reference.length_seconds * SECOND_US
        return f"{units.short_clock(begin)} to {units.short_clock(end)}"

    @property
    def worth(self) -> str:
        """What may be thought of it where the reference is too short to say what is usual; else nothing."""
        windows = ENOUGH if self.reference is None else len(self.reference.starts)
        if windows >= ENOUGH:
            return ""
        has = counted(windows, "window") if windows else "no windows"
        return (
            f"The reference has {has} of its own, and it takes {ENOUGH} to know what is usual. So what differs is"
            " shown, and nobody is paged by it."
        )

    @property
    def features(self) -> Mapping[str, Feature]:
        """The reference's, by name."""
        return {} if self.reference is None else {feature.name: feature for feature in self.reference.features}


def against(
    subject: str, models: Models, known: Reference | str, book: DriftBook, wanted: Wanted, names: Mapping[str, str]
) -> Against:
    """The window that is asked for, or the newest of the stable revision's."""
    if isinstance(known, str):
        return Against(None, known)
    record, monitoring = models.record(subject), models.monitoring(subject)
    strange = misfits(monitoring, known) if monitoring else []
    length = units.span(known.length_seconds)
    newest = book.revisions(subject, known.digest)
    if not newest:
        words = f"no window of {length} is over yet in which this deployment was asked anything"
        return Against(known, words, strange, length=length)
    revision = wanted.revision
    if revision not in newest:
        stable = record.stable if record else ""
        revision = stable if stable in newest else max(newest, key=lambda one: (newest[one], one))
    until_us = _asked(wanted.window)
    mine = _until(book, subject, known.digest, revision, until_us)
    if until_us is None or not mine or mine[-1].start_us != until_us:
        mine = _until(book, subject, known.digest, revision, newest[revision])
    chosen = mine[-1]
    later = None
    if chosen.start_us != newest[revision]:
        later = book.following(subject, known.digest, revision, chosen.start_us)
    return Against(
        reference=known,
        waits="",
        misfits=strange,
        revision=revision,
        version=names.get(revision, "") or revision,
        revisions=[
            Choice(one, names.get(one, "") or one, one == revision)
            for one in sorted(newest, key=lambda one: (-newest[one], one))
        ],
        windows=mine[-WINDOWS:],
        window=chosen,
        shareable=iso(chosen.start_us),
        earlier=iso(mine[-2].start_us) if len(mine) > 1 else "",
        later="" if later is None else iso(later),
        length=length,
    )


def _until(book: DriftBook, subject: str, baseline: str, revision: str, until_us: int | None) -> list[WindowDrift]:
    """The windows that are drawn, and one more: that before the one that is looked at may not be drawn."""
    if until_us is None:
        return []
    return book.windows(subject, baseline, revision=revision, until_us=until_us, limit=WINDOWS + 1)


def iso(at_us: int) -> str:
    """A time as addresses say it."""
    return datetime.fromtimestamp(at_us // SECOND_US, UTC).strftime(ADDRESS)


def _asked(window: str) -> int | None:
    """The time that an address says; None where it says none."""
    try:
        return round(datetime.strptime(window, ADDRESS).replace(tzinfo=UTC).timestamp()) * SECOND_US
    except ValueError:
        return None


@dataclass(frozen=True, slots=True)
class Found:
    """A feature's line, and how it is."""

    drift: FeatureDrift
    state: State


def worst_first(lines: Sequence[FeatureDrift], window: WindowDrift) -> list[Found]:
    """The features of a window; `lines` are those of it and of the windows before it that count for lasting."""
    history: dict[str, list[FeatureDrift]] = {}
    for line in lines:
        history.setdefault(line.feature, []).append(line)
    found = [
        Found(now, state(now, before)) for before in history.values() if (now := before[-1]).start_us == window.start_us
    ]
    return sorted(found, key=lambda one: (one.state.rank, -one.drift.effect, one.drift.feature))


def state(now: FeatureDrift, lines: Sequence[FeatureDrift]) -> State:
    """How a feature is, by its last windows, in order of time. What is surest is said, aspect by aspect."""
    found = Counter(aspect for line in lines[-N:] for aspect in line.drifted)
    lasts = {aspect for aspect, times in found.items() if times >= K}
    if not now.drifted and not lasts:
        return USUAL
    known = {one.aspect for one in now.told[1] if not one.usual.optimistic}
    if lasts & known:
        return LASTS
    return DRIFTED if now.drifted & known else GUESSED


def card(feature: Feature, found: Found, number: int) -> Card:
    """One feature, small."""
    sums, findings = found.drift.told
    shares = [
        (one.aspect.value, units.share(one.effect), units.share(one.reference))
        for one in findings[1:]
        if one.effect or one.reference
    ]
    return Card(
        number=number,
        name=feature.name,
        side=feature.binning.side.value,
        type=feature.binning.type.value,
        state=found.state,
        effect=found.drift.effect,
        psi=units.number(round(found.drift.effect, 4)),
        usual=units.number(round(found.drift.usual, 4)),
        rows=units.count(sums.rows),
        shares=shares,
        spread=spread(feature, sums),
        matters=_matters(feature),
    )


def _matters(feature: Feature) -> str:
    told = feature.importance
    if told is None:
        return ""
    if told.own is not None:
        return f"importance {units.number(told.own)}"
    of = "answer" if told.outcome is None else "outcome"
    return f"explains {units.share(told.weight)} of the {of}"


def drifted_features(held: Against) -> Chart | None:
    """How many features had drifted, window by window."""
    if held.reference is None or held.window is None:
        return None
    length = held.reference.length_seconds
    points: list[tuple[float, float | None]] = [
        (window.start_us / SECOND_US + length / 2, float(window.drifted)) for window in held.windows
    ]
    return chart(
        "drifted",
        f"Features that {'differ' if held.worth else 'drifted'}, by window",
        lines=[Line(f"of {held.window.features} features", 0, gapped(points, length))],
        begin=held.windows[0].start_us / SECOND_US,
        end=held.window.start_us / SECOND_US + length,
        words=units.number,
        lag=length / 2,
        time="Window from (UTC)",
    )


def gapped(points: Sequence[tuple[float, float | None]], length: float) -> list[tuple[float, float | None]]:
    """With nothing where windows are missing, so that no line leads across."""
    found: list[tuple[float, float | None]] = []
    for at, value in points:
        if found and at - found[-1][0] > length * 1.5:
            found.append((found[-1][0] + length, None))
        found.append((at, value))
    return found
