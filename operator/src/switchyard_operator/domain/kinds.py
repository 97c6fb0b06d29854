"""The kinds of objects that the operator reads and writes, as the API server names them."""

from __future__ import annotations

from dataclasses import dataclass

from switchyard_contracts.base import API_VERSION


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind: where it lives in the API."""

    api_version: str
    kind: str
    plural: str


MODEL_DEPLOYMENT = Kind(API_VERSION, "ModelDeployment", "modeldeployments")
MODEL_REVISION = Kind(API_VERSION, "ModelRevision", "modelrevisions")
MODEL_ROUTE = Kind(API_VERSION, "ModelRoute", "modelroutes")
MODEL_COMMAND = Kind(API_VERSION, "ModelCommand", "modelcommands")
DEPLOYMENT = Kind("apps/v1", "Deployment", "deployments")
SERVICE = Kind("v1", "Service", "services")
CONFIG_MAP = Kind("v1", "ConfigMap", "configmaps")
POD = Kind("v1", "Pod", "pods")
EVENT = Kind("v1", "Event", "events")
DISRUPTION_BUDGET = Kind("policy/v1", "PodDisruptionBudget", "poddisruptionbudgets")
NETWORK_POLICY = Kind("networking.k8s.io/v1", "NetworkPolicy", "networkpolicies")
JOB = Kind("batch/v1", "Job", "jobs")
AUTOSCALER = Kind("autoscaling/v2", "HorizontalPodAutoscaler", "horizontalpodautoscalers")
LEASE = Kind("coordination.k8s.io/v1", "Lease", "leases")

WORKLOAD_KINDS = (DEPLOYMENT, SERVICE, DISRUPTION_BUDGET)
"""What a revision's pods need; it comes and goes with the traffic, the ModelRevision stays."""

WATCHED = (
    MODEL_DEPLOYMENT,
    MODEL_REVISION,
    MODEL_ROUTE,
    MODEL_COMMAND,
    DEPLOYMENT,
    SERVICE,
    DISRUPTION_BUDGET,
    POD,
)
"""What the door hears of and the cache holds."""

OPTIONAL = (NETWORK_POLICY, AUTOSCALER)
"""Workload kinds that an installation may do without; then nothing of them is read, watched or written."""

ALL = {kind.kind: kind for kind in (*WATCHED, *OPTIONAL, CONFIG_MAP, EVENT, JOB, LEASE)}
