"""The simulation's own laws: that it counts right, repeats itself, and finds a boundary that is broken.

The flights here are made up, as many as in 30 days; `make simulate` takes the real ones.
"""

import math
from dataclasses import replace
from functools import partial

import numpy as np
import pandas as pd
import pytest
from switchyard_contracts import boundary, guards, trial
from switchyard_demo_model.serving.flight import Flight
from switchyard_demo_model.serving.model import LinearModel, Number
from switchyard_simulation import coverage, joins, naive, running, splits, table, trials, truth
from switchyard_simulation.drawing import Pace, draw
from switchyard_simulation.flights import Replay, answers
from switchyard_simulation.guarding import Faults
from switchyard_simulation.rollout import Course, End
from switchyard_simulation.scenarios import BOTH, INTERVALS, SCENARIOS, Scenario, rollout
from switchyard_simulation.tally import COARSE, Covered, Kind, Tally

RUNS = 40
PACE = Pace("30 an hour", 30.0, 12, 2, 2, (12.0, 48.0))


@pytest.fixture(scope="module")
def replay() -> Replay:
    chance = np.random.default_rng(1)
    hours = np.sort(chance.uniform(0.0, 30 * 24.0, 30 * 900))
    delay = chance.lognormal(3.0, 1.0, len(hours)) * (1.0 + np.sin(2 * np.pi * hours / 24.0) / 2) - 20.0
    delay[chance.random(len(hours)) < 0.02] = np.nan
    moods = chance.uniform(0.7, 1.3, 30)[(hours // 24).astype(int)]
    said = {name: np.full(len(hours), 5.0) for name in ("1.0.0", "2.0.0", "3.0.0")}
    return Replay(hours, hours + 3.0, delay, said | {"challenger": 40.0 * moods})


def played(replay: Replay, play, *, runs: int = RUNS, wrong=BOTH, kind=Kind.PROMISE) -> Tally:
    return Tally([play(replay, np.random.default_rng([5, run])) for run in range(runs)], wrong, kind)


def test_all_flights_at_once_are_answered_as_one_by_one():
    model = LinearModel(
        "1", 3.0, {"departure_delay": Number(0.9, 12.5), "distance": Number(-0.01, 0.0)}, {"carrier": {"UA": 2.0}}
    )
    table_of = pd.DataFrame(
        {"carrier": ["UA", "XX"], "origin": "JFK", "dest": "IAH", "distance": [100.0, 900.0], "hour": 5, "weekday": 1}
    ).assign(departure_delay=[None, 7.0])
    flights = [
        Flight(carrier="UA", origin="JFK", dest="IAH", distance=100, hour=5, weekday=1),
        Flight(carrier="XX", origin="JFK", dest="IAH", distance=900, hour=5, weekday=1, departure_delay=7),
    ]
    for unit in (1.0, 60.0):
        one_by_one = [model.predict(flight, delay_unit=unit) for flight in flights]
        assert answers(model, table_of.astype({"departure_delay": float}), delay_unit=unit) == pytest.approx(one_by_one)


def test_the_boundary_keeps_the_budget(replay):
    tally = played(replay, partial(splits.every_hundred, probabilities=splits.HALF), runs=20)
    assert not tally.over
    assert tally.verdict == "within"


def test_a_broken_boundary_is_found(replay, monkeypatch):
    """A usual 95 % bound in the place of the one that holds at every look."""
    monkeypatch.setattr(boundary, "width", lambda variance, **_: 1.645 * math.sqrt(variance))
    tally = played(replay, partial(splits.every_hundred, probabilities=splits.HALF))
    assert tally.over
    assert tally.broken
    assert tally.verdict == "OVER"


def test_guards_without_e_values_would_be_found(replay, monkeypatch):
    """Candidates at each guard's limit, taken back as soon as the likelihood is 20 times larger somewhere."""
    at_limits = partial(
        rollout,
        maker=truth.versus("2.0.0", "2.0.0"),
        pace=PACE,
        faults=Faults(0.01, 0.0067, slower=1.5),
        mirrored=False,
    )
    assert not played(replay, at_limits, wrong=frozenset({End.ROLLED_BACK})).over
    monkeypatch.setattr(guards, "log_exceeds", lambda n, failures, *, limit: 9.0 if failures > n * limit else 0.0)
    assert played(replay, at_limits, wrong=frozenset({End.ROLLED_BACK})).over


def test_pouring_a_moving_weight_together_takes_equals_back(replay):
    pooled, apart = np.mean([splits.excess(replay, np.random.default_rng([6, run])) for run in range(5)], axis=0)
    assert abs(pooled) > 0.03
    assert abs(apart) < 0.03
    windows = splits.by_the_hour(replay, np.random.default_rng(3))
    poured = naive.pooled(windows, each=3)
    assert len(poured) == len(windows) // 3
    assert sum(one.candidate.n for one in poured) == sum(one.candidate.n for one in windows)
    assert sum(one.stable.loss for one in poured) == pytest.approx(sum(one.stable.loss for one in windows))


@pytest.mark.parametrize(
    ("maker", "ratio"),
    [
        pytest.param(truth.at_margin_always, truth.KAPPA, id="at the margin on every flight"),
        pytest.param(truth.at_margin_in_all, truth.KAPPA, id="at the margin over the run"),
        pytest.param(truth.versus("2.0.0", "2.0.0"), 1.0, id="the same twice"),
    ],
)
def test_a_candidate_stands_where_it_is_said_to_stand(replay, maker, ratio):
    losses = maker(replay, 15, 10, np.random.default_rng(2))
    assert losses.candidate.sum() / losses.stable.sum() == pytest.approx(ratio)


def test_moods_of_days_are_one_on_average(replay):
    assert truth.daily_ratios(replay).mean() == pytest.approx(1.0)
    assert truth.daily_ratios(replay).std() > 0.05


def test_what_is_drawn_adds_up(replay):
    losses = truth.at_margin_always(replay, 15, 12, np.random.default_rng(2))
    drawn = draw(replay, losses, pace=PACE, failing=(0.1, 0.0), first=15, chance=np.random.default_rng(3))
    candidate, stable, pairs = drawn.candidate, drawn.stable, drawn.pairs
    assert (candidate.judged <= candidate.predictions).all()
    assert pairs.seen.sum() == stable.predictions.sum()
    assert pairs.stable.sum() == pytest.approx(stable.loss.sum())
    asked = 30.0 * 24 * 12
    assert candidate.predictions.sum() / 0.9 + stable.predictions.sum() == pytest.approx(asked, rel=0.05)
    shares = candidate.predictions / (candidate.predictions + stable.predictions)
    assert shares[:4].mean() == pytest.approx(0.05, abs=0.02)
    assert shares[8:].mean() == pytest.approx(0.48, abs=0.03)


def test_the_same_seed_says_the_same_however_the_runs_are_dealt(replay):
    row = next(at for at, scenario in enumerate(SCENARIOS) if "poured together" in scenario.what)
    whole = running.done(replay, running.Job("scenario", row, 0, 6, 11))
    dealt = [one for job in ((0, 2), (2, 6)) for one in running.done(replay, running.Job("scenario", row, *job, 11))]
    assert dealt == whole
    assert running.done(replay, running.Job("scenario", row, 0, 6, 12)) != whole
    jobs = running.jobs_of("scenario", row, 25, seed=11)
    assert [number for job in jobs for number in range(job.first, job.last)] == list(range(25))


def test_the_first_answer_under_an_id_counts_and_a_stand_in_does_not():
    plain, repeated = joins.Monitor(), joins.Monitor()
    for monitor in (plain, repeated):
        for number in range(300):
            monitor.exchange(number, -20.0, mine=False, y=10.0)
            monitor.outcome(number, -19.0, 4.0)
        monitor.exchange(900, 1.0, mine=True, y=9.0)
        monitor.exchange(901, 1.0, mine=False, y=8.0)
        if monitor is repeated:
            monitor.exchange(900, 1.2, mine=True, y=4.0, event="-again")
            monitor.exchange(902, 1.0, mine=True, y=0.0, status=504)
            monitor.exchange(902, 1.1, mine=True, y=4.0, event="-stand-in", by=joins.STABLE)
        for number in (900, 901, 902):
            monitor.outcome(number, 3.0, 4.0)
        monitor.fold.finish()
    first, second = (monitor.evidence("outcome.rmse", until=48.0) for monitor in (plain, repeated))
    assert first.value == pytest.approx(5.0)
    assert (second.value, second.against_value) == (first.value, first.against_value)
    assert repeated.evidence("error_rate", until=48.0).candidate.failures == 1


def test_a_test_by_users_finds_an_effect_and_hardly_any_where_there_is_none(replay):
    assert not played(replay, trials.read_once).over
    better = played(replay, partial(trials.read_once, ratio=0.5), runs=10)
    assert better.share(End.PROMOTED)[0] >= 0.9
    assert played(replay, trials.by_requests).over


def test_a_test_without_a_width_would_be_found(replay, monkeypatch):
    monkeypatch.setattr(trial, "student", lambda *_, **__: 0.5)
    assert played(replay, trials.read_once).over


def test_what_users_lose_adds_up(replay):
    n, loss, squares = trials.users(replay, np.random.default_rng(3), ratio=1.0, days=14)
    assert n.shape == (2, 14, 32)
    assert n.sum() == pytest.approx(trials.USERS * trials.VISITS, rel=0.15)
    assert (squares.sum(axis=(1, 2)) >= loss.sum(axis=(1, 2)) ** 2 / n.sum(axis=(1, 2))).all()


def test_a_bandit_prefers_the_better_one_whoever_is_quicker_and_one_that_does_not_wait_the_quicker_one(replay):
    waits = played(replay, partial(trials.preferred, known=trials.at_age), runs=10)
    assert waits.share(End.ROLLED_BACK)[0] >= 0.9
    hasty = played(replay, partial(trials.preferred, known=trials.on_arrival), runs=10)
    assert hasty.share(End.PROMOTED)[0] >= 0.7


def test_a_bandit_is_decided_by_the_boundary(replay):
    play = partial(trials.decided, days=10)
    assert not played(replay, play, runs=10).over
    assert played(replay, partial(play, ratio=0.5), runs=5).share(End.PROMOTED)[0] == 1.0


def ends(promoted: int, rolled_back: int, runs: int = 100) -> list[Course]:
    return (
        [Course(End.PROMOTED, 400, 48.0)] * promoted
        + [Course(End.ROLLED_BACK, 90, 1.0)] * rolled_back
        + [Course(End.OPEN)] * (runs - promoted - rolled_back)
    )


@pytest.mark.parametrize(
    ("tally", "broken", "verdict"),
    [
        pytest.param(Tally(ends(4, 5), BOTH, Kind.PROMISE), False, "within", id="below the budget"),
        pytest.param(Tally(ends(9, 0), BOTH, Kind.PROMISE), False, "within", id="above it, but maybe by chance"),
        pytest.param(Tally(ends(12, 0), BOTH, Kind.PROMISE), True, "OVER", id="surely promoted too often"),
        pytest.param(Tally(ends(0, 12), BOTH, Kind.PROMISE), True, "OVER", id="surely taken back too often"),
        pytest.param(Tally(ends(90, 0), frozenset({End.ROLLED_BACK}), Kind.PROMISE), False, "within", id="rightly"),
        pytest.param(Tally(ends(90, 0), BOTH, Kind.SHOWN), False, "no promise", id="no promise, so none is broken"),
        pytest.param(Tally(ends(90, 0), BOTH, Kind.USUAL), False, "over, as it should be", id="a usual way, over"),
        pytest.param(Tally(ends(3, 0), BOTH, Kind.USUAL), True, "NOT OVER", id="a usual way that shows nothing"),
        pytest.param(
            Tally(ends(30, 0), frozenset({End.ROLLED_BACK}), Kind.PROMISE, End.PROMOTED), True, "MISSED", id="missed"
        ),
    ],
)
def test_a_row_says_whether_its_promise_is_kept(tally, broken, verdict):
    assert (tally.broken, tally.verdict) == (broken, verdict)


@pytest.mark.parametrize(
    ("covered", "broken", "verdict"),
    [
        pytest.param(Covered(1_000, 950, Kind.PROMISE), False, "within", id="as often as meant"),
        pytest.param(Covered(100, 89, Kind.PROMISE), False, "within", id="too seldom, but maybe by chance"),
        pytest.param(Covered(1_000, 880, Kind.PROMISE), True, "SHORT", id="surely too seldom"),
        pytest.param(Covered(1_000, 998, Kind.PROMISE), True, "WIDE", id="surely so wide that it says nothing"),
        pytest.param(Covered(1_000, 998, Kind.PROMISE, COARSE), False, "within", id="wide, as counts are coarse"),
        pytest.param(Covered(1_000, 400, Kind.SHOWN), False, "no promise", id="no promise"),
        pytest.param(Covered(1_000, 800, Kind.USUAL), False, "short, as it should be", id="a usual one, short"),
        pytest.param(Covered(1_000, 950, Kind.USUAL), True, "NOT SHORT", id="a usual one that shows nothing"),
    ],
)
def test_an_interval_says_whether_it_holds_often_enough(covered, broken, verdict):
    assert (covered.broken, covered.verdict) == (broken, verdict)


def held(replay, covers, *, runs=300) -> Covered:
    return Covered(runs, sum(covers(replay, np.random.default_rng([7, run])).held for run in range(runs)), Kind.PROMISE)


@pytest.mark.parametrize("name", ["rmse", "mae", "bias"])
def test_the_jackknife_holds_what_is_true_of_all_flights(replay, name):
    """With errors as far apart as the real ones' are: a kurtosis of 9, theirs is 8."""
    like_real_ones = replace(replay, delay=5.0 + 15.0 * np.random.default_rng(4).standard_t(5, len(replay.delay)))
    assert held(like_real_ones, coverage.of_errors(name, 1_000)).verdict == "within"


def test_errors_of_which_a_few_are_all_that_counts_have_no_honest_interval(replay):
    """The made-up flights' delays have a tail that a thousand of them do not show."""
    assert held(replay, coverage.of_errors("rmse", 1_000)).verdict == "SHORT"


def test_an_interval_of_half_the_width_would_be_found(replay):
    assert held(replay, coverage.of_errors("mae", 1_000, level=0.68)).verdict == "SHORT"


def test_requests_of_the_same_users_are_not_taken_for_so_many_draws(replay):
    assert held(replay, coverage.of_users(known=True)).verdict == "within"
    assert held(replay, coverage.of_users(known=False), runs=100).verdict == "SHORT"


def test_what_is_made_of_errors_is_what_they_are(replay):
    errors = np.array([3.0, -4.0, 0.5, 12.25])
    made = coverage.numbers(errors, np.array([0, 31, 31, 5]))
    assert (made.n, made.rmse, made.mae, made.bias) == pytest.approx(
        (4, np.sqrt((errors**2).mean()), np.abs(errors).mean(), errors.mean()), rel=1e-5
    )
    assert sorted(group.numeric for group in made.groups) == [1, 1, 2]


def test_an_interval_as_it_is_printed():
    row = table.interval(INTERVALS[0], Covered(200, 191, Kind.PROMISE, COARSE, 0.1614))
    assert row == "| share of 20, Wilson | 200 | 95.5 % (91.7–97.6) | 92–100 % | 0.161 | within |"
    assert len(table.HEAD_OF_INTERVALS) == row.count(" | ") + 1


def test_a_row_as_it_is_printed():
    scenario = Scenario("A/A", "by pairs", splits.moving, frozenset({End.ROLLED_BACK}))
    row = table.rollout(scenario, Tally(ends(80, 2), scenario.wrong, scenario.kind))
    assert row == ("| by pairs | 100 | – | 2.0 % (0.6–7.0) | 5 % | within | 80 % promoted after 400 samples, 2 d |")
    assert len(table.HEAD) == row.count(" | ") + 1
