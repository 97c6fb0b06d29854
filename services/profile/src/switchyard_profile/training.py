"""Training: a reference from a table of the rows that a model learned from, or from any rows that were good.

Only order statistics and whole numbers are taken of the values, so the same rows give the same bytes in any order and
on any machine. Where rows have a time they are cut into windows too, so that the monitor can tell how much windows
differ while nothing has changed.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from switchyard_profile import bins
from switchyard_profile.binning import MOST_NAME, PREDICTION, Binning, Side, is_name
from switchyard_profile.errors import TableError
from switchyard_profile.importance import Importance, Target, explained
from switchyard_profile.profile import FeatureSums
from switchyard_profile.reference import DAY_SECONDS, MOST_FEATURES, MOST_WINDOWS, Feature, Reference
from switchyard_profile.values import Floats, Numbers, Type, Whole, measure, names

SPANS = ((0.25, 0.75), (0.05, 0.95), (0.01, 0.99), (0.0, 1.0))
"""The scale is the first of these spans of quantiles that is wider than nothing."""

Columns = Mapping[str, Sequence[Any]]
"""Values as JSON knows them (None, bool, int, float, str), in one order of rows."""


@dataclass(frozen=True, slots=True)
class Limits:
    """Numbers that may occur."""

    minimum: float | None = None
    maximum: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """What the caller knows about the columns."""

    types: Mapping[str, Type] = field(default_factory=dict)
    """Where a type cannot be seen from the values."""
    limits: Mapping[str, Limits] = field(default_factory=dict)
    prediction: str | None = None
    """The column that holds Y; all others are X."""
    window_seconds: int = DAY_SECONDS
    outcome: str | None = None
    """The column that holds X′: it is no feature, and says how much of what happened each of these explains."""
    own: Mapping[str, float] = field(default_factory=dict)
    """How much features matter, as somebody said it."""


def reference(columns: Columns, *, times: Sequence[int] | None = None, options: Options | None = None) -> Reference:
    """Profile these columns; `times` are seconds since 1970, one a row. `TableError` says what cannot be profiled."""
    options = options or Options()
    rows = _rows(columns, times)
    _known(columns, options)
    starts, places = _windows(times, options.window_seconds)
    features = [
        _feature(name, values, places=places, options=options)
        for name, values in sorted(columns.items(), key=lambda column: (column[0] == options.prediction, column[0]))
        if name != options.outcome
    ]
    if not features:
        raise TableError(f"--outcome {options.outcome}: no other column is left to be profiled; give it some")
    features = _weighed(features, columns, options)
    return Reference(
        rows=rows, features=features, window_seconds=options.window_seconds if starts else None, starts=starts
    )


def type_of(name: str, values: Sequence[Any]) -> Type:
    """What a column holds; `TableError` where that cannot be told, or is several things."""
    seen: dict[Type, int] = {}
    for row, value in enumerate(values):
        if value is None or (isinstance(value, float) and math.isnan(value)):
            continue
        seen.setdefault(_kind(name, row, value), row)
    if not seen:
        raise TableError(f"column {name!r} has no value in any row; leave it out with --drop {name}")
    if len(seen) > 1:
        held = " and ".join(f"a {kind} (row {row + 1}: {values[row]!r})" for kind, row in seen.items())
        raise TableError(
            f"column {name!r} holds {held}; make them one type, or leave the column out with --drop {name}"
        )
    (kind,) = seen
    if kind is not Type.STRING:
        return kind
    present = [value for value in values if value is not None]
    distinct = len(set(present))
    return Type.TEXT if distinct > bins.MOST_NAMES and 2 * distinct > len(present) else Type.STRING


def _kind(name: str, row: int, value: Any) -> Type:
    if isinstance(value, bool):
        return Type.BOOLEAN
    if isinstance(value, int | float):
        return Type.NUMBER
    if isinstance(value, str):
        return Type.STRING
    raise TableError(
        f"column {name!r}, row {row + 1}: {value!r} is of the type {type(value).__name__}, and a profile has numbers,"
        f" strings and booleans only; take what matters out of it into a column of its own, or use --drop {name}"
    )


def _rows(columns: Columns, times: Sequence[int] | None) -> int:
    if not columns:
        raise TableError("no column is left to be profiled; name at least one, or drop fewer")
    if len(columns) > MOST_FEATURES:
        raise TableError(f"{len(columns)} columns are more than the {MOST_FEATURES} of a profile; use --only or --drop")
    lengths = {name: len(values) for name, values in columns.items()}
    rows = next(iter(lengths.values()))
    if rows == 0:
        raise TableError("the table has no rows; a profile needs those the model was trained on")
    for name, length in lengths.items():
        if length != rows:
            raise TableError(f"column {name!r} has {length} rows, others have {rows}; give every column all rows")
    if times is not None and len(times) != rows:
        raise TableError(f"there are {len(times)} times for {rows} rows; give every row its time")
    return rows


def _known(columns: Columns, options: Options) -> None:
    """Every name in the options is a column's."""
    named = {
        "--type": options.types,
        "--limit": options.limits,
        "--prediction": [options.prediction] if options.prediction else [],
        "--outcome": [options.outcome] if options.outcome else [],
        "--importance": options.own,
    }
    for option, wanted in named.items():
        for name in wanted:
            if name not in columns:
                raise TableError(f"{option} {name}: there is no such column; there are {', '.join(sorted(columns))}")
    if options.outcome and options.outcome == options.prediction:
        raise TableError(f"--outcome {options.outcome}: this is --prediction already; name the column of what happened")
    for option, column in (("--outcome", options.outcome), ("--prediction", options.prediction)):
        if column in options.own:
            raise TableError(f"--importance: {column} is the column of {option}, and no feature; take it out")
    for name in columns:
        if not is_name(name):
            raise TableError(
                f"column {name[:40]!r}: a name has 1 to {MOST_NAME} characters, none of them a NUL; rename it"
            )
    if PREDICTION in columns and options.prediction != PREDICTION:
        raise TableError(
            f"column {PREDICTION!r}: in a profile this is the name of Y; say --prediction {PREDICTION} if it is that,"
            " or rename the column"
        )


def _windows(times: Sequence[int] | None, seconds: int) -> tuple[list[int], list[Whole]]:
    """The start of each window, and the rows in it."""
    if times is None:
        return [], []
    at = np.asarray(times, dtype=np.int64)
    starts, window = np.unique(at - at % seconds, return_inverse=True)
    if len(starts) > MOST_WINDOWS:
        raise TableError(
            f"the rows lie in {len(starts)} windows, and a profile has at most {MOST_WINDOWS}; choose a longer --window"
        )
    order = np.argsort(window, kind="stable")
    return starts.tolist(), np.split(order, np.cumsum(np.bincount(window))[:-1])


def _feature(name: str, values: Sequence[Any], *, places: Sequence[Whole], options: Options) -> Feature:
    kind = options.types.get(name) or type_of(name, values)
    side = Side.Y if name == options.prediction else Side.X
    called = PREDICTION if side is Side.Y else name
    limits = options.limits.get(name, Limits())
    if kind is not Type.NUMBER and limits != Limits():
        raise TableError(f"--limit {name}: column {name!r} holds a {kind}, and only numbers have limits")
    if kind.measured:
        binning = _measured(name, called, measure(values, kind), kind=kind, side=side, limits=limits)
    else:
        named = names(values, kind)
        found = ["false", "true"] if kind is Type.BOOLEAN else bins.frequent_names(named.found)
        if not named.found:
            raise TableError(_nothing(name, kind))
        binning = Binning(name=called, side=side, type=kind, categories=found)
    sums = FeatureSums.of(binning, values)
    if sums.wrong:
        raise TableError(_wrong(name, values, kind, sums.wrong))
    counts = sums.counts[:-1]
    groups = bins.groups_of_numbers(counts) if kind.measured else bins.groups_of_names(len(counts) - 1)
    feature = Feature(binning=binning, groups=groups, sums=sums)
    windows = [feature.window(FeatureSums.of(binning, [values[row] for row in rows])) for rows in places]
    return feature.model_copy(update={"windows": windows})


def _weighed(features: Sequence[Feature], columns: Columns, options: Options) -> list[Feature]:
    """The features, with how much each matters."""
    targets = {}
    if options.prediction:
        targets["prediction"] = Target.of(features[-1].binning, columns[options.prediction])
    if options.outcome:
        values = columns[options.outcome]
        targets["outcome"] = Target.of(_feature(options.outcome, values, places=(), options=options).binning, values)
    found = []
    for feature in features:
        told: dict[str, float | None] = {}
        if feature.binning.side is Side.X:
            values = columns[feature.name]
            told = {name: explained(feature.binning, values, target) for name, target in targets.items()}
            told["own"] = options.own.get(feature.name)
        known = {name: value for name, value in told.items() if value is not None}
        found.append(feature.model_copy(update={"importance": Importance(**known)}) if known else feature)
    return found


def _measured(name: str, called: str, found: Numbers, *, kind: Type, side: Side, limits: Limits) -> Binning:
    if not len(found.found):
        raise TableError(_nothing(name, kind))
    return Binning(
        name=called,
        side=side,
        type=kind,
        edges=bins.quantile_edges(found.found),
        center=_quantile(found.found, 0.5),
        scale=_scale(found.found),
        minimum=limits.minimum,
        maximum=limits.maximum,
    )


def _scale(numbers: Floats) -> float:
    with np.errstate(over="ignore"):
        widths = [_quantile(numbers, high) - _quantile(numbers, low) for low, high in SPANS]
    return next((width for width in widths if 0.0 < width < math.inf), 1.0)


def _quantile(numbers: Floats, share: float) -> float:
    return float(np.quantile(numbers, share, method="inverted_cdf"))


def _nothing(name: str, kind: Type) -> str:
    return f"column {name!r} has no {kind} in any row; leave it out with --drop {name}, or give it another --type"


def _wrong(name: str, values: Sequence[Any], kind: Type, count: int) -> str:
    row = next(row for row, value in enumerate(values) if FeatureSums.of(_ANY[kind], [value]).wrong)
    value = values[row]
    return (
        f"column {name!r}, row {row + 1}: {value!r} is no {kind}, and {count} rows are like that; write --missing"
        f" {value!r} if it means that there is no value, or --type {name}=… for what the column holds"
    )


_ANY = {
    kind: Binning(name="any", type=kind, edges=[0.0])
    if kind.measured
    else Binning(name="any", type=kind, categories=["a"])
    for kind in Type
}
