"""Progress: what is going on, for how long, how long still, and what it waits for."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from switchyard_testkit.cache import Durations
from switchyard_testkit.errors import TimedOutError
from switchyard_testkit.progress import Progress, spoken
from switchyard_testkit.waiting import until

NEVER = 1e6  # a heartbeat that does not come within a test


class Clock:
    """Time that passes when the test says so."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds


class Run:
    """A run of two stages, with its clock and what it printed."""

    def __init__(self, folder: Path, **changes: object) -> None:
        self.clock = Clock()
        self.out = io.StringIO()
        self.durations = Durations(folder / "durations.json")
        settings: dict[str, object] = {"plan": {"fetch": 10.0, "build": 50.0}, "heartbeat": NEVER} | changes
        self.progress = Progress(
            "tools",
            durations=self.durations,
            out=self.out,
            clock=self.clock,
            **settings,  # type: ignore[arg-type]
        )

    @property
    def lines(self) -> list[str]:
        return self.out.getvalue().splitlines()


@pytest.mark.parametrize(
    ("seconds", "said"),
    [
        pytest.param(-3, "0 s", id="late is nothing left"),
        pytest.param(8.4, "8 s", id="seconds"),
        pytest.param(125, "2 min 05 s", id="minutes"),
        pytest.param(3725, "1 h 02 min", id="hours"),
    ],
)
def test_a_duration_is_said_as_a_person_says_it(seconds: float, said: str) -> None:
    assert spoken(seconds) == said


@given(st.floats(0, 1e6), st.floats(0, 1e6))
def test_a_longer_time_is_never_said_with_a_smaller_unit(one: float, other: float) -> None:
    order = ("s", "min", "h")

    def unit(seconds: float) -> int:
        return order.index(spoken(seconds).split()[1])

    assert unit(min(one, other)) <= unit(max(one, other))


def test_a_first_run_goes_by_the_plans_estimates(tmp_path: Path) -> None:
    run = Run(tmp_path)
    assert run.progress.left() == 60
    with run.progress.stage("fetch"):
        run.clock.now += 4
        assert run.progress.left() == 56
    assert run.progress.left() == 50
    assert run.lines == ["[       0 s] tools: 1/2 fetch (about 10 s; 1 min 00 s left in all)"]


def test_a_later_run_goes_by_what_the_last_one_took(tmp_path: Path) -> None:
    first = Run(tmp_path)
    with first.progress.stage("fetch"):
        first.clock.now += 2
    with first.progress.stage("build"):
        first.clock.now += 30
    assert first.progress.took == {"fetch": 2, "build": 30}
    assert Run(tmp_path).progress.left() == 32


def test_runs_that_do_the_same_share_what_they_remember(tmp_path: Path) -> None:
    first = Run(tmp_path, remembered_as="any")
    with first.progress.stage("build"):
        first.clock.now += 7
    assert Run(tmp_path).progress.estimate("build") == 50
    assert Run(tmp_path, remembered_as="any").progress.estimate("build") == 7


def test_a_stage_that_takes_longer_than_ever_has_nothing_left_and_not_less(tmp_path: Path) -> None:
    run = Run(tmp_path, plan={"build": 5.0})
    with run.progress.stage("build"):
        run.clock.now += 500
        assert run.progress.left() == 0


def test_a_stage_that_knows_its_share_believes_todays_pace_the_more_the_further_it_is(tmp_path: Path) -> None:
    run = Run(tmp_path, plan={"build": 100.0})
    with run.progress.stage("build"):
        run.clock.now += 50
        run.progress.waiting("the compiler", share=0.1)  # at this pace 450 s more; from memory 50 s more
        assert run.progress.left() == pytest.approx(0.1 * 450 + 0.9 * 50)
        run.clock.now += 400
        run.progress.waiting("the compiler", share=1.0)
        assert run.progress.left() == 0


def test_a_stage_that_fails_teaches_nothing(tmp_path: Path) -> None:
    run = Run(tmp_path)

    def fail() -> None:
        with run.progress.stage("fetch"):
            run.clock.now += 1
            raise RuntimeError("no network")

    with pytest.raises(RuntimeError, match="no network"):
        fail()
    assert run.durations.read() == {}


def test_a_long_stage_keeps_saying_what_it_waits_for(tmp_path: Path) -> None:
    run = Run(tmp_path, heartbeat=0.001)
    with run.progress.stage("build"):
        run.progress.waiting("the compiler: 7 of 90 packages")
        # Beats may have come before it was named.
        said = "build: waiting for the compiler: 7 of 90 packages (about 1 min 00 s left in all)"
        until(lambda: run.out.getvalue().count(said) >= 2, "two beats named it", seconds=100, every=0.001)


def test_waiting_ends_when_the_condition_holds(tmp_path: Path) -> None:
    run = Run(tmp_path)
    answers = iter(["refused", "not ready", None])
    run.progress.wait_for("the API server", lambda: next(answers), seconds=90, every=1, sleep=run.clock.sleep)
    assert run.clock.now == 102


def test_waiting_too_long_says_for_what_and_what_was_seen_last(tmp_path: Path) -> None:
    run = Run(tmp_path)
    with pytest.raises(TimedOutError, match="tools: waited 1 min 30 s for the API server; last seen: refused"):
        run.progress.wait_for("the API server", lambda: "refused", seconds=90, every=1, sleep=run.clock.sleep)
    assert 190 < run.clock.now < 192
