"""What is kept and for how long: pure rules, and rows and windows that are put away beside a reader."""

from __future__ import annotations

import itertools
import json
import random
import sqlite3
import uuid
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from switchyard_contracts.model_deployment import Monitoring, Phase
from switchyard_contracts.model_route import Route, RouteRole
from switchyard_contracts.topics import ModelRecord, RolloutRecord
from switchyard_contracts.windows import DAY_US, HOUR_US
from switchyard_monitor.adapters.timeline import SqlTimeline
from switchyard_monitor.domain.entries import OUTCOME, Arm, Entry, Pair, Pred, Version
from switchyard_monitor.domain.identity import earliest, key
from switchyard_monitor.domain.retention import (
    Keep,
    Rungs,
    cuts,
    expired,
    of_prediction,
    settled,
    spread,
    stretches,
    widest,
)
from switchyard_monitor.domain.rollouts import Happening
from switchyard_monitor.domain.rules import MAX_AGE_US, Rule
from switchyard_monitor.domain.sums import add
from switchyard_monitor.pruner import SECOND_LOOK_US, Piece, Pruner
from switchyard_monitor.reader import Pace
from switchyard_testkit.local_broker import LocalBroker
from switchyard_testkit.monitor_world import (
    MONITORING,
    NOON_US,
    SECOND,
    SUBJECT,
    World,
    decision,
    inference,
    mirrored,
    model_record,
    outcome,
)

DAY = 86_400
HOUR = 3_600
SHORT = Keep(rows_us=0, windows_us=500 * DAY_US, hourly_us=500 * DAY_US, daily_us=500 * DAY_US)
"""Rows for a week and a day, as the world's horizon asks; windows stay as they are."""
ME = ["monitor-0"]


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    made = World(tmp_path)
    made.teach()
    yield made
    made.store.close()


def look(world: World, pruner: Pruner, members: Sequence[str] = ME) -> None:
    """The first look at the clocks, and as much later as the second one is."""
    pruner.step(members)
    assert not pruner.busy
    world.pass_time(SECOND_LOOK_US / SECOND)


def totals(world: World, subject: str = SUBJECT) -> list[Any]:
    """What no retention may change."""
    store = world.store
    cells = [(cell.arm.revision, cell.arm.role, cell.sums) for cell in store.totals(store.arms(subject))]
    return [cells, [cell.sums for cell in store.pair_totals(store.pairs(subject))]]


def known(world: World, prediction_id: str, subject: str = SUBJECT) -> Entry | None:
    return world.store.entry(key(subject, prediction_id))[0]


def closes(labels: dict[str, int]) -> bool:
    return labels.get("in", 0) == sum(value for name, value in labels.items() if name != "in")


@pytest.mark.rule("retention-rows")
@pytest.mark.parametrize(
    ("rule", "keep", "kept_us"),
    [
        pytest.param(Rule("a/b", horizon_us=HOUR_US), Keep(), 30 * DAY_US, id="as long as people look at them"),
        pytest.param(Rule("a/b", horizon_us=90 * DAY_US), Keep(), 91 * DAY_US, id="as long as outcomes may take"),
        pytest.param(Rule("a/b", horizon_us=HOUR_US), Keep(rows_us=0), 8 * DAY_US, id="as long as events come again"),
        pytest.param(
            Rule("a/b", horizon_us=HOUR_US, judged_after_us=20 * DAY_US),
            Keep(rows_us=0),
            21 * DAY_US,
            id="until judged",
        ),
        pytest.param(
            Rule("a/b", horizon_us=9 * DAY_US), Keep(rows_us=0, margin_us=0), 9 * DAY_US, id="with no margin at all"
        ),
    ],
)
def test_rows_are_kept(rule: Rule, keep: Keep, kept_us: int) -> None:
    assert keep.rows(rule) == kept_us


@given(st.integers(0, 10**16), st.integers(0, 10**16), st.integers(0, 10**16), st.integers(1, 10**12))
def test_nothing_that_may_be_joined_judged_or_sent_again_has_had_its_time(
    horizon_us: int, judged_us: int, rows_us: int, at_us: int
) -> None:
    rule = Rule("a/b", horizon_us=horizon_us, judged_after_us=judged_us)
    mark_us = at_us + max(MAX_AGE_US, horizon_us, judged_us)
    assert at_us >= cuts([rule], Keep(rows_us=rows_us), mark_us)["a/b"]


class Shelf:
    """A book of one arm under one rule."""

    def id_of(self, arm: Arm) -> int:
        raise NotImplementedError

    def pair_id(self, pair: Pair) -> int:
        raise NotImplementedError

    def arm(self, arm_id: int) -> Arm:
        return Arm(arm_id, "r", "stable", 1, 10_000, "split")

    def rule(self, rule_id: int) -> Rule:
        return Rule("a/b")


def label(at_us: int, rule: int | None = 1) -> Version:
    return Version(OUTCOME, f"e{at_us}", 0, at_us, at_us, 1.0, "human", rule)


@pytest.mark.parametrize(
    ("entry", "goes", "ledger"),
    [
        pytest.param(Entry([Pred(1, 99, 1, 1, 1.0)], [label(99)]), True, {}, id="joined and old"),
        pytest.param(Entry([Pred(1, 100, 1, 1, 1.0)], [label(99)]), False, {}, id="a young Y"),
        pytest.param(Entry([Pred(1, 99, 1, 1, 1.0)], [label(1), label(100)]), False, {}, id="a young correction"),
        pytest.param(Entry([], [label(98), label(99)]), True, {"orphan": -2, "expired": 2}, id="waited in vain"),
        pytest.param(Entry([], [label(99, rule=None)]), False, {}, id="nobody knows whose it is"),
        pytest.param(Entry([Pred(1, 99, 1, 1, 1.0)], [label(99, rule=None)]), True, {}, id="the Y says whose it is"),
        pytest.param(Entry(), False, {}, id="nothing there"),
    ],
)
def test_an_entry_goes_whole_or_not_at_all(entry: Entry, goes: bool, ledger: dict[str, int]) -> None:
    gone = expired({b"k": entry}, Shelf(), {"a/b": 100})
    assert (gone.keys, gone.labels) == ([b"k"] if goes else [], {"a/b": ledger} if ledger else {})


MARKS = Rungs(hourly_us=10 * DAY_US, daily_us=5 * DAY_US)


@pytest.mark.parametrize(
    ("start_us", "window_us", "places"),
    [
        pytest.param(10 * DAY_US, 300 * SECOND, (10 * DAY_US, 10 * DAY_US), id="young"),
        pytest.param(
            9 * DAY_US + 65 * 60 * SECOND, 300 * SECOND, (9 * DAY_US + HOUR_US, 9 * DAY_US + HOUR_US), id="by the hour"
        ),
        pytest.param(
            4 * DAY_US + 65 * 60 * SECOND, 300 * SECOND, (4 * DAY_US + HOUR_US, 4 * DAY_US), id="by hour and by day"
        ),
        pytest.param(9 * DAY_US + HOUR_US, 6 * HOUR_US, (9 * DAY_US + HOUR_US,) * 2, id="a window of hours stays"),
        pytest.param(
            4 * DAY_US + 6 * HOUR_US,
            6 * HOUR_US,
            (4 * DAY_US + 6 * HOUR_US, 4 * DAY_US),
            id="a window of hours, by day",
        ),
        pytest.param(3 * DAY_US, 7 * DAY_US, (3 * DAY_US,) * 2, id="a window of days stays"),
    ],
)
def test_where_the_sums_of_a_window_lie(start_us: int, window_us: int, places: tuple[int, int]) -> None:
    assert MARKS.places(start_us, window_us) == places
    # What was moved stays where it is.
    assert all(at_us in MARKS.places(at_us, window_us) for at_us in places)


def test_as_many_windows_as_the_charts_show_stay_as_they_are() -> None:
    mark_us = 1000 * DAY_US
    assert Keep().marks(Rule("a/b"), mark_us, widest_us=DAY_US) == Rungs(998 * DAY_US, 986 * DAY_US)
    assert Keep().marks(Rule("a/b", window_us=HOUR_US), mark_us, widest_us=DAY_US) == Rungs(990 * DAY_US, 986 * DAY_US)
    assert Keep().marks(Rule("a/b"), mark_us, widest_us=HOUR_US) == Rungs(998 * DAY_US, 0)
    assert Keep().marks(Rule("a/b"), mark_us, widest_us=0) == Rungs(0, 0)


small = st.dictionaries(
    st.sampled_from(["requests", "latency:7", "predictions", "n", "age.ee", "now.n", "dec.n", "delay:3"]),
    st.integers(-(2**90), 2**90).filter(bool),
)


@given(st.dictionaries(st.tuples(st.integers(1, 2), st.integers(0, 12 * 24).map(lambda h: h * HOUR_US // 2)), small))
def test_what_is_settled_is_the_same_in_all(cells: dict[tuple[int, int], dict[str, int]]) -> None:
    before = json.dumps(sorted(cells.items()))
    found = settled(cells, lambda _, start_us: MARKS.places(start_us, 300 * SECOND))
    for number in (1, 2):
        whole: list[dict[str, int]] = [{}, {}]
        for total, held in zip(whole, (cells, found), strict=True):
            for (owner, _), sums in held.items():
                if owner == number:
                    add(total, sums)
        assert whole[0] == whole[1]
    assert json.dumps(sorted(cells.items())) == before, "what is given is not changed"
    assert settled(found, lambda _, start_us: MARKS.places(start_us, 300 * SECOND)) == found


@given(small)
def test_what_predictions_add_goes_by_the_hour_and_all_else_by_the_day(sums: dict[str, int]) -> None:
    parts = spread(sums, (HOUR_US, 0))
    assert all(of_prediction(name) for name in parts.get(HOUR_US, {}))
    assert not any(of_prediction(name) for name in parts.get(0, {}))
    assert parts.get(HOUR_US, {}) | parts.get(0, {}) == sums


def route(role: RouteRole, **more: Any) -> Route:
    return Route(revision="m-1", role=role, weight_bp=more.pop("weight_bp", 0), service="m-1", port=3000, **more)


def record(*routes: Route) -> ModelRecord:
    return ModelRecord(
        namespace="a",
        name="b",
        generation=1,
        routes=[route(RouteRole.STABLE, weight_bp=10_000), *routes],
        monitoring=Monitoring.model_validate(MONITORING),
    )


def said(phase: Phase) -> RolloutRecord:
    at = datetime(2026, 3, 1, tzinfo=UTC)
    return RolloutRecord(
        id="1", namespace="a", name="b", rollout="b-1.1", revision="b-1", at=at, phase=phase.value, reason="r"
    )


@pytest.mark.parametrize(
    ("known", "last", "gone", "widest_us"),
    [
        pytest.param(record(), None, False, DAY_US, id="at rest"),
        *(
            pytest.param(record(), said(phase), False, 0, id=phase.value)
            for phase in (Phase.PROGRESSING, Phase.AWAITING_EVIDENCE, Phase.PAUSED, Phase.WATCHING, Phase.SUSPENDED)
        ),
        *(
            pytest.param(record(), said(phase), False, DAY_US, id=phase.value)
            for phase in (Phase.COMPLETED, Phase.ROLLED_BACK, Phase.REFUSED, Phase.SUPERSEDED)
        ),
        pytest.param(
            record(route(RouteRole.CANDIDATE, weight_bp=1)), None, False, 0, id="a candidate nobody spoke of yet"
        ),
        pytest.param(
            record(route(RouteRole.CANDIDATE, mirror_bp=1)), None, False, 0, id="a candidate that is mirrored to"
        ),
        pytest.param(
            record(route(RouteRole.CANDIDATE)), said(Phase.ROLLED_BACK), False, DAY_US, id="one that was sent home"
        ),
        pytest.param(record(route(RouteRole.SHADOW, sample_bp=100)), None, False, 0, id="a shadow"),
        pytest.param(
            record(route(RouteRole.SHADOW)), said(Phase.COMPLETED), False, 0, id="a shadow of a rollout's winner"
        ),
        pytest.param(None, said(Phase.PROGRESSING), True, DAY_US, id="a deployment that was heard to go"),
        pytest.param(None, said(Phase.PROGRESSING), False, 0, id="one whose record is missing, under way"),
        pytest.param(None, said(Phase.COMPLETED), False, DAY_US, id="one whose record is missing, at rest"),
        pytest.param(None, None, False, DAY_US, id="one of which nobody ever spoke"),
    ],
)
def test_windows_that_a_verdict_may_ask_for_stay_as_they_are(
    known: ModelRecord | None, last: RolloutRecord | None, gone: bool, widest_us: int
) -> None:
    assert widest(known, last, gone=gone) == widest_us


@pytest.mark.rule("retention-expired")
def test_what_had_its_time_is_forgotten_and_its_sums_stay(world: World) -> None:
    world.say(inference("joined"), at=0)
    world.say(mirrored("joined"), at=0)
    world.say(outcome("joined", 12.0, at=1), at=1)
    world.say(decision("joined", True, at=1), at=1)
    world.say(outcome("orphan", 1.0, at=1), at=1)
    world.say(inference("failed", error=True, status=503), at=1)
    world.elapse(5 * DAY)
    world.say(inference("young", at=5 * DAY), at=5 * DAY)
    world.say(outcome("young", 9.0, at=5 * DAY), at=5 * DAY)
    world.say(outcome("waiting", 9.0, at=5 * DAY), at=5 * DAY)
    world.elapse(3 * DAY + 2)
    before = totals(world), world.sums()
    pruner = world.pruner(keep=SHORT)
    pruner.run(ME)
    assert [known(world, name) is None for name in ("joined", "orphan", "failed", "young", "waiting")] == [
        *(True, True, True),
        *(False, False),
    ]
    assert (totals(world), world.sums()) == before
    labels = world.store.labels(SUBJECT)
    assert labels == {"in": 5, "joined": 3, "orphan": 1, "expired": 1}
    assert closes(labels)
    assert pruner.rows == 6
    pruner.run(ME)
    assert (world.store.labels(SUBJECT), pruner.rows) == (labels, 6)


def test_events_that_come_again_afterwards_change_nothing(world: World) -> None:
    events = [inference("a"), inference("b", error=True, status=503), outcome("a", 1.0), decision("a", True)]
    for value in events:
        world.say(value)
    world.elapse(9 * DAY)
    before = totals(world)
    world.pruner(keep=SHORT).run(ME)
    for value in events:
        world.say(value, at=9 * DAY)
    world.elapse(2)
    assert totals(world) == before
    assert world.ledger() == {"stored": 4, "late": 4, "ignored": 2}
    assert world.store.labels(SUBJECT) == {"in": 2, "joined": 2}


def test_a_correction_that_comes_afterwards_waits_in_vain_and_the_ledger_closes(world: World) -> None:
    world.say(inference("a"))
    world.say(outcome("a", 1.0))
    world.elapse(9 * DAY)
    before = totals(world)
    world.pruner(keep=SHORT).run(ME)
    world.say(outcome("a", 2.0, at=9 * DAY, revision=1), at=9 * DAY)
    world.elapse(9 * DAY)
    assert world.store.labels(SUBJECT) == {"in": 2, "joined": 1, "orphan": 1}
    world.pruner(keep=SHORT).run(ME)
    assert world.store.labels(SUBJECT) == {"in": 2, "joined": 1, "expired": 1}
    assert totals(world) == before


@pytest.mark.parametrize(("age", "there"), [(8 * DAY, True), (8 * DAY + 0.000001, False)])
def test_the_last_microsecond(world: World, age: float, there: bool) -> None:
    world.say(inference("a"))
    world.elapse(age)
    world.pruner(keep=SHORT).run(ME)
    assert (known(world, "a") is not None) is there


@pytest.mark.rule("retention-rows")
def test_nothing_grows_old_while_events_wait_to_be_read(world: World) -> None:
    world.say(inference("a"))
    world.run()
    world.say(outcome("a", 1.0, at=1), at=1)
    world.pass_time(90 * DAY)
    world.pruner(keep=SHORT).run(ME)
    assert known(world, "a") is not None
    world.run()
    assert world.store.labels(SUBJECT) == {"in": 1, "joined": 1}


def test_a_wall_clock_that_is_wrong_makes_nothing_old(tmp_path: Path) -> None:
    world = World(tmp_path, broker=LocalBroker(3))
    world.teach()
    world.say(inference("a"), partition=1)
    world.say(inference("b", at=5 * DAY + 7), at=5 * DAY + 7)
    world.run()
    world.pass_time(40 * DAY)  # and every partition is read to its end
    world.run()
    pruner = world.pruner(keep=Keep(rows_us=0))
    pruner.run(ME)
    assert [known(world, name) is not None for name in ("a", "b")] == [True, True]
    assert any(start % HOUR for *_, start in world.sums()), "a young window stays as it is"
    world.say(inference("c", at=9 * DAY), at=9 * DAY)
    world.run()
    world.pass_time(2)
    world.run()
    pruner.run(ME)
    assert [known(world, name) is not None for name in ("a", "b")] == [False, True], "a quiet partition holds nobody"
    world.store.close()


def test_one_event_of_the_future_holds_all_until_the_next(world: World, caplog: pytest.LogCaptureFixture) -> None:
    world.say(inference("a"))
    world.say(inference("b", at=7 * DAY), at=7 * DAY)
    world.elapse(7 * DAY)
    world.say(inference("c", at=40 * DAY), at=40 * DAY)
    world.run()
    pruner = world.pruner(keep=SHORT)
    for _ in range(3):
        pruner.step(ME)
        world.pass_time(11)
    assert known(world, "a") is not None
    assert list(pruner.held) == ["clocks"]
    assert caplog.text.count("Kafka's newest event is of 2026-04-10") == 1
    world.elapse(2 * DAY)
    pruner.run(ME)
    assert ([known(world, name) is not None for name in "abc"], pruner.held) == ([False, True, True], {})


def test_a_clock_of_the_database_that_is_behind_holds_all(world: World) -> None:
    world.say(inference("a"))
    world.elapse(30 * DAY)
    world.pruner(keep=SHORT, database_us=world.now_us - DAY_US - 1).run(ME)
    assert known(world, "a") is not None
    world.pruner(keep=SHORT, database_us=world.now_us - DAY_US).run(ME)
    assert known(world, "a") is None


def test_a_partition_that_nobody_has_read_yet_holds_all_of_it(tmp_path: Path) -> None:
    world = World(tmp_path)
    pruner = world.pruner(keep=SHORT)
    pruner.step(ME)
    pruner.run(ME)
    assert pruner.rows == 0
    world.store.close()


def test_nothing_grows_older_than_a_record_that_waits_for_its_deployment(tmp_path: Path) -> None:
    world = World(tmp_path, pace=Pace(linger=0.0, margin_us=0, hold_us=90 * DAY_US))
    world.teach()
    world.say(inference("a"))
    world.say(inference("b", at=60, subject="demo/loans"), at=60)
    world.elapse(30 * DAY)
    world.pruner(keep=SHORT).run(ME)
    assert known(world, "a") is not None
    world.teach(subject="demo/loans")
    world.elapse(2)
    world.pruner(keep=SHORT).run(ME)
    assert known(world, "a") is None
    world.store.close()


def test_each_deployment_has_its_own_time(world: World) -> None:
    world.teach({**MONITORING, "outcome": {**MONITORING["outcome"], "horizon": "60d"}}, subject="demo/loans")
    for subject in (SUBJECT, "demo/loans"):
        world.say(inference("a", subject=subject))
        world.say(outcome("orphan", 1.0, subject=subject))
    world.elapse(30 * DAY)
    world.pruner(keep=SHORT).run(ME)
    assert (known(world, "a"), known(world, "orphan")) == (None, None)
    assert known(world, "a", "demo/loans") is not None
    assert known(world, "orphan", "demo/loans") is not None
    world.elapse(32 * DAY)
    world.broker.teach("demo/loans", None)
    world.run()
    world.pruner(keep=SHORT).run(ME)
    assert known(world, "a", "demo/loans") is None, "of a deployment that is gone they go too"
    assert world.store.labels("demo/loans") == {"in": 1, "expired": 1}


@pytest.mark.rule("retention-rows")
@pytest.mark.parametrize(
    "now",
    [
        pytest.param({**MONITORING, "outcome": {**MONITORING["outcome"], "horizon": "1h"}}, id="a shorter horizon"),
        pytest.param({name: MONITORING[name] for name in ("prediction", "decision")}, id="no outcome any more"),
        pytest.param(None, id="no monitoring at all"),
    ],
)
def test_a_rule_of_today_takes_nothing_from_what_an_older_one_may_yet_judge(
    world: World, now: dict[str, Any] | None
) -> None:
    world.teach({**MONITORING, "outcome": {**MONITORING["outcome"], "horizon": "60d"}})
    world.say(inference("a"))
    world.run()
    world.teach(now)
    world.elapse(59 * DAY)
    world.pruner(keep=SHORT).run(ME)
    assert known(world, "a") is not None
    world.teach({**MONITORING, "outcome": {**MONITORING["outcome"], "horizon": "60d"}})
    world.say(outcome("a", 3.0, at=59 * DAY), at=59 * DAY)
    world.run()
    assert world.store.labels(SUBJECT) == {"in": 1, "joined": 1}


def test_a_horizon_that_became_longer_holds_what_is_still_there(world: World) -> None:
    world.say(inference("a"))
    world.run()
    world.teach({**MONITORING, "outcome": {**MONITORING["outcome"], "horizon": "60d"}})
    world.elapse(59 * DAY)
    world.pruner(keep=SHORT).run(ME)
    assert known(world, "a") is not None


def minted(at: float) -> str:
    """An id as the gateway makes it."""
    return f"{(NOON_US // 1000) + round(at * 1000):013d}-{uuid.UUID(int=round(at * 1000))}"


@pytest.mark.parametrize("piece", [Piece(rows=1, keys=1), Piece(rows=3, keys=2), Piece(rows=7, keys=100), Piece()])
def test_pieces_of_any_size_come_to_the_same(world: World, piece: Piece) -> None:
    world.teach({**MONITORING, "outcome": {**MONITORING["outcome"], "horizon": "60d"}}, subject="demo/loans")
    for i in range(12):
        for name in (minted(i), f"own-{i}"):
            world.say(inference(name, at=i), at=i)
            world.say(inference(name, at=i, subject="demo/loans"), at=i)
            world.say(inference(name, at=i, event_id=f"again-{name}"), at=i)
            for revision in range(3):
                world.say(outcome(name, 3.0, at=i, revision=revision), at=i)
            world.say(outcome(f"o{name}", 3.0, at=i), at=i)
    world.elapse(8 * DAY + 6.5)
    pruner = world.pruner(keep=SHORT, piece=piece)
    pruner.run(ME)
    left = [i for i in range(12) if known(world, f"own-{i}")]
    assert left == [i for i in range(12) if known(world, minted(i))] == list(range(7, 12))
    assert all(known(world, name, "demo/loans") for i in range(12) for name in (minted(i), f"own-{i}"))
    assert world.store.labels(SUBJECT) == {"in": 96, "joined": 72, "orphan": 10, "expired": 14}
    # 14 predictions, each with its repeat and three labels, and 14 labels that waited in vain.
    assert pruner.rows == 14 * 5 + 14


@pytest.mark.parametrize(
    ("before_us", "seen_us"), [(3 * DAY_US, 9 * DAY_US), (9 * DAY_US, 3 * DAY_US), (0, 9 * DAY_US)]
)
def test_what_is_kept_longer_is_not_looked_through_before_its_time(before_us: int, seen_us: int) -> None:
    mark_us = 10 * DAY_US
    found = stretches(before_us, seen_us, mark_us)
    for kind, old_us in (("before_us", before_us), ("seen_us", seen_us)):
        ranges = [(each.start, each.stop) for each in found if getattr(each, kind)]
        assert all(getattr(each, kind) in (0, old_us) for each in found)
        looked = [stop for start, stop in ranges if start < earliest(mark_us)]
        assert max(looked, default=b"") == (earliest(old_us) if old_us else b"")
        assert any(stop > earliest(2 * mark_us) for _, stop in ranges) is bool(old_us), "callers' own ids lie anywhere"
    assert all(one.stop <= other.start for one, other in itertools.pairwise(found))


def test_minted_ids_lie_in_order_of_time() -> None:
    assert key(SUBJECT, minted(5)) >= earliest(NOON_US + 5 * SECOND) > key(SUBJECT, minted(4.999))


def by_hour(world: World) -> dict[tuple[str, str, int], dict[str, int]]:
    """All sums, by revision, role and hour after NOON."""
    found: dict[tuple[str, str, int], dict[str, int]] = {}
    for (revision, role, _, start), sums in world.sums().items():
        add(found.setdefault((revision, role, start // HOUR), {}), sums)
    for (stable, other, _, start), sums in world.pair_sums().items():
        add(found.setdefault((stable, other, start // HOUR), {}), sums)
    return {place: sums for place, sums in found.items() if sums}


def events(chance: random.Random) -> list[tuple[float, bytes]]:
    """Two days of a rollout with mirrored answers; labels come up to five days late. By the time they reach Kafka."""
    made: list[tuple[float, bytes]] = []
    for i in range(80):
        at = chance.uniform(0, 2 * DAY)
        made.append((at, inference(f"p{i}", y=chance.gauss(0, 30), at=at)))
        if chance.random() < 0.5:
            made.append((at, mirrored(f"p{i}", y=chance.gauss(0, 30), at=at)))
        for revision in range(chance.randrange(3)):
            late = at + chance.uniform(0, 5 * DAY)
            made.append((late, outcome(f"p{i}", chance.gauss(0, 30), at=late, revision=revision)))
        late = at + chance.uniform(0, DAY)
        made.append((late, decision(f"p{i}", chance.random() < 0.5, at=late)))
    return sorted(made)


@pytest.mark.rule("retention-windows")
@pytest.mark.parametrize("seed", range(3))
def test_windows_made_coarser_at_any_time_hold_what_they_would_have_held(tmp_path: Path, seed: int) -> None:
    chance = random.Random(seed)
    told = events(chance)
    # A day, so that windows are made coarser while labels still come.
    keep = Keep(rows_us=0, windows_us=DAY_US, hourly_us=100 * DAY_US)
    worlds = []
    for name in ("plain", "tidied"):
        (tmp_path / name).mkdir()
        world = World(tmp_path / name, broker=LocalBroker(2), pace=Pace(batch=9, linger=0.0, margin_us=0))
        world.teach()
        for place, (at, value) in enumerate(told):
            world.now_us = max(world.now_us, NOON_US + round(at * SECOND))
            world.say(value, at=at, partition=place % 2)
            if chance.random() < 0.2:
                world.run()
            if name == "tidied" and chance.random() < 0.2:
                world.pruner(keep=keep, piece=Piece(moves=chance.randrange(1, 40))).run(ME)
        world.elapse(60)
        worlds.append(world)
    plain, tidied = worlds
    tidied.pruner(keep=keep).run(ME)
    assert {start % HOUR for *_, start in plain.sums()} != {0}
    old = [start for *_, start in [*tidied.sums(), *tidied.pair_sums()] if start < 5 * DAY]
    assert old
    assert {start % HOUR for start in old} == {0}
    assert by_hour(tidied) == by_hour(plain)
    assert (totals(tidied), tidied.store.labels(SUBJECT)) == (totals(plain), plain.store.labels(SUBJECT))
    for world in worlds:
        world.store.close()


def test_by_the_day_at_last_and_then_no_more(world: World) -> None:
    for i in range(30):
        at = i * HOUR + 7
        world.say(inference(f"p{i}", at=at), at=at)
        world.say(outcome(f"p{i}", 9.0, at=at), at=at)
    world.elapse(30 * HOUR)
    before = totals(world)
    world.elapse(20 * DAY)
    world.pruner(keep=Keep(rows_us=0), piece=Piece(moves=3)).run(ME)
    sums = {start // HOUR: held for (_, _, _, start), held in world.sums().items()}
    # NOON is the middle of a day: 12 hours of the first, 18 of the next.
    assert {hour: held["requests"] for hour, held in sums.items() if "requests" in held} == {-12: 12, 12: 18}
    assert {hour for hour, held in sums.items() if held.get("predictions")} == set(range(30))
    assert {held["age.n"] for held in sums.values() if "age.n" in held} == {1}
    assert totals(world) == before
    world.say(outcome("p3", 4.0, at=20 * DAY, revision=1), at=20 * DAY)
    world.elapse(2)
    assert totals(world) == before, "its row has had its time"
    world.elapse(381 * DAY)
    world.pruner(keep=Keep(rows_us=0)).run(ME)
    assert world.sums() == {}
    assert totals(world) == before


@pytest.mark.rule("retention-windows")
def test_windows_stay_as_they_are_while_a_rollout_is_under_way(world: World) -> None:
    world.say(inference("a", at=7), at=7)
    world.elapse(500 * DAY)
    before = world.sums()
    world.pruner(rollout=lambda _: said(Phase.WATCHING)).run(ME)
    assert (world.sums(), known(world, "a")) == (before, None)
    world.pruner(behind=lambda subject: subject == SUBJECT).run(ME)
    assert world.sums() == before, "it may be that nobody heard of a rollout"
    world.pruner().run(ME)
    assert world.sums() == {}


def test_windows_stay_as_they_are_while_a_record_of_their_deployment_cannot_be_read(world: World) -> None:
    world.say(inference("a", at=7), at=7)
    world.elapse(500 * DAY)
    before = world.sums()
    world.broker.teach(SUBJECT, b"{")
    world.run()
    world.pruner().run(ME)
    assert world.sums() == before
    world.broker.teach(SUBJECT, None)
    world.run()
    world.pruner(rollout=lambda _: said(Phase.WATCHING)).run(ME)
    assert world.sums() == {}, "who is gone, and was heard to go, asks for no evidence"


def test_a_rollout_that_begins_between_two_pieces_finds_what_is_left_as_it_is(world: World) -> None:
    for hour in range(6):
        world.say(inference(f"p{hour}", at=hour * HOUR + 7), at=hour * HOUR + 7)
    world.elapse(5 * DAY)
    asked = itertools.count()
    begins = 3
    world.pruner(
        piece=Piece(moves=1), rollout=lambda _: said(Phase.PROGRESSING) if next(asked) >= begins else None
    ).run(ME)
    assert sum(start % HOUR == 0 for *_, start in world.sums()) == begins
    assert len(world.sums()) == 6


@pytest.mark.parametrize(
    "body",
    [
        *("", "{}", "[]", '{"subject": "demo/flight-delay"}'),
        *('{"subject": "demo/loans", "colour": 1}', '{"subject": "demo/loans", "horizon_us": ""}'),
    ],
)
def test_a_stored_rule_that_cannot_be_read_keeps_its_deployment_as_it_is(
    world: World, caplog: pytest.LogCaptureFixture, body: str
) -> None:
    world.teach(subject="demo/loans")
    for subject in (SUBJECT, "demo/loans"):
        world.say(inference("a", subject=subject, at=7), at=7)
    world.elapse(500 * DAY)
    before = world.sums("demo/loans")
    spoil(world, "UPDATE rule SET body = ? WHERE subject = 'demo/loans'", body)
    pruner = world.pruner(keep=Keep(rows_us=0))
    pruner.run(ME)
    pruner.run(ME)
    assert (known(world, "a"), world.sums()) == (None, {}), "the others are put away"
    assert sorted(pruner.held) == ["demo/loans", "rows"]
    assert caplog.text.count("demo/loans: its windows stay as they are: rule 2 in the database cannot be read") == 1
    assert rows(world) == 1
    spoil(world, "UPDATE rule SET body = ? WHERE subject = 'demo/loans'", json.dumps(Rule("demo/loans").body))
    assert world.sums("demo/loans") == before
    pruner = world.pruner(keep=Keep(rows_us=0))
    pruner.run(ME)
    assert (rows(world), world.sums("demo/loans"), pruner.held) == (0, {}, {})


def spoil(world: World, sql: str, body: str) -> None:
    """Change a row as nobody does, and open the store anew."""
    world.store.close()
    with sqlite3.connect(world.path / "monitor.db") as connection:
        connection.execute(sql, (body,))
    connection.close()
    world.open()
    world.start()
    world.run()


def rows(world: World) -> int:
    """How many predictions are kept."""
    with sqlite3.connect(world.path / "monitor.db") as connection:
        (count,) = connection.execute("SELECT count(*) FROM prediction").fetchone()
    connection.close()
    return int(count)


def test_a_rollout_that_cannot_be_read_keeps_its_windows_as_they_are(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    world.say(inference("a", at=7), at=7)
    world.elapse(500 * DAY)
    before = world.sums()
    timeline = SqlTimeline(f"sqlite:///{world.path / 'monitor.db'}")
    happening = Happening(SUBJECT, "1", 1, 1, "{}")
    timeline.learn([happening], topic_id="t", offsets={}, oldest_us=0)
    pruner = world.pruner(rollout=timeline.last)
    pruner.run(ME)
    pruner.run(ME)
    assert (world.sums(), known(world, "a")) == (before, None)
    assert list(pruner.held) == [SUBJECT]
    assert caplog.text.count("what was said last of its rollouts cannot be read") == 1
    happening = Happening(SUBJECT, "2", 2, 2, said(Phase.COMPLETED).model_dump_json(by_alias=True))
    timeline.learn([happening], topic_id="t", offsets={}, oldest_us=0)
    pruner.run(ME)
    assert (world.sums(), pruner.held) == ({}, {})
    timeline.close()


def test_each_duty_is_one_members_and_a_little_is_done_at_a_time(world: World) -> None:
    subjects = [f"demo/m{i}" for i in range(8)]
    for subject in subjects:
        world.broker.teach(subject, model_record(subject=subject))
        world.say(inference("a", subject=subject, at=7), at=7)
    world.elapse(3 * DAY)
    both = ["monitor-0", "monitor-1"]
    one, other = (world.pruner(name=name) for name in both)

    def coarse() -> int:
        return sum(start % HOUR == 0 for subject in subjects for *_, start in world.sums(subject))

    look(world, one, both)
    steps: list[int] = []
    for _ in range(60):
        world.pass_time(0.25)
        one.step(both)
        steps.append(coarse())
    mine = steps[-1]
    assert 0 < mine < len(subjects)
    assert max(later - earlier for earlier, later in itertools.pairwise(steps)) == 1
    look(world, other, both)
    for _ in range(60):
        world.pass_time(0.25)
        other.step(both)
    assert coarse() == len(subjects)


def test_in_a_hurry_a_round_goes_on_without_rest_and_then_rests_as_ever(world: World) -> None:
    for i in range(20):
        world.say(inference(f"p{i}"))
    world.elapse(9 * DAY)
    pruner = world.pruner(keep=SHORT, piece=Piece(rows=4, keys=2))
    look(world, pruner)
    pruner.step(ME, hurry=True)
    assert pruner.busy
    steps = 0
    while pruner.busy:
        pruner.step(ME, hurry=True)
        steps += 1
    assert steps > 5
    assert pruner.rows == 20
    for _ in range(5):
        pruner.step(ME, hurry=True)
    assert not pruner.busy, "the next one begins in its own time"


def test_between_two_rounds_it_rests(world: World) -> None:
    world.say(inference("a"))
    world.elapse(8 * DAY - 60 - SECOND_LOOK_US // SECOND)
    pruner = world.pruner(keep=SHORT)
    look(world, pruner)
    for _ in range(20):
        world.pass_time(1)
        pruner.step(ME)
    world.elapse(120)
    pruner.step(ME)
    assert known(world, "a") is not None
    world.elapse(3600)
    for _ in range(20):
        world.pass_time(1)
        pruner.step(ME)
    assert known(world, "a") is None


def test_a_store_that_is_away_is_asked_again(world: World, tmp_path: Path) -> None:
    pruner = world.pruner(keep=SHORT)
    world.say(inference("a"))
    world.elapse(9 * DAY)
    look(world, pruner)
    missing = World(tmp_path, url=f"sqlite:///{tmp_path / 'no' / 'such.db'}")
    pruner._upkeep, there = missing.store.upkeep, pruner._upkeep
    for _ in range(2):
        pruner.step(ME, hurry=True)
    assert "unable to open" in pruner._trouble
    pruner._upkeep = there
    for _ in range(20):
        world.pass_time(1)
        pruner.step(ME)
    assert (known(world, "a"), pruner._trouble) == (None, "")
    missing.store.close()


def test_keep_is_what_the_design_says() -> None:
    keep = Keep()
    days = [timedelta(microseconds=us).days for us in (keep.windows_us, keep.hourly_us, keep.daily_us)]
    assert days == [2, 14, 400]
