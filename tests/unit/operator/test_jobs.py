"""The Job of an offline evaluation: its shape, and what each end of it means."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from switchyard_contracts.gates import Gate
from switchyard_contracts.model_revision import ModelRevisionSpec, ModelRevisionStatus, PodShape
from switchyard_operator.domain import jobs
from switchyard_operator.domain.gates import State
from switchyard_operator.domain.world import Body, Revision


def revision(letter: str, version: str, *, attempt: int = 1) -> Revision:
    name = f"{'d' * 45}-{letter * 10}"
    pod = PodShape(image=f"models/delay:{version}", port=3000)
    spec = ModelRevisionSpec(deployment="delay", version=version, model_hash="a" * 10, pod_hash=letter * 10, pod=pod)
    return Revision(
        name=name,
        uid=f"uid-{letter}",
        created_at=datetime(2026, 1, 1, tzinfo=UTC),
        resource_version="1",
        spec=spec,
        status=ModelRevisionStatus(),
        attempt=attempt,
    )


ONE, TWO = revision("a", "1.0.0"), revision("b", "2.0.0")
EVALUATION = {"image": "evaluation:1", "args": ["--fixed"], "env": [{"name": "LIMIT", "value": "2"}]}


def gate(**changes: Any) -> Gate:
    fields = {"name": "offline", "type": "OfflineEvaluation", "offlineEvaluation": EVALUATION} | changes
    return Gate.model_validate(fields)


def job(asked: Gate, stable: Revision | None = ONE) -> Body:
    assert asked.offline_evaluation
    return jobs.body("airport", asked, asked.offline_evaluation, target=TWO, stable=stable)


def environment(body: Body) -> dict[str, str]:
    (container,) = body["spec"]["template"]["spec"]["containers"]
    return {item["name"]: item["value"] for item in container["env"]}


def test_the_name_follows_from_revision_gate_and_attempt_and_fits_into_a_label() -> None:
    names = {
        jobs.name(TWO, gate()),
        jobs.name(TWO, gate(name="other")),
        jobs.name(revision("b", "2.0.0", attempt=2), gate()),
        jobs.name(TWO, gate(offlineEvaluation={"image": "evaluation:2"})),
        jobs.name(ONE, gate()),
    }
    assert len(names) == 5
    assert {len(name) for name in names} == {63}
    assert jobs.name(TWO, gate()) == jobs.name(TWO, gate(within="2h", before="promotion"))


def test_both_sides_are_named_with_their_addresses() -> None:
    assert environment(job(gate())) == {
        "SWITCHYARD_CANDIDATE_REVISION": TWO.name,
        "SWITCHYARD_CANDIDATE_VERSION": "2.0.0",
        "SWITCHYARD_CANDIDATE_IMAGE": "models/delay:2.0.0",
        "SWITCHYARD_CANDIDATE_URL": f"http://{TWO.name}.airport.svc:3000",
        "SWITCHYARD_STABLE_REVISION": ONE.name,
        "SWITCHYARD_STABLE_VERSION": "1.0.0",
        "SWITCHYARD_STABLE_IMAGE": "models/delay:1.0.0",
        "SWITCHYARD_STABLE_URL": f"http://{ONE.name}.airport.svc:3000",
        "LIMIT": "2",
    }


@pytest.mark.parametrize(
    ("asked", "stable", "empty"),
    [
        pytest.param(gate(), None, {"STABLE_URL", "STABLE_REVISION"}, id="the first one has nobody beside it"),
        pytest.param(gate(before="provisioning"), ONE, {"CANDIDATE_URL"}, id="before there are pods"),
    ],
)
def test_a_side_that_does_not_answer_has_no_address(asked: Gate, stable: Revision | None, empty: set[str]) -> None:
    found = environment(job(asked, stable))
    assert not any(found[f"SWITCHYARD_{name}"] for name in empty)


def test_its_pods_get_none_of_the_revisions_traffic_and_no_rights() -> None:
    body = job(gate())
    template = body["spec"]["template"]
    assert not {"switchyard.dev/revision", "switchyard.dev/deployment"} & template["metadata"]["labels"].keys()
    pod = template["spec"]
    assert (pod["automountServiceAccountToken"], pod["restartPolicy"]) == (False, "Never")
    assert pod["securityContext"]["runAsNonRoot"]
    assert pod["containers"][0]["securityContext"]["readOnlyRootFilesystem"]
    assert body["metadata"]["ownerReferences"][0]["uid"] == TWO.uid


@pytest.mark.parametrize(
    ("within", "seconds"), [pytest.param("2m", 120, id="as said"), pytest.param(None, 3600, id="an hour otherwise")]
)
def test_it_ends_by_itself(within: str | None, seconds: int) -> None:
    body = job(gate(**({"within": within} if within else {})))
    assert (body["spec"]["activeDeadlineSeconds"], body["spec"]["backoffLimit"]) == (seconds, 0)


@pytest.mark.parametrize(
    ("data", "source"),
    [
        pytest.param({"configMap": "set"}, {"configMap": {"name": "set"}}, id="a ConfigMap"),
        pytest.param(
            {"claim": "set"}, {"persistentVolumeClaim": {"claimName": "set", "readOnly": True}}, id="a volume claim"
        ),
    ],
)
def test_the_fixed_set_is_mounted(data: dict[str, str], source: dict[str, Any]) -> None:
    pod = job(gate(offlineEvaluation=EVALUATION | {"data": data}))["spec"]["template"]["spec"]
    assert pod["volumes"][1] == {"name": "data", **source}
    assert pod["containers"][0]["volumeMounts"][1] == {"name": "data", "mountPath": "/data", "readOnly": True}


def ended(**state: Any) -> list[Body]:
    states = [{"name": "evaluation", "state": {"terminated": state}}]
    return [{"metadata": {"name": "offline-x"}, "status": {"containerStatuses": states}}]


def running(**state: Any) -> list[Body]:
    return [{"metadata": {"name": "offline-x"}, "status": {"containerStatuses": [{"name": "e", "state": state}]}}]


def condition(kind: str, **words: str) -> dict[str, Any]:
    return {"conditions": [{"type": kind, "status": "True", **words}]}


FAILED = condition("Failed", reason="BackoffLimitExceeded", message="Job has reached the specified backoff limit")


@pytest.mark.parametrize(
    ("status", "pods", "state", "words"),
    [
        pytest.param({}, [], State.WAITING, "has not begun: its pod is being made", id="just made"),
        pytest.param({}, running(running={}), State.WAITING, "runs, for at most 1h", id="it runs"),
        pytest.param(
            {},
            running(waiting={"reason": "ImagePullBackOff", "message": "not found"}),
            State.WAITING,
            "has not begun: pod offline-x: ImagePullBackOff: not found",
            id="no such image",
        ),
        pytest.param(
            condition("Complete"),
            ended(exitCode=0, message="RMSE 9.8 against 10.1\nof 2,000 flights"),
            State.PASSED,
            "exit code 0: RMSE 9.8 against 10.1 of 2,000 flights",
            id="passed, in its own words",
        ),
        pytest.param(condition("Complete"), [], State.PASSED, "exit code 0", id="passed, and its pod is gone"),
        pytest.param(
            FAILED, ended(exitCode=3, message="RMSE 12 against 10"), State.FAILED, "code 3: RMSE 12", id="it is worse"
        ),
        pytest.param(
            FAILED,
            ended(exitCode=137, reason="OOMKilled"),
            State.ERROR,
            "ran out of memory",
            id="no room is no verdict",
        ),
        pytest.param(
            condition("Failed", reason="DeadlineExceeded"), [], State.WAITING, "ended after 1h without", id="too slow"
        ),
        pytest.param(FAILED, [], State.ERROR, "BackoffLimitExceeded: Job has reached", id="its pod vanished"),
    ],
)
def test_what_its_end_means(status: dict[str, Any], pods: list[Body], state: State, words: str) -> None:
    answer = jobs.read({**job(gate()), "status": status}, pods, gate=gate(), target=TWO)
    assert answer.state is state
    assert words in answer.message


def test_a_job_of_that_name_that_is_not_ours_decides_nothing() -> None:
    body = job(gate())
    foreign = {**body, "metadata": {**body["metadata"], "ownerReferences": []}, "status": condition("Complete")}
    answer = jobs.read(foreign, [], gate=gate(), target=TWO)
    assert answer.state is State.ERROR
    assert "was made by somebody else" in answer.message
