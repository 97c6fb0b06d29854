"""Every write of a rollout is the operator's last, or one whose answer is lost, on a real API server: the same end.

A canary is struck at each of its writes. A shadow is at each until its candidate has its first weight, or is taken
back: from there on it writes what a canary writes, with the mirror beside. Every write of more strategies is struck by
`tests/unit/operator/test_crashes.py`, on a cluster in memory. Here the versions, generations, conflicts, defaults and
validation are the API server's own.
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
from switchyard_testkit.rollout_world import (
    ANALYSIS,
    MONITORING,
    NAMESPACE,
    SPEC,
    THEN_SPEC,
    Clock,
    Model,
    Rollout,
)

ROOT = Path(__file__).resolve().parents[3]
ONE, TWO = "models/delay:1", "models/delay:2"
GOOD = {ONE: Model(version="1.0.0", loss=100.0), TWO: Model(version="2.0.0", loss=50.0)}
BAD = {ONE: GOOD[ONE], TWO: Model(version="2.0.0", loss=50.0, failing=0.2)}
WORSE = {ONE: GOOD[ONE], TWO: Model(version="2.0.0", loss=400.0)}
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
MIRRORED: dict[str, Any] = THEN_SPEC | {"rollback": SHORT["rollback"]}
"""A shadow whose candidate then takes over."""
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
    api: client.ApiClient,
    models: dict[str, Model],
    spec: dict[str, Any],
    end: Phase,
    *,
    strike: Strike = Crash,
    after: int | None = None,
) -> dict[str, Any]:
    """One rollout, to its end."""
    stage = RealStage(api, strike=strike)
    stage.clear(NAMESPACE)
    world = Rollout(models, cluster=stage, clock=Clock(), stride=STRIDE)
    stage.crash_after = after

    def over() -> bool:
        return world.phase is end and set(world.replicas) == {TWO if end is Phase.COMPLETED else ONE}

    world.deploy(spec)
    world.run(lambda: world.phase is Phase.COMPLETED)
    before = len(stage.writes)
    world.deploy(spec, image=TWO)
    world.run(lambda: over() or world.route.get(TWO, ("", 0))[1] > 0)
    weighted = len(stage.writes)
    world.run(over)
    rollout = world.status.rollout
    assert rollout
    return {
        "struck": after is not None and stage.crash_after is None,
        "before": before,
        "weighted": weighted,
        "writes": len(stage.writes),
        "route": world.route,
        "mirrors": world.mirrors,
        "replicas": world.replicas,
        "phase": rollout.phase,
        "reason": rollout.reason,
        "attempt": rollout.attempt,
        "weights": world.weights,
        "steps": [(record.name, record.weight_bp, bool(record.mirrored)) for record in rollout.steps_done],
        "conditions": {item.type: (item.status, item.reason) for item in world.status.conditions},
    }


COUNTS = {"struck", "before", "weighted", "writes"}
PROMOTED = pytest.param(GOOD, SHORT, Phase.COMPLETED, ("", "writes"), id="a first deployment, and a canary, promoted")
TAKEN_BACK = pytest.param(BAD, SHORT, Phase.ROLLED_BACK, ("before", "writes"), id="a canary that is taken back")
TAKES_OVER = pytest.param(GOOD, MIRRORED, Phase.COMPLETED, ("before", "weighted"), id="a shadow that takes over")
FOUND_OUT = pytest.param(WORSE, MIRRORED, Phase.ROLLED_BACK, ("before", "writes"), id="a shadow that is taken back")


def assert_the_end_is_the_same(
    api: client.ApiClient,
    models: dict[str, Model],
    spec: dict[str, Any],
    end: Phase,
    struck: tuple[str, str],
    strike: Strike,
) -> None:
    """After each write between two marks of the whole rollout, neither of which need be there."""
    whole = play(api, models, spec, end)
    first, last = (whole.get(mark, 0) for mark in struck)
    assert last > first, "there is nothing to strike"
    for write in range(first + 1, last + 1):
        played = play(api, models, spec, end, strike=strike, after=write)
        assert played["struck"], f"nothing struck write {write}"
        assert {**played, **dict.fromkeys(COUNTS)} == {**whole, **dict.fromkeys(COUNTS)}, f"after write {write}"


@pytest.mark.parametrize(("models", "spec", "end", "struck"), [PROMOTED, TAKEN_BACK, TAKES_OVER, FOUND_OUT])
@pytest.mark.timeout(600)
def test_whatever_write_is_the_operators_last_the_end_is_the_same(
    api: client.ApiClient, models: dict[str, Model], spec: dict[str, Any], end: Phase, struck: tuple[str, str]
) -> None:
    assert_the_end_is_the_same(api, models, spec, end, struck, Crash)


@pytest.mark.parametrize(("models", "spec", "end", "struck"), [PROMOTED, TAKEN_BACK, FOUND_OUT])
@pytest.mark.timeout(600)
def test_whatever_writes_answer_is_lost_the_end_is_the_same(
    api: client.ApiClient, models: dict[str, Model], spec: dict[str, Any], end: Phase, struck: tuple[str, str]
) -> None:
    assert_the_end_is_the_same(api, models, spec, end, struck, lost)
