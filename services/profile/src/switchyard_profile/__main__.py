"""`switchyard-profile TABLE`: profile the rows that a model was trained on, for the monitor to compare with."""

from __future__ import annotations

import argparse
import math
import re
import sys
from collections.abc import Sequence
from pathlib import Path

from switchyard_contracts.quantities import format_duration, parse_duration

from switchyard_profile import files, training
from switchyard_profile.errors import ProfileError, TableError
from switchyard_profile.readings import Reading
from switchyard_profile.reference import Feature, Reference
from switchyard_profile.training import Limits, Options
from switchyard_profile.values import Type

FEW_WINDOWS = 20
"""With fewer windows of its own, the monitor shows drift against a reference and pages nobody."""


def main(arguments: Sequence[str] | None = None) -> int:
    """The console script's door; 1 where the table or an option cannot be used."""
    options = parser().parse_args(arguments)
    try:
        made = run(options)
        options.out.write_bytes(made.to_bytes())
    except (ProfileError, OSError) as error:
        sys.stderr.write(f"switchyard-profile: {error}\n")
        return 1
    sys.stdout.write(f"{report(made, options.out)}\n")
    return 0


def run(options: argparse.Namespace) -> Reference:
    """Read the table and profile it."""
    types, limits = dict(map(_type, options.type)), dict(map(_limit, options.limit))
    known = {**types, **({options.time: Type.STRING} if options.time else {})}
    table = files.read(options.table, missing=options.missing, types=known, delimiter=options.delimiter)
    times = None
    if options.time:
        _there(table, [options.time], "--time")
        times = files.seconds(options.time, table.pop(options.time))
    _there(table, options.only, "--only")
    _there(table, options.drop, "--drop")
    beside = {name for name in (options.prediction, options.outcome) if options.only and name}
    wanted = set(options.only) | beside
    kept = {
        name: values for name, values in table.items() if (not wanted or name in wanted) and name not in options.drop
    }
    return training.reference(
        kept,
        times=times,
        options=Options(
            types=types,
            limits=limits,
            prediction=options.prediction,
            window_seconds=_window(options.window),
            outcome=options.outcome,
            own=_importances(options.importance) if options.importance else {},
        ),
    )


def report(made: Reference, out: Path) -> str:
    """What a person should look over: each feature's type is seen from the values, and may be another than meant."""
    width = max(len(feature.name) for feature in made.features)
    weighed = any(feature.importance for feature in made.features)
    lines = [f"{'':{width}}  side  type     missing  bins" + ("            explains" if weighed else "")]
    lines += [_line(feature, made.rows, width) for feature in made.features]
    lines.append(f"{out}: {made.rows:,} rows, {made.digest}")
    count = len(made.starts)
    if count < FEW_WINDOWS:
        had = f"{count} windows" if count else "no times, so no windows,"
        lines.append(
            f"With {had} of its own instead of {FEW_WINDOWS}, nobody can say how much windows differ while nothing has"
            " changed: drift against this profile is shown as optimistic, and pages nobody."
            + ("" if count else " Name the column of times with --time.")
        )
    return "\n".join(lines)


def parser() -> argparse.ArgumentParser:
    """The command's options."""
    made = argparse.ArgumentParser(prog="switchyard-profile", description=__doc__)
    made.add_argument("table", type=Path, help="a CSV file with a header, or a Parquet file")
    made.add_argument("--out", type=Path, default=Path("profile.json"), help="where it goes (default: profile.json)")
    made.add_argument("--time", metavar="COLUMN", help="the column of times, by which rows are cut into windows")
    made.add_argument("--window", default="1d", metavar="DURATION", help="how long a window is (default: 1d)")
    made.add_argument("--prediction", metavar="COLUMN", help="the column that holds Y; all others are X")
    made.add_argument(
        "--outcome", metavar="COLUMN", help="the column of what then happened: no feature, and what these explain of it"
    )
    made.add_argument(
        "--importance", type=Path, metavar="FILE", help="your own: a CSV file with the columns feature and value"
    )
    made.add_argument("--only", action="append", default=[], metavar="COLUMN", help="only these (repeat)")
    made.add_argument("--drop", action="append", default=[], metavar="COLUMN", help="not this one (repeat)")
    made.add_argument(
        "--type",
        action="append",
        default=[],
        metavar="COLUMN=TYPE",
        help=f"what a column holds, where that cannot be seen: {', '.join(Type)} (repeat)",
    )
    made.add_argument(
        "--limit",
        action="append",
        default=[],
        metavar="COLUMN=MIN:MAX",
        help="numbers that may occur; either side may be left out (repeat)",
    )
    made.add_argument(
        "--missing", action="append", default=[], metavar="TEXT", help="a cell that means no value (repeat)"
    )
    made.add_argument("--delimiter", default=",", metavar="SIGN", help="between cells of CSV (default: a comma)")
    return made


def _line(feature: Feature, rows: int, width: int) -> str:
    binning, reading = feature.binning, Reading.of(feature.binning, feature.sums)
    held = f"{len(binning.edges)} edges" if binning.type.measured else f"{len(binning.categories)} categories"
    line = f"{binning.name:{width}}  {binning.side:4}  {binning.type:7}  {reading.missing / rows:6.1%}  {held}"
    told = feature.importance.to_json() if feature.importance else {}
    words = [f"{value:.1%} of the {of}" for of, value in told.items() if of != "own"]
    words += [f"{told['own']:g} as said"] if "own" in told else []
    return f"{line:{width + 39}}  {', '.join(words)}" if words else line


def _type(written: str) -> tuple[str, Type]:
    name, _, kind = written.rpartition("=")
    if not name or kind not in tuple(Type):
        raise TableError(f"--type {written}: write COLUMN=TYPE, where TYPE is one of {', '.join(Type)}")
    return name, Type(kind)


def _limit(written: str) -> tuple[str, Limits]:
    match = re.fullmatch(r"(?P<name>.+)=(?P<low>[^:=]*):(?P<high>[^:=]*)", written)
    try:
        if match is None:
            raise ValueError
        low, high = (float(match[side]) if match[side] else None for side in ("low", "high"))
    except ValueError:
        raise TableError(f"--limit {written}: write COLUMN=MIN:MAX, such as distance=0:5000 or distance=0:") from None
    if low is not None and high is not None and low > high:
        raise TableError(f"--limit {written}: the first number must not be above the second")
    return match["name"], Limits(low, high)


def _importances(path: Path) -> dict[str, float]:
    """One's own importances; their unit is one's own too."""
    table = files.read(path, types={"feature": Type.STRING, "value": Type.NUMBER})
    if set(table) != {"feature", "value"}:
        raise TableError(f"--importance {path}: it has the columns {', '.join(table)}; write feature and value")
    found: dict[str, float] = {}
    for row, (name, value) in enumerate(zip(table["feature"], table["value"], strict=True), start=1):
        if name is None or value is None or not 0 <= value < math.inf:
            said = "nothing" if value is None else f"{value:g}"
            raise TableError(f"--importance {path}, row {row}: {name}, {said}; write a feature and a number from 0 on")
        if name in found:
            raise TableError(f"--importance {path}, row {row}: {name} is there twice; take one of them out")
        found[name] = float(value)
    return found


def _window(written: str) -> int:
    try:
        length = parse_duration(written)
    except ValueError as error:
        raise TableError(f"--window {written}: {error}") from error
    if length.total_seconds() < 60:
        raise TableError(f"--window {format_duration(length)}: a window is at least a minute long; write 1h or 1d")
    return int(length.total_seconds())


def _there(table: files.Table, names: Sequence[str], option: str) -> None:
    for name in names:
        if name not in table:
            raise TableError(f"{option} {name}: there is no such column; there are {', '.join(table)}")


if __name__ == "__main__":
    sys.exit(main())
