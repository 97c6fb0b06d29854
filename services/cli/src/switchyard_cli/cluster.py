"""The API server behind `ports.Cluster`: the only room that knows Kubernetes' client. Its errors become sentences.

Only reads, one dry run and the writing of ModelCommands: a command line that cannot do more cannot break more.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

import urllib3
import yaml
from kubernetes import client, config
from kubernetes.client.exceptions import ApiException
from kubernetes.config.config_exception import ConfigException
from switchyard_contracts.base import GROUP, LABEL_DEPLOYMENT, VERSION

from switchyard_cli.errors import CliError, Denied, Forbidden, NoCluster, NotFound, NotServed, Unreachable
from switchyard_cli.ports import Body

TIMEOUT = (3.0, 10.0)
"""Seconds to connect and to wait for an answer."""
DEPLOYMENTS, REVISIONS, COMMANDS = "modeldeployments", "modelrevisions", "modelcommands"
Answer = TypeVar("Answer")
JSON_PATCH = "application/json-patch+json"
POD = Path("/var/run/secrets/kubernetes.io/serviceaccount")


def connect(
    *, kubeconfig: str | None, context: str | None, namespace: str | None, environ: Mapping[str, str]
) -> ApiCluster:
    """By kubeconfig as kubectl does, `KUBECONFIG` of the environment included; in a pod without one, by its account."""
    settings = client.Configuration()
    files = kubeconfig or environ.get("KUBECONFIG") or str(Path.home() / ".kube" / "config")
    found = any(Path(part).expanduser().exists() for part in files.split(os.pathsep) if part)
    try:
        if not found and not kubeconfig and not context and (POD / "token").exists():
            load: Any = config.load_incluster_config
            load(client_configuration=settings)
            place = (POD / "namespace").read_text(encoding="utf-8").strip()
        elif not found:
            raise NoCluster(
                f"there is no kubeconfig at {files}; set KUBECONFIG or --kubeconfig to the file of your cluster"
            )
        else:
            place = _load(files, context, settings)
    except ConfigException as error:
        raise NoCluster(
            f"the kubeconfig {files} cannot be used: {_one_line(error)}; see `kubectl config view`"
        ) from error
    except (OSError, yaml.YAMLError) as error:
        raise NoCluster(f"the kubeconfig {files} cannot be read: {_one_line(error)}") from error
    settings.retries = False
    return ApiCluster(client.ApiClient(settings), namespace=namespace or place or "default")


def _load(files: str, context: str | None, settings: client.Configuration) -> str:
    listed: Any = config.list_kube_config_contexts
    contexts, current = listed(config_file=files)
    if context is not None:
        current = next((item for item in contexts if item["name"] == context), None)
        if current is None:
            names = ", ".join(sorted(item["name"] for item in contexts)) or "none"
            raise NoCluster(f"the kubeconfig {files} has no context {context!r}; it has: {names}")
    load: Any = config.load_kube_config
    load(config_file=files, context=context, client_configuration=settings)
    return str((current or {}).get("context", {}).get("namespace") or "")


class ApiCluster:
    """One namespace of a real API server."""

    def __init__(self, api: client.ApiClient, *, namespace: str) -> None:
        self._objects: Any = client.CustomObjectsApi(api)
        self._core: Any = client.CoreV1Api(api)
        self._authentication: Any = client.AuthenticationV1Api(api)
        self._host = str(api.configuration.host)
        self.namespace = namespace

    def deployment(self, name: str) -> Body | None:
        return self._read(DEPLOYMENTS, name)

    def deployments(self, *, everywhere: bool = False) -> list[Body]:
        return self._list(DEPLOYMENTS, everywhere=everywhere)

    def revisions(self, name: str) -> list[Body]:
        return self._list(REVISIONS, labels=f"{LABEL_DEPLOYMENT}={name}")

    def command(self, name: str) -> Body | None:
        return self._read(COMMANDS, name)

    def config_map(self, name: str) -> Mapping[str, str] | None:
        def read() -> Mapping[str, str]:
            found = self._core.read_namespaced_config_map(name, self.namespace, _request_timeout=TIMEOUT)
            return dict(found.data or {})

        try:
            return self._ask(read, f"read the ConfigMap {name!r} in namespace {self.namespace!r}")
        except NotFound:
            return None

    def rehearse(self, body: Body, *, live: Body | None) -> str:
        """As a replacement of what is there, so that the file alone is judged; as a new object where there is none."""
        name = body["metadata"]["name"]
        common = {"dry_run": "All", "field_validation": "Strict", "_request_timeout": TIMEOUT}

        def write() -> Any:
            if live is None:
                return self._objects.create_namespaced_custom_object(
                    GROUP, VERSION, self.namespace, DEPLOYMENTS, dict(body), **common
                )
            # A patch, since a replacement rests on a resourceVersion that the operator's next status makes old.
            patch = [{"op": "replace", "path": "/spec", "value": body.get("spec")}]
            return self._objects.patch_namespaced_custom_object(
                GROUP, VERSION, self.namespace, DEPLOYMENTS, name, patch, _content_type=JSON_PATCH, **common
            )

        try:
            self._ask(write, f"check the ModelDeployment {name!r} in namespace {self.namespace!r}")
        except Forbidden:
            raise
        except (Denied, NotFound) as error:
            return str(error)
        return ""

    def whoami(self) -> str:
        def ask() -> str:
            review = self._authentication.create_self_subject_review(
                client.V1SelfSubjectReview(), _request_timeout=TIMEOUT
            )
            return str(review.status.user_info.username)

        return self._ask(ask, "ask who you are (a SelfSubjectReview)")

    def give(self, command: Body) -> Body:
        def create() -> Body:
            made: Body = self._objects.create_namespaced_custom_object(
                GROUP,
                VERSION,
                self.namespace,
                COMMANDS,
                dict(command),
                field_validation="Strict",
                _request_timeout=TIMEOUT,
            )
            return made

        return self._ask(create, f"create a ModelCommand in namespace {self.namespace!r}")

    def _read(self, plural: str, name: str) -> Body | None:
        def read() -> Body:
            found: Body = self._objects.get_namespaced_custom_object(
                GROUP, VERSION, self.namespace, plural, name, _request_timeout=TIMEOUT
            )
            return found

        try:
            return self._ask(read, f"read {plural} {name!r} in namespace {self.namespace!r}")
        except NotFound:
            return None

    def _list(self, plural: str, *, labels: str = "", everywhere: bool = False) -> list[Body]:
        place = "all namespaces" if everywhere else f"namespace {self.namespace!r}"

        def read() -> list[Body]:
            options: dict[str, Any] = {"label_selector": labels, "_request_timeout": TIMEOUT}
            if everywhere:
                answer = self._objects.list_cluster_custom_object(GROUP, VERSION, plural, **options)
            else:
                answer = self._objects.list_namespaced_custom_object(GROUP, VERSION, self.namespace, plural, **options)
            return list(answer["items"])

        return self._ask(read, f"list {plural} in {place}")

    def _ask(self, call: Callable[[], Answer], what: str) -> Answer:
        try:
            return call()
        except ApiException as error:
            raise _refusal(error, what, host=self._host) from error
        except urllib3.exceptions.HTTPError as error:
            raise Unreachable(
                f"cannot {what}: the API server {self._host} does not answer ({_cause(error)});"
                " check the context (`kubectl config current-context`) and your network"
            ) from error
        except ConfigException as error:  # a credential plugin that fails does so at the first call
            raise NoCluster(f"cannot {what}: your credentials could not be had: {_one_line(error)}") from error


def _refusal(error: ApiException, what: str, *, host: str) -> CliError:
    said, known = _said(error)
    if error.status == 401:
        return Denied(f"cannot {what}: the API server {host} does not know you; renew the credentials of your context")
    if error.status == 403:
        return Forbidden(f"cannot {what}: {said}; ask for a role that allows it")
    if error.status == 404 and known:
        return NotFound(f"cannot {what}: {said}")
    if error.status == 404:
        return NotServed(
            f"cannot {what}: the cluster serves no resources of {GROUP}/{VERSION}; install the chart switchyard-crds"
        )
    if error.status == 429 or (error.status or 0) >= 500:
        return Unreachable(f"cannot {what}: the API server {host} answers {error.status}: {said}; try again")
    return Denied(f"cannot {what}: {said}")


def _said(error: ApiException) -> tuple[str, bool]:
    """The API server's own words, and whether it spoke of an object."""
    try:
        document = json.loads(error.body or "")
    except (TypeError, ValueError):
        return str(error.reason or error.status), False
    if not isinstance(document, dict):
        return str(error.reason or error.status), False
    return str(document.get("message") or error.reason), bool((document.get("details") or {}).get("name"))


def _cause(error: BaseException) -> str:
    """The innermost reason in its own words; the outer layers only repeat the address."""
    while inner := getattr(error, "reason", None) or error.__cause__:
        if not isinstance(inner, BaseException):
            break
        error = inner
    return _one_line(error).rpartition(": ")[2] or type(error).__name__


def _one_line(error: BaseException) -> str:
    return " ".join(str(error).split())
