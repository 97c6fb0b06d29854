"""ModelDeployments in a test's namespace: apply them, read them, wait for what they say, command them."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from kubernetes import client
from kubernetes.client.exceptions import ApiException

from switchyard_testkit.apiserver import api_client
from switchyard_testkit.install import Installation, slot_folder
from switchyard_testkit.waiting import until

GROUP = ("switchyard.dev", "v1alpha1")
APPLY = "application/apply-patch+yaml"
SHARE = {"requests": {"cpu": "100m", "memory": "64Mi"}}
"""Without a request of its own a model gets no time at all while the parts that a test restarts take both cores."""


def image(slot: str, title: str) -> str:
    """An image of the slot's registry, by digest."""
    found: dict[str, str] = json.loads((slot_folder(slot) / "images.json").read_text(encoding="utf-8"))
    return found[title]


@dataclass(frozen=True, slots=True)
class Models:
    """The resources of one namespace."""

    installation: Installation
    namespace: str

    def apply(
        self, name: str, *, env: dict[str, Any] | None = None, spec: dict[str, Any] | None = None
    ) -> dict[str, Any]:
        """Server-side apply a deployment of the fault model; `env` are its modes, `spec` is laid over."""
        model = {
            "image": image(self.installation.slot, "test/fault-model"),
            "config": {"env": [{"name": key, "value": str(value)} for key, value in (env or {}).items()]},
            **((spec or {}).get("model") or {}),
        }
        serving = (spec or {}).get("serving") or {"paths": ["/predict"], "timeout": "10s", "port": 3000}
        whole = {
            **{key: value for key, value in (spec or {}).items() if key != "model"},
            "serving": {"resources": SHARE, **serving},
            "model": model,
        }
        body = {
            "apiVersion": "/".join(GROUP),
            "kind": "ModelDeployment",
            "metadata": {"name": name, "namespace": self.namespace},
            "spec": whole,
        }
        with api_client(self.installation.slot) as api:
            client.CustomObjectsApi(api).patch_namespaced_custom_object(
                *GROUP,
                self.namespace,
                "modeldeployments",
                name,
                body,
                field_manager="a-data-scientist",
                force=True,
                field_validation="Strict",
                _content_type=APPLY,
            )
        return self.get(name)

    def get(self, name: str, plural: str = "modeldeployments") -> dict[str, Any]:
        """The object as it is."""
        with api_client(self.installation.slot) as api:
            found: Any = client.CustomObjectsApi(api).get_namespaced_custom_object(*GROUP, self.namespace, plural, name)
        return dict(found)

    def exists(self, name: str, plural: str = "modeldeployments") -> bool:
        """Whether it is there."""
        try:
            self.get(name, plural)
        except ApiException as error:
            if error.status == 404:
                return False
            raise
        return True

    def all(self, plural: str) -> list[dict[str, Any]]:
        """All of a kind."""
        with api_client(self.installation.slot) as api:
            found: Any = client.CustomObjectsApi(api).list_namespaced_custom_object(*GROUP, self.namespace, plural)
        items: list[dict[str, Any]] = found["items"]
        return items

    def status(self, name: str) -> dict[str, Any]:
        """The deployment's status, empty before the first."""
        found: dict[str, Any] = self.get(name).get("status", {})
        return found

    def condition(self, name: str, kind: str) -> dict[str, Any]:
        """One condition, empty when it is not there."""
        conditions = self.status(name).get("conditions", [])
        return next((c for c in conditions if c["type"] == kind), {})

    def wait(
        self, name: str, condition: Callable[[dict[str, Any]], Any], what: str, *, seconds: float = 90
    ) -> dict[str, Any]:
        """Wait until the status fits; the error shows the last one."""
        last: dict[str, Any] = {}

        def fits() -> bool:
            last.clear()
            last.update(self.status(name))
            return bool(condition(last))

        try:
            until(fits, f"{name}: {what}", seconds=seconds)
        except TimeoutError as error:
            raise TimeoutError(f"{error}\nstatus: {json.dumps(last, indent=1)}") from error
        return last

    def serving(self, name: str, version: str, *, seconds: float = 90) -> dict[str, Any]:
        """Wait until this version is stable and every gateway serves it."""

        def serves(status: dict[str, Any]) -> bool:
            ready: dict[str, Any] = next((c for c in status.get("conditions", []) if c["type"] == "Available"), {})
            synced: dict[str, Any] = next((c for c in status.get("conditions", []) if c["type"] == "TrafficSynced"), {})
            stable = status.get("stable") or {}
            return stable.get("version") == version and ready.get("status") == "True" == synced.get("status")

        return self.wait(name, serves, f"serves {version}", seconds=seconds)

    def phase(self, name: str, *phases: str, seconds: float = 90) -> dict[str, Any]:
        """Wait until the rollout is in one of these phases."""
        return self.wait(
            name, lambda status: (status.get("rollout") or {}).get("phase") in phases, f"is {phases}", seconds=seconds
        )

    def command(self, name: str, verb: str, **fields: Any) -> dict[str, Any]:
        """Give a command as this test's user, and wait for its result."""
        body = {
            "apiVersion": "/".join(GROUP),
            "kind": "ModelCommand",
            "metadata": {"generateName": f"{name}-{verb}-"},
            "spec": {"deployment": name, "verb": verb, "requestedBy": whoami(self.installation), **fields},
        }
        with api_client(self.installation.slot) as api:
            made: Any = client.CustomObjectsApi(api).create_namespaced_custom_object(
                *GROUP, self.namespace, "modelcommands", body, field_validation="Strict"
            )
        given = made["metadata"]["name"]

        def answered() -> dict[str, Any]:
            status: dict[str, Any] = self.get(given, "modelcommands").get("status") or {}
            return status if status.get("result") else {}

        return until(answered, f"the command {given} has a result", seconds=90)

    def url(self, name: str, path: str = "/predict") -> str:
        """Where products call the model."""
        return f"{self.installation.gateway}/{self.namespace}/{name}{path}"

    def subject(self, name: str) -> str:
        """`<namespace>/<name>`, as events say it."""
        return f"{self.namespace}/{name}"


def whoami(installation: Installation) -> str:
    """The user name by which the API server knows this client."""
    with api_client(installation.slot) as api:
        review = client.AuthenticationV1Api(api).create_self_subject_review(client.V1SelfSubjectReview())
    return str(review.status.user_info.username)  # type: ignore[union-attr]
