"""`python -m switchyard_monitor`: settings → adapters → reader and API. The one place that knows every class."""

from __future__ import annotations

import gc
import logging
import os
import signal
import sys
import threading
import time
from types import FrameType

import uvicorn
from prometheus_client import CollectorRegistry
from pydantic import ValidationError
from switchyard_contracts.kafka_trouble import Complaints

from switchyard_monitor.adapters.store import SqliteStore
from switchyard_monitor.api import create_app
from switchyard_monitor.auth import TokenFile
from switchyard_monitor.bus import KafkaBroker, connection
from switchyard_monitor.errors import BrokerUnavailable, StoreUnavailable
from switchyard_monitor.health import Health
from switchyard_monitor.metrics import MonitorCollector
from switchyard_monitor.models import Models
from switchyard_monitor.reader import Pace, Reader
from switchyard_monitor.settings import Settings

log = logging.getLogger("switchyard_monitor")

PAUSE_SECONDS = 1.0


def main() -> int:
    """Run until told to stop."""
    # A batch makes tens of thousands of objects that all go when it is committed: looking for cycles among them in
    # between finds none.
    gc.set_threshold(100_000, 20, 50)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s %(message)s")
    logging.getLogger("kafka").setLevel(logging.CRITICAL)  # an outage is said once, by us, not ten times a second
    try:
        settings = Settings.from_env(os.environ)
        tokens = TokenFile(settings.tokens_file)
        store = SqliteStore(settings.database)
        store.migrate()
    except (ValidationError, ValueError, OSError, StoreUnavailable) as error:
        log.error("cannot start: %s", error)
        return 2
    models, health = Models(), Health(time.monotonic)
    registry = CollectorRegistry()
    registry.register(MonitorCollector(store=store, health=health))
    app = create_app(store=store, models=models, tokens=tokens, health=health, registry=registry)
    server = uvicorn.Server(uvicorn.Config(app, host="0.0.0.0", port=settings.port, log_level="warning"))
    stop = threading.Event()
    failed: list[BaseException] = []

    def read() -> None:
        try:
            _read(settings, store, models, health, stop)
        except Exception as error:  # a fault of ours: end the process, so that it is seen and started anew
            log.exception("the reader failed")
            failed.append(error)
            server.should_exit = True

    def end(_signal: int, _frame: FrameType | None) -> None:
        stop.set()
        server.should_exit = True

    thread = threading.Thread(target=read, name="reader")
    thread.start()
    signal.signal(signal.SIGTERM, end)
    signal.signal(signal.SIGINT, end)
    server.run()
    stop.set()
    thread.join(timeout=20)
    store.close()
    return 1 if failed else 0


def _read(settings: Settings, store: SqliteStore, models: Models, health: Health, stop: threading.Event) -> None:
    explain = Complaints.hear(settings).explain
    broker: KafkaBroker | None = None
    reader: Reader | None = None
    pace = Pace(
        batch=settings.batch,
        linger=settings.linger.total_seconds(),
        lease_us=round(settings.lease.total_seconds() * 1e6),
        pulse_us=round(settings.pulse.total_seconds() * 1e6),
        margin_us=round(settings.clock_margin.total_seconds() * 1e6),
        hold_us=round(settings.hold.total_seconds() * 1e6),
    )
    while not stop.is_set():
        try:
            if broker is None or reader is None:
                broker = KafkaBroker(connection(settings), batch=settings.batch, explain=explain)
                reader = Reader(
                    member=settings.member, broker=broker, store=store, models=models, pace=pace, clock_us=_now_us
                )
            health.passed(reader.step())
            health.lag = dict(reader.lag)
            health.models_unreadable = models.unreadable
            health.create_time_records = broker.create_time_records
        except (StoreUnavailable, BrokerUnavailable) as error:
            if health.trouble != str(error):
                log.warning("waiting: %s", error)
            health.failed(str(error))
            if reader is not None:
                reader.reset()
            stop.wait(PAUSE_SECONDS)
    if reader is not None and broker is not None:
        try:
            reader.close()
        except StoreUnavailable as error:
            log.warning("the leases run out by themselves: %s", error)
        broker.close()


def _now_us() -> int:
    return time.time_ns() // 1000


if __name__ == "__main__":
    sys.exit(main())
