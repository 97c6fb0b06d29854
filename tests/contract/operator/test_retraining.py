"""Retraining at its edges: a Job on a real API server, made once whatever is lost, and a trainer by real HTTP."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
import pytest
from kubernetes import client
from switchyard_contracts.alarm_records import AlarmEvent, AlarmRecord
from switchyard_contracts.model_deployment import Phase
from switchyard_contracts.retraining import TrainingPhase
from switchyard_operator.adapters.webhooks import HttpTrainers
from switchyard_operator.domain import kinds, retraining
from switchyard_operator.errors import TryLater
from switchyard_testkit.alarming import JOB, record, say, spec
from switchyard_testkit.apiserver import applied_crds
from switchyard_testkit.desk import Desk, is_signed, serving
from switchyard_testkit.fake_cluster import Crash
from switchyard_testkit.own_apiserver import own_api_server
from switchyard_testkit.real_stage import RealStage, Strike
from switchyard_testkit.rollout_world import NAMESPACE, Clock, Model, Rollout

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
REQUEST = record(AlarmEvent.RETRAIN_REQUESTED, NOON, number=7)
SOON = timedelta(seconds=5)
CRDS = Path(__file__).resolve().parents[3] / "manifests" / "crds"
WHOLE = {
    **JOB,
    "command": ["python", "-m", "training"],
    "envFrom": [{"secret": "registry-login"}, {"configMap": "training"}],
    "resources": {"requests": {"cpu": "100m", "memory": "64Mi"}, "limits": {"memory": "64Mi"}},
    "data": {"claim": "flights"},
    "serviceAccountName": "trainer",
    "within": "2h",
}
"""All that may be said of a Job."""


@pytest.fixture
def desk() -> Iterator[Desk]:
    with serving() as found:
        yield found


def tell(desk: Desk, *, key: str = "", timeout: timedelta = SOON) -> str:
    with httpx.Client(trust_env=False) as http:
        return HttpTrainers(http, key=lambda: key, clock=lambda: NOON).tell(desk.url, REQUEST, timeout=timeout)


def test_a_trainer_can_check_who_asks_and_know_a_repetition(desk: Desk) -> None:
    assert tell(desk, key="a key") == tell(desk, key="a key") == ""
    headers, body = desk.heard[0]
    assert AlarmRecord.model_validate_json(body) == REQUEST
    assert headers["idempotency-key"] == REQUEST.id == json.loads(body)["id"]
    assert is_signed(headers, body, key="a key")
    assert desk.heard[1] == desk.heard[0]


@pytest.mark.parametrize(
    ("fault", "says"),
    [
        pytest.param("503", "127.0.0.1 answered 503", id="it refuses"),
        pytest.param("307", "127.0.0.1 answered 307", id="it sends us elsewhere"),
        pytest.param("hangs", "127.0.0.1 has not answered within 0.5s", id="it hangs"),
        pytest.param("dies", "127.0.0.1 cannot be told: ReadError", id="it dies"),
    ],
)
def test_a_trainer_that_does_not_take_it_is_said(desk: Desk, fault: str, says: str) -> None:
    desk.faults = [fault]
    assert tell(desk, timeout=timedelta(milliseconds=500)) == says
    assert tell(desk) == ""


@pytest.fixture(scope="module")
def api(tmp_path_factory: pytest.TempPathFactory) -> Iterator[client.ApiClient]:
    with own_api_server(tmp_path_factory.mktemp("apiserver")) as made:
        applied_crds(made, CRDS)
        core = client.CoreV1Api(made)
        core.create_namespace(client.V1Namespace(metadata=client.V1ObjectMeta(name=NAMESPACE)))
        yield made


def lost(write: str) -> BaseException:
    """The write was done, and its answer never came."""
    return TryLater(f"no answer to: {write}", delay=0.0)


@pytest.mark.parametrize("strike", [pytest.param(Crash, id="it dies"), pytest.param(lost, id="no answer comes")])
@pytest.mark.timeout(600)
def test_whatever_is_lost_there_is_one_job_and_the_status_names_it(api: client.ApiClient, strike: Strike) -> None:
    """After the Job, and after each write that follows on the request."""
    for write in range(4):
        stage = RealStage(api, strike=strike)
        stage.clear(NAMESPACE)
        client.BatchV1Api(api).delete_collection_namespaced_job(NAMESPACE, propagation_policy="Background")
        clock = Clock(now=datetime.now(UTC))
        world = Rollout({"models/delay:1": Model(version="1.0.0")}, cluster=stage, clock=clock)
        world.deploy(spec(retrain={"job": WHOLE}), image="models/delay:1")
        world.run(lambda world=world: world.phase is Phase.COMPLETED)
        world.run_for(SOON)
        request = say(world, AlarmEvent.RETRAIN_REQUESTED)
        stage.crash_after = len(stage.writes) + write if write else None
        world.run_for(SOON)
        stage.crash_after = None
        world.run_for(timedelta(seconds=40))

        (job,) = stage.find(kinds.JOB, namespace=NAMESPACE)
        assert job["metadata"]["name"] == retraining.name("delay", request.id)
        assert job["spec"]["activeDeadlineSeconds"] == 7200
        (container,) = job["spec"]["template"]["spec"]["containers"]
        told = {item["name"]: item.get("value", "") for item in container["env"]}
        assert told["SWITCHYARD_RETRAIN_REQUEST"] == request.id
        assert [*map(list, container["envFrom"])] == [["secretRef"], ["configMapRef"]]
        (state,) = world.status.retraining
        assert (state.request, state.job, state.phase) == (request.id, job["metadata"]["name"], TrainingPhase.STARTED)
        assert len([made for made in stage.writes if made.startswith("create Job")]) == 1
