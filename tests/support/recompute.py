"""The monitor's sums, computed once more from the topic, and compared number by number.

    python tests/support/recompute.py --events events.jsonl --monitoring monitoring.json --found found.json

A program of its own on pandas: it imports nothing of Switchyard's, so an error of ours is not repeated here.

- `events.jsonl`: the topic as any consumer reads it, a record a line: partition, offset, timestamp (milliseconds, the
  broker's), value. Of one deployment.
- `monitoring.json`: the `monitoring` block of its ModelDeployment: a regression, with or without decisions.
- `found.json`: what the monitor holds: `cells` and `pairs` of its database, and what its API answers to `/counts`,
  `/quality` and `/pairs`.

Whole numbers must be equal to the last bit; the API's means and roots, which are made of them, to twelve digits. It
ends with 1 and the differences where something is not so.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import math
import re
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

SECOND = 1_000_000
DAY = 86_400 * SECOND
UNIT = 2**20
CLIP = 2**31
TIME_PARTS, ERROR_PARTS = 16, 32
FOLDS = 32
ARM = ["revision", "role", "traffic", "weightBp", "assignment"]
PAIR = ["stable", "mirrored", "traffic"]
EPOCH = pd.Timestamp(0, tz="UTC")
Key = tuple[Any, ...]
Sums = dict[Key, dict[str, int]]
"""By the owner and the start of the window, each name's number."""
SHOWN = 40
"""Differences that are printed."""


@dataclass(frozen=True)
class Rules:
    """What the monitoring block says, in microseconds and steps."""

    window: int
    prediction: list[str]
    scale: int
    outcome: list[str]
    judged_after: int
    horizon: int
    decision: list[str] | None
    """None where nobody decides anything."""
    tolerance: float
    relative: bool
    threshold: float | None
    """Where decisions are yes or no: the prediction from which it says yes."""

    @classmethod
    def of(cls, block: Mapping[str, Any]) -> Rules:
        """Read the block as people write it."""
        if block["prediction"]["task"] != "regression":
            raise ValueError("monitoring: only a regression is computed here")
        outcome, decision = block["outcome"], block.get("decision")
        said = decision or {}
        threshold = said.get("threshold")
        return cls(
            window=span(block.get("window", "5m")),
            prediction=steps(block["prediction"].get("path", "$")),
            scale=block["prediction"].get("scale", 1),
            outcome=steps(outcome.get("path", "$")),
            judged_after=span(outcome["judgedAfter"]),
            horizon=span(outcome["horizon"]),
            decision=None if decision is None else steps(said.get("path", "$")),
            tolerance=amount(said.get("tolerance", 0)),
            relative=str(said.get("tolerance", 0)).endswith("%"),
            threshold=None if threshold is None else amount(threshold),
        )

    def agree(self, said: pd.Series, other: pd.Series) -> pd.Series:
        """Whether each is as good as the other: a decision and its prediction, which comes first and measures it."""
        reach = said.abs() * self.tolerance if self.relative else self.tolerance
        return (said - other).abs() <= reach


def span(written: str) -> int:
    """`90s` in microseconds."""
    units = {"ms": SECOND // 1000, "s": SECOND, "m": 60 * SECOND, "h": 3600 * SECOND, "d": DAY}
    return sum(int(number) * units[unit] for number, unit in re.findall(r"(\d+)(ms|s|m|h|d)", written))


def amount(written: str | int) -> float:
    """`12.5`, or `20%` as 0.2."""
    text = str(written)
    return float(text[:-1]) / 100 if text.endswith("%") else float(text)


def steps(path: str) -> list[str]:
    """The members that `$.a.b` names one after another."""
    return path.split(".")[1:]


def number(document: Any, path: Sequence[str]) -> float:
    """The number there, or NaN."""
    for step in path:
        document = document.get(step) if isinstance(document, dict) else None
    return math.nan if isinstance(document, bool) or not isinstance(document, int | float) else float(document)


def yes_or_no(document: Any, path: Sequence[str]) -> float:
    """1 or 0 for what is true or false there, or 1 or 0 itself; NaN for anything else."""
    for step in path:
        document = document.get(step) if isinstance(document, dict) else None
    known = isinstance(document, bool | int | float) and document in (0, 1)
    return float(document) if known else math.nan


def bucket(values: pd.Series, parts: int) -> pd.Series:
    """Equal parts of each octave; small numbers have a bucket each."""
    length = pd.Series(np.frexp(values.astype("float64"))[1], index=values.index)
    shift = (length - parts.bit_length()).clip(lower=0)
    return shift * parts + np.right_shift(values.astype("int64"), shift)


def fold(subject: str, data: Mapping[str, Any]) -> int:
    """The group of its user, where one stays with an arm; else that of its id, by the last byte of a hash."""
    of_user, by_id = data.get("unit"), data["predictionId"]
    stood_in = (data.get("answeredBy") or data["revision"]) != data["revision"]
    if of_user is not None and data["role"] in ("stable", "candidate") and not stood_in:
        return int(of_user) % FOLDS
    minted = re.fullmatch(r"[0-9]{13}-.{36}", by_id)
    return hashlib.blake2b(f"{subject}\0{by_id}".encode(), digest_size=7 if minted else 13).digest()[-1] % FOLDS


def microseconds(times: pd.Series) -> pd.Series:
    """ISO times in whole microseconds since 1970."""
    return (pd.to_datetime(times, format="ISO8601", utc=True) - EPOCH) // pd.Timedelta(microseconds=1)


# --- from the topic to tables -----------------------------------------------------------------------------------------


def once(records: Iterable[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """Each event once, in the order of the log; one that was sent again keeps its id and its partition."""
    seen: dict[str, Mapping[str, Any]] = {}
    for record in sorted(records, key=lambda record: (record["partition"], record["offset"])):
        seen.setdefault(record["value"]["id"], record)
    return list(seen.values())


def timely(frame: pd.DataFrame, most: int) -> pd.DataFrame:
    """Without what came too late; a time ahead of the broker's becomes the broker's."""
    kept = frame[frame["broker"] - frame["at"] <= most].copy()
    kept["at"] = kept["at"].where(kept["at"] <= kept["broker"] + 300 * SECOND, kept["broker"])
    return kept


def exchanges(records: Iterable[Mapping[str, Any]], rules: Rules) -> pd.DataFrame:
    """Every exchange, with what became of it."""
    rows = [
        {
            "event": record["value"]["id"],
            "broker": record["timestamp"] * 1000,
            "pid": data["predictionId"],
            "startedAt": data["startedAt"],
            **{name: data[name] for name in ARM},
            "fold": fold(record["value"]["subject"], data),
            "answeredBy": data.get("answeredBy") or data["revision"],
            "error": bool(data["error"]),
            "status": data["status"],
            "latency": data.get("latencyUs"),
            "x": json.dumps(data["request"].get("value"), sort_keys=True)
            if data["request"].get("complete", True)
            else None,
            "whole": data["response"].get("complete", True),
            "y": number(data["response"].get("value"), rules.prediction),
        }
        for record in records
        if record["value"]["type"] == "dev.switchyard.inference.v1" and (data := record["value"]["data"])
    ]
    if not rows:
        raise ValueError("the topic holds no exchange of this deployment")
    frame = pd.DataFrame(rows)
    frame["at"] = microseconds(frame.pop("startedAt"))
    frame["latency"] = pd.to_numeric(frame["latency"]).astype("Int64")
    frame = timely(frame, 7 * DAY)
    frame["start"] = frame["at"] - frame["at"] % rules.window
    frame["fate"] = list(fates(frame))
    return frame


def fates(frame: pd.DataFrame) -> Iterator[str]:
    """`predictions` for what made a Y, else why it made none."""
    first_x: dict[str, str] = {}
    answered: set[tuple[str, str, bool]] = set()
    rows: Iterable[Any] = frame.itertuples()
    for row in rows:
        known, shadow = first_x.get(row.pid), row.role == "shadow"
        me = row.pid, row.answeredBy, shadow
        if row.x is not None and known is not None and row.x != known:
            yield "conflicts"
        elif row.error or not 200 <= row.status < 300:
            yield ""
        elif shadow and row.answeredBy != row.revision:
            yield "failover"
        elif me in answered:
            yield "repeat"
        elif not row.whole or math.isnan(row.y):
            yield "unreadable"
        else:
            answered.add(me)
            if row.x is not None:
                first_x.setdefault(row.pid, row.x)
            yield "predictions"


def outcomes(records: Iterable[Mapping[str, Any]], rules: Rules) -> pd.DataFrame:
    """Every version of every X′, the one that holds last."""
    return labels(records, rules, kind="outcome", read=lambda value: number({"": value}, ["", *rules.outcome]))


def decisions(records: Iterable[Mapping[str, Any]], rules: Rules) -> pd.DataFrame:
    """Every version of every Y′, the one that holds last; none where the monitor is not told what they mean."""
    if rules.decision is None:
        return labels((), rules, kind="decision", read=lambda _: math.nan)
    path, read = ["", *rules.decision], number if rules.threshold is None else yes_or_no
    return labels(records, rules, kind="decision", read=lambda value: read({"": value}, path))


def labels(
    records: Iterable[Mapping[str, Any]], rules: Rules, *, kind: str, read: Callable[[Any], float]
) -> pd.DataFrame:
    """Every version of one kind of label that can be read and came in time, the one that holds last."""
    rows = [
        {
            "event": record["value"]["id"],
            "broker": record["timestamp"] * 1000,
            "pid": data["predictionId"],
            "said": data["at"],
            "version": data.get("revision", 0),
            "actor": data["actor"].get("kind", "human") if data.get("actor") else "unknown",
            "x": read(data["value"]),
        }
        for record in records
        if record["value"]["type"] == f"dev.switchyard.{kind}.v1" and (data := record["value"]["data"])
    ]
    frame = pd.DataFrame(rows, columns=["event", "broker", "pid", "said", "version", "actor", "x"])
    frame["at"] = microseconds(frame.pop("said")) if rows else pd.Series(dtype="int64")
    frame = timely(frame, rules.horizon)
    return frame[frame["x"].notna()].sort_values(["version", "at", "event"])


# --- from tables to sums ----------------------------------------------------------------------------------------------


class Ledger:
    """Sums by owner and window, gathered column by column."""

    def __init__(self, owner: Sequence[str]) -> None:
        self._by = [*owner, "start"]
        self.sums: Sums = {}

    def add(self, frame: pd.DataFrame, name: str, values: pd.Series | None = None) -> None:
        """Count the rows, or add up their values as Python's whole numbers, which have no end."""
        if frame.empty:
            return
        grouped = frame[self._by].assign(value=1 if values is None else values.astype("object"))
        for key, part in grouped.groupby(self._by, sort=False)["value"]:
            total = sum(int(value) for value in part.tolist())
            if total:
                self.sums.setdefault(key, {})[name] = self.sums.get(key, {}).get(name, 0) + total

    def spread(self, frame: pd.DataFrame, name: str, buckets: pd.Series) -> None:
        """Count the rows by bucket."""
        if frame.empty:
            return
        counted: Any = frame[self._by].assign(bucket=buckets).groupby([*self._by, "bucket"]).size()
        for (*key, index), count in counted.items():
            held = self.sums.setdefault(tuple(key), {})
            held[f"{name}:{index}"] = held.get(f"{name}:{index}", 0) + int(count)

    def judge(self, frame: pd.DataFrame, which: str, whole: pd.Series) -> pd.Series:
        """Add what judged predictions stand for; the errors as they are kept."""
        error = whole.clip(-CLIP, CLIP).astype("int64")
        size = error.abs()
        exact = size.astype("object")
        self.add(frame, f"{which}.n")
        self.add(frame[whole.abs() > CLIP], f"{which}.clipped")
        self.add(frame, f"{which}.e", error)
        self.add(frame, f"{which}.a", size)
        self.add(frame, f"{which}.ee", exact * exact)
        self.add(frame, f"{which}.eeee", exact * exact * exact * exact)
        self.spread(frame, f"{which}.h", bucket(size, ERROR_PARTS))
        return error


def parts(said: pd.Series, happened: pd.Series, scale: int) -> pd.Series:
    """Errors in whole parts of the scale, ties to even, as floats that are whole."""
    return ((said - happened) / scale * UNIT).round()


def judgements(predictions: pd.DataFrame, labels: pd.DataFrame, rules: Rules) -> dict[str, pd.DataFrame]:
    """Each prediction beside the X′ that holds now, and beside the one that held when it was judged."""
    heard = labels[["pid", "broker", "x"]].rename(columns={"broker": "heard", "x": "happened"})
    joined = predictions.merge(heard, on="pid", sort=False)
    known = joined[joined["heard"] <= joined["at"] + rules.judged_after]
    return {
        "now": joined.drop_duplicates("row", keep="last"),
        "age": known.drop_duplicates("row", keep="last"),
        "first": joined.sort_values("heard").drop_duplicates("row", keep="first"),
    }


def arm_sums(
    seen: pd.DataFrame, happened: pd.DataFrame, decided: pd.DataFrame, rules: Rules
) -> tuple[Sums, pd.DataFrame]:
    """The sums of every arm, and the predictions that were made."""
    ledger = Ledger(ARM)
    ledger.add(seen, "requests")
    ledger.add(seen[seen["error"]], "errors")
    ledger.add(seen[seen["latency"].isna()], "unmeasured")
    measured = seen[seen["latency"].notna()]
    ledger.spread(measured, "latency", bucket(measured["latency"].astype("int64").clip(lower=0), TIME_PARTS))
    for fate in ("conflicts", "unreadable"):
        ledger.add(seen[seen["fate"] == fate], fate)
    readable = ~seen["error"] & seen["status"].between(200, 299) & (seen["fate"] != "conflicts")
    ledger.add(seen[readable & (seen["answeredBy"] != seen["revision"])], "failover")

    made = seen[seen["fate"] == "predictions"].copy()
    stood_in = made["answeredBy"] != made["revision"]
    made.loc[stood_in, "role"] = "stable"
    made.loc[stood_in, "assignment"] = "retry"
    made["revision"] = made["answeredBy"]
    made["row"] = range(len(made))
    ledger.add(made, "predictions")
    judged = judgements(made, happened, rules)
    first = judged.pop("first")
    waited = (first["heard"] - first["at"]).clip(lower=0) // 1000
    ledger.spread(first, "delay", bucket(waited, TIME_PARTS))
    for which, frame in judged.items():
        error = ledger.judge(frame, which, parts(frame["y"], frame["happened"], rules.scale))
        if which == "age":
            by_fold(ledger, frame, error)
    follow(ledger, made, decided, happened, rules)
    return ledger.sums, made


def by_fold(ledger: Ledger, frame: pd.DataFrame, error: pd.Series) -> None:
    """What was judged once, by groups."""
    for number, part in frame.groupby("fold", sort=False):
        mine = error.loc[part.index]
        exact = mine.astype("object")
        ledger.add(part, f"age.n:{number}")
        ledger.add(part, f"age.e:{number}", mine)
        ledger.add(part, f"age.a:{number}", mine.abs())
        ledger.add(part, f"age.ee:{number}", exact * exact)


def follow(ledger: Ledger, made: pd.DataFrame, decided: pd.DataFrame, happened: pd.DataFrame, rules: Rules) -> None:
    """Count the predictions that people decided about, and those that they followed; all others they overrode."""
    held = decided.drop_duplicates("pid", keep="last")[["pid", "actor", "x"]].rename(columns={"x": "decided"})
    both = made.merge(held, on="pid", sort=False)
    if both.empty:
        return
    if rules.threshold is None:
        followed = rules.agree(both["y"], both["decided"])
    else:
        followed = (both["y"] >= rules.threshold) == (both["decided"] == 1)
    for actor in (None, *sorted(both["actor"].unique())):
        mine = both["actor"].notna() if actor is None else both["actor"] == actor
        suffix = "" if actor is None else f":{actor}"
        ledger.add(both[mine], f"dec.n{suffix}")
        ledger.add(both[mine & followed], f"dec.agree{suffix}")
    known = happened.drop_duplicates("pid", keep="last")[["pid", "x"]].rename(columns={"x": "happened"})
    compare(ledger, both.assign(followed=followed).merge(known, on="pid", sort=False), rules)


def compare(ledger: Ledger, known: pd.DataFrame, rules: Rules) -> None:
    """Count who was right, where it is known by now what happened."""
    if known.empty:
        return
    said, decided, came, followed = known["y"], known["decided"], known["happened"], known["followed"]
    if rules.threshold is None:
        right = rules.agree(came, said) if rules.relative else rules.agree(said, came)
        far, other = (said - came).abs(), (decided - came).abs()
        model, decider = far < other, other < far
    else:
        truth = came >= rules.threshold
        right = model = (said >= rules.threshold) == truth
        decider = (decided == 1) == truth
    found = {
        "same": followed,
        "both": followed & right,
        "differ": ~followed,
        "model": ~followed & model,
        "decider": ~followed & decider,
    }
    for actor in (None, *sorted(known["actor"].unique())):
        mine = known["actor"].notna() if actor is None else known["actor"] == actor
        for name, rows in found.items():
            ledger.add(known[mine & rows], f"who.{name}" + ("" if actor is None else f":{actor}"))


def pair_sums(made: pd.DataFrame, happened: pd.DataFrame, rules: Rules) -> Sums:
    """The sums of every pair: stable's prediction and a mirrored one of the same id."""
    columns = ["pid", "revision", "traffic", "at", "start", "y", "latency"]
    of_lot = (made["role"] == "stable") & made["assignment"].isin(["split", "sticky"])
    shadows = made[made["role"] == "shadow"][["pid", "revision", "at", "y", "latency"]]
    shadows = shadows.assign(row=range(len(shadows)))
    both = made[of_lot][columns].merge(shadows, on="pid", suffixes=("", "_shadow"), sort=False)
    both = both.assign(apart=(both["at"] - both["at_shadow"]).abs()).sort_values(["apart", "at"])
    both = both.drop_duplicates("row", keep="first").rename(
        columns={"revision": "stable", "revision_shadow": "mirrored"}
    )

    ledger = Ledger(PAIR)
    ledger.add(both, "n")
    timed = both[both["latency"].notna() & both["latency_shadow"].notna()]
    later = (timed["latency_shadow"].clip(0, DAY) - timed["latency"].clip(0, DAY)).astype("int64")
    ledger.add(timed, "lat.n")
    ledger.add(timed, "lat.d", later)
    ledger.add(timed, "lat.dd", later.astype("object") * later.astype("object"))
    ledger.spread(timed[later >= 0], "slower", bucket(later[later >= 0], TIME_PARTS))
    ledger.spread(timed[later < 0], "faster", bucket(-later[later < 0], TIME_PARTS))
    ledger.add(both, "compared")
    if rules.threshold is None:
        alike = rules.agree(both["y"], both["y_shadow"])
    else:
        alike = (both["y"] >= rules.threshold) == (both["y_shadow"] >= rules.threshold)
    ledger.add(both[alike], "agree")
    whole = parts(both["y_shadow"], both["y"], rules.scale)
    apart = whole.clip(-CLIP, CLIP).astype("int64").astype("object")
    ledger.add(both[whole.abs() > CLIP], "y.clipped")
    ledger.add(both, "y", apart)
    ledger.add(both, "yy", apart * apart)
    ledger.add(both, "ya", apart.abs())
    judged = judgements(both, happened, rules)
    for which in ("now", "age"):
        frame = judged[which]
        candidate = ledger.judge(frame, f"{which}.c", parts(frame["y_shadow"], frame["happened"], rules.scale))
        stable = ledger.judge(frame, f"{which}.s", parts(frame["y"], frame["happened"], rules.scale))
        crossed = candidate.abs().astype("object") * stable.abs().astype("object")
        ledger.add(frame, f"{which}.x.a", crossed)
        ledger.add(frame, f"{which}.x.ee", crossed * crossed)
    return ledger.sums


# --- comparing --------------------------------------------------------------------------------------------------------


class Comparison:
    """What was compared, and what differs."""

    def __init__(self) -> None:
        self.compared = 0
        self.differences: list[str] = []

    def whole(self, what: str, expected: int, found: int) -> None:
        """Whole numbers are equal or they are not."""
        self.compared += 1
        if expected != found:
            self.differences.append(f"{what}: from the topic {expected}, the monitor has {found}")

    def near(self, what: str, expected: float | None, found: float | None) -> None:
        """Means and roots, made of whole numbers."""
        self.compared += 1
        same = expected is None or found is None or math.isclose(expected, found, rel_tol=1e-12, abs_tol=1e-15)
        if (expected is None) != (found is None) or not same:
            self.differences.append(f"{what}: from the topic {expected}, the monitor says {found}")

    def sums(self, what: str, expected: Sums, found: Sums) -> None:
        """Every number of every window."""
        for key in sorted({*expected, *found}, key=str):
            mine, its = expected.get(key, {}), found.get(key, {})
            for name in sorted({*mine, *its}):
                self.whole(f"{what} {key} {name}", mine.get(name, 0), its.get(name, 0))


def held(cells: Iterable[Mapping[str, Any]], owner: Sequence[str]) -> Sums:
    """The monitor's rows, the partitions added up."""
    total: Sums = {}
    for cell in cells:
        sums = total.setdefault((*(cell[name] for name in owner), cell["start"]), {})
        for name, value in cell["sums"].items():
            sums[name] = sums.get(name, 0) + value
    return {key: {name: value for name, value in sums.items() if value} for key, sums in total.items()}


def merged(sums: Sums, wanted: Sequence[int]) -> Sums:
    """Added up over all but some places of the key."""
    total: Sums = {}
    for key, part in sums.items():
        into = total.setdefault(tuple(key[place] for place in wanted), {})
        for name, value in part.items():
            into[name] = into.get(name, 0) + value
    return total


def errors(sums: Mapping[str, int], which: str, rules: Rules) -> dict[str, float | None]:
    """RMSE, MAE and bias."""
    n, unit = sums.get(f"{which}.n", 0), rules.scale / UNIT
    if not n:
        return {"rmse": None, "mae": None, "bias": None}
    return {
        "rmse": math.sqrt(sums.get(f"{which}.ee", 0) * unit**2 / n),
        "mae": sums.get(f"{which}.a", 0) * unit / n,
        "bias": sums.get(f"{which}.e", 0) * unit / n,
    }


def compare_answers(seen: Comparison, arms: Sums, pairs: Sums, found: Mapping[str, Any], rules: Rules) -> None:
    """What the API says of the same sums."""
    by_arm = merged(arms, range(len(ARM)))
    told = {tuple(line[name] for name in ARM): line for line in found["counts"]}
    for key in sorted({*by_arm, *told}, key=str):
        for name in ("requests", "errors", "predictions", "unreadable", "failover", "conflicts", "unmeasured"):
            seen.whole(f"/counts {key} {name}", by_arm.get(key, {}).get(name, 0), told.get(key, {}).get(name, 0))
    by_role = merged(arms, (0, 1))
    shown = {(line["revision"], line["role"]): line for line in found["quality"]}
    for key in sorted({*by_role, *shown}):
        sums, line = by_role.get(key, {}), shown.get(key, {})
        for name, ours in (("predictions", "predictions"), ("judged", "age.n"), ("labelled", "now.n")):
            seen.whole(f"/quality {key} {name}", sums.get(ours, 0), line.get(name, 0))
        for name, which in (("atAge", "age"), ("latest", "now")):
            part = line.get(name, {})
            seen.whole(f"/quality {key} {name}.n", sums.get(f"{which}.n", 0), part.get("n", 0))
            seen.whole(f"/quality {key} {name}.clipped", sums.get(f"{which}.clipped", 0), part.get("clipped", 0))
            for measure, value in errors(sums, which, rules).items():
                seen.near(f"/quality {key} {name}.{measure}", value, part.get(measure))
        compare_decisions(seen, f"/quality {key}", sums, line)
    by_pair = merged(pairs, range(len(PAIR)))
    lines = {(line["against"], line["revision"], line["traffic"]): line for line in found["pairCounts"]}
    for key in sorted({*by_pair, *lines}):
        sums, line = by_pair.get(key, {}), lines.get(key, {})
        for name, ours in (("pairs", "n"), ("compared", "compared"), ("agreed", "agree"), ("latencyPairs", "lat.n")):
            seen.whole(f"/pairs {key} {name}", sums.get(ours, 0), line.get(name, 0))
        for name, which in (("atAge", "age"), ("latest", "now")):
            part = line.get(name, {})
            seen.whole(f"/pairs {key} {name}.n", sums.get(f"{which}.c.n", 0), part.get("n", 0))
            for prefix, arm in (("", "c"), ("stable_", "s")):
                for measure, value in errors(sums, f"{which}.{arm}", rules).items():
                    spelt = f"stable{measure.capitalize()}" if prefix else measure
                    seen.near(f"/pairs {key} {name}.{spelt}", value, part.get(spelt))


def compare_decisions(seen: Comparison, what: str, sums: Mapping[str, int], line: Mapping[str, Any]) -> None:
    """How many decisions followed a prediction, in all and by who decided."""
    by_actor = line.get("agreementByActor", {})
    mine = {name.partition(":")[2] for name in sums if name.startswith("dec.n:")}
    for actor in ("", *sorted({*mine, *by_actor})):
        suffix, said = (f":{actor}", by_actor.get(actor, {})) if actor else ("", line.get("agreement", {}))
        n, agreed = sums.get(f"dec.n{suffix}", 0), sums.get(f"dec.agree{suffix}", 0)
        seen.whole(f"{what} agreement{suffix}.n", n, said.get("n", 0))
        seen.whole(f"{what} agreement{suffix}.agreed", agreed, said.get("agreed", 0))
        seen.near(f"{what} agreement{suffix}.share", agreed / n if n else None, said.get("share"))
        right = line.get("rightByActor", {}).get(actor, {}) if actor else line.get("right", {})
        for name in ("same", "both", "differ", "model", "decider"):
            seen.whole(f"{what} right{suffix}.{name}", sums.get(f"who.{name}{suffix}", 0), right.get(name, 0))


def main(arguments: Sequence[str]) -> int:
    """The command line."""
    parser = argparse.ArgumentParser(description="Compute the monitor's sums from the topic, and compare.")
    for name in ("events", "monitoring", "found"):
        parser.add_argument(f"--{name}", type=Path, required=True)
    options = parser.parse_args(arguments)
    rules = Rules.of(json.loads(options.monitoring.read_text(encoding="utf-8")))
    found = json.loads(options.found.read_text(encoding="utf-8"))
    lines = options.events.read_text(encoding="utf-8").splitlines()
    records = once(json.loads(line) for line in lines)
    kinds = {record["value"]["type"].split(".")[2] for record in records}
    if foreign := kinds - {"inference", "decision", "outcome"}:
        raise ValueError(
            f"the topic holds {', '.join(sorted(foreign))}: only exchanges, decisions and outcomes are computed here"
        )
    happened = outcomes(records, rules)
    arms, made = arm_sums(exchanges(records, rules), happened, decisions(records, rules), rules)
    pairs = pair_sums(made, happened, rules)
    seen = Comparison()
    seen.sums("cell", arms, held(found["cells"], ARM))
    seen.sums("pair", pairs, held(found["pairs"], PAIR))
    compare_answers(seen, arms, pairs, found, rules)
    for line in seen.differences[:SHOWN]:
        print(line)
    if seen.differences:
        print(f"{len(seen.differences)} of {seen.compared} numbers differ")
        return 1
    exchanged = sum(sums.get("requests", 0) for sums in arms.values())
    judged = sum(sums.get("age.n", 0) for sums in arms.values())
    paired = sum(sums.get("n", 0) for sums in pairs.values())
    decided, followed = (sum(sums.get(f"dec.{name}", 0) for sums in arms.values()) for name in ("n", "agree"))
    said = f"{exchanged} exchanges, {judged} judged, {paired} pairs, {decided} decisions"
    print(f"{seen.compared} numbers are equal: {said}, {decided - followed} overrides")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
