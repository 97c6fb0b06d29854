"""Numbers as people read them, and charts as geometry."""

from __future__ import annotations

import math

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from switchyard_monitor.page import units
from switchyard_monitor.page.charts import HEIGHT, LEFT, RIGHT, TOP, WIDTH, Line, Mark, chart
from switchyard_monitor.page.trends import POINTS, Period
from switchyard_monitor.page.verdicts import verdict
from switchyard_testkit.page_world import verdict as said


def measured(metric: str, value: float | None, *, role: str = "guard") -> str:
    return verdict(said("m", metric, "Pass", value=value, role=role)).value


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        (units.count(1234567), "1,234,567"),
        (units.number(None), "none yet"),
        (units.number(6.9312), "6.93"),
        (units.number(1234.6), "1,235"),
        (units.number(-0.0219), "−0.0219"),
        (units.number(0.0015), "0.00150"),
        (units.number(0.25), "0.250"),
        (units.number(8.0), "8"),
        (units.number(3.2e-9), "3.200e-09"),
        (units.percent(0.5), "50 %"),
        (units.percent(0.00467), "0.47 %"),
        (units.percent(0.949), "94.9 %"),
        (units.percent(None), "none yet"),
        (units.weight(25), "0.25 %"),
        (units.weight(10_000), "100 %"),
        (units.seconds(0.0000123), "12 µs"),
        (units.seconds(0.0101), "10.1 ms"),
        (units.seconds(1.5), "1.5 s"),
        (units.seconds(54_000), "15 h"),
        (units.span(93_784), "1 d 2 h"),
        (units.span(0.2), "0 s"),
        (units.seconds(-0.00229), "−2.29 ms"),
        (units.clock(1_772_366_400_000_000), "2026-03-01 12:00:00"),
        (measured("latency_p99", 0.0085), "0.85 % slow"),
        (measured("latency_p99", 0.0101, role="observe"), "10.1 ms"),
        (measured("error_rate", 0.0042), "0.42 %"),
        (measured("outcome.coverage", 0.8, role="observe"), "80 %"),
        (measured("decision.agreement", 0.8, role="observe"), "80 %"),
        (measured("outcome.rmse", 5.02, role="decide"), "5.02"),
        (measured("outcome.rmse", None, role="decide"), "none yet"),
    ],
)
def test_numbers_carry_their_units(said: str, expected: str) -> None:
    assert said.replace(units.GAP, " ") == expected


@pytest.mark.parametrize(
    ("sentence", "shown"),
    [
        ("the limit is 1 %; nothing speaks against it", "the limit is 1_%; nothing speaks against it"),
        ("slower than 10.9 ms in 7 blocks of 10 s", "slower than 10.9_ms in 7 blocks of 10_s"),
        ("about 2 min at this rate, or 3 d", "about 2_min at this rate, or 3_d"),
        ("0 of 2 pods ready", "0 of 2 pods ready"),
        ("520 more judged pairs, 8 hours", "520 more judged pairs, 8 hours"),
        ("1 step, 2 minutes, 3 days, 4 h", "1 step, 2 minutes, 3 days, 4_h"),
    ],
)
def test_a_number_keeps_its_unit_in_the_operators_sentences_too(sentence: str, shown: str) -> None:
    assert units.whole(sentence).replace(units.GAP, "_") == shown


def test_an_axis_has_no_noughts_that_say_nothing() -> None:
    held = chart("c", "title", lines=[Line("one", 0, [(0.0, 9.9)])], begin=0.0, end=9.0, words=units.number)
    assert held is not None
    assert [tick.words for tick in held.ticks_y] == ["0", "2.5", "5", "7.5", "10"]


def test_a_chart_without_a_value_is_none() -> None:
    assert drawn([(0.0, None)]) is None


def drawn(points: list[tuple[float, float | None]], **more: object) -> object:
    lines = [Line("one", 0, points)]
    return chart("c", "title", lines=lines, begin=0.0, end=100.0, words=units.number, **more)  # type: ignore[arg-type]


def test_gaps_break_a_line_and_a_lonely_value_is_a_dot() -> None:
    held = chart(
        "c",
        "title",
        lines=[Line("one", 0, [(0.0, 1.0), (50.0, None), (60.0, 2.0), (80.0, None)])],
        begin=0.0,
        end=100.0,
        words=units.number,
    )
    assert held is not None
    (line,) = held.lines
    assert line.path.count("M") == 2
    assert len(line.dots) == 2
    assert [row[1] for row in held.rows] == ["1", "–", "2", "–"]


def test_steps_hold_their_value_to_the_end() -> None:
    held = chart(
        "c",
        "title",
        lines=[Line("one", 0, [(0.0, 0.05), (50.0, 0.5)])],
        begin=0.0,
        end=100.0,
        words=units.percent,
        top=1.0,
        stepped=True,
    )
    assert held is not None
    assert held.lines[0].path.endswith(f"H{float(held.right)}")
    assert [tick.words.replace(units.GAP, " ") for tick in held.ticks_y] == ["0 %", "25 %", "50 %", "75 %", "100 %"]


def signs(*said: tuple[float, str]) -> list[tuple[str, str]]:
    held = chart(
        "c",
        "title",
        lines=[Line("one", 0, [(0.0, 0.5)])],
        begin=0.0,
        end=float(WIDTH - LEFT - RIGHT),  # a second is as wide as a part of the picture
        words=units.percent,
        top=1.0,
        stepped=True,
        marks=[Mark(shape, at, 0.5, f"{shape} at {at:g}") for at, shape in said],
    )
    assert held
    return [(one.shape, one.words) for one in held.marks]


def test_of_signs_on_top_of_each_other_the_newest_is_seen_and_all_are_said() -> None:
    assert signs((100.0, "ring"), (110.0, "diamond"), (115.0, "circle"), (200.0, "ring")) == [
        ("circle", "ring at 100; then diamond at 110; then circle at 115"),
        ("ring", "ring at 200"),
    ]


def test_a_failure_is_never_covered_by_what_came_after_it() -> None:
    assert [shape for shape, _ in signs((100.0, "ring"), (105.0, "cross"), (110.0, "ring"))] == ["cross", "ring"]


@example(points=[(1.7e9, 5e-324)])
@example(points=[(1_700_092_800.0, None), (1_700_000_000.0, 0.0)])  # from one midnight to the next
@given(
    points=st.lists(
        st.tuples(st.floats(0, 1e7), st.none() | st.floats(0, 1e12)).map(lambda pair: (1.7e9 + pair[0], pair[1])),
        min_size=1,
        max_size=20,
        unique_by=lambda point: point[0],
    )
)
def test_everything_is_drawn_within_the_frame_on_a_few_round_ticks(points: list[tuple[float, float | None]]) -> None:
    times = [at for at, _ in points]
    held = chart("c", "t", lines=[Line("one", 0, sorted(points))], begin=min(times), end=max(times), words=units.number)
    if held is None:
        assert all(value is None for _, value in points)
        return
    numbers = [float(part) for line in held.lines for part in line.path.replace("M", " ").replace("L", " ").split()]
    assert all(math.isfinite(one) for one in numbers)
    assert all(LEFT <= x <= WIDTH for x in numbers[::2])
    assert all(TOP - 0.1 <= y <= HEIGHT for y in numbers[1::2])
    assert 2 <= len(held.ticks_y) <= 6
    assert len(held.ticks_x) <= 7
    days: list[list[str]] = [[]]
    for tick in held.ticks_x:
        if ":" not in tick.words:
            days.append([])
        days[-1].append(tick.words)
    assert all(len(set(day)) == len(day) for day in days), "a time of day stands twice and no date between"


@given(mark=st.integers(10**9, 10**15), window=st.sampled_from((5_000_000, 300_000_000)), back=st.integers(0, 200))
def test_a_chart_begins_after_the_last_window_of_which_rows_may_be_missing(mark: int, window: int, back: int) -> None:
    period = Period.until(mark, window)
    assert (period.end_us - period.begin_us) // period.bucket_us == POINTS
    assert mark - period.bucket_us < period.end_us <= mark
    assert period.judged(0) == period
    judged = period.judged(7_000_000)
    assert judged.begin_us == period.begin_us
    assert mark - 7_000_000 - period.bucket_us < judged.end_us <= max(mark - 7_000_000, period.begin_us)
    oldest = period.end_us - back * window
    shorter = period.after(oldest)
    assert shorter.end_us == period.end_us
    assert shorter.begin_us > oldest or shorter.begin_us == period.end_us
    assert (shorter.begin_us - period.begin_us) % period.bucket_us == 0
    assert shorter.begin_us >= period.begin_us
