"""What thresholds and intervals state, held to real flights: false alarms, what is found, and coverage; all is printed.

The same functions as in the product judge, whole days of a year are drawn by lot with fixed seeds, and what is counted
is held to what is stated by exact intervals. `make calibration` runs these alone.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache

import numpy as np
import pytest
from switchyard_contracts.windows import DAY_US, HOUR_US
from switchyard_demo_model.pipeline.source import source
from switchyard_monitor.domain.days import add_to_day
from switchyard_monitor.domain.rules import Rule
from switchyard_monitor.domain.scores import ONE
from switchyard_monitor.domain.segments import number
from switchyard_monitor.domain.sums import Sums
from switchyard_simulation import class_coverage, drifting, false_alarms, flights, power, running, table
from switchyard_simulation.drifting import Day
from switchyard_simulation.false_alarms import KINDS, Counted, Watched
from switchyard_simulation.flights import Replay
from switchyard_simulation.power import CHANGES, Stage, Wrong
from switchyard_simulation.scenarios import INTERVALS, Interval

SEED = 2013
DRIFT_RUNS, POWER_RUNS = 8, 5
COVERED = 400
"""Runs of an interval; of one in thirty that is meant to hold in 95 % this finds a true 88 % nearly always."""
NEAR_THE_EDGE = ("RMSE of 200", "by days")
"""These are known to stand near the end of their band, where few runs say too little: they have all of theirs."""
Printing = Callable[[str, Sequence[str], int, Sequence[str]], None]


@lru_cache
def replayed() -> Replay:
    return flights.replay(source())


@lru_cache
def days() -> list[Day]:
    return [false_alarms.widened(day) for day in drifting.days_of(source())]


# --- false alarms of drift --------------------------------------------------------------------------------------------


@pytest.fixture(scope="module", params=[1, 7], ids=["days by lot", "weeks by lot"])
def in_a_row(request: pytest.FixtureRequest) -> int:
    found: int = request.param
    return found


@pytest.fixture(scope="module")
def watched(in_a_row: int) -> Watched:
    return false_alarms.watched(days(), runs=DRIFT_RUNS, seed=SEED, in_a_row=in_a_row)


@pytest.mark.rule("check-false-alarms")
@pytest.mark.parametrize("kind", [*KINDS, "all ten together"])
def test_drift_is_cried_no_more_often_than_stated(kind: str, in_a_row: int, watched: Watched, row: Printing) -> None:
    names = KINDS.get(kind, tuple(name for held in KINDS.values() for name in held))
    found = false_alarms.of_kind(kind, names, watched)
    how = "whole days by lot" if in_a_row == 1 else "weeks in a row by lot"
    title = f"Drift where nothing changed: {how}, {watched.count} days against {DRIFT_RUNS} references of 45 days"
    row(title, false_alarms.HEAD_OF_DRIFT, [*KINDS, kind].index(kind), found.cells)
    assert not found.faults


# --- false alarms of all else -----------------------------------------------------------------------------------------

OTHERS: tuple[tuple[str, Callable[[Replay], Counted]], ...] = (
    ("a limit", lambda replay: false_alarms.threshold(replay, seed=SEED, quarters=100)),
    ("a limit, weeks", lambda replay: false_alarms.threshold(replay, seed=SEED, quarters=100, in_a_row=7)),
    *(
        (
            f"silence of {hours} h{' as flights leave' if leave else ''}",
            lambda replay, hours=hours, leave=leave: false_alarms.silence(
                replay, seed=SEED, quarters=20, window_us=hours * HOUR_US, as_they_leave=leave
            ),
        )
        for hours, leave in ((1, False), (1, True), (24, True))
    ),
    *(
        (
            f"cusum, {name}, {in_a_row}",
            lambda replay, name=name, in_a_row=in_a_row: false_alarms.cusum_row(
                replay, name, seed=SEED, chains=300, in_a_row=in_a_row
            ),
        )
        for name in ("error", "wrong")
        for in_a_row in (1, 7)
    ),
    *(
        (
            f"the estimate, {days}",
            lambda replay, days=days: false_alarms.estimate(replay, seed=SEED, runs=400, days=days),
        )
        for days in (0, 14)
    ),
    ("segments", lambda replay: false_alarms.apart(replay, seed=SEED, runs=300)),
)


@pytest.mark.rule("check-false-alarms-of-rules")
@pytest.mark.parametrize(("what", "counted"), OTHERS, ids=[what for what, _ in OTHERS])
def test_rules_fire_no_more_often_than_stated(what: str, counted: Callable[[Replay], Counted], row: Printing) -> None:
    found = counted(replayed())
    row("Other alarms where nothing changed", false_alarms.HEAD, [name for name, _ in OTHERS].index(what), found.cells)
    assert not (found.promise and found.over)


@pytest.mark.parametrize(
    ("share", "terms", "expected"),
    [
        pytest.param(0.2, false_alarms.silent(window_us=DAY_US, breaches=1, of=1), 0.2 * 0.8, id="one of one begins"),
        pytest.param(1.0, false_alarms.silent(window_us=DAY_US), 0.0, id="what always breaks fires once"),
        pytest.param(0.01, false_alarms.DRIFTED, 2e-4, id="seldom, so two of three: a second within two days"),
    ],
)
def test_what_k_of_n_windows_state(share: float, terms: false_alarms.Terms, expected: float) -> None:
    assert false_alarms.fires_each_window(share, terms) == pytest.approx(expected, rel=0.02, abs=1e-9)


# --- what is found ----------------------------------------------------------------------------------------------------

TITLE_OF_POWER = "What goes wrong with X, Y or outcomes on whole days by lot"


@pytest.fixture(scope="module")
def stages() -> list[Stage]:
    return power.stages(days(), runs=POWER_RUNS, seed=SEED)


@pytest.mark.rule("check-power")
@pytest.mark.parametrize("wrong", CHANGES, ids=[one.what for one in CHANGES])
def test_what_goes_wrong_is_found_as_often_as_it_should_be(wrong: Wrong, stages: list[Stage], row: Printing) -> None:
    found = power.found(wrong, stages)
    row(TITLE_OF_POWER, power.HEAD, CHANGES.index(wrong), found.cells)
    assert not found.broken


@pytest.mark.rule("check-power")
def test_labels_that_are_turned_round_are_found_by_what_comes_of_them(row: Printing) -> None:
    found = power.flipped(replayed(), runs=200, seed=SEED)
    row(TITLE_OF_POWER, power.HEAD, len(CHANGES), found)
    assert found[-1] == "within"


# --- coverage ---------------------------------------------------------------------------------------------------------


@pytest.mark.rule("check-coverage")
@pytest.mark.parametrize("interval", INTERVALS, ids=[one.what for one in INTERVALS])
def test_an_interval_holds_as_often_as_it_says(interval: Interval, row: Printing) -> None:
    place = INTERVALS.index(interval)
    runs = interval.runs if any(name in interval.what for name in NEAR_THE_EDGE) else min(interval.runs, COVERED)
    found = running.done(replayed(), running.Job("interval", place, 0, runs, SEED))
    covered = running.covered(interval, found)
    row("Intervals of resampled flights", table.HEAD_OF_INTERVALS, place, table.of_interval(interval.what, covered))
    assert not covered.broken


# --- sums that are made at once ---------------------------------------------------------------------------------------

CLASSES = Rule("demo/delay", task="classification", classes=class_coverage.NAMES)
SCORES = Rule("demo/delay", task="classification", positive="late", score="$.p")


def test_sums_of_many_are_those_of_one_after_another() -> None:
    chance = np.random.default_rng(SEED)
    said, happened = chance.integers(0, 3, (2, 200))
    score, fold = chance.integers(0, ONE + 1, 200), chance.integers(0, 32, 200)
    so, part, error = chance.random(200) < 0.3, chance.integers(1, 4, 200), chance.normal(0.0, 30.0, 200).round(2)
    by_class, by_score, by_part = Sums(), Sums(), Sums()
    (segment,) = class_coverage.BY_HOUR.segments or ()
    for at in range(200):
        names = [class_coverage.NAMES[each[at]] for each in (said, happened)]
        add_to_day(by_class, CLASSES, *names, 1, fold=int(fold[at]))
        answer = "late" if 2 * score[at] >= ONE else "on time"
        came = "late" if so[at] else "on time"
        add_to_day(by_score, SCORES, answer, came, 1, score=int(score[at]), fold=int(fold[at]))
        held = number((segment,), (int(part[at]),))
        add_to_day(by_part, class_coverage.BY_HOUR, float(error[at]), 0.0, 1, segment=held, fold=int(fold[at]))
    for made, whole, names in (
        (class_coverage.class_sums(said, happened, fold), by_class, ("age.c:", "age.said:", "age.came:", "age.tp:")),
        (class_coverage.score_sums(score, so, fold), by_score, ("cal.",)),
        (class_coverage.segment_sums(error, part), by_part, ("seg.",)),
    ):
        kept = {name: value for name, value in whole.items() if name.startswith(names) and value}
        assert {name: value for name, value in made.items() if value} == kept
