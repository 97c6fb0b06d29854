"""Bad input: a clear error that names what is wrong, and nothing lost."""

from __future__ import annotations

import httpx
import pytest
from switchyard_testkit.install import Installation
from switchyard_testkit.load import Traffic
from switchyard_testkit.models import Models
from switchyard_testkit.topics import inferences, read_all, send_raw
from switchyard_testkit.waiting import until

pytestmark = pytest.mark.timeout(240)
FLIGHT = {"flight": {"distance": 500}}
SOON = {"serving": {"paths": ["/predict"], "timeout": "10s", "port": 3000, "readyWithin": "25s"}}
MISSING = "no-such-registry.example/no-such-model:1.0.0"

BROKEN = [
    pytest.param({"model": {"image": MISSING}}, {}, ("ImagePull", "ErrImage"), id="an image that does not exist"),
    pytest.param({}, {"CRASH": 1}, ("CrashLoopBackOff", "exit"), id="an image that crashes"),
    pytest.param(
        {}, {"NEVER_READY": 1}, ("has not answered /readyz yet", "is not ready"), id="an image that never becomes ready"
    ),
]


@pytest.mark.parametrize(("spec", "env", "words"), BROKEN)
def test_a_first_deployment_that_cannot_run_is_refused_with_the_pods_own_reason(
    models: Models, spec: dict[str, object], env: dict[str, object], words: tuple[str, ...]
) -> None:
    models.apply("broken", env={"VERSION": "1.0.0", **env}, spec={**SOON, **spec})
    status = models.phase("broken", "Refused", seconds=150)
    assert any(word in status["rollout"]["message"] for word in words), status["rollout"]["message"]
    assert status["serving"] == "Unavailable"
    assert httpx.post(models.url("broken"), json=FLIGHT, timeout=30).status_code in (404, 503)


@pytest.mark.parametrize(("spec", "env", "words"), BROKEN)
def test_a_broken_candidate_is_taken_back_and_users_never_notice(
    models: Models, spec: dict[str, object], env: dict[str, object], words: tuple[str, ...]
) -> None:
    models.apply("delay", env={"VERSION": "1.0.0"})
    models.serving("delay", "1.0.0")
    with Traffic(models.url("delay"), body=FLIGHT, rate=20, prefix=models.namespace) as traffic:
        models.apply("delay", env={"VERSION": "2.0.0", **env}, spec={**SOON, **spec})
        status = models.phase("delay", "RolledBack", seconds=150)
    assert any(word in status["rollout"]["message"] for word in words), status["rollout"]["message"]
    assert status["stable"]["version"] == "1.0.0"
    assert traffic.tally.failures == []
    assert {answer.version for answer in traffic.tally.answers} == {"1.0.0"}


REFUSED = [
    pytest.param("POST", "/predict/../metrics", {}, b"{}", 404, id="a path that climbs"),
    pytest.param("POST", "/metrics", {}, b"{}", 404, id="the model's own metrics"),
    pytest.param("GET", "/docs.json", {}, b"", 404, id="the model's own pages"),
    pytest.param("POST", "/unknown", {}, b"{}", 404, id="an unknown path"),
    pytest.param("POST", "/predict", {"content-type": "application/x-pickle"}, b"x", 415, id="a pickle"),
    pytest.param("POST", "/predict", {"content-type": "text/csv"}, b"a,b", 415, id="not JSON"),
    pytest.param("POST", "/predict", {"x-prediction-id": "has a space"}, b"{}", 400, id="an id that is none"),
    pytest.param("POST", "/predict", {"x-prediction-id": "x" * 129}, b"{}", 400, id="an id too long"),
    pytest.param("POST", "/predict", {}, b'{"a": "' + b"x" * 20_000_000 + b'"}', 413, id="an oversized body"),
]


@pytest.fixture(scope="module")
def served(installation: Installation) -> Models:
    """One model for all refusals; it lives in a namespace that the cluster's end removes."""
    from kubernetes import client
    from switchyard_testkit.apiserver import api_client

    with api_client(installation.slot) as api:
        metadata = client.V1ObjectMeta(name="refusals", labels={"pod-security.kubernetes.io/enforce": "restricted"})
        try:
            client.CoreV1Api(api).create_namespace(client.V1Namespace(metadata=metadata))
        except client.ApiException as error:
            if error.status != 409:  # it is there; the process that runs tests beside this one may have made it
                raise
    models = Models(installation, "refusals")
    models.apply("delay", env={"VERSION": "1.0.0"})
    models.serving("delay", "1.0.0")
    return models


@pytest.mark.parametrize(("method", "path", "headers", "body", "status"), REFUSED)
def test_the_gateway_refuses_by_name(
    served: Models, method: str, path: str, headers: dict[str, str], body: bytes, status: int
) -> None:
    every = {"content-type": "application/json", **headers}
    with httpx.Client(timeout=30) as client:
        request = client.build_request(method, served.url("delay", path), content=body, headers=every)
        answer = client.send(request)
    assert answer.status_code == status, answer.text
    problem = answer.json()
    assert problem["status"] == status
    assert problem["detail"]
    # The product can go on with the same connection: nothing hangs, and the model still answers.
    assert httpx.post(served.url("delay"), json=FLIGHT, timeout=30).status_code == 200


def test_an_unknown_deployment_is_not_found(served: Models) -> None:
    answer = httpx.post(f"{served.installation.gateway}/nowhere/nobody/predict", json=FLIGHT, timeout=30)
    assert answer.status_code == 404
    assert answer.headers["x-prediction-id"]


def feedback(installation: Installation, path: str, body: object, token: str | None) -> httpx.Response:
    headers = {"authorization": f"Bearer {token}"} if token else {}
    return httpx.post(f"{installation.feedback}{path}", json=body, headers=headers, timeout=30)


ITEM = {"predictionId": "p-1", "value": 12.5, "at": "2026-01-01T00:00:00Z"}


@pytest.mark.parametrize(
    ("token", "status"),
    [
        pytest.param(None, 401, id="no token"),
        pytest.param("not-the-token", 401, id="a wrong token"),
    ],
)
def test_feedback_lets_nobody_in_without_its_token(installation: Installation, token: str | None, status: int) -> None:
    answer = feedback(installation, "/v1/any/model/outcomes", ITEM, token)
    assert answer.status_code == status
    assert answer.headers["content-type"].startswith("application/problem+json")
    assert answer.json()["detail"]


@pytest.mark.parametrize(
    ("change", "field"),
    [
        pytest.param({"predictionId": "has a space"}, "predictionId", id="an id that is none"),
        pytest.param({"predictionId": None}, "predictionId", id="no id"),
        pytest.param({"at": "yesterday"}, "at", id="a time that is none"),
        pytest.param({"row": -1}, "row", id="a row below zero"),
        pytest.param({"vlaue": 3}, "vlaue", id="a misspelt field"),
    ],
)
def test_feedback_names_the_field(installation: Installation, change: dict[str, object], field: str) -> None:
    item = {key: value for key, value in {**ITEM, **change}.items() if value is not None}
    answer = feedback(installation, "/v1/any/model/outcomes", item, installation.feedback_token)
    assert answer.status_code == 422
    assert field in answer.text


def test_the_monitor_lets_nobody_in_without_its_token(installation: Installation) -> None:
    url = f"{installation.monitor}/v1/deployments"
    assert httpx.get(url, timeout=30).status_code == 401
    assert httpx.get(url, headers={"authorization": "Bearer wrong"}, timeout=30).status_code == 401
    right = {"authorization": f"Bearer {installation.monitor_token}"}
    assert httpx.get(url, headers=right, timeout=30).status_code == 200


def test_poison_on_the_topic_is_put_aside_and_counted_and_the_next_event_still_counts(models: Models) -> None:
    models.apply("delay", env={"VERSION": "1.0.0"})
    models.serving("delay", "1.0.0")
    installation = models.installation
    marker = models.namespace.encode()
    poison: list[tuple[bytes | None, bytes]] = [
        (None, b"\xff\xfe not json " + marker),
        (b"k", b"{" + marker),
        (b"k", b'{"specversion":"1.0","id":"' + marker + b'","type":"dev.switchyard.unknown.v9"}'),
        (b"k", b"[]" + b" " * 10 + marker),
    ]
    send_raw(installation, "switchyard.events", poison)
    answer = httpx.post(
        models.url("delay"), json=FLIGHT, headers={"x-prediction-id": f"{models.namespace}-after"}, timeout=30
    )
    assert answer.status_code == 200

    def counted() -> bool:
        url = f"{installation.monitor}/v1/deployments/{models.subject('delay')}/predictions/{models.namespace}-after"
        found = httpx.get(url, headers={"authorization": f"Bearer {installation.monitor_token}"}, timeout=30)
        return found.status_code == 200 and found.json()["arrived"] is True

    until(counted, "the event after the poison is counted", seconds=60)

    def dead() -> bool:
        letters = read_all(installation, "switchyard.deadletter")
        return sum(models.namespace in str(letter) for letter in letters) >= len(poison) - 1

    until(dead, "this test's own poison lies in the dead letters, but for the type that nobody knows", seconds=60)
    assert len(inferences(installation, models.subject("delay"))) == 1
