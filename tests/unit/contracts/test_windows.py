"""Windows: the one that a time lies in, and when it is over."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st
from switchyard_contracts import windows
from switchyard_contracts.model_deployment import Model, ModelDeploymentSpec, Monitoring, Prediction, Task

MOMENTS = st.datetimes(datetime(2000, 1, 1), datetime(2100, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001
LENGTHS = st.sampled_from([timedelta(milliseconds=250), timedelta(seconds=2), windows.WINDOW, timedelta(days=1)])


def test_five_minutes_are_those_of_the_clock() -> None:
    for minute, second in ((0, 0), (3, 20), (4, 59)):
        at = datetime(2026, 1, 1, 12, minute, second, tzinfo=UTC)
        assert windows.end(at, windows.WINDOW) == datetime(2026, 1, 1, 12, 5, tzinfo=UTC)


@given(MOMENTS, LENGTHS)
def test_a_window_is_over_after_its_moments_and_no_later_than_one_length_on(at: datetime, length: timedelta) -> None:
    end = windows.end(at, length)
    assert at < end <= at + length
    assert windows.end(end - timedelta(microseconds=1), length) == end


def test_where_nothing_is_monitored_windows_are_as_long_as_where_nothing_is_said_of_them() -> None:
    model = Model(image="registry.example/delay:1")
    prediction = Prediction(path="$.delay", task=Task.REGRESSION)
    assert ModelDeploymentSpec(model=model).window == windows.WINDOW
    assert ModelDeploymentSpec(model=model, monitoring=Monitoring(prediction=prediction)).window == windows.WINDOW
    short = Monitoring(prediction=prediction, window=timedelta(seconds=2))
    assert ModelDeploymentSpec(model=model, monitoring=short).window == timedelta(seconds=2)
