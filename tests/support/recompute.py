"""The monitor's sums, computed once more from the topic, and compared number by number.

    python tests/support/recompute.py --events events.jsonl --monitoring monitoring.json --found found.json

A program of its own on pandas: it imports nothing of Switchyard's, so an error of ours is not repeated here.

- `events.jsonl`: the topic as any consumer reads it, a record a line: partition, offset, timestamp (milliseconds, the
  broker's), value, and headers where a CloudEvent has its attributes there. Of one deployment. A deletion lies in the
  partition of all that it erases, where a producer that keys by prediction id puts it.
- `monitoring.json`: the `monitoring` block of its ModelDeployment: a regression, or a classification where decisions
  are classes; with or without decisions, rows, scores, segments and a loss of one's own.
- `found.json`: what the monitor holds: `cells`, `days` and `pairs` of its database, and what its API answers to
  `/counts`, `/quality` and `/pairs`.

Whole numbers must be equal to the last bit; the API's means and roots, which are made of them, to twelve digits. It
ends with 1 and the differences where something is not so.
"""

from __future__ import annotations

import argparse
import base64
import hashlib
import json
import math
import re
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal, localcontext
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
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
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
    answers: list[str] | None
    """Where a request carries many rows: the list of their answers, and the one of the rows."""
    inputs: list[str] | None
    classes: list[str] | None = None
    """Where it is a classification: those that are told apart, which may be none."""
    positive: str | None = None
    score: list[str] | None = None
    segments: Sequence[Mapping[str, Any]] = ()
    loss: Any = None
    """What a prediction costs, as Python's own compiler reads it."""
    loss_scale: int = 1

    @classmethod
    def of(cls, block: Mapping[str, Any]) -> Rules:
        """Read the block as people write it."""
        said_of = block["prediction"]
        positive, classes = said_of.get("positive"), None
        if said_of["task"] == "classification":
            classes = said_of.get("classes") or ([positive] if positive else [])
            if (block.get("decision") or {}).get("threshold") is not None:
                raise ValueError("monitoring: decisions about classes by a threshold are not computed here")
        elif said_of["task"] != "regression":
            raise ValueError("monitoring: only a regression or a classification is computed here")
        outcome, decision = block["outcome"], block.get("decision")
        said = decision or {}
        threshold, rows = said.get("threshold"), block.get("rows", {})
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
            answers=steps(rows["response"]) if rows else None,
            inputs=steps(rows["request"]) if rows.get("request") else None,
            classes=classes,
            positive=positive,
            score=steps(said_of["score"]) if said_of.get("score") else None,
            segments=block.get("segments", ()),
            loss=compile(block["loss"]["expression"], "loss", "eval") if block.get("loss") else None,
            loss_scale=block["loss"].get("scale", 1) if block.get("loss") else 1,
        )

    def value(self, document: Any, path: Sequence[str]) -> Any:
        """A Y, or an X′: a number, or a class; NaN for neither."""
        return number(document, path) if self.classes is None else name(document, path)

    def sure(self, told: Any) -> int | None:
        """How sure an answer says it is, in parts of 2^-20."""
        p = math.nan if self.score is None else number(told, self.score)
        return max(0, min(UNIT, round(p * UNIT))) if -1e-6 <= p <= 1 + 1e-6 else None

    def cost(self, said: Any, happened: Any, sure: Any) -> int | None:
        """What a prediction cost, in parts of 2^-20 of the loss's scale; None where that is no number, or below 0."""
        if isinstance(said, str) != isinstance(happened, str):
            return None
        score = None if sure is None or pd.isna(sure) else float(sure) / UNIT
        names = {"prediction": said, "outcome": happened, "score": score}
        functions = {"abs": abs, "max": max, "min": min, "sqrt": math.sqrt, "__builtins__": {}}
        try:
            found = float(eval(self.loss, functions, names))
        except (ArithmeticError, TypeError, ValueError):
            return None
        if not math.isfinite(found) or found < 0:
            return None
        whole = found / self.loss_scale * UNIT
        return round(whole) if math.isfinite(whole) else CLIP + 1

    def parts_of(self, x: Any) -> list[int] | None:
        """In which part of each segment a row lies."""
        return [part_of(x, segment) for segment in self.segments] if self.segments else None

    def same(self, said: pd.Series, other: pd.Series) -> pd.Series:
        """Whether each is as good as the other: of classes only the same one is."""
        return self.agree(said, other) if self.classes is None else said == other

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
    """The members and places that `$.a[0].b` names one after another."""
    return re.findall(r"\w+", path)


def found(document: Any, path: Sequence[str]) -> Any:
    """What stands there; None for nothing."""
    for step in path:
        if isinstance(document, list):
            document = document[int(step)] if step.isdigit() and int(step) < len(document) else None
        else:
            document = document.get(step) if isinstance(document, dict) else None
    return document


def number(document: Any, path: Sequence[str]) -> float:
    """The number there, or NaN."""
    value = found(document, path)
    return math.nan if isinstance(value, bool) or not isinstance(value, int | float) else float(value)


def name(document: Any, path: Sequence[str]) -> Any:
    """The class there, 1 and 1.0 being the same, or NaN."""
    value = found(document, path)
    if isinstance(value, str):
        return math.nan if "\0" in value else value
    if isinstance(value, bool):
        return "true" if value else "false"
    if not isinstance(value, int | float) or not math.isfinite(value):
        return math.nan
    return str(int(value)) if value == int(value) else repr(float(value))


def nothing(value: Any) -> bool:
    """Whether a Y or X′ is none."""
    return isinstance(value, float) and math.isnan(value)


def part_of(x: Any, segment: Mapping[str, Any]) -> int:
    """0 for what is not there, then one part after another."""
    path = steps(segment["path"])
    if segment.get("edges"):
        at = number(x, path)
        return 0 if math.isnan(at) else 1 + sum(edge <= at for edge in segment["edges"])
    text = name(x, path)
    values = segment["values"]
    return 0 if nothing(text) else 1 + (values.index(text) if text in values else len(values))


def yes_or_no(document: Any, path: Sequence[str]) -> float:
    """1 or 0 for what is true or false there, or 1 or 0 itself; NaN for anything else."""
    value = found(document, path)
    known = isinstance(value, bool | int | float) and value in (0, 1)
    return float(value) if known else math.nan


def bucket(values: pd.Series, parts: int) -> pd.Series:
    """Equal parts of each octave; small numbers have a bucket each."""
    length = pd.Series(np.frexp(values.astype("float64"))[1], index=values.index)
    shift = (length - parts.bit_length()).clip(lower=0)
    return shift * parts + np.right_shift(values.astype("int64"), shift)


def fold(subject: str, pid: str, data: Mapping[str, Any]) -> int:
    """The group of its user, where one stays with an arm; else that of its id, by the last byte of a hash."""
    of_user = data.get("unit")
    stood_in = (data.get("answeredBy") or data["revision"]) != data["revision"]
    if of_user is not None and data["role"] in ("stable", "candidate") and not stood_in:
        return int(of_user) % FOLDS
    minted = re.fullmatch(r"[0-9]{13}-.{36}", pid)
    return hashlib.blake2b(f"{subject}\0{pid}".encode(), digest_size=7 if minted else 13).digest()[-1] % FOLDS


def microseconds(time: str) -> int:
    """An ISO time in whole microseconds since 1970."""
    return (datetime.fromisoformat(time) - EPOCH) // timedelta(microseconds=1)


# --- from the topic to tables -----------------------------------------------------------------------------------------

KSERVE = {"org.kubeflow.serving.inference.request": "input", "org.kubeflow.serving.inference.response": "prediction"}
ALONE = {"role": "stable", "traffic": 0, "weightBp": 10_000, "assignment": "split"}
"""What an X or Y that came alone is said to be, where it does not say."""


@dataclass(frozen=True)
class Event:
    """A record of the topic in plain words."""

    kind: str
    id: str
    subject: str
    pid: str
    row: int | None
    """None for all rows of a request."""
    at: int
    broker: int
    data: Mapping[str, Any]


def read(record: Mapping[str, Any]) -> Event:
    """One record, whichever form it has."""
    value, headers = record["value"], record.get("headers") or {}
    if "ce_type" in headers:
        value = {name.removeprefix("ce_"): text for name, text in headers.items()} | {"data": value}
    broker, kind = round(record["timestamp"] * 1000), value["type"]
    if kind in KSERVE:
        parts = (value["inferenceservicename"], value.get("component"), value.get("endpoint"))
        body = json.loads(base64.b64decode(value["data_base64"])) if "data_base64" in value else value["data"]
        data = ALONE | {"revision": "-".join(part for part in parts if part), "value": body}
        name = f"{value['id']} {value['time']}"  # callers choose ids, and may choose one twice
        subject, at = f"{value['namespace']}/{value['inferenceservicename']}", microseconds(value["time"])
        return Event(KSERVE[kind], name, subject, value["id"], None, at, broker, data)
    data, kind = value["data"], kind.split(".")[2]
    if kind in ("input", "prediction"):
        data = ALONE | data
    at = microseconds(data["startedAt"] if kind == "inference" else data["at"])
    row = None if kind in ("inference", "deletion") else data.get("row", 0)
    return Event(kind, value["id"], value["subject"], data["predictionId"], row, at, broker, data)


def accepted(records: Iterable[Mapping[str, Any]], rules: Rules) -> Iterator[Event]:
    """Each event once, in the order of the log: in time, and of predictions that nobody has had deleted before.

    One that was sent again keeps its id and its partition. A time ahead of the broker's becomes the broker's.
    """
    seen: set[tuple[str, str, str]] = set()
    erased: set[str] = set()
    for record in sorted(records, key=lambda record: (record["partition"], record["offset"])):
        event = read(record)
        me = event.kind, event.pid, event.id
        if me in seen:
            continue
        seen.add(me)
        if event.kind == "deletion":
            erased.add(event.pid)
            continue
        most = rules.horizon if event.kind in ("decision", "outcome") else 7 * DAY
        if event.broker - event.at > most or event.pid in erased:
            continue
        yield replace(event, at=event.broker) if event.at > event.broker + 300 * SECOND else event


@dataclass(frozen=True)
class Line:
    """One row of a request."""

    row: int
    x: str | None
    y: Any
    sure: int | None = None
    parts: list[int] | None = None


def rows_of(body: Any, path: list[str] | None) -> list[Any] | None:
    """The rows that a body carries."""
    items = None if path is None else found(body, path)
    return items if isinstance(items, list) else None


def lines(event: Event, rules: Rules) -> list[Line]:
    """The rows of an exchange, or of an X or a Y that came alone."""
    data = event.data
    if event.kind == "inference":
        known = data["request"].get("complete", True)
        asked, told = data["request"].get("value"), data["response"].get("value")
        both = True
    else:
        known, both = event.kind == "input", False
        asked, told = (data["value"], None) if known else (None, data["value"])
    if rules.answers is None or event.row is not None:
        x = json.dumps(asked, sort_keys=True) if known else None
        return [line_of(event.row or 0, x, told, asked, rules)]
    answers, inputs = rows_of(told, rules.answers), rows_of(asked, rules.inputs)
    given = inputs or [asked]
    xs = [json.dumps(item, sort_keys=True) for item in given] if known else [None]
    if event.kind == "input":
        return [line_of(row, x, None, its, rules) for row, (x, its) in enumerate(zip(xs, given, strict=True))]
    matched = answers is not None and not (
        both and known and rules.inputs is not None and (inputs is None or len(inputs) != len(answers))
    )
    if answers is None or not matched:
        return [Line(0, xs[0], math.nan)]
    many = len(answers) if not (inputs and known) else 1
    rows = zip(xs * many, given * many if known else [None] * len(answers), answers, strict=True)
    return [line_of(row, x, said, its, rules) for row, (x, its, said) in enumerate(rows)]


def line_of(row: int, x: str | None, said: Any, given: Any, rules: Rules) -> Line:
    """One row; where X is not known, no part of it is."""
    parts = None if x is None else rules.parts_of(given)
    return Line(row, x, rules.value(said, rules.prediction), rules.sure(said), parts)


@dataclass
class History:
    """What became of the topic."""

    seen: list[dict[str, Any]] = field(default_factory=list)
    """Exchanges, each once."""
    made: list[dict[str, Any]] = field(default_factory=list)
    """Ys, one for each row that has one."""
    notes: list[dict[str, Any]] = field(default_factory=list)
    """What else is counted, by the arm that it counts against."""
    labels: list[dict[str, Any]] = field(default_factory=list)
    """Every version of every Y′ and X′."""
    alone: dict[tuple[str, int], list[int]] = field(default_factory=dict)
    """The parts that Xs lay in which came alone."""

    @classmethod
    def of(cls, records: Iterable[Mapping[str, Any]], rules: Rules) -> History:
        """Read the whole log."""
        history = cls()
        first_x: dict[tuple[str, int], str] = {}
        given: set[tuple[str, int]] = set()
        answered: set[tuple[str, int, str, bool]] = set()
        for event in accepted(records, rules):
            if event.kind in ("decision", "outcome"):
                history._label(event, rules)
                continue
            data, found_lines = event.data, lines(event, rules)
            owner = {name: data[name] for name in ARM} | {"start": event.at - event.at % rules.window}
            if event.kind == "inference":
                latency = data.get("latencyUs")
                history.seen.append(owner | {"error": bool(data["error"]), "latency": latency})
            known = [(line.x, first_x.get((event.pid, line.row))) for line in found_lines]
            if any(x is not None and before is not None and x != before for x, before in known):
                history.notes.append(owner | {"name": "conflicts"})
            elif event.kind == "input":
                for line in found_lines:
                    if line.x is not None and (event.pid, line.row) not in given:
                        given.add((event.pid, line.row))
                        if line.parts is not None:
                            history.alone[event.pid, line.row] = line.parts
                        first_x.setdefault((event.pid, line.row), line.x)
            else:
                for line in history._answer(event, owner, found_lines, answered, many=rules.answers is not None):
                    if line.x is not None:
                        first_x.setdefault((event.pid, line.row), line.x)
        if not history.made:
            raise ValueError("the topic holds no prediction of this deployment")
        return history

    def _answer(
        self,
        event: Event,
        owner: dict[str, Any],
        answers: Sequence[Line],
        answered: set[tuple[str, int, str, bool]],
        *,
        many: bool,
    ) -> list[Line]:
        """The rows that make a Y."""
        data, exchange = event.data, event.kind == "inference"
        by, shadow = data.get("answeredBy") or data["revision"], data["role"] == "shadow"
        mine = dict(owner)
        if exchange:
            if data["error"] or not 200 <= data["status"] < 300:
                return []
            if by != data["revision"]:
                self.notes.append(owner | {"name": "failover"})
                if shadow:
                    return []
                mine |= {"revision": by, "role": "stable", "assignment": "retry"}
        fresh = [line for line in answers if (event.pid, line.row, by, shadow) not in answered]
        if answers and not fresh:
            return []
        mine_own = exchange and many and by == data["revision"]
        if exchange and not data["response"].get("complete", True):
            self.notes.append(owner | {"name": "unreadable"})
            if mine_own:
                self.notes.append(owner | {"name": "answered"})
            return []
        group = fold(event.subject, event.pid, data)
        good = [line for line in fresh if not nothing(line.y)]
        if exchange or good:  # an answer that came alone and holds nothing is no answer
            self.notes += [owner | {"name": "unreadable"}] * (len(fresh) - len(good))
        if mine_own and (good or not answers):
            self.notes.append(owner | {"name": "answered"})
        if mine_own and good:
            self.notes.append(owner | {"name": "squares", "times": len(good) ** 2})
        for line in good:
            answered.add((event.pid, line.row, by, shadow))
            latency = data.get("latencyUs") if line.row == 0 else None
            place = {"pid": event.pid, "row": line.row, "at": event.at, "fold": group}
            more = {"y": line.y, "latency": latency, "sure": line.sure, "parts": line.parts}
            self.made.append(mine | place | more)
        return good

    def _label(self, event: Event, rules: Rules) -> None:
        data = event.data
        if event.kind == "outcome":
            value = rules.value({"": data["value"]}, ["", *rules.outcome])
        elif rules.decision is None:
            return
        else:
            way = rules.value if rules.threshold is None else yes_or_no
            value = way({"": data["value"]}, ["", *rules.decision])
        if nothing(value):
            return
        actor = data["actor"].get("kind", "human") if data.get("actor") else "unknown"
        place = {"kind": event.kind, "pid": event.pid, "row": event.row, "broker": event.broker}
        rank = {"version": data.get("revision", 0), "at": event.at, "event": event.id}
        self.labels.append(place | rank | {"actor": actor, "x": value})

    def versions(self, kind: str) -> pd.DataFrame:
        """Every version of one kind of label, the one that holds last."""
        columns = ["kind", "pid", "row", "broker", "version", "at", "event", "actor", "x"]
        frame = pd.DataFrame(self.labels, columns=columns)
        frame = frame.astype({"pid": "str", "row": "int64", "broker": "int64", "at": "int64"})
        if not any(isinstance(label["x"], str) for label in self.labels):
            frame = frame.astype({"x": "float64"})
        return frame[frame["kind"] == kind].sort_values(["version", "at", "event"])


def table(rows: Sequence[Mapping[str, Any]], columns: Sequence[str]) -> pd.DataFrame:
    """Rows as a table that has its columns also where it is empty; latencies may be missing."""
    frame = pd.DataFrame(rows, columns=[*columns])
    if "latency" in columns:
        frame["latency"] = pd.to_numeric(frame["latency"]).astype("Int64")
    return frame


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

    def own(self, frame: pd.DataFrame, which: str, costs: pd.Series) -> pd.Series:
        """Add what predictions cost by one's own expression; as it is kept."""
        kept = costs.map(lambda cost: min(int(cost), CLIP)).astype("object")
        self.add(frame, f"{which}.n")
        self.add(frame[costs > CLIP], f"{which}.clipped")
        self.add(frame, f"{which}.a", kept)
        self.add(frame, f"{which}.ee", kept * kept)
        self.spread(frame, f"{which}.h", bucket(kept.astype("int64"), ERROR_PARTS))
        return kept

    def right(self, frame: pd.DataFrame, which: str, said: pd.Series) -> None:
        """Add what judged classes stand for."""
        self.add(frame, f"{which}.n")
        self.add(frame[said == frame["happened"]], f"{which}.right")


def parts(said: pd.Series, happened: pd.Series, scale: int) -> pd.Series:
    """Errors in whole parts of the scale, ties to even, as floats that are whole."""
    return ((said - happened) / scale * UNIT).round()


def judgements(predictions: pd.DataFrame, labels: pd.DataFrame, rules: Rules) -> dict[str, pd.DataFrame]:
    """Each prediction beside the X′ that holds now, and beside the one that held when it was judged."""
    heard = labels[["pid", "row", "broker", "x"]].rename(columns={"broker": "heard", "x": "happened"})
    joined = predictions.merge(heard, on=["pid", "row"], sort=False)
    known = joined[joined["heard"] <= joined["at"] + rules.judged_after]
    return {
        "now": joined.drop_duplicates("n", keep="last"),
        "age": known.drop_duplicates("n", keep="last"),
        "first": joined.sort_values("heard").drop_duplicates("n", keep="first"),
    }


def arm_sums(history: History, rules: Rules) -> tuple[Sums, pd.DataFrame]:
    """The sums of every arm, and the predictions that were made."""
    ledger = Ledger(ARM)
    owner = [*ARM, "start"]
    seen = table(history.seen, [*owner, "error", "latency"])
    ledger.add(seen, "requests")
    ledger.add(seen[seen["error"].astype(bool)], "errors")
    ledger.add(seen[seen["latency"].isna()], "unmeasured")
    measured = seen[seen["latency"].notna()]
    ledger.spread(measured, "latency", bucket(measured["latency"].astype("int64").clip(lower=0), TIME_PARTS))
    notes = table([{"times": 1} | note for note in history.notes], [*owner, "name", "times"])
    for name in sorted(notes["name"].unique()):
        mine = notes[notes["name"] == name]
        ledger.add(mine, name, mine["times"])

    made = table(history.made, [*owner, "pid", "row", "at", "fold", "y", "latency", "sure", "parts"])
    late = [history.alone.get((pid, row)) for pid, row in zip(made["pid"], made["row"], strict=True)]
    both = zip(made["parts"], late, strict=True)
    made["parts"] = pd.Series([own or other for own, other in both], index=made.index, dtype="object")
    made["n"] = range(len(made))
    ledger.add(made, "predictions")
    happened, decided = history.versions("outcome"), history.versions("decision")
    judged = judgements(made, happened, rules)
    first = judged.pop("first")
    waited = (first["heard"] - first["at"]).clip(lower=0) // 1000
    ledger.spread(first, "delay", bucket(waited, TIME_PARTS))
    for which, frame in judged.items():
        if rules.loss is not None:
            own_losses(ledger, frame, which, rules)
        if rules.classes is not None:
            ledger.right(frame, which, frame["y"])
            for group, part in frame.groupby("fold", sort=False) if which == "age" else ():
                ledger.add(part, f"age.n:{group}")
                ledger.add(part[part["y"] == part["happened"]], f"age.right:{group}")
            continue
        error = ledger.judge(frame, which, parts(frame["y"], frame["happened"], rules.scale))
        if which == "age":
            by_fold(ledger, frame, error)
    follow(ledger, made, decided, happened, rules)
    return ledger.sums, made


def own_losses(ledger: Ledger, frame: pd.DataFrame, which: str, rules: Rules) -> None:
    """What judged predictions cost, and how many cost nothing that can be told."""
    rows = zip(frame["y"], frame["happened"], frame["sure"], strict=True)
    costs = pd.Series([rules.cost(*row) for row in rows], index=frame.index, dtype="object")
    ledger.add(frame[costs.isna()], f"{which}.loss.none")
    told = ledger.own(frame[costs.notna()], f"{which}.loss", costs[costs.notna()])
    if which == "age":
        for number, part in frame[costs.notna()].groupby("fold", sort=False):
            ledger.add(part, f"age.loss.n:{number}")
            ledger.add(part, f"age.loss.a:{number}", told.loc[part.index])


def own_losses_of_pairs(ledger: Ledger, frame: pd.DataFrame, which: str, rules: Rules) -> None:
    """The same of both answers to a request, where both can be told."""
    came = frame["happened"]
    its = [rules.cost(*row) for row in zip(frame["y_shadow"], came, frame["sure_shadow"], strict=True)]
    stables = [rules.cost(*row) for row in zip(frame["y"], came, frame["sure"], strict=True)]
    costs = pd.DataFrame({"c": its, "s": stables}, index=frame.index, dtype="object")
    known = costs.notna().all(axis=1)
    ledger.add(frame[~known], f"{which}.x.none")
    both = [ledger.own(frame[known], f"{which}.{arm}.loss", costs[known][arm]) for arm in ("c", "s")]
    ledger.add(frame[known], f"{which}.x.loss", both[0] * both[1])


def day_sums(made: pd.DataFrame, happened: pd.DataFrame, rules: Rules) -> Sums:
    """The sums of every arm by the day of its predictions, judged once."""
    ledger = Ledger(ARM)
    made = made.assign(start=made["at"] - made["at"] % DAY)
    ledger.add(made, "predictions")
    frame = judgements(made, happened, rules)["age"]
    segment_sums(ledger, made, frame, rules)
    if rules.classes is not None:
        class_sums(ledger, made, frame, rules)
        return ledger.sums
    whole = parts(frame["y"], frame["happened"], rules.scale)
    error = whole.clip(-CLIP, CLIP).astype("int64").astype("object")
    ledger.add(frame, "age.n")
    ledger.add(frame[whole.abs() > CLIP], "age.clipped")
    ledger.add(frame, "age.e", error)
    ledger.add(frame, "age.a", error.abs())
    ledger.add(frame, "age.ee", error * error)
    return ledger.sums


def segment_sums(ledger: Ledger, made: pd.DataFrame, frame: pd.DataFrame, rules: Rules) -> None:
    """What lies in each part of each segment."""
    for place in range(len(rules.segments)):
        for part in range(64):

            def own(rows: pd.DataFrame, place: int = place, part: int = part) -> pd.DataFrame:
                return rows[[held is not None and held[place] == part for held in rows["parts"]]]

            name = str(64 * place + part)
            ledger.add(own(made), f"seg.all:{name}")
            mine = own(frame)
            ledger.add(mine, f"seg.n:{name}")
            if rules.classes is not None:
                ledger.add(mine[mine["y"] == mine["happened"]], f"seg.right:{name}")
                continue
            whole = parts(mine["y"], mine["happened"], rules.scale)
            error = whole.clip(-CLIP, CLIP).astype("int64").astype("object")
            ledger.add(mine, f"seg.e:{name}", error)
            ledger.add(mine, f"seg.ee:{name}", error * error)
            ledger.add(mine, f"seg.a:{name}", error.abs())


def class_sums(ledger: Ledger, made: pd.DataFrame, frame: pd.DataFrame, rules: Rules) -> None:
    """Classes that were taken for each other, what scores promise, and what came of it."""
    ledger.right(frame, "age", frame["y"])
    names = rules.classes or []

    def place(values: pd.Series) -> pd.Series:
        return values.map({name: at for at, name in enumerate(names)}).fillna(len(names)).astype("int64")

    if names:
        said, came, group = place(frame["y"]), place(frame["happened"]), frame["fold"].astype("int64") * 64
        ledger.spread(frame, "age.c", said * 64 + came)
        ledger.spread(frame, "age.said", group + said)
        ledger.spread(frame, "age.came", group + came)
        ledger.spread(frame[said == came], "age.tp", (group + said)[said == came])
    scored = made[made["sure"].notna()]
    ledger.add(scored, "est.n")
    ledger.add(scored, "est.p", scored["sure"])
    ledger.spread(scored, "est.s", bins(scored["sure"]))
    hits = scored[scored["y"] == rules.positive]
    ledger.add(hits, "est.said")
    ledger.add(hits, "est.hit", hits["sure"])
    judged = frame[frame["sure"].notna()]
    p = judged["sure"].astype("int64").astype("object")
    so = judged["happened"] == (judged["y"] if rules.positive is None else rules.positive)
    yes = judged["y"] == rules.positive if rules.positive is not None else so | True
    miss = so.astype("int64").astype("object") * UNIT - p
    steep, doubt = UNIT - 2 * p, p * (UNIT - p)
    least = doubt.map(lambda parts: max(parts, UNIT - 1))
    loss = pd.Series([bits(s if o else UNIT - s) for s, o in zip(p, so, strict=True)], index=judged.index, dtype=object)
    index, group = bins(judged["sure"]), judged["fold"].astype("int64")
    ledger.add(judged, "cal.n")
    ledger.add(judged[so], "cal.y")
    ledger.add(judged[yes == so], "cal.right")
    for name, values in (("p", p), ("pq", least), ("b", miss * miss), ("l", loss)):
        ledger.add(judged, f"cal.{name}", values)
    ledger.add(judged, "cal.z", miss * steep)
    ledger.add(judged, "cal.zz", steep * steep * least)
    if rules.positive is not None:
        ledger.add(judged[yes], "cal.said")
        ledger.add(judged[yes], "cal.hit", p[yes])
    for held, which in ((so, "1"), (~so, "0")):
        ledger.spread(judged[held], f"cal.s{which}", index[held])
        ledger.spread(judged[held], f"cal.f{which}", (group * 32 + index // 8)[held])
    tenth = (judged["sure"].astype("int64") * 10 // UNIT).clip(upper=9)
    for number in sorted(tenth.unique()):
        mine = tenth == number
        ledger.add(judged[mine], f"cal.g:{number}", miss[mine])
        ledger.add(judged[mine], f"cal.gq:{number}", doubt[mine])
    for number in sorted(group.unique()):
        mine = group == number
        ledger.add(judged[mine], f"cal.n:{number}")
        ledger.add(judged[mine], f"cal.b:{number}", (miss * miss)[mine])
        ledger.add(judged[mine], f"cal.l:{number}", loss[mine])


def bins(scores: pd.Series) -> pd.Series:
    """256, laid out from both ends."""
    scores = scores.astype("int64")
    low, high = scores // 256, (UNIT - scores - 1).clip(lower=0) // 256
    return bucket(low, TIME_PARTS).where(scores < UNIT // 2, 255 - bucket(high, TIME_PARTS))


def bits(score: int) -> int:
    """-log2 of a score, in parts of 2^-20."""
    score = max(1, score)
    with localcontext(prec=50):
        exact = (Decimal(score).ln() / Decimal(2).ln()) * UNIT
    whole = (score.bit_length() - 1) * UNIT
    return 20 * UNIT - (whole if score & (score - 1) == 0 else int(exact))


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
    latest = decided.drop_duplicates(["pid", "row"], keep="last")
    held = latest[["pid", "row", "actor", "x"]].rename(columns={"x": "decided"})
    both = made.merge(held, on=["pid", "row"], sort=False)
    if both.empty:
        return
    first = decided.groupby(["pid", "row"])["broker"].min()
    heard = both.merge(first.rename("heard").reset_index(), on=["pid", "row"], sort=False)
    ledger.spread(heard, "dec.delay", bucket((heard["heard"] - heard["at"]).clip(lower=0) // 1000, TIME_PARTS))
    if rules.threshold is None:
        followed = rules.same(both["y"], both["decided"])
    else:
        followed = (both["y"] >= rules.threshold) == (both["decided"] == 1)
    for actor in (None, *sorted(both["actor"].unique())):
        mine = both["actor"].notna() if actor is None else both["actor"] == actor
        suffix = "" if actor is None else f":{actor}"
        ledger.add(both[mine], f"dec.n{suffix}")
        ledger.add(both[mine & followed], f"dec.agree{suffix}")
    known = happened.drop_duplicates(["pid", "row"], keep="last")[["pid", "row", "x"]]
    known = known.rename(columns={"x": "happened"})
    compare(ledger, both.assign(followed=followed).merge(known, on=["pid", "row"], sort=False), rules)


def compare(ledger: Ledger, known: pd.DataFrame, rules: Rules) -> None:
    """Count who was right, where it is known by now what happened."""
    if known.empty:
        return
    said, decided, came, followed = known["y"], known["decided"], known["happened"], known["followed"]
    if rules.classes is not None:
        right = model = said == came
        decider = decided == came
    elif rules.threshold is None:
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
    columns = ["pid", "row", "revision", "traffic", "at", "start", "y", "latency", "sure"]
    of_lot = (made["role"] == "stable") & made["assignment"].isin(["split", "sticky"])
    shadows = made[made["role"] == "shadow"][["pid", "row", "revision", "at", "y", "latency", "n", "sure"]]
    both = made[of_lot][columns].merge(shadows, on=["pid", "row"], suffixes=("", "_shadow"), sort=False)
    both = both.assign(apart=(both["at"] - both["at_shadow"]).abs()).sort_values(["apart", "at"])
    both = both.drop_duplicates("n", keep="first").rename(columns={"revision": "stable", "revision_shadow": "mirrored"})

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
        alike = rules.same(both["y"], both["y_shadow"])
    else:
        alike = (both["y"] >= rules.threshold) == (both["y_shadow"] >= rules.threshold)
    ledger.add(both[alike], "agree")
    judged = judgements(both, happened, rules)
    for which in ("now", "age") if rules.loss is not None else ():
        own_losses_of_pairs(ledger, judged[which], which, rules)
    if rules.classes is not None:
        for which in ("now", "age"):
            frame = judged[which]
            ledger.right(frame, f"{which}.c", frame["y_shadow"])
            ledger.right(frame, f"{which}.s", frame["y"])
            right = (frame["y"] == frame["happened"]) & (frame["y_shadow"] == frame["happened"])
            ledger.add(frame[right], f"{which}.x.right")
        return ledger.sums
    whole = parts(both["y_shadow"], both["y"], rules.scale)
    apart = whole.clip(-CLIP, CLIP).astype("int64").astype("object")
    ledger.add(both[whole.abs() > CLIP], "y.clipped")
    ledger.add(both, "y", apart)
    ledger.add(both, "yy", apart * apart)
    ledger.add(both, "ya", apart.abs())
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
    """RMSE, MAE and bias, or the accuracy; and the mean of one's own loss."""
    own = sums.get(f"{which}.loss.n", 0)
    mean = sums.get(f"{which}.loss.a", 0) * (rules.loss_scale / UNIT) / own if own else None
    return usual_errors(sums, which, rules) | {"loss": mean}


def usual_errors(sums: Mapping[str, int], which: str, rules: Rules) -> dict[str, float | None]:
    """Those that need no expression."""
    n, unit = sums.get(f"{which}.n", 0), rules.scale / UNIT
    if rules.classes is not None:
        return {"accuracy": sums.get(f"{which}.right", 0) / n if n else None}
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
            for name_of, ours in (("lossN", "n"), ("lossNone", "none"), ("lossClipped", "clipped")):
                there = sums.get(f"{which}.loss.{ours}", 0)
                seen.whole(f"/quality {key} {name}.{name_of}", there, part.get(name_of, 0))
            for measure, value in errors(sums, which, rules).items():
                seen.near(f"/quality {key} {name}.{measure}", value, part.get(measure))
        n, all_of_them = sums.get("dec.n", 0), sums.get("predictions", 0)
        seen.near(
            f"/quality {key} coverage of decisions",
            n / all_of_them if all_of_them else None,
            line.get("decisionCoverage"),
        )
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
                for measure, value in usual_errors(sums, f"{which}.{arm}", rules).items():
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
    told = json.loads(options.found.read_text(encoding="utf-8"))
    records = [json.loads(line) for line in options.events.read_text(encoding="utf-8").splitlines()]
    history = History.of(records, rules)
    arms, made = arm_sums(history, rules)
    days = day_sums(made, history.versions("outcome"), rules)
    pairs = pair_sums(made, history.versions("outcome"), rules)
    seen = Comparison()
    seen.sums("cell", arms, held(told["cells"], ARM))
    seen.sums("day", days, held(told["days"], ARM))
    seen.sums("pair", pairs, held(told["pairs"], PAIR))
    compare_answers(seen, arms, pairs, told, rules)
    for line in seen.differences[:SHOWN]:
        print(line)
    if seen.differences:
        print(f"{len(seen.differences)} of {seen.compared} numbers differ")
        return 1
    exchanged, said = (sum(sums.get(name, 0) for sums in arms.values()) for name in ("requests", "predictions"))
    judged = sum(sums.get("age.n", 0) for sums in arms.values())
    paired = sum(sums.get("n", 0) for sums in pairs.values())
    decided, followed = (sum(sums.get(f"dec.{name}", 0) for sums in arms.values()) for name in ("n", "agree"))
    counted = f"{exchanged} exchanges, {said} predictions, {judged} judged, {paired} pairs, {decided} decisions"
    print(f"{seen.compared} numbers are equal: {counted}, {decided - followed} overrides")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
