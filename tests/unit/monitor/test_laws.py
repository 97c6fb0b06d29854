"""Laws of the join: whatever the order, split, duplicates or crashes, the sums are the same, bit by bit."""

from __future__ import annotations

import atexit
import json
import math
import random
import shutil
from collections import Counter
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory, mkdtemp
from typing import Any
from uuid import UUID

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from scipy.stats import chisquare
from sqlalchemy import event as sql_event
from switchyard_monitor.adapters.store import SqlStore
from switchyard_monitor.domain.buckets import Histogram, bucket, low, width
from switchyard_monitor.domain.identity import fold as group_of
from switchyard_monitor.domain.identity import key
from switchyard_monitor.domain.rules import UNIT, Rule
from switchyard_monitor.domain.sums import add, decode, encode, only, pick
from switchyard_monitor.reader import Pace
from switchyard_testkit.local_broker import LocalBroker
from switchyard_testkit.monitor_world import (
    MONITORING,
    NOON_US,
    ROWS,
    SECOND,
    World,
    batch,
    decision,
    deletion,
    inference,
    input_alone,
    mirrored,
    outcome,
    prediction_alone,
)
from switchyard_testkit.recomputation import recompute, recompute_pairs

IDS = ("a", "b", "c")
Delivery = tuple[bytes | None, int]
"""An event, and the broker's time of it in seconds after NOON."""

floats = st.floats(-1e4, 1e4, allow_nan=False)
times = st.integers(0, 60)


@st.composite
def deliveries(draw: st.DrawFn) -> list[Delivery]:
    """Exchanges of two revisions, mirrored answers of one or two, outcomes and decisions in several versions.

    Each event is known by its own id. The candidate may answer a request that was mirrored to it as well: a retry. A
    third one has no gateway: its Xs and Ys come apart, of one row or two.
    """
    found: list[Delivery] = []
    for prediction_id in IDS:
        for revision in draw(st.sampled_from([(), ("r1",), ("r1", "r2")])):
            at = draw(times)
            role, weight = ("stable", 9000) if revision == "r1" else ("candidate", 1000)
            value = inference(
                prediction_id,
                y=draw(floats),
                at=at,
                event_id=f"x-{prediction_id}-{revision}",
                revision=revision,
                role=role,
                weightBp=weight,
                error=(failed := draw(st.booleans())),
                status=503 if failed else 200,
            )
            found.append((value, at + draw(st.integers(0, 5))))
        for revision in draw(st.sampled_from([(), ("r2",), ("r2", "r3")])):
            at = draw(times)
            value = mirrored(
                prediction_id,
                y=draw(floats),
                at=at,
                event_id=f"x-{prediction_id}-{revision}:mirror",
                revision=revision,
                weightBp=9000,
                traffic=draw(st.integers(3, 4)),
                latencyUs=draw(st.integers(0, 10**6)),
                error=(failed := draw(st.integers(0, 3)) == 0),
                status=503 if failed else 200,
            )
            found.append((value, at + draw(st.integers(0, 5))))
        for row in range(draw(st.integers(0, 2))):
            at = draw(times)
            facts: dict[str, Any] = {"row": row, "at": at, "revision": "r4", "role": "candidate"}
            if draw(st.booleans()):
                found.append((input_alone(prediction_id, **facts), at + draw(st.integers(0, 5))))
            if draw(st.booleans()):
                found.append((prediction_alone(prediction_id, y=draw(floats), **facts), at + draw(st.integers(0, 5))))
        for kind in (outcome, decision):
            for version in range(draw(st.integers(0, 3))):
                at = draw(times)
                said: Any = draw(floats) if kind is outcome else draw(st.booleans())
                event_id = f"{kind.__name__}-{prediction_id}-{version}"
                number, row = draw(st.integers(0, 2)), draw(st.sampled_from([0, 0, 1]))
                found.append((kind(prediction_id, said, at=at, revision=number, event_id=event_id, row=row), at + 2))
    return found


@cache
def template() -> Path:
    """An empty database."""
    folder = Path(mkdtemp())
    atexit.register(shutil.rmtree, folder)
    store = SqlStore(f"sqlite:///{folder / 'empty.db'}")
    store.migrate()
    store.close()
    return folder / "empty.db"


def fold(deliveries: list[Delivery], *, batch: int = 5000, partitions: int = 1) -> tuple[Any, Any, Any]:
    """Read deliveries in this order; answers the sums, those of pairs, and the label ledger."""
    with TemporaryDirectory() as folder:
        world = World(Path(folder), template(), broker=LocalBroker(partitions), pace=Pace(batch=batch, linger=0.0))
        world.teach()
        for place, (value, at) in enumerate(deliveries):
            world.say(value, at=at, partition=place % partitions)
        world.now_us = NOON_US + 100 * SECOND
        world.run()
        sums, pairs, labels = world.sums(), world.pair_sums(), world.store.labels("demo/flight-delay")
        assert whole(world) == added(pairs)
        assert world.day_sums() == days_of(sums)
        read = sum((held.next_offset or 0) - (held.base_offset or 0) for held in world.store.positions())
        assert read == sum(world.ledger().values()) == len(deliveries)
        world.store.close()
        return sums, pairs, labels


def whole(world: World) -> dict[tuple[str, str, int], dict[str, int]]:
    """The totals of pairs that the store keeps beside the windows."""
    cells = world.store.pair_totals(world.store.pairs("demo/flight-delay"))
    return {(cell.pair.stable, cell.pair.mirrored, cell.pair.traffic): cell.sums for cell in cells}


OF_DAYS = ("predictions", "age.n", "age.e", "age.ee", "age.a", "age.clipped")


def days_of(sums: dict[tuple[str, str, int, int], dict[str, int]]) -> dict[tuple[str, str, int, int], dict[str, int]]:
    """What the windows say of their days; all of these tests lie in one."""
    total: dict[tuple[str, str, int, int], dict[str, int]] = {}
    for (revision, role, traffic, _), cell in sums.items():
        part = {name: cell[name] for name in OF_DAYS if name in cell}
        add(total.setdefault((revision, role, traffic, -43_200), {}), part)
    return {key: held for key, held in total.items() if held}


def added(pairs: dict[tuple[str, str, int, int], dict[str, int]]) -> dict[tuple[str, str, int], dict[str, int]]:
    """The windows of pairs, added up."""
    total: dict[tuple[str, str, int], dict[str, int]] = {}
    for (*pair, _), sums in pairs.items():
        add(total.setdefault(tuple(pair), {}), sums)  # type: ignore[arg-type]
    return total


@pytest.mark.rule("check-merge-sums")
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(deliveries(), st.randoms(use_true_random=False), st.integers(1, 7), st.integers(1, 3))
def test_any_order_split_and_duplication_gives_the_same_sums(
    found: list[Delivery], chance: random.Random, batch: int, partitions: int
) -> None:
    again = found + chance.choices(found, k=len(found)) if found else []
    chance.shuffle(again)
    assert fold(again, batch=batch, partitions=partitions) == fold(found)


@pytest.mark.rule("check-recomputation")
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(deliveries(), st.integers(0, 2**32))
def test_a_plain_recomputation_from_the_topic_agrees(found: list[Delivery], seed: int) -> None:
    random.Random(seed).shuffle(found)
    sums, pairs, _ = fold(found, batch=4)
    events = [(json.loads(value or b""), at) for value, at in found]
    assert sums == recompute(events)
    assert pairs == recompute_pairs(events)


anything = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.sampled_from([2**63, -(2**63) - 1, 10**30, 10**400, 1e308, -0.0, 5e-324])
    | st.floats(allow_nan=True, allow_infinity=True)
    | st.text()
    | st.sampled_from(["\ud800", "\x00", "0001-01-01T00:00:00Z", "9999-12-31T23:59:59.999999Z", "stable", "split"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)


@st.composite
def mutants(draw: st.DrawFn) -> bytes:
    """An event with one to three of its fields replaced by anything at all."""
    made = draw(
        st.sampled_from(
            [
                inference("a"),
                outcome("a", 1.0),
                decision("a", True),
                deletion("a"),
                inference("a", revision="r2", answeredBy="stable-1"),
                mirrored("a"),
                batch("a", [1.0, 2.0]),
                input_alone("a"),
                prediction_alone("a"),
            ]
        )
    )
    document = json.loads(made)
    for _ in range(draw(st.integers(1, 3))):
        inside = document if draw(st.integers(0, 4)) == 0 else document["data"]
        if not isinstance(inside, dict):
            break
        name = draw(st.sampled_from([*sorted(inside), "row", "actor"]))
        inside[name] = draw(anything)
        document.setdefault("data", {})
    return json.dumps(document).encode()


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(mutants() | st.binary(max_size=40), max_size=12), st.booleans())
def test_no_message_whatever_stops_the_reader(messages: list[bytes], classes: bool) -> None:
    with TemporaryDirectory() as folder:
        world = World(Path(folder), template(), pace=Pace(linger=0.0))
        monitoring = {**MONITORING, "prediction": {"path": "$.delay", "task": "classification"}, "decision": {}}
        world.teach(monitoring if classes else ROWS)
        for message in messages:
            world.say(message, at=1)
        world.say(batch("good", [1.0], event_id="good"), at=2)
        world.run()
        assert sum(world.ledger().values()) - world.ledger().get("skewed", 0) == len(messages) + 1
        assert world.store.entry(key("demo/flight-delay", "good"))[0] is not None
        world.store.close()


small = st.dictionaries(st.sampled_from("abcd"), st.integers(-(2**90), 2**90).filter(bool))


@pytest.mark.rule("check-retract-sums")
@given(small, small)
def test_what_is_added_and_taken_out_leaves_nothing(total: dict[str, int], part: dict[str, int]) -> None:
    assert encode(add(add(dict(total), part), part, -1)) == encode(total)


@given(
    st.dictionaries(
        st.sampled_from(["n", "age.n", "age.n.n", "ageXn", "age.h:1", "age.h:12", "now.h:1", "xage.h:1", "age.h:1x"]),
        st.integers(-(2**90), 2**90).filter(bool),
    )
)
def test_what_is_picked_of_sums_is_what_they_hold_of_these_names(sums: dict[str, int]) -> None:
    wanted = {name: value for name, value in sums.items() if name in ("age.n", "age.h:1", "age.h:12")}
    assert pick(encode(sums), only("age.n", "age.h:")) == wanted


@pytest.mark.rule("check-merge-sums")
@given(small, small, small)
def test_sums_add_in_any_order(one: dict[str, int], two: dict[str, int], three: dict[str, int]) -> None:
    forwards = add(add(dict(one), two), three)
    backwards = add(add(dict(three), two), one)
    assert encode(forwards) == encode(backwards)
    assert decode(encode(forwards)) == forwards


@given(st.text(min_size=1), st.integers(0, 2**41), st.integers(0, 2**24 - 1))
def test_all_rows_of_a_prediction_are_in_one_group_and_ids_are_spread_over_all(name: str, at: int, row: int) -> None:
    minted = f"{at:013}-{name:0<36.36}"
    for prediction_id in (name, minted):
        assert group_of(key("demo/m", prediction_id, row)) == group_of(key("demo/m", prediction_id))


def test_groups_of_ids_are_about_equal() -> None:
    for ids in ([f"p{i}" for i in range(6_400)], [f"{i:013}-{UUID(int=i)}" for i in range(6_400)]):
        counts = Counter(group_of(key("demo/m", prediction_id)) for prediction_id in ids)
        assert sorted(counts) == list(range(32))
        assert chisquare(list(counts.values())).pvalue > 1e-4


@given(st.integers(0, 2**70), st.sampled_from([16, 32]))
def test_a_value_lies_in_its_bucket_and_buckets_are_narrow(value: int, parts: int) -> None:
    index = bucket(value, parts)
    assert low(index, parts) <= value < low(index, parts) + width(index, parts)
    assert width(index, parts) == 1 or width(index, parts) <= low(index, parts) / parts
    assert bucket(low(index, parts) + width(index, parts), parts) == index + 1


@given(st.lists(st.integers(0, 10**9), max_size=60), st.lists(st.integers(0, 10**9), max_size=9))
def test_what_lies_within_bounds_is_never_counted_too_much_and_misses_a_bucket_at_most(
    values: list[int], bounds: list[int]
) -> None:
    held = Histogram(Counter(bucket(value, 16) for value in values), 16)
    counted = held.within(sorted(bounds))
    assert counted == sorted(counted)
    for bound, count in zip(sorted(bounds), counted, strict=True):
        assert sum(value * 17 < bound * 16 for value in values) <= count <= sum(value <= bound for value in values)
    assert abs(held.total - sum(values)) <= sum(values) / 16


class PowerCut(Exception):
    """The process ended at this statement."""


def first(world: World) -> None:
    """New rows, a poison message, and a deployment that nobody has published yet."""
    world.teach()
    world.say(inference("a"), at=0)
    world.say(b"\xff poison", at=1)
    world.say(inference("z", subject="demo/unknown"), at=1)
    world.say(inference("b"), at=1)
    world.say(mirrored("a", y=5.0), at=1)


def second(world: World) -> None:
    """Labels, a repeat, a conflict, an erasure."""
    world.say(outcome("a", 3.0), at=2)
    world.say(inference("a", event_id="retry"), at=2)
    world.say(inference("a", x=2, event_id="conflict"), at=3)
    world.say(deletion("b"), at=4)
    world.say(outcome("b", 1.0), at=4)
    world.say(mirrored("c"), at=4)


def third(world: World) -> None:
    """A correction, a decision, and the deployment that was missing."""
    world.say(outcome("a", 4.0, revision=1), at=5)
    world.teach(subject="demo/unknown")
    world.say(outcome("z", 2.0, subject="demo/unknown"), at=6)
    world.say(decision("a", True), at=6)
    world.say(inference("c"), at=6)


HISTORY = (first, second, third)


def books(world: World) -> tuple[Any, ...]:
    letters = {dict(letter.headers)["switchyard-id"] for letter in world.broker.sent}
    labels = [world.store.labels(subject) for subject in ("demo/flight-delay", "demo/unknown")]
    sums = world.sums(), world.sums("demo/unknown"), world.pair_sums(), whole(world)
    return world.ledger(), sums, labels, letters, world.store.outbox(10)


SHARDS = 4


@pytest.mark.timeout(600)
@pytest.mark.parametrize("shard", range(SHARDS))
def test_a_crash_at_any_statement_changes_nothing(tmp_path: Path, shard: int) -> None:
    """Each shard takes every fourth statement; together they strike all."""
    plain = World(tmp_path, template())
    for happens in HISTORY:
        happens(plain)
        plain.run()
    expected = books(plain)
    plain.store.close()
    assert expected[0] == {"stored": 10, "invalid": 1, "superseded": 1, "repeat": 1, "conflict": 1, "deleted": 1}

    statement = shard
    while struck(tmp_path / str(statement), statement, expected):
        statement += SHARDS
    assert statement > 100, "the crashes must have struck every statement of every commit"


def struck(folder: Path, statement: int, expected: tuple[Any, ...]) -> bool:
    """Live through the history with a crash before that statement or commit; answers whether there was one."""
    folder.mkdir()
    world = World(folder, template())
    left = statement

    def cut(*_: Any) -> None:
        nonlocal left
        left -= 1
        if left == -1:
            raise PowerCut

    sql_event.listen(world.store._writer, "before_cursor_execute", cut)
    sql_event.listen(world.store._writer, "commit", cut)
    crashed = False
    for happens in HISTORY:
        happens(world)
        try:
            world.run()
        except PowerCut:
            crashed = True
            world.store.close()
            world.open()
            world.start()
            world.run()
    assert books(world) == expected, f"crashed at statement {statement}"
    world.store.close()
    return crashed


@pytest.mark.parametrize("value", [0.1, -0.1, 1e9, 1e-9, 12345.678])
def test_an_error_is_exact_to_a_millionth_of_the_scale(value: float) -> None:
    assert math.isclose(Rule("a/b", task="regression").error(value, 0.0) / UNIT, value, abs_tol=0.5 / UNIT)
