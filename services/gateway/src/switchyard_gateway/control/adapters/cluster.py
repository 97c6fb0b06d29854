"""The Kubernetes API: the only room that knows its client. ModelRoutes and EndpointSlices in, our own values out."""

from __future__ import annotations

import asyncio
import ipaddress
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, TypeVar

import aiohttp
from kubernetes.aio import client, config
from kubernetes.aio.client.exceptions import ApiException
from pydantic import ValidationError
from switchyard_contracts.base import GROUP, LABEL_REVISION, VERSION
from switchyard_contracts.model_route import ModelRouteSpec

from switchyard_gateway.control.domain.world import Endpoint, Fitness, RouteObject, Slice
from switchyard_gateway.control.errors import SourceError
from switchyard_gateway.control.ports import Gone, Listing, Mark, Put

T = TypeVar("T")

SERVICE_NAME = "kubernetes.io/service-name"
PORT_NAME = "http"
LIST_SECONDS = 30.0
ANSWER_SECONDS = 10.0
"""How long a watch may take to begin."""
GRACE_SECONDS = 5.0
"""How much longer than promised a watch may stay silent before it counts as dead."""


@dataclass(frozen=True, slots=True)
class KubernetesSource(Generic[T]):
    """One kind, by its path on the API server."""

    api: client.ApiClient
    kind: str
    path: str
    selector: str
    read: Callable[[Mapping[str, Any]], T]
    watch_seconds: int = 30

    async def list(self) -> Listing[T]:
        """A consistent list, in one piece: half a list would look like deletions."""
        document = await _patient(self._list(), f"listing {self.kind}", LIST_SECONDS)
        items = tuple(self.read(item) for item in document.get("items") or ())
        return Listing(items, document["metadata"]["resourceVersion"])

    async def watch(self, place: str) -> AsyncIterator[Put[T] | Gone | Mark]:
        """The changes since; ends when the server ends the watch, which it was asked to do."""
        query = {
            "watch": "true",
            "resourceVersion": place,
            "allowWatchBookmarks": "true",
            "timeoutSeconds": str(self.watch_seconds),
        }
        deadline = asyncio.get_running_loop().time() + self.watch_seconds + GRACE_SECONDS
        what = f"watching {self.kind}"
        answer = await _patient(self._get(query), what, ANSWER_SECONDS)
        try:
            while True:
                left = deadline - asyncio.get_running_loop().time()
                line = await _patient(answer.content.readline(), what, max(0.1, left))
                if not line:
                    return
                yield self._change(_parsed(line, what))
        finally:
            answer.close()

    async def _list(self) -> Any:
        answer = await self._get({})
        try:
            return _parsed(await answer.read(), f"listing {self.kind}")
        finally:
            answer.close()

    async def _get(self, query: Mapping[str, str]) -> aiohttp.ClientResponse:
        selector = [("labelSelector", self.selector)] if self.selector else []
        parameters = await self.api.param_serialize(
            method="GET",
            resource_path=self.path,
            query_params=[*query.items(), *selector],
            header_params={"Accept": "application/json"},
            auth_settings=["BearerToken"],
        )
        raw = await self.api.call_api(*parameters, _request_timeout=self.watch_seconds + LIST_SECONDS)
        answer: aiohttp.ClientResponse = raw.response
        if answer.status >= 300:
            said = (await answer.read())[:500].decode(errors="replace")
            answer.close()
            raise _wrong(f"{self.path}", answer.status, said, answer.headers.get("Retry-After"))
        return answer

    def _change(self, event: Mapping[str, Any]) -> Put[T] | Gone | Mark:
        body = event["object"]
        if event["type"] == "ERROR":
            raise _wrong(f"watching {self.kind}", int(body.get("code", 0)), body.get("message", ""), None)
        metadata = body["metadata"]
        place = metadata["resourceVersion"]
        if event["type"] == "BOOKMARK":
            return Mark(place)
        if event["type"] == "DELETED":
            return Gone(metadata["namespace"], metadata["name"], place)
        return Put(self.read(body), place)


def model_routes(api: client.ApiClient, *, watch_seconds: int, namespace: str = "") -> KubernetesSource[RouteObject]:
    """Every ModelRoute of a namespace, or of the cluster."""
    path = f"/apis/{GROUP}/{VERSION}{_in(namespace)}/modelroutes"
    return KubernetesSource(api, "ModelRoutes", path, "", read_route, watch_seconds)


def endpoint_slices(api: client.ApiClient, *, watch_seconds: int, namespace: str = "") -> KubernetesSource[Slice]:
    """The EndpointSlices of revisions' Services, which hand down their labels."""
    path = f"/apis/discovery.k8s.io/v1{_in(namespace)}/endpointslices"
    return KubernetesSource(api, "EndpointSlices", path, LABEL_REVISION, read_slice, watch_seconds)


def _in(namespace: str) -> str:
    return f"/namespaces/{namespace}" if namespace else ""


async def connect(kubeconfig: Path | None) -> client.ApiClient:
    """The pod's own credentials, or those of a file. Raises `SourceError` while the pod has none yet."""
    settings = client.Configuration()
    try:
        if kubeconfig is None:
            config.load_incluster_config(client_configuration=settings)  # type: ignore[no-untyped-call]
        else:
            await config.load_kube_config(  # type: ignore[no-untyped-call]
                config_file=str(kubeconfig), client_configuration=settings
            )
    except (config.ConfigException, OSError) as wrong:
        raise SourceError(f"no credentials for the API server: {wrong}") from wrong
    return client.ApiClient(settings)


def read_route(body: Mapping[str, Any]) -> RouteObject:
    """A ModelRoute; one that this version cannot read keeps its place, with the reason."""
    metadata = body["metadata"]
    place = {
        "namespace": metadata["namespace"],
        "name": metadata["name"],
        "generation": metadata.get("generation", 0),
    }
    try:
        return RouteObject(**place, spec=ModelRouteSpec.model_validate(body.get("spec") or {}))
    except ValidationError as wrong:
        first = wrong.errors(include_url=False, include_input=False)[0]
        where = ".".join(["spec", *(str(part) for part in first["loc"])])
        return RouteObject(**place, spec=None, problem=f"{where}: {first['msg']}")


def read_slice(body: Mapping[str, Any]) -> Slice:
    """An EndpointSlice; addresses that Envoy could not call are left out."""
    metadata = body["metadata"]
    endpoints = [
        Endpoint(address, port, fitness)
        for port in _ports(body.get("ports") or ())
        for each in body.get("endpoints") or ()
        for fitness in _fitness(each.get("conditions") or {})
        for address in each.get("addresses") or ()
        if body.get("addressType") in ("IPv4", "IPv6") and _is_address(address)
    ]
    return Slice(
        namespace=metadata["namespace"],
        name=metadata["name"],
        service=(metadata.get("labels") or {}).get(SERVICE_NAME, ""),
        endpoints=tuple(sorted(endpoints)),
    )


def _ports(ports: Any) -> list[int]:
    """The port called http; a Service with only one may call it anything."""
    named = [port["port"] for port in ports if port.get("name") == PORT_NAME and port.get("port")]
    return named or [port["port"] for port in ports if port.get("port") and len(ports) == 1]


def _fitness(conditions: Mapping[str, Any]) -> list[Fitness]:
    """What a pod is good for; nothing, if it is leaving and no longer serves. Absent conditions mean ready."""
    serving = conditions.get("serving") is not False
    if conditions.get("terminating"):
        return [Fitness.DRAINING] if serving else []
    return [Fitness.READY if serving and conditions.get("ready") is not False else Fitness.UNREADY]


def _is_address(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True


def _parsed(text: bytes, what: str) -> Any:
    try:
        return json.loads(text)
    except ValueError as wrong:
        raise SourceError(f"{what}: the API server sent what is not JSON") from wrong


def _wrong(what: str, status: int, said: str, retry_after: str | None) -> SourceError:
    wait = float(retry_after) if retry_after and retry_after.isdigit() else None
    return SourceError(f"{what}: status {status}: {said}", expired=status == 410, retry_after=wait)


async def _patient(work: Awaitable[T], what: str, seconds: float) -> T:
    """Wait, but not for ever; the client's own errors become ours."""
    try:
        return await asyncio.wait_for(work, seconds)
    except TimeoutError as wrong:
        raise SourceError(f"{what}: no answer within {seconds:.0f} s") from wrong
    except ApiException as wrong:
        raise _wrong(what, wrong.status or 0, str(wrong.reason), None) from wrong
    except (aiohttp.ClientError, OSError, ValueError) as wrong:
        raise SourceError(f"{what}: {type(wrong).__name__}: {wrong}") from wrong
