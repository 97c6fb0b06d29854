"""Coverage: enough outcomes, and equally many in both arms."""

import pytest
from switchyard_contracts.coverage import objection
from switchyard_contracts.evidence import Coverage


def cover(judged: int, predictions: int) -> Coverage:
    return Coverage(predictions=predictions, judged=judged)


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
    found = objection(candidate=candidate, stable=stable, least=0.8)
    assert (found and found[0]) == reason


def test_it_says_which_arm_how_much_and_which_field():
    found = objection(candidate=cover(500, 1240), stable=cover(960, 1000), least=0.8)
    assert found is not None
    assert found[1] == (
        "only 40.32 % of 1,240 predictions of the candidate have an outcome at the age when they are judged;"
        " at least 80 % must (monitoring.outcome.minCoverage)"
    )
