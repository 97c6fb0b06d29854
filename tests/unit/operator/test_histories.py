"""Laws that hold in every history: whatever people, pods, gateways, the monitor and crashes do, and in what order."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import Phase as Stage
from hypothesis import given, settings
from hypothesis import strategies as st
from switchyard_contracts.model_deployment import Phase
from switchyard_contracts.model_route import ModelRouteSpec
from switchyard_contracts.quantities import FULL
from switchyard_operator.domain import kinds
from switchyard_operator.domain.memory import ENDED
from switchyard_operator.domain.step import needed
from switchyard_operator.gather import revision as read_revision
from switchyard_testkit.rollout_world import CANARY, CANARY_SPEC, KEY, NAMESPACE, SPEC, Model, Simulation

ONE, GOOD, FAILING, WORSE = "models/delay:1", "models/delay:2", "models/delay:3", "models/delay:4"
MODELS = {
    ONE: Model(version="1.0.0", loss=100.0),
    GOOD: Model(version="2.0.0", loss=50.0),
    FAILING: Model(version="3.0.0", loss=50.0, failing=0.3),
    WORSE: Model(version="4.0.0", loss=400.0),
}
SECOND = timedelta(seconds=1)
EDITED: dict[str, Any] = {
    "type": "Canary",
    "canary": {"mirror": 0, "steps": [CANARY["canary"]["steps"][0], {"name": "ten", "weight": 10, "hold": "20s"}]},
}
WHOLE = (Stage.explicit, Stage.reuse, Stage.generate)
"""Without shrinking: a history is played in a second, and a handful of events is read as it is."""
Event = Callable[[Simulation], Any]


def wanted(world: Simulation) -> dict[str, Any]:
    """The spec as it stands."""
    body = world.cluster.read(kinds.MODEL_DEPLOYMENT, *KEY)
    assert body
    return dict(body["spec"])


def command(verb: str) -> Event:
    """A person's word to the rollout under way."""

    def say(world: Simulation) -> None:
        if world.status.rollout:
            world.command(verb, rollout=world.status.rollout.id)

    return say


def edit(**changes: Any) -> Event:
    """An edit of the spec that stands."""
    return lambda world: world.deploy(wanted(world) | changes)


def model(image: str) -> Event:
    """Another model is wanted."""
    return lambda world: world.deploy(wanted(world), image=image)


def pods_fail(image: str) -> Event:
    """None of its pods is ready any more."""

    def fail(world: Simulation) -> None:
        if any(world.image(body["metadata"]["name"]) == image for body in world.cluster.find(kinds.MODEL_REVISION)):
            world.frozen_pods.add(world.revision(image))

    return fail


EVENTS: dict[str, Event] = {
    "abort": command("abort"),
    "pause": command("pause"),
    "resume": command("resume"),
    "a good model": model(GOOD),
    "a failing model": model(FAILING),
    "a worse model": model(WORSE),
    "back to the first": model(ONE),
    "other steps": edit(strategy=EDITED),
    "the usual steps": edit(strategy=CANARY),
    "suspend": edit(suspend=True),
    "go on": edit(suspend=False),
    "nonsense": edit(strategy={"type": "Bandit"}),
    "more replicas": edit(serving=SPEC["serving"] | {"replicas": 3}),
    "the good one's pods fail": pods_fail(GOOD),
    "the failing one's pods fail": pods_fail(FAILING),
    "pods recover": lambda world: world.frozen_pods.clear(),
    "a gateway falls silent": lambda world: world.gateways.silent.add("gateway-1"),
    "it speaks": lambda world: world.gateways.silent.clear(),
    "the monitor is away": lambda world: setattr(world.monitor, "down", "the monitor does not answer"),
    "the monitor answers": lambda world: setattr(world.monitor, "down", ""),
    "no requests": lambda world: setattr(world.monitor, "rate", 0.0),
    "requests": lambda world: setattr(world.monitor, "rate", 100.0),
    "the operator restarts": lambda world: world.restart(),
    "the operator dies after its next write": lambda world: setattr(
        world.cluster, "crash_after", len(world.cluster.writes) + 1
    ),
    "every status is lost": lambda world: lose_statuses(world),
}
PEACE = ("pods recover", "it speaks", "the monitor answers", "requests", "the usual steps", "go on", "resume")
stories = st.lists(st.tuples(st.integers(1, 40), st.sampled_from(sorted(EVENTS))), max_size=6)


def lose_statuses(world: Simulation) -> None:
    """A backup without statuses is put back."""
    for body in world.cluster.find(kinds.MODEL_DEPLOYMENT) + world.cluster.find(kinds.MODEL_REVISION):
        world.cluster.objects[body["kind"], NAMESPACE, body["metadata"]["name"]].pop("status", None)


class Watched(Simulation):
    """A world that looks after every pass whether the laws still hold."""

    def __init__(self) -> None:
        super().__init__(MODELS)
        self.before: dict[str, int] = {}
        self.generation = 0

    def one_pass(self) -> bool:
        """As ever, and then the laws."""
        again = super().one_pass()
        body = self.cluster.read(kinds.MODEL_ROUTE, *KEY)
        if body is not None and body["metadata"]["generation"] != self.generation:
            self.generation = body["metadata"]["generation"]
            self.hold_the_laws(ModelRouteSpec.model_validate(body["spec"]))
        return again

    def hold_the_laws(self, route: ModelRouteSpec) -> None:
        """Of one write of the route."""
        after = {entry.revision: entry.weight_bp for entry in route.routes}
        assert sum(after.values()) == FULL
        raised = {name for name, weight in after.items() if weight > self.before.get(name, 0)} if self.before else set()
        for name in raised:
            self.was_raised_rightly(name, after[name], stable=route.stable.revision)
        self.before = after

    def was_raised_rightly(self, name: str, weight: int, *, stable: str) -> None:
        """With pods, and never who was sent home, fails or is worse."""
        body = self.cluster.read(kinds.MODEL_REVISION, NAMESPACE, name)
        assert body
        found = read_revision(body)
        assert not found.sent_home, f"{name} was sent home and has {weight} now"
        if found.promoted_at:
            return  # the way back: whoever was promoted may have all of it, and is waited for elsewhere
        replicas = int(wanted(self)["serving"]["replicas"])
        assert self.ready(name) >= needed(replicas, weight), f"{name} has {weight} with {self.ready(name)} pods"
        first = CANARY["canary"]["steps"][0]["weight"] * 100
        if self.image(name) == FAILING:
            assert weight <= first, f"a model that fails was raised to {weight}"
        if self.image(name) == WORSE:
            assert weight < FULL, "a worse model has all of the traffic"

    def ready(self, revision: str) -> int:
        """Its pods that are ready."""
        pods = [pod for pod in self.cluster.find(kinds.POD) if pod["metadata"]["name"].startswith(f"{revision}-")]
        return sum(pod["status"]["conditions"][0]["status"] == "True" for pod in pods)


def deployed() -> Watched:
    """The first model serves."""
    world = Watched()
    world.deploy(CANARY_SPEC)
    world.run(lambda: world.phase is Phase.COMPLETED)
    return world


def play(world: Simulation, story: list[tuple[int, str]]) -> None:
    """Live through it."""
    for seconds, event in story:
        world.run_for(seconds * SECOND)
        EVENTS[event](world)
    world.run_for(5 * SECOND)


@given(stories)
@settings(max_examples=12, deadline=None, phases=WHOLE)
def test_weights_sum_rise_only_with_pods_and_evidence_and_never_for_who_was_sent_home(
    story: list[tuple[int, str]],
) -> None:
    world = deployed()
    world.deploy(CANARY_SPEC, image=GOOD)
    play(world, story)


@given(stories)
@settings(max_examples=10, deadline=None, phases=WHOLE)
def test_an_abort_always_wins(story: list[tuple[int, str]]) -> None:
    world = deployed()
    world.deploy(CANARY_SPEC, image=GOOD)
    play(world, story)
    rollout = world.status.rollout
    assert rollout
    if rollout.phase in ENDED or rollout.phase is Phase.WATCHING:
        return
    world.command("abort", rollout=rollout.id)
    world.run_for(SECOND)
    world.run(lambda: rollout.revision not in in_traffic(world), within=4 * SECOND)
    body = world.cluster.read(kinds.MODEL_REVISION, NAMESPACE, rollout.revision)
    assert body
    assert read_revision(body).sent_home
    for event in PEACE:
        EVENTS[event](world)
    world.run_for(60 * SECOND)
    assert rollout.revision not in in_traffic(world)


def in_traffic(world: Simulation) -> set[str]:
    """Who is given requests."""
    body = world.cluster.read(kinds.MODEL_ROUTE, *KEY)
    return {entry["revision"] for entry in body["spec"]["routes"] if entry["weightBp"]} if body else set()


def end_of(story: list[tuple[int, str]], *, crashes: list[int]) -> dict[str, Any]:
    """How it stands some minutes after a story, with the operator dying after these writes."""
    world = Simulation(MODELS)
    left = sorted(set(crashes))
    restart = world.restart

    def again() -> None:
        restart()
        ahead = [write for write in left if write > len(world.cluster.writes)]
        world.cluster.crash_after = ahead[0] if ahead else None

    world.restart = again  # type: ignore[method-assign]
    world.cluster.crash_after = left[0] if left else None
    world.deploy(CANARY_SPEC)
    world.run(lambda: world.phase is Phase.COMPLETED)
    world.deploy(CANARY_SPEC, image=GOOD)
    for seconds, event in story:
        world.run_for(seconds * SECOND)
        EVENTS[event](world)
    for event in PEACE:
        EVENTS[event](world)
    world.run_for(240 * SECOND)
    assert world.status.rollout
    return {
        "phase": world.status.rollout.phase,
        "reason": world.status.rollout.reason,
        "rollout": world.status.rollout.id,
        "route": world.route,
        "replicas": world.replicas,
        "weights": world.weights,
        "history": [(entry.version, entry.outcome, entry.reason) for entry in world.status.history],
    }


CALM = sorted(set(EVENTS) - {"the operator restarts", "the operator dies after its next write", "every status is lost"})


@pytest.mark.timeout(300)
@given(
    st.lists(st.tuples(st.integers(1, 40), st.sampled_from(CALM)), max_size=4),
    st.lists(st.integers(1, 60), min_size=1, max_size=6),
)
@settings(max_examples=4, deadline=None, phases=WHOLE)
def test_crashes_at_any_write_change_nothing_in_the_end(story: list[tuple[int, str]], crashes: list[int]) -> None:
    assert end_of(story, crashes=crashes) == end_of(story, crashes=[])
