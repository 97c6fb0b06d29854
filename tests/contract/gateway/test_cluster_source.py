"""The Kubernetes adapter's promises, kept against the fake API server and against the real one alike."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import pytest
from kubernetes import client
from switchyard_gateway.control.adapters.cluster import connect, endpoint_slices, model_routes
from switchyard_gateway.control.domain.world import Endpoint, RouteObject, Slice
from switchyard_gateway.control.errors import SourceError
from switchyard_gateway.control.ports import Gone, Listing, Mark, Put, Source
from switchyard_testkit.apiserver import temporary_namespace
from switchyard_testkit.fake_api import ROUTES, SLICES, FakeApi, endpoint_slice, fake_api, model_route, route
from switchyard_testkit.own_apiserver import ApiServer

WATCH_SECONDS = 5


class Server(Protocol):
    """What the tests do to a cluster."""

    kubeconfig: Path
    namespace: str

    def put(self, path: str, body: dict[str, Any]) -> None: ...

    def delete(self, path: str, name: str) -> None: ...


@dataclass
class Fake:
    """The fake API server."""

    kubeconfig: Path
    namespace: str
    api: FakeApi

    def put(self, path: str, body: dict[str, Any]) -> None:
        self.api.put(path, body)

    def delete(self, path: str, name: str) -> None:
        self.api.delete(path, self.namespace, name)


@dataclass
class Real:
    """The API server of the tests' node."""

    kubeconfig: Path
    namespace: str
    api: client.ApiClient

    def put(self, path: str, body: dict[str, Any]) -> None:
        group, version, plural = path.split("/")[2:]
        custom = client.CustomObjectsApi(self.api)
        custom.patch_namespaced_custom_object(
            group,
            version,
            self.namespace,
            plural,
            body["metadata"]["name"],
            body,
            field_manager="a-test",
            force=True,
            _content_type="application/apply-patch+yaml",
        )

    def delete(self, path: str, name: str) -> None:
        group, version, plural = path.split("/")[2:]
        client.CustomObjectsApi(self.api).delete_namespaced_custom_object(group, version, self.namespace, plural, name)


@pytest.fixture(params=["fake", "real"])
def server(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Server]:
    if request.param == "fake":
        with fake_api() as api:
            yield Fake(api.kubeconfig(tmp_path), f"ns-{secrets.token_hex(3)}", api)
        return
    own: ApiServer = request.getfixturevalue("api_server")
    with temporary_namespace(own.api, "source") as namespace:
        yield Real(own.kubeconfig, namespace, own.api)


def with_sources(
    server: Server,
    test: Callable[[Source[RouteObject], Source[Slice]], Awaitable[None]],
    watch_seconds: int = WATCH_SECONDS,
) -> None:
    """Run a test in a loop of its own, with both sources."""

    async def run() -> None:
        api = await connect(server.kubeconfig)
        try:
            await test(
                model_routes(api, watch_seconds=watch_seconds), endpoint_slices(api, watch_seconds=watch_seconds)
            )
        finally:
            await api.close()

    asyncio.run(run())


def own(server: Server, listing: Listing[Any]) -> list[Any]:
    """The objects of the test's own namespace: a real cluster has others."""
    return [item for item in listing.items if item.namespace == server.namespace]


async def news(server: Server, changes: AsyncIterator[Put[Any] | Gone | Mark], count: int) -> list[Put[Any] | Gone]:
    """The next changes in the test's own namespace."""
    found: list[Put[Any] | Gone] = []
    async with asyncio.timeout(30):
        async for change in changes:
            if isinstance(change, Mark):
                continue
            namespace = change.namespace if isinstance(change, Gone) else change.item.namespace
            if namespace == server.namespace:
                found.append(change)
            if len(found) == count:
                break
    return found


def a_route(server: Server, weight: int = 10_000) -> dict[str, Any]:
    entries = [route("m-1", weight), *([route("m-2", 10_000 - weight, "candidate")] if weight < 10_000 else [])]
    return model_route(server.namespace, "m", *entries)


def test_a_list_names_what_is_there(server):
    server.put(ROUTES, a_route(server))
    server.put(SLICES, endpoint_slice(server.namespace, "m-1", ("10.1.2.3", 3000)))

    async def test(routes, slices):
        (found,) = own(server, await routes.list())
        assert (found.key, found.generation, found.problem) == (f"{server.namespace}/m", 1, "")
        (pods,) = own(server, await slices.list())
        assert (pods.service, pods.endpoints) == ("m-1", (Endpoint("10.1.2.3", 3000),))

    with_sources(server, test)


def test_slices_of_other_services_are_not_listed(server):
    other = endpoint_slice(server.namespace, "other", ("10.1.2.3", 3000))
    del other["metadata"]["labels"]["switchyard.dev/revision"]
    server.put(SLICES, endpoint_slice(server.namespace, "m-1", ("10.1.2.3", 3000)))
    if isinstance(server, Real):
        server.put(SLICES, other)

    async def test(_, slices):
        assert [each.service for each in own(server, await slices.list())] == ["m-1"]

    with_sources(server, test)


def test_a_watch_tells_all_that_happened_since_the_list_in_order(server):
    async def test(routes, _):
        listing = await routes.list()
        server.put(ROUTES, a_route(server))
        server.put(ROUTES, a_route(server, 9_000))
        server.delete(ROUTES, "m")
        first, second, third = await news(server, routes.watch(listing.place), 3)
        assert [first.item.generation, second.item.generation] == [1, 2]
        assert [each.weight_bp for each in second.item.spec.routes] == [9_000, 1_000]
        assert (third.namespace, third.name) == (server.namespace, "m")

    with_sources(server, test)


def test_a_watch_resumes_where_another_stopped(server):
    async def test(routes, _):
        listing = await routes.list()
        server.put(ROUTES, a_route(server))
        (first,) = await news(server, routes.watch(listing.place), 1)
        server.put(ROUTES, a_route(server, 8_000))
        (second,) = await news(server, routes.watch(first.place), 1)
        assert second.item.generation == 2

    with_sources(server, test)


def test_a_silent_watch_ends_by_itself(server):
    async def test(_, slices):
        listing = await slices.list()
        begun = asyncio.get_running_loop().time()
        async with asyncio.timeout(30):
            async for change in slices.watch(listing.place):
                assert isinstance(change, Mark) or change.place
        assert asyncio.get_running_loop().time() - begun < 20

    with_sources(server, test, watch_seconds=2)


def test_a_server_that_is_not_there_is_our_own_error(tmp_path):
    with fake_api() as api:
        kubeconfig = api.kubeconfig(tmp_path)

    async def test(routes, _):
        with pytest.raises(SourceError, match="ModelRoutes"):
            await routes.list()
        with pytest.raises(SourceError, match="ModelRoutes"):
            async for _change in routes.watch("1"):
                pass

    with_sources(Fake(kubeconfig, "ns", api), test)


@pytest.mark.parametrize(("fault", "words"), [("500", "status 500"), ("429", "status 429"), ("cut", "Disconnected")])
def test_a_failing_server_is_our_own_error_with_its_words(tmp_path, fault, words):
    with fake_api() as api:
        api.break_with(fault)

        async def test(routes, _):
            with pytest.raises(SourceError, match=words) as wrong:
                await routes.list()
            assert wrong.value.retry_after == (1 if fault == "429" else None) or fault == "500"

        with_sources(Fake(api.kubeconfig(tmp_path), "ns", api), test)


def test_a_forgotten_place_is_said_to_be_expired(tmp_path):
    with fake_api() as api:
        api.forget_history()

        async def test(routes, _):
            with pytest.raises(SourceError) as wrong:
                async for _change in routes.watch("1"):
                    pass
            assert wrong.value.expired

        with_sources(Fake(api.kubeconfig(tmp_path), "ns", api), test)
