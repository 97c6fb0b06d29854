"""The monitor's sums, computed once more from the topic's events in the plainest way. Imports nothing of ours.

It reads what `monitor_world.MONITORING` says: windows of 5 s, Y and X′ at `$.delay` in units of 2⁻²⁰, Y′ at `$.buffer`
as yes or no with the threshold 15, judged after 20 s.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Sequence
from datetime import datetime, timedelta
from fractions import Fraction
from typing import Any

NOON = datetime.fromisoformat("2026-03-01T12:00:00+00:00")
WINDOW, AGE, THRESHOLD, UNIT = 5, 20, 15, 2**20
FOLDS = 32
SECOND = 1_000_000


def recompute(events: Sequence[tuple[dict[str, Any], float]]) -> dict[tuple[str, str, int, int], dict[str, int]]:
    """Sums by (revision, role, traffic, start of the window after NOON), from (event, broker's time after NOON)."""
    once: dict[tuple[str, str], tuple[dict[str, Any], float]] = {}
    for event, broker in events:
        once.setdefault((event["type"], event["id"]), (event, broker))
    labels = [
        (kind, e["id"], e["data"], broker)
        for e, broker in once.values()
        if (kind := e["type"].split(".")[2]) in ("outcome", "decision")
    ]
    total: dict[tuple[str, str, int, int], Counter[str]] = {}
    for event, _ in once.values():
        data, exchange = event["data"], event["type"].startswith("dev.switchyard.inference")
        if not exchange and not event["type"].startswith("dev.switchyard.prediction"):
            continue
        at = _microseconds(data["startedAt"] if exchange else data["at"])
        role, traffic = data["role"], data.get("traffic", 0)
        sums = total.setdefault((data["revision"], role, traffic, at // (WINDOW * SECOND) * WINDOW), Counter())
        if exchange:
            sums["requests"] += 1
            sums["errors"] += data["error"]
            sums[f"latency:{_bucket(data['latencyUs'], 16)}"] += 1
            if data["error"]:
                continue
        sums["predictions"] += 1
        said = (data["response"]["value"] if exchange else data["value"])["delay"]
        mine = [
            (kind, (label["revision"], _microseconds(label["at"]), name), label, round(broker * SECOND))
            for kind, name, label, broker in labels
            if (label["predictionId"], label["row"]) == (data["predictionId"], data.get("row", 0))
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
                if which == "age":
                    fold = _fold(event["subject"], data)
                    sums[f"age.n:{fold}"] += 1
                    sums[f"age.e:{fold}"] += clipped
                    sums[f"age.a:{fold}"] += abs(clipped)
                    sums[f"age.ee:{fold}"] += clipped**2
        decisions = [(rank, label) for kind, rank, label, _ in mine if kind == "decision"]
        if decisions:
            first = min(broker for kind, _, _, broker in mine if kind == "decision")
            sums[f"dec.delay:{_bucket(max(0, first - at) // 1000, 16)}"] += 1
            latest = max(decisions, key=lambda held: held[0])[1]
            follows = (said >= THRESHOLD) == latest["value"]["buffer"]
            for suffix in ("", f":{latest['actor']['kind']}"):
                sums[f"dec.n{suffix}"] += 1
                sums[f"dec.agree{suffix}"] += follows
    return {key: {name: value for name, value in sums.items() if value} for key, sums in total.items()}


def recompute_pairs(
    events: Sequence[tuple[dict[str, Any], float]],
) -> dict[tuple[str, str, int, int], dict[str, int]]:
    """Sums of pairs by (stable, mirrored, traffic, start of the window after NOON): each id that both answered."""
    once = {event["id"]: (event, broker) for event, broker in reversed(events)}
    answers: dict[tuple[str, str], list[dict[str, Any]]] = {}
    outcomes: dict[str, list[tuple[tuple[int, int, str], float, int]]] = {}
    for name, (event, broker) in once.items():
        data, kind = event["data"], event["type"].split(".")[2]
        if kind == "inference" and not data["error"]:
            answers.setdefault((data["predictionId"], data["role"]), []).append(data)
        if kind == "outcome" and data["row"] == 0:
            rank = data["revision"], _microseconds(data["at"]), name
            held = outcomes.setdefault(data["predictionId"], [])
            held.append((rank, data["value"]["delay"], round(broker * SECOND)))
    total: dict[tuple[str, str, int, int], Counter[str]] = {}
    for (prediction_id, role), served in answers.items():
        if role != "stable":
            continue
        (stable,) = served
        for shadow in answers.get((prediction_id, "shadow"), []):
            at = _microseconds(stable["startedAt"])
            key = stable["revision"], shadow["revision"], stable["traffic"], at // (WINDOW * SECOND) * WINDOW
            sums = total.setdefault(key, Counter())
            ys, yc = stable["response"]["value"]["delay"], shadow["response"]["value"]["delay"]
            slower = shadow["latencyUs"] - stable["latencyUs"]
            sums["n"] += 1
            sums["lat.n"] += 1
            sums["lat.d"] += slower
            sums["lat.dd"] += slower**2
            sums[f"{'slower' if slower >= 0 else 'faster'}:{_bucket(abs(slower), 16)}"] += 1
            sums["compared"] += 1
            sums["agree"] += (ys >= THRESHOLD) == (yc >= THRESHOLD)
            apart, was_clipped = _clipped(yc, ys)
            sums["y.clipped"] += was_clipped
            sums["y"] += apart
            sums["yy"] += apart**2
            sums["ya"] += abs(apart)
            known = outcomes.get(prediction_id, [])
            for which, usable in (("now", known), ("age", [one for one in known if one[2] <= at + AGE * SECOND])):
                if not usable:
                    continue
                happened = max(usable)[1]
                errors = {"c": _clipped(yc, happened), "s": _clipped(ys, happened)}
                for arm, (error, was_clipped) in errors.items():
                    sums[f"{which}.{arm}.n"] += 1
                    sums[f"{which}.{arm}.e"] += error
                    sums[f"{which}.{arm}.a"] += abs(error)
                    sums[f"{which}.{arm}.ee"] += error**2
                    sums[f"{which}.{arm}.eeee"] += error**4
                    sums[f"{which}.{arm}.clipped"] += was_clipped
                    sums[f"{which}.{arm}.h:{_bucket(abs(error), 32)}"] += 1
                both = abs(errors["c"][0] * errors["s"][0])
                sums[f"{which}.x.a"] += both
                sums[f"{which}.x.ee"] += both**2
    return {key: {name: value for name, value in sums.items() if value} for key, sums in total.items()}


def _fold(subject: str, data: dict[str, Any]) -> int:
    """The user's where one stays with an arm, else the id's: by the last byte of its hash."""
    if data.get("unit") is not None and data["role"] != "shadow":
        return int(data["unit"]) % FOLDS
    return hashlib.blake2b(f"{subject}\0{data['predictionId']}".encode(), digest_size=13).digest()[-1] % FOLDS


def _clipped(said: float, other: float) -> tuple[int, bool]:
    whole = round(Fraction((said - other) * UNIT))
    kept = max(-(2**31), min(2**31, whole))
    return kept, kept != whole


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
