"""The monitor's sums, computed once more from the topic's events in the plainest way. Imports nothing of ours.

It reads what `monitor_world.MONITORING` says: windows of 5 s, Y and X′ at `$.delay` in units of 2⁻²⁰, Y′ at `$.buffer`
as yes or no with the threshold 15, judged after 20 s.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from datetime import datetime, timedelta
from fractions import Fraction
from typing import Any

NOON = datetime.fromisoformat("2026-03-01T12:00:00+00:00")
WINDOW, AGE, THRESHOLD, UNIT = 5, 20, 15, 2**20
SECOND = 1_000_000


def recompute(events: Sequence[tuple[dict[str, Any], float]]) -> dict[tuple[str, str, int, int], dict[str, int]]:
    """Sums by (revision, role, traffic, start of the window after NOON), from (event, broker's time after NOON)."""
    once: dict[str, tuple[dict[str, Any], float]] = {}
    for event, broker in events:
        once.setdefault(event["id"], (event, broker))
    labels = [
        (e["type"].split(".")[2], e["id"], e["data"], broker) for e, broker in once.values() if "value" in e["data"]
    ]
    total: dict[tuple[str, str, int, int], Counter[str]] = {}
    for event, _ in once.values():
        data = event["data"]
        if not event["type"].startswith("dev.switchyard.inference"):
            continue
        at = _microseconds(data["startedAt"])
        key = data["revision"], data["role"], data["traffic"], at // (WINDOW * SECOND) * WINDOW
        sums = total.setdefault(key, Counter())
        sums["requests"] += 1
        sums["errors"] += data["error"]
        sums[f"latency:{_bucket(data['latencyUs'], 16)}"] += 1
        if data["error"]:
            continue
        sums["predictions"] += 1
        said = data["response"]["value"]["delay"]
        mine = [
            (kind, (label["revision"], _microseconds(label["at"]), name), label, round(broker * SECOND))
            for kind, name, label, broker in labels
            if label["predictionId"] == data["predictionId"]
        ]
        outcomes = [(rank, label, broker) for kind, rank, label, broker in mine if kind == "outcome"]
        if outcomes:
            first = min(broker for _, _, broker in outcomes)
            sums[f"delay:{_bucket(max(0, first - at) // 1000, 16)}"] += 1
        for which, usable in (("now", outcomes), ("age", [held for held in outcomes if held[2] <= at + AGE * SECOND])):
            if usable:
                happened = max(usable, key=lambda held: held[0])[1]["value"]["delay"]
                # In the doubles that the model and the product speak, then exact.
                error = round(Fraction((said - happened) * UNIT))
                clipped = max(-(2**31), min(2**31, error))
                sums[f"{which}.clipped"] += clipped != error
                sums[f"{which}.n"] += 1
                sums[f"{which}.e"] += clipped
                sums[f"{which}.a"] += abs(clipped)
                sums[f"{which}.ee"] += clipped**2
                sums[f"{which}.eeee"] += clipped**4
                sums[f"{which}.h:{_bucket(abs(clipped), 32)}"] += 1
        decisions = [(rank, label) for kind, rank, label, _ in mine if kind == "decision"]
        if decisions:
            latest = max(decisions, key=lambda held: held[0])[1]
            follows = (said >= THRESHOLD) == latest["value"]["buffer"]
            for suffix in ("", f":{latest['actor']['kind']}"):
                sums[f"dec.n{suffix}"] += 1
                sums[f"dec.agree{suffix}"] += follows
    return {key: {name: value for name, value in sums.items() if value} for key, sums in total.items()}


def _microseconds(written: str) -> int:
    return (datetime.fromisoformat(written) - NOON) // timedelta(microseconds=1)


def _bucket(value: int, parts: int) -> int:
    """Equal parts of each octave, counted one by one."""
    if value < 2 * parts:
        return value
    octave = 1
    while value >= 2 * parts * 2**octave:
        octave += 1
    return octave * parts + (value >> octave)
