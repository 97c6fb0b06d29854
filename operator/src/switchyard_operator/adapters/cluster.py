"""The API server: the only room that knows Kubernetes' client. Bodies in and out, status codes become our errors."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from threading import Lock
from typing import Any

import urllib3
from kubernetes import client, config
from switchyard_contracts.base import FIELD_MANAGER

from switchyard_operator.domain.kinds import ALL, Kind
from switchyard_operator.domain.world import Body
from switchyard_operator.errors import AlreadyThere, Outdated, Refused, TryLater

TIMEOUT = (3.0, 10.0)
"""Seconds to connect and to wait for an answer: a server that hangs is one that failed."""
TOO_MANY = 429
BUSY = 2.0
"""Seconds before a server that has trouble is asked again, unless it asks for more by `Retry-After`."""
LONGEST_BUSY = 60.0
PAGE = 500
NAMESPACE_GOES = "NamespaceTerminating"
"""The cause that the API server gives for refusing to create in a namespace that is on its way out."""
SERVICE_ACCOUNT = "/var/run/secrets/kubernetes.io/serviceaccount/token"


def connect(kubeconfig: str | None = None) -> client.ApiClient:
    """In a pod by its service account, elsewhere by kubeconfig."""
    configuration = client.Configuration()
    load: Any = config.load_kube_config
    if kubeconfig is None and Path(SERVICE_ACCOUNT).exists():
        load = config.load_incluster_config
        load(client_configuration=configuration)
    else:
        load(config_file=kubeconfig, client_configuration=configuration)
    configuration.retries = False
    configuration.connection_pool_maxsize = 32
    return client.ApiClient(configuration)


class ApiCluster:
    """The verbs of `ports.Cluster` over plain REST."""

    def __init__(
        self,
        api: client.ApiClient,
        *,
        namespaces: Sequence[str] = (),
        counted: Callable[[str, str], None],
        asked: Callable[[str, int | None, float], None] = lambda _verb, _code, _seconds: None,
    ):
        """`counted` hears of each write, `asked` of each request: its method, the answer's code if any, how long."""
        self._api = api
        self._namespaces = tuple(namespaces)
        self._counted = counted
        self._asked = asked
        self._lock = Lock()

    def read(self, kind: Kind, namespace: str, name: str) -> Body | None:
        """The object as it is now, or None."""
        status, body = self._call("GET", _path(kind, namespace, name))
        return None if status == 404 else _checked(status, body, f"read {kind.kind} {namespace}/{name}")

    def find(self, kind: Kind, *, namespace: str = "", labels: Mapping[str, str] | None = None) -> list[Body]:
        """All objects of a kind, page by page."""
        found: list[Body] = []
        for place in [namespace] if namespace else self._namespaces or [""]:
            found.extend(self._list(kind, place, labels or {}))
        return found

    def _list(self, kind: Kind, namespace: str, labels: Mapping[str, str]) -> list[Body]:
        query = [("limit", str(PAGE))]
        if labels:
            query.append(("labelSelector", ",".join(f"{k}={v}" if v else k for k, v in labels.items())))
        found: list[Body] = []
        more = ""
        while True:
            page = query + ([("continue", more)] if more else [])
            status, body = self._call("GET", _path(kind, namespace), query=page)
            answer = _checked(status, body, f"list {kind.plural}")
            for item in answer.get("items") or ():
                found.append({**item, "apiVersion": kind.api_version, "kind": kind.kind})
            more = answer.get("metadata", {}).get("continue", "")
            if not more:
                return found

    def serves(self, kind: Kind) -> bool:
        """Whether discovery knows the kind and its group; it lags behind a definition that was just made."""
        group, _, _ = kind.api_version.partition("/")
        try:
            _, groups = self._call("GET", "/apis")
            _, resources = self._call("GET", f"/apis/{kind.api_version}")
        except TryLater:
            return False
        known = {item.get("name") for item in _document(groups).get("groups") or []}
        return group in known and kind.plural in {item["name"] for item in _document(resources).get("resources") or []}

    def create(self, body: Body) -> Body:
        """Create; `AlreadyThere` when it exists."""
        kind, metadata = ALL[body["kind"]], body["metadata"]
        what = f"create {kind.kind} {metadata['namespace']}/{metadata['name']}"
        status, answer = self._call("POST", _path(kind, metadata["namespace"]), body=body)
        if status == 409:
            raise AlreadyThere(f"cannot {what}: it exists")
        self._counted("create", kind.kind)
        return _checked(status, answer, what)

    def replace(self, body: Body) -> Body:
        """Replace the whole; the body carries the resourceVersion it rests on."""
        return self._write("PUT", body, "replace")

    def apply(self, body: Body) -> Body:
        """Server-side apply as the one field manager, forced."""
        query = [("fieldManager", FIELD_MANAGER), ("force", "true")]
        return self._write("PATCH", body, "apply", query=query, content="application/apply-patch+yaml")

    def patch(self, kind: Kind, namespace: str, name: str, patch: Mapping[str, Any]) -> Body:
        """JSON merge patch; with a resourceVersion in its metadata it rests on that."""
        what = f"patch {kind.kind} {namespace}/{name}"
        path = _path(kind, namespace, name)
        status, answer = self._call("PATCH", path, body=patch, content="application/merge-patch+json")
        self._counted("patch", kind.kind)
        return _checked(status, answer, what)

    def write_status(self, body: Body, status: Mapping[str, Any]) -> Body:
        """Replace the status subresource; rests on the body's resourceVersion."""
        return self._write("PUT", {**body, "status": dict(status)}, "write status of", subresource="/status")

    def delete(self, kind: Kind, namespace: str, name: str) -> None:
        """Delete, and its dependents after it; gone already is fine."""
        options = {"apiVersion": "v1", "kind": "DeleteOptions", "propagationPolicy": "Background"}
        status, answer = self._call("DELETE", _path(kind, namespace, name), body=options)
        if status != 404:
            self._counted("delete", kind.kind)
            _checked(status, answer, f"delete {kind.kind} {namespace}/{name}")

    def _write(
        self,
        method: str,
        body: Body,
        verb: str,
        *,
        query: Sequence[tuple[str, str]] = (),
        content: str = "application/json",
        subresource: str = "",
    ) -> Body:
        kind, metadata = ALL[body["kind"]], body["metadata"]
        path = _path(kind, metadata["namespace"], metadata["name"]) + subresource
        status, answer = self._call(method, path, body=body, query=query, content=content)
        self._counted(verb.split()[0], kind.kind)
        return _checked(status, answer, f"{verb} {kind.kind} {metadata['namespace']}/{metadata['name']}")

    def _call(
        self,
        method: str,
        path: str,
        *,
        body: Mapping[str, Any] | None = None,
        query: Sequence[tuple[str, str]] = (),
        content: str = "application/json",
    ) -> tuple[int, bytes]:
        headers = {"Accept": "application/json", "Content-Type": content}
        with self._lock:  # a token that is renewed is read from its file here
            serialized = self._api.param_serialize(
                method=method,
                resource_path=path,
                query_params=list(query),
                header_params=headers,
                auth_settings=["BearerToken"],
            )
        verb, url, sent, _, _ = serialized
        began = time.monotonic()
        code: int | None = None
        try:
            answer: Any = self._api.call_api(verb, url, sent, body, _request_timeout=TIMEOUT)
            code = int(answer.status)
            raw: bytes = answer.read()
            if code == TOO_MANY or code >= 500:
                wait = max(BUSY, _seconds(answer.getheader("Retry-After")))
                raise TryLater(f"the API server answers {code} to {method} {path}: {_message(raw)}", delay=wait)
            return code, raw
        except (urllib3.exceptions.HTTPError, client.ApiException) as error:
            raise TryLater(f"the API server does not answer {method} {path}: {error}", delay=BUSY) from error
        finally:
            self._asked(method, code, time.monotonic() - began)


def _path(kind: Kind, namespace: str, name: str = "") -> str:
    root = f"/apis/{kind.api_version}" if "/" in kind.api_version else f"/api/{kind.api_version}"
    place = f"/namespaces/{namespace}" if namespace else ""
    return f"{root}{place}/{kind.plural}{f'/{name}' if name else ''}"


def _checked(status: int, raw: bytes, what: str) -> Body:
    if 200 <= status < 300:
        document: Body = json.loads(raw)
        return document
    said = _message(raw)
    if status in (404, 409, 410):
        raise Outdated(f"cannot {what}: {said}")
    if status == 403 and NAMESPACE_GOES in _causes(raw):
        raise TryLater(f"cannot {what}: its namespace is being deleted", delay=10.0)
    raise Refused(f"cannot {what}: the API server answers {status}: {said}")


def _seconds(text: str | None) -> float:
    """A `Retry-After` in seconds, which is how the API server says it; a date is nobody's word here."""
    return min(LONGEST_BUSY, float(text)) if text and text.isdecimal() else 0.0


def _message(raw: bytes) -> str:
    return str(_document(raw).get("message") or raw[:300].decode(errors="replace"))


def _causes(raw: bytes) -> set[str]:
    causes = (_document(raw).get("details") or {}).get("causes") or []
    return {str(cause.get("reason")) for cause in causes}


def _document(raw: bytes) -> dict[str, Any]:
    try:
        document = json.loads(raw)
    except ValueError:
        return {}
    return document if isinstance(document, dict) else {}
