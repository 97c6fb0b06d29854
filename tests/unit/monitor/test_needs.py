"""What alarms and drift may yet look at stays until they have: sums of windows, and profiles."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from switchyard_contracts.alarm_records import Standing
from switchyard_contracts.windows import DAY_US, HOUR_US
from switchyard_monitor.adapters.drift_book import SqlDriftBook
from switchyard_monitor.baselines import Baselines
from switchyard_monitor.domain.alarms import Look, State, Terms
from switchyard_monitor.domain.gauges import gone, told_from
from switchyard_monitor.domain.needs import FREE_US, NOTHING, needed
from switchyard_monitor.domain.profiling import Span
from switchyard_monitor.domain.retention import Keep, Rungs
from switchyard_monitor.drift_keeper import DriftKeeper
from switchyard_testkit.alarm_world import STABLE, AlarmWorld
from switchyard_testkit.databases import SqliteFiles
from switchyard_testkit.monitor_world import MONITORING, NOON_US, REFERENCE, SUBJECT, World, inference, outcome

MINUTE, HOUR, DAY = 60, 3_600, 86_400
MINUTE_US = 60_000_000
ME = ["monitor-0"]
LEAST = Keep(rows_us=0, margin_us=0, windows_us=0, hourly_us=0, daily_us=0)
"""Whoever wants as little as they may."""


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> SqliteFiles:
    return SqliteFiles(tmp_path_factory.mktemp("databases"))


@pytest.fixture
def watched(tmp_path: Path, files: SqliteFiles) -> Iterator[AlarmWorld]:
    made = another(tmp_path, files)
    yield made
    made.close()


def another(folder: Path, files: SqliteFiles) -> AlarmWorld:
    url = files.up_to_date()
    return AlarmWorld(World(folder, url=url), url)


def terms(**changes: Any) -> Terms:
    """Of the errors of half an hour, judged three days later; each test says only what differs."""
    usual = {"name": "worse", "metric": "outcome.rmse", "high": 3.0, "clear": 3.0, "window_us": 30 * MINUTE_US}
    return Terms(**{**usual, "age_us": 3 * DAY_US, "cooldown_us": 0, "of": 2, "breaches": 1} | changes)


NOW = 100 * DAY_US


@pytest.mark.parametrize(
    ("rule", "hourly_us", "daily_us"),
    [
        pytest.param(terms(), 97 * DAY_US - HOUR_US, FREE_US, id="half hours of predictions"),
        pytest.param(terms(window_us=HOUR_US), FREE_US, FREE_US, id="hours of predictions stay hours"),
        pytest.param(
            terms(metric="error_rate"), 97 * DAY_US - HOUR_US, 97 * DAY_US - HOUR_US, id="half hours of requests"
        ),
        pytest.param(
            terms(metric="latency_p99", window_us=HOUR_US), FREE_US, 97 * DAY_US - 2 * HOUR_US, id="hours of requests"
        ),
        pytest.param(terms(metric="requests", window_us=DAY_US), FREE_US, FREE_US, id="days of requests"),
        pytest.param(terms(metric="drift", window_us=DAY_US), FREE_US, FREE_US, id="profiles have times of their own"),
        pytest.param(terms(metric="data.missing", feature="x"), FREE_US, FREE_US, id="half hours of profiles"),
    ],
)
def test_a_rule_holds_what_it_would_begin_with(rule: Terms, hourly_us: int, daily_us: int) -> None:
    found = needed([rule], {}, [], NOW)
    assert found == Rungs(hourly_us, daily_us, 97 * DAY_US - 2 * rule.window_us)


def test_a_rule_that_is_behind_holds_all_from_its_next_window_on() -> None:
    rule = terms(metric="error_rate")
    behind = State(rule.definition, "r1", 40 * DAY_US)
    assert needed([rule], {"worse": behind}, [], NOW) == Rungs(*(40 * DAY_US,) * 3)
    ahead = replace(behind, next_us=98 * DAY_US)
    assert needed([rule], {"worse": ahead}, [], NOW) == needed([rule], {}, [], NOW)


@pytest.mark.parametrize("rules", [[], [terms(metric="drift", window_us=DAY_US)]], ids=["taken out", "another by now"])
def test_what_was_begun_by_a_rule_that_is_no_more_holds_all_until_it_is_closed(rules: list[Terms]) -> None:
    look = Look(39 * DAY_US, Standing.BREACH, 1.0)
    state = State(terms().definition, "r1", 40 * DAY_US, looks=(look,), firing=True)
    assert needed(rules, {"worse": state}, [], NOW) == Rungs(*(40 * DAY_US,) * 3)


def test_drift_that_is_due_holds_what_would_be_forgotten_and_nothing_else() -> None:
    assert needed([], {}, [7, 3], NOW) == Rungs(FREE_US, FREE_US, 3)
    assert needed([], {}, [], NOW) == NOTHING


def test_a_rule_begins_with_the_first_window_that_can_be_told() -> None:
    half, hour = terms(), terms(window_us=HOUR_US)
    rungs = Rungs(50 * DAY_US + HOUR_US, 40 * DAY_US, 10 * DAY_US)
    assert (told_from(half, rungs), told_from(hour, rungs)) == (50 * DAY_US + HOUR_US, 10 * DAY_US)
    assert told_from(terms(window_us=7 * HOUR_US, metric="error_rate"), rungs) == 138 * 7 * HOUR_US
    assert gone(half, 50 * DAY_US + HOUR_US, rungs) == ""
    assert gone(half, 50 * DAY_US + HOUR_US // 2, rungs).endswith("put together to longer ones")
    assert gone(hour, 10 * DAY_US - HOUR_US, rungs).endswith("no longer kept")


def monitoring(*rules: Mapping[str, Any], judged_after: str = "9d") -> dict[str, Any]:
    outcomes = {**MONITORING["outcome"], "judgedAfter": judged_after, "horizon": "10d"}
    return {**MONITORING, "window": "10m", "outcome": outcomes, "alarms": [{"minSamples": 1, **rule} for rule in rules]}


WORSE = {"name": "worse", "metric": "outcome.rmse", "max": "3", "window": "30m", "breaches": 1, "of": 1}
FAILING = {"name": "failing", "metric": "error_rate", "max": "20%", "window": "90m", "after": "7d", "of": 3}
SILENT = {"name": "silent", "metric": "requests", "min": 2, "window": "25h", "after": "7d", "breaches": 1, "of": 2}


def live(watched: AlarmWorld, days: float, *, seed: int, keep: Keep | None, looks_every: int) -> None:
    """Traffic of some days, good and bad by the hour; things are put away twice a day, if there is a keep."""
    chance, world = random.Random(seed), watched.world
    for half_day in range(round(2 * days)):
        since = half_day * DAY / 2
        told = []
        for _ in range(chance.choice([0, 4, 12])):
            at, wrong = since + chance.uniform(0, DAY / 2), chance.random() < 0.3
            name = f"p{half_day}-{chance.random()}"
            told.append((at, inference(name, y=10.0, at=at, **({"status": 503, "error": True} if wrong else {}))))
            told.append((at, outcome(name, chance.choice([9.0, 1.0]), at=at)))
        for at, value in sorted(told, key=lambda one: one[0]):
            world.say(value, at=at)
        world.now_us = NOON_US + round((since + DAY / 2) * 1e6)
        world.tick()
        world.run()
        if keep is not None:
            world.pruner(keep=keep).run(ME)
        if half_day % looks_every == 0:
            watched.evaluator._next_us = 0
            watched.judge()
    watched.evaluator._next_us = 0
    watched.judge()


@pytest.mark.rule("retention-windows")
@pytest.mark.parametrize(
    ("looks_every", "coarse"),
    [
        pytest.param(1, 15, id="at once"),
        pytest.param(9, 5, id="behind for days"),
        pytest.param(99, 0, id="behind from the start"),
    ],
)
def test_alarms_say_the_same_with_retention_and_without(
    tmp_path: Path, files: SqliteFiles, looks_every: int, coarse: int
) -> None:
    said = []
    for keep in (None, LEAST):
        folder = tmp_path / str(keep is None)
        folder.mkdir()
        watched = another(folder, files)
        watched.world.teach(monitoring(WORSE, FAILING, SILENT), stable=STABLE)
        watched.world.run()
        watched.judge()
        live(watched, 21, seed=7, keep=keep, looks_every=looks_every)
        windows = watched.alarms.said(SUBJECT, limit=1).states
        said.append((watched.records(), {name: state.looks for name, state in windows.items()}))
        hours = sum(start % HOUR == 0 for *_, start in watched.world.sums())
        watched.close()
    assert said[0] == said[1]
    assert {record.alarm for record in said[0][0]} == {"worse", "failing", "silent"}
    assert hours >= coarse, "much must have been put together meanwhile"


def test_where_predictions_are_held_what_exchanges_add_goes_by_the_day_beside_them(
    tmp_path: Path, files: SqliteFiles
) -> None:
    """Days before hours: the other way round than where nothing is held."""
    found = []
    for keep in (None, LEAST):
        folder = tmp_path / str(keep is None)
        folder.mkdir()
        watched = another(folder, files)
        watched.world.teach(monitoring(WORSE), stable=STABLE)
        live(watched, 20, seed=3, keep=keep, looks_every=1)
        by_day, by_window = Counter[int](), Counter[int]()
        for (*_, start), sums in watched.world.sums().items():
            if "requests" in sums:
                by_day[(start + DAY // 2) // DAY] += sums["requests"]
            by_window[start] += sums.get("predictions", 0)
        old = {start: sums for (*_, start), sums in watched.world.sums().items() if start < 17 * DAY}
        days = {start % DAY for start, sums in old.items() if "requests" in sums}
        recent = {start: many for start, many in by_window.items() if many and start > 11 * DAY}
        found.append((by_day, recent, watched.world.store.totals(watched.world.store.arms(SUBJECT)), watched.records()))
        watched.close()
    assert days == {DAY // 2}, "all that exchanges add lies in days"
    assert [held[1:] for held in found] == [found[0][1:]] * 2
    kept = {day: many for day, many in found[0][0].items() if day in found[1][0]}
    assert kept == dict(found[1][0])


@pytest.mark.parametrize("on_no_data", ["hold", "fire"])
def test_a_rule_that_is_new_takes_no_window_for_silent_that_was_put_away(watched: AlarmWorld, on_no_data: str) -> None:
    world = watched.world
    world.teach(monitoring(), stable=STABLE)
    live(watched, 20, seed=7, keep=LEAST, looks_every=1)
    world.teach(monitoring({**WORSE, "onNoData": on_no_data}), stable=STABLE)
    world.run()
    watched.evaluator._next_us = 0
    assert watched.judge() == 0, "all of that age are parts of longer ones"
    assert watched.records() == []
    live_on_us = world.now_us
    for hours in range(0, 10 * 24, 12):
        world.now_us = live_on_us + hours * HOUR_US
        world.say(
            inference(f"late{hours}", y=10.0, at=(world.now_us - NOON_US) / 1e6), at=(world.now_us - NOON_US) / 1e6
        )
        world.tick()
        world.run()
        world.pruner(keep=LEAST).run(ME)
        watched.evaluator._next_us = 0
        watched.judge()
    (state,) = watched.alarms.said(SUBJECT, limit=1).states.values()
    assert state.looks, "it is judged from there on"
    assert not any("too late" in look.words for look in state.looks)


def test_silence_is_known_of_who_was_asked_before_anything_that_is_kept(watched: AlarmWorld) -> None:
    world = watched.world
    world.teach(monitoring(), stable=STABLE)
    world.say(inference("once", at=0.0))
    world.elapse(500 * DAY)
    assert watched.alarms.served(SUBJECT, until_us=NOON_US - MINUTE_US * 20) is False
    world.pruner(keep=LEAST).run(ME)
    assert world.sums() == {}
    assert watched.alarms.served(SUBJECT, until_us=world.now_us) is True
    assert watched.alarms.served("demo/other", until_us=world.now_us) is False


class TestDrift:
    def keeper(self, watched: AlarmWorld, book: SqlDriftBook) -> DriftKeeper:
        world = watched.world
        return DriftKeeper(
            member="monitor-0",
            store=world.store,
            book=book,
            baselines=Baselines(world.store),
            clock_us=lambda: world.now_us,
        )

    @pytest.mark.rule("retention-windows")
    def test_a_window_stays_until_its_drift_was_judged_and_what_was_found_goes_when_it_goes(
        self, watched: AlarmWorld
    ) -> None:
        world, book = watched.world, SqlDriftBook(watched.url)
        world.store.keep_baseline(REFERENCE.digest, REFERENCE.to_bytes())
        world.teach(monitoring() | {"reference": REFERENCE.digest}, stable=STABLE)
        for days in (0, 1, 30):
            world.say(inference(f"at{days}", x={"x": 1}, y=10.0, at=days * DAY), at=days * DAY)
        world.elapse(420 * DAY)
        assert len(book.dues(SUBJECT, REFERENCE.digest)) == 3

        def profiled() -> list[int]:
            wanted = Span(subject=SUBJECT, baseline=REFERENCE.digest, since_us=0, until_us=2**62, length_us=DAY_US)
            return [key.start_us // DAY_US - NOON_US // DAY_US for key in world.store.profiles(wanted)]

        pruner = world.pruner()
        pruner.run(ME)
        assert profiled() == [0, 1, 30]
        assert pruner.held == {SUBJECT: "its oldest windows stay: their drift was not judged yet"}
        keeper = self.keeper(watched, book)
        while keeper.step():
            pass
        found = book.windows(SUBJECT, REFERENCE.digest)
        assert [window.rows for window in found] == [1, 1, 1]
        pruner = world.pruner()
        pruner.run(ME)
        assert (profiled(), pruner.held) == ([30], {})
        kept = book.windows(SUBJECT, REFERENCE.digest)
        assert kept == found[2:]
        held = [len(book.features(SUBJECT, REFERENCE.digest, STABLE, starts=[window.start_us])) for window in found]
        assert held == [0, 0, len(REFERENCE.features)]
        book.close()
