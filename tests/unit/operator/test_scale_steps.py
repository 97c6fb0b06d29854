"""Steps that only scale: pods come and go, and no weight moves by them."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from hypothesis import Phase as Stage
from hypothesis import given, settings
from hypothesis import strategies as st
from switchyard_contracts import acceptance
from switchyard_contracts.acceptance import SpecRejected
from switchyard_contracts.model_deployment import Phase
from switchyard_contracts.quantities import PodCount
from switchyard_operator.domain import steps
from switchyard_operator.domain.step import needed
from switchyard_testkit.rollout_world import CANARY_SPEC, SPEC, THEN_SPEC, Model, Simulation

ONE, TWO = "models/delay:1", "models/delay:2"
SECOND, MINUTE = timedelta(seconds=1), timedelta(minutes=1)
WARM, FIVE = {"name": "warm", "scale": 1, "hold": "10s"}, {"name": "five", "weight": 5, "hold": "10s"}
MORE, HALF = {"name": "more", "scale": "75%", "hold": "10s"}, {"name": "half", "weight": 50, "hold": "10s"}


def scaled(*listed: dict[str, Any], **changes: Any) -> dict[str, Any]:
    """A canary of four replicas with these steps."""
    canary = {"type": "Canary", "canary": {"mirror": 0, "steps": list(listed)}}
    return CANARY_SPEC | {"serving": SPEC["serving"] | {"replicas": 4}, "strategy": canary} | changes


def started(spec: dict[str, Any], *, loss: float = 50.0) -> Simulation:
    """The first model serves, and the second is wanted."""
    world = Simulation({ONE: Model(version="1.0.0", loss=100.0), TWO: Model(version="2.0.0", loss=loss)})
    world.deploy(spec)
    world.run(lambda: world.phase is Phase.COMPLETED)
    world.deploy(spec, image=TWO)
    return world


def at(world: Simulation) -> str:
    """The step it is at."""
    return world.status.rollout.step if world.status.rollout else ""


@pytest.mark.rule("raising-a-weight")
@pytest.mark.rule("canary")
def test_pods_follow_the_steps_that_scale_and_weights_do_not() -> None:
    world = started(scaled(WARM, FIVE, MORE, HALF))
    seen: list[tuple[str, int, int]] = []
    while world.phase is not Phase.WATCHING:
        world.tick()
        here = at(world), world.route.get(TWO, ("", 0))[1], world.replicas.get(TWO, 0)
        if here not in seen[-1:]:
            seen.append(here)
        assert len(seen) < 20, seen
    assert [item for item in seen if item[0]] == [
        ("warm", 0, 1),
        ("five", 500, 1),
        ("more", 500, 3),
        ("half", 5000, 3),
        ("half", 5000, 4),
        ("full", 10_000, 4),
    ]


@pytest.mark.rule("canary")
def test_a_step_that_scales_writes_no_route() -> None:
    world = started(scaled(FIVE, MORE, HALF))
    world.run(lambda: at(world) == "five")
    world.run_for(5 * SECOND)
    before = len(world.cluster.writes)
    world.run(lambda: at(world) == "more")
    world.run_for(5 * SECOND)
    assert not [write for write in world.cluster.writes[before:] if "ModelRoute" in write]


def test_a_later_step_that_scales_takes_pods_away_but_never_those_of_its_weight() -> None:
    world = started(scaled(HALF, WARM))
    world.run(lambda: at(world) == "half")
    assert world.replicas[TWO] == 4
    world.run(lambda: at(world) == "warm")
    world.run_for(3 * SECOND)
    assert (world.replicas[TWO], world.route[TWO]) == (2, ("candidate", 5000))


def test_it_is_held_from_when_its_pods_are_ready() -> None:
    world = started(scaled(WARM, FIVE, MORE, HALF))
    world.run(lambda: at(world) == "more")
    world.frozen_count[world.revision(TWO)] = 1
    world.run_for(MINUTE)
    assert world.status.rollout
    assert (at(world), world.status.rollout.reason) == ("more", "Scaling")
    assert world.status.rollout.waiting_for == "1 more pod to become ready"
    world.frozen_count.clear()
    world.run_for(8 * SECOND)
    assert (at(world), world.status.rollout.reason) == ("more", "Holding")
    world.run(lambda: at(world) == "half", within=5 * SECOND)


def test_pods_that_never_come_take_the_candidate_back_with_their_own_words() -> None:
    spec = scaled(WARM, FIVE, HALF)
    spec["serving"] = spec["serving"] | {"readyWithin": "1m"}
    world = started(spec)
    world.run(lambda: at(world) == "five")
    world.frozen_pods.add(world.revision(TWO))
    world.images[TWO] = Model(version="2.0.0", loss=50.0, starts=False)
    world.run(lambda: world.phase is Phase.ROLLED_BACK, within=5 * MINUTE)


@pytest.mark.rule("raising-a-weight")
def test_a_weight_that_needs_more_pods_than_were_scaled_gets_them_first() -> None:
    world = started(scaled(WARM, FIVE, HALF))
    world.run(lambda: at(world) == "five")
    assert world.replicas[TWO] == 1
    world.run(lambda: world.replicas[TWO] == 2)
    assert world.route[TWO] == ("candidate", 500)
    world.run(lambda: world.route[TWO] == ("candidate", 5000), within=5 * SECOND)


def test_a_shadow_that_takes_over_scales_before_its_first_weight() -> None:
    after = {"steps": [WARM, FIVE]}
    strategy = {"type": "Shadow", "shadow": THEN_SPEC["strategy"]["shadow"] | {"thenPromote": after}}
    way = steps.course(acceptance.read(THEN_SPEC | {"strategy": strategy}), steps.Way.NEW)
    assert [(step.name, step.weight, step.mirror, step.pods) for step in way.steps] == [
        ("shadow", 0, 10_000, 0),
        ("warm", 0, 10_000, 1),
        ("five", 500, 10_000, 1),
    ]


@pytest.mark.parametrize(
    ("listed", "says"),
    [
        pytest.param([WARM | {"weight": 5}], "steps[0].weight: 5% beside scale", id="a weight beside it"),
        pytest.param([FIVE, MORE | {"mirror": "auto"}], "steps[1].mirror: auto beside scale", id="a mirror beside it"),
        pytest.param([WARM | {"scale": 5}], "scale: 5 is more than serving.replicas (4)", id="more than replicas"),
        pytest.param([{"name": "all", "weight": 100}, WARM], "steps[1].scale: at 100", id="after all of the traffic"),
        pytest.param([WARM | {"scale": 0}], "steps[0].scale: 0 is no number of pods", id="none"),
        pytest.param([WARM | {"scale": "many"}], "steps[0].scale: 'many' is no number of pods", id="a word"),
    ],
)
def test_what_cannot_be_is_refused_by_its_path(listed: list[dict[str, Any]], says: str) -> None:
    with pytest.raises(SpecRejected, match=r"spec\.strategy\.canary\.") as caught:
        acceptance.read(scaled(*listed))
    assert says in str(caught.value)


def test_pods_that_follow_their_load_are_not_said_by_a_step() -> None:
    serving = {"autoscaling": {"maxReplicas": 4}, "resources": {"requests": {"cpu": "500m"}}}
    with pytest.raises(SpecRejected) as caught:
        acceptance.read(scaled(FIVE, MORE, HALF, serving=serving))
    assert str(caught.value) == (
        "spec.strategy.canary.steps[1].scale: 75%, but with serving.autoscaling a candidate's least number of pods"
        " follows its weight; take the step out, or write serving.replicas in the place of autoscaling"
    )


@given(st.integers(1, 1000), st.integers(1, 1000) | st.integers(1, 10_000).map(lambda share: f"{share / 100:.2f}%"))
def test_a_number_of_pods_is_read_back_as_it_was_written(replicas: int, said: int | str) -> None:
    count = PodCount.parse(said)
    assert PodCount.parse(count.written) == count
    assert 1 <= count.of(replicas) <= max(replicas, count.number)


SCALES = st.lists(st.tuples(st.integers(0, 2), st.integers(1, 4)), max_size=3)
"""Before which of the weights, and how many pods."""


@pytest.mark.rule("raising-a-weight")
@given(SCALES, st.integers(1, 60))
@settings(max_examples=10, deadline=None, phases=(Stage.explicit, Stage.reuse, Stage.generate))
def test_no_step_that_scales_moves_a_weight_wherever_it_stands(scales: list[tuple[int, int]], dies: int) -> None:
    listed = [{"name": "five", "weight": 5, "hold": "2s"}, {"name": "half", "weight": 50, "hold": "2s"}]
    for number, (place, pods) in enumerate(scales):
        listed.insert(place, {"name": f"scale-{number}", "scale": pods, "hold": "2s"})
    world = started(scaled(*listed))
    world.cluster.crash_after = len(world.cluster.writes) + dies
    before, told = 0, ""
    for _ in range(300):
        world.tick()
        now = world.route.get(TWO, ("", 0))[1]
        if at(world) == told and told.startswith("scale"):
            assert now == before
        if TWO in world.route:
            assert world.replicas[TWO] >= needed(4, now)
        before, told = now, at(world)
        if world.phase is Phase.WATCHING:
            break
    assert world.phase is Phase.WATCHING, world.describe()


def test_a_crash_at_any_write_of_scaling_comes_to_the_same_end() -> None:
    spec = scaled(WARM, FIVE, MORE)
    whole = started(spec)
    begun = len(whole.cluster.writes)
    whole.run(lambda: whole.phase is Phase.WATCHING)
    for write in range(begun + 1, len(whole.cluster.writes), 3):
        world = started(spec)
        world.cluster.crash_after = write
        world.run(lambda world=world: world.phase is Phase.WATCHING)  # type: ignore[misc]
        assert world.weights == whole.weights, f"after write {write}"
