"""What a deployment's rows take in the monitor's database, in words."""

from __future__ import annotations

from switchyard_contracts.model_deployment import ModelDeploymentSpec
from switchyard_contracts.quantities import format_duration
from switchyard_contracts.retention import FILE_BYTES, LABEL_BYTES, PREDICTION_BYTES, SERVER_TIMES, Storage

UNITS = ("B", "kB", "MB", "GB", "TB")


def sentence(spec: ModelDeploymentSpec, *, rate: float) -> str:
    """At so many requests a second: a day's rows, and all of them when the first ones go."""
    found = Storage.of(spec, rate)
    labels = f", {LABEL_BYTES} bytes a decision or outcome" if found.labels else ""
    text = (
        f"at {rate:g} requests a second the monitor keeps {size(found.daily)} of rows a day ({PREDICTION_BYTES} bytes a"
        f" prediction{labels}), and {size(found.whole)} in the {format_duration(found.kept)} that they stay (longer if"
        " monitor.retention.rows says so)"
    )
    if found.whole <= FILE_BYTES:
        return text
    there = f"name a PostgreSQL in monitor.database, where they take about {size(found.whole * SERVER_TIMES)}"
    return f"{text}; a SQLite file stops at {size(FILE_BYTES)}: {there}"


def size(count: float) -> str:
    """Bytes with three digits, in powers of a thousand, as disks are sold: `93.3 GB`."""
    for unit in UNITS:
        if count < 999.5 or unit == UNITS[-1]:
            break
        count /= 1000
    return f"{count:.3g} {unit}"
