"""The chart on a real cluster: its own test, restricted pods, an upgrade under traffic, named namespaces, its end.

Runs last (`conftest.py`): it installs the release anew, and the last test takes it away and brings it back.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from kubernetes import client
from switchyard_testkit.apiserver import api_client, temporary_namespace
from switchyard_testkit.audit import log_lines, node_log, requests
from switchyard_testkit.install import NAMESPACE, RELEASE, Installation, install, run
from switchyard_testkit.load import Traffic
from switchyard_testkit.models import Models
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


@pytest.fixture
def restored(installation: Installation) -> Iterator[Installation]:
    """Whatever the test installs, the usual release stands again afterwards."""
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
    install(restored.slot, extra=TWO_GATEWAYS, chart=BEFORE, seconds=420)
    models.apply("delay", env={"VERSION": "1.0.0"}, spec=TWO)
    models.serving("delay", "1.0.0")
    pods_before = set(gateway_pods(restored))
    with Traffic(models.url("delay"), body=FLIGHT, rate=40, prefix=models.namespace) as traffic:
        until(lambda: len(traffic.tally.answers) > 100, "the traffic flows", seconds=60)
        install(restored.slot, extra=TWO_GATEWAYS, seconds=420)
        answered = len(traffic.tally.answers)
        until(lambda: len(traffic.tally.answers) > answered + 200, "the traffic goes on", seconds=60)
    assert traffic.tally.failures == []
    assert not pods_before & set(gateway_pods(restored)), "the gateways were not made anew, so nothing was shown"
    assert models.status("delay")["stable"]["version"] == "1.0.0"


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
