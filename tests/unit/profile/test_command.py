"""The command: a table goes in, a profile comes out, and a person reads what was understood, or what to change."""

from __future__ import annotations

import math
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path

import pyarrow
import pytest
from pyarrow import parquet
from switchyard_profile import files
from switchyard_profile.__main__ import main
from switchyard_profile.reference import Reference
from switchyard_profile.values import Type

CSV = """\
scheduled,carrier,distance,late,code,answer
2013-01-01T05:15:00Z,UA,1400,2,007,11.5
2013-01-01 05:29,UA,1416,,012,9
2013-01-02,"B6, Blue",1089,-4,007,8.25
"""


@pytest.fixture
def flights(tmp_path: Path) -> Path:
    path = tmp_path / "flights.csv"
    path.write_text(CSV)
    return path


def profiled(path: Path, *options: str) -> Reference:
    """What the command made of it."""
    out = path.with_suffix(".json")
    assert main([str(path), "--out", str(out), *options]) == 0
    return Reference.of_bytes(out.read_bytes())


def refused(path: Path, *options: str, capsys: pytest.CaptureFixture[str]) -> str:
    """What the command said instead."""
    out = path.with_suffix(".json")
    assert main([str(path), "--out", str(out), *options]) == 1
    assert not out.exists()
    return capsys.readouterr().err


def test_a_table_becomes_a_profile(flights: Path, capsys: pytest.CaptureFixture[str]) -> None:
    made = profiled(
        flights, "--time", "scheduled", "--prediction", "answer", "--type", "code=string", "--limit", "distance=0:5000"
    )
    features = {feature.name: feature for feature in made.features}
    assert (made.rows, made.window_seconds, len(made.starts)) == (3, 86_400, 2)
    assert sorted(features) == ["carrier", "code", "distance", "late", "prediction"]
    assert features["carrier"].binning.categories == ["UA", "B6, Blue"]
    assert features["code"].binning.categories == ["007", "012"]
    assert (features["late"].binning.type, features["late"].sums.missing) == (Type.NUMBER, 1)
    assert (features["distance"].binning.minimum, features["distance"].binning.maximum) == (0.0, 5000.0)
    said = capsys.readouterr().out
    assert f"3 rows, {made.digest}" in said
    assert "With 2 windows of its own instead of 20" in said


def test_only_and_drop_choose_columns(flights: Path) -> None:
    assert [one.name for one in profiled(flights, "--only", "late").features] == ["late"]
    dropped = profiled(flights, "--drop", "scheduled", "--drop", "late", "--drop", "answer")
    assert [one.name for one in dropped.features] == ["carrier", "code", "distance"]


def test_a_limit_may_have_one_side(flights: Path) -> None:
    (late,) = profiled(flights, "--only", "late", "--limit", "late=-60:").features
    assert (late.binning.minimum, late.binning.maximum) == (-60.0, None)


@pytest.mark.parametrize(
    ("text", "options", "says"),
    [
        pytest.param(
            "a\n1\n2\nN/A\n" + "3\n" * 40,
            [],
            "column 'a', row 3: 'N/A' is no number; write --missing 'N/A'",
            id="nearly",
        ),
        pytest.param("a\n1\nx\n", ["--type", "a=number"], "column 'a', row 2: 'x' is no number", id="declared"),
        pytest.param("a;b\n1;2\n", [], "--delimiter ';'", id="another delimiter"),
        pytest.param("a,a\n1,2\n", [], "two columns are named 'a'", id="a name twice"),
        pytest.param("a,b\n1\n", [], "line 2: there are 1 cells, the header names 2", id="a short line"),
        pytest.param('a\n"1\n', [], "RFC 4180", id="a quote that does not end"),
        pytest.param("", [], "the first line must name the columns", id="an empty file"),
        pytest.param("a,\n1,2\n", [], "column 2 has no name", id="a column without a name"),
        pytest.param(
            "a,t\n1,noon\n", ["--time", "t"], "column 't', row 1: 'noon' is no time; write ISO 8601", id="no time"
        ),
        pytest.param("a,t\n1,1357034400000\n", ["--time", "t"], "is no time", id="milliseconds"),
        pytest.param("a\n1\n", ["--time", "t"], "--time t: there is no such column; there are a", id="no such column"),
        pytest.param("a\n1\n", ["--drop", "a"], "no column is left", id="nothing left"),
        pytest.param("a\n1\n", ["--type", "a=colour"], "--type a=colour: write COLUMN=TYPE", id="no such type"),
        pytest.param("a\n1\n", ["--limit", "a=9:1"], "the first number must not be above", id="limits turned round"),
        pytest.param("a\n1\n", ["--limit", "a=low:1"], "write COLUMN=MIN:MAX", id="limits that are none"),
        pytest.param("a\n1\n", ["--window", "1y"], "--window 1y: '1y' is not a duration", id="no duration"),
        pytest.param("a\n1\n", ["--window", "5s"], "a window is at least a minute", id="a short window"),
    ],
)
def test_what_is_wrong_is_said_with_its_place_and_what_helps(
    text: str, options: list[str], says: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "table.csv"
    path.write_text(text)
    assert says in refused(path, *options, capsys=capsys)


def test_a_file_that_is_not_there_or_not_text(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "table.csv"
    assert "there is no such file" in refused(path, capsys=capsys)
    path.write_bytes(b"a\n\xff\n")
    assert "is not UTF-8" in refused(path, capsys=capsys)


def test_a_profile_that_cannot_be_written_is_an_error_of_one_line(
    flights: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([str(flights), "--out", str(flights.parent / "none" / "profile.json")]) == 1
    assert len(capsys.readouterr().err.splitlines()) == 1


@pytest.mark.parametrize(
    ("cells", "expected"),
    [
        pytest.param(["1", "", "2.5e3"], [1.0, None, 2500.0], id="numbers"),
        pytest.param(["True", "false", ""], [True, False, None], id="booleans"),
        pytest.param(["1", "one"], ["1", "one"], id="names, of which one is a figure"),
        pytest.param(["1_000", "x"], ["1_000", "x"], id="Python's own numbers are none"),
        pytest.param(["nan", "inf"], ["nan", "inf"], id="words are no numbers"),
    ],
)
def test_cells_become_values(cells: list[str], expected: list[object], tmp_path: Path) -> None:
    path = tmp_path / "table.csv"
    path.write_text("other,a\n" + "".join(f"x,{cell}\n" for cell in cells))
    assert files.read(path)["a"] == expected


def test_cells_that_mean_missing_are_told(tmp_path: Path) -> None:
    path = tmp_path / "table.csv"
    path.write_text("a\n1\nN/A\n")
    assert files.read(path, missing=["N/A"])["a"] == [1.0, None]


def test_parquet_is_read_with_the_types_it_has(tmp_path: Path) -> None:
    path = tmp_path / "table.parquet"
    table = pyarrow.table(
        {
            "scheduled": [datetime(2013, 1, 1, 5, 15, tzinfo=UTC), datetime(2013, 1, 2, tzinfo=UTC)],
            "carrier": pyarrow.array(["UA", "B6"]).dictionary_encode(),
            "fare": [Decimal("99.50"), None],
            "late": [2.0, math.nan],
            "held": [True, None],
        }
    )
    parquet.write_table(table, path)
    made = profiled(path, "--time", "scheduled", "--type", "carrier=string")
    features = {feature.name: feature for feature in made.features}
    assert made.starts == [1_356_998_400, 1_357_084_800]
    assert {name: feature.binning.type for name, feature in features.items()} == {
        "carrier": Type.STRING,
        "fare": Type.NUMBER,
        "held": Type.BOOLEAN,
        "late": Type.NUMBER,
    }
    assert features["fare"].binning.edges == [99.5]
    assert [features[name].sums.missing for name in ("fare", "late", "held")] == [1, 1, 1]


def test_a_column_of_lists_in_parquet_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "table.parquet"
    parquet.write_table(pyarrow.table({"a": [[1.0, 2.0]]}), path)
    assert "column 'a', row 1: [1.0, 2.0] is of the type list" in refused(path, capsys=capsys)


def test_what_is_no_parquet_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "table.parquet"
    path.write_bytes(b"a,b\n1,2\n")
    assert f"{path}: this is no Parquet file" in refused(path, capsys=capsys)
