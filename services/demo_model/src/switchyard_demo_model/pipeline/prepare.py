"""The training table and the fixed test table, and the digests by which a model names its data.

Split by time, as the model is used: it learns from the first six weeks of the year, is tested on the two that follow,
and the demo plays what comes after both. Only flights that landed have a delay to learn from.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from switchyard_demo_model.pipeline import flights, source
from switchyard_demo_model.serving.flight import Flight

TRAINING = ("2013-01-01", "2013-02-14")
TEST = ("2013-02-15", "2013-02-28")
FEATURES = ("carrier", "origin", "dest", "distance", "hour", "weekday", "departure_delay")
TARGET = "arrival_delay"


@dataclass(frozen=True, slots=True)
class Prepared:
    """Both tables, and where they came from."""

    training: pd.DataFrame
    test: pd.DataFrame
    source_digest: str
    training_times: Sequence[int]
    """When each flight of the training table was to leave, in seconds since 1970 as if New York were in UTC."""

    @property
    def training_digest(self) -> str:
        """SHA-256 of the training table as it is written."""
        return digest(self.training)

    @property
    def test_digest(self) -> str:
        """SHA-256 of the test table as it is written."""
        return digest(self.test)

    def digests(self) -> dict[str, str]:
        """The three by which the data are known."""
        return {"source": self.source_digest, "training": self.training_digest, "test": self.test_digest}


@dataclass(frozen=True, slots=True)
class Row:
    """One flight of a table and how late it landed."""

    flight: Flight
    arrival_delay: float


def prepare(path: Path) -> Prepared:
    """Cut both tables from the file."""
    table = flights.read(path)
    return Prepared(
        training=between(table, TRAINING),
        test=between(table, TEST),
        source_digest=source.digest(path),
        training_times=times(table, TRAINING),
    )


def between(table: pd.DataFrame, days: tuple[str, str]) -> pd.DataFrame:
    """The flights of these days that landed, with the features and the target alone."""
    return table.loc[_landed(table, days), [*FEATURES, TARGET]].reset_index(drop=True)


def times(table: pd.DataFrame, days: tuple[str, str]) -> list[int]:
    """When each of these flights was to leave, in seconds since 1970 as if New York were in UTC."""
    scheduled = table.loc[_landed(table, days), "scheduled"]
    found: list[int] = ((scheduled - pd.Timestamp(0)) // pd.Timedelta(seconds=1)).tolist()
    return found


def _landed(table: pd.DataFrame, days: tuple[str, str]) -> "pd.Series[bool]":
    first, last = days
    return table["date"].between(pd.Timestamp(first), pd.Timestamp(last)) & table[TARGET].notna()


def to_csv(table: pd.DataFrame) -> bytes:
    """The table as text: one way to write each number, so that the same rows are the same bytes."""
    return table.to_csv(index=False, lineterminator="\n").encode()


def digest(table: pd.DataFrame) -> str:
    """SHA-256 of that text."""
    return "sha256:" + hashlib.sha256(to_csv(table)).hexdigest()


def rows(table: pd.DataFrame) -> list[Row]:
    """The table as the questions a service would be asked."""
    records = table.astype(object).where(table.notna(), None).to_dict("records")
    return [
        Row(Flight.model_validate({name: record[name] for name in FEATURES}), float(record[TARGET]))
        for record in records
    ]


def describe(prepared: Prepared) -> dict[str, object]:
    """What a report says of the data."""
    return {
        "days": {"training": TRAINING, "test": TEST},
        "rows": {"training": len(prepared.training), "test": len(prepared.test)},
        "digests": prepared.digests(),
    }
