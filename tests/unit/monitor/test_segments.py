"""Segments: quality by parts of X is what pandas makes of the same rows, whichever way they came."""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from switchyard_contracts.windows import DAY_US
from switchyard_monitor.adapters.store import SqlStore
from switchyard_monitor.domain import segments as told
from switchyard_monitor.domain.days import add_to_day
from switchyard_monitor.domain.entries import Arm, Cell
from switchyard_monitor.domain.rules import Rule
from switchyard_monitor.domain.segments import BASE, Segment, number, places
from switchyard_monitor.domain.sums import Sums
from switchyard_monitor.page.segment_tables import table
from switchyard_monitor.segment_answers import NAMES, RevisionSegments, SegmentQuality, segments
from switchyard_testkit.monitor_world import (
    MONITORING,
    NOON_US,
    SECOND,
    SUBJECT,
    World,
    batch,
    inference,
    input_alone,
    outcome,
    prediction_alone,
)

CARRIER = Segment("carrier", "$.carrier", ("AA", "UA"))
DISTANCE = Segment("distance", "$.distance", (), (500.0, 1000.0))
BOTH = (CARRIER, DISTANCE)
RULE = Rule(SUBJECT, task="regression", outcome="$.delay", segments=BOTH)
SPOKEN: dict[str, Any] = {
    **MONITORING,
    "segments": [
        {"name": "carrier", "path": "$.x.carrier", "values": ["AA", "UA"]},
        {"name": "distance", "path": "$.x.distance", "edges": [500, 1000]},
    ],
}


@pytest.mark.parametrize(
    ("segment", "text", "value", "words"),
    [
        (CARRIER, "AA", None, "AA"),
        (CARRIER, "UA", None, "UA"),
        (CARRIER, "B6", None, "all others"),
        (CARRIER, None, None, "missing"),
        (DISTANCE, "499.9", 499.9, "under 500"),
        (DISTANCE, "500", 500.0, "500 to 1000"),
        (DISTANCE, "1000", 1000.0, "from 1000"),
        (DISTANCE, "far", None, "missing"),
        (Segment("day", "$.day", (), (20_260_101.0, 20_260_102.0)), "20260101", 20_260_101.0, "20260101 to 20260102"),
        (Segment("share", "$.share", (), (0.12345678,)), "1", 1.0, "from 0.12345678"),
        (Segment("heat", "$.heat", (), (-0.0, 1e300)), "-1", -1.0, "under 0"),
        (Segment("heat", "$.heat", (), (-0.0, 1e300)), "1e300", 1e300, "from 1e+300"),
    ],
)
def test_a_value_lies_in_the_part_that_is_named_so(
    segment: Segment, text: str | None, value: float | None, words: str
) -> None:
    assert segment.words(segment.digit(text, value)) == words


@given(st.lists(st.integers(0, BASE - 1), min_size=8, max_size=8))
def test_one_number_holds_all_digits_and_says_what_they_mean(digits: list[int]) -> None:
    eight = tuple(Segment(f"f{place}", "$.x", ("a",)) for place in range(8))
    held = number(eight, digits)
    assert 0 <= held < 2**63
    assert places(eight, held) == [BASE * place + digit for place, digit in enumerate(digits)]
    assert places(eight[:7], held) == []


def test_a_rule_is_read_back_as_it_was() -> None:
    assert Rule.read(RULE.body) == RULE
    assert Rule.read({"subject": "demo/m"}).digest == Rule("demo/m").digest


# --- through the join -------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def empty(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A database that was brought up to date, to be copied."""
    path = tmp_path_factory.mktemp("empty") / "monitor.db"
    store = SqlStore(f"sqlite:///{path}")
    store.migrate()
    store.close()
    return path


@pytest.fixture
def world(tmp_path: Path, empty: Path) -> Iterator[World]:
    made = World(tmp_path, empty)
    made.teach(SPOKEN)
    yield made
    made.store.close()


def by_part(world: World) -> dict[str, SegmentQuality]:
    """The one revision's parts, by name."""
    (line,) = segments(world.store.days(world.store.arms(SUBJECT), names=NAMES))
    return {f"{feature.feature} {part.part}": part for feature in line.features for part in feature.parts}


def test_parts_are_what_pandas_groups(world: World) -> None:
    chance, rows = random.Random(1), []
    for place in range(300):
        carrier, distance = chance.choice(["AA", "UA", "B6", None]), chance.choice([100, 700.0, 2000, "far"])
        error = chance.gauss(1, 5)
        world.say(inference(f"p{place}", y=10.0, x={"carrier": carrier, "distance": distance}), at=1)
        if place % 4:
            world.say(outcome(f"p{place}", 10.0 - error), at=2)
        rows.append((carrier or "missing", distance, error if place % 4 else None))
    world.run()
    frame = pd.DataFrame(rows, columns=["carrier", "distance", "error"])
    frame["carrier"] = frame["carrier"].replace({"B6": "all others"})
    frame["distance"] = frame["distance"].map(
        {100: "under 500", 700.0: "500 to 1000", 2000: "from 1000", "far": "missing"}
    )
    found = by_part(world)
    assert len(found) == 8
    for feature in ("carrier", "distance"):
        for part, held in frame.groupby(feature):
            one = found[f"{feature} {part}"]
            error = held["error"].dropna()
            assert (one.predictions, one.judged) == (len(held), len(error))
            assert one.mae == pytest.approx(error.abs().mean(), rel=1e-6)
            assert one.bias == pytest.approx(error.mean(), rel=1e-5)
            assert one.rmse == pytest.approx(np.sqrt((error**2).mean()), rel=1e-6)
            assert (one.lower, one.differs) == (None, None), "of one day"


def test_each_row_of_a_request_has_parts_of_its_own(world: World) -> None:
    world.teach({**SPOKEN, "rows": {"request": "$.rows", "response": "$.answers"}})
    world.say(batch("a", [1.0, 2.0], xs=[{"carrier": "AA"}, {"carrier": "UA"}]), at=1)
    world.run()
    found = by_part(world)
    assert [found[f"carrier {name}"].predictions for name in ("AA", "UA")] == [1, 1]


@pytest.mark.parametrize("first", ["x", "y"])
def test_an_x_that_came_alone_tells_its_y_apart_whichever_came_first(world: World, first: str) -> None:
    alone = input_alone("a", x={"carrier": "UA"})
    said = prediction_alone("a", y=12.0)
    for value, at in zip((alone, said) if first == "x" else (said, alone), (1, 3), strict=True):
        world.say(value, at=at)
        world.say(outcome("a", 10.0), at=at + 1)
        world.run()
    assert by_part(world)["carrier UA"].mae == 2.0
    assert by_part(world)["distance missing"].judged == 1


@pytest.mark.rule("check-segments")
def test_an_x_that_was_read_by_other_segments_tells_nothing_apart(world: World) -> None:
    world.say(input_alone("a", x={"carrier": "UA"}), at=1)
    world.run()
    world.teach({**SPOKEN, "segments": [{"name": "carrier", "path": "$.x.carrier", "values": ["UA", "AA"]}]})
    world.say(prediction_alone("a"), at=2)
    world.run()
    assert segments(world.store.days(world.store.arms(SUBJECT), names=NAMES)) == []


@settings(max_examples=10, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(st.sampled_from("abcd"), max_size=4, unique=True), st.randoms(use_true_random=False))
def test_any_order_of_xs_ys_and_labels_gives_the_same_days(
    empty: Path, names: list[str], chance: random.Random
) -> None:
    events = [(inference("full", x={"carrier": "AA"}), 1), (outcome("full", 3.0), 2)]
    for name in names:
        events.append((input_alone(name, x={"carrier": chance.choice(["AA", "UA", "B6"])}), 1))
        events.append((prediction_alone(name), 1))
        events += [(outcome(name, chance.random(), revision=version), 2 + version) for version in range(2)]

    def days(order: list[tuple[bytes, int]]) -> Any:
        with TemporaryDirectory() as folder:
            world = World(Path(folder), empty)
            world.teach(SPOKEN)
            for value, at in order:
                world.say(value, at=at)
            world.now_us = NOON_US + 100 * SECOND
            world.run()
            found = world.day_sums()
            world.store.close()
            return found

    assert days(chance.sample(events, k=len(events))) == days(events)


# --- what is said of them ---------------------------------------------------------------------------------------------


def cells(errors: Mapping[str, list[list[float]]], rule: Rule = RULE) -> list[Cell]:
    """Days of the errors of carriers, each a list of days."""
    found = []
    for day in range(max(map(len, errors.values()))):
        sums: Sums = {}
        for name, of_days in errors.items():
            held = number(BOTH, [CARRIER.digit(name, None), 0])
            for error in of_days[day]:
                add_to_day(sums, rule, 10.0 + error, 10.0, 1, segment=held, fold=0)
        found.append(Cell(Arm(1, "r", "stable", 3, 10_000, "split"), rule, day * DAY_US, sums))
    return found


def drawn(chance: np.random.Generator, *, days: int = 14, size: float = 5.0) -> list[list[float]]:
    """Errors of days that differ from each other."""
    return [(chance.normal(0, size * chance.uniform(0.7, 1.3), size=40)).tolist() for _ in range(days)]


def carriers(errors: Mapping[str, list[list[float]]]) -> dict[str, SegmentQuality]:
    (line,) = segments(cells(errors))
    return {part.part: part for part in line.features[0].parts}


def test_a_part_that_is_worse_differs_and_the_feature_explains_it() -> None:
    chance = np.random.default_rng(1)
    errors = {"AA": drawn(chance), "UA": drawn(chance, size=15.0), "B6": drawn(chance)}
    (line,) = segments(cells(errors))
    found = {part.part: part for part in line.features[0].parts}
    assert found["UA"].differs
    assert found["UA"].lower is not None
    assert found["UA"].mae is not None
    assert found["UA"].upper is not None
    assert found["UA"].lower < found["UA"].mae < found["UA"].upper
    loss = {name: np.abs(np.concatenate(of_days)) for name, of_days in errors.items()}
    every = np.concatenate([*loss.values()])
    between = sum(len(one) * (one.mean() - every.mean()) ** 2 for one in loss.values())
    raw = between / ((every - every.mean()) ** 2).sum()
    n = len(every)
    assert line.features[0].explained == pytest.approx(1 - (1 - raw) * (n - 1) / (n - 3), rel=1e-4)
    assert line.features[1].explained is None, "of a feature that is never there"
    first, *_ = table([line], {"r": "1.0.0"}).rows
    assert first[2:4] == ("carrier", "UA")
    assert "differs from the rest" in first


def test_parts_that_are_alike_seldom_differ_and_explain_nothing() -> None:
    chance = np.random.default_rng(2)
    wrong, explained = 0, []
    for _ in range(150):
        (line,) = segments(cells({name: drawn(chance, days=10) for name in ("AA", "UA", "B6")}))
        wrong += any(part.differs for part in line.features[0].parts)
        explained.append(line.features[0].explained or 0.0)
    assert wrong / 150 < 0.1
    assert np.mean(explained) < 0.005


def test_intervals_by_days_hold_the_mean_about_as_often_as_they_say() -> None:
    chance = np.random.default_rng(3)
    truth = 5.0 * np.sqrt(2 / np.pi)
    held = [carriers({"AA": drawn(chance, days=10)})["AA"] for _ in range(300)]
    inside = [one.lower <= truth <= one.upper for one in held if one.lower is not None and one.upper is not None]
    assert len(inside) == 300
    assert 0.91 < np.mean(inside) < 0.985


def test_fewer_than_seven_days_have_no_interval() -> None:
    found = carriers({"AA": drawn(np.random.default_rng(4), days=6)})["AA"]
    assert (found.lower, found.differs) == (None, None)


def test_of_classes_it_is_the_share_that_was_right() -> None:
    rule = Rule(SUBJECT, task="classification", outcome="$", segments=BOTH)
    chance = random.Random(5)
    days = []
    for day in range(10):
        sums: Sums = {}
        for name, wrong in (("AA", 0.1), ("UA", 0.5)):
            held = number(BOTH, [CARRIER.digit(name, None), 0])
            for _ in range(50):
                happened = "other" if chance.random() < wrong else "late"
                add_to_day(sums, rule, "late", happened, 1, segment=held, fold=0)
        days.append(Cell(Arm(1, "r", "stable", 3, 10_000, "split"), rule, day * DAY_US, sums))
    (line,) = segments(days)
    found = {part.part: part for part in line.features[0].parts}
    assert found["AA"].accuracy == pytest.approx(0.9, abs=0.04)
    assert found["UA"].accuracy == pytest.approx(0.5, abs=0.06)
    assert (found["AA"].differs, found["UA"].differs, found["AA"].mae) == (True, True, None)
    assert table([line], {}).rows[0][3] == "UA"


def test_newer_segments_stand_alone() -> None:
    newer = Rule(SUBJECT, task="regression", outcome="$.delay", segments=(DISTANCE,))
    later = Cell(Arm(2, "r", "stable", 4, 10_000, "split"), newer, 0, {f"seg.all:{1}": 3})
    (line,) = segments([*cells({"AA": [[1.0]]}), later])
    assert line == RevisionSegments(
        revision="r", role="stable", features=[line.features[0].model_copy(update={"feature": "distance"})]
    )
    assert [part.part for part in line.features[0].parts] == ["under 500"]


def test_segments_that_are_said_as_before_are_told_again() -> None:
    newer = Rule(SUBJECT, task="regression", outcome="$.delay", segments=(DISTANCE,))
    between = Cell(Arm(2, "r", "stable", 4, 10_000, "split"), newer, 0, {f"seg.all:{1}": 3})
    before = cells({"AA": [[1.0]]})
    assert segments([*before, between], RULE) == segments(before)
    assert segments([*before, between], newer) == segments([between])


def test_what_was_added_is_taken_out_again() -> None:
    sums: Sums = {}
    held = number(BOTH, [1, 2])
    for sign in (1, -1):
        add_to_day(sums, RULE, 3.0, 1.0, sign, segment=held, fold=0)
    assert not any(sums.values())
    assert told.mark(BOTH) != told.mark((CARRIER,))
