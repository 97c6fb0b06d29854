"""A reference: the same rows make the same name, whatever their order; and what cannot be profiled is said."""

from __future__ import annotations

import hashlib
import json
import math
from typing import Any

import numpy as np
import pytest
from switchyard_profile.binning import Side
from switchyard_profile.bins import GROUPS
from switchyard_profile.errors import TableError, UnreadableProfile
from switchyard_profile.reference import Reference
from switchyard_profile.training import Limits, Options, reference
from switchyard_profile.values import Type

DAY = 86_400


def table(rows: int = 3000, *, seed: int = 2013) -> dict[str, list[Any]]:
    """Some flights."""
    chance = np.random.default_rng(seed)
    delay = np.round(chance.gamma(0.4, 30.0, rows) - 5.0)
    late: list[Any] = delay.tolist()
    late[7] = None
    return {
        "carrier": chance.choice(["UA", "B6", "EV", "DL"], rows, p=[0.5, 0.3, 0.15, 0.05]).tolist(),
        "distance": chance.integers(80, 3000, rows).tolist(),
        "late": late,
        "weekday": chance.integers(0, 7, rows).tolist(),
        "held": (chance.random(rows) < 0.1).tolist(),
        "remark": ["x" * int(length) + str(row) for row, length in enumerate(chance.integers(0, 30, rows))],
        "answer": (delay * 0.9).tolist(),
    }


TIMES = [row // 60 * DAY + row % 60 for row in range(3000)]
OPTIONS = Options(limits={"distance": Limits(0.0, 5000.0)}, prediction="answer")


def test_types_are_seen_from_the_values() -> None:
    made = reference(table(), options=OPTIONS)
    assert {feature.name: feature.binning.type for feature in made.features} == {
        "carrier": Type.STRING,
        "distance": Type.NUMBER,
        "held": Type.BOOLEAN,
        "late": Type.NUMBER,
        "remark": Type.TEXT,
        "weekday": Type.NUMBER,
        "prediction": Type.NUMBER,
    }
    assert [feature.name for feature in made.side(Side.Y)] == ["prediction"]


def test_the_order_of_rows_and_columns_makes_no_other_profile() -> None:
    columns = table()
    order = np.random.default_rng(1).permutation(len(TIMES)).tolist()
    shuffled = {name: [columns[name][row] for row in order] for name in reversed(columns)}
    again = reference(shuffled, times=[TIMES[row] for row in order], options=OPTIONS)
    assert again.to_bytes() == reference(columns, times=TIMES, options=OPTIONS).to_bytes()


def test_the_name_is_the_hash_of_the_file() -> None:
    made = reference(table(), times=TIMES, options=OPTIONS)
    assert made.digest == f"sha256:{hashlib.sha256(made.to_bytes()).hexdigest()}"
    assert reference(table(seed=1), times=TIMES, options=OPTIONS).digest != made.digest


def test_a_file_that_somebody_indented_has_the_same_name() -> None:
    made = reference(table(), times=TIMES, options=OPTIONS)
    read = Reference.of_bytes(json.dumps(json.loads(made.to_bytes()), indent=2).encode())
    assert read == made
    assert read.digest == made.digest


def test_its_windows_add_up_to_all_of_it() -> None:
    made = reference(table(), times=TIMES, options=OPTIONS)
    assert (made.window_seconds, made.starts) == (DAY, [day * DAY for day in range(50)])
    for feature in made.features:
        assert np.sum(feature.windows, axis=0).tolist() == feature.window(feature.sums)
        assert feature.group_count <= GROUPS


def test_numbers_have_about_fifty_edges_and_a_common_value_a_bin_to_itself() -> None:
    features = {feature.name: feature for feature in reference(table(), options=OPTIONS).features}
    assert 49 <= len(features["distance"].binning.edges) <= 51
    weekday = features["weekday"]
    assert weekday.binning.edges == [0.0, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0]
    assert weekday.sums.counts[0] == weekday.sums.counts[-2] == weekday.sums.counts[-1] == 0
    assert weekday.group_count == 7


def test_groups_hold_about_a_tenth_each() -> None:
    distance = next(feature for feature in reference(table()).features if feature.name == "distance")
    shares = np.array(distance.grouped(distance.sums)) / 3000
    assert distance.group_count == GROUPS
    assert np.all(np.abs(shares - 0.1) < 0.025)


def test_rarer_names_share_a_group_and_what_has_no_bin_stays_by_itself() -> None:
    letters = "abcdefghijklm"
    values = [letter for place, letter in enumerate(letters) for _ in range(100 - place)]
    (feature,) = reference({"letter": values}).features
    assert feature.groups == [0, 1, 2, 3, 4, 5, 6, 7, 8, 8, 8, 8, 8, 9]


def test_one_constant_is_a_profile_too() -> None:
    (feature,) = reference({"unit": [3, 3, 3]}).features
    assert feature.binning.edges == [3.0]
    assert feature.sums.counts == (0, 3, 0, 0)
    assert feature.binning.scale == 1.0


@pytest.mark.parametrize(
    ("columns", "options", "message"),
    [
        pytest.param(
            {"a": [1, "x"]}, Options(), r"column 'a' holds a number \(row 1: 1\) and a string", id="two types"
        ),
        pytest.param({"a": [None, math.nan]}, Options(), "column 'a' has no value in any row; .*--drop a", id="empty"),
        pytest.param({"a": [1, [2]]}, Options(), r"column 'a', row 2: \[2\] is of the type list", id="a list"),
        pytest.param({"a": [1, 2], "b": [1]}, Options(), "column 'b' has 1 rows", id="a short column"),
        pytest.param({"a": []}, Options(), "no rows", id="no rows"),
        pytest.param({}, Options(), "no column is left", id="no columns"),
        pytest.param({"a": [1, math.inf]}, Options(), "column 'a', row 2: inf is no number", id="infinite"),
        pytest.param({"a": [1]}, Options(types={"b": Type.TEXT}), "--type b: there is no such column", id="a misspelt"),
        pytest.param({"a": ["x"]}, Options(limits={"a": Limits(0)}), "only numbers have limits", id="limits of names"),
        pytest.param({"a": [1]}, Options(types={"a": Type.STRING}), "column 'a' has no string", id="not that type"),
        pytest.param({"prediction": [1]}, Options(), "this is the name of Y", id="the name of Y"),
        pytest.param({"a\0b": [1]}, Options(), "column 'a.x00b': a name has 1 to 256 characters", id="a NUL"),
        pytest.param({"a" * 257: [1]}, Options(), "a name has 1 to 256 characters", id="a name without end"),
    ],
)
def test_what_cannot_be_profiled_is_said(columns: dict[str, list[Any]], options: Options, message: str) -> None:
    with pytest.raises(TableError, match=message):
        reference(columns, options=options)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        pytest.param({"format": "switchyard.dev/profile.v2"}, "format", id="of a later release"),
        pytest.param({"rows": 0}, "rows", id="no rows"),
        pytest.param({"rows": 2999}, "3000 of 2999 rows", id="rows that were not counted"),
        pytest.param({"starts": [0]}, "there are 1 windows", id="windows that are not there"),
        pytest.param({"colour": "red"}, "colour", id="an unknown field"),
    ],
)
def test_a_profile_that_was_tampered_with_is_refused(change: dict[str, Any], message: str) -> None:
    body = json.loads(reference(table(), options=OPTIONS).to_bytes()) | change
    with pytest.raises(UnreadableProfile, match=message):
        Reference.of_bytes(json.dumps(body).encode())


@pytest.mark.parametrize(
    ("change", "message"),
    [
        pytest.param({"binning": {"name": "a\0b"}}, "features.0.binning.name", id="a name that databases refuse"),
        pytest.param({"sums": {"counts": [0, 0, 0, 3]}}, "a: no row has a value", id="nothing to be held against"),
        pytest.param({"sums": {"wrong": -1, "counts": [0, 4, 0, 0]}}, "a count is below zero", id="less than nothing"),
        pytest.param({"windows": [[2**63, 0, 0]]}, "features.0.windows", id="more than there can be"),
    ],
)
def test_a_feature_that_was_tampered_with_is_refused(change: dict[str, dict[str, Any] | Any], message: str) -> None:
    body = json.loads(reference({"a": [3, 3, 3]}, times=[0, 0, 0]).to_bytes())
    for field, value in change.items():
        body["features"][0][field] = body["features"][0][field] | value if isinstance(value, dict) else value
    with pytest.raises(UnreadableProfile, match=message):
        Reference.of_bytes(json.dumps(body).encode())


def test_what_is_no_json_is_refused() -> None:
    with pytest.raises(UnreadableProfile, match="the profile: "):
        Reference.of_bytes(b"carrier,distance\n")
