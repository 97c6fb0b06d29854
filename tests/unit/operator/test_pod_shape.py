"""What a spec makes of a model's pods beside the image: volumes, devices, nodes, patience; absence changes nothing."""

from __future__ import annotations

from typing import Any

import pytest
from switchyard_contracts.acceptance import SpecRejected, read
from switchyard_contracts.canonical import digest
from switchyard_contracts.model_deployment import ModelDeploymentSpec, Phase
from switchyard_contracts.model_revision import hashes, pod_shape
from switchyard_operator.domain import kinds
from switchyard_operator.domain.difference import differs
from switchyard_operator.domain.workloads import MADE_AS
from switchyard_testkit.rollout_world import NAMESPACE, SPEC, Model, Simulation

ONE, TWO = "models/delay:1", "models/delay:2"
SHM = {"name": "shm", "mountPath": "/dev/shm", "emptyDir": {"medium": "Memory", "sizeLimit": "1Gi"}}
LABELS = {"name": "labels", "mountPath": "/etc/labels", "configMap": "labels"}
KEY = {"name": "key", "mountPath": "/etc/key", "secret": "store-key"}
WEIGHTS = {"name": "weights", "mountPath": "/models", "claim": "weights"}
GPU = {"limits": {"nvidia.com/gpu": 1, "memory": "8Gi"}, "requests": {"cpu": "2"}}


def serving(**changes: Any) -> dict[str, Any]:
    return SPEC | {"serving": SPEC["serving"] | changes}


def config_map(world: Simulation, **data: str) -> None:
    metadata = {"name": "labels", "namespace": NAMESPACE}
    world.cluster.put({"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": data})


def deployed(**changes: Any) -> Simulation:
    world = Simulation({ONE: Model(version="1.0.0"), TWO: Model(version="2.0.0")})
    config_map(world, classes="late, early")
    world.deploy(serving(**changes), image=ONE)
    world.run(lambda: world.phase is Phase.COMPLETED)
    return world


def pod(world: Simulation) -> dict[str, Any]:
    """The pods' spec of the newest Deployment."""
    found = max(world.cluster.find(kinds.DEPLOYMENT), key=lambda body: int(body["metadata"]["resourceVersion"]))
    spec: dict[str, Any] = found["spec"]["template"]["spec"]
    return spec


def test_volumes_are_mounted_read_only_but_for_empty_ones() -> None:
    found = pod(deployed(volumes=[SHM, LABELS, KEY, WEIGHTS]))
    revision = found["containers"][0]["env"][-1]["value"]
    assert found["volumes"] == [
        {"name": "scratch", "emptyDir": {}},
        {"name": "shm", "emptyDir": {"medium": "Memory", "sizeLimit": "1Gi"}},
        {"name": "labels", "configMap": {"name": f"{revision}-volume-labels"}},
        {"name": "key", "secret": {"secretName": "store-key"}},
        {"name": "weights", "persistentVolumeClaim": {"claimName": "weights", "readOnly": True}},
    ]
    assert found["containers"][0]["volumeMounts"] == [
        {"name": "scratch", "mountPath": "/tmp"},
        {"name": "shm", "mountPath": "/dev/shm"},
        {"name": "labels", "mountPath": "/etc/labels", "readOnly": True},
        {"name": "key", "mountPath": "/etc/key", "readOnly": True},
        {"name": "weights", "mountPath": "/models", "readOnly": True},
    ]


def test_pods_stay_restricted_whatever_they_mount() -> None:
    found = pod(deployed(volumes=[SHM, LABELS, KEY, WEIGHTS], resources=GPU))
    assert found["securityContext"]["runAsNonRoot"] is True
    assert found["containers"][0]["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    allowed = {"configMap", "emptyDir", "secret", "persistentVolumeClaim"}
    assert all(volume.keys() - {"name"} <= allowed for volume in found["volumes"])


def test_files_of_a_config_map_roll_back_with_the_image() -> None:
    """What the ConfigMap says is copied: an edit is a new revision, and the old one keeps its own."""
    world = deployed(volumes=[LABELS])
    config_map(world, classes="late, early, cancelled")
    world.run(lambda: len(world.cluster.find(kinds.MODEL_REVISION)) == 2)
    world.run(lambda: world.phase is Phase.WATCHING)
    copies = {
        body["metadata"]["name"]: body["data"]["classes"]
        for body in world.cluster.find(kinds.CONFIG_MAP)
        if body.get("immutable")
    }
    assert sorted(copies.values()) == ["late, early", "late, early, cancelled"]
    assert all(name.endswith("-volume-labels") for name in copies)


def test_binary_files_are_copied_too() -> None:
    world = Simulation({ONE: Model()})
    metadata = {"name": "labels", "namespace": NAMESPACE}
    world.cluster.put({"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "binaryData": {"m.bin": "AAEC"}})
    world.deploy(serving(volumes=[LABELS]), image=ONE)
    world.run(lambda: world.phase is Phase.COMPLETED)
    copy = next(body for body in world.cluster.find(kinds.CONFIG_MAP) if body.get("immutable"))
    assert copy["binaryData"] == {"m.bin": "AAEC"}


def test_a_config_map_that_is_not_there_is_named() -> None:
    world = Simulation({ONE: Model()})
    world.deploy(serving(volumes=[SHM, LABELS]), image=ONE)
    world.run_for(world.stride)
    accepted = next(item for item in world.status.conditions if item.type == "Accepted")
    assert accepted.status == "False"
    assert "spec.serving.volumes[1].configMap: there is no ConfigMap 'labels'" in accepted.message


def test_devices_nodes_and_their_way_to_run() -> None:
    scheduling = {
        "nodeSelector": {"accelerator": "l4"},
        "tolerations": [{"key": "nvidia.com/gpu", "operator": "Exists", "effect": "NoSchedule"}],
        "runtimeClassName": "nvidia",
    }
    found = pod(deployed(resources=GPU, scheduling=scheduling))
    assert found["containers"][0]["resources"] == {
        "limits": {"nvidia.com/gpu": "1", "memory": "8Gi"},
        "requests": {"cpu": "2"},
    }
    assert found["nodeSelector"] == {"accelerator": "l4"}
    assert found["tolerations"] == scheduling["tolerations"]
    assert found["runtimeClassName"] == "nvidia"


def test_a_model_may_take_its_time_to_load() -> None:
    found = pod(deployed(startup={"timeout": "20m"}, readyWithin="25m"))
    probe = found["containers"][0]["startupProbe"]
    assert probe["periodSeconds"] * probe["failureThreshold"] == 20 * 60


def test_a_rollout_waits_as_long_as_the_model_may_load() -> None:
    world = deployed()
    world.images[TWO] = Model(version="2.0.0", starts=False)
    world.deploy(serving(startup={"timeout": "2m"}, readyWithin="3m"), image=TWO)
    before = world.clock.now
    world.run(lambda: world.phase is Phase.ROLLED_BACK, within=5 * 60 * world.stride)
    assert (world.clock.now - before).total_seconds() >= 3 * 60


PLAIN = ModelDeploymentSpec.model_validate(
    serving(resources={"limits": {"memory": "1Gi"}}, scheduling={"tolerations": []})
)


def test_who_says_nothing_of_it_keeps_the_hash_of_earlier_releases() -> None:
    """An upgrade of the operator starts nothing: these are the digests of the release before."""
    assert pod_shape(PLAIN).to_json() == {
        "image": ONE,
        "env": [],
        "envFrom": [],
        "resources": {"requests": {}, "limits": {"memory": "1Gi"}},
        "scheduling": {"nodeSelector": {}, "tolerations": []},
        "port": 3000,
    }
    assert hashes(pod_shape(PLAIN), config_digests={"labels": digest({"classes": "late"})}) == (
        "6d06a30c98",
        "df6ca6b0e5",
    )


def test_who_says_nothing_of_it_keeps_the_template_of_earlier_releases() -> None:
    world = deployed()
    made = next(body["metadata"]["annotations"][MADE_AS] for body in world.cluster.find(kinds.DEPLOYMENT))
    assert made == "4465c8e2283fff791c3a3c0275d4232456398c7acf26be4eccb31bd9542245d9"


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        pytest.param({"volumes": [{"name": "a", "mountPath": "/a"}]}, "exactly one of emptyDir", id="no source"),
        pytest.param({"volumes": [WEIGHTS | {"secret": "x"}]}, "exactly one of emptyDir", id="two sources"),
        pytest.param({"volumes": [WEIGHTS | {"mountPath": "/tmp"}]}, "/tmp is taken", id="the scratch space"),
        pytest.param({"volumes": [WEIGHTS | {"mountPath": "/proc/self"}]}, "is taken", id="the kernel's"),
        pytest.param({"volumes": [SHM | {"mountPath": "/dev/mem"}]}, "only /dev/shm", id="another device"),
        pytest.param({"volumes": [WEIGHTS | {"mountPath": "models"}]}, "volumes[0].mountPath", id="no root"),
        pytest.param({"volumes": [WEIGHTS | {"mountPath": "/a/../tmp"}]}, "volumes[0].mountPath", id="a way around"),
        pytest.param(
            {"volumes": [WEIGHTS, SHM | {"name": "weights"}]}, "volumes[1].name: 'weights' is taken", id="name"
        ),
        pytest.param({"volumes": [SHM | {"name": "scratch"}]}, "'scratch' is taken", id="our own name"),
        pytest.param({"volumes": [WEIGHTS, KEY | {"mountPath": "/models"}]}, "/models is taken", id="a place twice"),
        pytest.param({"volumes": [SHM | {"emptyDir": {"medium": "HugePages"}}]}, "emptyDir.medium", id="a medium"),
        pytest.param({"volumes": [WEIGHTS | {"hostPath": "/"}]}, "volumes[0].hostPath", id="the node's own disk"),
        pytest.param({"volumes": [SHM | {"name": f"v{n}"} for n in range(17)]}, "spec.serving.volumes", id="too many"),
        pytest.param({"startup": {"timeout": "20m"}}, "raise readyWithin", id="longer than a rollout waits"),
        pytest.param({"startup": {"timeout": "5s"}}, "from 10s to 24h", id="too short"),
        pytest.param({"resources": {"limits": {"nvidia.com/gpu": "500m"}}}, "no number of devices", id="half a GPU"),
        pytest.param({"resources": {"requests": {"nvidia.com/gpu": 1}}}, "say the limit", id="a GPU without a limit"),
    ],
)
def test_what_no_pod_could_have_is_refused_by_its_field(changes: dict[str, Any], words: str) -> None:
    with pytest.raises(SpecRejected) as refused:
        read(serving(**changes))
    assert words in str(refused.value)
    assert "spec.serving" in str(refused.value)


def test_a_size_that_the_api_server_spells_in_its_own_way_is_the_same() -> None:
    wanted = {"volumes": [{"name": "shm", "emptyDir": {"medium": "Memory", "sizeLimit": "1024Mi"}}]}
    assert not differs(wanted, {"volumes": [{"name": "shm", "emptyDir": {"medium": "Memory", "sizeLimit": "1Gi"}}]})
    assert differs(wanted, {"volumes": [{"name": "shm", "emptyDir": {"medium": "Memory", "sizeLimit": "2Gi"}}]})
