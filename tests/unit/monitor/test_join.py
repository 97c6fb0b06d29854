"""The join: four kinds of events in any order become the same sums."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from switchyard_monitor.answers import quality
from switchyard_monitor.domain.rules import Rule
from switchyard_testkit.monitor_world import SUBJECT, World, decision, deletion, inference, outcome

UNIT = 1 << 20


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    made = World(tmp_path)
    made.teach()
    yield made
    made.store.close()


def test_an_outcome_is_joined_to_its_prediction(world: World) -> None:
    world.say(inference("a", y=10.0), at=1)
    world.say(outcome("a", 7.0, at=6), at=6)
    world.run()
    (sums,) = world.sums().values()
    assert sums["requests"] == sums["predictions"] == sums["now.n"] == sums["age.n"] == 1
    assert sums["now.e"] == 3 * UNIT
    assert sums["now.ee"] == 9 * UNIT * UNIT
    assert world.ledger() == {"stored": 2}


def test_an_outcome_that_came_first_waits_for_its_prediction(world: World) -> None:
    world.say(outcome("a", 7.0), at=1)
    world.run()
    assert world.store.labels("demo/flight-delay") == {"in": 1, "orphan": 1}
    world.say(inference("a", y=10.0), at=2)
    world.run()
    (sums,) = world.sums().values()
    assert sums["now.e"] == 3 * UNIT
    assert world.store.labels("demo/flight-delay") == {"in": 1, "joined": 1}


def test_a_corrected_outcome_replaces_the_old_one_but_not_the_one_judged_at_age_l(world: World) -> None:
    world.say(inference("a", y=10.0), at=1)
    world.say(outcome("a", 7.0), at=10)
    world.say(outcome("a", 4.0, revision=1), at=30)
    world.run()
    (sums,) = world.sums().values()
    assert (sums["now.n"], sums["now.e"]) == (1, 6 * UNIT)
    assert (sums["age.n"], sums["age.e"]) == (1, 3 * UNIT)
    assert world.ledger() == {"stored": 2, "superseded": 1}


def test_an_older_version_that_comes_later_is_stale(world: World) -> None:
    world.say(inference("a", y=10.0), at=1)
    world.say(outcome("a", 4.0, revision=2), at=5)
    world.say(outcome("a", 7.0, revision=1), at=6)
    world.run()
    (sums,) = world.sums().values()
    assert sums["now.e"] == 6 * UNIT
    assert world.ledger() == {"stored": 2, "stale": 1}


def test_an_outcome_after_age_l_is_current_but_never_judged(world: World) -> None:
    world.say(inference("a", y=10.0), at=1)
    world.say(outcome("a", 7.0), at=21)
    world.run()
    (sums,) = world.sums().values()
    assert sums["now.n"] == 1
    assert "age.n" not in sums


def test_a_deletion_keeps_the_sums_and_refuses_what_comes_after(world: World) -> None:
    world.say(inference("a", y=10.0), at=1)
    world.say(outcome("a", 7.0), at=2)
    world.run()
    before = world.sums()
    world.say(deletion("a"), at=3)
    world.say(outcome("a", 1.0, revision=1), at=4)
    world.say(inference("a", event_id="again"), at=5)
    world.run()
    assert world.sums() == before
    assert world.ledger() == {"stored": 3, "deleted": 2}
    assert world.store.labels("demo/flight-delay") == {"in": 1, "deleted": 1}


def test_a_decision_agrees_by_the_threshold(world: World) -> None:
    world.say(inference("a", y=20.0), at=1)
    world.say(inference("b", y=20.0), at=1)
    world.say(decision("a", True), at=2)
    world.say(decision("b", False, actor="rule"), at=2)
    world.run()
    (sums,) = world.sums().values()
    assert {name: value for name, value in sums.items() if name.startswith("dec") and "delay" not in name} == {
        "dec.n": 2,
        "dec.agree": 1,
        "dec.n:human": 1,
        "dec.agree:human": 1,
        "dec.n:rule": 1,
    }


def test_coverage_and_delay_of_labels_are_known(world: World) -> None:
    for second, name in enumerate("abcd"):
        world.say(inference(name, y=20.0, at=1), at=1)
        if name in "abc":
            world.say(decision(name, True), at=3 + second)
            world.say(decision(name, False, revision=1), at=50)
        if name in "ab":
            world.say(outcome(name, 1.0), at=11 + 20 * second)
    world.run()
    (line,) = quality(world.store.totals(world.store.arms(SUBJECT)))
    assert (line.predictions, line.labelled, line.judged) == (4, 2, 1)
    assert (line.coverage, line.decision_coverage) == (0.25, 0.75)
    assert line.decision_delay_p50 == pytest.approx(3.0, rel=1 / 16)
    assert line.decision_delay_p95 == pytest.approx(4.0, rel=1 / 16)
    assert line.label_delay_p95 == pytest.approx(30.0, rel=1 / 16)


def test_a_rule_that_says_nothing_of_rows_is_the_one_it_was_and_keeps_its_sums() -> None:
    old = Rule("demo/m", task="regression", outcome="$")
    assert old.digest == "d17a20f1dcece26f", "as the release before rows wrote it down"
    assert Rule("demo/m", task="regression", outcome="$", answers="$.predictions").digest != old.digest
