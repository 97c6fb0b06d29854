"""What a part tells Prometheus, read as it reads it, held against its conventions and the README's table."""

from __future__ import annotations

import re
import urllib.request
from pathlib import Path

from prometheus_client.parser import text_string_to_metric_families

README = Path(__file__).resolve().parents[3] / "README.md"
SECTION = "## What to watch"
OURS = "switchyard_"
LIBRARYS = ("process_", "python_")
"""What the client library tells of every process."""
NAME = re.compile(r"[a-z][a-z0-9]*(_[a-z0-9]+)*")
NOT_BASE_UNITS = re.compile(
    r"_(ms|us|milliseconds|microseconds|minutes|hours|days|kb|mb|kilobytes|megabytes|bits|percent|bp|count|sum|bucket)$"
)
RESERVED_LABELS = {"job", "instance", "le", "quantile"}


def scrape(url: str) -> str:
    """What /metrics says."""
    with urllib.request.urlopen(url, timeout=10) as answer:
        text: str = answer.read().decode()
        return text


def families(text: str) -> dict[str, str]:
    """Names as one writes them in a query, and types: a counter's has its `_total`, an info's its `_info`."""
    found = {}
    for family in text_string_to_metric_families(text):
        kind = family.type
        name = family.name + ("_total" if kind == "counter" and not family.name.endswith("_total") else "")
        found[name] = kind
    return found


def breaches(text: str, *, prefix: str = OURS) -> list[str]:
    """What breaks Prometheus' conventions for names, units and labels; one sentence each."""
    found = []
    for family in text_string_to_metric_families(text):
        if family.name.startswith(LIBRARYS):
            continue
        where = f"{family.name} ({family.type})"
        if not family.name.startswith(prefix):
            found.append(f"{where} does not begin with {prefix}")
        if not NAME.fullmatch(family.name):
            found.append(f"{where} is not in lower snake case")
        if NOT_BASE_UNITS.search(family.name):
            found.append(f"{where} ends in no base unit, or in what a histogram's parts are called")
        if family.type == "unknown":
            found.append(f"{where} has no type")
        if prefix == OURS and len(family.documentation) < 10:
            found.append(f"{where} has no help")
        for sample in family.samples:
            if prefix == OURS and family.type == "gauge" and sample.name.endswith("_total"):
                found.append(f"{where} is no counter and ends in _total")
            if family.type in ("counter", "histogram") and sample.value < 0:
                found.append(f"{where} counts and is negative")
            if family.name.endswith("_ratio") and not 0 <= sample.value <= 1:
                found.append(f"{where} is a share and is {sample.value}")
            for label in sample.labels:
                if prefix == OURS and (not NAME.fullmatch(label) or (label in RESERVED_LABELS - {"le"})):
                    found.append(f"{where}: the label {label} is Prometheus' own, or not in lower snake case")
    if prefix == OURS:  # Envoy keeps _total for other things; and the parser adds it where it is missing
        counters = re.findall(r"^# TYPE (\S+) counter$", text, re.MULTILINE)
        found += [f"{name} is a counter and does not end in _total" for name in counters if not name.endswith("_total")]
    return sorted(set(found))


def ours(text: str) -> set[str]:
    """The names that are the part's own."""
    return {name for name in families(text) if not name.startswith(LIBRARYS)}


def documented(part: str, *, readme: Path = README) -> set[str]:
    """The names that the README's table gives a part, and those that it gives every part."""
    _, found, rest = readme.read_text(encoding="utf-8").partition(f"{SECTION}\n")
    if not found:
        raise ValueError(f"{readme} has no section {SECTION!r}")
    names: set[str] = set()
    for line in rest.split("\n## ", 1)[0].splitlines():
        cells = [cell.strip() for cell in line.strip().strip("|").split("|")]
        if line.startswith("|") and cells[0] in (part, "every part"):
            names |= set(re.findall(rf"`({OURS}[a-z0-9_]+)", cells[1]))
    return names
