"""A real API server for tests: a client of it, the product's types in it, a namespace per test."""

from __future__ import annotations

import json
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import yaml
from kubernetes import client, config
from kubernetes.client.exceptions import ApiException

from switchyard_testkit.waiting import until

RESTRICTED = {"pod-security.kubernetes.io/enforce": "restricted"}


def kubeconfig(slot: str = "test") -> str:
    """The slot's kubeconfig; no cluster is an error, never a reason to skip."""
    cache = Path(os.environ.get("SWITCHYARD_CACHE", Path.home() / ".cache" / "switchyard"))
    described = cache / "nodes" / slot / "cluster.json"
    if not described.exists():
        raise RuntimeError(f"there is no cluster in slot {slot}; run `make cluster SLOT={slot}` first")
    return str(json.loads(described.read_text(encoding="utf-8"))["kubeconfig"])


@contextmanager
def api_client(slot: str = "test") -> Iterator[client.ApiClient]:
    """A client of the slot's API server."""
    api: client.ApiClient = config.new_client_from_config(kubeconfig(slot))  # type: ignore[no-untyped-call]
    with api:
        yield api


def connected(path: Path) -> client.ApiClient:
    """A client that does not ask again by itself: a test shall see what the server said first."""
    configuration = client.Configuration()
    config.load_kube_config(config_file=str(path), client_configuration=configuration)  # type: ignore[no-untyped-call]
    configuration.retries = False
    configuration.connection_pool_maxsize = 32
    return client.ApiClient(configuration)


def applied_crds(api: client.ApiClient, directory: Path) -> None:
    """Have the CRDs of a directory, as they are there, and wait until they are served."""
    crds, objects = client.ApiextensionsV1Api(api), client.CustomObjectsApi(api)
    for path in sorted(directory.glob("*.yaml")):
        body = yaml.safe_load(path.read_text(encoding="utf-8"))
        name = body["metadata"]["name"]
        crds.patch_custom_resource_definition(
            name, body, field_manager="switchyard-testkit", force=True, _content_type="application/apply-patch+yaml"
        )

        def established(name: str = name) -> bool:
            found = crds.read_custom_resource_definition(name)
            return any(
                c.type == "Established" and c.status == "True" for c in (found.status and found.status.conditions) or []
            )

        def served(spec: dict[str, Any] = body["spec"]) -> bool:
            try:
                for version in spec["versions"]:
                    objects.list_cluster_custom_object(spec["group"], version["name"], spec["names"]["plural"])
            except ApiException as error:
                if error.status in (404, 503):  # that it is established, the server's doors hear a moment later
                    return False
                raise
            return True

        until(established, f"the CRD {name} is established", seconds=60)
        until(served, f"the CRD {name} is served", seconds=60)


@contextmanager
def temporary_namespace(api: client.ApiClient, prefix: str) -> Iterator[str]:
    """A namespace that enforces restricted Pod Security, and goes when the test ends."""
    with own_namespace(api, f"{prefix}-{secrets.token_hex(3)}") as name:
        yield name


@contextmanager
def own_namespace(api: client.ApiClient, name: str) -> Iterator[str]:
    """The same by a name that others know beforehand; what a run before left there is taken down first."""
    core = client.CoreV1Api(api)
    body = client.V1Namespace(metadata=client.V1ObjectMeta(name=name, labels=RESTRICTED))

    def made() -> bool:
        try:
            core.create_namespace(body)
        except ApiException as error:
            if error.status != 409:
                raise
            core.delete_namespace(name, propagation_policy="Background")
            return False
        return True

    until(made, f"the namespace {name} of a run before is gone", seconds=120, every=0.5)
    try:
        yield name
    finally:
        core.delete_namespace(name, propagation_policy="Background")
