"""How many values a second and core drift is told of, beside Evidently's drift preset and river's detectors.

    python tests/bench/bench_drift.py --beside-python .venv-bench/bin/python [--rows 1000 10000 50000] [--rounds 3]
                                      [--report FILE]

The same tables for all: a reference of 50,000 rows over 25 days, and windows of 20 features, of which 15 are numbers
and 5 are names; in two features of the window something changed. The others have an environment of their own. Each
begins with what it is given in practice: the monitor with requests as JSON has them, of which it counts every window
once; Evidently with two data frames, both of which it reads for every answer; a detector of river with one number after
the other, so names are left out. CPU seconds of the process are counted, without reading the tables.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "support"))

import numpy as np
from switchyard_monitor.domain.drift import judge
from switchyard_monitor.domain.profiling import Bins, Watch
from switchyard_monitor.domain.usual import Yardstick
from switchyard_profile.profile import Profile
from switchyard_profile.reference import DAY_SECONDS
from switchyard_profile.training import reference

BESIDE = Path(__file__).with_name("beside_drift.py")
REFERENCE, DAYS = 50_000, 25
NUMBERS, NAMES = 15, 5
CHANGED = ("number0", "name0")
TARGET = 100.0
"""So many times the values a second of Evidently's preset."""
OURS, EVIDENTLY = "the monitor", "Evidently, DataDriftPreset"

Columns = dict[str, list[Any]]
Result = dict[str, Any]


def table(rows: int, *, seed: int, changed: bool) -> Columns:
    """Numbers of several shapes, and names of which some are rare; where something changed, by half a deviation."""
    chance = np.random.default_rng(seed)
    columns: Columns = {}
    for n in range(NUMBERS):
        numbers = (chance.normal(0, 1, rows), chance.gamma(2, 1, rows), chance.lognormal(0, 1, rows))[n % 3]
        columns[f"number{n}"] = (numbers + (0.5 if changed and f"number{n}" in CHANGED else 0)).tolist()
    names = np.array([f"carrier-{letter}" for letter in "abcdefghijkl"])
    for n in range(NAMES):
        weights = 0.7 ** np.arange(len(names))
        weights = weights[::-1] if changed and f"name{n}" in CHANGED else weights
        columns[f"name{n}"] = chance.choice(names, rows, p=weights / weights.sum()).tolist()
    return columns


def ours(learnt: Columns, windows: Mapping[int, Columns]) -> list[Result]:
    """What the monitor does: each row counted in the reference's bins, then the window judged."""
    times = [number * DAYS * DAY_SECONDS // REFERENCE for number in range(REFERENCE)]
    known = reference(learnt, times=times)
    watch, yardstick = Watch(Bins.of(known), {}), Yardstick(known)
    results = []
    for rows, columns in windows.items():
        requests = [dict(zip(columns, values, strict=True)) for values in zip(*columns.values(), strict=True)]
        began = time.process_time()
        profile = Profile.of(known.digest, known.binnings, watch.columns(requests, []), rows=rows)
        findings = judge(yardstick, profile, start=DAYS * DAY_SECONDS)
        used = time.process_time() - began
        drifted = sorted({finding.feature for finding in findings if finding.drifted})
        results.append({"tool": OURS, "rows": rows, "values": rows * len(columns), "seconds": used, "drifted": drifted})
    return results


def beside(python: Path, tables: Path) -> list[Result]:
    """What the others take, each in a process of its own."""
    found: list[Result] = []
    for tool in ("evidently", "river"):
        command = [python, "-W", "ignore", BESIDE, tool, tables]
        done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
        found += [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
    return found


def cell(values: Sequence[float]) -> str:
    """The median, and all of the spread."""
    text = f"{statistics.median(values):,.0f}"
    return text if len(values) == 1 else f"{text} ({min(values):,.0f}–{max(values):,.0f})"


def printed(rounds: Sequence[Sequence[Result]]) -> str:
    """The figures as people read them. A ratio is that of the same round."""
    lines = [
        f"{'values a second and core':30}{'rows':>8}{'median (spread)':>38}{'the monitor is':>18}"
        f"{'found':>8}{'cried':>7}"
    ]
    rates = [{(each["tool"], each["rows"]): each["values"] / each["seconds"] for each in results} for results in rounds]
    for each in rounds[0]:
        tool, rows = each["tool"], each["rows"]
        ratios = [found[OURS, rows] / found[tool, rows] for found in rates]
        drifted = set(each["drifted"])
        could = [name for name in CHANGED if tool in (OURS, EVIDENTLY) or name.startswith("number")]
        line = f"{tool:30}{rows:>8,}{cell([found[tool, rows] for found in rates]):>38}"
        line += f"{f'{statistics.median(ratios):,.1f} times':>18}" if tool != OURS else f"{'':18}"
        line += f"{f'{len(drifted & set(CHANGED))} of {len(could)}':>8}{len(drifted - set(CHANGED)):>7}"
        if tool == EVIDENTLY:
            line += f"   target ≥ {TARGET:g}   {'met' if statistics.median(ratios) >= TARGET else 'MISSED'}"
        lines.append(line)
    return "\n".join(lines)


def main() -> int:
    """Measure and print. A target that is missed is a line of the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--beside-python", type=Path, required=True, help="of the environment that has the others")
    parser.add_argument("--rows", type=int, nargs="+", default=[1000, 10_000, 50_000], help="of a window")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--report", type=Path)
    arguments = parser.parse_args()
    learnt = table(REFERENCE, seed=1, changed=False)
    windows = {rows: table(rows, seed=rows, changed=True) for rows in arguments.rows}
    rounds: list[list[Result]] = []
    with TemporaryDirectory(prefix="bench-drift-") as name:
        tables = Path(name) / "tables.json"
        tables.write_text(json.dumps({"reference": learnt, "windows": list(windows.values())}))
        for number in range(arguments.rounds):
            print(f"round {number + 1} of {arguments.rounds}", file=sys.stderr)
            rounds.append(ours(learnt, windows) + beside(arguments.beside_python, tables))
    print(printed(rounds))
    print("median (spread) of the rounds; found: of the features that changed, cried: of those that did not")
    if arguments.report:
        arguments.report.parent.mkdir(parents=True, exist_ok=True)
        arguments.report.write_text(json.dumps(rounds, indent=1))
    return 0


if __name__ == "__main__":
    sys.exit(main())
