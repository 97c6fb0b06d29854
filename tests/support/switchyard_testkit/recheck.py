"""The monitor held against the topic: what it says and stores, beside what `recompute.py` makes of the same events.

Only for a deployment whose traffic has ended: then both stand still.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

import httpx

from switchyard_testkit.faults import pod_of
from switchyard_testkit.install import NAMESPACE, Installation, run
from switchyard_testkit.topics import born, read_all
from switchyard_testkit.waiting import until

RECOMPUTE = Path(__file__).resolve().parents[1] / "recompute.py"
DATABASE = "/var/lib/switchyard/monitor.db"
READ_SUMS = """
import json, sqlite3, sys
database, subject = sys.argv[1:]
connection = sqlite3.connect(f"file:{database}?mode=ro", uri=True)
connection.execute("BEGIN")
def rows(query):
    cursor = connection.execute(query, (subject,))
    names = [column[0] for column in cursor.description]
    return [{**dict(zip(names, row)), "sums": json.loads(row[-1])} for row in cursor]
arms = "SELECT a.revision, a.role, a.traffic, a.weight_bp AS weightBp, a.assignment, c.start_us AS start, c.sums"
pairs = "SELECT p.stable, p.mirrored, p.traffic, c.start_us AS start, c.sums"
print(json.dumps({
    "cells": rows(f"{arms} FROM cell c JOIN arm a ON a.id = c.arm JOIN rule r ON r.id = a.rule WHERE r.subject = ?"),
    "days": rows(f"{arms} FROM day_cell c JOIN arm a ON a.id = c.arm JOIN rule r ON r.id = a.rule WHERE r.subject = ?"),
    "pairs": rows(
        f"{pairs} FROM pair_cell c JOIN pair p ON p.id = c.pair JOIN rule r ON r.id = p.rule WHERE r.subject = ?"
    ),
}))
"""
"""Reads the sums of one deployment straight from the file, with nothing but Python's own library."""


class Disagreement(AssertionError):
    """The monitor's numbers are not those of the topic; the message shows which."""


def ask(installation: Installation, path: str) -> Any:
    """One answer of the monitor's API."""
    headers = {"Authorization": f"Bearer {installation.monitor_token}"}
    return httpx.get(f"{installation.monitor}{path}", headers=headers, timeout=30).raise_for_status().json()


def books(installation: Installation, subject: str) -> dict[str, Any]:
    """The monitor's ledgers; empty while it does not answer."""
    try:
        found: dict[str, Any] = ask(installation, f"/v1/deployments/{subject}/ledger")
    except httpx.HTTPError:
        return {}
    return found


def events_of(installation: Installation, subjects: Collection[str]) -> dict[str, list[dict[str, Any]]]:
    """Every record of the topic that speaks of each deployment, once the monitor has read the topic to its end."""
    since = min(born(installation, subject) for subject in subjects)
    records = read_all(installation, "switchyard.events", since=since)
    ends: dict[int, int] = {}
    for record in records:
        ends[record["partition"]] = max(ends.get(record["partition"], 0), record["offset"] + 1)

    def all_read() -> bool:
        partitions = books(installation, next(iter(subjects))).get("partitions", [])
        read = {line["partition"]: line["nextOffset"] or 0 for line in partitions}
        return all(read.get(partition, 0) >= end for partition, end in ends.items())

    until(all_read, f"the monitor has read to {ends}", seconds=120)
    found: dict[str, list[dict[str, Any]]] = {subject: [] for subject in subjects}
    for record in records:
        value = record.get("value")
        subject = str(value.get("subject")) if isinstance(value, dict) else ""
        if subject in found:
            found[subject].append(record)
    return found


def agree(
    installation: Installation,
    subject: str,
    *,
    records: Sequence[Mapping[str, Any]],
    monitoring: Mapping[str, Any],
    folder: Path,
) -> str:
    """See that the monitor's ledgers close and its sums are those of the records; says how many numbers are equal."""
    ledgers = books(installation, subject)
    closed = [line["closes"] for line in ledgers["partitions"]]
    if not all(closed) or not ledgers["labels"]["closes"]:
        raise Disagreement(f"the monitor's ledgers do not close: {json.dumps(ledgers, indent=1)}")
    (folder / "events.jsonl").write_text("".join(json.dumps(record) + "\n" for record in records), encoding="utf-8")
    (folder / "monitoring.json").write_text(json.dumps(monitoring), encoding="utf-8")
    found = stored(installation, subject) | {
        key: ask(installation, f"/v1/deployments/{subject}/{path}")
        for key, path in (("counts", "counts"), ("quality", "quality"), ("pairCounts", "pairs"))
    }
    (folder / "found.json").write_text(json.dumps(found), encoding="utf-8")
    command = [sys.executable, "-I", str(RECOMPUTE), f"--events={folder / 'events.jsonl'}"]
    command += [f"--{name}={folder / name}.json" for name in ("monitoring", "found")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise Disagreement(f"{done.stdout}{done.stderr}")
    return done.stdout


def stored(installation: Installation, subject: str) -> dict[str, Any]:
    """The sums as they lie in the monitor's database."""
    pod = pod_of(installation, "monitor")
    arguments = ("-n", NAMESPACE, "exec", pod, "-c", "monitor", "--", "python", "-c", READ_SUMS, DATABASE, subject)
    found: dict[str, Any] = json.loads(run("kubectl", *arguments, kubeconfig=installation.kubeconfig))
    return found
