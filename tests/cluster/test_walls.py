"""NetworkPolicies on a cluster that enforces them: who reaches whom, of the release's parts, of models and of others.

Beside what is closed, each test shows that it was there to be reached: from another place, or once it is opened. Needs
the node from source: "out" is this machine at the other end of the node's link.
"""

from __future__ import annotations

import socket
from collections.abc import Iterator, Mapping
from contextlib import closing
from typing import Any

import httpx
import pytest
from switchyard_testkit.apiserver import api_client, temporary_namespace
from switchyard_testkit.install import HERE, NAMESPACE, RELEASE, Installation, install
from switchyard_testkit.models import Models
from switchyard_testkit.node.plan import slot_named
from switchyard_testkit.reach import CLOSED, OPEN, Pod, plain_pod, pods_of, policy, this_machine_tries
from switchyard_testkit.waiting import until

pytestmark = pytest.mark.timeout(300)
API = "kubernetes.default.svc.cluster.local:443"
CALL = """
import sys, urllib.request
url, prediction = sys.argv[1:]
headers = {"content-type": "application/json", "x-prediction-id": prediction}
request = urllib.request.Request(url, b'{"flight": {"distance": 500}}', headers)
print(urllib.request.urlopen(request, timeout=10).status)
"""
"""A product's call, from within a pod."""


@pytest.fixture
def stranger(installation: Installation) -> Iterator[Pod]:
    """A pod in a namespace that has nothing to do with the release, its models or any policy."""
    with api_client(installation.slot) as api, temporary_namespace(api, "stranger") as name:
        yield plain_pod(installation, name, "stranger")


@pytest.fixture
def outside(installation: Installation) -> Iterator[tuple[str, str]]:
    """Two ports of this machine that take connections."""
    with (
        closing(socket.create_server((slot_named(installation.slot).host_ip, 0))) as one,
        closing(socket.create_server((slot_named(installation.slot).host_ip, 0))) as other,
    ):
        yield f"{one.getsockname()[0]}:{one.getsockname()[1]}", f"{other.getsockname()[0]}:{other.getsockname()[1]}"


def all_are(state: str, *targets: str) -> dict[str, str]:
    return dict.fromkeys(targets, state)


def service(part: str, port: int) -> str:
    """A part's Service by its full name."""
    return f"{RELEASE}-{part}.{NAMESPACE}.svc.cluster.local:{port}"


def addresses(installation: Installation, part: str, *ports: int) -> list[str]:
    """The ports of each pod of a part."""
    found = pods_of(installation, NAMESPACE, f"app.kubernetes.io/component={part}")
    assert found, f"no pod of {part} is ready"
    return [f"{pod.address}:{port}" for pod in found for port in ports]


def model_pod(models: Models, name: str, **serving: Any) -> Pod:
    """The pod of a model that serves."""
    spec = {"serving": {"paths": ["/predict"], "timeout": "10s", "port": 3000, **serving}}
    models.apply(name, env={"VERSION": "1.0.0"}, spec=spec)
    revision = models.serving(name, "1.0.0")["stable"]["revision"]
    (pod,) = pods_of(models.installation, models.namespace, f"switchyard.dev/revision={revision}")
    return pod


def test_this_cluster_enforces_policies(stranger: Pod) -> None:
    called = plain_pod(stranger.installation, stranger.namespace, "called")
    assert stranger.reaches(called.target)
    closed = {"podSelector": {"matchLabels": {"plain": "called"}}, "policyTypes": ["Ingress"]}
    with policy(stranger.installation, stranger.namespace, "closed", closed):
        until(lambda: not stranger.reaches(called.target), "the policy closes the pod", seconds=30)
        assert called.reaches(called.target), "a policy closed a pod to itself"
        assert called.reaches(stranger.target), "a policy for the way in closed the way out"
    until(lambda: stranger.reaches(called.target), "with the policy gone it is open again", seconds=30)
    closed["policyTypes"] = ["Egress"]
    with policy(stranger.installation, stranger.namespace, "closed", closed):
        until(lambda: not called.reaches(stranger.target), "the policy closes the way out", seconds=30)
        assert stranger.reaches(called.target), "a policy for the way out closed the way in"
    until(lambda: called.reaches(stranger.target), "with the policy gone it is open again", seconds=30)


def test_a_model_resolves_names_and_reaches_nobody(models: Models, stranger: Pod, outside: tuple[str, str]) -> None:
    other, model = model_pod(models, "other"), model_pod(models, "delay")
    open_to_strangers = [other.target, stranger.target, API, *outside]
    assert stranger.tries(open_to_strangers) == all_are(OPEN, *open_to_strangers)
    by_address = [*addresses(models.installation, "kafka", 9092), *addresses(models.installation, "monitor", 8080)]
    assert this_machine_tries(by_address) == all_are(OPEN, *by_address)
    # CLOSED is said of a name only after it was resolved.
    by_name = [service("kafka", 9092), service("monitor", 8080), service("gateway", 8080), service("feedback", 8080)]
    wanted = [*open_to_strangers, *by_address, *by_name]
    assert model.tries(wanted) == all_are(CLOSED, *wanted)
    assert model.reaches(model.target)


def test_a_model_reaches_exactly_what_its_spec_names(models: Models, outside: tuple[str, str]) -> None:
    named, unnamed = outside
    other, model = model_pod(models, "other"), model_pod(models, "delay")
    assert model.tries([named, other.target]) == all_are(CLOSED, named, other.target)
    host, _, port = named.rpartition(":")
    assert model_pod(models, "delay", egress=[{"cidr": f"{host}/32", "ports": [int(port)]}]) == model
    until(lambda: model.reaches(named), "the walls open where the spec says", seconds=30)
    shut = [unnamed, other.target, API, service("monitor", 8080)]
    assert model.tries([named, *shut]) == all_are(OPEN, named) | all_are(CLOSED, *shut)
    model_pod(models, "delay", egress=[{"cidr": f"{other.address}/32"}])
    until(lambda: model.reaches(other.target), "they open to another place", seconds=30)
    assert model.tries([named, unnamed]) == all_are(CLOSED, named, unnamed)


def doors(installation: Installation) -> tuple[list[str], list[str]]:
    """What everybody may call, and what only the parts and whom the values name."""
    everyone = [*addresses(installation, "gateway", 8080), *addresses(installation, "feedback", 8080)]
    named = [
        *addresses(installation, "kafka", 9092),
        *addresses(installation, "gateway", 8081, 8082),
        *addresses(installation, "monitor", 8080),
        *addresses(installation, "operator", 8080),
    ]
    return everyone, named


def test_strangers_reach_the_gateway_and_feedback_and_nothing_else(installation: Installation, stranger: Pod) -> None:
    everyone, named = doors(installation)
    assert this_machine_tries([*everyone, *named]) == all_are(OPEN, *everyone, *named)
    by_name = [service("kafka", 9092), service("monitor", 8080)]
    shut = [*named, *by_name]
    assert stranger.tries([*everyone, *shut]) == all_are(OPEN, *everyone) | all_are(CLOSED, *shut)


@pytest.fixture
def named(installation: Installation, stranger: Pod) -> Iterator[Pod]:
    """The stranger, named by the values wherever they name anybody."""
    peer = {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": stranger.namespace}}}
    whom: Mapping[str, Any] = {"from": [*HERE, peer]}
    install(installation.slot, extra={"networkPolicy": dict.fromkeys(("monitor", "metrics", "kafka"), whom)})
    yield stranger
    install(installation.slot)


@pytest.mark.alone
def test_whom_the_values_name_comes_in(installation: Installation, named: Pod, models: Models) -> None:
    _, doors_of_theirs = doors(installation)

    def opened() -> bool:
        return named.tries(doors_of_theirs) == all_are(OPEN, *doors_of_theirs)

    until(opened, "every door is open to whom the values name", seconds=30)
    # And to nobody else for that.
    unnamed = plain_pod(installation, models.namespace, "unnamed")
    assert unnamed.tries(doors_of_theirs) == all_are(CLOSED, *doors_of_theirs)


def test_a_products_call_is_answered_and_its_record_arrives_behind_the_walls(models: Models, stranger: Pod) -> None:
    model_pod(models, "delay")
    prediction = f"{models.namespace}-1"
    assert stranger.python(CALL, models.url("delay"), prediction).strip() == "200"
    by_name = f"http://{service('gateway', 8080)}/{models.namespace}/delay/predict"
    assert stranger.python(CALL, by_name, f"{prediction}-by-name").strip() == "200"
    url = f"{models.installation.monitor}/v1/deployments/{models.subject('delay')}/predictions/{prediction}"
    headers = {"authorization": f"Bearer {models.installation.monitor_token}"}

    def arrived() -> bool:
        answer = httpx.get(url, headers=headers, timeout=30)
        return answer.status_code == 200 and answer.json()["arrived"] is True

    # Gateway to model, shipper to broker, broker to monitor: each of them through the walls of both.
    until(arrived, "the monitor knows the prediction", seconds=60)
