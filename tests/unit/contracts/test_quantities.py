"""Durations, percentages and thresholds, as people write them."""

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError
from switchyard_contracts.quantities import (
    BasisPoints,
    Duration,
    Threshold,
    format_duration,
    format_percent,
    parse_duration,
    parse_percent,
)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("90s", 90), ("10m", 600), ("24h", 86_400), ("7d", 604_800), ("250ms", 0.25), ("0s", 0), ("0d", 0)],
)
def test_a_duration_is_a_whole_number_and_a_unit(text, seconds):
    assert parse_duration(text) == timedelta(seconds=seconds)


@pytest.mark.parametrize("wrong", ["", "5", "s", "1.5h", "-1s", "1 h", "1w", "1h30m", "PT5M", "1234567s", 5, 5.0, None])
def test_what_is_no_duration_is_refused_with_a_remedy(wrong):
    with pytest.raises(ValueError, match=r"is not a duration; write a whole number and a unit, such as 90s"):
        parse_duration(wrong)


@given(st.integers(0, 999_999), st.sampled_from(["ms", "s", "m", "h", "d"]))
def test_a_duration_written_and_read_again_is_the_same(number, unit):
    value = parse_duration(f"{number}{unit}")
    assert parse_duration(format_duration(value)) == value


@pytest.mark.parametrize(
    ("text", "written"), [("60s", "1m"), ("90s", "90s"), ("24h", "1d"), ("1000ms", "1s"), ("0h", "0s")]
)
def test_a_duration_is_written_with_the_largest_unit_that_divides_it(text, written):
    assert TypeAdapter(Duration).dump_json(parse_duration(text)) == f'"{written}"'.encode()


@pytest.mark.parametrize(
    ("value", "basis_points"),
    [
        (5, 500),
        ("5%", 500),
        ("0.25%", 25),
        ("0.2%", 20),
        ("100%", 10_000),
        (100, 10_000),
        (0, 0),
        ("0.29%", 29),
        ("99.99%", 9999),
    ],
)
def test_a_percentage_becomes_basis_points_at_once(value, basis_points):
    assert parse_percent(value) == basis_points


@pytest.mark.parametrize("wrong", [-1, 101, 5.0, "5", "0.001%", "100.01%", "%", " 5%", "5 %", True, None])
def test_what_is_no_percentage_is_refused_with_a_remedy(wrong):
    with pytest.raises(
        ValueError, match=r"is not a percentage; write a whole number from 0 to 100, or a string such as"
    ):
        parse_percent(wrong)


@given(st.integers(0, 10_000))
def test_a_percentage_written_and_read_again_is_the_same(basis_points):
    assert parse_percent(format_percent(basis_points)) == basis_points
    assert TypeAdapter(BasisPoints).validate_json(TypeAdapter(BasisPoints).dump_json(BasisPoints(basis_points))) == (
        BasisPoints(basis_points)
    )


def test_a_share_of_a_percentage_is_a_number_from_0_to_1():
    assert BasisPoints(25).share == 0.0025


@pytest.mark.parametrize(
    ("text", "value", "unit"),
    [
        ("1%", 0.01, "%"),
        ("0.5%", 0.005, "%"),
        ("200ms", 0.2, "s"),
        ("1.5s", 1.5, "s"),
        ("40.5", 40.5, ""),
        (40, 40.0, ""),
    ],
)
def test_a_threshold_has_a_value_and_a_unit_and_keeps_its_spelling(text, value, unit):
    found = Threshold.parse(text)
    assert found.value == pytest.approx(value)
    assert found.unit == unit
    assert str(found) == str(text)


@pytest.mark.parametrize("wrong", ["", "-1%", "1 %", "1m", "half", -1, True, 0.5, "1e3", "1234567890"])
def test_what_is_no_threshold_is_refused_with_a_remedy(wrong):
    with pytest.raises(ValidationError, match="is not a threshold; write a number, a share such as"):
        TypeAdapter(Threshold).validate_python(wrong)
