"""`python -m switchyard_simulation [--short] [--seed N] [--processes N] [--only WORD]`: prints the table.

1 where a promise is broken.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Sequence

import numpy as np
from switchyard_demo_model.pipeline.source import source

from switchyard_simulation import drifting, running, splits, table
from switchyard_simulation.flights import replay
from switchyard_simulation.scenarios import INTERVALS, SCENARIOS

SEED = 2013
EXCESSES = 20


def main(arguments: Sequence[str]) -> int:
    """Simulate, print, and say whether every promise is kept."""
    options = parser().parse_args(arguments)
    began = time.monotonic()
    known = replay(source())
    _say(began, f"{len(known.hours):,} flights of {known.days} days, {len(known.answers)} models")
    broken, rows, group = 0, 0, ""
    print("\n".join(table.head(table.HEAD)))
    with running.pool(known, processes=options.processes) as run:
        for row, scenario in enumerate(SCENARIOS):
            if options.only not in f"{scenario.group}: {scenario.what}":
                continue
            if scenario.group != group:
                group = scenario.group
                print(table.group(group), flush=True)
            runs = running.wanted(scenario.runs, short=options.short)
            ends = [end for part in run(running.jobs_of("scenario", row, runs, seed=options.seed)) for end in part]
            tally = running.tally(scenario, ends)
            print(table.rollout(scenario, tally), flush=True)
            broken, rows = broken + tally.broken, rows + 1
            _say(began, f"{scenario.group}: {scenario.what}: {tally.verdict}")
        print("\n" + "\n".join(table.head(table.HEAD_OF_INTERVALS)))
        for row, interval in enumerate(INTERVALS):
            if options.only not in f"intervals: {interval.what}":
                continue
            runs = running.wanted(interval.runs, short=options.short)
            held = [one for part in run(running.jobs_of("interval", row, runs, seed=options.seed)) for one in part]
            covered = running.covered(interval, held)
            print(table.interval(interval, covered), flush=True)
            broken, rows = broken + covered.broken, rows + 1
            _say(began, f"{interval.what}: {covered.verdict}")
    if options.only in "drift":
        days = drifting.days_of(source())
        runs = running.wanted(drifting.RUNS, short=options.short)
        for head, lines in (
            (drifting.HEAD, drifting.calm(days, runs=runs, seed=options.seed)),
            (drifting.HEAD_OF_CHANGES, drifting.changed(days, runs=1, seed=options.seed)),
        ):
            print("\n" + "\n".join(table.head(head)))
            for line in lines:
                print(table.plain(line.cells), flush=True)
                broken, rows = broken + line.broken, rows + line.promised
        _say(began, "drift")
    excess = np.mean(
        [splits.excess(known, np.random.default_rng([options.seed, 2, run])) for run in range(EXCESSES)], axis=0
    )
    print(
        f"\nWith the weight rising within each day, the RMSE of one of two equal arms seems {excess[0]:+.1%} from the"
        f" other's when poured together, {excess[1]:+.1%} with weights apart (means of {EXCESSES} fortnights)."
    )
    print(f"{rows} rows in {time.monotonic() - began:.0f} s; promises broken: {broken}")
    return 1 if broken else 0


def parser() -> argparse.ArgumentParser:
    """The command's options."""
    made = argparse.ArgumentParser(prog="switchyard_simulation", description=__doc__)
    made.add_argument("--short", action="store_true", help="a tenth of the runs")
    made.add_argument("--seed", type=int, default=SEED)
    made.add_argument("--processes", type=int, default=os.cpu_count() or 1)
    made.add_argument("--only", default="", help="only rows whose name holds this")
    return made


def _say(began: float, sentence: str) -> None:
    print(f"{time.monotonic() - began:6.0f} s  {sentence}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
