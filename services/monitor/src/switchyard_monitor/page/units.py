"""Numbers as people read them: each with its unit, and a word where there is none."""

from __future__ import annotations

import math
import re
from datetime import UTC, datetime

NOTHING = "none yet"
GAP = "\u00a0"
"""Between a number and its unit, which never part at the end of a line."""
MINUS = "\u2212"
_BEFORE_A_UNIT = re.compile(r"(?<=[0-9]) (?=(?:%|µs|ms|s|min|h|d)(?![A-Za-z]))")
_SPANS = ((86_400, "d"), (3600, "h"), (60, "min"), (1, "s"))


def count(value: int) -> str:
    """A whole number, its thousands apart."""
    return f"{value:,}"


def number(value: float | None) -> str:
    """Three or four digits that matter."""
    if value is None or not math.isfinite(value):
        return NOTHING
    if value < 0:
        return f"{MINUS}{number(-value)}"
    if value == int(value) and value < 1_000_000:
        return f"{int(value):,}"
    if value >= 1_000_000 or value < 0.0001:
        return f"{value:.3e}"
    places = max(0, 3 - len(str(int(value)))) if value >= 1 else 2 - math.floor(math.log10(value))
    return f"{value:,.{places}f}"


def percent(share: float | None, places: int | None = None) -> str:
    """A share of 1 in percent; small ones keep the digits that tell them from nothing."""
    if share is None:
        return NOTHING
    value = share * 100
    if places is None:
        value = round(value, 6)
        places = 0 if value == int(value) else 2 if abs(value) < 1 else 1
    return f"{value:.{places}f}{GAP}%"


def share(part: float) -> str:
    """A share of 1 in percent, as short as it can be told from its neighbours; what is there is never 0 %."""
    value = part * 100
    if 0 < value < 0.01:
        return f"under 0.01{GAP}%"
    return f"{value:.{2 if 0 < value < 1 else 1}f}{GAP}%" if value != int(value) else f"{value:.0f}{GAP}%"


def chance(p: float) -> str:
    """A p-value; of small ones only that they are small matters."""
    return "under 0.0001" if p < 0.0001 else f"{p:.4f}"


def short(text: str, most: int) -> str:
    """At most so many characters of a text that may have any number."""
    return text if len(text) <= most else f"{text[: most - 1]}…"


def weight(basis_points: int) -> str:
    """A weight in percent, as short as it is exact."""
    return f"{basis_points / 100:g}{GAP}%"


def seconds(value: float | None) -> str:
    """A time that something took."""
    if value is None:
        return NOTHING
    if value < 0:
        return f"{MINUS}{seconds(-value)}"
    if value == 0:
        return f"0{GAP}ms"
    if value < 0.001:
        return f"{value * 1_000_000:.0f}{GAP}µs"
    if value < 1:
        return f"{value * 1000:.3g}{GAP}ms"
    if value < 120:
        return f"{value:.3g}{GAP}s"
    return span(value)


def span(value: float) -> str:
    """A longer time, by its two largest units."""
    left = round(abs(value))
    parts: list[str] = []
    for size, name in _SPANS:
        if (whole := left // size) and len(parts) < 2:
            parts.append(f"{whole}{GAP}{name}")
        left %= size
    return (MINUS if value < 0 else "") + (" ".join(parts) or f"0{GAP}s")


def whole(sentence: str) -> str:
    """A sentence of somebody else's; its numbers keep their units too."""
    return _BEFORE_A_UNIT.sub(GAP, sentence)


def clock(at_us: int) -> str:
    """A time in UTC, where the page has said that all of them are."""
    return moment(from_us(at_us)).removesuffix(" UTC")


def short_clock(at_us: int) -> str:
    """The same without what is nought."""
    words = clock(at_us)
    return words.removesuffix(" 00:00:00") if words.endswith(" 00:00:00") else words.removesuffix(":00")


def moment(at: datetime | None) -> str:
    """A time in UTC, to the second."""
    return "never" if at is None else at.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S UTC")


def from_us(at_us: int) -> datetime:
    """Microseconds since 1970."""
    return datetime.fromtimestamp(at_us / 1_000_000, UTC)
