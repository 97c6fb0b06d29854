"""Whoever is asked for looks answers alike: the fake of our tests, and a real Prometheus over HTTPS with a password."""

from __future__ import annotations

import math
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from switchyard_contracts.model_deployment import Metric
from switchyard_operator.domain.analysis import Question
from switchyard_operator.domain.outside import Inquiry, Looks, judge
from switchyard_operator.errors import EvidenceUnavailable, QueryRefused
from switchyard_operator.lookout import Lookout
from switchyard_operator.ports import Prometheus
from switchyard_testkit.fake_prometheus import FakePrometheus, Sample
from switchyard_testkit.prometheus import RealPrometheus, real_prometheus
from switchyard_testkit.waiting import until

SECOND = timedelta(seconds=1)
STEP = (datetime.now(UTC) - timedelta(days=1)).replace(minute=0, second=0, microsecond=0)
"""When a step began, yesterday."""


def seen() -> Iterator[Sample]:
    """Two pods, one of them much too hot until just before the step; one that came late, one that does nothing."""
    for number in range(-12, 25):
        at = STEP + number * 5 * SECOND
        yield Sample("load", {"pod": "delay-b-0", "namespace": "air"}, at, 9.0 if number < 0 else 0.5)
        yield Sample("load", {"pod": "delay-a-0", "namespace": "air"}, at, 0.75)
        yield Sample("idle", {"pod": "delay-b-0"}, at, 0.0)
        if number >= 8:
            yield Sample("late", {"pod": "delay-b-0"}, at, 4.0)


@pytest.fixture(scope="module")
def real(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RealPrometheus]:
    with real_prometheus(tmp_path_factory.mktemp("prometheus"), seen()) as server:
        yield server


@pytest.fixture(params=["fake", "real"])
def prometheus(request: pytest.FixtureRequest) -> Prometheus:
    if request.param == "fake":
        return FakePrometheus(list(seen()))
    server: RealPrometheus = request.getfixturevalue("real")
    return server.asker()


def inquiry(query: str, *, first: int = 20, looks: int = 3) -> Inquiry:
    return Inquiry(
        query=query,
        entered=STEP,
        first=STEP + first * SECOND,
        every=10 * SECOND,
        looks=looks,
        window=20 * SECOND,
    )


@pytest.mark.parametrize(
    ("query", "values"),
    [
        pytest.param('max_over_time(load{pod="delay-b-0"}[20s])', (0.5, 0.5, 0.5), id="nothing of before the step"),
        pytest.param('max(max_over_time(load{pod=~"delay-a-.+"}[20s]))', (0.75, 0.75, 0.75), id="pods by a pattern"),
        pytest.param('sum(max_over_time(load{namespace="air"}[20s]))', (1.25, 1.25, 1.25), id="the sum of two"),
        pytest.param("max_over_time(nothing[20s])", (None, None, None), id="a metric that is not there"),
        pytest.param('max(max_over_time(load{pod="c"}[20s]))', (None, None, None), id="a label that fits nobody"),
        pytest.param("max_over_time(late[20s])", (None, None, 4.0), id="a series that comes late"),
        pytest.param('avg_over_time(load{pod="delay-b-0"}[20s]) / 0.5', (1.0, 1.0, 1.0), id="arithmetic"),
        pytest.param("max_over_time(late[20s]) / 0", (None, None, math.inf), id="something by nothing"),
    ],
)
def test_each_look_has_its_value(prometheus: Prometheus, query: str, values: tuple[float | None, ...]) -> None:
    assert prometheus.looks(inquiry(query)).values == values


def test_nothing_by_nothing_is_no_number(prometheus: Prometheus) -> None:
    values = prometheus.looks(inquiry("max_over_time(idle[20s]) / 0")).values
    assert all(value is not None and math.isnan(value) for value in values)


def test_one_look_is_one_value(prometheus: Prometheus) -> None:
    asked = inquiry("max_over_time(late[20s])", first=60, looks=1)
    assert prometheus.looks(asked) == Looks(asked, (4.0,))


@pytest.mark.parametrize(
    ("query", "words"),
    [
        pytest.param("max_over_time(load[20s])", "gives 2 series.*aggregate them", id="two series"),
        pytest.param("max_over_time(load[20s]", "refuses the query", id="a bracket that is not closed"),
        pytest.param("load[20s]", "refuses the query", id="a range that is no number"),
        pytest.param("greatest(load)", "refuses the query", id="a function that there is not"),
    ],
)
def test_a_query_at_fault_is_said_to_be_so(prometheus: Prometheus, query: str, words: str) -> None:
    with pytest.raises(QueryRefused, match=words):
        prometheus.looks(inquiry(query))


class TestTheRealOne:
    """What only a server over a network can do."""

    def test_its_own_words_are_handed_on(self, real: RealPrometheus) -> None:
        with pytest.raises(QueryRefused, match='unknown function with name "greatest"'):
            real.asker().looks(inquiry("greatest(load)"))

    def test_a_certificate_that_nobody_vouches_for_names_the_secret_that_is_missing(self, real: RealPrometheus) -> None:
        with pytest.raises(EvidenceUnavailable, match=r"operator\.prometheus\.caSecret"):
            real.asker(ca_file="").looks(inquiry("max_over_time(late[20s])"))

    def test_who_may_not_ask_is_told_of_the_secret(self, real: RealPrometheus, tmp_path: Path) -> None:
        asker = real.asker(folder=tmp_path)
        with pytest.raises(EvidenceUnavailable, match=r"answers 401.*operator\.prometheus\.existingSecret"):
            asker.looks(inquiry("max_over_time(late[20s])"))
        for name in ("username", "password"):  # the Secret is made, and nothing is started anew
            (tmp_path / name).write_text((real.folder / name).read_text())
        assert asker.looks(inquiry("max_over_time(late[20s])")).values[-1] == 4.0

    def test_another_path_is_named(self, real: RealPrometheus) -> None:
        with pytest.raises(EvidenceUnavailable, match=r"answers 404.*operator\.prometheus\.url"):
            real.asker(url=f"{real.url}/elsewhere").looks(inquiry("max_over_time(late[20s])"))

    def test_one_that_hangs_is_given_up_in_time_and_found_again(self, real: RealPrometheus) -> None:
        asker = real.asker(seconds=1)
        with real.silent(), pytest.raises(EvidenceUnavailable, match=r"within 1 s.*operator\.prometheus\.timeout"):
            asker.looks(inquiry("max_over_time(late[20s])"))
        assert real.asker().looks(inquiry("max_over_time(late[20s])")).values[-1] == 4.0

    def test_nobody_there_is_named(self, real: RealPrometheus) -> None:
        with pytest.raises(EvidenceUnavailable, match=r"127\.0\.0\.1 cannot be asked"):
            real.asker(url="https://127.0.0.1:1").looks(inquiry("max_over_time(late[20s])"))

    def test_a_guard_looks_through_threads_of_its_own_and_comes_to_a_verdict(self, real: RealPrometheus) -> None:
        said = {"query": 'max(max_over_time(load{pod=~"$candidate-.+"}[$window]))', "window": "20s", "every": "10s"}
        guard = {"name": "load", "metric": "promql", "role": "guard", "max": "90%", "promql": said}
        for limit, verdict in (("90%", "Pass"), ("40%", "Fail")):
            metric = Metric.model_validate(guard | {"max": limit})
            question = Question(metric, "delay-b", "delay-a", (3,), STEP)
            with ThreadPoolExecutor(max_workers=1) as pool:
                lookout = Lookout(real.asker(), pool)

                def looked(lookout: Lookout = lookout, question: Question = question) -> Looks | None:
                    found = lookout.see(("air", "delay"), question, now=STEP + 45 * SECOND)
                    return found if isinstance(found, Looks) else None

                found = until(looked, "Prometheus has answered", seconds=20)
            assert found.values == (0.5, 0.5, 0.5)
            assert judge(metric, found).verdict == verdict
