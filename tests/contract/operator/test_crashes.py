"""Every write of a rollout is the operator's last, or one whose answer is lost, on a real API server: the same end.

`tests/unit/operator/test_crashes.py` does the same for more strategies on a cluster in memory. Here the versions,
generations, conflicts, defaults and validation are the API server's own.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from kubernetes import client
from switchyard_contracts.model_deployment import Phase
from switchyard_operator.errors import TryLater
from switchyard_testkit.apiserver import applied_crds
from switchyard_testkit.fake_cluster import Crash
from switchyard_testkit.own_apiserver import own_api_server
from switchyard_testkit.real_stage import RealStage, Strike
from switchyard_testkit.rollout_world import ANALYSIS, MONITORING, NAMESPACE, SPEC, Clock, Model, Rollout

ROOT = Path(__file__).resolve().parents[3]
ONE, TWO = "models/delay:1", "models/delay:2"
GOOD = {ONE: Model(version="1.0.0", loss=100.0), TWO: Model(version="2.0.0", loss=50.0)}
BAD = {ONE: GOOD[ONE], TWO: Model(version="2.0.0", loss=50.0, failing=0.2)}
SHORT: dict[str, Any] = SPEC | {
    "strategy": {
        "type": "Canary",
        "canary": {
            "mirror": 0,
            "steps": [{"name": "quarter", "weight": 25, "hold": "10s"}, {"name": "half", "weight": 50, "hold": "10s"}],
        },
    },
    "analysis": ANALYSIS,
    "monitoring": MONITORING,
    "rollback": {"watch": "30s", "warm": {"replicas": 1, "for": "20s"}},
}
STRIDE = timedelta(seconds=5)


def lost(write: str) -> BaseException:
    """The write was done, and its answer never came."""
    return TryLater(f"no answer to: {write}", delay=0.0)


@pytest.fixture(scope="module")
def api(tmp_path_factory: pytest.TempPathFactory) -> Iterator[client.ApiClient]:
    with own_api_server(tmp_path_factory.mktemp("apiserver")) as made:
        applied_crds(made, ROOT / "manifests" / "crds")
        core = client.CoreV1Api(made)
        core.create_namespace(client.V1Namespace(metadata=client.V1ObjectMeta(name=NAMESPACE)))
        yield made


def play(
    api: client.ApiClient, models: dict[str, Model], end: Phase, *, strike: Strike = Crash, after: int | None = None
) -> dict[str, Any]:
    """One rollout, to its end."""
    stage = RealStage(api, strike=strike)
    stage.clear(NAMESPACE)
    world = Rollout(models, cluster=stage, clock=Clock(), stride=STRIDE)
    stage.crash_after = after
    world.deploy(SHORT)
    world.run(lambda: world.phase is Phase.COMPLETED)
    before = len(stage.writes)
    world.deploy(SHORT, image=TWO)
    world.run(lambda: world.phase is end and set(world.replicas) == {TWO if end is Phase.COMPLETED else ONE})
    rollout = world.status.rollout
    assert rollout
    return {
        "struck": after is not None and stage.crash_after is None,
        "before": before,
        "writes": len(stage.writes),
        "route": world.route,
        "replicas": world.replicas,
        "phase": rollout.phase,
        "reason": rollout.reason,
        "attempt": rollout.attempt,
        "weights": world.weights,
        "steps": [(record.name, record.weight_bp) for record in rollout.steps_done],
        "conditions": {item.type: (item.status, item.reason) for item in world.status.conditions},
    }


@pytest.mark.parametrize(
    ("models", "end", "first"),
    [
        pytest.param(GOOD, Phase.COMPLETED, True, id="a first deployment, and a canary that is promoted"),
        pytest.param(BAD, Phase.ROLLED_BACK, False, id="a canary that is taken back"),
    ],
)
@pytest.mark.parametrize(
    "strike", [pytest.param(Crash, id="the operator dies"), pytest.param(lost, id="the answer is lost")]
)
@pytest.mark.timeout(600)
def test_whatever_write_is_struck_the_end_is_the_same(
    api: client.ApiClient, models: dict[str, Model], end: Phase, first: bool, strike: Strike
) -> None:
    whole = play(api, models, end)
    compared = whole.keys() - {"struck", "before", "writes"}
    for write in range(1 if first else whole["before"] + 1, whole["writes"] + 1):
        played = play(api, models, end, strike=strike, after=write)
        assert played["struck"], f"nothing struck write {write}"
        assert {key: played[key] for key in compared} == {key: whole[key] for key in compared}, f"after write {write}"
