"""Evidently's drift preset and river's detectors on the tables of `bench_drift`, which runs this in their environment.

    python tests/bench/beside_drift.py evidently|river TABLES

Each window is a line of JSON: the tool, rows, values, CPU seconds, and the columns that it says have drifted.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterator
from copy import deepcopy
from pathlib import Path
from typing import Any

LEARNT = 5000
"""Rows of the reference that a detector of river sees first, and that are not timed."""
SHARE = 0.5
"""Of a preset's columns; it only colours the summary."""

Columns = dict[str, list[Any]]


def evidently(learnt: Columns, windows: list[Columns]) -> Iterator[dict[str, Any]]:
    """The preset as its documentation has it, with all of its defaults."""
    import pandas as pd
    from evidently import DataDefinition, Dataset, Report
    from evidently.presets import DataDriftPreset

    numbers = [name for name, values in learnt.items() if isinstance(values[0], float)]
    names = [name for name in learnt if name not in numbers]
    definition = DataDefinition(numerical_columns=numbers, categorical_columns=names)
    before = Dataset.from_pandas(pd.DataFrame(learnt), data_definition=definition)
    for columns in windows:
        frame = pd.DataFrame(columns)
        began = time.process_time()
        now = Dataset.from_pandas(frame, data_definition=definition)
        found = Report([DataDriftPreset(drift_share=SHARE)]).run(now, before).dict()
        used = time.process_time() - began
        drifted = []
        for metric in found["metrics"]:
            config = metric["config"]
            if config["type"].endswith("ValueDrift"):
                is_distance = "p_value" not in config["method"]
                value = float(metric["value"])
                if value >= config["threshold"] if is_distance else value < config["threshold"]:
                    drifted.append(config["column"])
        yield {"tool": "Evidently, DataDriftPreset", "rows": len(frame), "values": frame.size} | {
            "seconds": used,
            "drifted": drifted,
        }


def river(learnt: Columns, windows: list[Columns]) -> Iterator[dict[str, Any]]:
    """Each detector on each column of numbers, with all of its defaults."""
    from river.drift import ADWIN, KSWIN, PageHinkley

    numbers = [name for name, values in learnt.items() if isinstance(values[0], float)]
    for kind in (ADWIN, KSWIN, PageHinkley):
        ready = {name: kind() for name in numbers}
        for name, detector in ready.items():
            for value in learnt[name][:LEARNT]:
                detector.update(value)
        for columns in windows:
            used, drifted = 0.0, []
            for name in numbers:
                detector, values, seen = deepcopy(ready[name]), columns[name], False
                began = time.process_time()
                for value in values:
                    detector.update(value)
                    seen |= detector.drift_detected
                used += time.process_time() - began
                if seen:
                    drifted.append(name)
            rows = len(values)
            yield {"tool": f"river, {kind.__name__}", "rows": rows, "values": rows * len(numbers)} | {
                "seconds": used,
                "drifted": drifted,
            }


def main(tool: str, tables: str) -> None:
    """Measure and print."""
    given = json.loads(Path(tables).read_text())
    for found in {"evidently": evidently, "river": river}[tool](given["reference"], given["windows"]):
        print(json.dumps(found), flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
