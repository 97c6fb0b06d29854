"""A real API server that refuses, forgets, is busy, fails or hangs in the middle of a rollout: the same end, calmly."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from kubernetes import client
from switchyard_contracts.model_deployment import Phase
from switchyard_operator.adapters import cluster
from switchyard_testkit.apiserver import applied_crds
from switchyard_testkit.faulty_apiserver import HANG, LATE, Faults, faulty
from switchyard_testkit.own_apiserver import own_api_server
from switchyard_testkit.real_stage import RealStage
from switchyard_testkit.rollout_world import ANALYSIS, MONITORING, NAMESPACE, SPEC, Clock, Model, Rollout

ROOT = Path(__file__).resolve().parents[3]
ONE, TWO = "models/delay:1", "models/delay:2"
MODELS = {ONE: Model(version="1.0.0", loss=100.0), TWO: Model(version="2.0.0", loss=50.0)}
SHORT: dict[str, Any] = SPEC | {
    "strategy": {
        "type": "Canary",
        "canary": {"mirror": 0, "steps": [{"name": "half", "weight": 50, "hold": "10s"}]},
    },
    "analysis": ANALYSIS,
    "monitoring": MONITORING,
    "rollback": {"watch": "30s", "warm": {"replicas": 1, "for": "20s"}},
}
MORE = 12
"""How many requests a fault may cost beside those that it spoils: what was decided is looked at and written anew."""


PATIENCE = (3.0, 3.0)
"""Seconds that the operator waits for an answer here; what hangs, hangs for longer."""


class Struck(Rollout):
    """Only the operator meets the faults; kubelets and people have a door of their own."""

    faults: Faults

    def one_pass(self) -> bool:
        """As ever, through the door."""
        self.faults.armed = True
        cluster.TIMEOUT, usual = PATIENCE, cluster.TIMEOUT
        try:
            return super().one_pass()
        finally:
            self.faults.armed = False
            cluster.TIMEOUT = usual


@pytest.fixture(scope="module")
def api(tmp_path_factory: pytest.TempPathFactory) -> Iterator[client.ApiClient]:
    with own_api_server(tmp_path_factory.mktemp("apiserver")) as made:
        applied_crds(made, ROOT / "manifests" / "crds")
        client.CoreV1Api(made).create_namespace(client.V1Namespace(metadata=client.V1ObjectMeta(name=NAMESPACE)))
        yield made


def play(api: client.ApiClient, faults: Faults, kind: str = "", *, at: int = 0, times: int = 1) -> dict[str, Any]:
    """One canary to its end; the faults count from when the second model is wanted."""
    stage = RealStage(api)
    stage.clear(NAMESPACE)
    Struck.faults = faults
    faults.begin()
    world = Struck(MODELS, cluster=stage, clock=Clock(), stride=timedelta(seconds=5))
    world.deploy(SHORT)
    world.run(lambda: world.phase is Phase.COMPLETED)
    faults.begin(kind, at=at, times=times)
    world.deploy(SHORT, image=TWO)
    world.run(lambda: world.phase is Phase.COMPLETED and set(world.replicas) == {TWO})
    rollout = world.status.rollout
    assert rollout
    return {
        "route": world.route,
        "replicas": world.replicas,
        "reason": rollout.reason,
        "attempt": rollout.attempt,
        "weights": world.weights,
        "steps": [(record.name, record.weight_bp) for record in rollout.steps_done],
    }


@pytest.mark.timeout(600)
@pytest.mark.parametrize("kind", ["409", "410", "429", "500", HANG, LATE])
def test_a_rollout_goes_on_where_it_was_and_asks_no_more_than_it_must(api: client.ApiClient, kind: str) -> None:
    times = 1 if kind in (HANG, LATE) else 3
    with faulty(api, faults := Faults()) as client_:
        whole = play(client_, faults)
        requests, writes = len(faults.asked), sum(not item.startswith("GET") for item in faults.asked)
        for at in range(2, writes, max(1, writes // 4)):
            played = play(client_, faults, kind, at=at, times=times)
            assert len(faults.struck) == times, f"nothing struck write {at}"
            assert played == whole, f"{kind} at write {at}: {faults.struck}"
            assert len(faults.asked) <= requests + times * (1 + MORE), f"{kind} at write {at}"
