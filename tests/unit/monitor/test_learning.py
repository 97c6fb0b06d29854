"""Learning: stable's first full days become a reference, where the resource names none."""

from __future__ import annotations

import hashlib
import random
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, cast

import pytest
from fastapi.testclient import TestClient
from prometheus_client import CollectorRegistry
from switchyard_monitor.api import create_app
from switchyard_monitor.auth import Token, Tokens
from switchyard_monitor.baselines import Baselines
from switchyard_monitor.domain import identity
from switchyard_monitor.domain.changes import Changes
from switchyard_monitor.domain.learning import DAY_US, MOST_A_DAY, Example, Learnt, Lesson, fitting, full, learn
from switchyard_monitor.domain.profiling import Span
from switchyard_monitor.health import Health
from switchyard_monitor.learner import OLD_US, Learner
from switchyard_monitor.ports import Lease, Store, Work
from switchyard_profile.reference import MOST_FEATURES, Reference
from switchyard_profile.values import Type
from switchyard_testkit.local_broker import LocalBroker
from switchyard_testkit.monitor_world import (
    MONITORING,
    NOON_US,
    SECOND,
    SUBJECT,
    WATCHED,
    World,
    deletion,
    inference,
    mirrored,
)

DAY = 86_400
BASE = f"/v1/deployments/{SUBJECT}"
LONGER = MONITORING | {"window": "5m"}
MIDNIGHT_US = NOON_US // DAY_US * DAY_US


def world_of(path: Path, *, monitoring: Mapping[str, Any] = LONGER, partitions: int = 1, stable: str = "r1") -> World:
    world = World(path, broker=LocalBroker(partitions))
    world.teach(monitoring, stable=stable)
    return world


def ask(prediction_id: str, at: float, **changes: Any) -> bytes:
    """One flight in the object that is all of the request."""
    flight = {"distance": 100.0 * (len(prediction_id) % 3), "carrier": "UA", "seats": {"free": 3}}
    request = {"encoding": "json", "value": {"flight": flight}}
    facts: dict[str, Any] = {"revision": "r1", "request": request}
    return inference(prediction_id, y=5.0, at=at, **facts | changes)


def serve(world: World, days: Sequence[int], rows: int, **changes: Any) -> None:
    """So many requests on each of these days after the first noon, read to their end."""
    for day in days:
        for place in range(rows):
            at = DAY * day + place * (DAY // 2 - 60) / rows
            world.say(ask(f"{day}-{place}", at, **changes), at=at, partition=place % world.broker.partitions)
    read_until(world, max(days) + 1)


def keep(world: World, days: Sequence[int], rows: int, *, revision: str = "r1", y: Any = 5.0, x: Any = None) -> None:
    """The same, without the events: what they would have left behind."""
    world.run()
    everyone = Lesson()
    kept = [
        everyone.example(
            SUBJECT,
            revision,
            key_of(f"{revision}-{day}-{place}"),
            at_us,
            x={"distance": place} if x is None else x,
            y=y,
        )
        for day in days
        for place in range(rows)
        for at_us in [NOON_US + day * DAY_US + place * SECOND]
    ]
    (position,) = world.store.positions()
    with world.store.begin() as batch:
        changes = Changes(examples=[one for found in kept for one in found])
        work = Work(changes=changes, next_offset=position.next_offset or 0, watermark_us=None)
        batch.write(Lease(position.partition, position.owner or "", position.epoch), work)
    read_until(world, max(days) + 1)


def read_until(world: World, day: int) -> None:
    """Read all, to the noon of that day."""
    world.now_us = max(world.now_us, NOON_US + day * DAY * SECOND)
    world.run()
    world.pass_time(61)
    world.run()


def learner_of(world: World) -> Learner:
    return Learner(store=world.store, models=world.models, clock_us=lambda: world.now_us)


def key_of(prediction_id: str) -> bytes:
    return identity.key(SUBJECT, prediction_id)


def examples(world: World, revision: str = "r1") -> list[Example]:
    return world.store.examples(SUBJECT, revision, sorted(world.store.lessons(SUBJECT, revision)))


def client_of(world: World) -> TestClient:
    token = Token(name="all", sha256=hashlib.sha256(b"all").hexdigest(), deployments=["*"])
    app = create_app(
        store=world.store,
        models=world.models,
        tokens=Tokens([token]),
        health=Health(lambda: 0.0),
        registry=CollectorRegistry(),
    )
    return TestClient(app, headers={"Authorization": "Bearer all"})


def test_seven_full_days_of_ten_thousand_rows_become_the_reference(tmp_path: Path) -> None:
    world = world_of(tmp_path)
    client, learner = client_of(world), learner_of(world)
    serve(world, range(3), 1500)
    learner.step()
    waits = "no baseline yet: the stable revision has served 2 of 7 full days and 3,000 of 10,000 rows"
    assert client.get(f"{BASE}/drift?revision=r1").json()["waitingFor"] == waits
    serve(world, range(3, 8), 1500)
    learner.step()
    assert client.get(f"{BASE}/drift?revision=r1").json()["waitingFor"] == ""
    made = client.get(f"{BASE}/baseline").json()
    assert made["rows"] == 7 * 1500, "the first day began at noon, and is no full one"
    assert made["starts"] == [(MIDNIGHT_US + day * DAY_US) // SECOND for day in range(1, 8)]
    names = {feature["binning"]["name"]: feature["binning"]["type"] for feature in made["features"]}
    assert names == {"carrier": "string", "distance": "number", "prediction": "number"}
    assert world.store.lessons(SUBJECT, "r1") == {}, "the rows themselves are gone"


def test_what_is_served_after_that_is_counted_in_its_bins_and_no_row_is_kept(tmp_path: Path) -> None:
    world = world_of(tmp_path)
    keep(world, range(8), 1500)
    learner_of(world).step()
    (learnt,) = world.store.learnt(SUBJECT)
    read_until(world, 9)
    serve(world, [10, 11], 300)
    assert world.store.lessons(SUBJECT, "r1") == {}
    found = world.store.profiles(Span(subject=SUBJECT, baseline=learnt.digest, since_us=0, until_us=2**62))
    assert sum(profile.rows for profile in found.values()) == 600
    answer = client_of(world).get(f"{BASE}/drift?revision=r1").json()
    assert (answer["baseline"], [window["rows"] for window in answer["windows"]]) == (learnt.digest, [300, 300])
    assert all(one["optimistic"] and not one["pages"] for window in answer["windows"] for one in window["findings"])


def test_few_rows_a_day_take_more_days(tmp_path: Path) -> None:
    world = world_of(tmp_path)
    keep(world, range(8), 1000)
    learner_of(world).step()
    assert world.store.learnt(SUBJECT) == []
    keep(world, [8, 9, 10], 1000)
    learner_of(world).step()
    assert len(world.store.learnt(SUBJECT)) == 1


def test_of_more_days_than_it_takes_the_first_ones_are_learnt_of(tmp_path: Path) -> None:
    """Who was away for weeks has as much to hold in memory as anybody, and comes to the same."""
    world = world_of(tmp_path)
    keep(world, range(20), 1500)
    learner_of(world).step()
    (learnt,) = world.store.learnt(SUBJECT)
    made = Reference.of_bytes(world.store.baseline(learnt.digest) or b"")
    assert made.starts == [(MIDNIGHT_US + day * DAY_US) // SECOND for day in range(1, 8)]


def test_of_what_teaches_nothing_nothing_is_learnt_twice(tmp_path: Path) -> None:
    class Counted:
        def __init__(self) -> None:
            self.asked = 0

        def examples(self, subject: str, revision: str, days: Sequence[int]) -> list[Example]:
            self.asked += 1
            return world.store.examples(subject, revision, days)

        def __getattr__(self, name: str) -> Any:
            return getattr(world.store, name)

    world, counted = world_of(tmp_path), Counted()
    keep(world, range(8), 1500, y="long" * 100, x={})
    learner = Learner(store=cast(Store, counted), models=world.models, clock_us=lambda: world.now_us)
    for _ in range(3):
        learner.step()
    assert world.store.learnt(SUBJECT) == []
    assert counted.asked == 7, "each of its days was read once"
    assert world.store.lessons(SUBJECT, "r1") == {}, "and what is served from now on is another chance"


def test_of_many_rows_the_same_ones_are_kept_in_whatever_order_they_come(tmp_path: Path) -> None:
    chance, kept = random.Random(3), []
    said = [ask(f"p{n}", n / 10) for n in range(MOST_A_DAY + 700)]
    for turn in range(2):
        (tmp_path / str(turn)).mkdir()
        world = world_of(tmp_path / str(turn), partitions=1 + 2 * turn)
        for place, value in enumerate([*said, *said[:50]]):
            world.say(value, at=400, partition=place % world.broker.partitions)
        read_until(world, 1)
        kept.append(examples(world))
        chance.shuffle(said)
    assert kept[0] == kept[1]
    assert len(kept[0]) == MOST_A_DAY
    everyone = Lesson()
    ranks = sorted(
        one.rank for n in range(len(said)) for one in everyone.example("s", "r", key_of(f"p{n}"), 0, x={}, y=1.0)
    )
    assert [one.rank for one in kept[0]] == ranks[:MOST_A_DAY]


def test_of_a_day_that_has_rows_enough_only_lower_ranks_are_looked_at(tmp_path: Path) -> None:
    world = world_of(tmp_path)
    keep(world, [0], MOST_A_DAY + 10)
    ranks = [one.rank for one in examples(world)]
    assert world.store.cuts(SUBJECT) == {("r1", MIDNIGHT_US): max(ranks)}
    lesson = Lesson(cuts=world.store.cuts(SUBJECT))
    found = [lesson.example(SUBJECT, "r1", key_of(f"p{n}"), NOON_US, x={}, y=1.0) for n in range(5000)]
    assert 0 < sum(map(len, found)) < 5000
    assert all(one.rank <= max(ranks) for some in found for one in some)
    assert len(lesson.example(SUBJECT, "r2", key_of("p"), NOON_US, x={}, y=1.0)) == 1


def test_what_is_forgotten_is_forgotten_here_too(tmp_path: Path) -> None:
    world = world_of(tmp_path)
    for name in "abc":
        world.say(ask(name, 0))
    world.run()
    world.say(deletion("a", at=1), at=1)
    world.say(ask("d", 2), at=2)
    world.say(deletion("d", at=3), at=3)
    world.run()
    assert {one.key for one in examples(world)} == {key_of("b"), key_of("c")}


@pytest.mark.parametrize(
    ("value", "kept"),
    [
        pytest.param(ask("a", 0), 1, id="what stable said"),
        pytest.param(ask("a", 0, role="candidate"), 0, id="a candidate is not stable"),
        pytest.param(mirrored("a", revision="r1", y=1.0), 0, id="nor is what was mirrored"),
        pytest.param(ask("a", 0, status=503, error=True), 0, id="an error is no Y"),
    ],
)
def test_only_what_stable_served_is_learnt_of(tmp_path: Path, value: bytes, kept: int) -> None:
    world = world_of(tmp_path)
    world.say(value)
    world.run()
    assert len(examples(world)) == kept


@pytest.mark.parametrize(
    "monitoring", [pytest.param(None, id="not monitored"), pytest.param(WATCHED, id="a reference is named")]
)
def test_nothing_is_kept_where_nothing_is_learnt(tmp_path: Path, monitoring: Mapping[str, Any] | None) -> None:
    world = World(tmp_path)
    world.teach(monitoring, stable="r1")
    world.say(ask("a", 0))
    world.run()
    assert examples(world) == []


def test_rows_go_once_a_reference_is_named_and_when_they_are_old(tmp_path: Path) -> None:
    world = world_of(tmp_path)
    world.say(ask("a", 0))
    world.say(ask("b", 0, revision="r0"))
    read_until(world, 1)
    world.teach(LONGER | {"reference": f"sha256:{'0' * 64}"}, stable="r1")
    world.run()
    learner_of(world).step()
    assert (len(examples(world)), len(examples(world, "r0"))) == (0, 1)
    read_until(world, OLD_US // DAY_US + 2)
    learner_of(world).step()
    assert len(examples(world, "r0")) == 0


def test_the_next_revision_has_the_last_ones_reference_until_it_has_its_own(tmp_path: Path) -> None:
    world = world_of(tmp_path)
    keep(world, range(8), 1500)
    learner_of(world).step()
    (first,) = world.store.learnt(SUBJECT)
    world.teach(LONGER, stable="r2")
    world.run()
    assert client_of(world).get(f"{BASE}/drift?revision=r2").json()["baseline"] == first.digest
    keep(world, range(9, 17), 1500, revision="r2")
    learner_of(world).step()
    _, second = world.store.learnt(SUBJECT)
    assert second.revision == "r2"
    assert client_of(world).get(f"{BASE}/drift?revision=r2").json()["baseline"] == second.digest != first.digest


def test_who_learns_the_same_at_once_is_believed_once(tmp_path: Path) -> None:
    world = world_of(tmp_path)
    world.store.conclude(SUBJECT, Learnt("r1", "sha256:first", 1), b"{}")
    world.store.conclude(SUBJECT, Learnt("r1", "sha256:second", 2), b"{}")
    assert world.store.learnt(SUBJECT) == [Learnt("r1", "sha256:first", 1)]


def row(at: int, **x: Any) -> Example:
    (one,) = Lesson().example(SUBJECT, "r", key_of(str(at)), at * SECOND, x=x, y=[])
    return one


@pytest.mark.parametrize(
    ("values", "kind"),
    [
        pytest.param([1, 2.5, None], Type.NUMBER, id="numbers"),
        pytest.param([True, False], Type.BOOLEAN, id="booleans"),
        pytest.param(["a", "b"], Type.STRING, id="names"),
        pytest.param([*[1.0] * 199, "far"], Type.NUMBER, id="one of another type is as if it were missing"),
        pytest.param([1.0, "far"], None, id="half of another type: the feature is left out"),
        pytest.param([None, None], None, id="nothing at all"),
        pytest.param(["a", "b" * 257], None, id="texts that are too long to be kept"),
        pytest.param([float("nan"), float("inf"), 10**400], None, id="no number that can be counted"),
    ],
)
def test_types_are_seen_from_the_values(values: list[Any], kind: Type | None) -> None:
    made = learn([row(at, x=value, sure=1.0) for at, value in enumerate(values)])
    assert made is not None
    found = {feature.name: feature.binning.type for feature in made.features}
    assert found.pop("sure") is Type.NUMBER
    assert found.get("x") is kind


def test_of_very_many_features_the_most_frequent_ones_are_learnt() -> None:
    made = learn([row(at, sure=1.0, **{f"f{name}": 1.0 for name in range(at, at + 400)}) for at in range(300)])
    assert made is not None
    names = {feature.name for feature in made.features}
    assert len(names) == MOST_FEATURES - 1
    assert {"sure", "f299"} <= names
    assert len(row(1, **{f"f{name}": 1.0 for name in range(2 * MOST_FEATURES)}).body) == MOST_FEATURES


def test_a_feature_that_few_rows_have_is_left_out() -> None:
    """Where a request's names are somebody's, each stands in a row or two."""
    rows = [
        row(at, sure=1.0, **({"rare": 1.0} if at < 9 else {}), **({"seldom": 1.0} if at < 10 else {}))
        for at in range(1000)
    ]
    made = learn(rows)
    assert made is not None
    assert [feature.name for feature in made.features] == ["seldom", "sure"]


def test_requests_that_name_something_else_each_time_take_no_room_without_end() -> None:
    made = learn([row(at, sure=1.0, **{f"{at}-{name}": 1.0 for name in range(500)}) for at in range(50)])
    assert made is not None
    assert next(feature.sums.present for feature in made.features if feature.name == "sure") == 50


def test_rows_without_any_feature_teach_nothing() -> None:
    assert learn([row(1), row(2)]) is None


@pytest.mark.parametrize("name", ["half\0", "", "x" * 257, "prediction"])
def test_a_name_that_no_reference_can_have_is_passed_over(name: str) -> None:
    (kept,) = Lesson().example(SUBJECT, "r", key_of("p"), 0, x={name: 1.0, "sure": 2.0}, y=3.0)
    assert kept.body == {"sure": 2.0, "prediction": 3.0}
    (alone,) = Lesson().example(SUBJECT, "r", key_of("p"), 0, x={name: 1.0}, y=None)
    assert alone.body == {"prediction": None}


def test_features_stand_where_the_resource_says(tmp_path: Path) -> None:
    features = [{"name": "free", "path": "$.flight.seats.free"}]
    world = world_of(tmp_path, monitoring=LONGER | {"features": features})
    world.say(ask("a", 0))
    world.run()
    (one,) = examples(world)
    assert one.body == {"free": 3, "prediction": 5.0}


def test_the_first_day_and_the_one_that_is_not_over_are_not_full() -> None:
    assert full([0, DAY_US, 2 * DAY_US], mark_us=3 * DAY_US - 1) == [DAY_US]
    assert full([0, DAY_US, 2 * DAY_US], mark_us=3 * DAY_US) == [DAY_US, 2 * DAY_US]


def test_whoever_reads_a_reference_does_not_wait_until_another_is_worked_out(tmp_path: Path) -> None:
    """Of many features and days the one takes milliseconds, the other seconds."""
    world, asked, go = world_of(tmp_path), threading.Event(), threading.Event()
    baselines = Baselines(world.store)

    class Large:
        digest, starts = "sha256:large", ()

        @property
        def features(self) -> list[Any]:
            asked.set()
            assert go.wait(60)
            return []

    measuring = threading.Thread(target=baselines.yardstick, args=[Large()])
    measuring.start()
    assert asked.wait(60)
    reading = threading.Thread(target=baselines.reference, args=["sha256:none"])
    reading.start()
    reading.join(timeout=10)
    waits = reading.is_alive()
    go.set()
    measuring.join()
    reading.join()
    assert not waits


def test_a_reference_goes_with_its_revision_else_the_last_one_does() -> None:
    both = [Learnt("r1", "one", 1), Learnt("r2", "two", 2)]
    assert (fitting(both, "r1"), fitting(both, "r3"), fitting([], "r1")) == ("one", "two", None)
