"""The HTTP door: which routes Envoy has acknowledged, its counters per revision, health, metrics.

aiohttp, because the Kubernetes client brings it already: control must be back soon after a restart, on a busy node too.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any

from aiohttp import web
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from switchyard_contracts.counted import CountedArm, CountedWindow

from switchyard_gateway.control.controller import Controller
from switchyard_gateway.control.domain.arms import Window
from switchyard_gateway.control.domain.ledger import State
from switchyard_gateway.control.errors import AdminError
from switchyard_gateway.control.metrics import Metrics


@dataclass(frozen=True, slots=True)
class Door:
    """What it shows. It reads, and changes nothing."""

    controller: Controller
    node: str
    metrics: Metrics
    refresh_counters: Callable[[], Awaitable[None]]
    envoys_figures: Callable[[], Awaitable[str]]
    """Envoy's own, in Prometheus' format; raises AdminError."""

    def app(self) -> web.Application:
        """The routes of the door."""
        app = web.Application()
        app.router.add_get("/routes", self.routes)
        app.router.add_get("/counters", self.counters)
        app.router.add_get("/healthz", self.healthz)
        app.router.add_get("/readyz", self.readyz)
        app.router.add_get("/metrics", self.prometheus)
        app.router.add_get("/metrics/envoy", self.envoy)
        return app

    async def routes(self, _: web.Request) -> web.Response:
        """Which ModelRoute generations Envoy runs; the operator reads this from each gateway pod."""
        shown = {key: {**asdict(each), "state": each.state.value} for key, each in self.controller.standings().items()}
        return web.json_response({"node": self.node, "stale": self.controller.stale, "routes": shown})

    async def counters(self, request: web.Request) -> web.Response:
        """Requests and errors by the revision that answered, since this control started.

        Asked for one deployment (`?deployment=<namespace>/<name>`), also those of each arm of its split, by ModelRoute
        generation and by time: by these the operator judges guards while the monitor is silent.
        """
        try:
            await self.refresh_counters()
        except AdminError as wrong:
            return problem(503, f"Envoy's counters cannot be read: {wrong}")
        wanted = request.query.get("deployment")
        shown: dict[str, dict[str, Any]] = {}
        for (deployment, revision), count in sorted(self.controller.counters.totals.items()):
            if wanted in (None, deployment):
                shown.setdefault(deployment, {})[revision] = asdict(count)
        document: dict[str, Any] = {"node": self.node, "counters": shown}
        if wanted is not None:
            document["windows"] = [_told(window) for window in self.controller.arms.windows.get(wanted, ())]
        return web.json_response(document)

    async def healthz(self, _: web.Request) -> web.Response:
        """The loop answers; what is wrong with the API server is said, but is no reason to be restarted."""
        trouble = {kind: said for kind, said in self.controller.trouble.items() if said}
        return web.json_response({"status": "ok", "trouble": trouble})

    async def readyz(self, _: web.Request) -> web.Response:
        """Envoy has acknowledged a first whole snapshot."""
        if self.controller.ready:
            return web.json_response({"status": "ready", "stale": self.controller.stale})
        waiting = "Envoy has not acknowledged a first snapshot yet"
        if not self.controller.serving:
            said = "; ".join(said for said in self.controller.trouble.values() if said)
            waiting = f"the API server has not listed every route and endpoint yet{': ' if said else ''}{said}"
        return problem(503, waiting)

    async def prometheus(self, _: web.Request) -> web.Response:
        """For Prometheus."""
        states = [standing.state for standing in self.controller.standings().values()]
        self.metrics.rejected.set(states.count(State.REJECTED))
        self.metrics.stale.set(self.controller.stale)
        for kind, count in self.controller.resources().items():
            self.metrics.resources.labels(kind.value).set(count)
        body = generate_latest(self.metrics.registry)
        return web.Response(body=body, headers={"Content-Type": CONTENT_TYPE_LATEST})

    async def envoy(self, _: web.Request) -> web.Response:
        """Envoy's own figures that are worth a look; its admin door is a socket, which Prometheus cannot reach."""
        try:
            text = await self.envoys_figures()
        except AdminError as wrong:
            return problem(503, f"Envoy's figures cannot be read: {wrong}")
        return web.Response(text=text, headers={"Content-Type": CONTENT_TYPE_LATEST})


def _told(window: Window) -> dict[str, Any]:
    """In the words that the operator reads."""
    told = CountedWindow(
        traffic=window.traffic,
        start=datetime.fromtimestamp(window.start, UTC),
        arms={
            revision: CountedArm(
                weight_bp=arm.weight, requests=arm.requests, failures=arm.failures, failed_over=arm.failed_over
            )
            for revision, arm in window.arms.items()
        },
    )
    return told.model_dump(mode="json", by_alias=True)


async def serve(door: Door, *, address: str, port: int) -> web.AppRunner:
    """Listen; `cleanup` of what is returned ends it."""
    runner = web.AppRunner(door.app(), access_log=None)
    await runner.setup()
    await web.TCPSite(runner, address, port, reuse_address=True).start()
    return runner


def problem(status: int, detail: str) -> web.Response:
    """RFC 9457."""
    body = {"type": "about:blank", "status": status, "detail": detail}
    return web.json_response(body, status=status, content_type="application/problem+json")
