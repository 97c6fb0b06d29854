"""`python -m switchyard_monitor`: settings → adapters → reader and API. The one place that knows every class.

`python -m switchyard_monitor replay …` is another way in: `command`.
"""

from __future__ import annotations

import gc
import logging
import os
import secrets
import signal
import sys
import threading
import time
from collections.abc import Callable
from datetime import timedelta
from types import FrameType

import uvicorn
from prometheus_client import CollectorRegistry
from pydantic import ValidationError
from switchyard_contracts import logs
from switchyard_contracts.kafka_trouble import Complaints
from switchyard_contracts.own_metrics import own

from switchyard_monitor import command, heap
from switchyard_monitor.adapters.alarms import SqlAlarms
from switchyard_monitor.adapters.drift_book import SqlDriftBook
from switchyard_monitor.adapters.looks import SqlLooks
from switchyard_monitor.adapters.store import SqlStore
from switchyard_monitor.adapters.timeline import SqlTimeline
from switchyard_monitor.api import create_app
from switchyard_monitor.auth import TokenFile
from switchyard_monitor.baselines import Baselines
from switchyard_monitor.bus import KafkaBroker, connection
from switchyard_monitor.chronicle import Chronicle
from switchyard_monitor.domain.retention import Keep
from switchyard_monitor.drift_keeper import DriftKeeper
from switchyard_monitor.drifting import Drifting
from switchyard_monitor.errors import BrokerUnavailable, StoreUnavailable
from switchyard_monitor.evaluator import Evaluator
from switchyard_monitor.health import Health
from switchyard_monitor.learner import PAUSE_SECONDS as PAUSE_LEARNER
from switchyard_monitor.learner import Learner
from switchyard_monitor.metrics import MonitorCollector, commit_seconds
from switchyard_monitor.models import Models
from switchyard_monitor.page.app import Page, create_page
from switchyard_monitor.pruner import Pruner
from switchyard_monitor.reader import Pace, Reader
from switchyard_monitor.rollout_bus import KafkaRollouts
from switchyard_monitor.room import Room
from switchyard_monitor.rosters import Rosters
from switchyard_monitor.settings import Settings

log = logging.getLogger("switchyard_monitor")

PAUSE_SECONDS = 1.0
EVALUATE_SECONDS = 0.25
"""How often it is looked whether a window can be judged."""


def main() -> int:
    """Run until told to stop; or, with arguments, do what they say."""
    if arguments := sys.argv[1:]:
        return command.main(arguments, os.environ)
    # A batch makes tens of thousands of objects that all go when it is committed: looking for cycles among them in
    # between finds none.
    gc.set_threshold(100_000, 20, 50)
    heap.share()
    # Kafka: an outage is said once, by us, not ten times a second.
    quiet = {"kafka": logging.CRITICAL, "alembic": logging.WARNING}
    logs.configure(os.environ.get("MONITOR_LOG_FORMAT", ""), quiet=quiet)
    try:
        settings = Settings.from_env(os.environ)
        tokens = TokenFile(settings.tokens_file)
        database = settings.database.get_secret_value()
        store = SqlStore(database)
        room = Room(size=store.upkeep.size, most=settings.database_max_bytes, clock_us=_now_us)
        if not store.has_server:
            store.migrate()
            room.look()
        timeline, looks, alarms = SqlTimeline(database), SqlLooks(database), SqlAlarms(database)
        book = SqlDriftBook(database)
        rollouts = KafkaRollouts(lambda: connection(settings), topic=settings.topic_names.rollouts)
        chronicle = Chronicle(log=rollouts, timeline=timeline, clock_us=_now_us)
    except (ValidationError, ValueError, OSError, StoreUnavailable) as error:
        log.error("cannot start: %s", error)
        return 2
    models, health, baselines = Models(), Health(time.monotonic), Baselines(store)
    health.sees(room)
    keeper = DriftKeeper(member=settings.member, store=store, book=book, baselines=baselines, clock_us=_now_us)
    registry = own(CollectorRegistry(), part="monitor", distribution="switchyard-monitor")
    health.on_commit = commit_seconds(registry).observe
    drifting = Drifting(store=store, book=book, models=models, baselines=baselines, clock=time.monotonic)
    rosters = Rosters(models, baselines, clock_us=_now_us)
    pruner = Pruner(
        member=settings.member,
        store=store,
        upkeep=store.upkeep,
        rosters=rosters,
        rollout=timeline.last,
        keep=_keep(settings),
        clock_us=_now_us,
        database_us=store.upkeep.now_us,
        behind=chronicle.missed,
        doubt=lambda: health.times_doubted,
    )
    registry.register(MonitorCollector(store=store, health=health, drifting=drifting, alarms=alarms, rosters=rosters))
    page = create_page(
        Page(
            store=store,
            timeline=timeline,
            looks=looks,
            book=book,
            baselines=baselines,
            alarms=alarms,
            rosters=rosters,
            models=models,
            health=health,
            tokens=tokens,
            now=time.time,
            draw=lambda: secrets.token_urlsafe(32),
        )
    )
    app = create_app(
        store=store,
        models=models,
        tokens=tokens,
        health=health,
        registry=registry,
        baselines=baselines,
        page=page,
        alarms=alarms,
        rosters=rosters,
    )
    evaluator = Evaluator(
        member=settings.member,
        store=store,
        alarms=alarms,
        rosters=rosters,
        clock_us=_now_us,
        topic=settings.topic_names.alarms,
    )
    config = uvicorn.Config(
        app, host="0.0.0.0", port=settings.port, log_config=None, log_level="warning", access_log=False
    )
    server = uvicorn.Server(config)
    stop = threading.Event()
    failed: list[BaseException] = []

    def guarded(name: str, work: Callable[[], None]) -> Callable[[], None]:
        def run() -> None:
            try:
                work()
            except Exception as error:  # a fault of ours: end the process, so that it is seen and started anew
                log.exception("the %s failed", name)
                failed.append(error)
                stop.set()
                server.should_exit = True

        return run

    def read() -> None:
        _read(settings, store, models, health, stop, chronicle, pruner, room)

    def evaluate() -> None:
        while not stop.is_set():
            evaluator.step()
            health.alarms = evaluator.trouble
            stop.wait(EVALUATE_SECONDS)

    def keep() -> None:
        while not stop.is_set():
            if not keeper.step():
                stop.wait(PAUSE_SECONDS)
            health.drift = keeper.trouble

    def end(_signal: int, _frame: FrameType | None) -> None:
        stop.set()
        server.should_exit = True

    learner = Learner(store=store, models=models, clock_us=_now_us)

    def learn() -> None:
        while not stop.wait(PAUSE_LEARNER):
            learner.step()

    def give_back() -> None:
        while not stop.wait(heap.TRIM_SECONDS):
            heap.trim()

    works = {"reader": read, "evaluator": evaluate, "drift": keep, "learner": learn, "heap": give_back}
    threads = [
        threading.Thread(target=guarded(name, work), name=name, daemon=name == "learner")
        for name, work in works.items()
    ]
    for thread in threads:
        thread.start()
    signal.signal(signal.SIGTERM, end)
    signal.signal(signal.SIGINT, end)
    server.run()
    stop.set()
    for thread in threads:
        thread.join(timeout=5 if thread.daemon else 20)
    for held in (store, timeline, looks, alarms, book):
        held.close()
    return 1 if failed else 0


def _read(
    settings: Settings,
    store: SqlStore,
    models: Models,
    health: Health,
    stop: threading.Event,
    chronicle: Chronicle,
    pruner: Pruner,
    room: Room,
) -> None:
    explain = Complaints.hear(settings).explain
    broker: KafkaBroker | None = None
    reader: Reader | None = None
    pace = Pace(
        batch=settings.batch,
        linger=settings.linger.total_seconds(),
        lease_us=_us(settings.lease),
        pulse_us=_us(settings.pulse),
        margin_us=_us(settings.clock_margin),
        hold_us=_us(settings.hold),
    )
    migrated = not store.has_server
    while not stop.is_set():
        try:
            if not migrated:  # a server may come later than we do
                store.migrate()
                migrated = True
            room.look()
            health.sees(room)
            if broker is None or reader is None:
                broker = KafkaBroker(
                    connection(settings),
                    events=settings.topic_names.events,
                    models=settings.topic_names.models,
                    batch=settings.batch,
                    explain=explain,
                )
                reader = Reader(
                    member=settings.member,
                    broker=broker,
                    store=store,
                    models=models,
                    pace=pace,
                    clock_us=_now_us,
                    on_commit=health.on_commit,
                    reads=settings.topic_names.events,
                    letters_to=settings.topic_names.deadletter,
                    paused=lambda: room.full,
                )
            health.passed(reader.step())
            health.lag = dict(reader.lag)
            health.dead_letters = reader.dead_letters
            health.dead_letters_waiting = reader.dead_letters_waiting
            health.models_unreadable = models.unreadable
            health.create_time_records = broker.create_time_records
            chronicle.step()
            health.timeline = chronicle.trouble
            pruner.step(reader.members, hurry=room.full)
            health.expired_rows = pruner.rows
            health.held = dict(pruner.held)
            if room.full and not pruner.busy:
                stop.wait(PAUSE_SECONDS)
        except (StoreUnavailable, BrokerUnavailable) as error:
            if health.trouble != str(error):
                log.warning("waiting: %s", error)
            health.failed(str(error))
            if reader is not None:
                reader.reset()
            stop.wait(PAUSE_SECONDS)
    chronicle.close()
    if reader is not None and broker is not None:
        try:
            reader.close()
        except StoreUnavailable as error:
            log.warning("the leases run out by themselves: %s", error)
        broker.close()


def _keep(settings: Settings) -> Keep:
    return Keep(
        rows_us=_us(settings.retention_rows),
        margin_us=_us(settings.retention_margin),
        windows_us=_us(settings.retention_windows),
        hourly_us=_us(settings.retention_hourly),
        daily_us=_us(settings.retention_daily),
    )


def _us(duration: timedelta) -> int:
    return round(duration.total_seconds() * 1e6)


def _now_us() -> int:
    return time.time_ns() // 1000


if __name__ == "__main__":
    sys.exit(main())
