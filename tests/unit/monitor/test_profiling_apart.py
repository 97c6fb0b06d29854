"""Profiling rows, and Xs and Ys that come apart: each is counted once, whoever sends it, in any order."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from switchyard_monitor.domain.profiling import Span
from switchyard_monitor.reader import Pace
from switchyard_profile.binning import PREDICTION
from switchyard_profile.profile import Profile
from switchyard_testkit.local_broker import LocalBroker
from switchyard_testkit.monitor_world import (
    REFERENCE,
    ROWS,
    SUBJECT,
    WATCHED,
    World,
    batch,
    decision,
    deletion,
    inference,
    input_alone,
    kserve,
    mirrored,
    outcome,
    prediction_alone,
)
from switchyard_testkit.replay_suite import again, reread

MANY: dict[str, Any] = ROWS | WATCHED | {"window": "5m"}
INSTANCES: dict[str, Any] = MANY | {
    "prediction": {"path": "$", "task": "regression"},
    "rows": {"request": "$.instances", "response": "$.predictions"},
    "features": [{"name": "x", "path": "$[0]"}],
}
WHOLE: dict[str, Any] = MANY | {"rows": {"response": "$.answers"}, "features": [{"name": "x", "path": "$.of"}]}
ASKED, TOLD = {"instances": [[3], [4]]}, {"predictions": [10.0, 20.0]}


def world_of(path: Path, *, monitoring: Mapping[str, Any] = MANY, partitions: int = 1, pace: int = 5000) -> World:
    """A world whose deployment names the reference, which was handed over."""
    world = World(path, broker=LocalBroker(partitions), pace=Pace(batch=pace, linger=0.0, margin_us=0))
    world.teach(monitoring)
    world.store.keep_baseline(REFERENCE.digest, REFERENCE.to_bytes())
    return world


def profiles(world: World) -> dict[tuple[str, str], Profile]:
    """All that was counted, by (revision, role)."""
    found: dict[tuple[str, str], Profile] = {}
    span = Span(subject=SUBJECT, baseline=REFERENCE.digest, since_us=0, until_us=2**62)
    for key, profile in world.store.profiles(span).items():
        place = key.revision, key.role
        found[place] = found[place].merge(profile) if place in found else profile
    return found


def counted(xs: Sequence[Any], ys: Sequence[Any]) -> Profile:
    """The same, counted at once."""
    return Profile.of(REFERENCE.digest, REFERENCE.binnings, {"x": xs, PREDICTION: ys}, rows=len(ys))


def alone(xs: Sequence[Any], ys: Sequence[Any]) -> dict[tuple[str, str], Profile]:
    """Of a model without the gateway."""
    return {("batch-1", "stable"): counted(xs, ys)}


def served(xs: Sequence[Any], ys: Sequence[Any]) -> dict[tuple[str, str], Profile]:
    """Of one behind it."""
    return {("stable-1", "stable"): counted(xs, ys)}


X, Y = input_alone("a", x=3), prediction_alone("a")
SHADOW = {"role": "shadow", "revision": "next-2"}


@pytest.mark.parametrize("pace", [1, 5000], ids=["one by one", "at once"])
@pytest.mark.parametrize(
    ("told", "expected", "monitoring"),
    [
        pytest.param([X, Y], alone([3], [10.0]), MANY, id="X, and Y"),
        pytest.param([Y, X], alone([3], [10.0]), MANY, id="Y, and X"),
        pytest.param([X], alone([3], []), MANY, id="an X whose Y never comes"),
        pytest.param([Y], alone([], [10.0]), MANY, id="a Y whose X never comes"),
        pytest.param([X, Y, X, Y], alone([3], [10.0]), MANY, id="both sent again"),
        pytest.param(
            [X, Y, input_alone("a", x=3, event_id="2"), prediction_alone("a", y=99.0, event_id="2")],
            alone([3], [10.0]),
            MANY,
            id="both once more, under events of their own",
        ),
        pytest.param([X, Y, input_alone("a", x=4, event_id="2")], alone([3], [10.0]), MANY, id="another X"),
        pytest.param(
            [X, prediction_alone("a", y="soon", event_id="2"), Y],
            alone([3], [10.0]),
            MANY,
            id="a Y that holds no value",
        ),
        pytest.param(
            [X, Y, deletion("a"), input_alone("a", event_id="2"), prediction_alone("a", event_id="2")],
            alone([3], [10.0]),
            MANY,
            id="a deletion keeps what was counted, and nothing comes after it",
        ),
        pytest.param(
            [X, Y, outcome("a", 1.0), outcome("a", 2.0, revision=1), decision("a", False)],
            alone([3], [10.0]),
            MANY,
            id="labels and their amendments",
        ),
        pytest.param([input_alone("a", at=-8 * 86400), Y], alone([], [10.0]), MANY, id="an X that is late"),
        pytest.param(
            [input_alone("a", x=row, row=row) for row in range(3)] + [prediction_alone("a", row=2)],
            alone([0, 1, 2], [10.0]),
            MANY,
            id="row by row",
        ),
        pytest.param(
            [
                *(input_alone("a", x=3, event_id=f"x-{n}", **changes) for n, changes in enumerate(({}, SHADOW) * 2)),
                *(prediction_alone("a", event_id=f"y-{n}", **changes) for n, changes in enumerate(({}, SHADOW) * 2)),
            ],
            alone([3], [10.0]) | {("next-2", "shadow"): counted([3], [10.0])},
            MANY,
            id="two revisions are asked the same, each twice",
        ),
        pytest.param(
            [input_alone("a", x=3, revision="stable-1"), inference("a", x=3, event_id="g")],
            served([3], [10.0]),
            WATCHED,
            id="an X alone, and then with its Y",
        ),
        pytest.param(
            [inference("a", x=3, event_id="g"), input_alone("a", x=3, revision="stable-1")],
            served([3], [10.0]),
            WATCHED,
            id="an X with its Y, and then alone",
        ),
        pytest.param(
            [
                mirrored("a", x=3),
                input_alone("a", x=3, revision="stable-1"),
                prediction_alone("a", revision="stable-1"),
            ],
            served([3], [10.0]) | {("next-2", "shadow"): counted([3], [10.0])},
            WATCHED,
            id="what is mirrored is asked apart",
        ),
        pytest.param([batch("a", [1.0, 2.0, 3.0])], served([0, 1, 2], [1.0, 2.0, 3.0]), MANY, id="each row"),
        pytest.param([batch("a", [1.0, None])], served([0], [1.0]), MANY, id="not one without a Y"),
        pytest.param([batch("a", [1.0, 2.0], xs=[1])], {}, MANY, id="nor any that nobody can tell apart"),
        pytest.param(
            [batch("a", [1.0], xs=[1]), batch("a", [9.0, 2.0], xs=[1, 2], event_id="2")],
            served([1, 2], [1.0, 2.0]),
            MANY,
            id="of a retry with more rows, what is new",
        ),
        pytest.param(
            [batch("a", [1.0, 2.0], request={"encoding": "json", "value": {"of": 4}})],
            served([4, 4], [1.0, 2.0]),
            WHOLE,
            id="the whole request as each row's X",
        ),
        pytest.param(
            [batch("a", [1.0], request={"encoding": "json", "value": None, "complete": False})],
            {},
            MANY,
            id="no request that was cut short",
        ),
        pytest.param(
            [kserve("response", "a", TOLD), kserve("request", "a", ASKED), kserve("request", "a", ASKED)],
            {("flight-delay-predictor", "stable"): counted([3, 4], [10.0, 20.0])},
            INSTANCES,
            id="KServe's",
        ),
        pytest.param(
            [kserve("request", "a", ASKED, component="explainer")], {}, INSTANCES, id="KServe's explanation is none"
        ),
    ],
)
def test_each_x_and_each_y_is_counted_once(
    tmp_path: Path,
    told: list[bytes],
    expected: dict[tuple[str, str], Profile],
    monitoring: Mapping[str, Any],
    pace: int,
) -> None:
    world = world_of(tmp_path, monitoring=monitoring, pace=pace)
    for value in told:
        world.say(value)
    world.run()
    assert profiles(world) == expected


values = st.one_of(st.none(), st.integers(-9, 9), st.just("far"))
rows = st.lists(st.tuples(values, st.floats(-50, 50)), min_size=1, max_size=4)


@settings(max_examples=15, suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture])
@given(
    st.lists(st.tuples(st.sampled_from(["rows", "apart"]), rows, st.integers(0, 900)), min_size=1, max_size=6),
    st.randoms(use_true_random=False),
    st.integers(1, 3),
    st.sampled_from([1, 3, 5000]),
)
def test_any_order_duplication_and_split_gives_the_same_profiles(
    tmp_path_factory: pytest.TempPathFactory, found: list[Any], chance: random.Random, partitions: int, pace: int
) -> None:
    world = world_of(tmp_path_factory.mktemp("world"), partitions=partitions, pace=pace)
    said: list[bytes] = []
    for place, (way, pairs, at) in enumerate(found):
        if way == "rows":
            said.append(batch(f"p{place}", [y for _, y in pairs], xs=[x for x, _ in pairs], at=at, revision="batch-1"))
            continue
        for row, (x, y) in enumerate(pairs):
            said.append(input_alone(f"p{place}", x=x, row=row, at=at))
            said.append(prediction_alone(f"p{place}", y=y, row=row, at=at))
    said += chance.sample(said, k=len(said) // 2)
    chance.shuffle(said)
    for value in said:
        world.say(value, at=1000, partition=chance.randrange(partitions))
    world.run()
    everything = [pair for _, pairs, _ in found for pair in pairs]
    assert profiles(world) == alone([x for x, _ in everything], [y for _, y in everything])
    world.store.close()


def test_what_is_read_again_is_counted_no_more(tmp_path: Path) -> None:
    world = world_of(tmp_path)
    for value in [X, Y, batch("b", [1.0, 2.0]), input_alone("c", revision="next-2"), deletion("b")]:
        world.say(value)
    world.run()
    before = profiles(world)
    again(world)
    assert profiles(world) == before
    world.store.close()


def test_what_is_taken_in_of_dead_letters_is_counted(tmp_path: Path) -> None:
    world = world_of(tmp_path, monitoring=MANY | {"prediction": {"path": "$.later", "task": "regression"}})
    world.say(X)
    world.say(Y)
    world.run()
    assert profiles(world) == alone([3], [])
    world.teach(MANY)
    world.run()
    for _ in range(2):
        reread(world)
        assert profiles(world) == alone([3], [10.0])
    world.store.close()
