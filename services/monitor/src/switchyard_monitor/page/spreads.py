"""Spreads: how the values of one feature lie in the reference and in a window, in the groups that are compared.

Bars stand for the window, an outline for the reference. All shares are of all rows, so those where the value is missing
have a place beside the others and the whole is 100 %. The same numbers stand in a table.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from switchyard_profile.binning import Binning
from switchyard_profile.profile import FeatureSums
from switchyard_profile.reference import Feature
from switchyard_profile.values import Type

from switchyard_monitor.page import units

WIDTH, HEIGHT, TOP, BOTTOM = 300, 110, 6, 20
GAP = 3
MOST_LABEL, MOST_DRAWN = 60, 22
"""Characters of a label, and of the two that are drawn side by side."""
MISSING, WRONG = "missing", "of another type"


@dataclass(frozen=True, slots=True)
class Place:
    """One group of values."""

    label: str
    reference: float
    """Its share of all rows."""
    window: float


@dataclass(frozen=True, slots=True)
class Bar:
    """A place as it is drawn."""

    x: float
    y: float
    width: float
    height: float
    expected: float
    """The height over the ground at which the reference's outline is."""
    words: str


@dataclass(frozen=True, slots=True)
class Spread:
    """All that a template needs."""

    words: str
    """What it shows, for those who cannot see it."""
    bars: Sequence[Bar]
    outline: str
    first: str
    last: str
    rows: Sequence[tuple[str, str, str]]
    """Label, share of the reference, share of the window."""
    lengths: Sequence[tuple[float, float]]
    """Of the same rows, both shares in percent of the largest of all."""

    columns = ("Values", "Reference", "Window")
    width, height, ground = WIDTH, HEIGHT, HEIGHT - BOTTOM


def spread(feature: Feature, sums: FeatureSums) -> Spread:
    """Draw one feature."""
    places = _places(feature, sums)
    most = max([1e-12, *(max(place.reference, place.window) for place in places)])
    step = WIDTH / len(places)
    height = HEIGHT - TOP - BOTTOM
    bars = [
        Bar(
            x=round(step * at + GAP / 2, 1),
            y=round(HEIGHT - BOTTOM - place.window / most * height, 1),
            width=round(step - GAP, 1),
            height=round(place.window / most * height, 1),
            expected=round(HEIGHT - BOTTOM - place.reference / most * height, 1),
            words=f"{place.label}: {units.share(place.reference)} of the reference, {units.share(place.window)} now",
        )
        for at, place in enumerate(places)
    ]
    outline = "".join(
        f"{'M' if at == 0 else 'L'}{round(step * at, 1)} {bar.expected}H{round(step * (at + 1), 1)}"
        for at, bar in enumerate(bars)
    )
    apart = sorted(places, key=lambda place: -abs(place.window - place.reference))[:2]
    words = "; ".join(
        f"{place.label}: {units.share(place.window)} of the rows, and {units.share(place.reference)} of the reference's"
        for place in apart
    )
    return Spread(
        words=f"Furthest apart: {words}.",
        bars=bars,
        outline=outline,
        first=units.short(places[0].label, MOST_DRAWN),
        last=units.short(places[-1].label, MOST_DRAWN) if len(places) > 1 else "",
        rows=[(place.label, units.share(place.reference), units.share(place.window)) for place in places],
        lengths=[(_length(place.reference, most), _length(place.window, most)) for place in places],
    )


def _length(share: float, most: float) -> float:
    return round(100 * share / most, 1)


def _places(feature: Feature, sums: FeatureSums) -> list[Place]:
    held, found = feature.grouped(feature.sums), feature.grouped(sums)
    labels = _labels(feature)
    every = [*zip(labels, held, found, strict=True)]
    if feature.binning.type is Type.BOOLEAN:
        every = [place for place in every if place[1] or place[2] or place[0] != OTHER]
    for label, before, now in (
        (MISSING, feature.sums.missing, sums.missing),
        (WRONG, feature.sums.wrong, sums.wrong),
    ):
        if before or now:
            every.append((label, before, now))
    rows, window = max(1, feature.sums.rows), max(1, sums.rows)
    return [Place(label, before / rows, now / window) for label, before, now in every]


OTHER = "any other name"


def _labels(feature: Feature) -> list[str]:
    binning = feature.binning
    bins_of: list[list[int]] = [[] for _ in range(feature.group_count)]
    for place, group in enumerate(feature.groups):
        bins_of[group].append(place)
    if binning.type.measured:
        return [_range(binning, places[0], places[-1]) for places in bins_of]
    return [_names(binning, places) for places in bins_of]


def _range(binning: Binning, first: int, last: int) -> str:
    """Bins are what is below the least edge, what is on it, what is up to each further one, and what is above all."""
    edges, above = binning.edges, len(binning.edges) + 1
    low = None if first == 0 else edges[max(0, first - 2)]
    high = None if last == above else edges[max(0, last - 1)]
    if last == 0:
        return f"below {units.number(edges[0])}"
    if low is None or high is None:
        if low is None and high is None:
            return "all values"
        return f"above {units.number(low)}" if high is None else f"up to {units.number(high)}"
    return units.number(low) if low == high else f"{units.number(low)} to {units.number(high)}"


def _names(binning: Binning, places: Sequence[int]) -> str:
    names = [binning.categories[place] for place in places if place < len(binning.categories)]
    if not names:
        return OTHER
    return units.short(names[0], MOST_LABEL) if len(names) == 1 else f"{len(names)} rarer names"
