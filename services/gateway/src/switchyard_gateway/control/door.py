"""The HTTP door: which routes Envoy has acknowledged, its counters per revision, health, metrics."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import asdict
from typing import Any

from fastapi import FastAPI
from fastapi.responses import JSONResponse, Response
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from switchyard_gateway.control.controller import Controller
from switchyard_gateway.control.domain.ledger import State
from switchyard_gateway.control.errors import AdminError
from switchyard_gateway.control.metrics import Metrics


def app(
    controller: Controller, *, node: str, metrics: Metrics, refresh_counters: Callable[[], Awaitable[None]]
) -> FastAPI:
    """The routes of the door. It reads, and changes nothing."""
    door = FastAPI(title="Switchyard gateway: control", openapi_url=None)

    @door.get("/routes")
    async def routes() -> dict[str, Any]:
        """Which ModelRoute generations Envoy runs; the operator reads this from each gateway pod."""
        standings = controller.standings()
        return {
            "node": node,
            "stale": controller.stale,
            "routes": {key: {**asdict(each), "state": each.state.value} for key, each in standings.items()},
        }

    @door.get("/counters")
    async def counters() -> Response:
        """Requests and errors by the revision that answered, since this control started."""
        try:
            await refresh_counters()
        except AdminError as wrong:
            return problem(503, f"Envoy's counters cannot be read: {wrong}")
        shown: dict[str, dict[str, Any]] = {}
        for (deployment, revision), count in sorted(controller.counters.totals.items()):
            shown.setdefault(deployment, {})[revision] = asdict(count)
        return JSONResponse({"node": node, "counters": shown})

    @door.get("/healthz")
    async def healthz() -> dict[str, Any]:
        """The loop answers; what is wrong with the API server is said, but is no reason to be restarted."""
        return {"status": "ok", "trouble": {kind: said for kind, said in controller.trouble.items() if said}}

    @door.get("/readyz")
    async def readyz() -> Response:
        """Envoy has acknowledged a first whole snapshot."""
        if controller.ready:
            return JSONResponse({"status": "ready", "stale": controller.stale})
        waiting = "Envoy has not acknowledged a first snapshot yet"
        if not controller.serving:
            said = "; ".join(said for said in controller.trouble.values() if said)
            waiting = f"the API server has not listed every route and endpoint yet{': ' if said else ''}{said}"
        return problem(503, waiting)

    @door.get("/metrics")
    async def prometheus() -> Response:
        """For Prometheus."""
        states = [standing.state for standing in controller.standings().values()]
        metrics.rejected.set(states.count(State.REJECTED))
        metrics.stale.set(controller.stale)
        return Response(generate_latest(metrics.registry), media_type=CONTENT_TYPE_LATEST)

    return door


def problem(status: int, detail: str) -> JSONResponse:
    """RFC 9457."""
    body = {"type": "about:blank", "status": status, "detail": detail}
    return JSONResponse(body, status_code=status, media_type="application/problem+json")
