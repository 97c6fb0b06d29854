"""Compose the shipper and run it until it is told to stop; then send what is left, as far as there is time."""

from __future__ import annotations

import logging
import os
import signal
import sys
import threading
import time

import uvicorn
from prometheus_client import CollectorRegistry
from pydantic import ValidationError
from switchyard_contracts import logs
from switchyard_contracts.kafka_trouble import Complaints
from switchyard_contracts.own_metrics import own

from switchyard_gateway.shipper.bus import KafkaBus, KafkaTarget
from switchyard_gateway.shipper.envoy import Boots, EnvoyAdmin
from switchyard_gateway.shipper.errors import BookUnreadable
from switchyard_gateway.shipper.line import Reader
from switchyard_gateway.shipper.redaction import Redaction
from switchyard_gateway.shipper.settings import Settings
from switchyard_gateway.shipper.shipper import Limits, Shipper
from switchyard_gateway.shipper.spool import Spool
from switchyard_gateway.shipper.store import Store
from switchyard_gateway.shipper.web import application

log = logging.getLogger("switchyard_gateway.shipper")

STANDSTILL = 30.0
"""After so many seconds without a pass the loop counts as dead."""


def kafka(settings: Settings) -> KafkaTarget:
    """The target that the settings describe."""
    return KafkaTarget(
        connection=lambda: settings.connection(f"switchyard-shipper-{settings.node}"),
        topic=settings.events,
        timeout=settings.kafka_timeout.total_seconds(),
        explain=Complaints.hear(settings).explain,
    )


def compose(settings: Settings, bus: KafkaBus) -> Shipper:
    """All parts, put together."""
    return Shipper(
        node=settings.node,
        spool=Spool(settings.spool_dir),
        reader=Reader(
            node=settings.node, redaction=Redaction(settings.redact), max_record_bytes=settings.max_record_bytes
        ),
        bus=bus,
        admin=EnvoyAdmin(settings.admin_socket),
        boots=Boots(settings.spool_dir),
        store=Store(settings.spool_dir),
        limits=Limits(
            spool_bytes=settings.spool_max_bytes,
            segment_bytes=settings.segment_bytes,
            segment_age=settings.segment_age.total_seconds(),
            batch_lines=settings.batch_lines,
            batch_bytes=settings.batch_bytes,
        ),
        clock=time.monotonic,
    )


def serve(shipper: Shipper, port: int, alive: threading.Event) -> uvicorn.Server:
    """Answer on the port, from a thread of its own."""
    registry = own(CollectorRegistry(auto_describe=False), part="shipper", distribution="switchyard-gateway")
    app = application(shipper, alive=alive.is_set, registry=registry)
    config = uvicorn.Config(app, host="0.0.0.0", port=port, log_config=None, log_level="warning", access_log=False)
    server = uvicorn.Server(config)
    threading.Thread(target=server.run, name="web", daemon=True).start()
    return server


def watch(passed: list[float], alive: threading.Event, stop: threading.Event) -> None:
    """Keep `alive` true to the loop's last pass."""
    while not stop.wait(1):
        if time.monotonic() - passed[0] < STANDSTILL:
            alive.set()
        else:
            alive.clear()


def run(settings: Settings) -> None:
    """Until SIGTERM, and then until all is sent or the time is up."""
    stop, alive, ended = threading.Event(), threading.Event(), threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    bus = KafkaBus(kafka(settings))
    shipper = compose(settings, bus)
    passed = [time.monotonic()]
    alive.set()
    threading.Thread(target=watch, args=(passed, alive, ended), name="watch", daemon=True).start()
    serve(shipper, settings.port, alive)
    deadline = float("inf")
    while time.monotonic() < deadline:
        moved = shipper.step()
        passed[0] = time.monotonic()
        if stop.is_set():
            if deadline == float("inf"):
                deadline = time.monotonic() + settings.drain_timeout.total_seconds()
            if not moved and shipper.is_drained():
                break
        if not moved:
            stop.wait(settings.pulse.total_seconds()) if deadline == float("inf") else time.sleep(0.02)
    ended.set()
    bus.close()
    left = shipper.account().spooled
    log.warning("ended with %d exchanges on the volume for the next start", left)


def main() -> None:
    """Read the settings, run."""
    quiet = {"kafka": logging.CRITICAL, "httpx": logging.WARNING}
    logs.configure(os.environ.get("SHIPPER_LOG_FORMAT", ""), quiet=quiet)
    try:
        run(Settings.from_env(os.environ))
    except ValidationError as error:
        for problem in error.errors(include_url=False, include_input=False):
            names = "_".join(str(part) for part in problem["loc"]).upper()
            log.critical("SHIPPER_%s: %s", names, problem["msg"])
        sys.exit(2)
    except BookUnreadable as error:
        log.critical("%s", error)
        sys.exit(1)


if __name__ == "__main__":
    main()
