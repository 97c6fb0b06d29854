"""Charts as geometry: lines over time, computed here and drawn by a template as SVG.

No library: it would be the only script of the page, and a browser that runs none can be forbidden all of them. Each
chart carries its own words and its numbers as a table, for those who cannot see it.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from switchyard_monitor.page import units

WIDTH, HEIGHT = 560, 230
LEFT, RIGHT, TOP, BOTTOM = 72, 46, 14, 38  # at the right, half of a time to the second has to fit
SIGN = 20
"""Signs that stand nearer to each other than this cannot be told apart, on a phone at least."""
STYLES = 6
"""So many lines can be told apart, by colour and by dashes."""

FAILURE = "cross"
"""The shape of a sign."""
NOTHING = 1e-300
"""A quarter of less may be nought."""
_STEPS_S = (1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 10_800, 21_600, 43_200, 86_400)

Format = Callable[[float | None], str]


@dataclass(frozen=True, slots=True)
class Line:
    """One line: values at times in seconds since 1970, None where there is none."""

    name: str
    style: int
    points: Sequence[tuple[float, float | None]]


@dataclass(frozen=True, slots=True)
class Mark:
    """A sign at a point, with the word for it."""

    shape: str
    at: float
    value: float
    words: str


@dataclass(frozen=True, slots=True)
class Span:
    """What is usual from one time to another, in seconds since 1970: from nought up to a value."""

    begin: float
    end: float
    value: float


@dataclass(frozen=True, slots=True)
class Tick:
    """A place on an axis."""

    at: float
    words: str


@dataclass(frozen=True, slots=True)
class Drawn:
    """A line as SVG: a path, and dots for values that stand alone."""

    name: str
    style: int
    path: str
    dots: Sequence[tuple[float, float]]


@dataclass(frozen=True, slots=True)
class Placed:
    """A mark where it is drawn."""

    shape: str
    x: float
    y: float
    words: str


@dataclass(frozen=True, slots=True)
class Chart:
    """All that a template needs."""

    id: str
    title: str
    words: str
    """What the chart shows, for those who cannot see it."""
    lines: Sequence[Drawn]
    marks: Sequence[Placed]
    ticks_x: Sequence[Tick]
    ticks_y: Sequence[Tick]
    columns: Sequence[str]
    rows: Sequence[Sequence[str]]
    band: str = ""
    """What is usual, as one path."""

    width, height, left, right, top, bottom = WIDTH, HEIGHT, LEFT, WIDTH - RIGHT, TOP, HEIGHT - BOTTOM


def chart(
    id: str,
    title: str,
    *,
    lines: Sequence[Line],
    begin: float,
    end: float,
    words: Format,
    top: float | None = None,
    stepped: bool = False,
    marks: Sequence[Mark] = (),
    usual: Sequence[Span] = (),
    lag: float = 0.0,
    time: str = "Time (UTC)",
) -> Chart | None:
    """Lines on common axes from nought; None where there is no value at all.

    A value of a window stands in its middle, `lag` seconds after what the table calls its time.
    """
    values = [value for line in lines for _, value in line.points if value is not None and math.isfinite(value)]
    if not values:
        return None
    end = max(end, begin + 1)
    ticks = _ticks(top if top is not None else max(values))
    highest = ticks[-1]

    def x(at: float) -> float:
        return round(LEFT + (min(max(at, begin), end) - begin) / (end - begin) * (WIDTH - LEFT - RIGHT), 1)

    def y(value: float) -> float:
        return round(HEIGHT - BOTTOM - min(value, highest) / highest * (HEIGHT - TOP - BOTTOM), 1)

    return Chart(
        id=id,
        title=title,
        words=" ".join(_sentence(line, words) for line in lines),
        lines=[_drawn(line, x, y, end=end, stepped=stepped) for line in lines],
        marks=_placed([Placed(mark.shape, x(mark.at), y(mark.value), mark.words) for mark in marks]),
        ticks_x=[Tick(x(at), text) for at, text in _times(begin, end)],
        ticks_y=[Tick(y(value), _short(words(value))) for value in ticks],
        columns=[time, *(line.name for line in lines)],
        rows=_table(lines, words, lag=lag),
        band="".join(
            f"M{x(span.begin)} {y(0.0)}V{y(span.value)}H{x(span.end)}V{y(0.0)}Z" for span in usual if span.value > 0
        ),
    )


def _placed(marks: Iterable[Placed]) -> list[Placed]:
    """Of signs on top of each other the newest is drawn, with the words of all; but a failure is never covered."""
    found: list[Placed] = []
    for mark in marks:
        under = found[-1] if found else None
        if under and under.y == mark.y and mark.x - under.x < SIGN and under.shape != FAILURE:
            found[-1] = replace(mark, words=f"{under.words}; then {mark.words}")
        else:
            found.append(mark)
    return found


def _drawn(line: Line, x: Callable[[float], float], y: Callable[[float], float], *, end: float, stepped: bool) -> Drawn:
    path: list[str] = []
    dots: list[tuple[float, float]] = []
    before: float | None = None
    points = line.points
    for index, (at, value) in enumerate(points):
        if value is None:
            if stepped and before is not None:
                path.append(f"H{x(at)}")
            before = None
            continue
        if before is None:
            path.append(f"M{x(at)} {y(value)}")
            after = points[index + 1][1] if index + 1 < len(points) else None
            if after is None and not stepped:
                dots.append((x(at), y(value)))
        else:
            path.append(f"H{x(at)}V{y(value)}" if stepped else f"L{x(at)} {y(value)}")
        before = value
    if stepped and before is not None:
        path.append(f"H{x(end)}")
    return Drawn(line.name, line.style % STYLES, "".join(path), dots)


def _sentence(line: Line, words: Format) -> str:
    known = [value for _, value in line.points if value is not None]
    if not known:
        return f"{line.name}: no values."
    low, high, last = min(known), max(known), known[-1]
    if low == high:
        return f"{line.name}: {words(last)} throughout."
    return f"{line.name}: from {words(low)} to {words(high)}, at the end {words(last)}."


def _table(lines: Sequence[Line], words: Format, *, lag: float) -> list[list[str]]:
    by_time: dict[float, dict[int, float | None]] = {}
    for index, line in enumerate(lines):
        for at, value in line.points:
            by_time.setdefault(at, {})[index] = value
    return [
        [
            _clock(at - lag),
            *("–" if (value := held.get(index)) is None else words(value) for index in range(len(lines))),
        ]
        for at, held in sorted(by_time.items())
    ]


def _ticks(highest: float) -> list[float]:
    """Four or five round values from nought to at least the highest."""
    if highest < NOTHING:
        return [0.0, 1.0]
    rough = highest / 4
    size = 10.0 ** math.floor(math.log10(rough))
    step = next(size * part for part in (1, 2, 2.5, 5, 10) if size * part >= rough * (1 - 1e-9))
    return [step * index for index in range(math.ceil(highest / step - 1e-9) + 1)]


def _short(text: str) -> str:
    """`7.5` beside `5` and `10`, not `7.50`: on an axis all values are round."""
    return re.sub(r"(\.\d*?)0+(?!\d)", r"\1", text).replace(f".{units.GAP}", units.GAP).removesuffix(".")


def _times(begin: float, end: float) -> list[tuple[float, str]]:
    step = next((size for size in _STEPS_S if (end - begin) / size <= 5), None)
    if step is None:
        step = math.ceil((end - begin) / 5 / 86_400) * 86_400
    form = "%H:%M:%S" if step < 60 else "%H:%M"
    first = math.ceil(begin / step) * step
    return [
        # Midnight is said by its day: of two midnights on one axis each has its own.
        (at, datetime.fromtimestamp(at, UTC).strftime(form if at % 86_400 else "%d %b"))
        for at in (first + step * index for index in range(7))
        if at <= end
    ]


def _clock(at: float) -> str:
    return units.moment(datetime.fromtimestamp(at, UTC)).removesuffix(" UTC")
