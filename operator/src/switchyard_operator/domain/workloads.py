"""The objects that a revision's pods need, as they should be: built from the revision, so they never drift from it.

Pods are restricted (a numeric user, no capabilities, a read-only root) and leave the traffic before they end: they stop
taking new connections only after the gateways have dropped them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import timedelta
from math import ceil
from typing import Any

from switchyard_contracts.base import API_VERSION, GROUP, LABEL_DEPLOYMENT, LABEL_REQUEST, LABEL_REVISION
from switchyard_contracts.canonical import digest
from switchyard_contracts.model_deployment import Autoscaling, Egress, Serving
from switchyard_contracts.model_revision import ModelRevisionSpec, PodShape
from switchyard_contracts.volumes import SCRATCH, EmptyDir, Volume

from switchyard_operator.domain.world import Body, Revision

USER = 1034
"""BentoML's own user; numeric, so that `runAsNonRoot` can be checked."""
DRAIN_SECONDS = 10
"""How long a pod that is to end goes on answering, while the gateways learn of it."""
STARTUP_SECONDS = 600
"""How long a container may take to answer for the first time, where the spec does not say it."""
CONTAINER = "model"
MADE_AS = f"{GROUP}/made-as"
"""On a Deployment: the digest of the pod template it was made with."""
PORT_NAME = "http"
NAMES: Mapping[str, Any] = {"ports": [{"protocol": "UDP", "port": 53}, {"protocol": "TCP", "port": 53}]}
"""What every pod may ask: whoever answers for names, wherever that is, unless the installation says where."""


def labels(deployment: str, revision: str) -> dict[str, str]:
    """What every child of a revision carries."""
    return {
        "app.kubernetes.io/name": deployment,
        "app.kubernetes.io/managed-by": "switchyard",
        LABEL_DEPLOYMENT: deployment,
        LABEL_REVISION: revision,
    }


def owned_by(kind: str, *, name: str, uid: str) -> list[dict[str, Any]]:
    """The reference by which children go when their owner goes."""
    reference = {"apiVersion": API_VERSION, "kind": kind, "name": name, "uid": uid}
    return [reference | {"controller": True, "blockOwnerDeletion": False}]


def revision_body(namespace: str, *, name: str, owner_uid: str, spec: ModelRevisionSpec) -> Body:
    """The ModelRevision, owned by its ModelDeployment; its labels name the request to retrain that it answers."""
    request = spec.provenance.retrain_request if spec.provenance else None
    return {
        "apiVersion": API_VERSION,
        "kind": "ModelRevision",
        "metadata": {
            "name": name,
            "namespace": namespace,
            "labels": labels(spec.deployment, name) | ({LABEL_REQUEST: request} if request else {}),
            "ownerReferences": owned_by("ModelDeployment", name=spec.deployment, uid=owner_uid),
        },
        "spec": spec.to_json(),
    }


def config_name(revision: str) -> str:
    """The immutable copy of what the revision's ConfigMaps said."""
    return f"{revision}-config"


def config_body(namespace: str, revision: Revision, data: Mapping[str, str]) -> Body:
    """The copy itself, so that configuration rolls back with the image."""
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": _metadata(namespace, revision, name=config_name(revision.name)),
        "immutable": True,
        "data": dict(data),
    }


def merge_config(sources: Sequence[tuple[str, Mapping[str, str]]]) -> dict[str, str]:
    """Several ConfigMaps as one; a later one wins, as it does in a pod."""
    merged: dict[str, str] = {}
    for _, data in sources:
        merged |= data
    return merged


def files_name(revision: str, volume: str) -> str:
    """The immutable copy of a ConfigMap that the revision mounts."""
    return f"{revision}-volume-{volume}"


def files_body(namespace: str, revision: Revision, *, volume: str, files: Mapping[str, Any]) -> Body:
    """That copy itself, whatever kind of contents it has."""
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": _metadata(namespace, revision, name=files_name(revision.name, volume)),
        "immutable": True,
        **files,
    }


def bodies(
    namespace: str,
    revision: Revision,
    *,
    replicas: int,
    serving: Serving,
    resolvers: Sequence[Mapping[str, Any]] = (),
) -> list[Body]:
    """The walls first, then the Service, so that both are there when the pods are.

    `resolvers` are the NetworkPolicy peers that answer for names; without any, whoever does.
    """
    names = {**NAMES, "to": [dict(peer) for peer in resolvers]} if resolvers else NAMES
    deployment = revision.spec.deployment
    template = {
        "metadata": {"labels": labels(deployment, revision.name)},
        "spec": _pod(revision, timeout=serving.timeout),
    }
    selector = {LABEL_REVISION: revision.name, LABEL_DEPLOYMENT: deployment}
    return [
        {
            "apiVersion": "networking.k8s.io/v1",
            "kind": "NetworkPolicy",
            "metadata": _metadata(namespace, revision),
            "spec": {
                "podSelector": {"matchLabels": selector},
                "policyTypes": ["Egress"],
                "egress": [names, *(_way_out(place) for place in serving.egress)],
            },
        },
        {
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": _metadata(namespace, revision),
            "spec": {
                "selector": selector,
                "ports": [{"name": PORT_NAME, "port": revision.spec.pod.port, "targetPort": PORT_NAME}],
            },
        },
        {
            "apiVersion": "policy/v1",
            "kind": "PodDisruptionBudget",
            "metadata": _metadata(namespace, revision),
            "spec": {"maxUnavailable": 1, "selector": {"matchLabels": selector}},
        },
        {
            "apiVersion": "apps/v1",
            "kind": "Deployment",
            "metadata": {**_metadata(namespace, revision), "annotations": {MADE_AS: digest(template)}},
            "spec": {
                "replicas": replicas,
                "revisionHistoryLimit": 1,
                "strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": 0, "maxSurge": 1}},
                "selector": {"matchLabels": selector},
                "template": template,
            },
        },
    ]


def autoscaler(namespace: str, revision: Revision, *, least: int, said: Autoscaling) -> Body:
    """Scales the revision's Deployment by the CPU of its pods, between its present minimum and the spec's maximum."""
    target = {"type": "Utilization", "averageUtilization": said.target_cpu}
    return {
        "apiVersion": "autoscaling/v2",
        "kind": "HorizontalPodAutoscaler",
        "metadata": _metadata(namespace, revision),
        "spec": {
            "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": revision.name},
            "minReplicas": least,
            "maxReplicas": said.max_replicas,
            "metrics": [{"type": "Resource", "resource": {"name": "cpu", "target": target}}],
        },
    }


def _way_out(place: Egress) -> dict[str, Any]:
    rule: dict[str, Any] = {"to": [{"ipBlock": {"cidr": place.cidr}}]}
    if place.ports:
        rule["ports"] = [{"protocol": "TCP", "port": port} for port in place.ports]
    return rule


def keep_pods(wanted: Body, held: Body) -> Body:
    """A Deployment whose template another release of the operator made, or another timeout, keeps it.

    Otherwise an upgrade, or an edit that applies in place, would restart every pod of every model.
    """
    made_as = (held["metadata"].get("annotations") or {}).get(MADE_AS)
    if not made_as or made_as == wanted["metadata"]["annotations"][MADE_AS]:
        return wanted
    metadata = {**wanted["metadata"], "annotations": {MADE_AS: made_as}}
    return {**wanted, "metadata": metadata, "spec": {**wanted["spec"], "template": held["spec"]["template"]}}


def _metadata(namespace: str, revision: Revision, *, name: str = "") -> dict[str, Any]:
    return {
        "name": name or revision.name,
        "namespace": namespace,
        "labels": labels(revision.spec.deployment, revision.name),
        "ownerReferences": owned_by("ModelRevision", name=revision.name, uid=revision.uid),
    }


def grace(timeout: timedelta) -> int:
    """Longer than a request may take, and than the drain; in whole quarters of a minute, to change seldom."""
    return 15 * ceil((DRAIN_SECONDS + timeout.total_seconds() + 5) / 15)


def restricted_pod() -> dict[str, Any]:
    """The security context of every pod that we make: what the level `restricted` asks for, and a numeric user."""
    return {
        "runAsNonRoot": True,
        "runAsUser": USER,
        "runAsGroup": USER,
        "fsGroup": USER,
        "seccompProfile": {"type": "RuntimeDefault"},
    }


def restricted_container() -> dict[str, Any]:
    """The security context of every container that we make."""
    return {"allowPrivilegeEscalation": False, "readOnlyRootFilesystem": True, "capabilities": {"drop": ["ALL"]}}


def _pod(revision: Revision, *, timeout: timedelta) -> dict[str, Any]:
    shape = revision.spec.pod
    pod: dict[str, Any] = {
        "enableServiceLinks": False,
        "automountServiceAccountToken": False,
        "terminationGracePeriodSeconds": grace(timeout),
        "securityContext": restricted_pod(),
        "containers": [_container(revision.name, shape)],
        "volumes": [
            {"name": SCRATCH, "emptyDir": {}},
            *({"name": volume.name, **_source(revision.name, volume)} for volume in shape.volumes or ()),
        ],
    }
    scheduling = shape.scheduling
    if scheduling:
        if scheduling.node_selector:
            pod["nodeSelector"] = dict(scheduling.node_selector)
        if scheduling.tolerations:
            pod["tolerations"] = [toleration.to_json() for toleration in scheduling.tolerations]
        if scheduling.priority_class_name:
            pod["priorityClassName"] = scheduling.priority_class_name
        if scheduling.runtime_class_name:
            pod["runtimeClassName"] = scheduling.runtime_class_name
        if scheduling.service_account_name:
            pod["serviceAccountName"] = scheduling.service_account_name
    return pod


def _source(revision: str, volume: Volume) -> dict[str, Any]:
    if volume.config_map:
        return {"configMap": {"name": files_name(revision, volume.name)}}
    if volume.secret:
        return {"secret": {"secretName": volume.secret}}
    if volume.claim:
        return {"persistentVolumeClaim": {"claimName": volume.claim, "readOnly": True}}
    said = volume.empty_dir or EmptyDir()
    memory = {"medium": said.medium} if said.medium else {}
    return {"emptyDir": memory | ({"sizeLimit": said.size_limit} if said.size_limit else {})}


def _mount(volume: Volume) -> dict[str, Any]:
    mount = {"name": volume.name, "mountPath": volume.mount_path}
    return mount if volume.empty_dir else mount | {"readOnly": True}


def _container(revision: str, shape: PodShape) -> dict[str, Any]:
    # BentoML writes below its home and keeps counters in files; the root is read-only, so both go to the scratch space.
    own = {
        "BENTOML_PORT": str(shape.port),
        "BENTOML_HOST": "0.0.0.0",
        "BENTOML_HOME": "/tmp/bentoml",
        "BENTOML_DO_NOT_TRACK": "True",
        "PROMETHEUS_MULTIPROC_DIR": "/tmp/prometheus",
        "HOME": "/tmp",
        "SWITCHYARD_REVISION": revision,
    }
    said = {item.name: item.value for item in shape.env}
    env = [{"name": name, "value": value} for name, value in (own | said).items()]
    sources: list[dict[str, Any]] = []
    if any(source.config_map for source in shape.env_from):
        sources.append({"configMapRef": {"name": config_name(revision)}})
    sources.extend({"secretRef": {"name": source.secret}} for source in shape.env_from if source.secret)
    container: dict[str, Any] = {
        "name": CONTAINER,
        "image": shape.image,
        "imagePullPolicy": "IfNotPresent",
        "ports": [{"name": PORT_NAME, "containerPort": shape.port}],
        "env": env,
        "startupProbe": _probe("/readyz", periodSeconds=1, failureThreshold=_patience(shape), timeoutSeconds=5),
        "readinessProbe": _probe("/readyz", periodSeconds=3, failureThreshold=3, timeoutSeconds=5),
        "livenessProbe": _probe("/livez", periodSeconds=10, failureThreshold=6, timeoutSeconds=5),
        "lifecycle": {"preStop": {"sleep": {"seconds": DRAIN_SECONDS}}},
        "terminationMessagePolicy": "FallbackToLogsOnError",
        "securityContext": restricted_container(),
        "volumeMounts": [{"name": SCRATCH, "mountPath": "/tmp"}, *(_mount(volume) for volume in shape.volumes or ())],
    }
    if sources:
        container["envFrom"] = sources
    if shape.resources:
        container["resources"] = {
            key: dict(value)
            for key, value in (("requests", shape.resources.requests), ("limits", shape.resources.limits))
            if value
        }
    return container


def _patience(shape: PodShape) -> int:
    """Seconds in which a container must have answered once."""
    return ceil(shape.startup.timeout.total_seconds()) if shape.startup else STARTUP_SECONDS


def _probe(path: str, **numbers: int) -> dict[str, Any]:
    return {"httpGet": {"path": path, "port": PORT_NAME}, **numbers}
