"""Spans of time as people glance at them."""

from __future__ import annotations

from datetime import timedelta

UNITS = ((86_400, "d", 3_600, "h"), (3_600, "h", 60, "m"), (60, "m", 1, "s"))


def span(value: timedelta) -> str:
    """`48s`, `2m10s`, `3h5m`, `4d2h`: two units at most, cut off below."""
    seconds = max(0, round(value.total_seconds()))
    for size, unit, smaller, name in UNITS:
        if seconds >= size:
            rest = seconds % size // smaller
            return f"{seconds // size}{unit}{f'{rest}{name}' if rest else ''}"
    return f"{seconds}s"
