"""Pods that are scaled by their load: minimums follow weights, the way back never shrinks, and nobody tugs."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from switchyard_contracts.acceptance import SpecRejected, read
from switchyard_contracts.base import LABEL_REVISION
from switchyard_contracts.model_deployment import Phase
from switchyard_contracts.quantities import FULL
from switchyard_operator.domain import kinds
from switchyard_operator.domain.step import needed
from switchyard_testkit.rollout_world import CANARY_SPEC, PAIRED_SPEC, Model, Simulation

ONE, TWO = "models/delay:1", "models/delay:2"
MINUTE = timedelta(minutes=1)
REQUESTS = {"requests": {"cpu": "500m"}}


def spec(base: dict[str, Any] = CANARY_SPEC, **changes: Any) -> dict[str, Any]:
    scaling = {"minReplicas": 2, "maxReplicas": 10, "targetCPUUtilization": 70} | changes
    return base | {"serving": {"paths": ["/predict"], "autoscaling": scaling, "resources": REQUESTS}}


class Scaled(Simulation):
    """A world with an autoscaler's controller: each revision gets the pods that its share of the load asks for."""

    def __init__(self, second: Model) -> None:
        super().__init__({ONE: Model(version="1.0.0", loss=100.0), TWO: second}, also=(kinds.AUTOSCALER,))
        self.load = 4
        """Pods that all of the traffic asks for."""
        self.minimums: dict[str, list[int]] = {}
        self.short: list[str] = []

    def kubelets(self) -> None:
        """The controller first, then the pods."""
        for body in self.cluster.find(kinds.AUTOSCALER):
            name, said = body["metadata"]["name"], body["spec"]
            share = self.route.get(self.image(name), ("", 0))[1]
            wanted = max(said["minReplicas"], min(said["maxReplicas"], -(-self.load * share // FULL)))
            held = self.cluster.read(kinds.DEPLOYMENT, body["metadata"]["namespace"], name)
            if held and held["spec"]["replicas"] != wanted:
                self.cluster.put({**held, "spec": {**held["spec"], "replicas": wanted}})
        super().kubelets()

    def one_pass(self) -> bool:
        """As ever; every minimum that was ever written is kept."""
        again = super().one_pass()
        for body in self.cluster.find(kinds.AUTOSCALER):
            found = self.minimums.setdefault(self.image(body["metadata"]["name"]), [])
            if found[-1:] != [body["spec"]["minReplicas"]]:
                found.append(body["spec"]["minReplicas"])
        for image, (role, weight) in self.route.items():
            if role == "candidate" and weight and self.ready(image) < needed(min(self.load, 4), weight):
                self.short.append(f"{image} has {weight} with {self.ready(image)} pods")
        return again

    def ready(self, image: str) -> int:
        """Its pods that are ready."""
        pods = self.cluster.find(kinds.POD, labels={LABEL_REVISION: self.revision(image)})
        return sum(pod["status"]["conditions"][0]["status"] == "True" for pod in pods)

    @property
    def scaled(self) -> dict[str, int]:
        """Each image that has an autoscaler, and its minimum."""
        return {
            self.image(body["metadata"]["name"]): body["spec"]["minReplicas"]
            for body in self.cluster.find(kinds.AUTOSCALER)
        }


def deployed(second: Model = Model(version="2.0.0", loss=50.0), said: dict[str, Any] | None = None) -> Scaled:  # noqa: B008
    """The first serves, and the load has given it four pods."""
    world = Scaled(second)
    world.deploy(said or spec(), image=ONE)
    world.run(lambda: world.phase is Phase.COMPLETED)
    world.run(lambda: world.replicas[ONE] == 4)
    return world


def test_what_it_looks_like() -> None:
    world = deployed()
    (body,) = world.cluster.find(kinds.AUTOSCALER)
    assert body["spec"] == {
        "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": body["metadata"]["name"]},
        "minReplicas": 2,
        "maxReplicas": 10,
        "metrics": [
            {
                "type": "Resource",
                "resource": {"name": "cpu", "target": {"type": "Utilization", "averageUtilization": 70}},
            }
        ],
    }
    assert body["metadata"]["ownerReferences"][0]["kind"] == "ModelRevision"


def test_the_candidates_minimum_follows_its_weight_and_stables_stays() -> None:
    world = deployed()
    world.deploy(spec(), image=TWO)
    world.run(lambda: world.phase is Phase.WATCHING)
    assert world.minimums[TWO] == [1, 2, 4, 2], "5 and 25 %, half, all of it, and at rest again"
    assert world.minimums[ONE] == [2, 4], "it is the way back"
    assert world.short == []
    assert world.weights == [(TWO, 500), (TWO, 2500), (TWO, 5000), (TWO, FULL)]


def test_one_that_mirrors_has_pods_for_the_copies_too() -> None:
    world = deployed(said=spec(PAIRED_SPEC))
    world.deploy(spec(PAIRED_SPEC), image=TWO)
    world.run(lambda: world.route.get(TWO) == ("candidate", 500))
    assert world.scaled == {ONE: 4, TWO: 4}


def test_a_load_that_grows_meanwhile_raises_both() -> None:
    world = deployed()
    world.deploy(spec(), image=TWO)
    world.run(lambda: world.route.get(TWO) == ("candidate", 5000))
    world.load = 16
    world.run(lambda: world.scaled.get(ONE) == 8 and world.scaled.get(TWO) == 4, within=MINUTE)
    world.load = 4
    world.run_for(5 * timedelta(seconds=1))
    assert world.scaled[ONE] == 8, "what it has grown to it keeps until the end of the rollout"


def test_it_never_asks_for_more_than_the_most() -> None:
    world = deployed()
    world.load = 40
    world.run(lambda: world.replicas[ONE] == 10)
    world.deploy(spec(), image=TWO)
    world.run(lambda: world.phase is Phase.WATCHING)
    assert max(world.minimums[TWO] + world.minimums[ONE]) == 10


def test_one_that_fails_leaves_stable_with_all_of_its_pods() -> None:
    world = deployed(Model(version="2.0.0", loss=50.0, failing=0.2))
    world.deploy(spec(), image=TWO)
    world.run(lambda: world.phase is Phase.ROLLED_BACK)
    assert world.replicas[ONE] == 4
    world.run(lambda: set(world.replicas) == {ONE}, within=MINUTE)
    assert world.scaled == {ONE: 2}


def test_one_that_is_kept_warm_has_a_number_and_no_autoscaler() -> None:
    world = deployed()
    world.deploy(spec(), image=TWO)
    world.run(lambda: world.phase is Phase.WATCHING)
    world.run(lambda: world.replicas[ONE] == 1, within=MINUTE)
    assert set(world.scaled) == {TWO}


def test_a_warm_one_comes_back_with_as_many_pods_as_the_traffic_needs() -> None:
    world = deployed()
    world.deploy(spec(), image=TWO)
    world.run(lambda: world.phase is Phase.WATCHING)
    world.run(lambda: world.replicas[ONE] == 1, within=MINUTE)
    least = []
    world.deploy(spec(), image=ONE)

    def back() -> bool:
        if world.route.get(ONE) == ("stable", FULL):
            least.append(world.ready(ONE))
        return bool(least)

    world.run(back, within=MINUTE)
    assert least[0] >= 4


@pytest.mark.rule("applied-in-place")
def test_from_a_number_to_the_load_and_back_starts_no_rollout_and_takes_no_pod_away() -> None:
    world = Scaled(Model())
    fixed = CANARY_SPEC | {"serving": {"paths": ["/predict"], "replicas": 6, "resources": REQUESTS}}
    world.deploy(fixed, image=ONE)
    world.run(lambda: world.phase is Phase.COMPLETED)
    revision = world.revision(ONE)
    world.load = 6
    world.deploy(spec(), image=ONE)
    counts: list[int] = []

    def note(so: Callable[[], bool]) -> Callable[[], bool]:
        def look() -> bool:
            counts.append(world.replicas[ONE])
            return so()

        return look

    world.run(note(lambda: world.scaled == {ONE: 2}), within=MINUTE)
    world.run_for(MINUTE)
    assert set(counts) == {6}
    world.deploy(fixed, image=ONE)
    world.run(note(lambda: world.scaled == {}), within=MINUTE)
    assert set(counts) == {6}
    assert (world.revision(ONE), world.phase) == (revision, Phase.COMPLETED)


def test_another_minimum_is_applied_in_place() -> None:
    world = deployed()
    world.deploy(spec(minReplicas=3), image=ONE)
    world.run(lambda: world.scaled == {ONE: 3}, within=MINUTE)
    assert len(world.cluster.find(kinds.MODEL_REVISION)) == 1


def test_what_the_autoscaler_does_is_not_taken_back() -> None:
    """At rest the operator writes nothing, however often the load moves."""
    world = deployed()
    world.run_for(10 * MINUTE)
    for load in (7, 3, 9, 2):
        world.load = load
        world.run_for(timedelta(seconds=2))
        before = [write for write in world.cluster.writes if "status" not in write]
        world.run_for(MINUTE)
        assert world.replicas[ONE] == load
        assert [write for write in world.cluster.writes if "status" not in write] == before


def test_a_deployment_that_grows_is_ready_all_the_same() -> None:
    world = deployed()
    world.frozen_count[world.revision(ONE)] = 2  # two of its pods are still on their way
    world.run_for(MINUTE)
    conditions = {item.type: item.status for item in world.status.conditions}
    assert conditions["Ready"] == "True"
    assert "Reconciling" not in conditions


def test_an_installation_without_autoscalers_refuses_by_name_and_serves_what_it_served() -> None:
    world = Simulation({ONE: Model(version="1.0.0", loss=100.0), TWO: Model(version="2.0.0", loss=50.0)})
    world.deploy(CANARY_SPEC, image=ONE)
    world.run(lambda: world.phase is Phase.COMPLETED)
    world.deploy(spec(), image=TWO)
    world.run_for(MINUTE)
    accepted = next(item for item in world.status.conditions if item.type == "Accepted")
    assert (accepted.status, accepted.reason) == ("False", "Disabled")
    assert "operator.autoscalers" in accepted.message
    assert set(world.route) == {ONE}
    assert list(world.cluster.find(kinds.AUTOSCALER)) == []


@settings(max_examples=10, deadline=None)
@given(st.lists(st.tuples(st.integers(1, 60), st.integers(1, 12)), max_size=6))
def test_whatever_the_load_does_the_canary_ends_well_and_stable_never_shrinks_in_it(
    loads: list[tuple[int, int]],
) -> None:
    world = deployed()
    world.deploy(spec(), image=TWO)
    for seconds, load in loads:
        world.run_for(timedelta(seconds=seconds))
        world.load = load
    world.run(lambda: world.phase is Phase.WATCHING)
    assert world.route[TWO] == ("stable", FULL)
    at_rest = world.minimums[ONE][:1]
    assert world.minimums[ONE] == at_rest + sorted(world.minimums[ONE][1:])


@pytest.mark.parametrize(
    ("serving", "words"),
    [
        pytest.param({"replicas": 3}, "replicas: 3 says what autoscaling decides", id="both"),
        pytest.param(
            {"resources": {"limits": {"cpu": "1"}}}, "resources.requests.cpu, which is not set", id="no request"
        ),
        pytest.param({"autoscaling": {"minReplicas": 5, "maxReplicas": 4}}, "maxReplicas: 4 is below", id="backwards"),
        pytest.param({"autoscaling": {"minReplicas": 5}}, "autoscaling.maxReplicas: this field is", id="no maximum"),
        pytest.param({"autoscaling": {"minReplicas": 0, "maxReplicas": 4}}, "minReplicas: 0 is too small", id="none"),
        pytest.param({"autoscaling": {"maxReplicas": 4, "targetMemory": 80}}, "no such field", id="another measure"),
    ],
)
def test_what_could_not_be_scaled_is_refused_by_its_field(serving: dict[str, Any], words: str) -> None:
    good = spec()["serving"]
    with pytest.raises(SpecRejected) as refused:
        read(CANARY_SPEC | {"serving": good | serving})
    assert words in str(refused.value)
