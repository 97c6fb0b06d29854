"""Coverage: enough outcomes, and equally many in both arms."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from switchyard_contracts.coverage import difference, objection
from switchyard_contracts.evidence import ArmSums, Coverage, WindowSums
from switchyard_testkit.sums import window


def cover(judged: int, predictions: int) -> Coverage:
    return Coverage(predictions=predictions, judged=judged)


def hour(index: int, *, candidate: Coverage, stable: Coverage) -> WindowSums:
    arms = (ArmSums(n=each.judged, predictions=each.predictions) for each in (candidate, stable))
    return window(index, candidate=next(arms), stable=next(arms))


def objected(*hours: tuple[Coverage, Coverage]) -> tuple[str, str] | None:
    """The objection to hours of (the candidate's, stable's) coverage."""
    arms = [
        cover(sum(one.judged for one in arm), sum(one.predictions for one in arm)) for arm in zip(*hours, strict=True)
    ]
    windows = [hour(index, candidate=one, stable=other) for index, (one, other) in enumerate(hours)]
    return objection(candidate=arms[0], stable=arms[1], windows=windows, least=0.8)


@pytest.mark.parametrize(
    ("candidate", "stable", "reason"),
    [
        pytest.param(cover(970, 1000), cover(960, 1000), None, id="both well covered"),
        pytest.param(cover(800, 1000), cover(800, 1000), None, id="exactly the least"),
        pytest.param(cover(0, 0), cover(960, 1000), "NothingMature", id="no prediction is old enough"),
        pytest.param(cover(960, 1000), cover(0, 0), "NothingMature", id="none of stable's is old enough"),
        pytest.param(cover(799, 1000), cover(960, 1000), "LowCoverage", id="the candidate's outcomes are missing"),
        pytest.param(cover(960, 1000), cover(799, 1000), "LowCoverage", id="stable's outcomes are missing"),
        pytest.param(cover(850, 1000), cover(960, 1000), "UnevenCoverage", id="one arm loses more than the other"),
        pytest.param(cover(17, 20), cover(960, 1000), None, id="a gap that twenty predictions may show by chance"),
        pytest.param(cover(950_000, 1_000_000), cover(960_000, 1_000_000), None, id="a sure gap that is too small"),
    ],
)
def test_objection(candidate, stable, reason):
    found = objected((candidate, stable))
    assert (found and found[0]) == reason


def test_what_was_lost_while_stable_had_most_of_the_traffic_says_nothing_of_the_arms():
    """In the first hour a fifth of all outcomes was lost, and stable had three quarters of the traffic."""
    assert objected((cover(800, 1000), cover(2400, 3000)), (cover(3000, 3000), cover(3000, 3000))) is None


def test_arms_that_lost_as_much_in_sum_but_not_where_they_met_differ():
    """In sum both lost a tenth; stable lost its share in an hour that the candidate had no part in."""
    found = objected((cover(1800, 2000), cover(2000, 2000)), (cover(0, 0), cover(700, 1000)))
    assert found is not None
    assert found[0] == "UnevenCoverage"


@given(st.lists(st.tuples(st.integers(0, 20), st.integers(1, 200), st.integers(1, 200)), min_size=1, max_size=20))
def test_arms_that_lose_the_same_share_in_every_window_never_differ(hours):
    windows = [
        hour(index, candidate=cover(judged * ours, 20 * ours), stable=cover(judged * theirs, 20 * theirs))
        for index, (judged, ours, theirs) in enumerate(hours)
    ]
    gap, _ = difference(windows)
    assert gap == pytest.approx(0.0, abs=1e-12)


def test_it_says_which_arm_how_much_and_which_field():
    found = objected((cover(500, 1240), cover(960, 1000)))
    assert found is not None
    assert found[1] == (
        "only 40.32 % of 1,240 predictions of the candidate have an outcome at the age when they are judged;"
        " at least 80 % must (monitoring.outcome.minCoverage)"
    )


def test_it_says_of_which_arm_more_is_missing():
    found = objected((cover(850, 1000), cover(960, 1000)))
    assert found is not None
    assert found[1] == (
        "of stable's predictions 11 % more have an outcome than of the candidate's in the same windows: what is missing"
        " may not be missing by chance"
    )
