"""The world of the demo: in order of time, nothing before its cause, and the same from the same seed."""

from collections import Counter
from collections.abc import Sequence
from datetime import date, datetime, timedelta
from itertools import islice, pairwise
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from switchyard_demo_model.pipeline.source import source
from switchyard_demo_model.serving.flight import Flight
from switchyard_demo_model.world.dispatcher import BUFFER_FROM, OWN_JUDGEMENT, Mood, adds_buffer, mood
from switchyard_demo_model.world.journeys import FIRST_DAY, Journey, journeys, of_day
from switchyard_demo_model.world.schedule import Action, Decide, Pace, Predict, Report, World

DAYS = 5


@pytest.fixture(scope="module")
def known() -> tuple[Journey, ...]:
    return journeys(source(), days=DAYS)


def flight(**changes: object) -> Flight:
    """An ordinary flight; each test says only what differs."""
    ordinary = {"carrier": "UA", "origin": "EWR", "dest": "IAH", "distance": 1400, "hour": 8, "weekday": 2}
    return Flight.model_validate(ordinary | changes)


def world(known: Sequence[Journey], **changes: object) -> World:
    """The demo's world; each test says only what differs."""
    usual = {"first": FIRST_DAY, "pace": Pace(rate=80.0, day_seconds=12.0), "seed": 7}
    return World(known, **(usual | changes))  # type: ignore[arg-type]


def of_kind(actions: Sequence[Action], kind: type) -> dict[int, Action]:
    return {action.number: action for action in actions if isinstance(action, kind)}


def test_the_world_begins_after_the_last_day_that_a_model_has_seen(known: tuple[Journey, ...]) -> None:
    assert min(journey.leaves for journey in known).date() >= FIRST_DAY - timedelta(days=1)
    assert date(2013, 2, 28) < FIRST_DAY


def test_flights_are_in_the_order_in_which_they_left(known: tuple[Journey, ...]) -> None:
    assert all(earlier.leaves <= later.leaves for earlier, later in pairwise(known))


def test_a_cancelled_flight_has_no_departure_delay_and_never_lands(known: tuple[Journey, ...]) -> None:
    cancelled = [journey for journey in known if journey.flight.departure_delay is None]
    assert cancelled
    assert all(journey.lands is None and journey.arrival_delay is None for journey in cancelled)


def test_a_diverted_flight_left_and_never_reports(known: tuple[Journey, ...]) -> None:
    assert any(journey.flight.departure_delay is not None and journey.lands is None for journey in known)


def test_a_day_holds_exactly_the_flights_that_left_on_it(known: tuple[Journey, ...]) -> None:
    day = FIRST_DAY + timedelta(days=2)
    assert list(of_day(known, day)) == [journey for journey in known if journey.leaves.date() == day]


def test_a_journey_that_lands_before_it_left_is_refused() -> None:
    noon = datetime(2013, 3, 1, 12)  # noqa: DTZ001 - New York's time, as everywhere in the world
    with pytest.raises(ValueError, match="lands after it left"):
        Journey(flight(), leaves=noon, lands=noon, arrival_delay=3.0)


@settings(max_examples=12, deadline=None)
@given(rate=st.floats(5, 150), day_seconds=st.floats(2, 30), seed=st.integers(0, 2**32))
def test_whatever_the_pace_and_the_seed(known: tuple[Journey, ...], rate: float, day_seconds: float, seed: int) -> None:
    pace = Pace(rate, day_seconds)
    actions = list(world(known, pace=pace, seed=seed).actions())
    assert all(earlier.due <= later.due for earlier, later in pairwise(actions)), "in order of time"
    asked, decided, landed = (of_kind(actions, kind) for kind in (Predict, Decide, Report))
    assert sorted(asked) == list(range(len(asked))), "numbered without a gap"
    assert decided.keys() == asked.keys(), "each answer is decided on"
    assert landed.keys() == {number for number, action in asked.items() if action.will_land}, "those that land report"
    for later in (decided, landed):
        assert all(later[number].due > asked[number].due for number in later), "nothing comes before its cause"
    for number, action in asked.items():
        if action.flight.departure_delay is None:
            assert number not in landed, "a cancelled flight never reports"


def test_the_same_seed_is_the_same_world_and_another_is_another(known: tuple[Journey, ...]) -> None:
    first = list(world(known).actions())
    assert first == list(world(known).actions())
    assert first != list(world(known, seed=8).actions())


def test_requests_come_at_a_steady_rate(known: tuple[Journey, ...]) -> None:
    dues = [action.due for action in world(known).actions() if isinstance(action, Predict)]
    full = dues[: 3 * 960]
    assert all(later - earlier == pytest.approx(1 / 80) for earlier, later in pairwise(full))


def test_outcomes_come_in_order_of_landing(known: tuple[Journey, ...]) -> None:
    whole = world(known)
    landings = [journey.lands for journey in known if journey.lands is not None][:2000]
    first = whole.day(0)
    assert first is not None
    clocks = [whole.clock(moment, seen_from=first) for moment in sorted(landings)]
    assert clocks == sorted(clocks)


def test_most_flights_have_landed_within_a_day_of_the_demo(known: tuple[Journey, ...]) -> None:
    actions = list(world(known).actions())
    asked, landed = of_kind(actions, Predict), of_kind(actions, Report)
    within = sum(landed[number].due - asked[number].due <= 12.0 for number in landed)
    assert within / len(landed) > 0.99
    assert len(landed) / len(asked) > 0.9


def test_a_busy_pace_asks_about_some_flights_twice_and_about_none_three_times(known: tuple[Journey, ...]) -> None:
    day = world(known, pace=Pace(rate=100.0, day_seconds=15.0)).day(1)
    assert day is not None
    times = Counter(id(journey) for journey in day.asked)
    assert set(times.values()) == {1, 2}
    assert len(day.asked) == 1500


def test_a_quiet_pace_asks_about_no_flight_twice(known: tuple[Journey, ...]) -> None:
    day = world(known, pace=Pace(rate=20.0, day_seconds=12.0)).day(1)
    assert day is not None
    assert len({id(journey) for journey in day.asked}) == len(day.asked) == 240


def test_a_world_is_played_without_being_laid_out_first(known: tuple[Journey, ...]) -> None:
    whole = world(known)
    head = list(islice(whole.actions(), 10))
    assert whole.drawn.cache_info().misses <= 2  # the first day, and the next one for flights that land in it
    assert [action.number for action in head if isinstance(action, Predict)]


def test_a_leap_takes_place_where_the_next_day_begins_and_what_is_in_the_air_lands(known: tuple[Journey, ...]) -> None:
    pace = Pace(rate=20.0, day_seconds=4.0)
    plain, leaping = world(known, pace=pace), world(known, pace=pace)
    playing = leaping.actions()
    head = list(islice(playing, 30))
    assert leaping.leap(FIRST_DAY + timedelta(days=3)) == 4.0
    actions = head + list(playing)
    assert all(earlier.due <= later.due for earlier, later in pairwise(actions)), "still in order of time"
    days = [
        [action.flight for action in actions if isinstance(action, Predict) and n * 4.0 <= action.due < (n + 1) * 4.0]
        for n in range(3)
    ]
    for index, original in enumerate((0, 3, 4)):
        expected = plain.day(original)
        assert expected is not None
        assert days[index] == [journey.flight for journey in expected.asked], "a day is drawn by its date alone"
    asked, landed = of_kind(actions, Predict), of_kind(actions, Report)
    assert landed.keys() == {number for number, action in asked.items() if action.will_land}
    assert all(landed[number].due > asked[number].due for number in landed)


def test_a_leap_waits_for_a_day_of_the_wanted_number(known: tuple[Journey, ...]) -> None:
    leaping = world(known)
    playing = leaping.actions()
    next(playing)
    assert leaping.leap(FIRST_DAY + timedelta(days=4), every=2) == 24.0
    second, third = leaping.day(1), leaping.day(2)
    assert second is not None
    assert third is not None
    assert second.midnight.date() == FIRST_DAY + timedelta(days=1)
    assert third.midnight.date() == FIRST_DAY + timedelta(days=4)


@pytest.mark.parametrize(
    ("rate", "day_seconds"),
    [
        pytest.param(0.0, 12.0, id="no requests"),
        pytest.param(80.0, 0.0, id="a day of no length"),
        pytest.param(0.1, 1.0, id="less than one request a day"),
    ],
)
def test_a_pace_that_leaves_nothing_to_do_is_refused(rate: float, day_seconds: float) -> None:
    with pytest.raises(ValueError, match="raise one of them"):
        Pace(rate, day_seconds)


@pytest.mark.parametrize(
    ("prediction", "departure_delay", "how", "buffer"),
    [
        pytest.param(20.0, 0.0, Mood(0.0, own_way=False, thinking=1), True, id="a late prediction is followed"),
        pytest.param(5.0, 90.0, Mood(0.0, own_way=False, thinking=1), False, id="an early prediction is followed"),
        pytest.param(BUFFER_FROM, 0.0, Mood(0.0, own_way=False, thinking=1), True, id="the limit itself is late"),
        pytest.param(12.0, 0.0, Mood(4.0, own_way=False, thinking=1), True, id="she noticed something"),
        pytest.param(5.0, 90.0, Mood(0.0, own_way=True, thinking=1), True, id="she goes by the departure"),
        pytest.param(500.0, None, Mood(0.0, own_way=True, thinking=1), False, id="it has not left: on time, she says"),
    ],
)
def test_the_dispatcher(prediction: float, departure_delay: float | None, how: Mood, buffer: bool) -> None:
    assert adds_buffer(prediction, flight(departure_delay=departure_delay), how) is buffer


def test_she_goes_her_own_way_as_often_as_the_rule_says() -> None:
    random = Random(3)
    share = sum(mood(random).own_way for _ in range(20_000)) / 20_000
    assert share == pytest.approx(OWN_JUDGEMENT, abs=0.01)
