"""The calibration of drift: that it counts right, on made-up days; `make simulate` takes the real flights."""

import numpy as np
import pytest
from switchyard_monitor.domain.usual import Aspect
from switchyard_simulation import drifting, table
from switchyard_simulation.drifting import Day, Days

KEY = ("departure_delay", Aspect.DISTRIBUTION)


@pytest.fixture(scope="module")
def days() -> list[Day]:
    """Days of which some are late and some are not, as a whole."""
    chance = np.random.default_rng(3)
    return [_day(chance, late=chance.normal(0.0, 16.0)) for _ in range(drifting.LEARNT_DAYS + drifting.JUDGED_DAYS)]


def _day(chance: np.random.Generator, *, late: float, rows: int = 150) -> Day:
    return {
        "carrier": chance.choice(["UA", "B6", "EV"], rows).tolist(),
        "origin": chance.choice(["EWR", "JFK", "LGA"], rows).tolist(),
        "dest": chance.choice(["IAH", "ORD"], rows).tolist(),
        "distance": chance.choice([700.0, 1400.0, 2400.0], rows).tolist(),
        "hour": chance.integers(5, 23, rows).tolist(),
        "weekday": chance.integers(0, 7, rows).tolist(),
        "departure_delay": (chance.normal(10.0, 20.0, rows) + late).tolist(),
    }


def test_days_that_differ_by_themselves_keep_the_promise(days: list[Day]) -> None:
    whole, mixed, in_order = drifting.calm(days, runs=1, seed=1)
    assert not whole.broken
    assert not mixed.broken
    assert not in_order.promised
    assert table.plain(whole.cells).startswith("| whole days, by lot | 90 | ")
    naive = [day for day in drifting.watch(drifting.learn(days[:45]), days[45:]).naive if "departure_delay" in day]
    assert len(naive) > 50


def test_a_promise_that_is_broken_is_seen(days: list[Day]) -> None:
    """Days that all have the same rows by lot teach that nothing ever differs, and days as they are do."""
    chance = np.random.default_rng(5)
    even = drifting.shuffled(days[:45], chance)
    watched = drifting.watch(drifting.learn(even), days[45:])
    assert watched.alarms(drifting.K, drifting.N) > drifting.MOST_ALARMS


def test_what_changed_is_found(days: list[Day]) -> None:
    found = {row.cells[0]: row.cells[2:] for row in drifting.changed(days, runs=1, seed=1)}
    assert found["distances in kilometres"] == ("100.0%", "0.0%")
    assert found["one distance of a million"] == ("0.0%", "0.0%")


def test_shuffling_keeps_the_rows_and_how_many_a_day_has(days: list[Day]) -> None:
    some = [days[0], {name: values[:40] for name, values in days[1].items()}]
    mixed = drifting.shuffled(some, np.random.default_rng(1))
    assert [len(day["hour"]) for day in mixed] == [150, 40]

    def rows(held: list[Day]) -> list[tuple[object, ...]]:
        return sorted(row for day in held for row in zip(*(day[name] for name in day), strict=True))

    assert rows(mixed) == rows(some)


@pytest.mark.parametrize(
    ("found", "alarms"),
    [
        pytest.param("-x-", 0, id="one day alone"),
        pytest.param("-xx-", 1, id="two in a row"),
        pytest.param("x-x-x", 2, id="it begins anew after a day on which it did not hold"),
        pytest.param("xx---xx", 2, id="twice"),
    ],
)
def test_an_alarm_begins_when_two_of_three_days_drifted(found: str, alarms: int) -> None:
    days = Days([], [frozenset([KEY]) if day == "x" else frozenset() for day in found])
    assert days.alarms(2, 3) == alarms
