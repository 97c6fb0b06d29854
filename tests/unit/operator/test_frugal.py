"""`capacity: frugal`: never more than replicas + 1 pods, and never a share without the pods for it."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import Phase as Stage
from hypothesis import given, settings
from hypothesis import strategies as st
from switchyard_contracts import acceptance
from switchyard_contracts.acceptance import SpecRejected
from switchyard_contracts.base import LABEL_REVISION
from switchyard_contracts.model_deployment import Phase, ServingState
from switchyard_contracts.model_route import ModelRouteSpec
from switchyard_contracts.quantities import FULL
from switchyard_operator.domain import kinds
from switchyard_operator.domain.frugal import Holding, enough, onward, share_out, towards
from switchyard_testkit.rollout_world import CANARY_SPEC, KEY, SPEC, Model, Simulation

ONE, GOOD, FAILING = "models/delay:1", "models/delay:2", "models/delay:3"
MODELS = {
    ONE: Model(version="1.0.0", loss=100.0),
    GOOD: Model(version="2.0.0", loss=50.0),
    FAILING: Model(version="3.0.0", loss=50.0, failing=0.3),
}
SECOND, MINUTE = timedelta(seconds=1), timedelta(minutes=1)


def frugally(replicas: int, **changes: Any) -> dict[str, Any]:
    """The canary of the tests with so many replicas."""
    spec = CANARY_SPEC | {"serving": SPEC["serving"] | {"replicas": replicas}} | changes
    return spec | {"strategy": {**spec["strategy"], "capacity": "frugal"}}


class Watched(Simulation):
    """A world in which the laws of frugality are held after every pass, and pods take a second to go."""

    def __init__(self, replicas: int) -> None:
        super().__init__(MODELS)
        self.limit = replicas + 1
        self.replicas_wanted = replicas
        self.generation = 0
        self.most = 0
        self.spared = False
        """Whether shares may lack pods, until stable has all of its own: somebody ended a rollout, or pods died."""

    def one_pass(self) -> bool:
        """As ever, and then the laws."""
        before = self.shares()
        again = super().one_pass()
        asked = sum(self.replicas.values())
        self.most = max(self.most, asked)
        assert asked <= self.limit, self.describe()
        shares = self.shares()
        assert sum(shares.values()) in (0, FULL), self.describe()
        stable = next(iter(shares), "")
        for revision, weight in shares.items():
            ready = self.ready(revision)
            if weight > before.get(revision, 0):
                assert ready, f"{weight} sent into nothing: {self.describe()}"
            if revision == stable and ready >= self.replicas_wanted:
                self.spared = False
            # Whoever has no pod any more is spared its share, whatever that means for the other.
            dead = self.frozen_pods if revision == stable else revision in self.frozen_pods
            if weight and not dead and not self.spared:
                assert ready >= enough(self.replicas_wanted, weight), f"{weight} with {ready} pods: {self.describe()}"
        return again

    def shares(self) -> dict[str, int]:
        """Who has how much of the traffic, stable first."""
        body = self.cluster.read(kinds.MODEL_ROUTE, *KEY)
        entries = ModelRouteSpec.model_validate(body["spec"]).routes if body else []
        return {entry.revision: entry.weight_bp for entry in entries}

    def ready(self, revision: str) -> int:
        """Its ready pods."""
        pods = self.cluster.find(kinds.POD, labels={LABEL_REVISION: revision})
        return sum(pod["status"]["conditions"][0]["status"] == "True" for pod in pods)


def deployed(replicas: int, **changes: Any) -> Watched:
    """The first model serves."""
    world = Watched(replicas)
    world.deploy(frugally(replicas, **changes))
    world.run(lambda: world.phase is Phase.COMPLETED)
    return world


@pytest.mark.rule("lowering-stable")
@pytest.mark.parametrize("replicas", [1, 2, 3, 4])
def test_a_canary_takes_over_with_one_pod_more_than_serve(replicas: int) -> None:
    world = deployed(replicas)
    world.deploy(frugally(replicas), image=GOOD)
    world.run(lambda: world.phase is Phase.WATCHING)
    weights = [weight for image, weight in world.weights if image == GOOD]
    assert weights == sorted(weights)
    assert weights[-1] == FULL
    world.run_for(5 * SECOND)
    assert world.replicas == {GOOD: replicas, ONE: 1}
    assert world.most == replicas + 1
    assert world.status.rollout
    assert [record.name for record in world.status.rollout.steps_done] == ["five", "quarter", "half", "full"]


def test_the_way_from_half_to_all_is_a_pod_at_a_time() -> None:
    world = deployed(4)
    world.deploy(frugally(4), image=GOOD)
    world.run(lambda: world.phase is Phase.WATCHING)
    weights = [weight for image, weight in world.weights if image == GOOD and weight]
    assert weights == [500, 2500, 5000, 7500, FULL]


def test_blue_green_switches_a_pod_at_a_time() -> None:
    switch: dict[str, Any] = {"strategy": {"type": "BlueGreen"}, "analysis": {"metrics": []}}
    world = deployed(3, **switch)
    world.deploy(frugally(3, **switch), image=GOOD)
    world.run(lambda: world.phase is Phase.WATCHING)
    assert [weight for image, weight in world.weights if image == GOOD] == [3333, 6666, FULL]


def halfway() -> Watched:
    """Two of four pods each, and half of the traffic."""
    world = deployed(4)
    world.deploy(frugally(4), image=GOOD)
    world.run(lambda: world.route.get(GOOD) == ("candidate", 5000))
    world.run_for(5 * SECOND)
    assert world.replicas == {ONE: 2, GOOD: 2}
    return world


def aborted(world: Watched) -> None:
    """By a person."""
    command("abort")(world)


def rolled_back(world: Watched) -> None:
    """By a person, who names stable."""
    world.command("rollback", revision=world.revision(ONE))


def cancelled(world: Watched) -> None:
    """By a spec that asks for stable."""
    edit(world, model={"image": ONE})


def replaced(world: Watched) -> None:
    """By a newer model."""
    edit(world, model={"image": FAILING})


def failed(world: Watched) -> None:
    """By a guard, within seconds."""
    world.images[GOOD] = MODELS[FAILING]
    world.run(lambda: world.phase is Phase.ROLLING_BACK, within=2 * MINUTE)


@pytest.mark.rule("abort")
@pytest.mark.rule("lowering-stable")
@pytest.mark.parametrize(
    ("ends", "stable", "candidate", "left"),
    [
        pytest.param(aborted, 2, 2, 0, id="an abort goes at once with half of stable's pods"),
        pytest.param(aborted, 1, 2, 0, id="an abort goes at once with one pod of stable"),
        pytest.param(aborted, 0, 2, 5000, id="an abort sends no traffic where no pod is"),
        pytest.param(aborted, 0, 1, 5000, id="nor what the candidate can hardly take"),
        pytest.param(aborted, 0, 0, 5000, id="nor where both are dead"),
        pytest.param(aborted, 2, 0, 0, id="a dead candidate leaves at once"),
        pytest.param(rolled_back, 1, 2, 0, id="a rollback to stable goes at once"),
        pytest.param(cancelled, 1, 2, 0, id="a spec that asks for stable goes at once"),
        pytest.param(cancelled, 0, 2, 5000, id="but not into nothing"),
        pytest.param(replaced, 2, 2, 5000, id="a replaced one goes by pods"),
        pytest.param(replaced, 2, 0, 0, id="unless it is dead"),
    ],
)
def test_what_is_left_to_the_candidate_at_once(
    ends: Callable[[Watched], None], stable: int, candidate: int, left: int
) -> None:
    world = halfway()
    world.spared = left == 0 or (stable, candidate) != (2, 2)
    world.gateways.silent.add("gateway-1")
    for image, ready in ((ONE, stable), (GOOD, candidate)):
        world.frozen_count[world.revision(image)] = 2 - ready
    ends(world)
    world.tick()
    assert world.route.get(GOOD, ("", 0))[1] == left, world.describe()


@pytest.mark.rule("abort")
def test_an_abort_is_short_of_pods_for_a_while_and_says_so() -> None:
    world = halfway()
    aborted(world)
    world.tick()
    assert world.route == {ONE: ("stable", FULL)}
    held = world.status
    assert held.rollout
    short = "stable to have all of its pods: 2 of 4 ready, and more come as others go (capacity: frugal)"
    assert short in held.rollout.waiting_for
    available = next(item for item in held.conditions if item.type == "Available")
    assert held.serving is ServingState.IMPAIRED
    assert available.message == (
        f"{world.revision(ONE)}: 2 of 4 pods ready (capacity: frugal has no room for more until others have gone)"
    )
    world.run(lambda: world.replicas == {ONE: 4}, within=MINUTE)
    world.run_for(5 * SECOND)
    assert world.status.rollout
    assert world.status.rollout.waiting_for == "a new revision, or a retry by a ModelCommand"
    assert world.status.serving is ServingState.AVAILABLE


@pytest.mark.rule("abort")
def test_an_abort_waits_for_stables_first_pod_and_no_longer() -> None:
    world = halfway()
    world.frozen_pods.add(world.revision(ONE))
    aborted(world)
    world.run_for(10 * SECOND)
    assert world.status.rollout
    assert "stable to take over as soon as it has a ready pod: 0 of 4 pods ready" in world.status.rollout.waiting_for
    world.frozen_pods.clear()
    world.frozen_count[world.revision(ONE)] = 1
    world.tick()
    assert world.route == {ONE: ("stable", FULL)}


@pytest.mark.rule("lowering-stable")
def test_what_a_guard_takes_back_waits_for_stables_pods_and_says_so() -> None:
    world = halfway()
    failed(world)
    said = set()
    while world.phase is not Phase.ROLLED_BACK:
        world.tick()
        assert world.status.rollout
        said.add(world.status.rollout.waiting_for)
        assert len(said) < 40
    assert any("stable to take over a pod at a time (capacity: frugal): " in text for text in said)
    assert world.route == {ONE: ("stable", FULL)}
    weights = [weight for image, weight in world.weights if image == GOOD]
    assert weights[-2:] == [5000, 2500]
    world.run(lambda: world.replicas == {ONE: 4}, within=MINUTE)


def test_whom_a_silent_gateway_still_sends_traffic_keeps_its_pods_and_status_names_it() -> None:
    world = halfway()
    world.gateways.silent.add("gateway-1")
    aborted(world)
    world.run_for(MINUTE)
    assert world.status.rollout
    assert "gateway-1" in world.status.rollout.waiting_for
    assert world.route == {ONE: ("stable", FULL)}
    assert world.replicas == {ONE: 3, GOOD: 2}
    world.gateways.silent.clear()
    world.run(lambda: world.phase is Phase.ROLLED_BACK, within=MINUTE)


def test_a_candidate_that_dies_leaves_its_share_at_once() -> None:
    world = deployed(4)
    world.deploy(frugally(4), image=GOOD)
    world.run(lambda: world.route.get(GOOD) == ("candidate", 5000))
    world.frozen_pods.add(world.revision(GOOD))
    world.run(lambda: world.route[GOOD] == ("candidate", 0), within=3 * SECOND)


def test_late_labels_take_a_promoted_one_back_pod_by_pod() -> None:
    world = deployed(3)
    world.deploy(frugally(3), image=GOOD)
    world.run(lambda: world.phase is Phase.WATCHING)
    world.command("rollback", revision=world.revision(ONE))
    world.run(lambda: world.phase is Phase.ROLLED_BACK)
    world.run(lambda: world.replicas == {ONE: 3}, within=MINUTE)


def test_a_new_candidate_waits_until_the_replaced_one_is_gone() -> None:
    world = deployed(3)
    world.deploy(frugally(3), image=FAILING)
    world.run(lambda: FAILING in world.route)
    world.deploy(frugally(3), image=GOOD)
    world.run(lambda: world.phase is Phase.WATCHING)
    assert FAILING not in world.replicas


def command(verb: str) -> Any:
    def say(world: Watched) -> None:
        world.spared = world.spared or verb == "abort"
        if world.status.rollout:
            world.command(verb, rollout=world.status.rollout.id)

    return say


def pods_fail(world: Watched) -> None:
    for body in world.cluster.find(kinds.MODEL_REVISION):
        if world.image(body["metadata"]["name"]) == GOOD:
            world.frozen_pods.add(body["metadata"]["name"])


def edit(world: Watched, **changes: Any) -> None:
    body = world.cluster.read(kinds.MODEL_DEPLOYMENT, *KEY)
    assert body
    world.spared = world.spared or changes.get("model") == {"image": ONE}
    world.deploy(dict(body["spec"]) | changes)


STEPS = {
    "type": "Canary",
    "capacity": "frugal",
    "canary": {"mirror": 0, "steps": [{"name": "five", "weight": 5, "hold": "5s"}, {"name": "t", "weight": 10}]},
}
EVENTS: dict[str, Any] = {
    "abort": command("abort"),
    "pause": command("pause"),
    "resume": command("resume"),
    "promote everything": command("promote"),
    "a good model": lambda world: edit(world, model={"image": GOOD}),
    "a failing model": lambda world: edit(world, model={"image": FAILING}),
    "back to the first": lambda world: edit(world, model={"image": ONE}),
    "other steps": lambda world: edit(world, strategy=STEPS),
    "the candidate's pods fail": pods_fail,
    "pods recover": lambda world: world.frozen_pods.clear(),
    "a gateway falls silent": lambda world: world.gateways.silent.add("gateway-1"),
    "it speaks": lambda world: world.gateways.silent.clear(),
    "the operator restarts": lambda world: world.restart(),
    "the operator dies after its next write": lambda world: setattr(
        world.cluster, "crash_after", len(world.cluster.writes) + 1
    ),
}


@pytest.mark.rule("lowering-stable")
@pytest.mark.timeout(300)
@given(st.integers(1, 5), st.lists(st.tuples(st.integers(1, 40), st.sampled_from(sorted(EVENTS))), max_size=6))
@settings(max_examples=12, deadline=None, phases=(Stage.explicit, Stage.reuse, Stage.generate))
def test_in_every_history_pods_stay_within_one_more_and_shares_have_theirs(
    replicas: int, story: list[tuple[int, str]]
) -> None:
    world = deployed(replicas)
    world.deploy(frugally(replicas), image=GOOD)
    for seconds, event in story:
        world.run_for(seconds * SECOND)
        EVENTS[event](world)
    world.frozen_pods.clear()
    world.gateways.silent.clear()
    world.run_for(2 * MINUTE)


@given(st.integers(1, 60), st.integers(0, FULL), st.integers(0, FULL), st.integers(0, 60), st.integers(0, 60))
def test_a_weight_goes_only_where_pods_are_and_never_past_its_goal(
    wanted: int, weight: int, goal: int, ready: int, stable: int
) -> None:
    found = onward(weight, goal, wanted=wanted, ready=ready, stable_ready=stable)
    assert min(weight, goal) <= found <= max(weight, goal)
    if found > weight:
        assert ready >= enough(wanted, found)
    if found < weight and ready >= enough(wanted, weight):
        assert stable >= enough(wanted, FULL - found)


@given(st.integers(1, 200), st.integers(0, FULL - 1))
def test_there_is_always_room_to_go_on(wanted: int, weight: int) -> None:
    pods = towards(weight, FULL, wanted=wanted)
    stable = enough(wanted, FULL - weight)
    assert pods + stable <= wanted + 1
    assert onward(weight, FULL, wanted=wanted, ready=pods, stable_ready=stable) > weight


counts = st.integers(0, 9)


@given(
    st.dictionaries(st.sampled_from("abcd"), st.builds(Holding, wanted=counts, pods=counts, least=counts, wish=counts)),
    st.integers(1, 9),
)
def test_nobody_grows_into_room_that_is_not_there(holdings: dict[str, Holding], wanted: int) -> None:
    found = share_out(holdings, wanted=wanted)
    before = sum(max(held.wanted, held.pods) for held in holdings.values())
    assert sum(found.values()) <= max(before, wanted + 1)
    for name, held in holdings.items():
        assert found[name] >= min(held.wanted, max(held.least, held.wish))


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        pytest.param(
            {"rollback": {"warm": {"replicas": 2}}}, "spec.rollback.warm.replicas: 2, but", id="two warm pods"
        ),
        pytest.param(
            {"strategy": {"type": "Canary", "canary": {"steps": [{"name": "warm", "scale": 1}]}}},
            "spec.strategy.canary.steps[0].scale: with capacity: frugal",
            id="a step that scales",
        ),
        pytest.param(
            {"serving": {"autoscaling": {"maxReplicas": 4}, "resources": {"requests": {"cpu": "500m"}}}},
            "spec.strategy.capacity: frugal, but with serving.autoscaling the load says how many pods there are; write"
            " serving.replicas in the place of autoscaling, or capacity: full",
            id="pods that follow their load",
        ),
    ],
)
def test_what_cannot_be_frugal_is_refused_by_its_path(changes: dict[str, Any], says: str) -> None:
    with pytest.raises(SpecRejected) as caught:
        acceptance.read(frugally(2, **changes))
    assert says in str(caught.value)
