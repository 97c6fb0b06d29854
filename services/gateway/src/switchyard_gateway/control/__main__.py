"""Composes control: settings → sources → controller → xDS and HTTP doors. `python -m switchyard_gateway.control`."""

from __future__ import annotations

import asyncio
import logging
import os
import random
import signal
import sys
import time
from collections.abc import Mapping

from switchyard_contracts import logs
from switchyard_contracts.own_metrics import own

from switchyard_gateway.control import door
from switchyard_gateway.control.adapters import cluster, volume, xds
from switchyard_gateway.control.adapters.envoy_admin import EnvoyAdmin
from switchyard_gateway.control.controller import Controller, remember, remember_once
from switchyard_gateway.control.counting import Counting
from switchyard_gateway.control.domain.room import Limits, may_record
from switchyard_gateway.control.errors import AdminError, SettingsError, SourceError
from switchyard_gateway.control.metrics import Metrics
from switchyard_gateway.control.settings import Settings
from switchyard_gateway.control.several import Several
from switchyard_gateway.control.watching import Follower

log = logging.getLogger("switchyard_gateway.control")

REMEMBER_EVERY = 0.5
LOOK_AT_VOLUME_EVERY = 10.0


async def run(settings: Settings) -> None:
    """Serve until a signal says otherwise."""
    metrics = Metrics()
    own(metrics.registry, part="control", distribution="switchyard-gateway")
    bell: list[xds.Streams] = []
    controller = Controller(
        domain=settings.domain,
        preview=settings.preview,
        linger=settings.linger.total_seconds(),
        metrics=metrics,
        mirror_port=settings.mirror_port,
        ring=lambda: bell[0].ring() if bell else None,
        clock=time.monotonic,
    )
    controller.recall(settings.snapshot)
    streams = xds.Streams(
        new_delivery=controller.new_delivery,
        on_answer=controller.answered,
        on_connection=lambda connected: _connection(controller, metrics, connected=connected),
    )
    bell.append(streams)
    admin = EnvoyAdmin(settings.admin_socket)
    counting = Counting(controller, admin.look, clock=time.monotonic, now=time.time)
    shown = door.Door(controller, settings.node, metrics, counting.look, admin.prometheus)
    http = await door.serve(shown, address=settings.address, port=settings.port)
    grpc_server = await xds.serve(streams, settings.xds_socket)
    stopped = asyncio.Event()
    loop = asyncio.get_running_loop()
    for each in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(each, stopped.set)
    tasks = [
        asyncio.create_task(work, name=name)
        for name, work in {
            "cluster": _follow(controller, settings),
            "stale": _serve_stale(controller, settings.stale_after.total_seconds()),
            "remember": remember(controller, settings.snapshot, every=REMEMBER_EVERY),
            "counters": counting.keep_looking(),
            "volume": _watch_volume(settings, admin, metrics),
            "stopped": stopped.wait(),
        }.items()
    ]
    done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    await http.cleanup()
    await grpc_server.stop(grace=1)
    await admin.close()
    await remember_once(controller, settings.snapshot, 0)
    for task in done:
        if wrong := task.exception():
            raise wrong
        if not stopped.is_set():
            raise RuntimeError(f"the task {task.get_name()} ended by itself")


def _connection(controller: Controller, metrics: Metrics, *, connected: bool) -> None:
    metrics.connected.set(connected)
    if not connected:
        controller.disconnected()


async def _follow(controller: Controller, settings: Settings) -> None:
    """Connect to the API server, however long it takes, and follow both kinds for ever."""
    while True:
        try:
            api = await cluster.connect(settings.kubeconfig)
            break
        except SourceError as wrong:
            controller.contact("credentials", str(wrong))
            await asyncio.sleep(1)
    controller.contact("credentials", "")
    watch_seconds = round(settings.watch.total_seconds())
    places = settings.namespaces
    routes = Several([cluster.model_routes(api, watch_seconds=watch_seconds, namespace=place) for place in places])
    slices = Several([cluster.endpoint_slices(api, watch_seconds=watch_seconds, namespace=place) for place in places])
    try:
        await asyncio.gather(
            Follower(
                routes,
                controller.routes_listed,
                controller.route_changed,
                lambda said: controller.contact(routes.kind, said),
                jitter=lambda: random.uniform(0.8, 1.2),
            ).run(),
            Follower(
                slices,
                controller.slices_listed,
                controller.slice_changed,
                lambda said: controller.contact(slices.kind, said),
                jitter=lambda: random.uniform(0.8, 1.2),
            ).run(),
        )
    finally:
        await api.close()  # type: ignore[no-untyped-call]


async def _serve_stale(controller: Controller, after: float) -> None:
    """Serve what is remembered if the API server is silent; then there is nothing left to do, for ever."""
    await asyncio.sleep(after)
    controller.serve_stale()
    await asyncio.Event().wait()


async def _watch_volume(settings: Settings, admin: EnvoyAdmin, metrics: Metrics) -> None:
    """When the shipper is dead and the volume nearly full, stop recording; answers matter more than records of them."""
    limits = Limits(settings.capture_off_at, settings.capture_on_at, settings.capture_off_below)
    recording = True
    while True:
        try:
            room = await asyncio.to_thread(volume.room, settings.spool)
            metrics.volume_used.set(room.used)
            wanted = may_record(room, limits, recording=recording)
            # At each look: whether Envoy started anew since, or this control did, is not known here.
            await admin.capture(on=wanted)
            metrics.capture_enabled.set(wanted)
            if wanted != recording:
                log.warning("capture is %s: the volume is %.0f %% full", "on" if wanted else "off", room.used * 100)
                recording = wanted
        except (OSError, AdminError) as wrong:
            log.warning("the volume cannot be looked after: %s", wrong)
        await asyncio.sleep(LOOK_AT_VOLUME_EVERY)


def main(environ: Mapping[str, str]) -> int:
    """Read the settings and serve."""
    logs.configure(environ.get("CONTROL_LOG_FORMAT", ""), quiet={"httpx": logging.WARNING})
    try:
        settings = Settings.from_env(environ)
    except SettingsError as wrong:
        log.error("%s", wrong)
        return 2
    asyncio.run(run(settings))
    return 0


if __name__ == "__main__":
    sys.exit(main(os.environ))
