"""How often the operator writes: a first deployment in twelve at most, an idle one never, also after a restart."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

import pytest
from switchyard_contracts.model_deployment import Phase
from switchyard_operator.cache import Cache
from switchyard_operator.domain import kinds
from switchyard_operator.handlers import Door, Pulse, options
from switchyard_operator.workqueue import WorkQueue
from switchyard_testkit.fake_cluster import FakeCluster
from switchyard_testkit.rollout_world import CANARY_SPEC, NAMESPACE, SPEC, Clock, Model, Rollout

MOST_WRITES = 12
MINUTE = timedelta(minutes=1)
ONE, TWO = "models/delay:1", "models/delay:2"
MINIMAL: dict[str, Any] = {"model": {"image": ONE}}


def world(*also: kinds.Kind) -> Rollout:
    clock = Clock()
    images = {ONE: Model(version="1.0.0"), TWO: Model(version="2.0.0", loss=50.0)}
    return Rollout(images, cluster=FakeCluster(clock), clock=clock, also=also)


@pytest.mark.parametrize(
    "spec",
    [pytest.param(MINIMAL, id="an image and nothing more"), pytest.param(SPEC, id="two replicas and their paths")],
)
def test_a_first_deployment_takes_twelve_writes_at_most_events_among_them(spec: Mapping[str, Any]) -> None:
    at = world(*kinds.OPTIONAL)
    at.deploy(spec)
    at.run(lambda: at.phase is Phase.COMPLETED)
    at.run_for(3 * MINUTE)
    told = at.notes.times.total()
    assert len(at.cluster.writes) + told <= MOST_WRITES, [*at.cluster.writes, *at.notes.of()]


@pytest.mark.parametrize("spec", [SPEC, CANARY_SPEC], ids=["blue/green", "canary"])
def test_nothing_is_written_while_nothing_changes_nor_after_a_restart(spec: Mapping[str, Any]) -> None:
    at = world()
    at.deploy(spec)
    at.run(lambda: at.phase is Phase.COMPLETED)
    at.run_for(10 * MINUTE)
    before, told = len(at.cluster.writes), at.notes.times.total()
    at.run_for(MINUTE)
    at.restart()
    at.run_for(MINUTE)
    assert at.cluster.writes[before:] == []
    assert at.notes.times.total() == told


def test_a_pass_that_wrote_comes_again_by_itself_and_one_that_did_not_rests() -> None:
    at = world()
    at.deploy(SPEC)
    at.run(lambda: at.phase is Phase.COMPLETED)
    again = at.reconciler.reconcile((NAMESPACE, "delay"))
    assert again is None
    at.deploy(SPEC, image=TWO)
    at.cache.put(at.cluster.find(kinds.MODEL_DEPLOYMENT)[0])
    again = at.reconciler.reconcile((NAMESPACE, "delay"))
    assert again is not None
    assert again < timedelta(seconds=1)


def test_who_waits_for_pods_alone_looks_seldom_and_not_past_the_end_of_its_patience() -> None:
    clock = Clock()
    at = Rollout({ONE: Model(starts=False)}, cluster=FakeCluster(clock), clock=clock)
    at.deploy(SPEC | {"serving": SPEC["serving"] | {"readyWithin": "1m"}})
    at.run_for(timedelta(seconds=10))
    assert at.reconciler.reconcile((NAMESPACE, "delay")) == timedelta(seconds=10)
    at.run_for(timedelta(seconds=47))
    left = at.reconciler.reconcile((NAMESPACE, "delay"))
    assert left is not None
    assert left <= timedelta(seconds=5)
    at.run(lambda: at.phase is Phase.REFUSED, within=MINUTE)


def test_who_waits_for_pods_while_stable_has_none_looks_often() -> None:
    clock = Clock()
    at = Rollout({ONE: Model(), TWO: Model(starts=False)}, cluster=FakeCluster(clock), clock=clock)
    at.deploy(SPEC)
    at.run(lambda: at.phase is Phase.COMPLETED)
    at.deploy(SPEC, image=TWO)
    at.run_for(timedelta(seconds=5))
    assert at.reconciler.reconcile((NAMESPACE, "delay")) == timedelta(seconds=10)
    at.frozen_pods.add(at.revision(ONE))
    at.run_for(timedelta(seconds=2))
    assert at.reconciler.reconcile((NAMESPACE, "delay")) == timedelta(seconds=2)


def test_what_was_just_written_is_no_news_to_the_door_and_what_others_write_is() -> None:
    at = Door(cache=Cache(), queue=WorkQueue(lambda: 0.0), monotonic=lambda: 0.0, pulse=Pulse(0.0))
    metadata = {"name": "delay", "namespace": NAMESPACE, "uid": "1", "resourceVersion": "7"}
    at.cache.put({"kind": "ModelDeployment", "metadata": metadata})
    for version in ("6", "7"):
        at.hear(
            kinds.MODEL_DEPLOYMENT,
            {"type": "MODIFIED", "object": {"metadata": metadata | {"resourceVersion": version}}},
        )
        assert at.queue.get(0) is None, version
    at.hear(kinds.MODEL_DEPLOYMENT, {"type": "MODIFIED", "object": {"metadata": metadata | {"resourceVersion": "8"}}})
    assert at.queue.get(0) == (NAMESPACE, "delay")
    at.queue.done((NAMESPACE, "delay"))
    at.hear(kinds.MODEL_DEPLOYMENT, {"type": "ADDED", "object": {"metadata": metadata | {"uid": "2"}}})
    assert at.queue.get(0) == (NAMESPACE, "delay"), "another of the same name"


def test_of_kinds_that_others_have_too_only_ours_are_watched() -> None:
    found = options(also=kinds.OPTIONAL).watching.label_selectors
    assert set(found.values()) == {"switchyard.dev/deployment"}
    assert len(found) == 6
