"""The chart on a real cluster: its own test, restricted pods, an upgrade under traffic, named namespaces, TLS, its end.

Runs last (`conftest.py`): each test that wants other values installs them over those of the one before, the last takes
the release away, and the usual one is brought back behind it.
"""

from __future__ import annotations

import json
import os
import ssl
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import pytest
from kubernetes import client
from switchyard_testkit.apiserver import api_client, temporary_namespace
from switchyard_testkit.audit import log_lines, node_log, requests
from switchyard_testkit.feedback import token_entry
from switchyard_testkit.install import NAMESPACE, RELEASE, Installation, install, run, slot_folder, tokens
from switchyard_testkit.load import Traffic
from switchyard_testkit.models import Models
from switchyard_testkit.node import pki
from switchyard_testkit.waiting import until

pytestmark = [pytest.mark.alone, pytest.mark.timeout(900)]

FLIGHT = {"flight": {"distance": 500}}
TWO = {"serving": {"paths": ["/predict"], "timeout": "10s", "port": 3000, "replicas": 2}}
BEFORE = Path(__file__).parent / "data" / "switchyard-9b20a19.tgz"
"""The chart as it was before it had a schema, NetworkPolicies and the rest: `git archive 9b20a19:charts switchyard`."""
TWO_GATEWAYS = {"gateway": {"replicas": 2}}
KEPT = ("customresourcedefinition", "persistentvolumeclaim")
"""What an uninstall leaves, as the README says: the types with every model, and the data."""
KINDS = (
    "deployments,statefulsets,pods,services,secrets,configmaps,serviceaccounts,roles,rolebindings,"
    "poddisruptionbudgets,networkpolicies"
)
CLUSTER_KINDS = "clusterroles,clusterrolebindings,validatingadmissionpolicies,validatingadmissionpolicybindings"


def kubectl(installation: Installation, *arguments: str) -> str:
    return run("kubectl", *arguments, kubeconfig=installation.kubeconfig)


@pytest.fixture(scope="module")
def restored(installation: Installation) -> Iterator[Installation]:
    """Whatever these tests install, the usual release stands again behind them."""
    yield installation
    install(installation.slot)


def test_helm_test_passes(installation: Installation) -> None:
    said = run("helm", "-n", NAMESPACE, "test", RELEASE, "--timeout", "3m", kubeconfig=installation.kubeconfig)
    assert "Phase:          Succeeded" in said


def test_the_namespaces_of_release_and_models_enforce_restricted_pods(models: Models) -> None:
    for name in (NAMESPACE, models.namespace):
        found = json.loads(kubectl(models.installation, "get", "namespace", name, "-o", "json"))
        assert found["metadata"]["labels"]["pod-security.kubernetes.io/enforce"] == "restricted"
    # That it is enforced, and does not only stand there.
    pod = client.V1Pod(
        metadata=client.V1ObjectMeta(name="root"),
        spec=client.V1PodSpec(containers=[client.V1Container(name="root", image="example/root")]),
    )
    with api_client(models.installation.slot) as api, pytest.raises(client.ApiException) as refused:
        client.CoreV1Api(api).create_namespaced_pod(models.namespace, pod)
    assert refused.value.status == 403
    models.apply("delay", env={"VERSION": "1.0.0"})
    models.serving("delay", "1.0.0")


def test_the_models_pods_have_walls(models: Models) -> None:
    """Made by the operator as the spec says; that they hold is shown in `test_walls.py`."""
    spec = {"serving": {**TWO["serving"], "egress": [{"cidr": "10.20.0.0/16", "ports": [5432]}]}}
    models.apply("delay", env={"VERSION": "1.0.0"}, spec=spec)
    revision = models.serving("delay", "1.0.0")["stable"]["revision"]
    text = kubectl(models.installation, "-n", models.namespace, "get", "networkpolicy", revision, "-o", "json")
    egress = json.loads(text)["spec"]["egress"]
    assert egress[0] == {"ports": [{"port": 53, "protocol": "UDP"}, {"port": 53, "protocol": "TCP"}]}
    assert egress[1]["to"] == [{"ipBlock": {"cidr": "10.20.0.0/16"}}]
    assert len(egress) == 2


def test_an_upgrade_from_the_chart_of_before_fails_no_request(models: Models, restored: Installation) -> None:
    """The chart of before with the images of now, whose registry has no older ones: what is upgraded is the chart.

    The model is none of its business: no rollout begins, and its pods stay those they were.
    """
    install(restored.slot, extra=TWO_GATEWAYS, chart=BEFORE, seconds=420)
    models.apply("delay", env={"VERSION": "1.0.0"}, spec=TWO)
    rollout = models.serving("delay", "1.0.0")["rollout"]["id"]
    pods_before, model_before = set(gateway_pods(restored)), uids(models)
    assert len(model_before) == 2
    with Traffic(models.url("delay"), body=FLIGHT, rate=40, prefix=models.namespace) as traffic:
        until(lambda: len(traffic.tally.answers) > 100, "the traffic flows", seconds=60)
        install(restored.slot, extra=TWO_GATEWAYS, seconds=420)
        answered = len(traffic.tally.answers)
        until(lambda: len(traffic.tally.answers) > answered + 200, "the traffic goes on", seconds=60)
    assert traffic.tally.failures == []
    assert not pods_before & set(gateway_pods(restored)), "the gateways were not made anew, so nothing was shown"
    status = models.serving("delay", "1.0.0")
    assert (status["rollout"]["id"], status["rollout"]["phase"]) == (rollout, "Completed")
    assert len(models.all("modelrevisions")) == 1
    assert uids(models) == model_before


def uids(models: Models) -> set[str]:
    """Those of the model's pods."""
    words = ("-l", "switchyard.dev/deployment=delay", "-o", "jsonpath={.items[*].metadata.uid}")
    return set(kubectl(models.installation, "-n", models.namespace, "get", "pods", *words).split())


def gateway_pods(installation: Installation) -> list[str]:
    """The uids of the gateway's pods: a StatefulSet's keep their names."""
    words = ("-l", "app.kubernetes.io/component=gateway", "-o", "jsonpath={.items[*].metadata.uid}")
    return kubectl(installation, "-n", NAMESPACE, "get", "pods", *words).split()


def test_with_named_namespaces_it_serves_those_and_touches_no_other(models: Models, restored: Installation) -> None:
    install(restored.slot, extra={"watchNamespaces": [models.namespace]})
    text = kubectl(restored, "get", "clusterroles", "-l", f"app.kubernetes.io/instance={RELEASE}", "-o", "name")
    assert text.split() == []
    log = node_log(restored.slot, os.environ)
    heard = len(log_lines(log))
    with api_client(restored.slot) as api, temporary_namespace(api, "other") as other:
        elsewhere = Models(restored, other)
        elsewhere.apply("delay", env={"VERSION": "1.0.0"})
        models.apply("delay", env={"VERSION": "1.0.0"})
        models.serving("delay", "1.0.0")
        with Traffic(models.url("delay"), body=FLIGHT, rate=20, prefix=models.namespace) as traffic:
            until(lambda: len(traffic.tally.answers) > 100, "the traffic flows", seconds=60)
        assert traffic.tally.failures == []
        models.apply("delay", env={"VERSION": "2.0.0"})
        models.serving("delay", "2.0.0")
        # What the type itself says of an object that nobody has seen.
        assert elsewhere.get("delay").get("status") == {"observedGeneration": 0}, (
            "somebody looked at a deployment that is none of theirs"
        )
        assert kubectl(restored, "-n", other, "get", "deployments,modelrevisions", "-o", "name") == ""
    asked = list(requests(log_lines(log, skip=heard)))
    assert asked, "the audit log holds nothing, so this test would prove nothing"
    assert [one for one in asked if one.forbidden] == []


@pytest.fixture(scope="module")
def guarded(restored: Installation, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[dict[str, Any], Path]]:
    """Values by which every door has TLS and every token is in a Secret of the user's, and the authority's folder."""
    folder, held = tmp_path_factory.mktemp("pki"), tokens(slot_folder(restored.slot))
    pki.make_authority(folder, "tests")
    doors = {"gateway": restored.gateway, "feedback": restored.feedback}
    for part, url in doors.items():
        pki.make_server(folder, part, [f"{RELEASE}-{part}.{NAMESPACE}.svc", str(httpx.URL(url).host)])
    monitor = [token_entry(name, held[name], "*") for name in ("monitor", "operator", "feedback-monitor")]
    contents = {
        "my-feedback-tokens": {"tokens.json": json.dumps([token_entry("demo", held["feedback"], "*")])},
        "my-feedback-to-monitor": {"token": held["feedback-monitor"]},
        "my-monitor-tokens": {"tokens.json": json.dumps(monitor)},
        "my-operator-to-monitor": {"token": held["operator"]},
    } | {
        f"my-{part}-tls": {
            "tls.crt": (folder / f"{part}.crt").read_text(),
            "tls.key": (folder / f"{part}.key").read_text(),
            "ca.crt": (folder / "ca.crt").read_text(),
        }
        for part in doors
    }
    values = {
        "gateway": {"tls": {"existingSecret": "my-gateway-tls"}},
        "feedback": {
            "tls": {"existingSecret": "my-feedback-tls"},
            "tokens": [],
            "existingTokensSecret": "my-feedback-tokens",
            "monitorToken": "",
            "existingMonitorTokenSecret": "my-feedback-to-monitor",
        },
        "monitor": {
            "tokens": [],
            "existingTokensSecret": "my-monitor-tokens",
            "operatorToken": "",
            "existingOperatorTokenSecret": "my-operator-to-monitor",
        },
    }
    with api_client(restored.slot) as api:
        core = client.CoreV1Api(api)
        for name, data in contents.items():
            kind = "kubernetes.io/tls" if "tls.key" in data else "Opaque"
            secret = client.V1Secret(metadata=client.V1ObjectMeta(name=name), type=kind, string_data=data)
            core.create_namespaced_secret(NAMESPACE, secret)
        yield values, folder / "ca.crt"
        for name in contents:
            core.delete_namespaced_secret(name, NAMESPACE)


def test_with_tls_and_secrets_of_the_users_every_door_opens(
    models: Models, restored: Installation, guarded: tuple[dict[str, Any], Path]
) -> None:
    values, authority = guarded
    install(restored.slot, extra=values)
    assert kubectl(restored, "-n", NAMESPACE, "get", "secrets", "-l", f"app.kubernetes.io/instance={RELEASE}") == ""
    said = run("helm", "-n", NAMESPACE, "test", RELEASE, "--timeout", "3m", kubeconfig=restored.kubeconfig)
    assert "Phase:          Succeeded" in said
    models.apply("delay", env={"VERSION": "1.0.0"})
    models.serving("delay", "1.0.0")

    gateway, feedback = (url.replace("http:", "https:", 1) for url in (restored.gateway, restored.feedback))
    subject, own = models.subject("delay"), {"authorization": f"Bearer {restored.feedback_token}"}
    label = {"predictionId": "by-tls", "value": 20.0, "at": datetime.now(UTC).isoformat()}
    with httpx.Client(verify=ssl.create_default_context(cafile=str(authority)), timeout=30) as product:
        called = product.post(f"{gateway}/{subject}/predict", json=FLIGHT, headers={"x-prediction-id": "by-tls"})
        assert (called.status_code, called.headers["x-model-version"]) == (200, "1.0.0")
        # Feedback's own door, and the gateway's, which hands on by TLS as well.
        taken = product.post(f"{feedback}/v1/{subject}/outcomes", json=label, headers=own)
        assert taken.status_code == 202, taken.text
        handed_on = product.post(f"{gateway}/-/feedback/v1/{subject}/decisions", json=label, headers=own)
        assert handed_on.status_code == 202, handed_on.text

        def arrived() -> bool:
            answer = product.get(f"{gateway}/-/feedback/v1/{subject}/predictions/by-tls", headers=own)
            return answer.status_code == 200 and answer.json()["arrived"] is True

        until(arrived, "feedback is told by the monitor, with its own token, that the prediction arrived", seconds=60)
    for door in (restored.gateway, restored.feedback):
        with pytest.raises(httpx.TransportError):
            httpx.get(f"{door}/healthz", timeout=10)
    asked = httpx.get(
        f"{restored.monitor}/v1/deployments",
        headers={"authorization": f"Bearer {restored.operator_token}"},
        timeout=30,
    )
    assert asked.status_code == 200


def test_an_uninstall_leaves_nothing_that_hangs(restored: Installation) -> None:
    with api_client(restored.slot) as api:
        with temporary_namespace(api, "left") as name:
            models = Models(restored, name)
            models.apply("delay", env={"VERSION": "1.0.0"})
            models.serving("delay", "1.0.0")
            run("helm", "-n", NAMESPACE, "uninstall", RELEASE, "--wait", kubeconfig=restored.kubeconfig)
            until(lambda: left_of_the_release(restored) == [], "nothing of the release is left", seconds=180)
            types = kubectl(restored, "get", "crds", "-o", "name").split()
            assert "customresourcedefinition.apiextensions.k8s.io/modeldeployments.switchyard.dev" in types
            # Models outlive the release, and nobody is needed to let them go.
            assert deletable(models.get("delay"))
            kubectl(
                restored, "-n", name, "delete", "modeldeployments,modelrevisions,modelroutes", "--all", "--timeout=60s"
            )
        core = client.CoreV1Api(api)

        def gone() -> bool:
            return all(each.metadata and each.metadata.name != name for each in core.list_namespace().items)

        until(gone, "the models' namespace is gone", seconds=180)


def deletable(body: dict[str, Any]) -> bool:
    """No finalizer of ours holds it."""
    return not body["metadata"].get("finalizers")


def left_of_the_release(installation: Installation) -> list[str]:
    """Objects with the release's label, but for what is meant to stay."""
    words = ("-l", f"app.kubernetes.io/instance={RELEASE}", "-o", "name")
    found = kubectl(installation, "-n", NAMESPACE, "get", KINDS, *words).split()
    found += kubectl(installation, "get", CLUSTER_KINDS, *words).split()
    return [name for name in found if name.partition("/")[0].partition(".")[0] not in KEPT]
