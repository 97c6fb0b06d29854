"""From what gateways counted to sums, and to the verdict of a guard."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from switchyard_contracts.counted import Counted, CountedArm, CountedWindow, sums
from switchyard_contracts.judgement import Budget, Verdict
from switchyard_contracts.model_deployment import Metric
from switchyard_contracts.verdicts import judge_counted

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
OLD, NEW = "delay-a", "delay-b"
BUDGET = Budget(alpha_promote=0.05, alpha_guard=0.0125, alpha_rollback=0.0125)
ABSOLUTE = Metric.model_validate({"name": "e", "metric": "error_rate", "max": "1%", "minSamples": 50, "role": "guard"})
AGAINST_STABLE = Metric.model_validate(
    {"name": "e", "metric": "error_rate", "maxIncrease": "50%", "minSamples": 50, "role": "guard"}
)


def arm(weight: int, requests: int, failures: int = 0) -> CountedArm:
    return CountedArm(weight_bp=weight, requests=requests, failures=failures)


def window(*, old=(0, 0), new=(0, 0), weight=1_000, traffic=7, at=0) -> CountedWindow:
    """Requests and failures of both, `at` so many seconds after noon."""
    arms = {OLD: arm(10_000 - weight, *old), NEW: arm(weight, *new)}
    return CountedWindow(traffic=traffic, start=NOON + timedelta(seconds=at), arms=arms)


def gateway(*windows: CountedWindow) -> Counted:
    return Counted(node="g", windows=list(windows))


def summed(*gateways: Counted, traffic=(7,), since=None):
    return sums(gateways, revision=NEW, against=OLD, traffic=traffic, since=since)


def test_the_gateways_windows_of_one_start_become_one():
    found = summed(gateway(window(old=(90, 1), new=(10, 2))), gateway(window(old=(80, 0), new=(20, 3)), window(at=10)))
    assert [(item.start, item.traffic, item.probability) for item in found] == [
        (NOON, 7, 0.1),
        (NOON + timedelta(seconds=10), 7, 0.1),
    ]
    assert (found[0].candidate.n, found[0].candidate.failures) == (30, 5)
    assert (found[0].stable.n, found[0].stable.failures) == (170, 1)


def test_other_generations_and_other_lives_are_passed_over():
    counted = gateway(window(new=(5, 5), traffic=6), window(new=(5, 5)), window(new=(9, 1), at=60))
    found = summed(counted, since=NOON + timedelta(seconds=30))
    assert [(item.candidate.n, item.candidate.failures) for item in found] == [(9, 1)]


@pytest.mark.parametrize(
    ("arms", "probability"),
    [
        pytest.param({OLD: arm(9_500, 3)}, 0.05, id="only stable was asked"),
        pytest.param({NEW: arm(500, 3)}, 0.05, id="only the candidate was asked"),
        pytest.param({NEW: arm(10_000, 3)}, 1.0, id="the candidate has all of the traffic"),
        pytest.param({OLD: arm(10_000, 3)}, 0.0, id="stable has all of it"),
    ],
)
def test_the_candidates_probability_is_what_the_weights_say(arms, probability):
    (found,) = summed(gateway(CountedWindow(traffic=7, start=NOON, arms=arms)))
    assert found.probability == pytest.approx(probability)


def test_an_error_of_an_earlier_request_is_a_request_too_and_nothing_is_less_than_nought():
    found = summed(gateway(window(old=(5, -1), new=(1, 3))))
    assert (found[0].stable.n, found[0].stable.failures) == (5, 0)
    assert (found[0].candidate.n, found[0].candidate.failures) == (3, 3)


@pytest.mark.parametrize(
    ("metric", "windows", "verdict", "reason"),
    [
        pytest.param(ABSOLUTE, [], Verdict.NO_DATA, "NoRequests", id="nothing was counted"),
        pytest.param(
            ABSOLUTE, [window(old=(90, 0), new=(10, 5))], Verdict.FAIL, "LimitBroken", id="half of ten failed"
        ),
        pytest.param(
            ABSOLUTE,
            [window(old=(90, 0), new=(10, 5)), window(old=(900, 700), new=(50, 40), at=10)],
            Verdict.FAIL,
            "LimitBroken",
            id="an outage of both does not excuse what was before it",
        ),
        pytest.param(
            ABSOLUTE,
            [window(old=(900, 0), new=(100, 0)), window(old=(900, 700), new=(100, 80), at=10)],
            Verdict.PASS,
            "NothingAgainst",
            id="an outage of both is laid to neither",
        ),
        pytest.param(
            ABSOLUTE,
            [window(old=(900, 0), new=(400, 200))],
            Verdict.FAIL,
            "LimitBroken",
            id="a limit asks nothing of the split",
        ),
        pytest.param(
            AGAINST_STABLE,
            [window(old=(900, 2), new=(100, 20))],
            Verdict.FAIL,
            "WorseThanStable",
            id="most failures are the candidate's",
        ),
        pytest.param(
            AGAINST_STABLE,
            [window(old=(900, 18), new=(100, 2))],
            Verdict.PASS,
            "NothingAgainst",
            id="both fail alike",
        ),
        pytest.param(
            AGAINST_STABLE,
            [window(old=(900, 2), new=(400, 200))],
            Verdict.ERROR,
            "SRM",
            id="counts that do not fit the weights compare nothing",
        ),
    ],
)
def test_a_guard_is_judged_by_the_same_statistics(metric, windows, verdict, reason):
    found = judge_counted(metric, summed(gateway(*windows)), budget=BUDGET)
    assert (found.verdict, found.reason) == (verdict, reason)


counts = st.tuples(st.integers(0, 40), st.integers(-2, 40))


@given(st.lists(st.tuples(counts, counts, st.integers(0, 5)), max_size=20), st.integers(1, 4))
def test_whatever_was_counted_can_be_judged_and_it_does_not_matter_which_gateway_counted_it(rows, gateways):
    windows = [window(old=old, new=new, at=10 * at) for old, new, at in rows]
    spread = [gateway(*windows[number::gateways]) for number in range(gateways)]
    assert summed(*spread) == summed(gateway(*windows))
    for metric in (ABSOLUTE, AGAINST_STABLE):
        judge_counted(metric, summed(*spread), budget=BUDGET)
