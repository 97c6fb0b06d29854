"""What each arm of a split was asked, by generation and by time: counted when it is sure whose it is, else not."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from switchyard_gateway.control.domain.arms import MOST_WINDOWS, SETTLING, WINDOW, ArmCount, Arms, Window
from switchyard_gateway.control.domain.counters import Count, Growth, of_cluster
from switchyard_gateway.control.domain.fragment import Arm, Routing

KEY = "ns/a"
STABLE = ("ns/a-1/only", "10.0.0.1", 3000)
CANDIDATE = ("ns/a-2", "10.0.0.2", 3000)
SPARE = ("ns/a-2", "10.0.0.1", 3000)
PREVIEW = ("ns/a-2/only", "10.0.0.2", 3000)
OWNERS = {STABLE: "a-1", CANDIDATE: "a-2", SPARE: "a-1", PREVIEW: "a-2", of_cluster("ns/a-2"): "a-2"}


def routing(generation: int, weight: int = 3_000) -> Routing:
    arms = (
        Arm("ns/a-1/only", 10_000 - weight, f"ns/a|a-1|1.0.0|stable|{generation}|{10_000 - weight}|split"),
        Arm("ns/a-2", weight, f"ns/a|a-2|2.0.0|candidate|{generation}|{weight}|split"),
    )
    return Routing(KEY, generation, "", "/ns/a", ("/predict",), 1_000, arms, ())


def grew(key, requests=0, errors=0, retries=0) -> Growth:
    return Growth(key, (KEY, OWNERS[key]), Count(requests, errors, retries=retries))


def counting(generation: int = 7, *, now: float = 0.0) -> Arms:
    """Envoy has run this generation for so long that everything counts from now + 2 s on."""
    arms = Arms()
    arms.run({KEY: routing(generation)}, now=now)
    arms.take([], looked_at=now + 2, at=now + 2)
    return arms


def total(arms: Arms, revision: str, generation: int | None = None) -> tuple[int, int, int]:
    counts = [
        window.arms[revision]
        for window in arms.windows.get(KEY, ())
        if revision in window.arms and generation in (None, window.traffic)
    ]
    return (
        sum(count.requests for count in counts),
        sum(count.failures for count in counts),
        sum(count.failed_over for count in counts),
    )


def test_both_arms_are_counted_with_their_weights():
    arms = counting()
    arms.take([grew(STABLE, 70, 1), grew(CANDIDATE, 30, 4)], looked_at=5.0, at=1_007.0)
    assert arms.windows == {KEY: (Window(7, 1_000, {"a-1": ArmCount(7_000, 70, 1), "a-2": ArmCount(3_000, 30, 4)}),)}


def test_who_stood_in_for_the_candidate_counts_against_it_and_not_for_stable():
    arms = counting()
    arms.take([grew(STABLE, 70), grew(SPARE, 30, 2)], looked_at=5.0, at=0.0)
    assert (total(arms, "a-1"), total(arms, "a-2")) == ((70, 0, 0), (30, 30, 30))


def test_an_attempt_that_was_made_again_elsewhere_is_no_second_failure():
    arms = counting()
    arms.take(
        [grew(CANDIDATE, 20, 5 + 3), grew(SPARE, 3), grew(of_cluster("ns/a-2"), retries=3)], looked_at=5.0, at=0.0
    )
    assert total(arms, "a-2") == (23, 5 + 3, 3)


def test_previews_and_mirrored_requests_are_no_arms():
    arms = counting()
    arms.take([grew(PREVIEW, 100, 100)], looked_at=5.0, at=0.0)
    assert arms.windows == {}


def test_nothing_counts_before_a_first_look():
    arms = Arms()
    arms.run({KEY: routing(7)}, now=0.0)
    arms.take([grew(CANDIDATE, 1_000, 500)], looked_at=100.0, at=0.0)
    assert arms.windows == {}
    arms.take([grew(CANDIDATE, 10, 5)], looked_at=105.0, at=0.0)
    assert total(arms, "a-2") == (10, 5, 0)


def test_a_new_generation_counts_from_the_first_look_after_it_has_settled():
    arms = counting(7)
    arms.run({KEY: routing(8, 5_000)}, now=10.0)
    assert not arms.wants_a_look(10.0)
    arms.take([grew(CANDIDATE, 9, 9)], looked_at=10.5, at=10.5)
    arms.take([grew(CANDIDATE, 9, 9)], looked_at=10.6, at=10.6)
    assert not arms.wants_a_look(10.9)
    assert arms.wants_a_look(10.0 + SETTLING)
    arms.take([grew(CANDIDATE, 9, 9)], looked_at=11.5, at=11.5)
    assert arms.windows == {}
    assert not arms.wants_a_look(20.0)
    arms.take([grew(CANDIDATE, 4, 1)], looked_at=16.0, at=16.0)
    assert (total(arms, "a-2", 7), total(arms, "a-2", 8)) == ((0, 0, 0), (4, 1, 0))


def test_what_a_generation_was_asked_before_the_next_stays_its_own():
    arms = counting(7)
    arms.take([grew(CANDIDATE, 10, 2)], looked_at=4.0, at=4.0)
    arms.run({KEY: routing(8, 5_000)}, now=5.0)
    for now in (7.0, 9.0):
        arms.take([grew(CANDIDATE, 10)], looked_at=now, at=now)
    assert (total(arms, "a-2", 7), total(arms, "a-2", 8)) == ((10, 2, 0), (10, 0, 0))


def test_a_route_that_was_made_anew_takes_the_old_ones_windows_with_it():
    arms = counting(7)
    arms.take([grew(CANDIDATE, 10, 10)], looked_at=4.0, at=4.0)
    arms.run({KEY: routing(1)}, now=5.0)
    assert arms.windows == {}


def test_another_envoy_counts_from_its_second_look():
    arms = counting()
    arms.begin_anew()
    arms.take([grew(CANDIDATE, 500, 500)], looked_at=5.0, at=5.0)
    arms.take([grew(CANDIDATE, 5, 1)], looked_at=7.0, at=7.0)
    assert total(arms, "a-2") == (5, 1, 0)


def test_without_a_route_nothing_counts_and_a_deleted_deployment_is_forgotten():
    arms = counting()
    arms.take([grew(CANDIDATE, 5)], looked_at=4.0, at=4.0)
    arms.run({}, now=5.0)
    arms.take([grew(CANDIDATE, 5)], looked_at=9.0, at=9.0)
    assert total(arms, "a-2") == (5, 0, 0)
    arms.forget([])
    assert arms.windows == {}


looks = st.lists(
    st.tuples(
        st.sampled_from(["look", "look", "look", "route", "boot"]),
        st.floats(0.1, 40.0),
        st.integers(0, 30),
        st.integers(0, 5),
    ),
    max_size=150,
)


@given(looks)
def test_no_request_is_counted_twice_or_for_a_generation_that_did_not_run_all_the_while(steps):
    """Against a plain account: what was asked between two looks, and whether anything changed between them."""
    arms, now, generation = Arms(), 0.0, 1
    arms.run({KEY: routing(1)}, now=now)
    changed_at, looked_at = now, None
    expected: dict[int, list[int]] = {}
    for what, passes, requests, failures in steps:
        now += passes
        if what == "route":
            generation, changed_at = generation + 1, now
            arms.run({KEY: routing(generation)}, now=now)
            continue
        if what == "boot":
            looked_at = None
            arms.begin_anew()
            continue
        arms.take([grew(CANDIDATE, requests + failures, failures)], looked_at=now, at=now)
        if looked_at is not None and looked_at >= changed_at + SETTLING:
            held = expected.setdefault(generation, [0, 0])
            held[0] += requests + failures
            held[1] += failures
        looked_at = now
    windows = arms.windows.get(KEY, ())
    assert len(windows) <= MOST_WINDOWS
    assert all(window.start % WINDOW == 0 for window in windows)
    assert [window.start for window in windows] == sorted(window.start for window in windows)
    kept = {window.traffic for window in windows}
    for generation, (requests, failures) in expected.items():
        counted = total(arms, "a-2", generation)[:2]
        whole = len(windows) < MOST_WINDOWS or generation > min(kept)
        assert counted == (requests, failures) if whole else counted <= (requests, failures)


def test_a_long_step_keeps_all_of_its_counts_and_the_newest_windows_fine():
    arms = counting()
    for number in range(1, 201):
        arms.take([grew(CANDIDATE, 10, 1)], looked_at=2.0 + number, at=float(number * WINDOW))
    assert len(arms.windows[KEY]) == MOST_WINDOWS
    assert total(arms, "a-2") == (2_000, 200, 0)
    first, *rest = arms.windows[KEY]
    assert first.start == WINDOW
    assert [window.arms["a-2"].requests for window in rest] == [10] * (MOST_WINDOWS - 1)
