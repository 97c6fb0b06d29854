"""How many tests ran, of each layer, from the JUnit reports. A skipped test counts as failed."""

from __future__ import annotations

import sys
from collections import Counter
from pathlib import Path
from xml.etree import ElementTree

LAYERS = ("unit", "contract", "browser", "cluster")


def count(report: Path) -> Counter[str]:
    """Tests, failures and skips of one report."""
    found: Counter[str] = Counter()
    for suite in ElementTree.parse(report).getroot().iter("testsuite"):
        found["tests"] += int(suite.get("tests", 0))
        found["failed"] += int(suite.get("failures", 0)) + int(suite.get("errors", 0))
        found["skipped"] += int(suite.get("skipped", 0))
    return found


def main(folder: str) -> int:
    """Print a line per layer; 1 when something failed, was skipped, or a layer has no test."""
    totals: Counter[str] = Counter()
    empty = []
    for layer in LAYERS:
        found = sum((count(path) for path in sorted(Path(folder).glob(f"{layer}*.xml"))), Counter[str]())
        print(f"{layer:<9} {found['tests']:5} tests ran, {found['failed']} failed, {found['skipped']} skipped")
        totals += found
        if not found["tests"]:
            empty.append(layer)
    if empty:
        print(f"no test of these layers ran: {', '.join(empty)}")
    failed = totals["failed"] + totals["skipped"] + len(empty)
    print(f"{totals['tests'] - totals['failed'] - totals['skipped']} passed, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
