"""The HTTP door: what the operator, Prometheus and the kubelet are told."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest
from aiohttp.test_utils import TestClient, TestServer
from switchyard_gateway.control.adapters.cluster import read_route, read_slice
from switchyard_gateway.control.controller import Controller
from switchyard_gateway.control.domain.counters import Count, HostCount, Look, of_cluster
from switchyard_gateway.control.door import Door
from switchyard_gateway.control.errors import AdminError
from switchyard_gateway.control.metrics import Metrics
from switchyard_gateway.control.ports import Listing
from switchyard_testkit.fake_api import endpoint_slice, model_route, route
from switchyard_testkit.fake_envoy import FakeEnvoy


async def nothing() -> None:
    """Counters are as they are."""


async def unreachable() -> None:
    raise AdminError("nobody listens")


@pytest.fixture
def metrics():
    return Metrics()


@pytest.fixture
def controller(metrics):
    return Controller(domain="", preview=True, linger=60, metrics=metrics, ring=lambda: None, clock=lambda: 0.0)


def serve_one(controller: Controller) -> None:
    """One deployment, taken by an Envoy."""
    envoy = FakeEnvoy()
    envoy.connect(controller.new_delivery())
    body = model_route("ns", "a", route("a-1", 10_000))
    body["metadata"]["generation"] = 3
    controller.routes_listed(Listing((read_route(body),), "1"))
    controller.slices_listed(Listing((read_slice(endpoint_slice("ns", "a-1", ("10.0.0.1", 3000))),), "1"))
    envoy.talk()


async def figures() -> str:
    return "# TYPE envoy_server_live gauge\nenvoy_server_live{} 1\n"


async def no_figures() -> str:
    raise AdminError("nobody listens")


def ask(
    controller,
    metrics,
    path,
    refresh: Callable[[], Awaitable[None]] = nothing,
    figures: Callable[[], Awaitable[str]] = figures,
):
    async def one():
        door = Door(controller, "gateway-0", metrics, refresh, figures)
        async with TestClient(TestServer(door.app())) as client:
            answer = await client.get(path)
            body = await answer.json() if "json" in answer.content_type else await answer.text()
            return answer.status, answer.content_type, body

    return asyncio.run(one())


def test_routes_say_what_envoy_acknowledged(controller, metrics):
    serve_one(controller)
    assert ask(controller, metrics, "/routes")[2] == {
        "node": "gateway-0",
        "stale": False,
        "routes": {"ns/a": {"generation": 3, "state": "Synced", "message": ""}},
    }


def test_not_ready_before_the_api_server_was_heard_and_it_says_what_is_wrong(controller, metrics):
    controller.contact("ModelRoutes", "status 403: forbidden")
    status, kind, body = ask(controller, metrics, "/readyz")
    assert (status, kind) == (503, "application/problem+json")
    assert "status 403: forbidden" in body["detail"]


def test_not_ready_before_envoy_acknowledged(controller, metrics):
    controller.new_delivery()
    controller.routes_listed(Listing((), "1"))
    controller.slices_listed(Listing((), "1"))
    status, _, body = ask(controller, metrics, "/readyz")
    assert (status, "Envoy has not acknowledged" in body["detail"]) == (503, True)


def test_ready_once_envoy_acknowledged(controller, metrics):
    serve_one(controller)
    assert ask(controller, metrics, "/readyz")[0] == 200


def test_health_does_not_depend_on_the_api_server(controller, metrics):
    controller.contact("ModelRoutes", "no answer")
    assert ask(controller, metrics, "/healthz")[::2] == (200, {"status": "ok", "trouble": {"ModelRoutes": "no answer"}})


def test_counters_are_grouped_by_deployment_and_revision(controller, metrics):
    serve_one(controller)
    controller.count(Look((HostCount(("ns/a-1/only", "10.0.0.1", 3000), Count(7, 2)),)), looked_at=0.0, at=0.0)
    status, _, body = ask(controller, metrics, "/counters")
    assert (status, body["counters"]["ns/a"]["a-1"]["requests"], body["counters"]["ns/a"]["a-1"]["errors"]) == (
        200,
        7,
        2,
    )


def test_the_arms_of_one_deployment_are_shown_to_who_asks_for_it(controller, metrics):
    serve_one(controller)
    for now, requests, retries in ((0.0, 7, 0), (5.0, 9, 0), (12.0, 29, 3)):
        hosts = (
            HostCount(("ns/a-1/only", "10.0.0.1", 3000), Count(requests, requests - 4)),
            HostCount(of_cluster("ns/a-1/only"), Count(retries=retries)),
        )
        controller.count(Look(hosts), looked_at=now, at=1_000 + now)
    status, _, body = ask(controller, metrics, "/counters?deployment=ns/a")
    assert (status, body["counters"]["ns/a"]["a-1"]["requests"]) == (200, 29)
    arm = {"weightBp": 10_000, "requests": 20, "failures": 17, "failedOver": 0}
    assert body["windows"] == [{"traffic": 3, "start": "1970-01-01T00:16:50.000000Z", "arms": {"a-1": arm}}]
    other = ask(controller, metrics, "/counters?deployment=ns/b")[2]
    assert (other["counters"], other["windows"]) == ({}, [])
    assert "windows" not in ask(controller, metrics, "/counters")[2]


def test_counters_that_cannot_be_read_are_an_error_not_a_nought(controller, metrics):
    status, _, body = ask(controller, metrics, "/counters", unreachable)
    assert (status, "nobody listens" in body["detail"]) == (503, True)


def test_metrics_count_routes_and_refusals(controller, metrics):
    serve_one(controller)
    body = ask(controller, metrics, "/metrics")[2]
    assert "switchyard_control_routes 1.0" in body
    assert "switchyard_control_rejected_routes 0.0" in body
    assert 'switchyard_control_resources{kind="clusters"} 2.0' in body
    assert 'switchyard_control_resources{kind="routes"} 1.0' in body
    assert "switchyard_control_capture_enabled 1.0" in body


def test_envoys_own_figures_are_handed_on(controller, metrics):
    status, kind, body = ask(controller, metrics, "/metrics/envoy")
    assert (status, kind) == (200, "text/plain")
    assert "envoy_server_live{} 1" in body


def test_envoys_figures_that_cannot_be_read_are_an_error_and_leave_controls_own(controller, metrics):
    status, _, body = ask(controller, metrics, "/metrics/envoy", figures=no_figures)
    assert (status, "nobody listens" in body["detail"]) == (503, True)
    assert ask(controller, metrics, "/metrics", figures=no_figures)[0] == 200
