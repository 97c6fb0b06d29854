"""The strata score: against a plain sum over single requests, and its laws."""

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from switchyard_contracts.unpaired import EVEN, FIRST_LOOK, Losses, Row, Score, looks, planned_variance
from switchyard_testkit.sums import NOON

LOSS = st.floats(0, 100).map(lambda value: round(value, 3))
REQUEST = st.tuples(st.integers(0, 4), st.sampled_from([0.05, 0.25, 0.5]), st.booleans(), LOSS)
"""(window, probability, answered by the candidate, loss)."""
REQUESTS = st.lists(REQUEST, min_size=1, max_size=60)
KAPPA = st.sampled_from([0.9, 1.0, 1.05, 1.1025])


def losses(values) -> Losses:
    values = list(values)
    return Losses(len(values), sum(values), sum(value * value for value in values))


def rows(requests) -> list[Row]:
    """One row per (window, probability)."""
    return [
        Row(
            NOON + timedelta(seconds=5 * at),
            p,
            candidate=losses(loss for w, q, mine, loss in requests if (w, q, mine) == (at, p, True)),
            stable=losses(loss for w, q, mine, loss in requests if (w, q, mine) == (at, p, False)),
        )
        for at, p in sorted({(w, q) for w, q, _, _ in requests})
    ]


def last(found, kappa) -> Score:
    return list(looks(found, kappa=kappa))[-1]


def judged(p, *, before, now) -> float:
    """How likely a judged request was the candidate's."""

    def sums(found) -> tuple[float, float]:
        return sum(1 - q for _, q, whose, _ in found if whose), sum(q for _, q, whose, _ in found if not whose)

    (mine, other), (earlier, others) = sums(now), sums(before)
    even = ((earlier + EVEN) / (others + EVEN)) ** 0.5
    odds = (mine + EVEN * even) / (other + EVEN / even)
    return p * odds / (p * odds + 1 - p)


@given(REQUESTS, KAPPA)
def test_sums_say_the_same_as_every_single_request(requests, kappa):
    scores = []
    for at, p, mine, loss in requests:
        earlier = [value for w, _, _, value in requests if w < at]
        m = sum(earlier) / len(earlier) if earlier else 0.0
        a = 1.0 if mine else 0.0
        p = judged(p, before=[one for one in requests if one[0] < at], now=[one for one in requests if one[0] == at])
        phi = (m + a * (loss - m) / p) - kappa * (m + (1 - a) * (loss - m) / (1 - p))
        scores.append(p * (1 - p) * phi)
    score = last(rows(requests), kappa)
    assert score.total == pytest.approx(sum(scores), rel=1e-9, abs=1e-6)
    variance = sum(x * x for x in scores) - sum(scores) ** 2 / len(scores)
    assert score.variance == pytest.approx(max(0.0, variance), rel=1e-6, abs=1e-4)
    assert score.weight == pytest.approx(sum(p * (1 - p) for _, p, _, _ in requests), rel=1e-2)
    assert score.n == len(requests)


@given(REQUESTS, KAPPA, st.randoms(use_true_random=False))
def test_how_a_window_is_cut_into_rows_and_in_what_order_they_come_changes_nothing(requests, kappa, random):
    cut = [row for request in requests for row in rows([request])]
    random.shuffle(cut)
    whole, pieces = last(rows(requests), kappa), last(cut, kappa)
    for field in ("total", "squares", "weight", "candidate", "stable", "losses"):
        assert getattr(pieces, field) == pytest.approx(getattr(whole, field), rel=1e-9, abs=1e-6)


@given(REQUESTS, KAPPA)
def test_when_the_arms_change_places_the_score_changes_sign(requests, kappa):
    mirrored = [(w, 1 - p, not mine, loss) for w, p, mine, loss in requests]
    there, back = last(rows(requests), kappa), last(rows(mirrored), 1 / kappa)
    assert back.total == pytest.approx(-there.total / kappa, rel=1e-9, abs=1e-6)
    assert back.variance == pytest.approx(there.variance / kappa**2, rel=1e-6, abs=1e-4)


@given(REQUESTS, KAPPA, LOSS)
def test_a_worse_candidate_never_scores_better(requests, kappa, more):
    worse = [(w, p, mine, loss + more if mine else loss) for w, p, mine, loss in requests]
    first_window = {w for w, *_ in requests} == {requests[0][0]}
    if first_window:  # later windows take their m from the losses, which moves both sums
        assert last(rows(worse), kappa).total >= last(rows(requests), kappa).total - 1e-9


def test_a_window_takes_its_mean_from_earlier_ones_only():
    calm = Row(NOON, 0.5, losses([2.0] * 10), losses([2.0] * 10))
    wild = Row(NOON + timedelta(seconds=5), 0.5, losses([9.0] * 10), losses([9.0] * 10))
    first, second = looks([wild, calm], kappa=1.0)
    assert (first.candidate, second.candidate) == (10, 20)
    assert first.squares == pytest.approx(20 * (0.5 * 2.0) ** 2)  # no earlier window: m is 0
    assert second.squares - first.squares == pytest.approx(20 * (0.5 * (9.0 - 2.0)) ** 2)  # m is 2, not their own 9


def test_a_generation_with_one_arm_only_says_nothing():
    alone = Row(NOON, 1.0, losses([5.0] * 9), Losses())
    assert last([alone], 1.0) == Score()


def test_the_first_look_comes_when_both_arms_have_two_hundred():
    assert FIRST_LOOK == 200
    assert not Score(candidate=199, stable=9_000).looked
    assert not Score(candidate=9_000, stable=199).looked
    assert Score(candidate=200, stable=200).looked


def test_the_planned_variance_grows_with_the_plan_but_is_never_less_than_seen():
    first = Score(total=0.0, squares=300.0, candidate=200, stable=400)
    assert planned_variance(first, samples=2_000) == pytest.approx(3_000.0)
    assert planned_variance(first, samples=100) == pytest.approx(300.0)


@pytest.mark.parametrize("p", [0.05, 0.5])
@pytest.mark.parametrize("failing", [(0.01, 0.0067), (0.0, 0.01)], ids=["the candidate more", "stable more"])
def test_arms_that_fail_unequally_prove_nothing_though_days_differ(p, failing):
    """At the margin exactly, on days that differ by a factor of nine, millions of requests a day."""
    kappa, asked = 1.05**2, 20_000_000

    def arm(share, fails, mean):
        n = round(asked * share * (1.0 - fails))
        return Losses(n, n * mean, n * 3.0 * mean**2)

    found = [
        Row(
            NOON + timedelta(days=day),
            p,
            candidate=arm(p, failing[0], kappa * mean),
            stable=arm(1.0 - p, failing[1], mean),
        )
        for day, mean in enumerate([100.0, 300.0, 900.0] * 4)
    ]
    score = last(found, kappa)
    assert abs(score.total) < 0.1 * score.variance**0.5
    stamped = sum(
        (1.0 - p) * (row.candidate.total - row.candidate.n * m) - kappa * p * (row.stable.total - row.stable.n * m)
        for row, m in zip(found, [0.0, *(each.losses / each.n for each in looks(found, kappa=kappa))], strict=False)
    )
    assert abs(stamped) > 4.0 * score.variance**0.5, "the days must be able to tell the stamped probability apart"
