"""Pairs: the same request answered twice, whatever comes first; and what was mirrored never counts as served."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from switchyard_monitor.answers import counts, quality
from switchyard_testkit.monitor_world import SUBJECT, World, decision, deletion, inference, mirrored, outcome

UNIT = 1 << 20
CLASSES = {
    "prediction": {"path": "$.delay", "task": "classification"},
    "outcome": {"path": "$.delay", "horizon": "7d", "judgedAfter": "20s", "affectedBy": "nothing"},
    "window": "5s",
}
NEAR = {
    "prediction": {"path": "$.delay", "task": "regression"},
    "decision": {"tolerance": 2},
    "window": "5s",
}


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    made = World(tmp_path)
    made.teach()
    yield made
    made.store.close()


def only(world: World) -> dict[str, int]:
    (sums,) = world.pair_sums().values()
    return sums


def test_a_mirrored_answer_makes_a_pair_in_stables_window_and_generation(world: World) -> None:
    world.say(inference("a", y=10.0, at=4, latencyUs=5000), at=4)
    world.say(mirrored("a", y=13.0, at=6, latencyUs=4000, traffic=4), at=6)
    world.run()
    assert list(world.pair_sums()) == [("stable-1", "next-2", 3, 0)]
    sums = only(world)
    assert (sums["n"], sums["compared"], sums["agree"]) == (1, 1, 1)
    assert (sums["y"], sums["yy"], sums["ya"]) == (3 * UNIT, 9 * UNIT**2, 3 * UNIT)
    assert (sums["lat.n"], sums["lat.d"], sums["lat.dd"]) == (1, -1000, 10**6)
    assert not any(name.startswith(("age.", "now.")) for name in sums)


def test_both_are_judged_by_the_same_outcome(world: World) -> None:
    world.say(mirrored("a", y=13.0), at=1)
    world.say(outcome("a", 11.0), at=2)
    world.say(inference("a", y=10.0), at=3)
    world.run()
    sums = only(world)
    for which in ("now", "age"):
        assert (sums[f"{which}.c.n"], sums[f"{which}.c.e"]) == (1, 2 * UNIT)
        assert (sums[f"{which}.s.n"], sums[f"{which}.s.e"]) == (1, -UNIT)
        assert (sums[f"{which}.x.a"], sums[f"{which}.x.ee"]) == (2 * UNIT**2, 4 * UNIT**4)


def test_a_correction_moves_what_holds_now_but_not_what_was_judged_at_age_l(world: World) -> None:
    world.say(inference("a", y=10.0), at=1)
    world.say(mirrored("a", y=13.0), at=1)
    world.say(outcome("a", 11.0), at=10)
    world.say(outcome("a", 0.0, revision=1), at=30)
    world.run()
    sums = only(world)
    assert (sums["age.c.e"], sums["age.s.e"]) == (2 * UNIT, -UNIT)
    assert (sums["now.c.n"], sums["now.c.e"], sums["now.s.e"]) == (1, 13 * UNIT, 10 * UNIT)


def test_the_age_of_a_pair_is_stables(world: World) -> None:
    """The mirrored answer is a little younger; by its own age the outcome would have come in time."""
    world.say(inference("a", y=10.0, at=0), at=1)
    world.say(mirrored("a", y=13.0, at=3), at=3)
    world.say(outcome("a", 11.0), at=22)
    world.run()
    sums = only(world)
    assert sums["now.c.n"] == 1
    assert "age.c.n" not in sums
    assert world.sums()["next-2", "shadow", 3, 0]["age.n"] == 1


def test_a_duplicate_makes_no_second_pair(world: World) -> None:
    for _ in range(2):
        world.say(inference("a"), at=1)
        world.say(mirrored("a"), at=1)
        world.say(outcome("a", 11.0), at=2)
    world.run()
    sums = only(world)
    assert (sums["n"], sums["age.c.n"]) == (1, 1)
    assert world.ledger() == {"stored": 3, "duplicate": 3}


def test_an_erased_prediction_keeps_its_pair_in_the_sums(world: World) -> None:
    world.say(inference("a"), at=1)
    world.say(mirrored("a"), at=1)
    world.say(outcome("a", 11.0), at=2)
    world.run()
    before = world.pair_sums()
    world.say(deletion("a"), at=3)
    world.say(mirrored("a", event_id="again"), at=4)
    world.run()
    assert world.pair_sums() == before


@pytest.mark.parametrize(
    "alone",
    [
        pytest.param([mirrored("a")], id="stable never answered"),
        pytest.param([inference("a")], id="the mirrored revision never answered"),
        pytest.param([inference("a"), mirrored("a", status=500, error=True)], id="it failed"),
        pytest.param([inference("a", status=500, error=True), mirrored("a")], id="stable failed"),
        pytest.param([inference("a", assignment="pinned"), mirrored("a")], id="stable was picked by header"),
        pytest.param([inference("a", role="candidate"), mirrored("a")], id="a candidate answered"),
        pytest.param([inference("a"), mirrored("a", role="preview")], id="the other is a preview"),
        pytest.param([inference("a"), mirrored("b")], id="another prediction"),
        pytest.param([inference("a"), mirrored("a", answeredBy="stable-1")], id="stable answered the mirrored request"),
    ],
)
def test_what_is_no_pair(world: World, alone: list[bytes]) -> None:
    for value in alone:
        world.say(value, at=1)
    world.run()
    assert world.pair_sums() == {}


def test_stable_in_place_of_a_dead_candidate_is_no_primary_answer_to_pair_with(world: World) -> None:
    world.say(inference("a", revision="next-2", role="candidate", answeredBy="stable-1"), at=1)
    world.say(mirrored("a", revision="other-3"), at=1)
    world.run()
    assert world.pair_sums() == {}


def test_several_mirrored_revisions_make_a_pair_each(world: World) -> None:
    world.say(mirrored("a", revision="other-3", event_id="other"), at=1)
    world.say(inference("a"), at=1)
    world.say(mirrored("a"), at=1)
    world.run()
    assert {pair[:2]: sums["n"] for pair, sums in world.pair_sums().items()} == {
        ("stable-1", "next-2"): 1,
        ("stable-1", "other-3"): 1,
    }


def test_of_two_answers_of_stable_a_mirrored_one_belongs_to_the_nearer(world: World) -> None:
    """The same id came again after a promotion."""
    world.say(inference("a", revision="old-0", at=0, event_id="first", traffic=1), at=0)
    world.say(inference("a", at=40), at=40)
    world.say(mirrored("a", at=41), at=41)
    world.run()
    assert list(world.pair_sums()) == [("stable-1", "next-2", 3, 40)]


def test_classes_agree_when_they_are_the_same(world: World) -> None:
    world.teach(CLASSES)
    for name, (stable, its, happened) in {
        "a": ("late", "late", "late"),
        "b": ("late", "early", "early"),
        "c": ("late", "early", "late"),
        "d": ("late", "late", "early"),
    }.items():
        world.say(inference(name, y=stable), at=1)
        world.say(mirrored(name, y=its), at=1)
        world.say(outcome(name, happened), at=2)
    world.run()
    sums = only(world)
    assert (sums["n"], sums["compared"], sums["agree"]) == (4, 4, 2)
    assert (sums["age.c.n"], sums["age.c.right"], sums["age.s.right"], sums["age.x.right"]) == (4, 2, 2, 1)


@pytest.mark.parametrize(("other", "agree"), [(12.0, 1), (12.1, 0), (7.9, 0)])
def test_numbers_agree_within_the_tolerance_of_a_decision(world: World, other: float, agree: int) -> None:
    world.teach(NEAR)
    world.say(inference("a", y=10.0), at=1)
    world.say(mirrored("a", y=other), at=1)
    world.run()
    assert only(world).get("agree", 0) == agree


@pytest.mark.parametrize("latency", [None, -5, 10**400])
def test_a_latency_that_is_none_or_nonsense_breaks_nothing(world: World, latency: int | None) -> None:
    world.say(inference("a"), at=1)
    world.say(mirrored("a", latencyUs=latency), at=1)
    world.run()
    sums = only(world)
    assert sums["n"] == 1
    assert sums.get("lat.n", 0) == (latency is not None)


def test_what_was_mirrored_never_counts_as_served(world: World) -> None:
    """Requests, errors, latency, predictions, quality and decisions of the primaries are as if no mirror were on."""

    def primaries() -> tuple[object, ...]:
        cells = world.store.cells(world.store.arms(SUBJECT))
        return (
            [line for line in counts(cells) if line.role != "shadow"],
            [line for line in quality(cells) if line.role != "shadow"],
        )

    for i in range(20):
        world.say(inference(f"p{i}", y=10.0, weightBp=5000), at=1)
        world.say(inference(f"c{i}", y=11.0, revision="next-2", role="candidate", weightBp=5000), at=1)
        for name in (f"p{i}", f"c{i}"):
            world.say(outcome(name, 9.0), at=2)
            world.say(decision(name, False), at=2)
    world.run()
    before = primaries()
    for i in range(20):
        failed = i % 4 == 0
        world.say(mirrored(f"p{i}", y=99.0, latencyUs=10**6, status=500 if failed else 200, error=failed), at=3)
    world.run()
    assert primaries() == before
    (shadow,) = [line for line in counts(world.store.cells(world.store.arms(SUBJECT))) if line.role == "shadow"]
    assert (shadow.requests, shadow.errors, shadow.predictions) == (20, 5, 15)


@pytest.mark.parametrize("mirror_first", [True, False])
def test_a_mirrored_answer_never_takes_the_place_of_a_served_one(world: World, mirror_first: bool) -> None:
    """The caller repeats with the same id, and the lot now draws the candidate, which has seen the request before."""
    events = [mirrored("a", y=13.0), inference("a", y=13.0, revision="next-2", role="candidate", event_id="retry")]
    world.say(inference("a"), at=1)
    for value in events if mirror_first else reversed(events):
        world.say(value, at=2)
    world.run()
    assert world.sums()["next-2", "candidate", 3, 0]["predictions"] == 1
    assert world.sums()["next-2", "shadow", 3, 0]["predictions"] == 1
    assert only(world)["n"] == 1
