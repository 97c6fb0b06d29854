"""Guards on the user's own Prometheus: when it is looked at, what a look means, and what it does to a rollout."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from switchyard_contracts.judgement import Verdict
from switchyard_contracts.model_deployment import Metric, Phase
from switchyard_contracts.promql import Placeholder
from switchyard_operator.domain import outside
from switchyard_operator.domain.analysis import Question
from switchyard_operator.domain.outside import Inquiry, Lack, Looks, Unseen
from switchyard_operator.lookout import OVERDUE, PACE, Lookout
from switchyard_testkit.fake_prometheus import AtOnce, FakePrometheus, Watched, WhenTold
from switchyard_testkit.rollout_world import ANALYSIS, CANARY_SPEC, KEY, NOON, Model, Simulation

ONE, TWO = "models/delay:1", "models/delay:2"
SECOND, MINUTE = timedelta(seconds=1), timedelta(minutes=1)
QUERY = 'max(max_over_time(load{namespace="$namespace", pod=~"$candidate-.+"}[$window]))'
NAMES = {Placeholder.NAMESPACE: "airport", Placeholder.CANDIDATE: "delay-b", Placeholder.STABLE: "delay-a"}


def metric(**changes: Any) -> Metric:
    usual = {"name": "load", "metric": "promql", "role": "guard", "max": "90%"}
    said = {"query": QUERY, "window": "20s", "every": "10s"} | changes.pop("promql", {})
    return Metric.model_validate(usual | {"promql": said} | changes)


# --- when ---


@pytest.mark.parametrize(
    ("age", "times"),
    [
        pytest.param(19, [], id="the step is younger than the window"),
        pytest.param(20, [20], id="the first look, at once"),
        pytest.param(29, [20], id="the next is not due"),
        pytest.param(45, [20, 30, 40], id="three of them"),
        pytest.param(71, [50, 60, 70], id="only as many as are wanted"),
    ],
)
def test_looks_are_counted_from_the_steps_own_time(age: int, times: list[int]) -> None:
    asked = outside.inquiry(metric(), since=NOON, now=NOON + age * SECOND, values=NAMES)
    assert [(moment - NOON) // SECOND for moment in (asked.times if asked else ())] == times


@given(
    st.integers(0, 10_000_000),
    st.integers(0, 5_000_000),
    st.integers(5, 300),
    st.integers(5, 300),
    st.integers(1, 60),
)
def test_no_look_sees_what_was_before_the_step_and_all_who_ask_see_the_same(
    since: int, age: int, window: int, every: int, looks: int
) -> None:
    said = {"query": QUERY, "window": f"{window}s", "every": f"{min(every, window)}s", "looks": looks}
    begin = NOON + timedelta(microseconds=since)
    now = begin + timedelta(milliseconds=age)
    asked = outside.inquiry(metric(promql=said), since=begin, now=now, values=NAMES)
    if asked is None:
        assert now < begin + (window + 1) * SECOND
        return
    assert asked.times[0] - asked.window >= begin
    assert asked.last <= now < asked.last + asked.every
    assert len(asked.times) <= looks
    again = outside.inquiry(metric(promql=said), since=begin, now=asked.last, values=NAMES)
    assert again == asked


def test_only_the_newest_is_asked_of_what_is_only_observed() -> None:
    asked = outside.inquiry(metric(role="observe"), since=NOON, now=NOON + MINUTE, values=NAMES)
    assert asked is not None
    assert asked.times == (NOON + MINUTE,)


# --- what it means ---


def looks(*values: float | None) -> Looks:
    asked = Inquiry(
        query="max(load)", entered=NOON, first=NOON, every=10 * SECOND, looks=len(values), window=20 * SECOND
    )
    return Looks(asked, values)


NAN, INFINITE = float("nan"), float("inf")


@pytest.mark.parametrize(
    ("values", "verdict", "reason", "needed"),
    [
        pytest.param((0.5, 0.9, 0.1), Verdict.PASS, "WithinLimit", 0, id="three within it, one on it"),
        pytest.param((0.91, 0.95, 0.92), Verdict.FAIL, "LimitBroken", 0, id="three beyond it"),
        pytest.param((0.5,), Verdict.INCONCLUSIVE, "TooFewLooks", 2, id="one look is too few"),
        pytest.param((0.95,), Verdict.INCONCLUSIVE, "LeansAgainst", 2, id="one look takes nothing back"),
        pytest.param((0.95, 0.95, 0.5), Verdict.INCONCLUSIVE, "TooFewLooks", 2, id="back within it, just now"),
        pytest.param((0.5, 0.5, 0.95), Verdict.INCONCLUSIVE, "LeansAgainst", 2, id="beyond it, just now"),
        pytest.param((0.95, None, 0.95), Verdict.INCONCLUSIVE, "LeansAgainst", 2, id="a gap ends the row"),
        pytest.param((0.5, NAN, 0.5), Verdict.INCONCLUSIVE, "TooFewLooks", 2, id="so does what is no number"),
        pytest.param((0.95, 0.95, None), Verdict.NO_DATA, "NoSeries", None, id="nothing is there now"),
        pytest.param((0.95, 0.95, NAN), Verdict.ERROR, "NotANumber", None, id="0 / 0 is no failure"),
        pytest.param((0.95, 0.95, INFINITE), Verdict.ERROR, "NotANumber", None, id="nor is infinity"),
    ],
)
def test_several_looks_in_a_row_have_to_agree(
    values: tuple[float | None, ...], verdict: Verdict, reason: str, needed: int | None
) -> None:
    found = outside.judge(metric(), looks(*values))
    assert (found.verdict, found.reason, found.needed) == (verdict, reason, needed)


def test_a_minimum_is_broken_from_below() -> None:
    lowest = metric(max=None, min="90%")
    assert outside.judge(lowest, looks(0.95, 0.9, 0.91)).verdict is Verdict.PASS
    assert outside.judge(lowest, looks(0.5, 0.5, 0.5)).verdict is Verdict.FAIL


def test_what_is_only_observed_passes_whatever_it_is() -> None:
    found = outside.judge(metric(role="observe"), looks(5.0))
    assert (found.verdict, found.reason, found.value) == (Verdict.PASS, "Observed", 5.0)


@given(st.lists(st.none() | st.floats(allow_nan=True, allow_infinity=True), min_size=1, max_size=3))
def test_only_three_numbers_beyond_the_limit_are_a_failure(values: list[float | None]) -> None:
    found = outside.judge(metric(), looks(*values))
    beyond = [value is not None and 0.9 < value < INFINITE for value in values]
    assert (found.verdict is Verdict.FAIL) is (len(values) == 3 and all(beyond))


@pytest.mark.parametrize(
    ("values", "words"),
    [
        pytest.param((None,), "is it scraped, do the labels fit", id="no series"),
        pytest.param((NAN,), "NaN at 12:00:00Z, as of 0 / 0", id="no number"),
        pytest.param((0.95, 0.95, 0.95), "95 % at 12:00:20Z is beyond max 90%, 3 of 3 looks in a row", id="broken"),
    ],
)
def test_what_stops_a_rollout_names_the_query(values: tuple[float | None, ...], words: str) -> None:
    message = outside.judge(metric(), looks(*values)).message
    assert words in message
    assert message.endswith("asked: max(load)")


# --- asking ---


def question(**changes: Any) -> Question:
    since = changes.pop("since", NOON)
    return Question(metric(**changes), "delay-b", "delay-a", (3,), since)


def scraped(value: float = 0.5) -> FakePrometheus:
    prometheus = FakePrometheus()
    for number in range(60):
        at = NOON + number * 5 * SECOND
        prometheus.put("load", value, at=at, namespace="airport", pod="delay-b-0")
    return prometheus


def test_each_look_is_asked_for_once() -> None:
    prometheus = scraped()
    lookout = Lookout(prometheus, AtOnce())
    for age in range(60):
        lookout.see(KEY, question(), now=NOON + age * SECOND)
    assert [(asked.last - NOON) // SECOND for asked in prometheus.asked] == [20, 30, 40, 50]
    assert 'pod=~"delay-b-.+"}[20s]' in prometheus.asked[0].query


def test_a_silent_prometheus_is_asked_again_after_a_while() -> None:
    prometheus = scraped()
    prometheus.down = "Prometheus at prom cannot be asked"
    lookout = Lookout(prometheus, AtOnce())
    for age in range(20, 30):
        seen = lookout.see(KEY, question(promql={"every": "20s"}), now=NOON + age * SECOND)
        assert seen == Unseen(Lack.UNAVAILABLE, prometheus.down)
    assert len(prometheus.asked) == 1
    prometheus.down = ""
    seen = lookout.see(KEY, question(promql={"every": "20s"}), now=NOON + 20 * SECOND + PACE)
    assert isinstance(seen, Looks)


def test_a_prometheus_that_hangs_holds_up_no_pass() -> None:
    pool = WhenTold()
    lookout = Lookout(scraped(), pool)
    assert lookout.see(KEY, question(), now=NOON + 20 * SECOND) == Unseen(Lack.NOT_YET, "Prometheus is being asked")
    pool.answer()
    first = lookout.see(KEY, question(), now=NOON + 21 * SECOND)
    assert isinstance(first, Looks)
    for age in range(30, 60):  # nothing is answered any more: the look before stands, and nothing is asked twice
        assert lookout.see(KEY, question(), now=NOON + age * SECOND) == first
    assert len(pool.waiting) == 1
    late = lookout.see(KEY, question(), now=NOON + 30 * SECOND + OVERDUE)
    assert isinstance(late, Unseen)
    assert late.lack is Lack.UNAVAILABLE
    pool.answer()
    assert isinstance(lookout.see(KEY, question(), now=NOON + 31 * SECOND + OVERDUE), Looks)


def test_the_look_at_another_step_stands_in_for_nothing() -> None:
    pool = WhenTold()
    lookout = Lookout(scraped(), pool)
    lookout.see(KEY, question(), now=NOON + 20 * SECOND)
    pool.answer()
    assert isinstance(lookout.see(KEY, question(), now=NOON + 21 * SECOND), Looks)
    later = question(since=NOON + MINUTE)
    assert isinstance(lookout.see(KEY, later, now=NOON + MINUTE), Unseen)
    assert isinstance(lookout.see(KEY, later, now=NOON + 80 * SECOND), Unseen)


def test_a_deployment_that_is_gone_is_forgotten() -> None:
    prometheus = scraped()
    lookout = Lookout(prometheus, AtOnce())
    lookout.see(KEY, question(), now=NOON + 20 * SECOND)
    lookout.forget(KEY)
    lookout.see(KEY, question(), now=NOON + 20 * SECOND)
    assert len(prometheus.asked) == 2


# --- a rollout ---


def guarded(**changes: Any) -> dict[str, Any]:
    guard = {
        "name": "load",
        "metric": "promql",
        "role": "guard",
        "max": "90%",
        "promql": {"query": QUERY, "window": "20s", "every": "10s"},
    }
    listed = [{"name": "ten", "weight": 10, "hold": "5s"}, {"name": "half", "weight": 50, "hold": "5s"}]
    strategy = {"type": "Canary", "canary": {"mirror": 0, "steps": listed}}
    return CANARY_SPEC | {"strategy": strategy, "analysis": {"metrics": [ANALYSIS["metrics"][0], guard | changes]}}


def started(spec: dict[str, Any], *, load: float | None, before: Callable[[Watched], None] | None = None) -> Watched:
    """The first model serves under some load, and the second is on its way under another."""
    world = Watched({ONE: Model(version="1.0.0"), TWO: Model(version="2.0.0")})
    world.loads = {ONE: 0.95, TWO: load}
    world.deploy(spec)
    world.run(lambda: world.phase is Phase.COMPLETED)
    if before:
        before(world)
    world.deploy(spec, image=TWO)
    world.run(lambda: TWO in world.route)
    return world


def verdict(world: Watched) -> tuple[str, str]:
    found = world.status.rollout.verdicts if world.status.rollout else []
    return next(((item.verdict, item.reason) for item in found if item.name == "load"), ("", ""))


def test_a_candidate_within_the_limit_goes_on_when_every_step_was_seen() -> None:
    world = started(guarded(), load=0.5)
    entered = world.clock.now
    world.run(lambda: world.phase is Phase.WATCHING, within=5 * MINUTE)
    assert world.clock.now - entered >= 2 * 40 * SECOND  # the window and two more looks, in each of two steps
    assert {asked.query for asked in world.prometheus.asked} >= {
        f'max(max_over_time(load{{namespace="airport", pod=~"{world.revision(TWO)}-.+"}}[20s]))'
    }


def test_a_candidate_beyond_the_limit_goes_home() -> None:
    world = started(guarded(), load=0.97)
    world.run(lambda: world.route == {ONE: ("stable", 10_000)}, within=3 * MINUTE)
    assert world.status.rollout
    assert "load: 97 % at " in world.status.rollout.message
    assert [weight for _, weight in world.weights if weight] == [1000]


def test_what_was_before_the_step_is_not_held_against_it() -> None:
    def hot(world: Watched) -> None:
        for number in range(12):  # the candidate's name is known before it serves: a minute of too much load
            at = world.clock.now - number * 5 * SECOND
            world.prometheus.put("load", 9.0, at=at, namespace="airport", pod="delay-9159daa08f-0")

    world = started(guarded(), load=0.5, before=hot)
    assert world.revision(TWO) == "delay-9159daa08f"
    world.run(lambda: world.phase is Phase.WATCHING, within=5 * MINUTE)


def test_after_the_switch_it_is_still_looked_at() -> None:
    world = started(guarded(), load=0.5)
    world.run(lambda: world.phase is Phase.WATCHING, within=5 * MINUTE)
    world.loads[TWO] = 0.99
    world.run(lambda: world.phase is Phase.ROLLED_BACK, within=2 * MINUTE)


@pytest.mark.rule("evidence-down")
def test_a_prometheus_that_is_down_holds_and_takes_nothing_back() -> None:
    def away(world: Watched) -> None:
        world.prometheus.down = "Prometheus at prom cannot be asked"

    world = started(guarded(), load=0.99, before=away)
    world.run_for(10 * MINUTE)
    assert (world.phase, world.route[TWO]) == (Phase.AWAITING_EVIDENCE, ("candidate", 1000))
    assert verdict(world) == ("Error", "PrometheusUnavailable")
    world.prometheus.down = ""
    world.run(lambda: world.route == {ONE: ("stable", 10_000)}, within=2 * MINUTE)


@pytest.mark.parametrize(
    ("load", "changes", "down", "phase"),
    [
        pytest.param(None, {"onNoData": "pass"}, "", Phase.WATCHING, id="no series, and that is well"),
        pytest.param(None, {"onNoData": "fail"}, "", Phase.ROLLED_BACK, id="no series, and that is bad"),
        pytest.param(None, {}, "", Phase.AWAITING_EVIDENCE, id="no series, so it waits"),
        pytest.param(0.99, {"onUnavailable": "pass"}, "away", Phase.WATCHING, id="away, and that is well"),
        pytest.param(0.99, {"onUnavailable": "fail"}, "away", Phase.ROLLED_BACK, id="away, and that is bad"),
        pytest.param(0.99, {"onNoData": "fail"}, "away", Phase.AWAITING_EVIDENCE, id="away is not having no data"),
        pytest.param(
            0.0,
            {"onUnavailable": "fail", "promql": {"query": f"{QUERY} / 0", "window": "20s"}},
            "",
            Phase.ROLLED_BACK,
            id="0 / 0 is no answer",
        ),
        pytest.param(
            0.5,
            {"onUnavailable": "fail", "onNoData": "fail", "promql": {"query": f"{QUERY} plus 1", "window": "20s"}},
            "",
            Phase.AWAITING_EVIDENCE,
            id="a query at fault waits for a person, whatever is said of outages",
        ),
    ],
)
def test_after_max_wait_the_metric_says_what_its_want_means(
    load: float | None, changes: dict[str, Any], down: str, phase: Phase
) -> None:
    def away(world: Watched) -> None:
        world.prometheus.down = down

    world = started(guarded(maxWait="1m", **changes), load=load, before=away)
    if phase is Phase.AWAITING_EVIDENCE:
        world.run_for(5 * MINUTE)
        assert (world.phase, world.route[TWO]) == (phase, ("candidate", 1000))
        return
    world.run(lambda: world.phase is phase, within=10 * MINUTE)


def test_an_operator_that_starts_anew_finds_the_same_looks() -> None:
    world = started(guarded(), load=0.97)
    world.run_for(30 * SECOND)
    world.restart()
    world.run(lambda: world.route == {ONE: ("stable", 10_000)}, within=MINUTE)


def test_an_installation_without_a_prometheus_refuses_the_metric_and_says_whose_value_is_missing() -> None:
    world = Simulation({ONE: Model(version="1.0.0")})
    world.deploy(guarded())
    world.run_for(5 * SECOND)
    accepted = next(item for item in world.status.conditions if item.type == "Accepted")
    assert (accepted.status, accepted.reason) == ("False", "Disabled")
    assert "spec.analysis.metrics[1].metric: promql" in accepted.message
    assert "operator.prometheus.url" in accepted.message


def test_the_monitor_is_told_nothing_of_it() -> None:
    world = started(guarded(), load=0.5)
    assert [item.name for item in world.bus.models[-1].analysis.metrics] == ["errors"]
    assert {asked.metric.name for asked in world.monitor.asked} == {"errors"}


def test_a_look_is_shown_in_the_unit_of_its_limit() -> None:
    asked = Inquiry(
        query="x", entered=NOON, first=datetime(2026, 1, 1, 9, 30, 5, tzinfo=UTC), every=SECOND, looks=1, window=SECOND
    )
    said = outside.judge(metric(max="200ms"), Looks(asked, (0.25,))).message
    assert said == "0.250 s at 09:30:05Z is beyond max 200ms, 1 of 3 looks in a row"
